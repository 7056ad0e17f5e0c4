"""The gates of the two memories, with their ways back: what is written, and what is kept.

The house rules are those of rrnn/layers.py.
"""

import numpy as np

from rrnn.checks import Number, Whole, checked
from rrnn.layers import Layer, Parameter, constant, glorot, ones, rows

from rrnn.layers import sigmoid_in_place, split, sums  # isort: skip


class Gates(Layer):
    """M' = f * M + i * tanh(C), with i, f = sigmoid(p W_gx + tanh(M) W_gm + b_g + biases), width
    columns each: size of them, or one for a whole slot. p is the input (steps, batch, size). If
    `shared`, all examples have the same memory before the first step (see MemoryLinear): tanh_M is
    not filled then. Taught in notebook 02."""

    shared = True

    @checked
    def __init__(self, size: Whole(), width: Whole(), num_slots: Whole(),
                 input_bias: Number(finite=False), forget_bias: Number(finite=False)):  # fmt: skip
        if width not in (1, size):
            raise ValueError(f"width must be 1 or size = {size}, got {width}")
        shape = (size, 2 * width)
        super().__init__(
            Wx=Parameter("W_gx", shape, glorot(2)), Wm=Parameter("W_gm", shape, glorot(2)),
            b=Parameter("b_g", (2 * width,), constant(0)),
        )  # fmt: skip
        self.size, self.width, self.num_slots = size, width, num_slots
        self.biases = np.array([[[input_bias]], [[forget_bias]]])

    def arrays(self, steps, batch):
        one = (self.num_slots, batch, self.size)
        return {
            "G": (steps, 2, self.num_slots, batch, self.width), "tanh_M": (steps, *one),
            "tanh_C": (steps, *one), "dC": one, "scratch": (2, *one),
            "dG_p": (2, steps, batch, self.width),
        }  # fmt: skip

    def operations(self):
        return (self.num_slots + 1) * self.size * 2 * self.width

    def inputs(self, p):
        """What the inputs of all steps say to the gates; half of it, for the sigmoids."""
        half = p.dtype.type(0.5)
        b = half * (self.b.reshape(2, 1, -1) + self.biases).astype(p.dtype)
        self.from_p = (rows(p) @ (half * split(self.Wx, 2)) + b).reshape(2, *p.shape[:2], -1)
        self.p, self.M, self.half_Wm = p, {}, half * split(self.Wm, 2)

    def forward(self, t, M, C, out):
        self.M[t], G, tanh_M, tanh_C = M, self.G[t], self.tanh_M[t], self.tanh_C[t]
        if t or not self.shared:
            np.tanh(M, out=tanh_M)
            np.matmul(rows(tanh_M), self.half_Wm, out=G.reshape(2, -1, self.width))
            G += self.from_p[:, t, None]
        else:
            np.add((np.tanh(M[:, 0]) @ self.half_Wm)[:, :, None], self.from_p[:, t, None], out=G)
        sigmoid_in_place(G)
        i, f = G
        np.tanh(C, out=tanh_C)
        np.multiply(f, M, out=out)
        out += np.multiply(i, tanh_C, out=self.scratch[0])
        return out

    def backward(self, t, dM):
        """The gradient of C; dM becomes that of M."""
        M, G, tanh_M, tanh_C, dC = self.M[t], self.G[t], self.tanh_M[t], self.tanh_C[t], self.dC
        np.multiply(dM, G[0], out=dC)  # i dM'
        dM *= G[1]  # f dM'

        # dG = dM' tanh(C) i (1 - i), dM' M f (1 - f)
        np.subtract(1, G, out=G)
        for gate, d, value in (G[0], dC, tanh_C), (G[1], dM, M):
            if self.width == self.size:
                gate *= d
                gate *= value
            else:
                gate *= np.vecdot(d, value)[..., None]
        dG = G.reshape(2, -1, self.width)
        if t or not self.shared:
            split(self.dWm, 2)[:] += rows(tanh_M).T @ dG
        else:
            split(self.dWm, 2)[:] += np.tanh(M[:, 0]).T @ (ones(M.shape[1], M.dtype) @ G)
        G.sum(axis=1, out=self.dG_p[:, t])

        tanh_C *= tanh_C
        tanh_C *= dC
        dC -= tanh_C  # dC = i dM' (1 - tanh(C)^2)
        if t:  # nothing learns from the gradient of the first memory
            scratch, more = self.scratch
            for gate, W, out in zip(dG, split(self.Wm, 2), self.scratch, strict=True):
                np.matmul(gate, W.T, out=rows(out))
            scratch += more
            tanh_M *= tanh_M
            tanh_M *= scratch
            dM += scratch
            dM -= tanh_M  # dM = f dM' + dG W_gm^T (1 - tanh(M)^2)
        return dC

    def inputs_back(self):
        """The gradient of the inputs of all steps."""
        dG = self.dG_p.reshape(2, -1, self.width)
        split(self.dWx, 2)[:] += rows(self.p).T @ dG
        self.db.reshape(2, -1)[:] += dG.sum(axis=1)
        return (dG @ split(self.Wx, 2).swapaxes(1, 2)).sum(axis=0).reshape(self.p.shape)


