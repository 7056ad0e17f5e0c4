"""The gates of the two memories alone: forward beside their equations, back beside differences.

Every case is a memory M over three steps, so that what the gates hand on is asked for, too.
"""

import numpy as np
import pytest
from layer_checks import BATCH, SIZE, SLOTS, STEPS, Alone, check_way_back, numbers

from rrnn.gates import Gates, NoGates, SlotGate
from rrnn.reference import sigmoid

ONE = SLOTS, BATCH, SIZE
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
    size = getattr(gates, "size", SIZE)
    one = SLOTS, BATCH, size
    writes = {"u": STEPS, "a": STEPS} if isinstance(gates, SlotGate) else {"C": STEPS}
    inputs = {"p": numbers(STEPS, BATCH, size, seed=1), "M": numbers(*one, seed=2)}
    if same_memory:
        inputs["M"][:] = inputs["M"][:, :1]
    return inputs | {name: numbers(STEPS, *one, seed=3 + len(name)) for name in writes}


def unroll(gates, p, M, **writes):
    """The memories after each step."""
    p, M = np.array(p), np.array(M)
    gates.inputs(p)
    memories = np.full((len(p), *M.shape), np.nan)
    for t, out in enumerate(memories):
        M = gates.forward(t, M, *(values[t] for values in writes.values()), out=out)
        assert M is out
    return list(memories)


def unroll_back(gates, d, names):
    """The gradients of p, of what is written, and of the first memory."""
    found = {name: [None] * STEPS for name in names}
    dM = np.zeros_like(d[0])
    for t in (2, 1, 0):
        dM += d[t]
        written = gates.backward(t, dM)
        written = written if isinstance(written, tuple) else (written,)
        for name, gradient in zip(names, written, strict=True):
            found[name][t] = gradient.copy()
    return found | {"p": gates.inputs_back(), "M": dM}


@pytest.mark.parametrize("first", ["shared", "own"])
@pytest.mark.parametrize("name", GATES)
def test_the_way_back(name, first):
    """first: before the first step all examples have the same memory, or each its own."""
    gates = GATES[name]()
    inputs = given(gates, first == "shared")
    gates.shared = first == "shared"
    names = list(inputs)[2:]

    def backward(d):
        found = unroll_back(gates, d, names)
        if isinstance(gates, Gates):
            del found["M"]  # nothing learns from the gradient of the first memory
        return found

    check_way_back(Alone(gates), inputs, lambda **x: unroll(gates, **x), backward)


@pytest.mark.parametrize("first", ["shared", "own"])
@pytest.mark.parametrize("name", ["unit", "memory", "unit, slots of one number"])
def test_gates(name, first):
    gates = GATES[name]()
    home, inputs = Alone(gates), given(gates, first == "shared")
    gates.shared = first == "shared"
    home.begin()
    memories, M = unroll(gates, **inputs), inputs["M"]
    for p, C, found in zip(inputs["p"], inputs["C"], memories, strict=True):
        both = p @ gates.Wx + np.tanh(M) @ gates.Wm + gates.b
        i, f = np.split(both, 2, axis=-1)
        i, f = sigmoid(i + BIASES["input_bias"]), sigmoid(f + BIASES["forget_bias"])
        M = f * M + i * np.tanh(C)
        np.testing.assert_allclose(found, M, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("width", [1, SIZE])
def test_gates_whose_biases_are_infinite_are_open_or_shut(width):
    for keep, take in ((np.inf, -np.inf), (-np.inf, np.inf)):
        gates = Gates(SIZE, width, SLOTS, input_bias=take, forget_bias=keep)
        inputs = given(gates, True)
        home = Alone(gates)
        home.begin()
        first, *_ = unroll(gates, **inputs)
        right = inputs["M"] if keep > 0 else np.tanh(inputs["C"][0])
        np.testing.assert_array_equal(first, right)
        dM = numbers(*ONE)
        kept, home.grad[:] = dM.copy(), 0
        gates.backward(0, dM)
        assert np.isfinite(home.grad).all() and not gates.dWm.any()
        np.testing.assert_array_equal(dM, kept if keep > 0 else 0 * kept)


def test_without_gates_all_is_written():
    gates, inputs = NoGates(), given(NoGates())
    for found, C in zip(unroll(gates, **inputs), inputs["C"], strict=True):
        np.testing.assert_array_equal(found, C)


def test_the_gate_of_a_slot():
    gates = GATES["slot"]()
    home, inputs = Alone(gates), given(gates)
    home.begin()
    writes = {name: inputs[name].copy() for name in "ua"}
    memories, M = unroll(gates, inputs["p"], inputs["M"], **writes), inputs["M"]
    steps = zip(inputs["p"], inputs["u"], inputs["a"], memories, strict=True)
    for p, u, a, found in steps:
        beside = np.broadcast_to(p, ONE)
        g = sigmoid(np.concatenate([a, beside], axis=-1) @ gates.W + gates.b)
        M = g * np.tanh(u) + (1 - g) * M
        np.testing.assert_allclose(found, M, rtol=1e-12, atol=1e-13)
