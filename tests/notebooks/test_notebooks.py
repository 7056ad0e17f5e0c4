"""Every notebook keeps the rules of the series: readable unrun, accessible, repeatable."""

import math
import re

import nbformat
import pytest
from link_notebooks import COLAB_ID
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebook_files import DETAILS, FENCE, NOTEBOOKS, blank_fences, folded_blocks, notebook_paths
from rebuild_notebooks import (
    KERNELSPEC,
    LANGUAGE_INFO,
    RANDOM_ID,
    WIDGET_VIEW,
    opening_picture,
    picture_path,
    reading_minutes,
)

MOST_IGNORED_OUTPUTS = 3  # in the whole series
MOST_LINES, USUAL_LINES = 40, 20  # non-blank lines of a code cell: of any one, and of nine in ten
SHORTEST = 15  # alternative text

HEADING = re.compile(r"^(#{1,6})[ \t]+(.+)$", re.MULTILINE)
EXERCISE = re.compile(r"^(?:#{2,6}[ \t]+|[-*\d. \t]*\*\*)Exercise[ \t]+(\d+)", re.MULTILINE)
BOOTSTRAP = re.compile(r"^sys\.path\.(insert|append)\(.*(\.\.|\.parent)", re.MULTILINE)
GLOBAL_RANDOM = re.compile(
    r"\b(?:np|numpy)\.random\."
    r"(?!default_rng|Generator|SeedSequence|BitGenerator|PCG64|Philox|SFC64)\w+"
    r"|from numpy\.random import (?!default_rng|Generator)"
    r"|^\s*(?:import random\b|from random import)",
    re.MULTILINE,
)
LONG_FLOAT = re.compile(r"\d\.\d{7,}")
LINK = re.compile(r"(?<!!)\[([^\[\]]+)\]\(|<a\b[^>]*>(.*?)</a>", re.IGNORECASE | re.DOTALL)
VAGUE = re.compile(
    r"(click |see |read |look )?(here|this|that|link|this link|this page|more|page|it)", re.I
)
IGNORE_TAGS = ("nbval-ignore-output", "nbval-skip", "skip-execution")
IGNORE = re.compile(r"#\s*(NBVAL_IGNORE_OUTPUT|NBVAL_SKIP|PYTEST_VALIDATE_IGNORE_OUTPUT)")


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    """(cell, output) of every stored output."""
    return [(cell, output) for cell in code_cells(notebook) for output in cell.outputs]


def all_text(notebook):
    """The markdown of the notebook as one text."""
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def shown_text(output):
    """What an output shows as text."""
    data = output.get("data", {})
    texts = output.get("text"), data.get("text/plain"), data.get("text/markdown")
    return "\n".join(filter(None, texts))


def find_unrun_cells(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}, not 1 to {len(counts)}: run `make notebooks`"
    if not any(cell.outputs for cell in code_cells(notebook)):
        yield "no stored outputs: run `make notebooks`"


def find_failures(notebook):
    for cell, output in outputs(notebook):
        if output.output_type == "error":
            yield f"cell {cell.id} stores an error: {output.ename}: {output.evalue}"
        if output.output_type == "stream" and output.name == "stderr":
            yield f"cell {cell.id} wrote to stderr: {output.text.strip()[:80]}"


def find_traces_of_a_run(notebook):
    if notebook.metadata != {"kernelspec": KERNELSPEC, "language_info": LANGUAGE_INFO}:
        yield f"metadata {dict(notebook.metadata)} is not the fixed one: run `make notebooks`"
    for cell, output in outputs(notebook):
        if WIDGET_VIEW in output.get("data", {}):
            yield f"cell {cell.id} stores a widget view: run `make notebooks`"
    ids = [cell.id for cell in notebook.cells]
    if len(set(ids)) < len(ids) or any(RANDOM_ID.fullmatch(name) for name in ids):
        yield "cell ids are random or not unique: run `make notebooks`"


