"""The clear forms, beside forms that are clearer still."""

import numpy as np
import pytest
from models import core, sequence, shake

from rrnn.reference import (
    core_step,
    glorot_uniform,
    layer_norm,
    multi_head_attention,
    orthogonal,
    scaled_dot_product_attention,
    sigmoid,
    softmax,
)


def norm(x, gain=1.0, bias=0.0):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return gain * (x - mean) / np.sqrt(variance + 1e-5) + bias


def attend(q, k, v, heads):
    """Heads side by side, each its share of the columns."""
    size = q.shape[-1] // heads
    outputs = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = np.exp(q[:, part] @ k[:, part].T / np.sqrt(size))
        outputs.append(scores / scores.sum(axis=1, keepdims=True) @ v[:, part])
    return np.concatenate(outputs, axis=1)


def test_softmax_and_sigmoid():
    x = np.array([[0.0, 1.0, -np.inf], [1e4, -1e4, 1e4]])
    right = [[1 / (1 + np.e), np.e / (1 + np.e), 0], [0.5, 0, 0.5]]
    np.testing.assert_allclose(softmax(x), right, atol=1e-15)
    np.testing.assert_allclose(softmax(x[:, :2], axis=0).sum(axis=0), 1)
    assert softmax(np.float32([1, 2])).dtype == np.float32
    right = [0, 1 / (1 + np.e), 0.5, np.e / (1 + np.e), 1]
    with np.errstate(all="raise"):
        np.testing.assert_allclose(sigmoid([-1e5, -1, 0, 1, 1e5]), right)


def test_layer_norm():
    rng = np.random.default_rng(0)
    x, gain, bias = 5 + rng.normal(size=(2, 3, 7)), rng.normal(size=7), rng.normal(size=7)
    np.testing.assert_allclose(layer_norm(x, gain, bias), norm(x, gain, bias), rtol=1e-12)
    small = 1e-3 * x  # where the 1e-5 in the root counts
    np.testing.assert_allclose(layer_norm(small, gain, bias), norm(small, gain, bias), rtol=1e-11)
    np.testing.assert_array_equal(layer_norm(np.full((1, 7), 3.0), gain, bias)[0], bias)


@pytest.mark.parametrize(("dtype", "large"), [(np.float32, 1e30), (np.float64, 1e200)])
def test_layer_norm_of_numbers_that_are_too_large_to_square(dtype, large):
    x, one, zero = np.array([[3, -1, 2.5, 0]], dtype), np.ones(4, dtype), np.zeros(4, dtype)
    with np.errstate(all="raise", under="ignore"):
        found = layer_norm(dtype(large) * x, one, zero)
    np.testing.assert_allclose(found, (x - x.mean()) / x.std(), rtol=1e-5)
    assert found.dtype == dtype


def test_glorot_and_orthogonal():
    matrix = glorot_uniform((200, 100), np.random.default_rng(0), np.float32)
    assert matrix.shape == (200, 100) and matrix.dtype == np.float32
    assert 0.98 * np.sqrt(0.02) < np.abs(matrix).max() <= np.float32(np.sqrt(0.02))
    double = glorot_uniform((200, 100), np.random.default_rng(0))
    np.testing.assert_array_equal(double.astype(np.float32), matrix)  # one seed, one matrix
    q = orthogonal(20, np.random.default_rng(0), np.float64)
    np.testing.assert_allclose(q @ q.T, np.eye(20), atol=1e-12)


def test_attention_by_hand():
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 5, 4)), rng.normal(size=(2, 5, 6))
    output, weights = scaled_dot_product_attention(q, k, v)
    assert output.shape == (2, 3, 6) and weights.shape == (2, 3, 5)
    scores = np.exp(np.einsum("bqd,bkd->bqk", q, k) / 2)
    right = scores / scores.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(weights, right, rtol=1e-12)
    np.testing.assert_allclose(output, np.einsum("bqk,bkd->bqd", weights, v), rtol=1e-12)


def test_a_mask_hides_keys():
    rng = np.random.default_rng(0)
    x, names = rng.normal(size=(2, 3, 4)), ("W_q", "W_k", "W_v")
    params = {name: rng.normal(size=(4, 4)) for name in names}
    mask = np.tril(np.ones((3, 3), bool))
    output, weights = multi_head_attention(x, x, params, 2, mask)
    assert weights.shape == (2, 2, 3, 3) and not weights[..., ~mask].any()
    shorter, _ = multi_head_attention(x[:, :2], x[:, :2], params, 2, mask[:2, :2])
    np.testing.assert_allclose(output[:, :2], shorter, rtol=1e-12)
    seen, _ = multi_head_attention(x, x, params, 2, np.ones((3, 3), bool))
    np.testing.assert_allclose(seen, multi_head_attention(x, x, params, 2)[0])


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_multi_head_attention_is_its_heads_side_by_side(heads):
    rng = np.random.default_rng(0)
    x, memory = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 5, 4))
    params = {name: rng.normal(size=(4, 4)) for name in ("W_q", "W_k", "W_v")}
    output, weights = multi_head_attention(x, memory, params, heads)
    assert output.shape == (2, 3, 4) and weights.shape == (2, heads, 3, 5)
    for example, (asks, answers) in enumerate(zip(x, memory, strict=True)):
        q, k, v = asks @ params["W_q"], answers @ params["W_k"], answers @ params["W_v"]
        np.testing.assert_allclose(output[example], attend(q, k, v, heads), rtol=1e-10)
    projected, _ = multi_head_attention(x, memory, params | {"W_o": np.eye(4)[:, :2]}, heads)
    np.testing.assert_allclose(projected, output[..., :2])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_attention_keeps_the_dtype(dtype):
    q = np.ones((2, 3), dtype)
    assert [array.dtype for array in scaled_dot_product_attention(q, q, q)] == [dtype, dtype]


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("gate_style", ["unit", "memory"])
def test_a_step_of_the_core_in_other_words(gate_style, heads):
    """The same lines as core_step, with the norm and the heads that stand here."""
    P = shake(core(gate_style=gate_style, num_heads=heads)).params
    x, M = sequence()[0, 0], np.random.default_rng(1).normal(size=(3, 4))
    p = x @ P["W_in"] + P["b_in"]
    rows = norm(np.vstack([M, p]) @ P["W_qkv"] + P["b_qkv"], P["g_qkv"], P["beta_qkv"])
    q, k, v = rows[:3, :4], rows[:, 4:8], rows[:, 8:]
    U = norm(M + attend(q, k, v, heads), P["g_u"], P["beta_u"])
    r = np.maximum(U @ P["W_mlp1"] + P["b_mlp1"], 0) @ P["W_mlp2"] + P["b_mlp2"]
    C = norm(U + r, P["g_c"], P["beta_c"])
    both = p @ P["W_gx"] + np.tanh(M) @ P["W_gm"] + P["b_g"]
    i, f = both[:, : both.shape[1] // 2], both[:, both.shape[1] // 2 :]
    right = M / (1 + np.exp(-f - 0.7)) + np.tanh(C) / (1 + np.exp(-i + 0.3))
    found = core_step(x, M, P, heads, forget_bias=0.7, input_bias=-0.3)
    np.testing.assert_allclose(found, right, rtol=1e-10)
