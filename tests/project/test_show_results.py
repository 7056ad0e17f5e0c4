"""The findings and the figure of the README are what the stored runs give."""

import copy
import re

import pytest
import show_results

import rrnn_helpers as rh

RECORDS = rh.load_records(rh.RESULTS)


def test_the_readme_is_what_the_runs_give(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["show_results.py", "--check"])
    assert show_results.main() == 0, capsys.readouterr().out


def test_a_stale_readme_is_found_and_written_anew(monkeypatch, tmp_path, capsys):
    readme, text = tmp_path / "README.md", show_results.README.read_text()
    readme.write_text(text.replace("answers 72%", "answers 73%"))
    assert readme.read_text() != text
    monkeypatch.setattr(show_results, "README", readme)
    monkeypatch.setattr("sys.argv", ["show_results.py", "--check"])
    assert show_results.main() == 1 and "out of date" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["show_results.py"])
    assert show_results.main() == 0 and readme.read_text() == text


def test_the_numbers_are_those_of_the_records():
    size, climb, tasks, text, line = show_results.findings(RECORDS)
    core, lstm = (RECORDS[f"ladder_{name}"]["rungs"][-1] for name in ("core", "lstm"))
    assert (core["vectors"], core["dims"]) == (lstm["vectors"], lstm["dims"]) == (8, 16)
    said = [round(100 * end["test"]["accuracy"]) for end in (core, lstm)]
    assert re.findall(r"(\d+)%", size)[:2] == [str(number) for number in said]
    for model in rh.Climb.models:
        runs = [run for name, run in RECORDS.items() if name.startswith(f"climb_{model}_seed")]
        needed = [row["examples"] / 1e6 for run in runs for row in run["rungs"]
                  if row["vectors"] == 8 and row["passed"]]  # fmt: skip
        assert f"{min(needed):.1f} to {max(needed):.1f}" in climb
    comparison = rh.Comparison(RECORDS)
    found = [comparison.verdict(task, "core", "lstm", budget)
             for budget in ("examples", "seconds") for task in rh.Comparison.tasks]  # fmt: skip
    wins = found[:9].count(1), found[9:].count(1), found[9:].count(-1)
    assert [int(number) for number in re.findall(r" on (\d) ", tasks)] == list(wins)
    for model in ("core", "lstm_norm", "one_slot"):
        found = [RECORDS[f"text_{model}_seed{seed}"]["bits"]["stream"] for seed in (1, 2, 3)]
        assert f"{min(found):.2f} to {max(found):.2f}" in text
    scores = [max(RECORDS[f"ablation_nth_no_qkv_norm_seed{seed}"]["curve"]["score"])
              for seed in range(1, 6)]  # fmt: skip
    assert f"{sum(score < 0.7 for score in scores)} of 5" in line


def changed(name, change):
    records = copy.deepcopy(RECORDS)
    change(records[name])
    return records


@pytest.mark.parametrize(
    "name, change, words",
    [
        ("ladder_lstm", lambda run: run["rungs"][-1]["test"].update(accuracy=0.8), "core leads"),
        ("climb_apart_seed1", lambda run: run["rungs"][-1].update(examples=7e6),
         "slots apart are before"),
        ("climb_lstm_norm_seed2", lambda run: run["rungs"][-1].update(passed=False),
         "a layer norm helps"),
        ("text_core_seed2", lambda run: run["bits"].update(stream=1.9), "on text the core"),
        ("ablation_nth_no_qkv_norm_seed1", lambda run: run["curve"].update(score=[0.9]),
         "without the norm"),
    ],
)  # fmt: skip
def test_a_finding_that_the_runs_do_not_bear_out_is_refused(name, change, words):
    with pytest.raises(ValueError, match=words):
        show_results.findings(changed(name, change))
