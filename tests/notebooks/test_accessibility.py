"""Figures and controls for people who see little, few colours or nothing: the palette, what the
code draws, and planted faults for the rules of accessibility.py."""

import itertools
import re

import ipywidgets as widgets
import numpy as np
import pytest
from accessibility import GRAPHICS, GRID, contrast, linear, picture_faults, watch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from notebook_files import ROOT

import rrnn_helpers as rh

LEAST_DISTANCE = 15  # CIELAB; Okabe and Ito's seven colours on white come to 16

# Machado, Oliveira and Fernandes 2009, severity 1: what is left of linear RGB.
SIGHT = {
    "all colours": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                   [0.004733, 0.691367, 0.3039]],
}  # fmt: skip
XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175],
                [0.0193339, 0.119192, 0.9503041]])  # fmt: skip


def lab(light):
    """CIELAB of linear RGB, under the white of sRGB."""
    x, y, z = XYZ @ light / XYZ.sum(axis=1)
    x, y, z = (np.cbrt(t) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116 for t in (x, y, z))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def closest(colours, sight):
    """The smallest distance of two of the colours for such eyes."""
    seen = [lab(np.clip(SIGHT[sight] @ linear(to_rgb(colour)), 0, 1)) for colour in colours]
    return min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2))


def test_contrast():
    for colour, ratio in (("black", 21), ("white", 1), ("#767676", 4.54), ("#FF0000", 4.00)):
        assert contrast(to_rgb(colour), (1, 1, 1)) == pytest.approx(ratio, abs=0.005)


def test_distances():
    assert closest(["black", "white"], "all colours") == pytest.approx(100, abs=0.1)
    assert closest(["#D55E00", "#8F8F00"], "deuteranopia") < LEAST_DISTANCE
    assert closest(["red", "green"], "all colours") > LEAST_DISTANCE


def test_palette_stands_out_on_white():
    assert min(contrast(to_rgb(colour), (1, 1, 1)) for colour in rh.COLOURS) >= GRAPHICS


@pytest.mark.parametrize("sight", SIGHT)
def test_palette_stays_apart(sight):
    assert len(rh.COLOURS) == 7 and closest(rh.COLOURS, sight) >= LEAST_DISTANCE


# What the module draws


STEPS = np.arange(1, 30)
LEVELS = {"chance": 3, "guess": 5, "rule": 7}


def curves(count):
    return {f"model {i}": [(STEPS, STEPS + i), (STEPS, STEPS[::-1] + i)] for i in range(count)}


def intervals(count):
    models = {f"model {i}": [i, i + 1, i + 2.5] for i in range(count)}
    return {f"task {k}": models for k in range(4)}


PLOTS = {
    "plot_attention": [
        ((np.linspace(0, 1, 84).reshape(2, 6, 7),), {}),  # each shade, with its number
        ((np.linspace(0, 1, 3).reshape(1, 1, 3),), {"keys": ["a", "b", "in"], "titles": ["one"]}),
        ((np.full((2, 9, 10), 0.5),), {"queries": list("abcdefghi")}),
    ],
    "plot_memory": [
        ((np.linspace(-2, 2, 60).reshape(5, 3, 4),), {"columns": 2}),
        ((np.zeros((1, 1, 64)),), {"titles": ["start"]}),
    ],
    "plot_curves": [
        ((curves(count),), {"xlabel": "step", "ylabel": "loss", "levels": levels, "yscale": yscale})
        for count, levels, yscale in ((1, None, "linear"), (7, LEVELS, "log"), (16, {}, "linear"))
    ],
    "plot_intervals": [
        ((intervals(count),), {"xlabel": "score", "columns": columns, "levels": {"task 1": LEVELS}})
        for count, columns in ((1, 4), (2, 3), (9, 1))
    ],
}  # fmt: skip
STORIES = ROOT / "tests" / "fixtures" / "babi"
TASKS = [
    rh.NthFarthest(3, 2), rh.NthFarthest(12, 2), rh.NthFarthest(8, 16), rh.PairMatching(2, 4),
    rh.PairMatching(8, 16), rh.Sorting(2, 4), rh.Sorting(16, 32), rh.ObjectTracking(1, 2, 1),
    rh.ObjectTracking(9, 8, 30), rh.StoryQA(), rh.StoryQA(2, 1, 3, 4), rh.StoryQA(4, 4, 9, 60),
    rh.ProgramEvaluation("copy", 1, 5), rh.ProgramEvaluation("add", 1, 3),
    rh.ProgramEvaluation("program", 3, 3), rh.BabiQA(STORIES, 1), rh.BabiQA(STORIES, 8),
    rh.CharacterText(steps=20), rh.CharacterText(),
]  # fmt: skip


