"""The GitHub workflow and the Codespaces container are well formed, pinned, and test what pyproject.toml allows."""

import json
import re
import subprocess
import sys

import pytest
import yaml
from notebook_files import ROOT
from run_floors import read_floors

WORKFLOW = ROOT / ".github" / "workflows" / "notebooks.yml"
CONTAINER = ROOT / ".devcontainer" / "devcontainer.json"
NEWEST_PYTHON = 14  # of Python 3, the newest that is tested
SCHEMAS = ("vendor.github-workflows", "custom.github-workflows-require-timeout")
PINNED = re.compile(r"\s*(?:- )?uses: [\w.-]+(?:/[\w.-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
WEEKLY = re.compile(r"\d+ \d+ \* \* [0-7]")


def minor(version):
    """11 for the text 3.11. A number is refused: YAML reads an unquoted 3.10 as 3.1."""
    assert isinstance(version, str) and version.startswith("3."), f"Python {version!r} is not a quoted 3.x"
    return int(version[2:])


def commands(job):
    """Everything a job runs, as one text."""
    return "\n".join(step.get("run", "") for step in job["steps"])


def find_unpinned_actions(text):
    for line in text.splitlines():
        if "uses:" in line and not PINNED.fullmatch(line):
            yield f"an action is not pinned by commit with its version as a comment: {line.strip()}"


def find_open_doors(text):
    workflow = yaml.safe_load(text)
    if workflow.get("permissions") != {"contents": "read"}:
        yield "permissions of the workflow are not contents: read"
    if not workflow.get("concurrency", {}).get("cancel-in-progress"):
        yield "a newer push does not cancel the run of the older one"
    for name, job in workflow["jobs"].items():
        if "permissions" in job:
            yield f"job {name} has permissions of its own"
        for step in job["steps"]:
            checks_out = "actions/checkout@" in step.get("uses", "")
            if checks_out and step.get("with", {}).get("persist-credentials") is not False:
                yield f"job {name} leaves the token on the disk: persist-credentials is not false"


def find_untested_pythons(text):
    oldest, _ = read_floors()
    wanted = list(range(minor(oldest), NEWEST_PYTHON + 1))
    for name, job in yaml.safe_load(text)["jobs"].items():
        matrix = job.get("strategy", {}).get("matrix", {})
        if "python" in matrix and [minor(version) for version in matrix["python"]] != wanted:
            yield f"job {name} tests Python {matrix['python']}, not 3.{wanted[0]} to 3.{wanted[-1]}"
        for step in job["steps"]:
            version = step.get("with", {}).get("python-version")
            if version == "${{ matrix.python }}" and "python" not in matrix:
                yield f"job {name} has no matrix of Pythons"
            if version not in (None, "${{ matrix.python }}") and minor(version) not in wanted:
                yield f"job {name} uses Python {version}, which is not tested otherwise"


def find_missing_systems(text):
    tested = {}
    for job in yaml.safe_load(text)["jobs"].values():
        matrix = job.get("strategy", {}).get("matrix", {})
        if "python" not in matrix:
            continue
        for system in matrix.get("os", [job["runs-on"]]):
            tested[system] = commands(job)
    if "make test" not in tested.get("ubuntu-latest", ""):
        yield "no job runs make test on Linux with every Python"
    for system in ("macos-latest", "windows-latest"):
        if not re.search(r"pytest --nbval-lax .*\bnotebooks$", tested.get(system, ""), re.MULTILINE):
            yield f"no job runs the notebooks on {system} with every Python"


def find_weekly_faults(text):
    workflow = yaml.safe_load(text)
    when = workflow[True]  # YAML reads the word on as true
    if not any(WEEKLY.fullmatch(entry["cron"]) for entry in when.get("schedule", [])):
        yield "nothing runs weekly"
    weekly = {name: job for name, job in workflow["jobs"].items() if "'schedule'" in job.get("if", "")}
    oldest, floors = read_floors()
    oldest_jobs = [job for job in weekly.values() if "tools/run_floors.py" in commands(job)]
    if not any(step.get("with", {}).get("python-version") == oldest for job in oldest_jobs for step in job["steps"]):
        yield f"no weekly job runs tools/run_floors.py with Python {oldest}"
    newest = re.compile(r"pip install .*--pre\b.* numpy$.*\bpytest\b", re.MULTILINE | re.DOTALL)
    if not any(newest.search(commands(job)) for job in weekly.values()):
        yield "no weekly job runs pytest with a pre-release of numpy"
    for name, job in workflow["jobs"].items():
        for package in (requirement.split("==")[0] for requirement in floors):
            if re.search(rf"\b{re.escape(package)}\b[\"']?\s*[=<>~]", commands(job)):
                yield f"job {name} repeats a bound of {package} by hand: pyproject.toml has it"


CHECKS = [check for name, check in list(globals().items()) if name.startswith("find_")]


def findings(text):
    """Everything that is wrong with the workflow, one sentence each."""
    return [finding for check in CHECKS for finding in check(text)]


def schema_problems(path, schema):
    """What check-jsonschema says about the file; empty when it fits the schema."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return result.stdout + result.stderr if result.returncode else ""


def container_findings(container):
    """Everything that is wrong with the description of the Codespaces container."""
    found = []
    if unknown := container.keys() - {"name", "image", "postCreateCommand", "customizations"}:
        found.append(f"keys that are not needed here: {', '.join(sorted(unknown))}")
    tag = re.fullmatch(r"mcr\.microsoft\.com/devcontainers/python:(3\.\d+)-[a-z]+", container.get("image", ""))
    if not tag or not minor(read_floors()[0]) <= minor(tag[1]) <= NEWEST_PYTHON:
        found.append("the image is not a Python that is tested, pinned by version and system")
    if not re.search(r"pip install (--editable|-e) '\.\[test,site\]'$", container.get("postCreateCommand", "")):
        found.append("postCreateCommand does not install the project and its tests")
    if "ms-toolsai.jupyter" not in container.get("customizations", {}).get("vscode", {}).get("extensions", []):
        found.append("the Jupyter extension is missing, so notebooks do not open")
    return found


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_workflow_fits_the_schema(schema):
    assert not schema_problems(WORKFLOW, schema)


def test_the_workflow_keeps_the_rules():
    found = findings(WORKFLOW.read_text(encoding="utf-8"))
    assert not found, "\n  ".join([f"{len(found)} findings", *found])


def test_the_container_is_as_the_tests_expect():
    assert not container_findings(json.loads(CONTAINER.read_text(encoding="utf-8")))


# ---------------------------------------------------------------------------------------------------------------------
# The rules find planted faults
# ---------------------------------------------------------------------------------------------------------------------
def changed(old, new):
    """The text of the workflow with the first `old` replaced."""
    text = WORKFLOW.read_text(encoding="utf-8")
    assert old in text, f"the workflow has no {old!r} to plant a fault in"
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    "schema, old, new",
    [
        (SCHEMAS[0], "runs-on: ubuntu-latest", "run-on: ubuntu-latest"),
        (SCHEMAS[0], "contents: read", "contents: rwx"),
        (SCHEMAS[0], "steps:", "stages:"),
        (SCHEMAS[1], "timeout-minutes: 60", ""),
    ],
)
def test_a_fault_against_the_schema_is_found(tmp_path, schema, old, new):
    file = tmp_path / "workflow.yml"
    file.write_text(changed(old, new), encoding="utf-8")
    assert "workflow.yml" in schema_problems(file, schema)


@pytest.mark.parametrize(
    "words, old, new",
    [
        ("not pinned", " # v6.0.2", ""),
        ("not pinned", "de0fac2e4500dabe0009e67214ff5f5447ce83dd", "v6"),
        ("not pinned", "de0fac2e4500dabe0009e67214ff5f5447ce83dd", "de0fac2"),
        ("contents: read", "contents: read", "contents: write"),
        ("does not cancel", "cancel-in-progress: true", "cancel-in-progress: false"),
        ("permissions of its own", "    timeout-minutes: 60", "    permissions: write-all\n    timeout-minutes: 60"),
        ("token on the disk", "persist-credentials: false", "persist-credentials: true"),
        ("not 3.11 to 3.14", '"3.12", ', ""),
        ("not 3.11 to 3.14", ', "3.14"]', "]"),
        ("not tested otherwise", 'python-version: "3.11"', 'python-version: "3.10"'),
        ("no matrix of Pythons", "        python: [", "        versions: ["),
        ("make test on Linux", "make test", "make lint"),
        ("on windows-latest", ", windows-latest", ""),
        ("on macos-latest", "pytest --nbval-lax", "pytest"),
        ("nothing runs weekly", "* * 1", "1 1 *"),
        ("tools/run_floors.py", "run: python tools/run_floors.py", "run: python -m pytest"),
        ("tools/run_floors.py", 'python-version: "3.11"', 'python-version: "3.12"'),
        ("tools/run_floors.py", "if: github.event_name == 'schedule' || ", "if: "),
        ("pre-release", "--pre ", ""),
        ("bound of numpy by hand", "--pre ", "--pre 'numpy>=2.0' "),
        ("bound of scipy by hand", "run: python tools/", "run: pip install scipy==1.13 && python tools/"),
    ],
)
def test_a_planted_fault_is_found(words, old, new):
    assert any(words in finding for finding in findings(changed(old, new)))


def test_an_unquoted_python_is_refused():
    with pytest.raises(AssertionError, match="not a quoted"):
        findings(changed('"3.11"', "3.11"))


@pytest.mark.parametrize(
    "words, change",
    [
        ("not needed", {"forwardPorts": [8888]}),
        ("the image", {"image": "mcr.microsoft.com/devcontainers/python"}),
        ("the image", {"image": "mcr.microsoft.com/devcontainers/python:3.10-bookworm"}),
        ("postCreateCommand", {"postCreateCommand": "pip install numpy"}),
        ("Jupyter", {"customizations": {}}),
    ],
)
def test_a_fault_in_the_container_is_found(words, change):
    container = json.loads(CONTAINER.read_text(encoding="utf-8")) | change
    assert [words in finding for finding in container_findings(container)] == [True]
