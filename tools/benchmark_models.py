"""Time a training step of the models compared in notebook 07, with OpenBLAS's matrix products for AVX2 and for AVX-512.

    python tools/benchmark_models.py           # print the table; needs a processor that has both
    python tools/benchmark_models.py --store   # and keep it in notebooks/results/kernels.json

OpenBLAS, which NumPy's wheels bring along, chooses its code by the processor. The stored runs of the comparison, the
ablations and the ladder were made with the code for AVX2 (OPENBLAS_CORETYPE=Haswell), which nearly all x86 processors
have. How much the wider code saves depends on the sizes of the products, and so on the model. A step is loss and
gradients of a batch of 128, on one thread; median processor time of many, the models taking turns.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import run_experiments  # noqa: E402
import run_ladder  # noqa: E402
from benchmark_core import at_least_one  # noqa: E402

import rrnn_helpers as rh  # noqa: E402

STORED = ROOT / "notebooks" / "results" / "kernels.json"
KERNELS = {"AVX2": "Haswell", "AVX-512": "SkylakeX"}
COMPARED = ("nth_3x2", "stories", "copy")


def contestants():
    """{setting: (task, {model: (kind, sizes)})}: three tasks of the comparison, and the ladder's last rung."""
    models = {name: model for name, (model, _) in run_experiments.MODELS.items()}
    tasks = {name: run_experiments.TASKS[name][0] for name in COMPARED}
    chosen = {name: (getattr(rh, kind)(**sizes), models) for name, (kind, sizes) in tasks.items()}
    ladder = {name: (kind, sizes) for name, (kind, sizes, _) in run_ladder.MODELS.items()}
    return chosen | {"ladder": (run_ladder.rung_task(-1), ladder)}


def step_times(rounds):
    """{setting: {model: ms}} with the matrix products this process was started with."""
    times = {}
    for setting, (task, models) in contestants().items():
        batch = task.sample(128, np.random.default_rng(0))
        made = {
            name: getattr(rh, kind)(task.input_size, output_size=task.output_size, seed=1, **sizes)
            for name, (kind, sizes) in models.items()
        }
        took = {name: [] for name in made}
        for _ in range(rounds + 3):
            for name, model in made.items():
                start = time.thread_time()
                model.loss_and_grads(batch)
                took[name].append(1000 * (time.thread_time() - start))
        times[setting] = {name: round(float(np.median(each[3:])), 2) for name, each in took.items()}  # 3 to warm up
    return times


def in_own_process(kernel, rounds):
    """What step_times returns in a process whose OpenBLAS uses the code named kernel."""
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_L2_SIZE"}
    environment |= {"OPENBLAS_CORETYPE": kernel, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--rounds", str(rounds), "--kernel", kernel]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return json.loads(done.stdout)


def check_kernel(kernel):
    if rh._kernels() != f"openblas {kernel}":
        sys.exit(f"error: NumPy's matrix products should be OpenBLAS's for {kernel}, got {rh._kernels()}")


def table(times):
    """The lines to print: milliseconds, and the core's in those of each other model."""
    lines = [f"{'':10}{'':10}" + "".join(f"{name:>10}{'core /':>8}" for name in times)]
    for setting, models in next(iter(times.values())).items():
        for model in models:
            cells = [(of[setting][model], of[setting]["core"] / of[setting][model]) for of in times.values()]
            lines.append(f"{setting:10}{model:10}" + "".join(f"{ms:7.2f} ms{ratio:8.2f}" for ms, ratio in cells))
    return "\n".join(lines)


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=at_least_one, default=100, help="timed steps of each model (default 100)")
    parser.add_argument("--store", action="store_true", help="keep the times for the notebooks")
    parser.add_argument("--kernel", help=argparse.SUPPRESS)  # in the process that times
    options = parser.parse_args()
    if options.kernel:
        check_kernel(options.kernel)
        print(json.dumps(step_times(options.rounds)))
        return
    times = {name: in_own_process(kernel, options.rounds) for name, kernel in KERNELS.items()}
    print(table(times))
    if options.store:
        with rh._replacing(STORED) as file:
            file.write(json.dumps(times, indent=1).encode())


if __name__ == "__main__":
    main()
