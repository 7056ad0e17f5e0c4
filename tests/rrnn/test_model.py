"""What the models compute: shapes, the equations of the design written out slowly, and what must stay the same."""

import copy
import pickle

import numpy as np
import pytest

import rrnn_helpers as rh

F64 = {"dtype": np.float64}


def core(dtype=np.float64, **kwargs):
    return rh.RelationalMemoryCore(5, 3, **({"num_slots": 3, "slot_size": 8, "num_heads": 2, "dtype": dtype} | kwargs))


def rrnn(dtype=np.float64, **kwargs):
    return rh.RelationalRNN(5, 6, 3, **({"num_slots": 3, "slot_size": 8, "num_heads": 2, "dtype": dtype} | kwargs))


def lstm(dtype=np.float64, **kwargs):
    return rh.LSTM(5, 6, 3, **({"dtype": dtype} | kwargs))


MODELS = {"core": core, "rrnn": rrnn, "lstm": lstm}
each_model = pytest.mark.parametrize("name", MODELS)
GATE_STYLES = ["unit", "memory", None]


def sequence(batch=4, time=6, seed=0, size=5):
    return np.random.default_rng(seed).normal(size=(batch, time, size))


def shake(model, scale=0.3, seed=1):
    """Move every parameter, so that biases are not zero and gains not one."""
    model.flat += scale * np.random.default_rng(seed).normal(size=model.flat.size)
    return model


def some_batch(seed=0, batch=4, time=6):
    return rh.Batch(sequence(batch, time, seed), np.random.default_rng(seed).integers(0, 3, (batch, 2)))


# ---------------------------------------------------------------------------------------------------------------------
# Interface and shapes
# ---------------------------------------------------------------------------------------------------------------------
def test_the_example_of_the_seed():
    model = rh.RelationalRNN(input_size=32, hidden_size=64, output_size=16, num_slots=4, slot_size=64, num_heads=2)
    inputs = np.random.default_rng(0).normal(size=(2, 10, 32))
    assert model.forward(inputs, return_sequences=True).shape == (2, 10, 16)
    outputs, h, c, memory = model.forward(inputs, return_state=True)
    assert (outputs.shape, h.shape, c.shape, memory.shape) == ((2, 10, 16), (2, 64), (2, 64), (2, 4, 64))


def test_the_lstm_of_the_seed_has_its_parameters():
    assert rh.LSTM(32, 64, 16).flat.size == 25_872


@each_model
def test_params_are_views_of_flat(name):
    model = MODELS[name]()
    assert model.flat.ndim == 1 and model.flat.size == sum(array.size for array in model.params.values())
    assert all(np.shares_memory(array, model.flat) for array in model.params.values())
    model.flat[:] = np.arange(model.flat.size)
    np.testing.assert_array_equal(np.concatenate([array.ravel() for array in model.params.values()]), model.flat)
    first = next(iter(model.params.values()))
    first[:] = -1
    assert (model.flat == -1).sum() == first.size


@each_model
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shapes_and_dtype(name, dtype):
    model, inputs = MODELS[name](dtype), sequence()
    assert model.flat.dtype == dtype
    outputs, *states = model.forward(inputs, return_state=True)
    memory, hidden = (4, 3, 8), (4, 6)
    expected = {"core": [memory], "rrnn": [hidden, hidden, memory], "lstm": [hidden, hidden]}[name]
    assert outputs.shape == (4, 6, 3) and [state.shape for state in states] == expected
    last, *same_states = model.forward(inputs, return_sequences=False, return_state=True)
    np.testing.assert_allclose(last, outputs[:, -1], rtol=1e-5)
    for state, same in zip(states, same_states, strict=True):
        np.testing.assert_array_equal(state, same)
    np.testing.assert_array_equal(model.forward(inputs, return_sequences=False), last)
    _, grads, metrics = model.loss_and_grads(some_batch())
    arrays = [outputs, last, *states, *grads.values(), *model.trace(inputs).values()]
    assert all(array.dtype == dtype for array in arrays)
    assert {key: grad.shape for key, grad in grads.items()} == {key: p.shape for key, p in model.params.items()}
    assert metrics.keys() == {"loss", "accuracy"}


