"""Gathering: what was made becomes lines, once, and never silently another line."""

import json

import gather_runs
import pytest
from gather_runs import gather

import rrnn_helpers as rh

SMALL = {
    "task": ("NthFarthest", {"num_vectors": 2, "num_dims": 2}),
    "model": ("LSTM", {"hidden_size": 4}),
    "train": {"steps": 2, "batch_size": 8, "eval_every": 1, "eval_examples": 20, "seed": 1},
}


@pytest.fixture
def folders(tmp_path):
    """A working folder with two runs, and one for results."""
    work, results = tmp_path / "work", tmp_path / "results"
    work.mkdir(), results.mkdir()
    other = SMALL | {"train": SMALL["train"] | {"seed": 2}}
    rh.run_experiments({"b": SMALL, "a": other}, folder=work, progress=False)
    return work, results


def text(results):
    return (results / "runs.jsonl").read_text()


def test_runs_become_lines_in_the_order_of_their_names(folders):
    work, results = folders
    assert gather(work, results) == ["runs.jsonl"]
    assert [line[:11] for line in text(results).splitlines()] == ['{"name": "a', '{"name": "b']
    assert rh.load_records(results) == rh.load_records(work)
    assert not (results / "weights").exists()


def test_gathering_twice_changes_nothing(folders):
    work, results = folders
    gather(work, results, "*")
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    assert gather(work, results, "*") == []
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*")} == before


def test_what_is_stored_stays(folders):
    work, results = folders
    gather(work, results)
    (work / "b.json").rename(work / "c.json")
    stored = rh.load_records(results)
    gather(work, results)
    assert rh.load_records(results) == stored | {"c": stored["b"]}


def test_a_run_with_other_content_is_refused_unless_it_is_to_replace(folders):
    work, results = folders
    gather(work, results)
    before, record = text(results), json.loads((work / "b.json").read_text())
    (work / "b.json").write_text(json.dumps(record | {"parameters": 0}))
    (work / "a.json").rename(work / "c.json")
    with pytest.raises(ValueError, match="runs.jsonl has b with other content; --replace"):
        gather(work, results, "*")
    assert text(results) == before and not (results / "weights").exists()
    gather(work, results, replace=True)
    records = rh.load_records(results)
    assert list(records) == ["a", "b", "c"] and records["b"]["parameters"] == 0


def test_only_the_weights_asked_for_are_kept(folders):
    work, results = folders
    assert gather(work, results, "b") == ["runs.jsonl", "b.npz"]
    model, _ = rh.load_checkpoint(results / "weights" / "b.npz")
    assert rh.evaluate(model, rh.NthFarthest(2, 2)) == rh.load_records(results)["b"]["test"]


def test_weights_of_another_run_are_refused(folders):
    work, results = folders
    (work / "a.npz").rename(work / "b.npz")
    with pytest.raises(ValueError, match="b.npz has not the weights of its record"):
        gather(work, results, "*")
    assert not any(results.iterdir())


def test_the_command_line(folders, monkeypatch, capsys):
    work, results = folders
    monkeypatch.setattr(gather_runs, "RESULTS", results)
    monkeypatch.setattr("sys.argv", ["gather_runs.py", str(work), "--weights", "a"])
    assert gather_runs.main() == 0 and "runs.jsonl, a.npz" in capsys.readouterr().out
    assert gather_runs.main() == 0 and "nothing new" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["gather_runs.py", str(work / "nowhere")])
    assert "nowhere" in gather_runs.main()
