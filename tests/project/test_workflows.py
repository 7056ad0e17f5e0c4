"""What no linter knows of the workflow and the container: that they test and use what the project
promises. check-jsonschema and zizmor look at form, pins and permissions: make lint."""

import json
import re
import tomllib

import yaml
from notebook_files import ROOT

NEWEST = 14  # of Python 3, the newest that is tested
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OLDEST = PROJECT["requires-python"].removeprefix(">=")
PYTHONS = [f"3.{minor}" for minor in range(int(OLDEST.removeprefix("3.")), NEWEST + 1)]
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/notebooks.yml").read_text(encoding="utf-8"))
CONTAINER = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))


def jobs(command, weekly=False):
    """{system: Pythons} of the jobs that run such a command, those that run weekly only or not."""
    found = {}
    for job in WORKFLOW["jobs"].values():
        steps, matrix = job["steps"], job.get("strategy", {}).get("matrix", {})
        text = "\n".join(step.get("run", "") for step in steps)
        if re.search(command, text, re.MULTILINE) and weekly == ("'schedule'" in job.get("if", "")):
            asked = {step.get("with", {}).get("python-version") for step in steps} - {None}
            pythons = matrix["python"] if asked == {"${{ matrix.python }}"} else list(asked)
            found |= dict.fromkeys(matrix.get("os", [job["runs-on"]]), pythons)
    return found


def test_every_python_and_system_is_tested_and_weekly_the_oldest_and_newest_packages():
    assert jobs("^make test PYTHON=python$") == {"ubuntu-latest": PYTHONS}
    notebooks = jobs("pytest --nbval-lax .*notebooks$")
    assert notebooks == {"macos-latest": PYTHONS, "windows-latest": PYTHONS}
    assert WORKFLOW[True]["schedule"] and jobs("run_floors.py", True) == {"ubuntu-latest": [OLDEST]}
    assert jobs("--pre .*numpy$", True) == {"ubuntu-latest": [PYTHONS[-1]]}  # on is read as True
    assert re.search(rf"python:({'|'.join(PYTHONS)})-\w+$", CONTAINER["image"])
    assert CONTAINER["postCreateCommand"].endswith("pip install --editable '.[test]'")
