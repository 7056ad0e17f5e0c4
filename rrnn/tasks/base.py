"""What all tasks share: their names, how inputs are laid out and checked, and what can be asked."""

import functools

import numpy as np

from rrnn.checks import Rng, Whole, checked, floats
from rrnn.model import Batch


def one_hot(indices, size):
    """(..., size) float32; an index of -1 leaves its row empty."""
    return (np.asarray(indices)[..., None] == np.arange(size)).astype(np.float32)


class Task:
    """Questions without end, whose answers are known. A task gives num_inputs (steps), output_size
    and parts, {name: width} of a step's input; make(batch_size, rng), the inputs and targets of a
    batch; read(inputs), what encoded inputs say, from which start solve(inputs), the right answers,
    words(batch), the lines for each step of a batch of one and for its answer, and picture(batch);
    and score_rules(), {rule: score} of what needs no understanding. Taught in notebook 04."""

    target_kind = "class"

    def __repr__(self):
        arguments = (f"{name}={value!r}" for name, value in self.config.items())
        return f"{type(self).__name__}({', '.join(arguments)})"

    @property
    def input_size(self):
        """The width of a step's input."""
        return sum(self.parts.values())

    @checked
    def sample(self, batch_size: Whole(), rng: Rng()):
        """A Batch of inputs (batch_size, num_inputs, input_size) and targets: (batch_size, answers)
        classes, or (batch_size, answers, output_size) numbers."""
        return Batch(*self.make(batch_size, rng))

    def read(self, inputs):
        """Where the one of each part is, (batch, num_inputs) each, -1 where the part is empty."""
        parts = self.split(inputs)
        return [np.where(part.any(axis=-1), part.argmax(axis=-1), -1) for part in parts]

    @functools.cached_property
    def _scores(self):
        return self.score_rules()

    def shortcuts(self):
        """{rule: accuracy, or root mean square error of numbers} of chance and of the rules that
        fake understanding. Those without a formula are measured, once."""
        return dict(self._scores)

    def describe(self, inputs_i):
        """One example (num_inputs, input_size) in words."""
        *steps, answer = self.words(self.example(inputs_i))
        return "\n".join([*(f"step {t}: {step}" for t, step in enumerate(steps, 1)), answer])

    def draw(self, inputs_i):
        """One example (num_inputs, input_size) as a matplotlib Figure."""
        return self.picture(self.example(inputs_i))

    def example(self, inputs_i):
        """One example (num_inputs, input_size) as a batch of one."""
        return floats("inputs_i", inputs_i, (self.num_inputs, self.input_size), np.float32)[None]

    def split(self, inputs):
        """The parts (batch, num_inputs, width) of inputs, which are checked."""
        shape = ("batch", self.num_inputs, self.input_size)
        return self._views(floats("inputs", inputs, shape, np.float32))

    def blank(self, batch_size):
        """Inputs of zeros, and views of their parts to fill in."""
        inputs = np.zeros((batch_size, self.num_inputs, self.input_size), np.float32)
        return inputs, self._views(inputs)

    def _views(self, inputs):
        return np.split(inputs, np.cumsum([*self.parts.values()])[:-1], axis=-1)
