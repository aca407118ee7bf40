"""The numbers of a case of which a factor may be made, and the simplest formulas that give some values.

Derivation: derivations/using-the-oracle.md
"""

import itertools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, reduce
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.match import inputs_of, task_count
from refmeta.oracle.sizes import INTEGERS
from refmeta.oracle.suite import Case

__all__ = ["CONSTANTS", "LETTERS", "Formula", "Value", "constant", "formulas", "numbers_of", "number_text"]

LETTERS = {"alpha": "α", "gamma": "γ", "lam": "λ", "epsilon": "ε", "beta": "β"}
WORDS = {"N": "the number of tasks", "d": "the number of parameters", "K": "the number of steps"}
CONSTANTS = {"1": 1.0, "−1": -1.0, "½": 0.5, "−½": -0.5, "2": 2.0, "−2": -2.0}
SIMPLEST = {"1": 0.0, "−1": 1.0, "½": 1.0, "2": 1.0, "−½": 1.5, "−2": 1.5}
MOST, FEW = 6, 4
Value = Callable[[Case], Array | float]


class Formula(NamedTuple):
    """A number of a case: in words, what it is, and how complicated; a row of numbers where each task has its own."""

    text: str
    value: Value
    cost: float


@lru_cache(maxsize=1024)
def numbers_of(case: Case) -> Mapping[str, Array]:
    """The sizes, the number inputs, 1 − γ and the like, and what the suite adds; those that are not 0 alone."""
    x = dict(inputs_of(case))
    sizes = {"N": float(task_count(case))} | {name: float(size) for name, size in case.about.sizes_of(x).items()}
    scalars = {LETTERS.get(n, n): float(v) for n, v in x.items() if isinstance(v, (int, float)) and n not in INTEGERS}
    scalars |= {f"(1 − {name})": 1 - scalars[name] for name in ("γ", "λ", "ε") if name in scalars}
    less = {f"({name} − 1)": size - 1 for name, size in sizes.items()}
    more = sizes | scalars | {n: v for n, v in case.about.numbers(case.problem).items()}
    every = {name: np.asarray(value, float) for name, value in (more | less).items()}
    return {name: value for name, value in every.items() if np.isfinite(value).all() and np.all(value != 0)}


def constant(number: float) -> Formula:
    """The same number in every case; one of a few digits is simpler."""
    text = number_text(number)
    return Formula(text, lambda case: number, 1.2 if len(text) <= FEW else 2.5)


def number_text(number: float) -> str:
    """A number to twelve digits."""
    return f"{number:.12g}".replace("-", "−")


def formulas(cases: Sequence[Case], values: Sequence[Array | float], errors: Sequence[float]) -> list[Formula]:
    """The simplest formulas that give the values, to relative errors: the constant first, then by their cost."""
    counts = [np.size(value) for value in values]
    wanted, doubt = np.concatenate([np.ravel(v) for v in values]), np.repeat(np.asarray(errors, float), counts)

    def close(table: Array | float) -> Any:
        return np.all(np.abs(table - wanted) <= doubt * np.abs(wanted), axis=-1)

    same = [constant(c)._replace(text=t, cost=SIMPLEST[t]) for t, c in CONSTANTS.items() if close(c)]
    bases = _table(cases, counts)
    names, table = list(bases), np.array(list(bases.values())).reshape(len(bases), len(wanted))
    found = list(same)
    for powers, rows in _products(table):
        product = _product(table, rows, powers)
        for text, c in CONSTANTS.items():
            kept = rows[close(c * product) & np.any(np.abs(product - 1) > 1e-12, axis=-1)]
            found += [_formula(text, [(names[i], p) for i, p in zip(row, powers, strict=True)])
                      for row in kept]  # fmt: skip
    return sorted(found, key=lambda f: f.cost)[:MOST]


def _table(cases: Sequence[Case], counts: Sequence[int]) -> dict[str, Array]:
    """The numbers that all cases have, row by row; none that is 1 everywhere, and of equal sizes both."""
    every = [numbers_of(case) for case in cases]
    shared = [n for n in every[0] if all(n in x and np.size(x[n]) in (1, c) for x, c in zip(every, counts, strict=True))]
    rows = {n: np.concatenate([np.broadcast_to(x[n].ravel(), c) for x, c in zip(every, counts, strict=True)]) for n in shared}
    return {name: row for name, row in rows.items() if np.any(row != 1)}


def _products(table: Array) -> Iterator[tuple[tuple[float, ...], Array]]:
    """The powers, and the rows of the table that are taken to them: one number, and two."""
    one = np.arange(len(table))[:, None]
    two = np.array(list(itertools.combinations(range(len(table)), 2)), int).reshape(-1, 2)
    yield from (((p,), one) for p in (1, -1, 2, -2))
    yield from (((p,), one[np.all(table > 0, axis=1)]) for p in (0.5, -0.5))
    yield from ((p, two) for p in ((1, 1), (-1, -1), (1, -1), (-1, 1)))


def _product(table: Array, rows: Array, powers: tuple[float, ...]) -> Array:
    """The products of the rows of the table, each to its power."""
    return np.prod([table[rows[:, j]] ** p for j, p in enumerate(powers)], axis=0)


def _formula(sign: str, parts: list[tuple[str, float]]) -> Formula:
    """A constant times powers of numbers, in words."""
    over, under = ([_power(n, abs(p), len(parts)) for n, p in parts if p * s > 0] for s in (1, -1))
    lead = {"1": "", "−1": "−"}.get(sign, sign)
    top = lead + "·".join(over) if over else lead + "1" * (lead in ("", "−"))
    bottom = "·".join(under) if len(under) < 2 else f"({'·'.join(under)})"
    text = f"{top}/{bottom}" if under else top if top != f"({top[1:-1]})" else top[1:-1]
    alone = [n for n, _ in parts if len(parts) == 1 and n in WORDS]
    related = len(parts) == 2 and f"({parts[0][0]} − 1)" == parts[1][0]
    cost = SIMPLEST[sign] + sum(max(p, -p, 1.5 * (p % 1 > 0)) + 0.5 * ("1" in n) for n, p in parts) - 0.5 * related
    words = "".join(f", {n + ' ' if under or lead else ''}{WORDS[n]}" for n in alone)
    return Formula(text + words, lambda case: _evaluate(case, CONSTANTS[sign], parts), cost)


def _power(name: str, power: float, count: int) -> str:
    """A number to a positive power, in brackets where it is a product of several words."""
    name = f"({name})" if " " in name and name[0] != "(" and (count > 1 or power != 1) else name
    return f"√{name}" if power == 0.5 else f"{name}{'²' * (power == 2)}"


def _evaluate(case: Case, lead: float, parts: list[tuple[str, float]]) -> Array | float:
    """The formula on a case; NaN where the case lacks a number."""
    numbers = numbers_of(case)
    return reduce(operator.mul, (numbers[n] ** p if n in numbers else np.asarray(np.nan) for n, p in parts), lead)
