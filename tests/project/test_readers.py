"""Every reader of a file, given a truncated, an empty, a foreign and a missing one: the error that
it promises, which names the file; and the file is left as it was."""

import json

import gather_runs
import numpy as np
import pytest
import run_babi
import run_climb
import run_ladder
import study

import rrnn_helpers as rh
from rrnn.checkpoints import CheckpointError, load_checkpoint, save_checkpoint
from rrnn.training import train

TASK = rh.NthFarthest(2, 2)
RECORD = {"sha256": "0", "rungs": [], "looks": [[1, 1.0]], "parameters": 1}
PART = {"step": 1, "seconds": 1.0, "looks": [[1, 1.0, 0, 0.5, 0.5]]}  # of an unfinished run


def model():
    return rh.LSTM(TASK.input_size, 4, TASK.output_size)


def trained(path):
    return train(model(), TASK, 2, batch_size=8, eval_examples=20, progress=False, checkpoint=path)


def lines(path):
    path.write_text("".join(json.dumps({"name": name} | RECORD) + "\n" for name in "ab"))


def record(path):
    path.write_text(json.dumps(RECORD))


def part(path):
    save_checkpoint(path, model(), PART)


def climb(path):
    spec = run_climb.spec(["LSTM", {"hidden_size": 4}], 1e-3, 1, 128, rungs=[(2, 2, None)])
    return run_climb.climb(path.name.removesuffix(".part.npz"), spec, path.parent)


def weights(path):
    """Those of a run, beside its record."""
    sha = "0" * 64
    path.with_suffix(".json").write_text(json.dumps(RECORD | {"sha256": sha}))
    save_checkpoint(path, model())


def gather_weights(path):
    return gather_runs.gather(path.parent, path.parent / "into", weights="*")


# reader: the file's name, how a good one is made, how it is read, and the errors for a damaged file
# and for none: no error where it means that nothing was made yet
Damaged, Missing, V = CheckpointError, FileNotFoundError, ValueError
READERS = {
    "load_checkpoint": ("a.npz", lambda p: save_checkpoint(p, model()), load_checkpoint, Damaged,
                        Missing),
    "train": ("a.npz", trained, trained, Damaged, None),
    "lines of records": ("runs.jsonl", lines, lambda p: rh.load_records(p.parent), V, V),
    "one record": ("a.json", record, lambda p: rh.load_records(p.parent), V, V),
    "gather_runs, lines": ("runs.jsonl", lines, lambda p: gather_runs.gather(p.parent, p.parent),
                           V, V),
    "gather_runs, weights": ("a.npz", weights, gather_weights, Damaged, None),
    "study.load": ("a.json", record, lambda p: study.load(p.parent, "a"), V, None),
    "study.stored": ("a.json", record, lambda p: study.stored(p.parent), V, None),
    "run_climb.under_way": ("a.part.npz", part, lambda p: run_climb.under_way(p.parent, "a"),
                            Damaged, None),
    "study.part_of_experiment": (".a.part.npz", part,
                                 lambda p: study.part_of_experiment(p.parent, "a"), Damaged, None),
    "run_babi.under_way": ("a.part.npz", part, lambda p: run_babi.under_way(p.parent, "a"),
                           Damaged, None),
    "run_climb.climb": ("a.part.npz", part, climb, Damaged, None),
    "run_ladder.climb": ("ladder_lstm.json", record,
                         lambda p: run_ladder.climb("lstm", 1e-12, p.parent), V, None),
}  # fmt: skip
each_reader = pytest.mark.parametrize("name", READERS)


@pytest.fixture
def reader(name, tmp_path, monkeypatch):
    """A file that was read well, and what reads it."""
    name, make, read, damaged, missing = READERS[name]
    folder = tmp_path / "work" / "unfinished"
    folder.mkdir(parents=True)
    lines(tmp_path / "work" / "runs.jsonl")
    monkeypatch.setattr(study, "WORK", folder)
    monkeypatch.setattr(run_ladder, "row", lambda run, rung: pytest.fail("it went on"))
    make(folder / name)
    return folder / name, read, damaged, missing


