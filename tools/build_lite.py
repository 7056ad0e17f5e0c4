"""Build the online site into build/lite: JupyterLab and the notebooks, run by Pyodide in the
browser of the reader.

    python tools/build_lite.py

It is built without a network and then put on any server of static files. It cannot be run without a
network: the browser fetches Pyodide, and ipywidgets from PyPI, when a notebook starts. The first
run of a notebook there takes about a minute longer; training runs in one process and is slower.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "lite"
# Pyodide loads what a cell imports, but does not look into rrnn_helpers and rrnn. pydoc_data is a
# part of the standard library that it has as a package.
PACKAGES = "%pip install -q ipywidgets matplotlib numpy pydoc-data scipy threadpoolctl tqdm"
NO_THREADS = """\
# A browser starts no threads: what an executor is given is computed at once.
from concurrent.futures import Future, ThreadPoolExecutor

def submit(executor, function, *args, **kwargs):
    future = Future()
    try:
        future.set_result(function(*args, **kwargs))
    except Exception as error:
        future.set_exception(error)
    return future

ThreadPoolExecutor.submit = submit
"""


def stage(folder, root=ROOT):
    """Copy to `folder` what the site shows; each notebook gets a cell that fetches the packages
    and does without threads."""
    ignore = shutil.ignore_patterns(".*", "__pycache__")
    for name in ("notebooks", "rrnn"):
        shutil.copytree(root / name, folder / name, ignore=ignore)
    for name in ("rrnn_helpers.py", "README.md", "LICENSE"):
        shutil.copyfile(root / name, folder / name)
    for path in (folder / "notebooks").glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        code = f"{PACKAGES}\n\n{NO_THREADS}"
        notebook.cells.insert(1, nbformat.v4.new_code_cell(code, id="packages"))
        nbformat.write(notebook, path)


def main(arguments=None):
    style = argparse.RawDescriptionHelpFormatter
    argparse.ArgumentParser(description=__doc__, formatter_class=style).parse_args(arguments)
    contents = OUT.with_name("lite_contents")
    for folder in (contents, OUT):
        shutil.rmtree(folder, ignore_errors=True)
    stage(contents)
    command = [sys.executable, "-m", "jupyterlite_core", "build", "--contents", contents]
    options = ["--output-dir", OUT, "--lite-dir", contents, "--apps", "lab", "--no-sourcemaps"]
    return subprocess.run([*command, *options], cwd=contents).returncode


if __name__ == "__main__":
    sys.exit(main())
