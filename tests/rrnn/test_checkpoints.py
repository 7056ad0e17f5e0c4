"""Checkpoints: what goes in comes out, a crash leaves the old file, a bad file gives CheckpointError."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest

import rrnn_helpers as rh

MODELS = {
    "core": lambda **k: rh.RelationalMemoryCore(3, 2, 2, 4, 2, gate_style="memory", readout_sizes=(5, 4), **k),
    "core, infinite biases": lambda **k: rh.RelationalMemoryCore(3, 2, 2, 4, 1, forget_bias=np.inf, **k),
    "core, no gate": lambda **k: rh.RelationalMemoryCore(3, 2, 2, 4, gate_style=None, qkv_norm=False, **k),
    "rrnn": lambda **k: rh.RelationalRNN(3, 5, 2, 2, 4, readout_sizes=(3,), **k),
    "lstm": lambda **k: rh.LSTM(3, 4, 2, **k),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.npz"


def saved(path, model=None, extra=None):
    """Save a model with numbers of its own; returns it."""
    model = model or MODELS["core"](initial_memory="random")
    model.flat += np.random.default_rng(9).normal(size=model.flat.size).astype(model.flat.dtype)
    rh.save_checkpoint(path, model, extra)
    return model


def contents(path):
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def rewrite(path, change_head=None, **arrays):
    """Write the checkpoint again with other arrays (None: left out) or another head."""
    stored = contents(path) | {name.replace("__", "/"): array for name, array in arrays.items()}
    if change_head:
        head = json.loads(str(stored["head"]))
        stored["head"] = np.array(json.dumps(change_head(head)))
    np.savez(path, **{name: array for name, array in stored.items() if array is not None})


def refused(path, reason="."):
    with pytest.raises(rh.CheckpointError, match=reason) as caught:
        rh.load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) > len(str(path)) + 20  # it says why


# ---------------------------------------------------------------------------------------------------------------------
# Round trips
# ---------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", MODELS)
def test_round_trip(path, name, dtype):
    model = saved(path, MODELS[name](dtype=dtype, seed=7))
    loaded, extra = rh.load_checkpoint(path)
    assert type(loaded) is type(model) and loaded.dtype == dtype and extra == {}
    assert repr(loaded) == repr(model)
    np.testing.assert_array_equal(loaded.flat, model.flat)
    assert all(np.shares_memory(array, loaded.flat) for array in loaded.params.values())
    inputs = np.random.default_rng(0).normal(size=(2, 3, 3))
    np.testing.assert_array_equal(loaded.forward(inputs), model.forward(inputs))
    batch = rh.Batch(inputs, [[0], [1]])
    assert loaded.loss_and_grads(batch)[0] == model.loss_and_grads(batch)[0]


def test_extra(path):
    extra = {
        "floats": np.arange(6.0).reshape(2, 3), "whole": np.array([2**62]), "scalar": np.float32(0.1) * np.ones(()),
        "text": np.array("é"), "note": "ünï", "number": 0.1, "large": 2**100, "none": None, "yes": True,
        "nested": {"list": [1, 2.5, {"x": "y"}]}, "a/b": 1, "head": 2, "params/W_out": np.zeros(3), "": 3,
    }  # fmt: skip
    saved(path, extra=extra)
    _, loaded = rh.load_checkpoint(path)
    assert loaded.keys() == extra.keys()
    for name, value in extra.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(loaded[name], value)
            assert loaded[name].dtype == value.dtype
        else:
            assert loaded[name] == value, name


@pytest.mark.parametrize("make", [MODELS["core"], MODELS["rrnn"]])
def test_random_first_memory_comes_back_even_if_changed(path, make):
    model = make(initial_memory="random", seed=3)
    model.first_memory[1] = 0.5
    saved(path, model)
    loaded, _ = rh.load_checkpoint(path)
    np.testing.assert_array_equal(loaded.first_memory, model.first_memory)
    inputs = np.ones((1, 2, 3))
    np.testing.assert_array_equal(loaded.forward(inputs), model.forward(inputs))


@pytest.mark.parametrize("name", ["a", "a.npz", "a.ckpt", "with space.x.y"])
@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_any_path(tmp_path, name, kind):
    saved(kind(tmp_path / name))
    assert [file.name for file in tmp_path.iterdir()] == [name]
    rh.load_checkpoint(kind(tmp_path / name))


def test_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved("here.npz")
    rh.load_checkpoint("here.npz")
    assert [file.name for file in tmp_path.iterdir()] == ["here.npz"]


def test_sizes_may_be_numpy_numbers(path):
    """Constructors take them, so save_checkpoint has to."""
    model = rh.RelationalMemoryCore(
        np.int64(3), np.int32(2), np.int64(2), np.int64(4), np.int64(2), forget_bias=np.float32(0.5), seed=np.int64(1)
    )
    saved(path, model)
    np.testing.assert_array_equal(rh.load_checkpoint(path)[0].flat, model.flat)


def test_saving_changes_nothing(path):
    model = MODELS["core"]()
    before, extra = model.flat.copy(), {"x": np.ones(2), "y": [1]}
    rh.save_checkpoint(path, model, extra)
    np.testing.assert_array_equal(model.flat, before)
    assert extra.keys() == {"x", "y"}


# ---------------------------------------------------------------------------------------------------------------------
# Writing is all or nothing
# ---------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("exists", [True, False])
def test_a_crash_while_writing_leaves_the_old_file(path, monkeypatch, error, exists):
    if exists:
        saved(path, extra={"run": 1})
    before = path.read_bytes() if exists else None

    def half(file, **arrays):
        file.write(b"PK\3\4 and then")
        raise error

    for writer in ("savez", "savez_compressed"):
        monkeypatch.setattr(np, writer, half)
    with pytest.raises(type(error)):
        rh.save_checkpoint(path, MODELS["lstm"]())
    assert [file.name for file in path.parent.iterdir()] == (["model.npz"] if exists else [])
    if exists:
        assert path.read_bytes() == before


@pytest.mark.parametrize(
    "extra", [{"f": print}, {"x": np.float32(1)}, {"o": np.array([{}])}, {1: 2}, [("a", 1)], {"s": {1, 2}}], ids=str
)
def test_an_extra_that_cannot_be_stored(path, extra):
    saved(path)
    before = path.read_bytes()
    with pytest.raises(TypeError, match="extra"):
        rh.save_checkpoint(path, MODELS["lstm"](), extra)
    assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 1


@pytest.mark.parametrize("thing", [None, "model", {"W": np.zeros(2)}, rh.RelationalMemory(2, 4, 2)], ids=str)
def test_only_the_three_models_are_saved(path, thing):
    with pytest.raises(TypeError, match="model"):
        rh.save_checkpoint(path, thing)
    assert not list(path.parent.iterdir())


# ---------------------------------------------------------------------------------------------------------------------
# Bad files
# ---------------------------------------------------------------------------------------------------------------------
def test_a_missing_file(path):
    with pytest.raises(FileNotFoundError):
        rh.load_checkpoint(path)


def test_a_folder(tmp_path):
    refused(tmp_path)


@pytest.mark.parametrize("share", [0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.999])
def test_truncated(path, share):
    saved(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path)


def test_damaged_in_any_place(path):
    """One byte changed: the right error, or (where the byte means nothing) the right parameters; nothing else."""
    model = saved(path)
    whole = path.read_bytes()
    rng, harmless = np.random.default_rng(0), 0
    for place in [*rng.choice(len(whole), 150, replace=False), *range(60), *range(len(whole) - 150, len(whole))]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            loaded, extra = rh.load_checkpoint(path)
        except rh.CheckpointError:
            continue
        np.testing.assert_array_equal(loaded.flat, model.flat)
        assert extra == {}
        harmless += 1
    assert harmless < 200


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def zipped(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


FOREIGN = {
    "text": b"step,loss\n1,2.3\n",
    "png": b"\x89PNG\r\n\x1a\n" + bytes(100), "zeros": bytes(1000), "npy": npy(np.zeros(3)),
    "npy of text": npy(np.array("{}")),
    "another npz": npz(weights=np.zeros(3)), "head is no text": npz(head=np.zeros(3)),
    "head is no JSON": npz(head=np.array("{")), "head is a list": npz(head=np.array("[1]")),
    "head is a number": npz(head=np.array("3")), "head is null": npz(head=np.array("null")),
    "head is empty": npz(head=np.array("{}")), "head is another format": npz(head=np.array('{"format": "x"}')),
    "head is deep": npz(head=np.array("[" * 100_000)), "zip": zipped(a=b"text"), "empty zip": zipped(),
    "zip with a head of bytes": zipped(**{"head.npy": b"{}"}),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign(path, name):
    path.write_bytes(FOREIGN[name])
    refused(path)


class Bomb:
    """Unpickling it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("how", ["raw pickle", "npy", "npz", "inside a checkpoint", "as the head"])
