"""Each layer alone: its way forward beside the clear forms, its way back beside differences."""

import numpy as np
import pytest
from layer_checks import BATCH, HEADS, SIZE, SLOTS, STEPS, Alone, check_layer, numbers, rows
from test_attention import SEES, attended

from rrnn import layers
from rrnn.cell import GatedMemory, HiddenLayer
from rrnn.core import Block, SharedBlock
from rrnn.lstm import LSTMLayer, NormedLSTMLayer
from rrnn.parameters import walk
from rrnn.reference import layer_norm, multi_head_attention, sigmoid


def memories_and_inputs(shared):
    """Z = [M; p] at each step; if shared, M is the same for all examples at the first."""
    Z = rows(SLOTS + 1)
    if shared:
        Z[0][:-1] = Z[0][:-1, :1]
    return Z


def product(layer, x):
    return x @ layer.W + getattr(layer, "b", 0)


def normed(layer, x):
    return layer_norm(x, layer.g, layer.beta)


def in_words(mlp, x):
    for part in mlp.layers:
        x = product(part, x)
        x = np.maximum(x, 0) if part is not mlp.layers[-1] else x
    return x


def back(layer, dy):
    """The gradients of x at each step, asked for from the last step on."""
    found = [layer.backward(t, dy[t]).copy() for t in reversed(range(len(dy)))]
    return found[::-1]


def mlp(num_rows=SLOTS):
    return layers.MLP(["one", "two", "three"], [SIZE, 5, 3, SIZE], num_rows)


# --- Layers that are given x at each step ----------------------------------------------------
def fewer():
    return rows()[:1] + rows(SLOTS - 1)[1:]


def all_steps():
    return rows(STEPS)[:1]


def residual():
    return layers.Residual(mlp(), layers.LayerNorm("z", SIZE, SLOTS))


ALONG = {  # layer, x at each step, y in words
    "identity": (layers.Identity, rows, lambda layer, x: x),
    "product": (lambda: layers.Product("z", SIZE, 5, SLOTS), rows, product),
    "product, parts": (lambda: layers.Product("z", SIZE, 6, SLOTS, parts=3), rows, product),
    "linear": (lambda: layers.Linear("z", SIZE, 5, SLOTS), rows, product),
    "linear, fewer rows": (lambda: layers.Linear("z", SIZE, 5, SLOTS), fewer, product),
    "linear, all steps at once": (lambda: layers.Linear("z", SIZE, 5), all_steps, product),
    "layer norm": (lambda: layers.LayerNorm("z", SIZE, SLOTS), rows, normed),
    "layer norm, fewer rows": (lambda: layers.LayerNorm("z", SIZE, SLOTS), fewer, normed),
    "mlp": (mlp, rows, in_words),
    "mlp, all steps at once": (lambda: mlp(None), all_steps, in_words),
    "readout": (lambda: layers.make_readout(SIZE, (5,), 2), all_steps, in_words),
    "residual": (residual, rows, lambda both, x: normed(both.norm, x + in_words(both.mlp, x))),
}


@pytest.mark.parametrize("name", ALONG)
def test_layer(name):
    make, x, right = ALONG[name]
    layer = make()
    check_layer(
        Alone(layer), {"x": x()},
        lambda x: [layer.forward(t, x_t) for t, x_t in enumerate(x)],
        lambda x: [right(layer, x_t) for x_t in x],
        lambda dy: {"x": back(layer, dy)},
    )  # fmt: skip


def test_a_layer_norm_that_takes_the_mean_off_a_matrix():
    linear = layers.Linear("z", SIZE, 6, SLOTS)
    norm = layers.LayerNorm("z", 6, SLOTS, linear=linear)
    check_layer(
        Alone(linear, norm), {"x": rows()},
        lambda x: [norm.forward(t, linear.forward(t, x_t)) for t, x_t in enumerate(x)],
        lambda x: [normed(norm, product(linear, x_t)) for x_t in x],
        lambda dy: {"x": back(linear, [step.copy() for step in back(norm, dy)])},
    )  # fmt: skip