def test_every_figure_of_the_module_is_looked_at():
    assert set(PLOTS) == {name for name in rh.__all__ if name.startswith("plot_")}
    drawn = {thing for thing in vars(rh).values() if hasattr(thing, "draw")}
    assert {type(task) for task in TASKS} == drawn


@pytest.mark.parametrize("name", PLOTS)
def test_plots(name):
    for arguments, options in PLOTS[name]:
        assert picture_faults(getattr(rh, name)(*arguments, **options)) == []


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_tasks(task):
    for inputs in task.sample(3, np.random.default_rng(0)).inputs:
        assert picture_faults(task.draw(inputs)) == []


# The rules themselves: what each must find, and must leave alone, on a figure without faults


BLUE, RED, *_ = rh.COLOURS
X = [0, 1, 2]


def figure_with(change):
    figure = Figure(figsize=(4, 3), layout="constrained")
    axis = figure.subplots()
    axis.plot(X, X, color=BLUE, marker="o", label="one")
    axis.plot(X, [2, 1, 0], color=RED, marker="s", label="two")
    axis.set(xlabel="step", ylabel="loss", title="a panel")
    change(axis)
    return figure


def bars(axis, **looks):
    axis.clear()
    axis.bar(X, [1, 2, 3], color=[BLUE, RED, RED], **looks)
    axis.set(xlabel="model", ylabel="share")


def colour_bar(axis, **label):
    axis.figure.colorbar(axis.imshow([[0, 1]], cmap="cividis"), **label)


def shade(axis, colour):
    colour_bar(axis, label="weight")
    axis.text(1, 0, "word", color=colour, ha="center")  # on bright yellow


def box(colour):
    return {"facecolor": colour, "edgecolor": "none"}


