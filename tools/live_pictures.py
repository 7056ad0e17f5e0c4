"""Draw what the controls of the notebooks show, for the copy for reading (tools/build_site.py).

A notebook's code is executed in a fresh kernel. After each cell that shows a LiveFigure, the
pictures of its settings are drawn: of all, if they are no more than LIMIT, and otherwise of one
control at a time, with the others at their start. They are kept in build/pictures, in a folder
named after all that they depend on, so that they are drawn again only when something changed.
"""

import concurrent.futures
import hashlib
import io
import itertools
import json
import os
import platform
import shutil
import sys
from importlib.metadata import version
from math import prod
from pathlib import Path

import nbformat
from PIL import Image
from rebuild_notebooks import FAILURES, KERNEL_ENVIRONMENT, execute, read

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "build" / "pictures"
LIMIT = 60
WORDS = "Interactive figure: "  # how the stored text of a LiveFigure begins
PACKAGES = ("numpy", "scipy", "matplotlib", "pillow", "ipywidgets")
made = []  # (figure, draw, alt) of each LiveFigure since the last cell that showed one


class StalePictures(Exception):
    """A notebook whose pictures cannot be drawn, or that was not executed after a change."""


# In the kernel


def watch():
    """From now on every LiveFigure is noted."""
    import rrnn_helpers as rh

    class Watched(rh.LiveFigure):
        def __init__(self, draw, alt, **controls):
            super().__init__(draw, alt, **controls)
            made.append((self, draw, alt))

    rh.LiveFigure = Watched


def settings(control):
    """[(value, text)] of all that a control can be set to."""
    if hasattr(control, "options"):
        options = control.options
        options = options.items() if isinstance(options, dict) else options
        pairs = all(isinstance(option, tuple) and len(option) == 2 for option in options)
        return [(value, str(text)) for text, value in (options if pairs else zip(options, options))]
    if isinstance(control.value, bool):
        return [(False, "no"), (True, "yes")]
    count = int((control.max - control.min) / control.step + 1e-9) + 1
    values = [round(control.min + i * control.step, 10) for i in range(count)]
    return [(value, format(value, control.readout_format)) for value in values]


def kind(control, texts):
    """box, slider or menu. Choices are a slider if they are numbers in order."""
    if isinstance(control.value, bool):
        return "box"
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        return "menu"
    return "slider" if numbers == sorted(numbers) else "menu"


def states(sizes, start):
    """The settings to draw, each as the positions of its controls, without the start."""
    if prod(sizes) <= LIMIT:
        found = itertools.product(*map(range, sizes))
    else:
        found = ((*start[:i], j, *start[i + 1 :]) for i, n in enumerate(sizes) for j in range(n))
    return [state for state in found if state != start]


def describe(figure, draw, alt, folder):
    """Draw the settings of one LiveFigure into the folder; returns what a page must know of it."""
    import rrnn_helpers as rh

    names, controls, pictures = list(figure.controls), [], {}
    choices = [settings(control) for control in figure.controls.values()]
    for control, choice in zip(figure.controls.values(), choices):
        values, texts = zip(*choice)
        position = min(range(len(values)), key=lambda i: values[i] != control.value)
        controls.append({"label": control.description, "kind": kind(control, texts),
                         "texts": texts, "start": position})  # fmt: skip
    start = tuple(control["start"] for control in controls)

    def arguments(state):
        return {name: choice[i][0] for name, choice, i in zip(names, choices, state)}

    for state in states([len(choice) for choice in choices], start):
        image, width = rh.png(draw(**arguments(state)))
        data, size = encode(image, width)
        name = file_name(data)
        (folder / name).write_bytes(data)
        pictures[",".join(map(str, state))] = [name, *size, alt(**arguments(state))]
    whole = len(pictures) + 1 == prod(len(choice) for choice in choices)
    words = alt(**arguments(start))
    return {"controls": controls, "whole": whole, "pictures": pictures, "alt": words}


def draw_figures(cell, folder):
    """Draw the settings of each LiveFigure made since the last call, and note them for the cell."""
    figures = [describe(*each, Path(folder)) for each in made]
    made.clear()
    text = json.dumps(figures, indent=1, ensure_ascii=False)
    (Path(folder) / f"{cell}.json").write_text(text, encoding="utf-8")


# In the tool


def encode(image, width):
    """A PNG as WebP in at most 256 colours, and the (width, height) at which to show it."""
    picture = Image.open(io.BytesIO(image))
    size = picture.size
    width = width or size[0]
    if picture.mode != "P":
        flat = Image.new("RGBA", size, "white")
        flat.alpha_composite(picture.convert("RGBA"))
        picture = flat.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    data = io.BytesIO()
    picture.convert("RGB").save(data, "webp", lossless=True, quality=60, method=4)
    return data.getvalue(), (width, round(width * size[1] / size[0]))


