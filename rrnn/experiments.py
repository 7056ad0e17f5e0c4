"""Experiments as data: runs on any executor, and their records (notebooks 07, 09)."""

import hashlib
import inspect
import json
import os
import platform
from concurrent.futures import as_completed
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from rrnn import tasks
from rrnn.blas import kernels, one_blas_thread
from rrnn.cell import RelationalRNN
from rrnn.checkpoints import replacing, save_checkpoint
from rrnn.core import RelationalMemoryCore
from rrnn.lstm import LSTM
from rrnn.training import evaluate, train

TASKS = {name: getattr(tasks, name) for name in tasks.__all__ if name != "Task"}
MODELS = {kind.__name__: kind for kind in (RelationalMemoryCore, RelationalRNN, LSTM)}


def run_experiments(experiments, executor=None, *, folder=None, progress=True):
    """Train and score every experiment of {name: experiment}; returns {name: record} in the same
    order.

    An experiment is plain data: "task": (class name, arguments), "model": (class name, arguments
    without sizes of input and output), "train": the arguments of train with "steps" and "seed", the
    model's seed too; and, if wanted, "curriculum": [(class name, arguments, score to move on at),
    ...], and "weights": False to keep no weights. A record holds the experiment, "parameters" (how
    many), "operations" (multiplications and additions, in pairs, that one example takes forward),
    "curve" (the columns of History), "test" (evaluate on 10,000 fresh examples), "shortcuts",
    "sha256" of the weights and "versions".

    executor is any concurrent.futures.Executor, for example of processes, Dask or ipyparallel,
    whose workers can import this package; None runs one after the other here. With a folder, each
    run leaves NAME.json, its record, and NAME.npz, its weights: a run whose record is there is not
    made again, an unfinished one goes on where it stopped. progress shows a bar with the time left.
    Raises ValueError or TypeError for what is no experiment, and for a record in folder that is of
    another one, or damaged. Taught in notebook 09.
    """
    if not isinstance(experiments, dict):
        got = type(experiments).__name__
        raise TypeError(f"experiments must be a dict {{name: experiment}}, got {got}")
    if not (executor is None or hasattr(executor, "submit")):
        wanted = "a concurrent.futures.Executor or None"
        raise TypeError(f"executor must be {wanted}, got {executor!r}")
    folder = None if folder is None else existing(folder)
    plain = {name: as_data(name, experiment) for name, experiment in experiments.items()}
    records = {name: made_before(folder, name, experiment) for name, experiment in plain.items()}
    missing = [name for name in plain if records[name] is None]
    from tqdm.auto import tqdm

    hidden = not progress or os.environ.get("TQDM_DISABLE") == "1"
    with tqdm(total=len(missing), unit="run", disable=hidden) as bar:
        if executor is None:
            done = ((name, run_experiment(name, plain[name], folder)) for name in missing)
        else:
            futures = {executor.submit(run_experiment, name, plain[name], folder): name
                       for name in missing}  # fmt: skip
            done = ((futures[future], future.result()) for future in as_completed(futures))
        for name, record in done:
            records[name] = record
            bar.set_postfix_str(name, refresh=False)
            bar.update()
    return records


def versions():
    """What a record says of the machine that made it."""
    return {"python": platform.python_version(), "numpy": np.__version__,
            "machine": platform.machine(), "blas": kernels()}  # fmt: skip


def as_data(name, experiment):
    """The experiment as it looks after a way through JSON; refused if it is none."""
    if not (isinstance(name, str) and isinstance(experiment, dict)):
        got = f"{name!r}: {experiment!r}"
        raise TypeError(f"experiments must hold dicts under strings, got {got}")
    missing = {"task", "model", "train"} - set(experiment)
    unknown = set(experiment) - {"task", "model", "train", "curriculum", "weights"}
    where = f"experiments[{name!r}]"
    if missing or unknown:
        more = f"has more than it may: {sorted(unknown)}"
        raise ValueError(f"{where} lacks {sorted(missing)} or {more}")
    if set(name) & {*"/\\"}:
        raise ValueError(f"experiments must have names without / and \\, got {name!r}")
    try:
        plain = json.loads(json.dumps(experiment))
    except TypeError as error:
        raise TypeError(f"{where} must be data that JSON can hold: {error}") from None
    check_form(where, plain)
    make(plain)  # what cannot be made fails here, not in an hour
    return plain


