"""Checkpoints: what goes in comes out, a crash leaves the old file, a bad file gives
CheckpointError."""

import copy
import functools
import io
import json
import operator
import os
import pickle
import signal
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import models
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from models import each_variant, make, own_memory

from rrnn import checkpoints
from rrnn.cell import RelationalMemory, RelationalRNN
from rrnn.checkpoints import CheckpointError, load_checkpoint, save_checkpoint
from rrnn.checks import Whole, checked
from rrnn.core import RelationalMemoryCore
from rrnn.lstm import LSTM


def core(**options):
    return models.core(**({"num_slots": 2, "output_size": 2, "dtype": np.float32} | options))


def lstm():
    return models.lstm()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.npz"


def saved(path, model=None, extra=None):
    """Save a model with numbers of its own; returns it."""
    model = model or core(initial_memory="random")
    model.flat += np.random.default_rng(9).normal(size=model.flat.size).astype(model.flat.dtype)
    save_checkpoint(path, model, extra)
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
    with pytest.raises(CheckpointError, match=reason) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) > len(str(path)) + 20  # it says why


# --- Round trips -----------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@each_variant
def test_round_trip(path, variant, dtype):
    model = saved(path, own_memory(make(variant, dtype=dtype, seed=7)))
    loaded, extra = load_checkpoint(path)
    assert type(loaded) is type(model) and loaded.dtype == dtype and extra == {}
    assert repr(loaded) == repr(model)
    np.testing.assert_array_equal(loaded.flat, model.flat)
    assert all(np.shares_memory(array, loaded.flat) for array in loaded.params.values())
    batch = models.make_batch()
    np.testing.assert_array_equal(loaded.forward(batch.inputs), model.forward(batch.inputs))
    assert loaded.loss_and_grads(batch)[0] == model.loss_and_grads(batch)[0]


@pytest.mark.parametrize("bias", [1000, -1000, np.inf, -np.inf, 1e300, 0.1])
def test_any_bias_comes_back(path, bias):
    """1000 is more than all the numbers in the file: it is a bias, not a size."""
    saved(path, core(forget_bias=bias, input_bias=-bias))
    loaded, _ = load_checkpoint(path)
    assert (loaded.forget_bias, loaded.input_bias) == (bias, -bias)


def test_many_shared_blocks_and_a_large_seed_come_back(path):
    """Numbers of a configuration that are no sizes of arrays."""
    saved(path, core(num_blocks=999, share_blocks=True, seed=10**30))
    assert load_checkpoint(path)[0].num_blocks == 999


def test_extra(path):
    extra = {
        "floats": np.arange(6.0).reshape(2, 3), "whole": np.array([2**62]),
        "scalar": np.array(0.1, np.float32), "text": np.array("é"), "note": "ünï", "number": 0.1,
        "large": 2**100, "none": None, "yes": True, "nested": {"list": [1, 2.5, {"x": "y"}]},
        "a/b": 1, "head": 2, "params/W_out": np.zeros(3), "": 3,
    }  # fmt: skip
    saved(path, extra=extra)
    _, loaded = load_checkpoint(path)
    assert loaded.keys() == extra.keys()
    for name, value in extra.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(loaded[name], value)
            assert loaded[name].dtype == value.dtype
        else:
            assert loaded[name] == value, name


@models.with_memory
def test_random_first_memory_comes_back_even_if_changed(path, make):
    model = make(initial_memory="random", seed=3)
    model.first_memory[1] = 0.5
    saved(path, model)
    loaded, _ = load_checkpoint(path)
    np.testing.assert_array_equal(loaded.first_memory, model.first_memory)
    inputs = np.ones((1, 2, 3))
    np.testing.assert_array_equal(loaded.forward(inputs), model.forward(inputs))


@pytest.mark.parametrize("name", ["a", "a.npz", "a.ckpt", "with space.x.y"])
@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_any_path(tmp_path, name, kind):
    saved(kind(tmp_path / name))
    assert [file.name for file in tmp_path.iterdir()] == [name]
    load_checkpoint(kind(tmp_path / name))


def test_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved("here.npz")
    load_checkpoint("here.npz")
    assert [file.name for file in tmp_path.iterdir()] == ["here.npz"]


