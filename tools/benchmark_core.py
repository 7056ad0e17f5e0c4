"""Time forward + backward of the relational memory core: rrnn_helpers (NumPy) beside tests/torch_twin.py (PyTorch).

    python tools/benchmark_core.py              # in an environment that has PyTorch
    python tools/benchmark_core.py --install    # in an environment of its own, made in the user's cache directory

Both sides compute the loss and every gradient of the same float32 model on the same batch, NumPy with two workers
(processes), PyTorch with two threads. Before anything is timed, the script checks that they agree, in float64: in
float32 one ReLU whose input is within rounding of zero moves a gradient. PyTorch runs eagerly, as most people run it,
with its attention written both ways: two products and a softmax ("plain"), as public ports of the paper have it, and
PyTorch's own fused function.

Each side chooses its own kernels for matrix products: the script drops OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE, which
some machines set so that NumPy rounds the same everywhere, and which PyTorch does not look at. The kernels are printed.

How the sides are kept apart. They run in one process and take strict turns, so that a busy moment of the machine hits
all. PyTorch's idle OpenMP threads spin for some milliseconds before they sleep, which would take a core from NumPy,
whose turn is next. Telling them to sleep at once (OMP_WAIT_POLICY=PASSIVE) is no way out: it makes PyTorch itself up to
twice as slow. So PyTorch keeps its own settings, and each turn is a pause, in which the other side's threads fall
asleep, calls that are not timed, until this side's threads and the cores have been awake for a while, as in training,
and the call that is timed.
"""

import argparse
import functools
import importlib.util
import os
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# From PyPI, Linux gets the larger CUDA build, which is as good here; PIP_INDEX_URL can point to one for CPUs only.
REQUIREMENTS = ["torch==2.13.0", "numpy", "scipy", "threadpoolctl", "tqdm"]
PAUSE, WARM = 0.03, 0.03  # seconds

SETTINGS = {  # num_slots, slot_size, num_heads, input_size, steps, batch, output_size
    "a": (8, 64, 4, 40, 8, 128, 8),
    "b": (8, 128, 8, 40, 8, 64, 8),
    "c": (3, 64, 4, 11, 3, 128, 3),
}


def run_in_own_environment(arguments):
    """Make (or complete) the environment with PyTorch, run this script in it; returns the exit status."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rrnn-benchmark"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    print(f"PyTorch environment: {folder} (delete it when you are done)", flush=True)
    venv.create(folder, with_pip=True)
    if subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS]).returncode:
        return f"error: pip could not install {' '.join(REQUIREMENTS)}"
    return subprocess.run([python, __file__, *arguments]).returncode


def make_sides(setting, workers, dtype="float32"):
    """The functions to time, NumPy first, each returning (loss, {name: gradient}) of one batch."""
    import numpy as np
    import torch
    from threadpoolctl import ThreadpoolController
    from torch_twin import twin

    from rrnn_helpers import Batch, RelationalMemoryCore

    slots, size, heads, width, steps, batch_size, classes = SETTINGS[setting]
    rng = np.random.default_rng(0)
    model = RelationalMemoryCore(width, classes, slots, size, heads, dtype=dtype)
    copy = twin(model)
    inputs = rng.normal(size=(batch_size, steps, width)).astype(dtype)
    batch = Batch(inputs, rng.integers(classes, size=(batch_size, 1)))
    torch_inputs, torch_targets = torch.tensor(batch.inputs), torch.tensor(batch.targets, dtype=torch.int64)

    blas = ThreadpoolController()

    def numpy_side():
        with blas.limit(limits=1, user_api="blas"):  # one BLAS thread a worker, as in training
            return model.loss_and_grads(batch, workers=workers)[:2]

    def torch_side(fused):
        copy.fused = fused
        copy.zero_grad()
        loss = copy.loss(torch_inputs, torch_targets)
        loss.backward()
        return loss, {name: parameter.grad for name, parameter in copy.named_parameters()}

    return numpy_side, functools.partial(torch_side, False), functools.partial(torch_side, True)


def largest_difference(numpy_side, torch_side):
    """The largest difference of the loss or of any gradient, as a share of that array's largest entry."""
    import numpy as np

    (loss, grads), (torch_loss, torch_grads) = numpy_side(), torch_side()
    if grads.keys() != torch_grads.keys():
        sys.exit(f"error: different parameters: {sorted(grads.keys() ^ torch_grads.keys())}")
    pairs = [(np.asarray(loss), torch_loss.detach().numpy())]
    pairs += [(grads[name], torch_grads[name].numpy()) for name in grads]
    return max(float(np.abs(ours - theirs).max() / np.abs(theirs).max()) for ours, theirs in pairs)