@pytest.mark.parametrize("gate_style", GATE_STYLES)
def test_trace_of_the_core(gate_style):
    model, inputs = core(gate_style=gate_style, num_blocks=2), sequence()
    trace = model.trace(inputs)
    outputs, memory = model.forward(inputs, return_state=True)
    gate = {"unit": (4, 6, 3, 8), "memory": (4, 6, 3, 1), None: None}[gate_style]
    expected = {"outputs": (4, 6, 3), "memory": (4, 6, 3, 8), "attention": (4, 6, 2, 3, 4)}
    expected |= {"input_gate": gate, "forget_gate": gate} if gate else {}
    assert {key: array.shape for key, array in trace.items()} == expected
    np.testing.assert_allclose(trace["attention"].sum(axis=-1), 1, rtol=1e-12)
    assert (trace["attention"] > 0).all()
    np.testing.assert_array_equal(trace["memory"][:, -1], memory)
    np.testing.assert_allclose(trace["outputs"], outputs, rtol=1e-12)
    if gate:
        assert all(0 < trace[key].min() and trace[key].max() < 1 for key in ("input_gate", "forget_gate"))
        assert trace["forget_gate"].mean() > trace["input_gate"].mean()  # the biases are 1 and 0


def test_trace_of_the_rrnn():
    model, inputs = rrnn(), sequence()
    trace = model.trace(inputs)
    outputs, h, c, memory = model.forward(inputs, return_state=True)
    assert {key: array.shape for key, array in trace.items()} == {
        "outputs": (4, 6, 3), "memory": (4, 6, 3, 8), "attention": (4, 6, 2, 3, 4), "memory_gate": (4, 6, 3, 8),
        "h": (4, 6, 6), "c": (4, 6, 6), "output": (4, 6, 6), "gates": (4, 6, 4, 6),
    }  # fmt: skip
    np.testing.assert_allclose(trace["attention"].sum(axis=-1), 1, rtol=1e-12)
    for key, state in (("h", h), ("c", c), ("memory", memory)):
        np.testing.assert_array_equal(trace[key][:, -1], state)
    np.testing.assert_allclose(trace["outputs"], outputs, rtol=1e-12)


def test_trace_of_the_lstm_satisfies_its_equations():
    model, inputs = shake(lstm()), sequence()
    trace = model.trace(inputs)
    i, f, g, o = np.moveaxis(trace["gates"], 2, 0)
    c_before = np.concatenate([np.zeros((4, 1, 6)), trace["c"][:, :-1]], axis=1)
    h_before = np.concatenate([np.zeros((4, 1, 6)), trace["h"][:, :-1]], axis=1)
    np.testing.assert_allclose(trace["c"], f * c_before + i * g, rtol=1e-12)
    np.testing.assert_allclose(trace["h"], o * np.tanh(trace["c"]), rtol=1e-12)
    P = model.params
    z = np.split(inputs @ P["W_x"] + h_before @ P["W_h"] + P["b"], 4, axis=-1)
    for gate, row, squash in zip((i, f, g, o), z, (rh.sigmoid, rh.sigmoid, np.tanh, rh.sigmoid), strict=True):
        np.testing.assert_allclose(gate, squash(row), rtol=1e-10)
    np.testing.assert_allclose(trace["outputs"], trace["h"] @ P["W_out"] + P["b_out"], rtol=1e-10)


@each_model
def test_a_large_batch_equals_its_parts(name):
    model, inputs = MODELS[name](), sequence(batch=600, time=3)
    whole = model.forward(inputs, return_state=True)
    parts = [model.forward(inputs[a:b], return_state=True) for a, b in ((0, 1), (1, 300), (300, 600))]
    for everything, *pieces in zip(whole, *parts, strict=True):
        np.testing.assert_allclose(everything, np.concatenate(pieces), rtol=1e-10, atol=1e-12)


@each_model
def test_causality(name):
    """What comes later changes no earlier output."""
    model, inputs = MODELS[name](), sequence()
    outputs = model.forward(inputs)
    np.testing.assert_allclose(model.forward(inputs[:, :4]), outputs[:, :4], rtol=1e-10, atol=1e-13)
    inputs[:, 4:] = 9
    np.testing.assert_allclose(model.forward(inputs)[:, :4], outputs[:, :4], rtol=1e-10, atol=1e-13)


