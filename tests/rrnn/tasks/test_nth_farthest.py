"""The n-th farthest task against a brute force with Python loops, for sizes and seeds that hypothesis chooses."""

import math
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from task_checks import check_agreement, check_seeds, sample

import rrnn_helpers as rh

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


@st.composite
def tasks(draw, padded=True):
    k, d = draw(st.integers(2, 7)), draw(st.integers(1, 5))
    if not padded:
        return rh.NthFarthest(k, d)
    return rh.NthFarthest(k, d, labels=k + draw(st.integers(0, 3)), dims=d + draw(st.integers(0, 3)))


def read(task, inputs_i):
    """x, label, index of n and label of m of every step of one example, as the encoding says."""
    D, K = task.dims, task.labels
    steps = []
    for row in inputs_i:
        parts = row[:D], row[D : D + K], row[D + K : D + 2 * K], row[D + 2 * K :]
        for one_hot in parts[1:]:
            assert sorted(one_hot) == [0] * (K - 1) + [1]
        steps.append((parts[0].tolist(), *(int(one_hot.argmax()) for one_hot in parts[1:])))
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
@given(tasks(), st.integers(0, 10**6), st.integers(1, 8))
def test_targets_oracle_and_brute_force_agree(task, seed, batch_size):
    check_agreement(task, lambda task, inputs_i: [brute_force(task, inputs_i)], seed, batch_size)


@quick
@given(tasks(), st.integers(0, 10**6), st.integers(1, 8))
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
@given(tasks(), st.integers(0, 10**6))
def test_the_padded_task_is_the_small_one_with_room(task, seed):
    """Same seed, same vectors and the same question; only the places in the input differ."""
    k, d, K, D = task.num_vectors, task.num_dims, task.labels, task.dims
    wide, small = sample(task, 5, seed), sample(rh.NthFarthest(k, d), 5, seed)
    np.testing.assert_array_equal(wide.targets, small.targets)
    x, label, n, m = np.split(wide.inputs, [D, D + K, D + 2 * K], axis=-1)
    squeezed = np.concatenate([x[..., :d], label[..., :k], n[..., K - k :], m[..., :k]], axis=-1)
    np.testing.assert_array_equal(squeezed, small.inputs)
    assert wide.inputs.sum() == pytest.approx(small.inputs.sum(), abs=1e-4)


@quick
@given(tasks(), st.integers(0, 10**6))
def test_the_last_n_means_m_itself(task, seed):
    inputs, targets = sample(task, 30, seed)
    n, m = inputs[:, 0, task.dims + task.labels : -task.labels], inputs[:, 0, -task.labels :]
    itself = n.argmax(axis=1) == task.labels - 1
    np.testing.assert_array_equal((targets[:, 0] == m.argmax(axis=1)), itself)


@quick
@given(tasks(), st.integers(0, 10**6))
def test_one_seed_is_one_batch(task, seed):
    check_seeds(task, seed)


def test_a_copy_of_m_is_farther_than_m():
    """Two vectors in one place: with n = k the answer is still m itself."""
    task = rh.NthFarthest(3, 2)
    inputs = sample(task, 200, 0).inputs
    inputs[..., :2] = 0.25
    assert [brute_force(task, inputs_i) for inputs_i in inputs] == task.solve(inputs)[:, 0].tolist()


def test_solve_reads_the_inputs_only_and_leaves_them_alone():
    task = rh.NthFarthest(5, 3)
    inputs, targets = sample(task, 50, 0)
    kept, order = inputs.copy(), np.random.default_rng(1).permutation(50)
    np.testing.assert_array_equal(task.solve(inputs[order]), targets[order])
    np.testing.assert_array_equal(rh.NthFarthest(5, 3).solve(inputs.astype(np.float64)), targets)
    np.testing.assert_array_equal(inputs, kept)
    shuffled = inputs[:, ::-1]  # the order in which vectors come does not matter
    np.testing.assert_array_equal(task.solve(shuffled), targets)


