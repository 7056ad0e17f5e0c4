"""The package is a house of small rooms, which stand in the order in which they are needed."""

import ast
import inspect
import re
import sys
import tomllib

import nbformat
import pytest
from notebook_files import ROOT, notebook_paths

import rrnn_helpers as rh

# A room imports only from itself and from those before it.
ORDER = """checks reference blas parallel layers attention gates parameters model gradcheck
    core lstm cell pictures tasks checkpoints training statistics experiments comparison
    rrnn_helpers""".split()
HELPERS = ROOT / "rrnn_helpers.py"
ROOMS = sorted(ROOT.glob("rrnn/**/*.py"))
CODE = [*ROOMS, HELPERS, *sorted(ROOT.glob("tools/*.py")), *notebook_paths()]
NAMED_TUPLE = {"_asdict", "_fields", "_make", "_replace"}  # not private, in spite of their names


def nodes(path):
    """Every node of the code of a module or notebook."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = [cell for cell in nbformat.reads(text, 4).cells if cell.cell_type == "code"]
        text = "\n".join(re.sub(r"(?m)^\s*[%!].*", "", cell.source) for cell in cells)
    return list(ast.walk(ast.parse(text)))


def imported(path):
    """The full names of all that the code imports, split at the dots."""
    for node in nodes(path):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            start = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            yield from ((start + alias.name).split(".") for alias in node.names)


def test_rooms_are_small_and_the_readme_says_how_small():
    lines = {path: path.read_text(encoding="utf-8").splitlines() for path in [*ROOMS, HELPERS]}
    assert not [str(path) for path, text in lines.items() if max(map(len, text), default=0) > 100]
    sizes = {path.relative_to(ROOT).as_posix(): len(text) for path, text in lines.items()}
    helpers = sizes.pop("rrnn_helpers.py")
    assert not {room: size for room, size in sizes.items() if size > 340} and helpers <= 350
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    said = r"`rrnn/` has ([\d,]+) lines in (\d+) files, none above 340, and `rrnn_helpers.py` (\d+)"
    found = [int(number.replace(",", "")) for number in re.search(said, readme).groups()]
    assert found == [sum(sizes.values()), len(sizes), helpers]


@pytest.mark.parametrize("path", [*ROOMS, HELPERS], ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path):
    room = path.stem if path.parent != ROOT / "rrnn" / "tasks" else "tasks"
    before = ORDER[: ORDER.index(room) + 1] if room != "__init__" else []
    own = [name for name in imported(path) if name[0] in ("rrnn", "rrnn_helpers")]
    assert {name[1] if name[0] == "rrnn" else name[0] for name in own} <= {*before}


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_private_names_stay_in_their_file(path):
    found = nodes(path)
    used = [node for node in found if isinstance(node, ast.Attribute)]
    made = {node.attr for node in used if isinstance(node.ctx, ast.Store)} | NAMED_TUPLE
    made |= {node.name for node in found if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    names = {node.attr for node in used} - made | {name[-1] for name in imported(path)}
    assert not [name for name in names if re.match("_[^_]", name)]


def test_what_a_reader_runs_needs_only_what_make_lab_installs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    there = {re.split("[<>=]", text)[0] for text in project["dependencies"]} | {"IPython"}
    there |= {"rrnn", "rrnn_helpers", *sys.stdlib_module_names}
    paths = [path for path in CODE if path.parent.name != "tools"]
    assert {name[0] for path in paths for name in imported(path)} <= there


def test_the_index_is_whole_and_says_where_each_name_is_taught():
    ends = re.compile(r"Taught in notebooks? \d\d(, \d\d)*( and \d\d)?\.$")
    things = {name: getattr(rh, name) for name in rh.__all__}
    docs = {name: inspect.getdoc(thing) for name, thing in things.items() if callable(thing)}
    assert not [name for name, doc in docs.items() if not ends.search(" ".join(doc.split()))]
    defined = [name for name, thing in vars(rh).items() if inspect.getmodule(thing) is rh]
    assert {*defined} - {"png"} <= set(things) and len(things) == len(rh.__all__)