@each_model
def test_seeds(name):
    make = MODELS[name]
    np.testing.assert_array_equal(make(seed=4).flat, make(seed=4).flat)
    assert not np.array_equal(make(seed=4).flat, make(seed=5).flat)
    np.testing.assert_array_equal(make(np.float32, seed=4).flat, make(np.float64, seed=4).flat.astype(np.float32))


@each_model
def test_initial_parameters(name):
    model = MODELS[name](readout_sizes=(7,))
    for parameter, array in model.params.items():
        if parameter.startswith("W_"):
            assert array.std() > 0 and len(np.unique(array)) == array.size, parameter
        elif parameter.startswith("g_"):
            assert (array == 1).all(), parameter
        elif parameter == "b":
            np.testing.assert_array_equal(array.reshape(4, -1), np.repeat([[0], [1], [0], [0]], 6, axis=1))
        else:
            assert (array == 0).all(), parameter
    for block in np.split(model.params.get("W_h", np.zeros((6, 24))), 4, axis=1):
        if "W_h" in model.params:
            np.testing.assert_allclose(block @ block.T, np.eye(6), atol=1e-12)


@each_model
def test_float32_agrees_with_float64(name):
    single, double, inputs = MODELS[name](np.float32), MODELS[name](np.float64), sequence().astype(np.float32)
    for a, b in zip(single.forward(inputs, return_state=True), double.forward(inputs, return_state=True), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@each_model
def test_any_kind_of_real_input_is_read(name):
    model, inputs = MODELS[name](), np.random.default_rng(0).integers(0, 2, (4, 6, 5))
    expected = model.forward(inputs.astype(float))
    for same in (inputs, inputs.astype(np.uint8), inputs.astype(np.float16), inputs.tolist(), inputs[::-1][::-1]):
        np.testing.assert_array_equal(model.forward(same), expected)


# ---------------------------------------------------------------------------------------------------------------------
# Returned arrays belong to the caller
# ---------------------------------------------------------------------------------------------------------------------
def everything(model, inputs, targets):
    """All arrays a model returns, by name."""
    found = {f"forward {i}": array for i, array in enumerate(model.forward(inputs, return_state=True))}
    found["last output"] = model.forward(inputs, return_sequences=False)
    found |= {f"trace {key}": array for key, array in model.trace(inputs).items()}
    for workers in (1, 2):
        _, grads, _ = model.loss_and_grads(rh.Batch(inputs, targets), workers=workers)
        found |= {f"{workers} workers {key}": array for key, array in grads.items()}
    return found


@each_model
@pytest.mark.parametrize("batch", [1, 4])
def test_returned_arrays_belong_to_the_caller(name, batch):
    model, inputs, other = MODELS[name](), sequence(batch), sequence(batch, seed=7)
    targets, other_targets = np.full((batch, 2), 1), np.full((batch, 2), 2)
    returned = everything(model, inputs, targets)
    kept = {key: array.copy() for key, array in returned.items()}
    everything(model, other, other_targets)
    for key, array in returned.items():
        np.testing.assert_array_equal(array, kept[key], err_msg=f"{key} changed by a later call")
        assert array.flags.writeable, key
        assert not np.shares_memory(array, model.flat), key
    given, flat = inputs.copy(), model.flat.copy()
    for array in returned.values():
        array[:] = 1e6
    again = everything(model, inputs, targets)
    for key, array in again.items():
        np.testing.assert_array_equal(array, kept[key], err_msg=f"{key} changed by writing to an earlier result")
    np.testing.assert_array_equal(inputs, given)
    np.testing.assert_array_equal(model.flat, flat)


@each_model
def test_results_depend_on_no_earlier_call(name):
    """Whatever buffers are reused: calls of other shapes in between, and more shapes than anyone keeps."""
    model, batch = shake(MODELS[name]()), some_batch()
    _, expected, _ = model.loss_and_grads(batch)
    for size in range(1, 12):
        model.loss_and_grads(some_batch(seed=size, batch=size, time=12 - size if size < 10 else 2))
        model.forward(1e3 * sequence(4, 6))
    _, grads, _ = model.loss_and_grads(batch)
    for key, grad in grads.items():
        np.testing.assert_array_equal(grad, expected[key])


def other_memory(model):
    """The model with a first memory of its own, as a reader may give it one."""
    if hasattr(model, "first_memory"):
        model.first_memory[:] = np.random.default_rng(3).normal(size=model.first_memory.shape)
    return model


@each_model
@pytest.mark.parametrize("how", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copy", "pickle"])
def test_copies_are_whole(name, how):
    """A copy (by hand, or as an executor sends it to a process) computes the same, and on parameters of its own."""
    model, inputs = other_memory(shake(MODELS[name]())), sequence()
    twin = how(model)
    np.testing.assert_array_equal(twin.flat, model.flat)
    np.testing.assert_array_equal(twin.forward(inputs), model.forward(inputs))
    assert not np.shares_memory(twin.flat, model.flat)
    twin.flat[:] = 0
    assert not any(array.any() for array in twin.params.values()), "params are no views of flat any more"
    assert model.flat.any()


@pytest.mark.parametrize("make", [core, rrnn])
def test_gradients_are_checked_at_the_first_memory_that_is_there(make):
    """check_gradients copies a float32 model to float64; the copy has the first memory the model has."""
    model, seen = other_memory(make(np.float32)), []
    honest = type(model).loss_and_grads

    def spy(self, batch, workers=1):
        seen.append(self.first_memory.copy())
        return honest(self, batch, workers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model), "loss_and_grads", spy)
        rh.check_gradients(model, some_batch(), per_parameter=1)
    np.testing.assert_array_equal(seen[0], model.first_memory)


# ---------------------------------------------------------------------------------------------------------------------
# The relational memory core against its equations, step by step and example by example
# ---------------------------------------------------------------------------------------------------------------------
def norm(x, gain=1.0, bias=0.0):
    return gain * (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) + bias


def attend(q, k, v, heads):
    """Heads side by side, each its share of the columns."""
    size = q.shape[-1] // heads
    outputs = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = np.exp(q[:, part] @ k[:, part].T / np.sqrt(size))
        outputs.append(scores / scores.sum(axis=1, keepdims=True) @ v[:, part])
    return np.concatenate(outputs, axis=1)


def readout(P, x):
    for i in range(1, 1 + sum(name.startswith("W_read") for name in P)):
        x = np.maximum(x @ P[f"W_read{i}"] + P[f"b_read{i}"], 0)
    return x @ P["W_out"] + P["b_out"]


def core_step(model, x, M, mlp_layers, num_blocks, gate_style, qkv_norm, forget_bias, input_bias):
    """One step for one example: x (input_size,), M (slots, S)."""
    P = model.params
    p = x @ P["W_in"] + P["b_in"]
    C = M
    for _ in range(num_blocks):
        Z = np.vstack([C, p])
        rows = Z @ P["W_qkv"] + P["b_qkv"]
        rows = norm(rows, P["g_qkv"], P["beta_qkv"]) if qkv_norm else rows
        q, k, v = np.split(rows, 3, axis=1)
        U = norm(C + attend(q[:-1], k, v, model.num_heads), P["g_u"], P["beta_u"])
        y = U
        for layer in range(1, mlp_layers + 1):
            y = y @ P[f"W_mlp{layer}"] + P[f"b_mlp{layer}"]
            y = np.maximum(y, 0) if layer < mlp_layers else y
        C = norm(U + y, P["g_c"], P["beta_c"]) if mlp_layers else U
    if gate_style is None:
        return C
    i, f = np.split(p @ P["W_gx"] + np.tanh(M) @ P["W_gm"] + P["b_g"], 2, axis=1)
    return rh.sigmoid(f + forget_bias) * M + rh.sigmoid(i + input_bias) * np.tanh(C)


CORE = {"mlp_layers": 2, "num_blocks": 1, "gate_style": "unit", "qkv_norm": True, "forget_bias": 1.0, "input_bias": 0.0}


@pytest.mark.parametrize("initial_memory", ["identity", "zeros", "random"])
@pytest.mark.parametrize(
    "change",
    [
        {}, {"gate_style": "memory"}, {"gate_style": None}, {"qkv_norm": False}, {"num_blocks": 2}, {"num_blocks": 3},
        {"mlp_layers": 0}, {"mlp_layers": 1}, {"mlp_layers": 3}, {"forget_bias": -1.5, "input_bias": 0.7},
        {"num_blocks": 2, "mlp_layers": 0, "gate_style": None},
        {"num_blocks": 3, "gate_style": "memory", "qkv_norm": False},
        {"readout_sizes": (7,)}, {"readout_sizes": (7, 4)}, {"num_heads": 1}, {"num_heads": 8}, {"num_slots": 1},
    ],
    ids=str,
)  # fmt: skip
def test_core_against_its_equations(change, initial_memory):
    model = shake(core(initial_memory=initial_memory, seed=2, **change))
    settings = CORE | {key: value for key, value in change.items() if key in CORE}
    inputs = sequence(3, 5)
    outputs, memory = model.forward(inputs, return_state=True)
    trace = model.trace(inputs)
    for example in range(3):
        M = model.first_memory.copy()
        for t in range(5):
            M = core_step(model, inputs[example, t], M, **settings)
            np.testing.assert_allclose(trace["memory"][example, t], M, rtol=1e-9, atol=1e-10)
            np.testing.assert_allclose(outputs[example, t], readout(model.params, M.ravel()), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(memory[example], M, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("gate_style", ["unit", "memory"])
def test_input_erasure(gate_style):
    """Sonnet's test: a gate that keeps everything and takes nothing leaves the memory as it is, to the last bit."""
    options = {"gate_style": gate_style, "forget_bias": np.inf, "input_bias": -np.inf, "initial_memory": "random"}
    model = shake(core(**options))
    _, memory = model.forward(sequence(), return_state=True)
    for example in memory:
        np.testing.assert_array_equal(example, model.first_memory)
    _, grads, _ = model.loss_and_grads(some_batch())
    assert all(np.isfinite(grad).all() for grad in grads.values())
    assert not grads["W_qkv"].any() and grads["W_out"].any()


def test_a_gate_that_forgets_and_takes_everything():
    model = shake(core(forget_bias=-np.inf, input_bias=np.inf))
    ungated = core(gate_style=None)
    for name, array in ungated.params.items():
        array[:] = model.params[name]
    inputs = sequence(time=1)
    _, memory = model.forward(inputs, return_state=True)
    _, candidate = ungated.forward(inputs, return_state=True)
    np.testing.assert_allclose(memory, np.tanh(candidate), rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "kwargs"),
    [(core, {}), (core, {"qkv_norm": False}), (core, {"gate_style": "memory"}), (core, {"num_blocks": 2}), (rrnn, {})],
)
def test_slot_permutation_equivariance(make, kwargs):
    """The order of the slots carries no meaning: rows of the first memory permuted, memories permuted."""
    model, inputs, order = shake(make(initial_memory="random", **kwargs)), sequence(), np.array([2, 0, 1])
    before = model.trace(inputs)
    model.first_memory[:] = model.first_memory[order]
    after = model.trace(inputs)
    np.testing.assert_allclose(after["memory"], before["memory"][:, :, order], rtol=1e-9, atol=1e-11)
    keys = [*order, 3]  # the input stays the last key
    expected = before["attention"][:, :, :, order][..., keys]
    np.testing.assert_allclose(after["attention"], expected, rtol=1e-9, atol=1e-11)
    assert np.abs(before["memory"][:, -1, 0] - before["memory"][:, -1, 1]).max() > 1e-3  # slots do differ
    if make is rrnn:  # it reads the mean of the slots: the output does not even notice
        np.testing.assert_allclose(after["outputs"], before["outputs"], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("make", [core, rrnn])
def test_equal_slots_stay_equal(make):
    model = shake(make(initial_memory="zeros"))
    memory = model.trace(sequence(time=15))["memory"]
    assert np.abs(memory - memory[:, :, :1]).max() < 1e-12
    assert np.abs(memory[:, -1]).max() > 1e-3


@pytest.mark.parametrize("make", [core, rrnn])
def test_distinct_slots_stay_distinct(make):
    memory = make().trace(sequence())["memory"][:, -1]
    assert min(np.abs(memory[:, a] - memory[:, b]).max() for a in range(3) for b in range(a)) > 1e-3


@pytest.mark.parametrize("make", [core, rrnn])
def test_first_memories(make):
    np.testing.assert_array_equal(make().first_memory, np.eye(3, 8))
    np.testing.assert_array_equal(make(initial_memory="zeros").first_memory, np.zeros((3, 8)))
    one, same, other = (make(initial_memory="random", seed=seed).first_memory for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other) and 0.5 < one.std() < 1.5
    assert not any("memory" in name and "read" not in name for name in make(initial_memory="random").params)


@pytest.mark.parametrize("make", [core, rrnn])
def test_identity_has_room_for_one_row_of_zeros(make):
    first = make(num_slots=9).first_memory
    np.testing.assert_array_equal(first, np.eye(9, 8))
    assert make(num_slots=10, initial_memory="random").first_memory.shape == (10, 8)
    with pytest.raises(ValueError, match="num_slots.*9.*10"):
        make(num_slots=10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e3, 1e6])
def test_large_attention_scores_do_not_overflow(dtype, scale):
    model = core(dtype, qkv_norm=False, initial_memory="random")
    model.params["W_qkv"] *= scale
    inputs = sequence()
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        trace = model.trace(inputs)
        assert all(np.isfinite(array).all() for array in model.forward(inputs, return_state=True))
    assert np.isfinite(trace["attention"]).all()
    np.testing.assert_allclose(trace["attention"].sum(axis=-1), 1, rtol=1e-5)
    loss, grads, _ = model.loss_and_grads(some_batch())
    assert np.isfinite(loss) and all(np.isfinite(grad).all() for grad in grads.values())


@each_model
def test_large_inputs_do_not_overflow(name):
    outputs = MODELS[name](np.float32).forward(1e4 * sequence())
    assert np.isfinite(outputs).all()


# ---------------------------------------------------------------------------------------------------------------------
# The seed's memory, its cell, and the cell over time
# ---------------------------------------------------------------------------------------------------------------------
def memory_step(P, M, p, heads):
    """The seed's gated memory for one batch, in terms of rh.multi_head_attention; p (batch, S) or None."""
    rows = M if p is None else np.concatenate([M, p[:, None]], axis=1)
    attended, _ = rh.multi_head_attention(M, rows, {key: P[key] for key in ("W_q", "W_k", "W_v", "W_o")}, heads)
    updated = np.tanh(attended @ P["W_update"] + P["b_update"])
    beside = np.zeros_like(M) if p is None else np.broadcast_to(p[:, None], M.shape)
    gate = rh.sigmoid(np.concatenate([attended, beside], axis=-1) @ P["W_gate"] + P["b_gate"])
    return gate * updated + (1 - gate) * M


@pytest.mark.parametrize("input_size", [None, 8, 5])
@pytest.mark.parametrize("with_input", [True, False])
@pytest.mark.parametrize("heads", [1, 2, 8])
def test_memory_against_its_equations(input_size, with_input, heads):
    rng = np.random.default_rng(0)
    memory = rh.RelationalMemory(3, 8, heads, input_size, seed=1, **F64)
    assert ("W_input" in memory.params) == (input_size == 5)
    assert memory.params["W_gate"].shape == (16, 8)
    shake(memory)
    M, x = rng.normal(size=(4, 3, 8)), rng.normal(size=(4, input_size or 8)) if with_input else None
    p = x @ memory.params["W_input"] + memory.params["b_input"] if with_input and input_size == 5 else x
    given = M.copy()
    new = memory.forward(M, x)
    np.testing.assert_allclose(new, memory_step(memory.params, M, p, heads), rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(M, given)
    kept = new.copy()
    memory.forward(new + 1, x)
    np.testing.assert_array_equal(new, kept)


def test_initial_memory_kinds():
    memory = rh.RelationalMemory(3, 8, 2, seed=4)
    first = {kind: memory.initial_memory(5, kind) for kind in ("identity", "zeros", "random")}
    assert all(array.shape == (5, 3, 8) and array.dtype == np.float32 for array in first.values())
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
    cell = shake(rh.RelationalRNNCell(5, H, 3, 8, 2, seed=1, **F64))
    x, h, c, M = (rng.normal(size=shape) for shape in ((4, 5), (4, H), (4, H), (4, 3, 8)))
    output, h_new, c_new, M_new = cell.forward(x, h, c, M)
    P = cell.params
    i, f, g, o = np.split(x @ P["W_x"] + h @ P["W_h"] + P["b"], 4, axis=1)
    c = rh.sigmoid(f) * c + rh.sigmoid(i) * np.tanh(g)
    h = rh.sigmoid(o) * np.tanh(c)
    M = memory_step(P, M, h if H == 8 else h @ P["W_input"] + P["b_input"], 2)
    read = (M @ P["W_memory_read"] + P["b_memory_read"]).mean(axis=1)
    expected = np.tanh(np.concatenate([h, read], axis=1) @ P["W_combine"] + P["b_combine"])
    for actual, right in zip((output, h_new, c_new, M_new), (expected, h, c, M), strict=True):
        np.testing.assert_allclose(actual, right, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("kwargs", [{}, {"readout_sizes": (7, 4)}, {"initial_memory": "random"}], ids=str)
def test_network_is_the_cell_step_by_step(kwargs):
    network = shake(rrnn(**kwargs))
    cell = rh.RelationalRNNCell(5, 6, 3, 8, 2, **F64)
    for name, array in cell.params.items():
        array[:] = network.params[name]
    inputs = sequence()
    outputs, h_last, c_last, M_last = network.forward(inputs, return_state=True)
    h, c, M = np.zeros((4, 6)), np.zeros((4, 6)), np.tile(network.first_memory, (4, 1, 1))
    for t in range(6):
        output, h, c, M = cell.forward(inputs[:, t], h, c, M)
        np.testing.assert_allclose(outputs[:, t], readout(network.params, output), rtol=1e-9, atol=1e-11)
    for actual, right in zip((h_last, c_last, M_last), (h, c, M), strict=True):
        np.testing.assert_allclose(actual, right, rtol=1e-9, atol=1e-11)


# ---------------------------------------------------------------------------------------------------------------------
# The parts: numerics and attention
# ---------------------------------------------------------------------------------------------------------------------
def test_softmax_and_sigmoid():
    x = np.array([[0.0, 1.0, -np.inf], [1e4, -1e4, 1e4]])
    np.testing.assert_allclose(rh.softmax(x), [[1 / (1 + np.e), np.e / (1 + np.e), 0], [0.5, 0, 0.5]], atol=1e-15)
    np.testing.assert_allclose(rh.softmax(x[:, :2], axis=0).sum(axis=0), 1)
    assert rh.softmax(np.float32([1, 2])).dtype == np.float32
    with np.errstate(all="raise"):
        np.testing.assert_allclose(rh.sigmoid([-1e5, -1, 0, 1, 1e5]), [0, 1 / (1 + np.e), 0.5, np.e / (1 + np.e), 1])


def test_layer_norm():
    rng = np.random.default_rng(0)
    x, gain, bias = 5 + rng.normal(size=(2, 3, 7)), rng.normal(size=7), rng.normal(size=7)
    np.testing.assert_allclose(rh.layer_norm(x, gain, bias), norm(x, gain, bias), rtol=1e-12)
    np.testing.assert_array_equal(rh.layer_norm(np.full((1, 7), 3.0), gain, bias)[0], bias)


def test_glorot_and_orthogonal():
    matrix = rh.glorot_uniform((200, 100), np.random.default_rng(0), np.float32)
    assert matrix.shape == (200, 100) and matrix.dtype == np.float32
    assert 0.98 * np.sqrt(0.02) < np.abs(matrix).max() <= np.float32(np.sqrt(0.02))
    q = rh.orthogonal(20, np.random.default_rng(0), np.float64)
    np.testing.assert_allclose(q @ q.T, np.eye(20), atol=1e-12)


def test_attention_by_hand():
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 5, 4)), rng.normal(size=(2, 5, 6))
    output, weights = rh.scaled_dot_product_attention(q, k, v)
    assert output.shape == (2, 3, 6) and weights.shape == (2, 3, 5)
    scores = np.exp(np.einsum("bqd,bkd->bqk", q, k) / 2)
    np.testing.assert_allclose(weights, scores / scores.sum(axis=-1, keepdims=True), rtol=1e-12)
    np.testing.assert_allclose(output, np.einsum("bqk,bkd->bqd", weights, v), rtol=1e-12)


def test_a_mask_hides_keys():
    rng = np.random.default_rng(0)
    x, params = rng.normal(size=(2, 3, 4)), {name: rng.normal(size=(4, 4)) for name in ("W_q", "W_k", "W_v")}
    mask = np.tril(np.ones((3, 3), bool))
    output, weights = rh.multi_head_attention(x, x, params, 2, mask)
    assert weights.shape == (2, 2, 3, 3) and not weights[..., ~mask].any()
    shorter, _ = rh.multi_head_attention(x[:, :2], x[:, :2], params, 2, mask[:2, :2])
    np.testing.assert_allclose(output[:, :2], shorter, rtol=1e-12)
    seen, _ = rh.multi_head_attention(x, x, params, 2, np.ones((3, 3), bool))
    np.testing.assert_allclose(seen, rh.multi_head_attention(x, x, params, 2)[0])


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_multi_head_attention_is_its_heads_side_by_side(heads):
    rng = np.random.default_rng(0)
    x, memory = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 5, 4))
    params = {name: rng.normal(size=(4, 4)) for name in ("W_q", "W_k", "W_v")}
    output, weights = rh.multi_head_attention(x, memory, params, heads)
    assert output.shape == (2, 3, 4) and weights.shape == (2, heads, 3, 5)
    for example in range(2):
        q, k, v = x[example] @ params["W_q"], memory[example] @ params["W_k"], memory[example] @ params["W_v"]
        np.testing.assert_allclose(output[example], attend(q, k, v, heads), rtol=1e-10)
    projected, _ = rh.multi_head_attention(x, memory, params | {"W_o": np.eye(4)[:, :2]}, heads)
    np.testing.assert_allclose(projected, output[..., :2])