def refused(path, read, error):
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(error) as caught:
        read(path)
    where = path if path.exists() else path.parent
    assert str(where) in str(caught.value)
    assert type(caught.value) in (ValueError, CheckpointError, FileNotFoundError)
    assert (path.read_bytes() if path.exists() else None) == before


HARMS = {
    "truncated": lambda whole: whole[: 2 * len(whole) // 3], "empty": lambda whole: b"",
    "one byte": lambda whole: whole[:1],
    "a picture": lambda whole: b"\x89PNG\r\n\x1a\n" + bytes(99),
    "other JSON": lambda whole: b'{"AVX2": 1}', "a list": lambda whole: b"[1, 2]",
    "not UTF-8": lambda whole: b'{"sha256": "\xff"}',
}  # fmt: skip


@pytest.mark.parametrize("harm", HARMS)
@each_reader
def test_a_damaged_or_foreign_file(reader, harm):
    path, read, damaged, _ = reader
    path.write_bytes(HARMS[harm](path.read_bytes()))
    refused(path, read, damaged)


@each_reader
def test_a_folder_in_the_place_of_the_file(reader):
    path, read, _, _ = reader
    path.unlink()
    path.mkdir()
    with pytest.raises((ValueError, OSError)) as caught:
        read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", [name for name in READERS if READERS[name][-1]])
def test_a_missing_file(reader):
    path, read, _, missing = reader
    path.unlink()
    refused(path, read, missing)


def foreign_arrays(path):
    np.savez(path, weights=np.zeros(3))


def other_checkpoint(path):
    save_checkpoint(path, rh.LSTM(3, 2, 2), {"note": 1})


@pytest.mark.parametrize("make", [foreign_arrays, other_checkpoint])
@pytest.mark.parametrize(
    "name", [name for name in READERS if READERS[name][3] is Damaged and name != "load_checkpoint"]
)
def test_a_checkpoint_of_something_else(reader, make):
    path, read, _, _ = reader
    make(path)
    refused(path, read, ValueError)


@pytest.mark.parametrize(
    "change",
    [{"step": None}, {"step": "2"}, {"step": -1}, {"stage": 1}, {"stage": 0.5}, {"seconds": "1"},
     {"running": [1.0]}, {"running": 3}, {"rows": [[1, 2]]}, {"rows": 3}, {"rows": [1]},
     {"rng": {}}, {"rng": {"bit_generator": "MT19937"}}, {"adam_count": 1.5},
     {"adam_mean": np.zeros(3)}, {"adam_square": None}, {"adam_square": 5}],
    ids=str,
)  # fmt: skip
def test_a_checkpoint_with_half_of_a_run(tmp_path, change):
    """Of the right run, but something is missing or of the wrong kind: the model stays as it is."""
    path, untouched = tmp_path / "a.npz", model()
    trained(path)
    saved, extra = load_checkpoint(path)
    extra |= change
    save_checkpoint(path, saved, {key: value for key, value in extra.items() if value is not None})
    given = model()
    with pytest.raises(CheckpointError, match="no run to go on from") as caught:
        train(given, TASK, 2, batch_size=8, eval_examples=20, progress=False, checkpoint=path)
    assert str(path) in str(caught.value)
    np.testing.assert_array_equal(given.flat, untouched.flat)


def test_a_record_of_another_study_is_named(capsys):
    with pytest.raises(ValueError, match="record of a is of another study: it lacks 'rungs'"):
        study.show({"a": None}, {"a": {"sha256": "0"}}, None, run_climb.describe)


def test_a_record_without_rungs_is_named(tmp_path):
    (tmp_path / "ladder_lstm.json").write_text('{"sha256": "0"}')
    with pytest.raises(ValueError, match="ladder_lstm.json is no record of a climb"):
        run_ladder.climb("lstm", 1e-12, tmp_path)


def test_the_command_line_of_gather_runs_says_which_file(tmp_path, monkeypatch):
    (tmp_path / "a.json").write_text('{"sha')
    monkeypatch.setattr("sys.argv", ["gather_runs.py", str(tmp_path)])
    said = gather_runs.main()
    assert said.startswith("error: ") and str(tmp_path / "a.json") in said
