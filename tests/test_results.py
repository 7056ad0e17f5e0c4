"""The stored runs in notebooks/results: the weights are the ones described, and score what is said of them."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import run_experiments

import rrnn_helpers as rh

RESULTS = Path(__file__).resolve().parent.parent / "notebooks" / "results"
WEIGHTS = sorted(RESULTS.glob("*.npz"))


def record_of(weights):
    return json.loads(weights.with_suffix(".json").read_text())


def test_every_run_is_there():
    missing = [
        name
        for experiment in run_experiments.EXPERIMENTS
        for name in run_experiments.names(experiment)
        if not ((RESULTS / f"{name}.json").exists() and (RESULTS / f"{name}.npz").exists())
    ]
    assert not missing


@pytest.mark.parametrize("weights", WEIGHTS, ids=lambda path: path.stem)
def test_weights_score_what_is_said(weights):
    record = record_of(weights)
    model, _ = rh.load_checkpoint(weights)
    assert hashlib.sha256(model.flat.tobytes()).hexdigest() == record["sha256"]
    assert model.flat.size == record["parameters"]
    name, sizes = record["experiment"]["task"]
    examples, said = 5000, record["test"]["accuracy"]
    found = rh.evaluate(model, getattr(rh, name)(**sizes), examples, seed=77)["accuracy"]
    # both are samples: 10,000 examples then, 5,000 now; four standard errors of their difference
    assert abs(found - said) < 4 * np.sqrt(said * (1 - said) * (1 / 10_000 + 1 / examples)) + 1e-3


def test_described_runs_are_the_ones_in_the_tool():
    for weights in WEIGHTS:
        name, seed = weights.stem.rsplit("_seed", 1)
        record = record_of(weights)
        assert record["experiment"] == json.loads(json.dumps(run_experiments.EXPERIMENTS[name]))
        assert record["train"]["seed"] == int(seed)
        assert record["train"]["learning_rate"] == run_experiments.best_rate(RESULTS, name)


def test_a_short_run_comes_out_again(tmp_path):
    """The first evaluation of a stored curve, trained anew: the same to rounding, or by chance nearly so elsewhere."""
    name = "nth_farthest_3x2_core"
    record = record_of(RESULTS / f"{name}_seed1.npz")
    rate = record["train"]["learning_rate"]
    short = run_experiments.EXPERIMENTS[name] | {"steps": 250}
    run_experiments.run("short", short, rate, 1, tmp_path)
    again = json.loads((tmp_path / "short.json").read_text())["curve"]
    assert again["step"] == [250]
    assert abs(again["score"][0] - record["curve"]["score"][0]) < 0.05
    assert abs(again["loss"][0] - record["curve"]["loss"][0]) < 0.02
