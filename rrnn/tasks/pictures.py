"""How tasks are drawn. matplotlib is imported when one is."""

import numpy as np

from rrnn.pictures import BESIDE, COLOURS, LABEL, MARKERS, MIDDLE, figure, heat


def encoding(axis, task, inputs_i):
    """One encoded example as a matrix, a column for each step, with the names of its parts."""
    heat(axis, inputs_i.T, "step", "part of the input", vmin=0, vmax=1, cmap="Greys")
    steps, widths = axis.get_xticks().astype(int), np.array([*task.parts.values()])
    axis.set_xticks(steps, steps + 1)
    axis.set_yticks(np.cumsum(widths) - (widths + 1) / 2, task.parts)
    axis.tick_params(axis="y", length=0)
    for end in np.cumsum(widths)[:-1]:
        axis.axhline(end - 0.5, color=COLOURS[0], linewidth=1)
    axis.set_title("as the model reads it: white 0, black 1")


def role(name, asked, answer):
    """Colour and marker of what is asked about, of what is the answer, and of all else."""
    kind = 1 if name == asked else 2 if name == answer else 0
    return COLOURS[kind], MARKERS[kind]


def nth_farthest(task, batch):
    """The vectors, and their distances to m."""
    ((answer,),), (x, labels, n, m) = task.solve(batch), task.read(batch)
    (x,), (labels,), (n,), (m,), (far,) = x, labels, n, m, task.distances(x, labels, m)
    looks = [role(label, m, answer) for label in labels]
    says = {answer: " (answer)"} | {m: " (m, answer)" if m == answer else " (m)"}
    names = [f"vector {label}{says.get(label, '')}" for label in labels]
    if task.num_dims == 2:
        drawing, (left, right) = figure(1, 2, (9, 3.6), gap=1.6)
        box = LABEL | {"alpha": 0.7}
        for label, at, (colour, marker) in zip(labels, x, looks):
            left.scatter(*at, color=colour, marker=marker, s=110)
            left.annotate(str(label), at, (8, 6), **BESIDE, fontsize=12, bbox=box)
        left.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), aspect="equal")
        left.set(xlabel="first number", ylabel="second number")
    else:
        drawing, (left, right) = figure(1, 2, (10, 3.6), left=1.8, gap=1.6)
        heat(left, x, "number (blue: -1, white: 0, red: 1)", "step", vmin=-1, vmax=1)
        left.set_yticks(range(len(x)), [f"{t}: {name}" for t, name in enumerate(names, 1)])
    left.set_title(f"n = {n}, m = {m}: the answer is {answer}")
    order = np.argsort(-far)
    right.barh(range(len(order)), far[order], color=[looks[i][0] for i in order])
    right.set(xlabel=f"distance to vector {m}", title="farthest first")
    right.set_yticks(range(len(order)), [names[i] for i in order])
    right.invert_yaxis()
    return drawing


def pair_matching(task, batch):
    """The pairs, and the input."""
    (pairs,), (asked,), ((answer,),), last = *task.read(batch), task.solve(batch), task.num_inputs
    drawing, (left, right) = figure(1, 2, (9, max(3.2, 0.42 * last + 1)), left=0.9, gap=1)
    for step, row in enumerate([*pairs, (asked, answer)], 1):
        left.plot([0, 1], [step, step], "--" if step == last else "-", color="#555555", zorder=1)
        for side, element in enumerate(row):
            colour, marker = role(element, asked, answer)
            look = {"facecolor": "white", "edgecolor": colour, "linewidth": 2}
            left.scatter(side, step, s=420, marker=marker, zorder=2, **look)
            left.text(side, step, element, **MIDDLE, fontsize=9)
    left.text(-0.2, last, "asked", ha="right", va="center")
    left.text(1.2, last, "answer", va="center")
    left.set(xlim=(-0.8, 1.8), ylim=(last + 0.6, 0.4), ylabel="step", xlabel="side")
    left.set(yticks=range(1, last + 1), title=f"partner of {asked}? The answer is {answer}")
    left.set_xticks([0, 1], ["left", "right"])
    encoding(right, task, batch[0])
    return drawing


