"""The copy for reading holds every figure and every formula, loads nothing from the network, and has no dead link."""

import base64
import re
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup
from fontTools.subset import parse_unicodes
from notebook_files import ROOT, blank_fences, notebook_paths

for package in ("latex2mathml", "ziamath"):
    pytest.importorskip(package, reason="the copy for reading needs the extra called site: pip install -e .[site]")

import build_lite  # noqa: E402
import build_site  # noqa: E402

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR4nGNgYAAAAAMAASsJTYQAAAAASUVORK5CYII="
README = """\
# The series

Read [the first](notebooks/01_a.ipynb#Two-words) and [the code](code.py).

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
    return {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in folder.rglob("*.html")}


def find_loaded(page):
    """What a browser would run, or load from elsewhere."""
    yield from page.find_all(["script", "iframe", "object", "embed"])
    for tag in page.find_all(src=True) + page.find_all("link"):
        if re.match(r"(https?:)?//", tag.get("src") or tag["href"]):
            yield tag


def find_dead_links(path, page, every_page):
    """Addresses on the site that lead nowhere."""
    addresses = [tag.get("href") or tag.get("src") for tag in page.find_all(["a", "link", "img"])]
    for address in addresses:
        parts = urlsplit(address)
        if parts.scheme:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if not target.is_file():
            yield address
        elif parts.fragment and not every_page[target].find(id=unquote(parts.fragment)):
            yield address


def find_page_faults(page):
    """What a page must have, and what must not be left over in it."""
    if page.html["lang"] != "en" or not page.title.text.strip() or not page.find("meta", attrs={"name": "viewport"}):
        yield "no language, title or viewport"
    if any(len(image.get("alt", "").strip()) < 3 for image in page.find_all("img")):
        yield "an image without words"
    names = [tag["id"] for tag in page.find_all(id=True)]
    if len(set(names)) < len(names):
        yield "two tags with one id"
    words = "".join(text for text in page.main.find_all(string=True) if not text.find_parent(["pre", "code"]))
    if re.search(r"\$[^$]*[\\_^][^$]*\$|\\(frac|sum|text)\b", words):
        yield "a formula left as it was written"


def test_every_page_is_whole(site):
    assert len(site) > len(notebook_paths())
    for path, page in site.items():
        assert not list(find_loaded(page)), path.name
        assert not list(find_dead_links(path, page, site)), path.name
        assert not list(find_page_faults(page)), path.name
    [home] = [path for path in site if path.name == "index.html"]
    assert not re.search(r"@import|url\((?!data:)", home.with_name("style.css").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", notebook_paths(), ids=lambda path: path.stem)
def test_every_figure_formula_and_fold_of_a_notebook_is_there(site, path):
    notebook = nbformat.read(path, as_version=4)
    [page] = [page for file, page in site.items() if file.stem == path.stem]
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    figures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert [image["alt"] for image in page.find_all("img")] == [
        figure.metadata["image/png"]["alt"] for figure in figures
    ]
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    prose = re.sub(r"`[^`\n]+`", "", blank_fences(text))
    blocks = prose.count("$$") // 2
    assert len(page.find_all("math", display="block")) == blocks
    assert len(page.find_all("math")) == blocks + prose.replace("$$", "").count("$") // 2
    assert len(page.main.find_all("details")) == text.count("<details")
    font = set(parse_unicodes(build_site.CHARACTERS))
    assert {letter for formula in page.find_all("math") for letter in formula.text if ord(letter) not in font} == set()


# The rest tests the tool on a small series.


def write(root, readme=README, lesson=LESSON):
    """A series of one notebook in the folder root."""
    (root / "notebooks").mkdir()
    picture = nbformat.v4.new_output("display_data", {"image/png": PIXEL, "text/plain": "Figure: a dot"})
    picture.metadata = {"image/png": {"alt": "a small dot"}}
    cells = [
        nbformat.v4.new_markdown_cell(lesson, id="opening"),
        nbformat.v4.new_code_cell("show()", id="figure", outputs=[picture]),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), root / "notebooks" / "01_a.ipynb")
    (root / "README.md").write_text(readme)
    (root / "code.py").write_text("x = 1\n")
    (root / "LICENSE").write_text("free\n")
    (root / "rrnn_helpers.py").write_text("x = 1\n")
    (root / "dot.png").write_bytes(base64.b64decode(PIXEL))
    return root


def test_a_small_series(tmp_path):
    written = build_site.build_all(tmp_path / "out", write(tmp_path))
    every_page = pages(tmp_path / "out")
    assert set(written) == set(every_page) and len(written) == 3
    home, lesson = every_page[tmp_path / "out/index.html"], every_page[tmp_path / "out/notebooks/01_a.html"]
    assert home.nav.a["href"] == "notebooks/01_a.html" and home.nav.a.text == "01. A lesson"
    assert home.main.find_all("a")[1]["href"] == "notebooks/01_a.html#Two-words" and home.img["src"] == "dot.png"
    assert lesson.title.text == "01. A lesson | The series" and lesson.main.a["href"] == "../index.html"
    assert lesson.img["alt"] == "a small dot" and lesson.img["src"].startswith("data:image/png")
    sections = lesson.find("nav", attrs={"aria-label": "Sections"})
    assert [link.text for link in sections.find_all("a")] == ["Two words", '"A" & b']
    fold = lesson.main.details
    assert fold.summary.text == "Solution" and fold.strong.text == "bold" and fold.math and fold.pre
    assert "show" in lesson.main.text and len(lesson.find_all("math")) == 3


@pytest.mark.parametrize(
    "change, words",
    [
        (("README", "(code.py)", "(cod.py)"), "leads to no file"),
        (("README", "(dot.png)", "(../dot.png)"), "leads to no file"),
        (("LESSON", "\\sqrt", "\\squareroot"), "is not known"),
        (("LESSON", "x_1", "x_1_2"), "Double"),
    ],
)
def test_a_text_that_cannot_become_a_page_stops_the_build(tmp_path, change, words):
    texts = {"README": README, "LESSON": LESSON}
    name, old, new = change
    assert old in texts[name]
    texts[name] = texts[name].replace(old, new)
    with pytest.raises(build_site.SiteProblem, match=words):
        build_site.build_all(tmp_path / "out", write(tmp_path, texts["README"], texts["LESSON"]))


@pytest.mark.parametrize(
    "old, new, find",
    [
        ("<main>", '<main><script src="x.js"></script>', lambda path, page, every: find_loaded(page)),
        ("<main>", '<main><img alt="a dot" src="https://x.org/a.png">', lambda path, page, every: find_loaded(page)),
        ("../index.html", "../inde.html", find_dead_links),
        ("../style.css", "../styl.css", find_dead_links),
        ('id="Two-words"', "", find_dead_links),
        (' lang="en"', ' lang=""', lambda path, page, every: find_page_faults(page)),
        ('name="viewport"', "", lambda path, page, every: find_page_faults(page)),
        ("a small dot", "", lambda path, page, every: find_page_faults(page)),
        ("<main>", '<main><p id="Two-words">', lambda path, page, every: find_page_faults(page)),
        ("<main>", "<main>$x_1$", lambda path, page, every: find_page_faults(page)),
    ],
)
def test_a_planted_fault_of_a_page_is_found(tmp_path, old, new, find):
    build_site.build_all(tmp_path / "out", write(tmp_path))
    path = tmp_path / "out/notebooks/01_a.html"
    html = path.read_text()
    every_page = pages(tmp_path / "out")
    assert not list(find(path, every_page[path], every_page))
    assert old in html
    path.write_text(html.replace(old, new))
    every_page = pages(tmp_path / "out")
    assert list(find(path, every_page[path], every_page))


@pytest.mark.parametrize(
    "latex, part",
    [
        (r"\log p", "<mspace"),
        (r"\log(p)", "log</mi><mo"),
        (r"-\infty", "<mi>&#x0221E;</mi>"),
        (r"(-1)", '<mo form="prefix">'),
        (r"(2) - 1", "<mo>&#x02212;</mo>"),
        (r"\lVert x \rVert^2", 'fence="true"'),
        (r"[a : b]", "<mo>:</mo>"),
    ],
)
def test_formulas_are_repaired(latex, part):
    assert part in build_site.Page(ROOT / "README.md", ROOT).formula(latex, "inline")


def test_one_page_from_the_command_line(tmp_path, capsys):
    first = notebook_paths()[0]
    assert build_site.main([str(first), "--out", str(tmp_path)]) == 0
    assert [path.name for path in tmp_path.rglob("*.html")] == [f"{first.stem}.html"]
    assert str(tmp_path) in capsys.readouterr().out


def test_the_online_site_gets_the_notebooks_with_their_packages(tmp_path):
    write(tmp_path)
    build_lite.stage(tmp_path / "contents", tmp_path)
    cells = nbformat.read(tmp_path / "contents/notebooks/01_a.ipynb", as_version=4).cells
    assert [cell.id for cell in cells] == ["opening", "packages", "figure"]
    assert cells[1].source.startswith("%pip install") and (tmp_path / "contents/rrnn_helpers.py").is_file()
