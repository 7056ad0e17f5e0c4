"""The stored runs in notebooks/results: they are the tool's, their weights are the ones described,
and score what is said of them."""

import argparse
import hashlib
import json
import re

import benchmark
import numpy as np
import pytest
import run_babi
import run_climb
import run_experiments
import run_ladder
import run_text
from scipy.stats import binomtest

import rrnn_helpers as rh
from rrnn.experiments import make
from rrnn.training import score_of, scored

RECORDS = rh.load_records(rh.RESULTS)
WEIGHTS = sorted((rh.RESULTS / "weights").glob("*"))
RUNS = {  # every stored run of the tool: what it is made of
    run: planned
    for name in run_experiments.EXPERIMENTS
    for stage in (run_experiments.searches, run_experiments.reported)
    for run, planned in stage(RECORDS, name).items()
} | run_text.plan(RECORDS)
MODELS = rh.Climb.models
CLIMBED = {name for model in MODELS for name in rh.Climb.names(model)}
STUDIES = {  # the same of those that are trained in another way; the sizes of bAbI that are done
    "climb_": {
        name: run
        for name, run in run_climb.plan(RECORDS).items()
        if "_search_" in name or name in CLIMBED
    },
    "babi_": {name: run for name, run in run_babi.plan(RECORDS).items() if "_en_" in name},
}


def test_every_run_is_there_and_no_other():
    assert sorted(RUNS) == [run for run in RECORDS if "experiment" in RECORDS[run]]
    assert {path.name for path in WEIGHTS} <= {f"{run}.npz" for run in RECORDS}


def test_results_are_not_too_much_to_download():
    """But for what a run goes on from, which is gone when it has ended."""
    files = [path for path in rh.RESULTS.rglob("[!.]*") if path.is_file()]
    files = [path for path in files if "unfinished" not in path.parts]
    assert len(files) <= 20
    assert sum(path.stat().st_size for path in files) <= 9.5e6


def test_a_line_is_a_run():
    """By name, which comes first, so that a change of one run is a change of one line."""
    lines = (rh.RESULTS / "runs.jsonl").read_text().splitlines()
    names = [re.match(r'{"name": "([^"]+)", ', line)[1] for line in lines]
    assert names == sorted(set(names)) == list(RECORDS)


@pytest.mark.parametrize("run", RUNS)
def test_record_is_of_the_run_in_the_tool(run):
    """What the tool would run now is what was run; its curve is whole."""
    record = RECORDS[run]
    assert record["experiment"] == json.loads(json.dumps(RUNS[run]))
    _, model, _ = make(record["experiment"])
    assert model.flat.size == record["parameters"]
    curve, arguments = record["curve"], record["experiment"]["train"]
    assert curve["step"][-1] == arguments["steps"]
    assert curve["examples"] == [step * arguments["batch_size"] for step in curve["step"]]
    assert np.all(np.diff(curve["seconds"]) > 0) and np.all(np.diff(curve["stage"]) >= 0)
    assert len({len(column) for column in curve.values()}) == 1


@pytest.mark.parametrize("study", STUDIES)
def test_records_are_of_the_runs_of_a_study(study):
    """Each of them, or of the runs that choose a rate each that was made for the models shown."""
    planned = json.loads(json.dumps(STUDIES[study]))
    stored = {run: record["run"] for run, record in RECORDS.items() if run.startswith(study)}
    shown = {run for run in planned if study != "climb_" or run in CLIMBED}
    shown |= {run for run in planned if run.split("_search")[0][6:] in MODELS}
    assert stored == {run: planned[run] for run in shown}


@pytest.mark.parametrize("name", sorted(CLIMBED))
def test_a_reported_climb_is_whole(name):
    """To its last rung, or to the end of its budget; with looks all the way."""
    record, budget = RECORDS[name], rh.Climb.budget
    rungs, looks = record["rungs"], np.array(record["looks"])
    climbed = [(row["vectors"], row["dims"], row["bound"]) for row in rungs]
    assert climbed == run_climb.RUNGS[: len(rungs)]
    assert all(row["passed"] for row in rungs[:-1])
    last = rungs[-1]
    if last["passed"]:
        assert last["vectors"] == rh.Climb.top and last["examples"] <= budget
    else:
        assert last["examples"] == budget // run_climb.BATCH * run_climb.BATCH
    for column in ("examples", "seconds", "operations"):
        assert np.all(np.diff([0] + [row[column] for row in rungs]) > 0)
    for row in rungs:
        assert row["examples"] == row["steps"] * run_climb.BATCH
        # the running score that passed a bound is that of the last hundred or so batches
        assert not row["passed"] or abs(row["test"]["accuracy"] - row["bound"]) < 0.04
        assert abs(np.mean(row["by_n"]) - row["test"]["accuracy"]) < 0.02
    assert (
        looks[-1, 0] == last["steps"]
        and len(looks) >= 20
        and np.all(np.diff(looks, axis=0)[:, :3] >= 0)
    )


