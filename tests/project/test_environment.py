"""One list of packages, with lower bounds only; and make, which makes .venv with stub Pythons."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml
from notebook_files import ROOT

STUB = f"""#!{sys.executable}
import os, shutil, sys
sys.base_prefix, sys.version_info = "NAME", (3, 10) if "NAME" == "old" else sys.version_info
_, kind, what, *sys.argv[1:] = sys.argv
if kind == "-c": sys.exit(exec(what))
print("NAME", what, file=open("log", "a"))
if what == "venv":
    os.makedirs(".venv/bin/pip")
    shutil.copy(__file__, ".venv/bin/python")
sys.exit(what == "pip" and os.path.exists("offline"))
"""
PROJECT = '[project]\nrequires-python = ">=3.11"\ndependencies = ["numpy>=2", "none-such>=1"]\n'


def make(*command):
    """What make says in stderr, and what it told the stub Pythons."""
    Path("log").write_text("")
    environment = {"PATH": "/usr/bin:/bin"}  # without uv
    done = subprocess.run(["make", *command], env=environment, capture_output=True, text=True)
    return done.stderr, Path("log").read_text().splitlines()


def test_make_installs_each_set_once_for_each_python_or_says_why_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "Makefile", ".")
    Path("pyproject.toml").write_text(PROJECT)
    for name in ("old", "one", "two"):
        Path(name).write_text(STUB.replace("NAME", name))
        Path(name).chmod(0o755)
    said, done = make("PYTHON=./old", "test")
    assert "Python 3.11 or later is needed, and ./old is 3" in said and not done
    assert "./none is not there" in make("PYTHON=./none", "lab")[0]
    assert make("PYTHON=./one", ".venv/has-lab") == ("", ["one venv", "one pip"])
    assert make("PYTHON=./one", ".venv/has-lab") == make(".venv/has-lab") == ("", [])
    Path("offline").touch()
    said, done = make("PYTHON=./two", ".venv/has-test")
    assert "Could not install none-such>=1. This needs the network" in said
    Path("offline").unlink()
    assert done == ["two venv", "two pip"] and make(".venv/has-test") == ("", ["two pip"])
    assert make("PYTHON=./two", ".venv/has-lab") == ("", [])  # the tests' packages hold these


def test_every_package_has_a_lower_bound_and_conda_gets_the_list_from_pip():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    packages = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
    assert all(re.fullmatch(r"[a-z0-9-]+>=[\d.]+", text) for text in packages), packages
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    python, *rest = conda
    oldest = project["requires-python"].removeprefix(">=3.")
    assert int(re.fullmatch(r"python=3\.(\d+)", python)[1]) >= int(oldest)
    assert rest == ["pip", {"pip": ["-e .[test]"]}]
