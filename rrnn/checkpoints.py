"""Models in files (notebook 06): written whole or not at all, and never unpickled."""

import json
import os
import re
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from rrnn.checks import Place
from rrnn.model import Model, check_model

try:
    import fcntl
except ImportError:  # on Windows: there, what a killed process left stays
    fcntl = None


class CheckpointError(ValueError):
    """A file that is no checkpoint, is damaged, or belongs to something else. Taught in
    notebook 06."""


FORMAT, VERSION = "rrnn-checkpoint", 1


@contextmanager
def replacing(path):
    """A new binary file that takes the place of path when all of it is written, and not before."""
    path = Path(os.path.realpath(path))  # a link stays one
    remove_leftovers(path)
    # of this call alone: other threads, too, may be writing here
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    file = locked(temporary)
    held = os.dup(file.fileno()) if fcntl else None  # so the lock lasts until the file has its name
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
        if held is not None:
            os.close(held)


def locked(path):
    """A new binary file that is locked; the lock of a process that is killed goes with it."""
    while True:
        file = open(path, "xb")
        if fcntl:
            with suppress(OSError):  # a file system without locks: then nobody removes anything
                fcntl.flock(file, fcntl.LOCK_EX)
        if not fcntl or os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # taken for a leftover before it was locked


def remove_leftovers(path):
    """Remove what was left beside path by processes that were killed while they wrote it."""
    name = re.compile(re.escape(f".{path.name}.") + r"[0-9a-f]{32}\.part")
    for other in os.listdir(path.parent) if fcntl else ():
        if name.fullmatch(other):
            with suppress(OSError), open(path.with_name(other), "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while somebody writes
                os.unlink(file.name)


def kinds_of_models(kind=Model):
    """{name: class} of all models that this process knows, the reader's own included. A class of
    the reader's own that has the name of another goes by its module, too."""
    found = {}
    for sub in kind.__subclasses__():
        own = {sub.__name__: sub, f"{sub.__module__}.{sub.__name__}": sub}
        found = own | kinds_of_models(sub) | found
    return found


def name_of(kind):
    """The shortest name under which kinds_of_models finds a class."""
    short, known = kind.__name__, kinds_of_models()
    return short if known.get(short) is kind else f"{kind.__module__}.{short}"


def save_checkpoint(path, model, extra=None):
    """Write model, and a dict `extra` of arrays and JSON values, to path as .npz, all or nothing: a
    crash, and whatever is refused, leaves the old file. Raises TypeError for an extra that would
    not come back as it is, ValueError for parameters that are not finite. Taught in notebook 06."""
    check_model(model)
    if os.path.isdir(os.path.realpath(Place(there=False)("path", path))):
        raise IsADirectoryError(f"path must be that of a file, and {str(path)!r} is a folder")
    extra = {} if extra is None else extra
    if not isinstance(extra, dict) or not all(isinstance(name, str) for name in extra):
        raise TypeError(f"extra must be a dict with string keys, got {extra!r}")
    arrays = {f"extra/{name}": value for name, value in extra.items()
              if isinstance(value, np.ndarray)}  # fmt: skip
    for name, array in arrays.items():
        if array.dtype.hasobject or type(array) is not np.ndarray:
            raise TypeError(f"extra must hold plain arrays, of no objects, got {array!r}")
        if name.endswith(".npy") or "\0" in name:
            raise TypeError(f"extra must not name an array with .npy or NUL, got {name!r}")
    plain = {name: value for name, value in extra.items() if f"extra/{name}" not in arrays}
    with model.at_work:  # another thread may be in the middle of a step
        own = {f"params/{name}": array.copy() for name, array in model.params.items()}
        if hasattr(model, "first_memory"):
            own["first_memory"] = model.first_memory.copy()
    for name, array in own.items():
        if not np.isfinite(array).all():
            raise ValueError(f"model must be finite to be saved, but {name} holds NaN or infinity")

    head = {"format": FORMAT, "version": VERSION, "model": name_of(type(model))}
    head |= {"config": model.describe(), "extra": plain}
    try:
        text = json.dumps(head)
    except (TypeError, ValueError) as error:
        raise TypeError(f"extra must hold arrays and JSON values only: {error}") from None
    if not same(plain, json.loads(text)["extra"]):
        given = "tuples and keys that are no strings would come back as lists and strings"
        raise TypeError(f"extra must hold JSON values only, {given}: {plain!r}")
    with replacing(path) as file:
        np.savez(file, head=np.array(text), **arrays, **own)


def same(a, b):
    """Equal, and of the same kinds; NaN is NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (a != a and b != b)


def load_checkpoint(path):
    """(model, extra) from a file of save_checkpoint, which is never unpickled. Raises
    CheckpointError, with the reason, for a truncated, foreign, pickled, wrong-shape or
    wrong-version file, and FileNotFoundError for none. Taught in notebook 06."""
    Place(there=False)("path", path)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        head = json.loads(str(arrays.pop("head")))
        if head["format"] != FORMAT:
            raise ValueError(f"its format is {head['format']!r}")
        room = sum(array.size for array in arrays.values())
    except FileNotFoundError:
        raise
    except Exception as error:  # of zipfile, zlib, NumPy, tokenize, ...: there is no list of them
        reason = f"{type(error).__name__}: {error}"
        if "allow_pickle" in reason:  # NumPy's advice is not ours
            reason = "it is no .npz file of arrays"
        raise CheckpointError(f"{path} is not a readable checkpoint: {reason}") from None
    if head.get("version") != VERSION:
        version = f"version {head.get('version')!r}; this code reads {VERSION}"
        raise CheckpointError(f"{path} has checkpoint {version}")

    try:
        kind = kinds_of_models()[head["model"]]
        for name, size in head["config"].items():  # before anything huge is made
            few = name == "seed" or (name == "num_blocks" and head["config"].get("share_blocks"))
            if isinstance(size, int) and size > room and not few:
                raise ValueError(f"{name} is {size}, more than all the numbers in the file")
        model = kind(**head["config"])
        targets = {f"params/{name}": array for name, array in model.params.items()}
        if hasattr(model, "first_memory"):
            targets["first_memory"] = model.first_memory
        if not isinstance(extra := head["extra"], dict):
            raise TypeError(f"its extra is a {type(extra).__name__}")
        for name in [name for name in arrays if name.startswith("extra/")]:
            extra[name.removeprefix("extra/")] = arrays.pop(name)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise CheckpointError(f"{path} describes no model that can be made: {reason}") from None

    if arrays.keys() != targets.keys():
        differ = sorted(arrays.keys() ^ targets.keys())
        raise CheckpointError(f"{path} does not hold the arrays of its model: {differ}")
    for name, target in targets.items():
        array = arrays[name]
        if array.shape != target.shape or array.dtype != target.dtype:
            right, given = (f"{a.shape} {a.dtype}" for a in (target, array))
            raise CheckpointError(f"{path}: {name} must be {right}, but is {given}")
        if not np.isfinite(array).all():
            raise CheckpointError(f"{path}: {name} holds NaN or infinite values")
        target[:] = array
    return model, extra
