"""The stored runs in notebooks/results: the weights are the ones described, and score what is said of them."""

import hashlib
import json
import re
from pathlib import Path

import benchmark_models
import numpy as np
import pytest
import run_experiments
import run_ladder
from scipy.stats import binomtest

import rrnn_helpers as rh

RESULTS = Path(__file__).resolve().parent.parent / "notebooks" / "results"
LADDER = sorted(RESULTS.glob("ladder_*"))
WEIGHTS = sorted(set(RESULTS.glob("[!.]*.npz")) - set(LADDER))
RUNS = {  # every stored run of the tool: what it is made of
    run: planned
    for name in run_experiments.EXPERIMENTS
    for stage in (run_experiments.searches, run_experiments.reported)
    for run, planned in stage(RESULTS, name).items()
}


def record_of(weights):
    return json.loads(weights.with_suffix(".json").read_text())


def test_every_run_is_there_and_no_other():
    records = set(RESULTS.glob("*.json")) - {*LADDER, benchmark_models.STORED}
    assert sorted(RUNS) == sorted(path.stem for path in records)
    kept = [run for run, planned in RUNS.items() if planned.get("weights", True)]
    assert sorted(kept) == sorted(path.stem for path in WEIGHTS)


def test_results_are_not_too_much_to_download():
    assert sum(path.stat().st_size for path in RESULTS.glob("[!.]*")) < 40e6  # without what a run goes on from


@pytest.mark.parametrize("run", RUNS)
def test_record_is_of_the_run_in_the_tool(run):
    """What the tool would run now is what was run; its curve is whole."""
    record = json.loads((RESULTS / f"{run}.json").read_text())
    assert record["experiment"] == json.loads(json.dumps(RUNS[run]))
    curve, arguments = record["curve"], record["experiment"]["train"]
    assert curve["step"][-1] == arguments["steps"]
    assert curve["examples"] == [step * arguments["batch_size"] for step in curve["step"]]
    assert np.all(np.diff(curve["seconds"]) > 0) and np.all(np.diff(curve["stage"]) >= 0)
    assert len({len(column) for column in curve.values()}) == 1


@pytest.mark.parametrize("name", run_experiments.EXPERIMENTS)
def test_learning_rate_is_the_one_the_search_chose(name):
    """Worked out from the files: the lowest loss at the end of the runs on the seed that is not reported."""
    entry = run_experiments.EXPERIMENTS[name]
    records = rh.load_records(RESULTS, f"{entry.get('rate_of', name)}_search_*").values()
    losses = {record["experiment"]["train"]["learning_rate"]: record["test"]["loss"] for record in records}
    assert len(losses) >= (2 if "near" in entry else 5)
    assert all(record["experiment"]["train"]["seed"] not in run_experiments.SEEDS for record in records)
    for record in rh.load_records(RESULTS, f"{name}_seed?").values():
        assert record["experiment"]["train"]["learning_rate"] == min(losses, key=losses.get)


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
        spread = max(spread, np.sqrt(expected * (1 - expected)))  # a sample without a mistake has none
    assert abs(found - expected) < 4 * spread * np.sqrt(1 / 10_000 + 1 / 5000) + 1e-3


def test_the_start_of_a_run_comes_out_again(capsys):
    """The first evaluation of a stored curve, trained anew: the same to rounding, or by chance nearly so elsewhere."""
    name = "nth_farthest_3x2_core_seed1"
    run_experiments.check(RESULTS, {name: run_experiments.reported(RESULTS, "nth_farthest_3x2_core")[name]})
    then, now = map(float, re.findall(r"loss ([\d.]+) then, ([\d.]+) now", capsys.readouterr().out)[0])
    assert abs(then - now) < 0.02