@pytest.mark.parametrize("shared", [False, True])
def test_a_matrix_that_saves_work_at_the_first_step(shared):
    """Nothing learns from the gradient of the first memory: it is zero, that of p is whole."""
    layer = layers.MemoryLinear("z", SIZE, 6, SLOTS + 1)
    layer.shared = shared

    def backward(dy):
        dZ = back(layer, dy)
        if shared:
            assert not dZ[0][:SLOTS].any()
            dZ[0][:SLOTS] = np.inf
        return {"Z": dZ}

    check_layer(
        Alone(layer), {"Z": memories_and_inputs(shared)},
        lambda Z: [layer.forward(t, Z_t) for t, Z_t in enumerate(Z)],
        lambda Z: [product(layer, Z_t) for Z_t in Z],
        backward,
    )  # fmt: skip


@pytest.mark.parametrize("parts", [1, 3])
def test_first_values_of_matrices_side_by_side(parts):
    """Each of them Glorot's, drawn one after the other; biases are zero."""
    layer = layers.Linear("z", 8, 24, SLOTS, parts=parts)
    Alone(layer).build([layer])
    limit = np.sqrt(6 / (8 + 24 / parts))
    assert 0.9 * limit < np.abs(layer.W).max() <= limit and not layer.b.any()
    rng = np.random.default_rng(0)
    drawn = [layers.glorot_uniform((8, 24 // parts), rng) for _ in range(parts)]
    np.testing.assert_array_equal(layer.W, np.concatenate(drawn, axis=1))


@pytest.mark.parametrize(("dtype", "large"), [(np.float32, 1e30), (np.float64, 1e200)])
def test_layer_norm_of_numbers_that_are_too_large_to_square(dtype, large):
    """Rows of 1e30, of 1, and of one number again and again: each comes out as it should."""
    layer = layers.LayerNorm("z", SIZE, SLOTS)
    home, x = Alone(layer, dtype=dtype), numbers(SLOTS, BATCH, SIZE, dtype=dtype)
    x[0] *= dtype(large)
    x[1, 0] = 3
    home.begin()
    with np.errstate(over="ignore"):
        y = layer.forward(0, x.copy())
    right = normed(layer, x.astype(np.longdouble))
    np.testing.assert_allclose(y, right.astype(float), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(y[1, 0], layer.beta, rtol=1e-6)


# --- Blocks of the core ----------------------------------------------------------------------
BLOCKS = {
    "one": {}, "input row too": {"queries": SLOTS + 1}, "no norm": {"qkv_norm": False},
    "no mlp": {"mlp": None}, "mask": {"mask": SEES}, "first step": {"first": True},
    "input row too, mask": {"queries": SLOTS + 1, "mask": SEES},
    "shared": {"times": 2}, "shared, first step": {"times": 3, "first": True},
    "shared, no mlp": {"times": 2, "mlp": None},
    "shared, mask, no norm": {"times": 2, "mask": SEES, "qkv_norm": False},
}  # fmt: skip


def answer(layer, Z, mask):
    """C of all rows of Z (rows, batch, size)."""
    qkv = product(layer.qkv, Z)
    qkv = normed(layer.norm_qkv, qkv) if isinstance(layer.norm_qkv, layers.LayerNorm) else qkv
    Y, _ = attended(HEADS, *np.split(qkv, 3, axis=2), mask)
    U = normed(layer.norm_u, Z + Y)
    if isinstance(layer.mlp, layers.Identity):
        return U
    return normed(layer.mlp.norm, U + in_words(layer.mlp.mlp, U))


@pytest.mark.parametrize("name", BLOCKS)
def test_block(name):
    """It answers the rows that ask; a shared one asks again, with p itself in the last row. first:
    of the gradient of the first memory, nothing is promised."""
    options = {"qkv_norm": True, "mask": None, "mlp": mlp(SLOTS + 1)} | BLOCKS[name]
    queries, first = options.pop("queries", SLOTS), options.pop("first", False)
    times, sizes = options.pop("times", 1), (SIZE, HEADS, queries, SLOTS + 1)
    layer = Block(*sizes, **options) if times == 1 else SharedBlock(times, *sizes, **options)
    layer.qkv.shared = first
    for part in walk(layer.layers):
        part.repeats = times

    def right(Z):
        for Z_t in Z:
            C = answer(layer, Z_t, options["mask"])
            for _ in range(times - 1):
                C = answer(layer, np.concatenate([C[:SLOTS], Z_t[-1:]]), options["mask"])
            yield C[:queries]

    def backward(dC):
        dZ = back(layer, dC)
        if first:
            dZ[0][:SLOTS] = np.inf
        return {"Z": dZ}

    check_layer(
        Alone(layer), {"Z": memories_and_inputs(first)},
        lambda Z: [layer.forward(t, Z_t) for t, Z_t in enumerate(Z)], right, backward,
    )  # fmt: skip


# --- Layers of many steps --------------------------------------------------------------------
@pytest.mark.parametrize("answers", [1, 2, STEPS])
@pytest.mark.parametrize("kind", [LSTMLayer, NormedLSTMLayer])
def test_lstm(kind, answers):
    """Back to its parameters: nothing asks for the gradient of its inputs."""
    layer = kind(2, SIZE)

    def right(x, h, c):
        for x_t in x:
            z = x_t @ layer.Wx + h @ layer.Wh
            z = normed(layer.norm_z, z) if kind is NormedLSTMLayer else z + layer.b
            i, f, g, o = np.split(z, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(normed(layer.norm_c, c) if kind is NormedLSTMLayer else c)
            yield h

    states = {"h": numbers(BATCH, SIZE, seed=1), "c": numbers(BATCH, SIZE, seed=2)}
    check_layer(
        Alone(layer), {"x": numbers(STEPS, BATCH, 2)} | states,
        lambda x, h, c: layer.forward(*map(np.array, (x, h, c)))[-answers:],
        lambda **inputs: list(right(**inputs))[-answers:],
        lambda dh: layer.backward(np.array(dh)) or {},
    )  # fmt: skip


def test_what_stands_in_the_place_of_an_lstm():
    layer = HiddenLayer(2, SIZE)
    check_layer(
        Alone(layer), {"x": numbers(STEPS, BATCH, 2)},
        lambda x: layer.forward(np.array(x), 0),
        lambda x: np.tanh(product(layer.linear, np.array(x))),
        lambda dh: layer.backward(np.array(dh)) or {},
    )  # fmt: skip


@pytest.mark.parametrize("answers", [1, 2, STEPS])
@pytest.mark.parametrize("heads", [1, HEADS])
def test_the_memory_beside_an_lstm(heads, answers):
    layer = GatedMemory(SLOTS, SIZE, heads)
    home = Alone(layer)

    def right(p, M):
        P, M = home.params, M.swapaxes(0, 1)
        for p_t in p:
            Z = np.concatenate([M, p_t[:, None]], axis=1)
            a, _ = multi_head_attention(M, Z, P, heads)
            beside = np.broadcast_to(p_t[:, None], M.shape)
            g = sigmoid(np.concatenate([a, beside], axis=-1) @ P["W_gate"] + P["b_gate"])
            M = g * np.tanh(a @ P["W_update"] + P["b_update"]) + (1 - g) * M
            yield M.swapaxes(0, 1)

    check_layer(
        home, {"p": numbers(STEPS, BATCH, SIZE), "M": numbers(SLOTS, BATCH, SIZE)},
        lambda p, M: layer.forward(np.array(p), np.array(M))[-answers:],
        lambda **inputs: list(right(**inputs))[-answers:],
        lambda dM: {"p": layer.backward(np.array(dM)).copy(), "M": layer.dM.copy()},
    )  # fmt: skip
