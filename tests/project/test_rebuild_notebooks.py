"""The tool that stores the notebooks writes the same bytes every time, and refuses faulty ones."""

import nbformat
import pytest
import rebuild_notebooks
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

PICTURE = """\
import ipywidgets
import matplotlib.pyplot as plt

print("one")
display(ipywidgets.IntSlider(value=3))
print("two")
_ = plt.plot([1, 2, 4])
plt.show()
"""


def write(path, *cells):
    """Write a notebook, with the random cell ids that nbformat gives, and return its path."""
    nbformat.write(new_notebook(cells=list(cells)), path)
    return path


def test_a_second_rebuild_changes_no_byte(tmp_path, capsys):
    cells = new_markdown_cell("# A lesson"), new_code_cell(PICTURE), new_code_cell("1 + 1")
    path = write(tmp_path / "a.ipynb", *cells)
    assert rebuild_notebooks.main(["--times", str(path)]) == 0
    first = path.read_bytes()
    assert "| [A lesson](notebooks/a.ipynb) | 5 min |" in capsys.readouterr().out
    assert rebuild_notebooks.main([str(path)]) == 0
    assert path.read_bytes() == first
    notebook = nbformat.read(path, as_version=4)
    assert [cell.id for cell in notebook.cells] == ["c01", "c02", "c03"]
    assert [cell.execution_count for cell in notebook.cells[1:]] == [1, 2]
    assert "widget" not in str(notebook.metadata) and b"widget-view" not in first

    assert rebuild_notebooks.main(["--check", str(path)]) == 0
    path.write_bytes(first.replace(b'"2"', b'"3"'))
    assert rebuild_notebooks.main(["--check", str(path)]) == 1
    assert "OUT OF DATE" in capsys.readouterr().out
    assert path.read_bytes() == first.replace(b'"2"', b'"3"')


@pytest.mark.parametrize("code", ["1 / 0", 'import sys\nprint("careful", file=sys.stderr)'])
def test_a_faulty_notebook_is_not_written(tmp_path, capsys, code):
    path = write(tmp_path / "a.ipynb", new_code_cell(code))
    before = path.read_bytes()
    assert rebuild_notebooks.main([str(path)]) == 1
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["a.ipynb"]
    assert "nothing written" in capsys.readouterr().out


def test_ids_are_kept_or_made_from_the_position():
    cells = [{"id": "opening"}, {}, {"id": "0123abcd"}, {"id": "c02"}, {"id": "opening"}]
    rebuild_notebooks.give_stable_ids(cells)
    assert [cell["id"] for cell in cells] == ["opening", "c02-2", "c03", "c02", "c05"]


def test_neighbouring_pieces_of_a_stream_are_joined():
    names = ("stdout", "stdout", "stderr", "stdout")
    pieces = [new_output("stream", name=name, text=name[-1]) for name in names]
    assert [piece.text for piece in rebuild_notebooks.merge_streams(pieces)] == ["tt", "r", "t"]


def test_an_unknown_notebook_is_named(capsys):
    with pytest.raises(SystemExit):
        rebuild_notebooks.main(["no_such.ipynb"])
    assert "no_such.ipynb" in capsys.readouterr().err
