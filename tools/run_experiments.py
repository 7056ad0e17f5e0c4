"""Every run that is too long for a notebook, as data; and the tables that come out of it.

    python tools/run_experiments.py                 run what is missing, then print the tables
    python tools/run_experiments.py --only story    only the runs whose name contains "story"
    python tools/run_experiments.py --list          the runs, and which of them are done
    python tools/run_experiments.py --check         train the first steps of every stored run again, and compare
    python tools/run_experiments.py --fresh DIR     read and write results in DIR, leaving the stored ones alone

Each run leaves NAME.json (the experiment, its learning curve, versions, sha256 of the weights) and NAME.npz (the
weights) in notebooks/results; rrnn_helpers.run_experiments does the work. An interrupted run goes on where it stopped.
Two processes, one BLAS thread each.

OpenBLAS has other code for other processors, which rounds otherwise. Which one made a run stands in its "versions",
and where it does not: the runs nth_farthest_* were made with OPENBLAS_CORETYPE=SkylakeX, the others with Haswell. With
that --check finds the same losses.

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
# What the runs are made of: task, model, steps; "search_steps" if the search is shorter; "rate_of" the experiment whose
# learning rate is taken over, or "near" the one whose rate and its two neighbours are searched; "seeds" other than
# SEEDS.
NTH_3X2 = ("NthFarthest", {"num_vectors": 3, "num_dims": 2})
NTH_4X2 = ("NthFarthest", {"num_vectors": 4, "num_dims": 2})
LARGE_CORE = {"slot_size": 64, "num_heads": 4} | READOUT
EXPERIMENTS = {
    "nth_farthest_3x2_core": {
        "task": NTH_3X2, "model": ("RelationalMemoryCore", {"num_slots": 3} | LARGE_CORE), "steps": 4000,
    },
    "nth_farthest_3x2_lstm": {"task": NTH_3X2, "model": ("LSTM", {"hidden_size": 128} | READOUT), "steps": 16000},
    "nth_farthest_4x2_direct": {
        "task": NTH_4X2, "model": ("RelationalMemoryCore", {"num_slots": 4} | LARGE_CORE), "steps": 8000,
        "rate_of": "nth_farthest_3x2_core", "seeds": (1, 2, 3),
    },
    "nth_farthest_4x2_curriculum": {
        "task": NTH_4X2, "model": ("RelationalMemoryCore", {"num_slots": 4} | LARGE_CORE), "steps": 8000,
        "curriculum": [("NthFarthest", {"num_vectors": 3, "num_dims": 2, "labels": 4}, 0.85)],
        "rate_of": "nth_farthest_3x2_core", "seeds": (1, 2, 3),
    },
}  # fmt: skip

# The comparison (notebook 07): every task with four models. The wide LSTM has as many units as the core's memory has
# numbers, the other LSTM at least as many parameters as the core, the cell of notebook 03 about as many. A step of the
# core costs more than one of the others, so they get more steps: every run takes at least about as long as the core's.
CORE = {"num_slots": 4, "slot_size": 32, "num_heads": 4} | READOUT
MODELS = {  # model, steps for each step of the core
    "core": (("RelationalMemoryCore", CORE), 1),
    "rrnn": (("RelationalRNN", {"hidden_size": 32} | CORE), 1.25),
    "lstm": (("LSTM", {"hidden_size": 58} | READOUT), 4),
    "lstm_wide": (("LSTM", {"hidden_size": 128} | READOUT), 2),
}
STAGES = [  # to NthFarthest(4, 4)
    ("NthFarthest", {"num_vectors": 3, "num_dims": 2, "labels": 4, "dims": 4}, 0.8),
    ("NthFarthest", {"num_vectors": 4, "num_dims": 2, "labels": 4, "dims": 4}, 0.7),
]
TASKS = {  # task, steps of the core
    "nth_3x2": (NTH_3X2, 4800),
    "nth_4x4": (("NthFarthest", {"num_vectors": 4, "num_dims": 4}), 10000),
    "pairs": (("PairMatching", {"num_pairs": 4, "vocab_size": 8}), 2000),
    "stories": (("StoryQA", {"num_people": 3, "num_objects": 2, "num_places": 5, "num_facts": 10}), 3200),
    "tracking": (("ObjectTracking", {"num_objects": 3, "grid_size": 5, "num_steps": 10}), 2000),
    "sorting": (("Sorting", {"length": 6, "vocab_size": 8}), 800),
    "copy": (("ProgramEvaluation", {"kind": "copy", "nesting": 1, "length": 5}), 2000),
    "reverse": (("ProgramEvaluation", {"kind": "reverse", "nesting": 1, "length": 5}), 2000),
    "add": (("ProgramEvaluation", {"kind": "add", "nesting": 1, "length": 2}), 2400),
}
for name, (task, steps) in TASKS.items():
    for short, (model, times) in MODELS.items():
        steps_in_all = round(times * steps)
        search = steps_in_all if name in ("nth_3x2", "stories") else steps_in_all // 2  # these have a long plateau
        entry = {"task": task, "model": model, "steps": steps_in_all, "search_steps": search}
        EXPERIMENTS[f"{name}_{short}"] = entry | ({"curriculum": STAGES} if name == "nth_4x4" else {})

# The ablations (notebook 09): one thing about the core changed at a time, on two tasks.
VARIANTS = {
    **{f"slots_{n}_same_size": {"num_slots": n} for n in (1, 2, 8)},
    **{f"slots_{n}_same_units": {"num_slots": n, "slot_size": 128 // n} for n in (1, 2, 8)},
    **{f"slots_{n}_same_parameters": {"num_slots": n, "slot_size": size} for n, size in ((1, 40), (2, 36), (8, 24))},
    **{f"heads_{n}": {"num_heads": n} for n in (1, 2, 8)},
    "gate_memory": {"gate_style": "memory"},
    "gate_none": {"gate_style": None},
    "no_attention_between_slots": {"attend_to": "self"},
    "no_mlp": {"mlp_layers": 0},
    "no_qkv_norm": {"qkv_norm": False},
    "first_memory_zeros": {"initial_memory": "zeros"},
    "first_memory_random": {"initial_memory": "random"},
    "blocks_2": {"num_blocks": 2},
}
# The comparison's stories are too long for the core to pass the best rule; with one object and eight facts it does.
SMALL_STORY = ("StoryQA", {"num_people": 3, "num_objects": 1, "num_places": 5, "num_facts": 8})
for short in ("core", "rrnn"):
    model, times = MODELS[short]
    steps = round(1600 * times)
    EXPERIMENTS[f"small_story_{short}"] = {"task": SMALL_STORY, "model": model, "steps": steps, "search_steps": steps}
for short, task in {"nth": "nth_3x2", "story": "small_story"}.items():
    for variant, change in VARIANTS.items():
        EXPERIMENTS[f"ablation_{short}_{variant}"] = EXPERIMENTS[f"{task}_core"] | {
            "model": ("RelationalMemoryCore", CORE | change), "near": f"{task}_core", "weights": False,
        }  # fmt: skip
    kind, sizes = EXPERIMENTS[f"{task}_rrnn"]["model"]
    EXPERIMENTS[f"ablation_{short}_rrnn_no_lstm"] = EXPERIMENTS[f"{task}_rrnn"] | {
        "model": (kind, sizes | {"use_lstm": False}), "near": f"{task}_rrnn", "weights": False,
    }  # fmt: skip


def plan(name, rate, seed):
    """The entry of EXPERIMENTS as rrnn_helpers.run_experiments takes it."""
    entry = EXPERIMENTS[name]
    steps = entry.get("search_steps", entry["steps"]) if seed == SEARCH_SEED else entry["steps"]
    every = entry["steps"] // 20 if "search_steps" in entry else 250
    arguments = {"steps": steps, "batch_size": 128, "learning_rate": rate, "seed": seed, "eval_every": every}
    planned = {key: entry[key] for key in ("task", "model", "curriculum") if key in entry} | {"train": arguments}
    keep = entry.get("weights", True) and seed != SEARCH_SEED
    return planned | ({} if keep else {"weights": False})


def rates(folder, name):
    """The learning rates that the search of an experiment tries."""
    entry = EXPERIMENTS[name]
    if "near" not in entry:
        return () if "rate_of" in entry else RATES
    at = RATES.index(best_rate(folder, entry["near"]))
    return RATES[max(at - 1, 0) : at + 2]


def searches(folder, name):
    """The runs that choose the learning rate: {run: experiment}."""
    return {search_name(name, rate): plan(name, rate, SEARCH_SEED) for rate in rates(folder, name)}


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


def best_shortcut(record):
    """The score of the best rule that fakes understanding."""
    return (min if "error" in record["test"] else max)(record["shortcuts"].values())


def best_rate(folder, name):
    """The learning rate whose search run ended with the lowest loss on fresh examples."""
    name = EXPERIMENTS[name].get("rate_of", name)
    return min(rates(folder, name), key=lambda rate: load(folder, search_name(name, rate))["test"]["loss"])


def check(folder, runs):
    """Train each run up to its first evaluation again and compare: the same with the same matrix products (see above);
    others round otherwise, and the run takes another course."""
    bad = 0
    for run, experiment in runs.items():
        record, steps = load(folder, run), experiment["train"]["eval_every"]
        short = experiment | {"train": experiment["train"] | {"steps": steps}}
        again = rh.run_experiments({run: short}, progress=False)[run]["curve"]
        then = {column: values[0] for column, values in record["curve"].items()}
        same = all(abs(again[column][0] - then[column]) < 1e-3 for column in ("loss", "score"))
        bad += not same
        made = record["versions"].get("blas", "see --help")
        verdict = "" if same else f"  DIFFERS (matrix products then: {made}; now: {rh._kernels()})"
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
    print("\nThe comparison: mean of five seeds [95% interval], accuracy, or error for tracking; seconds of one core")
    for name in TASKS:
        for model in MODELS:
            runs = [load(folder, run) for run in reported(folder, f"{name}_{model}")]
            rate, seconds = runs[0]["experiment"]["train"]["learning_rate"], runs[0]["curve"]["seconds"][-1]
            mean, low, high = rh.mean_interval([score(run) for run in runs])
            print(f"{name:10}{model:10}{runs[0]['parameters']:8,}  rate {rate:<7g}{seconds:6.0f} s", end="   ")
            print(f"{mean:.3f} [{low:.3f}, {high:.3f}]   best shortcut {best_shortcut(runs[0]):.3f}")
    print("\nThe ablations")
    for name in (name for name in EXPERIMENTS if name.startswith("ablation")):
        if not (folder / f"{name}_seed{SEEDS[-1]}.json").exists():
            continue
        mean, low, high = rh.mean_interval([score(load(folder, run)) for run in reported(folder, name)])
        print(f"{name:45}rate {best_rate(folder, name):<7g}{mean:.3f} [{low:.3f}, {high:.3f}]")


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
            seeds = EXPERIMENTS[name].get("seeds", SEEDS)
            done = sum((folder / f"{name}_seed{seed}.json").exists() for seed in seeds)
            print(f"{done} of {len(seeds)} seeds  {name}")
        return 0
    if options.check:
        return bool(check(folder, {run: plan for name in chosen for run, plan in reported(folder, name).items()}))
    with ProcessPoolExecutor(2) as pool:
        for stage in (searches, reported):
            runs = {run: planned for name in chosen for run, planned in stage(folder, name).items()}
            rh.run_experiments(runs, pool, folder=folder)
    if len(chosen) == len(EXPERIMENTS):
        print_tables(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