def test_a_short_run_comes_out_again_whole():
    """Trained anew from its record alone: the same start of the curve, and what it reaches is within chance of what it
    reached then; rounding may part the two in between."""
    record = record_of(RESULTS / "sorting_core_seed1.npz")
    again = rh.run_experiments({"again": record["experiment"]}, progress=False)["again"]
    assert abs(again["curve"]["loss"][0] - record["curve"]["loss"][0]) < 0.05
    right, asked = 60_000 * again["test"]["accuracy"], 60_000  # 10,000 examples of six answers
    low, high = binomtest(round(right), asked).proportion_ci(0.999)
    assert low - 2e-3 < record["test"]["accuracy"] < high + 2e-3


@pytest.fixture(params=run_ladder.MODELS)
def ladder(request):
    """(name, record) of a climb. Both are stored, however many rungs are in them."""
    return request.param, json.loads((RESULTS / f"ladder_{request.param}.json").read_text())


def test_the_ladder_is_climbed_rung_by_rung(ladder):
    name, record = ladder
    kind, sizes, rate = run_ladder.MODELS[name]
    rungs = record["rungs"]
    assert record["model"] == json.loads(json.dumps([kind, sizes]))
    assert record["train"] == run_ladder.TRAIN | {"learning_rate": rate}
    assert [(row["vectors"], row["dims"], row["bound"]) for row in rungs] == run_ladder.RUNGS[: len(rungs)]
    assert all(row["passed"] for row in rungs[:-1]) and rungs[-1]["passed"] in (True, False)
    assert [row["examples"] for row in rungs] == [row["steps"] * record["train"]["batch_size"] for row in rungs]
    for column in ("steps", "seconds"):
        assert np.all(np.diff([0] + [row[column] for row in rungs]) > 0)


def test_what_is_said_of_a_rung_fits_together(ladder):
    """The accuracies for each n make up that of all, and the shortcuts are those of the task."""
    for rung, row in enumerate(ladder[1]["rungs"]):
        task, by_n = run_ladder.rung_task(rung), row["by_n"]
        assert row["shortcuts"] == pytest.approx(task.shortcuts(), abs=1e-4)
        assert len(by_n) == task.num_vectors == row["vectors"]
        assert abs(np.mean(by_n) - row["test"]["accuracy"]) < 0.02  # each n is as likely, but not as frequent
        if row["bound"] is not None:
            assert row["bound"] > max(row["shortcuts"].values()) + 0.05  # no shortcut leads up the ladder


def test_weights_of_the_ladder_score_what_is_said(ladder):
    name, record = ladder
    row, task = record["rungs"][-1], run_ladder.rung_task(len(record["rungs"]) - 1)
    model, _ = rh.load_checkpoint(RESULTS / f"ladder_{name}.npz")
    assert hashlib.sha256(model.flat.tobytes()).hexdigest() == row["sha256"]
    now = rh.evaluate(model, task, 5000, seed=77)["accuracy"], *run_ladder.by_n(model, task, 5000, seed=77)
    then, share = (row["test"]["accuracy"], *row["by_n"]), np.array([1] + [row["vectors"]] * row["vectors"])
    # all, then each n: of 10,000 examples then and of 5,000 now; four standard errors of the difference
    spread = np.sqrt(np.maximum(np.multiply(then, np.subtract(1, then)), 0.005) * share * (1 / 10_000 + 1 / 5000))
    assert np.all(np.abs(np.subtract(now, then)) < 4 * spread)


def test_times_of_both_kernels_are_of_all_models():
    times = json.loads(benchmark_models.STORED.read_text())
    asked = {setting: set(models) for setting, (_, models) in benchmark_models.contestants().items()}
    assert list(times) == list(benchmark_models.KERNELS)
    for of in times.values():
        assert {setting: set(models) for setting, models in of.items()} == asked
        assert all(0.1 < ms < 1000 for models in of.values() for ms in models.values())


def test_times_are_refused_when_the_matrix_products_are_others():
    with pytest.raises(SystemExit, match="should be OpenBLAS's for Nehalem-not, got"):
        benchmark_models.check_kernel("Nehalem-not")
