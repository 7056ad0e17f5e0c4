"""Up the ladder of NthFarthest, to the paper's 8 vectors of 16 dims: one network a model, one rung
after the other.

    python tools/run_ladder.py core --hours 4     go on with the core until it has trained for 4
                                                  hours in all
    python tools/run_ladder.py lstm --hours 4     the same with the LSTM
    python tools/run_ladder.py core               how far it has come

A rung is left when the running accuracy of its batches reaches a bound. At that step, and at the
end of the time, the weights are scored on fresh examples of their rung, for each n:
build/runs/ladder_MODEL.json has a row a rung, and ladder_MODEL.npz the weights of the last row;
`python tools/gather_runs.py --weights "ladder_*"` stores them in notebooks/results. An interrupted
run goes on where it stopped, from build/runs/.ladder_MODEL.part.npz. Without it a climb that is in
build/runs is left alone: --fresh DIR begins another.
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
from rrnn.checkpoints import replacing  # noqa: E402
from rrnn.experiments import read  # noqa: E402
from rrnn.training import Run  # noqa: E402

WORK = ROOT / "build" / "runs"
LABELS, DIMS = 8, 16
RUNGS = [  # vectors, dims, running accuracy at which the next one begins
    (3, 2, 0.85), (4, 2, 0.80), (5, 2, 0.75), (6, 2, 0.75), (7, 2, 0.72), (8, 2, 0.72),
    (8, 4, 0.72), (8, 8, 0.72), (8, 16, None),
]  # fmt: skip
READOUT = {"readout_sizes": (256, 256)}
MODELS = {  # class, sizes, learning rate
    "core": (
        "RelationalMemoryCore", {"num_slots": 8, "slot_size": 64, "num_heads": 4} | READOUT, 1e-3,
    ),
    "lstm": ("LSTM", {"hidden_size": 256} | READOUT, 1e-3),
}  # fmt: skip
TRAIN = {  # arguments of rrnn_helpers.train; nothing is scored on the way but the end of a rung
    "batch_size": 128, "warmup": 200, "clip_norm": 1.0, "seed": 1, "eval_every": 1000,
    "eval_examples": 1, "patience": None, "workers": 1,
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
    """What is stored of a rung: its end in steps, examples and seconds of training, and how well it
    is known."""
    task, (vectors, dims, bound) = rung_task(rung), RUNGS[rung]
    return {
        "vectors": vectors, "dims": dims, "steps": run.step, "examples": run.step * run.batch_size,
        "seconds": round(run.seconds, 1), "test": rh.evaluate(run.model, task),
        "by_n": by_n(run.model, task), "shortcuts": task.shortcuts(),
        "sha256": hashlib.sha256(run.model.flat.tobytes()).hexdigest(), "bound": bound,
        "passed": rung < run.stage,
    }  # fmt: skip


def climb(name, hours, folder):
    """Train until `hours` of training are spent in all. rrnn_helpers.train would hand the weights
    back some steps into the next rung, when much of the last one is forgotten already; so its steps
    are taken here, one by one."""
    kind, sizes, rate = MODELS[name]
    task = rung_task(-1)
    sizes = {"output_size": task.output_size, "seed": TRAIN["seed"]} | sizes
    model = getattr(rh, kind)(task.input_size, **sizes)
    curriculum = [(rung_task(i), bound) for i, (_, _, bound) in enumerate(RUNGS[:-1])]
    run = Run(model, task, sys.maxsize, learning_rate=rate, curriculum=curriculum, **TRAIN)
    stored, part = paths(name, folder)
    if part.exists():
        run.resume(part)
    record = read(stored) if stored.exists() else {"rungs": []}
    if "rungs" not in record:
        raise ValueError(f"{stored} is no record of a climb, which has rungs")
    rows = record["rungs"]
    rows = rows[: run.stage]  # without the row of a rung that time ran out on
    while run.seconds < 3600 * hours:
        rung = run.stage
        run.advance()
        ends = run.stage > rung or run.seconds >= 3600 * hours
        if ends:
            rows.append(row(run, rung))
            rh.save_checkpoint(folder / f"ladder_{name}.npz", model)
            record = {
                "model": MODELS[name][:2], "train": TRAIN | {"learning_rate": rate}, "rungs": rows,
                "sha256": rows[-1]["sha256"],
            }  # fmt: skip
            with replacing(stored) as file:
                file.write(json.dumps(record, indent=1).encode())
            print(describe(rows[-1]), flush=True)
        if ends or run.step % SAVE_EVERY == 0:
            run.save(part)


def describe(row):
    accuracy, best = row["test"]["accuracy"], max(row["shortcuts"].values())
    by_n = " ".join(f"{a:.2f}" for a in row["by_n"])
    return (
        f"{row['vectors']} x {row['dims']:<3}{row['steps']:8} steps {row['examples']:11,} examples"
        f"{row['seconds'] / 3600:6.2f} h   accuracy {accuracy:.3f} (best shortcut {best:.3f})"
        f"   by n {by_n}{'' if row['passed'] else '   not passed'}"
    )


def main():
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("--hours", type=float, help="train until so many hours are spent in all")
    parser.add_argument("--fresh", type=Path, metavar="DIR", help="make another climb, in DIR")
    options = parser.parse_args()
    if options.hours is not None and not options.hours > 0:
        parser.error(f"--hours must be above 0, got {options.hours}")
    folder, name = options.fresh or WORK, f"ladder_{options.model}"
    folder.mkdir(parents=True, exist_ok=True)
    made, part = paths(options.model, folder)
    if options.hours and made.exists() and not part.exists():
        cannot = f"is a climb that cannot go on without {part.name}; --fresh DIR begins another"
        parser.error(f"{made} {cannot}")
    if options.hours:
        climb(options.model, options.hours, folder)
    elif made.exists() or not options.fresh:
        for row in rh.load_records(folder if made.exists() else rh.RESULTS, name)[name]["rungs"]:
            print(describe(row))
    else:
        print(f"{name} has not been started; give --hours")


if __name__ == "__main__":
    main()
