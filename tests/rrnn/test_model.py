"""What all models share: shapes, states, losses, and whose the arrays are."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from models import (
    MODELS,
    assert_same,
    each_model,
    each_variant,
    everything,
    lstm,
    make,
    make_batch,
    sequence,
    shake,
)

from rrnn.cell import RelationalMemory, RelationalRNN

STATES = {"core": ["memory"], "rrnn": ["h", "c", "memory"], "lstm": ["h", "c"]}


# --- Interface and shapes --------------------------------------------------------------------
def test_the_example_of_the_seed():
    model = RelationalRNN(input_size=32, hidden_size=64, output_size=16, num_slots=4,
                          slot_size=64, num_heads=2)  # fmt: skip
    inputs = np.random.default_rng(0).normal(size=(2, 10, 32))
    assert model.forward(inputs, return_sequences=True).shape == (2, 10, 16)
    found = model.forward(inputs, return_state=True)
    assert [array.shape for array in found] == [(2, 10, 16), (2, 64), (2, 64), (2, 4, 64)]


@each_model
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shapes_and_dtype(name, dtype):
    model, inputs = MODELS[name](dtype=dtype), sequence()
    assert model.flat.dtype == dtype
    outputs, *states = model.forward(inputs, return_state=True)
    shapes = {"h": (4, 5), "c": (4, 5), "memory": (4, 3, 4)}
    expected = [shapes[state] for state in STATES[name.split()[-1]]]
    assert outputs.shape == (4, 6, 3) and [state.shape for state in states] == expected
    last, *same_states = model.forward(inputs, return_sequences=False, return_state=True)
    np.testing.assert_allclose(last, outputs[:, -1], rtol=1e-5)
    for state, same in zip(states, same_states, strict=True):
        np.testing.assert_array_equal(state, same)
    np.testing.assert_array_equal(model.forward(inputs, return_sequences=False), last)
    _, grads, metrics = model.loss_and_grads(make_batch())
    arrays = [outputs, last, *states, *grads.values(), *model.trace(inputs).values()]
    assert all(array.dtype == dtype for array in arrays)
    shapes_of = lambda arrays: {name: array.shape for name, array in arrays.items()}
    assert shapes_of(grads) == shapes_of(model.params)
    assert metrics.keys() == {"loss", "accuracy"}


@pytest.mark.parametrize("goes_on", [False, True])
@each_model
def test_a_large_batch_equals_its_parts(name, goes_on):
    """Many examples, or examples that need much memory, go through the model in parts; also where
    each example goes on from a state of its own."""
    model, inputs = MODELS[name](), sequence(batch=600, time=3)
    states = [5 * array for array in model.forward(inputs, return_state=True)[1:]]

    def read(a, b):
        start = [array[a:b] for array in states] if goes_on else None
        return model.forward(inputs[a:b], return_state=True, state=start)

    whole = read(0, 600)
    parts = zip(read(0, 1), read(1, 300), read(300, 600), strict=True)
    model.most_memory = 1  # no room: one example at a time
    for at_once, pieces, few in zip(whole, parts, read(0, 20), strict=True):
        right = np.concatenate(pieces)
        np.testing.assert_allclose(at_once, right, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(few, right[:20], rtol=1e-10, atol=1e-12)


@each_model
def test_causality(name):
    """What comes later changes no earlier output."""
    model, inputs = MODELS[name](), sequence()
    outputs = model.forward(inputs)[:, :4]
    np.testing.assert_allclose(model.forward(inputs[:, :4]), outputs, rtol=1e-10, atol=1e-13)
    inputs[:, 4:] = 9
    np.testing.assert_allclose(model.forward(inputs)[:, :4], outputs, rtol=1e-10, atol=1e-13)


@each_variant
def test_float32_agrees_with_float64(variant):
    single, double = make(variant, dtype=np.float32), make(variant)
    double.flat = single.flat
    inputs = sequence().astype(np.float32)
    for a, b in zip(single.forward(inputs, return_state=True),
                    double.forward(inputs, return_state=True), strict=True):  # fmt: skip
        np.testing.assert_allclose(a, b, atol=3e-5)


@each_model
def test_any_kind_of_real_input_is_read(name):
    model, inputs = MODELS[name](), np.random.default_rng(0).integers(0, 2, (4, 6, 3))
    expected = model.forward(inputs.astype(float))
    for kind in (np.int64, np.uint8, np.float16, bool):
        np.testing.assert_array_equal(model.forward(inputs.astype(kind)), expected)
    for same in (inputs.tolist(), inputs[::-1][::-1], np.asfortranarray(inputs)):
        np.testing.assert_array_equal(model.forward(same), expected)


@each_model
def test_large_inputs_do_not_overflow(name):
    outputs = MODELS[name](dtype=np.float32).forward(1e4 * sequence())
    assert np.isfinite(outputs).all()


# --- A stream read in pieces -----------------------------------------------------------------
@each_variant
def test_in_pieces_as_in_one(variant):
    """At random cuts, each piece from the state of the one before, as a tuple or as a list."""
    model, inputs, rng = shake(make(variant)), sequence(3, 9), np.random.default_rng(0)
    whole, trace = model.forward(inputs, return_state=True), model.trace(inputs)
    close = lambda found, right: np.testing.assert_allclose(found, right, 1e-12, 1e-12)
    for kind in (tuple, list, tuple):
        cuts = np.sort(rng.choice(np.arange(1, 9), rng.integers(1, 5), replace=False))
        outputs, traces, state = [], [], None
        for piece in np.split(inputs, cuts, axis=1):
            traces.append(model.trace(piece, state=state))
            output, *state = model.forward(piece, return_state=True, state=state)
            outputs.append(output)
            state = kind(state)
        for found, right in zip((np.concatenate(outputs, axis=1), *state), whole, strict=True):
            close(found, right)
        for key, right in trace.items():
            close(np.concatenate([traced[key] for traced in traces], axis=1), right)


def test_the_only_state_of_the_core_needs_no_tuple():
    model, inputs = MODELS["core"](), sequence()
    _, memory = model.forward(inputs, return_state=True)
    expected = model.forward(inputs, state=(memory,))
    np.testing.assert_array_equal(model.forward(inputs, state=memory), expected)
    np.testing.assert_array_equal(model.trace(inputs, state=memory)["outputs"], expected)


@each_model
def test_a_state_is_read_and_left_alone(name):
    """Nor does a call that starts in a state change what later calls without one return."""
    model, inputs, batch = shake(MODELS[name]()), sequence(), make_batch()
    before, grads = model.forward(inputs), model.loss_and_flat(batch)[1]
    state = model.forward(3 * inputs, return_state=True)[1:]
    kept = [array.copy() for array in state]
    after = model.forward(inputs, state=state)
    assert np.abs(after - before).max() > 1e-3
    model.trace(inputs, state=state)
    for array, same in zip(state, kept, strict=True):
        np.testing.assert_array_equal(array, same)
    np.testing.assert_array_equal(model.loss_and_flat(batch)[1], grads)
    np.testing.assert_array_equal(model.forward(inputs), before)


# --- Losses ----------------------------------------------------------------------------------
@pytest.mark.parametrize("workers", [1, 2, 3])
@each_model
def test_loss_is_the_mean_over_what_is_asked(name, workers):
    """Not the mean of the workers' means: the halves ask 1 and 5 targets here."""
    model, batch = MODELS[name](), make_batch(examples=6)
    batch.targets[:] = [[-1, -1], [2, -1], [-1, -1], [0, 1], [1, 1], [-1, 2]]
    outputs = model.forward(batch.inputs)[:, -2:]
    log_p = outputs - np.log(np.exp(outputs).sum(axis=-1, keepdims=True))
    asked = list(zip(*np.nonzero(batch.targets != -1), strict=True))
    expected = -np.mean([log_p[i, a, batch.targets[i, a]] for i, a in asked])
    right = np.mean([outputs[i, a].argmax() == batch.targets[i, a] for i, a in asked])
    loss, _, metrics = model.loss_and_grads(batch, workers=workers)
    assert loss == pytest.approx(expected, rel=1e-12)
    assert metrics == {"loss": loss, "accuracy": pytest.approx(right)}
    assert model.metrics(batch) == pytest.approx(metrics, rel=1e-12)


