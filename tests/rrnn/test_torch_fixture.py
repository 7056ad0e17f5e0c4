"""The NumPy models against what their PyTorch twins said: outputs, loss and every gradient, in float64."""

import json

import numpy as np
import pytest
from make_torch_fixture import FIXTURE, VARIANTS, build

from rrnn_helpers import Batch


@pytest.fixture(scope="module")
def stored():
    """{variant: {name: array}} as tests/make_torch_fixture.py wrote it."""
    variants = {}
    with np.load(FIXTURE, allow_pickle=False) as arrays:
        for key in arrays.files:
            variant, name = key.split("/", 1)
            variants.setdefault(variant, {})[name] = arrays[key]
    return variants


def assert_close(actual, expected, what):
    """Equal to 1e-9 of each entry; entries that only cancellation leaves are held to 1e-11 of the largest one."""
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-11 * np.abs(expected).max(), err_msg=what)


def test_fixture_is_complete(stored):
    assert {name: json.loads(str(arrays["config"])) for name, arrays in stored.items()} == VARIANTS


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("variant", VARIANTS)
def test_same_as_torch(stored, variant, workers):
    expected = stored[variant]
    model = build(json.loads(str(expected["config"])))
    params = {name.removeprefix("param/"): array for name, array in expected.items() if name.startswith("param/")}
    assert model.params.keys() == params.keys()
    for name, array in params.items():
        assert model.params[name].shape == array.shape
        model.params[name][...] = array
    if VARIANTS[variant]["arguments"].get("initial_memory") == "random":
        model.first_memory[...] = expected["first_memory"]
    elif "first_memory" in expected:
        np.testing.assert_array_equal(model.first_memory, expected["first_memory"])

    assert_close(model.forward(expected["inputs"]), expected["outputs"], "outputs")
    loss, grads, metrics = model.loss_and_grads(Batch(expected["inputs"], expected["targets"]), workers=workers)
    assert_close(loss, expected["loss"], "loss")
    assert_close(metrics["loss"], expected["loss"], "metrics")
    assert grads.keys() == params.keys()
    for name, grad in grads.items():
        assert_close(grad, expected[f"grad/{name}"], name)
