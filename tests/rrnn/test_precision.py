"""Layer norm, softmax, sigmoid and attention, the clear forms and the layers that run, beside the
same in extended precision: over all of the range of their kind of number, to a few units in the
last place (ulps)."""

import numpy as np
import pytest
from layer_checks import Alone

from rrnn.attention import Attention
from rrnn.layers import LayerNorm, Linear, sigmoid_in_place
from rrnn.reference import (
    EPSILON,
    layer_norm,
    multi_head_attention,
    scaled_dot_product_attention,
    sigmoid,
    softmax,
)

exact = np.longdouble
FINE = np.finfo(exact).eps < 1e-3 * np.finfo(np.float64).eps  # not so on every machine
KINDS = [np.float16, np.float32, *([np.float64] if FINE else [])]
of_references = pytest.mark.parametrize("dtype", KINDS)
of_layers = pytest.mark.parametrize("dtype", KINDS[1:])
ROWS, SIZE = 40, 8


def over_the_range(dtype, largest=1.0, rows=ROWS, size=SIZE):
    """Rows of random numbers, from about the smallest there are to `largest` of the largest; then
    nothing but the largest, of both signs and of one; then rows of much the same numbers."""
    rng, info = np.random.default_rng(0), np.finfo(dtype)
    top = largest * float(info.max)
    ends = np.log2([float(info.smallest_subnormal), top])
    x = rng.uniform(-1, 1, (rows, size)) * 2.0 ** (np.linspace(*ends, rows)[:, None] - 1) * 2
    signs = np.ones((2, size))
    signs[0, ::3] = -1
    near = rng.uniform(10, 1000, (4, 1)) + rng.uniform(-1, 1, (4, size))
    return np.concatenate([x, top * signs, near]).astype(dtype)


def ulps(found, right, least=0.0):
    """How many units in the last place of the right number, or of `least`, it is off."""
    assert np.isfinite(found).all()
    info = np.finfo(found.dtype)
    unit = info.eps * np.maximum(np.maximum(np.abs(right), least), info.smallest_normal)
    return (np.abs(found.astype(exact) - right) / unit).astype(float)


def exact_sigmoid(x):
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x.astype(exact)))


def exact_softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def exact_layer_norm(x, gain=1, bias=0):
    x = x.astype(exact)
    x = x - x.mean(axis=-1, keepdims=True)
    x = x - x.mean(axis=-1, keepdims=True)
    return gain * x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + exact(EPSILON)) + bias


def spread(x):
    """By how much what rounding does to the mean of a row counts in its norm."""
    x = x.astype(exact)
    return np.abs(x).max(axis=-1, keepdims=True) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)


@of_references
def test_softmax(dtype):
    x = over_the_range(dtype)
    with np.errstate(over="ignore"):  # x - top, of numbers as far apart as can be
        found = softmax(x)
    away = x.max(axis=-1, keepdims=True).astype(exact) - x
    allowed = 3 + np.minimum(away, 1e3)  # x - top is rounded, too
    assert found.dtype == dtype
    assert (ulps(found, exact_softmax(x.astype(exact))) <= allowed).all()


@of_references
def test_sigmoid(dtype):
    x = np.concatenate([over_the_range(dtype).ravel(), np.linspace(-90, 90, 500)]).astype(dtype)
    found = sigmoid(x)
    assert found.dtype == dtype and ulps(found, exact_sigmoid(x)).max() <= 3


@of_layers
def test_sigmoid_of_the_layers(dtype):
    """Exact beside 1, not beside itself: a gate that is nearly shut keeps no more digits."""
    x = np.concatenate([over_the_range(dtype).ravel(), np.linspace(-90, 90, 500)]).astype(dtype)
    found = x / 2
    sigmoid_in_place(found)
    assert ulps(found, exact_sigmoid(x), least=1).max() <= 1


@of_references
def test_layer_norm(dtype):
    x, rng = over_the_range(dtype), np.random.default_rng(1)
    gain, bias = rng.normal(size=(2, SIZE)).astype(dtype)
    found, right = layer_norm(x, gain, bias), exact_layer_norm(x, *map(exact, (gain, bias)))
    allowed = 3 + (spread(x) if dtype == np.float64 else 0)
    assert found.dtype == dtype
    assert (ulps(found, right, least=1) <= allowed).all()


