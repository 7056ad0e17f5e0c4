"""Every run that is too long for a notebook, as data; and the tables that come out of it.

    python tools/run_experiments.py                 run what is missing, then print the tables
    python tools/run_experiments.py --only story    only the runs whose name contains "story"
    python tools/run_experiments.py --list          the runs, and which of them are done
    python tools/run_experiments.py --check         train the first steps of every stored run again, and compare
    python tools/run_experiments.py --fresh DIR     read and write results in DIR, leaving the stored ones alone

Each run leaves NAME.json (the experiment, its learning curve, versions, sha256 of the weights) and NAME.npz (the
weights) in notebooks/results; rrnn_helpers.run_experiments does the work. An interrupted run goes on where it stopped.
Two processes, one BLAS thread each.

For each model and task the learning rate is chosen first, by the same search: the same values, one seed that is not
reported, and as many steps as the reported runs have. The value with the lowest loss at the end, on fresh examples,
wins: where several end without a mistake, accuracies are equal and losses are not.
"""

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import rrnn_helpers as rh  # noqa: E402

RESULTS = ROOT / "notebooks" / "results"
RATES = (2e-4, 5e-4, 1e-3, 2e-3, 5e-3)
SEARCH_SEED, SEEDS = 100, (1, 2, 3, 4, 5)
READOUT = {"readout_sizes": (64, 64)}
# What the runs are made of. "rate_of" names the experiment whose learning rate is taken over, instead of a search;
# "seeds" stand for SEEDS.
EXPERIMENTS = {
    "nth_farthest_3x2_core": {
        "task": ("NthFarthest", {"num_vectors": 3, "num_dims": 2}),
        "model": ("RelationalMemoryCore", {"num_slots": 3, "slot_size": 64, "num_heads": 4} | READOUT),
        "steps": 4000,
    },
    "nth_farthest_3x2_lstm": {
        "task": ("NthFarthest", {"num_vectors": 3, "num_dims": 2}),
        "model": ("LSTM", {"hidden_size": 128} | READOUT),
        "steps": 16000,
    },
    "nth_farthest_4x2_direct": {
        "task": ("NthFarthest", {"num_vectors": 4, "num_dims": 2}),
        "model": ("RelationalMemoryCore", {"num_slots": 4, "slot_size": 64, "num_heads": 4} | READOUT),
        "steps": 8000,
        "rate_of": "nth_farthest_3x2_core",
        "seeds": (1, 2, 3),
    },
    "nth_farthest_4x2_curriculum": {
        "task": ("NthFarthest", {"num_vectors": 4, "num_dims": 2}),
        "curriculum": [("NthFarthest", {"num_vectors": 3, "num_dims": 2, "labels": 4}, 0.85)],
        "model": ("RelationalMemoryCore", {"num_slots": 4, "slot_size": 64, "num_heads": 4} | READOUT),
        "steps": 8000,
        "rate_of": "nth_farthest_3x2_core",
        "seeds": (1, 2, 3),
    },
}
# Every other task, with both models: sizes, and steps for one to two minutes of an idle core. One seed is reported.
MODELS = {
    "core": ("RelationalMemoryCore", {"num_slots": 4, "slot_size": 64, "num_heads": 4} | READOUT),
    "lstm": ("LSTM", {"hidden_size": 128} | READOUT),
}
BRIEF = {
    "pair_matching": ("PairMatching", {"num_pairs": 4, "vocab_size": 8}, {"core": 6000, "lstm": 20000}),
    "object_tracking": (
        "ObjectTracking", {"num_objects": 3, "grid_size": 5, "num_steps": 10}, {"core": 2000, "lstm": 6000},
    ),
    "story_qa": (
        "StoryQA", {"num_people": 3, "num_objects": 2, "num_places": 5, "num_facts": 16}, {"core": 2000, "lstm": 6000},
    ),
    "sorting": ("Sorting", {"length": 6, "vocab_size": 8}, {"core": 2500, "lstm": 8000}),
    "program_add": (
        "ProgramEvaluation", {"kind": "add", "nesting": 1, "length": 3}, {"core": 1800, "lstm": 5500},
    ),
    "program_reverse": (
        "ProgramEvaluation", {"kind": "reverse", "nesting": 1, "length": 5}, {"core": 1800, "lstm": 5500},
    ),
}  # fmt: skip
for brief, (*task, steps) in BRIEF.items():
    for model, arguments in MODELS.items():
        settings = {"task": tuple(task), "model": arguments, "steps": steps[model], "seeds": (1,)}
        if brief.startswith("program"):  # no search of their own yet
            settings["rate_of"] = f"nth_farthest_3x2_{model}"
        EXPERIMENTS[f"{brief}_{model}"] = settings


