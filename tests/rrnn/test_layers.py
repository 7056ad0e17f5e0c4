"""Each layer alone: its way forward beside the clear forms, its way back beside differences."""

import itertools

import numpy as np
import pytest
from layer_checks import BATCH, HEADS, SIZE, SLOTS, STEPS, Alone, along, check_way_back, numbers

from rrnn import layers
from rrnn.cell import GatedMemory, HiddenLayer
from rrnn.core import Block, SharedBlock
from rrnn.lstm import LSTMLayer, NormedLSTMLayer
from rrnn.model import walk
from rrnn.reference import layer_norm, multi_head_attention, scaled_dot_product_attention, sigmoid

SEES = np.eye(SLOTS + 1)  # each slot itself and the input
SEES[:, -1] = 1


def rows(count=SLOTS, size=SIZE, steps=STEPS, seed=0):
    """x at each step, (count, BATCH, size)."""
    return [numbers(count, BATCH, size, seed=seed + t) for t in range(steps)]


def same_memory(Z):
    """Z = [M; p] whose M is the same for all examples at the first step."""
    Z[0][:-1] = Z[0][:-1, :1]
    return Z


def memory_linear(shared):
    layer = layers.MemoryLinear("z", SIZE, 6, SLOTS + 1)
    layer.shared = shared
    return layer


def normed():
    linear = layers.Linear("z", SIZE, 6, SLOTS)
    return linear, layers.LayerNorm("z", 6, SLOTS, after=linear)


def mlp(num_rows=SLOTS):
    return layers.MLP(["one", "two", "three"], [SIZE, 5, 3, SIZE], num_rows)


# ---------------------------------------------------------------------------------------------
# The ways back
# ---------------------------------------------------------------------------------------------
ALONG = {  # layer, x at each step
    "identity": (layers.Identity, rows),
    "product": (lambda: layers.Product("z", SIZE, 5, SLOTS), rows),
    "product, parts": (lambda: layers.Product("z", SIZE, 6, SLOTS, parts=3), rows),
    "linear": (lambda: layers.Linear("z", SIZE, 5, SLOTS), rows),
    "linear, fewer rows": (
        lambda: layers.Linear("z", SIZE, 5, SLOTS), lambda: rows()[:1] + rows(SLOTS - 1)[1:],
    ),
    "linear, all steps at once": (lambda: layers.Linear("z", SIZE, 5), lambda: rows(STEPS)[:1]),
    "memory linear": (lambda: memory_linear(0), lambda: rows(SLOTS + 1)),
    "layer norm": (lambda: layers.LayerNorm("z", SIZE, SLOTS), rows),
    "layer norm, fewer rows": (
        lambda: layers.LayerNorm("z", SIZE, SLOTS), lambda: rows()[:1] + rows(SLOTS - 1)[1:],
    ),
    "mlp": (mlp, rows),
    "mlp, all steps at once": (lambda: mlp(None), lambda: rows(STEPS)[:1]),
    "readout": (lambda: layers.make_readout(SIZE, (5,), 2), lambda: rows(STEPS)[:1]),
    "residual": (lambda: layers.Residual(mlp(), layers.LayerNorm("z", SIZE, SLOTS)), rows),
}  # fmt: skip


@pytest.mark.parametrize("name", ALONG)
def test_the_way_back(name):
    make, x = ALONG[name]
    layer, x = make(), x()
    check_way_back(Alone(layer), {"x": x}, *along(layer))


def test_back_through_a_layer_norm_that_takes_the_mean_off_a_matrix():
    linear, norm = normed()

    def backward(dy):
        back = [linear.backward(t, norm.backward(t, dy[t])).copy() for t in (2, 1, 0)]
        return {"x": back[::-1]}

    forward = lambda x: [norm.forward(t, linear.forward(t, x_t)) for t, x_t in enumerate(x)]
    check_way_back(Alone(linear, norm), {"x": rows()}, forward, backward)


def test_back_through_a_matrix_that_saves_work_at_the_first_step():
    """Nothing learns from the gradient of the first memory: it is zero, that of p is whole."""
    layer = memory_linear(SLOTS)
    forward, backward = along(layer)

    def without_the_first_memory(dy):
        dx = backward(dy)["x"]
        assert not dx[0][:SLOTS].any()
        dx[0][:SLOTS] = np.nan
        return {"x": dx}

    Z = same_memory(rows(SLOTS + 1))
    check_way_back(Alone(layer), {"x": Z}, forward, without_the_first_memory)


