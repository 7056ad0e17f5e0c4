"""The core beside the authors' own module: values and gradients that it computed.

tests/fixtures/authors.npz was made with dm-sonnet 1.36 (its relational_memory.py) on TensorFlow
1.15.5, one thread: numbers only, no code. Batch 3, 6 steps, 5 inputs; a configuration's name stands
before the first "/". There q, k and v stand head by head in the columns of one matrix; each of the
two gate biases is a variable of its own, of which the core has the sum; the loss is a sum where
ours is a mean; and the input row, too, has a query, whose answer is dropped at the end.
"""

import json
from pathlib import Path

import numpy as np
import pytest

import rrnn_helpers as rh

FIXTURE = Path(__file__).parent.parent / "fixtures" / "authors.npz"
NAMES = ("unit", "memory_pad", "none", "memory_mlp3", "unit_biases", "unit_float32", "two_blocks")


def stored(name):
    """{key: array} of a configuration, and its config."""
    with np.load(FIXTURE) as file:
        keys = [key for key in file if key.startswith(f"{name}/")]
        found = {key.removeprefix(f"{name}/"): file[key] for key in keys}
    return found, json.loads(str(found.pop("config")))


def test_all_configurations_are_compared():
    with np.load(FIXTURE) as file:
        assert {key.split("/")[0] for key in file} == set(NAMES)


def theirs_to_ours(config):
    """{our parameter: their variable} of a configuration; "columns" of theirs for q, k, v."""
    blocks, layers = config["num_blocks"], config["attention_mlp_layers"]
    names = {"W_in": "linear/w", "b_in": "linear/b"}
    norm = 0
    for block in range(1, blocks + 1):
        number = "" if block == 1 else block
        names |= {f"W_qkv{number}": f"linear_{block}/w", f"b_qkv{number}": f"linear_{block}/b"}
        for of in ("qkv", "u", "c"):
            scope = "layer_norm" if norm == 0 else f"layer_norm_{norm}"
            names |= {f"g_{of}{number}": f"{scope}/gamma", f"beta_{of}{number}": f"{scope}/beta"}
            norm += 1
    for i in range(layers):
        names |= {f"W_mlp{i + 1}": f"mlp/linear_{i}/w", f"b_mlp{i + 1}": f"mlp/linear_{i}/b"}
    if config["gate_style"]:
        names |= {"W_gx": f"linear_{blocks + 1}/w", "W_gm": f"linear_{blocks + 2}/w"}
        names["b_g"] = f"linear_{blocks + 1}/b", f"linear_{blocks + 2}/b"
    return names


def build(name):
    """Our core with their numbers, and how to find one of their arrays in our order."""
    found, config = stored(name)
    heads, d, slots = config["num_heads"], config["head_size"], config["mem_slots"]
    S = heads * d
    columns = np.arange(3 * S).reshape(heads, 3, d).swapaxes(0, 1).ravel()
    style = config["gate_style"]
    model = rh.RelationalMemoryCore(
        config["inputs"], slots * S, slots, S, heads, mlp_layers=config["attention_mlp_layers"],
        num_blocks=config["num_blocks"], gate_style=None if style in (None, "None") else style,
        forget_bias=config["forget_bias"], input_bias=config["input_bias"], dtype=config["dtype"],
    )  # fmt: skip
    names = theirs_to_ours(config)

    def theirs(ours, kind):
        keys = names[ours]
        arrays = [found[f"{kind}/{key}"] for key in ([keys] if isinstance(keys, str) else keys)]
        # b_g is the sum of both of theirs; its gradient is that of either
        array = sum(arrays) if kind == "var" else arrays[0]
        return array[..., columns] if "qkv" in ours else array

    for ours in model.params:
        if not ours.endswith("_out"):
            model.params[ours] = theirs(ours, "var")
    model.params["W_out"] = np.eye(slots * S)
    model.first_memory = found["first"][0]
    return model, found, theirs


def close(ours, theirs, single):
    scale = np.abs(theirs).max()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=(3e-5 if single else 1e-12) * scale)


@pytest.mark.parametrize("name", NAMES)
def test_values_are_theirs(name):
    model, found, _ = build(name)
    trace, single, slots = model.trace(found["inputs"]), name.endswith("32"), model.num_slots
    close(trace["memory"], found["memory"], single)
    close(trace["attention"], found["attention"][:, :, :, :slots], single)
    for gate in ("input_gate", "forget_gate"):
        if gate in found:
            close(trace[gate], found[gate], single)
    close(trace["outputs"], found["memory"].reshape(trace["outputs"].shape), single)


@pytest.mark.parametrize("asked", ["last", "all"])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_theirs(name, asked):
    model, found, theirs = build(name)
    targets = found["target"][:, None] if asked == "last" else found["targets"]
    loss, grads, _ = model.loss_and_grads(rh.Batch(found["inputs"], targets))
    assert loss * targets.size == pytest.approx(float(found[f"loss_{asked}"]), rel=2e-6)
    compared = 0
    for ours, grad in grads.items():
        if not ours.endswith("_out"):
            right = theirs(ours, f"grad_{asked}")
            close(grad * targets.size, right, name.endswith("32"))
            compared += right.size
    assert compared == model.flat.size - model.params["W_out"].size - model.params["b_out"].size
