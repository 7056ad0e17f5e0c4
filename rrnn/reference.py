"""The clear forms that notebooks 01 and 02 teach: slow, short, one example in mind at a time.

The models run the layers of rrnn/layers.py; every layer is tested against what stands here.
"""

import numpy as np

from rrnn.checks import Dtype, Rng, Whole, checked, floats, real

EPSILON = 1e-5  # inside the root of every layer norm


def softmax(x, axis=-1):
    """exp(x) / sum(exp(x)) along `axis`, shifted by the maximum so that it cannot overflow; same
    shape as x.

    An entry of -inf gets weight 0. Raises ValueError for NaN, +inf, or a row of -inf alone. Taught
    in notebook 01.
    """
    x = real("x", x)
    top = x.max(axis=axis, keepdims=True)
    if not np.isfinite(top).all():
        raise ValueError("x must hold a finite number in every row and neither NaN nor +inf")
    e = np.exp(x - top)
    return e / e.sum(axis=axis, keepdims=True)


def sigmoid(x):
    """1 / (1 + exp(-x)), with exp of nothing above 0, so that it cannot overflow, and that what is
    nearly 0 keeps its digits; same shape as x. Taught in notebook 02."""
    x = real("x", x)
    with np.errstate(under="ignore"):
        e = np.exp(-np.abs(x))
        return np.where(x < 0, e, x.dtype.type(1)) / (1 + e)


def layer_norm(x, gain, bias):
    """gain * (x - mean) / sqrt(variance + 1e-5) + bias, mean and variance over the last axis of x
    (..., size).

    gain and bias are (size,). Raises ValueError where the sizes do not agree. Taught in
    notebook 02.
    """
    x, gain, bias = real("x", x), real("gain", gain), real("bias", bias)
    if x.ndim == 0 or np.shape(gain) != x.shape[-1:] or np.shape(bias) != x.shape[-1:]:
        got = f"got {np.shape(gain)} and {np.shape(bias)}"
        raise ValueError(f"gain and bias must have shape {x.shape[-1:]}, {got}")
    # squares of large numbers overflow: those of float16 and float32 have room in float64, where
    # large rows are measured by their largest entry
    wide = x.astype(np.promote_types(x.dtype, np.float64))
    top = np.maximum(np.abs(wide).max(axis=-1, keepdims=True), 1)
    n = wide / top
    n = n - n.mean(axis=-1, keepdims=True)
    variance = (n**2).mean(axis=-1, keepdims=True)
    least = np.maximum(EPSILON / top / top, 1e-300)  # also where one huge number fills a row
    y = gain * n / np.sqrt(variance + least) + bias
    return y.astype(np.result_type(x, gain, bias))


def glorot_uniform(shape, rng, dtype=np.float64):
    """A (fan_in, fan_out) matrix, uniform within +-sqrt(6 / (fan_in + fan_out)) (Glorot and
    Bengio, 2010).

    Drawn in float64 and cast, so that one seed means one matrix. Taught in notebook 05.
    """
    if np.shape(shape) != (2,):
        raise ValueError(f"shape must be two sizes, (fan_in, fan_out), got {shape!r}")
    fan_in, fan_out = (
        Whole()("shape", int(size) if isinstance(size, np.integer) else size) for size in shape
    )
    limit = np.sqrt(6 / (fan_in + fan_out))
    drawn = Rng()("rng", rng).uniform(-limit, limit, (fan_in, fan_out))
    return drawn.astype(Dtype()("dtype", dtype))


@checked
def orthogonal(size: Whole(), rng: Rng(), dtype: Dtype() = np.float64):
    """A random (size, size) matrix with Q Q^T = 1 (Saxe et al., 2014): it keeps lengths. Taught in
    notebook 05."""
    q, r = np.linalg.qr(rng.normal(size=(size, size)))
    return (q * np.sign(np.diag(r))).astype(dtype)


