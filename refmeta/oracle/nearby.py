"""exp and ln of decimals, quick where a number near by was asked before.  Derivation: derivations/judges.md

A difference moves a number by 1e-20 or less.  So x is first rounded to 16 digits, to c: eᶜ and ln c are remembered, and a
short series gives the rest.  The results are those of `decimal`, correctly rounded, to the last digit: fifteen more digits
give a bound below and one above, and where these are not rounded to the same number, `decimal` itself is asked.
"""

import math
from decimal import Context, Decimal, getcontext
from functools import lru_cache
from typing import NamedTuple

__all__ = ["exponential", "logarithm"]

MORE, TERMS = 15, 11  # digits beyond those asked for; terms of the series
MOST = 120  # digits that the series have
ROUGH = Context(prec=16)
LARGEST = 100  # |x| for exp, so that what is left of x is at most 1e-14


class _Digits(NamedTuple):
    """More digits: their context, 1 ± 10⁻¹³ of the last digit asked for, and the coefficients of two series, the last ones first."""

    context: Context
    below: Decimal
    above: Decimal
    of_exp: tuple[Decimal, ...]
    of_ln: tuple[Decimal, ...]


@lru_cache(8)
def _more(digits: int) -> _Digits:
    """The series are those of exp and, by w² and without its 1, of artanh(w)/w."""
    context, least = Context(prec=digits + MORE), Decimal(1).scaleb(2 - digits - MORE)
    powers = (math.factorial(n) for n in reversed(range(TERMS)))
    of_exp, of_ln = (context.divide(1, n) for n in powers), (context.divide(1, n) for n in (9, 7, 5, 3))
    return _Digits(context, context.subtract(1, least), context.add(1, least), tuple(of_exp), tuple(of_ln))


@lru_cache(1 << 14)
def _at(function: str, centre: Decimal, digits: int) -> tuple[Decimal, Decimal]:
    """exp or ln of a number of 16 digits, with more digits, times 1 ± their error."""
    more = _more(digits)
    value = getattr(more.context, function)(centre)
    return more.context.multiply(value, more.below), more.context.multiply(value, more.above)


def exponential(x: Decimal) -> Decimal:
    """eˣ = eᶜ Σ (x − c)ⁿ/n!."""
    now = getcontext()
    if x.is_nan() or now.prec > MOST or not -LARGEST < x < LARGEST:
        return x.exp()
    context, _, _, coefficients, _ = _more(now.prec)
    centre = ROUGH.plus(x)
    rest, series = context.subtract(x, centre), Decimal(0)
    for coefficient in coefficients:
        series = context.fma(series, rest, coefficient)
    below, above = _at("exp", centre, now.prec)
    value = now.multiply(below, series)
    return value if value == now.multiply(above, series) else x.exp()


def logarithm(x: Decimal) -> Decimal:
    """ln x = ln c + 2 artanh w, w = (x − c)/(x + c)."""
    now = getcontext()
    if x.is_nan() or now.prec > MOST or not 0 < x < 1e100:
        return x.ln()
    context, less, more, _, coefficients = _more(now.prec)
    centre = ROUGH.plus(x)
    w = context.divide(context.subtract(x, centre), context.add(x, centre))
    square, series = context.multiply(w, w), Decimal(0)
    for coefficient in coefficients:
        series = context.fma(series, square, coefficient)
    below, above = _at("ln", centre, now.prec)
    twice = context.multiply(2, w)
    value = now.fma(context.fma(series, square, less), twice, below)
    return value if value == now.fma(context.fma(series, square, more), twice, above) else x.ln()
