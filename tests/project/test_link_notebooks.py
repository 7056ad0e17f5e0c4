"""Every notebook has the generated navigation, launch links and Colab cell; and the tool that writes them works."""

import os
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

TITLES = {"01_one.ipynb": "01. One, by hand", "02_two.ipynb": "02. Two", "03_three.ipynb": "03. Three"}
CONTENTS = "[Contents](../README.md)"


@pytest.fixture
def series(tmp_path):
    """A folder of three notebooks that were run, with hand-written navigation in three places and forms."""
    by_hand = {
        "01_one.ipynb": "{}\n\nWords.\n\nThis is the first notebook | [README](../README.md) | next: [2](02_two.ipynb)",
        "02_two.ipynb": "{}\n\n* Words.\n\nPrevious: [1](01_one.ipynb) | [README](../README.md) |\nnext: [3](03.ipynb)",
        "03_three.ipynb": "{}\n\n[Previous: 2](02_two.ipynb) | [Contents](../README.md)\n\nWords, [1](01_one.ipynb).",
    }
    for name, text in by_hand.items():
        cells = [
            new_markdown_cell(text.format(f"# {TITLES[name]}"), id="opening"),
            new_code_cell("x = 1", id="first", execution_count=1),
            new_code_cell("x", id="second", execution_count=2, outputs=[answer(2)]),
        ]
        nbformat.write(new_notebook(cells=cells), tmp_path / name)
    return tmp_path


def answer(count):
    return new_output("execute_result", {"text/plain": "1"}, execution_count=count)


def run(folder, *arguments):
    return main(["--folder", str(folder), *arguments])


def opening(folder, name):
    return nbformat.read(folder / name, as_version=4).cells[0].source.split("\n\n")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---------------------------------------------------------------------------------------------------------------------
# The notebooks of the series
# ---------------------------------------------------------------------------------------------------------------------
def test_every_notebook_is_current(capsys):
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_copies_of_all_notebooks_keep_all_else(tmp_path):
    for path in notebook_paths():
        shutil.copy(path, tmp_path)
    assert run(tmp_path) == 0
    for path in notebook_paths():
        before, after = read(path), nbformat.read(tmp_path / path.name, as_version=4)
        assert kept(after) == kept(before), path.name
        assert findings(after) == findings(before), path.name
        assert after.cells[0].source.count("(../README.md)") == 1, f"{path.name} links to the contents more than once"
    first = contents(tmp_path)
    assert run(tmp_path) == 0 and contents(tmp_path) == first


def kept(notebook):
    """What the tool must not change: ids, outputs without their counts, and all sources but that of the opening."""
    return [
        (
            cell.id,
            cell.source if position else "",
            [{key: output[key] for key in output if key != "execution_count"} for output in cell.get("outputs", [])],
        )
        for position, cell in enumerate(cell for cell in notebook.cells if cell.id != COLAB_ID)
    ]


# ---------------------------------------------------------------------------------------------------------------------
# Navigation and launch links
# ---------------------------------------------------------------------------------------------------------------------
def test_order_ends_and_titles(series):
    assert run(series) == 0
    assert [opening(series, name)[:2] for name in TITLES] == [
        ["# 01. One, by hand", f"{CONTENTS} | Next: [02. Two](02_two.ipynb)"],
        [
            "# 02. Two",
            f"Previous: [01. One, by hand](01_one.ipynb) | {CONTENTS} | Next: [03. Three](03_three.ipynb)",
        ],
        ["# 03. Three", f"Previous: [02. Two](02_two.ipynb) | {CONTENTS}"],
    ]


def test_hand_written_navigation_goes_and_text_stays(series):
    run(series)
    assert [opening(series, name)[3:] for name in TITLES] == [["Words."], ["* Words."], ["Words, [1](01_one.ipynb)."]]


