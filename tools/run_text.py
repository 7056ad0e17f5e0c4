"""Text: two relational memory cores and an LSTM with layer norm, a character a step.

    python tools/run_text.py          make what is missing, two runs at a time
    python tools/run_text.py --list   what is done, running and to do, and its hours
    (more options: see run_climb.py, whose they are too)

The text is the one that every Python carries (CharacterText), 64 characters a window. Each model
gets five learning rates, one seed that is not reported; the rate with the lowest loss on held-out
windows wins. Then three seeds. All models see equally many characters, the rate falls to zero over
the last 40% of the steps, 40 looks a run. The LSTM has as many units as bring it nearest to the
core's parameters.

Three things were not set before the runs. The LSTM's best of four rates was the largest, so all got
a fifth. The reported runs were to be four times as long as the searches; the first of them, an
LSTM's (text_lstm_norm_long), got worse on held-out text from its first quarter on. So they are as
long as the searches: ten times through the text. And the core with one slot came last: in the
others, the four slots had turned out to be copies of each other.

A record says, beside what every run says, how many bits a held-out character takes: read in windows
of 64 and of 640 characters, and as a stream; and how many the best tables of the last none, one and
two characters need.
"""

import functools
import json
import os
import sys
import time
from pathlib import Path

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import study  # noqa: E402

from rrnn import experiments  # noqa: E402
from rrnn.blas import one_blas_thread  # noqa: E402
from rrnn.checkpoints import load_checkpoint, replacing  # noqa: E402
from rrnn.tasks import CharacterText  # noqa: E402

RATES, SEARCH_SEED, SEEDS, LOOKS = (5e-4, 1e-3, 2e-3, 4e-3, 8e-3), 100, (1, 2, 3), 40
WINDOW, BATCH, STEPS, LONG = 64, 32, 2000, 8000
CORE = {"num_slots": 4, "slot_size": 128, "num_heads": 4}
MODELS = {  # the core with one slot has nearly as many parameters
    "core": ("RelationalMemoryCore", CORE),
    "lstm_norm": ("LSTM", {"layer_norm": True}),
    "one_slot": ("RelationalMemoryCore", CORE | {"num_slots": 1, "slot_size": 140}),
}


@functools.cache
def sizes_of(model):
    """(class, sizes) of a model, with as many parameters as the core or nearly so."""
    kind, sizes = MODELS[model]
    if kind != "LSTM":
        return kind, sizes
    width = CharacterText().input_size
    return kind, {"hidden_size": study.units_like(CORE, sizes, width, width)} | sizes


def experiment(model, rate, seed, steps=None):
    """A run as run_experiments takes it, of STEPS steps unless said."""
    steps = steps or STEPS
    arguments = {"steps": steps, "batch_size": BATCH, "learning_rate": rate, "seed": seed,
                 "schedule": "decay", "eval_every": steps // LOOKS,
                 "eval_examples": 200}  # fmt: skip
    return {"task": ("CharacterText", {"steps": WINDOW}), "model": sizes_of(model),
            "train": arguments}  # fmt: skip


def best_rate(records, model):
    """The rate with the lowest loss on held-out windows, or None before the search is done."""
    names = {rate: f"text_{model}_search_{rate:g}" for rate in RATES}
    if not all(name in records for name in names.values()):
        return None
    return min(RATES, key=lambda rate: records[names[rate]]["test"]["loss"])


def plan(records):
    """{name: run} of the searches, and of the reported runs whose rate they have found."""
    runs = {f"text_{model}_search_{rate:g}": experiment(model, rate, SEARCH_SEED)
            for model in MODELS for rate in RATES}  # fmt: skip
    for model in MODELS:
        rate = best_rate(records, model)
        for seed in SEEDS if rate else ():
            runs[f"text_{model}_seed{seed}"] = experiment(model, rate, seed)
    if rate := best_rate(records, "lstm_norm"):
        runs["text_lstm_norm_long"] = experiment("lstm_norm", rate, SEEDS[0], LONG)
    return runs


def make(name, run, folder, deadline=None):
    """Make a run, or go on with it; its record, or None after the deadline."""
    if deadline and time.time() > deadline:
        return None
    record = experiments.run_experiments({name: run}, folder=folder, progress=False)[name]
    if "search" in name or "bits" in record:
        return record
    task = CharacterText(steps=WINDOW)
    model, _ = load_checkpoint(folder / f"{name}.npz")
    with one_blas_thread():
        bits = {"stream": task.bits(model)}
        bits |= {f"{length}": task.bits(model, length) for length in (WINDOW, 10 * WINDOW)}
    tables = {str(order): found for order, found in task.table_bits(2).items()}
    record |= {"bits": bits, "tables": tables, "source": task.source}
    with replacing(folder / f"{name}.json") as file:
        file.write(json.dumps(record, indent=1).encode())
    return record


def describe(record):
    """The end of a run, in a line."""
    bits = record.get("bits", {"stream": record["test"]["loss"] / 0.6931})
    return f"{bits['stream']:.3f} bits a character, {record['curve']['seconds'][-1]:.0f} s"


if __name__ == "__main__":
    sys.exit(study.main(__doc__, plan, make, study.part_of_experiment, describe))
