"""The shared module of the series "Relational Recurrent Neural Networks in NumPy".

It holds what two notebooks or more need, in the order in which the notebooks teach it. The paper is Santoro, Faulkner,
Raposo, Rae, Chrzanowski, Weber, Wierstra, Vinyals, Pascanu and Lillicrap: Relational recurrent neural networks,
NeurIPS 2018, arXiv:1806.01822; "eq. (2)" is an equation of that paper.

Conventions. Batch first at every public boundary: sequences are (batch, time, features), memories (batch, slots,
slot_size), attention weights (batch, heads, queries, keys). Inside the models arrays run over time, then slots, then
batch: the rows [M; p] are then one block of memory, and a matrix product needs no copies. float32 for training,
float64 for gradient checks. Randomness comes from numpy.random.Generator objects made from explicit seeds.
"""

import base64
import functools
import hashlib
import html
import inspect
import io
import json
import os
import platform
import signal
import subprocess
import sys
import time
import warnings
import zipfile
import zlib
from concurrent.futures import as_completed
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

__all__ = [
    "softmax", "sigmoid", "layer_norm", "glorot_uniform", "orthogonal", "check_gradients",
    "scaled_dot_product_attention", "multi_head_attention",
    "RelationalMemoryCore", "RelationalMemory", "RelationalRNNCell", "RelationalRNN", "LSTM",
    "Batch", "NthFarthest", "PairMatching", "ObjectTracking", "StoryQA", "Sorting", "ProgramEvaluation",
    "Adam", "History", "train", "evaluate", "save_checkpoint", "load_checkpoint", "CheckpointError",
    "run_experiments", "load_records", "mean_interval", "mean_difference",
    "label_cells", "plot_attention", "plot_memory", "plot_curves", "plot_intervals", "show_figure", "LiveFigure",
    "show_source", "claim",
]  # fmt: skip

EPSILON = 1e-5  # inside the root of every layer norm


# ---------------------------------------------------------------------------------------------------------------------
# Arguments: each check names the argument, what was given and what would be right
# ---------------------------------------------------------------------------------------------------------------------
def _whole(name, value, low=1, high=None):
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < low or (high is not None and value > high):
        bounds = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name} must be {bounds}, got {value}")
    return int(value)


def _number(name, value, low=-np.inf, above=False, finite=True):
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if np.isnan(value) or (finite and not np.isfinite(value)):
        raise ValueError(f"{name} must be {'a finite number' if finite else 'a number'}, got {value}")
    if value < low or (above and value == low):
        raise ValueError(f"{name} must be {'above' if above else 'at least'} {low}, got {value}")
    return float(value)


def _choice(name, value, options):
    if not any(value is option or (isinstance(value, str) and value == option) for option in options):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}, got {value!r}")
    return value


def _dtype(value):
    try:
        dtype = np.dtype(value)
    except TypeError:
        dtype = None
    if value is None or dtype not in (np.float32, np.float64):
        raise TypeError(f"dtype must be numpy.float32 or numpy.float64, got {value!r}")
    return dtype


def _real(name, value):
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    return array if array.dtype.kind == "f" else array.astype(float)


def _floats(name, value, shape, dtype=None):
    """value as a finite float array; shape holds sizes, or names of the axes whose size is free (but not 0)."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be one array of numbers: {error}") from None
    _real(name, array)
    wanted = "(" + ", ".join(map(str, shape)) + ")"
    if array.ndim != len(shape):
        raise ValueError(f"{name} must have {len(shape)} axes, {wanted}, got shape {array.shape}")
    for axis, (size, want) in enumerate(zip(array.shape, shape, strict=True)):
        if size != want and not (isinstance(want, str) and size > 0):
            raise ValueError(f"{name} must have shape {wanted}, got {array.shape}: axis {axis} does not fit")
    with np.errstate(over="ignore"):
        array = array.astype(dtype or (array.dtype if array.dtype.kind == "f" else float), copy=False)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite in {array.dtype}, but holds NaN or infinite values")
    return array


def _generator(rng):
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy.random.Generator (numpy.random.default_rng(seed)), got {rng!r}")
    return rng


# ---------------------------------------------------------------------------------------------------------------------
# Numerics (notebook 01)
# ---------------------------------------------------------------------------------------------------------------------
def softmax(x, axis=-1):
    """exp(x) / sum(exp(x)) along `axis`, shifted by the maximum so that it cannot overflow; same shape as x.

    An entry of -inf gets weight 0. Raises ValueError for NaN, +inf, or a row of -inf alone. Taught in notebook 01.
    """
    x = _real("x", x)
    top = x.max(axis=axis, keepdims=True)
    if not np.isfinite(top).all():
        raise ValueError("x must hold a finite number in every row and neither NaN nor +inf")
    e = np.exp(x - top)
    return e / e.sum(axis=axis, keepdims=True)


def sigmoid(x):
    """1 / (1 + exp(-x)), written with tanh so that it cannot overflow; same shape as x. Taught in notebook 01."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(x)))


def layer_norm(x, gain, bias):
    """gain * (x - mean) / sqrt(variance + 1e-5) + bias, mean and variance over the last axis of x (..., size).

    gain and bias are (size,). Raises ValueError where the sizes do not agree. Taught in notebook 01.
    """
    x = np.asarray(x)
    if x.ndim == 0 or np.shape(gain) != x.shape[-1:] or np.shape(bias) != x.shape[-1:]:
        raise ValueError(f"gain and bias must have shape {x.shape[-1:]}, got {np.shape(gain)} and {np.shape(bias)}")
    centred = x - x.mean(axis=-1, keepdims=True)
    return gain * centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + EPSILON) + bias


def glorot_uniform(shape, rng, dtype=np.float64):
    """A (fan_in, fan_out) matrix, uniform within +-sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010).

    Drawn in float64 and cast, so that one seed means one matrix. Taught in notebook 01.
    """
    if np.shape(shape) != (2,):
        raise ValueError(f"shape must be two sizes, (fan_in, fan_out), got {shape!r}")
    fan_in, fan_out = (_whole("shape", int(size) if isinstance(size, np.integer) else size) for size in shape)
    limit = np.sqrt(6 / (fan_in + fan_out))
    return _generator(rng).uniform(-limit, limit, (fan_in, fan_out)).astype(_dtype(dtype))


def orthogonal(size, rng, dtype=np.float64):
    """A random (size, size) matrix with Q Q^T = 1 (Saxe et al., 2014): it keeps lengths. Taught in notebook 05."""
    q, r = np.linalg.qr(_generator(rng).normal(size=(_whole("size", size),) * 2))
    return (q * np.sign(np.diag(r))).astype(_dtype(dtype))


def check_gradients(model, batch, *, per_parameter=None, step=1e-5, rng=None):
    """Compare model.loss_and_grads with central differences; returns {parameter name: largest relative error}.

    Works in float64 (a float32 model is copied), at randomly perturbed parameters that are restored at the end, on
    every entry or on `per_parameter` random ones of each parameter. The error of an entry is |exact - numeric| over the
    larger of the two, or over 1e-3 of the model's largest slope where both are smaller: a difference below that is
    rounding. A step of 1e-5 can cross a ReLU's kink: a miss is tried again at 2e-6 and 5e-7. Taught in notebook 01.
    """
    step = _number("step", step, 0, above=True)
    if per_parameter is not None:
        per_parameter = _whole("per_parameter", per_parameter)
    rng = _generator(np.random.default_rng(0) if rng is None else rng)
    _check_model(model)
    if model.dtype != np.float64:
        first_memory = getattr(model, "first_memory", None)
        model = _rebuild(type(model), model.config | {"dtype": np.float64}, model.flat, first_memory)
    before = model.flat.copy()

    def slope(array, index, h):
        here = array[index]
        array[index] = here + h
        up = model._mean_loss(batch)
        array[index] = here - h
        down = model._mean_loss(batch)
        array[index] = here
        return (up - down) / (2 * h)

    try:
        model.flat += 0.1 * rng.normal(size=model.flat.size)
        _, grads, _ = model.loss_and_grads(batch)
        found = {}
        for name, array in model.params.items():
            chosen = np.arange(array.size)
            if per_parameter is not None and per_parameter < array.size:
                chosen = rng.choice(array.size, per_parameter, replace=False)
            where = [np.unravel_index(i, array.shape) for i in chosen]
            exact = np.array([grads[name][index] for index in where])
            found[name] = where, exact, np.array([slope(array, index, step) for index in where])
        floor = max(1e-3 * max(np.abs(numeric).max() for _, _, numeric in found.values()), 1e-12)

        def error(a, n):
            return np.abs(a - n) / np.maximum(np.maximum(np.abs(a), np.abs(n)), floor)

        errors = {}
        for name, (where, exact, numeric) in found.items():
            miss = error(exact, numeric)
            for i in np.flatnonzero(~(miss < 1e-6)):
                miss[i] = min(miss[i], *(error(exact[i], slope(model.params[name], where[i], h)) for h in (2e-6, 5e-7)))
            errors[name] = float(miss.max())
        return errors
    finally:
        model.flat[:] = before


# ---------------------------------------------------------------------------------------------------------------------
# Attention (notebook 01)
# ---------------------------------------------------------------------------------------------------------------------
def scaled_dot_product_attention(q, k, v, mask=None):
    """softmax(q k^T / sqrt(d)) v, eq. (1): q (..., queries, d), k (..., keys, d), v (..., keys, d_v).

    Returns the output (..., queries, d_v) and the weights (..., queries, keys). mask, if given, is boolean and fits the
    weights by broadcasting: False means "may not look". Raises ValueError where shapes do not fit, or where a query may
    look at no key. Taught in notebook 01.
    """
    q, k, v = (_real(name, array) for name, array in (("q", q), ("k", k), ("v", v)))
    if min(q.ndim, k.ndim, v.ndim) < 2 or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ValueError(
            "q, k, v must have shapes (..., queries, d), (..., keys, d), (..., keys, d_v); "
            f"got {q.shape}, {k.shape}, {v.shape}"
        )
    for name, array in (("q", q), ("k", k), ("v", v)):
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite, but holds NaN or infinite values")
    scores = q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5  # (..., queries, keys); a Python float keeps float32
    if mask is not None:
        mask = np.asarray(mask)
        if mask.dtype != bool:
            raise TypeError(f"mask must be boolean, True where a query may look; got dtype {mask.dtype}")
        try:
            scores = np.where(np.broadcast_to(mask, scores.shape), scores, -np.inf)
        except ValueError:
            raise ValueError(f"mask must broadcast to the weights {scores.shape}, got {mask.shape}") from None
        if np.isneginf(scores).all(axis=-1).any():
            raise ValueError("mask must leave every query at least one key to look at")
    weights = softmax(scores)
    return weights @ v, weights


def multi_head_attention(x, memory, params, num_heads, mask=None):
    """Attention in num_heads subspaces, the outputs joined side by side, section 3.1 of the paper.

    x (batch, queries, features) asks; memory (batch, keys, features) answers. params holds W_q, W_k, W_v (features,
    size) and, if wanted, an output projection W_o (size, any); the paper has none. Returns the output (batch, queries,
    size) and the weights (batch, heads, queries, keys). Raises ValueError where sizes do not fit.
    Taught in notebook 01.
    """
    num_heads = _whole("num_heads", num_heads)
    x = _floats("x", x, ("batch", "queries", "features"))
    memory = _floats("memory", memory, (x.shape[0], "keys", "features"))
    for name, rows in (("W_q", x), ("W_k", memory), ("W_v", memory)):
        if name not in params:
            raise ValueError(f"params must hold W_q, W_k and W_v, got {sorted(params)}")
        if np.ndim(params[name]) != 2 or len(params[name]) != rows.shape[-1] or params[name].shape[1] % num_heads:
            raise ValueError(
                f"params[{name!r}] must be ({rows.shape[-1]}, a multiple of num_heads = {num_heads}), "
                f"got {np.shape(params[name])}"
            )

    def heads(rows):  # (batch, rows, size) -> (batch, heads, rows, size / heads)
        return rows.reshape(*rows.shape[:2], num_heads, -1).swapaxes(1, 2)

    q, k, v = heads(x @ params["W_q"]), heads(memory @ params["W_k"]), heads(memory @ params["W_v"])
    attended, weights = scaled_dot_product_attention(q, k, v, mask)
    output = attended.swapaxes(1, 2).reshape(*x.shape[:2], -1)
    return (output @ params["W_o"] if "W_o" in params else output), weights


# ---------------------------------------------------------------------------------------------------------------------
# What the models are made of (notebooks 02, 03, 05). Arrays here are (time, slots, batch, features), written in place:
# new large arrays cost more than the arithmetic, so a model keeps one tape of arrays for each (time, batch) it has met.
# ---------------------------------------------------------------------------------------------------------------------
def _split(weights, parts):
    """The (rows, parts * columns) matrix as a view (parts, rows, columns): one matrix for each gate."""
    return weights.reshape(len(weights), parts, -1).transpose(1, 0, 2)


def _rows(array):
    """All leading axes in one, as a view."""
    return array.reshape(-1, array.shape[-1])


@functools.lru_cache(64)
def _ones(shape, dtype):
    return np.ones(shape, dtype)


def _add_sums(total, array):
    """total += the sum of array over all but its last axis: as a product with ones, far faster than sum()."""
    flat = _rows(array)
    total += _ones(len(flat), flat.dtype) @ flat


def _add_dots(total, x, y):
    """total += the sum of x * y over all but the last axis, without an array for the products."""
    total += np.einsum("rs,rs->s", _rows(x), _rows(y))


def _standardise(x, scale, centre=True):
    """x (rows, batch, size) becomes n = (x - mean) * scale, over the last axis and in place, with scale =
    1 / sqrt(sum((x - mean)^2) + size * epsilon), kept for the way back. centre=False: the means are zero already."""
    flat = _rows(x)
    size = flat.shape[1]
    if centre:
        mean = flat @ _ones(size, flat.dtype)
        mean /= size
        flat -= mean[:, None]
    np.vecdot(flat, flat, out=scale)
    scale += size * EPSILON
    np.reciprocal(np.sqrt(scale, out=scale), out=scale)
    flat *= scale[:, None]


def _standardise_back(d_n, n, scale, centre=True):
    """Turn the n of _standardise into the gradient of x, (d n - mean(d n) - n * sum(d n * n)) * scale; spoils d_n."""
    flat, d_flat = _rows(n), _rows(d_n)
    flat *= np.vecdot(d_flat, flat)[:, None]
    if centre:
        mean = d_flat @ _ones(flat.shape[1], flat.dtype)
        mean /= flat.shape[1]
        d_flat -= mean[:, None]
    np.subtract(d_flat, flat, out=flat)
    flat *= scale[:, None]


def _norm(x, gain, bias, scale, out):
    """Layer norm: x becomes n as in _standardise, and out = n * gain + bias. gain, sqrt(size) times the parameter, and
    bias are (batch, size), the same row again and again: long inner loops."""
    _standardise(x, scale)
    np.multiply(x, gain, out=out)
    out += bias


def _norm_back(d_out, n, gain, scale, d_gain, d_bias):
    """Turn the n of _norm into the gradient of its input; adds to d_gain and d_bias (size,), and spoils d_out."""
    _add_dots(d_gain, d_out, n)
    _add_sums(d_bias, d_out)
    d_out *= gain
    _standardise_back(d_out, n, scale)


def _heads(x, num_heads):
    """(rows, batch, size) as a view (batch, heads, rows, size / heads)."""
    return x.reshape(*x.shape[:2], num_heads, -1).transpose(1, 2, 0, 3)


def _attend(q, k, v, weights, out, scratch, mask=None):
    """weights = softmax(q k^T), out = weights v, for queries already divided by sqrt(d); all (batch, heads, ., .).
    mask (queries, keys), 0 or minus infinity, is added to the scores."""
    np.matmul(q, k.swapaxes(-1, -2), out=weights)
    if mask is not None:
        weights += mask
    top = weights.max()
    if top - weights.min() > 80:  # one shift for all is quick, and exact unless exp(-80) would be lost beside it
        top = weights.max(axis=-1, keepdims=True)
    weights -= top
    np.exp(weights, out=weights)
    weights /= _sum_keys(weights, scratch)
    np.matmul(weights, v, out=out)


def _attend_back(d_out, q, k, v, weights, d_q, d_k, d_v, d_weights, scratch):
    """Gradients of _attend: writes d_q, d_k, d_v; d_weights and scratch have the shape of weights."""
    np.matmul(weights.swapaxes(-1, -2), d_out, out=d_v)
    np.matmul(d_out, v.swapaxes(-1, -2), out=d_weights)
    d_weights *= weights
    total = _sum_keys(d_weights, scratch)
    total *= weights
    d_weights -= total  # now of the scores: weights * (d_weights - sum(weights * d_weights))
    np.matmul(d_weights, k, out=d_q)
    np.matmul(d_weights.swapaxes(-1, -2), q, out=d_k)


def _sum_keys(weights, out):
    """The sums over the last axis, repeated along it: a product with ones is faster than sum and broadcast."""
    np.matmul(_rows(weights), _ones((weights.shape[-1],) * 2, weights.dtype), out=_rows(out))
    return out


def _readout_shapes(features, sizes, output_size):
    shapes = {}
    for i, size in enumerate(sizes, 1):
        shapes |= {f"W_read{i}": (features, size), f"b_read{i}": (size,)}
        features = size
    return shapes | {"W_out": (features, output_size), "b_out": (output_size,)}


def _readout_layers(params):
    names = [name[2:] for name in params if name.startswith("W_read")] + ["out"]
    return [("W_" + name, "b_" + name) for name in names]


def _readout(params, features):
    """ReLU layers, then a linear one, on (rows, features); returns what every layer got, and the output last."""
    layers = [features]
    for W, b in _readout_layers(params):
        layers.append(layers[-1] @ params[W] + params[b])
        if W != "W_out":
            np.maximum(layers[-1], 0, out=layers[-1])
    return layers


def _readout_back(params, grads, layers, d_out):
    """Fill the readout's grads; returns the gradient of the features."""
    for (W, b), x in zip(reversed(_readout_layers(params)), reversed(layers[:-1]), strict=True):
        np.matmul(x.T, d_out, out=grads[W])
        _add_sums(grads[b], d_out)
        d_out = d_out @ params[W].T
        if x is not layers[0]:
            d_out *= x > 0
    return d_out


def _lstm_shapes(input_size, hidden_size):
    return {"W_x": (input_size, 4 * hidden_size), "W_h": (hidden_size, 4 * hidden_size), "b": (4 * hidden_size,)}


def _lstm_tape(time, batch, size):
    return {
        "gates": (4, time, batch, size), "d_gates": (4, time, batch, size), "h": (time + 1, batch, size),
        "c": (time + 1, batch, size), "tanh_c": (time, batch, size),
    }  # fmt: skip


def _lstm_unroll(params, x, tape):
    """h, c = LSTM(x, h, c) over x (time, batch, input_size), from tape.h[0], tape.c[0]; gates in order i, f, g, o."""
    steps, batch, size = tape.tanh_c.shape
    # sigmoid(z) = (1 + tanh(z / 2)) / 2, so with halved weights one tanh serves all four gates
    half, shift = (np.array(row, x.dtype).reshape(4, 1, 1) for row in ([0.5, 0.5, 1, 0.5], [0.5, 0.5, 0, 0.5]))
    W_x, W_h = half * _split(params["W_x"], 4), half * _split(params["W_h"], 4)
    np.matmul(_rows(x), W_x, out=tape.gates.reshape(4, steps * batch, size))
    tape.gates += half[..., None] * params["b"].reshape(4, 1, 1, size)
    for t in range(steps):
        gates = tape.gates[:, t]
        gates += tape.h[t] @ W_h
        np.tanh(gates, out=gates)
        gates *= half
        gates += shift
        i, f, g, o = gates
        np.multiply(f, tape.c[t], out=tape.c[t + 1])
        tape.c[t + 1] += i * g
        np.tanh(tape.c[t + 1], out=tape.tanh_c[t])
        np.multiply(o, tape.tanh_c[t], out=tape.h[t + 1])