def find_pictures_without_words(notebook):
    for cell, output in outputs(notebook):
        data = output.get("data", {})
        if "image/svg+xml" in data:
            yield f"cell {cell.id} stores an SVG, which carries a date: use PNG"
        if not {"image/png", "image/jpeg"} & data.keys():
            continue
        plain = data.get("text/plain", "")
        words = "".join(re.findall(r"^(?:Interactive f|F)igure: (.+)", plain, re.DOTALL))
        for kind in ("image/png", "image/jpeg"):
            words = output.metadata.get(kind, {}).get("alt", "") or words
        if len(words.strip()) < SHORTEST:
            yield f"cell {cell.id} shows a figure without alt text of {SHORTEST} characters"
    for words in re.findall(r"!\[([^\]]*)\]\(", blank_fences(all_text(notebook))):
        if len(words.strip()) < SHORTEST:
            yield f"a markdown picture has the alt text {words!r}, below {SHORTEST} characters"


def find_vague_links(notebook):
    for match in LINK.finditer(blank_fences(all_text(notebook))):
        words = (match[1] or match[2] or "").strip()
        if not re.search(r"\w", words) or VAGUE.fullmatch(words):
            yield f"a link has the text {words!r}, which does not say where it leads"


def find_heading_faults(notebook):
    found = HEADING.findall(blank_fences(all_text(notebook)))
    headings = [(len(marks), title) for marks, title in found]
    number_of_h1 = sum(level == 1 for level, _ in headings)
    if number_of_h1 != 1 or headings[0][0] != 1:
        yield f"{number_of_h1} headings of level 1: there must be one, and it comes first"
    for (level, _), (next_level, title) in zip(headings, headings[1:]):
        if next_level > level + 1:
            yield f"heading {title!r} of level {next_level} follows one of level {level}"


def find_opening_faults(notebook):
    first = notebook.cells[0]
    missing = [w for w in ("build", "learn", "need", "time") if w not in first.source.lower()]
    if first.cell_type != "markdown" or missing:
        what = ", ".join(missing) or "it is not markdown"
        yield f"the opening cell does not say what the reader will: {what}"
    code = [cell.source for cell in code_cells(notebook) if cell.id != COLAB_ID]
    for cell in code_cells(notebook)[: 1 + (code_cells(notebook)[0].id == COLAB_ID)]:
        if not cell.metadata.get("jupyter", {}).get("source_hidden"):
            yield f"cell {cell.id} prepares things, and is not folded (jupyter.source_hidden)"
    if not code or not BOOTSTRAP.search(code[0]):
        yield 'the first code cell after the Colab cell has no line like sys.path.insert(0, "..")'


def find_dishonest_times(notebook):
    said = re.search(r"(\d+) minutes to read", notebook.cells[0].source)
    counted = reading_minutes(notebook)
    if said and abs(int(said[1]) - counted) > 10:
        yield f"the opening cell says {said[0]}, and counted are {counted}"


def find_code_faults(notebook):
    lengths = []
    for cell in code_cells(notebook):
        lines = [line.rstrip() for line in cell.source.splitlines() if line.strip()]
        lengths.append(len(lines))
        if not lines:
            yield f"cell {cell.id} is empty"
        if len(lines) > MOST_LINES:
            yield f"cell {cell.id} has {len(lines)} lines, more than {MOST_LINES}"
        for line in lines:
            if line.endswith(";"):
                yield f"cell {cell.id} ends a line with a semicolon: {line.strip()!r}"
        for match in GLOBAL_RANDOM.findall(cell.source):
            right = "make a numpy.random.default_rng(seed)"
            yield f"cell {cell.id} uses global random state ({match.strip()}): {right}"
    if lengths and sorted(lengths)[math.ceil(0.9 * len(lengths)) - 1] > USUAL_LINES:
        longest = sorted(lengths, reverse=True)[:10]
        yield f"more than one code cell in ten has over {USUAL_LINES} lines: {longest}"


def find_long_floats(notebook):
    for cell, output in outputs(notebook):
        for number in LONG_FLOAT.findall(shown_text(output)):
            yield f"cell {cell.id} prints seven decimals or more ({number}...): round the number"