@pytest.mark.parametrize("settings", [{}, {"num_blocks": 2, "gate_style": "memory"}, {"qkv_norm": False}])
def test_slots_that_see_only_themselves_are_cores_of_one_slot(settings):
    """attend_to="self": each slot does what a core with that one slot does."""
    settings = settings | {"dtype": np.float64, "seed": 4, "initial_memory": "random"}
    many = rh.RelationalMemoryCore(3, 2, 3, 8, 2, attend_to="self", **settings)
    x = np.random.default_rng(0).normal(size=(5, 4, 3)) * 30  # large scores: minus infinity must not win
    trace = many.trace(x)
    for slot in range(3):
        one = rh.RelationalMemoryCore(3, 2, 1, 8, 2, **settings)
        for name, array in one.params.items():
            array[:] = many.params[name] if not name.startswith("W_out") else 0
        one.first_memory[:] = many.first_memory[slot]
        np.testing.assert_allclose(one.trace(x)["memory"][:, :, 0], trace["memory"][:, :, slot], rtol=1e-10, atol=1e-12)
    others = ~(np.eye(3, 4, dtype=bool) | (np.arange(4) == 3))
    assert not trace["attention"][..., others].any()
    np.testing.assert_allclose(trace["attention"].sum(axis=-1), 1)


