"""What the notebook tests share: where the notebooks are, and how to take their text apart."""

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"

FENCE = re.compile(
    r"^[ \t]*```[ \t]*(?P<language>[\w+-]*)[^\n]*\n(?P<code>.*?)^[ \t]*```[ \t]*$", re.M | re.S
)
DETAILS = re.compile(r"<details\b[^>]*>(?P<body>.*?)</details>", re.I | re.S)
SUMMARY = re.compile(r"<summary\b[^>]*>(?P<title>.*?)</summary>", re.I | re.S)


def notebook_paths(folder=NOTEBOOKS):
    """Every notebook of the folder, in the order of the series."""
    return sorted(folder.glob("*.ipynb"))


def blank_fences(text):
    """The text with its fenced code turned to spaces: positions stay, comments are no headings."""
    return FENCE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def folded_blocks(text):
    """A list of (title, body) of every <details> of the text."""
    blocks = []
    for match in DETAILS.finditer(text):
        summary = SUMMARY.search(match["body"])
        blocks.append((summary["title"].strip() if summary else "", match["body"]))
    return blocks


def solution_code(text):
    """The python code blocks of every folded block of the text that is not a hint, in order."""
    return [
        textwrap.dedent(fence["code"]).strip("\n")
        for title, body in folded_blocks(text)
        if "hint" not in title.lower()
        for fence in FENCE.finditer(body)
        if fence["language"] == "python"
    ]
