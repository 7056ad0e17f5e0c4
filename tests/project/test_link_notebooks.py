"""Every notebook has the generated navigation, launch links and Colab cell; and the tool that
writes them works."""

import shutil
import subprocess
import sys
from pathlib import Path

import link_notebooks
import nbformat
import pytest
from link_notebooks import COLAB_CELL, COLAB_ID, LinkProblem, is_generated, main, read_repository
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebook_files import notebook_paths
from rebuild_notebooks import read
from test_notebooks import findings

CONTENTS = "[Contents](../README.md) | [Symbols](symbols.md)"
# {file: (title, what was written by hand, navigation, words that stay)}
SERIES = {
    "01_one.ipynb": (
        "# 01. One, by hand",
        "Words.\n\nThis is the first notebook | [README](../README.md) | next: [2](02_two.ipynb)",
        f"{CONTENTS} | Next: [02. Two](02_two.ipynb)",
        "Words.",
    ),
    "02_two.ipynb": (
        "# 02. Two",
        "* Words.\n\nPrevious: [1](01_one.ipynb) | [README](../README.md) |\nnext: [3](03.ipynb)",
        f"Previous: [01. One, by hand](01_one.ipynb) | {CONTENTS} | Next: [03. End](03_end.ipynb)",
        "* Words.",
    ),
    "03_end.ipynb": (
        "# 03. End",
        f"[Previous: 2](02_two.ipynb) | {CONTENTS}\n\nWords, [1](01_one.ipynb).",
        f"Previous: [02. Two](02_two.ipynb) | {CONTENTS}",
        "Words, [1](01_one.ipynb).",
    ),
}


@pytest.fixture
def series(tmp_path):
    """A folder of three notebooks that were run."""
    for name, (title, by_hand, _, _) in SERIES.items():
        cells = [new_markdown_cell(f"{title}\n\n{by_hand}", id="opening")]
        cells += [new_code_cell("x = 1", id="first", execution_count=1)]
        output = new_output("execute_result", {"text/plain": "1"}, execution_count=2)
        cells += [new_code_cell("x", id="second", execution_count=2, outputs=[output])]
        nbformat.write(new_notebook(cells=cells), tmp_path / name)
    return tmp_path


def run(folder, *arguments):
    return main(["--folder", str(folder), *arguments])


def opening(folder, name):
    return nbformat.read(folder / name, as_version=4).cells[0].source.split("\n\n")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def kept(notebook):
    """What must not change: ids, outputs without their counts, and sources below the opening."""
    cells = [cell for cell in notebook.cells if cell.id != COLAB_ID]
    for output in [output for cell in cells for output in cell.get("outputs", [])]:
        output.pop("execution_count", None)
    return [(cell.id, cell.get("outputs")) for cell in cells], [cell.source for cell in cells[1:]]


def test_every_notebook_is_current(capsys):
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_copies_of_all_notebooks_keep_all_else(tmp_path):
    for path in notebook_paths():
        shutil.copy(path, tmp_path)
    assert run(tmp_path) == 0
    for path in notebook_paths():
        before, after = read(path), nbformat.read(tmp_path / path.name, as_version=4)
        assert findings(after) == findings(before), path.name
        assert kept(after) == kept(before), path.name
        assert after.cells[0].source.count("(../README.md)") == 1, path.name
    first = contents(tmp_path)
    assert run(tmp_path) == 0 and contents(tmp_path) == first


# What the tool writes, on a small series


def test_navigation_launch_links_and_colab_cell(series, capsys):
    assert run(series) == 0
    repository = "/".join(read_repository())
    for name, (title, _, navigation, words) in SERIES.items():
        binder = f"https://mybinder.org/v2/gh/{repository}/HEAD?urlpath=lab/tree/notebooks/{name}"
        colab = f"https://colab.research.google.com/github/{repository}/blob/main/notebooks/{name}"
        launch = f"Run it: [Binder]({binder}) | [Colab]({colab}) | "
        launch += f"[Codespaces](https://codespaces.new/{repository})"
        assert opening(series, name) == [title, navigation, launch, words]
    cells = nbformat.read(series / name, as_version=4).cells
    assert [cell.id for cell in cells] == ["opening", COLAB_ID, "first", "second"]
    assert [cell.execution_count for cell in cells[1:]] == [1, 2, 3]
    assert [output.execution_count for output in cells[3].outputs] == [3]
    first, _ = contents(series), capsys.readouterr()
    assert run(series) == 0 and contents(series) == first and capsys.readouterr().out == ""


def test_a_new_notebook_is_linked_from_its_neighbours(series):
    run(series)
    cells = [new_markdown_cell("# 02b. New")]
    nbformat.write(new_notebook(cells=cells), series / "02b_new.ipynb")
    assert run(series, "--check") == 1 and run(series) == 0
    assert opening(series, "02_two.ipynb")[1].endswith("Next: [02b. New](02b_new.ipynb)")
    assert opening(series, "03_end.ipynb")[1].startswith("Previous: [02b. New](02b_new.ipynb)")


def test_navigation_in_any_form_is_replaced_and_prose_is_not():
    navigation = [CONTENTS, "[Next: 2](02.ipynb)", "next: [2](02.ipynb)", f"[a](b) | {CONTENTS}"]
    assert all(map(is_generated, navigation))
    prose = ["See [02](02.ipynb) | [03](03.ipynb).", "[Notebook 02](02.ipynb)", ""]
    prose += ["Back to the [README](../README.md).", "Previous work | next steps"]
    prose += ["* **Next** [02](02.ipynb) | [03](03.ipynb)"]
    assert not any(map(is_generated, prose))


