"""The study's tools: runs as data, resumed where they stopped, rates chosen by the search alone."""

import json
from math import log2

import pytest
import run_babi
import run_climb
import run_tasks
import run_text
import study
from notebook_files import ROOT

from rrnn import experiments
from rrnn.checkpoints import load_checkpoint
from rrnn.tasks import BabiQA
from rrnn.training import score_on

STORIES = str(ROOT / "tests" / "fixtures" / "babi")

TINY = ["LSTM", {"hidden_size": 4}]


def tiny(**change):
    rungs = [(2, 2, 0.0), (3, 2, None)]
    return run_climb.spec(TINY, 1e-3, 1, 128 * 230, rungs=rungs) | change


def without_clock(record):
    rungs = [{key: value for key, value in row.items() if key != "seconds"}
             for row in record["rungs"]]  # fmt: skip
    looks = [[step, stage, score] for step, _, stage, score in record["looks"]]
    return [rungs, looks, record["sha256"], record["operations"], record["parameters"]]


def test_a_climb_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(run_climb, "LOOK", 60)
    (tmp_path / "whole").mkdir()
    whole = run_climb.climb("a", tiny(), tmp_path / "whole")
    clock = iter([0, 100, 0, 0, 100, 0, 0, 0, 0, 0, 0])  # at the beginning, then at each look
    monkeypatch.setattr(run_climb.time, "time", lambda: next(clock))
    assert run_climb.climb("a", tiny(), tmp_path, deadline=50) is None
    assert "M examples, rung 1" in run_climb.under_way(tmp_path, "a")[0]
    assert run_climb.climb("a", tiny(), tmp_path, deadline=50) is None
    parted = run_climb.climb("a", tiny(), tmp_path, deadline=50)
    assert without_clock(parted) == without_clock(whole)
    assert study.load(tmp_path, "a") == json.loads(json.dumps(parted))
    assert not list(tmp_path.glob("*.part*"))
    first, last = parted["rungs"]
    assert first["passed"] and not last["passed"] and last["examples"] == 128 * 230


def test_a_climb_stops_at_the_end_of_its_rung(tmp_path):
    record = run_climb.climb("b", tiny(until=(2, 2)), tmp_path)
    assert [row["passed"] for row in record["rungs"]] == [True]
    assert record["looks"][-1][0] == record["rungs"][0]["steps"] < 230


def test_the_climb_takes_the_rate_that_passes_after_the_fewest_examples():
    def searched(examples):
        return {"rungs": [{"vectors": 5, "dims": 2, "passed": examples is not None,
                           "examples": examples or 6_000_000}]}  # fmt: skip

    needed = {5e-4: (3e6, 3e6), 1e-3: (1e6, None), 2e-3: (2e6, 2e6)}
    records = {
        f"climb_core_search_{rate:g}_{seed}": searched(examples)
        for rate, each in needed.items()
        for seed, examples in zip((100, 101), each, strict=True)
    }
    assert run_climb.best_rate(records, "core") == 2e-3
    planned = run_climb.plan(records)
    reported = {name: run for name, run in planned.items() if "search" not in name}
    kinds = [name.split("_")[0] for name in reported]
    assert [kinds.count(kind) for kind in ("climb", "summit", "direct")] == [5, 3, 1]
    assert {run["learning_rate"] for run in reported.values()} == {2e-3}
    assert run_climb.best_rate(dict(list(records.items())[1:]), "core") is None


@pytest.mark.parametrize("task", run_tasks.TASKS)
def test_models_of_a_comparison_have_as_many_parameters(task):
    (name, arguments), steps, _ = run_tasks.TASKS[task]
    made = run_tasks.KINDS[name](**arguments)
    sizes = []
    for model in run_tasks.MODELS:
        kind, arguments = run_tasks.sizes_of(task, model)
        arguments = {"output_size": made.output_size} | arguments
        sizes.append(run_tasks.KINDS[kind](made.input_size, **arguments).flat.size)
    assert max(sizes) / min(sizes) < 1.15 and steps % (2 * run_tasks.LOOKS) == 0


def test_the_tasks_take_the_rate_with_the_lowest_loss(capsys):
    records = {}
    for rate in run_tasks.RATES:
        for seed in run_tasks.SEARCH_SEEDS:
            name = run_tasks.search_name("add", "lstm", rate, seed)
            records[name] = {"test": {"loss": abs(rate - 2e-3)}}
    planned = run_tasks.plan(records)
    reported = {name: run for name, run in planned.items() if "search" not in name}
    assert len(reported) == 10 and len(planned) == 10 + 12 * 4 * 14
    assert {run["train"]["learning_rate"] for run in reported.values()} == {2e-3}
    study.show(reported, {}, lambda name: None, run_tasks.describe)
    assert "0 done, 0 running, 10 to do; 0.0 processor hours" in capsys.readouterr().out


