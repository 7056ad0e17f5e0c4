"""Execute the notebooks and store them in one fixed form.

    python tools/rebuild_notebooks.py                       # every notebook in notebooks/
    python tools/rebuild_notebooks.py notebooks/01_*.ipynb  # only these
    python tools/rebuild_notebooks.py --check               # write nothing; exit 1 if out of date
    python tools/rebuild_notebooks.py --times               # also print the rows of README's table

The picture that an opening shows is drawn by the notebook's last cell and kept beside it, in
notebooks/pictures. A notebook that did not change is rebuilt byte for byte: widget state, timing
and other traces of one run are left out, cell ids and execution counts are fixed. A cell that
fails, or that writes to stderr, stops its notebook from being written.
"""

import argparse
import base64
import copy
import difflib
import json
import math
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE_INFO = {"name": "python"}
KERNEL_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "TQDM_DISABLE": "1",  # a progress bar is never the same twice
}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
RUN_METADATA = ("execution", "ExecuteTime", "collapsed", "scrolled", "trusted")
RANDOM_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8}")
OPENING_PICTURE = "opening-picture"  # the cell that draws it
WORDS_PER_MINUTE = 95
SECONDS_PER_CODE_LINE = 5
FAILURES = (CellExecutionError, CellTimeoutError, DeadKernelError)


class NotebookProblem(Exception):
    """A notebook that ran, but whose outputs must not be stored."""


def give_stable_ids(cells):
    """Give each cell dictionary without an id, or with a random one, an id made from its position
    (c01, c02, ...)."""
    taken = {cell["id"] for cell in cells if cell.get("id") and not RANDOM_ID.fullmatch(cell["id"])}
    seen = set()
    for position, cell in enumerate(cells, start=1):
        if cell.get("id") not in taken or cell["id"] in seen:
            suffixes = ["", *(f"-{n}" for n in range(2, len(cells) + 2))]
            names = (f"c{position:02d}{suffix}" for suffix in suffixes)
            cell["id"] = next(name for name in names if name not in taken)
            taken.add(cell["id"])
        seen.add(cell["id"])


def read(path):
    """The notebook at `path`, with stable cell ids."""
    content = json.loads(path.read_text(encoding="utf-8"))
    give_stable_ids(content["cells"])
    content["nbformat"], content["nbformat_minor"] = 4, 5
    return nbformat.reads(json.dumps(content), as_version=4)


def execute(notebook, folder, timeout=600):
    """Run every cell of `notebook` in place, in a fresh kernel whose working folder is `folder`."""
    notebook.metadata.kernelspec = dict(KERNELSPEC)
    options = {"timeout": timeout, "record_timing": False}
    options["resources"] = {"metadata": {"path": str(folder)}}
    # The kernel's own remarks would break up the progress lines.
    NotebookClient(notebook, extra_arguments=["--log-level=ERROR"], **options).execute()


def merge_streams(outputs):
    """The outputs with neighbouring pieces of one stream joined: the timing of prints leaves no
    trace."""
    merged = []
    for output in outputs:
        last = merged[-1] if merged else None
        if last and last.output_type == output.output_type == "stream" and last.name == output.name:
            last.text += output.text
        else:
            merged.append(output)
    return merged


def normalise(notebook):
    """Take out of an executed notebook, in place, what another run would write differently."""
    metadata = {"kernelspec": KERNELSPEC, "language_info": LANGUAGE_INFO}
    notebook.metadata = nbformat.from_dict(metadata)
    for cell in notebook.cells:
        for key in RUN_METADATA:
            cell.metadata.pop(key, None)
    code_cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code_cells, start=1):
        cell.execution_count = count
        cell.outputs = merge_streams(cell.outputs)
        for output in cell.outputs:
            output.get("data", {}).pop(WIDGET_VIEW, None)
            if output.output_type == "execute_result":
                output.execution_count = count


def refuse_problems(notebook):
    """Raise NotebookProblem when a cell is empty, failed, or wrote to stderr."""
    problems = []
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        if not cell.source.strip():
            problems.append(f"cell {cell.id} is empty")
        for output in cell.outputs:
            if output.output_type == "error":
                problems.append(f"cell {cell.id} raised {output.ename}: {output.evalue}")
            if output.output_type == "stream" and output.name == "stderr":
                problems.append(f"cell {cell.id} wrote to stderr: {output.text.strip()[:300]}")
    if problems:
        raise NotebookProblem("\n".join(problems))


def rebuild(path, timeout=600):
    """The notebook at `path`, executed and in its stored form; nothing is written."""
    notebook = read(path)
    execute(notebook, path.resolve().parent, timeout)
    normalise(notebook)
    refuse_problems(notebook)
    nbformat.validate(notebook)
    return notebook