def test_everything_is_drawn_evenly():
    task, size = rh.NthFarthest(4, 3), 20_000
    inputs, targets = sample(task, size, 0)
    x, label, n, m = np.split(inputs, [3, 7, 11], axis=-1)
    for one_hot in (label[:, 0], label[:, 3], n[:, 0], m[:, 0], np.eye(4)[targets[:, 0]]):
        assert np.abs(one_hot.mean(axis=0) - 0.25).max() < 4 * np.sqrt(0.25 * 0.75 / size)
    assert abs(x.mean()) < 4 / np.sqrt(3 * x.size) and np.abs(x).max() > 0.999
    assert x.var() == pytest.approx(1 / 3, abs=0.01)


# ---------------------------------------------------------------------------------------------------------------------
# Shortcuts: what their scores say, and the rules played out
# ---------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("k", [2, 3, 5, 8, 11])
def test_shortcuts_that_are_known_exactly(k):
    scores = list(rh.NthFarthest(k, 4).shortcuts().values())
    assert scores[:2] == [1 / k, 2 / k]


@pytest.mark.parametrize("sizes", [(3, 2), (5, 3), (8, 16)])
def test_shortcuts_played_out(sizes):
    """Each rule on 20,000 examples, within 3 sigma of what shortcuts() says (of which the last is measured)."""
    task, size = rh.NthFarthest(*sizes), 20_000
    (k, d), rng = sizes, np.random.default_rng(11)
    inputs, targets = sample(task, size, 7)
    x, label, n, m = np.split(inputs, [d, d + k, d + 2 * k], axis=-1)
    label, n, m, targets = label.argmax(axis=-1), n[:, 0].argmax(axis=-1), m[:, 0].argmax(axis=-1), targets[:, 0]
    guess = rng.integers(0, k, size)
    not_m = (m + rng.integers(1, k, size)) % k  # if n < k the answer is not m: the best guess is one of the others
    norms = np.linalg.norm(x, axis=-1)
    norms[label == m[:, None]] = -1
    by_norm = np.take_along_axis(label, np.argsort(-norms, axis=1), axis=1)[np.arange(size), n]
    played = {
        "chance": guess,
        "n = k means m, else guess": np.where(n == k - 1, m, not_m),
        "rank by norm, n = k means m": by_norm,
    }
    for (rule, score), answers in zip(task.shortcuts().items(), played.values(), strict=True):
        sigma = np.sqrt(score * (1 - score) / size)
        sigma *= np.sqrt(1.5) if rule.startswith("rank") else 1  # that score comes from 40,000 examples
        assert abs((answers == targets).mean() - score) < 3 * sigma, rule


def test_shortcuts_are_the_same_every_time():
    assert rh.NthFarthest(3, 2).shortcuts() == rh.NthFarthest(3, 2).shortcuts()
    assert rh.NthFarthest(3, 2).shortcuts()["rank by norm, n = k means m"] == pytest.approx(0.77, abs=0.01)
    assert rh.NthFarthest(8, 16).shortcuts()["rank by norm, n = k means m"] == pytest.approx(0.31, abs=0.01)


# ---------------------------------------------------------------------------------------------------------------------
# In words and as a picture
# ---------------------------------------------------------------------------------------------------------------------
@quick
@given(tasks(), st.integers(0, 10**6))
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


TASKS = [rh.NthFarthest(3, 2), rh.NthFarthest(8, 16), rh.NthFarthest(3, 2, labels=5, dims=4)]


@pytest.mark.parametrize("task", TASKS, ids=repr)
def test_draw(task):
    from matplotlib.figure import Figure

    inputs, targets = sample(task, 1, 0)
    figure = task.draw(inputs[0])
    assert isinstance(figure, Figure)
    figure.canvas.draw()
    assert f"answer is {targets[0, 0]}" in figure.axes[0].get_title()
    assert all(axis.get_xlabel() for axis in figure.axes)
    bars = [label.get_text() for label in figure.axes[1].get_yticklabels()]
    assert len(bars) == task.num_vectors
    assert [bar for bar in bars if "answer" in bar] == [f"vector {targets[0, 0]} (answer)"]


def test_repr_makes_the_task_again():
    for task in (rh.NthFarthest(3, 2), rh.NthFarthest(3, 2, labels=5), rh.NthFarthest(3, 2, dims=4)):
        again = eval(repr(task), {"NthFarthest": rh.NthFarthest})
        assert (again.num_vectors, again.num_dims, again.labels, again.dims) == (
            task.num_vectors, task.num_dims, task.labels, task.dims
        )  # fmt: skip
        assert repr(again) == repr(task)
