"""Certificates: expected values from the objective alone, in decimals or fractions.  Derivation: derivations/judges.md

No derivative formula stands here.  A gradient is a central difference of the objective, and so is every inner gradient.
Numbers are `Decimal` at 100 and again at 120 digits, with steps so small that the two agree to 30 digits or more; for
quadratic losses they are `Fraction`, on which a central difference in θ is exact for every step.
"""

from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.bicomplex import COMPLEX
from refmeta.oracle.decimals import Central, Inputs, Steps, flattened
from refmeta.oracle.suite import Suite

__all__ = ["agreement", "certified", "converted", "evaluated", "real_part"]

PRECISIONS = (100, 120)


def certified(suite: Suite, x: Inputs, part: str) -> tuple[list[Any], int]:
    """A part of a vector's input, one entry for each task, and the digits to which two precisions agree.

    Eq: decimal-certificate

    The digits are 0 where the value is exact, in fractions.
    """
    if part in suite.rational:
        one = Central(Fraction(1))
        return suite.definition(part, converted(suite, x, Fraction), Steps(one, one, one)), 0
    values = []
    for digits in PRECISIONS:
        with localcontext() as context:
            context.prec = digits
            inner, outer = Central(Decimal(10) ** (-3 * digits // 10)), Central(Decimal(10) ** (-digits // 5))
            values.append(suite.definition(part, converted(suite, x, Decimal), Steps(inner, outer, outer)))
    return values[-1], agreement(*values)


def evaluated(suite: Suite, x: Inputs, part: str) -> Array:
    """A part of a vector's input in complex numbers: its derivatives by complex steps, to double precision."""
    return real_part(suite.definition(part, converted(suite, x, complex), COMPLEX))


def real_part(nested: list[Any]) -> Array:
    """The real parts of a nested list of numbers."""
    return np.real(np.array(nested, dtype=complex))


def converted(suite: Suite, x: Inputs, kind: Callable[[Any], Any]) -> Inputs:
    """Every number exactly as one of a kind; the integers of inputs that hold integers, and None, stay."""
    return {name: _converted(value, suite.inputs[name].kind, kind) for name, value in x.items()}


def _converted(value: Any, holds: str, kind: Callable[[Any], Any]) -> Any:
    """One input, at any depth of its lists."""
    if isinstance(value, list):
        return [_converted(entry, holds, kind) for entry in value]
    stays = value is None or isinstance(value, int) and holds != "number"
    return value if stays else kind(value)


def agreement(one: Any, other: Any) -> int:
    """The number of decimal digits, relative to the largest entry, to which two results agree."""
    a, b = flattened(one)[0], flattened(other)[0]
    gap = max((abs(x - y) for x, y in zip(a, b, strict=True)), default=Decimal(0))
    size = max((abs(y) for y in b), default=Decimal(0))
    return PRECISIONS[0] if gap == 0 else int((size / gap).log10()) if size > 0 else 0
