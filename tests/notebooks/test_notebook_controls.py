"""Every control of every notebook works at its ends, every folded solution runs, and every figure
on the way is accessible.

Each notebook is copied with three additions: a first cell looks at each figure and its words
(accessibility.watch), the code of a folded solution follows the cell that holds it, and a last cell
moves every control. nbval runs the copies, because it also sees errors in the callbacks of a
control.
"""

import copy
import inspect
import os
import re
import shutil
import subprocess
import sys

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from notebook_files import NOTEBOOKS, ROOT, notebook_paths, solution_code


def move_every_control():
    """Set each living control to its ends, each option and back; return how many were moved."""
    import ipywidgets
    from ipywidgets.widgets.widget import _instances

    numbers = ("IntSlider", "FloatSlider", "BoundedIntText", "BoundedFloatText", "Play")
    ranges = ("IntRangeSlider", "FloatRangeSlider")
    choices = ("Dropdown", "RadioButtons", "Select", "SelectionSlider", "ToggleButtons")

    def is_a(control, names):
        return isinstance(control, tuple(getattr(ipywidgets, name) for name in names))

    moved = 0
    for control in list(_instances.values()):
        trait = "value"
        if is_a(control, numbers):
            values = [control.min, control.max]
        elif is_a(control, ranges):
            low, high = control.min, control.max
            values = [(low, low), (high, high), (low, high)]
        elif is_a(control, ["FloatLogSlider"]):
            values = [control.base**control.min, control.base**control.max]
        elif is_a(control, choices):
            trait, values = "index", list(range(len(control.options)))
        elif is_a(control, ["Checkbox", "ToggleButton"]):
            values = [not control.value]
        elif is_a(control, ["Button"]):
            control.click()
            moved += 1
            continue
        else:
            continue
        before = getattr(control, trait)
        for value in [*values, before]:
            setattr(control, trait, value)
        moved += 1
    return moved


def with_solutions_and_moves(notebook):
    """A copy of the notebook without outputs: with a cell that watches the figures, the folded
    solutions as cells and a last cell of moves."""
    cells = [new_code_cell("import accessibility\n\naccessibility.watch()")]
    for cell in copy.deepcopy(notebook.cells):
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        cells.append(cell)
        if cell.cell_type == "markdown":
            cells += [new_code_cell(code) for code in solution_code(cell.source)]
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    sweep = f"{inspect.getsource(move_every_control)}\nmoved = move_every_control()\n"
    if re.search(r"\bLiveFigure\(", code):
        sweep += 'assert moved > 0, "the notebook has a LiveFigure, but no control was moved"\n'
    cells.append(new_code_cell(sweep))
    return new_notebook(cells=cells, metadata=notebook.metadata)


def run_copies(notebooks, folder):
    """Run {name: notebook} with their additions in `folder`, in one pytest. Returns its exit status
    and output."""
    for name, notebook in notebooks.items():
        nbformat.write(with_solutions_and_moves(notebook), folder / name)
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rfE", "--color=no"]
    command += ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=180", "."]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    paths = [str(ROOT), str(ROOT / "tests" / "notebooks"), os.environ.get("PYTHONPATH")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    options = {"env": environment, "capture_output": True, "text": True, "timeout": 3600}
    result = subprocess.run(command, cwd=folder, **options)
    return result.returncode, result.stdout + result.stderr


def test_solutions_run_and_controls_move_to_their_ends(tmp_path):
    paths = notebook_paths()
    assert paths, f"no notebooks in {NOTEBOOKS}, so no control was moved"
    folder = tmp_path / "notebooks"
    shutil.copytree(NOTEBOOKS, folder, ignore=shutil.ignore_patterns("*.ipynb", ".*"))
    notebooks = {path.name: nbformat.read(path, as_version=4) for path in paths}
    status, output = run_copies(notebooks, folder)
    assert status == 0, output[-20_000:]


# The rest tests the test, on small notebooks with one planted fault each.

SLIDER = """\
import ipywidgets

def LiveFigure(most):
    def check(change):
        assert change.new <= most, "the planted callback error"
    slider = ipywidgets.IntSlider(value=2, min=1, max=4)
    slider.observe(check, "value")
    return slider

slider = LiveFigure({most})
"""
ANSWER = """\
1. Why?

   <details><summary>Solution</summary>

   ```python
   # indented, as in a list
   assert slider.value == {value}
   ```

   </details>
"""
PICTURE = """\
from matplotlib.figure import Figure

import rrnn_helpers as rh

def draw(height):
    figure = Figure(figsize=(2, 2))
    figure.add_axes((0, 0, 1, 1), xticks=[], yticks=[]).axhline(height, color="COLOUR")
    return figure

slider = rh.LiveFigure(draw, "A line at WORDS.".format, height=(1, 4, 1, 2)).controls["height"]
"""


NO_CONTROL = "class slider:\n    value = 2\n\ndef LiveFigure():\n    return slider\n"


def planted(most=4, value=2, code=SLIDER):
    """A notebook with a slider whose callback fails above `most`, and a solution that holds when
    `value` is 2."""
    answer = ANSWER.replace("{value}", str(value))
    code = new_code_cell(code.replace("{most}", str(most)))
    return new_notebook(cells=[code, new_markdown_cell(answer)])


def pictured(words, colour):
    return planted(code=PICTURE.replace("WORDS", words).replace("COLOUR", colour))


def test_planted_faults_are_caught(tmp_path):
    notebooks = {
        "good.ipynb": planted(),
        "bad_control.ipynb": planted(most=3),
        "bad_solution.ipynb": planted(value=3),
        "good_picture.ipynb": pictured("{height}", "black"),
        "bad_picture.ipynb": pictured("{height}", "silver"),
        "bad_words.ipynb": pictured("some height", "black"),
        "no_control.ipynb": planted(code=NO_CONTROL),
    }
    status, output = run_copies(notebooks, tmp_path)
    failed = set(re.findall(r"^FAILED (?:.*/)?(\w+)\.ipynb::Cell (\d+)", output, re.MULTILINE))
    expected = {("bad_control", "3"), ("bad_solution", "2"), ("no_control", "3")}
    expected |= {("bad_words", "3"), ("bad_picture", "1")}
    expected |= {("bad_picture", "2")}  # the solution has no slider to ask
    assert (status, failed) == (1, expected), output[-5000:]


def test_hints_are_not_run():
    hint = "<details><summary>Hint</summary>\n\n```python\nx = ...\n```\n\n</details>\n"
    code = "# indented, as in a list\nassert slider.value == {value}"
    assert solution_code(hint + ANSWER) == [code]
