"""Certificates: expected values from the objective alone, in decimals or fractions.  Derivation: derivations/judges.md

No derivative formula stands here.  A gradient is a central difference of the objective, and so is every inner gradient.
Numbers are `Decimal` at 100 and again at 120 digits, with steps so small that the two agree to 30 digits or more; for
quadratic losses they are `Fraction`, on which a central difference in θ is exact for every step.
"""

from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import partial
from typing import Any

from refmeta.oracle.decimals import Central, Inputs, Steps, flatten, map_numbers
from refmeta.oracle.suite import Suite

__all__ = ["agreement", "certificate", "exact_inputs"]

PRECISIONS = (100, 120)


def certificate(suite: Suite, x: Inputs, part: str) -> tuple[list[Any], int]:
    """A part of a vector's input, one entry for each task, and the digits to which two precisions agree.

    Eq: decimal-certificate

    The digits are 0 where the value is exact, in fractions.
    """
    if part in suite.rational:
        one = Central(Fraction(1))
        return suite.definition(part, exact_inputs(suite, x, Fraction), Steps(one, one, one)), 0
    values = []
    for digits in PRECISIONS:
        with localcontext() as context:
            context.prec = digits
            inner, outer = Central(Decimal(10) ** (-3 * digits // 10)), Central(Decimal(10) ** (-digits // 5))
            values.append(suite.definition(part, exact_inputs(suite, x, Decimal), Steps(inner, outer, outer)))
    return values[-1], agreement(*values)


def exact_inputs(suite: Suite, x: Inputs, number: Callable[[Any], Any]) -> Inputs:
    """The inputs with every number in another arithmetic; None, words, and integers where the input may hold them, stay."""

    def convert(value: Any, kind: str) -> Any:
        return value if value is None or isinstance(value, str) or isinstance(value, int) and kind != "number" else number(value)

    return {name: map_numbers(partial(convert, kind=suite.inputs[name].kind), value) for name, value in x.items()}


def agreement(one: Any, other: Any) -> int:
    """The number of decimal digits, relative to the largest entry, to which two results agree."""
    a, b = flatten(one)[0], flatten(other)[0]
    gap = max((abs(x - y) for x, y in zip(a, b, strict=True)), default=Decimal(0))
    size = max((abs(y) for y in b), default=Decimal(0))
    return PRECISIONS[0] if gap == 0 else int((size / gap).log10()) if size > 0 else 0
