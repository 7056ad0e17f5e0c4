"""Help for the notebooks of the series "Relational Recurrent Neural Networks in NumPy", and their
one import: `import rrnn_helpers as rh`.

First an index: every name of the package rrnn that the notebooks use, and the notebook that teaches
it. The package holds models, gradients, tasks and training; its docstring has the conventions. Then
the help itself: pictures, live figures, tables, sources and claims.
"""

import base64
import html
import inspect
import io
import textwrap
import time
from pathlib import Path

import numpy as np

# 01: attention by hand, and gradients
from rrnn.reference import softmax  # isort: skip
from rrnn.reference import scaled_dot_product_attention, multi_head_attention  # isort: skip
from rrnn.gradcheck import check_gradients  # isort: skip

# 02: the core, from lines to layers
from rrnn.reference import sigmoid, layer_norm, core_step  # isort: skip
from rrnn.attention import Attention  # isort: skip
from rrnn.layers import LayerNorm, Linear, MLP, Residual  # isort: skip
from rrnn.gates import Gates  # isort: skip
from rrnn.core import Block, RelationalMemoryCore  # isort: skip

# 03: a memory beside an LSTM
from rrnn.gates import SlotGate  # isort: skip
from rrnn.cell import GatedMemory, RelationalMemory, RelationalRNN, RelationalRNNCell  # isort: skip

# 04: tasks
from rrnn.model import Batch  # isort: skip
from rrnn.tasks import NthFarthest, ObjectTracking, PairMatching  # isort: skip
from rrnn.tasks import BabiQA, CharacterText, ProgramEvaluation, Sorting, StoryQA  # isort: skip

# 05: the opponent
from rrnn.lstm import LSTM, LSTMLayer, NormedLSTMLayer  # isort: skip
from rrnn.reference import glorot_uniform, orthogonal  # isort: skip

# 06: training
from rrnn.training import Adam, History, evaluate, train  # isort: skip
from rrnn.checkpoints import CheckpointError, load_checkpoint, save_checkpoint  # isort: skip

# 07, 09: experiments
from rrnn.experiments import load_records, run_experiments  # isort: skip
from rrnn.comparison import Climb, Comparison, verdict  # isort: skip
from rrnn.statistics import mean_difference, mean_interval  # isort: skip

# what the help below is made with
from rrnn.checks import Number, Whole, floats  # isort: skip
from rrnn.pictures import COLOURS, MARKERS, Sketch, heat, label_cells, scale, ticks  # isort: skip
from rrnn.pictures import WIDEST, figure as new_figure, ink  # isort: skip

__all__ = [
    "softmax", "sigmoid", "layer_norm", "glorot_uniform", "scaled_dot_product_attention",
    "multi_head_attention", "check_gradients", "core_step", "Attention", "LayerNorm", "Linear",
    "MLP", "Residual", "Gates", "Block", "RelationalMemoryCore", "SlotGate", "GatedMemory",
    "RelationalMemory", "RelationalRNN", "RelationalRNNCell", "Batch", "BabiQA", "CharacterText",
    "NthFarthest", "ObjectTracking", "PairMatching", "ProgramEvaluation", "Sorting", "StoryQA",
    "LSTM", "LSTMLayer", "NormedLSTMLayer", "orthogonal", "Adam", "History", "evaluate", "train",
    "CheckpointError", "load_checkpoint", "save_checkpoint", "load_records", "run_experiments",
    "Climb", "Comparison", "verdict", "mean_difference", "mean_interval",
    "RESULTS", "label_cells", "plot_attention", "plot_memory", "plot_curves", "plot_intervals",
    "show_figure", "show_table", "show_source", "LiveFigure", "Sketch", "about", "claim", "ink",
]  # fmt: skip

ROOT = Path(__file__).resolve().parent
RESULTS = ROOT / "notebooks" / "results"  # what long runs left
LOADED = time.time()
DPI = 90  # pixels an inch of a figure, drawn twice as fine


