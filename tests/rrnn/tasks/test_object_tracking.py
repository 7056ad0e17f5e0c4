"""PairMatching, Sorting and ObjectTracking against brute force with Python loops, for sizes and seeds that hypothesis
chooses."""

import itertools
import math
import random
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from task_checks import check_agreement, check_seeds, sample

import rrnn_helpers as rh
from rrnn_helpers import ObjectTracking, PairMatching, Sorting

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
seeds = st.integers(0, 10**6)


@st.composite
def pair_matchings(draw):
    pairs = draw(st.integers(1, 6))
    return PairMatching(pairs, 2 * pairs + draw(st.integers(0, 4)))


sortings = st.builds(Sorting, st.integers(1, 6), st.integers(2, 7))
trackings = st.builds(ObjectTracking, st.integers(1, 5), st.integers(2, 5), st.integers(1, 10))
tasks = st.one_of(pair_matchings(), sortings, trackings)


def hot(part):
    """The place of the one in a one-hot, None if it is empty."""
    assert sorted(part)[:-1] == [0] * (len(part) - 1) and max(part) in (0, 1)
    return list(part).index(1) if max(part) else None


def read_pairs(task, inputs_i):
    """The pairs and the asked element of one example, as the encoding says."""
    V = task.vocab_size
    *pairs, question = [(hot(row[:V]), hot(row[V : 2 * V]), row[2 * V]) for row in inputs_i]
    assert all(flag == 0 for _, _, flag in pairs) and question[1:] == (None, 1)
    return [pair[:2] for pair in pairs], question[0]


def read_values(task, inputs_i):
    L = task.length
    steps = [(hot(row[:-1]), row[-1]) for row in inputs_i]
    assert all(flag == 0 for _, flag in steps[:L]) and steps[L:] == [(None, 1)] * L
    return [value for value, _ in steps[:L]]


def read_moves(task, inputs_i):
    """(object, x, y) of every move, x and y as they are encoded, and the asked object."""
    N = task.num_objects
    *moves, question = [(hot(row[:N]), *row[N : N + 2].tolist(), row[N + 2]) for row in inputs_i]
    assert all(flag == 0 for *_, flag in moves) and question[1:] == (0, 0, 1)
    return [move[:3] for move in moves], question[0]


def brute_force(task, inputs_i):
    if isinstance(task, PairMatching):
        pairs, asked = read_pairs(task, inputs_i)
        partner = {}
        for left, right in pairs:
            partner[left], partner[right] = right, left
        return [partner[asked]]
    if isinstance(task, Sorting):
        return sorted(read_values(task, inputs_i))
    moves, asked = read_moves(task, inputs_i)
    at = {}
    for name, x, y in moves:
        at[name] = [x, y]
    return [at[asked]]


@quick
@given(tasks, seeds, st.integers(1, 8))
def test_targets_oracle_and_brute_force_agree(task, seed, batch_size):
    check_agreement(task, brute_force, seed, batch_size)


TASKS = [
    PairMatching(), PairMatching(1, 2), PairMatching(2, 11), PairMatching(12, 30),
    Sorting(), Sorting(1, 2), Sorting(9, 3), Sorting(16, 40),
    ObjectTracking(), ObjectTracking(1, 2, 1), ObjectTracking(2, 9, 5), ObjectTracking(8, 4, 20),
]  # fmt: skip


@pytest.mark.parametrize("task", TASKS, ids=repr)
def test_the_oracle_is_always_right(task):
    inputs, targets = sample(task, 10_000, 1)
    np.testing.assert_array_equal(task.solve(inputs), targets)


@quick
@given(pair_matchings(), seeds)
def test_pair_matching_encoding(task, seed):
    P, V = task.num_pairs, task.vocab_size
    assert (task.num_inputs, task.input_size, task.output_size, task.target_kind) == (P + 1, 2 * V + 1, V, "class")
    inputs, targets = sample(task, 5, seed)
    assert targets.dtype == np.int64 and targets.shape == (5, 1)
    for inputs_i in inputs:
        pairs, asked = read_pairs(task, inputs_i)
        shown = [element for pair in pairs for element in pair]
        assert len(set(shown)) == 2 * P and asked in shown


