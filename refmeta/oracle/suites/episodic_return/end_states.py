"""Which states implementations take for ends, the right alternative first.  Derivation: derivations/exact-policy-gradient.md

None is what is right: the states that are declared.
"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.episodic_return.ends import Table

__all__ = ["STATES"]


def _only(index: int) -> Callable[[Table], Array]:
    """One state."""
    return lambda t: 0 * t.end + (np.arange(t.end.shape[-1]) == index % t.end.shape[-1])


def _first(t: Table) -> Array:
    """The first of the ends that are declared; none where there is none."""
    return t.end * (np.cumsum(t.end, axis=-1) == 1)


def _last(t: Table) -> Array:
    """The last of them."""
    return t.end * (np.cumsum(t.end[..., ::-1], axis=-1)[..., ::-1] == 1)


def _unpaid(t: Table) -> Array:
    """The states where no action pays anything."""
    return 1.0 * np.all(t.R * (t.P > 0) == 0, axis=(-2, -1))


def _unmoving(t: Table) -> Array:
    """The states that no action leaves."""
    return 1.0 * np.all(np.einsum("nsas->nsa", t.P) == 1, axis=-1)


def _or(a: Array, b: Array) -> Array:
    """1 where one of the two is."""
    return np.maximum(a, b)


STATES: dict[str, Callable[[Table], Array] | None] = {
    "those declared": None,
    "none": lambda t: 0 * t.end,
    "the last state": _only(-1),
    "the first state": _only(0),
    "the first that is declared": _first,
    "the last that is declared": _last,
    "those of the first task": lambda t: 0 * t.end + t.end[:1],
    "those of the next task": lambda t: np.roll(t.end, -1, axis=0),
    "those of any task": lambda t: 0 * t.end + np.max(t.end, axis=0),
    "those of every task": lambda t: 0 * t.end + np.min(t.end, axis=0),
    "states that pay nothing": _unpaid,
    "those declared, and states that pay nothing": lambda t: _or(t.end, _unpaid(t)),
    "states that stay where they are": _unmoving,
    "those declared that stay where they are": lambda t: t.end * _unmoving(t),
    "the others": lambda t: 1 - t.end,
    "those declared, and the last state": lambda t: _or(t.end, _only(-1)(t)),
    "those declared, and the first state": lambda t: _or(t.end, _only(0)(t)),
    "~ of whole numbers, -1 and -2 for 1 and 0": lambda t: 2 + t.end,
    "those declared, shifted by one": lambda t: np.roll(t.end, 1, axis=-1),
}  # fmt: skip
