"""The small models of the tests, and what they read: made here and nowhere else.

float64, few numbers, and none of them zero or equal by accident.
"""

import functools

import numpy as np
import pytest

from rrnn.cell import RelationalRNN
from rrnn.core import RelationalMemoryCore
from rrnn.lstm import LSTM
from rrnn.model import Batch
from rrnn.tasks import NthFarthest

COMMON = {"seed": 3, "dtype": np.float64}
SLOTS = {"num_slots": 3, "slot_size": 4, "num_heads": 2}


def core(input_size=3, output_size=3, **options):
    return RelationalMemoryCore(input_size, output_size, **(COMMON | SLOTS | options))


def rrnn(input_size=3, hidden_size=5, output_size=3, **options):
    return RelationalRNN(input_size, hidden_size, output_size, **(COMMON | SLOTS | options))


def lstm(input_size=3, hidden_size=5, output_size=3, **options):
    return LSTM(input_size, hidden_size, output_size, **(COMMON | options))


normed_lstm = functools.partial(lstm, layer_norm=True)

MODELS = {"core": core, "rrnn": rrnn, "lstm": lstm, "normed lstm": normed_lstm}
each_model = pytest.mark.parametrize("name", MODELS)
with_memory = pytest.mark.parametrize("make", [core, rrnn])

VARIANTS = {
    "core": {},
    "core, memory gate": {"gate_style": "memory"},
    "core, no gate": {"gate_style": None},
    "core, no qkv norm": {"qkv_norm": False},
    "core, 2 blocks": {"num_blocks": 2},
    "core, 3 blocks, no gate": {"num_blocks": 3, "gate_style": None},
    "core, 2 blocks, memory gate, no qkv norm": {
        "num_blocks": 2, "gate_style": "memory", "qkv_norm": False,
    },
    "core, 2 blocks, no mlp, no gate, no qkv norm": {
        "num_blocks": 2, "mlp_layers": 0, "gate_style": None, "qkv_norm": False,
    },
    "core, 2 blocks shared": {"num_blocks": 2, "share_blocks": True},
    "core, 3 blocks shared, no gate": {"num_blocks": 3, "share_blocks": True, "gate_style": None},
    "core, 2 blocks shared, no mlp, memory gate": {
        "num_blocks": 2, "share_blocks": True, "mlp_layers": 0, "gate_style": "memory",
    },
    "core, no mlp": {"mlp_layers": 0},
    "core, 1 mlp layer": {"mlp_layers": 1},
    "core, 3 mlp layers": {"mlp_layers": 3},
    "core, identity": {"initial_memory": "identity"},
    "core, zeros": {"initial_memory": "zeros"},
    "core, one slot": {"num_slots": 1},
    "core, each slot for itself": {"attend_to": "self"},
    "core, each slot for itself, 2 blocks": {"attend_to": "self", "num_blocks": 2},
    "core, each slot for itself, 2 blocks shared, no qkv norm": {
        "attend_to": "self", "num_blocks": 2, "share_blocks": True, "qkv_norm": False,
    },
    "core, one head": {"num_heads": 1},
    "core, as many heads as numbers": {"num_heads": 4},
    "core, slots of one number": {"slot_size": 1, "num_heads": 1, "qkv_norm": False},
    "core, slots of one number, memory gate": {
        "slot_size": 1, "num_heads": 1, "qkv_norm": False, "gate_style": "memory",
    },
    "core, readout (5,)": {"readout_sizes": (5,)},
    "core, readout (6, 5)": {"readout_sizes": (6, 5)},
    "core, biases": {"forget_bias": -0.7, "input_bias": 1.3},
    "core, biases, memory gate": {
        "forget_bias": 2.5, "input_bias": -1.0, "gate_style": "memory",
    },
    "rrnn": {},
    "rrnn, without input projection": {"hidden_size": 4},
    "rrnn, one head": {"num_heads": 1},
    "rrnn, one slot": {"num_slots": 1},
    "rrnn, readout (5,)": {"readout_sizes": (5,)},
    "rrnn, readout (6, 5)": {"readout_sizes": (6, 5)},
    "rrnn, identity": {"initial_memory": "identity"},
    "rrnn, zeros": {"initial_memory": "zeros"},
    "rrnn, no lstm": {"use_lstm": False},
    "rrnn, no lstm, without input projection": {"use_lstm": False, "hidden_size": 4},
    "lstm": {},
    "lstm, readout (5,)": {"readout_sizes": (5,)},
    "lstm, readout (6, 5)": {"readout_sizes": (6, 5)},
    "lstm, layer norm": {"layer_norm": True},
    "lstm, layer norm, readout (5,)": {"layer_norm": True, "readout_sizes": (5,)},
    "lstm, layer norm, one unit": {"layer_norm": True, "hidden_size": 1},
}  # fmt: skip
each_variant = pytest.mark.parametrize("variant", VARIANTS)