def sorting(task, batch):
    """The values read, and those to write."""
    L, V, (read,), (write,) = task.length, task.vocab_size, task.read(batch), task.solve(batch)
    drawing, (axis,) = figure(1, 1, (min(12, max(6, 0.4 * L + 3)), 3.6))
    for side, values in enumerate([read, write]):
        steps = np.arange(1, L + 1) + side * L
        axis.vlines(steps, -0.5, values, color="#777777", linewidth=1)
        axis.scatter(steps, values, s=60, marker="oD"[side], color=COLOURS[2 * side], zorder=2)
        for at in zip(steps, values):
            axis.annotate(str(at[1]), at, (0, 7), **BESIDE, ha="center", fontsize=9)
        axis.text(steps.mean(), 1.17 * V, ("read", "blank, flag 1: the answer")[side], **MIDDLE)
    axis.axvspan(L + 0.5, 2 * L + 0.5, color="#eeeeee", zorder=0)
    axis.set(xlim=(0.5, 2 * L + 0.5), xticks=range(1, 2 * L + 1, -(-L // 8)), xlabel="step")
    axis.set(ylim=(-0.5, 1.25 * V), yticks=range(0, V, -(-V // 8)), ylabel="value")
    axis.set_title("the answer: the values in ascending order")
    return drawing


def object_tracking(task, batch):
    """The paths as far as shown, and the input."""
    (who,), (place,), (asked,), answer = *task.read(batch), task.solve(batch)[0]
    G, cells, ((x, y),) = task.grid_size, task.cells(place), task.cells(answer)
    drawing, (left, right) = figure(1, 2, (10.5, 4.6), top=0.7, gap=1)
    names = np.unique(who)
    for turn, name in zip(2 * np.pi * np.arange(len(names)) / len(names), names):
        aside = np.array([np.cos(turn), np.sin(turn)])  # paths that share a cell lie side by side
        path, colour = cells[who == name] + 0.22 * aside, COLOURS[name % 7]
        first, last, marker = path[0], path[-1], MARKERS[(name + name // 7) % 7]
        look = {"facecolors": "white", "edgecolors": colour, "linewidths": 2}
        ring = {"facecolors": "none", "edgecolors": "black", "linewidths": 2}
        left.plot(*path.T, color=colour, linewidth=3 if name == asked else 1.2)
        left.scatter(*first, s=25, marker=marker, color=colour, zorder=3)
        left.scatter(*last, s=170, marker=marker, zorder=4, **look)
        left.text(*last, name, ha="center", va="center_baseline", size=9, zorder=6, bbox=LABEL)
        if name == asked:
            left.scatter(*last, s=480, zorder=5, **ring)
    for lines in left.hlines, left.vlines:
        edges = np.arange(G + 1) - 0.5
        lines(edges, -0.5, G - 0.5, color="#dddddd", linewidth=1, zorder=0, gid="grid")
    around, labels = (-0.5 - 0.09 * G, 1.09 * G - 0.5), range(0, G, -(-G // 8))
    left.set(xlim=around, xticks=labels, xlabel="x (cell)", aspect="equal")
    left.set(ylim=around, yticks=labels, ylabel="y (cell)")
    key = "small: first shown, numbered: last shown, ringed: answer"
    question = f"where is object {asked}? The answer is cell ({x}, {y})"
    left.set_title(f"{question}\n{key}", fontsize=10)
    encoding(right, task, batch[0])
    return drawing


def story_qa(task, batch):
    """Where everybody and everything is after each step, who holds what, and the answer at last."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch, Rectangle

    # Names, in full where there is room: beyond 24 steps there is none in and below the columns.
    *facts, (_, who, what, _) = np.stack(task.read(batch), axis=-1)[0].tolist()
    people, things, places = map(task.names, ("person", "object", "place"))
    rows, P, T, (*told, title) = people + things, len(people), len(facts), task.words(batch)
    steps = [f"{t}  {fact[:-1]}" for t, fact in enumerate([*told, title.split("?")[0] + "?."], 1)]
    numbered = lambda name: name.split()[-1] if name[-1].isdigit() else ""
    short = lambda name: numbered(name) or name.removeprefix("the ")[0].upper()
    roomy, letters = T <= 24, [*map(short, places)]
    holders = people if T <= 12 and P <= len(task.NAMES["person"]) else [*map(short, people)]
    shades = [COLOURS[(0, 1, 2, 3, 5, 6, 4)[i % 7]] + "55" for i in range(len(places))]

    # Room for them and for the key.
    bottom = 0.5 + 0.063 * max(map(len, steps)) if roomy else 0.6
    height = max(0.45 * len(rows) + bottom + 0.6, 0.17 * len(places) + 1.6)
    size, left = (max(6, 0.5 * T + 3.6), height), 0.4 + 0.085 * max(map(len, rows))
    margins = {"left": left, "right": 1.85, "bottom": bottom, "top": 0.6}
    drawing, (axis,) = figure(1, 1, size, widest=8.5 if roomy else 12, **margins)

    # The story, played again: where the person or thing of each row is, and who holds it.
    where, holder, written = {}, {}, {}

    def cell(row, t, place, who=None, **edge):
        axis.add_patch(Rectangle((t - 0.5, row - 0.45), 1, 0.9, facecolor=shades[place], **edge))
        if roomy or written.get(row) != (place, who):  # in narrow columns only what is new
            axis.text(t, row - 0.14, letters[place], **MIDDLE, fontsize=9)
            axis.text(t, row + 0.24, "" if who is None else holders[who], **MIDDLE, fontsize=9)
        written[row] = place, who

    for t, (action, person, thing, place) in enumerate(facts, 1):
        if action == 0:
            where[person] = place
        elif action == 1:
            holder[P + thing] = person
        else:
            del holder[P + thing]
        where |= {row: where[person] for row, person in holder.items()}
        for row, place in where.items():
            cell(row, t, place, holder.get(row), edgecolor="white")
        axis.plot(t, person + 0.24, marker=">^v"[action], color="black", markersize=4)

    # The answer, in the last column of the row asked about, and the key.
    row, edge = P + what if who < 0 else who, {"edgecolor": "black", "linewidth": 2.5, "zorder": 3}
    written.clear()
    cell(row, T + 1, task.solve(batch)[0, 0], **edge)
    axis.add_patch(Rectangle((0.5, row - 0.45), T, 0.9, facecolor="none", **edge))
    axis.set(xlim=(0.4, T + 1.6), ylim=(len(rows) - 0.5, -0.5), xlabel="step")
    axis.set_title(f"{title}\nletter: place   below a thing: who holds it", fontsize=10)
    axis.set_yticks(range(len(rows)), rows)
    axis.get_yticklabels()[row].set_fontweight("bold")
    if roomy:
        axis.set_xticks(range(1, T + 2), steps, rotation=90, fontsize=9)
    key, black = [], {"color": "black", "linestyle": ""}
    for mark, name in zip(">^v", task.ACTIONS):
        key.append(Line2D([], [], marker=mark, label=name, **black))
    for shade, letter, name in zip(shades, letters, places):
        key.append(Patch(facecolor=shade, label=f"{letter}  {name}"))
    axis.legend(handles=key, loc="upper left", bbox_to_anchor=(1, 1), fontsize=9, frameon=False)
    return drawing


def program_evaluation(task, batch):
    """The characters and the targets at their steps."""
    from matplotlib.patches import Rectangle

    # What stands in the cells, and how many strips they make.
    (text,), T, A = task.read(batch), task.text_steps, task.answer_steps
    answer = task.answer(text)
    given = [*text.replace(" ", "␣").rjust(T), *"?" * A]
    wanted = [*[""] * T, *f"{answer}■".ljust(A, "–")]
    strips = -(-task.num_inputs // 40)
    columns = -(-task.num_inputs // strips)
    wide, high = max(columns, 22), 3 * strips - 1  # 22 for the note; a free row between strips
    size = 0.28 * wide + 1.9, 0.28 * high + 1.3
    drawing, (axis,) = figure(1, 1, size, left=1.7, bottom=0.6, top=0.7)

    # The cells.
    shades = {"": "#FFFFFF", "–": "#FFFFFF", " ": "#DDDDDD", "?": COLOURS[5] + "70"}
    for row, (strip, shade) in enumerate([(given, COLOURS[4] + "70"), (wanted, COLOURS[2] + "70")]):
        for step, character in enumerate(strip):
            x, y = step % columns, 3 * (step // columns) + row
            face = shades.get(character, shade)
            axis.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=face, edgecolor="white"))
            axis.text(x, y, character, ha="center", va="center_baseline", family="monospace")

    # The words around them.
    one, steps = strips == 1, range(0, columns, 5)
    starts = ["input" if one else f"input from step {1 + i * columns}" for i in range(strips)]
    labels = [label for start in starts for label in (start, "target")]
    axis.set(xlim=(-0.5, wide - 0.5), ylim=(high - 0.5, -0.5))
    axis.set_yticks([y for y in range(high) if y % 3 != 2], labels)
    axis.set_xticks(steps, [step + one for step in steps])
    axis.set_xlabel("step" if one else "steps after the first of the row", loc="left")
    axis.spines[:].set_visible(False)
    shown = answer if len(answer) <= 40 else f"{answer[:20]}…{answer[-18:]}"
    note = "grey: empty step   ␣: space   ?: answer step (flag)   ■: end mark   –: not asked"
    axis.set_title(f"{task.kind}: the answer is {shown}\n{note}", fontsize=10, loc="left")
    return drawing


def babi_qa(task, batch):
    """The story as lines, supporting facts marked, beside the input; of a long one the end."""
    ((steps, answer, facts),), last = task.read(batch), batch.shape[1] - 1
    shown = sorted({*facts, *range(max(0, last - 40 + len(facts)), last + 1)})
    marks = ["►" if t in facts else "" for t in shown]
    lines = [f"{mark} {' '.join(steps[t])}  {t + 1}" for mark, t in zip(marks, shown)]
    left, width = 0.7 + 0.075 * max(map(len, lines)), max(3.2, 0.08 * task.input_size)
    size = left + width + 0.2, 0.21 * len(lines) + 1.6
    drawing, (axis,) = figure(1, 1, size, left=left, bottom=1, top=0.6)
    heat(axis, batch[0, shown], "part of the input", "step", vmin=0, vmax=1, cmap="Greys")
    widths = np.array([*task.parts.values()])
    axis.set_xticks(np.cumsum(widths) - (widths + 1) / 2, task.parts, rotation=90, fontsize=9)
    axis.set_yticks(range(len(lines)), lines, fontsize=9)
    axis.tick_params(length=0)
    for end in np.cumsum(widths)[:-1]:
        axis.axvline(end - 0.5, color=COLOURS[0], linewidth=1)
    for mark, label in zip(marks, axis.get_yticklabels()):
        label.set(fontweight="bold" if mark else "normal", color=COLOURS[0] if mark else "black")
    title = f"{' '.join(steps[-1])}? {answer}\n►: supports the answer"
    axis.set_title(title, fontsize=10, loc="right")
    return drawing


def character_text(task, batch):
    """A window: the characters that are read, a column each, and their places in the alphabet."""
    signs = {"\n": "↵", " ": "␣", "$": r"\$"}
    shown = [signs.get(character, character) for character in task.describe(batch[0])]
    drawing, (axis,) = figure(1, 1, (max(4, 0.17 * len(shown) + 1), 3.6))
    heat(axis, batch[0].T, "step, and the character read", "place in the alphabet", 0, 1, "Greys")
    axis.set_xticks(range(len(shown)), shown, fontsize=9)
    axis.tick_params(length=0)
    return drawing
