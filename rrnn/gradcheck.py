"""Are the gradients right? Ask the forward pass (notebook 01)."""

from contextlib import contextmanager

import numpy as np

from rrnn.checks import Number, OrNone, Rng, Whole, checked
from rrnn.model import check_model
from rrnn.parameters import rebuild


def slope(model, batch, array, index, step):
    """The central difference of the loss for one entry of a parameter."""
    here = array[index]
    array[index] = here + step
    up = model.metrics(batch)["loss"]
    array[index] = here - step
    down = model.metrics(batch)["loss"]
    array[index] = here
    return (up - down) / (2 * step)


@contextmanager
def perturbed(model, rng):
    """At parameters nearby, which are restored at the end; until then, other threads wait."""
    with model.at_work:
        before = model.flat.copy()
        try:
            model.flat += 0.1 * rng.normal(size=model.flat.size)
            yield
        finally:
            model.flat[:] = before


@checked
def check_gradients(model, batch, *, per_parameter: OrNone(Whole()) = None,
                    step: Number(0, above=True) = 1e-5, rng: OrNone(Rng()) = None):  # fmt: skip
    """Compare model.loss_and_grads with central differences; returns {parameter name: largest
    relative error}.

    Works in float64 (a float32 model is copied), at randomly perturbed parameters that are restored
    at the end, on every entry or on `per_parameter` random ones of each parameter. The error of an
    entry is |exact - numeric| over the larger of the two, or over 1e-3 of the model's largest slope
    where both are smaller: a difference below that is rounding. A step can cross a ReLU's kink: a
    miss is tried again with steps a fifth, a twentieth, ... down to 1e-8. Raises ValueError for a
    float32 model with a layer of the reader's own in it. Taught in notebook 01.
    """
    check_model(model)
    rng = np.random.default_rng(0) if rng is None else rng
    if model.dtype != np.float64:
        if others := model.exchanged():
            raise ValueError(f"model must be of float64 to be checked with {others[0]!r} in it")
        config = model.config | {"dtype": np.float64}
        model = rebuild(type(model), config, model.flat, model.start)
    with perturbed(model, rng):
        _, grads, _ = model.loss_and_grads(batch)

        found = {}
        for name, array in model.params.items():
            chosen = np.arange(array.size)
            if per_parameter is not None and per_parameter < array.size:
                chosen = rng.choice(array.size, per_parameter, replace=False)
            where = [np.unravel_index(i, array.shape) for i in chosen]
            exact = np.array([grads[name][index] for index in where])
            numeric = np.array([slope(model, batch, array, index, step) for index in where])
            found[name] = where, exact, numeric
        floor = max(1e-3 * max(np.abs(numeric).max() for *_, numeric in found.values()), 1e-12)

        def error(a, n):
            return np.abs(a - n) / np.maximum(np.maximum(np.abs(a), np.abs(n)), floor)

        errors = {}
        for name, (where, exact, numeric) in found.items():
            miss = error(exact, numeric)
            for i in np.flatnonzero(~(miss < 1e-6)):
                for smaller in (2e-6, 5e-7, 1e-7, 1e-8):
                    numeric = slope(model, batch, model.params[name], where[i], smaller)
                    miss[i] = np.fmin(miss[i], error(exact[i], numeric))
                    if miss[i] < 1e-6:
                        break
            errors[name] = float(miss.max())
        return errors