@each_model
def test_number_loss_is_the_mean_over_all_entries(name):
    model, batch = MODELS[name](), make_batch("number")
    miss = model.forward(batch.inputs)[:, -2:] - batch.targets
    loss, _, metrics = model.loss_and_grads(batch)
    assert loss == pytest.approx(np.mean(miss**2), rel=1e-12)
    assert metrics == {"loss": loss, "error": pytest.approx(np.sqrt(np.mean(miss**2)))}
    assert model.metrics(batch) == pytest.approx(metrics, rel=1e-12)


@each_model
def test_an_example_that_asks_nothing_has_no_gradient(name):
    """Its inputs may be anything."""
    model, batch = MODELS[name](), make_batch()
    batch.targets[1] = -1
    _, flat, _ = model.loss_and_flat(batch)
    batch.inputs[1] = 7.0
    _, other, _ = model.loss_and_flat(batch)
    np.testing.assert_allclose(other, flat, rtol=1e-10, atol=1e-14)


def test_logits_far_apart_do_not_overflow():
    model, batch = lstm(dtype=np.float32), make_batch()
    model.params["b_out"] = [1e4, 0, -1e4]
    batch.targets[:] = 2
    loss, grads, _ = model.loss_and_grads(batch)
    assert loss == pytest.approx(2e4, rel=1e-3)
    assert all(np.isfinite(grad).all() for grad in grads.values())


