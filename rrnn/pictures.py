"""What all pictures share, and schematics. matplotlib is imported when one is drawn."""

import numpy as np

from rrnn.checks import floats

# After Okabe and Ito's palette: as far apart for the colour-blind, but each with a contrast of 3:1
# or more on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#C2629B", "#8A7FE8", "#6B4F00", "#000000")
MARKERS = "osD^vPX"
MIDDLE, BESIDE = {"ha": "center", "va": "center"}, {"textcoords": "offset points"}
LABEL = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none"}


WIDEST = 8.5  # inches: a wider figure would be made smaller on the page, and its letters with it


def figure(rows, columns, size, *, widest=WIDEST, left=0.7, right=0.2, bottom=0.55, top=0.4,
           gap=0.35):  # fmt: skip
    """A Figure of its own (pyplot keeps no reference to it, and nothing is shown twice) and its
    axes, in a row. Margins and gaps are in inches: matplotlib's layout engines draw all twice."""
    from matplotlib.figure import Figure

    width, height = min(size[0], widest), size[1]
    made = Figure(figsize=(width, height))
    axes = made.subplots(rows, columns, squeeze=False).ravel()
    across, down = (width - left - right) / columns, (height - top - bottom) / rows
    made.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height,
                         gap / (across - gap), (bottom + 0.2) / (down - bottom - 0.2))  # fmt: skip
    return made, axes


def scale(figure, picture, label, ticks=None):
    """A colour bar in a right margin of 1.1 inches."""
    width, height = figure.get_size_inches()
    axis = figure.add_axes((1 - 0.95 / width, 0.25, 0.15 / width, 0.6))
    figure.colorbar(picture, cax=axis, label=label, ticks=ticks)


def ticks(size):
    """Where to put ticks: at each of up to 10 rows or columns, else at about four."""
    return range(0, size, 1 if size <= 10 else -(-size // 4))


def heat(axis, values, xlabel, ylabel, vmin, vmax, cmap="RdBu_r"):
    """A matrix in colours, with whole-number ticks."""
    rows, columns = values.shape
    picture = axis.imshow(values, vmin=vmin, vmax=vmax, cmap=cmap, aspect="auto")
    axis.set(xticks=ticks(columns), yticks=ticks(rows), xlabel=xlabel, ylabel=ylabel)
    return picture


def label_cells(axis, values, *, left=0, size=9):
    """Write values (rows, columns), from 0 to 1, into the cells of their heat map in the colours
    "cividis", the first column at x = left, in letters of size points. Taught in notebook 08."""
    values = floats("values", values, ("rows", "columns"), np.float64)
    for (row, column), value in np.ndenumerate(np.round(values, 2) + 0.0):  # no -0.00
        colour = "white" if value < 0.47 else "black"  # where cividis is as far from both
        look = {"ha": "center", "va": "center", "color": colour, "fontsize": size}
        axis.text(left + column, row, f"{value:.2f}", **look)


def ink(colour):
    """One of COLOURS (its number), darker: letters need more contrast than lines. Taught in
    notebook 05."""
    from matplotlib.colors import to_rgb

    return tuple(0.75 * part for part in to_rgb(COLOURS[colour]))


class Sketch:
    """A schematic of width by height inches, in one style for the series: boxes and circles, which
    arrows join. Numbers are inches from the lower left corner; text may hold maths ("$W^q$").
    `figure` is the matplotlib Figure. Taught in notebook 01."""

    def __init__(self, width, height):
        from matplotlib.figure import Figure

        self.figure = Figure(figsize=(width, height))
        self.axis = self.figure.add_axes((0, 0, 1, 1))
        self.axis.set(xlim=(0, width), ylim=(0, height))
        self.axis.set_axis_off()

    def box(self, x, y, text, *, width=1.1, height=0.4, colour=None, size=11):
        """A box with its middle at (x, y), in one of COLOURS (its number) or grey. Returns what
        `arrow` takes."""
        from matplotlib.patches import FancyBboxPatch

        edge = "#555555" if colour is None else COLOURS[colour]
        corner, style = (x - width / 2, y - height / 2), "round,pad=0,rounding_size=0.08"
        look = {"facecolor": "white", "edgecolor": edge, "linewidth": 1.6, "zorder": 2}
        patch = self.axis.add_patch(FancyBboxPatch(corner, width, height, style, **look))
        self.text(x, y, text, size=size)
        return (x, y), patch

    def circle(self, x, y, text, *, radius=0.17, size=12):
        """An operation on what comes in, such as "+". Returns what `arrow` takes."""
        from matplotlib.patches import Circle

        look = {"facecolor": "#eeeeee", "edgecolor": "#555555", "linewidth": 1.2, "zorder": 2}
        patch = self.axis.add_patch(Circle((x, y), radius, **look))
        self.text(x, y, text, size=size)
        return (x, y), patch

    def cells(self, x, y, values, *, cell=0.36, colour=None, size=10):
        """A matrix (rows, columns) of numbers or short texts in small squares, its middle at
        (x, y). Returns what `arrow` takes."""
        from matplotlib.patches import Rectangle

        rows, columns = len(values), len(values[0])
        left, top = x - columns * cell / 2, y + rows * cell / 2
        edge = "#555555" if colour is None else COLOURS[colour]
        look = {"facecolor": "white", "edgecolor": edge, "linewidth": 1.2, "zorder": 2}
        for i, row in enumerate(values):
            for j, value in enumerate(row):
                corner = left + j * cell, top - (i + 1) * cell
                self.axis.add_patch(Rectangle(corner, cell, cell, **look))
                self.text(corner[0] + cell / 2, corner[1] + cell / 2, value, size=size)
        outline = Rectangle((left, top - rows * cell), columns * cell, rows * cell, fill=False)
        outline.set(edgecolor=edge, linewidth=2, zorder=3)
        return (x, y), self.axis.add_patch(outline)

    def arrow(self, start, end, text="", *, bend=0.0, colour=None, dashed=False, aside=0.13):
        """An arrow from one box, circle, matrix or point (x, y) to another, with words beside its
        middle, `aside` inches above it; `bend` makes it an arc."""
        look = {"arrowstyle": "-|>", "linewidth": 1.4, "shrinkA": 2, "shrinkB": 2}
        look["color"] = "#333333" if colour is None else COLOURS[colour]
        look |= {"connectionstyle": f"arc3,rad={bend}", "linestyle": "--" if dashed else "-"}
        ends = []
        for name, place in (("patchA", start), ("patchB", end)):
            if not np.isscalar(place[0]):
                place, look[name] = place
            ends.append(place)
        self.axis.annotate("", ends[1], ends[0], arrowprops=look, zorder=1)
        (x, y), (to_x, to_y) = ends
        middle = (x + to_x) / 2 + bend * (to_y - y) / 2, (y + to_y) / 2 - bend * (to_x - x) / 2
        self.text(middle[0], middle[1] + aside, text, size=10)

    def text(self, x, y, text, *, size=11, colour=None, **look):
        """Words at (x, y); letters are darker than lines of the same colour, to be read."""
        usual = {"fontsize": size, "color": "black" if colour is None else ink(colour)}
        self.axis.text(x, y, text, **MIDDLE | usual | {"zorder": 4} | look)
