"""The study's tools: runs as data, resumed where they stopped, rates chosen by the search alone."""

import json

import pytest
import run_climb
import run_tasks
import study

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