def test_launch_links_name_the_notebook_and_the_repository(series):
    run(series)
    owner, name = read_repository()
    assert opening(series, "02_two.ipynb")[2] == (
        f"Run it: [Binder](https://mybinder.org/v2/gh/{owner}/{name}/HEAD?urlpath=lab/tree/notebooks/02_two.ipynb)"
        f" | [Colab](https://colab.research.google.com/github/{owner}/{name}/blob/main/notebooks/02_two.ipynb)"
        f" | [Codespaces](https://codespaces.new/{owner}/{name})"
    )


def test_a_new_notebook_is_linked_from_its_neighbours(series):
    run(series)
    nbformat.write(new_notebook(cells=[new_markdown_cell("# 02b. New")]), series / "02b_new.ipynb")
    assert run(series, "--check") == 1
    run(series)
    assert opening(series, "02_two.ipynb")[1].endswith("Next: [02b. New](02b_new.ipynb)")
    assert opening(series, "03_three.ipynb")[1].startswith("Previous: [02b. New](02b_new.ipynb)")


@pytest.mark.parametrize(
    "line",
    [
        "See [02](02.ipynb) | [03](03.ipynb).",
        "[Notebook 02](02.ipynb)",
        "Back to the [README](../README.md).",
        "Previous work | next steps",
        "* **Next** [02](02.ipynb) | [03](03.ipynb)",
        "",
    ],
)
def test_prose_is_not_taken_for_navigation(line):
    assert not is_generated(line)


@pytest.mark.parametrize("line", [CONTENTS, "[Next: 2](02.ipynb)", "next: [2](02.ipynb)", "[a](b) | [c](../README.md)"])
def test_navigation_in_any_form_is_replaced(line):
    assert is_generated(line)


@pytest.mark.parametrize("first", [new_markdown_cell("No heading"), new_markdown_cell("## Two"), new_code_cell("# no")])
def test_a_notebook_without_a_heading_is_named_and_nothing_is_written(series, first, capsys):
    nbformat.write(new_notebook(cells=[first]), series / "04_four.ipynb")
    before = contents(series)
    with pytest.raises(SystemExit):
        run(series)
    assert "04_four.ipynb" in capsys.readouterr().err and contents(series) == before


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(SystemExit):
        run(tmp_path)


# ---------------------------------------------------------------------------------------------------------------------
# What the tool writes, and --check
# ---------------------------------------------------------------------------------------------------------------------
def test_a_second_run_changes_no_byte(series, capsys):
    assert run(series) == 0
    first = contents(series)
    capsys.readouterr()
    assert run(series) == 0 and contents(series) == first
    assert capsys.readouterr().out == ""


def test_colab_cell_comes_before_the_code_and_counts_start_at_one(series):
    run(series)
    cells = nbformat.read(series / "02_two.ipynb", as_version=4).cells
    assert [cell.id for cell in cells] == ["opening", COLAB_ID, "first", "second"]
    assert [cell.execution_count for cell in cells[1:]] == [1, 2, 3]
    assert cells[3].outputs == [answer(3)] and cells[1].outputs == []


def change(path, edit):
    notebook = nbformat.read(path, as_version=4)
    edit(notebook.cells)
    nbformat.write(notebook, path)


