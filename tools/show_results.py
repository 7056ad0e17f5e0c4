"""The results in the README, its tables and its figure, made from the stored runs.

    python tools/show_results.py            write them
    python tools/show_results.py --check    say whether they are what the stored runs give

The tables stand in README.md between comments, the figure is notebooks/results/comparison.png.
"""

import argparse
import io
import itertools
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
from run_experiments import MODELS, RESULTS, TASKS, best_shortcut, score  # noqa: E402

import rrnn_helpers as rh  # noqa: E402

README, FIGURE = ROOT / "README.md", RESULTS / "comparison.png"
START, END = "<!-- results: written by tools/show_results.py -->\n", "<!-- end of results -->\n"
LADDER_START, LADDER_END = "<!-- ladder: written by tools/show_results.py -->\n", "<!-- end of ladder -->\n"
TITLES = {
    "nth_3x2": "Nth farthest, 3 vectors",
    "nth_4x4": "Nth farthest, 4 vectors",
    "pairs": "Pair matching",
    "stories": "Two-hop stories",
    "tracking": "Object tracking (error)",
    "sorting": "Sorting",
    "copy": "Copy",
    "reverse": "Reverse",
    "add": "Add",
}
NAMES = {
    "core": "relational memory core",
    "rrnn": "LSTM+memory",
    "lstm": "LSTM, same parameters",
    "lstm_wide": "LSTM, same units",
}
LADDER = {"core": "relational memory core", "lstm": "LSTM"}  # of tools/run_ladder.py


def read(folder):
    """{task: {model: records}} of the comparison."""
    return {
        task: {model: list(rh.load_records(folder, f"{task}_{model}_seed?").values()) for model in MODELS}
        for task in TASKS
    }


def verdict(records, axis):
    """Of the core beside the LSTM with as many parameters, at what all models have had of "examples" or "seconds":
    "ahead", "behind", or "no difference" if the 95% interval of the difference of the means (Welch) holds zero, or the
    difference is below 0.01. Scores between two evaluations lie on the line that joins them. As in notebook 07."""
    limit = min(run["curve"][axis][-1] for runs in records.values() for run in runs)
    core, lstm = (
        np.array([np.interp(limit, run["curve"][axis], run["curve"]["score"]) for run in records[model]])
        for model in ("core", "lstm")
    )
    difference, low, high = rh.mean_difference(core, lstm)
    if low <= 0 <= high or abs(difference) < 0.01:
        return "no difference"
    return "ahead" if (low > 0) != ("error" in records["core"][0]["test"]) else "behind"


def table(results):
    """The lines of the README between the two comments."""
    heads = ["task", "best shortcut", *NAMES.values(), "core, in equal examples", "core, in equal seconds"]
    lines = [
        f"![{describe(results)}](notebooks/results/comparison.png)",
        "",
        "| " + " | ".join(heads) + " |",
        "|---" * len(heads) + "|",
    ]
    verdicts = {axis: {task: verdict(m, axis) for task, m in results.items()} for axis in ("examples", "seconds")}
    for task, models in results.items():
        cells = [TITLES[task], f"{best_shortcut(models['core'][0]):.3f}"]
        for records in models.values():
            mean, low, high = rh.mean_interval([score(record) for record in records])
            cells.append(f"{mean:.3f} [{low:.3f}, {high:.3f}]")
        lines.append("| " + " | ".join([*cells, *(verdicts[axis][task] for axis in verdicts)]) + " |")
    lines.append("")
    for axis, given in verdicts.items():
        ahead, behind, same = (list(given.values()).count(word) for word in ("ahead", "behind", "no difference"))
        lines.append(
            f"In equal {axis} the relational memory core is ahead of the LSTM with as many parameters on {ahead} of "
            f"{len(results)} tasks, behind on {behind}, and on {same} no difference was seen."
        )
    return "\n".join(lines) + "\n"


def ladder_table(folder):
    """The lines of the README on the ladder: what each model scored when it left a rung, or when its time ran out."""
    climbs = [json.loads((folder / f"ladder_{model}.json").read_text())["rungs"] for model in LADDER]
    lines = ["| vectors x numbers | best shortcut | " + " | ".join(LADDER.values()) + " |", "|---" * 4 + "|"]
    for rows in itertools.zip_longest(*climbs):
        rung = rows[0] or rows[1]
        cells = [f"{rung['vectors']} x {rung['dims']}", f"{max(rung['shortcuts'].values()):.2f}"]
        lines.append("| " + " | ".join([*cells, *map(rung_cell, rows)]) + " |")
    return "\n".join(lines) + "\n"


def rung_cell(row):
    if row is None:
        return "not reached"
    end = "" if row["passed"] else ", time ran out"
    return f"{row['test']['accuracy']:.2f} ({row['examples'] / 1e6:.1f} M, {row['seconds'] / 3600:.1f} h{end})"


def describe(results):
    """The figure in words, with its numbers."""
    parts = []
    for task, models in results.items():
        means = {model: rh.mean_interval([score(record) for record in records])[0] for model, records in models.items()}
        means = ", ".join(f"{NAMES[model]} {mean:.2f}" for model, mean in means.items())
        parts.append(f"{TITLES[task]}: {means}, best shortcut {best_shortcut(models['core'][0]):.2f}")
    return "Scores of four models on nine tasks, five seeds each with 95% intervals. " + "; ".join(parts) + "."


def draw(results):
    """The figure as PNG bytes; its words are stored inside, so that --check need not compare pixels."""
    panels = {
        TITLES[task]: {NAMES[model]: [score(r) for r in records] for model, records in models.items()}
        for task, models in results.items()
    }
    levels = {TITLES[task]: {"best shortcut": best_shortcut(m["core"][0])} for task, m in results.items()}
    limits = {TITLES[task]: (0, 0.2) if task == "tracking" else (0.3, 1.03) for task in results}
    figure = rh.plot_intervals(panels, xlabel="share of right answers (or error)", levels=levels, xlim=limits)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, metadata={"Description": describe(results)})
    return file.getvalue()


def between(text, start, lines, end):
    """The text with other lines between the two comments."""
    return text.split(start)[0] + start + lines + end + text.split(end)[1]


def main():
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if README or figure is out of date")
    options = parser.parse_args()
    results, text = read(RESULTS), README.read_text()
    new = between(text, START, table(results), END)
    new = between(new, LADDER_START, ladder_table(RESULTS), LADDER_END)
    if options.check:
        said = Image.open(FIGURE).text.get("Description") if FIGURE.exists() else None
        stale = [p.name for p, same in ((README, new == text), (FIGURE, said == describe(results))) if not same]
        print("out of date: " + ", ".join(stale) if stale else "README and figure are what the stored runs give")
        return bool(stale)
    with rh._replacing(README) as file:
        file.write(new.encode())
    with rh._replacing(FIGURE) as file:
        file.write(draw(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