def plan(name, rate, seed):
    """The entry of EXPERIMENTS as rrnn_helpers.run_experiments takes it."""
    entry = EXPERIMENTS[name]
    arguments = {"steps": entry["steps"], "batch_size": 128, "learning_rate": rate, "seed": seed, "eval_every": 250}
    planned = {key: entry[key] for key in ("task", "model", "curriculum") if key in entry} | {"train": arguments}
    return planned | ({"weights": False} if seed == SEARCH_SEED else {})


def searches(name):
    """The runs that choose the learning rate: {run: experiment}."""
    if "rate_of" in EXPERIMENTS[name]:
        return {}
    return {search_name(name, rate): plan(name, rate, SEARCH_SEED) for rate in RATES}


def reported(folder, name):
    """The reported runs of an experiment, at the learning rate that the search chose: {run: experiment}."""
    seeds = EXPERIMENTS[name].get("seeds", SEEDS)
    return {f"{name}_seed{seed}": plan(name, best_rate(folder, name), seed) for seed in seeds}


def load(folder, name):
    return json.loads((folder / f"{name}.json").read_text())


def search_name(name, rate):
    return f"{name}_search_{rate:g}"


def score(record):
    """What a run reached on fresh examples: its accuracy, or its error."""
    return next(record["test"][kind] for kind in ("accuracy", "error") if kind in record["test"])


def best_rate(folder, name):
    """The learning rate whose search run ended with the lowest loss on fresh examples."""
    name = EXPERIMENTS[name].get("rate_of", name)
    return min(RATES, key=lambda rate: load(folder, search_name(name, rate))["test"]["loss"])


def check(folder, runs):
    """Train each run up to its first evaluation again and compare: the same to rounding on the same kind of machine."""
    bad = 0
    for run, experiment in runs.items():
        record, steps = load(folder, run), experiment["train"]["eval_every"]
        short = experiment | {"train": experiment["train"] | {"steps": steps}}
        again = rh.run_experiments({run: short}, progress=False)[run]["curve"]
        then = {column: values[0] for column, values in record["curve"].items()}
        same = all(abs(again[column][0] - then[column]) < 1e-3 for column in ("loss", "score"))
        bad += not same
        verdict = "" if same else "  DIFFERS"
        print(f"{run}: step {steps}, loss {then['loss']:.4f} then, {again['loss'][0]:.4f} now{verdict}")
    return bad


def first(curve, axis, level):
    """Where on `axis` the curve first reaches the level, or None."""
    reached = [at for at, score in zip(curve[axis], curve["score"], strict=True) if score >= level]
    return reached[0] if reached else None


def at_most(curve, axis, limit):
    """The last score of the curve at or before the limit."""
    scores = [score for at, score in zip(curve[axis], curve["score"], strict=True) if at <= limit]
    return scores[-1] if scores else float("nan")


