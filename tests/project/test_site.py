"""The copy for reading holds every figure and formula, loads only its own files, runs only its own
script, and has no dead link."""

import base64
import json
import re
from urllib.parse import unquote, urlsplit

import build_lite
import build_site
import live_pictures
import nbformat
import pytest
from bs4 import BeautifulSoup
from fontTools.subset import parse_unicodes
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebook_files import ROOT, blank_fences, notebook_paths

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR4nGNgYAAAAAMAASsJTYQ"
PIXEL += "AAAAASUVORK5CYII="
README = """\
# The series

Read [the first](notebooks/01_a.ipynb#Two-words) and [the code](rrnn).

![a dot](dot.png)
"""
LESSON = """\
# 01. A lesson

Back to [the contents](../README.md). Here $x_1 \\lt 2$ stands in a line, and

$$y = \\frac{\\ln x}{\\sqrt{d}}$$

## Two words

## "A" & `b`

<details><summary>Solution</summary>

The **bold** answer, $z$:

```python
z = 1
```

</details>
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """{path: page} of the whole site, built and read once."""
    out = tmp_path_factory.mktemp("site")
    build_site.build_all(out)
    return pages(out)


def pages(folder):
    """{path: page} of every page below the folder."""
    texts = {path: path.read_text(encoding="utf-8") for path in folder.rglob("*.html")}
    return {path: BeautifulSoup(text, "html.parser") for path, text in texts.items()}


ON = {f"on{event}" for event in ("load", "click", "input", "change", "error")}
LINKS = ["a", "link", "img", "script"]


def is_dead(address, path, every_page):
    """Whether an address on the page at `path` leads nowhere on the site."""
    parts = urlsplit(address)
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if parts.scheme or not target.is_file():
        return not parts.scheme
    return bool(parts.fragment) and not every_page[target].find(id=unquote(parts.fragment))


def find_faults(path, every_page):
    """What a page must have, what a browser would run or fetch, and what was left over."""
    page = every_page[path]
    view = page.find("meta", attrs={"name": "viewport"})
    if page.html["lang"] != "en" or not page.title.text.strip() or not view:
        yield "no language, title or viewport"
    if any(len(image.get("alt", "").strip()) < 3 for image in page.find_all("img")):
        yield "an image without words"
    names = [tag["id"] for tag in page.find_all(id=True)]
    if len(set(names)) < len(names):
        yield "two tags with one id"
    texts = page.main.find_all(string=True)
    words = "".join(text for text in texts if not text.find_parent(["pre", "code"]))
    if re.search(r"\$[^$]*[\\_^][^$]*\$|\\(frac|sum|text)\b", words):
        yield "a formula left as it was written"
    for tag in page.find_all(["script", "iframe", "object", "embed"]):
        own = tag.name == "script" and re.fullmatch(r"(\.\./)*live\.js", tag.get("src", ""))
        if not own or tag.text:
            yield f"runs {tag}"
    yield from (f"runs {tag.name}" for tag in page.find_all(lambda tag: ON & {*tag.attrs}))
    for tag in page.find_all(src=True) + page.find_all("link"):
        if re.match(r"(https?:)?//", tag.get("src") or tag["href"]):
            yield f"fetches {tag}"
    linked = [tag.get("href") or tag.get("src") for tag in page.find_all(LINKS)]
    yield from (f"dead link {name}" for name in linked if is_dead(name, path, every_page))


def test_every_page_is_whole(site):
    assert len(site) > len(notebook_paths())
    for path in site:
        assert not list(find_faults(path, site)), path.name
    home = min(site, key=lambda path: len(path.parts))
    style = home.with_name("style.css").read_text(encoding="utf-8")
    assert not re.search(r"@import|url\((?!data:)", style)
    script = home.with_name("live.js").read_text(encoding="utf-8")
    assert not re.search(r"\b(fetch|XMLHttpRequest|import|eval|innerHTML|https?:)\b", script)
    assert "decode" in script and len(script.splitlines()) < 100


@pytest.mark.parametrize("path", notebook_paths(), ids=lambda path: path.stem)
def test_every_figure_formula_and_fold_of_a_notebook_is_there(site, path):
    notebook = nbformat.read(path, as_version=4)
    [page] = [page for file, page in site.items() if file.stem == path.stem]
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    figures = [output for output in outputs if "image/png" in output.get("data", {})]
    words = [figure.metadata["image/png"]["alt"] for figure in figures]
    first, *others = [image["alt"] for image in page.find_all("img")]
    assert others == words and first == words[-1]  # the opening shows what the last cell draws
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    prose = re.sub(r"`[^`\n]+`", "", blank_fences(text))
    blocks, formulas = prose.count("$$") // 2, page.find_all("math")
    assert len(page.find_all("math", display="block")) == blocks
    assert len(formulas) == blocks + prose.replace("$$", "").count("$") // 2
    folded = [cell.metadata.get("jupyter", {}).get("source_hidden") for cell in notebook.cells]
    assert len(page.main.find_all("details", "code")) == folded.count(True) > 0
    others = [fold for fold in page.main.find_all("details") if fold.get("class") != ["code"]]
    assert len(others) == text.count("<details")
    letters = {ord(letter) for formula in formulas for letter in formula.text}
    assert letters <= set(parse_unicodes(build_site.CHARACTERS))


# The rest tests the tools on a small series.


def write(root, readme=README, lesson=LESSON):
    """A series of one notebook in the folder root."""
    (root / "notebooks").mkdir()
    picture = new_output("display_data", {"image/png": PIXEL, "text/plain": "Figure: a dot"})
    picture.metadata = {"image/png": {"alt": "a small dot"}}
    cells = [new_markdown_cell(lesson, id="opening")]
    cells += [new_code_cell("show()", id="figure", outputs=[picture])]
    nbformat.write(new_notebook(cells=cells), root / "notebooks" / "01_a.ipynb")
    (root / "README.md").write_text(readme)
    (root / "dot.png").write_bytes(base64.b64decode(PIXEL))
    (root / "rrnn").mkdir()
    for name in ("LICENSE", "rrnn_helpers.py", "rrnn/layers.py"):
        (root / name).write_text("x = 1\n")
    return root


def test_a_small_series(tmp_path):
    out = tmp_path / "out"
    written = build_site.build_all(out, write(tmp_path))
    every_page = pages(out)
    assert set(written) == set(every_page) and len(written) == 4
    home, lesson = every_page[out / "index.html"], every_page[out / "notebooks/01_a.html"]
    assert home.nav.a["href"] == "notebooks/01_a.html" and home.nav.a.text == "01. A lesson"
    assert home.main.find_all("a")[1]["href"] == "notebooks/01_a.html#Two-words"
    assert home.img["src"] == "dot.png" and lesson.main.a["href"] == "../index.html"
    assert lesson.title.text == "01. A lesson | The series"
    assert lesson.img["alt"] == "a small dot" and lesson.img["loading"] == "lazy"
    assert (lesson.img["width"], lesson.img["height"]) == ("1", "1") and not lesson.script
    sections = lesson.find("nav", attrs={"aria-label": "Sections"})
    assert [link.text for link in sections.find_all("a")] == ["Two words", '"A" & b']
    fold = lesson.main.details
    assert fold.summary.text == "Solution" and fold.strong.text == "bold" and fold.math and fold.pre
    room = every_page[out / "rrnn/index.html"].main.find("a")
    assert room.text == "layers.py" and room["href"] == "layers.py.html"
    assert "show" in lesson.main.text and len(lesson.find_all("math")) == 3


NO_PAGE = [("(rrnn)", "(rrn)", "no file"), ("(dot.png)", "(../dot.png)", "no file")]
NO_PAGE += [("\\sqrt", "\\squareroot", "is not known"), ("x_1", "x_1_2", "Double")]


@pytest.mark.parametrize("old, new, words", NO_PAGE)
def test_a_text_that_cannot_become_a_page_stops_the_build(tmp_path, old, new, words):
    assert old in README + LESSON
    write(tmp_path, README.replace(old, new), LESSON.replace(old, new))
    with pytest.raises(build_site.SiteProblem, match=words):
        build_site.build_all(tmp_path / "out", tmp_path)


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("<main>", '<main><script src="x.js"></script>', "runs"),
        ("<main>", '<main><script src="../live.js">x</script>', "runs"),
        ("<main>", '<main><script src="../../live.js"></script>', "dead link"),
        ("<main>", '<main><p onclick="x()">', "runs"),
        ("<main>", '<main><img alt="a dot" src="https://x.org/a.png">', "fetches"),
        ("../index.html", "../inde.html", "dead link"),
        ("../style.css", "../styl.css", "dead link"),
        (' lang="en"', ' lang=""', "no language"),
        ('name="viewport"', "", "no language"),
        ("a small dot", "", "without words"),
        ("<main>", '<main><p id="Two-words">', "one id"),
        ("<main>", "<main>$x_1$", "as it was written"),
        ('id="Two-words"', "", "dead link"),
    ],
)
def test_a_planted_fault_of_a_page_is_found(tmp_path, old, new, words):
    build_site.build_all(tmp_path / "out", write(tmp_path))
    path = tmp_path / "out/notebooks/01_a.html"
    text = path.read_text()
    assert old in text and not list(find_faults(path, pages(tmp_path / "out")))
    path.write_text(text.replace(old, new))
    assert words in " ".join(find_faults(path, pages(tmp_path / "out")))


def test_formulas_are_repaired():
    page = build_site.Page(ROOT / "README.md", ROOT)
    for latex, part in {
        r"\log p": "<mspace",
        r"\log(p)": "log</mi><mo",
        r"-\infty": "<mi>&#x0221E;</mi>",
        r"(-1)": '<mo form="prefix">',
        r"(2) - 1": "<mo>&#x02212;</mo>",
        r"\lVert x \rVert^2": 'fence="true"',
        r"[a : b]": "<mo>:</mo>",
    }.items():
        assert part in page.formula(latex, "inline")


def test_one_page_from_the_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(live_pictures, "folders", lambda paths: {paths[0]: tmp_path / "none"})
    first = notebook_paths()[0]
    assert build_site.main([str(first), "--out", str(tmp_path)]) == 0
    assert [path.name for path in tmp_path.rglob("*.html")] == [f"{first.stem}.html"]
    said = capsys.readouterr().out
    assert str(tmp_path) in said and f"{first.name} stands still" in said


# Figures with controls

LIVE = """\
import ipywidgets as widgets
from matplotlib.figure import Figure