@pytest.mark.parametrize("scale", [1, 30], ids=["scores", "scores far apart"])
@pytest.mark.parametrize("mask", [None, SEES[:SLOTS]], ids=["all", "self"])
@pytest.mark.parametrize("heads", [1, HEADS, SIZE])
def test_back_through_attention(heads, mask, scale):
    layer = layers.Attention(SIZE, heads, SLOTS, SLOTS + 1, mask)
    inputs = {"q": rows(), "k": rows(SLOTS + 1, seed=3), "v": rows(SLOTS + 1, seed=6)}
    inputs["q"][1] *= scale

    def forward(q, k, v):
        return [layer.forward(t, *step) for t, step in enumerate(zip(q, k, v, strict=True))]

    def backward(dY):
        found = {name: [np.full_like(step, np.nan) for step in x] for name, x in inputs.items()}
        for t in (2, 1, 0):
            layer.backward(t, dY[t], *(found[name][t] for name in "qkv"))
        assert all(np.isfinite(step).all() for x in found.values() for step in x)
        return found

    check_way_back(Alone(layer), inputs, forward, backward)


def block(kind=Block, queries=SLOTS, shared=0, **options):
    """A block whose inner layers know how often a step uses them, as in the core."""
    options = {"qkv_norm": True, "mask": None, "mlp": mlp(SLOTS + 1)} | options
    times = () if kind is Block else (2,)
    made = kind(*times, SIZE, HEADS, queries, SLOTS + 1, **options)
    made.qkv.shared = shared
    for layer in walk(made.layers):
        layer.repeats = 2 if times else 1
    return made


BLOCKS = {
    "one": {}, "input row too": {"queries": SLOTS + 1}, "no norm": {"qkv_norm": False},
    "no mlp": {"mlp": None}, "mask": {"mask": SEES},
    "input row too, mask": {"queries": SLOTS + 1, "mask": SEES},
    "first step": {"shared": SLOTS},
    "shared, first step": {"kind": SharedBlock, "shared": SLOTS},
    "shared": {"kind": SharedBlock}, "shared, no mlp": {"kind": SharedBlock, "mlp": None},
    "shared, mask, no norm": {"kind": SharedBlock, "mask": SEES, "qkv_norm": False},
}  # fmt: skip


@pytest.mark.parametrize("name", BLOCKS)
def test_back_through_a_block(name):
    layer = block(**BLOCKS[name])
    forward, backward = along(layer)

    def what_is_promised(dC):
        dZ = backward(dC)["x"]
        if layer.qkv.shared:
            dZ[0][:SLOTS] = np.nan
        return {"x": dZ}

    Z = same_memory(rows(SLOTS + 1)) if layer.qkv.shared else rows(SLOTS + 1)
    check_way_back(Alone(layer), {"x": Z}, forward, what_is_promised)


@pytest.mark.parametrize("answers", [1, 2, STEPS])
@pytest.mark.parametrize("kind", [LSTMLayer, NormedLSTMLayer])
def test_back_through_an_lstm(kind, answers):
    """To its parameters: nothing asks for the gradient of its inputs."""
    layer = kind(2, SIZE)
    states = {"h": numbers(BATCH, SIZE, seed=1), "c": numbers(BATCH, SIZE, seed=2)}

    def forward(x, h, c):
        return list(layer.forward(*map(np.array, (x, h, c)))[-answers:])

    def backward(dh):
        layer.backward(np.array(dh))
        return {}

    inputs = {"x": numbers(STEPS, BATCH, 2)} | states
    check_way_back(Alone(layer), inputs, forward, backward)


def test_back_through_what_stands_in_the_place_of_an_lstm():
    layer = HiddenLayer(2, SIZE)

    def backward(dh):
        layer.backward(np.array(dh))
        return {}

    forward = lambda x: list(layer.forward(np.array(x), 0))
    check_way_back(Alone(layer), {"x": numbers(STEPS, BATCH, 2)}, forward, backward)


@pytest.mark.parametrize("answers", [1, 2, STEPS])
@pytest.mark.parametrize("heads", [1, HEADS])
def test_back_through_the_memory_beside_an_lstm(heads, answers):
    layer = GatedMemory(SLOTS, SIZE, heads)
    inputs = {"p": numbers(STEPS, BATCH, SIZE), "M": numbers(SLOTS, BATCH, SIZE)}

    def forward(p, M):
        return list(layer.forward(np.array(p), np.array(M))[-answers:])

    def backward(dM):
        return {"p": layer.backward(np.array(dM)).copy(), "M": layer.dM.copy()}

    check_way_back(Alone(layer), inputs, forward, backward)


# ---------------------------------------------------------------------------------------------
# The ways forward
# ---------------------------------------------------------------------------------------------
def run(layer, *steps, home=None):
    """What a layer returns at each step, for what it is given there; it gets copies."""
    (home or Alone(layer)).begin()
    return [layer.forward(t, *map(np.array, given)) for t, given in enumerate(zip(*steps))]


def close(actual, right):
    np.testing.assert_allclose(actual, right, rtol=1e-11, atol=1e-12)


