"""How fast it is: the core beside PyTorch, the compared models, and the sampling of every task.

    python tools/benchmark.py core --install   the core in NumPy and in PyTorch, side by side
    python tools/benchmark.py models           a training step of the compared models, with matrix
                                               products for AVX2 and for AVX-512
    python tools/benchmark.py models --store   the same, kept in notebooks/results/kernels.json
    python tools/benchmark.py tasks            100,000 examples of every task

`core` needs PyTorch; --install puts it into an environment of its own in the user's cache folder.
Both sides compute the loss and every gradient of one float32 model on one batch, NumPy with two
workers (processes), PyTorch eagerly with two threads, with its attention written both ways: two
products and a softmax, as public ports of the paper have it, and fused. Before anything is timed,
they must agree in float64: in float32 one ReLU whose input is within rounding of zero moves a
gradient. Each side chooses its own kernels: OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE, which some
machines set so that NumPy rounds the same everywhere, are dropped. The sides take strict turns in
one process, so that a busy moment of the machine hits both. PyTorch's idle threads spin for some
milliseconds before they sleep, which would take a core from NumPy, whose turn is next, and telling
them to sleep at once makes PyTorch up to twice as slow. So a turn is a pause, calls that are not
timed until this side's threads have been awake for a while, as in training, and the timed call.

`models`: OpenBLAS chooses its code by the processor, and the stored comparison was made with the
code for AVX2 (OPENBLAS_CORETYPE=Haswell). How much the wider code saves depends on the sizes of the
products, and so on the model: loss and gradients of a batch of 128, one thread, median processor
time of many, the models taking turns.
"""

import argparse
import functools
import importlib.util
import json
import os
import subprocess
import sys
import time
import venv
from pathlib import Path

# before NumPy is imported
if sys.argv[1:2] == ["core"]:
    for variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(variable, None)
else:
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
STORED = ROOT / "notebooks" / "results" / "kernels.json"

# From PyPI, Linux gets the larger CUDA build, which is as good here; PIP_INDEX_URL can point to one
# for CPUs only.
REQUIREMENTS = ["torch==2.13.0", "numpy", "scipy", "threadpoolctl", "tqdm"]
PAUSE, WARM = 0.03, 0.03  # seconds
SETTINGS = {  # num_slots, slot_size, num_heads, input_size, steps, batch, output_size
    "a": (8, 64, 4, 40, 8, 128, 8),
    "b": (8, 128, 8, 40, 8, 64, 8),
    "c": (3, 64, 4, 11, 3, 128, 3),
}
KERNELS = {"AVX2": "Haswell", "AVX-512": "SkylakeX"}
COMPARED = ("nth_3x2", "stories", "copy")


