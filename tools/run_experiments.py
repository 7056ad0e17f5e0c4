"""Every run that is too long for a notebook, as data; and the tables that come out of it.

    python tools/run_experiments.py                 run what is missing, then print the tables
    python tools/run_experiments.py --only story    only the runs whose name contains "story"
    python tools/run_experiments.py --list          the runs, and which of them are done
    python tools/run_experiments.py --check         train the first steps of every stored run again,
                                                    and compare
    python tools/run_experiments.py --fresh DIR     make all of them anew in DIR, as if none was
                                                    stored

What is stored is a line of notebooks/results/runs.jsonl. What is missing there is made in
build/runs, by rrnn_helpers.run_experiments: each run leaves NAME.json (the experiment, its learning
curve, versions, sha256 of the weights) and NAME.npz (the weights), and an interrupted one goes on
where it stopped. `python tools/gather_runs.py` then stores it. Two processes, one BLAS thread each.

What rounds otherwise takes another course: other matrix products (OpenBLAS has other code for other
processors), or the same equations in another order. A run's "versions" say which products made it;
where they do not, it is OPENBLAS_CORETYPE=SkylakeX for the runs nth_farthest_* and Haswell for the
others, and the code was the one before there was a package rrnn. --check finds losses and scores
that are the same, or differ by less than 0.1: some hundred steps make so much of rounding.

For each model and task the learning rate is chosen first, by the same search: the same values, one
seed that is not reported, and as many steps as the reported runs have. The value with the lowest
loss at the end, on fresh examples, wins: where several end without a mistake, accuracies are equal
and losses are not.

Two arguments say what was meant before there was a choice. "share_blocks": with num_blocks above 1
the blocks of these cores have the same weights; by default they have their own. "sizes": "batch":
programs of one size in each batch; by default sizes are mixed.
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

from run_climb import by_n  # noqa: E402

import rrnn_helpers as rh  # noqa: E402
from rrnn.blas import kernels  # noqa: E402
from rrnn.checkpoints import replacing  # noqa: E402
from rrnn.training import score_of  # noqa: E402

WORK = ROOT / "build" / "runs"
RATES = (2e-4, 5e-4, 1e-3, 2e-3, 5e-3)
SEARCH_SEED, SEEDS = 100, (1, 2, 3, 4, 5)
READOUT = {"readout_sizes": (64, 64)}
# What the runs are made of: task, model, steps; "search_steps" if the search is shorter; "rate_of"
# the experiment whose learning rate is taken over, or "near" the one whose rate and its two
# neighbours are searched; "seeds" other than SEEDS; "schedule" of the rate.
NTH_3X2 = ("NthFarthest", {"num_vectors": 3, "num_dims": 2})
NTH_4X2 = ("NthFarthest", {"num_vectors": 4, "num_dims": 2})
LARGE_CORE = {"slot_size": 64, "num_heads": 4} | READOUT
CORE_3X2 = ("RelationalMemoryCore", {"num_slots": 3} | LARGE_CORE)
CORE_4X2 = ("RelationalMemoryCore", {"num_slots": 4} | LARGE_CORE)
EXPERIMENTS = {
    "nth_farthest_3x2_core": {"task": NTH_3X2, "model": CORE_3X2, "steps": 4000},
    "nth_farthest_3x2_lstm": {
        "task": NTH_3X2, "model": ("LSTM", {"hidden_size": 128} | READOUT), "steps": 16000,
    },
    "nth_farthest_4x2_direct": {
        "task": NTH_4X2, "model": CORE_4X2, "steps": 8000,
        "rate_of": "nth_farthest_3x2_core", "seeds": (1, 2, 3),
    },
    "nth_farthest_4x2_curriculum": {
        "task": NTH_4X2, "model": CORE_4X2, "steps": 8000,
        "curriculum": [("NthFarthest", {"num_vectors": 3, "num_dims": 2, "labels": 4}, 0.85)],
        "rate_of": "nth_farthest_3x2_core", "seeds": (1, 2, 3),
    },
}  # fmt: skip

# The comparison (notebook 07): every task with four models. The wide LSTM has as many units as the
# core's memory has numbers, the other LSTM at least as many parameters as the core, the cell of
# notebook 03 about as many. A step of the core costs more than one of the others, so they get more
# steps: every run takes at least about as long as the core's.
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


def story(num_objects, num_facts):
    people, places = {"num_people": 3, "num_objects": num_objects}, {"num_places": 5}
    return "StoryQA", people | places | {"num_facts": num_facts}


def tracking(num_steps):
    return "ObjectTracking", {"num_objects": 3, "grid_size": 5, "num_steps": num_steps}


def program(kind, length, sizes="batch"):
    return "ProgramEvaluation", {"kind": kind, "nesting": 1, "length": length, "sizes": sizes}


TASKS = {  # task, steps of the core
    "nth_3x2": (NTH_3X2, 4800),
    "nth_4x4": (("NthFarthest", {"num_vectors": 4, "num_dims": 4}), 10000),
    "pairs": (("PairMatching", {"num_pairs": 4, "vocab_size": 8}), 2000),
    "stories": (story(2, 10), 3200),
    "tracking": (tracking(10), 2000),
    "sorting": (("Sorting", {"length": 6, "vocab_size": 8}), 800),
    "copy": (program("copy", 5), 2000),
    "reverse": (program("reverse", 5), 2000),
    "add": (program("add", 2), 2400),
}
ELSEWHERE = {  # the same tasks in other sizes, where the width of the input stays
    "pairs": {f"{n} pairs": ("PairMatching", {"num_pairs": n, "vocab_size": 8}) for n in (2, 3, 4)},
    "stories": {f"{n} facts": story(2, n) for n in (6, 10, 20, 30)},
    "tracking": {f"{n} moves": tracking(n) for n in (5, 10, 20, 40)},
    "sorting": {f"{n} values": ("Sorting", {"length": n, "vocab_size": 8}) for n in (4, 6, 8, 10)},
    "copy": {f"{n} digits": program("copy", n, "fixed") for n in (3, 5, 6, 8)},
    "reverse": {f"{n} digits": program("reverse", n, "fixed") for n in (3, 5, 6, 8)},
    "add": {f"{n} digits": program("add", n, "fixed") for n in (1, 2, 3)},
}
for name, (task, steps) in TASKS.items():
    for short, (model, times) in MODELS.items():
        entry = {"task": task, "model": model, "steps": round(times * steps)}
        long = name in ("nth_3x2", "stories")  # these have a long plateau
        entry["search_steps"] = entry["steps"] if long else entry["steps"] // 2
        more = {"curriculum": STAGES} if name == "nth_4x4" else {}
        EXPERIMENTS[f"{name}_{short}"] = entry | more

# The ablations (notebook 09): one thing about the core changed at a time, on two tasks.
VARIANTS = {
    **{f"slots_{n}_same_size": {"num_slots": n} for n in (1, 2, 8)},
    **{f"slots_{n}_same_units": {"num_slots": n, "slot_size": 128 // n} for n in (1, 2, 8)},
    **{f"slots_{n}_same_parameters": {"num_slots": n, "slot_size": size}
       for n, size in ((1, 40), (2, 36), (8, 24))},
    **{f"heads_{n}": {"num_heads": n} for n in (1, 2, 8)},
    "gate_memory": {"gate_style": "memory"},
    "gate_none": {"gate_style": None},
    "no_attention_between_slots": {"attend_to": "self"},
    "no_mlp": {"mlp_layers": 0},
    "no_qkv_norm": {"qkv_norm": False},
    "first_memory_zeros": {"initial_memory": "zeros"},
    "first_memory_random": {"initial_memory": "random"},
    "blocks_2": {"num_blocks": 2, "share_blocks": True},
}  # fmt: skip
# The comparison's stories are too long for the core to pass the best rule; with one object and
# eight facts it does.
SMALL_STORY = story(1, 8)
for short in ("core", "rrnn"):
    model, times = MODELS[short]
    entry = {"task": SMALL_STORY, "model": model, "steps": round(1600 * times)}
    EXPERIMENTS[f"small_story_{short}"] = entry | {"search_steps": entry["steps"]}
for short, task in {"nth": "nth_3x2", "story": "small_story"}.items():
    for variant, change in VARIANTS.items():
        EXPERIMENTS[f"ablation_{short}_{variant}"] = EXPERIMENTS[f"{task}_core"] | {
            "model": ("RelationalMemoryCore", CORE | change), "near": f"{task}_core",
            "weights": False,
        }  # fmt: skip
    kind, sizes = EXPERIMENTS[f"{task}_rrnn"]["model"]
    EXPERIMENTS[f"ablation_{short}_rrnn_no_lstm"] = EXPERIMENTS[f"{task}_rrnn"] | {
        "model": (kind, sizes | {"use_lstm": False}), "near": f"{task}_rrnn",
        "weights": False,
    }  # fmt: skip

# What a falling rate buys (notebook 06). "constant" is nth_3x2_core
# once more, so that rounding does not part it from "decay" before the rate falls.
for name, change in {
    "constant": {},
    "decay": {"schedule": "decay"},
    "long": {"steps": 19200, "seeds": (1, 2)},
    "long_decay": {"steps": 19200, "seeds": (1, 2), "schedule": "decay"},
}.items():
    more = {"rate_of": "nth_3x2_core", "weights": False}
    EXPERIMENTS[f"schedule_{name}"] = EXPERIMENTS["nth_3x2_core"] | more | change


def plan(name, rate, seed):
    """The entry of EXPERIMENTS as rrnn_helpers.run_experiments takes it."""
    entry = EXPERIMENTS[name]
    searching = seed == SEARCH_SEED
    arguments = {
        "steps": entry.get("search_steps", entry["steps"]) if searching else entry["steps"],
        "batch_size": 128, "learning_rate": rate, "seed": seed,
        "eval_every": entry["steps"] // 20 if "search_steps" in entry else 250,
    }  # fmt: skip
    arguments |= {key: entry[key] for key in ("schedule",) if key in entry}
    planned = {key: entry[key] for key in ("task", "model", "curriculum") if key in entry}
    keep = entry.get("weights", True) and not searching
    return planned | {"train": arguments} | ({} if keep else {"weights": False})


def rates(records, name):
    """The learning rates that the search of an experiment tries."""
    entry = EXPERIMENTS[name]
    if "near" not in entry:
        return () if "rate_of" in entry else RATES
    at = RATES.index(best_rate(records, entry["near"]))
    return RATES[max(at - 1, 0) : at + 2]


def searches(records, name):
    """The runs that choose the learning rate: {run: experiment}."""
    tried = rates(records, name)
    return {search_name(name, rate): plan(name, rate, SEARCH_SEED) for rate in tried}


def reported(records, name):
    """The reported runs of an experiment, at the learning rate that the search chose: {run:
    experiment}."""
    rate, seeds = best_rate(records, name), EXPERIMENTS[name].get("seeds", SEEDS)
    return {f"{name}_seed{seed}": plan(name, rate, seed) for seed in seeds}


def search_name(name, rate):
    return f"{name}_search_{rate:g}"


def best_rate(records, name):
    """The learning rate whose search run ended with the lowest loss on fresh examples."""
    name = EXPERIMENTS[name].get("rate_of", name)
    tried = rates(records, name)
    return min(tried, key=lambda rate: records[search_name(name, rate)]["test"]["loss"])


def is_of(record, experiment):
    return record is not None and record["experiment"] == json.loads(json.dumps(experiment))


def look_closer(folder, run, task):
    """Add to the record of a run of the comparison what notebook 07 shows of its weights, and
    return it: "by_n", accuracies on 4,000 examples of NthFarthest, or, where the width of the input
    allows it, "elsewhere": {size: score on 300 examples}."""
    record = rh.load_records(folder, run)[run]
    if {"by_n", "elsewhere"} & record.keys():
        return record
    model, _ = rh.load_checkpoint(folder / f"{run}.npz")
    if task in ELSEWHERE:
        made = {size: getattr(rh, kind)(**sizes) for size, (kind, sizes) in ELSEWHERE[task].items()}
        scores = {size: rh.evaluate(model, task, 300, seed=71) for size, task in made.items()}
        record["elsewhere"] = {size: round(score_of(scores[size]), 6) for size in scores}
    else:
        record["by_n"] = by_n(model, rh.NthFarthest(**TASKS[task][0][1]), 4000, seed=70)
    with replacing(folder / f"{run}.json") as file:
        file.write(json.dumps(record, indent=1).encode())
    return record


def check(records, runs):
    """Train each run up to its first evaluation again and compare; how many differ by more than
    rounding makes of it (see above)."""
    bad = 0
    for run, experiment in runs.items():
        record, steps = records[run], experiment["train"]["eval_every"]
        short = experiment | {"train": experiment["train"] | {"steps": steps}}
        again = rh.run_experiments({run: short}, progress=False)[run]["curve"]
        then = {column: values[0] for column, values in record["curve"].items()}
        same = all(abs(again[column][0] - then[column]) < 0.1 for column in ("loss", "score"))
        bad += not same
        made = record["versions"].get("blas", "see --help")
        differs = f"  DIFFERS (matrix products then: {made}; now: {kernels()})"
        losses = f"loss {then['loss']:.4f} then, {again['loss'][0]:.4f} now"
        print(f"{run}: step {steps}, {losses}{'' if same else differs}", flush=True)
    return bad


def first(curve, axis, level):
    """Where on `axis` the curve first reaches the level, or None."""
    reached = [at for at, score in zip(curve[axis], curve["score"], strict=True) if score >= level]
    return reached[0] if reached else None


def at_most(curve, axis, limit):
    """The last score of the curve at or before the limit."""
    scores = [score for at, score in zip(curve[axis], curve["score"], strict=True) if at <= limit]
    return scores[-1] if scores else float("nan")


def print_tables(records):
    core, lstm, *others = (name for name in EXPERIMENTS if name.startswith("nth_farthest"))
    print("\nChoice of the learning rate (seed 100, accuracy on 10,000 fresh examples)")
    for name in (core, lstm):
        scores = [(rate, records[search_name(name, rate)]["test"]["accuracy"]) for rate in RATES]
        scores = ", ".join(f"{rate:g}: {score:.3f}" for rate, score in scores)
        print(f"  {name}: {scores}  -> {best_rate(records, name):g}")
    heads = "seed  model      parameters  steps  seconds  test accuracy"
    print(f"\n{heads}  examples to .90  seconds to .90")
    for name in (core, lstm):
        for seed in SEEDS:
            r = records[f"{name}_seed{seed}"]
            c, test = r["curve"], r["test"]["accuracy"]
            to, sec = (first(c, axis, 0.9) for axis in ("examples", "seconds"))
            print(f"{seed:4}  {name[17:]:9}{r['parameters']:12,}{c['step'][-1]:7}", end="")
            print(f"{c['seconds'][-1]:9.1f}{test:15.3f}{to or '-':>17}", end="")
            print(f"{sec and round(sec, 1) or '-':>16}")
    print("\nThe LSTM at what the core had in all: equal examples, equal seconds (held-out score)")
    for seed in SEEDS:
        c, o = (records[f"{name}_seed{seed}"]["curve"] for name in (core, lstm))
        examples, seconds = (at_most(o, axis, c[axis][-1]) for axis in ("examples", "seconds"))
        print(f"  seed {seed}: core {c['score'][-1]:.3f}, LSTM {examples:.3f} and {seconds:.3f}")
    for rule, score in records[f"{core}_seed{SEEDS[0]}"]["shortcuts"].items():
        print(f"  shortcut: {rule}: {score:.3f}")
    for name in others:
        scores = [records[run]["test"]["accuracy"] for run in reported(records, name)]
        print(f"{name}: {', '.join(f'{score:.3f}' for score in scores)}")
    what = "mean of five seeds [95% interval], accuracy, or error for tracking"
    print(f"\nThe comparison: {what}; seconds of one core")
    comparison = rh.Comparison(records)
    for (task, model), runs in comparison.runs.items():
        run, (mean, low, high) = runs[0], rh.mean_interval(comparison.final(task, model))
        rate, seconds = run["experiment"]["train"]["learning_rate"], run["curve"]["seconds"][-1]
        print(f"{task:10}{model:10}{run['parameters']:8,}  rate {rate:<7g}{seconds:6.0f} s", end="")
        print(f"   {mean:.3f} [{low:.3f}, {high:.3f}]   best shortcut {comparison.bar(task):.3f}")
    print("\nThe ablations")
    for name in (name for name in EXPERIMENTS if name.startswith("ablation")):
        scores = [score_of(records[run]["test"]) for run in reported(records, name)]
        mean, low, high = rh.mean_interval(scores)
        print(f"{name:45}rate {best_rate(records, name):<7g}{mean:.3f} [{low:.3f}, {high:.3f}]")


def main():
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", metavar="NAME", help="only runs with NAME in theirs")
    parser.add_argument("--list", action="store_true", help="list the runs and stop")
    parser.add_argument("--check", action="store_true", help="train the first steps again and stop")
    parser.add_argument("--fresh", type=Path, metavar="DIR", help="make all of them anew in DIR")
    options = parser.parse_args()
    chosen = [name for name in EXPERIMENTS if options.only in name]
    if not chosen:
        there = f"no experiment has that in its name; there are {', '.join(EXPERIMENTS)}"
        parser.error(f"--only {options.only}: {there}")
    folder = options.fresh or WORK
    folder.mkdir(parents=True, exist_ok=True)
    records = {} if options.fresh else rh.load_records(rh.RESULTS)
    if any(folder.glob("[!.]*.json")):
        records |= rh.load_records(folder)
    if options.list:
        for name in chosen:
            seeds = EXPERIMENTS[name].get("seeds", SEEDS)
            done = sum(f"{name}_seed{seed}" in records for seed in seeds)
            print(f"{done} of {len(seeds)} seeds  {name}")
        return 0
    if options.check:
        runs = {run: plan for name in chosen for run, plan in reported(records, name).items()}
        return bool(check(records, runs))
    with ProcessPoolExecutor(2) as pool:
        for stage in (searches, reported):
            missing = {
                run: planned for name in chosen for run, planned in stage(records, name).items()
                if not is_of(records.get(run), planned)
            }  # fmt: skip
            records |= rh.run_experiments(missing, pool, folder=folder)
    for task in TASKS:
        for path in folder.glob(f"{task}_*_seed?.npz"):
            records[path.stem] = look_closer(folder, path.stem, task)
    if len(chosen) == len(EXPERIMENTS):
        print_tables(records)
    return 0


if __name__ == "__main__":
    sys.exit(main())
