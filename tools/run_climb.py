"""The climb: how many examples a model needs to relate more and more things, and how far it comes.

    python tools/run_climb.py                      make what is missing, two runs at a time
    python tools/run_climb.py --only core          only runs whose name contains "core"
    python tools/run_climb.py --list               what is done, running and to do, and its hours
    python tools/run_climb.py --hours 2            stop after two hours, to go on another day
    python tools/run_climb.py --dask tcp://...     on a cluster (dask.distributed) instead of here
    python tools/run_climb.py --task 3 --tasks 20  only every 20th run, from the third: for an array
                                                   of jobs, say sbatch --array=0-19 --wrap
                                                   "python tools/run_climb.py --tasks 20 --task
                                                   $SLURM_ARRAY_TASK_ID"

Which label is n-th farthest from vector m? One network reads 3 vectors of 2 numbers, and moves on
to 4, 5, ... 8 vectors, then to 4, 8 and 16 numbers (the paper's size), each time its running
accuracy on a rung passes a bound. What is asked: do slots that see each other climb faster than
slots apart, and than LSTMs, with and without layer norm?

Everything was set before the runs. Rates: for each model 5e-4, 1e-3, 2e-3, two seeds each that are
not reported, up to the rung of 5 vectors; the rate that passes it after the fewest examples in the
mean, a run that does not pass it within 6 million counting as 6 million. Then five seeds up to 8
vectors of 2 numbers, within 20 million examples; the ablations (VARIANTS) five seeds up to 6
vectors, within 10 million. To the paper's size three seeds with 40 million examples, the last 40%
of them with a falling rate, without a stop; and one seed each of 20 million there without the
climb.

A run leaves NAME.json in notebooks/results/unfinished: a row a rung, with the examples, processor
seconds and multiply-adds it took to pass it and how well it is known, by n; and looks on the way.
tools/gather_runs.py takes it to runs.jsonl. NAME.part.npz is what an interrupted run goes on from,
on any machine. One thread each.
"""

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
from study import MILLION  # noqa: E402

from rrnn.blas import one_blas_thread  # noqa: E402
from rrnn.checkpoints import replacing, save_checkpoint  # noqa: E402
from rrnn.comparison import Climb  # noqa: E402
from rrnn.core import RelationalMemoryCore  # noqa: E402
from rrnn.experiments import versions  # noqa: E402
from rrnn.lstm import LSTM  # noqa: E402
from rrnn.tasks import NthFarthest  # noqa: E402
from rrnn.training import Run, evaluate  # noqa: E402

KINDS = {"RelationalMemoryCore": RelationalMemoryCore, "LSTM": LSTM}
LABELS, DIMS, BATCH, LOOK = 8, 16, 128, 500  # steps between two looks
RUNGS = [  # vectors, dims, running accuracy at which the next one begins
    (3, 2, 0.85), (4, 2, 0.80), (5, 2, 0.75), (6, 2, 0.75), (7, 2, 0.72), (8, 2, 0.72),
    (8, 4, 0.72), (8, 8, 0.72), (8, 16, None),
]  # fmt: skip
READOUT = {"readout_sizes": (256, 256)}
CORE = {"num_slots": 8, "slot_size": 64, "num_heads": 4} | READOUT
MODELS = {
    "core": ("RelationalMemoryCore", CORE),
    "apart": ("RelationalMemoryCore", CORE | {"attend_to": "self"}),
    "lstm": ("LSTM", {"hidden_size": 256} | READOUT),
    "lstm_norm": ("LSTM", {"hidden_size": 256, "layer_norm": True} | READOUT),
}
VARIANTS = {  # of the core; one slot with as many parameters
    "one_slot": ("RelationalMemoryCore", CORE | {"num_slots": 1, "slot_size": 120}),
    "no_qkv_norm": ("RelationalMemoryCore", CORE | {"qkv_norm": False}),
    "no_mlp": ("RelationalMemoryCore", CORE | {"mlp_layers": 0}),
    "no_gate": ("RelationalMemoryCore", CORE | {"gate_style": None}),
}


def spec(model, rate, seed, budget, *, rungs=RUNGS, until=None, schedule="constant"):
    """A run as data: `until` is the vectors and dims of the rung at whose end it stops."""
    kind, sizes = model
    return {"model": [kind, sizes], "learning_rate": rate, "seed": seed, "budget": budget,
            "rungs": rungs, "until": until, "schedule": schedule}  # fmt: skip


def searches():
    """{name: run} of all runs that choose a learning rate."""
    return {
        run: spec(model, rate, seed, Climb.search_budget, until=(Climb.searched_to, 2))
        for name, model in (MODELS | VARIANTS).items()
        for rate in Climb.rates
        for run, seed in zip(Climb.names(name, rate), Climb.search_seeds, strict=True)
    }


def best_rate(records, name):
    """The rate that the search chose, or None before it is done."""
    climb = Climb(records)
    runs = [run for rate in Climb.rates for run in climb.names(name, rate)]
    return climb.rate(name) if all(run in records for run in runs) else None


