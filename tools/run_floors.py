"""Run the unit tests with the oldest packages that pyproject.toml allows.

    python3.11 tools/run_floors.py               # install them into a temporary environment, run the unit tests there
    python3.11 tools/run_floors.py --notebooks   # the notebooks too, without comparing their outputs
    python3.11 tools/run_floors.py --list        # only print the requirements

Every name>=x of pyproject.toml becomes name==x. It takes the oldest Python allowed, since old packages have no builds
for newer ones, and nothing but its standard library.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Not the tests of the stored files (notebooks, runs), nor those that train or write mutants for minutes.
UNIT_TESTS = [
    "tests/conftest.py",
    "tests/test_arguments.py",
    "tests/test_checkpoints.py",
    "tests/test_environment.py",
    "tests/test_gradients.py",
    "tests/test_models.py",
    "tests/test_nth_farthest.py",
    "tests/test_pictures.py",
    "tests/test_program_evaluation.py",
    "tests/test_simple_tasks.py",
    "tests/test_story_qa.py",
    "tests/test_torch_fixture.py",
    "--deselect=tests/test_gradients.py::test_mutants_of_the_backward_passes_are_caught",
]
NOTEBOOK_TESTS = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=600", "notebooks"]


def floor(requirement):
    """The requirement name>=x as (name, x)."""
    name, separator, version = requirement.partition(">=")
    if not separator or not version.replace(".", "").isdigit():
        raise ValueError(f"{requirement!r} is not of the form name>=version")
    return name.strip(), version.strip()


def read_floors(pyproject=ROOT / "pyproject.toml"):
    """(oldest Python, requirements as name==oldest) of the project and its tests."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    _, python = floor(project["requires-python"])
    requirements = project["dependencies"] + project["optional-dependencies"]["test"]
    return python, ["==".join(floor(requirement)) for requirement in requirements]


def run_tests(requirements, arguments):
    """Run pytest with the arguments in a temporary environment that has the requirements; returns its exit status."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder, "Scripts" if os.name == "nt" else "bin", "python")
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
        subprocess.run([*install, *requirements], check=True)
        # Warnings of old packages about new Pythons and new helpers are not the project's.
        tests = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--disable-warnings", *arguments]
        return subprocess.run(tests, cwd=ROOT).returncode


def main(arguments=None):
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="only print the requirements")
    parser.add_argument("--notebooks", action="store_true", help="run the notebooks too, without comparing outputs")
    options = parser.parse_args(arguments)
    oldest, requirements = read_floors()
    if options.list:
        print(*requirements, sep="\n")
        return 0
    here = "{}.{}".format(*sys.version_info)
    if here != oldest:
        parser.error(f"start this with Python {oldest}, the oldest that pyproject.toml allows; this is {here}")
    return run_tests(requirements, UNIT_TESTS + (NOTEBOOK_TESTS if options.notebooks else []))


if __name__ == "__main__":
    sys.exit(main())