# The core beside PyTorch ----------------------------------------------------------------------
def run_in_own_environment(arguments):
    """Make (or complete) the environment with PyTorch, run this there; returns the exit status."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rrnn-benchmark"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    print(f"PyTorch environment: {folder} (delete it when you are done)", flush=True)
    venv.create(folder, with_pip=True)
    if subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS]).returncode:
        return f"error: pip could not install {' '.join(REQUIREMENTS)}"
    return subprocess.run([python, __file__, "core", *arguments]).returncode


def make_sides(setting, workers, dtype="float32"):
    """The functions to time, NumPy first, each returning (loss, {name: gradient}) of one batch."""
    import numpy as np
    import torch
    from torch_twin import twin

    from rrnn.blas import one_blas_thread
    from rrnn.core import RelationalMemoryCore
    from rrnn.model import Batch

    slots, size, heads, width, steps, batch_size, classes = SETTINGS[setting]
    rng = np.random.default_rng(0)
    model = RelationalMemoryCore(width, classes, slots, size, heads, dtype=dtype)
    copy = twin(model)
    inputs = rng.normal(size=(batch_size, steps, width)).astype(dtype)
    batch = Batch(inputs, rng.integers(classes, size=(batch_size, 1)))
    torch_inputs = torch.tensor(batch.inputs)
    torch_targets = torch.tensor(batch.targets, dtype=torch.int64)

    def numpy_side():
        with one_blas_thread():  # a worker, as in training
            return model.loss_and_grads(batch, workers=workers)[:2]

    def torch_side(fused):
        copy.fused = fused
        copy.zero_grad()
        loss = copy.loss(torch_inputs, torch_targets)
        loss.backward()
        return loss, {name: parameter.grad for name, parameter in copy.named_parameters()}

    return numpy_side, functools.partial(torch_side, False), functools.partial(torch_side, True)


def largest_difference(numpy_side, torch_side):
    """The largest difference of the loss or of any gradient, as a share of its largest entry."""
    import numpy as np

    (loss, grads), (torch_loss, torch_grads) = numpy_side(), torch_side()
    if grads.keys() != torch_grads.keys():
        sys.exit(f"error: different parameters: {sorted(grads.keys() ^ torch_grads.keys())}")
    pairs = [(np.asarray(loss), torch_loss.detach().numpy())]
    pairs += [(grads[name], torch_grads[name].numpy()) for name in grads]
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


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

    return np.array([[turn(side) for side in sides] for _ in range(rounds + 3)])[3:]  # 3 to warm up


def core(options):
    """Check, time and print one row a setting."""
    if importlib.util.find_spec("torch") is None:
        if not options.install:
            return "error: PyTorch is not installed here; say --install, or take a Python with it"
        given = [argument for argument in sys.argv[2:] if argument != "--install"]
        return run_in_own_environment(given)
    import numpy as np
    import torch

    from rrnn.blas import kernels

    workers, rounds = options.workers, options.rounds or 40
    torch.set_num_threads(workers)
    print(f"NumPy {np.__version__} with {workers} workers ({kernels()}),", end=" ")
    capability = torch.backends.cpu.get_cpu_capability()
    print(f"PyTorch {torch.__version__} eager with {workers} threads ({capability})")
    print(f"forward + backward in ms, float32, median of {rounds} rounds (fastest)")
    print("ratio: median over the rounds of NumPy's time / PyTorch's (of the fastest rounds)\n")
    titles = ["slots x size, heads, steps, batch", "NumPy", "PyTorch, plain", "ratio"]
    titles += ["PyTorch, fused", "ratio", "differ by"]
    print(f"| {' | '.join(titles)} |\n{'|---' * len(titles)}|")
    disturbed = False
    for setting in [options.setting] if options.setting else SETTINGS:
        differences = []
        for dtype, bound in (("float64", 1e-10), ("float32", 1e-2)):
            sides = make_sides(setting, workers, dtype)  # at the end those that are timed
            off = max(largest_difference(sides[0], side) for side in sides[1:])
            differences.append(off)
            if not off < bound:
                sys.exit(f"error: setting {setting}: {dtype} results differ by {off:.1e}")
        times = time_in_turns(sides, rounds)
        middle, best = np.median(times, axis=0), times.min(axis=0)
        disturbed |= bool((middle > 1.5 * best).any())
        slots, size, heads, _, steps, batch, _ = SETTINGS[setting]
        cells = [f"({setting}) {slots} x {size}, {heads}, {steps}, {batch}"]
        cells += [f"{middle[0]:.1f} ({best[0]:.1f})"]
        for side in (1, 2):
            ratio = np.median(times[:, 0] / times[:, side])
            cells += [f"{middle[side]:.1f} ({best[side]:.1f})"]
            cells += [f"{ratio:.2f} ({best[0] / best[side]:.2f})"]
        print(f"| {' | '.join(cells)} | {differences[0]:.0e} |", flush=True)
    print("\nIn float64 loss and gradients agree to the last column's share of the largest entry.")
    if disturbed:
        print("Other programs were busy, which slows PyTorch's spinning threads most.")
    return 0


# The compared models --------------------------------------------------------------------------
def contestants():
    """{setting: (task, {model: model})}: three tasks of the comparison, and the climb's last."""
    import run_climb
    import run_experiments

    import rrnn_helpers as rh

    models = {name: model for name, (model, _) in run_experiments.MODELS.items()}
    settings = {}
    for name in COMPARED:
        kind, sizes = run_experiments.TASKS[name][0]
        settings[name] = getattr(rh, kind)(**sizes), models
    ladder = {name: run_climb.MODELS[name] for name in ("core", "lstm")}
    settings["ladder"] = run_climb.rung_task(run_climb.RUNGS[-1]), ladder
    return {
        setting: (task, {name: getattr(rh, kind)(task.input_size, output_size=task.output_size,
                                                 seed=1, **sizes)
                         for name, (kind, sizes) in models.items()})
        for setting, (task, models) in settings.items()
    }  # fmt: skip


