"""How one list of numbers departs from another: a factor, a term, an order, entries that are missing.

Derivation: derivations/judges.md
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array

__all__ = ["Comparison", "departures"]

CLOSE, SMALLER = 1e-6, 1e-3  # what a departure may leave, relative to the largest entry and to what it explains


class Comparison(NamedTuple):
    """A claimed and a numeric derivative with its error, by entries of θ or along directions, (k,) each.

    `theta` is θ, or its products with the directions; `shape` that of θ where the numbers are entries, else None;
    `entries` how many entries of θ each number is made of; `single`: is yours in single precision?
    """

    yours: Array
    numeric: Array
    error: Array
    theta: Array
    shape: tuple[int, ...] | None
    entries: int
    single: bool

    @property
    def size(self) -> float:
        """The largest numeric derivative, or 1 if all are 0."""
        return float(np.max(np.abs(self.numeric))) or 1.0

    def meets(self, claim: Array) -> bool:
        """Is the claim, which is made of yours, the numeric derivative?"""
        allowed = min(CLOSE * self.size, SMALLER * float(np.max(np.abs(self.yours - self.numeric))))
        return bool(np.all(np.abs(claim - self.numeric) <= 4 * self.error + allowed))


def departures(of: Comparison) -> tuple[str, ...]:
    """What yours computes instead, one sentence per departure that explains every number; or the entries to look at."""
    said = tuple(_found(of))
    return said or (("it is in single precision: convert theta and the data to float64",) if of.single else ())


def _found(of: Comparison) -> Iterator[str]:
    """The departures that explain every number."""
    yours, numeric = of.yours, of.numeric
    square = float(numeric @ numeric)
    factor = float(yours @ numeric) / square if square > 0 else 0.0
    if factor and abs(factor - 1) > CLOSE and of.size > np.max(of.error) and of.meets(yours / factor):
        yield f"it is {_number(factor)} times the right one: {_factor_hint(factor)}"
    term = float((yours - numeric) @ of.theta) / (float(of.theta @ of.theta) or 1.0)
    if abs(term) > 0 and len(yours) > 1 and np.any(np.abs(yours - numeric) > of.error) and of.meets(yours - term * of.theta):
        yield f"it is the right one {'plus' if term > 0 else 'minus'} {_number(abs(term))} times theta: a weight decay stands in one of the two only"
    if of.shape is not None:
        yield from _of_entries(of)


def _of_entries(of: Comparison) -> Iterator[str]:
    """Orders of the entries, and entries that are 0."""
    missing = (of.yours == 0) & (np.abs(of.numeric) > 4 * of.error)
    if np.any(missing) and of.meets(np.where(missing, of.numeric, of.yours)):
        yield f"{_many(int(np.sum(missing)))} 0 where the loss has a slope, the others are right: are these parameters detached, or not used?"
    for a in (a for a in range(2, len(of.yours)) if len(of.yours) % a == 0):
        if of.meets(of.yours.reshape(-1, a).T.ravel()):
            table = f"({len(of.yours) // a}, {a}) for ({a}, {len(of.yours) // a})"
            yield f"its entries are in another order: a table {table}; transpose it, or flatten it with the other order ('C' or 'F')"
            return
    if of.meets(np.sort(of.yours)[np.argsort(np.argsort(of.numeric))]) and len(set(of.yours)) > 1:
        yield "its entries are those of the right one in another order: are the parameters flattened in the same order in both?"


def _many(count: int) -> str:
    """How many entries are."""
    return "one entry is" if count == 1 else f"{count} entries are"


def _number(value: float) -> str:
    """A number as a short fraction where it is one."""
    short = Fraction(value).limit_denominator(1000)
    return str(short) if abs(float(short) - value) <= CLOSE * abs(value) and short else f"{value:.6g}"


def _factor_hint(factor: float) -> str:
    """Where such a factor comes from."""
    if abs(factor + 1) <= CLOSE:
        return "the sign; is the loss minus the objective?"
    return "a mean for a sum, a half, or the loss scaled in one of the two only"
