"""The opponent: long short-term memory, as a layer and as a network (notebook 05)."""

import numpy as np

from rrnn.checks import Dtype, OneOf, Whole, Wholes, checked
from rrnn.layers import Layer, LayerNorm, Parameter, glorot, make_readout, rows

from rrnn.layers import sigmoid_in_place, split, sums  # isort: skip
from rrnn.model import Model
from rrnn.reference import orthogonal


def forget_gate_open(shape, rng):
    """Biases of the gates i, f, g, o: the forget gate starts open."""
    return np.repeat([0.0, 1.0, 0.0, 0.0], shape[0] // 4)


def forget_gate_open_and_g_apart(shape, rng):
    """The same for sums that were normed; g starts a little off zero. A network of zeros that reads
    zeros, as before a short text, would stay zero, where a layer norm has the slope 1 / sqrt(eps):
    over some ten steps the product of the slopes overflows."""
    shift = forget_gate_open(shape, rng).reshape(4, -1)
    shift[2] = rng.uniform(-0.1, 0.1, shift[2].shape)
    return shift.ravel()


class LSTMLayer(Layer):
    """All steps of i, f, o = sigmoid(x W_x + h W_h + b), g = tanh of the same, c' = f * c + i * g,
    h' = o * tanh(c'), with one matrix for each gate side by side, in the order i, f, g, o.

    Loops of its own, gates before steps: with a Linear layer for each step, a training step takes
    a fifth longer. Taught in notebook 05.
    """

    @checked
    def __init__(self, input_size: Whole(), size: Whole()):
        square = glorot(4, lambda shape, rng: orthogonal(shape[0], rng))
        super().__init__(
            Wx=Parameter("W_x", (input_size, 4 * size), glorot(4)),
            Wh=Parameter("W_h", (size, 4 * size), square),
            b=Parameter("b", (4 * size,), forget_gate_open),
        )  # fmt: skip
        self.input_size, self.size = input_size, size

    def arrays(self, steps, batch):
        each = (steps, batch, self.size)
        states = (steps + 1, *each[1:])
        of_gates = {name: (4, *each) for name in ("gates", "dz", "slope")}
        of_gates["scratch"] = (4, *each[1:])
        return of_gates | {"h": states, "c": states, "tanh_c": each, "slope_c": each}

    def operations(self):
        return 4 * self.size * (self.input_size + self.size)

    def forward(self, x, h, c):
        """Hidden states (steps, batch, size) of x (steps, batch, input_size), from h and c."""
        self.x, self.h[0], self.c[0] = x, h, c
        # sigmoid(z) = (1 + tanh(z / 2)) / 2: with halved weights one tanh serves all four gates
        halves = [0.5, 0.5, 1, 0.5], [0.5, 0.5, 0, 0.5]
        half, shift = (np.array(row, x.dtype).reshape(4, 1, 1) for row in halves)
        W_x, W_h = half * split(self.Wx, 4), half * split(self.Wh, 4)
        np.matmul(rows(x), W_x, out=self.gates.reshape(4, -1, self.size))
        self.gates += half[..., None] * self.b.reshape(4, 1, 1, -1)

        for t in range(len(x)):
            gates = self.gates[:, t]
            gates += np.matmul(self.h[t], W_h, out=self.scratch)
            np.tanh(gates, out=gates)
            gates *= half
            gates += shift
            i, f, g, o = gates
            np.multiply(f, self.c[t], out=self.c[t + 1])
            self.c[t + 1] += np.multiply(i, g, out=self.scratch[0])
            np.tanh(self.c[t + 1], out=self.tanh_c[t])
            np.multiply(o, self.tanh_c[t], out=self.h[t + 1])
        return self.h[1:]

    def backward(self, dh_last):
        """dh_last (answers, batch, size): gradients of the last hidden states."""
        steps, answers, slope, slope_c = len(self.x), len(dh_last), self.slope, self.slope_c
        np.subtract(1, self.gates, out=slope)
        slope *= self.gates  # of the sigmoids: y (1 - y)
        np.multiply(self.gates[2], self.gates[2], out=slope[2])
        np.subtract(1, slope[2], out=slope[2])  # of the tanh of g: 1 - y^2
        np.multiply(self.tanh_c, self.tanh_c, out=slope_c)
        np.subtract(1, slope_c, out=slope_c)
        slope_c *= self.gates[3]  # of h' by c'
        W_h = np.ascontiguousarray(split(self.Wh, 4).swapaxes(1, 2))
        dh, dc = np.zeros_like(self.h[0]), np.zeros_like(self.c[0])

        for t in reversed(range(steps)):
            if t >= steps - answers:
                dh += dh_last[t - steps]
            # dc = dh o (1 - tanh(c)^2), and what c' = f c hands on
            dc += np.multiply(dh, slope_c[t], out=self.scratch[0])
            (i, f, g, _), dz = self.gates[:, t], self.dz[:, t]
            factors = (dc, g), (dc, self.c[t]), (dc, i), (dh, self.tanh_c[t])
            for gate, (d, factor) in enumerate(factors):
                np.multiply(d, factor, out=dz[gate])
            dz *= slope[:, t]
            dc *= f
            np.matmul(dz, W_h, out=self.scratch).sum(axis=0, out=dh)

        dz = self.dz.reshape(4, -1, self.size)
        split(self.dWx, 4)[:] += rows(self.x).T @ dz
        split(self.dWh, 4)[:] += rows(self.h[:-1]).T @ dz
        for db, gate in zip(self.db.reshape(4, -1), dz, strict=True):
            db += sums(gate)

    def picture(self):
        h, c = self.h[1:].swapaxes(0, 1), self.c[1:].swapaxes(0, 1)
        return {"h": h, "c": c, "gates": self.gates.transpose(2, 1, 0, 3)}


class NormedLSTMLayer(Layer):
    """The LSTM with layer norms: z = LN(x W_x + h W_h) over the sums of all four gates, its shift
    being their bias, and h' = o * tanh(LN(c')) (Ba, Kiros and Hinton, 2016, who have two layer
    norms for z, one for each product). Taught in notebook 05."""

    @checked
    def __init__(self, input_size: Whole(), size: Whole()):
        square = glorot(4, lambda shape, rng: orthogonal(shape[0], rng))
        super().__init__(
            Wx=Parameter("W_x", (input_size, 4 * size), glorot(4)),
            Wh=Parameter("W_h", (size, 4 * size), square),
        )  # fmt: skip
        self.input_size, self.size = input_size, size
        self.norm_z = LayerNorm("z", 4 * size, 1, first_shift=forget_gate_open_and_g_apart)
        self.norm_c = LayerNorm("c", size, 1)
        self.layers = self.norm_z, self.norm_c

    def arrays(self, steps, batch):
        each = (steps, 1, batch, self.size)
        states = (steps + 1, *each[2:])
        return {"z": (*each[:3], 4 * self.size), "n_c": each, "tanh_c": each, "h": states,
                "c": states}  # fmt: skip

    operations = LSTMLayer.operations

    def parts(self, z):
        """i, f, g, o of (..., 4 size)."""
        return (z[..., start : start + self.size] for start in range(0, 4 * self.size, self.size))

    def forward(self, x, h, c):
        """Hidden states (steps, batch, size) of x (steps, batch, input_size), from h and c."""
        self.x, self.h[0], self.c[0], self.gates = x, h, c, self.norm_z.y[:, 0]
        np.matmul(rows(x), self.Wx, out=rows(self.z))
        for t in range(len(x)):
            z = self.z[t]
            z += self.h[t] @ self.Wh
            i, f, g, o = self.parts(self.norm_z.forward(t, z)[0])
            np.tanh(g, out=g)
            for gate in (i, f, o):
                gate *= 0.5
                sigmoid_in_place(gate)
            np.multiply(f, self.c[t], out=self.c[t + 1])
            self.c[t + 1] += i * g
            self.n_c[t] = self.c[t + 1]
            np.tanh(self.norm_c.forward(t, self.n_c[t]), out=self.tanh_c[t])
            np.multiply(o, self.tanh_c[t, 0], out=self.h[t + 1])
        return self.h[1:]

    def backward(self, dh_last):
        """dh_last (answers, batch, size): gradients of the last hidden states."""
        steps, answers = len(self.x), len(dh_last)
        dh, dc = np.zeros_like(self.h[0]), np.zeros_like(self.c[0])
        dz = np.empty_like(self.z[0])
        di, df, dg, do = self.parts(dz[0])
        for t in reversed(range(steps)):
            if t >= steps - answers:
                dh += dh_last[t - steps]
            (i, f, g, o), tanh_c = self.parts(self.gates[t]), self.tanh_c[t]
            do[:] = dh * tanh_c[0] * o * (1 - o)
            dc += self.norm_c.backward(t, dh * o * (1 - tanh_c**2))[0]
            di[:] = dc * g * i * (1 - i)
            df[:] = dc * self.c[t] * f * (1 - f)
            dg[:] = dc * i * (1 - g**2)
            dc *= f
            d = self.norm_z.backward(t, dz)[0]
            self.dWx += self.x[t].T @ d
            self.dWh += self.h[t].T @ d
            dh = d @ self.Wh.T

    def picture(self):
        h, c = self.h[1:].swapaxes(0, 1), self.c[1:].swapaxes(0, 1)
        gates = self.gates.swapaxes(0, 1)
        return {"h": h, "c": c, "gates": gates.reshape(*gates.shape[:2], 4, -1)}


class LSTM(Model):
    """A long short-term memory network (Hochreiter and Schmidhuber, 1997; forget gate: Gers et al.,
    2000): i, f, o = sigmoid(x W_x + h W_h + b), g = tanh of the same, c' = f * c + i * g,
    h' = o * tanh(c'), y = readout(h'). One bias; the forget gate's starts at 1.

    layer_norm=True norms the sums of the gates and c (Ba et al., 2016; see NormedLSTMLayer), as the
    relational memory core norms what it attends with. The state is h and c. trace adds "h" and "c"
    (batch, time, hidden_size) and "gates" (batch, time, 4, hidden_size), in the order i, f, g, o.
    Taught in notebook 05.
    """

    @checked
    def __init__(self, input_size: Whole(), hidden_size: Whole(), output_size: Whole(), *,
                 layer_norm: OneOf(True, False) = False, readout_sizes: Wholes() = (),
                 seed: Whole(0) = 0, dtype: Dtype() = np.float32):  # fmt: skip
        self.state_shapes = {"h": (hidden_size,), "c": (hidden_size,)}
        self.lstm = (NormedLSTMLayer if layer_norm else LSTMLayer)(input_size, hidden_size)
        self.readout = make_readout(hidden_size, readout_sizes, output_size)
        self.build([self.lstm, self.readout])

    def unroll(self, x, state):
        self.lstm.forward(x, *(state or (0, 0)))

    def features(self, answers):
        return self.lstm.h[-answers:]

    def unroll_back(self, d_features):
        self.lstm.backward(d_features)

    def states(self):
        return self.lstm.h[-1], self.lstm.c[-1]

    def picture(self):
        return self.lstm.picture()