def test_sizes_may_be_numpy_numbers(path):
    """Constructors take them, so save_checkpoint has to."""
    sizes = np.int64(3), np.int32(2), np.int64(2), np.int64(4), np.int64(2)
    model = RelationalMemoryCore(*sizes, forget_bias=np.float32(0.5), seed=np.int64(1))
    saved(path, model)
    np.testing.assert_array_equal(load_checkpoint(path)[0].flat, model.flat)


def test_saving_changes_nothing(path):
    model = core()
    before, extra = model.flat.copy(), {"x": np.ones(2), "y": [1]}
    save_checkpoint(path, model, extra)
    np.testing.assert_array_equal(model.flat, before)
    assert extra.keys() == {"x", "y"}


# --- Whatever save accepts loads back equal --------------------------------------------------
class OwnLSTM(LSTM):
    """A reader's own model."""

    def features(self, answers):
        return super().features(answers) + 1


class OwnOption(LSTM):
    """Another one, with an argument that LSTM does not have."""

    @checked
    def __init__(self, input_size: Whole(), hidden_size: Whole(), output_size: Whole(), *,
                 factor: Whole() = 2):  # fmt: skip
        super().__init__(input_size, hidden_size, output_size)


def reloaded(model, path):
    save_checkpoint(path, model)
    return load_checkpoint(path)[0]


def test_a_subclass_of_the_readers_own_comes_back(path):
    model = saved(path, OwnLSTM(3, 5, 2))
    loaded, _ = load_checkpoint(path)
    assert type(loaded) is OwnLSTM
    inputs = models.sequence()
    np.testing.assert_array_equal(loaded.forward(inputs), model.forward(inputs))


@pytest.mark.parametrize("how", [lambda model, path: copy.deepcopy(model), reloaded])
def test_an_option_of_the_readers_own_comes_back(path, how):
    model = OwnOption(3, 5, 2, factor=9)
    assert how(model, path).factor == 9


def test_a_class_of_the_readers_own_does_not_hide_one_of_the_same_name(path):
    own = type("LSTM", (LSTM,), {})
    try:
        assert type(reloaded(lstm(), path)) is LSTM
        assert type(reloaded(own(3, 5, 2), path)) is own
    finally:
        own.__name__ = "NoLongerLSTM"  # other tests go on in this process