def to_text(notebook):
    """The text of a notebook file."""
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def write_atomically(path, content):
    """Replace the file in one step, so that an interruption leaves the old one whole."""
    temporary = path.with_name(f".{path.name}.tmp")
    data = content.encode() if isinstance(content, str) else content
    temporary.write_bytes(data)
    os.replace(temporary, path)


def opening_picture(notebook):
    """The PNG that the last cell draws for the opening to show before any code, and the sentence
    that says what is to be seen there; None where there is no such cell."""
    for cell in notebook.cells:
        if cell.id == OPENING_PICTURE:
            [data] = [output.data for output in cell.outputs if "image/png" in output.data]
            sentence = data["text/plain"].removeprefix("Figure: ")
            return base64.b64decode(data["image/png"]), sentence
    return None


def picture_path(path):
    """Where the picture of the opening of the notebook at `path` lies."""
    return path.parent / "pictures" / f"{path.name[:2]}.png"


def without_pictures(notebook):
    """The lines of a notebook file without its pictures, whose bytes depend on matplotlib."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for kind in [kind for kind in output.get("data", {}) if kind.startswith("image/")]:
                output.data[kind] = "(picture)"
    return to_text(notebook).splitlines()


def differences(stored, rebuilt, limit=40):
    """What differs in sources, metadata and text outputs, as at most `limit` lines of a diff."""
    texts = without_pictures(stored), without_pictures(rebuilt)
    lines = list(difflib.unified_diff(*texts, "stored", "rebuilt", n=1, lineterm=""))
    shown = [line if len(line) <= 160 else line[:157] + "..." for line in lines[:limit]]
    return shown + ([f"... and {len(lines) - limit} more lines"] if len(lines) > limit else [])


def reading_minutes(notebook):
    """Minutes that attentive readers took, to the next five: 95 words of text a minute, solutions
    included, and 5 seconds a line of code that is not folded."""
    words, lines = 0, 0
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            words += len(cell.source.split())
        elif not cell.metadata.get("jupyter", {}).get("source_hidden"):
            lines += sum(bool(line.strip()) for line in cell.source.splitlines())
    minutes = words / WORDS_PER_MINUTE + lines * SECONDS_PER_CODE_LINE / 60
    return max(5, 5 * round(minutes / 5))


def table_row(path, notebook, seconds):
    """One row of the table in README.md: link, minutes to read, seconds to run."""
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    title = re.search(r"^# +(.+)$", text, re.MULTILINE)
    name = title[1].strip() if title else path.stem
    minutes, seconds = reading_minutes(notebook), math.ceil(seconds)
    return f"| [{name}](notebooks/{path.name}) | {minutes} min | {seconds} s |"


def process(path, check, timeout):
    """Rebuild one notebook and write it, or compare it when `check`. Returns (ok, notebook,
    seconds)."""
    print(f"{path.name:<40}", end=" ", flush=True)
    start = time.perf_counter()
    try:
        notebook = rebuild(path, timeout)
    except (NotebookProblem, *FAILURES) as problem:
        seconds = time.perf_counter() - start
        print(f"{seconds:6.1f} s  FAILED, nothing written\n{problem}", flush=True)
        return False, None, 0.0
    seconds = time.perf_counter() - start
    if check:
        difference = differences(nbformat.read(path, as_version=4), notebook)
        verdict = "OUT OF DATE" if difference else "up to date"
        print(f"{seconds:6.1f} s  {verdict}", *difference, sep="\n", flush=True)
        return not difference, notebook, seconds
    text = to_text(notebook)
    changed = path.read_text(encoding="utf-8") != text
    if changed:
        write_atomically(path, text)
    if picture := opening_picture(notebook):
        picture_path(path).parent.mkdir(exist_ok=True)
        write_atomically(picture_path(path), picture[0])
    print(f"{seconds:6.1f} s  {'written' if changed else 'unchanged'}", flush=True)
    return True, notebook, seconds


def main(arguments=None):
    """The command line; returns the exit status."""
    what = "Execute the notebooks and store them in one fixed form."
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all in notebooks/")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if out of date")
    parser.add_argument("--times", action="store_true", help="print rows for the README's table")
    parser.add_argument("--timeout", type=int, default=600, help="seconds a cell (default 600)")
    options = parser.parse_args(arguments)
    paths = options.notebooks or sorted(NOTEBOOKS.glob("*.ipynb"))
    missing = [str(path) for path in paths if not path.is_file()]
    if missing or not paths:
        nothing = f"no notebooks in {NOTEBOOKS}"
        parser.error(f"no such notebook: {', '.join(missing)}" if missing else nothing)
    os.environ.update(KERNEL_ENVIRONMENT)
    results = [(path, *process(path, options.check, options.timeout)) for path in paths]
    if options.times:
        print("\n| notebook | to read | to run |\n|---|---|---|")
        for path, _, notebook, seconds in results:
            if notebook is not None:
                print(table_row(path, notebook, seconds))
    return 0 if all(ok for _, ok, _, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
