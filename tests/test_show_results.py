"""The table and the figure of the README are what the stored runs give, and the words in it mean what they say."""

import json
import re

import pytest
import run_ladder
import show_results

import rrnn_helpers as rh


def run(score, *, kind="accuracy", examples=(100, 200), seconds=(1.0, 2.0)):
    """A record whose held-out score was 0 (or 1, an error) at the first evaluation, and `score` at the second."""
    curve = {"examples": list(examples), "seconds": list(seconds), "score": [float(kind == "error"), score]}
    return {"test": {"loss": 0.0, kind: score}, "curve": curve, "shortcuts": {"a": 0.5, "b": 0.25}}


def verdict(core, lstm, axis="examples", **given):
    pairs = {"core": core, "lstm": lstm}
    return show_results.verdict({model: [run(s, **given) for s in scores] for model, scores in pairs.items()}, axis)


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


@pytest.mark.parametrize("kind, word", [("accuracy", "ahead"), ("error", "behind")])
def test_a_verdict_needs_an_interval_without_zero(kind, word):
    high, low = [0.90, 0.91, 0.92, 0.91, 0.90], [0.80, 0.82, 0.81, 0.80, 0.81]
    assert verdict(high, low, kind=kind) == word
    assert verdict(low, high, kind=kind) == {"ahead": "behind", "behind": "ahead"}[word]
    assert verdict([0.9, 0.5, 0.7, 0.9, 0.6], [0.8, 0.5, 0.6, 0.7, 0.6], kind=kind) == "no difference"
    assert verdict([1.0] * 5, [1.0] * 5, kind=kind) == "no difference"


def test_a_verdict_is_taken_where_both_have_had_as_much():
    """The LSTM ends higher, but after far more examples; where the core ends, it is just past its first evaluation."""
    quick = [run(s, examples=(100, 150), seconds=(1.0, 1.5)) for s in (0.7, 0.71, 0.72, 0.71, 0.7)]
    slow = [run(s, examples=(120, 1000), seconds=(0.5, 1.5)) for s in (0.9, 0.91, 0.92, 0.91, 0.9)]
    records = {"core": quick, "lstm": slow}
    assert show_results.verdict(records, "examples") == "ahead"  # 0.7 at 150 beside a thirtieth of 0.9
    assert show_results.verdict(records, "seconds") == "behind"
    third = [run(0.5, examples=(100, 130), seconds=(0.4, 0.45))]  # a model that stopped early limits all
    assert show_results.verdict(records | {"rrnn": third}, "seconds") == "no difference"


def test_a_difference_too_small_to_matter_is_none():
    assert verdict([0.9] * 4 + [0.901], [0.895] * 4 + [0.896]) == "no difference"


def test_the_table_has_every_task_and_model():
    table = show_results.table(show_results.read(show_results.RESULTS))
    rows = [line for line in table.splitlines() if line.startswith("| ") and "[" in line]
    assert [row.split(" | ")[0].strip("| ") for row in rows] == list(show_results.TITLES.values())
    cell = re.compile(r"(\d\.\d{3}) \[(-?\d\.\d{3}), (\d\.\d{3})\]")
    for row, task in zip(rows, show_results.TASKS, strict=True):
        found = cell.findall(row)
        assert len(found) == 4
        for (mean, low, high), model in zip(found, show_results.MODELS, strict=True):
            records = rh.load_records(show_results.RESULTS, f"{task}_{model}_seed?").values()
            scores = [next(v for k, v in record["test"].items() if k != "loss") for record in records]
            assert len(scores) == 5 and float(mean) == pytest.approx(sum(scores) / 5, abs=6e-4)
            assert float(low) <= float(mean) <= float(high)


def test_the_ladder_has_every_rung_that_a_model_reached():
    """Each cell is found again in the model's own file."""
    lines = show_results.ladder_table(show_results.RESULTS).splitlines()[2:]
    records = [json.loads((show_results.RESULTS / f"ladder_{model}.json").read_text()) for model in ("core", "lstm")]
    assert len(lines) == max(len(record["rungs"]) for record in records)
    assert [line.split(" | ")[0].strip("| ") for line in lines] == [
        f"{vectors} x {dims}" for vectors, dims, _ in run_ladder.RUNGS[: len(lines)]
    ]
    for i, line in enumerate(lines):
        for cell, record in zip(line.strip("| ").split(" | ")[2:], records, strict=True):
            if i >= len(record["rungs"]):
                assert cell == "not reached"
                continue
            row = record["rungs"][i]
            accuracy, millions, hours = map(float, re.match(r"([\d.]+) \(([\d.]+) M, ([\d.]+) h", cell).groups())
            assert accuracy == pytest.approx(row["test"]["accuracy"], abs=0.006)
            assert millions == pytest.approx(128 * row["steps"] / 1e6, abs=0.06)
            assert hours == pytest.approx(row["seconds"] / 3600, abs=0.06)
            assert ("time ran out" in cell) == (not row["passed"])
