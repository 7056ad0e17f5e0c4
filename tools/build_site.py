"""Build a copy of the series for reading in a browser: static HTML of the stored outputs.

    python tools/build_site.py                                          # all, into build/site
    python tools/build_site.py notebooks/01_multi_head_attention.ipynb  # only this page

The contents page is made from README.md and the titles of the notebooks. The pages load nothing
from the network: pictures are files beside them, formulas are MathML, the style and the font for
formulas are one file. Their one script, reading_copy/live.js, swaps the picture of a figure when
one of its controls moves. For these pictures the notebooks are executed, those that changed
(live_pictures.py); a single page is not, and shows the first picture if they are not there. A link
to a file that is not there, or a formula that cannot be converted, stops the build.
"""

import argparse
import base64
import functools
import html
import io
import os
import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import jinja2
import live_pictures
import nbformat
from fontTools import subset
from latex2mathml.converter import convert
from markupsafe import Markup
from nbconvert import HTMLExporter
from nbconvert.filters.highlight import Highlight2HTML
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments.formatters import HtmlFormatter
from pygments.lexers import find_lexer_class_for_filename

ROOT = Path(__file__).resolve().parent.parent
PARTS = Path(__file__).resolve().parent / "reading_copy"
PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".svg")
# The part of the font that formulas need: a fifth of it
CHARACTERS = (
    "20-7E,A0-FF,391-3F5,2016-2044,2070-209F,20D0-20F0,2100-214F,2190-22FF,2308-230B,23B4-23B7,"
    "23DC-23E1,2500-25FF,27E6-27EF,27F5-27FF,2A00-2A0F,2A7D-2A7E,1D400-1D503,1D538-1D56B,"
    "1D6A4-1D7FF"
)

# What latex2mathml leaves out: (pattern, replacement), first on the LaTeX, then on the MathML
LATEX_REPAIRS = [
    # a thin space between a function and what follows
    (r"(\\(?:log|ln))\s+(?!\\left)(?=[\w\\])", r"\1\\, "),
    (r"\\lVert(.*?)\\rVert", r"\\left\\lVert\1\\right\\rVert"),  # both bars of a norm equally high
]
MATHML_REPAIRS = [
    (r"<mo>(&#x0221E;)</mo>", r"<mi>\1</mi>"),  # infinity is a value, without an operator's space
    (r"<mi>([:;])</mi>", r"<mo>\1</mo>"),  # a colon is an operator
    # a sign
    (
        r"(?<=</mo>)(?<![)\]]</mo>)(?<!&#x00029;</mo>)<mo>&#x02212;</mo>",
        '<mo form="prefix">&#x02212;</mo>',
    ),
]

# A folded cell: its code unfolds.
CELLS = """\
{% extends "basic/index.html.j2" %}
{% block input_group %}
{% if cell.metadata.get("jupyter", {}).get("source_hidden") %}
<details class="code"><summary>Code</summary>{{ super() }}</details>
{% else %}{{ super() }}{% endif %}
{% endblock %}
{% block data_png scoped %}{{ output | picture }}{% endblock %}
"""
LIGHT, DARK = "default", "github-dark"  # the colours of code


class SiteProblem(Exception):
    """A text that cannot become a page."""


def anchor(title, is_notebook):
    """The #name of a heading, as JupyterLab makes it in a notebook and GitHub in a text."""
    return (title if is_notebook else re.sub(r"[^\w -]", "", title.lower())).replace(" ", "-")


def repair(text, repairs):
    """The text after each replacement in turn."""
    for pattern, replacement in repairs:
        text = re.sub(pattern, replacement, text)
    return text


def page_name(path):
    """Where the page of a file or folder stands: README.md is the contents page, a picture stays
    what it is."""
    if path.is_dir():
        return path / "index.html"
    if path.suffix.lower() in PICTURES:
        return path
    if path.name == "README.md":
        return path.with_name("index.html")
    is_text = path.suffix in (".md", ".ipynb")
    return path.with_suffix(".html") if is_text else path.with_name(path.name + ".html")


def title_of(path):
    """The first heading of level 1 of a text or notebook, and otherwise the name of the file."""
    if path.suffix not in (".md", ".ipynb"):
        return path.name
    text = path.read_text(encoding="utf-8")
    text = nbformat.reads(text, as_version=4).cells[0].source if path.suffix == ".ipynb" else text
    return re.search(r"^# (.+)$", text, re.MULTILINE)[1]


@functools.cache
def template(name):
    """One of the templates in reading_copy."""
    loader = jinja2.FileSystemLoader(PARTS)
    options = {"autoescape": True, "trim_blocks": True, "lstrip_blocks": True}
    return jinja2.Environment(loader=loader, **options).get_template(name)