@pytest.mark.parametrize("source", ["No heading", "## Two", None])
def test_without_a_heading_or_a_notebook_nothing_is_written(series, source, capsys):
    cell = new_markdown_cell(source) if source else new_code_cell("# no")
    nbformat.write(new_notebook(cells=[cell]), series / "04_four.ipynb")
    before = contents(series)
    with pytest.raises(SystemExit):
        run(series)
    assert "04_four.ipynb" in capsys.readouterr().err and contents(series) == before
    with pytest.raises(SystemExit):
        run(series / "empty")


def replace(cell, old, new):
    cell.source = cell.source.replace(old, new)


FAULTS = {
    "stale link": lambda cells: replace(cells[0], "02. Two", "02. Old title"),
    "stale address": lambda cells: replace(cells[0], "codespaces.new/", "x.new/"),
    "second navigation": lambda cells: replace(cells[0], "Words", f"[1](a) | {CONTENTS}\n\nWords"),
    "missing cell": lambda cells: cells.pop(1),
    "changed cell": lambda cells: cells[1].update(source="import os"),
    "moved cell": lambda cells: cells.append(cells.pop(1)),
    "wrong count": lambda cells: cells[2].update(execution_count=7),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_check_finds_a_planted_fault_and_writes_nothing(series, capsys, fault):
    run(series)
    path, good = series / "03_end.ipynb", contents(series)
    assert run(series, "--check") == 0
    notebook = nbformat.read(path, as_version=4)
    FAULTS[fault](notebook.cells)
    nbformat.write(notebook, path)
    faulty = contents(series)
    capsys.readouterr()
    assert faulty != good and run(series, "--check") == 1 and contents(series) == faulty
    assert capsys.readouterr().out.startswith("03_end.ipynb is out of date")
    assert run(series) == 0 and contents(series) == good


def test_a_fork_changes_one_line_and_a_wrong_address_is_refused(series, tmp_path, monkeypatch):
    run(series)
    file = tmp_path / "pyproject.toml"
    for wrong in ("", "https://example.org/a/b", "https://github.com/a", "github.com/a/b"):
        file.write_text(f'[project.urls]\nRepository = "{wrong}"\n')
        with pytest.raises(LinkProblem, match="Repository"):
            read_repository(file)
    file.write_text('[project.urls]\nRepository = "https://github.com/me/my.fork/"\n')
    monkeypatch.setattr(link_notebooks, "read_repository", lambda: read_repository(file))
    assert run(series, "--check") == 1 and run(series) == 0
    text = (series / "01_one.ipynb").read_text(encoding="utf-8")
    assert "codeload.github.com/me/my.fork/zip" in text
    assert 'chdir(\\"my.fork-main/notebooks\\")' in text and "relational-rnn-series" not in text


# The Colab cell, run in a Python that has no installed rrnn_helpers

CELL = COLAB_CELL.replace("OWNER", "someone").replace("NAME", "series")
NOTEBOOK_CODE = """
import sys
sys.path.insert(0, "..")
import rrnn_helpers
from pathlib import Path
assert rrnn_helpers.WORD == "fetched" and Path("results", "run.json").read_text() == "{}"
"""
NO_NETWORK = "lambda *args, **kwargs: 1 / 0"


def run_cell(folder, urlopen, after=""):
    """Run the Colab cell in `folder`, as a notebook would, with `urlopen` as the network."""
    network = f"real = urllib.request.urlopen\nurllib.request.urlopen = {urlopen}"
    code = f"import urllib.request\n{network}\n{CELL}\n{after}"
    command = [sys.executable, "-E", "-S", "-c", code]  # without what this environment has
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("helper", ["rrnn_helpers.py", "notebooks/rrnn_helpers.py"])
def test_colab_cell_does_nothing_when_the_helper_is_there(tmp_path, helper):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (tmp_path / helper).touch()
    before = sorted(tmp_path.rglob("*"))
    assert run_cell(folder, NO_NETWORK, "print(os.path.basename(os.getcwd()))") == "notebooks\n"
    assert sorted(tmp_path.rglob("*")) == before


def test_colab_cell_fetches_the_series_into_an_empty_folder(tmp_path):
    published, content = tmp_path / "published" / "series-main", tmp_path / "content"
    for folder in (published / "notebooks" / "results", content):
        folder.mkdir(parents=True)
    (published / "rrnn_helpers.py").write_text('WORD = "fetched"\n')
    (published / "notebooks" / "results" / "run.json").write_text("{}")
    archive = Path(shutil.make_archive(str(tmp_path / "main"), "zip", published.parent))
    asked = "https://codeload.github.com/someone/series/zip/refs/heads/main"
    local = f"lambda url, *other: real({archive.as_uri()!r}) if url == {asked!r} else 1 / 0"
    again = f"urllib.request.urlopen = {NO_NETWORK}\n{CELL}\n{NOTEBOOK_CODE}"
    assert run_cell(content, local, again) == "", "a second run must do nothing"
    # after a restart, what was edited there is what is used
    (content / "series-main" / "rrnn_helpers.py").write_text('WORD = "fetched"\nEDITED = True\n')
    edited = f"{NOTEBOOK_CODE}\nprint(rrnn_helpers.EDITED)"
    assert run_cell(content, NO_NETWORK, edited) == "True\n"


def test_colab_cell_without_a_network_says_what_is_missing(tmp_path):
    refused = "lambda *args, **kwargs: (_ for _ in ()).throw(OSError('no route'))"
    with pytest.raises(AssertionError) as error:
        run_cell(tmp_path, refused)
    said = "rrnn_helpers.py is missing, and https://codeload.github.com/someone/series/zip/refs/heads"
    assert f"RuntimeError: {said}/main cannot be reached (no route). Put this" in str(error.value)
    assert not list(tmp_path.iterdir())
