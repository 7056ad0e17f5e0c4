"""The ladder tool: rungs are left when they are learnt, stored with their scores, and taken up where they were left."""

import hashlib
import json

import numpy as np
import pytest
import run_ladder

import rrnn_helpers as rh


@pytest.fixture
def small(monkeypatch):
    """Three rungs of which the first two are passed at once, and a model that is trained in a second."""
    monkeypatch.setattr(run_ladder, "LABELS", 3)
    monkeypatch.setattr(run_ladder, "DIMS", 2)
    monkeypatch.setattr(run_ladder, "RUNGS", [(2, 1, 0.01), (2, 2, 0.01), (3, 2, None)])
    monkeypatch.setattr(run_ladder, "MODELS", {"lstm": ("LSTM", {"hidden_size": 4}, 1e-3)})
    monkeypatch.setattr(run_ladder, "TRAIN", {"batch_size": 4, "eval_every": 50, "seed": 1})
    monkeypatch.setattr(run_ladder, "CHUNK", 50)


def test_a_climb(small, tmp_path, capsys, monkeypatch):
    run_ladder.climb("lstm", 1e-9, tmp_path)  # out of time after 50 steps, on the first rung
    (row,) = json.loads((tmp_path / "ladder_lstm.json").read_text())["rungs"]
    assert (row["vectors"], row["dims"], row["steps"], row["examples"], row["passed"]) == (2, 1, 50, 200, False)
    hours = iter([0.0, 0.0, 0.0, 0.0, 1.0])  # then five looks at the clock

    def train(*arguments, real=rh.train, **options):
        history = real(*arguments, **options)
        history.seconds[-1] = 3600 * next(hours)
        return history

    monkeypatch.setattr(rh, "train", train)
    run_ladder.climb("lstm", 1, tmp_path)
    record = json.loads((tmp_path / "ladder_lstm.json").read_text())
    rungs = record["rungs"]
    assert [(r["vectors"], r["dims"], r["passed"]) for r in rungs] == [(2, 1, True), (2, 2, True), (3, 2, False)]
    assert [r["steps"] for r in rungs] == [100, 200, 300]  # a stage takes at least 100 steps
    model, _ = rh.load_checkpoint(tmp_path / "ladder_lstm.npz")
    assert hashlib.sha256(model.flat.tobytes()).hexdigest() == rungs[-1]["sha256"]
    assert rh.evaluate(model, run_ladder.rung_task(2)) == rungs[-1]["test"]
    assert len(rungs[-1]["by_n"]) == 3 and "3 x 2" in capsys.readouterr().out


def test_accuracy_by_n_is_that_of_each_n(small):
    """A model that always says 0, on examples counted by hand."""
    task = run_ladder.rung_task(1)
    model = rh.LSTM(task.input_size, 4, task.output_size)
    model.flat[:] = 0
    model.params["b_out"][0] = 1
    inputs, targets = task.sample(500, np.random.default_rng(1))
    n = [row[2 + 3 : 2 + 6].tolist().index(1) - 1 for row in inputs[:, 0]]  # two of three labels: n = 1 at index 1
    shares = [np.mean([t == 0 for t, i in zip(targets[:, 0], n) if i == wanted]) for wanted in (0, 1)]
    assert run_ladder.by_n(model, task, 500, 1) == pytest.approx(shares, abs=1e-4)
