"""environment.yml (conda) and pyproject.toml (pip) ask for the same packages with the same bounds."""

import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent


def bounds(requirements):
    """{name: bounds} of requirement strings such as "numpy>=2.0"; a name given twice is an error."""
    parsed = [Requirement(text) for text in requirements]
    names = [canonicalize_name(requirement.name) for requirement in parsed]
    twice = sorted({name for name in names if names.count(name) > 1})
    assert not twice, f"listed more than once: {', '.join(twice)}"
    return {name: str(requirement.specifier) for name, requirement in zip(names, parsed)}


def pip_bounds(pyproject):
    """{name: bounds} of everything pyproject.toml asks for, python and the test extra included."""
    project = pyproject["project"]
    extras = [text for extra in project["optional-dependencies"].values() for text in extra]
    return bounds([f"python{project['requires-python']}", *project["dependencies"], *extras])


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
