"""Parameters: views of one vector, with first values from a seed; what is assigned is written
through, and copies are whole."""

import copy
import itertools
import pickle
from collections.abc import Mapping

import numpy as np
import pytest
from layer_checks import BATCH, SIZE, SLOTS, STEPS, Alone
from models import (
    MODELS,
    assert_same,
    each_model,
    each_variant,
    everything,
    make,
    own_memory,
    sequence,
    shake,
    with_memory,
)

from rrnn.checkpoints import load_checkpoint, save_checkpoint
from rrnn.layers import MLP, LayerNorm, Linear, Product, Residual
from rrnn.parameters import Views, walk
from rrnn.training import Adam


@each_model
def test_params_are_views_of_flat(name):
    model = MODELS[name]()
    sizes = [array.size for array in model.params.values()]
    assert model.flat.ndim == 1 and model.flat.size == sum(sizes)
    assert all(np.shares_memory(array, model.flat) for array in model.params.values())
    model.flat[:] = np.arange(model.flat.size)
    joined = np.concatenate([array.ravel() for array in model.params.values()])
    np.testing.assert_array_equal(joined, model.flat)
    first = next(iter(model.params.values()))
    first[:] = -1
    assert (model.flat == -1).sum() == first.size


@each_model
def test_seeds(name):
    flat = lambda seed, dtype=np.float64: MODELS[name](seed=seed, dtype=dtype).flat
    np.testing.assert_array_equal(flat(4), flat(4))
    assert not np.array_equal(flat(4), flat(5))
    np.testing.assert_array_equal(flat(4, np.float32), flat(4).astype(np.float32))


@each_model
def test_initial_parameters(name):
    model = MODELS[name](readout_sizes=(7,))
    for parameter, array in model.params.items():
        if parameter.startswith("W_"):
            assert array.std() > 0 and len(np.unique(array)) == array.size, parameter
        elif parameter.startswith("g_"):
            assert (array == 1).all(), parameter
        elif parameter in ("b", "beta_z"):  # the forget gate is open
            i, f, g, o = array.reshape(4, -1)
            assert not i.any() and (f == 1).all() and not o.any()
            if parameter == "b":
                assert not g.any()
            else:  # and g a little off zero, or a network of zeros would have too steep a slope
                assert g.all() and np.abs(g).max() <= 0.1 and len(set(g)) == 5
        else:
            assert (array == 0).all(), parameter
    if "W_h" in model.params:
        for square in np.split(model.params["W_h"], 4, axis=1):
            np.testing.assert_allclose(square @ square.T, np.eye(5), atol=1e-12)


# --- What is assigned is written through, and copies are whole -------------------------------
def by_name(model, flat):
    for name, array in Views(flat, model.shapes).items():
        model.params[name] = array


def by_name_in_place(model, flat):
    for name, array in Views(flat, model.shapes).items():
        model.params[name] *= 0
        model.params[name] += array


def by_name_as_lists(model, flat):
    for name, array in Views(flat, model.shapes).items():
        model.params[name] = array.tolist()


def at_once(model, flat):
    model.flat = flat


def in_place(model, flat):
    model.flat *= 0
    model.flat += flat


def checkpointed(model, path):
    save_checkpoint(path, model)
    return load_checkpoint(path)[0]


WAYS = [by_name, by_name_in_place, by_name_as_lists, at_once, in_place]
COPIES = {
    "itself": lambda model, path: model,
    "copy": lambda model, path: copy.copy(model),
    "deepcopy": lambda model, path: copy.deepcopy(model),
    "pickle": lambda model, path: pickle.loads(pickle.dumps(model)),
    "checkpoint": checkpointed,
}


@each_variant
def test_what_is_assigned_is_written_through(variant, tmp_path):
    """In every way, and everywhere: into outputs, gradients, workers, copies, checkpoints, and
    Adam's vector."""
    model, right, inputs = own_memory(make(variant)), own_memory(make(variant)), sequence()
    everything(model, inputs)
    adam, rng = Adam(model.flat), np.random.default_rng(8)
    for write in WAYS:
        numbers = rng.normal(size=model.flat.size)
        write(model, numbers)
        right.flat[:] = numbers
        np.testing.assert_array_equal(model.forward(inputs), right.forward(inputs))
        assert_same(dict(model.params), dict(Views(model.flat, model.shapes)))
    expected = everything(right, inputs)
    for how in ("itself", "deepcopy", "checkpoint"):
        found = everything(COPIES[how](model, tmp_path / "model.npz"), inputs)
        assert_same(found, expected, how)
    adam.step(numbers)
    assert adam.flat is model.flat
    np.testing.assert_allclose(model.flat, numbers - 1e-3 * np.sign(numbers), atol=1e-6)
    assert_same(dict(model.params), dict(Views(model.flat, model.shapes)))