FAULTS = [
    ("Line2D .* has contrast", "pale line", lambda axis: axis.plot(X, X, "^-", color="#AAAAAA")),
    ("Line2D .* has contrast", "see-through", lambda axis: axis.plot(X, X, "^-", c=RED, alpha=0.4)),
    ("Line2D .* has contrast", "pale marker", lambda axis: axis.plot(X, X, "^", color="#E69F00")),
    ("Line2D .* has contrast", "pale level", lambda axis: axis.axhline(1, color="#CCCCCC")),
    ("LineCollection .* has contrast", "pale interval",
     lambda axis: axis.errorbar(1, 1, 1, fmt="k^", ecolor="pink")),
    ("PathCollection .* has contrast", "pale points", lambda axis: axis.scatter(X, X, c="yellow")),
    ("PathCollection .* has contrast", "one pale point",
     lambda axis: axis.scatter(X, X, color=[BLUE, BLUE, "yellow"])),
    ("Rectangle .* has contrast", "pale bars", lambda axis: axis.bar(X, X, color="#DDDDDD")),
    ("Polygon .* has contrast", "pale steps",
     lambda axis: axis.hist(X, histtype="step", color="pink", label="steps")),
    ("Line2D .* has contrast", "dark panel", lambda axis: axis.set_facecolor("#333333")),
    ("'words' has contrast", "grey on white", lambda axis: axis.text(1, 0, "words", c="#888888")),
    ("'words' has contrast", "grey on grey",
     lambda axis: axis.text(1, 0, "words", color="#555555", bbox=box("#AAAAAA"))),
    ("'words' has contrast", "transparent", lambda axis: axis.text(1, 0, "words", alpha=0.4)),
    ("'words' has contrast", "large", lambda axis: axis.text(1, 0, "words", c="#AAAAAA", size=20)),
    ("'word' has contrast", "white on yellow", lambda axis: shade(axis, "white")),
    ("'0.5' has contrast", "ticks", lambda axis: axis.tick_params(labelcolor="#999999")),
    ("'one' has contrast", "legend", lambda axis: axis.legend(labelcolor="#999999")),
    ("'a panel' has contrast", "title", lambda axis: axis.title.set_color("silver")),
    ("outside the figure", "outside",
     lambda axis: axis.annotate("words", (0, 0), (0, -500), annotation_clip=False,
                                textcoords="offset points", in_layout=False)),
    ("outside the figure", "cut off", lambda axis: axis.figure.text(0.8, 0.02, "words cut off")),
    ("only the colour tells", "two lines", lambda axis: axis.lines[1].set_marker("o")),
    ("only the colour tells", "labelled bars",
     lambda axis: [axis.bar(X, X, color=c, label=c) for c in (BLUE, RED)]),
    ("only the colour tells", "points", lambda axis: [axis.scatter(X, [3, y, 3], color=c)
                                                      for y, c in ((4, "black"), (5, "brown"))]),
    ("only the colour tells", "bars", lambda axis: (bars(axis), axis.set_xticks([]))),
    ("the x axis of 'a panel'", "x", lambda axis: axis.set_xlabel("")),
    ("the y axis of 'a panel'", "y", lambda axis: axis.set_ylabel("")),
    ("colour bar has no label", "scale", colour_bar),
]  # fmt: skip
NO_FAULTS = {
    "nothing": lambda axis: None,
    "grid": lambda axis: (axis.grid(alpha=0.3), axis.axhline(1, color="#DDDDDD", gid=GRID)),
    "large text": lambda axis: axis.text(1, 0, "words", color="#888888", size=18),
    "bold text": lambda axis: axis.text(1, 0, "words", color="#888888", size=14, weight="bold"),
    "white in a dark box": lambda axis: axis.text(1, 0, "words", c="white", bbox=box("#333333")),
    "black on yellow": lambda axis: shade(axis, "black"),
    "pale with an edge": lambda axis: axis.scatter(X, X, facecolor="yellow", edgecolor="black"),
    "other dashes": lambda axis: axis.lines[1].set(marker="o", linestyle="--"),
    "bars with names": lambda axis: (bars(axis), axis.set_xticks(X, ["a", "b", "c"])),
    "bars with hatches": lambda axis: bars(axis, hatch=["", "//", "//"]),
    "points with names": lambda axis: [
        (axis.scatter(1, y, color=c), axis.annotate(c, (1, y), (5, 5), textcoords="offset points"))
        for y, c in ((5, "black"), (9, "brown"))
    ],
    "no axes": lambda axis: (axis.set(xlabel="", ylabel=""), axis.set_axis_off()),
    "no ticks": lambda axis: axis.set(xlabel="", ylabel="", xticks=[], yticks=[]),
    "words for ticks": lambda axis: (axis.set_xlabel(""), axis.set_xticks([0], ["start"])),
    "labels of the figure": lambda axis: (
        axis.set(xlabel="", ylabel=""), axis.figure.supxlabel("step"), axis.figure.supylabel("loss")
    ),
}  # fmt: skip


@pytest.mark.parametrize(("words", "name", "change"), FAULTS, ids=[name for _, name, _ in FAULTS])
def test_a_planted_fault_is_found(words, name, change):
    assert re.search(words, "\n".join(picture_faults(figure_with(change))))


@pytest.mark.parametrize("change", NO_FAULTS.values(), ids=NO_FAULTS)
def test_what_can_be_seen_is_no_fault(change):
    assert picture_faults(figure_with(change)) == []


SLIDER = {"value": 1, "min": 0, "max": 3}


@pytest.mark.parametrize(
    ("said", "change", "alt", "control"),
    [
        (None, None, "At {a}.", (0, 3)),
        ("'one' and 'two'", lambda axis: axis.lines[1].set_marker("o"), "At {a}.", (0, 3)),
        ("no description", None, "At {a}.", widgets.IntSlider(**SLIDER, description=" ")),
        ("does not show its value", None, "At {a}.", widgets.IntSlider(**SLIDER, readout=False)),
        ("the same words: Lines", None, "Lines.", (0, 3)),
        ("the same words: At 3", None, "At {a!s:.1}.", [1, 31, 32]),
    ],
    ids=["good", "figure", "nameless", "without value", "mute", "mute between two values"],
)
def test_watch(monkeypatch, said, change, alt, control):
    def use():
        figure = figure_with(change or NO_FAULTS["nothing"])
        live = rh.LiveFigure(lambda a: figure, lambda a: alt.format(a=a), a=control)
        moved = live.controls["a"]
        for value in getattr(moved, "options", None) or (moved.min, moved.max):
            moved.value = value

    watch(monkeypatch.setattr)
    if said is None:
        use()
    else:
        with pytest.raises(AssertionError, match=said):
            use()
