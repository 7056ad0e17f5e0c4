"""ObjectTracking against a dictionary of places, for sizes and seeds that hypothesis chooses."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import lstm
from task_checks import assert_drawn_evenly, check_agreement, drawn, few, hot, quick, sample, seeds

from rrnn.tasks import ObjectTracking
from rrnn.training import evaluate

tasks = st.builds(ObjectTracking, st.integers(1, 5), st.integers(2, 5), st.integers(1, 10))


def read(task, inputs_i):
    """(object, x, y) of every move, x and y as they are encoded, and the asked object."""
    N = task.num_objects
    rows = [(hot(row[:N]), *row[N : N + 2].tolist(), row[N + 2]) for row in inputs_i]
    *moves, question = rows
    assert all(flag == 0 for *_, flag in moves) and question[1:] == (0, 0, 1)
    return [move[:3] for move in moves], question[0]


def brute_force(task, inputs_i):
    moves, asked = read(task, inputs_i)
    at = {name: [x, y] for name, x, y in moves}
    return [at[asked]]


@quick
@given(tasks, seeds, few)
def test_targets_oracle_and_brute_force_agree(task, seed, batch_size):
    check_agreement(task, brute_force, seed, batch_size)


@quick
@given(tasks, seeds)
def test_encoding(task, seed):
    """Every place shown is a cell of the grid, one move away from where the object was before."""
    N, G, T = task.num_objects, task.grid_size, task.num_steps
    assert (task.num_inputs, task.input_size, task.output_size) == (T + 1, N + 3, 2)
    inputs, targets = sample(task, 5, seed)
    assert targets.dtype == np.float32 and targets.shape == (5, 1, 2)
    assert task.target_kind == "number"
    for inputs_i in inputs:
        moves, asked = read(task, inputs_i)
        at = {}
        for name, *place in moves:
            x, y = (round(value * (G - 1)) for value in place)
            assert 0 <= x < G and 0 <= y < G
            assert place == [np.float32(x / (G - 1)), np.float32(y / (G - 1))]
            if name in at:
                assert abs(x - at[name][0]) + abs(y - at[name][1]) == 1
            at[name] = x, y
        assert asked in at


def test_the_last_place_of_the_asked_object_decides_alone():
    task = ObjectTracking(3, 5, 9)
    inputs, targets = sample(task, 200, 0)
    who = inputs[..., :3].argmax(axis=-1)
    other, place = (who[:, :-1] != who[:, -1:])[..., None], inputs[:, :-1, 3:5]
    elsewhere, moved = inputs.copy(), inputs.copy()
    elsewhere[:, :-1, 3:5] = np.where(other, 1 - place, place)
    np.testing.assert_array_equal(task.solve(elsewhere), targets)
    moved[:, :-1, 3:5] = np.where(other, place, 1 - place)
    np.testing.assert_array_equal(task.solve(moved), 1 - targets)
    backwards = np.concatenate([inputs[:, -2::-1], inputs[:, -1:]], axis=1)
    right = [brute_force(task, inputs_i) for inputs_i in backwards]
    assert task.solve(backwards).tolist() == right
    assert (task.solve(backwards) != targets).any()


# --- What is drawn evenly --------------------------------------------------------------------
def test_moves_are_drawn_evenly():
    """From every cell to each of its neighbours, seen where an object moves twice in a row."""
    N, G = 2, 3
    inputs, targets = sample(ObjectTracking(N, G, 4), 40_000, 0)
    who = inputs[:, :-1, :N].argmax(axis=-1)
    x, y = np.rint(inputs[:, :-1, N : N + 2] * (G - 1)).astype(int).transpose(2, 0, 1)
    for step in range(4):
        assert_drawn_evenly(who[:, step], N)
    twice = who[:, 2] == who[:, 3]
    cell, after = (x * G + y)[twice, 2], (x * G + y)[twice, 3]
    cells = list(itertools.product(range(G), repeat=2))
    for a, b in cells:
        near = [p * G + q for p, q in cells if abs(p - a) + abs(q - b) == 1]
        taken = after[cell == a * G + b]
        assert set(taken) == set(near)
        assert_drawn_evenly(np.searchsorted(near, taken), len(near))
    # a grid has no preferred side, nor do x and y differ
    for numbers in (targets[:, 0, 0], targets[:, 0, 1]):
        half = np.rint(numbers * 2).astype(int)
        assert_drawn_evenly(half[half != 1] // 2, 2)
    assert abs((targets[:, 0, 0] ** 2 - targets[:, 0, 1] ** 2).mean()) < 4 / np.sqrt(40_000)


def test_the_asked_object_is_an_even_choice_of_those_shown():
    """However often each was shown."""
    N = 3
    inputs, _ = sample(ObjectTracking(N, 4, 4), 40_000, 0)
    times, asked = inputs[:, :-1, :N].sum(axis=1), inputs[:, -1, :N].argmax(axis=-1)
    for counts in ([4, 0, 0], [0, 4, 0], [3, 1, 0], [1, 3, 0], [2, 2, 0], [0, 1, 3], [1, 0, 3],
                   [2, 1, 1], [1, 1, 2]):  # fmt: skip
        names, these = np.flatnonzero(counts), (times == counts).all(axis=1)
        assert set(asked[these]) == set(names)
        assert_drawn_evenly(np.searchsorted(names, asked[these]), len(names))


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


# --- Shortcuts: what their scores say, and the rules played out ------------------------------
@pytest.mark.parametrize("sizes", [(3, 5, 8), (2, 3, 3), (5, 8, 12), (1, 4, 2)])
def test_shortcuts_played_out(sizes):
    task, size, N = ObjectTracking(*sizes), 5000, sizes[0]
    inputs, targets = sample(task, size, 7)
    played = {
        "middle of the grid": [], "last place if its own, else middle": [],
        "mean of all places shown": [], "where it was shown first": [],
        "mean of its own places": [],
    }  # fmt: skip
    assert list(task.shortcuts()) == list(played)
    mean = lambda places: [sum(place[i] for place in places) / len(places) for i in (0, 1)]
    who, shown = inputs[..., :N].argmax(axis=-1).tolist(), inputs[:, :-1, N : N + 2].tolist()
    for (*names, asked), places in zip(who, shown):
        own = [place for name, place in zip(names, places) if name == asked]
        last = places[-1] if names[-1] == asked else [0.5, 0.5]
        guesses = [0.5, 0.5], last, mean(places), own[0], mean(own)
        for rule, guess in zip(played, guesses, strict=True):
            played[rule].append(guess)
    for rule, score in task.shortcuts().items():
        squares = ((np.array(played[rule]) - targets[:, 0]) ** 2).mean(axis=1)
        # The score comes from 20,000 examples: the variance of the difference is 1 + 5000 / 20,000
        # times as large. Where all miss alike, float32 rounds.
        sigma = np.sqrt(1.25) * squares.std() / np.sqrt(size)
        assert abs(squares.mean() - score**2) <= 4 * sigma + 1e-9, rule


@pytest.mark.parametrize("sizes", [(2, 1), (5, 2), (4, 7)])
def test_the_middle_of_the_grid_is_known_exactly_for_one_object(sizes):
    G, moves = sizes
    square = sum(p * (x / (G - 1) - 0.5) ** 2 for (x, _), p in walk(G, moves).items())
    scores = ObjectTracking(1, G, moves).shortcuts()
    assert scores["middle of the grid"] == pytest.approx(math.sqrt(square), rel=0.02)
    assert scores["last place if its own, else middle"] == 0


def test_a_guess_of_the_middle_scores_what_shortcuts_says():
    """Their error is that of evaluate: a model of zeros, but for a bias of one half."""
    task = ObjectTracking()
    model = lstm(task.input_size, 4, task.output_size)
    model.flat[:] = 0
    model.params["b_out"] = [0.5, 0.5]
    score = task.shortcuts()["middle of the grid"]
    assert evaluate(model, task)["error"] == pytest.approx(score, rel=0.02)


# --- In words and as a picture ---------------------------------------------------------------
@quick
@given(tasks, seeds)
def test_describe_tells_the_moves_and_the_answer(task, seed):
    inputs, targets = sample(task, 1, seed)
    moves, asked = read(task, inputs[0])
    cell = lambda x, y: f"({round(x * (task.grid_size - 1))}, {round(y * (task.grid_size - 1))})"
    shown = lambda x, y: f"({x:.2f}, {y:.2f})"
    lines = [f"object {name} moves to cell {cell(*at)}, shown as {shown(*at)}"
             for name, *at in moves]  # fmt: skip
    lines.append(f"a question about object {asked}")
    at = targets[0, 0].tolist()
    answer = f"Where is object {asked}? In cell {cell(*at)}, that is {shown(*at)}."
    told = [f"step {t}: {line}" for t, line in enumerate(lines, 1)]
    assert task.describe(inputs[0]).splitlines() == [*told, answer]


@pytest.mark.parametrize("sizes", [(), (1, 2, 1), (2, 9, 5), (8, 4, 20)])
def test_draw(sizes):
    task = ObjectTracking(*sizes)
    inputs, targets = sample(task, 1, 0)
    axes = drawn(task, inputs[0])
    assert all(axis.get_title() and axis.get_ylabel() for axis in axes)
    x, y = np.rint(targets[0, 0] * (task.grid_size - 1)).astype(int)
    moves, asked = read(task, inputs[0])
    title = f"where is object {asked}? The answer is cell ({x}, {y})"
    assert axes[0].get_title().startswith(title)
    texts = sorted(text.get_text() for text in axes[0].texts)
    assert texts == sorted({str(name) for name, _, _ in moves})
