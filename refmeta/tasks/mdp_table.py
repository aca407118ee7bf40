"""A process from a table of transitions as gymnasium has them.  Derivation: derivations/exact-policy-gradient.md"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_count, as_fraction, as_real, as_real_scalar

__all__ = ["Arrays", "process_arrays"]


class Arrays(NamedTuple):
    """P (S, A, S), R (S, A, S), rho (..., S) and the ends (S,) of a table; the last state may have been added as an end."""

    P: Array
    R: Array
    rho: Array
    terminal: Array


class _Rows(NamedTuple):
    """The transitions of a table with p > 0, one entry each: s, a, p, s', r and done."""

    state: Array
    action: Array
    probability: Array
    following: Array
    reward: Array
    done: Array


def process_arrays(table: Any, rho: ArrayLike) -> Arrays:
    """The arrays of `{s: {a: [(p, s', r, done), ...]}}`, where `done` belongs to the transition.

    A state becomes an end if every transition into it from another state is done, and rho is 0 there; its own rows are
    dropped.  All other done transitions lead to one end that is added as the last state.  R[s, a, s'] is the mean reward
    of the transitions that lead there.

    Raises
    ------
    ValueError, TypeError
        For a table that is not of this form, with the state and the action.
    """
    states = _keys(table, "the table")
    actions = _keys(table[0], "the table[0]")
    rho = as_real(rho, "rho")
    if rho.shape[-1:] != (states,):
        raise ValueError(f"rho has shape {rho.shape}, expected last axis {states} = the number of states of the table")
    if not (transitions := list(_transitions(table, states, actions))):
        raise ValueError("no transition of the table has p > 0; the p of one state and action must sum to 1")
    rows = _Rows(*(np.array(column) for column in zip(*transitions, strict=True)))
    end = _ends(rows, states) & ~np.any(rho > 0, axis=tuple(range(rho.ndim - 1)))
    added = bool(np.any(rows.done & ~end[rows.following] & ~end[rows.state]))
    rows = rows._replace(following=np.where(rows.done & ~end[rows.following], states, rows.following))
    end = np.append(end, added)[: states + added]
    P, R = _arrays(rows, end, actions)
    return Arrays(P, R, np.concatenate([rho, np.zeros((*rho.shape[:-1], int(added)))], axis=-1), end)


def _ends(rows: _Rows, states: int) -> Array:
    """The states that are entered from another state, and by done transitions only, (S,)."""
    outside = rows.following[rows.state != rows.following]
    done = rows.done[rows.state != rows.following]
    entered, undone = np.bincount(outside, minlength=states), np.bincount(outside[~done], minlength=states)
    return (entered > 0) & (undone == 0)


def _arrays(rows: _Rows, end: Array, actions: int) -> tuple[Array, Array]:
    """P and R; an end stays where it is and pays nothing."""
    kept = _Rows(*(column[~end[rows.state]] for column in rows))
    shape = (len(end), actions, len(end))
    P, paid = np.zeros(shape), np.zeros(shape)
    where = kept.state, kept.action, kept.following
    np.add.at(P, where, kept.probability)
    np.add.at(paid, where, kept.probability / P[where] * kept.reward)
    P[end] = np.eye(len(end))[end][:, None]
    return P, paid


def _keys(level: Any, name: str) -> int:
    """The number of entries of a mapping with the keys 0, 1, …, or of a sequence; at least 1."""
    if not isinstance(level, Mapping | Sequence) or isinstance(level, str):
        raise TypeError(f"{name} must be a dict or a list, got {type(level).__name__}")
    if not level or isinstance(level, Mapping) and set(level) != set(range(len(level))):
        got = f"the keys {', '.join(map(repr, list(level)[:9]))}" if level else "none"
        raise ValueError(f"{name} must have the keys 0, 1, 2 and so on, got {got}")
    return len(level)


def _transitions(table: Any, states: int, actions: int) -> Iterator[tuple[int, int, float, int, float, bool]]:
    """s, a, p, s', r and done of every transition with p > 0, checked."""
    for s in range(states):
        if (got := _keys(table[s], f"the table[{s}]")) != actions:
            raise ValueError(f"the table[{s}] has {got} actions, expected {actions} as state 0")
        for a in range(actions):
            if not isinstance(table[s][a], Sequence) or not table[s][a]:
                raise ValueError(f"the table[{s}][{a}] must be a list of transitions (p, s', r, done), got {table[s][a]!r}")
            for i, entry in enumerate(table[s][a]):
                p, following, reward, done = _transition(entry, f"the table[{s}][{a}][{i}]", states)
                if p > 0:
                    yield s, a, p, following, reward, done


def _transition(entry: Any, name: str, states: int) -> tuple[float, int, float, bool]:
    """p, s', r and done."""
    if not isinstance(entry, Sequence) or len(entry) != 4:
        raise ValueError(f"{name} must be a transition (p, s', r, done), got {entry!r}")
    p, following, reward, done = entry
    if not isinstance(done, bool | np.bool_):
        raise TypeError(f"done in {name} must be True or False, got {done!r}")
    following = as_count(following, f"s' in {name}", most=states - 1)
    return as_fraction(p, f"p in {name}"), following, as_real_scalar(reward, f"r in {name}"), bool(done)