class Page(IPythonRenderer):
    """The HTML of one file or folder below root. It notes its headings, (level, title, anchor), the
    files it links to, and its pictures, {name: bytes}. live is a notebook's figures with controls,
    {cell id: [figure]}, as live_pictures has drawn them."""

    def __init__(self, path, root, live=None):
        super().__init__(escape=False, exclude_anchor_links=True)
        self.file, self.root, self.headings, self.linked = path, root, [], []
        self.folder = path if path.is_dir() else path.parent
        self.live, self.pictures = live or {}, {}
        self.shelf = root / "pictures" / path.stem  # where its pictures stand

    def body(self):
        """What stands between the head and the foot of the page."""
        if self.file.suffix == ".ipynb":
            prompts = {"exclude_input_prompt": True, "exclude_output_prompt": True}
            exporter = HTMLExporter(template_name="basic", raw_template=CELLS, **prompts)
            exporter.register_filter("markdown2html", self.markdown)
            exporter.register_filter("picture", self.picture)
            notebook = nbformat.read(self.file, as_version=4)
            for cell in notebook.cells:
                figures = iter(self.live.get(cell.id, []))
                for output in cell.get("outputs", []):
                    text = output.get("data", {}).get("text/plain", "")
                    if text.startswith(live_pictures.WORDS):
                        output.metadata["live"] = next(figures, None)
            return exporter.from_notebook_node(notebook)[0]
        if self.file.is_dir():
            paths = [path for path in sorted(self.file.iterdir()) if path.name[0] not in "._"]
            links = {path: f"[{path.name}]({path.name})" for path in paths}
            links |= {path: f"`{path.name}`" for path in paths if path.suffix not in ("", ".py")}
            lines = "\n".join(f"- {link}" for link in links.values())
            return self.markdown(f"# {self.file.name}\n\n{lines}")
        text = self.file.read_text(encoding="utf-8")
        if self.file.suffix == ".md":
            return self.markdown(text)
        lexer = find_lexer_class_for_filename(self.file.name)
        return Highlight2HTML(pygments_lexer=lexer.aliases[0] if lexer else "text")(text)

    def picture(self, output):
        """The HTML of a stored picture, with its controls if it has any."""
        facts = output.metadata["image/png"]
        image = base64.b64decode(output.data["image/png"])
        data, size = live_pictures.encode(image, facts.get("width"))
        name = live_pictures.file_name(data)
        self.pictures[name] = data
        shelf, live = relative(self.shelf, self.folder), output.metadata.get("live")
        parts = {"src": f"{shelf}/{name}", "size": size, "alt": facts.get("alt", ""), "live": live}
        if live:
            start = [control["start"] for control in live["controls"]]
            drawn = {",".join(map(str, start)): [name, *size, parts["alt"]], **live["pictures"]}
            texts = [control["texts"] for control in live["controls"]]
            parts["data"] = {"shelf": shelf, "start": start, "texts": texts, "pictures": drawn}
        return Markup(template("figure.html").render(parts))

    def markdown(self, text):
        """The HTML of a markdown text."""
        return MarkdownWithMath(renderer=self).render(text)

    def formula(self, latex, display):
        """MathML, which browsers show by themselves."""
        try:
            mathml = convert(repair(latex.strip(), LATEX_REPAIRS), display=display)
        except Exception as error:  # the errors of latex2mathml have no class in common
            raise SiteProblem(f"{self.file}: {error!r} in the formula {latex}") from error
        if "\\" in mathml:  # an unknown command is passed on as its name
            raise SiteProblem(f"{self.file}: a command is not known in the formula {latex}")
        return repair(mathml, MATHML_REPAIRS)

    def block_math(self, body):
        return f'<div class="formula">{self.formula(body, "block")}</div>'

    def inline_math(self, body):
        return self.formula(body, "inline")

    def latex_environment(self, name, body):
        return self.block_math(rf"\begin{{{name}}}{body}\end{{{name}}}")

    def heading(self, text, level, **attrs):
        title = html.unescape(re.sub(r"<[^>]+>", "", text))
        name = anchor(title, self.file.suffix == ".ipynb")
        self.headings.append((level, title, name))
        return f'<h{level} id="{html.escape(name)}">{text}</h{level}>\n'

    def link(self, text, url, title=None):
        return super().link(text, self.address(url), title)

    def image(self, text, url, title=None):
        return super().image(text, self.address(url), title)

    def address(self, url):
        """The address on the site of what `url` names in the repository; other addresses stay."""
        parts = urlsplit(url)
        if parts.scheme or parts.netloc or not parts.path:
            return url
        target = (self.folder / unquote(parts.path)).resolve()
        if not (target.exists() and target.is_relative_to(self.root)):
            raise SiteProblem(f"{self.file}: the link {url} leads to no file of the repository")
        self.linked.append(target)
        return parts._replace(path=relative(page_name(target), self.folder)).geturl()