def test_stories_are_counted_whole():
    """Looks as planned, and what was right of the test file is a number of its questions."""
    for name, record in RECORDS.items():
        if name.startswith("babi_"):
            run, looks = record["run"], np.array(record["looks"])
            assert len(looks) == run_babi.LOOKS and looks[-1, 0] == run["steps"]
            assert np.all(looks[:, 1] == looks[:, 0] * run["batch_size"])
            assert np.all(np.diff(looks[:, 2]) > 0)
            assert record["test"]["accuracy"] * 1000 == pytest.approx(
                round(record["test"]["accuracy"] * 1000), abs=1e-3)  # fmt: skip
            kind, sizes = record["sizes"]
            assert kind == run_babi.MODELS[run["model"]][0]


def test_bits_of_a_text_are_those_of_its_weights():
    """Where Python carries the text that the runs were trained on; else near them."""
    found = [name for name in RECORDS if "bits" in RECORDS[name]]
    assert len(found) == len(run_text.MODELS) * len(run_text.SEEDS) + 1  # and the long one
    task = rh.CharacterText(steps=run_text.WINDOW)
    tables = task.table_bits(2)
    for name in found:
        record, path = RECORDS[name], rh.RESULTS / "weights" / f"{name}.npz"
        same = record["source"]["sha256"] == task.source["sha256"]
        said = [record["tables"][str(order)] for order in tables]
        np.testing.assert_allclose(said, list(tables.values()), atol=1e-6 if same else 0.2)
        # a table knows nothing of what lies further back
        assert all(bits < said[2] for bits in record["bits"].values())
        if path in WEIGHTS:
            now = task.bits(rh.load_checkpoint(path)[0], run_text.WINDOW)
            assert abs(now - record["bits"][f"{run_text.WINDOW}"]) < (1e-3 if same else 0.2)


@pytest.mark.parametrize("task", run_experiments.TASKS)
def test_the_comparison_has_what_notebook_07_shows_of_its_weights(task):
    """Scores at the size trained on are those of the test, within chance."""
    for model in run_experiments.MODELS:
        for seed in run_experiments.SEEDS:
            record = RECORDS[f"{task}_{model}_seed{seed}"]
            said = score_of(record["test"])
            if task not in run_experiments.ELSEWHERE:
                assert abs(np.mean(record["by_n"]) - said) < 0.03
                continue
            others = run_experiments.ELSEWHERE[task]
            assert list(record["elsewhere"]) == list(others)
            kind, sizes = record["experiment"]["task"]
            # programs are tested at the largest of their sizes
            fixed = {"sizes": "fixed"} if "sizes" in sizes else {}
            (same,) = [size for size in others if others[size] == (kind, sizes | fixed)]
            assert abs(record["elsewhere"][same] - said) < 0.08


@pytest.mark.parametrize("name", run_experiments.EXPERIMENTS)
def test_learning_rate_is_the_one_the_search_chose(name):
    """Worked out from the records: the lowest loss at the end of the runs on the seed that is not
    reported."""
    entry = run_experiments.EXPERIMENTS[name]
    searched = rh.load_records(rh.RESULTS, f"{entry.get('rate_of', name)}_search_*").values()
    losses = {}
    for record in searched:
        arguments = record["experiment"]["train"]
        assert arguments["seed"] not in run_experiments.SEEDS
        losses[arguments["learning_rate"]] = record["test"]["loss"]
    assert len(losses) >= (2 if "near" in entry else 5)
    for record in rh.load_records(rh.RESULTS, f"{name}_seed?").values():
        assert record["experiment"]["train"]["learning_rate"] == min(losses, key=losses.get)


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.stem)
def test_weights_are_the_ones_described(path):
    record, (model, _) = RECORDS[path.stem], rh.load_checkpoint(path)
    assert hashlib.sha256(model.flat.tobytes()).hexdigest() == record["sha256"]
    assert model.flat.size == record.get("parameters", model.flat.size)


@pytest.mark.parametrize("name", [path.stem for path in WEIGHTS if path.stem in RUNS])
def test_weights_score_what_is_said(name):
    record, (model, _) = RECORDS[name], rh.load_checkpoint(rh.RESULTS / "weights" / f"{name}.npz")
    kind, sizes = record["experiment"]["task"]
    task, said = getattr(rh, kind)(**sizes), record["test"]
    inputs, targets = scored(task).sample(5000, np.random.default_rng(77))
    outputs = model.forward(inputs)[:, -targets.shape[1] :]
    # both are samples, of 10,000 examples then and of 5,000 now: four standard errors of their
    # difference
    if task.target_kind == "number":
        squares = ((outputs - targets) ** 2).mean(axis=(1, 2))
        found, expected, spread = squares.mean(), said["error"] ** 2, squares.std()
    else:
        asked = targets != -1
        right = (outputs.argmax(axis=-1) == targets) & asked
        found, expected = right.sum() / asked.sum(), said["accuracy"]
        spread = (right.sum(axis=1) - found * asked.sum(axis=1)).std() / asked.sum(axis=1).mean()
        # a sample without a mistake has none
        spread = max(spread, np.sqrt(expected * (1 - expected)))
    assert abs(found - expected) < 4 * spread * np.sqrt(1 / 10_000 + 1 / 5000) + 1e-3


