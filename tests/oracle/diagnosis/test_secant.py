"""The secant method finds a root of a residual along a line of numbers, or says that there is none."""

import numpy as np
import pytest

from refmeta.oracle.diagnosis.secant import LARGEST, root

A = np.array([1.0, -2.0, 0.5])


@pytest.mark.parametrize("start", [0.0, 0.5, 3.0, -4.0])
@pytest.mark.parametrize("wanted", [0.0, 2.0, -0.7])
def test_a_root_is_found_from_afar(start, wanted):
    np.testing.assert_allclose(root(lambda c: A * (c + 0.1 * c**3) - A * (wanted + 0.1 * wanted**3), start), wanted, atol=1e-9)


def test_a_number_without_an_effect_stays_what_it_is():
    np.testing.assert_equal(root(lambda c: A, 0.3), 0.3)


@pytest.mark.parametrize("residual", [lambda c: A * np.inf * c, lambda c: A * np.exp(-abs(c)), lambda c: A + 1e-9 * c])
def test_none_where_it_leads_nowhere(residual):
    with np.errstate(all="ignore"):
        number = root(residual, 1.0)
        assert number is None or abs(number) <= LARGEST and np.max(np.abs(residual(number))) < 1e-4


def test_a_residual_that_falls_too_slowly_is_given_up():
    slow = lambda c: A * (c - 1) ** 9
    assert root(slow, 3.0) is not None and root(slow, 3.0, {2: 1e-6}) is None
