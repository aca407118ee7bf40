"""exp and ln of decimals: every digit is that of the standard library."""

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refmeta.oracle import nearby

centres = st.decimals(-30, 30, places=12) | st.floats(-9, 9).map(Decimal) | st.sampled_from([Decimal(0), Decimal(1), Decimal("1e-40")])
DIGITS = [16, 50, 100, 120]


def assert_every_digit(x, digits):
    with localcontext() as context:
        context.prec = digits
        assert nearby.exponential(x) == x.exp()
        if x > 0:
            assert nearby.logarithm(x) == x.ln()


@given(centre=centres, moves=st.lists(st.tuples(st.integers(-10**9, 10**9), st.integers(0, 130)), min_size=1, max_size=4))
def test_every_digit_is_that_of_decimal_however_near_the_numbers_lie(centre, moves):
    """Numbers around one centre, from 1e-130 to 1 away from it, at four precisions in turn."""
    with localcontext() as context:
        context.prec = 160
        near = [centre, *(centre + Decimal(mantissa).scaleb(-9 - power) for mantissa, power in moves)]
    for digits in DIGITS:
        for x in near:
            assert_every_digit(x, digits)


@pytest.mark.parametrize("digits", DIGITS)
def test_numbers_at_the_ends(digits):
    for text in ("99.99", "-99.99", "100", "-100", "700.5", "-1e4", "1e-300", "-1e-300", "1e99", "3e250", "0.99999999999999999", "1.0000000000000000001"):
        if abs(Decimal(text)) < 1e5:
            assert_every_digit(Decimal(text), digits)
        else:
            with localcontext() as context:
                context.prec = digits
                assert nearby.logarithm(Decimal(text)) == Decimal(text).ln()