def print_tables(folder):
    core, lstm, *others = (name for name in EXPERIMENTS if name.startswith("nth_farthest"))
    print("\nChoice of the learning rate (seed 100, accuracy on 10,000 fresh examples)")
    for name in (core, lstm):
        scores = [(rate, load(folder, search_name(name, rate))["test"]["accuracy"]) for rate in RATES]
        scores = ", ".join(f"{rate:g}: {score:.3f}" for rate, score in scores)
        print(f"  {name}: {scores}  -> {best_rate(folder, name):g}")
    print("\nseed  model      parameters  steps  seconds  test accuracy  examples to .90  seconds to .90")
    for name in (core, lstm):
        for seed in SEEDS:
            r = load(folder, f"{name}_seed{seed}")
            c, to, sec = r["curve"], first(r["curve"], "examples", 0.9), first(r["curve"], "seconds", 0.9)
            print(
                f"{seed:4}  {name[17:]:9}{r['parameters']:12,}{c['step'][-1]:7}{c['seconds'][-1]:9.1f}"
                f"{r['test']['accuracy']:15.3f}{to or '-':>17}{sec and round(sec, 1) or '-':>16}"
            )
    print("\nThe LSTM at what the core had in all: equal examples, and equal seconds (held-out score)")
    for seed in SEEDS:
        c, o = (load(folder, f"{name}_seed{seed}")["curve"] for name in (core, lstm))
        by_examples, by_seconds = (at_most(o, axis, c[axis][-1]) for axis in ("examples", "seconds"))
        print(f"  seed {seed}: core {c['score'][-1]:.3f}, LSTM {by_examples:.3f} and {by_seconds:.3f}")
    for rule, score in load(folder, f"{core}_seed{SEEDS[0]}")["shortcuts"].items():
        print(f"  shortcut: {rule}: {score:.3f}")
    for name in others:
        scores = [load(folder, run)["test"]["accuracy"] for run in reported(folder, name)]
        print(f"{name}: {', '.join(f'{score:.3f}' for score in scores)}")
    print("\nAll tasks, steps for one to two minutes of an idle core, seed 1 (accuracy, or error for numbers)")
    for brief in BRIEF:
        for model in MODELS:
            r = load(folder, f"{brief}_{model}_seed1")
            c, better = r["curve"], min if "error" in r["test"] else max
            rule, fake = better(r["shortcuts"].items(), key=lambda item: item[1])
            rate, steps, seconds = r["experiment"]["train"]["learning_rate"], c["step"][-1], c["seconds"][-1]
            print(f"{brief:16}{model:6}rate {rate:<7g}{steps:6} steps{seconds:6.0f} s{score(r):8.3f}", end="   ")
            print(f"best shortcut {fake:.3f} ({rule})")


def main():
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="NAME", help="only experiments whose name contains NAME")
    parser.add_argument("--list", action="store_true", help="list the runs and stop")
    parser.add_argument("--check", action="store_true", help="train the first steps of stored runs again and stop")
    parser.add_argument("--fresh", type=Path, default=RESULTS, metavar="DIR", help="read and write results in DIR")
    options = parser.parse_args()
    folder = options.fresh
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [name for name in EXPERIMENTS if options.only in name]
    if not chosen:
        parser.error(f"--only {options.only}: no experiment has that in its name; there are {', '.join(EXPERIMENTS)}")
    if options.list:
        for name in chosen:
            for run in [*searches(name), *(f"{name}_seed{seed}" for seed in EXPERIMENTS[name].get("seeds", SEEDS))]:
                print("done " if (folder / f"{run}.json").exists() else "to do", run)
        return 0
    if options.check:
        return bool(check(folder, {run: plan for name in chosen for run, plan in reported(folder, name).items()}))
    with ProcessPoolExecutor(2) as pool:
        for stage in (searches, lambda name: reported(folder, name)):
            runs = {run: planned for name in chosen for run, planned in stage(name).items()}
            rh.run_experiments(runs, pool, folder=folder)
    if len(chosen) == len(EXPERIMENTS):
        print_tables(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