def equal(a, b):
    """Of the same kinds, and equal; NaN is NaN, and -0.0 not 0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(equal, a, b))
    return repr(a) == repr(b)


numbers = st.integers() | st.floats()
leaves = st.none() | st.booleans() | numbers | st.text(max_size=5) | st.binary(max_size=2)
plain_text = st.text(st.characters(exclude_characters="\0"), max_size=6)
keys = plain_text | st.sampled_from(["head", "params/b", "../x", "A", "a", "/", "extra/a"])
kinds = arrays_of.scalar_dtypes() | arrays_of.unicode_string_dtypes() | st.just(np.dtype("f4,i2"))
any_array = arrays_of.arrays(kinds, arrays_of.array_shapes(min_dims=0, min_side=0, max_side=3))
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | numbers, inner, max_size=3)
    | st.tuples(inner),
    max_leaves=6,
)  # fmt: skip


sizes = st.fixed_dictionaries({
    "input_size": st.integers(1, 3), "output_size": st.integers(1, 3),
    "readout_sizes": st.lists(st.integers(1, 3), max_size=2),
    "dtype": st.sampled_from([np.float32, np.float64]), "seed": st.integers(0, 2**70),
})  # fmt: skip
hidden = st.fixed_dictionaries({"hidden_size": st.integers(1, 4)})
slots = st.fixed_dictionaries({
    "num_slots": st.integers(1, 4), "slot_size": st.sampled_from([4, 6]),
    "num_heads": st.integers(1, 2), "initial_memory": st.sampled_from(["zeros", "random"]),
})  # fmt: skip
blocks = st.fixed_dictionaries({
    "mlp_layers": st.integers(0, 3), "num_blocks": st.integers(1, 3),
    "gate_style": st.sampled_from(["unit", "memory", None]), "qkv_norm": st.booleans(),
    "forget_bias": st.floats(allow_nan=False), "input_bias": st.floats(allow_nan=False),
    "attend_to": st.sampled_from(["all", "self"]), "share_blocks": st.booleans(),
})  # fmt: skip


def configured(kind, *options):
    """Models of a kind with random options."""
    return st.tuples(*options).map(lambda given: kind(**functools.reduce(operator.or_, given)))


any_model = (
    configured(LSTM, sizes, hidden, st.fixed_dictionaries({"layer_norm": st.booleans()}))
    | configured(RelationalRNN, sizes, hidden, slots,
                 st.fixed_dictionaries({"use_lstm": st.booleans()}))
    | configured(RelationalMemoryCore, sizes, slots, blocks)
)  # fmt: skip


@settings(max_examples=100, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(model=any_model, values=st.lists(st.floats(), min_size=1, max_size=5), at=st.integers(0, 99),
       extra=st.dictionaries(keys, trees | any_array))  # fmt: skip
def test_whatever_save_accepts_loads_back_equal(tmp_path, model, values, at, extra):
    """Any model with any values; what is refused leaves the old file."""
    path, numbers = tmp_path / "model.npz", own_memory(model).flat
    path.write_bytes(b"the old file")
    with np.errstate(over="ignore"):
        np.put(numbers, np.arange(at, at + len(values)) % len(numbers), values)
    try:
        save_checkpoint(path, model, extra)
    except (TypeError, ValueError) as error:
        assert "extra" in str(error) or not np.isfinite(numbers).all()
        assert path.read_bytes() == b"the old file" and len(list(tmp_path.iterdir())) == 1
        return
    loaded, found = load_checkpoint(path)
    assert equal(found, extra)
    assert type(loaded) is type(model) and repr(loaded) == repr(model)
    assert equal(loaded.flat, numbers)
    if hasattr(model, "first_memory"):
        assert equal(loaded.first_memory, model.first_memory)


@pytest.mark.parametrize(
    "extra",
    [{"a": np.zeros(2), "a.npy": np.ones(3)}, {"a\0b": np.zeros(2)},
     {"a": np.ma.masked_array([1.0, 2.0], [True, False])}],
    ids=["a and a.npy", "NUL", "masked"],
)  # fmt: skip
def test_arrays_that_come_back_otherwise_are_refused(path, extra):
    """Or they come back as they were."""
    try:
        save_checkpoint(path, lstm(), extra)
    except (TypeError, ValueError):
        return
    found = load_checkpoint(path)[1]
    assert equal(found, extra)


# --- Writing is all or nothing ---------------------------------------------------------------
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
        save_checkpoint(path, lstm())
    assert [file.name for file in path.parent.iterdir()] == (["model.npz"] if exists else [])
    if exists:
        assert path.read_bytes() == before


@pytest.mark.parametrize(
    "extra",
    [{"f": print}, {"x": np.float32(1)}, {"o": np.array([{}])}, {1: 2}, [("a", 1)], {"s": {1, 2}},
     {"t": (1, 2)}, {"t": [1, (2,)]}, {"d": {1: 2}}, {"d": [{"e": {None: 0}}]}, {"n": 10**5000},
     {"a": {"b": np.zeros(2)}}, {"x": np.float64(1)}, {"b": b"bytes"}, {"c": 1j}, {"d": {True: 1}}],
    ids=range(16),
)  # fmt: skip
def test_an_extra_that_would_not_come_back(path, extra):
    saved(path)
    before = path.read_bytes()
    with pytest.raises(TypeError, match="extra"):
        save_checkpoint(path, lstm(), extra)
    assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["W_in", "b_out", "first_memory"])
def test_parameters_that_are_not_finite_are_not_saved(path, where, value):
    """They could not be loaded again; the file of before stays."""
    saved(path)
    before, model = path.read_bytes(), core()
    (model.first_memory if where == "first_memory" else model.params[where]).flat[-1] = value
    with pytest.raises(ValueError, match=f"finite.*{where}"):
        save_checkpoint(path, model)
    assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 1


KILLED = """
import sys, time
from rrnn.checkpoints import replacing
with replacing({path!r}) as file:
    file.write(b"half")
    file.flush()
    print("writes", flush=True)
    time.sleep(60)
