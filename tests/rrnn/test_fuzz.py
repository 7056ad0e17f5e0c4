"""What comes from outside may be anything: checkpoints, records of runs, texts of programs. Each
reader returns what it promises, or raises what it promises; it writes nothing and executes
nothing."""

import functools
import io
import json
import os
import sys
import tempfile
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models import MODELS, make

from rrnn.checkpoints import CheckpointError, load_checkpoint, save_checkpoint
from rrnn.experiments import load_records
from rrnn.tasks import ProgramEvaluation
from rrnn.tasks.base import one_hot

fuzz = settings(max_examples=150, deadline=None, derandomize=True, database=None,
                suppress_health_check=[*HealthCheck])  # fmt: skip

# --- What a reader must not do ---------------------------------------------------------------
FORBIDDEN = ("exec", "pickle.find_class", "os.system", "os.exec", "os.spawn", "os.posix_spawn",
             "subprocess.Popen", "os.remove", "os.rename", "os.mkdir", "import", "socket.connect",
             "shutil.")  # fmt: skip
seen, watching = [], False


def hear(event, arguments):
    """What Python says that it is about to do."""
    if watching:
        writes = event == "open" and (set(str(arguments[1])) & {*"wax+"} or
                                      (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR))  # fmt: skip
        if writes or event.startswith(FORBIDDEN):
            seen.append((event, arguments))


sys.addaudithook(hear)


@contextmanager
def harmless():
    """Fails if anything is executed, imported, started or written."""
    global watching
    seen.clear()
    watching = True
    try:
        yield
    finally:
        watching = False
    assert not seen


class Bomb:
    """Unpickling it is heard."""

    def __reduce__(self):
        return os.system, ("true",)


def test_what_is_forbidden_is_heard(tmp_path):
    for deed in (
        lambda: open(tmp_path / "a", "w").close(), lambda: exec("1"),
        lambda: np.load(io.BytesIO(objects), allow_pickle=True), lambda: os.unlink(tmp_path / "a"),
    ):  # fmt: skip
        with pytest.raises(AssertionError), harmless():
            deed()
    with harmless():
        json.loads("[1]")


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


objects = npy(np.array([Bomb()], dtype=object))


# --- Checkpoints -----------------------------------------------------------------------------
@functools.cache
def checkpoint(name):
    """The members {name: bytes} of a checkpoint of a model, and how many parameters it has."""
    model = make(name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.npz")
        save_checkpoint(path, model, {"array": np.arange(3), "note": "text"})
        with zipfile.ZipFile(path) as archive:
            members = {member: archive.read(member) for member in archive.namelist()}
    return members, model.flat.size


def zipped(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("\0", "0"), data)  # zipfile writes no such name
    return file.getvalue()


def flip(data, at, bit):
    if not data:
        return data
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


places, bits = st.integers(0, 10**6), st.integers(0, 7)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
    | st.sampled_from(["LSTM", "float64", "identity", "__class__", 10**9, 2**63, -1]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)  # fmt: skip
arrays = st.sampled_from([
    objects, npy(np.zeros(3)), npy(np.zeros((3, 4), np.float32)), npy(np.array("text")),
    npy(np.full((3, 3), np.nan)), npy(np.zeros(2, "f8,i4")), b"", b"\x93NUMPY", b"not an array",
    objects[:-5], npy(np.zeros(3)).replace(b"(3,)", b"(9,)"),
    npy(np.zeros(3)).replace(b"'<f8'", b"'|O8'"), npy(np.zeros(3)).replace(b"(3,)", b"f()"),
    npy(np.zeros(3)).replace(b"(3,)", b"{9}"), npy(np.zeros(3)).replace(b"False", b"a.b()"),
])  # fmt: skip
harms = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), places, bits), st.tuples(st.just("cut"), places),
        st.tuples(st.just("flip in a member"), places, places, bits),
        st.tuples(st.just("exchange"), places, arrays),
        st.tuples(st.just("leave out"), places),
        st.tuples(st.just("add"), st.text(min_size=1, max_size=6) | st.sampled_from(
            ["../x.npy", "/x.npy", "head", "extra/a.npy", "params/W_new.npy", "a/", "x.pkl"]
        ), arrays),
        st.tuples(st.just("head"), st.sampled_from(
            ["format", "version", "model", "config", "extra", "more"]), json_values),
        st.tuples(st.just("config"), places, json_values),
    ),
    min_size=1, max_size=3,
)  # fmt: skip


def harmed(members, changes):
    """The bytes of a checkpoint, with its members changed first and its bytes last."""
    members, last = dict(members), []
    for what, *how in changes:
        names = sorted(members) or [""]
        if what in ("flip", "cut"):
            last.append((what, *how))
        elif what == "add":
            members[how[0]] = how[1]
        elif what in ("head", "config"):
            with suppress(Exception):  # harmed beyond reading before
                head = json.loads(str(np.load(io.BytesIO(members["head.npy"]))))
                place = head if what == "head" else head["config"]
                key = how[0] if what == "head" else sorted(place)[how[0] % len(place)]
                place[key] = how[1]
                members["head.npy"] = npy(np.array(json.dumps(head)))
        elif what == "leave out":
            members.pop(names[how[0] % len(names)], None)
        elif what == "exchange":
            members[names[how[0] % len(names)]] = how[1]
        else:
            name = names[how[0] % len(names)]
            members[name] = flip(members.get(name, b""), *how[1:])
    data = zipped(members)
    for what, *how in last:
        data = flip(data, *how) if what == "flip" else data[: how[0] % (len(data) + 1)]
    return data