def make(variant, **options):
    """A variant or a model, with a random first memory if nothing else is said."""
    kind = variant.split(",")[0]
    first = {} if "lstm" in kind else {"initial_memory": "random"}
    return MODELS[kind](**(first | VARIANTS.get(variant, {}) | options))


def shake(model, scale=0.3, seed=1):
    """Move every parameter, so that biases are not zero and gains not one."""
    model.flat += scale * np.random.default_rng(seed).normal(size=model.flat.size)
    return model


def own_memory(model):
    """The model with a first memory of its own, as a reader may give it one."""
    if hasattr(model, "first_memory"):
        model.first_memory = np.random.default_rng(3).normal(size=model.first_memory.shape)
    return model


def take_parameters(model, other):
    """The model with the parameters that another one has under the same names."""
    for name in model.params:
        model.params[name] = other.params[name]
    return model


def readout(P, x):
    """What the readout of a model with parameters P makes of its features."""
    for i in range(1, 1 + sum(name.startswith("W_read") for name in P)):
        x = np.maximum(x @ P[f"W_read{i}"] + P[f"b_read{i}"], 0)
    return x @ P["W_out"] + P["b_out"]


def sequence(batch=4, time=6, seed=0, size=3):
    return np.random.default_rng(seed).normal(size=(batch, time, size))


def make_batch(kind="class", examples=3, time=4, answers=2, seed=0, size=3, outputs=3):
    """Random inputs; random classes with some -1 among them, or numbers, for the last answers."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(examples, time, size))
    if kind == "number":
        return Batch(inputs, rng.normal(size=(examples, answers, outputs)))
    targets = rng.integers(0, outputs, (examples, answers))
    targets[0, 0] = -1
    targets[-1] = np.arange(answers) % outputs  # this example asks at every step
    return Batch(inputs, targets)


def everything(model, inputs, targets=None):
    """All arrays a model returns, by name."""
    states = model.forward(inputs, return_state=True)
    found = {f"forward {i}": array for i, array in enumerate(states)}
    found["last output"] = model.forward(inputs, return_sequences=False)
    found["from a state"] = model.forward(inputs, state=states[1:])
    found |= {f"trace {key}": array for key, array in model.trace(inputs).items()}
    targets = np.full((len(inputs), 2), 1) if targets is None else targets
    for workers in (1, 2):
        _, grads, _ = model.loss_and_grads(Batch(inputs, targets), workers=workers)
        found |= {f"{workers} workers {key}": array for key, array in grads.items()}
    return found


def assert_same(found, right, text=""):
    assert found.keys() == right.keys()
    for key, array in found.items():
        np.testing.assert_array_equal(array, right[key], err_msg=f"{key} {text}")


class Watched(NthFarthest):
    """A task that calls watch() when a training step draws its batch of 8."""

    def __init__(self, watch=lambda: None):
        super().__init__(2, 3)
        self.watch = watch

    def sample(self, batch_size, rng):
        if batch_size == 8:
            self.watch()
        return super().sample(batch_size, rng)
