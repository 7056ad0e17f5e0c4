"""The verdict on two models: better, worse, or no difference seen."""

import numpy as np
import pytest

import rrnn_helpers as rh
from rrnn.comparison import Climb, Comparison, verdict


def run(score, *, kind="accuracy", examples=(100, 200), seconds=(1.0, 2.0)):
    """A record whose held-out score was 0 (or 1, an error) at the first evaluation, and `score` at
    the second."""
    curve = {"examples": list(examples), "seconds": list(seconds)}
    curve["score"] = [float(kind == "error"), score]
    return {"test": {"loss": 0.0, kind: score}, "curve": curve, "shortcuts": {"a": 0.5, "b": 0.25}}


class One(Comparison):
    """A comparison on a single task."""

    tasks = {"task": "a task"}


def compare(**runs):
    runs = dict.fromkeys(Comparison.models, [run(0.5, seconds=(1, 3))]) | runs
    return One({f"task_{model}_seed{i}": record for model, records in runs.items()
                for i, record in enumerate(records)})  # fmt: skip


def between(core, lstm, **given):
    kind = {"core": [run(s, **given) for s in core], "lstm": [run(s, **given) for s in lstm]}
    others = {model: [run(0.5, **given)] for model in ("rrnn", "lstm_wide")}
    return compare(**kind, **others).verdict("task", "core", "lstm", "examples")


@pytest.mark.parametrize("kind, sign", [("accuracy", 1), ("error", -1)])
def test_a_verdict_needs_an_interval_without_zero(kind, sign):
    high, low = [0.90, 0.91, 0.92, 0.91, 0.90], [0.80, 0.82, 0.81, 0.80, 0.81]
    assert between(high, low, kind=kind) == sign
    assert between(low, high, kind=kind) == -sign
    spread = [0.9, 0.5, 0.7, 0.9, 0.6], [0.8, 0.5, 0.6, 0.7, 0.6]
    assert between(*spread, kind=kind) == 0
    assert between([1.0] * 5, [1.0] * 5, kind=kind) == 0


def test_a_difference_too_small_to_matter_is_none():
    assert verdict([0.9] * 4 + [0.901], [0.895] * 4 + [0.896]) == 0
    assert verdict([0.9] * 4 + [0.901], [0.885] * 4 + [0.886]) == 1


def test_a_stricter_verdict_asks_for_more():
    clear, close = [0.90, 0.92, 0.94], [0.86, 0.87, 0.90]
    assert verdict(clear, close, 0.8) == 1 and verdict(clear, close, 0.999) == 0


def test_a_verdict_is_taken_where_all_have_had_as_much():
    """The LSTM ends higher, but after far more examples; where the core ends, it is just past its
    first evaluation."""
    quick = [run(s, examples=(100, 150), seconds=(1.0, 1.5)) for s in (0.7, 0.71, 0.72, 0.71, 0.7)]
    slow = [run(s, examples=(120, 1000), seconds=(0.5, 1.5)) for s in (0.9, 0.91, 0.92, 0.91, 0.9)]
    both = compare(core=quick, lstm=slow)
    assert both.limit("task", "examples") == 150 and both.limit("task", "seconds") == 1.5
    assert both.at("task", "core", "examples") == pytest.approx([0.7, 0.71, 0.72, 0.71, 0.7])
    assert both.verdict("task", "core", "lstm", "examples") == 1  # beside a thirtieth of 0.9
    assert both.verdict("task", "core", "lstm", "seconds") == -1
    assert both.gain("task", "core", "lstm", "seconds")[0] == pytest.approx(-0.2)
    # a model that stopped early limits all
    third = [run(0.5, examples=(100, 130), seconds=(0.4, 0.45))]
    limited = compare(core=quick, lstm=slow, rrnn=third)
    assert limited.verdict("task", "core", "lstm", "seconds") == 0


def test_the_bar_is_the_best_rule():
    for kind, sign, best in (("accuracy", 1, 0.5), ("error", -1, 0.25)):
        one = compare(core=[run(0.3, kind=kind), run(0.4, kind=kind)])
        assert (one.sign("task"), one.bar("task")) == (sign, best)
        assert one.final("task", "core").tolist() == [0.3, 0.4]


def test_runs_that_are_not_there_are_named():
    with pytest.raises(ValueError, match="task_core"):
        compare(core=[])


def test_the_stored_comparison_is_whole():
    """Five runs of each, of its own task and no other; the strict level is that of all verdicts."""
    comparison = Comparison(rh.load_records(rh.RESULTS))
    assert {len(runs) for runs in comparison.runs.values()} == {5}
    for (task, _), runs in comparison.runs.items():
        assert len({str(run["experiment"]["task"]) for run in runs}) == 1, task
        assert sorted(run["experiment"]["train"]["seed"] for run in runs) == [1, 2, 3, 4, 5]
    assert comparison.strict == pytest.approx(1 - 0.05 / 54)


def climbed(*examples, dims=2):
    """A record of a climb that passed 3, 4, ... vectors after so many examples."""
    rungs = [{"vectors": k, "dims": dims, "passed": True, "examples": e, "seconds": e / 10,
              "operations": 2 * e} for k, e in enumerate(examples, 3)]  # fmt: skip
    return {"rungs": rungs}


def test_what_a_climb_took():
    """Infinite where a run did not get there; the rate is that of the search, no reported one."""
    searches = {
        f"climb_core_search_{rate:g}_{seed}": climbed(*[1e6] * (3 if rate == 1e-3 else 2))
        for rate in Climb.rates
        for seed in Climb.search_seeds
    }
    whole = [climbed(*[1e5 * (k + seed) for k in range(6)]) for seed in Climb.seeds[1:]]
    reported = dict(zip(Climb.names("core"), [climbed(2e6), *whole], strict=True))
    climb = Climb(searches | reported)
    assert climb.rate("core") == 1e-3
    first, *others = climb.needed("core", 8)
    assert first == np.inf and others == [1e5 * (5 + seed) for seed in Climb.seeds[1:]]
    low, high = (1e5 * (5 + seed) for seed in (Climb.seeds[1], Climb.seeds[-1]))
    assert climb.span("core", 8) == f"{low / 1e6:.1f} to {high / 1e6:.1f} (1 not)"
    assert climb.span("core", 3, "operations", 1, 0).endswith("to 4000000")
    assert Climb(dict.fromkeys(reported, climbed(1e6))).span("core", 4) == f"({len(reported)} not)"
    # of a rung with longer vectors nothing is said
    assert Climb(dict.fromkeys(reported, climbed(1e6, dims=4))).needed("core", 3).min() == np.inf
    with pytest.raises(ValueError, match=r"got none of \['climb_lstm_seed1'"):
        climb.needed("lstm", 3)
