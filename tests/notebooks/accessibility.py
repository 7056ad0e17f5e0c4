"""What can be measured of how well a figure and its controls serve people who see little, few
colours or nothing.

Limits after WCAG 2.2: contrast 4.5:1 for text, 3:1 for large text (1.4.3) and for what carries
meaning (1.4.11); nothing by colour alone (1.4.1). test_accessibility.py uses it on figures of the
module, test_notebook_controls.py on all figures of the notebooks.
"""

import itertools
import re
from collections import defaultdict
from unittest import mock

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.lines import Line2D
from matplotlib.text import Text

import rrnn_helpers as rh

TEXT, LARGE_TEXT, GRAPHICS = 4.5, 3, 3
GRID = "grid"  # the gid of lines that only help the eye, as gridlines do: they may be pale
# Pixels in the box of a text that may be too close to its colour: where it touches a line, an edge.
CROSSED = 0.2
CUT = 2  # pixels that a text may reach out of its figure: its box is wider than its letters
NEAR = 15  # pixels between a text and what it names
POINTS = (LineCollection, PathCollection)
NOTHING = ("None", "", " ", None)  # how matplotlib says that a line or marker is not there


def linear(rgb):
    """sRGB (..., 3) from 0 to 1 as amounts of light."""
    rgb = np.asarray(rgb, float)
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """The ratio of WCAG, from 1 to 21, of sRGB colours (..., 3)."""
    a, b = (linear(colour) @ (0.2126, 0.7152, 0.0722) + 0.05 for colour in (one, other))
    return np.maximum(a, b) / np.minimum(a, b)


def over(colour, behind):
    """The sRGB colour that one with an alpha has on another."""
    *rgb, alpha = colour
    return alpha * np.array(rgb) + (1 - alpha) * np.asarray(behind)


def draw_without_texts(figure):
    """The pixels (height, width, 3) of a figure without the glyphs of its texts, and the texts."""
    texts, draw, canvas = [], Text.draw, FigureCanvasAgg(figure)
    no_glyphs = mock.patch.object(RendererAgg, "draw_text", lambda *a, **k: None)

    def note(text, renderer):
        if text.get_visible() and text.get_text().strip():
            texts.append(text)
        draw(text, renderer)

    with mock.patch.object(Text, "draw", note), no_glyphs:
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3] / 255, texts


def pale_texts(pixels, texts):
    for text in texts:
        box, (height, width, _) = text.get_window_extent(), pixels.shape
        (left, right), (low, high) = np.rint([box.intervalx, box.intervaly]).astype(int)
        if min(left, low) < -CUT or right > width + CUT or high > height + CUT:
            yield f"text {text.get_text()!r} lies outside the figure, or a part of it does"
            continue
        behind = pixels[max(0, height - high) : height - max(0, low), max(0, left) : right]
        colour = over(to_rgba(text.get_color(), text.get_alpha()), behind.reshape(-1, 3))
        ratio = np.quantile(contrast(colour, behind.reshape(-1, 3)), CROSSED)
        bold = text.get_fontweight() in ("bold", "heavy", "black") or text.get_fontweight() == 700
        least = LARGE_TEXT if text.get_size() >= (14 if bold else 18) else TEXT
        if ratio < least:
            found = f"has contrast {ratio:.2f}:1 with what is behind it, less than {least}:1"
            yield f"text {text.get_text()!r} {found}"


def marks(axis):
    """What carries meaning: lines, markers, points, bars, and patches with a label. Heat maps and
    tiles do not count: a colour bar or a text explains them."""
    bars = [bar for bars in axis.containers if isinstance(bars, BarContainer) for bar in bars]
    labelled = [patch for patch in axis.patches if re.match("[^_]", patch.get_label())]
    points = [some for some in axis.collections if isinstance(some, POINTS)]
    found = [*axis.lines, *points, *dict.fromkeys([*bars, *labelled])]
    return [mark for mark in found if mark.get_visible() and mark.get_gid() != GRID]


def is_drawn(colour):
    return to_rgba(colour)[3] > 0


def parts(mark):
    """The colours of a mark, a list for each part that must be seen: one in each must stand out."""
    alpha = mark.get_alpha()
    if isinstance(mark, Line2D):
        found = [[mark.get_color()]] * (mark.get_linestyle() not in NOTHING)
        if mark.get_marker() not in NOTHING:
            found.append([mark.get_markeredgecolor(), mark.get_markerfacecolor()])
    elif isinstance(mark, LineCollection):
        found = [[colour] for colour in mark.get_edgecolors()]
    elif isinstance(mark, PathCollection):
        faces, edges = list(mark.get_facecolors()), list(mark.get_edgecolors())
        count = max(len(faces), len(edges))
        found = [[some[i % len(some)] for some in (faces, edges) if some] for i in range(count)]
    else:
        found = [[mark.get_facecolor(), mark.get_edgecolor()]]
    clear = (0, 0, 0, 0)
    return [[to_rgba(c, alpha) if is_drawn(c) else clear for c in colours] for colours in found]


def pale_marks(axis):
    background = over(axis.get_facecolor(), axis.figure.get_facecolor()[:3])
    for mark in marks(axis):
        ratios = [[contrast(over(c, background), background) for c in part] for part in parts(mark)]
        ratio = min(map(max, ratios), default=GRAPHICS)
        if ratio < GRAPHICS:
            found = f"has contrast {ratio:.2f}:1 with the background, less than {GRAPHICS}:1"
            yield f"{type(mark).__name__} {mark.get_label()!r} {found}"


