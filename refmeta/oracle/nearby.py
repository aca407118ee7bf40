"""exp and ln of decimals, quick where a number near by was asked before.  Derivation: derivations/judges.md

A difference moves a number by 1e-20 or less.  So x is first rounded to 16 digits, to c: eᶜ and ln c are remembered, and a
short series gives the rest.  The results are those of `decimal`, correctly rounded, to the last digit: fifteen more are computed.
"""

import math
from decimal import Context, Decimal, getcontext
from functools import lru_cache

__all__ = ["exponential", "logarithm"]

MORE, TERMS = 15, 11  # digits beyond those asked for; terms of the series
ROUGH = Context(prec=16)
LARGEST = 100  # |x| for exp, so that what is left of x is at most 1e-14


@lru_cache(8)
def _context(digits: int) -> tuple[Context, tuple[Decimal, ...], tuple[Decimal, ...]]:
    """More digits, and with them the coefficients of exp and of artanh(w)/w by w², the last ones first."""
    context = Context(prec=digits + MORE)
    powers = (math.factorial(n) for n in reversed(range(TERMS)))
    return context, tuple(context.divide(1, n) for n in powers), tuple(context.divide(1, n) for n in (9, 7, 5, 3, 1))


@lru_cache(1 << 14)
def _at(function: str, centre: Decimal, digits: int) -> Decimal:
    """exp or ln of a number of 16 digits, with more digits."""
    return getattr(_context(digits)[0], function)(centre)


def exponential(x: Decimal) -> Decimal:
    """eˣ = eᶜ Σ (x − c)ⁿ/n!."""
    if not -LARGEST < x < LARGEST:
        return x.exp()
    now = getcontext()
    context, coefficients, _ = _context(now.prec)
    centre = ROUGH.plus(x)
    rest, series = context.subtract(x, centre), Decimal(0)
    for coefficient in coefficients:
        series = context.fma(series, rest, coefficient)
    return now.multiply(_at("exp", centre, now.prec), series)


def logarithm(x: Decimal) -> Decimal:
    """ln x = ln c + 2 artanh w, w = (x − c)/(x + c)."""
    if not 0 < x < 1e100:
        return x.ln()
    now = getcontext()
    context, _, coefficients = _context(now.prec)
    centre = ROUGH.plus(x)
    w = context.divide(context.subtract(x, centre), context.add(x, centre))
    square, series = context.multiply(w, w), Decimal(0)
    for coefficient in coefficients:
        series = context.fma(series, square, coefficient)
    return now.fma(series, context.multiply(2, w), _at("ln", centre, now.prec))
