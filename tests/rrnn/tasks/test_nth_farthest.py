"""The n-th farthest task against a brute force with Python loops, for sizes and seeds that
hypothesis chooses."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_checks import assert_drawn_evenly, check_agreement, drawn, few, hot, quick, sample, seeds

from rrnn.tasks import NthFarthest


@st.composite
def tasks(draw):
    k, d = draw(st.integers(2, 7)), draw(st.integers(1, 5))
    return NthFarthest(k, d, labels=k + draw(st.integers(0, 3)), dims=d + draw(st.integers(0, 3)))


def read(task, inputs_i):
    """x, label, index of n and label of m of every step of one example, as the encoding says."""
    D, K = task.dims, task.labels
    steps = []
    for row in inputs_i:
        x, *one_hots = row[:D], row[D : D + K], row[D + K : D + 2 * K], row[D + 2 * K :]
        steps.append((x.tolist(), *map(hot, one_hots)))
    return steps


def brute_force(task, inputs_i):
    """The answer by the rules of section 4 of the design, with loops over Python floats."""
    steps = read(task, inputs_i)
    assert len({(n, m) for _, _, n, m in steps}) == 1  # the question is the same at every step
    _, _, n_index, m = steps[0]
    at = {label: x for x, label, _, _ in steps}
    others = [label for label in at if label != m]
    farthest_first = sorted(others, key=lambda label: -math.dist(at[label], at[m])) + [m]
    return farthest_first[n_index - (task.labels - task.num_vectors)]


@quick
@given(tasks(), seeds, few)
def test_targets_oracle_and_brute_force_agree(task, seed, batch_size):
    check_agreement(task, lambda task, inputs_i: [brute_force(task, inputs_i)], seed, batch_size)


@quick
@given(tasks(), seeds, few)
def test_encoding(task, seed, batch_size):
    inputs, targets = sample(task, batch_size, seed)
    k, d = task.num_vectors, task.num_dims
    assert inputs.dtype == np.float32 and inputs.shape == (batch_size, k, task.input_size)
    assert task.input_size == task.dims + 3 * task.labels and task.output_size == task.labels
    assert targets.dtype.kind == "i" and targets.min() >= 0 and targets.max() < k
    for inputs_i in inputs:
        steps = read(task, inputs_i)
        assert sorted(label for _, label, _, _ in steps) == list(range(k))
        assert all(task.labels - k <= n < task.labels and m < k for _, _, n, m in steps)
    assert np.abs(inputs[..., :d]).max() <= 1 and not inputs[..., d : task.dims].any()


@quick
@given(tasks(), seeds)
def test_the_padded_task_is_the_small_one_with_room(task, seed):
    """Same seed, same vectors and the same question; only the places in the input differ."""
    k, d, K, D = task.num_vectors, task.num_dims, task.labels, task.dims
    wide, small = sample(task, 5, seed), sample(NthFarthest(k, d), 5, seed)
    np.testing.assert_array_equal(wide.targets, small.targets)
    x, label, n, m = np.split(wide.inputs, [D, D + K, D + 2 * K], axis=-1)
    squeezed = np.concatenate([x[..., :d], label[..., :k], n[..., K - k :], m[..., :k]], axis=-1)
    np.testing.assert_array_equal(squeezed, small.inputs)
    assert wide.inputs.sum() == pytest.approx(small.inputs.sum(), abs=1e-4)


@quick
@given(tasks(), seeds)
def test_the_last_n_means_m_itself(task, seed):
    inputs, targets = sample(task, 30, seed)
    n, m = inputs[:, 0, task.dims + task.labels : -task.labels], inputs[:, 0, -task.labels :]
    itself = n.argmax(axis=1) == task.labels - 1
    np.testing.assert_array_equal((targets[:, 0] == m.argmax(axis=1)), itself)


def test_a_copy_of_m_is_farther_than_m():
    """Two vectors in one place: with n = k the answer is still m itself."""
    task = NthFarthest(3, 2)
    inputs = sample(task, 200, 0).inputs
    inputs[..., :2] = 0.25
    assert [brute_force(task, inputs_i) for inputs_i in inputs] == task.solve(inputs)[:, 0].tolist()


def test_the_order_in_which_vectors_come_does_not_matter():
    task = NthFarthest(5, 3)
    inputs, targets = sample(task, 50, 0)
    np.testing.assert_array_equal(task.solve(inputs[:, ::-1]), targets)


def test_everything_is_drawn_evenly():
    task, size = NthFarthest(4, 3), 20_000
    inputs, targets = sample(task, size, 0)
    x, label, n, m = np.split(inputs, [3, 7, 11], axis=-1)
    for one_hot in (label[:, 0], label[:, 3], n[:, 0], m[:, 0], np.eye(4)[targets[:, 0]]):
        assert_drawn_evenly(one_hot.argmax(axis=1), 4)
    assert abs(x.mean()) < 4 / np.sqrt(3 * x.size) and np.abs(x).max() > 0.999
    assert x.var() == pytest.approx(1 / 3, abs=0.01)


# --- Shortcuts: what their scores say, and the rules played out ------------------------------
@pytest.mark.parametrize("k", [2, 3, 5, 8, 11])
def test_shortcuts_that_are_known_exactly(k):
    scores = list(NthFarthest(k, 4).shortcuts().values())
    assert scores[:2] == [1 / k, 2 / k]


@pytest.mark.parametrize("sizes", [(3, 2), (5, 3), (8, 16)])
def test_shortcuts_played_out(sizes):
    """Each rule on 20,000 examples, within 3 sigma of what shortcuts() says (of which the last is
    measured)."""
    task, size = NthFarthest(*sizes), 20_000
    (k, d), rng = sizes, np.random.default_rng(11)
    inputs, targets = sample(task, size, 7)
    x, label, n, m = np.split(inputs, [d, d + k, d + 2 * k], axis=-1)
    label, targets = label.argmax(axis=-1), targets[:, 0]
    n, m = n[:, 0].argmax(axis=-1), m[:, 0].argmax(axis=-1)
    guess = rng.integers(0, k, size)
    not_m = (m + rng.integers(1, k, size)) % k  # if n < k the answer is one of the others
    norms = np.linalg.norm(x, axis=-1)
    norms[label == m[:, None]] = -1
    order = np.argsort(-norms, axis=1)
    by_norm = np.take_along_axis(label, order, axis=1)[np.arange(size), n]
    played = {
        "chance": guess,
        "n = k means m, else guess": np.where(n == k - 1, m, not_m),
        "rank by norm, n = k means m": by_norm,
    }
    for (rule, score), answers in zip(task.shortcuts().items(), played.values(), strict=True):
        sigma = np.sqrt(score * (1 - score) / size)
        # that score comes from 40,000 examples itself
        sigma *= np.sqrt(1.5) if rule.startswith("rank") else 1
        assert abs((answers == targets).mean() - score) < 3 * sigma, rule


@pytest.mark.parametrize(("sizes", "score"), [((3, 2), 0.77), ((8, 16), 0.31)])
def test_what_ranking_by_norm_scores(sizes, score):
    found = NthFarthest(*sizes).shortcuts()["rank by norm, n = k means m"]
    assert found == pytest.approx(score, abs=0.01)


# --- In words and as a picture ---------------------------------------------------------------
@quick
@given(tasks(), seeds)
def test_describe_tells_the_answer_and_the_distances(task, seed):
    inputs, targets = sample(task, 1, seed)
    *lines, question = task.describe(inputs[0]).splitlines()
    assert len(lines) == task.num_vectors
    assert question.endswith(f"Vector {targets[0, 0]}.")
    steps = read(task, inputs[0])
    m = steps[0][3]
    assert f"from vector {m}?" in question
    at = {label: x for x, label, _, _ in steps}
    for line, (_, label, _, _) in zip(lines, steps, strict=True):
        assert f"vector {label} " in line
        far = float(re.search(r"([\d.]+) from vector", line)[1])
        assert far == pytest.approx(math.dist(at[label], at[m]), abs=0.006)


TASKS = [NthFarthest(3, 2), NthFarthest(8, 16), NthFarthest(3, 2, labels=5, dims=4)]


@pytest.mark.parametrize("task", TASKS, ids=repr)
def test_draw(task):
    inputs, targets = sample(task, 1, 0)
    vectors, distances = drawn(task, inputs[0])[:2]
    assert f"answer is {targets[0, 0]}" in vectors.get_title()
    bars = [label.get_text() for label in distances.get_yticklabels()]
    assert len(bars) == task.num_vectors
    assert [bar for bar in bars if "answer" in bar] == [f"vector {targets[0, 0]} (answer)"]