@quick
@given(sortings, seeds)
def test_sorting_encoding(task, seed):
    L, V = task.length, task.vocab_size
    assert (task.num_inputs, task.input_size, task.output_size, task.target_kind) == (2 * L, V + 1, V, "class")
    inputs, targets = sample(task, 5, seed)
    assert targets.dtype == np.int64 and targets.shape == (5, L)
    assert all(None not in read_values(task, inputs_i) for inputs_i in inputs)


@quick
@given(trackings, seeds)
def test_tracking_encoding(task, seed):
    """Every place shown is a cell of the grid, one move away from where the object was shown before."""
    N, G, T = task.num_objects, task.grid_size, task.num_steps
    assert (task.num_inputs, task.input_size, task.output_size, task.target_kind) == (T + 1, N + 3, 2, "number")
    inputs, targets = sample(task, 5, seed)
    assert targets.dtype == np.float32 and targets.shape == (5, 1, 2)
    for inputs_i in inputs:
        moves, asked = read_moves(task, inputs_i)
        at = {}
        for name, *place in moves:
            x, y = (round(value * (G - 1)) for value in place)
            assert 0 <= x < G and 0 <= y < G and place == [np.float32(x / (G - 1)), np.float32(y / (G - 1))]
            if name in at:
                assert abs(x - at[name][0]) + abs(y - at[name][1]) == 1
            at[name] = x, y
        assert asked in at


@quick
@given(tasks, seeds)
def test_one_seed_is_one_batch(task, seed):
    check_seeds(task, seed)


@pytest.mark.parametrize("task", TASKS, ids=repr)
def test_solve_reads_the_inputs_only_and_leaves_them_alone(task):
    inputs, targets = sample(task, 50, 0)
    kept, order = inputs.copy(), np.random.default_rng(1).permutation(50)
    np.testing.assert_array_equal(task.solve(inputs[order]), targets[order])
    again = eval(repr(task))
    np.testing.assert_array_equal(again.solve(inputs.astype(np.float64)), targets)
    task.describe(inputs[0])
    np.testing.assert_array_equal(inputs, kept)
    with pytest.raises(ValueError, match="inputs"):
        task.solve(inputs[:, 1:])


def test_pairs_have_no_order_and_no_sides():
    task = PairMatching(5, 13)
    inputs, targets = sample(task, 100, 0)
    shuffled = inputs.copy()
    shuffled[:, :5] = shuffled[:, 4::-1]
    shuffled[:, :5, :26] = np.roll(shuffled[:, :5, :26], 13, axis=-1)
    np.testing.assert_array_equal(task.solve(shuffled), targets)
    asked = inputs[:, -1, :13].argmax(axis=-1)
    inputs[:, -1, :13] = np.eye(13)[targets[:, 0]]  # the partner of the partner
    np.testing.assert_array_equal(task.solve(inputs)[:, 0], asked)


def test_sorting_does_not_depend_on_the_order_read():
    task = Sorting(6, 9)
    inputs, targets = sample(task, 100, 0)
    order = np.r_[np.random.default_rng(1).permutation(6), 6:12]
    np.testing.assert_array_equal(task.solve(inputs[:, order]), targets)
    for step in range(6):  # but it does depend on every value
        other = inputs.copy()
        other[:, step] = np.roll(other[:, step], 1, axis=0)
        assert task.solve(other).tolist() == [brute_force(task, inputs_i) for inputs_i in other]
        assert (task.solve(other) != targets).any()


def test_tracking_reads_the_last_place_of_the_asked_object_only():
    task = ObjectTracking(3, 5, 9)
    inputs, targets = sample(task, 200, 0)
    other = (inputs[:, :-1, :3].argmax(axis=-1) != inputs[:, -1:, :3].argmax(axis=-1))[..., None]
    elsewhere = inputs.copy()
    elsewhere[:, :-1, 3:5] = np.where(other, 1 - elsewhere[:, :-1, 3:5], elsewhere[:, :-1, 3:5])
    np.testing.assert_array_equal(task.solve(elsewhere), targets)
    moved = inputs.copy()
    moved[:, :-1, 3:5] = np.where(other, moved[:, :-1, 3:5], 1 - moved[:, :-1, 3:5])
    np.testing.assert_array_equal(task.solve(moved), 1 - targets)
    backwards = np.concatenate([inputs[:, -2::-1], inputs[:, -1:]], axis=1)
    assert task.solve(backwards).tolist() == [brute_force(task, inputs_i) for inputs_i in backwards]
    assert (task.solve(backwards) != targets).any()


