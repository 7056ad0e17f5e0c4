"""What the models share: forward, trace, losses and their gradients."""

from typing import NamedTuple

import numpy as np

from rrnn.blas import one_blas_thread
from rrnn.checks import Whole, floats
from rrnn.parallel import in_parts
from rrnn.parameters import Parameters, Views, walk


class Batch(NamedTuple):
    """inputs (batch, time, input_size); targets (batch, A) class indices, -1 where nothing is
    asked, or (batch, A, k) numbers: the targets of the last A time steps. Taught in notebook 04."""

    inputs: np.ndarray
    targets: np.ndarray


class Model(Parameters):
    """A network over sequences. A kind of model builds its layers, the last of which is the
    readout, names its `state_shapes` {state: shape}, and says how it runs: unroll(x, state),
    features(answers), unroll_back(d_features), states() and picture()."""

    most_memory = 64 << 20  # bytes of arrays, when nothing is learnt

    def check_sequence(self, name, sequence):
        return floats(name, sequence, ("batch", "time", self.input_size), self.dtype)

    def check_state(self, state, batch):
        """The states as a tuple, from a tuple of them, or from the only one there is."""
        names = list(self.state_shapes)
        given = (state,) if len(names) == 1 and not isinstance(state, tuple | list) else state
        if not isinstance(given, tuple | list) or len(given) != len(names):
            wanted = f"what return_state gave, ({', '.join(names)})"
            raise TypeError(f"state must be {wanted}, got {type(state).__name__}")
        return tuple(
            floats(f"state: {name}", array, (batch, *shape), self.dtype)
            for (name, shape), array in zip(self.state_shapes.items(), given, strict=True)
        )

    def check_batch(self, batch):
        """Inputs, targets, and how many of them are asked."""
        if not (isinstance(batch, tuple) and len(batch) == 2):
            raise TypeError(f"batch must be a Batch(inputs, targets), got {type(batch).__name__}")
        inputs = self.check_sequence("batch.inputs", batch[0])
        targets, count = np.asarray(batch[1]), len(inputs)
        if targets.ndim == 3:
            shape = (count, "answers", self.output_size)
            targets = floats("batch.targets", targets, shape, self.dtype)
            asked = targets.size
        elif targets.ndim == 2 and targets.dtype.kind in "iu":
            if len(targets) != count:
                right = f"{count} rows, as the inputs have"
                raise ValueError(f"batch.targets must have {right}, got {len(targets)}")
            asked = int((targets != -1).sum())
            if targets.size and (targets.min() < -1 or targets.max() >= self.output_size):
                raise ValueError(
                    f"batch.targets must be classes 0..{self.output_size - 1}, or -1 where nothing "
                    f"is asked; got values from {targets.min()} to {targets.max()}"
                )
        else:
            raise TypeError(
                "batch.targets must be (batch, answers) whole numbers, or (batch, answers, k) "
                f"numbers; got shape {targets.shape} of dtype {targets.dtype}"
            )
        if targets.shape[1] > inputs.shape[1]:
            right = f"at most {inputs.shape[1]} last steps"
            raise ValueError(f"batch.targets must ask {right}, got {targets.shape[1]}")
        if not asked:
            text = "batch.targets must ask something: all of them are -1, or there are none"
            raise ValueError(text)
        return inputs, targets, asked

    def run(self, inputs, answers, state=None):
        """Unroll over inputs (batch, time, input_size); outputs (answers, batch, output_size) of
        the last steps."""
        x = np.ascontiguousarray(inputs.swapaxes(0, 1))  # (time, batch, input_size)
        self.prepare(*x.shape[:2])
        with np.errstate(over="ignore"):  # LayerNorm measures again what has overflowed
            self.unroll(x, state)
        return self.readout.forward(0, self.features(answers))

    def chunks(self, inputs):
        """Slices of the examples, so that a long sequence does not fill the machine."""
        shapes = self.shapes_of_arrays(inputs.shape[1], 1)
        each = self.dtype.itemsize * sum(int(np.prod(shape)) for *_, shape in shapes)
        size = max(1, min(256, self.most_memory // each))
        return [slice(start, start + size) for start in range(0, len(inputs), size)]

    def forward(self, sequence, return_sequences=True, return_state=False, state=None):
        """Outputs (raw logits, or numbers) for sequence (batch, time, input_size): (batch, time,
        output_size), or (batch, output_size) of the last step with return_sequences=False.
        return_state=True appends the final states; state, what return_state gave, is where to go
        on from, so that a stream can be read in pieces. Raises ValueError for a wrong shape or for
        values that are not finite. Taught in notebooks 02, 03 and 05.
        """
        sequence = self.check_sequence("sequence", sequence)
        state = None if state is None else self.check_state(state, len(sequence))
        answers = sequence.shape[1] if return_sequences else 1
        outputs, states = [], []
        with self.at_work:
            for part in self.chunks(sequence):
                begin = None if state is None else tuple(array[part] for array in state)
                outputs.append(self.run(sequence[part], answers, begin).swapaxes(0, 1).copy())
                states.append([array.copy() for array in self.states()])
        outputs = np.concatenate(outputs)
        outputs = outputs if return_sequences else outputs[:, 0]
        if not return_state:
            return outputs
        return outputs, *(np.concatenate(state) for state in zip(*states, strict=True))

    def trace(self, sequence, state=None):
        """Everything a picture needs, as {name: array}, batch first, then time: "outputs" (batch,
        time, output_size), and the model's own gates, states, memories and attention weights (see
        the class). state is where to start, as in forward. Taught in notebook 02."""
        sequence = self.check_sequence("sequence", sequence)
        state = None if state is None else self.check_state(state, len(sequence))
        with self.at_work:
            outputs = self.run(sequence, sequence.shape[1], state).swapaxes(0, 1)
            found = self.picture() | {"outputs": outputs}
            return {name: array.copy() for name, array in found.items()}

    def loss_and_grads(self, batch, workers=1):
        """Loss, its exact gradient {parameter name: array}, and metrics {"loss", and "accuracy" or
        "error"}.

        batch is Batch(inputs, targets). Softmax cross-entropy from raw logits, averaged over the
        asked targets of the whole batch, or mean squared error over all numbers; back-propagation
        through all time steps. workers splits the batch over that many processes, started at the
        first use: the same result to rounding. Raises ValueError for targets out of range or a
        batch that asks nothing. Taught in notebook 06.
        """
        loss, flat, metrics = self.loss_and_flat(batch, workers)
        return loss, Views(flat, self.shapes).arrays, metrics

    def loss_and_flat(self, batch, workers=1):
        """loss_and_grads with the gradient as one vector, in the order of `flat`."""
        inputs, targets, asked = self.check_batch(batch)
        workers = min(Whole()("workers", workers), len(inputs))
        cuts = np.linspace(0, len(inputs), workers + 1).astype(int).tolist()
        jobs = [(inputs[a:b], targets[a:b], asked) for a, b in zip(cuts, cuts[1:], strict=False)]
        with self.at_work, one_blas_thread(workers > 1):
            scores, (flat, *others) = zip(*in_parts(self, jobs), strict=True)
            for other in others:
                flat += other
        loss, hits = (sum(column) for column in zip(*scores, strict=True))
        return loss, flat, metrics_of(loss, hits, targets, asked)

    def part(self, inputs, targets, asked):
        """(loss, right answers) and gradient of a part of a batch, the loss divided by what the
        whole batch asks."""
        self.grad[:] = 0
        outputs = self.run(inputs, targets.shape[1])
        loss, hits, d_outputs = loss_of(outputs, targets, asked)
        self.unroll_back(self.readout.backward(0, d_outputs))
        for layer in self.layers:
            layer.end()
        return (loss, hits), self.grad.copy()

    def metrics(self, batch):
        """The metrics of loss_and_grads without the gradient."""
        inputs, targets, asked = self.check_batch(batch)
        loss, hits = 0.0, 0
        with self.at_work:
            for part in self.chunks(inputs):
                outputs = self.run(inputs[part], targets.shape[1])
                part_loss, part_hits, _ = loss_of(outputs, targets[part], asked)
                loss, hits = loss + part_loss, hits + part_hits
        return metrics_of(loss, hits, targets, asked)

    def operations(self, steps, answers=1):
        """Multiplications and additions, in pairs, of all matrix products of one example that is
        read in so many steps and asked at the last `answers` of them; the way back needs about
        twice as many."""
        steps, answers = Whole()("steps", steps), Whole()("answers", answers)
        readout = walk([self.readout])
        each = sum(x.operations() * x.uses for x in self.layers if x not in readout)
        return steps * round(each) + answers * sum(layer.operations() for layer in readout)


def loss_of(outputs, targets, asked):
    """Loss over `asked`, the number of right answers, and the gradient of outputs (answers, batch,
    output_size)."""
    targets = targets.swapaxes(0, 1)
    if targets.ndim == 3:
        d = outputs - targets
        return float(np.vdot(d, d)) / asked, 0, d * (2 / asked)
    shifted = outputs - outputs.max(axis=-1, keepdims=True)
    p = np.exp(shifted)
    total = p.sum(axis=-1)

    where = np.nonzero(targets != -1)
    right = *where, targets[where]
    loss = float((np.log(total[where]) - shifted[right]).sum()) / asked
    hits = int((outputs[where].argmax(axis=-1) == targets[where]).sum())

    p *= ((targets != -1) / (total * asked))[..., None].astype(p.dtype)
    p[right] -= 1 / asked
    return loss, hits, p


def metrics_of(loss, hits, targets, asked):
    of_kind = {"error": float(np.sqrt(loss))} if targets.ndim == 3 else {"accuracy": hits / asked}
    return {"loss": loss} | of_kind


def check_model(model):
    if not isinstance(model, Model):
        kinds = "a RelationalMemoryCore, RelationalRNN or LSTM"
        raise TypeError(f"model must be {kinds}, got {type(model).__name__}")
