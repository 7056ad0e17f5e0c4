"""What came out, in the README: its findings and its figure, made from the stored runs.

    python tools/show_results.py            write them
    python tools/show_results.py --check    say whether they are what the stored runs give

They stand in README.md between two comments. The figure is the first one of notebook 07. A finding
that the runs no longer bear out is refused: then its sentence must be written anew.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from rebuild_notebooks import opening_picture, picture_path, read  # noqa: E402

from rrnn.checkpoints import replacing  # noqa: E402
from rrnn.comparison import Climb, Comparison  # noqa: E402
from rrnn.experiments import load_records  # noqa: E402

README, NOTEBOOKS = ROOT / "README.md", ROOT / "notebooks"
START = "<!-- findings: written by tools/show_results.py -->\n"
END = "<!-- end of findings -->\n"
SIZE = "3. At the paper's own size"  # sections of notebook 07
CLIMB = "2. The climb: more and more things to relate"
NUMBERS = {3: "three", 4: "four", 5: "five"}
STORIES, TEXT = "5. Stories that others wrote", "6. And text?"


def link(number, section, words):
    [path] = NOTEBOOKS.glob(f"{number}_*.ipynb")
    return f"[{words}](notebooks/{path.name}#{section.replace(' ', '-')})"


def left(run):
    """Whether a run ever stood above the best rule that fakes its task."""
    return max(run["curve"]["score"]) > max(run["shortcuts"].values())


def findings(records):
    """The five findings, a line each. ValueError for one that the runs do not bear out."""
    ends = {model: records[f"ladder_{model}"]["rungs"][-1] for model in ("core", "lstm")}
    core, lstm = (end["test"]["accuracy"] for end in ends.values())
    rule = max(ends["core"]["shortcuts"].values())
    climb = Climb(records)
    needed = {model: climb.needed(model, climb.top) for model in climb.models}
    within = f" not within {climb.budget / 1e6:.0f})"
    said = {model: climb.span(model, climb.top).replace(" not)", within) for model in climb.models}
    comparison = Comparison(records)
    won = {
        budget: [comparison.verdict(task, "core", "lstm", budget) for task in comparison.tasks]
        for budget in comparison.budgets
    }
    without = [records[f"ablation_nth_no_qkv_norm_seed{seed}"] for seed in range(1, 6)]
    weakly = [
        sum(comparison.verdict(task, "core", "lstm", budget) == sign
            and not comparison.verdict(task, "core", "lstm", budget, comparison.strict)
            for task in comparison.tasks)
        for budget, sign in (("examples", 1), ("seconds", -1))
    ]
    stuck = sum(not left(run) for run in without)
    bits = {
        model: np.array([records[f"text_{model}_seed{seed}"]["bits"]["stream"]
                         for seed in (1, 2, 3)])
        for model in ("core", "lstm_norm", "one_slot")
    }  # fmt: skip
    table = records["text_core_seed1"]["tables"]["2"]
    errors = {
        model: [np.mean([1 - records[f"babi_en_qa{task:02}_{model}_seed{seed}"]["test"]["accuracy"]
                         for task in range(1, 21)]) for seed in (1, 2, 3)]
        for model in ("core", "lstm", "lstm_norm")
    }  # fmt: skip
    by_rule = np.mean([1 - max(records[f"babi_en_qa{task:02}_core_seed1"]["shortcuts"].values())
                       for task in range(1, 21)])  # fmt: skip
    missed = {model: f"{np.mean(three):.0%}" for model, three in errors.items()}
    read = {model: f"{min(three):.2f} to {max(three):.2f}" for model, three in bits.items()}
    bear_out = {
        "the core leads at the paper's size": 0.91 > core > lstm > rule,
        "slots apart are before the core": needed["apart"].max() < needed["core"].min(),
        "a layer norm helps more than a memory": (
            needed["lstm_norm"].max() < min(needed["core"].min(), needed["lstm"].min())
        ),
        "no win in equal seconds": won["seconds"].count(1) == 0,
        "on text the core is ahead, and one slot is enough": (
            bits["core"].max() < bits["lstm_norm"].min() < table - 0.5
            and bits["one_slot"].mean() < bits["core"].mean()
        ),
        "on stories of others the core is a little ahead": (
            max(errors["core"]) < min(errors["lstm"]) < min(errors["lstm_norm"])
        ),
        "without the norm most cores stay": stuck >= 4,
    }
    if wrong := [finding for finding, is_so in bear_out.items() if not is_so]:
        raise ValueError(f"the stored runs do not bear out: {', '.join(wrong)}")
    tasks = len(comparison.tasks)
    return [
        f"**At the paper's size** (which of 8 vectors of 16 numbers is the n-th farthest from a "
        f"given one?) one core, led there by easier tasks, "
        f"answers {core:.0%}, one LSTM {lstm:.0%}; the best rule that measures no distance scores "
        f"{rule:.0%}. The paper reports 91% for its memory and less than 30% for its LSTM. One "
        f"seed each. {link('07', SIZE, 'Shown in notebook 07')}.",
        f"**On the way there, a layer norm helps the LSTM more than a memory does, and slots need "
        f"not see each other.** Million examples to relate eight vectors of 2 numbers: the core "
        f"{said['core']}, an LSTM with layer norm {said['lstm_norm']}, a plain LSTM "
        f"{said['lstm']}, a core whose slots cannot see each other {said['apart']}. "
        f"{NUMBERS[len(climb.seeds)].capitalize()} seeds each, rates searched for each. "
        f"{link('07', CLIMB, 'Shown in notebook 07')}.",
        f"**On {tasks} small tasks** (five seeds) the core is ahead of the LSTM on "
        f"{won['examples'].count(1)} after equally many examples ({weakly[0]} weakly: not after "
        f"correction for all comparisons), and on {won['seconds'].count(1)} after equally many "
        f"seconds; the LSTM is then ahead on {won['seconds'].count(-1)} ({weakly[1]} weakly). "
        f"{link('07', '4. Nine small tasks', 'Shown in notebook 07')}. On "
        f"the 20 bAbI tasks with 1,000 questions each (three seeds) the core has "
        f"{missed['core']} wrong, an LSTM {missed['lstm']}, one with layer norm "
        f"{missed['lstm_norm']}, the best rule for each {by_rule:.0%}. "
        f"{link('07', STORIES, 'Shown there, too')}.",
        f"**On text the core is ahead, and needs no second slot:** {read['core']} bits a "
        f"character, an LSTM with layer norm {read['lstm_norm']}, a table of pairs {table:.2f} "
        f"(three seeds, after equally many characters). But its four slots soon hold the same, "
        f"and a core with one slot, at less than half the price, has {read['one_slot']}. "
        f"{link('07', TEXT, 'Shown in notebook 07')}.",
        f"**One line of code decides whether most cores learn in time:** a layer norm that the "
        f"authors' program has and their paper does not mention. Without it {stuck} of 5 runs stay "
        f"on a shortcut. {link('06', '1. The plateau', 'Shown in notebook 06')}.",
    ]


def block(records):
    """The lines of the README between the two comments."""
    [path] = NOTEBOOKS.glob("07_*.ipynb")
    _, sentence = opening_picture(read(path))
    picture = picture_path(path).relative_to(ROOT).as_posix()
    lines = [f"{count}. {line}" for count, line in enumerate(findings(records), 1)]
    return "\n".join([f"![{sentence}]({picture})", "", *lines]) + "\n"


def main():
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail if out of date")
    options = parser.parse_args()
    text = README.read_text(encoding="utf-8")
    lines = block(load_records(NOTEBOOKS / "results"))
    new = text.split(START)[0] + START + lines + END + text.split(END)[1]
    if options.check:
        print("README.md is" + (" what the stored runs give" if new == text else " out of date"))
        return int(new != text)
    with replacing(README) as file:
        file.write(new.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
