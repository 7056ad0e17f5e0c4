"""Pictures, controls and the face of the module: labels, alternative text, import, names and
signatures."""

import base64
import inspect
import re
import subprocess
import sys
import textwrap
from configparser import ConfigParser
from pathlib import Path

import ipywidgets as widgets
import matplotlib
import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib.figure import Figure

import rrnn_helpers as rh

PNG = b"\x89PNG\r\n\x1a\n"


def picture(**values):
    """A figure whose pixels depend on the values."""
    figure = Figure(figsize=(1, 1))
    figure.subplots().set_title(repr(values), fontsize=4)
    return figure


def sentence(**values):
    return f"values {values} & <more>"


def texts(figure):
    figure.canvas.draw()
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


@pytest.fixture
def shown(monkeypatch):
    """The list of (data, metadata) that a test displays, as a notebook would store it."""
    outputs = []

    def display(thing, *, raw=False, metadata=None):
        data = thing if raw else DisplayFormatter().format(thing)[0]
        outputs.append((data, metadata or {}))

    monkeypatch.setattr("IPython.display.display", display)
    return outputs


# plot_*


def test_plot_attention():
    weights = rh.softmax(np.random.default_rng(0).normal(size=(2, 3, 4)))
    figure = rh.plot_attention(weights)
    assert isinstance(figure, Figure)
    maps, bar = figure.axes
    assert maps.get_ylabel() and maps.get_xlabel() and bar.get_ylabel() == "weight"
    ends = -1
    for image, panel in zip(maps.images, weights, strict=True):
        np.testing.assert_allclose(image.get_array(), panel)
        assert image.get_clim() == (0, 1)
        left, right, bottom, top = image.get_extent()
        assert (right - left, bottom - top) == pytest.approx((4, 3)) and left > ends  # side by side
        ends = right
    ticks = dict(zip(maps.get_xticks(), maps.get_xticklabels(), strict=True))
    assert [label.get_text() for label in ticks.values()] == list("01230123")
    written = {text.get_text(): text.get_position() for text in maps.texts}
    x, y = written[f"{weights[1, 1, 2]:.2f}"]
    assert (
        ticks[x].get_text() == "2" and y == 1 and x > left
    )  # each number in its cell of its panel
    labelled = rh.plot_attention(
        weights, queries=list("abc"), keys=list("wxyz"), titles=["one", "two"]
    )
    assert {*"abcwxyz", "one", "two"} <= set(texts(labelled))
    rh.plot_attention(weights[:1, :1, :1]).canvas.draw()
    large = rh.plot_attention(np.zeros((1, 12, 24)))
    assert not {"1", "23"} & set(texts(large)) and {"0", "3", "6", "9", "12", "18"} <= set(
        texts(large)
    )


def test_label_cells():
    axis = Figure().add_subplot()
    rh.label_cells(axis, [[0.0, -0.001], [0.456, 1.0]], left=3, size=9)
    found = {text.get_position(): (text.get_text(), text.get_color()) for text in axis.texts}
    white, black = "white", "black"
    assert found == {
        (3, 0): ("0.00", white), (4, 0): ("0.00", white), (3, 1): ("0.46", white),
        (4, 1): ("1.00", black)
    }  # fmt: skip
    assert {text.get_size() for text in axis.texts} == {9}


def test_plot_memory():
    memory = np.random.default_rng(0).normal(size=(5, 3, 4))
    figure = rh.plot_memory(memory, columns=2)
    assert isinstance(figure, Figure)
    images = [axis.images[0] for axis in figure.axes if axis.images and axis.get_title()]
    assert len(images) == 5
    limit = np.abs(memory).max()
    for image, panel in zip(images, memory, strict=True):
        np.testing.assert_array_equal(image.get_array(), panel)
        assert image.get_clim() == (-limit, limit)
    labels = [(axis.get_xlabel(), axis.get_ylabel()) for axis in figure.axes[:5]]
    assert all(x for x, _ in labels) and labels[0][1] and labels[2][1]
    assert {"value", "step 1", "step 5"} <= set(texts(figure))
    named = rh.plot_memory(memory[:1], titles=["only"], limit=7)
    assert "only" in texts(named) and named.axes[0].images[0].get_clim() == (-7, 7)
    rh.plot_memory(np.zeros((1, 2, 3))).canvas.draw()


