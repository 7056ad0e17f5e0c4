"""A layer alone: given parameters and arrays as a model gives them, and its way back asked of its
way forward, entry by entry."""

import numpy as np

from rrnn.model import Parameters

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


def along(layer):
    """The ways of a layer that is given x at each step: forward, and back from the last step."""

    def forward(x):
        return [layer.forward(t, x_t) for t, x_t in enumerate(x)]

    def backward(dy):
        back = [layer.backward(t, dy[t]).copy() for t in reversed(range(len(dy)))]
        return {"x": back[::-1]}

    return forward, backward


def check_way_back(home, inputs, forward, backward):
    """inputs {name: array, or list of arrays, one a step}. forward(**inputs) returns the outputs of
    all steps as a list, backward(their gradients) those of some inputs {name: ...}, with NaN where
    none is promised. They and the gradient of every parameter must be central differences."""

    def copies():
        return {name: [np.array(step) for step in value] for name, value in inputs.items()}

    def run():
        home.begin()  # a layer may write on what it gets: it gets copies
        return forward(**copies())

    d = [numbers(*y.shape, seed=5 + t) for t, y in enumerate(run())]

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
            assert array.shape == gradient.shape, name
            numeric = np.array([slope(value, array, i) for i in np.ndindex(array.shape)])
            asked = ~np.isnan(gradient.ravel())
            assert asked.any() or name != "parameters" or not gradient.size, name
            right = numeric[asked]
            np.testing.assert_allclose(gradient.ravel()[asked], right, 1e-6, 2e-8, err_msg=name)


def slope(value, array, index, step=1e-5):
    """The central difference of value() for one entry of an array."""
    here = array[index]
    array[index] = here + step
    up = value()
    array[index] = here - step
    down = value()
    array[index] = here
    return (up - down) / (2 * step)