def exercises(text):
    """(number, text) of each exercise: from its marker to the next one, or to the next section."""
    masked = blank_fences(text)
    starts = list(EXERCISE.finditer(masked))
    sections = [match.start() for match in HEADING.finditer(masked) if len(match[1]) <= 2]
    ends = sorted([match.start() for match in starts] + sections + [len(text)])
    after = {match: next(end for end in ends if end > match.start()) for match in starts}
    return [(match[1], text[match.start() : end]) for match, end in after.items()]


def find_exercise_faults(notebook):
    found = exercises(all_text(notebook))
    if not 3 <= len(found) <= 5:
        yield f"{len(found)} exercises, not 3 to 5 (each has a heading or bold words: 'Exercise 1')"
    for number, text in found:
        titles = [title.lower() for title, _ in folded_blocks(text)]
        if not any("solution" in title or "answer" in title for title in titles):
            yield f"exercise {number} has no <details> block with a <summary> that says Solution"
        outside = DETAILS.sub("", text)
        if "hint" not in outside.lower() and not any("hint" in title for title in titles):
            yield f"exercise {number} has no hint"


def find_folding_faults(notebook):
    for title, body in folded_blocks(all_text(notebook)):
        if not title:
            yield "a <details> block has no <summary>"
        if "<details" in body.lower():
            yield f"the folded block {title!r} has another inside: put them one after the other"
        if re.search(r"[`$]", body) and not re.search(r"</summary>[ \t]*\n[ \t]*\n", body, re.I):
            yield f"the folded block {title!r} stays raw: it has no blank line after </summary>"
        for fence in FENCE.finditer(body):
            if fence["language"] not in ("python", "text"):
                right = "use ```python or ```text"
                yield f"the folded block {title!r} has a ```{fence['language']} block: {right}"


CHECKS = [check for name, check in list(globals().items()) if name.startswith("find_")]


def findings(notebook):
    """Everything that is wrong with the notebook, one sentence each."""
    return [finding for check in CHECKS for finding in check(notebook)]


def ignored_outputs(notebook):
    """The ids of the cells whose outputs nbval is told not to compare."""
    cells = code_cells(notebook)
    tagged = [cell for cell in cells if {*IGNORE_TAGS} & {*cell.metadata.get("tags", [])}]
    return [cell.id for cell in cells if cell in tagged or IGNORE.search(cell.source)]


def test_there_are_notebooks():
    assert notebook_paths(), f"no notebooks in {NOTEBOOKS}, so no test here looked at any"


@pytest.mark.parametrize("path", notebook_paths(), ids=lambda path: path.stem)
def test_notebook_keeps_the_rules(path):
    found = findings(nbformat.read(path, as_version=4))
    assert not found, "\n  ".join([f"{path.name}: {len(found)} findings", *found])


@pytest.mark.parametrize("path", notebook_paths(), ids=lambda path: path.stem)
def test_the_opening_shows_a_picture_before_any_code(path):
    notebook = nbformat.read(path, as_version=4)
    image, sentence = opening_picture(notebook)
    assert f"![{sentence}](pictures/{picture_path(path).name})" in notebook.cells[0].source
    assert picture_path(path).read_bytes() == image, "run `make notebooks`"


def test_few_outputs_are_left_uncompared():
    notebooks = {path.name: nbformat.read(path, as_version=4) for path in notebook_paths()}
    ignored = {name: ignored_outputs(notebook) for name, notebook in notebooks.items()}
    assert sum(map(len, ignored.values())) <= MOST_IGNORED_OUTPUTS, ignored


# The rest tests the rules themselves, on a small notebook that keeps them all.

OPENING = "# A lesson\n\nWhat you will build, learn, need, and the time it takes."
SOLUTION = """\
Hint: count.

<details><summary>Solution</summary>

```python
# not a heading
x = 1
```

</details>
"""
FOLDED = {"jupyter": {"source_hidden": True}}
NO_HINT = SOLUTION.replace("Hint", "So")
NO_BLANK_LINE = "<details><summary>Answer</summary>\n$x$\n</details>"


