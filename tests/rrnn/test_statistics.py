"""Intervals, against their formulas."""

import numpy as np
from scipy.stats import t as student

from rrnn.statistics import mean_difference, mean_interval


def test_the_difference_of_two_means_has_welchs_interval():
    """By the formula, on four and three values of unequal spread; turned round, and without
    spread."""
    a, b = [9.0, 10.0, 10.0, 12.0], [3.0, 5.0, 7.0]
    va, vb = 19 / 12 / 4, 4 / 3
    freedom = (va + vb) ** 2 / (va**2 / 3 + vb**2 / 2)
    half = student(freedom).ppf(0.95) * np.sqrt(va + vb)
    np.testing.assert_allclose(mean_difference(a, b, 0.9), (5.25, 5.25 - half, 5.25 + half))
    np.testing.assert_allclose(mean_difference(b, a, 0.9), (-5.25, -5.25 - half, -5.25 + half))
    assert mean_difference([1, 1, 1], [0.5, 0.5]) == (0.5, 0.5, 0.5)
    # one of them without spread: that of the other
    d, low, high = mean_difference([1.0] * 5, [0.5, 0.6, 0.7])
    np.testing.assert_allclose((1 - d, 1 - high, 1 - low), mean_interval([0.5, 0.6, 0.7]))
    assert all(type(number) is float for number in (d, low, high))