def relative(path, folder):
    """The path from folder, with slashes on every system."""
    return Path(os.path.relpath(path, folder)).as_posix()


@functools.cache
def style():
    """The style sheet. The font is part of it: a browser may refuse a font file beside a page that
    came from a disk."""
    folder = Path(find_spec("ziamath").origin).parent  # only its font is wanted
    options = subset.Options(layout_features=["ssty"], name_IDs=["*"], hinting=False, flavor="woff")
    font = subset.load_font(str(folder / "fonts" / "STIXTwoMath-Regular.ttf"), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=subset.parse_unicodes(CHARACTERS))
    subsetter.subset(font)
    data = io.BytesIO()
    subset.save_font(font, data, options)
    source = f"url(data:font/woff;base64,{base64.b64encode(data.getvalue()).decode()})"
    return "\n".join(
        [
            "/* The font is part of STIX Two Math, SIL Open Font License 1.1. */",
            f'@font-face {{ font-family: "Formulas"; src: {source}; }}',
            (PARTS / "style.css").read_text(encoding="utf-8"),
            HtmlFormatter(style=LIGHT).get_style_defs(".highlight"),
            "@media screen and (prefers-color-scheme: dark) {",
            HtmlFormatter(style=DARK).get_style_defs(".highlight"),
            "}",
        ]
    )


def build(paths, out, root=ROOT, live=None):
    """Write the pages of `paths` below `out`, and return where they are. live is what
    live_pictures.pictures returns: without it figures with controls show their first picture."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "style.css").write_text(style(), encoding="utf-8")
    shutil.copyfile(PARTS / "live.js", out / "live.js")
    home, notebooks = root / "README.md", sorted((root / "notebooks").glob("*.ipynb"))
    written = []
    for path in paths:
        target = out / page_name(path).relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() in PICTURES:
            shutil.copyfile(path, target)
            continue
        drawn, figures = (live or {}).get(path, (None, {}))
        page = Page(path, root, figures)
        body = page.body()
        listed = notebooks if path == home else []
        text = template("page.html").render(
            title=title_of(path),
            series=title_of(home),
            home="" if path == home else relative(page_name(home), page.folder),
            style=relative(root / "style.css", page.folder),
            script=relative(root / "live.js", page.folder) if figures else "",
            contents=[(title_of(file), relative(page_name(file), root)) for file in listed],
            sections=[(title, name) for level, title, name in page.headings if level == 2],
            body=body,
        )
        target.write_text(text, encoding="utf-8")
        shelf = out / page.shelf.relative_to(root)
        for name, data in page.pictures.items():
            shelf.mkdir(parents=True, exist_ok=True)
            (shelf / name).write_bytes(data)
        for picture in sorted(drawn.glob("*.webp")) if drawn else []:
            shutil.copyfile(picture, shelf / picture.name)
        written.append((target, page.linked))
    return written


def build_all(out, root=ROOT, live=None):
    """Write the contents page, the notebooks, and every file that they link to."""
    todo = [root / "README.md", *sorted((root / "notebooks").glob("*.ipynb"))]
    done, pages = set(), []
    while todo:
        written = build(todo, out, root, live)
        done.update(todo)
        pages += [target for target, _ in written]
        todo = sorted({path for _, linked in written for path in linked} - done)
    return pages


def main(arguments=None):
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument("paths", nargs="*", type=Path, metavar="FILE", help="default: everything")
    where = ROOT / "build" / "site"
    parser.add_argument("--out", type=Path, default=where, help="default: build/site")
    jobs = "processes that draw pictures (default: one a core)"
    parser.add_argument("--jobs", type=int, help=jobs)
    options = parser.parse_args(arguments)
    paths = [path.resolve() for path in options.paths]
    single = [path for path in paths if path.suffix == ".ipynb"]
    try:
        if paths:
            found = live_pictures.folders(single)
            live = live_pictures.drawn_before(found)
            pages = [page for page, _ in build(paths, options.out, live=live)]
            for path in [path for path in found if path not in live]:
                print(f"{path.name} stands still: make site draws the pictures of its controls")
        else:
            notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
            live = live_pictures.pictures(notebooks, options.jobs)
            pages = build_all(options.out, live=live)
    except (SiteProblem, live_pictures.StalePictures) as problem:
        print(problem, file=sys.stderr)
        return 1
    print(f"{len(pages)} pages. Open {pages[0].resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
