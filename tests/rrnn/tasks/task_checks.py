"""What every task must do, whatever it asks; used by the tests of each task."""

import numpy as np

import rrnn_helpers as rh


def sample(task, batch_size, seed):
    return task.sample(batch_size, np.random.default_rng(seed))


def check_agreement(task, brute_force, seed, batch_size):
    """Shapes and dtypes as promised; targets, oracle and brute force (an example's answers as a list) are the same."""
    batch = sample(task, batch_size, seed)
    assert isinstance(batch, rh.Batch)
    inputs, targets = batch
    assert inputs.dtype == np.float32 and inputs.shape == (batch_size, task.num_inputs, task.input_size)
    assert targets.dtype == (np.float32 if task.target_kind == "number" else np.int64)
    solved = task.solve(inputs)
    assert solved.dtype == targets.dtype and solved.shape == targets.shape
    np.testing.assert_array_equal(solved, targets)
    assert [brute_force(task, inputs_i) for inputs_i in inputs] == targets.tolist()


def check_seeds(task, seed, batch_size=30):
    """One seed is one batch, another seed another."""
    one, same, other = (sample(task, batch_size, s) for s in (seed, seed, seed + 1))
    np.testing.assert_array_equal(one.inputs, same.inputs)
    np.testing.assert_array_equal(one.targets, same.targets)
    assert not np.array_equal(one.inputs, other.inputs)
