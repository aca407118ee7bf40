"""What implementations make of the ends of a process, the right alternative first.  Derivation: derivations/exact-policy-gradient.md

None is what is right: the states that are declared are ends, and nothing comes after one.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array

__all__ = ["AFTER", "OWN_ROWS", "Table", "cut", "off_ends", "worth"]


class Table(NamedTuple):
    """P (N, S, A, S), R (N, S, A, S), ρ (N, S), γ, and 1 for the states that are ends, (N, S)."""

    P: Array
    R: Array
    rho: Array
    gamma: float
    end: Array

    @property
    def paid(self) -> Array:
        """The mean of R over the next state, (N, S, A)."""
        return np.asarray(np.sum(self.P * self.R, axis=-1))

    @property
    def going(self) -> Array:
        """1 for the states that are no ends, for each action: (N, S, 1)."""
        return np.asarray(1 - self.end[..., None])

    @property
    def inside(self) -> Array:
        """P without the steps into an end."""
        return np.asarray(self.P * (1 - self.end)[:, None, None, :])

    @property
    def into_ends(self) -> Array:
        """The probability that an end comes next, (N, S, A)."""
        return np.asarray(np.sum(self.P * self.end[:, None, None, :], axis=-1))


Read = tuple[Array, Array, Array]
"""P, the expected reward (N, S, A) and ρ of a process that is summed over all its states."""


def off_ends(table: Table) -> Array:
    """ρ without what stands on ends."""
    return np.asarray(table.rho * (1 - table.end))


def cut(table: Table) -> Read:
    """What is right: no row and no column of an end is left."""
    return table.inside * table.going[..., None], table.paid * table.going, off_ends(table)


def _stays(table: Table) -> Array:
    """P where an end stays where it is."""
    stay = np.eye(table.P.shape[-1])[:, None] * table.end[..., None, None]
    return np.asarray(table.P * table.going[..., None] + stay)


def _changed(change: Callable[[Table], tuple[Array, Array]]) -> Callable[[Table], Read]:
    """Other steps and rewards off the ends."""

    def read(table: Table) -> Read:
        P, r = change(table)
        return P * table.going[..., None], r * table.going, off_ends(table)

    return read


def _ended(ends: Callable[[Table], Array]) -> Callable[[Table], Read]:
    """The pairs of state and action that are followed by nothing; other steps into ends go on into states that are worth 0."""
    return _changed(lambda table: (table.inside * (1 - ends(table))[..., None], table.paid))


def _new_start(table: Table) -> tuple[Array, Array]:
    """After an end the process begins anew."""
    return table.inside + table.into_ends[..., None] * _start(table)[:, None, None, :], table.paid


def _start(table: Table) -> Array:
    """ρ off the ends, made to add to 1 again."""
    return np.asarray(off_ends(table) / np.sum(off_ends(table), axis=-1, keepdims=True))


def _started(table: Table) -> Array:
    """The probability of a start in an end, (N, 1)."""
    return np.asarray(np.sum(table.rho * table.end, axis=-1, keepdims=True))


def _lowest(table: Table) -> Array:
    """1 for the first state that is no end."""
    return 1.0 * (np.arange(table.end.shape[-1]) == np.argmin(table.end, axis=-1)[:, None])


def worth(value: float) -> Callable[[Table], Read]:
    """An end that is worth a number as the next state."""
    return _changed(lambda t: (t.inside, t.paid + t.gamma * value * t.into_ends))


def _again(table: Table) -> tuple[Array, Array]:
    """The rows off the ends add to 1 again."""
    return table.inside / np.sum(table.inside, axis=-1, keepdims=True), table.paid


def _unmoved(table: Table) -> tuple[Array, Array]:
    """A step into an end leaves the state where it is."""
    return table.inside + table.into_ends[..., None] * np.eye(table.P.shape[-1])[:, None], table.paid


def _broken_off(table: Table) -> tuple[Array, Array]:
    """A loop over the next states, in their order, that is left after the first end."""
    ends = table.end[:, None, None, :] * (table.P > 0)
    kept = table.P * (np.cumsum(ends, axis=-1) - ends == 0)
    return kept * (1 - table.end)[:, None, None, :], np.sum(kept * table.R, axis=-1)


def _likely(table: Table) -> Array:
    """Is the likeliest next state an end?"""
    return np.take_along_axis(table.end[:, None, None, :] + 0 * table.P, np.argmax(table.P, axis=-1)[..., None], axis=-1)[..., 0]


AFTER: dict[str, Callable[[Table], Read] | None] = {
    "nothing": None,
    "its own reward, once": lambda t: (t.P * t.going[..., None], t.paid, t.rho),
    "its own reward, for ever": lambda t: (_stays(t), t.paid, t.rho),
    "its own row, where the process starts in it": lambda t: (t.inside, t.paid, t.rho),
    "no reward, but it is visited once": lambda t: (t.P * t.going[..., None], t.paid * t.going, t.rho),
    "no reward, but it is visited for ever": lambda t: (_stays(t), t.paid * t.going, t.rho),
    "a new start": _changed(_new_start),
    "a new start, which may be in an end again": _changed(lambda t: (t.inside + t.into_ends[..., None] * off_ends(t)[:, None, None, :], t.paid)),
    "nothing, and other steps are made to add to 1": _changed(_again),
    "nothing, and the other starts are made to add to 1": lambda t: (*cut(t)[:2], _start(t)),
    "nothing, and a start in it is moved to the first state that is none": lambda t: (*cut(t)[:2], off_ends(t) + _started(t) * _lowest(t)),
    "nothing, and a start in it is moved to any other state alike": lambda t: (*cut(t)[:2], off_ends(t) + _started(t) * (1 - t.end) / np.sum(1 - t.end, axis=-1, keepdims=True)),
    "the value of the state before it": _changed(_unmoved),
    "nothing, and the step into it is not paid": _changed(lambda t: (t.inside, np.sum(t.inside * t.R, axis=-1))),
    "nothing after an action that may lead to it": _ended(lambda t: 1.0 * (t.into_ends > 0)),
    "nothing after an action that most likely leads to it": _ended(_likely),
    "nothing after any action in a state that may end": _ended(lambda t: 0 * t.into_ends + (np.max(t.into_ends, axis=-1, keepdims=True) > 0)),
    "nothing, and the step into it pays the reward of the end instead": _changed(lambda t: (t.inside, np.sum(t.inside * t.R, axis=-1) + _own(t))),
    "nothing, and the step into it is discounted once more": _changed(lambda t: (t.inside, t.paid - (1 - t.gamma) * _into(t))),
    "nothing, and outcomes behind the first that ends are lost": _changed(_broken_off),
    "~done, of whole numbers, times the next value": lambda t: (-t.P * (1 + t.end)[:, None, None, :], t.paid, t.rho),
}  # fmt: skip


def _into(table: Table) -> Array:
    """What the steps into an end pay, (N, S, A)."""
    return np.asarray(np.sum((table.P - table.inside) * table.R, axis=-1))


def _own(table: Table) -> Array:
    """The mean of the rewards of an end, averaged over its actions, where it comes next."""
    return np.einsum("nsat,nt->nsa", table.P * table.end[:, None, None, :], np.mean(table.paid, axis=-1))


OWN_ROWS: dict[str, Callable[[Array, Array], Array] | None] = {
    "0": None,
    "its own reward": lambda paid, ahead: paid + 0 * ahead,
    "its own reward, and what follows by its own row": lambda paid, ahead: paid + ahead,
    "what follows by its own row": lambda paid, ahead: ahead,
}
"""Q in an end, of the expected reward and γPV."""