def holders(model):
    """(owner, attribute) of all that holds the parameters, their gradients or the first memory, in
    the model and in its layers."""
    kept = [model.flat, model.grad]
    kept += [model.first_memory] if hasattr(model, "first_memory") else []
    for owner in (model, *model.layers):
        for name, value in vars(owner).items():
            arrays = value.values() if isinstance(value, Mapping) else [value]
            arrays = [array for array in arrays if isinstance(array, np.ndarray)]
            if any(np.shares_memory(array, one) for array in arrays for one in kept):
                yield owner, name


@each_variant
def test_every_attribute_that_holds_weights(variant, tmp_path):
    """What is assigned to it is used everywhere, or the assignment is refused."""
    model, rng, inputs = shake(make(variant)), np.random.default_rng(8), sequence()
    written = []
    for owner, name in holders(model):
        before, value = model.flat.copy(), getattr(owner, name)
        if owner is model:
            with pytest.raises(AttributeError, match=f"{name} must stay as it is: assign to flat"):
                setattr(owner, name, np.copy(value))
        else:
            numbers = rng.normal(size=value.shape)
            setattr(owner, name, numbers)
            assert getattr(owner, name) is value and (value == numbers).all()
            written.append(name)
        assert np.array_equal(model.flat, before) == (owner is model or name.startswith("d"))
    assert len(written) == 2 * len(model.shapes)
    right = own_memory(make(variant))
    own_memory(model)
    right.flat = model.flat
    expected = everything(right, inputs)
    for how in ("itself", "pickle"):
        found = everything(COPIES[how](model, tmp_path / "model.npz"), inputs)
        assert_same(found, expected, how)
    layer = model.readout.layers[-1]
    layer.W *= 2  # in place, too
    right.params["W_out"] *= 2
    expected = right.forward(inputs)
    np.testing.assert_array_equal(model.forward(inputs), expected)
    for value, words in ((layer.W[0], "axes"), (None, "real"), (layer.W * np.nan, "finite")):
        with pytest.raises((ValueError, TypeError), match=f"^W must .*{words}"):
            layer.W = value
    np.testing.assert_array_equal(model.forward(inputs), expected)


@pytest.mark.parametrize("in_place", [False, True])
@with_memory
def test_a_first_memory_that_is_assigned_is_used(make, in_place, tmp_path):
    model, inputs, first = make(), sequence(), np.random.default_rng(8).normal(size=(3, 4))
    before = everything(model, inputs)
    if in_place:
        model.first_memory[:] = first
    else:
        model.first_memory = first.tolist()
    found = everything(model, inputs)
    state = np.tile(first, (4, 1, 1))
    start = {"core": state, "rrnn": (np.zeros((4, 5)), np.zeros((4, 5)), state)}[make.__name__]
    from_state = model.forward(inputs, state=start)
    np.testing.assert_allclose(found["forward 0"], from_state, rtol=1e-12, atol=1e-13)
    assert np.abs(found["forward 0"] - before["forward 0"]).max() > 1e-4
    for key in model.params:
        one, two = found[f"1 workers {key}"], found[f"2 workers {key}"]
        np.testing.assert_allclose(two, one, rtol=1e-9, atol=1e-12)
    for how in COPIES.values():
        assert_same(everything(how(model, tmp_path / "model.npz"), inputs), found)


@each_model
@pytest.mark.parametrize("how", COPIES)
def test_copies_are_whole(name, how, tmp_path):
    """A copy (by hand, or as an executor sends it to a process) computes the same, and on
    parameters of its own."""
    model, inputs = own_memory(shake(MODELS[name]())), sequence()
    twin = COPIES[how](model, tmp_path / "model.npz")
    assert repr(twin) == repr(model) and type(twin) is type(model)
    np.testing.assert_array_equal(twin.flat, model.flat)
    np.testing.assert_array_equal(twin.forward(inputs), model.forward(inputs))
    if how != "itself":
        assert not np.shares_memory(twin.flat, model.flat)
        twin.flat[:] = 0
        assert not any(array.any() for array in twin.params.values()), "no views of flat any more"
        assert model.flat.any()


