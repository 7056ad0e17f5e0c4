"""A layer alone: given parameters and arrays as a model gives them; its way forward beside the same
in words, its way back asked of its way forward, entry by entry."""

import numpy as np

from rrnn.parameters import Parameters

STEPS, BATCH, SLOTS, SIZE, HEADS = 3, 2, 3, 4, 2


class Alone(Parameters):
    """Layers with random parameters, and arrays that hold NaN until something is written there."""

    def __init__(self, *layers, steps=STEPS, batch=BATCH, dtype=np.float64):
        self.dtype, self.seed, self.steps_and_batch = np.dtype(dtype), 0, (steps, batch)
        self.build(layers)
        self.flat += 0.5 * np.random.default_rng(7).normal(size=self.flat.size)

    def begin(self):
        self.memory, self.sizes = np.full(20_000, np.nan, self.dtype), None
        self.prepare(*self.steps_and_batch)


def numbers(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(dtype)


def rows(count=SLOTS, steps=STEPS, seed=0):
    """x at each step, (count, BATCH, SIZE)."""
    return [numbers(count, BATCH, SIZE, seed=seed + t) for t in range(steps)]


def close(actual, right):
    np.testing.assert_allclose(actual, right, rtol=1e-11, atol=1e-12)


def check_layer(home, inputs, forward, right, backward):
    """inputs {name: array, or list of arrays, one a step}. forward(**inputs) returns the outputs of
    all steps, and right(**inputs) the same in words; backward(their gradients) returns those of
    some inputs {name: ...}, with infinity where none is promised. They and the gradient of every
    parameter must be central differences."""

    def run():
        home.begin()  # a layer may write on what it gets: it gets copies
        copies = {name: [np.array(step) for step in value] for name, value in inputs.items()}
        return list(forward(**copies))

    d = []
    for t, (y, expected) in enumerate(zip(run(), right(**inputs), strict=True)):
        close(y, expected)
        d.append(numbers(*y.shape, seed=5 + t))

    def value():
        return sum(np.vdot(d_t, y) for d_t, y in zip(d, run(), strict=True))

    value()
    home.grad[:] = 0
    exact = backward([d_t.copy() for d_t in d])
    for layer in home.layers:
        layer.end()
    compared = {"parameters": ([home.flat], [home.grad.copy()])}
    compared |= {name: (inputs[name], given) for name, given in exact.items()}
    for name, (arrays, given) in compared.items():
        for array, gradient in zip(arrays, given, strict=True):
            numeric = np.array([slope(value, array, i) for i in np.ndindex(array.shape)])
            asked = ~np.isinf(gradient.ravel())
            assert asked.all() or name != "parameters"
            found, differences = gradient.ravel()[asked], numeric[asked]
            np.testing.assert_allclose(found, differences, 1e-6, 2e-8, err_msg=name)


def slope(value, array, index, step=1e-5):
    """The central difference of value() for one entry of an array."""
    here = array[index]
    array[index] = here + step
    up = value()
    array[index] = here - step
    down = value()
    array[index] = here
    return (up - down) / (2 * step)