import rrnn_helpers as rh

def draw(height, colour, **others):
    figure = Figure(figsize=(1, 1))
    figure.add_axes((0, 0, 1, 1)).axhline(height, color=colour)
    return figure

def words(height, colour, **others):
    return f"A {colour} line at {height}, 'n' <{others}>."
"""
SMALL = "rh.LiveFigure(draw, words, height=(0.0, 1.0, 0.5, 0.5), colour=['red', 'blue'])"
LARGE = """\
low = widgets.Dropdown(options=[("few", 0), ("some", 3)], value=3)
rh.LiveFigure(draw, words, height=(1, 20, 1, 7), colour=["red", "blue"], low=low, bold=True)"""


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A small series with two figures that have controls: its folder, the folder where their
    pictures are kept, and its notebook."""
    root = write(tmp_path_factory.mktemp("live"))
    path = root / "notebooks" / "01_a.ipynb"
    cells = [new_markdown_cell(LESSON, id="opening"), new_code_cell(LIVE, id="code")]
    for name, code, alt in (("small", SMALL, "A red line at 0.5, 'n' <{}>."),
                            ("large", LARGE, "A red line at 7, 'n' <{'low': 3, 'bold': True}>.")):
        data = {"image/png": PIXEL, "text/plain": f"Interactive figure: {alt}"}
        facts = {"image/png": {"alt": alt, "width": 1}}
        stored = new_output("execute_result", data, metadata=facts, execution_count=1)
        cells.append(new_code_cell(code, id=name, outputs=[stored]))
    nbformat.write(new_notebook(cells=cells), path)
    return root, root / "kept", path


