"""Binding: two things shown together must be found again by either of them."""

import numpy as np

from rrnn.checks import Whole, checked
from rrnn.tasks import pictures
from rrnn.tasks.base import Task, one_hot


class PairMatching(Task):
    """Which element was shown together with this one?

    Each of num_pairs steps shows a pair of elements out of vocab_size = V >= 2 num_pairs; no
    element comes twice. The last step asks for the partner of one of them, either member of any
    pair with the same probability. The input of a step is (one-hot left, V columns; one-hot right,
    V columns; flag): the last step has the asked element at the left, nothing at the right and flag
    1. inputs (batch, num_pairs + 1, 2 V + 1); targets (batch, 1) classes below V. Sizes with the
    same vocab_size share a width. Two pairs are too few to test memory: who knows the last pair and
    which elements were shown is always right. Raises ValueError or TypeError for sizes that do not
    fit. Taught in notebook 04."""

    picture = pictures.pair_matching

    @checked
    def __init__(self, num_pairs: Whole() = 4, vocab_size: Whole() = 8):
        if vocab_size < 2 * num_pairs:
            least = f"at least 2 * num_pairs = {2 * num_pairs}, as all elements differ"
            raise ValueError(f"vocab_size must be {least}; got {vocab_size}")
        self.num_inputs, self.output_size = num_pairs + 1, vocab_size
        self.parts = {"left": vocab_size, "right": vocab_size, "flag": 1}

    def make(self, batch_size, rng):
        V, shown, rows = self.vocab_size, 2 * self.num_pairs, np.arange(batch_size)
        elements = rng.permuted(np.tile(np.arange(V), (batch_size, 1)), axis=1)[:, :shown]
        place = rng.integers(shown, size=batch_size)
        inputs, (left, right, flag) = self.blank(batch_size)
        left[:, :-1], right[:, :-1] = one_hot(elements[:, 0::2], V), one_hot(elements[:, 1::2], V)
        left[:, -1], flag[:, -1] = one_hot(elements[rows, place], V), 1
        return inputs, elements[rows, place ^ 1][:, None]  # places 0 and 1 are a pair, 2 and 3, ...

    def read(self, inputs):
        """The pairs (batch, num_pairs, 2) and the asked elements (batch,)."""
        left, right, _ = super().read(inputs)
        return np.stack([left, right], axis=-1)[:, :-1], left[:, -1]

    def solve(self, inputs):
        """The right answers (batch, 1), from the encoded inputs alone."""
        pairs, asked = self.read(inputs)
        partner = (pairs == asked[:, None, None])[..., ::-1]  # marks the other member of its pair
        return (pairs * partner).sum(axis=(1, 2))[:, None]

    def score_rules(self):
        """The last rule answers from the last pair if the asked element is in it (1 / P), else with
        one of the 2 P - 3 elements that are neither in it nor asked."""
        P = self.num_pairs
        return {"chance": 1 / self.vocab_size, "any other element shown": 1 / (2 * P - 1),
                "last pair, else any other": 1 / P + (P - 1) / P / (2 * P - 3)}  # fmt: skip

    def words(self, batch):
        (pairs,), (asked,), ((answer,),) = *self.read(batch), self.solve(batch)
        return [*(f"elements {left} and {right} are a pair" for left, right in pairs),
                f"a question about element {asked}",
                f"Which element is the partner of element {asked}? Element {answer}."]  # fmt: skip
