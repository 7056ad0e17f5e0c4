"""How sure a mean of a few runs is, and a difference of two means."""

import warnings

import numpy as np

from rrnn.checks import Number, checked, floats


def between(name, value):
    """A confidence: more than none, less than certain."""
    if not 0 < Number()(name, value) < 1:
        raise ValueError(f"{name} must be between 0 and 1, got {value}")
    return float(value)


def samples(**given):
    """The samples as arrays of floats, each of two values or more."""
    found = [floats(name, values, (name,), np.float64) for name, values in given.items()]
    for name, values in zip(given, found, strict=True):
        if len(values) < 2:
            why = "one does not say how far they spread"
            raise ValueError(f"{name} must be two or more: {why}, got {len(values)}")
    return found


@checked
def mean_interval(values, confidence: between = 0.95):
    """(mean, low, high) of a few independent values, such as one score a seed: the interval of
    Student's t, which would hold the true mean with that confidence if the values were normal.
    Raises ValueError for fewer than two values, or a confidence outside 0..1. Taught in
    notebook 07."""
    from scipy.special import stdtrit  # scipy.stats takes a reader two seconds to import

    (values,) = samples(values=values)
    spread = values.std(ddof=1) / np.sqrt(len(values))
    half = stdtrit(len(values) - 1, (1 + confidence) / 2) * spread
    mean = float(values.mean())
    return mean, mean - float(half), mean + float(half)


@checked
def mean_difference(a, b, confidence: between = 0.95):
    """(difference, low, high): the mean of a minus that of b, such as two models' scores, one a
    seed, with the interval of Welch, which lets a and b spread unequally. Without any spread, low
    and high are the difference. Raises ValueError for fewer than two values in a or b, or a
    confidence outside 0..1. Taught in notebook 07."""
    from scipy import stats

    a, b = samples(a=a, b=b)
    difference = float(a.mean() - b.mean())
    if np.ptp(a) == np.ptp(b) == 0:
        return difference, difference, difference
    with warnings.catch_warnings():
        # scipy warns of values that are all the same, as five of 1.0
        warnings.simplefilter("ignore", RuntimeWarning)
        interval = stats.ttest_ind(a, b, equal_var=False).confidence_interval(confidence)
    return difference, float(interval.low), float(interval.high)