def _lstm_back(params, grads, x, tape, d_h):
    """Back through time: d_h (steps, batch, size) are the gradients of the last `steps` hidden states; fills grads."""
    total, batch, size = tape.tanh_c.shape
    slope = tape.gates * (1 - tape.gates)
    slope[2] = 1 - tape.gates[2] ** 2
    slope_c = tape.gates[3] * (1 - tape.tanh_c**2)
    W_h = np.ascontiguousarray(_split(params["W_h"], 4).transpose(0, 2, 1))
    h = np.zeros((batch, size), x.dtype)
    c = np.zeros_like(h)
    for t in reversed(range(total)):
        if t >= total - len(d_h):
            h += d_h[t - total]
        c += h * slope_c[t]
        i, f, g, _ = tape.gates[:, t]
        d_gates = tape.d_gates[:, t]
        for gate, (d, factor) in enumerate(((c, g), (c, tape.c[t]), (c, i), (h, tape.tanh_c[t]))):
            np.multiply(d, factor, out=d_gates[gate])
        d_gates *= slope[:, t]
        c *= f
        h = np.matmul(d_gates, W_h).sum(axis=0)
    d_gates = tape.d_gates.reshape(4, total * batch, size)
    _split(grads["W_x"], 4)[:] = _rows(x).T @ d_gates
    _split(grads["W_h"], 4)[:] = _rows(tape.h[:-1]).T @ d_gates
    for d_b, d_gate in zip(grads["b"].reshape(4, size), d_gates, strict=True):
        _add_sums(d_b, d_gate)


def _memory_shapes(slot_size, input_size):
    S, project = slot_size, input_size != slot_size
    shapes = {"W_input": (input_size, S), "b_input": (S,)} if project else {}
    shapes |= {"W_q": (S, S), "W_k": (S, S), "W_v": (S, S), "W_o": (S, S)}
    return shapes | {"W_update": (S, S), "b_update": (S,), "W_gate": (2 * S, S), "b_gate": (S,)}


def _memory_tape(time, batch, slots, size, heads, with_input=True):
    rows, per_slot = slots + with_input, (time, slots, batch, size)
    names = ("q", "d_q", "joined", "attended", "d_attended", "updated", "d_updated", "gate", "d_gate")
    return {name: per_slot for name in names} | {
        "Z": (time + 1, rows, batch, size), "kv": (2, time, rows, batch, size), "d_kv": (2, time, rows, batch, size),
        "weights": (time, batch, heads, slots, rows), "scratch": (2, batch, heads, slots, rows),
        "p": (time, batch, size),
    }  # fmt: skip


def _memory_unroll(params, tape, num_heads):
    """The gated memory over tape.p (time, batch, size), from tape.Z[0]; without input if Z has no row for it."""
    steps, slots, batch, size = tape.q.shape
    with_input = tape.Z.shape[1] > slots
    W_q = params["W_q"] * tape.q.dtype.type((size // num_heads) ** -0.5)
    W_kv = np.stack([params["W_k"], params["W_v"]])
    W_gate, W_gate_p = np.split(params["W_gate"] * tape.q.dtype.type(0.5), 2)  # halved: sigmoid by tanh
    from_input = 0.5 * params["b_gate"] + (tape.p @ W_gate_p if with_input else np.zeros_like(tape.p))
    if with_input:
        tape.Z[:steps, slots] = tape.p
    for t in range(steps):
        Z, M = tape.Z[t], tape.Z[t, :slots]
        np.matmul(_rows(M), W_q, out=_rows(tape.q[t]))
        for W, out in zip(W_kv, tape.kv[:, t], strict=True):
            np.matmul(_rows(Z), W, out=_rows(out))
        q, k, v, joined = (_heads(x, num_heads) for x in (tape.q[t], *tape.kv[:, t], tape.joined[t]))
        _attend(q, k, v, tape.weights[t], joined, tape.scratch[0])
        np.matmul(tape.joined[t], params["W_o"], out=tape.attended[t])
        updated = np.matmul(tape.attended[t], params["W_update"], out=tape.updated[t])
        updated += params["b_update"]
        np.tanh(updated, out=updated)
        gate = np.matmul(tape.attended[t], W_gate, out=tape.gate[t])
        gate += from_input[t]
        np.tanh(gate, out=gate)
        gate *= 0.5
        gate += 0.5
        new = np.subtract(updated, M, out=tape.Z[t + 1, :slots])  # M' = M + gate * (updated - M)
        new *= gate
        new += M


def _memory_back(params, grads, tape, num_heads, d_memories):
    """Back through time: d_memories (steps, slots, batch, size) of the last memories; fills grads, returns d p."""
    steps, slots, batch, size = tape.q.shape
    scale = tape.q.dtype.type((size // num_heads) ** -0.5)
    W_gate, W_gate_p = np.split(params["W_gate"], 2)
    d_p = np.zeros_like(tape.p)
    dM = np.zeros((slots, batch, size), tape.p.dtype)
    d_joined = np.empty_like(dM)
    for t in reversed(range(steps)):
        if t >= steps - len(d_memories):
            dM += d_memories[t - steps]
        M, gate, updated = tape.Z[t, :slots], tape.gate[t], tape.updated[t]
        d_gate, d_updated, d_attended = tape.d_gate[t], tape.d_updated[t], tape.d_attended[t]
        np.multiply(dM, updated - M, out=d_gate)
        d_gate *= gate * (1 - gate)
        np.multiply(dM, gate, out=d_updated)
        d_updated *= 1 - updated**2
        dM *= 1 - gate
        np.matmul(d_updated, params["W_update"].T, out=d_attended)
        d_attended += d_gate @ W_gate.T
        np.matmul(d_attended, params["W_o"].T, out=d_joined)
        views = (d_joined, tape.q[t], *tape.kv[:, t]), (tape.d_q[t], *tape.d_kv[:, t])
        d_out, q, k, v, d_q, d_k, d_v = (_heads(x, num_heads) for x in (*views[0], *views[1]))
        _attend_back(d_out, q, k, v, tape.weights[t], d_q, d_k, d_v, *tape.scratch)
        tape.d_q[t] *= scale
        dZ = tape.d_kv[0, t] @ params["W_k"].T + tape.d_kv[1, t] @ params["W_v"].T
        dM += dZ[:slots]
        dM += tape.d_q[t] @ params["W_q"].T
        if len(dZ) > slots:
            d_p[t] = dZ[slots]
    M = np.ascontiguousarray(tape.Z[:steps, :slots])
    grads["W_q"][:] = _rows(M).T @ _rows(tape.d_q)
    for name, d in zip(("W_k", "W_v"), tape.d_kv, strict=True):
        grads[name][:] = _rows(tape.Z[:steps]).T @ _rows(d)
    grads["W_o"][:] = _rows(tape.joined).T @ _rows(tape.d_attended)
    grads["W_update"][:] = _rows(tape.attended).T @ _rows(tape.d_updated)
    _add_sums(grads["b_update"], tape.d_updated)
    d_gate = tape.d_gate.sum(axis=1)  # (time, batch, size): p and b_gate reach every slot
    grads["W_gate"][:size] = _rows(tape.attended).T @ _rows(tape.d_gate)
    if tape.Z.shape[1] > slots:
        grads["W_gate"][size:] = _rows(tape.p).T @ _rows(d_gate)
        d_p += d_gate @ W_gate_p.T
    _add_sums(grads["b_gate"], d_gate)
    return d_p


def _first_memory(kind, num_slots, slot_size, seed):
    """(num_slots, slot_size): "identity" (as the authors' code), "zeros", or one "random" draw from the seed."""
    _choice("initial_memory", kind, ("identity", "zeros", "random"))
    if kind == "identity":
        if num_slots > slot_size + 1:
            raise ValueError(
                f'num_slots must be at most slot_size + 1 = {slot_size + 1} with initial_memory="identity", got '
                f'{num_slots}: rows would coincide, and equal slots stay equal; take "random" or a larger slot_size'
            )
        return np.eye(num_slots, slot_size)
    if kind == "zeros":
        return np.zeros((num_slots, slot_size))
    return np.random.default_rng([seed, 1]).normal(size=(num_slots, slot_size))


def _check_heads(slot_size, num_heads):
    if slot_size % num_heads:
        raise ValueError(f"slot_size must be a multiple of num_heads, got slot_size {slot_size}, num_heads {num_heads}")


# gates and projections that share a matrix are drawn one by one
_PARTS = {"W_x": 4, "W_h": 4, "W_qkv": 3, "W_gx": 2, "W_gm": 2}


@functools.cache
def _blas():
    return ThreadpoolController()


def _kernels():
    """The library of the matrix products and the processor its code is for: with another one, a run rounds otherwise
    and takes another course."""
    pools = [pool for pool in _blas().info() if pool["user_api"] == "blas"]
    return ", ".join(sorted({f"{pool['internal_api']} {pool.get('architecture', '')}".strip() for pool in pools}))


def _one_blas_thread(wanted=True):
    """A context in which matrix products use one thread: threads beside workers only get in each other's way."""
    return _blas().limit(limits=1, user_api="blas") if wanted else nullcontext()


class _Worker:
    """A second Python process that computes a part of a batch.

    Threads would do it in fewer lines, but Python runs one thread at a time between array operations, and handing over
    takes about as long as an operation on arrays of this size: most of what a second core gives would be lost.
    """

    idle = []  # started once, used by all models
    possible = True  # until one ends without an answer

    def __init__(self):
        here = Path(__file__)
        code = f"import sys; sys.path.insert(0, {str(here.parent)!r}); import {here.stem}; {here.stem}._serve()"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen([sys.executable, "-c", code], **pipes)
        for pipe in (self.process.stdin, self.process.stdout):
            if hasattr(fcntl, "F_SETPIPE_SZ"):  # room for all parameters: neither side waits for the other to read
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 1 << 20)

    def start(self, model, inputs, targets, asked):
        head = {"kind": type(model).__name__, "config": model._describe(), "asked": asked}
        arrays = [model.flat, inputs, targets, *([model.first_memory] if hasattr(model, "first_memory") else [])]
        _send(self.process.stdin, head, arrays)

    def result(self):
        head, (flat,) = _receive(self.process.stdout)
        return flat, head["loss"], head["hits"]

    def close(self):
        self.process.kill()
        self.process.wait()


if hasattr(os, "register_at_fork"):  # a forked process must not talk to the workers of its parent
    os.register_at_fork(after_in_child=_Worker.idle.clear)


def _send(pipe, head, arrays):
    head = json.dumps(head | {"arrays": [(array.dtype.str, array.shape) for array in arrays]}).encode()
    pipe.write(len(head).to_bytes(4, "little") + head)
    for array in arrays:
        pipe.write(np.ascontiguousarray(array).data)
    pipe.flush()


def _receive(pipe):
    size = pipe.read(4)
    if len(size) < 4:
        raise EOFError("the other process has ended")
    head = json.loads(pipe.read(int.from_bytes(size, "little")))
    arrays = [np.empty(shape, dtype) for dtype, shape in head["arrays"]]
    for array in arrays:
        if array.nbytes and pipe.readinto(memoryview(array).cast("B")) < array.nbytes:
            raise EOFError("the other process has ended")
    return head, arrays


def _serve():
    """What a worker process does until its input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the process that asks
    answers, sys.stdout = sys.stdout.buffer, sys.stderr
    models = {}
    with _one_blas_thread():
        while True:
            try:
                head, (flat, inputs, targets, *first_memory) = _receive(sys.stdin.buffer)
            except EOFError:
                return
            key = head["kind"], json.dumps(head["config"])
            if key not in models:
                models.clear()
                models[key] = globals()[head["kind"]](**head["config"])
            model = models[key]
            model.flat[:] = flat
            if first_memory:
                model.first_memory[:] = first_memory[0]
            flat, loss, hits = model._part(inputs, targets, head["asked"])
            _send(answers, {"loss": loss, "hits": hits}, [flat])


class Batch(NamedTuple):
    """inputs (batch, time, input_size); targets (batch, A) class indices, -1 where nothing is asked, or (batch, A, k)
    numbers: the targets of the last A time steps. Taught in notebook 04."""

    inputs: np.ndarray
    targets: np.ndarray


class _Parameters:
    """Named arrays that are views of one flat vector, so that an optimiser's step is one array expression."""

    def _create(self, config, shapes):
        # numpy's numbers as Python's, which can be written down
        self.config = {k: v.item() if isinstance(v, np.generic) else v for k, v in config.items()}
        self.dtype = _dtype(config["dtype"])
        ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes.values())]).tolist()
        self._places = {name: (*ends[i : i + 2], shape) for i, (name, shape) in enumerate(shapes.items())}
        self.flat = np.zeros(ends[-1], self.dtype)
        self.params = self._views(self.flat)
        rng = np.random.default_rng(_whole("seed", config["seed"], 0))
        for name, array in self.params.items():
            if name.startswith("g_"):
                array[:] = 1
            elif name.startswith("W_"):
                for part in _split(array, _PARTS.get(name, 1)):
                    part[:] = orthogonal(len(part), rng) if name == "W_h" else glorot_uniform(part.shape, rng)
            elif name == "b":  # of an LSTM: the forget gate starts open
                array.reshape(4, -1)[1] = 1

    def _views(self, flat):
        return {name: flat[start:stop].reshape(shape) for name, (start, stop, shape) in self._places.items()}

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self._describe().items())})"

    def __reduce__(self):
        # copies and pickles are made anew: their params have to be views of their own flat vector
        return _rebuild, (type(self), self.config, self.flat, getattr(self, "first_memory", None))

    def _describe(self):
        """The arguments the object was made with, as plain values."""
        return self.config | {"dtype": self.dtype.name}


def _rebuild(kind, config, flat, first_memory):
    model = kind(**config)
    model.flat[:] = flat
    if first_memory is not None:
        model.first_memory[:] = first_memory
    return model


class _Model(_Parameters):
    """What the three models share. A model gives _tape_shapes, _unroll, _features, _back, _states and _picture."""

    def _create(self, config, shapes):
        super()._create(config, shapes)
        self._tapes = {}

    def _tape(self, steps, batch):
        """The arrays that a run writes on; kept for the last few shapes, because new memory is slow memory."""
        key = steps, batch
        if key not in self._tapes:
            while len(self._tapes) >= 6:
                self._tapes.pop(next(iter(self._tapes)))
            shapes = self._tape_shapes(steps, batch)
            self._tapes[key] = SimpleNamespace(**{k: np.empty(shape, self.dtype) for k, shape in shapes.items()})
        return self._tapes[key]

    def _check_sequence(self, name, sequence):
        return _floats(name, sequence, ("batch", "time", self.input_size), self.dtype)

    def _check_batch(self, batch):
        if not (isinstance(batch, tuple) and len(batch) == 2):
            raise TypeError(f"batch must be a Batch(inputs, targets), got {type(batch).__name__}")
        inputs, targets = self._check_sequence("batch.inputs", batch[0]), np.asarray(batch[1])
        if targets.ndim == 3:
            targets = _floats("batch.targets", targets, (len(inputs), "answers", self.output_size), self.dtype)
            asked = targets.size
        elif targets.ndim == 2 and targets.dtype.kind in "iu":
            if len(targets) != len(inputs):
                raise ValueError(f"batch.targets must have {len(inputs)} rows, as the inputs have, got {len(targets)}")
            asked = int((targets != -1).sum())
            if targets.size and (targets.min() < -1 or targets.max() >= self.output_size):
                raise ValueError(
                    f"batch.targets must be classes 0..{self.output_size - 1}, or -1 where nothing is asked; "
                    f"got values from {targets.min()} to {targets.max()}"
                )
        else:
            raise TypeError(
                "batch.targets must be (batch, answers) whole numbers, or (batch, answers, k) numbers; "
                f"got shape {targets.shape} of dtype {targets.dtype}"
            )
        if targets.shape[1] > inputs.shape[1]:
            raise ValueError(f"batch.targets must ask at most {inputs.shape[1]} last steps, got {targets.shape[1]}")
        if not asked:
            raise ValueError("batch.targets must ask something: all of them are -1, or there are none")
        return inputs, targets, asked

    def _run(self, inputs, answers):
        """Unroll over inputs (batch, time, input_size); the readout's layers for the last `answers` steps."""
        x = np.ascontiguousarray(inputs.swapaxes(0, 1))  # (time, batch, input_size)
        tape = self._tape(*x.shape[:2])
        self._unroll(x, tape)
        features = self._features(tape, answers)  # (answers, batch, features)
        return x, tape, _readout(self.params, _rows(features))

    def forward(self, sequence, return_sequences=True, return_state=False):
        """Outputs (raw logits, or numbers) for sequence (batch, time, input_size): (batch, time, output_size), or
        (batch, output_size) of the last step with return_sequences=False. return_state=True appends the final states.
        Raises ValueError for a wrong shape or for values that are not finite. Taught in notebooks 02, 03 and 05.
        """
        sequence = self._check_sequence("sequence", sequence)
        answers = sequence.shape[1] if return_sequences else 1
        outputs, states = [], []
        for start in range(0, len(sequence), 256):  # a tape for every example at once would fill the machine
            part = sequence[start : start + 256]
            _, tape, layers = self._run(part, answers)
            outputs.append(layers[-1].reshape(answers, len(part), -1).swapaxes(0, 1))
            states.append(self._states(tape))
        outputs = np.concatenate(outputs)
        outputs = outputs if return_sequences else outputs[:, 0]
        if not return_state:
            return outputs
        return outputs, *(np.concatenate(state) for state in zip(*states, strict=True))

    def trace(self, sequence):
        """Everything a picture needs, as {name: array}, batch first, then time: "outputs" (batch, time, output_size),
        and the model's own gates, states, memories and attention weights (see the class). Taught in notebook 02."""
        sequence = self._check_sequence("sequence", sequence)
        _, tape, layers = self._run(sequence, sequence.shape[1])
        outputs = layers[-1].reshape(sequence.shape[1], len(sequence), -1).swapaxes(0, 1)
        return {name: np.array(array) for name, array in (self._picture(tape) | {"outputs": outputs}).items()}

    def loss_and_grads(self, batch, workers=1):
        """Loss, its exact gradient {parameter name: array}, and metrics {"loss", and "accuracy" or "error"}.

        batch is Batch(inputs, targets). Softmax cross-entropy from raw logits, averaged over the asked targets of the
        whole batch, or mean squared error over all numbers; back-propagation through all time steps. workers splits the
        batch over that many processes, started at the first use: the same result to rounding. Raises ValueError for
        targets out of range or a batch that asks nothing. Taught in notebook 06.
        """
        loss, flat, metrics = self._loss_and_flat(batch, workers)
        return loss, self._views(flat), metrics

    def _loss_and_flat(self, batch, workers=1):
        inputs, targets, asked = self._check_batch(batch)
        workers = min(_whole("workers", workers), len(inputs))
        cuts = np.linspace(0, len(inputs), workers + 1).astype(int)
        jobs = [(inputs[a:b], targets[a:b], asked) for a, b in zip(cuts, cuts[1:], strict=False)]
        with _one_blas_thread(workers > 1):
            # a class of the reader's own is not known to another process
            shared = _Worker.possible and type(self) in (RelationalMemoryCore, RelationalRNN, LSTM)
            parts = (shared and self._share(jobs)) or [self._part(*job) for job in jobs]
        flat = parts[0][0]
        for part in parts[1:]:
            flat += part[0]
        loss, hits = (sum(part[i] for part in parts) for i in (1, 2))
        return loss, flat, _metrics(loss, hits, targets, asked)

    def _share(self, jobs):
        """_part of every job, the first one here and each other in a process of its own; [] if that does not work."""
        workers = []
        try:
            for _ in jobs[1:]:
                workers.append(_Worker.idle.pop() if _Worker.idle else _Worker())
            for worker, job in zip(workers, jobs[1:], strict=True):
                worker.start(self, *job)
            parts = [self._part(*jobs[0])] + [worker.result() for worker in workers]
        except BaseException as error:  # an interrupt, too, leaves a worker in the middle of an answer
            for worker in workers:
                worker.close()
            if not isinstance(error, (OSError, EOFError)):
                raise
            _Worker.possible = False
            warnings.warn(f"workers: a process ended without an answer ({error}); going on in this one", stacklevel=5)
            return []
        _Worker.idle += workers
        return parts

    def _part(self, inputs, targets, asked):
        """Gradient and loss of a part of the batch, divided by what the whole batch asks, and how many it has right."""
        x, tape, layers = self._run(inputs, targets.shape[1])
        loss, hits, d_out = _loss(layers[-1], targets, asked)
        flat = np.zeros_like(self.flat)
        grads = self._views(flat)
        d_features = _readout_back(self.params, grads, layers, d_out)
        self._back(x, tape, grads, d_features.reshape(targets.shape[1], len(inputs), -1))
        return flat, loss, hits

    def _mean_loss(self, batch):
        return self._metrics(batch)["loss"]

    def _metrics(self, batch):
        """The metrics of loss_and_grads without the gradient."""
        inputs, targets, asked = self._check_batch(batch)
        loss, hits = 0.0, 0
        for start in range(0, len(inputs), 256):
            part = targets[start : start + 256]
            _, _, layers = self._run(inputs[start : start + 256], part.shape[1])
            part_loss, part_hits, _ = _loss(layers[-1], part, asked)
            loss, hits = loss + part_loss, hits + part_hits
        return _metrics(loss, hits, targets, asked)


