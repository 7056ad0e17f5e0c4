"""Sorting against Python's sorted, for sizes and seeds that hypothesis chooses."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_checks import assert_drawn_evenly, check_agreement, drawn, few, hot, quick, sample, seeds

from rrnn.tasks import Sorting

tasks = st.builds(Sorting, st.integers(1, 6), st.integers(2, 7))


def read(task, inputs_i):
    """The values of one example as they came, as the encoding says."""
    L = task.length
    steps = [(hot(row[:-1]), row[-1]) for row in inputs_i]
    assert all(flag == 0 for _, flag in steps[:L]) and steps[L:] == [(None, 1)] * L
    return [value for value, _ in steps[:L]]


def brute_force(task, inputs_i):
    return sorted(read(task, inputs_i))


@quick
@given(tasks, seeds, few)
def test_targets_oracle_and_brute_force_agree(task, seed, batch_size):
    check_agreement(task, brute_force, seed, batch_size)


@quick
@given(tasks, seeds)
def test_encoding(task, seed):
    L, V = task.length, task.vocab_size
    assert (task.num_inputs, task.input_size, task.output_size) == (2 * L, V + 1, V)
    inputs, targets = sample(task, 5, seed)
    assert targets.dtype == np.int64 and targets.shape == (5, L) and task.target_kind == "class"
    assert all(None not in read(task, inputs_i) for inputs_i in inputs)


def test_the_order_read_does_not_matter():
    task = Sorting(6, 9)
    inputs, targets = sample(task, 100, 0)
    order = np.r_[np.random.default_rng(1).permutation(6), 6:12]
    np.testing.assert_array_equal(task.solve(inputs[:, order]), targets)
    for step in range(6):  # but every value does
        other = inputs.copy()
        other[:, step] = np.roll(other[:, step], 1, axis=0)
        assert task.solve(other).tolist() == [brute_force(task, inputs_i) for inputs_i in other]
        assert (task.solve(other) != targets).any()


def test_values_are_drawn_evenly():
    inputs, _ = sample(Sorting(3, 5), 20_000, 0)
    values = inputs[:, :3, :5].argmax(axis=-1)
    for step in range(3):
        assert_drawn_evenly(values[:, step], 5)
    both = 5 * values[:, 0] + values[:, 1]  # independent, so also equal as often as not
    assert_drawn_evenly(both, 25)


@pytest.mark.parametrize("sizes", [(1, 2), (2, 2), (3, 4), (4, 5), (5, 3)])
def test_shortcuts_over_all_lists(sizes):
    """Every list of values counted once: no chance is left in the comparison."""
    L, V = sizes
    lists = list(itertools.product(range(V), repeat=L))
    answers = [sorted(values) for values in lists]
    likeliest = [max(sum(a[i] == v for a in answers) for v in range(V)) for i in range(L)]
    copied = sum(a[i] == values[i] for a, values in zip(answers, lists) for i in range(L))
    assert Sorting(L, V).shortcuts() == pytest.approx({
        "chance": 1 / V,
        "most likely value of each place": sum(likeliest) / L / len(lists),
        "copied as read": copied / L / len(lists),
    })  # fmt: skip


@pytest.mark.parametrize("sizes", [(4, 8), (12, 6), (7, 20)])
def test_shortcuts_played_out(sizes):
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


@quick
@given(tasks, seeds)
def test_describe_tells_the_values_and_the_answer(task, seed):
    inputs, targets = sample(task, 1, seed)
    lines = [f"value {value}" for value in read(task, inputs[0])]
    places = range(1, task.length + 1)
    lines += [f"blank, write sorted value number {place}" for place in places]
    answer = f"Which values, the smallest first? {', '.join(map(str, targets[0]))}."
    told = [f"step {t}: {line}" for t, line in enumerate(lines, 1)]
    assert task.describe(inputs[0]).splitlines() == [*told, answer]


@pytest.mark.parametrize("sizes", [(), (1, 2), (9, 3), (16, 40)])
def test_draw(sizes):
    task = Sorting(*sizes)
    inputs, targets = sample(task, 1, 0)
    axes = drawn(task, inputs[0])
    assert all(axis.get_title() and axis.get_ylabel() for axis in axes)
    written = [int(text.get_text()) for text in axes[0].texts if text.get_text().isdigit()]
    assert written == read(task, inputs[0]) + targets[0].tolist()
