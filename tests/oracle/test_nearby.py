"""exp and ln of decimals: every digit is that of the standard library."""

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refmeta.oracle import nearby

centres = st.decimals(-30, 30, places=12) | st.floats(-9, 9).map(Decimal) | st.sampled_from([Decimal(0), Decimal(1), Decimal("1e-40")])
DIGITS = [16, 50, 100, 120]
HALFWAY = ("0.9999999999999999999999999970", "0.9999999999999999999999999930", "1.0000000000000000000000000010")  # ln is -3.000...0045 - 9e-81


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


@pytest.mark.parametrize("text", HALFWAY)
@pytest.mark.parametrize("digits", [27, 28, 29])
def test_a_result_that_is_all_but_halfway_between_two_numbers_is_rounded_to_the_nearer_one(text, digits):
    assert_every_digit(Decimal(text), digits)


@pytest.mark.parametrize("digits", [150, 200, 400])
def test_more_digits_than_the_series_have_are_those_of_decimal(digits):
    for text in ("99.99999999999999999", "1.00000000000000049", "0.3333333333333333333333", "7.25"):
        assert_every_digit(Decimal(text), digits)


@pytest.mark.parametrize("function", [nearby.exponential, nearby.logarithm])
def test_what_is_no_number_stays_so(function):
    assert function(Decimal("NaN")).is_nan()