def _loss(outputs, targets, asked):
    """Loss over `asked`, the number of right answers, and the gradient of outputs (answers * batch, output_size)."""
    targets = targets.swapaxes(0, 1).reshape(len(outputs), *targets.shape[2:])
    if targets.ndim == 2:
        d = outputs - targets
        return float(np.vdot(d, d)) / asked, 0, d * (2 / asked)
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    p = np.exp(shifted)
    total = p.sum(axis=1)
    rows = np.flatnonzero(targets != -1)
    of = targets[rows]
    loss = float((np.log(total[rows]) - shifted[rows, of]).sum()) / asked
    hits = int((outputs[rows].argmax(axis=1) == of).sum())
    p *= ((targets != -1) / (total * asked))[:, None].astype(p.dtype)
    p[rows, of] -= 1 / asked
    return loss, hits, p


def _metrics(loss, hits, targets, asked):
    of_kind = {"error": float(np.sqrt(loss))} if targets.ndim == 3 else {"accuracy": hits / asked}
    return {"loss": loss} | of_kind


# ---------------------------------------------------------------------------------------------------------------------
# The relational memory core (notebook 02)
# ---------------------------------------------------------------------------------------------------------------------
class RelationalMemoryCore(_Model):
    """The paper's recurrent core, as its authors' code has it: a matrix of memory slots that attend to each other and
    to the input, eqs. (2) and (7). With M (slots, S) and p = x W_in + b_in, each step is

        Z = [M; p]                    q, k, v = split(LN(Z W_qkv + b_qkv))       (no LN when qkv_norm is False)
        Y = heads of softmax(q k^T / sqrt(S / heads)) v, queries from the slots only
        U = LN(M + Y)                 C = LN(U + MLP(U))                         (mlp_layers=0: C = U)
        i, f = sigmoid(p W_gx + tanh(M) W_gm + b_g + (input_bias, forget_bias))  S wide ("unit") or 1 ("memory")
        M' = f * M + i * tanh(C)      (gate_style None: M' = C)                  output = readout(flatten(M'))

    num_blocks repeats attention and MLP with the same weights. initial_memory is "identity", "zeros" or "random" (one
    draw from the seed). readout_sizes are ReLU layers before the linear one. attend_to="self" is not in the paper: each
    slot sees itself and the input, no other slot (notebook 09 asks what that costs). Memories are (batch, slots, S).
    trace adds "memory" (batch, time, slots, S), after each step; "attention" (batch, time, heads, slots, slots + 1), of
    the last block, the input being the last key; "input_gate" and "forget_gate" (batch, time, slots, S or 1).
    Raises ValueError or TypeError for sizes that do not fit. Taught in notebook 02.
    """

    def __init__(self, input_size, output_size, num_slots=4, slot_size=64, num_heads=4, *, mlp_layers=2, num_blocks=1,
                 gate_style="unit", qkv_norm=True, initial_memory="identity", forget_bias=1.0, input_bias=0.0,
                 readout_sizes=(), seed=0, dtype=np.float32, attend_to="all"):  # fmt: skip
        config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.input_size, self.output_size = _whole("input_size", input_size), _whole("output_size", output_size)
        self.num_slots, self.slot_size = _whole("num_slots", num_slots), _whole("slot_size", slot_size)
        self.num_heads, self.num_blocks = _whole("num_heads", num_heads), _whole("num_blocks", num_blocks)
        self.mlp_layers, self.gate_style = _whole("mlp_layers", mlp_layers, 0), gate_style
        _check_heads(slot_size, num_heads)
        _choice("gate_style", gate_style, ("unit", "memory", None))
        self.qkv_norm = _choice("qkv_norm", qkv_norm, (True, False))
        self.attend_to = _choice("attend_to", attend_to, ("all", "self"))
        self.forget_bias = _number("forget_bias", forget_bias, finite=False)
        self.input_bias = _number("input_bias", input_bias, finite=False)
        self.readout_sizes = config["readout_sizes"] = _sizes(readout_sizes)
        first = _first_memory(initial_memory, num_slots, slot_size, _whole("seed", seed, 0))
        S, gate_size = slot_size, {"unit": slot_size, "memory": 1, None: 0}[gate_style]
        shapes = {"W_in": (input_size, S), "b_in": (S,), "W_qkv": (S, 3 * S), "b_qkv": (3 * S,)}
        if qkv_norm:
            shapes |= {"g_qkv": (3 * S,), "beta_qkv": (3 * S,)}
        shapes |= {"g_u": (S,), "beta_u": (S,)}
        for i in range(1, mlp_layers + 1):
            shapes |= {f"W_mlp{i}": (S, S), f"b_mlp{i}": (S,)}
        if mlp_layers:
            shapes |= {"g_c": (S,), "beta_c": (S,)}
        if gate_size:
            shapes |= {"W_gx": (S, 2 * gate_size), "W_gm": (S, 2 * gate_size), "b_g": (2 * gate_size,)}
        self._gate_size = gate_size
        self._create(config, shapes | _readout_shapes(num_slots * S, self.readout_sizes, output_size))
        self.first_memory = first.astype(self.dtype)
        self._mask = None
        if attend_to == "self":  # each slot looks at itself and at the input, the last row
            sees = np.eye(num_slots, num_slots + 1, dtype=bool) | (np.arange(num_slots + 1) == num_slots)
            self._mask = np.where(sees, 0, -np.inf).astype(self.dtype)

    def _tape_shapes(self, steps, batch):
        N, S, G, blocks, L = self.num_slots, self.slot_size, self._gate_size, self.num_blocks, self.mlp_layers
        each, heads = (steps, blocks, N, batch, S), (batch, self.num_heads, N, N + 1)
        return {
            "p": (steps, batch, S), "Z": (steps + 1, blocks, N + 1, batch, S),
            "qkv": (steps, blocks, N + 1, batch, 3 * S), "s_qkv": (steps, blocks, (N + 1) * batch), "q": each,
            "weights": (steps, blocks, *heads), "attended": each, "n_u": each, "s_u": (steps, blocks, N * batch),
            # mlp[0] is U, mlp[l] the output of the MLP's layer l, d_mlp[l - 1] its gradient
            "mlp": (max(L, 1), *each), "d_mlp": (max(L - 1, 0), *each), "n_c": each, "s_c": (steps, blocks, N * batch),
            "C": (N, batch, S), "gates": (2, steps, N, batch, G), "tanh_m": (steps, N, batch, S),
            "tanh_c": (steps, N, batch, S), "dM": (N, batch, S), "dC": (N, batch, S), "dq": (N, batch, S),
            "d_qkv": (N + 1, batch, 3 * S), "d_weights": (2, *heads), "scratch": (2, N, batch, S),
        }  # fmt: skip

    def _folded(self, batch):
        """The parameters as the loops use them; gains and biases are (batch, size), one row again and again.

        The layer norm of q, k, v takes the mean off each row; taking it off the matrix, once, does the same, because
        the mean over the columns of Z W is Z times the mean column of W. With n the standardised row, the scores are
        (n_q g_q + beta_q) (n_k g_k + beta_k) / sqrt(d). beta_k adds the same to all scores of a query, which the
        softmax takes off again, and g_k can stand on the side of the queries. The weights of a query add up to 1, so
        g_v and beta_v can wait until after the attention. So only slots meet gains and biases, and never as keys.
        """
        P, S, L = self.params, self.slot_size, self.mlp_layers
        root, scale = (self.dtype.type(x) for x in (np.sqrt(S), (S // self.num_heads) ** -0.5))
        rows = {name: P[name] for name in P if name.startswith(("beta_u", "beta_c", "b_mlp"))}
        rows |= {name: root * P[name] for name in ("g_u", "g_c") if name in P}
        W, b = P["W_qkv"], P["b_qkv"]
        if self.qkv_norm:
            W, b = W - W.mean(axis=1, keepdims=True), b - b.mean()
            root = self.dtype.type(np.sqrt(3 * S))  # _standardise leaves out sqrt(size)
            (g_q, g_k, g_v), (beta_q, _, beta_v) = P["g_qkv"].reshape(3, S), P["beta_qkv"].reshape(3, S)
            rows |= {"g_q": root * root * scale * g_q * g_k, "beta_q": root * scale * beta_q * g_k}
            rows |= {"g_v": root * g_v, "beta_v": beta_v}
        else:
            W, b = W.copy(), b.copy()
            W[:, :S] *= scale
            b[:S] *= scale
        rows["b_qkv"] = b
        folded = SimpleNamespace(**{name: np.broadcast_to(row, (batch, len(row))).copy() for name, row in rows.items()})
        folded.W_qkv = W
        folded.mlp = [(P[f"W_mlp{layer}"], getattr(folded, f"b_mlp{layer}")) for layer in range(1, L + 1)]
        return folded

    def _qkv(self, rows, queries):
        """Queries (from the slots), keys and values of one (rows, batch, 3S) array, per head."""
        S = self.slot_size
        return (_heads(x, self.num_heads) for x in (queries, rows[..., S : 2 * S], rows[..., 2 * S :]))

    def _unroll(self, x, tape):
        P, N, S, L, G = self.params, self.num_slots, self.slot_size, self.mlp_layers, self._gate_size
        steps, batch = x.shape[:2]
        folded = tape.folded = self._folded(batch)
        # everything that only depends on the inputs is computed for all steps at once
        np.matmul(x, P["W_in"], out=tape.p)
        tape.p += P["b_in"]
        tape.Z[:steps, :, N] = tape.p[:, None]
        tape.Z[0, 0, :N] = self.first_memory[:, None]
        if G:  # sigmoid(z) = (1 + tanh(z / 2)) / 2, with the half in the weights
            W_gx, W_gm = (0.5 * _split(P[name], 2) for name in ("W_gx", "W_gm"))
            b_g = 0.5 * (P["b_g"].reshape(2, 1, G) + np.array([self.input_bias, self.forget_bias]).reshape(2, 1, 1))
            from_input = (_rows(tape.p) @ W_gx + b_g.astype(self.dtype)).reshape(2, steps, 1, batch, G)
        for t in range(steps):
            M = tape.Z[t, 0, :N]
            for b in range(self.num_blocks):
                Z, qkv, n_u, n_c = tape.Z[t, b], tape.qkv[t, b], tape.n_u[t, b], tape.n_c[t, b]
                if t or b:
                    np.matmul(_rows(Z), folded.W_qkv, out=_rows(qkv))
                else:  # the first memory is the same for all examples
                    qkv[:N] = (self.first_memory @ folded.W_qkv)[:, None]
                    np.matmul(Z[N], folded.W_qkv, out=qkv[N])
                qkv += folded.b_qkv
                q, attended = qkv[:N, :, :S], tape.attended[t, b]
                if self.qkv_norm:
                    _standardise(qkv, tape.s_qkv[t, b], centre=False)
                    q = np.multiply(q, folded.g_q, out=tape.q[t, b])
                    q += folded.beta_q
                q, k, v = self._qkv(qkv, q)
                heads = _heads(attended, self.num_heads)
                _attend(q, k, v, tape.weights[t, b], heads, tape.d_weights[0], self._mask)
                if self.qkv_norm:
                    attended = np.multiply(attended, folded.g_v, out=n_u)
                    attended += folded.beta_v
                np.add(attended, Z[:N], out=n_u)
                C = tape.mlp[0, t, b]
                _norm(n_u, folded.g_u, folded.beta_u, tape.s_u[t, b], C)
                for layer, (W, bias) in enumerate(folded.mlp, 1):
                    y = tape.mlp[layer, t, b] if layer < L else n_c
                    np.matmul(_rows(C), W, out=_rows(y))
                    y += bias
                    C = np.maximum(y, 0, out=y) if layer < L else y
                if L:
                    n_c += tape.mlp[0, t, b]
                    C = tape.Z[t, b + 1, :N] if b + 1 < self.num_blocks else tape.C
                    _norm(n_c, folded.g_c, folded.beta_c, tape.s_c[t, b], C)
                elif b + 1 < self.num_blocks:
                    tape.Z[t, b + 1, :N] = C
            new = tape.Z[t + 1, 0, :N]
            if not G:
                new[:] = C
                continue
            tanh_m, tanh_c, gates = tape.tanh_m[t], tape.tanh_c[t], tape.gates[:, t]
            if t:
                np.tanh(M, out=tanh_m)
                np.matmul(_rows(tanh_m), W_gm, out=gates.reshape(2, N * batch, G))
                gates += from_input[:, t]
            else:
                np.add((np.tanh(self.first_memory) @ W_gm)[:, :, None], from_input[:, t], out=gates)
            np.tanh(gates, out=gates)
            gates *= 0.5
            gates += 0.5
            np.tanh(C, out=tanh_c)
            np.multiply(gates[1], M, out=new)
            new += np.multiply(gates[0], tanh_c, out=tape.scratch[0])

    def _features(self, tape, answers):
        last = tape.Z[-answers:, 0, : self.num_slots]  # (answers, slots, batch, S)
        return last.transpose(0, 2, 1, 3).reshape(answers, last.shape[2], -1)

    def _back(self, x, tape, grads, d_features):
        """Walks back over the steps for the gradients that one step hands to the one before it. What a step does to the
        weights is left where its activations were, and summed over all steps by _weights_back."""
        P, N, S, L, G = self.params, self.num_slots, self.slot_size, self.mlp_layers, self._gate_size
        steps, batch = x.shape[:2]
        answers, folded = len(d_features), tape.folded
        d_memories = d_features.reshape(answers, batch, N, S).transpose(0, 2, 1, 3)
        W_qkv_T = np.ascontiguousarray(folded.W_qkv.T)
        W_mlp_T = [np.ascontiguousarray(W.T) for W, _ in folded.mlp]
        dM, dC, dq, d_qkv, scratch = tape.dM, tape.dC, tape.dq, tape.d_qkv, tape.scratch[0]
        dM[:] = 0
        d_qkv[N, :, :S] = 0  # the input's own query is only there for the norm's statistics
        d_g_q, d_beta_q = np.zeros((2, S), self.dtype)
        for t in reversed(range(steps)):
            if t >= steps - answers:
                dM += d_memories[t - steps]
            if G:
                self._gates_back(t, tape)  # dM becomes dC and the dM that does not pass through C
            else:
                dC[:] = dM
                dM[:] = 0
            for b in reversed(range(self.num_blocks)):
                if L:
                    n_c = tape.n_c[t, b]
                    _norm_back(dC, n_c, folded.g_c, tape.s_c[t, b], grads["g_c"], grads["beta_c"])
                    d_y = n_c
                    for layer in range(L - 1, 0, -1):
                        d_y = np.matmul(_rows(d_y), W_mlp_T[layer], out=_rows(tape.d_mlp[layer - 1, t, b]))
                        d_y *= _rows(tape.mlp[layer, t, b]) > 0
                    np.matmul(_rows(d_y), W_mlp_T[0], out=_rows(dC))
                    dC += n_c  # of U: through the MLP, and past it
                n_u, qkv, attended, weights = tape.n_u[t, b], tape.qkv[t, b], tape.attended[t, b], tape.weights[t, b]
                _norm_back(dC, n_u, folded.g_u, tape.s_u[t, b], grads["g_u"], grads["beta_u"])
                d_attended, q, dq = n_u, qkv[:N, :, :S], d_qkv[:N, :, :S]
                if self.qkv_norm:
                    _add_dots(grads["g_qkv"][2 * S :], n_u, attended)
                    _add_sums(grads["beta_qkv"][2 * S :], n_u)
                    d_attended, q, dq = np.multiply(n_u, folded.g_v, out=scratch), tape.q[t, b], tape.dq
                d_heads = _heads(d_attended, self.num_heads)
                _attend_back(d_heads, *self._qkv(qkv, q), weights, *self._qkv(d_qkv, dq), *tape.d_weights)
                if self.qkv_norm:
                    n_q = qkv[:N, :, :S]
                    _add_dots(d_g_q, dq, n_q)
                    _add_sums(d_beta_q, dq)
                    np.multiply(dq, folded.g_q, out=d_qkv[:N, :, :S])
                    _standardise_back(d_qkv, qkv, tape.s_qkv[t, b], centre=False)
                else:
                    qkv[:] = d_qkv
                if t or b:  # nothing learns from the gradient of the first memory
                    np.matmul(_rows(qkv[:N]), W_qkv_T, out=_rows(dC))
                    dC += n_u  # of the memory this block got: the block before it made it
            if t:
                dM += dC
        if self.qkv_norm:  # unfold: g_q was g_q g_k / sqrt(d), beta_q was beta_q g_k / sqrt(d)
            (g_q, g_k, _), (beta_q, _, _) = P["g_qkv"].reshape(3, S), P["beta_qkv"].reshape(3, S)
            d_g, d_beta = grads["g_qkv"].reshape(3, S), grads["beta_qkv"].reshape(3, S)
            root, scale = np.sqrt(3 * S), (S // self.num_heads) ** -0.5
            d_g_q *= root
            d_g[0] = root * scale * g_k * d_g_q
            d_g[1] = root * scale * (g_q * d_g_q + beta_q * d_beta_q)
            d_g[2] *= root
            d_beta[0] = root * scale * g_k * d_beta_q
        for name in ("g_u", "g_c")[: 1 + bool(L)]:
            grads[name] *= np.sqrt(S)
        self._weights_back(x, tape, grads)

    def _gates_back(self, t, tape):
        """M' = f * M + i * tanh(C): from tape.dM of M' to tape.dC, and to tape.dM of M without the way through C. The
        gates become the gradients of what their sigmoids got."""
        dM, dC, (scratch, slope) = tape.dM, tape.dC, tape.scratch
        M, tanh_m, tanh_c, gates = tape.Z[t, 0, : self.num_slots], tape.tanh_m[t], tape.tanh_c[t], tape.gates[:, t]
        np.multiply(dM, gates[0], out=dC)
        dM *= gates[1]
        np.subtract(1, gates, out=gates)
        for gate, d, value in (gates[0], dC, tanh_c), (gates[1], dM, M):
            if self._gate_size == self.slot_size:
                gate *= d
                gate *= value
            else:
                gate *= np.vecdot(d, value)[..., None]
        tanh_c *= tanh_c
        tanh_c *= dC
        dC -= tanh_c  # dC = i * (1 - tanh(C)^2) * dM'
        if t:
            for gate, W, out in zip(gates, _split(self.params["W_gm"], 2), tape.scratch, strict=True):
                np.matmul(_rows(gate), W.T, out=_rows(out))
            scratch += slope
            np.multiply(tanh_m, tanh_m, out=slope)
            np.subtract(1, slope, out=slope)
            scratch *= slope
            dM += scratch

    def _weights_back(self, x, tape, grads):
        """Gradients of all matrices and their biases, each as one product over all steps."""
        P, S, L, G, ones = self.params, self.slot_size, self.mlp_layers, self._gate_size, _ones(x.shape[1], self.dtype)
        steps, batch = x.shape[:2]
        for layer in range(1, L + 1):
            d_y = _rows(tape.d_mlp[layer - 1] if layer < L else tape.n_c)
            np.matmul(_rows(tape.mlp[layer - 1]).T, d_y, out=grads[f"W_mlp{layer}"])
            _add_sums(grads[f"b_mlp{layer}"], d_y)
        # the rows of the first memory are the same in all examples: sum first, then multiply
        d_qkv, Z = (array.reshape(-1, *array.shape[2:]) for array in (tape.qkv, tape.Z[:-1]))
        W, b, N = grads["W_qkv"], grads["b_qkv"], self.num_slots
        np.matmul(_rows(Z[1:]).T, _rows(d_qkv[1:]), out=W)
        W += tape.p[0].T @ d_qkv[0, N]
        W += self.first_memory.T @ (ones @ d_qkv[0, :N])
        _add_sums(b, d_qkv)
        d_p = (tape.qkv[:, :, N] @ tape.folded.W_qkv.T).sum(axis=1)
        if self.qkv_norm:
            W -= W.mean(axis=1, keepdims=True)
            b -= b.mean()
        else:
            W[:, :S] *= (S // self.num_heads) ** -0.5
            b[:S] *= (S // self.num_heads) ** -0.5
        if G:
            d_first = np.tanh(self.first_memory).T @ (ones @ tape.gates[:, 0])
            rest = _rows(tape.tanh_m[1:]).T @ tape.gates[:, 1:].reshape(2, -1, G)
            _split(grads["W_gm"], 2)[:] = rest + d_first
            d_gates = tape.gates.sum(axis=2).reshape(2, steps * batch, G)  # the input and b_g reach every slot
            _split(grads["W_gx"], 2)[:] = _rows(tape.p).T @ d_gates
            grads["b_g"].reshape(2, G)[:] = d_gates.sum(axis=1)
            d_p += (d_gates @ _split(P["W_gx"], 2).transpose(0, 2, 1)).sum(axis=0).reshape(d_p.shape)
        np.matmul(_rows(x).T, _rows(d_p), out=grads["W_in"])
        _add_sums(grads["b_in"], d_p)

    def _states(self, tape):
        return (tape.Z[-1, 0, : self.num_slots].swapaxes(0, 1).copy(),)

    def _picture(self, tape):
        picture = {
            "memory": tape.Z[1:, 0, : self.num_slots].transpose(2, 0, 1, 3),
            "attention": tape.weights[:, -1].swapaxes(0, 1),
        }
        if self._gate_size:
            picture["input_gate"], picture["forget_gate"] = (gate.transpose(2, 0, 1, 3) for gate in tape.gates)
        return picture


def _sizes(readout_sizes):
    if isinstance(readout_sizes, (str, bytes)) or not np.iterable(readout_sizes):
        raise TypeError(f"readout_sizes must be a sequence of whole numbers such as (64, 64), got {readout_sizes!r}")
    return tuple(_whole("readout_sizes", size) for size in readout_sizes)


# ---------------------------------------------------------------------------------------------------------------------
# A memory beside an LSTM (notebook 03)
# ---------------------------------------------------------------------------------------------------------------------
class RelationalMemory(_Parameters):
    """A gated memory of slots, as a part: attended = heads(M W_q, [M; p] W_k, [M; p] W_v) W_o,
    updated = tanh(attended W_update + b_update), gate = sigmoid([attended : p] W_gate + b_gate),
    M' = gate * updated + (1 - gate) * M, with p = input W_input + b_input (p = input when input_size is slot_size, the
    default). Raises ValueError or TypeError for sizes that do not fit. Taught in notebook 03.
    """

    def __init__(self, num_slots, slot_size, num_heads, input_size=None, *, seed=0, dtype=np.float32):
        config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.num_slots, self.slot_size = _whole("num_slots", num_slots), _whole("slot_size", slot_size)
        self.num_heads = _whole("num_heads", num_heads)
        self.input_size = slot_size if input_size is None else _whole("input_size", input_size)
        _check_heads(slot_size, num_heads)
        self._create(config, _memory_shapes(slot_size, self.input_size))

    def initial_memory(self, batch_size, kind="identity"):
        """The first memory, (batch_size, num_slots, slot_size): "identity", "zeros" or "random" rows."""
        first = _first_memory(kind, self.num_slots, self.slot_size, self.config["seed"]).astype(self.dtype)
        return np.tile(first, (_whole("batch_size", batch_size), 1, 1))

    def forward(self, memory, input_vec=None):
        """The next memory from memory (batch, num_slots, slot_size) and input_vec (batch, input_size) or None."""
        memory = _floats("memory", memory, ("batch", self.num_slots, self.slot_size), self.dtype)
        p = np.zeros((len(memory), self.slot_size), self.dtype)
        if input_vec is not None:
            p = _project(self.params, _floats("input_vec", input_vec, (len(memory), self.input_size), self.dtype))
        shapes = _memory_tape(1, len(memory), self.num_slots, self.slot_size, self.num_heads, input_vec is not None)
        tape = SimpleNamespace(**{name: np.empty(shape, self.dtype) for name, shape in shapes.items()})
        tape.p[0] = p
        tape.Z[0, : self.num_slots] = memory.swapaxes(0, 1)
        _memory_unroll(self.params, tape, self.num_heads)
        return tape.Z[1, : self.num_slots].swapaxes(0, 1).copy()


def _project(params, h):
    """The memory's input p = h W_input + b_input, or h itself when the sizes agree."""
    return h @ params["W_input"] + params["b_input"] if "W_input" in params else h


class _CellPart:
    """One LSTM, one memory, and a layer that joins them; shared by the cell and by the network that unrolls it."""

    def _set_sizes(self, input_size, hidden_size, num_slots, slot_size, num_heads):
        self.input_size, self.hidden_size = _whole("input_size", input_size), _whole("hidden_size", hidden_size)
        self.num_slots, self.slot_size = _whole("num_slots", num_slots), _whole("slot_size", slot_size)
        self.num_heads = _whole("num_heads", num_heads)
        _check_heads(slot_size, num_heads)
        H, S = hidden_size, slot_size
        shapes = _lstm_shapes(input_size, H) | _memory_shapes(S, H)
        return shapes | {"W_memory_read": (S, H), "b_memory_read": (H,), "W_combine": (2 * H, H), "b_combine": (H,)}

    def _tape_shapes(self, steps, batch):
        memory = _memory_tape(steps, batch, self.num_slots, self.slot_size, self.num_heads)
        joined = {"h_r": (steps, batch, 2 * self.hidden_size), "output": (steps, batch, self.hidden_size)}
        return _lstm_tape(steps, batch, self.hidden_size) | memory | joined

    def _advance(self, x, tape):
        """All steps from the states in tape.h[0], tape.c[0], tape.Z[0]. Nothing flows from the memory back to the
        LSTM, so the LSTM runs first over all steps, then the memory, then the layer that joins them."""
        P, N, H = self.params, self.num_slots, self.hidden_size
        self._hidden(x, tape)
        tape.p[:] = _project(P, tape.h[1:])
        _memory_unroll(P, tape, self.num_heads)
        tape.h_r[..., :H] = tape.h[1:]
        tape.h_r[..., H:] = tape.Z[1:, :N].mean(axis=1) @ P["W_memory_read"] + P["b_memory_read"]
        np.tanh(tape.h_r @ P["W_combine"] + P["b_combine"], out=tape.output)

    def _hidden(self, x, tape):
        _lstm_unroll(self.params, x, tape)

    def _states(self, tape):
        return tape.h[-1].copy(), tape.c[-1].copy(), tape.Z[-1, : self.num_slots].swapaxes(0, 1).copy()


class RelationalRNNCell(_CellPart, _Parameters):
    """One step of an LSTM whose hidden state feeds a memory: output = tanh([h : r] W_combine + b_combine), with
    r = mean over the slots of M' W_memory_read + b_memory_read. Raises ValueError or TypeError for sizes that do not
    fit. Taught in notebook 03."""

    def __init__(self, input_size, hidden_size, num_slots=4, slot_size=64, num_heads=2, *, seed=0, dtype=np.float32):
        config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self._create(config, self._set_sizes(input_size, hidden_size, num_slots, slot_size, num_heads))

    def forward(self, x, h, c, memory):
        """(output, h, c, memory) after one step: x (batch, input_size), h, c and output (batch, hidden_size), memory
        (batch, num_slots, slot_size)."""
        x = _floats("x", x, ("batch", self.input_size), self.dtype)
        shapes = self._tape_shapes(1, len(x))
        tape = SimpleNamespace(**{name: np.empty(shape, self.dtype) for name, shape in shapes.items()})
        tape.h[0] = _floats("h", h, (len(x), self.hidden_size), self.dtype)
        tape.c[0] = _floats("c", c, (len(x), self.hidden_size), self.dtype)
        memory = _floats("memory", memory, (len(x), self.num_slots, self.slot_size), self.dtype)
        tape.Z[0, : self.num_slots] = memory.swapaxes(0, 1)
        self._advance(x[None], tape)
        return tape.output[0], *self._states(tape)


class RelationalRNN(_CellPart, _Model):
    """The cell over a sequence, with a readout: y = readout(output). Its state is h, c and memory.

    use_lstm=False puts a layer without a state in the place of the LSTM, h = tanh(x W_hidden + b_hidden), so that only
    the memory remembers (notebook 09 asks what that costs): its state is h and memory, its trace lacks "c" and "gates".

    trace adds "memory" (batch, time, slots, S), after each step; "attention" (batch, time, heads, slots, slots + 1),
    the input being the last key; "memory_gate" (batch, time, slots, S); "h", "c", "output" (batch, time, hidden_size);
    "gates" (batch, time, 4, hidden_size) in the order i, f, g, o. Taught in notebook 03.
    """

    def __init__(self, input_size, hidden_size, output_size, num_slots=4, slot_size=64, num_heads=2, *,
                 initial_memory="identity", readout_sizes=(), seed=0, dtype=np.float32, use_lstm=True):  # fmt: skip
        config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        shapes = self._set_sizes(input_size, hidden_size, num_slots, slot_size, num_heads)
        self.use_lstm = _choice("use_lstm", use_lstm, (True, False))
        if not use_lstm:
            for name in _lstm_shapes(input_size, hidden_size):
                del shapes[name]
            shapes |= {"W_hidden": (input_size, hidden_size), "b_hidden": (hidden_size,)}
        self.output_size = _whole("output_size", output_size)
        self.readout_sizes = config["readout_sizes"] = _sizes(readout_sizes)
        first = _first_memory(initial_memory, num_slots, slot_size, _whole("seed", seed, 0))
        self._create(config, shapes | _readout_shapes(hidden_size, self.readout_sizes, output_size))
        self.first_memory = first.astype(self.dtype)

    def _unroll(self, x, tape):
        tape.h[0] = tape.c[0] = 0
        tape.Z[0, : self.num_slots] = self.first_memory[:, None]
        self._advance(x, tape)

    def _hidden(self, x, tape):
        if self.use_lstm:
            super()._hidden(x, tape)
        else:
            np.tanh(x @ self.params["W_hidden"] + self.params["b_hidden"], out=tape.h[1:])

    def _features(self, tape, answers):
        return tape.output[-answers:]

    def _back(self, x, tape, grads, d_features):
        P, N, H, answers = self.params, self.num_slots, self.hidden_size, len(d_features)
        d_joined = d_features * (1 - tape.output[-answers:] ** 2)
        grads["W_combine"][:] = _rows(tape.h_r[-answers:]).T @ _rows(d_joined)
        _add_sums(grads["b_combine"], d_joined)
        d_h_r = d_joined @ P["W_combine"].T
        d_read = np.ascontiguousarray(d_h_r[..., H:])
        grads["W_memory_read"][:] = _rows(tape.Z[-answers:, :N].mean(axis=1)).T @ _rows(d_read)
        _add_sums(grads["b_memory_read"], d_read)
        d_memory = (d_read @ P["W_memory_read"].T / N)[:, None]  # the mean hands every slot its share
        shape = (answers, N, *d_memory.shape[2:])
        d_h = _memory_back(P, grads, tape, self.num_heads, np.broadcast_to(d_memory, shape))
        if "W_input" in P:
            grads["W_input"][:] = _rows(tape.h[1:]).T @ _rows(d_h)
            _add_sums(grads["b_input"], d_h)
            d_h = d_h @ P["W_input"].T
        d_h[-answers:] += d_h_r[..., :H]
        if self.use_lstm:
            _lstm_back(P, grads, x, tape, d_h)
        else:
            d_h *= 1 - tape.h[1:] ** 2
            grads["W_hidden"][:] = _rows(x).T @ _rows(d_h)
            _add_sums(grads["b_hidden"], d_h)

    def _states(self, tape):
        h, c, memory = super()._states(tape)
        return (h, c, memory) if self.use_lstm else (h, memory)

    def _picture(self, tape):
        memory, gate = (x.transpose(2, 0, 1, 3) for x in (tape.Z[1:, : self.num_slots], tape.gate))
        picture = {"memory": memory, "memory_gate": gate, "attention": tape.weights.swapaxes(0, 1)}
        beside = _lstm_picture(tape) if self.use_lstm else {"h": tape.h[1:].swapaxes(0, 1)}
        return picture | beside | {"output": tape.output.swapaxes(0, 1)}


def _lstm_picture(tape):
    h, c = tape.h[1:].swapaxes(0, 1), tape.c[1:].swapaxes(0, 1)
    return {"h": h, "c": c, "gates": tape.gates.transpose(2, 1, 0, 3)}


# ---------------------------------------------------------------------------------------------------------------------
# The opponent (notebook 05)
# ---------------------------------------------------------------------------------------------------------------------
class LSTM(_Model):
    """A long short-term memory network (Hochreiter and Schmidhuber, 1997; forget gate: Gers et al., 2000):
    i, f, o = sigmoid(x W_x + h W_h + b), g = tanh of the same, c' = f * c + i * g, h' = o * tanh(c'), y = readout(h').
    One bias; the forget gate's starts at 1. Its state is h and c. trace adds "h" and "c" (batch, time, hidden_size) and
    "gates" (batch, time, 4, hidden_size), in the order i, f, g, o. Taught in notebook 05.
    """

    def __init__(self, input_size, hidden_size, output_size, *, readout_sizes=(), seed=0, dtype=np.float32):
        config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.input_size, self.hidden_size = _whole("input_size", input_size), _whole("hidden_size", hidden_size)
        self.output_size = _whole("output_size", output_size)
        self.readout_sizes = config["readout_sizes"] = _sizes(readout_sizes)
        shapes = _lstm_shapes(input_size, hidden_size)
        self._create(config, shapes | _readout_shapes(hidden_size, self.readout_sizes, output_size))

    def _tape_shapes(self, steps, batch):
        return _lstm_tape(steps, batch, self.hidden_size)

    def _unroll(self, x, tape):
        tape.h[0] = tape.c[0] = 0
        _lstm_unroll(self.params, x, tape)

    def _features(self, tape, answers):
        return tape.h[-answers:]

    def _back(self, x, tape, grads, d_features):
        _lstm_back(self.params, grads, x, tape, d_features)

    def _states(self, tape):
        return tape.h[-1].copy(), tape.c[-1].copy()

    def _picture(self, tape):
        return _lstm_picture(tape)


# ---------------------------------------------------------------------------------------------------------------------
# Tasks (notebook 04)
# ---------------------------------------------------------------------------------------------------------------------
def _one_hot(indices, size):
    """(..., size) float32; an index of -1 leaves its row empty."""
    return (np.asarray(indices)[..., None] == np.arange(size)).astype(np.float32)


class _Task:
    """What the tasks share. A task gives _sizes, num_inputs (steps), input_size, output_size, sample and _read; solve,
    shortcuts, describe and draw start from what _read finds in the encoded inputs."""

    target_kind = "class"

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._sizes.items())})"

    def _check_inputs(self, inputs):
        return _floats("inputs", inputs, ("batch", self.num_inputs, self.input_size), np.float32)

    def _example(self, inputs_i):
        """One example (time, input_size) as a batch of one."""
        return self._check_inputs(_floats("inputs_i", inputs_i, (self.num_inputs, self.input_size))[None])


class NthFarthest(_Task):
    """Which vector is n-th farthest from vector m? Section 4.1 and appendix A.1 of the paper.

    num_vectors = k vectors of num_dims numbers, uniform in [-1, 1], come one a step, each with a label of its own; the
    answer, asked at the end, is the label of the n-th farthest (Euclidean) from the vector labelled m: n = 1 the
    farthest, n = k the vector m itself. Every step's input is (x; one-hot label; one-hot n; one-hot m). labels = K >= k
    and dims = D >= num_dims make room for a larger task: x is padded with zeros, one-hots are K wide, labels stay below
    k, and n sits at index n - 1 + K - k, so that the last index always means m itself. Targets are (batch, 1) classes.
    Raises ValueError or TypeError for sizes that do not fit. Taught in notebook 04.
    """

    def __init__(self, num_vectors=8, num_dims=16, *, labels=None, dims=None):
        self.num_vectors, self.num_dims = _whole("num_vectors", num_vectors, 2), _whole("num_dims", num_dims)
        self.labels = _whole("labels", num_vectors if labels is None else labels, num_vectors)
        self.dims = _whole("dims", num_dims if dims is None else dims, num_dims)
        self.num_inputs = self.num_vectors
        self.input_size, self.output_size = self.dims + 3 * self.labels, self.labels

    def __repr__(self):
        room = f", labels={self.labels}, dims={self.dims}"
        same = (self.labels, self.dims) == (self.num_vectors, self.num_dims)
        return f"NthFarthest({self.num_vectors}, {self.num_dims}{'' if same else room})"

    def sample(self, batch_size, rng):
        """A Batch of inputs (batch_size, num_vectors, input_size) and targets (batch_size, 1)."""
        batch_size, rng = _whole("batch_size", batch_size), _generator(rng)
        k, rows = self.num_vectors, np.arange(batch_size)
        x = 2 * rng.random((batch_size, k, self.num_dims), dtype=np.float32) - 1
        labels = rng.permuted(np.tile(np.arange(k), (batch_size, 1)), axis=1)
        n, m = rng.integers(1, k + 1, batch_size), rng.integers(k, size=batch_size)
        inputs = np.zeros((batch_size, k, self.input_size), np.float32)
        inputs[..., : self.num_dims] = x
        _, label_at, n_at, m_at = self._parts(inputs)
        label_at[rows[:, None], np.arange(k), labels] = 1
        n_at[rows, :, n - 1 + self.labels - k] = 1
        m_at[rows, :, m] = 1
        return Batch(inputs, self._answer(x, labels, n, m))

    def _parts(self, inputs):
        cuts = np.cumsum([self.dims, self.labels, self.labels])
        return np.split(inputs, cuts, axis=-1)

    def read(self, inputs):
        """What the inputs (batch, k, input_size) say: x (batch, k, num_dims), labels (batch, k) of the vectors, and n,
        from 1 to k, and m, a label, (batch,) each."""
        x, *one_hots = self._parts(self._check_inputs(inputs))
        labels, n, m = (part.argmax(axis=-1) for part in one_hots)
        return x[..., : self.num_dims], labels, n[:, 0] + 1 - self.labels + self.num_vectors, m[:, 0]

    @staticmethod
    def _distances(x, labels, m):
        """Euclidean distances (batch, k) to the vector labelled m, in float64, and which one that is."""
        itself = (labels == m[:, None]).argmax(axis=1)
        x_m = x[np.arange(len(x)), itself].astype(np.float64)
        away = (x[:, i] - x_m for i in range(x.shape[1]))  # one vector at a time: small arrays are fast arrays
        return np.sqrt(np.stack([np.vecdot(d, d) for d in away], axis=1)), itself

    def _answer(self, x, labels, n, m, distances=None):
        rows = np.arange(len(x))
        if distances is None:
            distances, itself = self._distances(x, labels, m)
            distances[rows, itself] = -1  # m itself is the nearest, even to a copy of it
        order = np.argsort(-distances, axis=1, kind="stable")
        return labels[rows, order[rows, n - 1]][:, None]

    def solve(self, inputs):
        """The right answers (batch, 1), from the encoded inputs alone."""
        return self._answer(*self.read(inputs))

    @functools.cached_property
    def _norm_rule(self):
        x, labels, n, m = self.read((batch := self.sample(40_000, np.random.default_rng(0))).inputs)
        norms = np.linalg.norm(x, axis=-1)
        norms[labels == m[:, None]] = -1
        return float((self._answer(x, labels, n, m, norms) == batch.targets).mean())

    def shortcuts(self):
        """{rule: accuracy} of chance and of two rules that measure no distance to vector m; the last is measured."""
        k = self.num_vectors
        return {"chance": 1 / k, "n = k means m, else guess": 2 / k, "rank by norm, n = k means m": self._norm_rule}

    def describe(self, inputs_i):
        """One example (num_vectors, input_size) in words."""
        x, labels, n, m = self.read(self._example(inputs_i))
        distances, _ = self._distances(x, labels, m)
        lines = []
        for t, (label, row, far) in enumerate(zip(labels[0], x[0], distances[0], strict=True), 1):
            at = ", ".join(f"{value:+.2f}" for value in row)
            lines.append(f"step {t}: vector {label} at ({at}), {far:.2f} from vector {m[0]}")
        answer = self._answer(x, labels, n, m)[0, 0]
        place = "the farthest" if n[0] == 1 else f"number {n[0]} in order of distance, farthest first,"
        return "\n".join([*lines, f"Which vector is {place} from vector {m[0]}? Vector {answer}."])

    def draw(self, inputs_i):
        """One example (num_vectors, input_size) as a matplotlib Figure: the vectors, and their distances to m."""
        x, labels, n, m = (part[0] for part in self.read(self._example(inputs_i)))
        distances, _ = self._distances(x[None], labels[None], m[None])
        answer = self._answer(x[None], labels[None], n[None], m[None])[0, 0]
        kinds = [1 if label == m else 2 if label == answer else 0 for label in labels]
        roles = {answer: " (answer)"} | {m: " (m, answer)" if m == answer else " (m)"}
        names = [f"vector {label}{roles.get(label, '')}" for label in labels]
        planar = self.num_dims == 2
        figure, (left, right) = _figure(1, 2, (9 if planar else 10, 3.6), left=0.7 if planar else 1.8, gap=1.6)
        if planar:
            for label, row, kind in zip(labels, x, kinds, strict=True):
                left.scatter(*row, color=COLOURS[kind], marker="osD"[kind], s=110)
                box = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.7}
                left.annotate(str(label), row, (8, 6), textcoords="offset points", fontsize=12, bbox=box)
            left.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), xlabel="first number", ylabel="second number", aspect="equal")
        else:
            _heat(left, x, "number (blue: -1, white: 0, red: 1)", "step", vmin=-1, vmax=1)
            left.set_yticks(range(len(x)), [f"{t}: {name}" for t, name in enumerate(names, 1)])
        left.set_title(f"n = {n}, m = {m}: the answer is {answer}")
        order = np.argsort(-distances[0])
        right.barh(range(len(order)), distances[0][order], color=[COLOURS[kinds[i]] for i in order])
        right.set(xlabel=f"distance to vector {m}", title="farthest first")
        right.set_yticks(range(len(order)), [names[i] for i in order])
        right.invert_yaxis()
        return figure