def step_times(rounds):
    """{setting: {model: ms}} with the matrix products this process was started with."""
    import numpy as np

    times = {}
    for setting, (task, models) in contestants().items():
        batch = task.sample(128, np.random.default_rng(0))
        took = {name: [] for name in models}
        for _ in range(rounds + 3):
            for name, model in models.items():
                start = time.thread_time()
                model.loss_and_grads(batch)
                took[name].append(1000 * (time.thread_time() - start))
        # the first 3 warm up
        medians = {name: float(np.median(each[3:])) for name, each in took.items()}
        times[setting] = {name: round(median, 2) for name, median in medians.items()}
    return times


def in_own_process(kernel, rounds):
    """What step_times returns in a process whose OpenBLAS uses the code named kernel."""
    environment = os.environ | {"OPENBLAS_CORETYPE": kernel}
    environment.pop("OPENBLAS_L2_SIZE", None)
    command = [sys.executable, __file__, "models", "--rounds", str(rounds), "--kernel", kernel]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return json.loads(done.stdout)


def models(options):
    """Print milliseconds, and the core's in those of each other model."""
    from rrnn.blas import kernels
    from rrnn.checkpoints import replacing

    rounds = options.rounds or 100
    if options.kernel:  # in the process that times
        if kernels() != f"openblas {options.kernel}":
            return f"error: matrix products should be for {options.kernel}, got {kernels()}"
        print(json.dumps(step_times(rounds)))
        return 0
    times = {name: in_own_process(kernel, rounds) for name, kernel in KERNELS.items()}
    print(f"{'':20}" + "".join(f"{name:>10}{'core /':>8}" for name in times))
    for setting, found in next(iter(times.values())).items():
        for model in found:
            cells = [(of[setting][model], of[setting]["core"]) for of in times.values()]
            cells = "".join(f"{ms:7.2f} ms{core_ms / ms:8.2f}" for ms, core_ms in cells)
            print(f"{setting:10}{model:10}{cells}")
    if options.store:
        with replacing(STORED) as file:
            file.write(json.dumps(times, indent=1).encode())
    return 0


# The tasks ------------------------------------------------------------------------------------
def tasks(options):
    """Sample each task at a small and at a larger size, in batches of 10,000, as much as a reader
    would hold at once; the fastest of three."""
    import numpy as np

    import rrnn_helpers as rh

    sizes = [
        *(rh.NthFarthest(*size) for size in ((3, 2), (8, 16))),
        *(rh.PairMatching(*size) for size in ((4, 8), (8, 32))),
        *(rh.ObjectTracking(*size) for size in ((3, 5, 10), (6, 10, 30))),
        *(rh.StoryQA(*size) for size in ((3, 2, 5, 16), (5, 3, 8, 32))),
        *(rh.Sorting(*size) for size in ((6, 8), (16, 32))),
        *(rh.ProgramEvaluation(kind, 1, 5) for kind in ("copy", "reverse", "double")),
        *(rh.ProgramEvaluation(kind, 2, 5) for kind in ("add", "control", "program")),
    ]
    print(f"seconds for {options.examples:,} examples on one core, fastest of 3\n")
    print("| task | inputs | seconds |\n|---|---|---|")
    for task in sizes:
        took = []
        for repeat in range(3):
            rng, start = np.random.default_rng(repeat), time.perf_counter()
            for first in range(0, options.examples, 10_000):
                task.sample(min(10_000, options.examples - first), rng)
            took.append(time.perf_counter() - start)
        print(f"| {task} | {task.num_inputs} x {task.input_size} | {min(took):.2f} |", flush=True)
    return 0


def at_least_one(text):
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return int(text)


def main():
    """The command line; returns the exit status, or what went wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("core", "models", "tasks"))
    parser.add_argument("--rounds", type=at_least_one, help="timed calls (40 for core, else 100)")
    parser.add_argument("--workers", type=at_least_one, default=2, help="of each side (default 2)")
    parser.add_argument("--setting", choices=SETTINGS, help="only this one (default: all)")
    parser.add_argument("--install", action="store_true", help="first install PyTorch, apart")
    parser.add_argument("--store", action="store_true", help="keep the times of `models`")
    parser.add_argument("--kernel", help=argparse.SUPPRESS)
    parser.add_argument("--examples", type=at_least_one, default=100_000, help="of each task")
    options = parser.parse_args()
    return {"core": core, "models": models, "tasks": tasks}[options.what](options)


if __name__ == "__main__":
    sys.exit(main())