def test_without_its_lstm_the_rrnn_remembers_in_the_memory_only():
    model = shake(rrnn(use_lstm=False))
    inputs, P = sequence(), model.params
    outputs, h, memory = model.forward(inputs, return_state=True)
    np.testing.assert_allclose(h, np.tanh(inputs[:, -1] @ P["W_hidden"] + P["b_hidden"]))
    trace = model.trace(inputs)
    assert not {"c", "gates"} & trace.keys() and not {"W_x", "W_h", "b"} & P.keys()
    np.testing.assert_array_equal(trace["memory"][:, -1], memory)
    # the same memory and joining layer as the cell has, fed with h
    part = rh.RelationalMemory(3, 8, 2, 6, **F64)
    for name, array in part.params.items():
        array[:] = P[name]
    expected = np.broadcast_to(model.first_memory, memory.shape)
    for t in range(inputs.shape[1]):
        expected = part.forward(expected, trace["h"][:, t])
    np.testing.assert_allclose(memory, expected, rtol=1e-10)
    read = memory.mean(axis=1) @ P["W_memory_read"] + P["b_memory_read"]
    joined = np.tanh(np.concatenate([h, read], axis=1) @ P["W_combine"] + P["b_combine"])
    np.testing.assert_allclose(outputs[:, -1], joined @ P["W_out"] + P["b_out"], rtol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_attention_keeps_the_dtype(dtype):
    q = np.ones((2, 3), dtype)
    assert [array.dtype for array in rh.scaled_dot_product_attention(q, q, q)] == [dtype, dtype]