def _encoding(axis, inputs_i, parts):
    """One encoded example as a matrix, a column for each step; parts {name: columns of the input}."""
    _heat(axis, inputs_i.T, "step", "part of the input", vmin=0, vmax=1, cmap="Greys")
    steps, ends = axis.get_xticks().astype(int), np.cumsum(list(parts.values()))
    axis.set_xticks(steps, steps + 1)
    axis.set_yticks([end - (width + 1) / 2 for end, width in zip(ends, parts.values(), strict=True)], parts)
    axis.tick_params(axis="y", length=0)
    for end in ends[:-1]:
        axis.axhline(end - 0.5, color=COLOURS[0], linewidth=1)
    axis.set_title("as the model reads it: white 0, black 1")


class PairMatching(_Task):
    """Which element was shown together with this one?

    Each of num_pairs steps shows a pair of elements out of vocab_size = V >= 2 num_pairs; no element comes twice. The
    last step asks for the partner of one of them, either member of any pair with the same probability. The input of a
    step is (one-hot left, V columns; one-hot right, V columns; flag): the last step has the asked element at the left,
    nothing at the right and flag 1. inputs (batch, num_pairs + 1, 2 V + 1); targets (batch, 1) classes below V. Sizes
    with the same vocab_size share a width. Two pairs are too few to test memory: who knows the last pair and which
    elements were shown is always right. Raises ValueError or TypeError for sizes that do not fit.
    Taught in notebook 04.
    """

    def __init__(self, num_pairs=4, vocab_size=8):
        self.num_pairs, self.vocab_size = _whole("num_pairs", num_pairs), _whole("vocab_size", vocab_size)
        self._sizes = {"num_pairs": self.num_pairs, "vocab_size": self.vocab_size}
        P, V = self._sizes.values()
        if V < 2 * P:
            raise ValueError(f"vocab_size must be at least 2 * num_pairs = {2 * P}, as all elements differ; got {V}")
        self.num_inputs, self.input_size, self.output_size = P + 1, 2 * V + 1, V

    def sample(self, batch_size, rng):
        """A Batch of inputs (batch_size, num_pairs + 1, input_size) and targets (batch_size, 1)."""
        batch_size, rng = _whole("batch_size", batch_size), _generator(rng)
        V, rows = self.vocab_size, np.arange(batch_size)
        elements = rng.permuted(np.tile(np.arange(V), (batch_size, 1)), axis=1)[:, : 2 * self.num_pairs]
        place = rng.integers(2 * self.num_pairs, size=batch_size)
        inputs = np.zeros((batch_size, self.num_inputs, self.input_size), np.float32)
        inputs[:, :-1, :V] = _one_hot(elements[:, 0::2], V)
        inputs[:, :-1, V:-1] = _one_hot(elements[:, 1::2], V)
        inputs[:, -1, :V] = _one_hot(elements[rows, place], V)
        inputs[:, -1, -1] = 1
        return Batch(inputs, elements[rows, place ^ 1][:, None])  # places 0 and 1 are a pair, 2 and 3 the next

    def _read(self, inputs):
        """The pairs (batch, num_pairs, 2) and the asked elements (batch,), read from the encoded inputs."""
        left, right, _ = np.split(self._check_inputs(inputs), [self.vocab_size, 2 * self.vocab_size], axis=-1)
        pairs = np.stack([left[:, :-1].argmax(axis=-1), right[:, :-1].argmax(axis=-1)], axis=-1)
        return pairs, left[:, -1].argmax(axis=-1)

    def solve(self, inputs):
        """The right answers (batch, 1), from the encoded inputs alone."""
        pairs, asked = self._read(inputs)
        partner = (pairs == asked[:, None, None])[..., ::-1]  # marks the other member of the asked element's pair
        return (pairs * partner).sum(axis=(1, 2))[:, None]

    def shortcuts(self):
        """{rule: accuracy}, exact. The last rule answers from the last pair if the asked element is in it (1 / P), else
        with one of the 2 P - 3 elements that are neither in that pair nor asked."""
        P = self.num_pairs
        return {
            "chance": 1 / self.vocab_size,
            "any other element shown": 1 / (2 * P - 1),
            "last pair, else any other": 1 / P + (P - 1) / P / (2 * P - 3),
        }

    def describe(self, inputs_i):
        """One example (num_pairs + 1, input_size) in words."""
        batch = self._example(inputs_i)
        (pairs,), (asked,) = self._read(batch)
        lines = [f"step {t}: elements {left} and {right} are a pair" for t, (left, right) in enumerate(pairs, 1)]
        lines.append(f"step {self.num_inputs}: a question about element {asked}")
        answer = self.solve(batch)[0, 0]
        return "\n".join([*lines, f"Which element is the partner of element {asked}? Element {answer}."])

    def draw(self, inputs_i):
        """One example (num_pairs + 1, input_size) as a matplotlib Figure: the pairs, and the input."""
        batch = self._example(inputs_i)
        (pairs,), (asked,), ((answer,),) = *self._read(batch), self.solve(batch)
        figure, (left, right) = _figure(1, 2, (9, max(3.2, 0.42 * self.num_inputs + 1)), left=0.9, gap=1)
        for step, row in enumerate([*pairs, (asked, answer)], 1):
            question = step == self.num_inputs
            left.plot([0, 1], [step, step], "--" if question else "-", color="#555555", zorder=1)
            for side, element in enumerate(row):
                kind = 1 if element == asked else 2 if element == answer else 0
                look = {"facecolor": "white", "edgecolor": COLOURS[kind], "linewidth": 2}
                left.scatter(side, step, s=420, marker="osD"[kind], zorder=2, **look)
                left.text(side, step, element, ha="center", va="center", fontsize=9)
            if question:
                left.text(-0.2, step, "asked", ha="right", va="center")
                left.text(1.2, step, "answer", va="center")
        steps = range(1, self.num_inputs + 1)
        left.set(xlim=(-0.8, 1.8), ylim=(self.num_inputs + 0.6, 0.4), ylabel="step", xlabel="side", yticks=steps)
        left.set_xticks([0, 1], ["left", "right"])
        left.set_title(f"partner of {asked}? The answer is {answer}")
        _encoding(right, batch[0], {"left": self.vocab_size, "right": self.vocab_size, "flag": 1})
        return figure