def plan(records):
    """{name: run} of the searches, and of the reported runs whose rate they have found."""
    runs, rates = searches(), {name: best_rate(records, name) for name in MODELS | VARIANTS}
    for name, model in (MODELS | VARIANTS).items():
        budget, until = (Climb.budget, (Climb.top, 2)) if name in MODELS else (10 * MILLION, (6, 2))
        for seed in (1, 2, 3, 4, 5) if rates[name] else ():
            run = spec(model, rates[name], seed, budget, until=until)
            runs[f"climb_{name}_seed{seed}"] = run
    for name, model in MODELS.items():
        for seed in (1, 2, 3) if rates[name] else ():
            run = spec(model, rates[name], seed, 40 * MILLION, schedule="decay")
            runs[f"summit_{name}_seed{seed}"] = run
        if rates[name]:
            run = spec(model, rates[name], 1, 20 * MILLION, rungs=RUNGS[-1:])
            runs[f"direct_{name}_seed1"] = run
    return runs


def rung_task(rung):
    vectors, dims, _ = rung
    return NthFarthest(vectors, dims, labels=LABELS, dims=DIMS)


def by_n(model, task, examples=10_000, seed=1):
    """Accuracy of the model for each n = 1..k."""
    inputs, targets = task.sample(examples, np.random.default_rng(seed))
    right = model.forward(inputs, return_sequences=False).argmax(axis=-1) == targets[:, 0]
    _, _, n, _ = task.read(inputs)
    return [round(float(right[n == i].mean()), 4) for i in range(1, task.num_vectors + 1)]


def row(run, rung, done, operations):
    """What is stored of a rung: its end in steps, examples, seconds and multiply-adds of training,
    and how well it is known."""
    task = rung_task(rung)
    test = evaluate(run.model, task)
    return {
        "vectors": rung[0], "dims": rung[1], "bound": rung[2], "passed": done, "steps": run.step,
        "examples": run.step * BATCH, "seconds": round(run.seconds, 1), "operations": operations,
        "test": test, "by_n": by_n(run.model, task), "shortcuts": task.shortcuts(),
    }  # fmt: skip


def climb(name, spec, folder, deadline=None):
    """Make a run, or go on with it, until its end or the deadline (a time.time()); its record, or
    None if there is more to do."""
    if deadline and time.time() > deadline:
        return None
    kind, sizes = spec["model"]
    rungs = [tuple(rung) for rung in spec["rungs"]]
    until, part = spec["until"] and tuple(spec["until"]), folder / f"{name}.part.npz"
    task = rung_task(rungs[-1])
    sizes = {"output_size": task.output_size, "seed": spec["seed"]} | sizes
    model = KINDS[kind](task.input_size, **sizes)
    # nothing is scored on the way but at the end of a rung, by the rows
    curriculum = [(rung_task(rung), rung[2]) for rung in rungs[:-1]]
    run = Run(model, task, spec["budget"] // BATCH, batch_size=BATCH, eval_examples=1,
              learning_rate=spec["learning_rate"], curriculum=curriculum, seed=spec["seed"],
              schedule=spec["schedule"])  # fmt: skip
    rows, looks, operations = [], [], 0
    if part.exists():
        rows, looks, operations = study.kept(part, "rungs", "looks", "operations")
        run.resume(part)

    def more():
        return {"rungs": rows, "looks": looks, "operations": operations}

    with one_blas_thread():
        ended = False
        while not ended:
            rung = rungs[run.stage]
            # the way back needs about twice what the way there does
            operations += 3 * BATCH * model.operations(rung[0])
            at = run.stage
            run.advance()
            ended = run.step == run.steps or (run.stage > at and rung[:2] == until)
            if run.stage > at or ended:
                rows.append(row(run, rung, run.stage > at, operations))
            if run.step % LOOK == 0 or ended:
                score = run.running[0] / max(run.running[1], 1)
                looks.append([run.step, round(run.seconds, 1), run.stage, round(score, 4)])
                run.save(part, more())
                if deadline and time.time() > deadline and not ended:
                    return None
    record = {
        "run": spec, "parameters": model.flat.size, **more(),
        "sha256": hashlib.sha256(model.flat.tobytes()).hexdigest(),
        "versions": versions(),
    }  # fmt: skip
    if name.startswith(("summit", "direct")) or name.endswith("seed1"):
        save_checkpoint(folder / f"{name}.npz", model)
    with replacing(folder / f"{name}.json") as file:
        file.write(json.dumps(record).encode())
    part.unlink()
    return record


def describe(record):
    """The last rung of a run, in a line."""
    last = record["rungs"][-1]
    end = "passed" if last["passed"] else "not passed"
    return (
        f"{last['vectors']} x {last['dims']} {end} after {last['examples'] / MILLION:.2f} M "
        f"examples, {last['seconds'] / 3600:.2f} h; accuracy {last['test']['accuracy']:.3f}"
    )


def under_way(folder, name):
    """How far an unfinished run is, in words, and its processor seconds; None if it is to do."""
    part = folder / f"{name}.part.npz"
    if not part.exists():
        return None
    ((*_, (step, seconds, stage, score)),) = study.kept(part, "looks")
    return f"{step * BATCH / MILLION:.2f} M examples, rung {stage + 1} at {score:.2f}", seconds


if __name__ == "__main__":
    sys.exit(study.main(__doc__, plan, climb, under_way, describe))
