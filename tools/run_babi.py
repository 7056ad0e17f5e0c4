"""Real stories: a relational memory core and two LSTMs on the twenty bAbI tasks, one at a time.

    python tools/run_babi.py --data DIR             make what is missing, two runs at a time
    python tools/run_babi.py --data DIR --list      what is done, running and to do, and its hours
    python tools/run_babi.py --data DIR --only en-10k_qa02   only runs with this in their names
    (more options: see run_climb.py, whose they are too)

DIR holds the files of Weston et al. (arXiv:1502.05698), in folders en and en-10k, as they come in
tasks_1-20_v1-2.tar.gz; --list and what is done need no DIR. A task for which there is no file (task
3 of en-10k, where its file is left out) is left out.

Everything was set before the runs. A model for each task, from the training questions but the last
tenth; the tenth chooses: the weights are those of the best of 40 looks at it, which answer the test
file once. Rates: for each model and size the one with the best mean accuracy there on five tasks
(SEARCH), one seed that is not reported. Then three seeds on every task. All models of a size see
equally many questions, and the rate falls to zero over the last 40% of the steps. The LSTMs get as
many units as bring them nearest to the core's parameters. One thread each.
"""

import functools
import hashlib
import json
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
from rrnn.blas import one_blas_thread  # noqa: E402
from rrnn.checkpoints import replacing, save_checkpoint  # noqa: E402
from rrnn.tasks import BabiQA  # noqa: E402
from rrnn.training import Run, score_on  # noqa: E402

RATES, SEARCH, SEARCH_SEED, SEEDS = (5e-4, 1e-3, 2e-3, 4e-3), (1, 2, 6, 14, 19), 100, (1, 2, 3)
LOOKS = 40
STEPS = {"en": (3000, 32), "en-10k": (20000, 64)}  # and questions a step
CORE = {"num_slots": 8, "slot_size": 32, "num_heads": 4}
MODELS = {  # class, sizes
    "core": ("RelationalMemoryCore", CORE),
    "lstm": ("LSTM", {}),
    "lstm_norm": ("LSTM", {"layer_norm": True}),
}


@functools.cache
def sizes_of(model, input_size, output_size):
    """(class, sizes) of a model, with as many parameters as the core or nearly so."""
    kind, sizes = MODELS[model]
    if kind != "LSTM":
        return kind, sizes
    units = study.units_like(CORE, sizes, input_size, output_size)
    return kind, {"hidden_size": units} | sizes


def name_of(size, number, model, end):
    return f"babi_{size}_qa{number:02}_{model}_{end}"


def best_rate(records, size, model):
    """The rate with the best mean accuracy on the questions for tuning; None before it is found."""
    means = {}
    for rate in RATES:
        names = [name_of(size, number, model, f"search_{rate:g}") for number in SEARCH]
        if not all(name in records for name in names):
            return None
        means[rate] = np.mean([max(look[4] for look in records[name]["looks"]) for name in names])
    return max(means, key=means.get)


def plan(records):
    """{name: run} of the searches, and of the reported runs whose rate they have found."""
    runs = {}
    for size, (steps, batch_size) in STEPS.items():
        run = {"size": size, "steps": steps, "batch_size": batch_size}
        for model in MODELS:
            for number in SEARCH:
                for rate in RATES:
                    name = name_of(size, number, model, f"search_{rate:g}")
                    runs[name] = run | {"number": number, "model": model, "learning_rate": rate,
                                        "seed": SEARCH_SEED}  # fmt: skip
        for model in MODELS:
            rate = best_rate(records, size, model)
            for number in range(1, 21) if rate else ():
                for seed in SEEDS:
                    name = name_of(size, number, model, f"seed{seed}")
                    runs[name] = run | {"number": number, "model": model, "learning_rate": rate,
                                        "seed": seed}  # fmt: skip
    return {name: run for name, run in runs.items() if (run["size"], run["number"]) != LEFT_OUT}


LEFT_OUT = ("en-10k", 3)  # its file is left out where the runs were made


def make(name, run, folder, deadline=None, *, data):
    """Make a run, or go on with it; its record, or None after the deadline."""
    if deadline and time.time() > deadline:
        return None
    task = BabiQA(data, run["number"], size=run["size"])
    kind, sizes = sizes_of(run["model"], task.input_size, task.output_size)
    model = experiments.MODELS[kind](task.input_size, output_size=task.output_size,
                                     seed=run["seed"], **sizes)  # fmt: skip
    training = Run(model, task, run["steps"], batch_size=run["batch_size"], eval_examples=1,
                   learning_rate=run["learning_rate"], seed=run["seed"], schedule="decay")
    looks, best, part = [], model.flat.copy(), folder / f"{name}.part.npz"
    if part.exists():
        looks, best = study.kept(part, "looks", "best")
        training.resume(part)
    with one_blas_thread():
        while training.step < training.steps:
            training.advance()
            if training.step % (training.steps // LOOKS):
                continue
            found = score_on(model, task.tuning)
            row = [training.step, training.step * run["batch_size"], round(training.seconds, 2),
                   round(found["loss"], 5), round(found["accuracy"], 5)]  # fmt: skip
            if row[4] > max((look[4] for look in looks), default=-1):
                best = model.flat.copy()
            looks.append(row)
            training.save(part, {"looks": looks, "best": best})
            if deadline and time.time() > deadline and training.step < training.steps:
                return None
        learned = score_on(model, task.batches("train"))
        model.flat[:] = best
        test = score_on(model, task.held_out)
    record = {
        "run": run, "sizes": [kind, sizes], "parameters": model.flat.size, "looks": looks,
        "train": learned, "test": test, "shortcuts": task.shortcuts(),
        "steps": task.num_inputs, "questions": task.identity,
        "sha256": hashlib.sha256(model.flat.tobytes()).hexdigest(),
        "versions": experiments.versions(),
    }  # fmt: skip
    if run["seed"] == SEEDS[0]:
        save_checkpoint(folder / f"{name}.npz", model)
    with replacing(folder / f"{name}.json") as file:
        file.write(json.dumps(record).encode())
    part.unlink()
    return record


def under_way(folder, name):
    """How far an unfinished run is, in words, and its processor seconds; None if it is to do."""
    part = folder / f"{name}.part.npz"
    if not part.exists():
        return None
    step, (*_, look) = study.kept(part, "step", "looks")
    return f"{step} steps, {look[4]:.2f}", look[2]


def describe(record):
    """The end of a run, in a line."""
    best = max(record["shortcuts"].values())
    return (f"test {record['test']['accuracy']:.3f} (best shortcut {best:.3f}), "
            f"{record['looks'][-1][2]:.0f} s")  # fmt: skip


if __name__ == "__main__":
    data = "the folder with the stories, as in tasks_1-20_v1-2.tar.gz (arXiv:1502.05698)"
    sys.exit(study.main(__doc__, plan, make, under_way, describe, data))