def babi(**change):
    run = {"size": "en", "number": 1, "model": "lstm_norm", "steps": 80, "batch_size": 8,
           "learning_rate": 1e-2, "seed": 1}  # fmt: skip
    return run | change


def test_a_run_on_stories_goes_on_where_it_stopped(tmp_path, monkeypatch):
    (tmp_path / "whole").mkdir()
    whole = run_babi.make("a", babi(), tmp_path / "whole", data=STORIES)
    clock = iter([0, *[0] * 9, 100, *[0] * 99])
    monkeypatch.setattr(run_babi.time, "time", lambda: next(clock))
    assert run_babi.make("a", babi(), tmp_path, 50, data=STORIES) is None
    assert run_babi.under_way(tmp_path, "a")[0].startswith("20 steps")
    parted = run_babi.make("a", babi(), tmp_path, 50, data=STORIES)
    clockless = [look[:2] + look[3:] for look in whole["looks"]]
    assert [look[:2] + look[3:] for look in parted["looks"]] == clockless and len(clockless) == 40
    assert parted["sha256"] == whole["sha256"] and parted["test"] == whole["test"]
    assert study.load(tmp_path, "a") == json.loads(json.dumps(parted))
    assert not list(tmp_path.glob("*.part*")) and STORIES not in json.dumps(parted)
    # the weights are those that knew most of the questions for tuning
    model, _ = load_checkpoint(tmp_path / "a.npz")
    known = score_on(model, BabiQA(STORIES, 1).tuning)["accuracy"]
    assert known == pytest.approx(max(look[4] for look in whole["looks"]), abs=1e-5)


def test_the_stories_take_the_rate_that_knows_most_of_the_questions_for_tuning():
    records = {
        run_babi.name_of("en", number, "core", f"search_{rate:g}"): {
            "looks": [[1, 1, 0, 0, 0.9 - abs(rate - 2e-3)], [2, 2, 0, 0, 0.1]]
        }
        for rate in run_babi.RATES
        for number in run_babi.SEARCH
    }
    assert run_babi.best_rate(records, "en", "core") == 2e-3
    assert run_babi.best_rate(records, "en-10k", "core") is None
    planned = run_babi.plan(records)
    reported = [run for name, run in planned.items() if "search" not in name]
    assert len(reported) == 60 and {run["learning_rate"] for run in reported} == {2e-3}
    assert len(planned) == 60 + 2 * 3 * 5 * 4


@pytest.mark.parametrize(("inputs", "outputs"), [(32, 6), (78, 2)])
def test_models_that_read_stories_have_as_many_parameters(inputs, outputs):
    sizes = []
    for model in run_babi.MODELS:
        kind, arguments = run_babi.sizes_of(model, inputs, outputs)
        made = run_babi.experiments.MODELS[kind](inputs, output_size=outputs, **arguments)
        sizes.append(made.flat.size)
    assert max(sizes) / min(sizes) < 1.05


def test_the_stories_need_a_folder(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["run_babi.py"])
    data = "the folder with the stories"
    with pytest.raises(SystemExit):
        study.main("", run_babi.plan, run_babi.make, run_babi.under_way, run_babi.describe, data)
    assert "--data DIR is needed: the folder with the stories" in capsys.readouterr().err


def test_text_is_scored_in_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(run_text, "STEPS", 40)
    run = run_text.experiment("lstm_norm", 1e-2, 1) | {"model": ("LSTM", {"hidden_size": 8})}
    record = run_text.make("text_tiny_seed1", run, tmp_path)
    assert record == study.load(tmp_path, "text_tiny_seed1")
    assert record == run_text.make("text_tiny_seed1", run, tmp_path)  # is there, and stays
    tables = [record["tables"][key] for key in sorted(record["tables"])]
    assert sorted(tables, reverse=True) == tables and set(record["bits"]) == {"stream", "64", "640"}
    assert 3 < record["bits"]["stream"] < log2(97) and len(record["curve"]["loss"]) == 40
    assert "bits a character" in run_text.describe(record)


def test_text_takes_the_rate_with_the_lowest_loss():
    records = {f"text_core_search_{rate:g}": {"test": {"loss": abs(rate - 1e-3)}}
               for rate in run_text.RATES}  # fmt: skip
    planned = run_text.plan(records)
    reported = [run for name, run in planned.items() if "search" not in name]
    assert [run["train"]["learning_rate"] for run in reported] == [1e-3] * 3
    assert len(planned) == len(run_text.MODELS) * len(run_text.RATES) + 3
    sizes = [experiments.make(planned[f"text_{model}_search_0.001"])[1].flat.size
             for model in run_text.MODELS]  # fmt: skip
    assert max(sizes) / min(sizes) < 1.05
