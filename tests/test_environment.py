"""environment.yml (conda) and pyproject.toml (pip) ask for the same packages with the same bounds; and their floors."""

import sys
import tomllib
from pathlib import Path

import pytest
import run_floors
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rattler import MatchSpec
from rattler.exceptions import InvalidMatchSpecError

ROOT = Path(__file__).resolve().parent.parent


def bounds(requirements):
    """{name: bounds} of requirement strings such as "numpy>=2.0"; a name given twice is an error."""
    parsed = [Requirement(text) for text in requirements]
    names = [canonicalize_name(requirement.name) for requirement in parsed]
    twice = sorted({name for name in names if names.count(name) > 1})
    assert not twice, f"listed more than once: {', '.join(twice)}"
    return {name: str(requirement.specifier) for name, requirement in zip(names, parsed)}


def pip_bounds(pyproject):
    """{name: bounds} of what pyproject.toml asks for, python and the test extra included."""
    project = pyproject["project"]
    extra = project["optional-dependencies"]["test"]
    return bounds([f"python{project['requires-python']}", *project["dependencies"], *extra])


def disagreements(pip, conda):
    """One sentence per name or bound that differs between the two."""
    return [
        f"{name}: pyproject.toml has {pip.get(name, 'nothing')!r}, environment.yml has {conda.get(name, 'nothing')!r}"
        for name in sorted(pip.keys() | conda.keys())
        if pip.get(name) != conda.get(name)
    ]


def read_pyproject():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def read_environment():
    return yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))


def test_environment_yml_has_the_shape_conda_and_binder_read():
    environment = read_environment()
    assert environment["name"] == "rrnn"
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    not_text = [entry for entry in environment["dependencies"] if not isinstance(entry, str)]
    assert not not_text, f"every dependency is one line of text, without a pip block; found {not_text}"


def test_names_and_bounds_agree():
    problems = disagreements(pip_bounds(read_pyproject()), bounds(read_environment()["dependencies"]))
    assert not problems, "\n".join(["change pyproject.toml and environment.yml together:", *problems])


def test_every_package_has_a_floor_and_no_ceiling():
    for name, bound in pip_bounds(read_pyproject()).items():
        assert bound.startswith(">=") and "," not in bound, f"{name}{bound}: give one lower bound, as in {name}>=1.0"


def test_a_difference_is_reported_by_name():
    problems = disagreements({"numpy": ">=2.0", "tqdm": ">=4.66"}, {"numpy": ">=2.1", "scipy": ">=1.13"})
    assert [problem.split(":")[0] for problem in problems] == ["numpy", "scipy", "tqdm"]


# ---------------------------------------------------------------------------------------------------------------------
# The lines of environment.yml, as conda reads them
# ---------------------------------------------------------------------------------------------------------------------
def unreadable(specs):
    """One sentence per line of dependencies that is not a conda match specification of a name with a lower bound."""
    problems = []
    for text in specs:
        try:
            spec = MatchSpec(text, strict=True)
        except InvalidMatchSpecError as problem:
            problems.append(f"{text}: {problem}")
            continue
        if not str(spec.version).startswith(">=") or spec.build or spec.channel:
            problems.append(f"{text}: read as {spec}, which is not a name with a lower bound")
    return problems


def test_conda_reads_every_line():
    problems = unreadable(read_environment()["dependencies"])
    assert not problems, "\n".join(problems)


def test_conda_reads_the_same_names():
    lines = read_environment()["dependencies"]
    assert [MatchSpec(text).name.normalized for text in lines] == list(bounds(lines))


@pytest.mark.parametrize("bad", ["a>>2", "a>=", "a=>2.0", "a>=2.0 ][", "a", "a=2.0", "a<2", "channel::a>=1"])
def test_a_bad_line_is_rejected(bad):
    problems = unreadable(["scipy>=1.13", bad])
    assert len(problems) == 1 and problems[0].startswith(f"{bad}: ")


# ---------------------------------------------------------------------------------------------------------------------
# tools/run_floors.py
# ---------------------------------------------------------------------------------------------------------------------
def test_floors_are_the_bounds_of_pyproject():
    python, floors = run_floors.read_floors()
    found = bounds([f"python=={python}", *floors])
    assert found == {name: bound.replace(">=", "==") for name, bound in pip_bounds(read_pyproject()).items()}


@pytest.mark.parametrize("requirement", ["numpy", "numpy<3", "numpy>=2.0,<3", "numpy>=2.0rc1", "numpy[extra]"])
def test_a_requirement_without_one_lower_bound_has_no_floor(requirement):
    with pytest.raises(ValueError, match="name>=version"):
        run_floors.floor(requirement)


def test_the_unit_tests_of_the_floors_exist():
    names = [name.removeprefix("--deselect=").split("::") for name in run_floors.UNIT_TESTS]
    for name, *functions in names:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert all(f"def {function}(" in text for function in functions), f"{name} has no {functions}"


def test_another_python_than_the_oldest_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(run_floors, "read_floors", lambda: ("3.0", []))
    with pytest.raises(SystemExit):
        run_floors.main([])
    assert "Python 3.0" in capsys.readouterr().err


def test_a_failing_test_fails_the_floors(monkeypatch):
    here = "{}.{}".format(*sys.version_info)
    monkeypatch.setattr(run_floors, "read_floors", lambda: (here, []))
    monkeypatch.setattr(run_floors, "run_tests", lambda requirements, arguments: 1)
    assert run_floors.main([]) == 1