def check_form(where, experiment):
    """The right lists and dicts at the right places."""
    pair, triple = (str, dict), (str, dict, (int, float))
    stages, given = experiment.get("curriculum", []), experiment["train"]
    stages = stages if isinstance(stages, list) else [stages]
    parts = [(what, experiment[what], pair) for what in ("task", "model")]
    for what, part, kinds in parts + [("curriculum", stage, triple) for stage in stages]:
        fits = isinstance(part, list) and len(part) == len(kinds)
        if not (fits and all(map(isinstance, part, kinds))):
            form = "(class name, arguments)"
            if kinds is triple:
                form = "a list of (class name, arguments, score to move on at)"
            raise TypeError(f"{where}[{what!r}] must be {form}, got {part!r}")
    ours = {"model", "task", "curriculum", "checkpoint", "progress"}
    allowed = inspect.signature(train).parameters.keys() - ours
    if not isinstance(given, dict) or not {"steps", "seed"} <= given.keys() <= allowed:
        right = f"steps and seed, and may give {sorted(allowed - {'steps', 'seed'})}"
        raise ValueError(f"{where}['train'] must give {right}, got {given!r}")


def make(experiment):
    """The task, the untrained model and the curriculum of an experiment."""
    stages = [experiment["task"], *experiment.get("curriculum", [])]
    (task, *_), *curriculum = [(kind_of("task", TASKS, kind)(**arguments), *score)
                               for kind, arguments, *score in stages]  # fmt: skip
    kind, arguments = experiment["model"]
    model = kind_of("model", MODELS, kind)(
        task.input_size, output_size=task.output_size, seed=experiment["train"]["seed"], **arguments
    )
    return task, model, curriculum


def kind_of(what, kinds, name):
    if name not in kinds:
        raise ValueError(f"a {what} must be one of {', '.join(kinds)}, got {name!r}")
    return kinds[name]


def made_before(folder, name, experiment):
    """The record of this run in the folder, or None."""
    if folder is None or not (folder / f"{name}.json").exists():
        return None
    record = read(folder / f"{name}.json")
    if record.get("experiment") != experiment:
        other = f"another experiment, {record.get('experiment')}"
        raise ValueError(f"{folder / name}.json is of {other}; move it away first")
    return record


def run_experiment(name, experiment, folder):
    """Train and score; the record, which is also written to the folder, if there is one."""
    task, model, curriculum = make(experiment)
    part = None if folder is None else folder / f".{name}.part.npz"
    with one_blas_thread():
        history = train(model, task, curriculum=curriculum, checkpoint=part, progress=False,
                        **experiment["train"])  # fmt: skip
        test = evaluate(model, task)
    answers = task.sample(1, np.random.default_rng(0)).targets.shape[1]
    curve = history._asdict().items()
    record = {
        "experiment": experiment, "parameters": model.flat.size,
        "operations": model.operations(task.num_inputs, answers), "test": test,
        "shortcuts": task.shortcuts(),
        "curve": {column: np.round(values, 6).tolist() for column, values in curve},
        "sha256": hashlib.sha256(model.flat.tobytes()).hexdigest(),
        "versions": versions(),
    }  # fmt: skip
    if folder is not None:
        if experiment.get("weights", True):
            save_checkpoint(folder / f"{name}.npz", model)
        with replacing(folder / f"{name}.json") as file:
            file.write(json.dumps(record, indent=1).encode())
        part.unlink(missing_ok=True)  # another thread may have made the same run
    return record


def existing(folder):
    if not isinstance(folder, str | os.PathLike):
        raise TypeError(f"folder must be the path of a folder, got {folder!r}")
    if not Path(folder).is_dir():
        raise ValueError(f"folder must be a folder that exists, got {str(folder)!r}")
    return Path(folder)


def read(path, line=None, text=None):
    """The record in a file, or in a line of it; ValueError, with the place, for anything else."""
    where = str(path) if line is None else f"{path}, line {line},"
    try:
        record = json.loads(path.read_bytes() if text is None else text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is damaged: {error}") from None
    if not (isinstance(record, dict) and "sha256" in record):
        raise ValueError(f"{where} is no record of a run, which has the sha256 of its weights")
    return record


def load_records(folder, pattern="*"):
    """{name: record} of the runs whose name fits a pattern such as "stories_core_seed*", by name:
    from the lines of folder/runs.jsonl or, where there is none, from the files NAME.json that
    run_experiments leaves; what a record holds is said there. Raises ValueError for a folder that
    does not exist, if no name fits, and, with file and line, for what is no record. Taught in
    notebook 07."""
    folder = existing(folder)
    if not isinstance(pattern, str):
        raise TypeError(f"pattern must be text such as 'stories_core_seed*', got {pattern!r}")
    path, records = folder / "runs.jsonl", {}
    if path.exists():
        for line, text in enumerate(path.read_bytes().splitlines(), 1):
            record = read(path, line, text)
            name = record.pop("name", None)
            if not isinstance(name, str) or name in records:
                raise ValueError(f"{path}, line {line}, has no name of its own, but {name!r}")
            records[name] = record
    else:
        records = {path.stem: read(path) for path in sorted(folder.glob("[!.]*.json"))
                   if fnmatchcase(path.stem, pattern)}  # fmt: skip
    records = {name: records[name] for name in sorted(records) if fnmatchcase(name, pattern)}
    if not records:
        raise ValueError(f"no record in {path} fits pattern {pattern!r}")
    return records
