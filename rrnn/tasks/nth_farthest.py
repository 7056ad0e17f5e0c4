"""The paper's own task: distances between all vectors, of which one answers."""

import numpy as np

from rrnn.checks import OrNone, Whole, checked
from rrnn.tasks import pictures
from rrnn.tasks.base import Task, one_hot


class NthFarthest(Task):
    """Which vector is n-th farthest from vector m? Section 4.1 and appendix A.1 of the paper.

    num_vectors = k vectors of num_dims numbers, uniform in [-1, 1], come one a step, each with a
    label of its own; the answer, asked at the end, is the label of the n-th farthest (Euclidean)
    from the vector labelled m: n = 1 the farthest, n = k the vector m itself. Every step's input is
    (x; one-hot label; one-hot n; one-hot m). labels = K >= k and dims = D >= num_dims make room for
    a larger task: x is padded with zeros, one-hots are K wide, labels stay below k, and n sits at
    index n - 1 + K - k, so that the last index always means m itself. Targets are (batch, 1)
    classes. Raises ValueError or TypeError for sizes that do not fit. Taught in notebook 04."""

    picture = pictures.nth_farthest

    @checked
    def __init__(self, num_vectors: Whole(2) = 8, num_dims: Whole() = 16, *,
                 labels: OrNone(Whole()) = None, dims: OrNone(Whole()) = None):  # fmt: skip
        self.labels = num_vectors if labels is None else Whole(num_vectors)("labels", labels)
        self.dims = num_dims if dims is None else Whole(num_dims)("dims", dims)
        self.num_inputs, self.output_size = num_vectors, self.labels
        self.parts = {"x": self.dims, "label": self.labels, "n": self.labels, "m": self.labels}

    def __repr__(self):
        room = f", labels={self.labels}, dims={self.dims}"
        same = (self.labels, self.dims) == (self.num_vectors, self.num_dims)
        return f"NthFarthest({self.num_vectors}, {self.num_dims}{'' if same else room})"

    def make(self, batch_size, rng):
        k, K = self.num_vectors, self.labels
        x = 2 * rng.random((batch_size, k, self.num_dims), dtype=np.float32) - 1
        labels = rng.permuted(np.tile(np.arange(k), (batch_size, 1)), axis=1)
        n, m = rng.integers(1, k + 1, batch_size), rng.integers(k, size=batch_size)
        inputs, (x_at, label_at, n_at, m_at) = self.blank(batch_size)
        x_at[..., : self.num_dims], label_at[:] = x, one_hot(labels, K)
        n_at[:], m_at[:] = one_hot(n - 1 + K - k, K)[:, None], one_hot(m, K)[:, None]
        return inputs, self._nth(labels, n, m, self.distances(x, labels, m))

    def read(self, inputs):
        """What the inputs (batch, k, input_size) say: x (batch, k, num_dims), labels (batch, k) of
        the vectors, and n, from 1 to k, and m, a label, (batch,) each."""
        x, *one_hots = self.split(inputs)
        labels, n, m = (part.argmax(axis=-1) for part in one_hots)
        n = n + 1 - self.labels + self.num_vectors
        return x[..., : self.num_dims], labels, n[:, 0], m[:, 0]

    def distances(self, x, labels, m):
        """Euclidean distances (batch, k) to the vector labelled m, in float64."""
        x_m = x[np.arange(len(x)), (labels == m[:, None]).argmax(axis=1)].astype(np.float64)
        away = (x[:, i] - x_m for i in range(x.shape[1]))  # one at a time: small arrays are fast
        return np.sqrt(np.stack([np.vecdot(d, d) for d in away], axis=1))

    def _nth(self, labels, n, m, far):
        """The label (batch, 1) of the n-th in falling order of far, m itself coming last."""
        order = np.argsort(-np.where(labels == m[:, None], -1, far), axis=1, kind="stable")
        return np.take_along_axis(labels, np.take_along_axis(order, n[:, None] - 1, 1), 1)

    def solve(self, inputs):
        """The right answers (batch, 1), from the encoded inputs alone."""
        x, labels, n, m = self.read(inputs)
        return self._nth(labels, n, m, self.distances(x, labels, m))

    def score_rules(self):
        """Two rules measure no distance to vector m; the last is scored on 40,000 examples."""
        k, (inputs, targets) = self.num_vectors, self.sample(40_000, np.random.default_rng(0))
        x, *question = self.read(inputs)
        by_norm = self._nth(*question, np.linalg.norm(x, axis=-1)) == targets
        return {"chance": 1 / k, "n = k means m, else guess": 2 / k,
                "rank by norm, n = k means m": float(by_norm.mean())}  # fmt: skip

    def words(self, batch):
        x, labels, n, m = self.read(batch)
        (x,), (labels,), (n,), (m,), (far,) = x, labels, n, m, self.distances(x, labels, m)
        at = [", ".join(f"{value:+.2f}" for value in row) for row in x]
        steps = zip(labels, at, far)
        lines = [f"vector {i} at ({at}), {away:.2f} from vector {m}" for i, at, away in steps]
        which = "the farthest" if n == 1 else f"number {n} in order of distance, farthest first,"
        answer = self.solve(batch)[0, 0]
        return [*lines, f"Which vector is {which} from vector {m}? Vector {answer}."]
