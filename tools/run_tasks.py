"""The tasks: four models with about as many parameters, after equally many examples.

    python tools/run_tasks.py              make what is missing, two runs at a time
    python tools/run_tasks.py --list       what is done, running and to do, and its hours
    python tools/run_tasks.py --only add   only runs whose name contains "add"
    (more options: see run_climb.py, whose they are too)

Everything was set before the runs. Each model gets seven learning rates on each task, two seeds
each that are not reported, half as many steps as the reported runs; the rate whose mean loss at the
end is lowest wins. Then ten seeds. All runs of a task see equally many examples, and in each the
rate falls to zero over the last 40% of the steps. 40 looks a run. Programs are mixed in size as the
paper's authors mix them, and scored at the largest.

A run leaves NAME.json in notebooks/results/unfinished; tools/gather_runs.py takes it to runs.jsonl.
"""

import functools
import os
import sys
import time
from pathlib import Path

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import study  # noqa: E402

from rrnn import experiments  # noqa: E402
from rrnn.training import score_of  # noqa: E402

KINDS = experiments.TASKS | experiments.MODELS
RATES, SEARCH_SEEDS = (2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2), (100, 101)
SEEDS, LOOKS = tuple(range(1, 11)), 40
READOUT = {"readout_sizes": (64, 64)}
CORE = {"num_slots": 4, "slot_size": 32, "num_heads": 4} | READOUT
MODELS = {  # the LSTMs get as many units as bring them nearest to the core's parameters
    "core": ("RelationalMemoryCore", CORE),
    "rrnn": ("RelationalRNN", {"hidden_size": 32} | CORE),
    "lstm": ("LSTM", READOUT),
    "lstm_norm": ("LSTM", {"layer_norm": True} | READOUT),
}
STAGES = [("NthFarthest", {"num_vectors": 3, "num_dims": 2, "labels": 4}, 0.85)]
PROGRAMS = {"nesting": 2, "length": 3}
TASKS = {  # task, steps, curriculum
    "nth_3x2": (("NthFarthest", {"num_vectors": 3, "num_dims": 2}), 12000, None),
    "nth_4x2": (("NthFarthest", {"num_vectors": 4, "num_dims": 2}), 16000, STAGES),
    "pairs": (("PairMatching", {"num_pairs": 8, "vocab_size": 16}), 10000, None),
    "stories": (("StoryQA", {"num_people": 3, "num_objects": 2, "num_places": 5,
                             "num_facts": 16}), 8000, None),
    "tracking": (("ObjectTracking", {"num_objects": 6, "grid_size": 8, "num_steps": 20}), 6000,
                 None),
    "sorting": (("Sorting", {"length": 10, "vocab_size": 10}), 4000, None),
    **{kind: (("ProgramEvaluation", {"kind": kind} | PROGRAMS), 4000, None)
       for kind in ("add", "control", "program")},
    **{kind: (("ProgramEvaluation", {"kind": kind, "nesting": 1, "length": 8}), 4000, None)
       for kind in ("copy", "reverse", "double")},
}  # fmt: skip


@functools.cache
def sizes_of(task, model):
    """(class, sizes) of a model for a task."""
    kind, sizes = MODELS[model]
    if "lstm" not in model:
        return kind, sizes
    (name, arguments), _, _ = TASKS[task]
    made = KINDS[name](**arguments)
    units = study.units_like(CORE, sizes, made.input_size, made.output_size)
    return kind, {"hidden_size": units} | sizes


def experiment(task, model, rate, seed):
    """A run as run_experiments takes it."""
    made, steps, curriculum = TASKS[task]
    steps = steps // 2 if seed in SEARCH_SEEDS else steps
    arguments = {"steps": steps, "learning_rate": rate, "seed": seed, "schedule": "decay",
                 "eval_every": steps // LOOKS}  # fmt: skip
    run = {"task": made, "model": sizes_of(task, model), "train": arguments}
    run |= {"curriculum": curriculum} if curriculum else {}
    return run | {"weights": seed == SEEDS[0]}


def best_rate(records, task, model):
    """The rate with the lowest mean loss on fresh examples, or None before the search is done."""
    losses = {}
    for rate in RATES:
        names = [search_name(task, model, rate, seed) for seed in SEARCH_SEEDS]
        if not all(name in records for name in names):
            return None
        losses[rate] = np.mean([records[name]["test"]["loss"] for name in names])
    return min(losses, key=losses.get)


def search_name(task, model, rate, seed):
    return f"tasks_{task}_{model}_search_{rate:g}_{seed}"


def plan(records):
    """{name: run} of the searches, and of the reported runs whose rate they have found."""
    runs = {}
    for task in TASKS:
        for model in MODELS:
            for rate in RATES:
                for seed in SEARCH_SEEDS:
                    name = search_name(task, model, rate, seed)
                    runs[name] = experiment(task, model, rate, seed)
            rate = best_rate(records, task, model)
            for seed in SEEDS if rate else ():
                runs[f"tasks_{task}_{model}_seed{seed}"] = experiment(task, model, rate, seed)
    return runs


def make(name, run, folder, deadline=None):
    """Make a run, or go on with it; its record, or None after the deadline."""
    if deadline and time.time() > deadline:
        return None
    return experiments.run_experiments({name: run}, folder=folder, progress=False)[name]


def describe(record):
    """The end of a run, in a line."""
    best = record["shortcuts"].values()
    best = min(best) if "error" in record["test"] else max(best)
    score, seconds = score_of(record["test"]), record["curve"]["seconds"][-1]
    return f"score {score:.3f} (best shortcut {best:.3f}), {seconds:.0f} s"


if __name__ == "__main__":
    sys.exit(study.main(__doc__, plan, make, study.part_of_experiment, describe))