"""


def half_written(path):
    """A process in the middle of writing path."""
    code, root = KILLED.format(path=str(path)), Path(models.__file__).parent.parent
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=root)
    assert process.stdout.readline()
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is taken away there")
def test_what_a_killed_process_left_is_taken_away(path):
    """By the next one that writes the same file; not what another is writing at that time, nor the
    files of others."""
    other, similar = path.with_name("other.npz"), path.parent / f".{path.name}.notes.part"
    similar.write_text("a reader's own")
    killed, lives, apart = (half_written(name) for name in (path, path, other))
    try:
        for process in (killed, apart):
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert len(list(path.parent.iterdir())) == 4
        save_checkpoint(path, lstm())
        left = sorted(file.name for file in path.parent.glob(".*"))
        assert len(left) == 3 and similar.name in left
        assert [name.split(".npz.")[0] for name in left] == [".model", ".model", ".other"]
    finally:
        lives.kill()
        lives.wait()
    save_checkpoint(path, lstm())
    save_checkpoint(other, lstm())
    found = sorted(file.name for file in path.parent.iterdir())
    assert found == [similar.name, "model.npz", "other.npz"]


def test_a_file_taken_for_a_leftover_before_it_is_locked_is_made_again(path, monkeypatch):
    """Between its making and its lock, another writer may take a new file away."""
    if checkpoints.fcntl is None:
        pytest.skip("there are no locks")
    flock, taken = checkpoints.fcntl.flock, []

    def late(file, how):
        if not taken:
            taken.append(os.unlink(file.name))
        return flock(file, how)

    monkeypatch.setattr(checkpoints.fcntl, "flock", late)
    model = saved(path)
    assert taken and [file.name for file in path.parent.iterdir()] == [path.name]
    np.testing.assert_array_equal(load_checkpoint(path)[0].flat, model.flat)


@pytest.mark.parametrize("lock", ["none", "refused"])
def test_where_there_are_no_locks(path, monkeypatch, lock):
    """As on Windows, or on some shared disks: all goes as before, and nothing is taken away."""

    def refuse(file, how):
        raise OSError("no locks available")

    if lock == "none":
        monkeypatch.setattr(checkpoints, "fcntl", None)
    elif checkpoints.fcntl:
        monkeypatch.setattr(checkpoints.fcntl, "flock", refuse)
    left = path.with_name(f".{path.name}.{'0' * 32}.part")
    left.write_bytes(b"half")
    model = saved(path)
    np.testing.assert_array_equal(load_checkpoint(path)[0].flat, model.flat)
    assert sorted(file.name for file in path.parent.iterdir()) == [left.name, path.name]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_stays_a_link(path):
    """What is written goes to where it leads."""
    target = path.parent / "deep" / "target.npz"
    target.parent.mkdir()
    path.symlink_to(target)
    for dangling in (True, False):
        assert target.exists() != dangling
        model = saved(path, core(seed=int(dangling)))
        assert path.is_symlink() and not target.is_symlink()
        np.testing.assert_array_equal(load_checkpoint(target)[0].flat, model.flat)
    assert sorted(file.name for file in path.parent.rglob("*")) == ["deep", path.name, "target.npz"]


def test_saves_from_many_threads_leave_one_whole_file(path):
    models_of = [core(seed=seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda model: save_checkpoint(path, model), models_of * 5))
    flat = load_checkpoint(path)[0].flat
    assert any(np.array_equal(flat, model.flat) for model in models_of)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "thing", [None, "model", {"W": np.zeros(2)}, RelationalMemory(2, 4, 2)], ids=str
)
def test_only_models_are_saved(path, thing):
    with pytest.raises(TypeError, match="model"):
        save_checkpoint(path, thing)
    assert not list(path.parent.iterdir())


# --- Bad files -------------------------------------------------------------------------------
def test_a_missing_file(path):
    with pytest.raises(FileNotFoundError):
        load_checkpoint(path)


def test_a_folder(tmp_path):
    refused(tmp_path)


@pytest.mark.parametrize("share", [0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.999])
def test_truncated(path, share):
    saved(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path)


def test_damaged_in_any_place(path):
    """One byte changed: the right error, or (where the byte means nothing) the right parameters;
    nothing else."""
    model = saved(path)
    whole = path.read_bytes()
    rng, harmless = np.random.default_rng(0), 0
    some = rng.choice(len(whole), 150, replace=False)
    for place in [*some, *range(60), *range(len(whole) - 150, len(whole))]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            loaded, extra = load_checkpoint(path)
        except CheckpointError:
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
    "head is empty": npz(head=np.array("{}")),
    "head is another format": npz(head=np.array('{"format": "x"}')),
    "head is deep": npz(head=np.array("[" * 100_000)), "zip": zipped(a=b"text"),
    "empty zip": zipped(),
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
    load_checkpoint(path)  # written again as it was: fine
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
    load_checkpoint(path)
    rewrite(path, BAD_HEADS[name])
    refused(path)


def test_checkpoint_error_is_a_value_error():
    assert issubclass(CheckpointError, ValueError)