@fuzz
@given(name=st.sampled_from(list(MODELS)), changes=harms)
def test_load_checkpoint(tmp_path, name, changes):
    """A model, or a CheckpointError with the name of the file."""
    members, size = checkpoint(name)
    path = tmp_path / "model.npz"
    data = harmed(members, changes)
    path.write_bytes(data)
    try:
        with harmless():
            loaded, extra = load_checkpoint(path)
    except CheckpointError as error:
        assert str(path) in str(error)
    else:
        assert isinstance(extra, dict) and np.isfinite(loaded.flat).all()
        assert loaded.flat.size == size
    assert path.read_bytes() == data and len(list(tmp_path.iterdir())) == 1


# --- Records of runs -------------------------------------------------------------------------
record = st.dictionaries(
    st.sampled_from(["name", "sha256", "experiment", "curve"]) | st.text(max_size=3), json_values,
    max_size=4,
).map(json.dumps)  # fmt: skip
GOOD = json.dumps({"name": "a", "sha256": "0", "curve": {"loss": [1.0, 0.5]}})
texts = st.lists(
    (record | st.just(GOOD) | json_values.map(json.dumps)).map(str.encode)
    | st.binary(max_size=9) | st.tuples(st.just(GOOD.encode()), places, bits).map(
        lambda given: flip(*given))
    | st.integers(0, len(GOOD)).map(lambda end: GOOD[:end].encode())
    | st.sampled_from([b"[" * 5000, b'{"sha256":' * 3000, b"9" * 5000, b"\xef\xbb\xbf{}", b"NaN"]),
    max_size=3,
)  # fmt: skip


@fuzz
@given(lines=texts, file=st.sampled_from(["runs.jsonl", "a.json"]))
def test_load_records(tmp_path, lines, file):
    """Records with names of their own, or a ValueError that names the file."""
    folder = tmp_path / "runs"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    data = b"\n".join(lines)
    (folder / file).write_bytes(data)
    try:
        with harmless():
            records = load_records(folder)
    except ValueError as error:
        assert type(error) is ValueError and str(folder) in str(error)
    else:
        assert records and all("sha256" in record for record in records.values())
    assert (folder / file).read_bytes() == data and len(list(folder.iterdir())) == 1


# --- Texts of programs -----------------------------------------------------------------------
PROGRAMS = [
    ProgramEvaluation("add", 2, 3), ProgramEvaluation("control", 2, 2, sizes="fixed"),
    ProgramEvaluation("program", 3, 8), ProgramEvaluation("copy", 1, 4),
    ProgramEvaluation("reverse", 1, 4), ProgramEvaluation("double", 1, 3),
]  # fmt: skip
CHARACTERS = ProgramEvaluation.CHARACTERS
pieces = st.sampled_from([*CHARACTERS, "12", "999", "(", ")", "(1+2)", " if ", ">", " else ", "x=",
                          " for[3] ", "x+=", "{", "4 if 5>6 else 7", "x=1 for[9] x+=2"])
programs = st.lists(pieces, max_size=12).map("".join) | st.text(CHARACTERS, max_size=30)


def encoded(task, text):
    """The inputs that say a text: what is no character is an empty step."""
    text = text[-task.text_steps :].rjust(task.text_steps, "_")
    steps = [CHARACTERS.find(character) for character in text] + [29] * task.answer_steps
    return one_hot(steps, task.input_size)


@fuzz
@given(task=st.sampled_from(PROGRAMS), text=programs)
def test_programs(task, text):
    """An answer of digits, or a ValueError that says which text; words and picture likewise."""
    inputs = encoded(task, text)
    try:
        with harmless():
            (answer,) = task.solve(inputs[None])
            told = task.describe(inputs)
    except ValueError as error:
        assert str(error).startswith(f"inputs must hold texts of {task!r}, got ")
        return
    digits = "".join(map(str, answer[answer != -1]))
    assert digits.endswith("10") and digits[:-2].isdigit() and digits[:-2] in told
    assert answer.shape == (task.answer_steps,)


@fuzz
@given(task=st.sampled_from(PROGRAMS), seed=st.integers(0, 10**6), size=st.floats(-3, 3),
       share=st.floats(0, 1))  # fmt: skip
def test_inputs_that_are_no_one_hots(task, seed, size, share):
    """Any numbers in the place of the steps: what was said of texts holds for them, too."""
    rng = np.random.default_rng(seed)
    inputs = task.sample(2, rng).inputs
    noise = size * rng.normal(size=inputs.shape) * (rng.random(inputs.shape) < share)
    try:
        with harmless():
            answers = task.solve(inputs + noise)
    except ValueError as error:
        assert str(error).startswith("inputs must hold texts of ")
    else:
        assert answers.shape == (2, task.answer_steps) and answers.min() >= -1
        assert answers.max() <= 10
