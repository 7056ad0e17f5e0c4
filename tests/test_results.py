"""The stored runs in notebooks/results: the weights are the ones described, and score what is said of them."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import run_experiments

import rrnn_helpers as rh

RESULTS = Path(__file__).resolve().parent.parent / "notebooks" / "results"
WEIGHTS = sorted(RESULTS.glob("[!.]*.npz"))


def record_of(weights):
    return json.loads(weights.with_suffix(".json").read_text())


def test_every_run_is_there():
    runs = [run for name in run_experiments.EXPERIMENTS for run in run_experiments.reported(RESULTS, name)]
    assert sorted(runs) == sorted(path.stem for path in WEIGHTS)


@pytest.mark.parametrize("weights", WEIGHTS, ids=lambda path: path.stem)
def test_weights_score_what_is_said(weights):
    record = record_of(weights)
    model, _ = rh.load_checkpoint(weights)
    assert hashlib.sha256(model.flat.tobytes()).hexdigest() == record["sha256"]
    assert model.flat.size == record["parameters"]
    kind, sizes = record["experiment"]["task"]
    task, said = getattr(rh, kind)(**sizes), record["test"]
    inputs, targets = getattr(task, "largest", task).sample(5000, np.random.default_rng(77))
    outputs = model.forward(inputs)[:, -targets.shape[1] :]
    # both are samples, of 10,000 examples then and of 5,000 now: four standard errors of their difference
    if task.target_kind == "number":
        squares = ((outputs - targets) ** 2).mean(axis=(1, 2))
        found, expected, spread = squares.mean(), said["error"] ** 2, squares.std()
    else:
        asked = targets != -1
        right = (outputs.argmax(axis=-1) == targets) & asked
        found, expected = right.sum() / asked.sum(), said["accuracy"]
        spread = (right.sum(axis=1) - found * asked.sum(axis=1)).std() / asked.sum(axis=1).mean()
    assert abs(found - expected) < 4 * spread * np.sqrt(1 / 10_000 + 1 / 5000) + 1e-3


def test_described_runs_are_the_ones_in_the_tool():
    for name in run_experiments.EXPERIMENTS:
        for run, planned in (run_experiments.searches(name) | run_experiments.reported(RESULTS, name)).items():
            assert json.loads((RESULTS / f"{run}.json").read_text())["experiment"] == json.loads(json.dumps(planned))


def test_a_short_run_comes_out_again(capsys):
    """The first evaluation of a stored curve, trained anew: the same to rounding, or by chance nearly so elsewhere."""
    name = "nth_farthest_3x2_core_seed1"
    run_experiments.check(RESULTS, {name: run_experiments.reported(RESULTS, "nth_farthest_3x2_core")[name]})
    then, now = map(float, re.findall(r"loss ([\d.]+) then, ([\d.]+) now", capsys.readouterr().out)[0])
    assert abs(then - now) < 0.02