def plot_attention(weights, *, queries=None, keys=None, titles=None, ylabel="slot that looks",
                   xlabel="row looked at"):  # fmt: skip
    """Attention weights (panels, queries, keys) as one heat map a panel, on one scale from 0 to 1,
    with the numbers in it while they fit. queries, keys and titles are labels. Returns a matplotlib
    Figure. Taught in notebook 01."""
    weights = floats("weights", weights, ("panels", "queries", "keys"))
    panels, rows, columns = weights.shape
    labels = {"queries": (queries, rows), "keys": (keys, columns), "titles": (titles, panels)}
    for name, (given, needed) in labels.items():
        if given is not None and len(given) != needed:
            right = f"{needed}, one for each of weights {weights.shape}"
            raise ValueError(f"{name} must be {right}, got {len(given)}")
    across = ticks(columns) if keys is None else range(columns)
    down = ticks(rows) if queries is None else range(rows)
    keys, queries = across if keys is None else keys, down if queries is None else queries
    width, left = max(2.4, 0.55 * columns + 0.9), 0.6 + 0.08 * max(len(str(q)) for q in queries)
    size = min(WIDEST, width * panels + left + 1.1), max(2.2, 0.45 * rows + 1)
    # All panels in one pair of axes: each further pair costs a reader's redraw about 12 ms.
    figure, (axis,) = new_figure(1, 1, size, left=left, right=1.1)
    starts = np.arange(panels) * columns * 1.08
    for i, (start, panel) in enumerate(zip(starts, weights, strict=True)):
        edges = (start - 0.5, start + columns - 0.5, rows - 0.5, -0.5)
        picture = axis.imshow(panel, vmin=0, vmax=1, cmap="cividis", aspect="auto", extent=edges)
        title = titles[i] if titles is not None else f"head {i}"
        above = {"xytext": (0, 6), "textcoords": "offset points", "ha": "center", "size": 12}
        axis.annotate(title, (start + (columns - 1) / 2, -0.5), **above)
        if size[0] - left - 1.1 >= 0.34 * panels * columns and weights.size <= 84:
            label_cells(axis, panel, left=start)
    axis.set(xlim=(-0.5, starts[-1] + columns - 0.5), ylim=(rows - 0.5, -0.5))
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.set_xticks([start + column for start in starts for column in across], [*keys] * panels)
    axis.set_yticks(down, queries)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    scale(figure, picture, "weight", ticks=(0, 0.5, 1))
    return figure