def scaled_dot_product_attention(q, k, v, mask=None):
    """softmax(q k^T / sqrt(d)) v, eq. (1): q (..., queries, d), k (..., keys, d), v (..., keys,
    d_v).

    Returns the output (..., queries, d_v) and the weights (..., queries, keys). mask, if given, is
    boolean and fits the weights by broadcasting: False means "may not look". Raises ValueError
    where shapes do not fit, or where a query may look at no key. Taught in notebook 01.
    """
    q, k, v = (real(name, array) for name, array in (("q", q), ("k", k), ("v", v)))
    few = min(q.ndim, k.ndim, v.ndim) < 2 or 0 in k.shape[-2:]
    if few or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ValueError(
            "q, k, v must have shapes (..., queries, d), (..., keys, d), (..., keys, d_v) with at "
            f"least one key; got {q.shape}, {k.shape}, {v.shape}"
        )
    for name, array in (("q", q), ("k", k), ("v", v)):
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite, but holds NaN or infinite values")
    # (..., queries, keys); a Python float keeps float32
    with np.errstate(over="ignore", invalid="ignore"):
        scores = q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5
    if not np.isfinite(scores).all():
        raise ValueError(f"q and k are too large: their products overflow {scores.dtype}")
    if mask is not None:
        mask = np.asarray(mask)
        if mask.dtype != bool:
            right = "boolean, True where a query may look"
            raise TypeError(f"mask must be {right}; got dtype {mask.dtype}")
        try:
            scores = np.where(np.broadcast_to(mask, scores.shape), scores, -np.inf)
        except ValueError:
            wanted = f"mask must broadcast to the weights {scores.shape}, got {mask.shape}"
            raise ValueError(wanted) from None
        if np.isneginf(scores).all(axis=-1).any():
            raise ValueError("mask must leave every query at least one key to look at")
    weights = softmax(scores)
    return weights @ v, weights


def multi_head_attention(x, memory, params, num_heads, mask=None):
    """Attention in num_heads subspaces, the outputs joined side by side, section 3.1 of the paper.

    x (batch, queries, features) asks; memory (batch, keys, features) answers. params holds W_q,
    W_k, W_v (features, size) and, if wanted, an output projection W_o (size, any); the paper has
    none. Returns the output (batch, queries, size) and the weights (batch, heads, queries, keys).
    Raises ValueError where sizes do not fit. Taught in notebook 01.
    """
    num_heads = Whole()("num_heads", num_heads)
    x = floats("x", x, ("batch", "queries", "features"))
    memory = floats("memory", memory, (x.shape[0], "keys", "features"))
    for name, source in (("W_q", x), ("W_k", memory), ("W_v", memory)):
        if name not in params:
            raise ValueError(f"params must hold W_q, W_k and W_v, got {sorted(params)}")
        shape = np.shape(params[name])
        if len(shape) != 2 or shape[0] != source.shape[-1] or shape[1] % num_heads:
            right = f"({source.shape[-1]}, a multiple of num_heads = {num_heads})"
            raise ValueError(f"params[{name!r}] must be {right}, got {shape}")

    def heads(rows):  # (batch, rows, size) -> (batch, heads, rows, size / heads)
        return rows.reshape(*rows.shape[:2], num_heads, -1).swapaxes(1, 2)

    q = heads(x @ params["W_q"])
    k, v = heads(memory @ params["W_k"]), heads(memory @ params["W_v"])
    attended, weights = scaled_dot_product_attention(q, k, v, mask)
    output = attended.swapaxes(1, 2).reshape(*x.shape[:2], -1)
    return (output @ params["W_o"] if "W_o" in params else output), weights


def core_step(x, M, params, num_heads, forget_bias=1.0, input_bias=0.0):
    """The next memory of the relational memory core, (slots, S), for one example: x (input_size,),
    M (slots, S); eqs. (2), (4), (5), (7) with two MLP layers and gates of one number each (W_gx
    (S, 2 S)) or one for a whole slot (W_gx (S, 2)). Taught in notebook 02."""
    P, names = params, ("in", "qkv", "mlp1", "mlp2", "gx", "gm")
    if missing := [f"W_{name}" for name in names if f"W_{name}" not in P]:
        raise ValueError(f"params must be those of a core with two MLP layers, lacks {missing}")
    x, M = floats("x", x, (len(P["W_in"]),)), floats("M", M, ("slots", len(P["W_gm"])))
    slots = len(M)
    p = x @ P["W_in"] + P["b_in"]
    Z = np.vstack([M, p])
    qkv = layer_norm(Z @ P["W_qkv"] + P["b_qkv"], P["g_qkv"], P["beta_qkv"])
    q, k, v = np.split(qkv, 3, axis=1)

    def heads(rows):  # (rows, S) -> (heads, rows, S / heads)
        return rows.reshape(len(rows), num_heads, -1).swapaxes(0, 1)

    Y, _ = scaled_dot_product_attention(heads(q[:slots]), heads(k), heads(v))
    U = layer_norm(M + Y.swapaxes(0, 1).reshape(M.shape), P["g_u"], P["beta_u"])
    r = np.maximum(U @ P["W_mlp1"] + P["b_mlp1"], 0) @ P["W_mlp2"] + P["b_mlp2"]
    C = layer_norm(U + r, P["g_c"], P["beta_c"])
    i, f = np.split(p @ P["W_gx"] + np.tanh(M) @ P["W_gm"] + P["b_g"], 2, axis=1)
    return sigmoid(f + forget_bias) * M + sigmoid(i + input_bias) * np.tanh(C)
