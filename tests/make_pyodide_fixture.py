"""Write tests/fixtures/pyodide.json: what the Python of the online site has, which
tests/project/test_lite.py compares with.

Run by hand, with npm and node and a network, when jupyterlite-pyodide-kernel has gone on to another
Pyodide (the tests never need it):

    python tests/make_pyodide_fixture.py

The version of Pyodide is taken from the newest wheel of the kernel. From the npm package of that
version come the packages that it ships (pyodide-lock.json), and, asked in node, the modules of the
standard library that it lacks and the words with which it refuses threads and processes.
"""

import json
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

FIXTURE = Path(__file__).parent / "fixtures" / "pyodide.json"
KERNEL = "jupyterlite-pyodide-kernel"
ASK = """
import importlib.util, json, os, subprocess, sys, threading, time

def words(action):
    try:
        return action() and None
    except Exception as error:
        return f"{type(error).__name__}: {error}"

names = [name for name in sorted(sys.stdlib_module_names) if name[0] != "_"]
json.dumps({
    "python": sys.version.split()[0],
    "lacks": [name for name in names if importlib.util.find_spec(name) is None],
    "refuses": {
        "thread": words(lambda: threading.Thread(target=print).start()),
        "process": words(lambda: subprocess.Popen(["true"])),
        "fork": words(lambda: os.fork()),
        "time.thread_time": words(lambda: time.thread_time()),
        "os.sched_getaffinity": words(lambda: os.sched_getaffinity(0)),
        "multiprocessing": words(lambda: __import__("_multiprocessing")),
    },
    "cores": os.cpu_count(),
})
"""


def pyodide_in(scripts):
    """The version of Pyodide that the scripts of a kernel load."""
    [version] = set(re.findall(r"pyodide/v([\d.]+)/full/pyodide\.m?js", scripts))
    return version


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", KERNEL]
        subprocess.run(download, cwd=folder, check=True)
        [wheel] = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as files:
            scripts = [file for file in files.namelist() if file.endswith(".js")]
            text = "".join(files.read(file).decode() for file in scripts)
        version = pyodide_in(text)
        subprocess.run(["npm", "pack", "--silent", f"pyodide@{version}"], cwd=folder, check=True)
        with tarfile.open(folder / f"pyodide-{version}.tgz") as archive:
            archive.extractall(folder, filter="data")
        script = 'import { loadPyodide } from "./package/pyodide.mjs";\n'
        script += f"console.log((await loadPyodide()).runPython({json.dumps(ASK)}));\n"
        (folder / "ask.mjs").write_text(script, encoding="utf-8")
        ask = subprocess.run(["node", "ask.mjs"], cwd=folder, check=True, stdout=subprocess.PIPE)
        lock = json.loads((folder / "package" / "pyodide-lock.json").read_text(encoding="utf-8"))
        packages = {name: facts["version"] for name, facts in sorted(lock["packages"].items())}
        shipped = {name: packages[name] for name in packages if not name.endswith("-tests")}
        facts = {"made by": f"tests/{Path(__file__).name}", "kernel": wheel.name.split("-")[1]}
        facts |= {"pyodide": version, **json.loads(ask.stdout), "packages": shipped}
    FIXTURE.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