@each_model
def test_grads_and_flat_are_the_same_numbers(name):
    model, batch = MODELS[name](), make_batch()
    loss, grads, metrics = model.loss_and_grads(batch)
    same, flat, same_metrics = model.loss_and_flat(batch)
    assert (loss, metrics) == (same, same_metrics) and type(grads) is dict
    joined = np.concatenate([grads[name].ravel() for name in model.params])
    np.testing.assert_array_equal(joined, flat)


# --- Returned arrays belong to the caller ----------------------------------------------------
@each_model
@pytest.mark.parametrize("batch", [1, 4])
def test_returned_arrays_belong_to_the_caller(name, batch):
    model, inputs, other = MODELS[name](), sequence(batch), sequence(batch, seed=7)
    returned = everything(model, inputs)
    kept = {key: array.copy() for key, array in returned.items()}
    everything(model, other, np.full((batch, 2), 2))
    assert_same(returned, kept, "changed by a later call")
    for key, array in returned.items():
        assert array.flags.writeable, key
        assert not np.shares_memory(array, model.flat), key
    given, flat = inputs.copy(), model.flat.copy()
    for array in returned.values():
        array[:] = 1e6
    assert_same(everything(model, inputs), kept, "changed by writing to an earlier result")
    np.testing.assert_array_equal(inputs, given)
    np.testing.assert_array_equal(model.flat, flat)


@each_variant
def test_results_depend_on_no_earlier_call(variant):
    """Whatever arrays are used again: calls of other shapes in between, and of larger numbers."""
    model, batch = shake(make(variant)), make_batch()
    _, expected, _ = model.loss_and_flat(batch)
    for size in (1, 5, 2, 7):
        model.loss_and_grads(make_batch(seed=size, examples=size, time=9 - size))
        model.forward(1e3 * sequence(4, 6))
    np.testing.assert_array_equal(model.loss_and_flat(batch)[1], expected)
    model.memory[:] = np.nan  # nothing is read that was not written before
    np.testing.assert_array_equal(model.loss_and_flat(batch)[1], expected)


# --- Threads ---------------------------------------------------------------------------------
def test_one_memory_in_four_threads():
    part = RelationalMemory(3, 4, 2, seed=1, dtype=np.float64)
    given = [(sequence(n, 3, size=4), sequence(n, 1, size=4)[:, 0]) for n in (1, 2, 3, 4)]
    call = lambda pair: {"with": part.forward(*pair), "without": part.forward(pair[0])}
    alone = list(map(call, given))
    with ThreadPoolExecutor(4) as threads:
        for found, right in zip(threads.map(call, 20 * given), 20 * alone, strict=True):
            assert_same(found, right, "in a thread")
