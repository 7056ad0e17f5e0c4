"""What the tools of the study (run_climb.py, run_tasks.py, run_babi.py, run_text.py) share: runs as
data, made two at a time here, on a cluster or as an array of jobs, and made on where they stopped.
"""

import argparse
import functools
import time
from bisect import bisect_left
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from rrnn.checkpoints import CheckpointError, load_checkpoint
from rrnn.core import RelationalMemoryCore
from rrnn.experiments import load_records, read
from rrnn.lstm import LSTM

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "notebooks" / "results" / "unfinished"
MILLION = 1_000_000


def load(folder, name):
    """The record of a run, or None; ValueError, with the file, for what is no record."""
    path = Path(folder, f"{name}.json")
    return read(path) if path.exists() else None


def stored(folder):
    """{name: record} of the runs in folder, and of those that are in runs.jsonl already;
    ValueError, with the file, for what is no record."""
    return load_records(WORK.parent) | {path.stem: read(path) for path in folder.glob("*.json")}


def kept(part, *names):
    """What an unfinished run left under these names; CheckpointError, with the file, if it is
    damaged, or was left by something else."""
    _, extra = load_checkpoint(part)
    if missing := [name for name in names if name not in extra]:
        raise CheckpointError(f"{part} is no unfinished run of this study: it lacks {missing}")
    return [extra[name] for name in names]


def units_like(core, sizes, input_size, output_size):
    """The hidden units that bring an LSTM of these other sizes nearest to a core's parameters."""

    def parameters(units):
        return LSTM(input_size, units, output_size, **sizes).flat.size

    goal = RelationalMemoryCore(input_size, output_size, **core).flat.size
    above = 1 + bisect_left(range(1, 2000), goal, key=parameters)
    return min((above - 1, above), key=lambda units: abs(parameters(units) - goal))


def part_of_experiment(folder, name):
    """How far an unfinished run of run_experiments is, in words, and its processor seconds; None if
    it is to do."""
    part = folder / f".{name}.part.npz"
    if not part.exists():
        return None
    step, seconds = kept(part, "step", "seconds")
    return f"{step} steps", seconds


def seconds_of(record):
    """Processor seconds of a record."""
    return record["looks"][-1][1] if "looks" in record else record["curve"]["seconds"][-1]


def show(runs, records, under_way, describe):
    """Every run in a line, done, under way or to do; then the hours it took in all."""
    hours, counts = 0.0, {"done": 0, "running": 0, "to do": 0}
    for name in runs:
        state, text, seconds = "to do", "", 0.0
        if name in records:
            try:
                text, seconds = describe(records[name]), seconds_of(records[name])
            except LookupError as error:
                other = f"is of another study: it lacks {error}"
                raise ValueError(f"the record of {name} {other}") from None
            state = "done"
        elif found := under_way(name):
            state = "running"
            text, seconds = found
        counts[state] += 1
        hours += seconds / 3600
        print(f"{name:45}{state:9}{text}")
    print(", ".join(f"{count} {state}" for state, count in counts.items()), end="; ")
    print(f"{hours:.1f} processor hours in all")


def main(doc, plan, make, under_way, describe, data=None):
    """The command line of a study; returns the exit status. plan(records) gives {name: run} of all
    runs that can be made, given the records there are, make(name, run, folder, deadline) the record
    of a run, or None if there is more to do; under_way(folder, name) what is to be said of it. data
    says what folder a study needs that reads one, which make then gets as data=..."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", metavar="NAME", help="only runs with this in a name")
    parser.add_argument("--list", action="store_true", help="list the runs and stop")
    parser.add_argument("--hours", type=float, help="stop after so many hours")
    parser.add_argument("--workers", type=int, default=2, help="runs at a time (default 2)")
    parser.add_argument("--dask", metavar="ADDRESS", help="on the workers of this cluster")
    parser.add_argument("--tasks", type=int, default=1, help="share the runs among so many jobs")
    parser.add_argument("--task", type=int, default=0, help="and make this job's share")
    parser.add_argument("--folder", type=Path, default=WORK, metavar="DIR", help="work here")
    if data:
        parser.add_argument("--data", type=Path, metavar="DIR", help=data)
    options = parser.parse_args()
    if data and not options.list:
        if options.data is None:
            parser.error(f"--data DIR is needed: {data}")
        make = functools.partial(make, data=options.data.resolve())
    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)

    def chosen(records):
        runs = plan(records)
        names = [name for name in runs if options.only in name]
        return {name: runs[name] for name in names[options.task :: options.tasks]}

    if options.list:
        records = stored(folder)
        show(chosen(records), records, lambda name: under_way(folder, name), describe)
        return 0
    deadline = options.hours and time.time() + 3600 * options.hours
    with executor_of(options) as executor:
        # the reported runs can begin when the search has ended, so look again
        while not (deadline and time.time() > deadline):
            records = stored(folder)
            missing = {name: run for name, run in chosen(records).items() if name not in records}
            if not missing:
                break
            futures = {executor.submit(make, name, run, folder, deadline): name
                       for name, run in missing.items()}  # fmt: skip
            start = time.time()
            for count, future in enumerate(as_completed(futures), 1):
                record = future.result()
                text = describe(record) if record else "goes on another day"
                left = (time.time() - start) / count * (len(futures) - count) / 3600
                at = f"{count} of {len(futures)}, {left:.1f} h left"
                print(f"{at:24}{futures[future]}: {text}", flush=True)
    return 0


def executor_of(options):
    """Where the runs are made."""
    if options.dask:
        from distributed import Client

        return Client(options.dask).get_executor()
    return ProcessPoolExecutor(options.workers, mp_context=get_context("spawn"))
