"""The ladder tool: rungs are left when they are learnt, stored with their scores, and taken up
where they were left."""

import hashlib
import json

import numpy as np
import pytest
import run_ladder

import rrnn_helpers as rh
from rrnn.training import Run


@pytest.fixture
def small(monkeypatch):
    """Three rungs of which the first two are passed at once, and a model that is trained in a
    second."""
    monkeypatch.setattr(run_ladder, "LABELS", 3)
    monkeypatch.setattr(run_ladder, "DIMS", 2)
    monkeypatch.setattr(run_ladder, "RUNGS", [(2, 1, 0.01), (2, 2, 0.01), (3, 2, None)])
    monkeypatch.setattr(run_ladder, "MODELS", {"lstm": ("LSTM", {"hidden_size": 4}, 1e-3)})
    monkeypatch.setattr(run_ladder, "TRAIN", run_ladder.TRAIN | {"batch_size": 4})
    monkeypatch.setattr(run_ladder, "SAVE_EVERY", 50)


@pytest.fixture
def clock(monkeypatch):
    """A clock that counts steps until clock(step, hours) makes it show those hours."""
    jump = {}
    advance = Run.advance

    def take_a_step(run):
        advance(run)
        run.seconds = 3600 * jump.get(run.step, 0) or 0.01 * run.step
        assert run.step < 1000

    monkeypatch.setattr(Run, "advance", take_a_step)
    return lambda step, hours: jump.update({step: hours})


def test_a_climb(small, tmp_path, capsys, clock):
    clock(60, hours=1)  # on the first rung
    run_ladder.climb("lstm", 1, tmp_path)
    (row,) = json.loads((tmp_path / "ladder_lstm.json").read_text())["rungs"]
    found = [row[what] for what in ("vectors", "dims", "steps", "examples", "passed")]
    assert found == [2, 1, 60, 240, False]
    clock(270, hours=2)
    run_ladder.climb("lstm", 2, tmp_path)
    record = json.loads((tmp_path / "ladder_lstm.json").read_text())
    rungs = record["rungs"]
    left = [(2, 1, True), (2, 2, True), (3, 2, False)]
    assert [(r["vectors"], r["dims"], r["passed"]) for r in rungs] == left
    first, second, third = (r["steps"] for r in rungs)
    # a stage takes about 100 steps
    assert 95 < first < 105 and second == 2 * first and third == 270
    model, _ = rh.load_checkpoint(tmp_path / "ladder_lstm.npz")
    assert hashlib.sha256(model.flat.tobytes()).hexdigest() == rungs[-1]["sha256"]
    assert rh.load_records(tmp_path)["ladder_lstm"]["sha256"] == rungs[-1]["sha256"]
    assert rh.evaluate(model, run_ladder.rung_task(2)) == rungs[-1]["test"]
    assert len(rungs[-1]["by_n"]) == 3 and "3 x 2" in capsys.readouterr().out


def test_an_interrupted_climb_goes_on_to_the_same_weights(small, tmp_path, clock, monkeypatch):
    clock(270, hours=1)
    folders = [tmp_path / name for name in ("whole", "interrupted")]
    for folder in folders:
        folder.mkdir()
    run_ladder.climb("lstm", 1, folders[0])
    advance = Run.advance

    def stop_at_130(run):
        if run.step == 130:  # the last save was where the first rung was left
            raise KeyboardInterrupt
        advance(run)

    monkeypatch.setattr(Run, "advance", stop_at_130)
    with pytest.raises(KeyboardInterrupt):
        run_ladder.climb("lstm", 1, folders[1])
    monkeypatch.setattr(Run, "advance", advance)
    run_ladder.climb("lstm", 1, folders[1])
    whole, interrupted = (rh.load_records(folder)["ladder_lstm"] for folder in folders)
    assert whole == interrupted and len(whole["rungs"]) == 3


def test_a_rung_is_scored_at_the_step_that_leaves_it(small, tmp_path, clock):
    """The weights are those of rrnn_helpers.train after as many steps."""
    clock(270, hours=1)
    run_ladder.climb("lstm", 1, tmp_path)
    rungs = json.loads((tmp_path / "ladder_lstm.json").read_text())["rungs"]
    task, stages = run_ladder.rung_task(-1), [(run_ladder.rung_task(i), 0.01) for i in range(2)]
    for rung in rungs:
        model = rh.LSTM(task.input_size, 4, task.output_size, seed=run_ladder.TRAIN["seed"])
        arguments = run_ladder.TRAIN | {"learning_rate": 1e-3, "curriculum": stages}
        rh.train(model, task, rung["steps"], progress=False, **arguments)
        assert hashlib.sha256(model.flat.tobytes()).hexdigest() == rung["sha256"]


def test_a_stored_climb_is_not_overwritten(small, tmp_path, clock, monkeypatch, capsys):
    clock(60, hours=1)
    run_ladder.climb("lstm", 1, tmp_path)
    (tmp_path / ".ladder_lstm.part.npz").unlink()  # as in a fresh clone
    before = (tmp_path / "ladder_lstm.json").read_text()
    arguments = ["lstm", "--hours", "2", "--fresh", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["run_ladder.py", *arguments])
    with pytest.raises(SystemExit):
        run_ladder.main()
    assert "--fresh" in capsys.readouterr().err
    assert (tmp_path / "ladder_lstm.json").read_text() == before


def test_accuracy_by_n_is_that_of_each_n(small):
    """A model that always says 0, on examples counted by hand."""
    task = run_ladder.rung_task(1)
    model = rh.LSTM(task.input_size, 4, task.output_size)
    model.flat[:] = 0
    model.params["b_out"][0] = 1
    inputs, targets = task.sample(500, np.random.default_rng(1))
    # two of three labels: n = 1 at index 1
    n = np.array([row[2 + 3 : 2 + 6].tolist().index(1) - 1 for row in inputs[:, 0]])
    shares = [(targets[n == wanted, 0] == 0).mean() for wanted in (0, 1)]
    assert run_ladder.by_n(model, task, 500, 1) == pytest.approx(shares, abs=1e-4)