def plot_memory(memory, *, titles=None, limit=None, columns=8):
    """Memories (panels, slots, slot_size), one heat map a panel on one scale, blue below zero and
    red above. limit is the end of the scale (default: the largest absolute value). Returns a
    matplotlib Figure. Taught in notebook 02."""
    memory = floats("memory", memory, ("panels", "slots", "slot_size"))
    panels, slots, _ = memory.shape
    limit = Number(0, above=True)("limit", limit or float(np.abs(memory).max()) or 1.0)
    columns = min(Whole()("columns", columns), panels)
    if titles is not None and len(titles) != panels:
        raise ValueError(f"titles must be one for each of the {panels} panels, got {len(titles)}")
    rows = -(-panels // columns)
    size = min(WIDEST, 1.9 * columns + 1.8), rows * max(1.7, 0.3 * slots + 1)
    figure, axes = new_figure(rows, columns, size, right=1.1)
    for i, axis in enumerate(axes):
        if i >= panels:
            axis.set_axis_off()
            continue
        edge = i % columns == 0
        picture = heat(axis, memory[i], "number", "slot" if edge else "", -limit, limit)
        axis.set_title(titles[i] if titles is not None else f"step {i + 1}")
    scale(figure, picture, "value")
    return figure


def plot_curves(curves, *, xlabel, ylabel, levels=None, title=None, ylim=None, xscale="linear",
                yscale="linear", legend="best"):  # fmt: skip
    """Curves {name: (x, y)}, or {name: [(x, y), ...]} with a curve for each seed, told apart by
    colour and marker, from the eighth on by line style too. levels {name: y} are dashed lines to
    compare with; legend is matplotlib's loc. Returns a matplotlib Figure. Taught in notebook 06."""
    figure, (axis,) = new_figure(1, 1, (7.5, 4))
    for i, (name, runs) in enumerate(curves.items()):
        look = {"color": COLOURS[i % 7], "marker": MARKERS[i % 7], "markersize": 5}
        look |= {"linestyle": ("-", "--", ":")[i // 7 % 3], "linewidth": 1.4}
        for j, (x, y) in enumerate([runs] if isinstance(runs, tuple) else runs):
            label = name if j == 0 else None
            axis.plot(x, y, **look, markevery=max(1, len(x) // 10), label=label)
    for i, (name, level) in enumerate((levels or {}).items()):
        style = ("--", ":", "-.")[i % 3]
        axis.axhline(level, color="#555555", linestyle=style, linewidth=1.2, label=name)
    axis.set(xscale=xscale, yscale=yscale)  # before the limits, which it would freeze
    axis.set(xlabel=xlabel, ylabel=ylabel, title=title or "", ylim=ylim)
    if xscale == "linear":
        axis.locator_params(axis="x", integer=True)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=9, loc=legend)
    return figure


def plot_intervals(panels, *, xlabel, levels=None, columns=3, xlim=None):
    """A panel for each {title: {name: values}}: for each name its values, one a seed, as small
    rings, and their mean with its 95% interval (mean_interval). levels {title: {name: x}} are lines
    to compare with; xlim is one for all panels, or {title: limits}. Returns a matplotlib Figure.
    Taught in notebook 07."""
    names = list(dict.fromkeys(name for groups in panels.values() for name in groups))
    columns = min(Whole()("columns", columns), len(panels))
    rows = -(-len(panels) // columns)
    margin = 0.3 + 0.085 * max(map(len, names))
    size = (min(WIDEST, margin + 3.6 * columns), rows * (1.15 + 0.3 * len(names)))
    figure, axes = new_figure(rows, columns, size, left=margin, gap=0.25)
    for i, (axis, title) in enumerate(zip(axes, panels, strict=False)):
        for j, name in enumerate(names):
            if name not in panels[title]:
                continue
            values, colour, marker = panels[title][name], COLOURS[j % 7], MARKERS[j % 7]
            ring = {"color": colour, "markersize": 3.5, "fillstyle": "none"}
            axis.plot(values, np.full(len(values), j + 0.25), "o", **ring)
            mean, low, high = mean_interval(values)
            ends = [[mean - low], [high - mean]]
            axis.errorbar(mean, j - 0.1, xerr=ends, color=colour, marker=marker, capsize=3)
        # a level that an earlier panel has named needs no name here
        shown = {text for other in list(panels)[:i] for text in (levels or {}).get(other, {})}
        for j, (name, level) in enumerate((levels or {}).get(title, {}).items()):
            style = ("--", ":", "-.")[j % 3]
            label = None if name in shown else name
            axis.axvline(level, color="#555555", linestyle=style, linewidth=1.2, label=label)
        if axis.get_legend_handles_labels()[1]:
            axis.legend(fontsize=9)
        lowest = i >= len(panels) - columns
        axis.set(title=title, xlabel=xlabel if lowest else "", ylim=(len(names) - 0.5, -0.5))
        axis.set_xlim(xlim.get(title) if isinstance(xlim, dict) else xlim)
        axis.locator_params(axis="x", nbins=5)
        axis.set_yticks(range(len(names)), names if i % columns == 0 else [""] * len(names))
        axis.grid(axis="x", alpha=0.3)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    return figure


def png(figure, level=6):
    """The figure as PNG, and its width on screen; level 1: a fifth quicker, a fifth larger."""
    file, pack = io.BytesIO(), {"compress_level": level}
    figure.savefig(file, format="png", dpi=2 * DPI, metadata={"Software": None}, pil_kwargs=pack)
    return file.getvalue(), round(DPI * figure.get_figwidth())


def show_figure(figure, alt):
    """Show a matplotlib Figure, with the sentence alt for those who do not see it. Taught in
    notebook 01."""
    from IPython.display import display

    image, width = png(figure)
    picture = {"image/png": image, "text/plain": f"Figure: {alt}"}
    display(picture, raw=True, metadata={"image/png": {"alt": alt, "width": width}})


class LiveFigure:
    """A picture with controls above it: draw(**values) returns a matplotlib Figure, alt(**values)
    one sentence for it.

    Each control is an ipywidgets widget or what ipywidgets.interact takes: (low, high) or (low,
    high, step) a slider, a list a slider over its entries (JupyterLab keeps the arrow keys from
    menus), True or False a box; or (low, high, step, start). Where nothing runs (GitHub, nbviewer,
    print) the picture and the sentence stand still. There is no Output widget in it: nothing
    flickers, and an error in draw is seen. Taught in notebook 01. """

    def __init__(self, draw, alt, **controls):
        import ipywidgets as widgets

        self._draw, self._alt, self._picture = draw, alt, widgets.HTML()
        self.controls = {name: self._control(name, value) for name, value in controls.items()}
        self._refresh()
        for control in self.controls.values():
            control.observe(self._refresh, "value")
        row = widgets.HBox(list(self.controls.values()), layout={"flex_flow": "row wrap"})
        self.widget = widgets.VBox([row, self._picture])

    @staticmethod
    def _control(name, value):
        import ipywidgets as widgets

        start, given = None, value
        if isinstance(value, tuple) and len(value) == 4 and not isinstance(value[0], str):
            value, start = value[:3], value[3]
        is_widget = isinstance(value, widgets.Widget)
        control = value if is_widget else widgets.interactive.widget_from_abbrev(value)
        if isinstance(control, widgets.Dropdown):
            control = widgets.SelectionSlider(options=control.options, value=control.value)
        if control is None or (start is not None and not control.min <= start <= control.max):
            right = "a widget, (low, high, ...), a list or a bool"
            raise ValueError(f"control {name} must be {right}, got {given!r}")
        control.value = control.value if start is None else start
        control.description = control.description or name.replace("_", " ")
        # ipywidgets 7 (Colab) has none
        control.tooltip = getattr(control, "tooltip", None) or control.description
        control.style.description_width = "initial"
        if hasattr(control, "continuous_update"):
            control.continuous_update = False
        return control

    def _refresh(self, change=None):
        values = {name: control.value for name, control in self.controls.items()}
        (self._image, self._width), self._text = png(self._draw(**values), 1), self._alt(**values)
        source = base64.b64encode(self._image).decode()
        alt = html.escape(self._text)
        self._picture.value = (f'<img alt="{alt}" width="{self._width}" '
                               f'src="data:image/png;base64,{source}">')

    def _repr_mimebundle_(self, **options):
        # ipywidgets 7 has no bundle of its own
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        data = {"application/vnd.jupyter.widget-view+json": view}
        still = {"text/plain": f"Interactive figure: {self._text}"}
        still |= {"image/png": base64.b64encode(self._image).decode()}
        return data | still, {"image/png": {"alt": self._text, "width": self._width}}


def show_source(*objects):
    """Show the source of functions or classes where it stands, with its file and line. Raises
    RuntimeError if the file was changed after it was imported. Taught in notebook 01."""
    from IPython.display import Markdown, display

    for thing in objects:
        path = Path(inspect.getsourcefile(thing)).resolve()
        if path.stat().st_mtime > LOADED:
            text = "was changed after it was imported, so this is not what runs: restart the kernel"
            raise RuntimeError(f"{path.name} {text}")
        code, line = inspect.getsourcelines(thing)
        where = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
        code = textwrap.dedent("".join(code)).rstrip()
        head = f"`{thing.__qualname__}` in `{where}`, line {line}:"
        display(Markdown(f"{head}\n\n```python\n{code}\n```"))


def show_table(rows, heads):
    """A table of rows, each as long as heads, as Markdown, for the last line of a cell: numbers
    should be rounded text. Raises ValueError for a row of another length. Taught in notebook 02."""
    from IPython.display import Markdown

    rows = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    for row in rows:
        if len(row) != len(heads):
            raise ValueError(f"rows must be {len(heads)} long, as heads are, got {row}")
    lines = [heads, ["---"] * len(heads), *rows]
    return Markdown("\n".join(f"| {' | '.join(map(str, line))} |" for line in lines))


def about(value):
    """A measurement as text, "≈ 3e-10": one digit, two from 0.01 on. Another machine may round it
    otherwise, so the tests do not compare what follows the sign. Taught in notebook 01."""
    if value == 0 or 0.01 <= abs(value) < 1000:
        return f"≈ {value:.0f}" if abs(value) >= 10 else f"≈ {value:.2g}"
    return f"≈ {value:.0e}".replace("e-0", "e-").replace("e+0", "e")


def claim(statement, value, *, at_least=None, at_most=None, equal_to=None, tolerance=0.0,
          digits=None):  # fmt: skip
    """Check a number (or all of an array) that the text relies on: prints the statement, the value
    and its bound when it holds, raises AssertionError when not; of an array the value nearest the
    bound. digits: how many decimals every machine reproduces; else a value that is not whole is
    printed as `about` does. Taught in notebook 01."""
    tests = {"at least": at_least, "at most": at_most, "equal to": equal_to}
    tests = {words: Number()(words.replace(" ", "_"), bound) for words, bound in tests.items()
             if bound is not None}  # fmt: skip
    if not tests:
        raise ValueError("claim must be given at_least, at_most or equal_to")
    value = np.asarray(value, dtype=float)
    if not value.size:
        raise ValueError(f"claim must be given a value to check, got none for: {statement}")
    holds = {"at least": np.greater_equal, "at most": np.less_equal}
    holds["equal to"] = lambda value, bound: abs(value - bound) <= tolerance
    nearest = {"at least": value.min(), "at most": value.max()}
    nearest["equal to"] = value.flat[abs(value - (equal_to or 0)).argmax()]
    for words, bound in tests.items():
        if not np.all(holds[words](value, bound)):
            raise AssertionError(f"claim fails: {statement}: {value} is not {words} {bound}")

    def text(number):
        if digits is not None:
            return f"{round(number, digits) + 0.0:.{digits}f}"  # no -0.00
        return f"{number:.0f}" if number == np.round(number) != 0 else about(number)

    shown = " to ".join(dict.fromkeys(text(nearest[words]) for words in tests))
    bounds = " and ".join(f"{words} {bound:g}" for words, bound in tests.items())
    within = f" within {tolerance:g}" if tolerance else ""
    exact = equal_to is not None and not tolerance
    print(f"holds: {statement}: {f'{equal_to:g}' if exact else f'{shown}, {bounds}{within}'}")
