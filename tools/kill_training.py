"""Kill a training again and again, at random moments, and see that nothing is lost.

    python tools/kill_training.py [--kills 100] [--seed 0]

A small training with a checkpoint every other step runs in a process of its own. SIGKILL ends it
at a random moment, also while it writes; it is started again on the same checkpoint, and killed
again, until it comes to its end. Then its checkpoint must be, bit for bit but for the seconds, that
of a run that nobody disturbed, and stand alone in its folder. The next run begins, until there were
as many kills as asked for. Exit status 1 if anything differed.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rrnn.checkpoints import load_checkpoint  # noqa: E402
from rrnn.core import RelationalMemoryCore  # noqa: E402
from rrnn.tasks import NthFarthest  # noqa: E402
from rrnn.training import train  # noqa: E402

STEPS, FILE = 150, "run.npz"  # the curriculum moves on after about 100


def run(folder):
    """The training, from its checkpoint if there is one, in a process of its own."""
    print("begins", flush=True)
    task, easier = NthFarthest(3, 2), NthFarthest(2, 2, labels=3)
    sizes = {"num_slots": 2, "slot_size": 4, "num_heads": 2}
    model = RelationalMemoryCore(task.input_size, task.output_size, **sizes)
    train(model, task, STEPS, curriculum=[(easier, 0.1)], batch_size=8, eval_every=7,
          eval_examples=20, warmup=5, schedule="decay", progress=False,
          checkpoint=folder / FILE, checkpoint_every=2)  # fmt: skip


def start(folder):
    """A process that has imported everything and begins to train."""
    command = [sys.executable, __file__, "--run", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    process.stdout.readline()
    return process


def state(folder):
    """All that a finished run left, but for the seconds it took."""
    model, extra = load_checkpoint(folder / FILE)
    del extra["seconds"]
    extra["rows"] = [row[:2] + row[3:] for row in extra["rows"]]
    arrays = {name: extra.pop(name).tobytes() for name in ("adam_mean", "adam_square")}
    return model.flat.tobytes(), repr(model), arrays, extra


def differences(folder, status, right):
    """What is not as it should be after a run, in words."""
    names = sorted(path.name for path in folder.iterdir())
    if status or names != [FILE]:
        return [f"exit status {status}, left behind: {names}"]
    return [] if state(folder) == right else ["other numbers than without a kill"]


def main():
    """The command line; returns the exit status."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--kills", type=int, default=100, help="how many in all (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default 0)")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        return run(options.run)
    if options.kills < 1:
        parser.error(f"--kills must be at least 1, got {options.kills}")
    draw, kills, runs, halves, wrong = random.Random(options.seed), 0, 0, 0, []
    with tempfile.TemporaryDirectory() as top:
        undisturbed = Path(top, "undisturbed")
        undisturbed.mkdir()
        process, begin = start(undisturbed), time.perf_counter()
        process.wait()
        whole, right = time.perf_counter() - begin, state(undisturbed)
        while kills < options.kills:
            folder, runs, ended = Path(top, f"run{runs}"), runs + 1, False
            folder.mkdir()
            while not ended:
                process = start(folder)
                if kills < options.kills:
                    time.sleep(draw.uniform(0, whole))
                    process.kill()
                ended = process.wait() != -signal.SIGKILL  # it was done before
                kills, halves = kills + (not ended), halves + any(folder.glob(".*.part"))
                if not ended and kills % 10 == 0:
                    print(f"{kills:4} kills, {runs} runs, wrong: {len(wrong)}", flush=True)
            wrong += differences(folder, process.returncode, right)
    good = "all ended with the same bits and left nothing behind"
    print(f"{kills} kills in {runs} runs, {halves} of them while a file was written; "
          f"{'; '.join(wrong) or good}")  # fmt: skip
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