def test_plot_curves():
    x = np.arange(5)
    curves = {"one": (x, x), "several": [(x, x + 1), (x, x + 2)]}
    figure = rh.plot_curves(
        curves, xlabel="step", ylabel="loss", levels={"chance": 3.0}, title="t", yscale="log"
    )
    assert isinstance(figure, Figure)
    (axis,) = figure.axes
    assert (axis.get_xlabel(), axis.get_ylabel(), axis.get_title(), axis.get_yscale()) == (
        "step",
        "loss",
        "t",
        "log",
    )
    assert [text.get_text() for text in axis.get_legend().get_texts()] == [
        "one",
        "several",
        "chance",
    ]
    one, first, second, level = axis.lines
    assert first.get_color() == second.get_color() != one.get_color()
    assert first.get_marker() == second.get_marker() != one.get_marker()  # not by colour alone
    np.testing.assert_array_equal(second.get_ydata(), x + 2)
    assert set(level.get_ydata()) == {3.0} and level.get_linestyle() != "-"


def test_plot_intervals():
    panels = {
        "A": {"one": [0.1, 0.2, 0.6], "two": [0.5, 0.5]},
        "B": {"two": [0.7, 0.8]},
        "C": {"one": [0.0, 1.0]},
    }
    levels = {"A": {"chance": 0.3}, "B": {"chance": 0.4, "rule": 0.45}}
    figure = rh.plot_intervals(
        panels, xlabel="accuracy", levels=levels, columns=2, xlim={"A": (-1, 2)}
    )
    a, b, c, rest = figure.axes
    assert [axis.get_title() for axis in (a, b, c)] == ["A", "B", "C"] and not rest.axison
    assert [text.get_text() for text in a.get_yticklabels()] == ["one", "two"]
    assert (a.get_xlabel(), b.get_xlabel(), c.get_xlabel()) == ("", "accuracy", "accuracy")
    np.testing.assert_array_equal(a.lines[0].get_xdata(), [0.1, 0.2, 0.6])  # the seeds
    np.testing.assert_allclose(
        np.asarray(a.containers[0].lines[0].get_xdata(), float), [0.3]
    )  # their mean
    _, low, high = rh.mean_interval([0.1, 0.2, 0.6])
    (bar,) = a.containers[0].lines[2]
    np.testing.assert_allclose(bar.get_segments()[0][:, 0], [low, high])
    assert a.get_ylim()[0] > a.get_ylim()[1]  # the first name on top
    markers = {
        name: axis.containers[0].lines[0].get_marker() for name, axis in (("one", a), ("two", b))
    }
    assert markers["one"] != markers["two"]  # not by colour alone
    assert a.get_xlim() == (-1, 2)
    legends = [[text.get_text() for text in axis.get_legend().get_texts()] for axis in (a, b)]
    assert legends == [["chance"], ["rule"]] and c.get_legend() is None  # a line is explained once


def test_pictures_leave_pyplot_alone():
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    rh.plot_memory(np.zeros((1, 2, 3)))
    rh.LiveFigure(picture, sentence, a=True)
    assert plt.get_fignums() == before


def test_show_figure_says_what_is_to_be_seen(shown):
    rh.show_figure(picture(), "Two lines that cross.")
    ((data, metadata),) = shown
    assert data["text/plain"] == "Figure: Two lines that cross."
    assert metadata["image/png"]["alt"] == "Two lines that cross."
    png = data["image/png"]
    assert (png if isinstance(png, bytes) else base64.b64decode(png)).startswith(PNG)


# LiveFigure


def bundle(figure):
    data, metadata = figure._repr_mimebundle_()
    return data, metadata


def html_of(figure):
    """The HTML widget below the controls, wherever it hangs."""
    found, rest = [], [figure.widget]
    while rest:
        widget = rest.pop()
        rest += getattr(widget, "children", ())
        found += [widget] if isinstance(widget, widgets.HTML) else []
        assert not isinstance(widget, widgets.Output)
    (html,) = found
    return html.value