def time_in_turns(sides, rounds):
    """Milliseconds (rounds, sides); a round is one turn of each side."""
    import numpy as np

    def turn(side):
        time.sleep(PAUSE)
        end = time.perf_counter() + WARM
        while time.perf_counter() < end:
            side()
        start = time.perf_counter()
        side()
        return 1000 * (time.perf_counter() - start)

    return np.array([[turn(side) for side in sides] for _ in range(rounds + 3)])[3:]  # the first rounds warm up


def benchmark(settings, rounds, workers):
    """Check, time and print one row a setting."""
    import numpy as np
    import torch

    from rrnn_helpers import _kernels

    torch.set_num_threads(workers)
    who = f"NumPy {np.__version__} with {workers} workers, PyTorch {torch.__version__} eager with {workers} threads"
    print(f"{who}; {os.cpu_count()} cores")
    print(f"matrix products: NumPy {_kernels()}, PyTorch {torch.backends.cpu.get_cpu_capability()}")
    print(f"forward + backward in ms, float32, median of {rounds} rounds (fastest)")
    print("ratio: median over the rounds of NumPy's time / PyTorch's (and of the fastest rounds)\n")
    titles = ["slots x size, heads, steps, batch", "NumPy"]
    titles += ["PyTorch, plain", "ratio", "PyTorch, fused", "ratio", "differ by"]
    print(f"| {' | '.join(titles)} |")
    print("|---" * len(titles) + "|")
    disturbed = False
    for setting in settings:
        slots, size, heads, _, steps, batch_size, _ = SETTINGS[setting]
        differences = []
        for dtype, bound in (("float64", 1e-10), ("float32", 1e-2)):
            sides = make_sides(setting, workers, dtype)  # at the end those that are timed
            off = max(largest_difference(sides[0], side) for side in sides[1:])
            differences.append(off)
            if not off < bound:
                sys.exit(f"error: setting {setting}: {dtype} results differ by {off:.1e} of the largest entry")
        times = time_in_turns(sides, rounds)
        if torch.get_num_threads() != workers:
            sys.exit(f"error: PyTorch was left with {torch.get_num_threads()} threads instead of {workers}")
        middle, best = np.median(times, axis=0), times.min(axis=0)
        disturbed |= bool((middle > 1.5 * best).any())
        cells = [f"({setting}) {slots} x {size}, {heads}, {steps}, {batch_size}", f"{middle[0]:.1f} ({best[0]:.1f})"]
        for side in (1, 2):
            ratio = np.median(times[:, 0] / times[:, side])
            cells += [f"{middle[side]:.1f} ({best[side]:.1f})", f"{ratio:.2f} ({best[0] / best[side]:.2f})"]
        print(f"| {' | '.join(cells)} | {differences[0]:.0e} |", flush=True)
    print("\nIn float64 loss and gradients agree to the last column's share of an array's largest entry.")
    if disturbed:
        print("Other programs were busy, which slows PyTorch's spinning threads most: do not trust the medians.")


def at_least_one(text):
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return int(text)


def main():
    """The command line; returns the exit status, or what went wrong."""
    parser = argparse.ArgumentParser(description="Time the relational memory core in NumPy beside PyTorch.")
    parser.add_argument("--rounds", type=at_least_one, default=40, help="timed calls of each side (default 40)")
    parser.add_argument("--workers", type=at_least_one, default=2, help="workers or threads of each side (default 2)")
    parser.add_argument("--setting", choices=SETTINGS, help="only this one (default: all)")
    parser.add_argument("--install", action="store_true", help="install PyTorch into an environment of its own first")
    options = parser.parse_args()
    if importlib.util.find_spec("torch") is None:
        if not options.install:
            return "error: PyTorch is not installed here; run again with --install, or with a Python that has it"
        return run_in_own_environment([argument for argument in sys.argv[1:] if argument != "--install"])
    for variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # before NumPy is imported
        os.environ.pop(variable, None)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    benchmark([options.setting] if options.setting else list(SETTINGS), options.rounds, options.workers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
