"""The online site, as far as it can be tested without a network: all that is imported is there in
the browser, and the notebooks run within its limits (tests/notebooks/browser_limits.py).

The notebooks in QUICK run here. `make browser` runs all of them within the limits, when it draws
the pictures of the copy for reading."""

import re
import sys
import tomllib
from importlib import metadata
from importlib.metadata import PackageNotFoundError

import build_lite
import nbformat
import pytest
from browser_limits import FETCHED, LACKS, LIMITS, PYODIDE, stage
from make_pyodide_fixture import pyodide_in
from nbformat.v4 import new_code_cell, new_notebook
from notebook_files import ROOT, notebook_paths
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rebuild_notebooks import execute
from test_house import HELPERS, ROOMS, imported

QUICK = ("01", "02", "03", "04", "10")
KERNEL = {"IPython"}  # what the kernel of the site brings
BROWSER = {"sys_platform": "emscripten", "platform_system": "Emscripten", "os_name": "posix",
           "python_version": ".".join(PYODIDE["python"].split(".")[:2]),
           "platform_python_implementation": "CPython", "extra": ""}  # fmt: skip


def missing_modules(names):
    """Those of the modules that a notebook could not import in the browser."""
    there = {*sys.stdlib_module_names} - LACKS | KERNEL | {"rrnn", "rrnn_helpers"}
    return sorted({*names} - there - {*FETCHED})


def missing_packages(name, done=()):
    """Those of a package and all that it needs that Pyodide neither ships nor can fetch: it fetches
    wheels of Python files alone."""
    name = canonicalize_name(name)
    if name in PYODIDE["packages"] or name in done:
        return set()
    try:
        package = metadata.distribution(name)
    except PackageNotFoundError:
        return {name}
    if not re.search("^Tag: (py2\\.)?py3-none-any$", package.read_text("WHEEL"), re.MULTILINE):
        return {name}
    needs = [Requirement(text) for text in package.requires or []]
    needs = [need.name for need in needs if not need.marker or need.marker.evaluate(BROWSER)]
    return set().union(*(missing_packages(need, (*done, name)) for need in needs))


def test_every_import_is_there_in_the_browser():
    paths = [*ROOMS, HELPERS, *notebook_paths()]
    names = {name[0] for path in paths for name in imported(path)}
    assert {"numpy", "scipy", "ipywidgets", "IPython"} <= names
    assert missing_modules(names) == []
    faults = ["torch", "tkinter", "yaml", "rrnn", "json"]
    assert missing_modules(faults) == ["tkinter", "torch", "yaml"]
    assert LACKS == {*PYODIDE["lacks"]} - {"pydoc_data"}


def test_every_package_is_shipped_or_of_python_files_alone():
    assert {package: missing_packages(package) for package in FETCHED} == dict.fromkeys(
        FETCHED, set()
    )
    assert "ipywidgets" not in PYODIDE["packages"]  # it is fetched, with what it needs
    # a wheel with a library, a package that needs one, and none at all
    assert missing_packages("debugpy") == {"debugpy"}
    assert "debugpy" in missing_packages("ipykernel")
    assert missing_packages("none-such") == {"none-such"}


def test_what_pyodide_ships_is_new_enough():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needs = {need.name: need for need in map(Requirement, project["dependencies"])}
    shipped = {name: PYODIDE["packages"].get(name) for name in needs}
    checked = {name for name, version in shipped.items() if version}
    assert {"numpy", "scipy", "matplotlib", "tqdm", "threadpoolctl"} <= checked
    old = {name for name in checked if not needs[name].specifier.contains(shipped[name])}
    assert not old and not Requirement("numpy>=99").specifier.contains(shipped["numpy"])
    assert PYODIDE["python"].split(".") >= project["requires-python"].removeprefix(">=").split(".")


def test_the_pinned_pyodide_is_that_of_the_kernel():
    try:
        files = metadata.files("jupyterlite-pyodide-kernel")
    except PackageNotFoundError:
        pytest.skip("make lite installs the kernel")
    scripts = "".join(file.read_text("utf-8") for file in files if file.suffix == ".js")
    assert pyodide_in(scripts) == PYODIDE["pyodide"], "run python tests/make_pyodide_fixture.py"


def run(codes, folder):
    execute(new_notebook(cells=[new_code_cell(code) for code in codes]), folder)


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    """{number: notebook as it stands on the site}"""
    paths = stage(tmp_path_factory.mktemp("staged"))
    return {path.name[:2]: path for path in paths}


@pytest.mark.parametrize("number", QUICK)
def test_a_notebook_runs_within_the_limits_of_the_browser(number, staged):
    execute(nbformat.read(staged[number], as_version=4), staged[number].parent)


def test_no_cell_of_the_series_may_fail_in_the_browser(staged):
    assert len(staged) == len(notebook_paths())
    notebooks = [nbformat.read(path, as_version=4) for path in staged.values()]
    cells = [cell for notebook in notebooks for cell in notebook.cells]
    assert not [cell for cell in cells if "raises-exception" in cell.metadata.get("tags", [])]
    assert sum(cell.source.startswith(LIMITS) for cell in cells) == len(staged)


POOL = """
import concurrent.futures
with concurrent.futures.ThreadPoolExecutor(2) as pool:
    sums = [pool.submit(sum, [i, 2]) for i in range(3)]
    bad = pool.submit(sum, 1)
assert [done.result() for done in concurrent.futures.as_completed(sums)]
assert [one.result() for one in sums] == [2, 3, 4] and isinstance(bad.exception(), TypeError)
"""
REFUSED = {
    "thread": "import threading\nthreading.Thread(target=print).start()",
    "process": "import subprocess\nsubprocess.run(['true'])",
    "fork": "import os\nos.fork()",
    "time.thread_time": "import time\ntime.thread_time()",
    "os.sched_getaffinity": "import os\nos.sched_getaffinity(0)",
    "multiprocessing": "from multiprocessing import Pool\nPool(1)",
}


def test_what_the_browser_refuses_is_refused_in_its_words(tmp_path):
    cells = [new_code_cell(code) for code in (LIMITS, *REFUSED.values(), POOL, "import tkinter")]
    for cell in cells[1:]:
        cell.metadata.tags = ["raises-exception"]
    execute(new_notebook(cells=cells), tmp_path)
    errors = [cell.outputs[-1] for cell in cells[1:]]
    *said, pool, library = [f"{error.ename}: {error.evalue}" for error in errors]
    expected = {what: PYODIDE["refuses"][what] for what in REFUSED}
    # the names of the missing module come in other words
    short = [text.replace("import of", "No module named").split("'")[0][:30] for text in said]
    assert short == [text.split("'")[0][:30] for text in expected.values()]
    assert pool == PYODIDE["refuses"]["thread"] and library.startswith("ModuleNotFoundError")


def test_an_executor_computes_without_threads(tmp_path):
    run([LIMITS, build_lite.NO_THREADS, POOL], tmp_path)