BAD_VALUES = [
    (np.zeros((3, 4)), "shape|axes"), (np.zeros(3), "axes"), (0.0, "axes"),
    (np.full((5, 3), np.nan), "finite"), (np.full((5, 3), np.inf), "finite"),
    (np.full((5, 3), 1e39), "finite in float32"), ([["a"] * 3] * 5, "real numbers"), (None, "real"),
    (np.zeros((5, 3), complex), "real numbers"), ([[0.0] * 3] * 4 + [[0.0]], "one array"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "words"), BAD_VALUES, ids=range(len(BAD_VALUES)))
def test_what_does_not_fit_is_not_written(value, words):
    """In the place of a parameter, of the vector, or of the first memory."""
    sizes = {"input_size": 5, "num_slots": 5, "slot_size": 3, "num_heads": 1}
    model = MODELS["core"](dtype=np.float32, initial_memory="zeros", **sizes)
    before = model.first_memory.copy(), model.flat.copy()
    with pytest.raises((ValueError, TypeError), match=rf"params\['W_in'\].*({words})"):
        model.params["W_in"] = value
    with pytest.raises((ValueError, TypeError), match=f"first_memory.*({words})"):
        model.first_memory = value
    with pytest.raises((ValueError, TypeError), match="flat"):
        model.flat = value
    for array, kept in zip((model.first_memory, model.flat), before, strict=True):
        np.testing.assert_array_equal(array, kept)


def test_names_that_are_not_there():
    model = MODELS["lstm"]()
    with pytest.raises(KeyError, match="W_x, W_h, b, W_out, b_out.*'W_y'"):
        model.params["W_y"] = np.zeros(3)
    with pytest.raises(KeyError):
        model.params["W_y"]
    with pytest.raises((TypeError, AttributeError)):
        del model.params["W_x"]
    assert not hasattr(model, "first_memory")
    with pytest.raises(AttributeError, match="LSTM has no first_memory"):
        model.first_memory = np.zeros((3, 4))
    assert "W_x" in model.params and "W_y" not in model.params and len(model.params) == 5
    assert (model.params | {"W_y": 1})["W_y"] == 1 and "W_y" not in model.params


@pytest.mark.parametrize("how", ["assigned", "joined"])
def test_params_as_a_whole_are_written_through(how):
    """model.params = {...}, and model.params |= {...}."""
    model = MODELS["lstm"]()
    numbers = {name: np.ones_like(array) for name, array in model.params.items()}
    if how == "assigned":
        model.params = numbers
    else:
        model.params |= numbers
    assert (model.flat == 1).all() and isinstance(model.params, Views)


@pytest.mark.parametrize(
    "change", [{"W_y": np.zeros(3)}, {"b_out": np.zeros(4)}]
)
def test_params_as_a_whole_are_written_whole_or_not_at_all(change):
    model = MODELS["lstm"]()
    before, numbers = model.flat.copy(), {name: 7 * array for name, array in model.params.items()}
    with pytest.raises(ValueError, match="params"):
        model.params = numbers | change
    np.testing.assert_array_equal(model.flat, before)


# --- What is asked of layers -----------------------------------------------------------------
def test_two_layers_must_not_name_the_same_parameter():
    with pytest.raises(ValueError, match="two layers name the same parameter"):
        Alone(Linear("z", 2, 2), Product("z", 2, 3))


def test_a_layer_that_stands_twice_is_one_layer():
    inner = MLP(["one", "two", "three"], [SIZE, 5, 3, SIZE], SLOTS)
    outer = [Residual(inner, LayerNorm(name, SIZE, SLOTS)) for name in "ab"]
    found = walk(outer)
    assert len(found) == len(set(found)) == 2 + 2 + 1 + 3
    assert Alone(*outer).flat.size == Alone(inner).flat.size + 4 * SIZE


def test_arrays_are_handed_out_of_one_block_and_do_not_overlap():
    both = Residual(MLP(["m"], [SIZE, SIZE], SLOTS), LayerNorm("z", SIZE, SLOTS))
    home = Alone(both, Linear("w", SIZE, 5, SLOTS))
    home.begin()
    wanted = home.shapes_of_arrays(STEPS, BATCH)
    arrays = [getattr(owner, name) for owner, name, _ in wanted]
    assert [array.shape for array in arrays] == [shape for *_, shape in wanted]
    for one, other in itertools.combinations(arrays, 2):
        assert not np.shares_memory(one, other)
    assert all(np.shares_memory(array, home.memory) for array in arrays)
