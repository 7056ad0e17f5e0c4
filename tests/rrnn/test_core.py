"""The relational memory core: its equations step by step, example by example, and what they mean
for slots and gates."""

import numpy as np
import pytest
from models import (
    core,
    make_batch,
    own_memory,
    readout,
    rrnn,
    sequence,
    shake,
    take_parameters,
    with_memory,
)

from rrnn.reference import core_step, layer_norm, scaled_dot_product_attention, sigmoid


def by_reference(model, x, M):
    biases = model.forget_bias, model.input_bias
    return core_step(x, M, model.params, model.num_heads, *biases), None


def by_hand(model, x, M):
    """The next memory for one example, whatever the options, and the attention weights of the last
    block; x (input_size,), M (slots, S). Every row of Z goes through all of every block."""
    P, N = model.params, model.num_slots
    p = x @ P["W_in"] + P["b_in"]
    sees = np.ones((N + 1, N + 1), bool)
    if model.attend_to == "self":
        sees[:, :-1] = np.eye(N + 1, N)
    in_heads = lambda rows: rows.reshape(N + 1, model.num_heads, -1).swapaxes(0, 1)
    C = np.vstack([M, p])
    for block in range(1, model.num_blocks + 1):
        n = "" if block == 1 or model.share_blocks else block
        Z = np.vstack([C[:N], p]) if model.share_blocks else C
        qkv = Z @ P[f"W_qkv{n}"] + P[f"b_qkv{n}"]
        if model.qkv_norm:
            qkv = layer_norm(qkv, P[f"g_qkv{n}"], P[f"beta_qkv{n}"])
        q, k, v = map(in_heads, np.split(qkv, 3, axis=1))
        Y, A = scaled_dot_product_attention(q, k, v, sees)
        y = C = layer_norm(Z + Y.swapaxes(0, 1).reshape(Z.shape), P[f"g_u{n}"], P[f"beta_u{n}"])
        for layer in range(1, model.mlp_layers + 1):
            y = y @ P[f"W_mlp{layer}"] + P[f"b_mlp{layer}"]
            y = np.maximum(y, 0) if layer < model.mlp_layers else y
        if model.mlp_layers:
            C = layer_norm(C + y, P[f"g_c{n}"], P[f"beta_c{n}"])
    C, A = C[:N], A[:, :N]
    if model.gate_style is None:
        return C, A
    i, f = np.split(p @ P["W_gx"] + np.tanh(M) @ P["W_gm"] + P["b_g"], 2, axis=1)
    return sigmoid(f + model.forget_bias) * M + sigmoid(i + model.input_bias) * np.tanh(C), A


BY_REFERENCE = [
    {}, {"gate_style": "memory"}, {"forget_bias": -1.5, "input_bias": 0.7}, {"num_heads": 1},
    {"num_heads": 4}, {"num_slots": 1}, {"readout_sizes": (7,)}, {"readout_sizes": (7, 4)},
]  # fmt: skip
BY_HAND = [
    {}, {"gate_style": None}, {"qkv_norm": False}, {"mlp_layers": 0}, {"mlp_layers": 1},
    {"mlp_layers": 3}, {"attend_to": "self"},
    {"num_blocks": 2}, {"num_blocks": 3}, {"num_blocks": 3, "attend_to": "self"},
    {"num_blocks": 2, "mlp_layers": 0, "gate_style": None},
    {"num_blocks": 3, "gate_style": "memory", "qkv_norm": False},
    {"num_blocks": 2, "share_blocks": True}, {"num_blocks": 3, "share_blocks": True},
    {"num_blocks": 2, "share_blocks": True, "mlp_layers": 0, "gate_style": None},
    {"num_blocks": 3, "share_blocks": True, "gate_style": "memory", "qkv_norm": False},
    {"num_blocks": 2, "share_blocks": True, "attend_to": "self"}, {"share_blocks": True},
]  # fmt: skip


