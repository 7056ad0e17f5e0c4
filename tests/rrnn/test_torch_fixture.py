"""The NumPy models against what their PyTorch twins said: outputs, loss and every gradient, in
float64."""

import json

import numpy as np
import pytest
from make_torch_fixture import FIXTURE, VARIANTS, build

from rrnn.model import Batch


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
    """Equal to 1e-9 of each entry; entries that only cancellation leaves are held to 1e-11 of the
    largest one."""
    atol = 1e-11 * np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=atol, err_msg=what)


def test_fixture_is_complete(stored):
    configs = {name: json.loads(str(arrays["config"])) for name, arrays in stored.items()}
    assert configs == VARIANTS


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("variant", VARIANTS)
def test_same_as_torch(stored, variant, workers):
    expected = stored[variant]
    model = build(json.loads(str(expected["config"])))
    params = {name.removeprefix("param/"): array for name, array in expected.items()
              if name.startswith("param/")}  # fmt: skip
    assert model.params.keys() == params.keys()
    for name, array in params.items():
        model.params[name] = array  # which must have the right shape
    if VARIANTS[variant]["arguments"].get("initial_memory") == "random":
        model.first_memory = expected["first_memory"]
    elif "first_memory" in expected:
        np.testing.assert_array_equal(model.first_memory, expected["first_memory"])

    assert_close(model.forward(expected["inputs"]), expected["outputs"], "outputs")
    batch = Batch(expected["inputs"], expected["targets"])
    loss, grads, metrics = model.loss_and_grads(batch, workers=workers)
    assert_close(loss, expected["loss"], "loss")
    assert_close(metrics["loss"], expected["loss"], "metrics")
    assert grads.keys() == params.keys()
    for name, grad in grads.items():
        assert_close(grad, expected[f"grad/{name}"], name)
