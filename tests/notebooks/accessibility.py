"""What can be measured of how well a figure and its controls serve people who see little, few colours or nothing.

Limits after WCAG 2.2: contrast 4.5:1 for text, 3:1 for large text (1.4.3) and for what carries meaning (1.4.11);
nothing by colour alone (1.4.1). test_accessibility.py uses it on figures of the module, test_notebook_controls.py on
all figures of the notebooks.
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
# Pixels in the box of a text that may be too close to its colour: where it touches a line or the edge of a marker.
CROSSED = 0.2
CUT = 2  # pixels that a text may reach out of its figure: its box is wider than its letters
NEAR = 15  # pixels between a text and what it names


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
    """The pixels (height, width, 3) of a figure without the glyphs of its texts, and the texts it shows."""
    texts, draw, canvas = [], Text.draw, FigureCanvasAgg(figure)

    def note(text, renderer):
        if text.get_visible() and text.get_text().strip():
            texts.append(text)
        draw(text, renderer)

    with mock.patch.object(Text, "draw", note), mock.patch.object(RendererAgg, "draw_text", lambda *a, **k: None):
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3] / 255, texts


def pale_texts(pixels, texts):
    for text in texts:
        box, (height, width, _) = text.get_window_extent(), pixels.shape
        (left, right), (low, high) = np.rint([box.intervalx, box.intervaly]).astype(int)
        if min(left, low) < -CUT or right > width + CUT or high > height + CUT:
            yield f"text {text.get_text()!r} lies outside the figure, or a part of it does"
            continue
        behind = pixels[max(0, height - high) : height - max(0, low), max(0, left) : right].reshape(-1, 3)
        ratio = np.quantile(contrast(over(to_rgba(text.get_color(), text.get_alpha()), behind), behind), CROSSED)
        bold = text.get_fontweight() in ("bold", "heavy", "black") or text.get_fontweight() == 700
        least = LARGE_TEXT if text.get_size() >= (14 if bold else 18) else TEXT
        if ratio < least:
            yield f"text {text.get_text()!r} has contrast {ratio:.2f}:1 with what is behind it, less than {least}:1"


def marks(axis):
    """What carries meaning: lines, markers, points, bars, and patches with a label. Heat maps and tiles do not count:
    a colour bar or a text explains them."""
    bars = [bar for bars in axis.containers if isinstance(bars, BarContainer) for bar in bars]
    labelled = [patch for patch in axis.patches if not patch.get_label().startswith("_") and patch.get_label()]
    points = [some for some in axis.collections if isinstance(some, (LineCollection, PathCollection))]
    found = [*axis.lines, *points, *dict.fromkeys([*bars, *labelled])]
    return [mark for mark in found if mark.get_visible() and mark.get_gid() != GRID]


def is_drawn(colour):
    return to_rgba(colour)[3] > 0


def parts(mark):
    """The colours of a mark, a list for each part that must be seen: in each list one must stand out."""
    alpha = mark.get_alpha()
    if isinstance(mark, Line2D):
        line, marker = mark.get_linestyle() not in ("None", "", " "), mark.get_marker() not in ("None", "", " ", None)
        found = [[mark.get_color()]] * line + [[mark.get_markeredgecolor(), mark.get_markerfacecolor()]] * marker
    elif isinstance(mark, LineCollection):
        found = [[colour] for colour in mark.get_edgecolors()]
    elif isinstance(mark, PathCollection):
        faces, edges = list(mark.get_facecolors()), list(mark.get_edgecolors())
        count = max(len(faces), len(edges))
        found = [[some[i % len(some)] for some in (faces, edges) if some] for i in range(count)]
    else:
        found = [[mark.get_facecolor(), mark.get_edgecolor()]]
    return [[to_rgba(c, alpha) if is_drawn(c) else (0, 0, 0, 0) for c in colours] for colours in found]


def pale_marks(axis):
    background = over(axis.get_facecolor(), axis.figure.get_facecolor()[:3])
    for mark in marks(axis):
        ratios = [max(contrast(over(c, background), background) for c in colours) for colours in parts(mark)]
        if ratios and min(ratios) < GRAPHICS:
            name = f"{type(mark).__name__} {mark.get_label()!r}"
            yield f"{name} has contrast {min(ratios):.2f}:1 with the background, less than {GRAPHICS}:1"


def look(mark):
    """The colour of a line, marker, bar or container, and what else tells it from others."""
    if isinstance(mark, (BarContainer, ErrorbarContainer)):
        return look(mark[0] or mark[2][0])
    if isinstance(mark, Line2D):
        return to_hex(mark.get_color()), (mark.get_marker(), mark.get_linestyle(), mark.get_fillstyle())
    if isinstance(mark, (LineCollection, PathCollection)):
        colours = mark.get_edgecolors() if len(mark.get_edgecolors()) else mark.get_facecolors()
        shape = mark.get_paths()[0].vertices.tobytes() if isinstance(mark, PathCollection) else "lines"
        return to_hex(colours[0]), (shape, str(mark.get_linestyle()), len(mark.get_facecolors()) > 0)
    colour = mark.get_facecolor() if mark.get_fill() and is_drawn(mark.get_facecolor()) else mark.get_edgecolor()
    return to_hex(colour), (type(mark).__name__, mark.get_hatch(), mark.get_linestyle(), mark.get_fill())


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
            yield f"{a!r} and {b!r} have one marker, line style and hatch: only the colour tells them apart"
    looks, members = defaultdict(set), defaultdict(list)
    for mark in marks(axis):
        colour, rest = look(mark)
        looks[colour].add(rest)
        members[colour].append(mark)
    for one, other in itertools.combinations(looks, 2):
        unnamed = (mark for colour in (one, other) for mark in members[colour] if not is_named(mark, texts))
        if looks[one] == looks[other] and any(unnamed):
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
            place = axis.get_position().get_points()[:, i]  # a label stands for a whole row or column
            beside = [a for a in figure.axes if np.allclose(a.get_position().get_points()[:, i], place, atol=0.01)]
            if any(ticks) and not words and not whole and not any(getattr(a, f"get_{name}label")() for a in beside):
                yield f"the {name} axis of {axis.get_title() or 'a panel'!r} has numbers but no label"


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
    """From now on every figure that is shown, and every control of a LiveFigure, must be without faults, and no two
    settings of a LiveFigure may have the same words. patch is setattr, or that of a fixture that takes it back."""
    png, refresh, seen, settings = rh._png, rh.LiveFigure._refresh, set(), defaultdict(dict)

    def checked_png(figure):
        image = png(figure)
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

    patch(rh, "_png", checked_png)
    patch(rh.LiveFigure, "_refresh", checked_refresh)
