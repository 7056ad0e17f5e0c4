"""The tables and the figure of the README are what the stored runs give."""

import re

import pytest
import run_ladder
import show_results

import rrnn_helpers as rh

RECORDS = rh.load_records(rh.RESULTS)
TASKS, MODELS = rh.Comparison.tasks, rh.Comparison.models


def test_readme_and_figure_are_what_the_runs_give(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["show_results.py", "--check"])
    assert show_results.main() == 0, capsys.readouterr().out


def test_a_stale_readme_and_figure_are_found(monkeypatch, tmp_path, capsys):
    readme, figure = tmp_path / "README.md", tmp_path / "comparison.png"
    text = show_results.README.read_text()
    digits = re.search(r"0\.\d\d\d \[", text)[0]
    readme.write_text(text.replace(digits, "0.123 [", 1))
    figure.write_bytes(show_results.FIGURE.read_bytes())
    monkeypatch.setattr(show_results, "README", readme)
    monkeypatch.setattr(show_results, "FIGURE", figure)
    monkeypatch.setattr("sys.argv", ["show_results.py", "--check"])
    assert show_results.main() == 1 and "README.md" in capsys.readouterr().out
    figure.unlink()
    assert show_results.main() == 1 and "comparison.png" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["show_results.py"])
    assert show_results.main() == 0 and readme.read_text() == text and figure.exists()
    monkeypatch.setattr("sys.argv", ["show_results.py", "--check"])
    assert show_results.main() == 0


def test_the_table_has_every_task_and_model():
    comparison = rh.Comparison(RECORDS)
    table = show_results.table(comparison)
    rows = [line for line in table.splitlines() if line.startswith("| ") and "[" in line]
    titles = [show_results.title(comparison, task) for task in TASKS]
    assert [row.split(" | ")[0].strip("| ") for row in rows] == titles
    cell = re.compile(r"(\d\.\d{3}) \[(-?\d\.\d{3}), (\d\.\d{3})\]")
    for row, task in zip(rows, TASKS, strict=True):
        found = cell.findall(row)
        for (mean, low, high), model in zip(found, MODELS, strict=True):
            records = rh.load_records(rh.RESULTS, f"{task}_{model}_seed?").values()
            scores = [v for record in records for k, v in record["test"].items() if k != "loss"]
            assert len(scores) == 5 and float(mean) == pytest.approx(sum(scores) / 5, abs=6e-4)
            assert float(low) <= float(mean) <= float(high)
        *_, examples, seconds = row.strip("| ").split(" | ")
        for said, budget in ((examples, "examples"), (seconds, "seconds")):
            given = comparison.verdict(task, "core", "lstm", budget)
            assert said == {1: "better", -1: "worse", 0: "no difference seen"}[given]


def test_the_ladder_has_every_rung_that_a_model_reached():
    """Each cell is found again in the model's own record."""
    lines = show_results.ladder_table(RECORDS).splitlines()[2:]
    climbs = [RECORDS[f"ladder_{model}"]["rungs"] for model in ("core", "lstm")]
    assert len(lines) == max(map(len, climbs))
    rungs = [f"{vectors} x {dims}" for vectors, dims, _ in run_ladder.RUNGS[: len(lines)]]
    assert [line.split(" | ")[0].strip("| ") for line in lines] == rungs
    for i, line in enumerate(lines):
        for cell, climb in zip(line.strip("| ").split(" | ")[2:], climbs, strict=True):
            if i >= len(climb):
                assert cell == "not reached"
                continue
            row, said = climb[i], re.match(r"([\d.]+) \(([\d.]+) M, ([\d.]+) h", cell)
            accuracy, millions, hours = map(float, said.groups())
            assert accuracy == pytest.approx(row["test"]["accuracy"], abs=0.006)
            assert millions == pytest.approx(128 * row["steps"] / 1e6, abs=0.06)
            assert hours == pytest.approx(row["seconds"] / 3600, abs=0.06)
            assert ("time ran out" in cell) == (not row["passed"])