def test_live_figure_shows_a_picture_without_a_kernel():
    figure = rh.LiveFigure(picture, sentence, slots=(1, 4), on=True)
    data, metadata = bundle(figure)
    values = {name: control.value for name, control in figure.controls.items()}
    assert data["text/plain"] == f"Interactive figure: {sentence(**values)}"
    assert base64.b64decode(data["image/png"]).startswith(PNG)
    assert metadata["image/png"]["alt"] == sentence(**values)
    view = data["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == figure.widget.model_id
    assert DisplayFormatter().format(figure)[0] == data  # what IPython finds


def test_live_figure_follows_its_controls():
    figure = rh.LiveFigure(picture, sentence, slots=(1, 4), gate=["unit", "memory"])
    before, html = bundle(figure)[0], html_of(figure)
    figure.controls["slots"].value = 4
    figure.controls["gate"].value = "memory"
    after, metadata = bundle(figure)
    expected = sentence(slots=4, gate="memory")
    assert after["text/plain"].endswith(expected) and metadata["image/png"]["alt"] == expected
    assert after["image/png"] != before["image/png"] and html_of(figure) != html
    assert after["image/png"] in html_of(figure)  # the live picture is the one in the bundle
    alt = re.search('<img[^>]* alt="([^"]*)"', html_of(figure))[1]
    assert "&lt;more&gt;" in alt and "&amp;" in alt and "memory" in alt
    figure.controls["slots"].value, figure.controls["gate"].value = 2, "unit"
    assert bundle(figure)[0]["image/png"] == before["image/png"]  # the same values, the same bytes


def test_live_figure_draws_once_a_move():
    calls = []

    def draw(**values):
        calls.append(values)
        return picture()

    figure = rh.LiveFigure(draw, sentence, a=(0, 9))
    assert len(calls) == 1
    figure.controls["a"].value = 7
    assert [call["a"] for call in calls[1:]] == [7]
    bundle(figure)
    assert len(calls) == 2


@pytest.mark.parametrize("where", ["draw", "alt"])
def test_an_error_in_draw_or_alt_is_seen(where):
    def fail(**values):
        if values["a"] == 3:
            raise ZeroDivisionError("from " + where)
        return picture() if where == "draw" else "fine"

    parts = (fail, sentence) if where == "draw" else (picture, fail)
    figure = rh.LiveFigure(*parts, a=(0, 5, 1, 1))
    with pytest.raises(ZeroDivisionError, match=where):
        figure.controls["a"].value = 3
    with pytest.raises(ZeroDivisionError, match=where):
        rh.LiveFigure(*parts, a=(3, 5, 1, 3))


@pytest.mark.parametrize(
    ("given", "kind", "value"),
    [
        ((0, 10), widgets.IntSlider, 5), ((0, 10, 2), widgets.IntSlider, 4), ((0.0, 1.0),
        widgets.FloatSlider, 0.5),
        ((1, 8, 1, 7), widgets.IntSlider, 7), ((0.0, 2.0, 0.5, 1.5), widgets.FloatSlider, 1.5),
        ([2, 4, 8], widgets.SelectionSlider, 2),
        (["unit", "memory", None], widgets.SelectionSlider, "unit"),
        (True, widgets.Checkbox, True), (False, widgets.Checkbox, False),
        (widgets.IntText(value=3, description="mine"), widgets.IntText, 3),
    ],
    ids=str,
)  # fmt: skip
def test_controls(given, kind, value):
    figure = rh.LiveFigure(picture, sentence, num_slots=given)
    control = figure.controls["num_slots"]
    assert type(control) is kind and control.value == value
    assert control.description == ("mine" if kind is widgets.IntText else "num slots")
    assert (
        getattr(control, "continuous_update", False) is False
    )  # one picture a move, not a hundred
    assert control.tooltip


@pytest.mark.parametrize("value", [None, object(), 3 + 4j], ids=str)
def test_a_control_that_is_none(value):
    with pytest.raises((ValueError, TypeError), match="slots"):
        rh.LiveFigure(picture, sentence, slots=value)


def test_live_figure_without_controls():
    assert bundle(rh.LiveFigure(picture, sentence))[0]["text/plain"].endswith(sentence())


# show_source and claim


def test_show_source_is_the_source(shown):
    rh.show_source(rh.softmax, rh.LSTM, rh.LSTM.forward)
    for (data, _), thing in zip(shown, (rh.softmax, rh.LSTM, rh.LSTM.forward), strict=True):
        where, code = data["text/markdown"].split("\n\n", 1)
        path = Path(inspect.getsourcefile(thing)).relative_to(Path(rh.__file__).parent)
        line = inspect.getsourcelines(thing)[1]
        assert where == f"`{thing.__qualname__}` in `{path.as_posix()}`, line {line}:"
        assert code == f"```python\n{textwrap.dedent(inspect.getsource(thing)).rstrip()}\n```"


def test_show_source_says_when_the_file_is_newer_than_what_runs(shown, monkeypatch):
    monkeypatch.setattr(rh, "LOADED", 0.0)
    with pytest.raises(RuntimeError, match="reference.py was changed .* restart"):
        rh.show_source(rh.softmax)
    assert not shown


def test_show_table():
    table = rh.show_table([["a|b", 1], ["c", "2.50"]], ["name", "number"]).data
    lines = ["| name | number |", "| --- | --- |", "| a\\|b | 1 |", "| c | 2.50 |"]
    assert table.split("\n") == lines
    with pytest.raises(ValueError, match="rows must be 2 long"):
        rh.show_table([["a"]], ["name", "number"])


@pytest.mark.parametrize(
    ("value", "bounds", "said"),
    [
        (3, {"at_least": 3}, "3, at least 3"), (2, {"at_most": 3}, "2, at most 3"),
        (744, {"equal_to": 744}, "744"), (0, {"equal_to": 0}, "0"),
        (0, {"at_most": 0.1}, "≈ 0, at most 0.1"),
        (3, {"at_least": 1, "at_most": 5}, "3, at least 1 and at most 5"),
        ([0.2, 0.4], {"at_least": 0, "at_most": 1}, "≈ 0.2 to ≈ 0.4, at least 0 and at most 1"),
        ([0.31, 0.72], {"at_least": 0.3}, "≈ 0.31, at least 0.3"),
        ([0.31, 0.72], {"at_most": 0.8}, "≈ 0.72, at most 0.8"),
        (3.3e-10, {"at_most": 1e-6}, "≈ 3e-10, at most 1e-06"),
        (-2e-5, {"at_most": 0}, "≈ -2e-5, at most 0"),
        (12345.6, {"at_least": 1}, "≈ 1e4, at least 1"),
        (0.8134, {"at_least": 0.8, "digits": 2}, "0.81, at least 0.8"),
        (-1e-9, {"at_most": 0, "digits": 2}, "0.00, at most 0"),
        ([3.05, 2.92], {"equal_to": 3, "tolerance": 0.1}, "≈ 2.9, equal to 3 within 0.1"),
    ],
)  # fmt: skip
def test_claims_that_hold(capsys, value, bounds, said):
    rh.claim("the number is right", value, **bounds)
    assert capsys.readouterr().out == f"holds: the number is right: {said}\n"


def test_what_follows_the_sign_is_not_compared():
    config = ConfigParser(interpolation=None)
    config.read(Path(rh.__file__).parent / "tests" / "nbval_sanitize.cfg")
    rules = [(config[name]["regex"], config[name]["replace"]) for name in config.sections()]

    def compared(text):
        for pattern, replacement in rules:
            text = re.sub(pattern, replacement, text)
        return text

    values = (3.3e-10, -2.1e-5, 0.123, 0, 12345.6, 1e22)
    said = {compared(f"{rh.about(value)}, at most 1e-06") for value in values}
    # the ends of a range, which another machine may round to one number
    said.add(compared(f"{rh.about(0.494)} to {rh.about(0.5)}, at most 1e-06"))
    assert said == {"≈ NUMBER, at most 1e-06"}


@pytest.mark.parametrize(
    ("value", "bounds"),
    [
        (3, {"at_least": 4}), (3, {"at_most": 2}), (3, {"equal_to": 3.1}),
        (3.2, {"equal_to": 3, "tolerance": 0.1}),
        (9, {"at_least": 1, "at_most": 5}), ([1, 2], {"at_least": 2}), (np.nan, {"at_least": 0}),
        (np.nan, {"equal_to": 0}),
        (np.nan, {"at_most": 0}), (-1, {"at_least": 0}),
    ],
)  # fmt: skip
def test_claims_that_do_not_hold(capsys, value, bounds):
    with pytest.raises(AssertionError, match="the number is right"):
        rh.claim("the number is right", value, **bounds)
    assert "holds" not in capsys.readouterr().out


# Schematics


def test_a_sketch_joins_what_it_shows():
    sketch = rh.Sketch(4, 2)
    box = sketch.box(1, 1, "$M$", colour=0)
    plus, cells = sketch.circle(2, 1, "+"), sketch.cells(3, 1, [[0, 1], [1, 0]], colour=1)
    for start, end in ((box, plus), (cells, plus), ((0, 0), box)):
        sketch.arrow(start, end, "words", bend=0.2, dashed=True)
    texts = [text.get_text() for text in sketch.axis.texts]
    assert texts == ["$M$", "+", "0", "1", "1", "0", *["", "words"] * 3]
    arrows = [text.arrow_patch for text in sketch.axis.texts if text.get_text() == ""]
    assert [(arrow.patchA, arrow.patchB) for arrow in arrows] == [
        (box[1], plus[1]), (cells[1], plus[1]), (None, box[1]),
    ]  # fmt: skip
    assert rh.png(sketch.figure)[0].startswith(PNG)


# The module as a whole


def test_importing_it_is_cheap():
    code = "import sys, rrnn_helpers; print(*(name for name in sys.modules if '.' not in name))"
    root = Path(rh.__file__).parent
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True
    )
    assert loaded.stderr == ""
    assert not {"matplotlib", "ipywidgets", "IPython", "tqdm", "scipy"} & set(loaded.stdout.split())
    assert "numpy" in loaded.stdout.split()


