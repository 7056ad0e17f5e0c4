"""The gates of the two memories alone: forward beside their equations, back beside differences.

Every case is a memory M over three steps, so that what the gates hand on is asked for, too.
"""

import numpy as np
import pytest
from layer_checks import BATCH, SIZE, SLOTS, STEPS, Alone, check_layer, numbers

from rrnn.gates import Gates, NoGates, SlotGate
from rrnn.reference import sigmoid

BIASES = {"input_bias": 0.4, "forget_bias": -0.9}
GATES = {
    "unit": lambda: Gates(SIZE, SIZE, SLOTS, **BIASES),
    "memory": lambda: Gates(SIZE, 1, SLOTS, **BIASES),
    "unit, slots of one number": lambda: Gates(1, 1, SLOTS, **BIASES),
    "none": NoGates,
    "slot": lambda: SlotGate(SIZE, SLOTS),
}


def given(gates, same_memory=False):
    """The inputs p of all steps, the first memory, and what may be written at each step."""
    one = SLOTS, BATCH, getattr(gates, "size", SIZE)
    inputs = {"p": numbers(STEPS, *one[1:], seed=1), "M": numbers(*one, seed=2)}
    if same_memory:
        inputs["M"][:] = inputs["M"][:, :1]
    names = ("u", "a") if isinstance(gates, SlotGate) else ("C",)
    return inputs | {name: numbers(STEPS, *one, seed=i) for i, name in enumerate(names, 3)}


def unroll(gates, p, M, **writes):
    """The memories after each step."""
    p, M = np.array(p), np.array(M)
    gates.inputs(p)
    memories = np.full((len(p), *M.shape), np.nan)
    for t, out in enumerate(memories):
        M = gates.forward(t, M, *(values[t] for values in writes.values()), out=out)
        assert M is out
    return memories


def in_words(gates, p, M, **writes):
    """The same by the equations."""
    for t, p_t in enumerate(p):
        if isinstance(gates, SlotGate):
            a, u = writes["a"][t], np.tanh(writes["u"][t])
            both = np.concatenate([a, np.broadcast_to(p_t, a.shape)], axis=-1)
            g = sigmoid(both @ gates.W + gates.b)
            M = g * u + (1 - g) * M
        elif isinstance(gates, NoGates):
            M = writes["C"][t]
        else:
            both = p_t @ gates.Wx + np.tanh(M) @ gates.Wm + gates.b
            i, f = np.split(both, 2, axis=-1)
            i, f = sigmoid(i + BIASES["input_bias"]), sigmoid(f + BIASES["forget_bias"])
            M = f * M + i * np.tanh(writes["C"][t])
        yield M


def unroll_back(gates, d, names):
    """The gradients of p, of what is written, and of the first memory."""
    found, dM = {name: [None] * STEPS for name in names}, np.zeros_like(d[0])
    for t in (2, 1, 0):
        dM += d[t]
        written = gates.backward(t, dM)
        written = written if isinstance(written, tuple) else (written,)
        for name, gradient in zip(names, written, strict=True):
            found[name][t] = gradient.copy()
    found["p"] = gates.inputs_back()
    # nothing learns from the gradient of the core's first memory
    return found if isinstance(gates, Gates) else found | {"M": dM}


@pytest.mark.parametrize("first", ["shared", "own"])
@pytest.mark.parametrize("name", GATES)
def test_gates(name, first):
    """first: before the first step all examples have the same memory, or each its own."""
    gates = GATES[name]()
    inputs = given(gates, first == "shared")
    gates.shared = first == "shared"
    check_layer(
        Alone(gates), inputs,
        lambda **inputs: unroll(gates, **inputs),
        lambda **inputs: in_words(gates, **inputs),
        lambda d: unroll_back(gates, d, list(inputs)[2:]),
    )  # fmt: skip


@pytest.mark.parametrize("width", [1, SIZE])
def test_gates_whose_biases_are_infinite_are_open_or_shut(width):
    for keep, take in ((np.inf, -np.inf), (-np.inf, np.inf)):
        gates = Gates(SIZE, width, SLOTS, input_bias=take, forget_bias=keep)
        inputs, home = given(gates, True), Alone(gates)
        home.begin()
        first, *_ = unroll(gates, **inputs)
        right = inputs["M"] if keep > 0 else np.tanh(inputs["C"][0])
        np.testing.assert_array_equal(first, right)
        dM = numbers(*first.shape)
        kept, home.grad[:] = dM.copy(), 0
        gates.backward(0, dM)
        assert np.isfinite(home.grad).all() and not gates.dWm.any()
        np.testing.assert_array_equal(dM, kept if keep > 0 else 0 * kept)
