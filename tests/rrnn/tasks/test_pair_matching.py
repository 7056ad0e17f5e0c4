"""PairMatching against a dictionary of partners, for sizes and seeds that hypothesis chooses."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_checks import assert_drawn_evenly, check_agreement, drawn, few, hot, quick, sample, seeds

from rrnn.tasks import PairMatching


@st.composite
def tasks(draw):
    pairs = draw(st.integers(1, 6))
    return PairMatching(pairs, 2 * pairs + draw(st.integers(0, 4)))


def read(task, inputs_i):
    """The pairs and the asked element of one example, as the encoding says."""
    V = task.vocab_size
    *pairs, question = [(hot(row[:V]), hot(row[V : 2 * V]), row[2 * V]) for row in inputs_i]
    assert all(flag == 0 for _, _, flag in pairs) and question[1:] == (None, 1)
    return [pair[:2] for pair in pairs], question[0]


def brute_force(task, inputs_i):
    pairs, asked = read(task, inputs_i)
    partner = {}
    for left, right in pairs:
        partner[left], partner[right] = right, left
    return [partner[asked]]


@quick
@given(tasks(), seeds, few)
def test_targets_oracle_and_brute_force_agree(task, seed, batch_size):
    check_agreement(task, brute_force, seed, batch_size)


@quick
@given(tasks(), seeds)
def test_encoding(task, seed):
    P, V = task.num_pairs, task.vocab_size
    assert (task.num_inputs, task.input_size, task.output_size) == (P + 1, 2 * V + 1, V)
    inputs, targets = sample(task, 5, seed)
    assert targets.dtype == np.int64 and targets.shape == (5, 1) and task.target_kind == "class"
    for inputs_i in inputs:
        pairs, asked = read(task, inputs_i)
        shown = [element for pair in pairs for element in pair]
        assert len(set(shown)) == 2 * P and asked in shown


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


@pytest.mark.parametrize("sizes", [(1, 2), (4, 8), (3, 10)])
def test_pairs_are_drawn_evenly(sizes):
    task = PairMatching(*sizes)
    inputs, targets = sample(task, 20_000, 0)
    P, V = sizes
    left, right = inputs[:, :P, :V].argmax(axis=-1), inputs[:, :P, V:-1].argmax(axis=-1)
    asked = inputs[:, -1, :V].argmax(axis=-1)
    for elements in (left[:, 0], right[:, 0], left[:, -1], right[:, -1], asked, targets[:, 0]):
        assert_drawn_evenly(elements, V)
    step, side = np.nonzero(np.stack([left, right], axis=-1) == asked[:, None, None])[1:]
    assert_drawn_evenly(2 * step + side, 2 * P)
    assert_drawn_evenly((targets[:, 0] - asked) % V - 1, V - 1)


@pytest.mark.parametrize("sizes", [(1, 2), (1, 5), (2, 4), (3, 6), (4, 8), (7, 20)])
def test_shortcuts_played_out(sizes):
    task, size, rng = PairMatching(*sizes), 4000, random.Random(11)
    inputs, targets = sample(task, size, 7)
    hits = dict.fromkeys(["chance", "any other element shown", "last pair, else any other"], 0)
    assert list(task.shortcuts()) == list(hits)
    shown = inputs[:, :-1, :-1].reshape(size, task.num_pairs, 2, task.vocab_size)
    asked_of_all = inputs[:, -1, : task.vocab_size].argmax(axis=-1).tolist()
    examples = zip(shown.argmax(axis=-1).tolist(), asked_of_all, targets[:, 0].tolist())
    for pairs, asked, answer in examples:
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
    last = lambda *sizes: PairMatching(*sizes).shortcuts()["last pair, else any other"]
    assert last(2, 9) == 1 and last(3, 9) == pytest.approx(1 / 3 + 2 / 9)


@quick
@given(tasks(), seeds)
def test_describe_tells_the_pairs_and_the_answer(task, seed):
    inputs, targets = sample(task, 1, seed)
    pairs, asked = read(task, inputs[0])
    lines = [f"elements {left} and {right} are a pair" for left, right in pairs]
    lines.append(f"a question about element {asked}")
    answer = f"Which element is the partner of element {asked}? Element {targets[0, 0]}."
    told = [f"step {t}: {line}" for t, line in enumerate(lines, 1)]
    assert task.describe(inputs[0]).splitlines() == [*told, answer]


@pytest.mark.parametrize("sizes", [(), (1, 2), (2, 11), (12, 30)])
def test_draw(sizes):
    task = PairMatching(*sizes)
    inputs, targets = sample(task, 1, 0)
    axes = drawn(task, inputs[0])
    assert all(axis.get_title() and axis.get_ylabel() for axis in axes)
    asked = read(task, inputs[0])[1]
    assert axes[0].get_title() == f"partner of {asked}? The answer is {targets[0, 0]}"
    texts = [text.get_text() for text in axes[0].texts]
    assert texts[-4:] == [str(asked), str(targets[0, 0]), "asked", "answer"]