# ---------------------------------------------------------------------------------------------------------------------
# What is drawn evenly
# ---------------------------------------------------------------------------------------------------------------------
def assert_even(draws, options):
    """Each of the options as often as the others, within 4 sigma."""
    share = np.bincount(np.asarray(draws), minlength=options) / len(draws)
    assert len(share) == options
    assert np.abs(share - 1 / options).max() <= 4 * np.sqrt((1 - 1 / options) / options / len(draws))


@pytest.mark.parametrize("sizes", [(1, 2), (4, 8), (3, 10)])
def test_pairs_are_drawn_evenly(sizes):
    task = PairMatching(*sizes)
    inputs, targets = sample(task, 20_000, 0)
    P, V = sizes
    left, right = inputs[:, :P, :V].argmax(axis=-1), inputs[:, :P, V:-1].argmax(axis=-1)
    asked = inputs[:, -1, :V].argmax(axis=-1)
    for elements in (left[:, 0], right[:, 0], left[:, -1], right[:, -1], asked, targets[:, 0]):
        assert_even(elements, V)
    step, side = np.nonzero(np.stack([left, right], axis=-1) == asked[:, None, None])[1:]
    assert_even(2 * step + side, 2 * P)
    assert_even((targets[:, 0] - asked) % V - 1, V - 1)


def test_values_are_drawn_evenly():
    inputs, _ = sample(Sorting(3, 5), 20_000, 0)
    values = inputs[:, :3, :5].argmax(axis=-1)
    for step in range(3):
        assert_even(values[:, step], 5)
    assert_even(5 * values[:, 0] + values[:, 1], 25)  # independent, so also equal as often as not


def test_moves_are_drawn_evenly():
    """From every cell to each of its neighbours, seen where an object moves twice in a row."""
    N, G = 2, 3
    inputs, targets = sample(ObjectTracking(N, G, 4), 40_000, 0)
    who = inputs[:, :-1, :N].argmax(axis=-1)
    x, y = np.rint(inputs[:, :-1, N : N + 2] * (G - 1)).astype(int).transpose(2, 0, 1)
    for step in range(4):
        assert_even(who[:, step], N)
    twice = who[:, 2] == who[:, 3]
    cell, after = (x * G + y)[twice, 2], (x * G + y)[twice, 3]
    for a, b in itertools.product(range(G), repeat=2):
        near = [p * G + q for p, q in itertools.product(range(G), repeat=2) if abs(p - a) + abs(q - b) == 1]
        taken = after[cell == a * G + b]
        assert set(taken) == set(near)
        assert_even(np.searchsorted(near, taken), len(near))
    for numbers in (targets[:, 0, 0], targets[:, 0, 1]):  # a grid has no preferred side, nor do x and y differ
        half = np.rint(numbers * 2).astype(int)
        assert_even(half[half != 1] // 2, 2)
    assert abs((targets[:, 0, 0] ** 2 - targets[:, 0, 1] ** 2).mean()) < 4 / np.sqrt(40_000)


def test_the_asked_object_is_an_even_choice_of_those_shown():
    """However often each was shown."""
    N = 3
    inputs, _ = sample(ObjectTracking(N, 4, 4), 40_000, 0)
    times, asked = inputs[:, :-1, :N].sum(axis=1), inputs[:, -1, :N].argmax(axis=-1)
    for counts in ([4, 0, 0], [0, 4, 0], [3, 1, 0], [1, 3, 0], [2, 2, 0], [0, 1, 3], [1, 0, 3], [2, 1, 1], [1, 1, 2]):
        names, these = np.flatnonzero(counts), (times == counts).all(axis=1)
        assert set(asked[these]) == set(names)
        assert_even(np.searchsorted(names, asked[these]), len(names))


def walk(G, moves):
    """Where an object is after so many moves from an evenly drawn cell: {(x, y): probability}."""
    at = {cell: 1 / G**2 for cell in itertools.product(range(G), repeat=2)}
    for _ in range(moves):
        after = dict.fromkeys(at, 0.0)
        for (x, y), p in at.items():
            near = [cell for cell in ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)) if cell in at]
            for cell in near:
                after[cell] += p / len(near)
        at = after
    return at


@pytest.mark.parametrize("sizes", [(2, 1), (3, 1), (5, 2), (4, 7)])
def test_one_object_is_where_a_walk_takes_it(sizes):
    G, moves = sizes
    _, targets = sample(ObjectTracking(1, G, moves), 20_000, 0)
    x, y = np.rint(targets[:, 0] * (G - 1)).astype(int).T
    for (a, b), p in walk(G, moves).items():
        assert abs(((x == a) & (y == b)).mean() - p) < 4 * np.sqrt(p * (1 - p) / 20_000)


