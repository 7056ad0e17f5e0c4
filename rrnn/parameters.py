"""Parameters as named views of one flat vector, and the layers that they belong to."""

import threading
from collections.abc import Mapping

import numpy as np

from rrnn.checks import floats


class Views(Mapping):
    """{name: array}, each array a view of one flat vector; what is assigned is written into it."""

    def __init__(self, flat, shapes):
        ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes.values())]).tolist()
        cuts = zip(shapes.items(), ends, ends[1:], strict=False)
        self.arrays = {name: flat[a:b].reshape(shape) for (name, shape), a, b in cuts}

    def __getitem__(self, name):
        return self.arrays[name]

    def __setitem__(self, name, value):
        if name not in self.arrays:
            raise KeyError(f"params must be one of {', '.join(self.arrays)}, got {name!r}")
        view = self.arrays[name]
        if value is not view:  # as after params[name] += 1
            view[:] = floats(f"params[{name!r}]", value, view.shape, view.dtype)

    def __iter__(self):
        return iter(self.arrays)

    def __len__(self):
        return len(self.arrays)

    def __or__(self, other):
        return self.arrays | dict(other)

    def __repr__(self):
        return repr(self.arrays)


class Parameters:
    """Layers, and their parameters as named views of one flat vector, so that an optimiser's step
    is one array expression."""

    def build(self, layers, first_memory=None):
        """Give the layers parameters with their first values, drawn from the seed."""
        self.layers = walk(layers)
        own = [(layer, attribute, parameter) for layer in self.layers
               for attribute, parameter in layer.parameters.items()]  # fmt: skip
        self.shapes = {parameter.name: parameter.shape for *_, parameter in own}
        if len(self.shapes) < len(own):
            raise ValueError("two layers name the same parameter")
        size = sum(int(np.prod(shape)) for shape in self.shapes.values())
        vector, grad = np.zeros((2, size), self.dtype)
        start = None if first_memory is None else first_memory.astype(self.dtype)
        views, grads = Views(vector, self.shapes), Views(grad, self.shapes)
        vars(self).update(vector=vector, grad=grad, views=views, start=start)
        rng = np.random.default_rng(self.seed)
        for layer, attribute, (name, shape, first) in own:
            self.params[name][:] = first(shape, rng)
            views = {attribute: self.params[name], "d" + attribute: grads[name]}
            vars(layer).update(views)
            layer.views = {*layer.views, *views}
        self.memory, self.sizes = np.empty(0, self.dtype), None
        self.at_work = threading.RLock()  # the layers' arrays serve one call at a time
        self.in_training = threading.Lock()

    @property
    def params(self):
        """{name: array}, views of `flat`; what is assigned is written into them."""
        return self.views

    @params.setter
    def params(self, values):
        if values is not self.views:
            if dict(values).keys() != self.shapes.keys():
                differ = sorted(dict(values).keys() ^ self.shapes.keys())
                raise ValueError(f"params must hold every parameter and nothing else: {differ}")
            arrays = {
                name: floats(f"params[{name!r}]", value, self.shapes[name], self.dtype)
                for name, value in dict(values).items()
            }
            for name, array in arrays.items():
                self.views[name] = array

    @property
    def flat(self):
        """All parameters in one vector; what is assigned is written into it."""
        return self.vector

    @flat.setter
    def flat(self, value):
        if value is not self.vector:
            self.vector[:] = floats("flat", value, self.vector.shape, self.dtype)

    @property
    def first_memory(self):
        """The memory before the first step, (slots, slot_size); what is assigned is written into
        it. A model without slots has none."""
        if self.start is None:
            raise AttributeError(f"{type(self).__name__} has no first_memory")
        return self.start

    @first_memory.setter
    def first_memory(self, value):
        if value is not self.first_memory:
            self.start[:] = floats("first_memory", value, self.start.shape, self.dtype)

    def exchanged(self):
        """The layers that a reader has put in the place of those that the class made."""
        made = {id(layer) for layer in self.layers}
        values = [value for owner in (self, *self.layers) for value in vars(owner).values()]
        parts = [part for value in values if type(value) in (list, tuple) for part in value]
        return [part for part in values + parts
                if hasattr(part, "backward") and id(part) not in made]  # fmt: skip

    def is_known(self):
        """Whether another process would make the same model from its class and configuration."""
        return type(self).__module__.startswith("rrnn.") and not self.exchanged()

    def fill(self, flat, start):
        """Take over the parameters and the first memory (None without slots) of another model."""
        self.vector[:] = flat
        if start is not None:
            self.start[:] = start

    def __setattr__(self, name, value):
        """What holds the parameters is not exchanged: other attributes are views of it."""
        if name in ("vector", "grad", "views", "start"):
            others = "assign to flat, params or first_memory"
            raise AttributeError(f"{name} must stay as it is: {others}")
        super().__setattr__(name, value)

    def arrays(self, steps, batch):
        """{attribute: shape} of what the model itself keeps while it runs, beside its layers."""
        return {}

    def shapes_of_arrays(self, steps, batch):
        """[(owner, attribute, shape), ...] of all arrays for so many steps and examples."""
        owners = [(layer, steps * layer.repeats) for layer in self.layers] + [(self, steps)]
        found = [(owner, owner.arrays(count, batch)) for owner, count in owners]
        return [(owner, *item) for owner, arrays in found for item in arrays.items()]

    def prepare(self, steps, batch):
        """Hand every layer its arrays, out of one block that only grows, because new memory is slow
        memory; and let it look at its parameters."""
        if self.sizes != (steps, batch):
            shapes = self.shapes_of_arrays(steps, batch)
            # whole cache lines
            lines = [-(-int(np.prod(shape)) // 16) * 16 for *_, shape in shapes]
            ends = np.cumsum([0, *lines]).tolist()
            if len(self.memory) < ends[-1]:
                self.memory = np.empty(ends[-1], self.dtype)
            for (owner, name, shape), start in zip(shapes, ends, strict=False):
                array = self.memory[start : start + int(np.prod(shape))]
                setattr(owner, name, array.reshape(shape))
            self.sizes = steps, batch
        for layer in self.layers:
            layer.begin(batch)

    def describe(self):
        """The arguments the object was made with, as plain values."""
        if "dtype" not in self.config:  # in a constructor of the reader's own
            return dict(self.config)
        return self.config | {"dtype": self.dtype.name}

    def __repr__(self):
        given = ", ".join(f"{name}={value!r}" for name, value in self.describe().items())
        return f"{type(self).__name__}({given})"

    def __reduce__(self):
        # copies and pickles are made anew: their params have to be views of their own flat vector
        if others := self.exchanged():
            raise TypeError(f"{type(self).__name__} cannot be copied with {others[0]!r} in it")
        return rebuild, (type(self), self.config, self.vector, self.start)


def walk(layers):
    """All layers, each once, the parts of a layer after it."""
    found = {}
    for layer in layers:
        found |= dict.fromkeys([layer, *walk(layer.layers)])
    return list(found)


def rebuild(kind, config, flat, first_memory=None):
    """A model of this kind and configuration with these parameters."""
    model = kind(**config)
    model.fill(flat, first_memory)
    return model
