"""The words of the series: spelling, links, and the names of code that they mention."""

import ast
import builtins
import importlib
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import codespell_lib
import nbformat
import pytest
from bs4 import BeautifulSoup
from build_site import anchor
from nbconvert.filters.markdown_mistune import markdown2html_mistune
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from notebook_files import ROOT, notebook_paths

TEXTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")]
CODE = [ROOT / "rrnn_helpers.py"]
CODE += sorted(path for room in ("rrnn", "tools", "tests") for path in ROOT.glob(f"{room}/**/*.py"))
MODULES = {
    "rh": "rrnn_helpers",
    "rrnn_helpers": "rrnn_helpers",
    "rrnn": "rrnn",
    "np": "numpy",
    "numpy": "numpy",
    "scipy": "scipy",
    "plt": "matplotlib.pyplot",
    "matplotlib": "matplotlib",
}
PSEUDOCODE = {"LN", "MLP", "rowsum"}  # of equations: layer norm, two dense layers, sum of a row

CALL = re.compile(r"(?<![\w.])([A-Za-z_]\w*)\(")
CAMEL_CASE = re.compile(r"(?<![\w.\"'/])([A-Z][a-z]+(?:[A-Z][a-z]*)+)\b")
DOTTED = re.compile(rf"(?<![\w.\"'/])((?:{'|'.join(MODULES)})(?:\.(?!py\b)[A-Za-z_]\w*)+)")
FILE = re.compile(r"(?:[\w.-]+/)+[\w.-]+\.(?:cfg|ipynb|json|md|npz|py|toml|yml)\b")
TARGET = re.compile(r"\bmake ([a-z]+)\b")


def cells(path):
    """[(place, text)] of the prose of a file: its markdown cells, or all of it."""
    if path.suffix != ".ipynb":
        return [(path.name, path.read_text(encoding="utf-8"))]
    found = nbformat.read(path, as_version=4).cells
    return [(f"{path.name} {c.id}", c.source) for c in found if c.cell_type == "markdown"]


def html(text):
    return BeautifulSoup(markdown2html_mistune(text), "html.parser")


def headings(path):
    """The #names that a link to the file can end with."""
    found = [tag for _, text in cells(path) for tag in html(text).find_all(re.compile("h[1-6]"))]
    return {anchor(tag.text.removesuffix("¶"), path.suffix == ".ipynb") for tag in found}


def find_dead_links(path):
    """Every link of a text or notebook to a file that is not there, or to no heading of it."""
    for place, text in cells(path):
        for tag in html(text).find_all(["a", "img"]):
            address = tag.get("href") or tag.get("src") or ""
            parts = urlsplit(address)
            if parts.scheme or "anchor-link" in tag.get("class", []):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not (parts.path or parts.fragment) or not target.exists():
                yield f"{place}: no file {address}"
            elif parts.fragment and unquote(parts.fragment) not in headings(target):
                yield f"{place}: no heading {address}"


def names_of(source):
    """Every name that a piece of Python code uses or makes."""
    kinds = {ast.Name: "id", ast.Attribute: "attr", ast.arg: "arg"}
    kinds |= {ast.FunctionDef: "name", ast.ClassDef: "name"}
    nodes = ast.walk(ast.parse(source))
    return {getattr(node, kinds[type(node)]) for node in nodes if type(node) in kinds}


def exists(dotted):
    """Whether such a name as np.linalg.norm is there."""
    first, *rest = dotted.split(".")
    here = importlib.import_module(MODULES[first])
    for name in rest:
        if not hasattr(here, name):
            try:
                importlib.import_module(f"{here.__name__}.{name}")
            except (ImportError, AttributeError):
                return False
        here = getattr(here, name)
    return True


def is_file(name, path):
    """Whether there is such a file, seen from the project or from the file that mentions it."""
    return (ROOT / name).is_file() or (path.parent / name).is_file()