# ---------------------------------------------------------------------------------------------------------------------
# Shortcuts: what their scores say, and the rules played out
# ---------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("sizes", [(1, 2), (1, 5), (2, 4), (3, 6), (4, 8), (7, 20)])
def test_pair_shortcuts_played_out(sizes):
    task, size, rng = PairMatching(*sizes), 4000, random.Random(11)
    inputs, targets = sample(task, size, 7)
    hits = dict.fromkeys(["chance", "any other element shown", "last pair, else any other"], 0)
    assert list(task.shortcuts()) == list(hits)
    pairs_of_all = inputs[:, :-1, :-1].reshape(size, task.num_pairs, 2, task.vocab_size).argmax(axis=-1).tolist()
    asked_of_all = inputs[:, -1, : task.vocab_size].argmax(axis=-1).tolist()
    for pairs, asked, answer in zip(pairs_of_all, asked_of_all, targets[:, 0].tolist()):
        others = [element for pair in pairs for element in pair if element != asked]
        hits["chance"] += rng.randrange(task.vocab_size) == answer
        hits["any other element shown"] += rng.choice(others) == answer
        if asked in pairs[-1]:
            guess = sum(pairs[-1]) - asked
        else:
            guess = rng.choice([element for element in others if element not in pairs[-1]])
        hits["last pair, else any other"] += guess == answer
    for rule, score in task.shortcuts().items():
        assert abs(hits[rule] / size - score) <= 3.5 * np.sqrt(score * (1 - score) / size), rule


def test_few_pairs_are_decided_by_the_last():
    assert set(PairMatching(1, 2).shortcuts().values()) == {1 / 2, 1}
    assert PairMatching(2, 9).shortcuts()["last pair, else any other"] == 1
    assert PairMatching(3, 9).shortcuts()["last pair, else any other"] == pytest.approx(1 / 3 + 2 / 9)


@pytest.mark.parametrize("sizes", [(1, 2), (2, 2), (3, 4), (4, 5), (5, 3)])
def test_sorting_shortcuts_over_all_stories(sizes):
    """Every list of values counted once: no chance is left in the comparison."""
    L, V = sizes
    stories = list(itertools.product(range(V), repeat=L))
    answers = [sorted(story) for story in stories]
    likeliest = [max(sum(a[i] == v for a in answers) for v in range(V)) / len(stories) for i in range(L)]
    copied = sum(a[i] == s[i] for a, s in zip(answers, stories) for i in range(L)) / (L * len(stories))
    assert Sorting(L, V).shortcuts() == pytest.approx(
        {"chance": 1 / V, "most likely value of each place": sum(likeliest) / L, "copied as read": copied}
    )


@pytest.mark.parametrize("sizes", [(4, 8), (12, 6), (7, 20)])
def test_sorting_shortcuts_played_out(sizes):
    (L, V), size, rng = sizes, 20_000, np.random.default_rng(11)
    task = Sorting(L, V)
    inputs, targets = sample(task, size, 7)
    _, known = sample(task, size, 8)  # the likeliest values are learnt from other examples
    likeliest = [np.bincount(column).argmax() for column in known.T]
    played = {
        "chance": rng.integers(V, size=(size, L)),
        "most likely value of each place": np.tile(likeliest, (size, 1)),
        "copied as read": inputs[:, :L, :V].argmax(axis=-1),
    }
    assert list(task.shortcuts()) == list(played)
    for rule, score in task.shortcuts().items():
        hits = (played[rule] == targets).mean(axis=1)
        assert abs(hits.mean() - score) < 3.5 * hits.std() / np.sqrt(size), rule