def file_name(data):
    """A name that tells pictures apart by what they show."""
    return f"{hashlib.sha256(data).hexdigest()[:16]}.webp"


def live_cells(notebook):
    """{id: [words]} of the cells of a notebook that show a LiveFigure, as stored."""
    found = {}
    for cell in notebook.cells:
        texts = [output.get("data", {}).get("text/plain", "") for output in cell.get("outputs", [])]
        words = [text.removeprefix(WORDS) for text in texts if text.startswith(WORDS)]
        if words:
            found[cell.id] = words
    return found


def fingerprint(path):
    """What the pictures of the notebook depend on: its code, the package, the stored results, this
    tool and the libraries."""
    notebook, total = read(path), hashlib.sha256()
    code = [(cell.id, cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    libraries = [platform.python_version(), *map(version, PACKAGES)]
    total.update(json.dumps([code, libraries, live_cells(notebook)]).encode())
    results = path.parent / "results"
    files = [*ROOT.glob("rrnn/**/*.py"), ROOT / "rrnn_helpers.py", Path(__file__)]
    files += [*results.glob("*.json*"), *results.glob("weights/*")]
    for file in sorted(files):
        total.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()[:16]


def same_words(one, other):
    """Whether two sentences are the same but for their numbers, which another machine may round
    otherwise."""
    return "".join(filter(str.isalpha, one)) == "".join(filter(str.isalpha, other))


def load(path, folder):
    """{cell id: [figure]} of the pictures in the folder."""
    found = {}
    for cell, stored in live_cells(read(path)).items():
        figures = json.loads((folder / f"{cell}.json").read_text(encoding="utf-8"))
        words = [figure["alt"] for figure in figures]
        if len(words) != len(stored) or not all(map(same_words, words, stored)):
            text = f"{path}: cell {cell} says {stored}, but now it draws {words}"
            raise StalePictures(f"{text}. Run make notebooks NOTEBOOKS={path}")
        found[cell] = figures
    return found


def draw_notebook(path, folder):
    """Execute the notebook and draw its pictures into the folder."""
    notebook, part = read(path), folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    shown = live_cells(notebook)
    places = [str(ROOT), str(Path(__file__).parent)]
    watched = f"import sys\nsys.path[:0] = {places!r}\nimport live_pictures\nlive_pictures.watch()"
    cells = [nbformat.v4.new_code_cell(watched)]
    for cell in notebook.cells:
        if cell.cell_type == "code":  # its tags say whether it may fail
            cells.append(nbformat.v4.new_code_cell(cell.source, metadata=cell.metadata))
        if cell.id in shown:
            call = f"{cell.id!r}, {str(part)!r}"
            code = f"import live_pictures\nlive_pictures.draw_figures({call})"
            cells.append(nbformat.v4.new_code_cell(code))
    os.environ.update(KERNEL_ENVIRONMENT)
    try:
        execute(nbformat.v4.new_notebook(cells=cells), path.parent)
    except FAILURES as failure:
        raise StalePictures(f"{path}: the pictures could not be drawn: {failure}") from failure
    load(path, part)
    for old in folder.parent.glob(f"{path.stem}-*"):
        if old != part:
            shutil.rmtree(old)
    part.rename(folder)


def folders(paths, kept=KEPT):
    """{path: folder of its pictures} of the notebooks that show a LiveFigure."""
    shown = [path for path in paths if live_cells(read(path))]
    return {path: kept / f"{path.stem}-{fingerprint(path)}" for path in shown}


def drawn_before(found):
    """What `pictures` returns, of the notebooks of `folders` that have their pictures already."""
    return {path: (folder, load(path, folder)) for path, folder in found.items() if folder.exists()}


def pictures(paths, jobs=None, kept=KEPT):
    """{path: (folder, {cell id: [figure]})} of the notebooks that show a LiveFigure. They are drawn
    where that was not done before, in as many processes as there are cores, or `jobs`."""
    found = folders(paths, kept)
    todo = [path for path, folder in found.items() if not folder.exists()]
    count = jobs or os.cpu_count() or 1
    if todo:
        print(f"Drawing the settings of {len(todo)} notebooks", file=sys.stderr, flush=True)
        with concurrent.futures.ProcessPoolExecutor(min(len(todo), count)) as pool:
            list(pool.map(draw_notebook, todo, [found[path] for path in todo]))
    return drawn_before(found)
