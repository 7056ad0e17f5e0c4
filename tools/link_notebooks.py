"""Write the navigation line, the launch links and the Colab cell into every notebook.

    python tools/link_notebooks.py           # write what changed
    python tools/link_notebooks.py --check   # write nothing; exit 1 when a notebook is out of date

The order of the series is the order of the file names, the titles are the first headings, and the
address of the repository is the one in pyproject.toml: a fork changes it there and runs this tool.
A hand-written navigation line in the opening cell is replaced. Stored outputs and cell ids stay;
execution counts are 1, 2, ... again.
"""

import argparse
import re
import sys
import tomllib
from pathlib import Path

from nbformat.v4 import new_code_cell
from rebuild_notebooks import NOTEBOOKS, normalise, read, to_text, write_atomically

PYPROJECT = NOTEBOOKS.parent / "pyproject.toml"
REPOSITORY = re.compile(r"https://github\.com/([\w.-]+)/([\w.-]+?)/?")
COLAB_ID = "colab"
COLAB_CELL = """\
# Fetches the rest of the series where only this notebook was opened, as on Colab.
import os
import shutil
import urllib.request
from importlib.util import find_spec

if not find_spec("rrnn_helpers") and not os.path.exists("../rrnn_helpers.py"):
    address = "https://codeload.github.com/OWNER/NAME/zip/refs/heads/main"
    if not os.path.isdir("NAME-main"):  # a kernel that restarts finds what was changed there
        try:
            urllib.request.urlretrieve(address, "series.zip")
        except OSError as error:
            what = f"rrnn_helpers.py is missing, and {address} cannot be reached ({error})."
            right = "Put this notebook beside the others, in the folder notebooks of the series."
            raise RuntimeError(f"{what} {right}") from None
        shutil.unpack_archive("series.zip")
    os.chdir("NAME-main/notebooks")"""
LINK = re.compile(r"\[[^\]]*\]\([^)]*\)")
NAVIGATION = re.compile(
    r"(?:[\s:|]|\bprevious\b|\bnext\b|\bthis is the (?:first|last) notebook\b)*", re.IGNORECASE
)
LAUNCH = "Run it: "


class LinkProblem(Exception):
    """A notebook or an address that cannot be linked."""


def read_repository(pyproject=PYPROJECT):
    """(owner, name) of the repository on GitHub, from [project.urls] of pyproject.toml."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    address = project["project"].get("urls", {}).get("Repository", "")
    match = REPOSITORY.fullmatch(address)
    if not match:
        right = "https://github.com/owner/name"
        raise LinkProblem(f"{pyproject}: [project.urls] Repository is {address!r}, not {right}")
    return match[1], match[2]


def title(path, notebook):
    """The heading that the notebook starts with."""
    first = notebook.cells[0] if notebook.cells else None
    match = re.match(r"# +(.+)", first.source) if first and first.cell_type == "markdown" else None
    if not match:
        right = "a markdown cell whose first line is '# Title'"
        raise LinkProblem(f"{path.name} does not start with {right}")
    return match[1].strip()


def is_generated(line):
    """Whether a line of the opening cell is nothing but navigation or launch links."""
    words, links = LINK.subn("", line)
    if not links or not NAVIGATION.fullmatch(words.removeprefix(LAUNCH)):
        return False
    starts = re.match(r"\W*(?:previous|next)\b", line, re.IGNORECASE)
    return "|" in words or "(../README.md)" in line or bool(starts)


def navigation(position, titles):
    """The line of links to the notebook before, the contents and the notebook after; titles is
    {file name: title}."""
    names = list(titles)
    parts = ["[Contents](../README.md)", "[Symbols](symbols.md)"]
    if position > 0:
        parts.insert(0, f"Previous: [{titles[names[position - 1]]}]({names[position - 1]})")
    if position < len(names) - 1:
        parts.append(f"Next: [{titles[names[position + 1]]}]({names[position + 1]})")
    return " | ".join(parts)


def launch_links(file_name, owner, name):
    """The line of links that open the notebook without an installation."""
    repository, file = f"{owner}/{name}", f"notebooks/{file_name}"
    binder = f"https://mybinder.org/v2/gh/{repository}/HEAD?urlpath=lab/tree/{file}"
    colab = f"https://colab.research.google.com/github/{repository}/blob/main/{file}"
    codespaces = f"https://codespaces.new/{repository}"
    return f"{LAUNCH}[Binder]({binder}) | [Colab]({colab}) | [Codespaces]({codespaces})"


def link(notebook, generated, colab_source):
    """Put the generated lines below the first heading and the Colab cell before the first code
    cell, in place."""
    heading, *lines = notebook.cells[0].source.splitlines()
    rest = "\n".join(line for line in lines if not is_generated(line))
    parts = [heading, *generated, re.sub(r"\n{3,}", "\n\n", rest).strip("\n")]
    notebook.cells[0].source = "\n\n".join(part for part in parts if part)
    notebook.cells = [cell for cell in notebook.cells if cell.id != COLAB_ID]
    code = [position for position, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    if code:
        folded = {"jupyter": {"source_hidden": True}}
        cell = new_code_cell(colab_source, id=COLAB_ID, metadata=folded)
        notebook.cells.insert(code[0], cell)
    normalise(notebook)


def linked_texts(folder, owner, name):
    """{path: text} of what every notebook of the folder should be."""
    notebooks = {path: read(path) for path in sorted(folder.glob("*.ipynb"))}
    titles = {path.name: title(path, notebook) for path, notebook in notebooks.items()}
    colab_source = COLAB_CELL.replace("OWNER", owner).replace("NAME", name)
    texts = {}
    for position, (path, notebook) in enumerate(notebooks.items()):
        lines = [navigation(position, titles), launch_links(path.name, owner, name)]
        link(notebook, lines, colab_source)
        texts[path] = to_text(notebook)
    return texts


def main(arguments=None):
    """The command line; returns the exit status."""
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if out of date")
    parser.add_argument("--folder", type=Path, default=NOTEBOOKS, help="default: notebooks/")
    options = parser.parse_args(arguments)
    try:
        texts = linked_texts(options.folder, *read_repository())
    except LinkProblem as problem:
        parser.error(str(problem))
    if not texts:
        parser.error(f"no notebooks in {options.folder}")
    changed = [path for path, text in texts.items() if path.read_text(encoding="utf-8") != text]
    for path in changed:
        if options.check:
            print(f"{path.name} is out of date: run python tools/link_notebooks.py")
        else:
            write_atomically(path, texts[path])
            print(f"{path.name} written")
    return 1 if options.check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