def small_notebook():
    """A notebook without findings."""
    sections = [f"### Exercise {number}\n\nWhy?\n\n{SOLUTION}" for number in (1, 2, 3)]
    figure = {"image/png": "", "text/plain": "Figure: a line that rises from left to right"}
    outputs = [new_output("display_data", figure), new_output("stream", text="0.1234\n")]
    path = 'import sys\n\nsys.path.insert(0, "..")'
    cells = [
        new_markdown_cell(OPENING, id="opening"),
        new_code_cell(path, id="bootstrap", execution_count=1, metadata=FOLDED),
        new_code_cell("show()", id="figure", execution_count=2, outputs=outputs),
        new_markdown_cell("## Exercises\n\n" + "\n".join(sections), id="exercises"),
    ]
    metadata = {"kernelspec": dict(KERNELSPEC), "language_info": dict(LANGUAGE_INFO)}
    return new_notebook(cells=cells, metadata=metadata)


def shown(data):
    return [new_output("display_data", data)]


def fault(words, **changes):
    """A test case: what the finding must say, and what to change, as cell__attribute=value."""
    return pytest.param(words, changes, id=words.replace(" ", "-"))


FAULTS = [
    fault("execution counts", figure__execution_count=None),
    fault("stores an error", figure__outputs=[new_output("error", ename="E", evalue="")]),
    fault("wrote to stderr", figure__outputs=[new_output("stream", name="stderr", text="oh")]),
    fault("widget view", figure__outputs=shown({WIDGET_VIEW: {}})),
    fault("without alt text", figure__outputs=shown({"image/png": ""})),
    fault("SVG", figure__outputs=shown({"image/svg+xml": "<svg/>"})),
    fault("markdown picture", opening__source=OPENING + "\n\n![a box](box.png)"),
    fault("where it leads", opening__source=OPENING + "\n\nThe data are [here](data.csv)."),
    fault("does not say where", opening__source=OPENING + '\n\n<a href="data.csv">Read more</a>'),
    fault("cell ids", figure__id="0123abcd"),
    fault("headings of level 1", opening__source=OPENING + "\n\n# Again"),
    fault("of level 3 follows", opening__source=OPENING + "\n\n### Deep"),
    fault("opening cell", opening__source="# A lesson"),
    fault("counted are", opening__source=OPENING + " 25 minutes to read"),
    fault("not folded", bootstrap__metadata={}),
    fault("sys.path", bootstrap__source="import numpy"),
    fault("semicolon", figure__source="show();"),
    fault("global random state", figure__source="np.random.seed(0)"),
    fault("is empty", figure__source=""),
    fault("more than 40", figure__source="show()\n" * 41),
    fault("one code cell in ten", figure__source="show()\n" * 21),
    fault("seven decimals", figure__outputs=[new_output("stream", text="0.12345678")]),
    fault("not 3 to 5", exercises__source="## Exercises\n\n**Exercise 1.** Why?\n\n" + SOLUTION),
    fault("no hint", exercises__source="## E\n" + f"\n### Exercise 1\n\n{NO_HINT}" * 3),
    fault("says Solution", exercises__source="## E\n" + "\n### Exercise 1\n\nHint: none.\n" * 3),
    fault("no blank line", opening__source=OPENING + NO_BLANK_LINE),
    fault("use ```python", opening__source=OPENING + "\n" + SOLUTION.replace("```python", "```")),
]


def test_a_notebook_without_faults_has_no_findings():
    assert findings(small_notebook()) == []


@pytest.mark.parametrize("words, changes", FAULTS)
def test_a_planted_fault_is_found(words, changes):
    notebook = small_notebook()
    cells = {cell.id: cell for cell in notebook.cells}
    for target, value in changes.items():
        cell, attribute = target.split("__")
        cells[cell][attribute] = value
    assert any(words in finding for finding in findings(notebook)), findings(notebook)


def test_widget_state_is_found():
    notebook = small_notebook()
    notebook.metadata["widgets"] = {}
    assert any("metadata" in finding for finding in findings(notebook))


def test_ignored_outputs_are_counted():
    notebook = small_notebook()
    notebook.cells[1].metadata["tags"] = ["nbval-ignore-output"]
    notebook.cells[2].source = "# NBVAL_IGNORE_OUTPUT\nshow()"
    assert ignored_outputs(notebook) == ["bootstrap", "figure"]