def built(root, kept, path, out):
    build_site.build_all(out, root, live_pictures.pictures([path], kept=kept))
    return {file.relative_to(out): file.read_bytes() for file in out.rglob("*") if file.is_file()}


def test_figures_with_controls(live, tmp_path, monkeypatch):
    files = built(*live, tmp_path / "one")
    with monkeypatch.context() as patch:  # nothing is drawn again, and no byte differs
        patch.setattr(live_pictures, "draw_notebook", None)
        assert built(*live, tmp_path / "two") == files
    place, every_page = tmp_path / "one/notebooks/01_a.html", pages(tmp_path / "one")
    page = every_page[place]
    assert page.script["src"] == "../live.js" and not list(find_faults(place, every_page))
    small, large = page.find_all("figure", "live")
    data = json.loads(small["data-live"])
    assert data["texts"] == [["0.00", "0.50", "1.00"], ["red", "blue"]] and data["start"] == [1, 0]
    assert set(data["pictures"]) == {f"{i},{j}" for i in range(3) for j in range(2)}
    folder = tmp_path / "one" / "pictures" / "01_a"
    assert all((folder / name).is_file() for name, *_ in data["pictures"].values())
    assert len({name for name, *_ in data["pictures"].values()}) == 6
    assert data["pictures"]["2,1"][1:] == [90, 90, "A blue line at 1.0, 'n' <{}>."]
    assert data["pictures"]["1,0"][3] == small.img["alt"] == small.figcaption.text
    assert small.img["src"].endswith(data["pictures"]["1,0"][0]) and not small.p
    assert [tag.name for tag in small.find_all(["input", "select"])] == ["input", "select"]
    assert small.output.text == small.input["aria-valuetext"] == "0.50"
    assert small.find("option", selected=True).text == "red" and "hidden" in small.div.attrs
    data = json.loads(large["data-live"])
    assert data["start"] == [6, 0, 1, 1] and len(data["pictures"]) == 1 + 19 + 1 + 1 + 1
    assert "one control at a time" in large.p.text and large.find("input", type="checkbox")
    labels = [label.span.text for label in large.find_all("label")]
    assert labels == ["height", "colour", "low", "bold"]


