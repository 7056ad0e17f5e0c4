"""Overwriting: of all places where an object was shown, only the last one counts."""

import numpy as np

from rrnn.checks import Whole, checked
from rrnn.tasks import pictures
from rrnn.tasks.base import Task, one_hot


class ObjectTracking(Task):
    """Where is this object now?

    num_objects = N objects start, unseen, on cells of a grid_size x grid_size grid, uniformly
    drawn; two may share a cell. At each of num_steps steps one of them, uniformly drawn, moves one
    cell up, down, left or right (uniformly over the moves that stay on the grid) and is shown. The
    last step asks where one object is, uniformly drawn among those that were shown. The input of a
    step is (one-hot identity, N columns; x; y; flag) with x and y the column and row of the cell
    divided by grid_size - 1; the last step has x = y = 0 and flag 1. inputs (batch, num_steps + 1,
    N + 3); targets (batch, 1, 2), the numbers x and y. Sizes with the same num_objects share a
    width. Raises ValueError or TypeError for sizes that do not fit. Taught in notebook 04."""

    target_kind, picture = "number", pictures.object_tracking

    @checked
    def __init__(self, num_objects: Whole() = 3, grid_size: Whole(2) = 5, num_steps: Whole() = 8):
        self.num_inputs, self.output_size = num_steps + 1, 2
        self.parts = {"identity": num_objects, "x": 1, "y": 1, "flag": 1}

    def make(self, batch_size, rng):
        N, G, rows = self.num_objects, self.grid_size, np.arange(batch_size)
        cells = rng.integers(G, size=(batch_size, N, 2))
        movers = rng.integers(N, size=(batch_size, self.num_steps))
        inputs, (identity, *_, flag) = self.blank(batch_size)
        for t, mover in enumerate(movers.T):
            near = cells[rows, mover, None] + [(1, 0), (-1, 0), (0, 1), (0, -1)]
            inside = ((near >= 0) & (near < G)).all(axis=-1)
            # Each of iid uniform numbers is the largest alike: an even choice of those inside.
            pick = np.where(inside, rng.random((batch_size, 4)), -1).argmax(axis=1)
            cells[rows, mover] = near[rows, pick]
            inputs[:, t, N : N + 2] = near[rows, pick] / (G - 1)
        identity[:, :-1] = one_hot(movers, N)
        shown = identity.any(axis=1)
        asked = np.where(shown, rng.random((batch_size, N)), -1).argmax(axis=1)
        identity[:, -1], flag[:, -1] = one_hot(asked, N), 1
        return inputs, (cells[rows, asked] / (G - 1)).astype(np.float32)[:, None]

    def read(self, inputs):
        """Who was shown (batch, num_steps), where (batch, num_steps, 2); who is asked (batch,)."""
        identity, x, y, _ = self.split(inputs)
        who, place = identity.argmax(axis=-1), np.concatenate([x, y], axis=-1)
        return who[:, :-1], place[:, :-1], who[:, -1]

    def solve(self, inputs):
        """The right answers (batch, 1, 2), from the encoded inputs alone: where last shown."""
        who, place, asked = self.read(inputs)
        last = (np.arange(1, self.num_steps + 1) * (who == asked[:, None])).argmax(axis=1)
        return place[np.arange(len(place)), last][:, None]

    def score_rules(self):
        """All but the first, which is chance, the best constant answer, are scored on 20,000."""
        inputs, targets = self.sample(20_000, np.random.default_rng(0))
        who, place, asked = self.read(inputs)
        own = (who == asked[:, None])[..., None]
        first = place[np.arange(len(own)), own[..., 0].argmax(axis=1)]
        rules = {"middle of the grid": 0.5,
                 "last place if its own, else middle": np.where(own[:, -1], place[:, -1], 0.5),
                 "mean of all places shown": place.mean(axis=1), "where it was shown first": first,
                 "mean of its own places": (place * own).sum(axis=1) / own.sum(axis=1)}  # fmt: skip
        error = lambda guess: float(np.sqrt(((guess - targets[:, 0]) ** 2).mean()))
        return {rule: error(guess) for rule, guess in rules.items()}

    def cells(self, place):
        """The cells of places (..., 2): columns and rows, counted from 0."""
        return np.rint(place * (self.grid_size - 1)).astype(int)

    def words(self, batch):
        (who,), (place,), (asked,), answer = *self.read(batch), self.solve(batch)[0]
        cells = [f"({x}, {y})" for x, y in self.cells(np.concatenate([place, answer]))]
        numbers = [f"({a:.2f}, {b:.2f})" for a, b in [*place, *answer]]
        moves = zip(who, cells, numbers)
        lines = [f"object {i} moves to cell {cell}, shown as {at}" for i, cell, at in moves]
        lines.append(f"a question about object {asked}")
        return [*lines, f"Where is object {asked}? In cell {cells[-1]}, that is {numbers[-1]}."]