@pytest.mark.parametrize("initial_memory", ["identity", "zeros", "random"])
@pytest.mark.parametrize(
    ("step", "change"),
    [(by_reference, change) for change in BY_REFERENCE] + [(by_hand, change) for change in BY_HAND],
    ids=str,
)
def test_core_against_its_equations(step, change, initial_memory):
    model = shake(core(initial_memory=initial_memory, **change))
    inputs = sequence(3, 5)
    outputs, memory = model.forward(inputs, return_state=True)
    trace = model.trace(inputs)
    for example in range(3):
        M = model.first_memory.copy()
        for t in range(5):
            M, A = step(model, inputs[example, t], M)
            np.testing.assert_allclose(trace["memory"][example, t], M, rtol=1e-9, atol=1e-10)
            if A is not None:
                np.testing.assert_allclose(trace["attention"][example, t], A, atol=1e-10)
            right = readout(model.params, M.ravel())
            np.testing.assert_allclose(outputs[example, t], right, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(memory[example], M, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("gate_style", ["unit", "memory", None])
@pytest.mark.parametrize("share_blocks", [False, True])
def test_trace_of_the_core(gate_style, share_blocks):
    model = core(gate_style=gate_style, num_blocks=2, share_blocks=share_blocks)
    inputs = sequence()
    trace = model.trace(inputs)
    outputs, memory = model.forward(inputs, return_state=True)
    gate = {"unit": (4, 6, 3, 4), "memory": (4, 6, 3, 1), None: None}[gate_style]
    expected = {"outputs": (4, 6, 3), "memory": (4, 6, 3, 4), "attention": (4, 6, 2, 3, 4)}
    expected |= {"input_gate": gate, "forget_gate": gate} if gate else {}
    assert {key: array.shape for key, array in trace.items()} == expected
    np.testing.assert_allclose(trace["attention"].sum(axis=-1), 1, rtol=1e-12)
    assert (trace["attention"] > 0).all()
    np.testing.assert_array_equal(trace["memory"][:, -1], memory)
    np.testing.assert_allclose(trace["outputs"], outputs, rtol=1e-12)
    if gate:
        found = [trace[key] for key in ("input_gate", "forget_gate")]
        assert all(0 < array.min() and array.max() < 1 for array in found)
        assert found[1].mean() > found[0].mean()  # the biases are 1 and 0


# --- Blocks ----------------------------------------------------------------------------------
def test_own_blocks_have_their_own_names():
    """Each block its q, k, v and norms; one MLP for all. Shared blocks have those of one block."""
    one, two, shared = core(), core(num_blocks=2), core(num_blocks=2, share_blocks=True)
    own = {f"{kind}2" for kind in ("W_qkv", "b_qkv", "g_qkv", "beta_qkv", "g_u", "beta_u", "g_c")}
    assert two.params.keys() - one.params.keys() == own | {"beta_c2"}
    assert shared.params.keys() == one.params.keys()
    np.testing.assert_array_equal(shared.flat, one.flat)


def test_one_shared_block_is_a_block():
    one, shared = shake(core()), shake(core(share_blocks=True))
    np.testing.assert_array_equal(shared.forward(sequence()), one.forward(sequence()))


@pytest.mark.parametrize("num_blocks", [1, 2, 3])
def test_operations_counted_by_hand(num_blocks):
    """One example, 5 steps, asked at the last 2."""
    N, S, rows, asking = 3, 4, 4, 4 * (num_blocks - 1) + 3  # rows that ask, over all blocks
    each = 3 * S + num_blocks * rows * S * 3 * S  # p; q, k, v
    each += 2 * asking * rows * S + 2 * asking * S * S  # scores and sums; two layers of the MLP
    each += rows * S * 2 * S  # gates
    model = core(num_blocks=num_blocks, readout_sizes=(7,))
    assert model.operations(5, answers=2) == 5 * each + 2 * (N * S * 7 + 7 * 3)


# --- Gates -----------------------------------------------------------------------------------
@pytest.mark.parametrize("gate_style", ["unit", "memory"])
def test_input_erasure(gate_style):
    """Sonnet's test: a gate that keeps everything and takes nothing leaves the memory as it is, to
    the last bit."""
    shut = {"forget_bias": np.inf, "input_bias": -np.inf}
    model = shake(core(gate_style=gate_style, initial_memory="random", **shut))
    _, memory = model.forward(sequence(), return_state=True)
    for example in memory:
        np.testing.assert_array_equal(example, model.first_memory)
    _, grads, _ = model.loss_and_grads(make_batch())
    assert all(np.isfinite(grad).all() for grad in grads.values())
    assert not grads["W_qkv"].any() and grads["W_out"].any()


def test_a_gate_that_forgets_and_takes_everything():
    model = shake(core(forget_bias=-np.inf, input_bias=np.inf))
    ungated = take_parameters(core(gate_style=None), model)
    inputs = sequence(time=1)
    _, memory = model.forward(inputs, return_state=True)
    _, candidate = ungated.forward(inputs, return_state=True)
    np.testing.assert_allclose(memory, np.tanh(candidate), rtol=1e-12)


# --- Slots -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("make", "options"),
    [(core, {}), (core, {"qkv_norm": False}), (core, {"gate_style": "memory"}),
     (core, {"num_blocks": 2}), (core, {"num_blocks": 2, "share_blocks": True}), (rrnn, {})],
)  # fmt: skip
def test_slot_permutation_equivariance(make, options):
    """The order of the slots carries no meaning: rows of the first memory permuted, memories
    permuted."""
    model, inputs = shake(make(initial_memory="random", **options)), sequence()
    before, order = model.trace(inputs), np.array([2, 0, 1])
    model.first_memory = model.first_memory[order]
    after = model.trace(inputs)
    close = lambda name, right: np.testing.assert_allclose(after[name], right, 1e-9, 1e-11)
    close("memory", before["memory"][:, :, order])
    keys = [*order, 3]  # the input stays the last key
    close("attention", before["attention"][:, :, :, order][..., keys])
    first, second, *_ = before["memory"][:, -1].swapaxes(0, 1)
    assert np.abs(first - second).max() > 1e-3  # slots do differ
    if make is rrnn:  # it reads the mean of the slots: the output does not even notice
        close("outputs", before["outputs"])


@with_memory
def test_equal_slots_stay_equal(make):
    model = shake(make(initial_memory="zeros"))
    memory = model.trace(sequence(time=15))["memory"]
    assert np.abs(memory - memory[:, :, :1]).max() < 1e-12
    assert np.abs(memory[:, -1]).max() > 1e-3


@with_memory
def test_distinct_slots_stay_distinct(make):
    memory = make().trace(sequence())["memory"][:, -1]
    apart = [np.abs(memory[:, a] - memory[:, b]).max() for a in range(3) for b in range(a)]
    assert min(apart) > 1e-3


@with_memory
def test_first_memories(make):
    np.testing.assert_array_equal(make().first_memory, np.eye(3, 4))
    np.testing.assert_array_equal(make(initial_memory="zeros").first_memory, np.zeros((3, 4)))
    random = lambda seed: make(initial_memory="random", slot_size=64, seed=seed)
    one, same, other = (random(seed).first_memory for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other) and 0.5 < one.std() < 1.5
    assert not any("memory" in name and "read" not in name for name in random(1).params)


@with_memory
def test_identity_has_room_for_one_row_of_zeros(make):
    np.testing.assert_array_equal(make(num_slots=5).first_memory, np.eye(5, 4))
    assert make(num_slots=6, initial_memory="random").first_memory.shape == (6, 4)
    with pytest.raises(ValueError, match="num_slots.*5.*6"):
        make(num_slots=6)


@pytest.mark.parametrize(
    "options",
    [{}, {"gate_style": "memory"}, {"qkv_norm": False}, {"num_blocks": 2, "share_blocks": True},
     # in blocks of its own the input row looks, too, and with "self" at itself only
     {"num_blocks": 2, "attend_to": "self"}],
)  # fmt: skip
def test_slots_that_see_only_themselves_are_cores_of_one_slot(options):
    """attend_to="self": each slot does what a core with that one slot does."""
    options = {"initial_memory": "random", "slot_size": 8} | options
    many = core(**(options | {"attend_to": "self"}))
    x = 30 * sequence(5, 4)  # large scores: minus infinity must not win
    trace = many.trace(x)
    for slot in range(3):
        one = core(num_slots=1, **options)
        for name in one.params:
            if not name.startswith("W_out"):
                one.params[name] = many.params[name]
        one.first_memory = many.first_memory[[slot]]
        alone = one.trace(x)["memory"][:, :, 0]
        np.testing.assert_allclose(alone, trace["memory"][:, :, slot], rtol=1e-10, atol=1e-12)
    others = ~(np.eye(3, 4, dtype=bool) | (np.arange(4) == 3))
    assert not trace["attention"][..., others].any()
    np.testing.assert_allclose(trace["attention"].sum(axis=-1), 1)


# --- Large numbers ---------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e3, 1e6])
def test_large_attention_scores_do_not_overflow(dtype, scale):
    model = own_memory(core(dtype=dtype, qkv_norm=False))
    model.params["W_qkv"] *= scale
    inputs = sequence()
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        trace = model.trace(inputs)
        assert all(np.isfinite(array).all() for array in model.forward(inputs, return_state=True))
    assert np.isfinite(trace["attention"]).all()
    np.testing.assert_allclose(trace["attention"].sum(axis=-1), 1, rtol=1e-5)
    loss, grads, _ = model.loss_and_grads(make_batch())
    assert np.isfinite(loss) and all(np.isfinite(grad).all() for grad in grads.values())
