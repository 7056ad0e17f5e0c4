"""The results in the README, its tables and its figure, made from the stored runs.

    python tools/show_results.py            write them
    python tools/show_results.py --check    say whether they are what the stored runs give

The tables stand in README.md between comments, the figure is notebooks/results/comparison.png.
"""

import argparse
import io
import itertools
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from PIL import Image  # noqa: E402

import rrnn_helpers as rh  # noqa: E402
from rrnn.checkpoints import replacing  # noqa: E402

README, FIGURE = ROOT / "README.md", rh.RESULTS / "comparison.png"
START, END = "<!-- results: written by tools/show_results.py -->\n", "<!-- end of results -->\n"
LADDER_START = "<!-- ladder: written by tools/show_results.py -->\n"
LADDER_END = "<!-- end of ladder -->\n"
LADDER = ("core", "lstm")  # of tools/run_ladder.py
NAMES = rh.Comparison.models


def title(comparison, task):
    error = " (error)" if comparison.sign(task) < 0 else ""
    return comparison.tasks[task].capitalize() + error


def table(comparison):
    """The lines of the README between the two comments."""
    verdicts = {
        budget: [comparison.verdict(task, "core", "lstm", budget) for task in comparison.tasks]
        for budget in comparison.budgets
    }
    heads = ["task", "best shortcut", *NAMES.values()]
    heads += [f"core beside LSTM, equal {budget}" for budget in verdicts]
    lines = [f"![{describe(comparison)}](notebooks/results/comparison.png)", ""]
    lines += ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for i, task in enumerate(comparison.tasks):
        cells = [title(comparison, task), f"{comparison.bar(task):.3f}"]
        for model in NAMES:
            mean, low, high = rh.mean_interval(comparison.final(task, model))
            cells.append(f"{mean:.3f} [{low:.3f}, {high:.3f}]")
        cells += [comparison.words[found[i]] for found in verdicts.values()]
        lines.append("| " + " | ".join(cells) + " |")
    lines.append("")
    for budget, found in verdicts.items():
        better, worse, same = (found.count(given) for given in (1, -1, 0))
        lines.append(
            f"In equal {budget} the core is better than the LSTM with as many parameters on "
            f"{better} of {len(found)} tasks, worse on {worse}; on {same} no difference is seen."
        )
    return "\n".join(lines) + "\n"


def ladder_table(records):
    """The lines of the README on the ladder: what each model scored when it left a rung, or when
    its time ran out."""
    climbs = [records[f"ladder_{model}"]["rungs"] for model in LADDER]
    heads = ["vectors x numbers", "best shortcut", *(NAMES[model] for model in LADDER)]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for rows in itertools.zip_longest(*climbs):
        rung = rows[0] or rows[1]
        cells = [f"{rung['vectors']} x {rung['dims']}", f"{max(rung['shortcuts'].values()):.2f}"]
        lines.append("| " + " | ".join([*cells, *map(rung_cell, rows)]) + " |")
    return "\n".join(lines) + "\n"


def rung_cell(row):
    if row is None:
        return "not reached"
    spent = f"{row['examples'] / 1e6:.1f} M, {row['seconds'] / 3600:.1f} h"
    end = "" if row["passed"] else ", time ran out"
    return f"{row['test']['accuracy']:.2f} ({spent}{end})"


def describe(comparison):
    """The figure in words, with its numbers."""
    parts = []
    for task in comparison.tasks:
        means = ", ".join(f"{name} {comparison.final(task, model).mean():.2f}"
                          for model, name in NAMES.items())  # fmt: skip
        bar = f"best shortcut {comparison.bar(task):.2f}"
        parts.append(f"{title(comparison, task)}: {means}, {bar}")
    what = "Scores of four models on nine tasks, five seeds each with 95% intervals"
    return f"{what}. {'; '.join(parts)}."


def draw(comparison):
    """The figure as PNG bytes; its words are stored inside, so that --check need not compare
    pixels."""
    titles = {task: title(comparison, task) for task in comparison.tasks}
    panels = {
        titles[task]: {name: comparison.final(task, model) for model, name in NAMES.items()}
        for task in titles
    }
    levels = {titles[task]: {"best shortcut": comparison.bar(task)} for task in titles}
    limits = {titles[task]: (0.3, 1.03) if comparison.sign(task) > 0 else (0, 0.2)
              for task in titles}  # fmt: skip
    what = "share of right answers (or error)"
    figure = rh.plot_intervals(panels, xlabel=what, levels=levels, xlim=limits)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, metadata={"Description": describe(comparison)})
    return file.getvalue()


def between(text, start, lines, end):
    """The text with other lines between the two comments."""
    return text.split(start)[0] + start + lines + end + text.split(end)[1]


def main():
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail if out of date")
    options = parser.parse_args()
    records, text = rh.load_records(rh.RESULTS), README.read_text()
    comparison = rh.Comparison(records)
    new = between(text, START, table(comparison), END)
    new = between(new, LADDER_START, ladder_table(records), LADDER_END)
    if options.check:
        said = Image.open(FIGURE).text.get("Description") if FIGURE.exists() else None
        same = {README.name: new == text, FIGURE.name: said == describe(comparison)}
        stale = [name for name, is_same in same.items() if not is_same]
        fine = "README and figure are what the stored runs give"
        print("out of date: " + ", ".join(stale) if stale else fine)
        return bool(stale)
    with replacing(README) as file:
        file.write(new.encode())
    with replacing(FIGURE) as file:
        file.write(draw(comparison))
    return 0


if __name__ == "__main__":
    sys.exit(main())