@pytest.mark.parametrize("sizes", [(3, 5, 8), (2, 3, 3), (5, 8, 12), (1, 4, 2)])
def test_tracking_shortcuts_played_out(sizes):
    task, size, N = ObjectTracking(*sizes), 5000, sizes[0]
    inputs, targets = sample(task, size, 7)
    played = {rule: [] for rule in task.shortcuts()}
    names_of_all, places_of_all = inputs[..., :N].argmax(axis=-1).tolist(), inputs[:, :-1, N : N + 2].tolist()
    for (*names, asked), places in zip(names_of_all, places_of_all):
        own = [place for name, place in zip(names, places) if name == asked]
        guesses = (
            [0.5, 0.5],
            places[-1] if names[-1] == asked else [0.5, 0.5],
            [sum(place[i] for place in places) / len(places) for i in (0, 1)],
            own[0],
            [sum(place[i] for place in own) / len(own) for i in (0, 1)],
        )
        for rule, guess in zip(played, guesses, strict=True):
            played[rule].append(guess)
    assert list(played) == [
        "middle of the grid", "last place if its own, else middle", "mean of all places shown",
        "where it was shown first", "mean of its own places",
    ]  # fmt: skip
    for rule, score in task.shortcuts().items():
        squares = ((np.array(played[rule]) - targets[:, 0]) ** 2).mean(axis=1)
        # The score comes from 20,000 examples: the variance of the difference is 1 + 5000 / 20,000 times as large.
        sigma = np.sqrt(1.25) * squares.std() / np.sqrt(size)
        assert abs(squares.mean() - score**2) <= 4 * sigma + 1e-9, rule  # where all miss alike, float32 rounds


@pytest.mark.parametrize("sizes", [(2, 1), (5, 2), (4, 7)])
def test_the_middle_of_the_grid_is_known_exactly_for_one_object(sizes):
    G, moves = sizes
    square = sum(p * (x / (G - 1) - 0.5) ** 2 for (x, _), p in walk(G, moves).items())
    assert ObjectTracking(1, G, moves).shortcuts()["middle of the grid"] == pytest.approx(math.sqrt(square), rel=0.02)
    assert ObjectTracking(1, G, moves).shortcuts()["last place if its own, else middle"] == 0


@pytest.mark.parametrize("task", TASKS, ids=repr)
def test_shortcuts_are_the_same_every_time(task):
    scores = task.shortcuts()
    assert scores == eval(repr(task)).shortcuts() and all(type(score) is float for score in scores.values())
    scores.clear()  # a copy: the task keeps its own
    assert next(iter(task.shortcuts())) == ("middle of the grid" if task.target_kind == "number" else "chance")


# ---------------------------------------------------------------------------------------------------------------------
# In words and as a picture
# ---------------------------------------------------------------------------------------------------------------------
@quick
@given(tasks, seeds)
def test_describe_tells_the_story_and_the_answer(task, seed):
    inputs, targets = sample(task, 1, seed)
    *lines, question = task.describe(inputs[0]).splitlines()
    assert [line.split(":")[0] for line in lines] == [f"step {t}" for t in range(1, task.num_inputs + 1)]
    told = [[int(word) for word in re.findall(r"\b\d+\b(?!\.)", line.split(":")[1])] for line in lines]
    question, answer = question.split("? ")
    numbers = [float(word) for word in re.findall(r"\d+\.\d+|\d+", answer)]
    if isinstance(task, PairMatching):
        pairs, asked = read_pairs(task, inputs[0])
        assert told == [*map(list, pairs), [asked]]
        assert question.endswith(f"element {asked}") and numbers == targets[0].tolist()
    elif isinstance(task, Sorting):
        assert told[: task.length] == [[value] for value in read_values(task, inputs[0])]
        assert numbers == targets[0].tolist()
    else:
        moves, asked = read_moves(task, inputs[0])
        for line, (name, x, y) in zip(lines, moves):
            cell = [round(value * (task.grid_size - 1)) for value in (x, y)]
            assert f"object {name} moves to cell ({cell[0]}, {cell[1]}), shown as ({x:.2f}, {y:.2f})" in line
        assert lines[-1].endswith(f"object {asked}") and question.endswith(f"object {asked}")
        assert numbers[2:] == pytest.approx(targets[0, 0].tolist(), abs=0.0051)
        assert numbers[:2] == pytest.approx((targets[0, 0] * (task.grid_size - 1)).tolist(), abs=1e-5)


