"""The operations that the models are made of, each with its way back.

House rules. forward(t, ...) computes step t and keeps what the way back needs; backward(t, dy)
turns the gradient of what forward returned into the gradients of what it was given, and adds to
those of the parameters. Letters are those of notebooks 01 to 03: the gradient of x is dx.

Arrays are (rows, batch, size), the rows being slots. A layer owns its arrays for all steps, made
once for a (time, batch): new large arrays cost more than the arithmetic. So it writes in place,
also on what it was given. Sums over an axis are products with ones, and a row that is added to all
rows is repeated for the whole batch: NumPy is fast where the inner loop is long.
"""

import functools
from typing import NamedTuple

import numpy as np

from rrnn.checks import OrNone, Whole, Wholes, checked, floats
from rrnn.reference import EPSILON, glorot_uniform


class Parameter(NamedTuple):
    """What a layer asks the model for: a name, a shape and first values, first(shape, rng)."""

    name: str
    shape: tuple
    first: object


def constant(value):
    return lambda shape, rng: np.full(shape, value)


def glorot(parts=1, draw=glorot_uniform):
    """First values of `parts` matrices that stand side by side: drawn one after the other."""
    return lambda shape, rng: np.concatenate(
        [draw((shape[0], shape[1] // parts), rng) for _ in range(parts)], axis=1
    )


def rows(array):
    """All leading axes in one, as a view."""
    return array.reshape(-1, array.shape[-1])


def split(weights, parts):
    """The (size, parts * columns) matrix as a view (parts, size, columns): one for each gate."""
    return weights.reshape(len(weights), parts, -1).swapaxes(0, 1)


@functools.lru_cache(64)
def ones(shape, dtype):
    return np.ones(shape, dtype)


def sums(array):
    """The sum over all but the last axis."""
    flat = rows(array)
    return ones(len(flat), flat.dtype) @ flat


def dots(x, y):
    """The sum of x * y over all but the last axis, without an array for the products."""
    return np.einsum("rs,rs->s", rows(x), rows(y))


def repeat(row, batch):
    return np.broadcast_to(row, (batch, len(row))).copy()


def sigmoid_in_place(half):
    """half is x / 2, and becomes 1 / (1 + exp(-x)) = (1 + tanh(x / 2)) / 2."""
    np.tanh(half, out=half)
    half *= 0.5
    half += 0.5


class Layer:
    """parameters {attribute: Parameter}; a gradient stands in "d" + attribute. A layer made of
    others names them in `layers`."""

    layers, views = (), ()
    repeats = 1  # how often a step may use it
    uses = 1  # how often it does, counted in all its rows

    def __init__(self, **parameters):
        self.parameters = parameters

    def __setattr__(self, name, value):
        """What is assigned to a parameter is written into the model's vector, of which it is one of
        the `views`."""
        if name in self.views and value is not (view := getattr(self, name)):
            view[:] = floats(name, value, view.shape, view.dtype)
        else:
            super().__setattr__(name, value)

    def arrays(self, steps, batch):
        """{attribute: shape} of the arrays for so many steps, which the model will set."""
        return {}

    def operations(self):
        """Multiplications and additions, in pairs, of one example's step."""
        return 0

    def begin(self, batch):
        """Before the first step of a batch, when parameters may have changed."""

    def end(self):
        """After the last step of the way back."""


class Identity(Layer):
    """y = x: what stands where an option leaves a layer out."""

    def forward(self, t, x):
        return x

    def backward(self, t, dy):
        return dy


class Product(Layer):
    """y = x W, with W (fan_in, fan_out) and x (up to num_rows, batch, fan_in). num_rows None: the
    rows are the steps, and all are computed at once, as step 0."""

    def __init__(self, name, fan_in, fan_out, num_rows=None, *, parts=1, **more):
        super().__init__(W=Parameter(f"W_{name}", (fan_in, fan_out), glorot(parts)), **more)
        self.fan_in, self.fan_out, self.num_rows = fan_in, fan_out, num_rows

    def arrays(self, steps, batch):
        steps, count = (1, steps) if self.num_rows is None else (steps, self.num_rows)
        return {"y": (steps, count, batch, self.fan_out), "dx": (count, batch, self.fan_in)}

    def operations(self):
        return self.fan_in * self.fan_out * (self.num_rows or 1)

    def begin(self, batch):
        self.x, self.used = {}, self.W

    def forward(self, t, x):
        self.x[t], y = x, self.y[t][: len(x)]
        np.matmul(rows(x), self.used, out=rows(y))
        return y

    def learn(self, t, dy):
        self.dW += rows(self.x[t]).T @ rows(dy)  # dW = x^T dy

    def backward(self, t, dy):
        self.learn(t, dy)
        dx = self.dx[: len(dy)]
        np.matmul(rows(dy), self.used.T, out=rows(dx))  # dx = dy W^T
        return dx


class Linear(Product):
    """y = x W + b. Taught in notebook 02."""

    @checked
    def __init__(self, name, fan_in: Whole(), fan_out: Whole(), num_rows: OrNone(Whole()) = None, *,
                 parts: Whole() = 1):  # fmt: skip
        b = Parameter(f"b_{name}", (fan_out,), constant(0))
        super().__init__(name, fan_in, fan_out, num_rows, parts=parts, b=b)

    def begin(self, batch):
        super().begin(batch)
        self.bias = repeat(self.b, batch)

    def forward(self, t, x):
        y = super().forward(t, x)
        y += self.bias
        return y

    def learn(self, t, dy):
        super().learn(t, dy)
        self.db += sums(dy)  # db = sum of dy over the rows


class MemoryLinear(Linear):
    """Linear on Z = [M; p]. If `shared`, all examples have the same memory before the first step,
    and nothing learns from its gradient: so its rows are multiplied once, not for each example.
    That saves 4% of a training step of 3 time steps, 2% of one of 8."""

    shared = True

    def forward(self, t, x):
        if t or not self.shared:
            return super().forward(t, x)
        self.x[t], y = x, self.y[t]
        y[:-1] = (x[:-1, 0] @ self.used)[:, None]
        np.matmul(x[-1], self.used, out=y[-1])
        y += self.bias
        return y

    def learn(self, t, dy):
        if t or not self.shared:
            return super().learn(t, dy)
        self.dW += self.x[t][:-1, 0].T @ (ones(dy.shape[1], dy.dtype) @ dy[:-1])
        self.dW += self.x[t][-1].T @ dy[-1]
        self.db += sums(dy)

    def backward(self, t, dy):
        if t or not self.shared:
            return super().backward(t, dy)
        self.learn(t, dy)
        self.dx[:-1] = 0
        np.matmul(dy[-1], self.used.T, out=self.dx[-1])
        return self.dx


class LayerNorm(Layer):
    """y = g n + beta, n = (x - mean) s, s = 1 / sqrt(variance + eps), mean and variance over the
    last axis. x is written over: it becomes n / sqrt(size), and the gain has the root instead.

    If x comes from `linear`, a Linear layer, the mean is taken off its matrix and bias, once: the
    mean of a row of z W + b is z times the mean column of W. That saves 3% of a training step. All
    that a layer norm does about the mean stands in begin, take_off_mean and end. Taught in
    notebook 02.
    """

    @checked
    def __init__(self, name, size: Whole(), num_rows: Whole(), linear=None, first_shift=None):
        g = Parameter(f"g_{name}", (size,), constant(1))
        first_shift = first_shift or constant(0)
        super().__init__(g=g, beta=Parameter(f"beta_{name}", (size,), first_shift))
        self.size, self.num_rows, self.linear = size, num_rows, linear

    def arrays(self, steps, batch):
        flat = self.num_rows * batch
        return {"y": (steps, self.num_rows, batch, self.size), "s": (steps, flat)}

    def begin(self, batch):
        self.root = self.g.dtype.type(np.sqrt(self.size))
        self.gain, self.shift = repeat(self.root * self.g, batch), repeat(self.beta, batch)
        self.mean, self.n = np.full(self.size, 1 / self.size, self.g.dtype), {}
        if self.linear:
            self.linear.used = centred(self.linear.W)
            self.linear.bias = repeat(centred(self.linear.b), batch)

    def take_off_mean(self, flat):
        if not self.linear:
            flat -= (flat @ self.mean)[:, None]

    def forward(self, t, x):
        self.n[t], flat, y = x, rows(x), self.y[t][: len(x)]
        s = self.s[t][: len(flat)]
        self.take_off_mean(flat)
        np.vecdot(flat, flat, out=s)
        s += self.size * EPSILON
        np.reciprocal(np.sqrt(s, out=s), out=s)
        if not s.all():  # a square was too large for its kind of number
            top = np.maximum(np.abs(flat).max(axis=1), 1)
            small = flat / top[:, None]
            square = np.vecdot(small, small) + self.size * EPSILON / top / top
            s[:] = 1 / np.sqrt(square) / top
        flat *= s[:, None]
        np.multiply(x, self.gain, out=y)
        y += self.shift
        return y

    def backward(self, t, dy):
        n, d = rows(self.n[t]), rows(dy)
        self.dg += self.root * dots(d, n)  # dg = sum of dy * n
        self.dbeta += sums(d)  # dbeta = sum of dy
        dy *= self.gain  # dn = dy * g
        n *= np.vecdot(d, n)[:, None]
        self.take_off_mean(d)
        d -= n
        d *= self.s[t][: len(d), None]  # dx = s (dn - mean(dn) - n mean(dn * n))
        return dy

    def end(self):
        if self.linear:
            self.linear.dW[:] = centred(self.linear.dW)
            self.linear.db[:] = centred(self.linear.db)


def centred(array):
    return array - array.mean(axis=-1, keepdims=True)


class MLP(Layer):
    """Linear layers of these names, from sizes[0] columns to sizes[1] and so on, a ReLU after all
    but the last. Taught in notebook 02."""

    @checked
    def __init__(self, names, sizes: Wholes(), num_rows: OrNone(Whole()) = None):
        super().__init__()
        if len(sizes) != len(names) + 1:
            raise ValueError(f"sizes must be one more than the names {names!r}, got {sizes}")
        pairs = zip(sizes, sizes[1:], strict=False)
        self.layers = [Linear(n, a, b, num_rows) for n, (a, b) in zip(names, pairs, strict=True)]

    def forward(self, t, x):
        for layer in self.layers[:-1]:
            x = layer.forward(t, x)
            np.maximum(x, 0, out=x)
        return self.layers[-1].forward(t, x)

    def backward(self, t, dy):
        *hidden, last = self.layers
        dx = last.backward(t, dy)
        for layer in reversed(hidden):
            dx *= layer.y[t][: len(dx)] > 0
            dx = layer.backward(t, dx)
        return dx


def make_readout(features, readout_sizes, output_size):
    """ReLU layers of readout_sizes, then a linear one."""
    names = [f"read{i}" for i in range(1, len(readout_sizes) + 1)]
    return MLP([*names, "out"], [features, *readout_sizes, output_size])


class Residual(Layer):
    """C = LN(U + MLP(U)): each row worked on by itself. Taught in notebook 02."""

    def __init__(self, mlp, norm):
        super().__init__()
        self.layers = self.mlp, self.norm = mlp, norm

    def forward(self, t, U):
        r = self.mlp.forward(t, U)
        r += U
        return self.norm.forward(t, r)

    def backward(self, t, dC):
        dt = self.norm.backward(t, dC)
        dU = self.mlp.backward(t, dt)
        dU += dt
        return dU
