"""Keeping everything: no value that was read may be missing from the answer."""

import numpy as np

from rrnn.checks import Whole, checked
from rrnn.tasks import pictures
from rrnn.tasks.base import Task, one_hot


class Sorting(Task):
    """Read some values, then write them in ascending order.

    Each of `length` = L steps shows one value out of vocab_size = V, uniformly drawn, so that
    values may repeat; then come L blank steps with the flag set, at which the values are to be
    written, the smallest first. The input of a step is (one-hot value, V columns; flag), the
    one-hot empty where the flag is 1. inputs (batch, 2 L, V + 1); targets (batch, L) classes below
    V, one for each blank step. Sizes with the same vocab_size share a width. Raises ValueError or
    TypeError for sizes that do not fit. Taught in notebook 04."""

    picture = pictures.sorting

    @checked
    def __init__(self, length: Whole() = 4, vocab_size: Whole(2) = 8):
        self.num_inputs, self.output_size = 2 * length, vocab_size
        self.parts = {"value": vocab_size, "flag": 1}

    def make(self, batch_size, rng):
        L, values = self.length, rng.integers(self.vocab_size, size=(batch_size, self.length))
        inputs, (value, flag) = self.blank(batch_size)
        value[:, :L], flag[:, L:] = one_hot(values, self.vocab_size), 1
        return inputs, np.sort(values, axis=1)

    def read(self, inputs):
        """The values (batch, length) as they came."""
        return super().read(inputs)[0][:, : self.length]

    def solve(self, inputs):
        """The right answers (batch, length), from the encoded inputs alone: place i (from 0) holds
        the smallest value that has more than i values up to it."""
        values = self.read(inputs)
        up_to = (values[..., None] <= np.arange(self.vocab_size)).sum(axis=1)  # to 0, 1, 2, ...
        return (up_to[:, None] <= np.arange(self.length)[:, None]).sum(axis=-1)

    def score_rules(self):
        """How many of n iid uniform values lie below a bound is binomial."""
        from scipy.special import bdtrc as more_than  # of n values, if one is so with chance p

        L, V = self.length, self.vocab_size
        place, value = np.arange(L)[:, None], np.arange(V)
        below = more_than(place, L, np.arange(V + 1) / V)  # sorted value i: more than i are
        # A value v read at step i stays if at most i others are below v, and i or more up to v.
        stays = more_than(place - 1, L - 1, (value + 1) / V) - more_than(place, L - 1, value / V)
        likely = np.diff(below).max(axis=1).mean()
        return {"chance": 1 / V, "most likely value of each place": float(likely),
                "copied as read": float(stays.mean())}  # fmt: skip

    def words(self, batch):
        (read,), (write,), places = self.read(batch), self.solve(batch), range(1, self.length + 1)
        return [*(f"value {value}" for value in read),
                *(f"blank, write sorted value number {place}" for place in places),
                f"Which values, the smallest first? {', '.join(map(str, write))}."]  # fmt: skip