class Sorting(_Task):
    """Read some values, then write them in ascending order.

    Each of `length` = L steps shows one value out of vocab_size = V, uniformly drawn, so that values may repeat; then
    come L blank steps with the flag set, at which the values are to be written, the smallest first. The input of a step
    is (one-hot value, V columns; flag), the one-hot empty where the flag is 1. inputs (batch, 2 L, V + 1); targets
    (batch, L) classes below V, one for each blank step. Sizes with the same vocab_size share a width. Raises ValueError
    or TypeError for sizes that do not fit. Taught in notebook 04.
    """

    def __init__(self, length=4, vocab_size=8):
        self.length, self.vocab_size = _whole("length", length), _whole("vocab_size", vocab_size, 2)
        self._sizes = {"length": self.length, "vocab_size": self.vocab_size}
        self.num_inputs, self.input_size, self.output_size = 2 * self.length, self.vocab_size + 1, self.vocab_size

    def sample(self, batch_size, rng):
        """A Batch of inputs (batch_size, 2 length, input_size) and targets (batch_size, length)."""
        batch_size, rng = _whole("batch_size", batch_size), _generator(rng)
        values = rng.integers(self.vocab_size, size=(batch_size, self.length))
        inputs = np.zeros((batch_size, self.num_inputs, self.input_size), np.float32)
        inputs[:, : self.length, :-1] = _one_hot(values, self.vocab_size)
        inputs[:, self.length :, -1] = 1
        return Batch(inputs, np.sort(values, axis=1))

    def _read(self, inputs):
        """The one-hots (batch, length, vocab_size) of the values as they came."""
        return self._check_inputs(inputs)[:, : self.length, :-1]

    def solve(self, inputs):
        """The right answers (batch, length), from the encoded inputs alone: place i (from 0) holds the smallest value
        that has more than i values up to it."""
        up_to = self._read(inputs).sum(axis=1).cumsum(axis=1)  # how many values are at most 0, 1, 2, ...
        return (up_to[:, None] <= np.arange(self.length)[:, None]).sum(axis=-1)

    def shortcuts(self):
        """{rule: accuracy}, exact: how many of n iid uniform values lie below a bound is binomial."""
        from scipy.stats import binom

        L, V = self.length, self.vocab_size
        place, value = np.arange(L)[:, None], np.arange(V)
        at_most = binom.sf(place, L, np.arange(V + 1) / V)  # value i of the sorted < v: more than i values are below v
        # A value v read at step i stays there if at most i of the others are below v, and not fewer than i up to v.
        stays = binom.cdf(place, L - 1, value / V) - binom.cdf(place - 1, L - 1, (value + 1) / V)
        return {
            "chance": 1 / V,
            "most likely value of each place": float(np.diff(at_most).max(axis=1).mean()),
            "copied as read": float(stays.mean()),
        }

    def describe(self, inputs_i):
        """One example (2 length, input_size) in words."""
        batch = self._example(inputs_i)
        lines = [f"step {t}: value {value}" for t, value in enumerate(self._read(batch)[0].argmax(axis=-1), 1)]
        lines += [f"step {self.length + t}: blank, write sorted value number {t}" for t in range(1, self.length + 1)]
        answer = ", ".join(map(str, self.solve(batch)[0]))
        return "\n".join([*lines, f"Which values, the smallest first? {answer}."])

    def draw(self, inputs_i):
        """One example (2 length, input_size) as a matplotlib Figure: the values read, and those to write."""
        batch, L, V = self._example(inputs_i), self.length, self.vocab_size
        read, write = self._read(batch)[0].argmax(axis=-1), self.solve(batch)[0]
        figure, (axis,) = _figure(1, 1, (min(12, max(6, 0.4 * L + 3)), 3.6))
        for side, (values, name) in enumerate([(read, "read"), (write, "blank, flag 1: the answer")]):
            steps = np.arange(1, L + 1) + side * L
            axis.vlines(steps, -0.5, values, color="#777777", linewidth=1)
            axis.scatter(steps, values, s=60, marker="oD"[side], color=COLOURS[2 * side], zorder=2)
            for step, value in zip(steps, values, strict=True):
                axis.annotate(str(value), (step, value), (0, 7), textcoords="offset points", ha="center", fontsize=9)
            axis.text(steps.mean(), 1.17 * V, name, ha="center", va="center")
        axis.axvspan(L + 0.5, 2 * L + 0.5, color="#eeeeee", zorder=0)
        axis.set(xlim=(0.5, 2 * L + 0.5), ylim=(-0.5, 1.25 * V), yticks=range(0, V, -(-V // 8)))
        axis.set(xticks=range(1, 2 * L + 1, -(-L // 8)))
        axis.set(xlabel="step", ylabel="value", title="the answer: the values in ascending order")
        return figure


class ObjectTracking(_Task):
    """Where is this object now?

    num_objects = N objects start, unseen, on cells of a grid_size x grid_size grid, uniformly drawn; two may share a
    cell. At each of num_steps steps one of them, uniformly drawn, moves one cell up, down, left or right (uniformly
    over the moves that stay on the grid) and is shown. The last step asks where one object is, uniformly drawn among
    those that were shown. The input of a step is (one-hot identity, N columns; x; y; flag) with x and y the column and
    row of the cell divided by grid_size - 1; the last step has x = y = 0 and flag 1. inputs (batch, num_steps + 1,
    N + 3); targets (batch, 1, 2), the numbers x and y. Sizes with the same num_objects share a width. Raises ValueError
    or TypeError for sizes that do not fit. Taught in notebook 04.
    """

    target_kind = "number"

    def __init__(self, num_objects=3, grid_size=5, num_steps=8):
        self.num_objects, self.grid_size = _whole("num_objects", num_objects), _whole("grid_size", grid_size, 2)
        self.num_steps = _whole("num_steps", num_steps)
        self._sizes = {"num_objects": self.num_objects, "grid_size": self.grid_size, "num_steps": self.num_steps}
        self.num_inputs, self.input_size, self.output_size = self.num_steps + 1, self.num_objects + 3, 2

    def sample(self, batch_size, rng):
        """A Batch of inputs (batch_size, num_steps + 1, input_size) and targets (batch_size, 1, 2)."""
        batch_size, rng = _whole("batch_size", batch_size), _generator(rng)
        N, G, T, rows = self.num_objects, self.grid_size, self.num_steps, np.arange(batch_size)
        cells = rng.integers(G, size=(batch_size, N, 2))
        movers = rng.integers(N, size=(batch_size, T))
        inputs = np.zeros((batch_size, self.num_inputs, self.input_size), np.float32)
        for t in range(T):
            near = cells[rows, movers[:, t], None] + [(1, 0), (-1, 0), (0, 1), (0, -1)]
            inside = ((near >= 0) & (near < G)).all(axis=-1)
            # Of iid uniform numbers each is the largest with the same probability: an even choice of those left.
            pick = np.where(inside, rng.random((batch_size, 4)), -1).argmax(axis=1)
            cells[rows, movers[:, t]] = near[rows, pick]
            inputs[:, t, N : N + 2] = near[rows, pick] / (G - 1)
        inputs[:, :-1, :N] = _one_hot(movers, N)
        shown = inputs[..., :N].any(axis=1)
        asked = np.where(shown, rng.random((batch_size, N)), -1).argmax(axis=1)
        inputs[:, -1, :N] = _one_hot(asked, N)
        inputs[:, -1, -1] = 1
        return Batch(inputs, (cells[rows, asked] / (G - 1)).astype(np.float32)[:, None])

    def _read(self, inputs):
        """Who was shown (batch, num_steps) and where (batch, num_steps, 2), and who is asked for (batch,)."""
        identity, places, _ = np.split(self._check_inputs(inputs), [self.num_objects, self.num_objects + 2], axis=-1)
        who = identity.argmax(axis=-1)
        return who[:, :-1], places[:, :-1], who[:, -1]

    def solve(self, inputs):
        """The right answers (batch, 1, 2), from the encoded inputs alone: where the object was shown last."""
        who, places, asked = self._read(inputs)
        last = (np.arange(1, self.num_steps + 1) * (who == asked[:, None])).argmax(axis=1)
        return places[np.arange(len(places)), last][:, None]

    @functools.cached_property
    def _scores(self):
        batch = self.sample(20_000, np.random.default_rng(0))
        (who, places, asked), rows = self._read(batch.inputs), np.arange(20_000)
        own = who == asked[:, None]
        rules = {
            "middle of the grid": 0.5,
            "last place if its own, else middle": np.where(own[:, -1:], places[:, -1], 0.5),
            "mean of all places shown": places.mean(axis=1),
            "where it was shown first": places[rows, own.argmax(axis=1)],
            "mean of its own places": (places * own[..., None]).sum(axis=1) / own.sum(axis=1)[:, None],
        }
        return {rule: float(np.sqrt(((guess - batch.targets[:, 0]) ** 2).mean())) for rule, guess in rules.items()}

    def shortcuts(self):
        """{rule: root mean square error over both numbers}, measured. The first is chance: the best constant answer."""
        return dict(self._scores)

    def describe(self, inputs_i):
        """One example (num_steps + 1, input_size) in words; cells are counted from 0."""
        batch = self._example(inputs_i)
        (who,), (places,), (asked,) = self._read(batch)
        at = [f"({x}, {y}), shown as ({a:.2f}, {b:.2f})" for (x, y), (a, b) in zip(self._cells(places), places)]
        lines = [f"step {t}: object {name} moves to cell {where}" for t, (name, where) in enumerate(zip(who, at), 1)]
        lines.append(f"step {self.num_inputs}: a question about object {asked}")
        (x, y), (a, b) = self._cells(answer := self.solve(batch)[0, 0]), answer
        return "\n".join([*lines, f"Where is object {asked}? In cell ({x}, {y}), that is ({a:.2f}, {b:.2f})."])

    def _cells(self, places):
        return np.rint(places * (self.grid_size - 1)).astype(int)

    def draw(self, inputs_i):
        """One example (num_steps + 1, input_size) as a matplotlib Figure: the paths as far as shown, and the input."""
        batch, G = self._example(inputs_i), self.grid_size
        (who,), (places,), (asked,) = self._read(batch)
        cells, (answer,) = self._cells(places), self._cells(self.solve(batch)[0])
        figure, (left, right) = _figure(1, 2, (10.5, 4.6), top=0.7, gap=1)
        names = np.unique(who)
        for turn, name in zip(2 * np.pi * np.arange(len(names)) / len(names), names, strict=True):
            aside = np.array([np.cos(turn), np.sin(turn)])  # paths that share a cell lie side by side in it
            path = cells[who == name] + 0.22 * aside
            colour, marker = COLOURS[name % 7], MARKERS[(name + name // 7) % 7]
            left.plot(*path.T, color=colour, linewidth=3 if name == asked else 1.2)
            left.scatter(*path[0], s=25, marker=marker, color=colour, zorder=3)
            left.scatter(*path[-1], s=170, marker=marker, facecolors="white", edgecolors=colour, linewidths=2, zorder=4)
            box = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none"}
            left.text(*path[-1], name, ha="center", va="center_baseline", fontsize=8, zorder=6, bbox=box)
            if name == asked:
                left.scatter(*path[-1], s=480, facecolors="none", edgecolors="black", linewidths=2, zorder=5)
        edges = np.arange(G + 1) - 0.5
        left.hlines(edges, -0.5, G - 0.5, color="#dddddd", linewidth=1, zorder=0, gid="grid")
        left.vlines(edges, -0.5, G - 0.5, color="#dddddd", linewidth=1, zorder=0, gid="grid")
        around, ticks = (-0.5 - 0.09 * G, 1.09 * G - 0.5), range(0, G, -(-G // 8))
        left.set(xlim=around, ylim=around, xticks=ticks, yticks=ticks, aspect="equal")
        left.set(xlabel="x (cell)", ylabel="y (cell)")
        question = f"where is object {asked}? The answer is cell ({answer[0]}, {answer[1]})"
        left.set_title(f"{question}\nsmall: first shown, numbered: last shown, ringed: answer", fontsize=10)
        _encoding(right, batch[0], {"identity": self.num_objects, "x": 1, "y": 1, "flag": 1})
        return figure


class StoryQA(_Task):
    """Where is the cup? A story of people who go, take and drop things, one fact a step, and a question at the end.

    Facts are "p went to l" (never to where p is), "p took o" (p has a place; o was never touched, or lies there, held
    by nobody) and "p dropped o" (p holds it); what is held moves along. Two-hop questions, a share two_hop of all, name
    an object that was touched: if it is held, where is its holder now? If not, where was it dropped? One-hop questions
    name a person who has a place. Every step's input is (one-hot action: went, took, dropped, asked; one-hot person;
    one-hot object; one-hot place), a one-hot that does not apply being zero: "took" has no place, the question, which
    is the last of num_facts + 1 steps, only the person or the object asked about. Targets are (batch, 1) places. The
    widths do not depend on num_facts, so a model can be tested on longer stories than it was trained on. Raises
    ValueError or TypeError for sizes that do not fit. Taught in notebook 04.
    """

    ACTIONS = ("went", "took", "dropped", "asked")
    NAMES = {
        "person": ("Ada", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hana"),
        "object": ("the apple", "the ball", "the cup", "the drum", "the fork", "the hat", "the key", "the lamp"),
        "place": ("the attic", "the barn", "the cellar", "the garden", "the hall", "the kitchen", "the office",
                  "the park", "the study", "the tower"),
    }  # fmt: skip
    # Weights of went, took and dropped where all three are possible: of the mixes tried, the one with the lowest best
    # rule (0.78 at the default sizes; 0.91 for equal weights). More drops help "place where it was touched last", fewer
    # help "where its last holder is now".
    MIX = np.repeat([0, 1, 2], [3, 3, 1])

    def __init__(self, num_people=3, num_objects=2, num_places=5, num_facts=16, *, two_hop=1.0):
        self.num_people, self.num_objects = _whole("num_people", num_people), _whole("num_objects", num_objects)
        self.num_places, self.num_facts = _whole("num_places", num_places, 2), _whole("num_facts", num_facts, 2)
        self.two_hop = _number("two_hop", two_hop, 0)
        if self.two_hop > 1:
            raise ValueError(f"two_hop must be from 0 to 1, the share of two-hop questions, got {two_hop}")
        self.num_inputs, self.output_size = self.num_facts + 1, self.num_places
        self.input_size = 4 + self.num_people + self.num_objects + self.num_places
        names = ("num_people", "num_objects", "num_places", "num_facts", "two_hop")
        self._sizes = {name: getattr(self, name) for name in names}

    def sample(self, batch_size, rng):
        """A Batch of inputs (batch_size, num_facts + 1, input_size) and targets (batch_size, 1)."""
        batch_size, rng = _whole("batch_size", batch_size), _generator(rng)
        rows, last = np.arange(batch_size), self.num_facts - 1
        place = np.full((batch_size, self.num_people), -1)  # of each person, -1: nowhere yet
        holder, lies = np.full((2, batch_size, self.num_objects), -1)  # who has it; where it lies, or lay before
        busy = np.zeros((batch_size, self.num_people), bool)  # took or dropped something where they are
        story = np.full((4, batch_size, self.num_inputs), -1)  # action, person, object, place of every step

        def pick(allowed):
            """One of the allowed columns of each row, evenly: the one with the largest random key."""
            return np.where(allowed, rng.random(allowed.shape, np.float32), -1).argmax(axis=1)

        for t in range(self.num_facts):
            free = holder < 0
            at_hand = (lies < 0)[:, None] | (lies[:, None] == place[..., None])
            may_take = ((place >= 0)[..., None] & free[:, None] & at_hand).reshape(batch_size, -1)
            touched = (~free | (lies >= 0)).any(axis=1)
            may_go = touched | (t < last)  # somebody has touched something when the question comes
            action = self.MIX[pick(np.stack([may_go, may_take.any(axis=1), ~free.all(axis=1)], axis=1)[:, self.MIX])]
            # those who just took or dropped something are three times as likely to walk on: things get carried away
            # and left behind
            walker = pick(np.concatenate([np.ones_like(busy), busy, busy], axis=1)) % self.num_people
            goal = pick(place[rows, walker][:, None] != np.arange(self.num_places))
            taker, taken = np.divmod(pick(may_take), self.num_objects)
            dropped = pick(~free)
            went, took, drops = (np.flatnonzero(action == i) for i in range(3))
            person = np.choose(action, [walker, taker, holder[rows, dropped]])
            story[:2, :, t] = action, person
            story[2, took, t], story[2, drops, t], story[3, went, t] = taken[took], dropped[drops], goal[went]
            place[went, walker[went]] = goal[went]
            holder[took, taken[took]] = taker[took]
            holder[drops, dropped[drops]] = -1
            lies[drops, dropped[drops]] = place[drops, person[drops]]
            busy[rows, person] = action > 0
        two_hop = rng.random(batch_size) < self.two_hop
        who, what = pick(place >= 0), pick((holder >= 0) | (lies >= 0))
        story[0, :, -1] = 3
        story[1:3, :, -1] = np.where(two_hop, -1, who), np.where(two_hop, what, -1)
        who = np.where(two_hop, holder[rows, what], who)
        answer = np.where(who >= 0, place[rows, who], lies[rows, what])
        sizes = 4, self.num_people, self.num_objects, self.num_places
        inputs = np.concatenate([_one_hot(part, size) for part, size in zip(story, sizes, strict=True)], axis=-1)
        return Batch(inputs, answer[:, None])

    def _read(self, inputs):
        """Action, person, object and place of every step, each (batch, steps), -1 where a one-hot is empty."""
        cuts = np.cumsum([4, self.num_people, self.num_objects])
        parts = np.split(self._check_inputs(inputs), cuts, axis=-1)
        return [np.where(part.any(axis=-1), part.argmax(axis=-1), -1) for part in parts]

    @staticmethod
    def _last(steps):
        """The last step marked in each row of (batch, steps); the question, where there is none."""
        return steps.shape[1] - 1 - steps[:, ::-1].argmax(axis=1)

    def _place(self, story, who, before):
        """Where person `who` was before step `before`: their last "went" until then says it."""
        action, person, _, place = story
        went = (action == 0) & (person == who[:, None]) & (np.arange(self.num_inputs) < before[:, None])
        return place[np.arange(len(place)), self._last(went)]

    def _hops(self, story):
        """Who touched the asked object last, at which step, and in which action; a question about a person is its own
        last step."""
        action, person, thing, _ = story
        touches = (thing == thing[:, -1:]) & (thing >= 0) & (action < 3)
        rows, touch = np.arange(len(action)), self._last(touches)
        return person[rows, touch], touch, action[rows, touch]

    def solve(self, inputs):
        """The right answers (batch, 1), from the encoded inputs alone: who had it last, and where are (or, if it was
        dropped, were) they?"""
        story = self._read(inputs)
        who, touch, action = self._hops(story)
        return self._place(story, who, np.where(action == 2, touch, self.num_facts))[:, None]

    @functools.cached_property
    def _rules(self):
        inputs, targets = self.sample(20_000, np.random.default_rng(0))
        story = self._read(inputs)
        who, touch, action = self._hops(story)
        walk = self._last(story[0] == 0)
        named = story[3][np.arange(len(who)), walk]
        then, now = self._place(story, who, touch), self._place(story, who, np.full_like(touch, self.num_facts))
        answers = {
            "last place named": named,
            "place where it was touched last": then,
            "where its last holder is now": now,
            "held things go with whoever walks": np.where((action == 1) & (walk > touch), named, then),
        }
        return {rule: float((answer == targets[:, 0]).mean()) for rule, answer in answers.items()}

    def shortcuts(self):
        """{rule: accuracy} of chance and of rules that skip a hop, measured. "Last place named" aside, they answer
        one-hop questions, which have no hop to skip, right."""
        return {"chance": 1 / self.num_places, **self._rules}

    def _called(self, kind, index):
        names = self.NAMES[kind]
        return names[index] if index < len(names) else f"{kind} {index + 1}"

    def _words(self, inputs_i):
        """The story as rows (action, person, object, place), its facts as sentences, the name asked about and the
        answer."""
        inputs = self._example(inputs_i)
        story, facts = np.stack(self._read(inputs), axis=-1)[0].tolist(), []
        for action, person, thing, place in story[:-1]:
            what = f"to {self._called('place', place)}" if action == 0 else self._called("object", thing)
            facts.append(f"{self._called('person', person)} {self.ACTIONS[action]} {what}")
        _, person, thing, _ = story[-1]
        asked = self._called("person", person) if thing < 0 else self._called("object", thing)
        return story, facts, asked, int(self.solve(inputs)[0, 0])

    def describe(self, inputs_i):
        """One example (num_facts + 1, input_size) in words."""
        _, facts, asked, answer = self._words(inputs_i)
        lines = [f"step {t}: {fact}." for t, fact in enumerate(facts, 1)]
        return "\n".join([*lines, f"Where is {asked}? In {self._called('place', answer)}."])

    def draw(self, inputs_i):
        """One example (num_facts + 1, input_size) as a matplotlib Figure: where everybody and everything is after each
        step, who holds what, and the answer in the last column."""
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch, Rectangle

        story, facts, asked, answer = self._words(inputs_i)
        P, T = self.num_people, self.num_facts
        rows = [self._called("person", i) for i in range(P)]
        rows += [self._called("object", i) for i in range(self.num_objects)]
        roomy = T <= 40  # beyond, sentences do not fit below the columns, nor names into them
        ticks = [f"{t}  {fact}" for t, fact in enumerate([*facts, f"Where is {asked}?"], 1)]
        bottom = 0.5 + 0.0557 * max(map(len, ticks)) if roomy else 0.6
        height = max(0.45 * len(rows) + bottom + 0.6, 0.17 * self.num_places + 1.6)  # the second is the key's
        size, left = (min(12, max(6, 0.5 * T + 3.4)), height), 0.4 + 0.085 * max(map(len, rows))
        figure, (axis,) = _figure(1, 1, size, left=left, right=1.65, bottom=bottom, top=0.6)

        def short(name):
            """The first letter of a name, or the number of what has none."""
            return name.split()[-1] if name[-1].isdigit() else name.removeprefix("the ")[0].upper()

        def shade(place):
            """A pale colour; blue and violet are far apart in this order."""
            return COLOURS[(0, 1, 2, 3, 5, 6, 4)[place % 7]] + "55"

        written, shown = {}, str if roomy and P <= len(self.NAMES["person"]) else short

        def cell(row, t, place, holder=None, **style):
            axis.add_patch(Rectangle((t - 0.5, row - 0.45), 1, 0.9, facecolor=shade(place), **style))
            texts = short(self._called("place", place)), "" if holder is None else shown(rows[holder])
            if roomy or written.get(row) != texts:  # in narrow columns only what is new
                axis.text(t, row - 0.14, texts[0], ha="center", va="center", fontsize=9)
                axis.text(t, row + 0.24, texts[1], ha="center", va="center", fontsize=7)
            written[row] = texts

        at, holder, lies = {}, {}, {}
        for t, (action, person, thing, place) in enumerate(story[:-1], 1):
            if action == 0:
                at[person] = place
            elif action == 1:
                holder[thing] = person
            else:
                lies[thing] = at[holder.pop(thing)]
            for p in at:
                cell(p, t, at[p], edgecolor="white")
            for i in lies.keys() | holder.keys():
                cell(P + i, t, at[holder[i]] if i in holder else lies[i], holder.get(i), edgecolor="white")
            axis.plot(t, person + 0.24, marker=">^v"[action], color="black", markersize=4)
        row, edge = rows.index(asked), {"edgecolor": "black", "linewidth": 2.5, "zorder": 3}
        written.clear()
        cell(row, T + 1, answer, **edge)
        axis.add_patch(Rectangle((0.5, row - 0.45), T, 0.9, facecolor="none", **edge))
        axis.set(xlim=(0.4, T + 1.6), ylim=(len(rows) - 0.5, -0.5), xlabel="step")
        title = f"Where is {asked}? In {self._called('place', answer)}."
        axis.set_title(f"{title}\nletter: place   small name below a thing: who holds it", fontsize=10)
        axis.set_yticks(range(len(rows)), rows)
        axis.get_yticklabels()[row].set_fontweight("bold")
        if roomy:
            axis.set_xticks(range(1, T + 2), ticks, rotation=90, fontsize=8)
        line = {"color": "black", "linestyle": ""}
        key = [Line2D([], [], marker=mark, label=name, **line) for mark, name in zip(">^v", self.ACTIONS)]
        for i in range(self.num_places):
            name = self._called("place", i)
            key.append(Patch(facecolor=shade(i), label=f"{short(name)}  {name}"))
        axis.legend(handles=key, loc="upper left", bbox_to_anchor=(1, 1), fontsize=8, frameon=False)
        return figure


_OPERATIONS = {"add": ("+",), "control": ("if", "for"), "program": ("+", "-", "*", "if", "for")}
_ANSWERS = "0123456789."  # "." stands for the end mark, class 10


def _characters(texts, width, alphabet):
    """Strings (batch,) as indices into alphabet (batch, width), -1 where there is no such character."""
    index = np.full(128, -1)
    index[[ord(character) for character in alphabet]] = range(len(alphabet))
    return index[texts.astype(f"U{width}").view(np.uint32).reshape(len(texts), width)]


class ProgramEvaluation(_Task):
    """What does a short program come to? Characters in, digits out: section 4.1 and appendix A.2 of the paper.

    kind "add": A+B; "control": A if B>C else D (or <), x=A for[3] x+=B (1 to 9 rounds: A + 3*B); "program": both, A-B
    and A*B. Literals have `length` digits, the first 1-9. Of `nesting` operations each but the innermost holds the one
    before, in parentheses, as its first or last operand. Values are taken mod 10**(length+1) at every operation.
    "copy", "reverse", "double": the digits of one literal again, backwards, twice; nesting plays no part in them.
    sizes="mix" draws one length and one nesting, each uniform from 1 to the largest, for a whole batch (the modulus
    stays), as the paper trains; sizes="fixed" always takes the largest, as the paper tests. train and evaluate score a
    mix at its largest sizes, too, and shortcuts() says what the rules score there.

    A step's input is a one-hot of 29 characters, then a flag: all kinds and sizes share input_size 30 and output_size
    11. Empty steps fill up text_steps, the longest possible text, from the left; then answer_steps flagged steps: the
    longest answer and its end. Targets (batch, answer_steps): the digits, the end mark (class 10), then -1.
    Raises ValueError or TypeError for sizes that do not fit: length <= 8 and nesting <= 100 where there is
    something to compute (int64 holds every product). Taught in notebook 04.
    """

    CHARACTERS = "0123456789+-*=<>()[] xifelsor"  # the columns of the one-hot, in this order
    output_size, input_size = 11, len(CHARACTERS) + 1

    def __init__(self, kind="add", nesting=1, length=2, *, sizes="mix"):
        self.kind = _choice("kind", kind, (*_OPERATIONS, "copy", "reverse", "double"))
        self._operations = _OPERATIONS.get(kind, ())
        computed = bool(self._operations)
        self.nesting = _whole("nesting", nesting, 1, 100 if computed else None)
        self.length = _whole("length", length, 1, 8 if computed else None)
        self.sizes = _choice("sizes", sizes, ("mix", "fixed"))
        self._sizes = {"kind": self.kind, "nesting": self.nesting, "length": self.length, "sizes": self.sizes}
        self._modulus = 10 ** (self.length + 1)
        if computed:
            one = 2 * self.length + 1 if kind == "add" else 4 * self.length + 11  # no operation is longer than "if"
            self.text_steps = one + (self.nesting - 1) * (one - self.length + 2)  # "(...)" instead of a literal
            self.answer_steps = self.length + 2
        else:
            self.text_steps = self.length
            self.answer_steps = (2 if kind == "double" else 1) * self.length + 1
        self.num_inputs = self.text_steps + self.answer_steps

    @functools.cached_property
    def largest(self):
        """This task at its largest sizes only."""
        return ProgramEvaluation(self.kind, self.nesting, self.length, sizes="fixed")

    def sample(self, batch_size, rng):
        """A Batch of inputs (batch_size, text_steps + answer_steps, 30) and targets (batch_size, answer_steps)."""
        batch_size, rng = _whole("batch_size", batch_size), _generator(rng)
        length, nesting = self.length, self.nesting
        if self.sizes == "mix":
            length, nesting = int(rng.integers(1, length + 1)), int(rng.integers(1, nesting + 1))
        texts, answers = self._texts(batch_size, length, nesting, rng)
        steps = np.full((batch_size, self.num_inputs), self.input_size - 1)  # the flag, but for the steps of the text
        padded = np.strings.rjust(texts, self.text_steps, "_")
        steps[:, : self.text_steps] = _characters(padded, self.text_steps, self.CHARACTERS)
        return Batch(_one_hot(steps, self.input_size), self._targets(answers))

    def _texts(self, batch_size, length, nesting, rng):
        """Texts (batch_size,) of one length and nesting, and their answers, both as strings."""
        if not self._operations:
            digits = rng.integers(10, size=(batch_size, length), dtype=np.uint32)
            digits[:, 0] = rng.integers(1, 10, batch_size)
            forward, backward = ((d + ord("0")).view(f"U{length}")[:, 0] for d in (digits, digits[:, ::-1].copy()))
            answers = {"copy": forward, "reverse": backward, "double": np.strings.add(forward, forward)}
            return forward, answers[self.kind]
        rows, text, value = np.arange(batch_size), None, None
        for level in range(nesting):
            values = rng.integers(10 ** (length - 1), 10**length, (4, batch_size))
            texts = values.astype(f"U{self.text_steps}")
            if level:  # the operation before becomes the first or the last operand
                place = 3 * rng.integers(2, size=batch_size)
                values[place, rows] = value
                texts[place, rows] = np.strings.add(np.strings.add("(", text), ")")
            which = rng.integers(len(self._operations), size=batch_size)
            rounds, greater = rng.integers(1, 10, batch_size), rng.integers(2, size=batch_size) == 1
            a, b, c, d = values
            result = {
                "+": a + d, "-": a - d, "*": a * d,
                "if": np.where(np.where(greater, b > c, b < c), a, d), "for": a + rounds * d,
            }  # fmt: skip
            value = np.choose(which, [result[operation] for operation in self._operations]) % self._modulus
            a, b, c, d = texts
            pieces = {
                "+": (a, "+", d), "-": (a, "-", d), "*": (a, "*", d),
                "if": (a, " if ", b, np.where(greater, ">", "<"), c, " else ", d),
                "for": ("x=", a, " for[", rounds.astype("U1"), "] x+=", d),
            }  # fmt: skip
            text = np.zeros(batch_size, f"U{self.text_steps}")
            for i, operation in enumerate(self._operations):
                of = which == i
                parts = [part if isinstance(part, str) else part[of] for part in pieces[operation]]
                text[of] = functools.reduce(np.strings.add, parts)
        return text, value.astype(f"U{self.length + 1}")

    def _targets(self, answers):
        """Strings (batch,) as targets (batch, answer_steps)."""
        return _characters(np.strings.add(answers, "."), self.answer_steps, _ANSWERS)

    def _read(self, inputs):
        """The texts as a list of strings, read from the encoded inputs."""
        one_hots = inputs[:, : self.text_steps, :-1]
        found = np.where(one_hots.any(axis=-1), one_hots.argmax(axis=-1), -1)
        return ["".join(row) for row in np.array([*self.CHARACTERS, ""])[found]]

    def _steps(self, text, naive=False):
        """The operations of a text, innermost first, as (what it says, its result, its value). naive does without what
        makes them hard: the carries of "add"; in the other kinds the comparison, and all rounds of a loop but one."""
        steps, at = [], 0

        def operand(before):
            """Skips what stands before it, then reads a literal or an operation in parentheses."""
            nonlocal at
            if not text.startswith(before, at):
                raise ValueError
            at += len(before)
            if text[at] == "(":
                at += 1
                value = operation()
                if text[at] != ")":
                    raise ValueError
                at += 1
                return value
            start = at
            while text[at : at + 1].isdigit():
                at += 1
            return int(text[start:at])

        def operation():
            loop = text[at] == "x"
            a = operand("x=" if loop else "")
            if loop:
                rounds = int(text[at + len(" for[")])
                d = operand(f" for[{rounds}] x+=")
                says, result = f"x={a} for[{rounds}] x+={d}", a + (1 if naive else rounds) * d
            elif text[at] == " ":
                b = operand(" if ")
                sign = text[at]
                c, d = operand(sign), operand(" else ")
                first = naive or {">": b > c, "<": b < c}[sign]
                says, result = f"{a} if {b}{sign}{c} else {d}", a if first else d
            else:
                sign = text[at]
                d = operand(sign)
                says, result = f"{a}{sign}{d}", {"+": a + d, "-": a - d, "*": a * d}[sign]
                if naive and self.kind == "add":
                    width = max(len(str(a)), len(str(d)))
                    top, *sums = (int(p) + int(q) for p, q in zip(str(a).zfill(width), str(d).zfill(width)))
                    result = int(str(top) + "".join(str(both % 10) for both in sums))
            steps.append((says, result, result % self._modulus))
            return result % self._modulus

        try:
            operation()
            if at != len(text):
                raise ValueError
        except (ValueError, IndexError, KeyError):
            raise ValueError(f"inputs must hold texts of {self!r}, got {text!r}") from None
        return steps

    def _answer(self, text):
        if self._operations:
            return str(self._steps(text)[-1][-1])
        return {"copy": text, "reverse": text[::-1], "double": text + text}[self.kind]

    def solve(self, inputs):
        """The right answers (batch, answer_steps), from the encoded inputs alone."""
        return self._targets(np.array([self._answer(text) for text in self._read(self._check_inputs(inputs))]))

    def _rules(self):
        """{rule: its answer to a text} of the rules of this kind."""
        if not self._operations:
            rules = {"the first digit again and again": lambda text: text[0] * len(self._answer(text))}
            both = {"the digits once, then the first again and again": lambda text: text + text[0] * len(text)}
            return rules | (both if self.kind == "double" else {})
        naive = "without carries" if self.kind == "add" else "first branch, loop run once"
        rules = {naive: lambda text: str(self._steps(text, naive=True)[-1][-1])}
        if self.nesting > 1:
            rules["innermost operation only"] = lambda text: str(self._steps(text)[0][-1])
        return rules

    @functools.cached_property
    def _scores(self):
        texts, answers = self._texts(10_000, self.length, self.nesting, np.random.default_rng(0))
        targets = self._targets(answers)
        asked = targets != -1
        right = {}
        mode = (targets[::2, :, None] == np.arange(11)).sum(axis=0).argmax(axis=1)  # and scored on the other half
        right["most likely character of each place"] = (targets == mode)[1::2][asked[1::2]].mean()
        end = len(targets) / asked.sum()  # the share of end marks
        right["right length, digits at random"] = end + (1 - end) / 10
        for name, rule in self._rules().items():
            guesses = self._targets(np.array([rule(text) for text in texts]))
            right[name] = (guesses == targets)[asked].mean()
        return {"chance": 1 / 11} | {name: float(share) for name, share in right.items()}

    def shortcuts(self):
        """{rule: share of the asked characters, end marks included, that it gets right}, at the largest sizes. All but
        chance are measured, once, on 10,000 examples."""
        return dict(self._scores)

    def describe(self, inputs_i):
        """One example (time, input_size) in words: what each operation comes to, the innermost first."""
        (text,) = self._read(self._example(inputs_i))
        lines = [f"{self.kind}: {text}"]
        if self._operations:
            for i, (says, result, value) in enumerate(self._steps(text), 1):
                reduced = "" if value == result else f", mod {self._modulus}: {value}"
                lines.append(f"operation {i}: {says} gives {result}{reduced}")
        return "\n".join([*lines, f"What are the characters of the answer? {self._answer(text)}, then the end mark."])

    def draw(self, inputs_i):
        """One example (time, input_size) as a matplotlib Figure: the characters and the targets at their steps."""
        from matplotlib.patches import Rectangle

        (text,) = self._read(self._example(inputs_i))
        answer = self._answer(text)
        blanks = self.text_steps - len(text)
        given = [" "] * blanks + [*text.replace(" ", "␣")] + ["?"] * self.answer_steps
        wanted = [""] * self.text_steps + [*answer, "■"] + ["–"] * (self.answer_steps - len(answer) - 1)
        strips = -(-self.num_inputs // 40)
        columns = -(-self.num_inputs // strips)
        wide, high = max(columns, 22), 3 * strips - 1  # in cells: the note needs 22; an empty row between two strips
        figure, (axis,) = _figure(1, 1, (0.28 * wide + 1.9, 0.28 * high + 1.3), left=1.7, bottom=0.6, top=0.7)
        shades = {"": "#FFFFFF", "–": "#FFFFFF", " ": "#DDDDDD", "?": COLOURS[5] + "70"}
        for row, (strip, shade) in enumerate(((given, COLOURS[4] + "70"), (wanted, COLOURS[2] + "70"))):
            for step, character in enumerate(strip):
                x, y = step % columns, 3 * (step // columns) + row
                face = shades.get(character, shade)
                axis.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=face, edgecolor="white"))
                axis.text(x, y, character, ha="center", va="center_baseline", family="monospace")
        start = "input" if strips == 1 else "input from step {}"
        labels = [label for i in range(strips) for label in (start.format(1 + i * columns), "target")]
        axis.set_yticks([y for y in range(high) if y % 3 != 2], labels)
        axis.set(xlim=(-0.5, wide - 0.5), ylim=(high - 0.5, -0.5))
        axis.set_xticks(range(0, columns, 5), [at + (strips == 1) for at in range(0, columns, 5)])
        axis.set_xlabel("step" if strips == 1 else "steps after the first of the row", loc="left")
        axis.spines[:].set_visible(False)
        note = "grey: empty step   ␣: space   ?: answer step (flag)   ■: end mark   –: not asked"
        shown = answer if len(answer) <= 40 else f"{answer[:20]}…{answer[-18:]}"
        axis.set_title(f"{self.kind}: the answer is {shown}\n{note}", fontsize=10, loc="left")
        return figure


# ---------------------------------------------------------------------------------------------------------------------
# Training (notebook 06)
# ---------------------------------------------------------------------------------------------------------------------
class Adam:
    """Adam (Kingma and Ba, 2015) on a flat parameter vector, which step() changes in place. Taught in notebook 06."""

    def __init__(self, flat, learning_rate=1e-3, betas=(0.9, 0.999), eps=1e-8):
        if not isinstance(flat, np.ndarray) or flat.ndim != 1 or flat.dtype.kind != "f":
            raise TypeError("flat must be a one-dimensional float array, such as model.flat")
        self.flat, self.learning_rate = flat, _number("learning_rate", learning_rate, 0, above=True)
        self.eps = _number("eps", eps, 0, above=True)
        if np.shape(betas) != (2,) or not all(0 <= _number("betas", beta, 0) < 1 for beta in betas):
            raise ValueError(f"betas must be two numbers from 0 to below 1, got {betas!r}")
        self.betas, self.count = tuple(betas), 0
        self.mean, self.square = np.zeros_like(flat), np.zeros_like(flat)

    def step(self, grad_flat, learning_rate=None):
        """One update with the gradient grad_flat, shaped like flat; learning_rate overrides the one given at first."""
        if np.shape(grad_flat) != self.flat.shape:
            raise ValueError(f"grad_flat must have shape {self.flat.shape}, got {np.shape(grad_flat)}")
        rate = self.learning_rate if learning_rate is None else _number("learning_rate", learning_rate, 0)
        self.count += 1
        for moment, beta, value in ((self.mean, self.betas[0], grad_flat), (self.square, self.betas[1], grad_flat**2)):
            moment *= beta
            moment += (1 - beta) * value
        unbias_mean, unbias_square = (1 - beta**self.count for beta in self.betas)
        self.flat -= rate / unbias_mean * self.mean / (np.sqrt(self.square / unbias_square) + self.eps)


class History(NamedTuple):
    """What train returns: arrays of equal length, an entry for each evaluation on the held-out set. step; examples
    seen; seconds of training, evaluation not counted (of the processor; with workers, of the clock); loss and score
    (accuracy, or error for numbers) of the task on the held-out set; stage of the curriculum, 0 its first, the task
    itself the last. Taught in notebook 06."""

    step: np.ndarray
    examples: np.ndarray
    seconds: np.ndarray
    loss: np.ndarray
    score: np.ndarray
    stage: np.ndarray


def _score(metrics):
    return metrics["accuracy"] if "accuracy" in metrics else metrics["error"]


def _name(task):
    """A task in words that are the same in the next process, as an object's default repr is not."""
    return type(task).__qualname__ if type(task).__repr__ is object.__repr__ else repr(task)


def _check_model(model):
    if not isinstance(model, _Model):
        raise TypeError(f"model must be a RelationalMemoryCore, RelationalRNN or LSTM, got {type(model).__name__}")


def _check_task(name, task, model):
    _check_model(model)
    for attribute in ("sample", "input_size", "output_size", "target_kind"):
        if not hasattr(task, attribute):
            raise TypeError(f"{name} must be a task such as NthFarthest(3, 2), got {task!r}: it has no {attribute}")
    if (task.input_size, task.output_size) != (model.input_size, model.output_size):
        raise ValueError(
            f"{name} must have the model's input and output sizes {model.input_size}, {model.output_size}; "
            f"{task!r} has {task.input_size}, {task.output_size}"
        )


def _scored(task):
    """What a task is scored on: itself, but a mix of sizes at the largest of them."""
    return getattr(task, "largest", task)


def train(model, task, steps, *, batch_size=128, learning_rate=1e-3, warmup=200, clip_norm=1.0, seed=0, eval_every=500,
          eval_examples=2000, curriculum=None, patience=None, checkpoint=None, checkpoint_every=500, workers=1,
          progress=True):  # fmt: skip
    """Train model on task in place, to a total of `steps` updates with Adam; returns a History.

    Every step draws batch_size new examples. learning_rate is reached in a straight line over the first `warmup` steps;
    gradients longer than clip_norm (None: no limit) are shortened to it. curriculum is a list of (task, score to move
    on at), trained first, in that order; a stage ends when the running score of its batches, over about 100 steps, is
    reached (accuracy at least, error at most). Every eval_every steps the task itself is scored on eval_examples
    examples that are always the same; patience ends the run after that many evaluations in a row, in the last stage,
    without a better score. workers splits each batch over processes. progress shows a bar (the environment variable
    TQDM_DISABLE=1 silences it).

    checkpoint is a path: the run is saved there every checkpoint_every steps and at the end, and goes on from there if
    the file exists, to the same parameters as without the interruption; CheckpointError if it is of another run. Raises
    FloatingPointError when the loss or its gradient is not finite: the message gives the step, and the model keeps the
    parameters of the last step that was. Taught in notebook 06.
    """
    run = _Run(model, task, batch_size, learning_rate, warmup, clip_norm, seed, eval_every, eval_examples, curriculum,
               patience, workers)  # fmt: skip
    steps = _whole("steps", steps)
    checkpoint_every = _whole("checkpoint_every", checkpoint_every)
    if checkpoint is not None:
        if not Path(checkpoint).parent.is_dir():
            raise FileNotFoundError(f"checkpoint must lie in a folder that exists, got {checkpoint}")
        if Path(checkpoint).exists():
            run.resume(checkpoint, steps)
    from tqdm.auto import tqdm

    quiet = not progress or os.environ.get("TQDM_DISABLE", "0") not in ("", "0")  # tqdm's notebook bar ignores it
    with _one_blas_thread(), tqdm(total=steps, initial=run.step, unit="step", disable=quiet) as bar:
        while run.step < steps and not run.out_of_patience():
            run.advance()
            if run.step % eval_every == 0 or run.step == steps:
                run.evaluate()
                bar.set_postfix_str(f"stage {run.stage + 1}/{len(run.stages)}, held-out score {run.rows[-1][4]:.3f}")
            ends = run.step == steps or run.out_of_patience()
            if checkpoint is not None and (ends or run.step % checkpoint_every == 0):
                run.save(checkpoint)
            bar.update()
    if run.step == steps and (not run.rows or run.rows[-1][0] < steps):  # resumed from a save between two evaluations
        run.evaluate()
    return run.history()


class _Run:
    """One training run: everything that a checkpoint has to hold so that the run goes on as if nothing had happened."""

    def __init__(self, model, task, batch_size, learning_rate, warmup, clip_norm, seed, eval_every, eval_examples,
                 curriculum, patience, workers):  # fmt: skip
        _check_task("task", task, model)
        self.model, self.task = model, task
        self.batch_size, self.workers = _whole("batch_size", batch_size), _whole("workers", workers)
        self.warmup, self.eval_every = _whole("warmup", warmup, 0), _whole("eval_every", eval_every)
        self.clip_norm = None if clip_norm is None else _number("clip_norm", clip_norm, 0, above=True)
        self.patience = None if patience is None else _whole("patience", patience)
        self.stages = []
        for stage in curriculum or []:
            if not (isinstance(stage, tuple) and len(stage) == 2):
                raise TypeError(f"curriculum must be a list of (task, score to move on at), got {stage!r} in it")
            _check_task("curriculum", stage[0], model)
            self.stages.append((stage[0], _number("curriculum", stage[1])))
        self.stages.append((task, None))
        self.adam = Adam(model.flat, learning_rate)
        self.identity = json.dumps([
            type(model).__name__, model._describe(), [[_name(t), score] for t, score in self.stages], self.batch_size,
            self.adam.learning_rate, self.warmup, self.clip_norm, _whole("seed", seed, 0), self.eval_every,
            _whole("eval_examples", eval_examples), self.patience, self.workers,
        ])  # fmt: skip
        self.rng = np.random.default_rng([seed, 0])
        self.held_out = _scored(task).sample(eval_examples, np.random.default_rng([seed, 1]))
        # what one thread computes is timed by its own clock: another program on the same core does not count
        self.clock = time.thread_time if self.workers == 1 else time.perf_counter
        self.step, self.seconds, self.stage = 0, 0.0, 0
        self.running = [0.0, 0.0]  # sum of scores, sum of weights: their ratio is the running score
        self.rows = []
        self.good = model.flat.copy()

    def advance(self):
        """One batch, one update."""
        start = self.clock()
        task, move_on = self.stages[self.stage]
        batch = task.sample(self.batch_size, self.rng)
        loss, grad, metrics = self.model._loss_and_flat(batch, self.workers)
        norm = float(np.sqrt(np.vdot(grad, grad)))
        self._require_finite(self.step + 1, loss, norm)
        self.good[:] = self.model.flat
        self.step += 1
        if self.clip_norm is not None and norm > self.clip_norm:
            grad *= self.clip_norm / norm
        self.adam.step(grad, self.adam.learning_rate * min(1.0, self.step / max(self.warmup, 1)))
        self._require_finite(self.step, loss, norm)
        self.running = [0.98 * self.running[0] + _score(metrics), 0.98 * self.running[1] + 1]
        if move_on is not None and self.running[1] > 43:  # 100 steps of this stage: 1 / 0.02 * (1 - 0.98 ** 100)
            score = self.running[0] / self.running[1]
            if score >= move_on if task.target_kind == "class" else score <= move_on:
                self.stage, self.running = self.stage + 1, [0.0, 0.0]
        self.seconds += self.clock() - start

    def _require_finite(self, step, loss, norm=0.0):
        if np.isfinite([loss, norm]).all() and np.isfinite(self.model.flat).all():
            return
        self.model.flat[:] = self.good
        raise FloatingPointError(
            f"step {step}: the loss ({loss}), the length of its gradient ({norm}) or a parameter is not finite; the "
            f"model keeps the parameters of step {max(self.step - 1, 0)}. A smaller learning_rate or clip_norm may help"
        )

    def evaluate(self):
        metrics = self.model._metrics(self.held_out)
        self._require_finite(self.step, metrics["loss"])
        examples = self.step * self.batch_size
        self.rows.append([self.step, examples, self.seconds, metrics["loss"], _score(metrics), self.stage])

    def out_of_patience(self):
        scores = [row[4] for row in self.rows if row[5] == len(self.stages) - 1]
        if self.patience is None or not scores:
            return False
        best = np.argmax(scores) if self.task.target_kind == "class" else np.argmin(scores)
        return len(scores) - 1 - best >= self.patience

    def history(self):
        columns = np.array(self.rows).reshape(-1, 6).T
        return History(*(column.astype(int if i in (0, 1, 5) else float) for i, column in enumerate(columns)))

    def save(self, path):
        extra = {
            "run": self.identity, "step": self.step, "seconds": self.seconds, "stage": self.stage,
            "running": self.running, "rows": self.rows, "rng": self.rng.bit_generator.state,
            "adam_count": self.adam.count, "adam_mean": self.adam.mean, "adam_square": self.adam.square,
            "good": self.good,
        }  # fmt: skip
        save_checkpoint(path, self.model, extra)

    def resume(self, path, steps):
        saved, extra = load_checkpoint(path)
        if extra.get("run") != self.identity:
            raise CheckpointError(
                f"checkpoint {path} is of another run: {extra.get('run', 'not of a run of train')}; this one is "
                f"{self.identity}. Give another path, or the same model and arguments"
            )
        if extra["step"] > steps:
            raise CheckpointError(f"checkpoint {path} is of step {extra['step']}, past the {steps} steps asked for")
        self.model.flat[:] = saved.flat
        self.step, self.seconds, self.stage = extra["step"], extra["seconds"], extra["stage"]
        self.running, self.rng.bit_generator.state = extra["running"], extra["rng"]
        # an evaluation that only stands there because that run ended there
        self.rows = [row for row in extra["rows"] if row[0] % self.eval_every == 0 or row[0] == steps]
        self.adam.count, self.good[:] = extra["adam_count"], extra["good"]
        self.adam.mean[:], self.adam.square[:] = extra["adam_mean"], extra["adam_square"]


def evaluate(model, task, examples=10_000, seed=1):
    """{"loss", and "accuracy" or "error"} of model on `examples` new examples of task, drawn from seed; a mix of sizes
    is scored at the largest. Taught in notebook 06."""
    _check_task("task", task, model)
    batch = _scored(task).sample(_whole("examples", examples), np.random.default_rng(_whole("seed", seed, 0)))
    return model._metrics(batch)


class CheckpointError(ValueError):
    """A file that is no checkpoint, is damaged, or belongs to something else. Taught in notebook 06."""


CHECKPOINT_FORMAT, CHECKPOINT_VERSION = "rrnn-checkpoint", 1
# what reading a damaged or foreign file can raise
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OSError, EOFError, RuntimeError, MemoryError,
               zipfile.BadZipFile, zlib.error)  # fmt: skip


def save_checkpoint(path, model, extra=None):
    """Write model, and a dict `extra` of arrays and JSON values, to path as .npz, all or nothing: a crash leaves the
    old file. Raises TypeError for an extra that cannot be stored. Taught in notebook 06."""
    _check_model(model)
    extra = {} if extra is None else extra
    if not isinstance(extra, dict) or not all(isinstance(name, str) for name in extra):
        raise TypeError(f"extra must be a dict with string keys, got {extra!r}")
    arrays = {f"extra/{name}": value for name, value in extra.items() if isinstance(value, np.ndarray)}
    if any(array.dtype.hasobject for array in arrays.values()):
        raise TypeError("extra must not hold arrays of objects: they could only be stored by pickling")
    plain = {name: value for name, value in extra.items() if not isinstance(value, np.ndarray)}
    head = {"format": CHECKPOINT_FORMAT, "version": CHECKPOINT_VERSION, "model": type(model).__name__}
    try:
        text = json.dumps(head | {"config": model._describe(), "extra": plain})
    except TypeError as error:
        raise TypeError(f"extra must hold arrays and JSON values only: {error}") from None
    arrays |= {f"params/{name}": array for name, array in model.params.items()}
    if hasattr(model, "first_memory"):
        arrays["first_memory"] = model.first_memory
    with _replacing(path) as file:
        np.savez(file, head=np.array(text), **arrays)


@contextmanager
def _replacing(path):
    """A new binary file that takes the place of path when all of it is written, and not before."""
    path = Path(path)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path):
    """(model, extra) from a file of save_checkpoint, which is never unpickled. Raises CheckpointError, with the reason,
    for a truncated, foreign, pickled, wrong-shape or wrong-version file. Taught in notebook 06."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        head = json.loads(str(arrays.pop("head")))
        if head["format"] != CHECKPOINT_FORMAT:
            raise ValueError(f"its format is {head['format']!r}")
        room = sum(array.size for array in arrays.values())
    except FileNotFoundError:
        raise
    except _UNREADABLE as error:
        raise CheckpointError(f"{path} is not a readable checkpoint: {type(error).__name__}: {error}") from None
    if head.get("version") != CHECKPOINT_VERSION:
        version = head.get("version")
        raise CheckpointError(f"{path} has checkpoint version {version!r}; this code reads {CHECKPOINT_VERSION}")
    try:
        kind = {c.__name__: c for c in (RelationalMemoryCore, RelationalRNN, LSTM)}[head["model"]]
        for name, size in head["config"].items():  # before anything huge is made
            if isinstance(size, int) and size > room and name not in ("seed", "num_blocks"):
                raise ValueError(f"{name} is {size}, more than all the numbers in the file")
        model = kind(**head["config"])
        targets = {f"params/{name}": array for name, array in model.params.items()}
        if hasattr(model, "first_memory"):
            targets["first_memory"] = model.first_memory
        extra = head["extra"] | {name[6:]: arrays.pop(name) for name in list(arrays) if name.startswith("extra/")}
    except _UNREADABLE as error:
        raise CheckpointError(f"{path} describes no model that can be made: {error}") from None
    if arrays.keys() != targets.keys():
        raise CheckpointError(f"{path} does not hold the arrays of its model: {sorted(arrays.keys() ^ targets.keys())}")
    for name, target in targets.items():
        if arrays[name].shape != target.shape or arrays[name].dtype != target.dtype:
            given = f"{arrays[name].shape} {arrays[name].dtype}"
            raise CheckpointError(f"{path}: {name} must be {target.shape} {target.dtype}, but is {given}")
        if not np.isfinite(arrays[name]).all():
            raise CheckpointError(f"{path}: {name} holds NaN or infinite values")
        target[:] = arrays[name]
    return model, extra


# ---------------------------------------------------------------------------------------------------------------------
# Experiments (notebooks 07, 09)
# ---------------------------------------------------------------------------------------------------------------------
def run_experiments(experiments, executor=None, *, folder=None, progress=True):
    """Train and score every experiment of {name: experiment}; returns {name: record} in the same order.

    An experiment is plain data: "task": (class name, arguments), "model": (class name, arguments without sizes of input
    and output), "train": the arguments of train with "steps" and "seed", the model's seed too; and, if wanted,
    "curriculum": [(class name, arguments, score to move on at), ...], and "weights": False to keep no weights. A record
    holds the experiment, "parameters" (how many), "curve" (the columns of History), "test" (evaluate on 10,000 fresh
    examples), "shortcuts", "sha256" of the weights and "versions".

    executor is any concurrent.futures.Executor, for example of processes, Dask or ipyparallel, whose workers can import
    this module; None runs one after the other here. With a folder, each run leaves NAME.json, its record, and NAME.npz,
    its weights: a run whose record is there is not made again, an unfinished one goes on where it stopped. progress
    shows a bar with the time left. Raises ValueError or TypeError for what is no experiment, and for a record in folder
    that is of another one. Taught in notebook 09.
    """
    if not isinstance(experiments, dict):
        raise TypeError(f"experiments must be a dict {{name: experiment}}, got {type(experiments).__name__}")
    if not (executor is None or hasattr(executor, "submit")):
        raise TypeError(f"executor must be a concurrent.futures.Executor or None, got {executor!r}")
    folder = None if folder is None else Path(folder)
    if folder is not None and not folder.is_dir():
        raise ValueError(f"folder must be a folder that exists, got {str(folder)!r}")
    plain = {name: _plain(name, experiment) for name, experiment in experiments.items()}
    records = {name: _stored(folder, name, experiment) for name, experiment in plain.items()}
    missing = [name for name in plain if records[name] is None]
    from tqdm.auto import tqdm

    hidden = not progress or os.environ.get("TQDM_DISABLE") == "1"
    with tqdm(total=len(missing), unit="run", disable=hidden) as bar:
        if executor is None:
            done = ((name, _run_experiment(name, plain[name], folder)) for name in missing)
        else:
            futures = {executor.submit(_run_experiment, name, plain[name], folder): name for name in missing}
            done = ((futures[future], future.result()) for future in as_completed(futures))
        for name, record in done:
            records[name] = record
            bar.set_postfix_str(name, refresh=False)
            bar.update()
    return records


def _plain(name, experiment):
    """The experiment as it looks after a way through JSON; refused if it is none."""
    if not (isinstance(name, str) and isinstance(experiment, dict)):
        raise TypeError(f"experiments must hold dicts under strings, got {name!r}: {experiment!r}")
    missing = {"task", "model", "train"} - set(experiment)
    unknown = set(experiment) - {"task", "model", "train", "curriculum", "weights"}
    if missing or unknown:
        raise ValueError(f"experiments[{name!r}] lacks {sorted(missing)} or has more than it may: {sorted(unknown)}")
    if not {"steps", "seed"} <= set(experiment["train"]):
        raise ValueError(f"experiments[{name!r}]['train'] must give steps and seed, got {experiment['train']!r}")
    try:
        plain = json.loads(json.dumps(experiment))
    except TypeError as error:
        raise TypeError(f"experiments[{name!r}] must be data that JSON can hold: {error}") from None
    _make_experiment(plain)  # what cannot be made fails here, not in an hour
    return plain


def _make_experiment(experiment):
    """The task, the untrained model and the curriculum of an experiment."""
    made = []
    for kind, arguments, *score in [experiment["task"], *experiment.get("curriculum", [])]:
        if not (kind in __all__ and isinstance(thing := globals()[kind], type) and issubclass(thing, _Task)):
            raise ValueError(f"experiments: a task must be one of this module's, got {kind!r}")
        made.append((thing(**arguments), *score))
    (task,), *curriculum = made
    kind, arguments = experiment["model"]
    if not (kind in __all__ and isinstance(thing := globals()[kind], type) and issubclass(thing, _Model)):
        raise ValueError(f"experiments: a model must be one of this module's, got {kind!r}")
    seed = experiment["train"]["seed"]
    return task, thing(task.input_size, output_size=task.output_size, seed=seed, **arguments), curriculum


def _stored(folder, name, experiment):
    """The record of this run in the folder, or None."""
    if folder is None or not (folder / f"{name}.json").exists():
        return None
    record = json.loads((folder / f"{name}.json").read_text())
    if record["experiment"] != experiment:
        raise ValueError(f"{folder / name}.json is of another experiment, {record['experiment']}; move it away first")
    return record


def _run_experiment(name, experiment, folder):
    task, model, curriculum = _make_experiment(experiment)
    part = None if folder is None else folder / f".{name}.part.npz"
    with _one_blas_thread():
        history = train(model, task, curriculum=curriculum, checkpoint=part, progress=False, **experiment["train"])
        test = evaluate(model, task)
    record = {
        "experiment": experiment, "parameters": model.flat.size, "test": test, "shortcuts": task.shortcuts(),
        "curve": {column: np.round(values, 6).tolist() for column, values in history._asdict().items()},
        "sha256": hashlib.sha256(model.flat.tobytes()).hexdigest(),
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "machine": platform.machine(),
                     "blas": _kernels()},
    }  # fmt: skip
    if folder is not None:
        if experiment.get("weights", True):
            save_checkpoint(folder / f"{name}.npz", model)
        with _replacing(folder / f"{name}.json") as file:
            file.write(json.dumps(record, indent=1).encode())
        part.unlink()
    return record


def load_records(folder, pattern="*"):
    """{name: record} of the runs in a folder whose name fits a pattern such as "stories_core_seed*", by name; what a
    record holds is said at run_experiments. Raises ValueError if there is none. Taught in notebook 07."""
    records = {path.stem: json.loads(path.read_text()) for path in sorted(Path(folder).glob(f"{pattern}.json"))}
    if not records:
        raise ValueError(f"no record in folder {str(folder)!r} fits pattern {pattern!r}")
    return records


def _samples(confidence, **samples):
    samples = {name: _floats(name, values, (name,), np.float64) for name, values in samples.items()}
    for name, values in samples.items():
        if len(values) < 2:
            raise ValueError(f"{name} must be two or more: one does not say how far they spread, got {len(values)}")
    if not 0 < _number("confidence", confidence) < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    return samples.values()


def mean_interval(values, confidence=0.95):
    """(mean, low, high) of a few independent values, such as one score a seed: the interval of Student's t, which would
    hold the true mean with that confidence if the values were normal. Raises ValueError for fewer than two values, or a
    confidence outside 0..1. Taught in notebook 07."""
    from scipy import stats

    (values,) = _samples(confidence, values=values)
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * stats.sem(values)
    mean = float(values.mean())
    return mean, mean - float(half), mean + float(half)


def mean_difference(a, b, confidence=0.95):
    """(difference, low, high): the mean of a minus that of b, such as two models' scores, one a seed, with the interval
    of Welch, which lets a and b spread unequally. Without any spread, low and high are the difference. Raises
    ValueError for fewer than two values in a or b, or a confidence outside 0..1. Taught in notebook 07."""
    from scipy import stats

    a, b = _samples(confidence, a=a, b=b)
    difference = float(a.mean() - b.mean())
    if np.ptp(a) == np.ptp(b) == 0:
        return difference, difference, difference
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # scipy warns of values that are all the same, as five of 1.0
        interval = stats.ttest_ind(a, b, equal_var=False).confidence_interval(confidence)
    return difference, float(interval.low), float(interval.high)


# ---------------------------------------------------------------------------------------------------------------------
# Pictures and controls (all notebooks)
# ---------------------------------------------------------------------------------------------------------------------
# After Okabe and Ito's palette: as far apart for the colour-blind, but each with a contrast of 3:1 or more on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#C2629B", "#8A7FE8", "#6B4F00", "#000000")
MARKERS = "osD^vPX"


def _figure(rows, columns, size, left=0.7, right=0.2, bottom=0.55, top=0.4, gap=0.35):
    """A Figure of its own (pyplot keeps no reference to it, and nothing is shown twice) and its axes, in a row.

    Margins and gaps are in inches: matplotlib's layout engines draw everything twice to find them.
    """
    from matplotlib.figure import Figure

    (width, height), figure = size, Figure(figsize=size)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    across, down = ((width - left - right) / columns, (height - top - bottom) / rows)
    figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height,
                           gap / (across - gap), (bottom + 0.2) / (down - bottom - 0.2))  # fmt: skip
    return figure, axes


def _scale(figure, picture, label, ticks=None):
    """A colour bar in a right margin of 1.1 inches."""
    width, height = figure.get_size_inches()
    figure.colorbar(picture, cax=figure.add_axes((1 - 0.95 / width, 0.25, 0.15 / width, 0.6)), label=label, ticks=ticks)


def _ticks(size):
    return range(0, size, 1 if size <= 10 else -(-size // 4))


def _heat(axis, values, xlabel, ylabel, vmin, vmax, cmap="RdBu_r"):
    """A matrix in colours, with whole-number ticks."""
    picture = axis.imshow(values, vmin=vmin, vmax=vmax, cmap=cmap, aspect="auto")
    rows, columns = values.shape
    axis.set(xticks=_ticks(columns), yticks=_ticks(rows), xlabel=xlabel, ylabel=ylabel)
    return picture


def label_cells(axis, values, *, left=0, size=8):
    """Write values (rows, columns), from 0 to 1, into the cells of their heat map in the colours "cividis", the first
    column at x = left, in letters of size points. Taught in notebook 08."""
    values = _floats("values", values, ("rows", "columns"), np.float64)
    for (row, column), value in np.ndenumerate(np.round(values, 2) + 0.0):  # no -0.00
        colour = "white" if value < 0.47 else "black"  # where cividis is as far from both
        axis.text(left + column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=size)


def plot_attention(weights, *, queries=None, keys=None, titles=None, ylabel="slot that looks", xlabel="row looked at"):
    """Attention weights (panels, queries, keys) as one heat map a panel, on one scale from 0 to 1, with the numbers in
    it while they fit. queries, keys and titles are labels. Returns a matplotlib Figure. Taught in notebook 01."""
    weights = _floats("weights", weights, ("panels", "queries", "keys"))
    panels, rows, columns = weights.shape
    labels = {"queries": (queries, rows), "keys": (keys, columns), "titles": (titles, panels)}
    for name, (given, needed) in labels.items():
        if given is not None and len(given) != needed:
            raise ValueError(f"{name} must be {needed}, one for each of weights {weights.shape}, got {len(given)}")
    across, down = _ticks(columns) if keys is None else range(columns), _ticks(rows) if queries is None else range(rows)
    keys, queries = across if keys is None else keys, down if queries is None else queries
    width, left = max(2.4, 0.55 * columns + 0.9), 0.6 + 0.08 * max(len(str(label)) for label in queries)
    size = min(12, width * panels + left + 1.1), max(2.2, 0.45 * rows + 1)
    # All panels in one pair of axes: matplotlib needs about 12 ms for each further pair, and a reader waits for them.
    figure, (axis,) = _figure(1, 1, size, left=left, right=1.1)
    starts = np.arange(panels) * columns * 1.08
    for i, (start, panel) in enumerate(zip(starts, weights, strict=True)):
        picture = axis.imshow(panel, vmin=0, vmax=1, cmap="cividis", aspect="auto",
                              extent=(start - 0.5, start + columns - 0.5, rows - 0.5, -0.5))  # fmt: skip
        axis.annotate(titles[i] if titles is not None else f"head {i}", (start + (columns - 1) / 2, -0.5), (0, 6),
                      textcoords="offset points", ha="center", size=12)  # fmt: skip
        if rows * columns <= 42 and weights.size <= 84:
            label_cells(axis, panel, left=start)
    axis.set(xlim=(-0.5, starts[-1] + columns - 0.5), ylim=(rows - 0.5, -0.5), xlabel=xlabel, ylabel=ylabel)
    axis.set_xticks([start + column for start in starts for column in across], [*keys] * panels)
    axis.set_yticks(down, queries)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    _scale(figure, picture, "weight", ticks=(0, 0.5, 1))
    return figure


def plot_memory(memory, *, titles=None, limit=None, columns=8):
    """Memories (panels, slots, slot_size), one heat map a panel on one scale, blue below zero and red above. limit is
    the end of the scale (default: the largest absolute value). Returns a matplotlib Figure. Taught in notebook 02."""
    memory = _floats("memory", memory, ("panels", "slots", "slot_size"))
    panels, slots, _ = memory.shape
    limit = _number("limit", limit or float(np.abs(memory).max()) or 1.0, 0, above=True)
    columns = min(_whole("columns", columns), panels)
    if titles is not None and len(titles) != panels:
        raise ValueError(f"titles must be one for each of the {panels} panels, got {len(titles)}")
    rows = -(-panels // columns)
    figure, axes = _figure(rows, columns, (min(12, 1.9 * columns + 1.8), rows * max(1.7, 0.3 * slots + 1)), right=1.1)
    for i, axis in enumerate(axes):
        if i >= panels:
            axis.set_axis_off()
            continue
        edge = i % columns == 0
        picture = _heat(axis, memory[i], "number", "slot" if edge else "", -limit, limit)
        axis.set_title(titles[i] if titles is not None else f"step {i + 1}")
    _scale(figure, picture, "value")
    return figure


def plot_curves(curves, *, xlabel, ylabel, levels=None, title=None, ylim=None, xscale="linear", yscale="linear",
                legend="best"):  # fmt: skip
    """Curves {name: (x, y)}, or {name: [(x, y), ...]} with a curve for each seed, told apart by colour and marker,
    from the eighth on by line style too. levels {name: y} are dashed lines to compare with; legend is
    matplotlib's loc. Returns a matplotlib Figure. Taught in notebook 06."""
    figure, (axis,) = _figure(1, 1, (7.5, 4))
    for i, (name, runs) in enumerate(curves.items()):
        look = {"color": COLOURS[i % 7], "marker": MARKERS[i % 7], "linestyle": ("-", "--", ":")[i // 7 % 3]}
        for j, (x, y) in enumerate([runs] if isinstance(runs, tuple) else runs):
            axis.plot(x, y, **look, markevery=max(1, len(x) // 10), markersize=5, linewidth=1.4,
                      label=name if j == 0 else None)  # fmt: skip
    for i, (name, level) in enumerate((levels or {}).items()):
        style = ("--", ":", "-.")[i % 3]
        axis.axhline(level, color="#555555", linestyle=style, linewidth=1.2, label=name)
    axis.set(xscale=xscale, yscale=yscale)  # before the limits, which it would freeze
    axis.set(xlabel=xlabel, ylabel=ylabel, title=title or "", ylim=ylim)
    if xscale == "linear":
        axis.locator_params(axis="x", integer=True)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=9, loc=legend)
    return figure


def plot_intervals(panels, *, xlabel, levels=None, columns=3, xlim=None):
    """A panel for each {title: {name: values}}: for each name its values, one a seed, as small rings, and their mean
    with its 95% interval (mean_interval). levels {title: {name: x}} are lines to compare with; xlim is one for all
    panels, or {title: limits}. Returns a matplotlib Figure. Taught in notebook 07."""
    names = list(dict.fromkeys(name for groups in panels.values() for name in groups))
    columns = min(_whole("columns", columns), len(panels))
    rows = -(-len(panels) // columns)
    margin = 0.3 + 0.085 * max(map(len, names))
    size = (min(12, margin + 3.6 * columns), rows * (1.15 + 0.3 * len(names)))
    figure, axes = _figure(rows, columns, size, left=margin, gap=0.25)
    for i, (axis, title) in enumerate(zip(axes, panels, strict=False)):
        for j, name in enumerate(names):
            if name not in panels[title]:
                continue
            values, colour, marker = panels[title][name], COLOURS[j % 7], MARKERS[j % 7]
            axis.plot(values, np.full(len(values), j + 0.25), "o", color=colour, markersize=3.5, fillstyle="none")
            mean, low, high = mean_interval(values)
            axis.errorbar(mean, j - 0.1, xerr=[[mean - low], [high - mean]], color=colour, marker=marker, capsize=3)
        shown = {text for other in list(panels)[:i] for text in (levels or {}).get(other, {})}  # said once is enough
        for j, (name, level) in enumerate((levels or {}).get(title, {}).items()):
            style = ("--", ":", "-.")[j % 3]
            label = None if name in shown else name
            axis.axvline(level, color="#555555", linestyle=style, linewidth=1.2, label=label)
        if axis.get_legend_handles_labels()[1]:
            axis.legend(fontsize=8)
        axis.set(title=title, xlabel=xlabel if i >= len(panels) - columns else "", ylim=(len(names) - 0.5, -0.5))
        axis.set_xlim(xlim.get(title) if isinstance(xlim, dict) else xlim)
        axis.locator_params(axis="x", nbins=5)
        axis.set_yticks(range(len(names)), names if i % columns == 0 else [""] * len(names))
        axis.grid(axis="x", alpha=0.3)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    return figure


def _png(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=90, metadata={"Software": None})
    return file.getvalue()


def show_figure(figure, alt):
    """Show a matplotlib Figure, with the sentence alt for those who do not see it. Taught in notebook 01."""
    from IPython.display import display

    picture = {"image/png": _png(figure), "text/plain": f"Figure: {alt}"}
    display(picture, raw=True, metadata={"image/png": {"alt": alt}})


class LiveFigure:
    """A picture with controls above it: draw(**values) returns a matplotlib Figure, alt(**values) one sentence for it.

    Each control is an ipywidgets widget or what ipywidgets.interact takes: (low, high) or (low, high, step) a slider, a
    list a slider over its entries (JupyterLab keeps the arrow keys from menus), True or False a box; or (low, high,
    step, start). Where nothing runs (GitHub, nbviewer, print) the picture and the sentence stand still. There is no
    Output widget in it: nothing flickers, and an error in draw is seen. Taught in notebook 01.
    """

    def __init__(self, draw, alt, **controls):
        import ipywidgets as widgets

        self._draw, self._alt, self._picture = draw, alt, widgets.HTML()
        self.controls = {name: self._control(name, value) for name, value in controls.items()}
        self._refresh()
        for control in self.controls.values():
            control.observe(self._refresh, "value")
        row = widgets.HBox(list(self.controls.values()), layout={"flex_flow": "row wrap"})
        self.widget = widgets.VBox([row, self._picture])

    @staticmethod
    def _control(name, value):
        import ipywidgets as widgets

        start = None
        given = value
        if isinstance(value, tuple) and len(value) == 4 and not isinstance(value[0], str):
            value, start = value[:3], value[3]
        control = value if isinstance(value, widgets.Widget) else widgets.interactive.widget_from_abbrev(value)
        if isinstance(control, widgets.Dropdown):
            control = widgets.SelectionSlider(options=control.options, value=control.value)
        if control is None or (start is not None and not control.min <= start <= control.max):
            raise ValueError(f"control {name} must be a widget, (low, high, ...), a list or a bool, got {given!r}")
        control.value = control.value if start is None else start
        control.description = control.description or name.replace("_", " ")
        control.tooltip = getattr(control, "tooltip", None) or control.description  # ipywidgets 7 (Colab) has none
        control.style.description_width = "initial"
        if hasattr(control, "continuous_update"):
            control.continuous_update = False
        return control

    def _refresh(self, change=None):
        values = {name: control.value for name, control in self.controls.items()}
        self._image, self._text = _png(self._draw(**values)), self._alt(**values)
        source = base64.b64encode(self._image).decode()
        self._picture.value = f'<img alt="{html.escape(self._text)}" src="data:image/png;base64,{source}">'

    def _repr_mimebundle_(self, **options):
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}  # ipywidgets 7 has no bundle
        data = {"application/vnd.jupyter.widget-view+json": view}
        still = {"image/png": base64.b64encode(self._image).decode(), "text/plain": f"Interactive figure: {self._text}"}
        return data | still, {"image/png": {"alt": self._text}}


def show_source(*objects):
    """Show the source of functions or classes as it stands in this module, read live. Taught in notebook 01."""
    from IPython.display import Markdown, display

    code = "\n\n".join(inspect.getsource(thing).rstrip() for thing in objects)
    display(Markdown(f"```python\n{code}\n```"))


def claim(statement, value, *, at_least=None, at_most=None, equal_to=None, tolerance=0.0):
    """Check a number (or all of an array) that the text relies on: prints the statement with its bound when it holds,
    raises AssertionError with the value when not. A value that holds is not printed: its last digits may differ
    elsewhere. Taught in notebook 01."""
    tests = {"at least": at_least, "at most": at_most, "equal to": equal_to}
    tests = {words: _number(words.replace(" ", "_"), bound) for words, bound in tests.items() if bound is not None}
    if not tests:
        raise ValueError("claim must be given at_least, at_most or equal_to")
    value = np.asarray(value, dtype=float)
    if not value.size:
        raise ValueError(f"claim must be given a value to check, got none for: {statement}")
    holds = {"at least": np.greater_equal, "at most": np.less_equal, "equal to": lambda v, b: abs(v - b) <= tolerance}
    for words, bound in tests.items():
        if not np.all(holds[words](value, bound)):
            raise AssertionError(f"claim fails: {statement}: {value} is not {words} {bound}")
    bounds = " and ".join(f"{words} {bound:g}" for words, bound in tests.items())
    print(f"holds: {statement} ({bounds}{f', within {tolerance:g}' if equal_to is not None and tolerance else ''})")