def test_nothing_is_unpickled(path, how):
    mark = path.parent / "executed"
    bomb = np.array([Bomb(mark)], dtype=object)
    if how == "raw pickle":
        path.write_bytes(pickle.dumps(Bomb(mark)))
    elif how == "npy":
        path.write_bytes(npy(bomb))
    elif how == "npz":
        path.write_bytes(npz(x=bomb))
    else:
        saved(path)
        rewrite(path, **{"params__W_in" if how == "inside a checkpoint" else "head": bomb})
    refused(path)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Bomb(mark)))  # the bomb does work
    assert mark.exists()


BAD_ARRAYS = {
    "wrong shape": {"params__W_in": np.zeros((3, 5), np.float32)},
    "transposed": {"params__W_in": np.zeros((4, 3), np.float32)},
    "a shape that broadcasts": {"params__W_in": np.zeros((1, 4), np.float32)},
    "no axes": {"params__W_in": np.float32(1)},
    "wrong dtype": {"params__W_in": np.zeros((3, 4))},
    "whole numbers": {"params__W_in": np.zeros((3, 4), np.int32)},
    "text": {"params__W_in": np.array([["a"] * 4] * 3)},
    "missing": {"params__W_in": None},
    "missing first memory": {"first_memory": None},
    "wrong first memory": {"first_memory": np.zeros((3, 4), np.float32)},
    "one more": {"params__W_more": np.zeros(2, np.float32)},
    "one more at the top": {"other": np.zeros(2, np.float32)},
    "NaN": {"params__W_in": np.full((3, 4), np.nan, np.float32)},
    "infinite": {"first_memory": np.full((2, 4), np.inf, np.float32)},
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_arrays(path, name):
    saved(path)
    rewrite(path)
    rh.load_checkpoint(path)  # written again as it was: fine
    rewrite(path, **BAD_ARRAYS[name])
    refused(path, next(iter(BAD_ARRAYS[name])).split("__")[-1])  # the reason names the array


def test_a_member_that_is_no_array(path):
    saved(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    path.write_bytes(zipped(**(members | {"params/W_in.npy": b"not an array"})))
    refused(path)


def config(**changes):
    return lambda head: head | {"config": head["config"] | changes}


BAD_HEADS = {
    "version": lambda head: head | {"version": 2},
    "no version": lambda head: {key: value for key, value in head.items() if key != "version"},
    "format": lambda head: head | {"format": "something else"},
    "unknown model": lambda head: head | {"model": "Transformer"},
    "model that is a function": lambda head: head | {"model": "save_checkpoint"},
    "model that is a list": lambda head: head | {"model": ["LSTM"]},
    "another model": lambda head: head | {"model": "LSTM"},
    "no config": lambda head: {key: value for key, value in head.items() if key != "config"},
    "config is a list": lambda head: head | {"config": [3, 2]},
    "config is null": lambda head: head | {"config": None},
    "unknown argument": config(colour="red"),
    "argument missing": lambda head: head | {"config": {"output_size": 2}},
    "size as text": config(input_size="3"),
    "fractional size": config(slot_size=4.5),
    "negative size": config(num_slots=-1),
    "another size": config(slot_size=8),
    "another number of slots": config(num_slots=3),
    "heads that do not divide": config(num_heads=3),
    "unknown gate": config(gate_style="lstm"),
    "another gate": config(gate_style=None),
    "another dtype": config(dtype="float64"),
    "no dtype": config(dtype="complex64"),
    "dtype that is code": config(dtype="__import__('os').abort()"),
    "larger than any memory": config(slot_size=10**7, num_heads=1),
    "larger than any number": config(slot_size=10**30, num_heads=1),
    "too many digits": config(input_size=10**400),
    "seed": config(seed=-1),
    "bias as text": config(forget_bias="1"),
    "extra is a list": lambda head: head | {"extra": []},
    "no extra": lambda head: {key: value for key, value in head.items() if key != "extra"},
}


@pytest.mark.parametrize("name", BAD_HEADS)
def test_bad_heads(path, name):
    saved(path)
    rewrite(path, lambda head: head)
    rh.load_checkpoint(path)
    rewrite(path, BAD_HEADS[name])
    refused(path)


def test_checkpoint_error_is_a_value_error():
    assert issubclass(rh.CheckpointError, ValueError)
