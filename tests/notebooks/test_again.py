"""A reader runs cells twice, in any folder, from files that may not be changed."""

import configparser
import os
import re

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from notebook_files import ROOT, notebook_paths
from test_notebooks import shown_text

# What runs longer is run twice where there is time: RRNN_AGAIN=all.
QUICK = ("01", "02", "03")
CHOSEN = [path for path in notebook_paths() if os.environ.get("RRNN_AGAIN") == "all"
          or path.name.startswith(QUICK)]  # fmt: skip

READ_ONLY = f"""
import os, sys
from pathlib import Path
def guard(event, given):
    writes = event == "open" and isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR)
    if writes or event in ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "shutil.rmtree"):
        if isinstance(given[0], str | os.PathLike):
            path = Path(given[0]).resolve()
            if path.is_relative_to({str(ROOT)!r}) and "/.venv/" not in str(path):
                raise PermissionError(f"{{path}} may not be changed")
sys.dont_write_bytecode = True
sys.addaudithook(guard)
"""


def compared(output):
    """What strict nbval compares of an output, with what it is told to leave out."""
    text = shown_text(output)
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "tests" / "nbval_sanitize.cfg")
    for name in config.sections():
        text = re.sub(config[name]["regex"], config[name]["replace"], text)
    return text


def run_twice(path, folder):
    """The notebook with every code cell run twice in a row in the folder, which is not that of
    the notebooks, from files that may not be changed."""
    source = nbformat.read(path, as_version=4)
    cells = [cell for cell in source.cells if cell.cell_type == "code"]
    doubled = [new_code_cell(cell.source, metadata=cell.metadata) for cell in cells for _ in "12"]
    notebook = new_notebook(cells=[new_code_cell(READ_ONLY), *doubled])
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    _, *ran = notebook.cells
    return list(zip(cells, ran[::2], ran[1::2]))


@pytest.mark.parametrize("path", CHOSEN, ids=lambda path: path.stem)
def test_every_cell_can_be_run_twice_anywhere(path, tmp_path):
    faults = []
    for stored, first, second in run_twice(path, tmp_path):
        if "nbval-ignore-output" in stored.metadata.get("tags", []):
            continue
        texts = [list(map(compared, cell.outputs)) for cell in (stored, first, second)]
        faults += [f"cell {stored.id} said {text}, after {texts[0]}" for text in texts[1:]
                   if "".join(text) != "".join(texts[0])]  # fmt: skip
    assert not faults, "\n".join(faults)


def test_the_files_may_not_be_changed(tmp_path):
    notebook = new_notebook(cells=[new_code_cell(READ_ONLY), new_code_cell(f"""
import os, shutil
readme = {str(ROOT / "README.md")!r}
for change in (lambda: open(readme, "a"), lambda: os.remove(readme), lambda: os.rename(readme, "a"),
               lambda: os.mkdir(readme + "s"), lambda: shutil.rmtree(os.path.dirname(readme))):
    try:
        change()
        print("allowed")
    except PermissionError as error:
        print("refused")
_ = open("own.txt", "w").write(open(readme).read())
""")])  # fmt: skip
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=60, kernel_name="python3", resources=resources).execute()
    assert "".join(map(shown_text, notebook.cells[1].outputs)).split() == ["refused"] * 5
    assert (tmp_path / "own.txt").read_text() == (ROOT / "README.md").read_text()