def test_a_change_is_drawn_again_and_stale_words_stop_the_build(live, monkeypatch):
    root, kept, path = live
    live_pictures.pictures([path], kept=kept)
    [before] = live_pictures.folders([path], kept).values()
    assert before.is_dir()
    text = path.read_text(encoding="utf-8")
    for old, new in (("A red line at 7", "A red dot at 7"), ("axhline(", "nothing(")):
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        [after] = live_pictures.folders([path], kept).values()
        assert after != before and not live_pictures.drawn_before({path: after})
        with pytest.raises(live_pictures.StalePictures, match="01_a"):
            live_pictures.draw_notebook(path, after)
        assert before.is_dir() and not after.exists()
    path.write_text(text, encoding="utf-8")
    monkeypatch.setattr(live_pictures, "version", lambda name: "0")
    assert live_pictures.folders([path], kept) != {path: before}


def test_which_settings_are_drawn():
    assert live_pictures.states([3], (1,)) == [(0,), (2,)]
    assert len(live_pictures.states([6, 10], (0, 0))) == 59
    some = live_pictures.states([61, 2], (4, 1))
    assert len(some) == 61 and (4, 0) in some and (0, 1) in some and (0, 0) not in some
    assert live_pictures.same_words("at 0.12, up", "at 0.13, up")
    assert not live_pictures.same_words("at 0.12, up", "at 0.12, down")


def test_the_online_site_gets_the_notebooks_with_their_packages(tmp_path):
    write(tmp_path)
    build_lite.stage(tmp_path / "contents", tmp_path)
    cells = nbformat.read(tmp_path / "contents/notebooks/01_a.ipynb", as_version=4).cells
    assert [cell.id for cell in cells] == ["opening", "packages", "figure"]
    files = [tmp_path / "contents" / name for name in ("rrnn_helpers.py", "rrnn/layers.py")]
    assert cells[1].source.startswith("%pip install") and all(file.is_file() for file in files)
