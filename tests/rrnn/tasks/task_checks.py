"""What the tests of all tasks share."""

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from rrnn.model import Batch

quick = settings(max_examples=30, deadline=None, derandomize=True,
                 suppress_health_check=[HealthCheck.too_slow])  # fmt: skip
seeds, few = st.integers(0, 10**6), st.integers(1, 8)


def sample(task, batch_size, seed):
    return task.sample(batch_size, np.random.default_rng(seed))


def hot(part):
    """The place of the one in a one-hot, None if it is empty."""
    assert sorted(part)[:-1] == [0] * (len(part) - 1) and max(part) in (0, 1)
    return list(part).index(1) if max(part) else None


def check_agreement(task, brute_force, seed, batch_size):
    """Shapes and dtypes as promised; targets, oracle and brute force (an example's answers as a
    list) are the same."""
    batch = sample(task, batch_size, seed)
    assert isinstance(batch, Batch)
    inputs, targets = batch
    assert inputs.dtype == np.float32
    assert inputs.shape == (batch_size, task.num_inputs, task.input_size)
    assert targets.dtype == (np.float32 if task.target_kind == "number" else np.int64)
    solved = task.solve(inputs)
    assert solved.dtype == targets.dtype and solved.shape == targets.shape
    np.testing.assert_array_equal(solved, targets)
    assert [brute_force(task, inputs_i) for inputs_i in inputs] == targets.tolist()


def assert_even(counts):
    """Counts of equally likely outcomes: each within 4 sigma."""
    counts = np.array(list(counts))
    total, share = counts.sum(), 1 / len(counts)
    assert np.abs(counts - total * share).max() <= 4 * np.sqrt(total * share * (1 - share)), counts


def assert_drawn_evenly(draws, options):
    """Each of 0, 1, ... options - 1 as often as the others, and nothing else."""
    counts = np.bincount(np.asarray(draws), minlength=options)
    assert len(counts) == options
    assert_even(counts)


def drawn(task, inputs_i):
    """The axes of task.draw, drawn, with nothing cut off; the inputs are as they were."""
    kept = inputs_i.copy()
    figure = task.draw(inputs_i)
    np.testing.assert_array_equal(inputs_i, kept)
    assert isinstance(figure, Figure)
    FigureCanvasAgg(figure).draw()  # the canvas that Figure makes for itself draws nothing
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert 0 <= box.x0 and box.x1 <= width and 0 <= box.y0 and box.y1 <= height
    assert all(axis.get_xlabel() for axis in figure.axes)
    return figure.axes