@pytest.mark.parametrize("task", TASKS, ids=repr)
def test_draw(task):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    inputs, targets = sample(task, 1, 0)
    kept = inputs.copy()
    figure = task.draw(inputs[0])
    np.testing.assert_array_equal(inputs, kept)
    assert isinstance(figure, Figure)
    FigureCanvasAgg(figure).draw()
    assert all(axis.get_xlabel() and axis.get_ylabel() and axis.get_title() for axis in figure.axes)
    title, texts = figure.axes[0].get_title(), [text.get_text() for text in figure.axes[0].texts]
    if isinstance(task, PairMatching):
        asked = read_pairs(task, inputs[0])[1]
        assert title == f"partner of {asked}? The answer is {targets[0, 0]}"
        assert texts[-4:] == [str(asked), str(targets[0, 0]), "asked", "answer"]
    elif isinstance(task, Sorting):
        numbers = [int(text) for text in texts if text.isdigit()]
        assert numbers == read_values(task, inputs[0]) + targets[0].tolist()
    else:
        x, y = np.rint(targets[0, 0] * (task.grid_size - 1)).astype(int)
        moves, asked = read_moves(task, inputs[0])
        assert title.startswith(f"where is object {asked}? The answer is cell ({x}, {y})")
        assert sorted(texts) == sorted({str(name) for name, _, _ in moves})
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert 0 <= box.x0 and box.x1 <= width and 0 <= box.y0 and box.y1 <= height  # nothing is cut off


# ---------------------------------------------------------------------------------------------------------------------
# Sizes
# ---------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: PairMatching(0), ValueError, "num_pairs must be at least 1, got 0"),
        (lambda: PairMatching(2.0), TypeError, "num_pairs must be a whole number, got 2.0"),
        (lambda: PairMatching(4, 7), ValueError, r"vocab_size must be at least 2 \* num_pairs = 8.* got 7"),
        (lambda: PairMatching(4, "8"), TypeError, "vocab_size must be a whole number"),
        (lambda: Sorting(0), ValueError, "length must be at least 1, got 0"),
        (lambda: Sorting(True), TypeError, "length must be a whole number, got True"),
        (lambda: Sorting(4, 1), ValueError, "vocab_size must be at least 2, got 1"),
        (lambda: ObjectTracking(0), ValueError, "num_objects must be at least 1, got 0"),
        (lambda: ObjectTracking(3, 1), ValueError, "grid_size must be at least 2, got 1"),
        (lambda: ObjectTracking(3, 5, 0), ValueError, "num_steps must be at least 1, got 0"),
        (lambda: ObjectTracking(3, 5, None), TypeError, "num_steps must be a whole number, got None"),
        (lambda: Sorting().sample(0, np.random.default_rng(0)), ValueError, "batch_size must be at least 1"),
        (lambda: PairMatching().sample(5, 0), TypeError, "rng must be a numpy.random.Generator"),
        (lambda: ObjectTracking().sample(5, np.random), TypeError, "rng must be a numpy.random.Generator"),
        (lambda: Sorting().solve(np.zeros((2, 8, 8))), ValueError, "inputs must have shape"),
        (lambda: PairMatching().describe(np.zeros((4, 17))), ValueError, "inputs_i must have shape"),
        (lambda: ObjectTracking().draw(np.zeros((1, 9, 6))), ValueError, "inputs_i must have 2 axes"),
    ],
)
def test_what_does_not_fit_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("task", TASKS, ids=repr)
def test_repr_makes_the_task_again(task):
    again = eval(repr(task), {type(task).__name__: type(task)})
    assert type(again) is type(task) and repr(again) == repr(task)
    assert all(getattr(again, name) == getattr(task, name) for name in task._sizes)
    assert all(type(size) is int for size in (task.input_size, task.output_size, task.num_inputs))


def test_sizes_that_share_a_width():
    for one, other in [
        (PairMatching(2, 12), PairMatching(6, 12)),
        (Sorting(3, 10), Sorting(9, 10)),
        (ObjectTracking(4, 3, 5), ObjectTracking(4, 9, 20)),
    ]:
        assert (one.input_size, one.output_size) == (other.input_size, other.output_size)
        model = rh.LSTM(one.input_size, 4, one.output_size)
        score = "error" if one.target_kind == "number" else "accuracy"
        for task in (one, other):
            assert 0 < rh.evaluate(model, task, examples=200)[score] < 1


def test_a_guess_of_the_middle_scores_what_shortcuts_says():
    """The error of the shortcuts is the error of evaluate: a model of zeros, but for a bias of one half."""
    task = ObjectTracking()
    model = rh.LSTM(task.input_size, 4, task.output_size)
    model.flat[:] = 0
    bias = [name for name, array in model.params.items() if array.shape == (2,)]
    model.params[bias[0]][:] = 0.5
    assert rh.evaluate(model, task)["error"] == pytest.approx(task.shortcuts()["middle of the grid"], rel=0.02)
