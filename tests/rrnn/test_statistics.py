"""Intervals: against their formulas, and by how often they hold the truth."""

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from rrnn.statistics import mean_difference, mean_interval, wilson_interval


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


@pytest.mark.parametrize("right, asked", [(7, 10), (0, 5), (5, 5), (123, 10_000)])
def test_a_share_has_wilsons_interval(right, asked):
    """By the formula: the shares that a test of so many right answers would not refuse."""
    share, z = right / asked, norm.ppf(0.95)
    middle = (share + z**2 / (2 * asked)) / (1 + z**2 / asked)
    half = z * np.sqrt(share * (1 - share) / asked + z**2 / (4 * asked**2)) / (1 + z**2 / asked)
    found = wilson_interval(right, asked, 0.9)
    np.testing.assert_allclose(found, (share, middle - half, middle + half), atol=1e-12)
    assert all(type(number) is float for number in found)


def test_a_share_of_what():
    with pytest.raises(ValueError, match="successes must be from 0 to 10, got 11"):
        wilson_interval(11, 10)
    with pytest.raises(TypeError, match="successes must be a whole number"):
        wilson_interval(0.7, 10)