def in_words(layer, x):
    """What an MLP does."""
    for part in layer.layers:
        x = x @ part.W + part.b
        x = np.maximum(x, 0) if part is not layer.layers[-1] else x
    return x


@pytest.mark.parametrize(
    "layer", [layers.Product("z", SIZE, 5, SLOTS), layers.Linear("z", SIZE, 5, SLOTS),
              memory_linear(0), memory_linear(SLOTS)], ids=lambda layer: type(layer).__name__,
)  # fmt: skip
def test_matrices(layer):
    x = same_memory(rows(layer.num_rows))
    for y, x_t in zip(run(layer, x), x, strict=True):
        close(y, x_t @ layer.W + getattr(layer, "b", 0))


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


def test_layer_norm():
    layer, x = layers.LayerNorm("z", SIZE, SLOTS), rows()
    for y, x_t in zip(run(layer, x), x, strict=True):
        close(y, layer_norm(x_t, layer.g, layer.beta))


def test_layer_norm_after_a_matrix():
    linear, norm = normed()
    home, x = Alone(linear, norm), rows()
    home.begin()
    for t, x_t in enumerate(x):
        y = norm.forward(t, linear.forward(t, x_t.copy()))
        close(y, layer_norm(x_t @ linear.W + linear.b, norm.g, norm.beta))


@pytest.mark.parametrize(("dtype", "large"), [(np.float32, 1e30), (np.float64, 1e200)])
def test_layer_norm_of_numbers_that_are_too_large_to_square(dtype, large):
    """Rows of 1e30, of 1, and of one number again and again: each comes out as it should."""
    layer = layers.LayerNorm("z", SIZE, SLOTS)
    home = Alone(layer, dtype=dtype)
    x = numbers(SLOTS, BATCH, SIZE, dtype=dtype)
    x[0] *= dtype(large)
    x[1, 0] = 3
    home.begin()
    with np.errstate(over="ignore"):
        y = layer.forward(0, x.copy())
    right = layer_norm(x.astype(np.longdouble), layer.g, layer.beta)
    np.testing.assert_allclose(y, right.astype(float), rtol=1e-4, atol=1e-5)
    close(y[1, 0], layer.beta)


@pytest.mark.parametrize("scale", [1, 30, 1e4], ids=["near", "far", "very far"])
@pytest.mark.parametrize("mask", [None, SEES[:SLOTS]], ids=["all", "self"])
@pytest.mark.parametrize("heads", [1, HEADS, SIZE])
def test_attention(heads, mask, scale):
    """Each head is eq. (1) on its columns; scores that are far apart do not overflow."""
    layer = layers.Attention(SIZE, heads, SLOTS, SLOTS + 1, mask)
    q, k, v = [scale * x for x in rows()], rows(SLOTS + 1, seed=3), rows(SLOTS + 1, seed=6)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        found = run(layer, q, k, v)
    in_heads = lambda x: x.reshape(len(x), BATCH, heads, -1).transpose(1, 2, 0, 3)
    for t, step in enumerate(zip(q, k, v, strict=True)):
        allowed = None if mask is None else mask > 0
        Y, A = scaled_dot_product_attention(*map(in_heads, step), allowed)
        close(layer.A[t], A)
        close(in_heads(found[t]), Y)


def test_attention_between_projections_is_multi_head_attention():
    counts = {"q": SLOTS, "k": SLOTS + 1, "v": SLOTS + 1}
    q, k, v = (layers.Product(name, SIZE, SIZE, count) for name, count in counts.items())
    attention = layers.Attention(SIZE, HEADS, SLOTS, SLOTS + 1)
    home, x, Z = Alone(q, k, v, attention), rows()[0], rows(SLOTS + 1, seed=4)[0]
    home.begin()
    Y = attention.forward(0, q.forward(0, x), k.forward(0, Z), v.forward(0, Z))
    batch_first = lambda array: array.swapaxes(0, 1)
    right, A = multi_head_attention(batch_first(x), batch_first(Z), home.params, HEADS)
    close(batch_first(Y), right)
    close(attention.A[0], A)


def test_mlp_and_residual():
    layer, norm, x = mlp(), layers.LayerNorm("z", SIZE, SLOTS), rows()
    for y, x_t in zip(run(layer, x), x, strict=True):
        close(y, in_words(layer, x_t))
    residual = layers.Residual(layer, norm)
    for C, U in zip(run(residual, x), x, strict=True):
        close(C, layer_norm(U + in_words(layer, U), norm.g, norm.beta))


def test_identity():
    x = rows()
    for y, x_t in zip(run(layers.Identity(), x), x, strict=True):
        np.testing.assert_array_equal(y, x_t)