FAULTS = {
    "stale link": lambda cells: cells[0].update(source=cells[0].source.replace("02. Two", "02. Old title")),
    "stale address": lambda cells: cells[0].update(source=cells[0].source.replace("codespaces.new/", "x.new/")),
    "second navigation": lambda cells: cells[0].update(source=cells[0].source + f"\n\n[1](01_one.ipynb) | {CONTENTS}"),
    "missing cell": lambda cells: cells.pop(1),
    "changed cell": lambda cells: cells[1].update(source="import os"),
    "moved cell": lambda cells: cells.append(cells.pop(1)),
    "wrong count": lambda cells: cells[2].update(execution_count=7),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_check_finds_a_planted_fault_and_writes_nothing(series, capsys, fault):
    run(series)
    good = contents(series)
    assert run(series, "--check") == 0
    change(series / "03_three.ipynb", FAULTS[fault])
    faulty = contents(series)
    capsys.readouterr()
    assert faulty != good and run(series, "--check") == 1
    assert capsys.readouterr().out.startswith("03_three.ipynb is out of date") and contents(series) == faulty
    assert run(series) == 0 and contents(series) == good


@pytest.mark.parametrize("address", ["", "https://example.org/a/b", "https://github.com/a", "github.com/a/b"])
def test_a_wrong_address_is_refused(tmp_path, address):
    file = tmp_path / "pyproject.toml"
    file.write_text(f'[project.urls]\nRepository = "{address}"\n', encoding="utf-8")
    with pytest.raises(LinkProblem, match="Repository"):
        read_repository(file)


def test_a_fork_changes_one_line(series, tmp_path, monkeypatch):
    run(series)
    file = tmp_path / "pyproject.toml"
    file.write_text('[project.urls]\nRepository = "https://github.com/me/my.fork/"\n', encoding="utf-8")
    monkeypatch.setattr(link_notebooks, "read_repository", lambda: read_repository(file))
    assert run(series, "--check") == 1 and run(series) == 0
    text = (series / "01_one.ipynb").read_text(encoding="utf-8")
    assert "codeload.github.com/me/my.fork/zip" in text and 'chdir(\\"my.fork-main/notebooks\\")' in text
    assert "relational-rnn-series" not in text


# ---------------------------------------------------------------------------------------------------------------------
# The Colab cell, run in a Python that has no installed rrnn_helpers
# ---------------------------------------------------------------------------------------------------------------------
CELL = COLAB_CELL.replace("OWNER", "someone").replace("NAME", "series")
NOTEBOOK_CODE = """
import sys
sys.path.insert(0, "..")
import rrnn_helpers
from pathlib import Path
assert rrnn_helpers.WORD == "fetched" and Path("results", "run.json").read_text() == "{}"
"""


def run_cell(folder, urlopen, after=""):
    """Run the Colab cell in `folder`, as a notebook would, with `urlopen` as the network. Returns stdout."""
    code = f"import urllib.request\nreal = urllib.request.urlopen\nurllib.request.urlopen = {urlopen}\n{CELL}\n{after}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [sys.executable, "-S", "-c", code]  # -S: without the packages of this environment, rrnn_helpers included
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout


NO_NETWORK = "lambda *args, **kwargs: 1 / 0"


@pytest.mark.parametrize("helper", ["rrnn_helpers.py", "notebooks/rrnn_helpers.py"])
def test_colab_cell_does_nothing_when_the_helper_is_there(tmp_path, helper):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (tmp_path / helper).write_text("", encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    assert run_cell(folder, NO_NETWORK, "print(os.path.basename(os.getcwd()))") == "notebooks\n"
    assert sorted(tmp_path.rglob("*")) == before


def test_colab_cell_fetches_the_series_into_an_empty_folder(tmp_path):
    published = tmp_path / "published" / "series-main"
    (published / "notebooks" / "results").mkdir(parents=True)
    (published / "rrnn_helpers.py").write_text('WORD = "fetched"\n', encoding="utf-8")
    (published / "notebooks" / "results" / "run.json").write_text("{}", encoding="utf-8")
    archive = Path(shutil.make_archive(str(tmp_path / "main"), "zip", published.parent))
    content = tmp_path / "content"
    content.mkdir()
    asked = "https://codeload.github.com/someone/series/zip/refs/heads/main"
    local = f"lambda url, *args, **kwargs: real({archive.as_uri()!r}) if url == {asked!r} else 1 / 0"
    assert run_cell(content, local, NOTEBOOK_CODE) == ""
    again = f"urllib.request.urlopen = {NO_NETWORK}\n{CELL}\n"
    assert run_cell(content, local, again + NOTEBOOK_CODE) == "", "a second run of the cell must do nothing"


def test_colab_cell_needs_the_network_where_nothing_is(tmp_path):
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        run_cell(tmp_path, NO_NETWORK)