def look(mark):
    """The colour of a line, marker, bar or container, and what else tells it from others."""
    if isinstance(mark, (BarContainer, ErrorbarContainer)):
        return look(mark[0] or mark[2][0])
    if isinstance(mark, Line2D):
        rest = mark.get_marker(), mark.get_linestyle(), mark.get_fillstyle()
        return to_hex(mark.get_color()), rest
    if isinstance(mark, POINTS):
        edges, faces = mark.get_edgecolors(), mark.get_facecolors()
        is_path = isinstance(mark, PathCollection)
        shape = mark.get_paths()[0].vertices.tobytes() if is_path else "lines"
        rest = shape, str(mark.get_linestyle()), len(faces) > 0
        return to_hex((edges if len(edges) else faces)[0]), rest
    is_filled = mark.get_fill() and is_drawn(mark.get_facecolor())
    rest = type(mark).__name__, mark.get_hatch(), mark.get_linestyle(), mark.get_fill()
    return to_hex(mark.get_facecolor() if is_filled else mark.get_edgecolor()), rest


def is_named(mark, texts):
    """Whether a text stands beside the mark."""
    boxes = [text.get_window_extent().padded(NEAR) for text in texts]
    if isinstance(mark, Line2D):
        points = mark.get_transform().transform(mark.get_xydata())
    elif isinstance(mark, PathCollection):
        points = mark.get_offset_transform().transform(mark.get_offsets())
    else:
        return any(box.overlaps(mark.get_window_extent()) for box in boxes)
    return any(box.contains(*point) for box in boxes for point in points)


def colour_alone(axis, texts):
    for (one, a), (other, b) in itertools.combinations(zip(*axis.get_legend_handles_labels()), 2):
        if a != b and look(one)[1] == look(other)[1]:
            alike = "have one marker, line style and hatch"
            yield f"{a!r} and {b!r} {alike}: only the colour tells them apart"
    looks, members = defaultdict(set), defaultdict(list)
    for mark in marks(axis):
        colour, rest = look(mark)
        looks[colour].add(rest)
        members[colour].append(mark)
    for one, other in itertools.combinations(looks, 2):
        named = (is_named(mark, texts) for mark in members[one] + members[other])
        if looks[one] == looks[other] and not all(named):
            yield f"only the colour tells {one} from {other}, and no text stands beside them"


def unnamed_axes(figure):
    for axis in figure.axes:
        if not axis.has_data() or not axis.axison:
            continue
        is_scale = hasattr(axis, "_colorbar")
        if is_scale and not (axis.get_title() or axis.get_xlabel() or axis.get_ylabel()):
            yield "a colour bar has no label"
        for i, name in enumerate("xy" if not is_scale else ""):
            along, whole = getattr(axis, f"{name}axis"), getattr(figure, f"get_sup{name}label")()
            ticks = [text.get_text() for text in along.get_ticklabels() if text.get_visible()]
            words = any(re.search("[A-Za-z]", re.sub(r"\$.*?\$", "", tick)) for tick in ticks)
            places = {a: a.get_position().get_points()[:, i] for a in figure.axes}
            beside = [a for a in places if np.allclose(places[a], places[axis], atol=0.01)]
            # a label stands for a whole row or column
            labels = any(getattr(a, f"get_{name}label")() for a in beside)
            if any(ticks) and not words and not whole and not labels:
                panel = repr(axis.get_title() or "a panel")
                yield f"the {name} axis of {panel} has numbers but no label"


def picture_faults(figure):
    """Everything that is wrong with a matplotlib Figure, one sentence each."""
    pixels, texts = draw_without_texts(figure)
    found = [*pale_texts(pixels, texts), *unnamed_axes(figure)]
    for axis in figure.axes:
        if not hasattr(axis, "_colorbar"):
            found += [*pale_marks(axis), *colour_alone(axis, texts)]
    return found


def control_faults(controls):
    """Everything that is wrong with {name: control} of a LiveFigure."""
    for name, control in controls.items():
        if not control.description.strip():
            yield f"control {name} has no description"
        if not getattr(control, "readout", True):
            yield f"control {name} does not show its value"


def watch(patch=setattr):
    """From now on every figure that is shown, and every control of a LiveFigure, must be without
    faults, and no two settings of a LiveFigure have the same words. patch is setattr, or that of
    a fixture that takes it back."""
    png, refresh, seen, settings = rh.png, rh.LiveFigure._refresh, set(), defaultdict(dict)

    def checked_png(figure, *level):
        image = png(figure, *level)
        faults = [] if image in seen else picture_faults(figure)
        seen.add(image)
        assert not faults, "\n  ".join(["the figure has faults:", *faults])
        return image

    def checked_refresh(live, change=None):
        refresh(live, change)
        values = {name: control.value for name, control in live.controls.items()}
        other = settings[live].setdefault(live._text, values)
        faults = [*control_faults(live.controls)]
        if other != values:
            faults.append(f"{other} and {values} have the same words: {live._text}")
        assert not faults, "\n  ".join(["the controls have faults:", *faults])

    patch(rh, "png", checked_png)
    patch(rh.LiveFigure, "_refresh", checked_refresh)