MODEL_METHODS = """
    forward(self, sequence, return_sequences=True, return_state=False, state=None)
    trace(self, sequence, state=None)
    loss_and_grads(self, batch, workers=1)
"""
SIGNATURES = """
    softmax(x, axis=-1)
    sigmoid(x)
    layer_norm(x, gain, bias)
    check_gradients(model, batch, *, per_parameter=None, step=1e-05, rng=None)
    scaled_dot_product_attention(q, k, v, mask=None)
    multi_head_attention(x, memory, params, num_heads, mask=None)
    RelationalMemoryCore(input_size, output_size, num_slots=4, slot_size=64, num_heads=4, *, mlp_layers=2, num_blocks=1, gate_style='unit', qkv_norm=True, initial_memory='identity', forget_bias=1.0, input_bias=0.0, readout_sizes=(), seed=0, dtype=float32, attend_to='all', share_blocks=False)
    RelationalMemory(num_slots, slot_size, num_heads, input_size=None, *, seed=0, dtype=float32)
    RelationalMemory.initial_memory(self, batch_size, kind='identity')
    RelationalMemory.forward(self, memory, input_vec=None)
    RelationalRNNCell(input_size, hidden_size, num_slots=4, slot_size=64, num_heads=2, *, seed=0, dtype=float32)
    RelationalRNNCell.forward(self, x, h, c, memory)
    RelationalRNN(input_size, hidden_size, output_size, num_slots=4, slot_size=64, num_heads=2, *, initial_memory='identity', readout_sizes=(), seed=0, dtype=float32, use_lstm=True)
    LSTM(input_size, hidden_size, output_size, *, layer_norm=False, readout_sizes=(), seed=0, dtype=float32)
    Batch(inputs, targets)
    NthFarthest(num_vectors=8, num_dims=16, *, labels=None, dims=None)
    PairMatching(num_pairs=4, vocab_size=8)
    ObjectTracking(num_objects=3, grid_size=5, num_steps=8)
    StoryQA(num_people=3, num_objects=2, num_places=5, num_facts=16, *, two_hop=1.0)
    Sorting(length=4, vocab_size=8)
    ProgramEvaluation(kind='add', nesting=1, length=2, *, sizes='mix')
    Adam(flat, learning_rate=0.001, betas=(0.9, 0.999), eps=1e-08)
    Adam.step(self, grad_flat, learning_rate=None)
    train(model, task, steps, *, batch_size=128, learning_rate=0.001, warmup=200, clip_norm=1.0, seed=0, eval_every=500, eval_examples=2000, curriculum=None, patience=None, checkpoint=None, checkpoint_every=500, workers=1, progress=True, schedule='constant')
    evaluate(model, task, examples=10000, seed=1)
    save_checkpoint(path, model, extra=None)
    load_checkpoint(path)
    run_experiments(experiments, executor=None, *, folder=None, progress=True)
    load_records(folder, pattern='*')
    mean_interval(values, confidence=0.95)
    mean_difference(a, b, confidence=0.95)
    LiveFigure(draw, alt, **controls)
"""  # noqa: E501


def signature(path):
    """The signature of rh.path, without annotations, dtypes by their names."""
    thing = rh
    for part in path.split("."):
        thing = getattr(thing, part)
    found = inspect.signature(thing)
    bare = [p.replace(annotation=p.empty) for p in found.parameters.values()]
    plain = str(found.replace(parameters=bare, return_annotation=found.empty))
    return path + re.sub(r"<class 'numpy\.(\w+)'>", r"\1", plain)


@pytest.mark.parametrize(
    "expected", SIGNATURES.split("\n    ")[1:], ids=lambda line: line.split("(")[0]
)
def test_signatures_are_those_of_the_design(expected):
    assert signature(expected.split("(")[0]) == expected.strip()


@pytest.mark.parametrize("model", ["RelationalMemoryCore", "RelationalRNN", "LSTM"])
def test_models_share_one_interface(model):
    for expected in MODEL_METHODS.split("\n    ")[1:]:
        assert signature(f"{model}.{expected.split('(')[0]}") == f"{model}.{expected.strip()}"