class NoGates(Layer):
    """M' = C."""

    def inputs(self, p):
        self.p = p

    def forward(self, t, M, C, out):
        out[:] = C
        return out

    def backward(self, t, dM):
        dC = dM.copy()
        dM[:] = 0
        return dC

    def inputs_back(self):
        return np.zeros_like(self.p)


class SlotGate(Layer):
    """M' = g * u + (1 - g) * M, with u = tanh(u) and g = sigmoid([a : p] W_gate + b_gate), for the
    memory beside an LSTM: a is what the slots attended to, p the input (steps, batch, size).
    Taught in notebook 03."""

    @checked
    def __init__(self, size: Whole(), num_slots: Whole()):
        super().__init__(
            W=Parameter("W_gate", (2 * size, size), glorot()),
            b=Parameter("b_gate", (size,), constant(0)),
        )
        self.size, self.num_slots = size, num_slots

    def arrays(self, steps, batch):
        one = (self.num_slots, batch, self.size)
        return {"g": (steps, *one), "u": (steps, *one), "da": one, "du": one, "dg": one,
                "dg_p": (steps, batch, self.size)}  # fmt: skip

    def operations(self):
        return (self.num_slots + 1) * self.size * self.size

    def inputs(self, p):
        """What the inputs of all steps say to the gate; half of it, for the sigmoid."""
        half = p.dtype.type(0.5)
        self.half_W, W_p = np.split(half * self.W, 2)
        self.p, self.from_p, self.M_a = p, p @ W_p + half * self.b, {}

    def forward(self, t, M, u, a, out):
        self.M_a[t], g = (M, a), self.g[t]
        np.matmul(rows(a), self.half_W, out=rows(g))
        g += self.from_p[t]
        sigmoid_in_place(g)
        u = np.tanh(u, out=self.u[t])
        np.subtract(u, M, out=out)
        out *= g
        out += M  # M + g (u - M)
        return out

    def backward(self, t, dM):
        """The gradients of u and a; dM becomes that of M."""
        (M, a), g, u, dg, du = self.M_a[t], self.g[t], self.u[t], self.dg, self.du
        np.multiply(dM, g, out=du)
        np.subtract(u, M, out=dg)
        dg *= du
        dM -= du  # dM = (1 - g) dM'
        np.subtract(1, g, out=g)
        dg *= g  # of what the sigmoid got: dM' (u - M) g (1 - g)
        u *= u
        u *= du
        du -= u  # of what the tanh got: dM' g (1 - u^2)

        W_a, _ = np.split(self.W, 2)
        self.dW[: self.size] += rows(a).T @ rows(dg)
        np.sum(dg, axis=0, out=self.dg_p[t])
        np.matmul(rows(dg), W_a.T, out=rows(self.da))
        return du, self.da

    def inputs_back(self):
        """The gradient of the inputs of all steps."""
        _, W_p = np.split(self.W, 2)
        self.dW[self.size :] += rows(self.p).T @ rows(self.dg_p)
        self.db += sums(self.dg_p)
        return self.dg_p @ W_p.T