@pytest.mark.parametrize("after_linear", [False, True])
@of_layers
def test_layer_norm_of_the_layers(dtype, after_linear):
    """To a quarter of the largest number: x - mean must be one, too."""
    x = over_the_range(dtype, largest=0.25)
    linear = Linear("z", SIZE, SIZE, 1) if after_linear else None
    layer = LayerNorm("z", SIZE, 1, linear=linear)
    parts = [linear, layer] if after_linear else [layer]
    home = Alone(*parts, steps=1, batch=len(x), dtype=dtype)
    if after_linear:  # whose mean is taken off its matrix
        linear.W[:], linear.b[:] = np.eye(SIZE), 0
    home.begin()
    with np.errstate(over="ignore"):
        given = linear.forward(0, x[None]) if after_linear else x[None].copy()
        found = layer.forward(0, given)[0]
    right = exact_layer_norm(x, layer.g.astype(exact), layer.beta.astype(exact))
    assert (ulps(found, right, least=1) <= 6 + 3 * spread(x)).all()


def heads(dtype, largest, queries=3, keys=4, batch=20, size=8, seed=0):
    """q, k and v (batch, rows, size) of each size from small to so large that the products of q
    and k are about `largest`."""
    rng = np.random.default_rng(seed)
    scale = np.geomspace(1e-2, np.sqrt(largest / size), batch)[:, None, None]
    q, k, v = (rng.uniform(-1, 1, (batch, count, size)) for count in (queries, keys, keys))
    return (scale * q).astype(dtype), (scale * k).astype(dtype), (100 * v).astype(dtype)


def exact_attention(q, k, v):
    """Output, weights, and how many ulps rounding may cost: that of the scores counts."""
    q, k, v = (array.astype(exact) for array in (q, k, v))
    root, k = np.sqrt(exact(q.shape[-1])), k.swapaxes(-1, -2)
    weights = exact_softmax(q @ k / root)
    worst = (np.abs(q) @ np.abs(k)).max(axis=(-1, -2), keepdims=True) / root
    return weights @ v, weights, 6 + 8 * np.minimum(worst, 1e3)


@of_references
def test_attention(dtype):
    q, k, v = heads(dtype, largest=float(np.finfo(dtype).max) / 2)
    output, weights = scaled_dot_product_attention(q, k, v)
    right, right_weights, allowed = exact_attention(q, k, v)
    assert output.dtype == weights.dtype == dtype
    assert (ulps(weights, right_weights) <= allowed).all()
    assert (ulps(output, right, least=100) <= allowed).all()


@of_references
def test_multi_head_attention(dtype):
    """Between projections that change nothing."""
    x, _, _ = heads(dtype, largest=60, queries=4)
    params = {name: np.eye(8, dtype=dtype) for name in ("W_q", "W_k", "W_v")}
    output, weights = multi_head_attention(x, x, params, 2)
    for head in range(2):
        part = x[..., 4 * head : 4 * head + 4]
        right, right_weights, allowed = exact_attention(part, part, part)
        assert (ulps(weights[:, head], right_weights) <= allowed).all()
        assert (ulps(output[..., 4 * head : 4 * head + 4], right, least=3) <= allowed).all()


@of_layers
def test_attention_of_the_layers(dtype):
    """Weights beside 1; a score that is far below the largest may round to nothing."""
    q, k, v = heads(dtype, largest=float(np.finfo(dtype).max) / 8)
    layer = Attention(8, 1, 3, 4)
    Alone(layer, steps=len(q), batch=1, dtype=dtype).begin()
    for t in range(len(q)):  # by itself: numbers that are far apart are told from others
        given = [array[t][:, None] for array in (q, k, v)]
        Y = layer.forward(t, *given)[:, 0]
        right, weights, allowed = exact_attention(q[t], k[t], v[t])
        assert (ulps(layer.A[t, 0, 0], weights) <= allowed).all()
        assert (ulps(Y, right, least=100) <= allowed).all()