def in_words_of_a_block(layer, P, Z, mask=None):
    """C of all rows of Z (rows, size), for one example."""
    q, k, v = np.split(Z @ P["W_qkv"] + P["b_qkv"], 3, axis=1)
    if "g_qkv" in P:
        qkv = layer_norm(np.hstack([q, k, v]), P["g_qkv"], P["beta_qkv"])
        q, k, v = np.split(qkv, 3, axis=1)
    in_heads = lambda x: x.reshape(len(x), HEADS, -1).swapaxes(0, 1)
    allowed = None if mask is None else mask > 0
    Y, _ = scaled_dot_product_attention(*map(in_heads, (q, k, v)), allowed)
    U = layer_norm(Z + Y.swapaxes(0, 1).reshape(Z.shape), P["g_u"], P["beta_u"])
    if "g_c" not in P:
        return U
    return layer_norm(U + in_words(layer.mlp.mlp, U), P["g_c"], P["beta_c"])


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks(name):
    """A block answers the rows that ask; a shared one asks again with p itself in the last row."""
    layer = block(**BLOCKS[name])
    home = Alone(layer)
    x = same_memory(rows(SLOTS + 1))
    for C, Z in zip(run(layer, x, home=home), x, strict=True):
        for example in range(BATCH):
            mask, given = BLOCKS[name].get("mask"), Z[:, example]
            right = in_words_of_a_block(layer, home.params, given, mask)
            if isinstance(layer, SharedBlock):
                given = np.vstack([right[:SLOTS], given[-1]])
                right = in_words_of_a_block(layer, home.params, given, mask)
            close(C[:, example], right[: len(C)])


def lstm_in_words(layer, x, h, c):
    """Hidden states of all steps."""
    found = []
    for x_t in x:
        z = x_t @ layer.Wx + h @ layer.Wh
        normed = isinstance(layer, NormedLSTMLayer)
        z = layer_norm(z, layer.norm_z.g, layer.norm_z.beta) if normed else z + layer.b
        i, f, g, o = np.split(z, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(layer_norm(c, layer.norm_c.g, layer.norm_c.beta) if normed else c)
        found.append(h)
    return found


@pytest.mark.parametrize("kind", [LSTMLayer, NormedLSTMLayer])
def test_lstms(kind):
    layer = kind(2, SIZE)
    home, x = Alone(layer), numbers(STEPS, BATCH, 2)
    h, c = numbers(BATCH, SIZE, seed=1), numbers(BATCH, SIZE, seed=2)
    home.begin()
    close(layer.forward(x, h, c), lstm_in_words(layer, x, h, c))


def test_the_memory_beside_an_lstm():
    layer = GatedMemory(SLOTS, SIZE, HEADS)
    home, p, M = Alone(layer), numbers(STEPS, BATCH, SIZE), numbers(BATCH, SLOTS, SIZE)
    home.begin()
    P = home.params
    for found, p_t in zip(layer.forward(p, M.swapaxes(0, 1)), p, strict=True):
        Z = np.concatenate([M, p_t[:, None]], axis=1)
        a, _ = multi_head_attention(M, Z, P, HEADS)
        beside = np.broadcast_to(p_t[:, None], M.shape)
        g = sigmoid(np.concatenate([a, beside], axis=-1) @ P["W_gate"] + P["b_gate"])
        M = g * np.tanh(a @ P["W_update"] + P["b_update"]) + (1 - g) * M
        close(found.swapaxes(0, 1), M)


# ---------------------------------------------------------------------------------------------
# What a model asks of layers
# ---------------------------------------------------------------------------------------------
def test_two_layers_must_not_name_the_same_parameter():
    with pytest.raises(ValueError, match="two layers name the same parameter"):
        Alone(layers.Linear("z", 2, 2), layers.Product("z", 2, 3))


def test_a_layer_that_stands_twice_is_one_layer():
    inner = mlp()
    outer = [layers.Residual(inner, layers.LayerNorm(name, SIZE, SLOTS)) for name in "ab"]
    found = walk(outer)
    assert len(found) == len(set(found)) == 2 + 2 + 1 + 3
    assert Alone(*outer).flat.size == sum(map(np.size, Alone(inner).params.values())) + 4 * SIZE


def test_arrays_are_handed_out_of_one_block_and_do_not_overlap():
    home = Alone(block(kind=SharedBlock), layers.Linear("w", SIZE, 5, SLOTS))
    home.begin()
    wanted = home.shapes_of_arrays(STEPS, BATCH)
    arrays = [getattr(owner, name) for owner, name, _ in wanted]
    assert [array.shape for array in arrays] == [shape for *_, shape in wanted]
    for one, other in itertools.combinations(arrays, 2):
        assert not np.shares_memory(one, other)
    assert all(np.shares_memory(array, home.memory) for array in arrays)
