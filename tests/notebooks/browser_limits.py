"""What the Python of the online site (Pyodide) cannot do, and so must not be needed by a notebook:
no threads, no processes, no clock of a thread, and not all of the standard library."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import build_lite
import nbformat

ROOT = Path(__file__).resolve().parents[2]
PYODIDE = json.loads((ROOT / "tests/fixtures/pyodide.json").read_text(encoding="utf-8"))
FETCHED = build_lite.PACKAGES.removeprefix("%pip install -q ").split()
LACKS = {name for name in PYODIDE["lacks"] if name.replace("_", "-") not in FETCHED}
PATHS = [str(ROOT), str(ROOT / "tools"), str(Path(__file__).parent)]
# The first cell of a notebook that is to run within the limits.
LIMITS = f"import sys\nsys.path[:0] = {PATHS!r}\nimport browser_limits\nbrowser_limits.restrict()\n"


def stage(folder):
    """Write the notebooks as they stand on the online site, but with the limits in place of what
    fetches packages, below the folder. Returns where they are."""
    build_lite.stage(folder)
    paths = sorted((folder / "notebooks").glob("*.ipynb"))
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        [cell] = [cell for cell in notebook.cells if cell.id == "packages"]
        cell.source = cell.source.replace(build_lite.PACKAGES, LIMITS)
        nbformat.write(notebook, path)
    return paths


def restrict():
    """From now on this process refuses what Pyodide refuses, in its words. A kernel has started the
    threads that it needs before its first cell, but for one that sends large pictures."""

    def refuse(error, *words):
        def refused(*args, **kwargs):
            raise error(*words)

        return refused

    usual = threading.Thread.start

    def start(thread):
        if not type(thread).__module__.startswith("zmq."):
            raise RuntimeError("can't start new thread")
        usual(thread)

    # concurrent.futures, multiprocessing and tqdm start their threads and processes with these
    threading.Thread.start = start
    subprocess.Popen.__init__ = refuse(OSError, 138, "emscripten does not support processes.")
    for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp", "system"):
        if hasattr(os, name):
            setattr(os, name, refuse(OSError, 52, "Function not implemented"))
    for module, name in ((time, "thread_time"), (time, "thread_time_ns"), (os, "sched_getaffinity"),
                         (os, "sched_setaffinity")):  # fmt: skip
        if hasattr(module, name):
            delattr(module, name)
    os.cpu_count = lambda: PYODIDE["cores"]
    for name in ("_multiprocessing", *LACKS):
        sys.modules[name] = None  # an import fails
