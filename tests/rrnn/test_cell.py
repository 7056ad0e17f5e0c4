"""The memory beside an LSTM: alone, one step of both, and the network over time."""

import numpy as np
import pytest
from models import readout, rrnn, sequence, shake, take_parameters

from rrnn.cell import RelationalMemory, RelationalRNNCell
from rrnn.reference import multi_head_attention, sigmoid

F64 = {"dtype": np.float64}


def memory_step(P, M, p, heads):
    """The gated memory for one batch, by multi_head_attention; p (batch, S) or None."""
    rows = M if p is None else np.concatenate([M, p[:, None]], axis=1)
    attended, _ = multi_head_attention(M, rows, P, heads)
    updated = np.tanh(attended @ P["W_update"] + P["b_update"])
    beside = np.zeros_like(M) if p is None else np.broadcast_to(p[:, None], M.shape)
    both = np.concatenate([attended, beside], axis=-1)
    gate = sigmoid(both @ P["W_gate"] + P["b_gate"])
    return gate * updated + (1 - gate) * M


@pytest.mark.parametrize("input_size", [None, 8, 5])
@pytest.mark.parametrize("with_input", [True, False])
@pytest.mark.parametrize("heads", [1, 2, 8])
def test_memory_against_its_equations(input_size, with_input, heads):
    rng = np.random.default_rng(0)
    memory = RelationalMemory(3, 8, heads, input_size, seed=1, **F64)
    assert ("W_input" in memory.params) == (input_size == 5)
    assert memory.params["W_gate"].shape == (16, 8)
    P, M = shake(memory).params, rng.normal(size=(4, 3, 8))
    p = x = rng.normal(size=(4, input_size or 8)) if with_input else None
    if with_input and input_size == 5:
        p = x @ P["W_input"] + P["b_input"]
    given = M.copy()
    new = memory.forward(M, x)
    np.testing.assert_allclose(new, memory_step(P, M, p, heads), rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(M, given)
    kept = new.copy()
    memory.forward(new + 1, x)
    memory.forward(new + 1)
    np.testing.assert_array_equal(new, kept)
    np.testing.assert_array_equal(memory.forward(M, x), kept)


def test_initial_memory_kinds():
    memory = RelationalMemory(3, 8, 2, seed=4)
    first = {kind: memory.initial_memory(5, kind) for kind in ("identity", "zeros", "random")}
    assert all(array.shape == (5, 3, 8) for array in first.values())
    assert all(array.dtype == np.float32 for array in first.values())
    np.testing.assert_array_equal(first["identity"], memory.initial_memory(5))
    np.testing.assert_array_equal(first["identity"][3], np.eye(3, 8))
    assert not first["zeros"].any()
    assert (first["random"] == first["random"][:1]).all() and first["random"].std() > 0.5
    np.testing.assert_array_equal(first["random"], memory.initial_memory(5, "random"))
    first["identity"][0] = 7
    assert memory.initial_memory(5)[0].max() == 1


@pytest.mark.parametrize("hidden_size", [6, 8])
def test_cell_against_its_equations(hidden_size):
    rng, H = np.random.default_rng(0), hidden_size
    cell = shake(RelationalRNNCell(5, H, 3, 8, 2, seed=1, **F64))
    shapes = (4, 5), (4, H), (4, H), (4, 3, 8)
    x, h, c, M = given = [rng.normal(size=shape) for shape in shapes]
    kept = [array.copy() for array in given]
    found = cell.forward(x, h, c, M)
    P = cell.params
    i, f, g, o = np.split(x @ P["W_x"] + h @ P["W_h"] + P["b"], 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    M = memory_step(P, M, h if H == 8 else h @ P["W_input"] + P["b_input"], 2)
    read = (M @ P["W_memory_read"] + P["b_memory_read"]).mean(axis=1)
    output = np.tanh(np.concatenate([h, read], axis=1) @ P["W_combine"] + P["b_combine"])
    cell.forward(*[array + 1 for array in given])
    # what was given is as it was, what came out is right, and a later call changed none of it
    for actual, right in zip((*given, *found), (*kept, output, h, c, M), strict=True):
        np.testing.assert_allclose(actual, right, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    "options", [{}, {"readout_sizes": (7, 4)}, {"initial_memory": "random"}], ids=str
)
def test_network_is_the_cell_step_by_step(options):
    network = shake(rrnn(**options))
    cell = take_parameters(RelationalRNNCell(3, 5, 3, 4, 2, **F64), network)
    inputs = sequence()
    outputs, *last = network.forward(inputs, return_state=True)
    h, c, M = np.zeros((4, 5)), np.zeros((4, 5)), np.tile(network.first_memory, (4, 1, 1))
    for t in range(6):
        output, h, c, M = cell.forward(inputs[:, t], h, c, M)
        right = readout(network.params, output)
        np.testing.assert_allclose(outputs[:, t], right, rtol=1e-9, atol=1e-11)
    for actual, right in zip(last, (h, c, M), strict=True):
        np.testing.assert_allclose(actual, right, rtol=1e-9, atol=1e-11)


def test_trace_of_the_rrnn():
    model, inputs = rrnn(), sequence()
    trace = model.trace(inputs)
    outputs, h, c, memory = model.forward(inputs, return_state=True)
    assert {key: array.shape for key, array in trace.items()} == {
        "outputs": (4, 6, 3), "memory": (4, 6, 3, 4), "attention": (4, 6, 2, 3, 4),
        "memory_gate": (4, 6, 3, 4), "h": (4, 6, 5), "c": (4, 6, 5), "output": (4, 6, 5),
        "gates": (4, 6, 4, 5),
    }  # fmt: skip
    np.testing.assert_allclose(trace["attention"].sum(axis=-1), 1, rtol=1e-12)
    for key, state in (("h", h), ("c", c), ("memory", memory)):
        np.testing.assert_array_equal(trace[key][:, -1], state)
    np.testing.assert_allclose(trace["outputs"], outputs, rtol=1e-12)


def test_the_gate_in_the_trace_says_what_was_written():
    """M' = g * u + (1 - g) * M, so M' - M has the sign of u - M, and g is their ratio."""
    model = shake(rrnn(initial_memory="random"))
    trace, P = model.trace(sequence()), model.params
    first = np.broadcast_to(model.first_memory, (4, 1, 3, 4))
    M = np.concatenate([first, trace["memory"][:, :-1]], axis=1)
    p = trace["h"] @ P["W_input"] + P["b_input"]
    for t in range(6):
        Z = np.concatenate([M[:, t], p[:, t, None]], axis=1)
        a, A = multi_head_attention(M[:, t], Z, P, 2)
        np.testing.assert_allclose(trace["attention"][:, t], A, rtol=1e-10)
        u = np.tanh(a @ P["W_update"] + P["b_update"])
        moved = trace["memory_gate"][:, t] * (u - M[:, t])
        np.testing.assert_allclose(trace["memory"][:, t], M[:, t] + moved, rtol=1e-10, atol=1e-12)


def test_without_its_lstm_the_rrnn_remembers_in_the_memory_only():
    model = shake(rrnn(use_lstm=False))
    inputs, P = sequence(), model.params
    outputs, h, memory = model.forward(inputs, return_state=True)
    np.testing.assert_allclose(h, np.tanh(inputs[:, -1] @ P["W_hidden"] + P["b_hidden"]))
    trace = model.trace(inputs)
    assert not {"c", "gates"} & trace.keys() and not {"W_x", "W_h", "b"} & P.keys()
    np.testing.assert_array_equal(trace["memory"][:, -1], memory)
    # the same memory and joining layer as the cell has, fed with h
    part = take_parameters(RelationalMemory(3, 4, 2, 5, **F64), model)
    expected = np.broadcast_to(model.first_memory, memory.shape)
    for t in range(inputs.shape[1]):
        expected = part.forward(expected, trace["h"][:, t])
    np.testing.assert_allclose(memory, expected, rtol=1e-10)
    read = memory.mean(axis=1) @ P["W_memory_read"] + P["b_memory_read"]
    joined = np.tanh(np.concatenate([h, read], axis=1) @ P["W_combine"] + P["b_combine"])
    np.testing.assert_allclose(outputs[:, -1], joined @ P["W_out"] + P["b_out"], rtol=1e-10)


def test_operations_counted_by_hand():
    """One example, 5 steps, asked at the last 2. What joins LSTM and memory is counted each step,
    as forward does it for every step that is asked."""
    I, H, N, S, K = 3, 5, 3, 4, 4
    lstm, inp = 4 * H * (I + H), H * S
    memory = 2 * N * S * S + 2 * K * S * S + 2 * N * K * S + N * S * S + (N + 1) * S * S
    join = S * H + 2 * H * H
    right = 5 * (lstm + inp + memory + join) + 2 * H * 3
    assert rrnn().operations(5, answers=2) == right
    plain = right - 5 * lstm + 5 * I * H
    assert rrnn(use_lstm=False).operations(5, answers=2) == plain
