"""How fast every task of the series is sampled: 100,000 examples on one core, printed as a table.

    python tools/benchmark_tasks.py                    # each task at a small and at a larger size
    python tools/benchmark_tasks.py --examples 10000

Examples are drawn in batches of 10,000, as much as a reader would hold at once.
"""

import argparse
import os
import sys
import time
from pathlib import Path

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np  # noqa: E402

import rrnn_helpers as rh  # noqa: E402

TASKS = [
    rh.NthFarthest(3, 2),
    rh.NthFarthest(8, 16),
    rh.PairMatching(4, 8),
    rh.PairMatching(8, 32),
    rh.ObjectTracking(3, 5, 10),
    rh.ObjectTracking(6, 10, 30),
    rh.StoryQA(3, 2, 5, 16),
    rh.StoryQA(5, 3, 8, 32),
    rh.Sorting(6, 8),
    rh.Sorting(16, 32),
    *(rh.ProgramEvaluation(kind, 1, 5, sizes="fixed") for kind in ("copy", "reverse", "double")),
    *(rh.ProgramEvaluation(kind, 2, 5, sizes="fixed") for kind in ("add", "control", "program")),
]
BATCH = 10_000


def seconds(task, examples, repeats=3):
    """The fastest of a few times that it takes to draw the examples."""
    times = []
    for repeat in range(repeats):
        rng = np.random.default_rng(repeat)
        start = time.perf_counter()
        for first in range(0, examples, BATCH):
            task.sample(min(BATCH, examples - first), rng)
        times.append(time.perf_counter() - start)
    return min(times)


def main():
    parser = argparse.ArgumentParser(description="Time the sampling of every task on one core.")
    parser.add_argument("--examples", type=int, default=100_000, help="examples of each task (default 100000)")
    options = parser.parse_args()
    if options.examples < 1:
        parser.error(f"--examples must be at least 1, got {options.examples}")
    print(f"seconds for {options.examples:,} examples on one core, fastest of 3\n")
    print("| task | inputs | seconds |\n|---|---|---|")
    for task in TASKS:
        print(f"| {task} | {task.num_inputs} x {task.input_size} | {seconds(task, options.examples):.2f} |", flush=True)


if __name__ == "__main__":
    main()
