"""Attention in heads, with its way back (notebook 01). The house rules are those of
rrnn/layers.py."""

import numpy as np

from rrnn.checks import Whole, checked
from rrnn.layers import Layer, ones, rows


class Attention(Layer):
    """Y = A v, A = softmax(q k^T / sqrt(d)), in num_heads heads of d = size / num_heads columns; q
    (num_queries, batch, size), k and v (num_rows, batch, size). mask (num_queries, num_rows) is 0
    where a query may not look, else 1. Taught in notebook 01."""

    @checked
    def __init__(self, size: Whole(), num_heads: Whole(), num_queries: Whole(),
                 num_rows: Whole(), mask=None):  # fmt: skip
        super().__init__()
        if size % num_heads:
            got = f"got size {size}, num_heads {num_heads}"
            raise ValueError(f"size must be a multiple of num_heads, {got}")
        self.size, self.num_heads, self.mask = size, num_heads, mask
        self.num_queries, self.num_rows = num_queries, num_rows
        self.scale = (size // num_heads) ** -0.5

    def arrays(self, steps, batch):
        A = (batch, self.num_heads, self.num_queries, self.num_rows)
        Y = (steps, self.num_queries, batch, self.size)
        return {"A": (steps, *A), "dA": A, "total": A, "Y": Y}

    def operations(self):
        return 2 * self.num_queries * self.num_rows * self.size

    def begin(self, batch):
        self.qkv = {}

    def heads(self, x):
        """(rows, batch, size) as a view (batch, heads, rows, d)."""
        return x.reshape(*x.shape[:2], self.num_heads, -1).transpose(1, 2, 0, 3)

    def sum_keys(self, A):
        """The sums over the last axis, repeated along it."""
        np.matmul(rows(A), ones((self.num_rows,) * 2, A.dtype), out=rows(self.total))
        return self.total

    def forward(self, t, q, k, v):
        q, k, v = self.qkv[t] = self.heads(q), self.heads(k), self.heads(v)
        A, Y = self.A[t], self.Y[t]
        np.matmul(q, k.swapaxes(-1, -2), out=A)
        A *= self.scale
        if max(A.max(), -A.min()) > 60:  # only then exp could overflow, or lose a row
            if self.mask is not None:
                A[:] = np.where(self.mask > 0, A, -np.inf)
            A -= A.max(axis=-1, keepdims=True)
        np.exp(A, out=A)
        if self.mask is not None:
            A *= self.mask
        A /= self.sum_keys(A)
        np.matmul(A, v, out=self.heads(Y))
        return Y

    def backward(self, t, dY, dq, dk, dv):
        """Writes dq, dk and dv."""
        (q, k, v), A, dA, dY = self.qkv[t], self.A[t], self.dA, self.heads(dY)
        np.matmul(A.swapaxes(-1, -2), dY, out=self.heads(dv))  # dv = A^T dY
        np.matmul(dY, v.swapaxes(-1, -2), out=dA)  # dA = dY v^T
        dA *= A
        total = self.sum_keys(dA)
        total *= A
        dA -= total
        dA *= self.scale  # dE = A * (dA - rowsum(dA * A)), with the root of d
        np.matmul(dA, k, out=self.heads(dq))  # dq = dE k / sqrt(d)
        np.matmul(dA.swapaxes(-1, -2), q, out=self.heads(dk))  # dk = dE^T q / sqrt(d)