def test_the_start_of_a_run_comes_out_again(capsys):
    """The first evaluation of a stored curve, trained anew: rounding may part the two."""
    name = "nth_farthest_3x2_core"
    run = {f"{name}_seed1": run_experiments.reported(RECORDS, name)[f"{name}_seed1"]}
    assert run_experiments.check(RECORDS, run) == 0
    said = re.findall(r"loss ([\d.]+) then, ([\d.]+) now", capsys.readouterr().out)
    (then, now), *_ = [map(float, pair) for pair in said]
    assert abs(then - now) < 0.02


def test_a_short_run_comes_out_again_whole():
    """Trained anew from its line alone: the same start of the curve, and what it reaches is within
    chance of what it reached then; rounding may part the two in between."""
    record = RECORDS["sorting_core_seed1"]
    again = rh.run_experiments({"again": record["experiment"]}, progress=False)["again"]
    assert abs(again["curve"]["loss"][0] - record["curve"]["loss"][0]) < 0.05
    right, asked = 60_000 * again["test"]["accuracy"], 60_000  # 10,000 examples of six answers
    low, high = binomtest(round(right), asked).proportion_ci(0.999)
    assert low - 2e-3 < record["test"]["accuracy"] < high + 2e-3


@pytest.fixture(params=run_ladder.MODELS)
def ladder(request):
    """(name, record) of a climb. Both are stored, however many rungs are in them."""
    return request.param, RECORDS[f"ladder_{request.param}"]


def test_the_ladder_is_climbed_rung_by_rung(ladder):
    name, record = ladder
    kind, sizes, rate = run_ladder.MODELS[name]
    rungs = record["rungs"]
    assert record["model"] == json.loads(json.dumps([kind, sizes]))
    assert record["train"] == run_ladder.TRAIN | {"learning_rate": rate}
    climbed = [(row["vectors"], row["dims"], row["bound"]) for row in rungs]
    assert climbed == run_ladder.RUNGS[: len(rungs)]
    assert all(row["passed"] for row in rungs[:-1]) and rungs[-1]["passed"] in (True, False)
    for row in rungs:
        assert row["examples"] == row["steps"] * record["train"]["batch_size"]
    for column in ("steps", "seconds"):
        assert np.all(np.diff([0] + [row[column] for row in rungs]) > 0)


def test_what_is_said_of_a_rung_fits_together(ladder):
    """The accuracies for each n make up that of all, and the shortcuts are those of the task."""
    for rung, row in enumerate(ladder[1]["rungs"]):
        task, by_n = run_ladder.rung_task(rung), row["by_n"]
        assert row["shortcuts"] == pytest.approx(task.shortcuts(), abs=1e-4)
        assert len(by_n) == task.num_vectors == row["vectors"]
        # each n is as likely, but not as frequent
        assert abs(np.mean(by_n) - row["test"]["accuracy"]) < 0.02
        if row["bound"] is not None:
            # no shortcut leads up the ladder
            assert row["bound"] > max(row["shortcuts"].values()) + 0.05


def test_weights_of_the_ladder_score_what_is_said(ladder):
    name, record = ladder
    row, task = record["rungs"][-1], run_ladder.rung_task(len(record["rungs"]) - 1)
    model, _ = rh.load_checkpoint(rh.RESULTS / "weights" / f"ladder_{name}.npz")
    accuracy = rh.evaluate(model, task, 5000, seed=77)["accuracy"]
    now = accuracy, *run_ladder.by_n(model, task, 5000, seed=77)
    then = row["test"]["accuracy"], *row["by_n"]
    # all, then each n: of 10,000 examples then and of 5,000 now; four standard errors of the
    # difference
    share = np.array([1] + [row["vectors"]] * row["vectors"])
    variance = np.maximum(np.multiply(then, np.subtract(1, then)), 0.005)
    spread = np.sqrt(variance * share * (1 / 10_000 + 1 / 5000))
    assert np.all(np.abs(np.subtract(now, then)) < 4 * spread)


def test_times_of_both_kernels_are_of_all_models():
    times, settings = json.loads(benchmark.STORED.read_text()), benchmark.contestants()
    asked = {setting: set(models) for setting, (_, models) in settings.items()}
    assert list(times) == list(benchmark.KERNELS)
    for of in times.values():
        assert {setting: set(models) for setting, models in of.items()} == asked
        assert all(0.1 < ms < 1000 for models in of.values() for ms in models.values())


def test_times_are_refused_when_the_matrix_products_are_others():
    options = argparse.Namespace(kernel="Nehalem-not", rounds=1)
    assert "should be for Nehalem-not, got" in benchmark.models(options)
