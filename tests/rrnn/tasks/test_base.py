"""What every task must do, whatever it asks."""

from pathlib import Path

import numpy as np
import pytest
from models import lstm
from task_checks import sample

from rrnn import tasks
from rrnn.tasks import (
    BabiQA,
    NthFarthest,
    ObjectTracking,
    PairMatching,
    ProgramEvaluation,
    Sorting,
    StoryQA,
)
from rrnn.training import evaluate

STORIES = str(Path(__file__).parents[2] / "fixtures" / "babi")
TASKS = [
    NthFarthest(3, 2), NthFarthest(8, 16), NthFarthest(3, 2, labels=5, dims=4),
    NthFarthest(3, 2, labels=5), NthFarthest(3, 2, dims=4),
    PairMatching(), PairMatching(1, 2), PairMatching(2, 11), PairMatching(12, 30),
    Sorting(), Sorting(1, 2), Sorting(9, 3), Sorting(16, 40),
    ObjectTracking(), ObjectTracking(1, 2, 1), ObjectTracking(2, 9, 5), ObjectTracking(8, 4, 20),
    StoryQA(), StoryQA(4, 3, 6, 20, two_hop=0.7), StoryQA(1, 1, 2, 2), StoryQA(2, 2, 3, 5),
    StoryQA(num_facts=8, two_hop=0),
    ProgramEvaluation(), ProgramEvaluation("add", 2, 8, sizes="fixed"),
    ProgramEvaluation("control", 1, 5, sizes="batch"), ProgramEvaluation("program", 2, 3),
    ProgramEvaluation("copy", 1, 9), ProgramEvaluation("reverse", 2, 25, sizes="fixed"),
    ProgramEvaluation("double", 1, 1),
    BabiQA(STORIES, 1), BabiQA(STORIES, 8, "test"), BabiQA(STORIES, 1, "tuning", "en-10k"),
]  # fmt: skip
each_task = pytest.mark.parametrize("task", TASKS, ids=repr)


def again(task):
    return eval(repr(task), vars(tasks))


@each_task
def test_the_oracle_is_always_right(task):
    inputs, targets = sample(task, 5_000, 3)
    np.testing.assert_array_equal(task.solve(inputs), targets)


@each_task
def test_one_seed_is_one_batch(task):
    one, same, other = (sample(task, 30, seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one.inputs, same.inputs)
    np.testing.assert_array_equal(one.targets, same.targets)
    assert not np.array_equal(one.inputs, other.inputs)


@each_task
def test_solve_reads_the_inputs_only_and_leaves_them_alone(task):
    inputs, targets = sample(task, 50, 0)
    kept, order = inputs.copy(), np.random.default_rng(1).permutation(50)
    np.testing.assert_array_equal(task.solve(inputs[order]), targets[order])
    np.testing.assert_array_equal(again(task).solve(inputs.astype(np.float64)), targets)
    task.describe(inputs[0])
    np.testing.assert_array_equal(inputs, kept)


@each_task
def test_repr_makes_the_task_again(task):
    other = again(task)
    assert type(other) is type(task) and repr(other) == repr(task)
    # what it was made with may have been said otherwise: labels=None, or labels=3
    names = vars(other).keys() - {"config"}
    made = lambda task: {name: getattr(task, name) for name in names}
    np.testing.assert_equal(made(other), made(task))
    sizes = task.input_size, task.output_size, task.num_inputs
    assert all(type(size) is int for size in sizes)
    np.testing.assert_array_equal(sample(other, 5, 0).inputs, sample(task, 5, 0).inputs)


@each_task
def test_shortcuts_are_the_same_every_time(task):
    scores = task.shortcuts()
    assert scores == again(task).shortcuts()
    assert all(type(score) is float for score in scores.values()) and len(scores) <= 5
    first = "middle of the grid" if task.target_kind == "number" else "chance"
    assert next(iter(scores)) == first
    scores.clear()  # a copy: the task keeps its own
    assert next(iter(task.shortcuts())) == first


@each_task
def test_what_does_not_fit_is_refused(task):
    inputs = sample(task, 2, 0).inputs
    for batch_size, error in ((0, ValueError), (-3, ValueError), (2.0, TypeError)):
        with pytest.raises(error, match="batch_size must be"):
            task.sample(batch_size, np.random.default_rng(0))
    for rng in (0, None, np.random):
        with pytest.raises(TypeError, match="rng must be a numpy.random.Generator"):
            task.sample(5, rng)
    for bad in (inputs[:, 1:], inputs[..., 1:], inputs[0], np.full_like(inputs, np.nan)):
        with pytest.raises(ValueError, match="inputs must"):
            task.solve(bad)
    for method in (task.describe, task.draw):
        for bad in (inputs, inputs[0, 1:], inputs[0, :, 1:]):
            with pytest.raises(ValueError, match="inputs(_i)? must h(ave|old)"):
                method(bad)


@pytest.mark.parametrize(
    ("one", "other"),
    [(NthFarthest(3, 2, labels=8, dims=16), NthFarthest(8, 16)),
     (PairMatching(2, 12), PairMatching(6, 12)), (Sorting(3, 10), Sorting(9, 10)),
     (ObjectTracking(4, 3, 5), ObjectTracking(4, 9, 20)),
     (StoryQA(num_facts=5), StoryQA(num_facts=20)),
     (ProgramEvaluation("copy", 1, 3), ProgramEvaluation("program", 2, 4))],
    ids=lambda task: type(task).__name__,
)  # fmt: skip
def test_sizes_that_share_a_width(one, other):
    """One model takes both."""
    assert (one.input_size, one.output_size) == (other.input_size, other.output_size)
    model = lstm(one.input_size, 4, one.output_size)
    score = "error" if one.target_kind == "number" else "accuracy"
    for task in (one, other):
        assert 0 < evaluate(model, task, examples=200)[score] < 1
