"""Run the unit tests with the oldest packages that pyproject.toml allows, on the oldest Python.

    python tools/run_floors.py              # each package is installed at its lower bound
    python tools/run_floors.py --notebooks  # the notebooks too, without comparing their outputs
    python tools/run_floors.py --colab      # the notebooks alone, with the ipywidgets of Colab

uv chooses the packages, in environments that are thrown away.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = "Scripts" if os.name == "nt" else "bin"
# Not the tests of the stored files, nor the slow ones, which write mutants or train for minutes.
UNIT_TESTS = ["tests/conftest.py", "tests/rrnn", "-k", "not mutants"]
COLAB = "ipywidgets==7.7.1"  # older than pyproject.toml asks for
NOTEBOOKS = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=600", "notebooks"]


def find_uv(folder):
    """uv where it is on the path, and otherwise from PyPI, in an environment below the folder."""
    if not shutil.which("uv"):
        venv.create(folder / "uv", with_pip=True)
        command = [folder / "uv" / BIN / "python", "-m", "pip", "install", "--quiet", "uv"]
        subprocess.run(command, check=True)
    return shutil.which("uv") or folder / "uv" / BIN / "uv"


def main(arguments=None):
    """The command line; returns the exit status of pytest."""
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style)
    parser.add_argument("--notebooks", action="store_true", help="run the notebooks too")
    parser.add_argument("--colab", action="store_true", help="run only them, as on Colab")
    options = parser.parse_args(arguments)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest = project["requires-python"].removeprefix(">=")
    with tempfile.TemporaryDirectory() as folder:
        uv, old = find_uv(Path(folder)), Path(folder, "old")
        python = old / BIN / "python"
        packages = ["-r", "pyproject.toml", "--extra", "test", "--only-binary", ":all:"]
        install = ["--python", python, "--resolution", "lowest-direct", *packages]
        commands = [["venv", "--python", oldest, old], ["pip", "install", *install]]
        if options.colab:
            commands.append(["pip", "install", "--python", python, COLAB])
        for command in commands:
            subprocess.run([uv, *command, "--quiet"], cwd=ROOT, check=True)
        # Warnings of old packages about new Pythons and new helpers are not the project's.
        tests = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--disable-warnings"]
        tests += UNIT_TESTS * (not options.colab) + NOTEBOOKS * (options.notebooks or options.colab)
        return subprocess.run(tests, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