def find_unknown_names(path, known):
    """Names in backticks of files and targets of make that are not there, and names that look like
    code, rh.this, this(...) or ThisName, and are neither known, nor in the code of the notebook,
    nor in a block of code of the text."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z]+):", makefile, re.MULTILINE)
    if path.suffix == ".ipynb":
        notebook = nbformat.read(path, as_version=4)
        source = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
        known = known | names_of(re.sub(r"^\s*[%!].*", "", source, flags=re.MULTILINE))
    for place, text in cells(path):
        page = html(text)
        blocks = " ".join(block.text for block in page.find_all("pre"))
        for tag in page.find_all("code"):
            if tag.find_parent("pre"):
                continue
            unknown = [name for name in DOTTED.findall(tag.text) if not exists(name)]
            names = CALL.findall(tag.text) + CAMEL_CASE.findall(tag.text)
            unknown += [name for name in names if name not in known and name not in blocks]
            unknown += [name for name in TARGET.findall(tag.text) if name not in targets]
            unknown += [name for name in FILE.findall(tag.text) if not is_file(name, path)]
            yield from (f"{place}: no {name} in `{tag.text}`" for name in unknown)


@pytest.fixture(scope="module")
def known():
    """The names of the project's own code, of Python, and of the libraries at their first level."""
    own = PSEUDOCODE.union(*(names_of(path.read_text(encoding="utf-8")) for path in CODE))
    libraries = map(importlib.import_module, MODULES.values())
    return own.union(dir(builtins), *map(dir, libraries))


def spelling_is_right(folder):
    """Whether codespell would change no word in the folder; it prints those that it would."""
    return codespell_lib.main("--config", str(ROOT / ".codespellrc"), str(folder)) == 0


def test_spelling(tmp_path, capsys):
    paths = {*TEXTS, *notebook_paths(), *CODE} - {Path(__file__)}  # this file holds wrong words
    for path in paths:
        text = "\n\n".join(f"{place}\n{text}" for place, text in cells(path))
        name = "-".join(path.relative_to(ROOT).parts)
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    assert spelling_is_right(tmp_path), capsys.readouterr().out


@pytest.mark.parametrize("path", [*TEXTS, *notebook_paths()], ids=lambda path: path.stem)
def test_links_and_names(path, known):
    found = [*find_dead_links(path), *find_unknown_names(path, known)]
    assert not found, "\n  ".join([f"{len(found)} findings", *found])


# The rest tests the tests, on a small text and a small notebook.


def write(folder, text):
    """The same text as README.md and as a notebook with one function."""
    (folder / "README.md").write_text(text)
    cells = [new_markdown_cell(text, id="c1"), new_code_cell("def my_step(x): pass", id="c2")]
    nbformat.write(new_notebook(cells=cells), folder / "a.ipynb")
    return folder / "README.md", folder / "a.ipynb"


DEAD_LINKS = ["[x](missing.md)", "[x](README.md#none)", "[x](#None)", "[x](a.ipynb#two-words)"]
DEAD_LINKS += ["![a picture](missing.png)", '<a href="missing.md">x</a>']
UNKNOWN = ["rh.trian", "np.linalg.nrom(x)", "run_experimens(...)", "RelationalMemoryCor"]
UNKNOWN += ["rh.LSTM.stepp()", "make tests", "python tools/run_experimens.py --list"]


@pytest.mark.parametrize("fault", DEAD_LINKS)
def test_a_dead_link_is_found(tmp_path, fault):
    right = "# One\n\n## Two words\n\n[a](README.md) [b](README.md#two-words) [d](https://x.org) "
    right += "[c](a.ipynb#Two-words)\n\n"
    assert not [fault for path in write(tmp_path, right) for fault in find_dead_links(path)]
    text, notebook = write(tmp_path, right + fault)
    assert len(list(find_dead_links(text))) == len(list(find_dead_links(notebook))) == 1


@pytest.mark.parametrize("fault", UNKNOWN)
def test_an_unknown_name_is_found(tmp_path, known, fault):
    right = "`rh.train` `np.linalg.norm(x)` `run_experiments(...)` `LSTM` `my_step(x)` `make test` "
    right += "`tools/run_experiments.py --list` make it\n\n    Unknown(1)\n\n"
    text, notebook = write(tmp_path, right)
    assert not list(find_unknown_names(notebook, known))
    assert len(list(find_unknown_names(text, known))) == 1  # my_step is known in the notebook only
    assert len(list(find_unknown_names(write(tmp_path, f"{right}`{fault}`")[1], known))) == 1


def test_a_wrong_spelling_is_found(tmp_path, capsys):
    write(tmp_path, "The memory receives a query.")
    assert spelling_is_right(tmp_path)
    write(tmp_path, "The memory recieves a query.")
    assert not spelling_is_right(tmp_path) and "recieves ==> receives" in capsys.readouterr().out
