"""Arguments: each check names the argument, what was given and what would be right.

A constructor says in its signature what fits, and @checked sees to it:

    @checked
    def __init__(self, num_slots: Whole(1) = 4, gate_style: OneOf("unit", None) = "unit"): ...
"""

import functools
import inspect
import os
from typing import NamedTuple

import numpy as np


class Whole(NamedTuple):
    """A whole number from low to high (None: without end)."""

    low: int = 1
    high: int | None = None

    def __call__(self, name, value):
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"{name} must be a whole number, got {value!r}")
        if value < self.low or (self.high is not None and value > self.high):
            right = f"at least {self.low}"
            if self.high is not None:
                right = f"from {self.low} to {self.high}"
            raise ValueError(f"{name} must be {right}, got {value}")
        return int(value)


class Number(NamedTuple):
    """A number from low (above=True: without it) to high (below=True: without it)."""

    low: float = -np.inf
    high: float = np.inf
    above: bool = False
    below: bool = False
    finite: bool = True

    def __call__(self, name, value):
        kinds = (int, float, np.integer, np.floating)
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, kinds):
            raise TypeError(f"{name} must be a number, got {value!r}")
        try:
            value = float(value)
        except OverflowError:
            raise ValueError(f"{name} must fit a float, got a larger whole number") from None
        if np.isnan(value) or (self.finite and not np.isfinite(value)):
            kind = "a finite number" if self.finite else "a number"
            raise ValueError(f"{name} must be {kind}, got {value}")
        if value < self.low or (self.above and value == self.low):
            bound = "above" if self.above else "at least"
            raise ValueError(f"{name} must be {bound} {self.low}, got {value}")
        if value > self.high or (self.below and value == self.high):
            bound = "below" if self.below else "at most"
            raise ValueError(f"{name} must be {bound} {self.high}, got {value}")
        return value


class OneOf:
    """One of a few values."""

    def __init__(self, *options):
        self.options = options

    def __repr__(self):
        return f"OneOf{self.options!r}"

    def __call__(self, name, value):
        for option in self.options:  # 1 is not True, and an array is nothing to compare with
            if value is option or (isinstance(value, str) and value == option):
                return value
        options = ", ".join(map(repr, self.options))
        raise ValueError(f"{name} must be one of {options}, got {value!r}")


class OrNone(NamedTuple):
    """What another check takes, or None."""

    check: object

    def __call__(self, name, value):
        return None if value is None else self.check(name, value)


class Wholes(NamedTuple):
    """A sequence of whole numbers, as a tuple."""

    low: int = 1

    def __call__(self, name, value):
        if isinstance(value, (str, bytes)) or not np.iterable(value):
            example = "whole numbers such as (64, 64)"
            raise TypeError(f"{name} must be a sequence of {example}, got {value!r}")
        return tuple(Whole(self.low)(name, size) for size in value)


class Dtype(NamedTuple):
    """numpy.float32 or numpy.float64."""

    def __call__(self, name, value):
        try:
            dtype = np.dtype(value)
        except TypeError:
            dtype = None
        if value is None or dtype not in (np.float32, np.float64):
            raise TypeError(f"{name} must be numpy.float32 or numpy.float64, got {value!r}")
        return dtype


class Place(NamedTuple):
    """The path of a file or folder, as text; there=False: it need not be there."""

    kind: str = "file"
    there: bool = True

    def __call__(self, name, value):
        if not isinstance(value, (str, os.PathLike)):
            raise TypeError(f"{name} must be the path of a {self.kind}, got {value!r}")
        is_one = {"file": os.path.isfile, "folder": os.path.isdir}[self.kind]
        if self.there and not is_one(value):
            raise FileNotFoundError(f"{name} must be a {self.kind}: {os.fspath(value)} is not one")
        return os.fspath(value)


class Rng(NamedTuple):
    """A numpy.random.Generator."""

    def __call__(self, name, value):
        if not isinstance(value, np.random.Generator):
            right = "a numpy.random.Generator (numpy.random.default_rng(seed))"
            raise TypeError(f"{name} must be {right}, got {value!r}")
        return value


def checked(function):
    """Check the arguments of a function by its annotations. A constructor finds them, checked, in
    self.config {name: value}, from which the same object can be made again, and as attributes."""
    signature = inspect.signature(function)
    checks = {p.name: p.annotation for p in signature.parameters.values()
              if p.annotation is not p.empty}  # fmt: skip
    makes = function.__name__ == "__init__"

    @functools.wraps(function)
    def call(*given, **named):
        try:
            bound = signature.bind(*given, **named)
        except TypeError as error:
            raise TypeError(f"{function.__qualname__.removesuffix('.__init__')}: {error}") from None
        bound.apply_defaults()
        for name, check in checks.items():
            bound.arguments[name] = check(name, bound.arguments[name])
        if not makes:
            return function(*bound.args, **bound.kwargs)
        self, *_ = bound.args
        config = {name: bound.arguments[name] for name in list(signature.parameters)[1:]}
        vars(self).update(config)
        function(*bound.args, **bound.kwargs)
        self.config = config  # after that of a constructor which this one has called

    return call


def real(name, value):
    """value as an array of floats, its own kind kept; TypeError for what holds no real numbers."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    return array if array.dtype.kind == "f" else array.astype(float)


def floats(name, value, shape, dtype=None):
    """value as a finite float array; shape holds sizes, or names of axes whose size is free, but
    not 0."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be one array of numbers: {error}") from None
    array = real(name, array)
    wanted = "(" + ", ".join(map(str, shape)) + ")"
    if array.ndim != len(shape):
        got = f"got shape {array.shape}"
        raise ValueError(f"{name} must have {len(shape)} axes, {wanted}, {got}")
    for axis, (size, want) in enumerate(zip(array.shape, shape, strict=True)):
        if size != want and not (isinstance(want, str) and size > 0):
            got = f"got {array.shape}: axis {axis} does not fit"
            raise ValueError(f"{name} must have shape {wanted}, {got}")
    with np.errstate(over="ignore"):
        array = array.astype(dtype or array.dtype, copy=False)
    if not np.isfinite(array).all():
        right = f"finite in {array.dtype}"
        raise ValueError(f"{name} must be {right}, but holds NaN or infinite values")
    return array
