"""The tool of long runs: it makes what is missing, and nothing that is stored."""

import json
from concurrent.futures import ThreadPoolExecutor

import gather_runs
import pytest
import run_experiments

import rrnn_helpers as rh


@pytest.fixture
def small(monkeypatch, tmp_path):
    """One tiny experiment of two rates and two seeds, and a folder of results that is empty."""
    task = ("PairMatching", {"num_pairs": 2, "vocab_size": 4})
    entry = {"task": task, "model": ("LSTM", {"hidden_size": 4}), "steps": 20, "search_steps": 10}
    for name, value in {
        "EXPERIMENTS": {"pairs_lstm": entry}, "TASKS": {"pairs": (task, 20)},
        "ELSEWHERE": {"pairs": {"1 pairs": (task[0], {"num_pairs": 1, "vocab_size": 4})}},
        "RATES": (1e-3, 2e-3), "SEEDS": (1, 2), "WORK": tmp_path / "work",
        "ProcessPoolExecutor": ThreadPoolExecutor, "print_tables": lambda records: None,
    }.items():  # fmt: skip
        monkeypatch.setattr(run_experiments, name, value)
    monkeypatch.setattr(rh, "RESULTS", tmp_path / "results")
    rh.RESULTS.mkdir()
    return tmp_path


@pytest.fixture
def tool(monkeypatch):
    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["run_experiments.py", *map(str, arguments)])
        return run_experiments.main()

    return run


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_missing_is_made_and_nothing_else(small, tool, capsys, monkeypatch):
    fresh, work = small / "fresh", small / "work"
    assert tool("--fresh", fresh) == 0
    searched = [f"pairs_lstm_search_{rate}.json" for rate in ("0.001", "0.002")]
    made = [f"pairs_lstm_seed{seed}.{kind}" for seed in (1, 2) for kind in ("json", "npz")]
    assert names(fresh) == searched + made
    record = json.loads((fresh / "pairs_lstm_seed2.json").read_text())
    network, _ = rh.load_checkpoint(fresh / "pairs_lstm_seed2.npz")
    score = rh.evaluate(network, rh.PairMatching(1, 4), 300, seed=71)["accuracy"]
    assert record["elsewhere"] == {"1 pairs": round(score, 6)}

    gather_runs.gather(fresh, rh.RESULTS)
    assert tool() == 0 and names(work) == []  # all is stored
    assert tool("--list") == 0 and "2 of 2 seeds  pairs_lstm" in capsys.readouterr().out
    monkeypatch.setattr(run_experiments, "SEEDS", (1, 2, 3))
    assert tool("--list") == 0 and "2 of 3 seeds  pairs_lstm" in capsys.readouterr().out
    assert tool() == 0 and names(work) == ["pairs_lstm_seed3.json", "pairs_lstm_seed3.npz"]
    assert tool("--check") == 0 and "seed3: step 1" in capsys.readouterr().out


def test_a_run_of_another_plan_is_made_anew(small, tool):
    assert tool("--fresh", small / "fresh") == 0
    gather_runs.gather(small / "fresh", rh.RESULTS)
    run_experiments.EXPERIMENTS["pairs_lstm"]["steps"] = 40
    assert tool() == 0
    made = [f"pairs_lstm_seed{seed}.{kind}" for seed in (1, 2) for kind in ("json", "npz")]
    searched = [name for name in names(small / "work") if "search" in name]
    assert names(small / "work") == searched + made


def test_an_experiment_that_is_not_there_is_named(small, tool, capsys):
    with pytest.raises(SystemExit):
        tool("--only", "nothing")
    assert "there are pairs_lstm" in capsys.readouterr().err
