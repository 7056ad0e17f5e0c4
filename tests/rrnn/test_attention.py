"""Attention alone: its way forward beside eq. (1), its way back beside differences."""

import numpy as np
import pytest
from layer_checks import HEADS, SIZE, SLOTS, Alone, check_layer, close, rows

from rrnn.attention import Attention
from rrnn.layers import Product
from rrnn.reference import multi_head_attention, scaled_dot_product_attention

SEES = np.eye(SLOTS + 1)  # each slot itself and the input
SEES[:, -1] = 1


def attended(heads, q, k, v, mask=None):
    """Output and weights for (rows, batch, size): each head is eq. (1) on its columns."""
    in_heads = lambda x: x.reshape(*x.shape[:2], heads, -1).transpose(1, 2, 0, 3)
    allowed = None if mask is None else mask > 0
    Y, A = scaled_dot_product_attention(in_heads(q), in_heads(k), in_heads(v), allowed)
    return Y.transpose(2, 0, 1, 3).reshape(q.shape), A


@pytest.mark.parametrize("scale", [1, 30, 1e4], ids=["near", "far apart", "very far apart"])
@pytest.mark.parametrize("mask", [None, SEES[:SLOTS]], ids=["all", "self"])
@pytest.mark.parametrize("heads", [1, HEADS, SIZE])
def test_attention(heads, mask, scale):
    """Scores that are far apart do not overflow: at the second step they are."""
    layer = Attention(SIZE, heads, SLOTS, SLOTS + 1, mask)
    inputs = {"q": rows(), "k": rows(SLOTS + 1, seed=3), "v": rows(SLOTS + 1, seed=6)}
    inputs["q"][1] *= scale

    def forward(q, k, v):
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            return [layer.forward(t, *step) for t, step in enumerate(zip(q, k, v, strict=True))]

    def right(q, k, v):
        steps = [attended(heads, *step, mask) for step in zip(q, k, v, strict=True)]
        close(layer.A, [A for _, A in steps])
        return [Y for Y, _ in steps]

    def backward(dY):
        found = {name: [np.full_like(step, np.nan) for step in x] for name, x in inputs.items()}
        for t in (2, 1, 0):
            layer.backward(t, dY[t], *(found[name][t] for name in "qkv"))
        assert all(np.isfinite(step).all() for x in found.values() for step in x)
        return found if scale < 1000 else {}  # a difference would see rounding

    check_layer(Alone(layer), inputs, forward, right, backward)


def test_attention_between_projections_is_multi_head_attention():
    counts = {"q": SLOTS, "k": SLOTS + 1, "v": SLOTS + 1}
    q, k, v = (Product(name, SIZE, SIZE, count) for name, count in counts.items())
    attention = Attention(SIZE, HEADS, SLOTS, SLOTS + 1)
    home, x, Z = Alone(q, k, v, attention), rows()[0], rows(SLOTS + 1, seed=4)[0]
    home.begin()
    Y = attention.forward(0, q.forward(0, x), k.forward(0, Z), v.forward(0, Z))
    batch_first = lambda array: array.swapaxes(0, 1)
    right, A = multi_head_attention(batch_first(x), batch_first(Z), home.params, HEADS)
    close(batch_first(Y), right)
    close(attention.A[0], A)
