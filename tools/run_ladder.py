"""Up the ladder of NthFarthest, to the paper's 8 vectors of 16 dims: one network a model, one rung after the other.

    python tools/run_ladder.py core --hours 4     go on with the core until it has trained for 4 hours in all
    python tools/run_ladder.py lstm --hours 4     the same with the LSTM
    python tools/run_ladder.py core               how far it has come

A rung is left when the running accuracy of its batches reaches a bound. At that step, and at the end of the time, the
weights are scored on fresh examples of their rung, for each n: notebooks/results/ladder_MODEL.json has a row a rung,
and ladder_MODEL.npz the weights of the last row. An interrupted run goes on where it stopped, from a file that is not
part of the repository (.ladder_MODEL.part.npz). Without it a stored climb is left alone: --fresh DIR begins another.
"""

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

import rrnn_helpers as rh  # noqa: E402

RESULTS = ROOT / "notebooks" / "results"
LABELS, DIMS = 8, 16
RUNGS = [  # vectors, dims, running accuracy at which the next one begins
    (3, 2, 0.85), (4, 2, 0.80), (5, 2, 0.75), (6, 2, 0.75), (7, 2, 0.72), (8, 2, 0.72), (8, 4, 0.72), (8, 8, 0.72),
    (8, 16, None),
]  # fmt: skip
READOUT = {"readout_sizes": (256, 256)}
MODELS = {  # class, sizes, learning rate
    "core": ("RelationalMemoryCore", {"num_slots": 8, "slot_size": 64, "num_heads": 4} | READOUT, 1e-3),
    "lstm": ("LSTM", {"hidden_size": 256} | READOUT, 1e-3),
}
TRAIN = {  # as the arguments of rrnn_helpers.train; nothing is scored on the way but at the end of a rung
    "batch_size": 128, "warmup": 200, "clip_norm": 1.0, "seed": 1, "eval_every": 1000, "eval_examples": 1,
    "patience": None, "workers": 1,
}  # fmt: skip
SAVE_EVERY = 500  # steps


def paths(name, folder):
    """Where the rows of a model's climb are, and what it goes on from."""
    return folder / f"ladder_{name}.json", folder / f".ladder_{name}.part.npz"


def rung_task(rung):
    vectors, dims, _ = RUNGS[rung]
    return rh.NthFarthest(vectors, dims, labels=LABELS, dims=DIMS)


def by_n(model, task, examples=10_000, seed=1):
    """Accuracy of the model for each n = 1..k."""
    inputs, targets = task.sample(examples, np.random.default_rng(seed))
    right = model.forward(inputs, return_sequences=False).argmax(axis=-1) == targets[:, 0]
    _, _, n, _ = task.read(inputs)
    return [round(float(right[n == i].mean()), 4) for i in range(1, task.num_vectors + 1)]


def row(run, rung):
    """What is stored of a rung: its end in steps, examples and seconds of training, and how well it is known."""
    task = rung_task(rung)
    return {
        "vectors": RUNGS[rung][0], "dims": RUNGS[rung][1], "steps": run.step, "examples": run.step * run.batch_size,
        "seconds": round(run.seconds, 1), "test": rh.evaluate(run.model, task), "by_n": by_n(run.model, task),
        "shortcuts": task.shortcuts(), "sha256": hashlib.sha256(run.model.flat.tobytes()).hexdigest(),
        "bound": RUNGS[rung][2], "passed": rung < run.stage,
    }  # fmt: skip


def climb(name, hours, folder):
    """Train until `hours` of training are spent in all. rrnn_helpers.train would hand the weights back some steps into
    the next rung, when much of the last one is forgotten already; so its steps are taken here, one by one."""
    kind, sizes, rate = MODELS[name]
    task = rung_task(-1)
    model = getattr(rh, kind)(task.input_size, output_size=task.output_size, seed=TRAIN["seed"], **sizes)
    curriculum = [(rung_task(i), bound) for i, (_, _, bound) in enumerate(RUNGS[:-1])]
    run = rh._Run(model, task, learning_rate=rate, curriculum=curriculum, **TRAIN)
    stored, part = paths(name, folder)
    if part.exists():
        run.resume(part, steps=sys.maxsize)
    rows = json.loads(stored.read_text())["rungs"] if stored.exists() else []
    rows = rows[: run.stage]  # without the row of a rung that time ran out on
    while run.seconds < 3600 * hours:
        rung = run.stage
        run.advance()
        ends = run.stage > rung or run.seconds >= 3600 * hours
        if ends:
            rows.append(row(run, rung))
            rh.save_checkpoint(folder / f"ladder_{name}.npz", model)
            record = {"model": MODELS[name][:2], "train": TRAIN | {"learning_rate": rate}, "rungs": rows}
            with rh._replacing(stored) as file:
                file.write(json.dumps(record, indent=1).encode())
            print(describe(rows[-1]), flush=True)
        if ends or run.step % SAVE_EVERY == 0:
            run.save(part)


def describe(row):
    best = max(row["shortcuts"].values())
    return (
        f"{row['vectors']} x {row['dims']:<3}{row['steps']:8} steps {row['examples']:11,} examples"
        f"{row['seconds'] / 3600:6.2f} h   accuracy {row['test']['accuracy']:.3f} (best shortcut {best:.3f})"
        f"   by n {' '.join(f'{a:.2f}' for a in row['by_n'])}{'' if row['passed'] else '   not passed'}"
    )


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("--hours", type=float, help="train until this many hours are spent in all")
    parser.add_argument("--fresh", type=Path, default=RESULTS, metavar="DIR", help="read and write results in DIR")
    options = parser.parse_args()
    if options.hours is not None and not options.hours > 0:
        parser.error(f"--hours must be above 0, got {options.hours}")
    options.fresh.mkdir(parents=True, exist_ok=True)
    stored, part = paths(options.model, options.fresh)
    if options.hours and stored.exists() and not part.exists():
        parser.error(f"{stored} is a climb that cannot go on without {part.name}; give --fresh DIR to begin another")
    if options.hours:
        climb(options.model, options.hours, options.fresh)
    elif stored.exists():
        for row in json.loads(stored.read_text())["rungs"]:
            print(describe(row))
    else:
        print(f"ladder_{options.model} has not been started; give --hours")


if __name__ == "__main__":
    main()
