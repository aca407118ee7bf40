"""Softmax policies whose logits are linear in the parameters.  Derivation: derivations/softmax-policies.md

A policy is a softmax between two linear maps: `logits` maps parameters (or a direction) to logits, and `pullback`, its
transpose, maps gradients back.  The tabular policy is the linear one with features Φ = I.

Both policies have `log_prob`, `score`, `score_hvp` and `sample`.  In them the batch axes of theta broadcast with the
shape of `state` and `action`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from refmeta.arrays import (
    Array,
    as_count,
    as_generator,
    as_integers,
    as_parameters,
    as_real,
    batch_shape,
    entry,
    finite_result,
    matvec,
    one_hot,
    reduce_record,
    replace_fields,
)
from refmeta.softmax import centred, log_softmax, one_hot_minus, softmax

__all__ = ["LinearSoftmax", "Softmax", "TabularSoftmax"]


def _logits_at(policy: Any, theta: ArrayLike, state: ArrayLike, name: str = "theta") -> Array:
    """The logits (..., A) at `state`; messages call theta `name`."""
    table = finite_result(policy.table)(as_parameters(theta, name, dim=policy.dim, why=policy.why))
    s = as_integers(state, "state", below=policy.states)
    batch = batch_shape(**{name: table.shape[:-2], "state": s.shape})
    wide = np.broadcast_to(table, batch + table.shape[-2:])
    return np.take_along_axis(wide, np.broadcast_to(s, batch)[..., None, None], axis=-2)[..., 0, :]


def _pullback_at(policy: Any, row: Array, state: ArrayLike) -> Array:
    """`pullback` of the table that holds `row` (..., A) at `state` and zeros elsewhere."""
    here = np.arange(policy.states) == np.asarray(state)[..., None]
    return policy.pullback(here[..., None] * row[..., None, :])


def _one_hot(policy: Any, action: ArrayLike, **rows: Array) -> Array:
    """e_a, (..., A), whose batch axes broadcast with those of the rows (..., A)."""
    e = one_hot(as_integers(action, "action", below=policy.actions), policy.actions)
    batch_shape(action=e.shape[:-1], **{name: row.shape[:-1] for name, row in rows.items()})
    return e


@finite_result
def _log_prob(self: Any, theta: ArrayLike, state: ArrayLike, action: ArrayLike) -> Array:
    """log π(a|s)."""
    row = _logits_at(self, theta, state)
    return np.sum(np.where(_one_hot(self, action, state=row) == 1, log_softmax(row), 0), axis=-1)


@finite_result
def _score(self: Any, theta: ArrayLike, state: ArrayLike, action: ArrayLike) -> Array:
    """∇ log π(a|s), (..., d): e_a − π in the logits of s.

    Eq: score
    """
    row = _logits_at(self, theta, state)
    return _pullback_at(self, one_hot_minus(softmax(row), _one_hot(self, action, state=row)), state)


@finite_result
def _score_hvp(self: Any, theta: ArrayLike, state: ArrayLike, action: ArrayLike, u: ArrayLike) -> Array:
    """∇² log π(a|s) u, (..., d): −π ⊙ (x − ⟨π, x⟩) in the logits of s, x those of u; the same for every action.

    Eq: score-hvp
    """
    row, x = _logits_at(self, theta, state), _logits_at(self, u, state, "u")
    e, pi = _one_hot(self, action, state=row, u=x), softmax(row)
    return _pullback_at(self, -pi * centred(pi, x) + 0.0 * e, state)


@finite_result
def _sample(self: Any, theta: ArrayLike, state: ArrayLike, rng: Generator | int | None = None) -> Array:
    """One action per state from π(·|s)."""
    pi = softmax(_logits_at(self, theta, state))
    if np.iscomplexobj(pi):
        raise TypeError("theta must be real to sample from the policy, got complex numbers")
    below = np.cumsum(pi, axis=-1)[..., :-1]
    return np.sum(as_generator(rng).random(pi.shape[:-1])[..., None] >= below, axis=-1)


@dataclass(frozen=True)
class TabularSoftmax:
    """π(a|s) = softmax(logits[s])_a, one logit per state and action; theta is the flat table."""

    states: int
    actions: int

    log_prob, score, score_hvp, sample = _log_prob, _score, _score_hvp, _sample

    def __post_init__(self) -> None:
        for name in ("states", "actions"):
            object.__setattr__(self, name, as_count(getattr(self, name), name, least=1))

    @property
    def shape(self) -> tuple[int, ...]:
        """The batch axes: none."""
        return ()

    @property
    def dim(self) -> int:
        """The number of parameters, states x actions."""
        return self.states * self.actions

    @property
    def why(self) -> str:
        """The factors of the number of parameters, for error messages."""
        return f" = {self.states} states x {self.actions} actions"

    def logits(self, theta: ArrayLike) -> Array:
        """theta (..., d) as the table (..., S, A)."""
        return self.table(as_parameters(theta, dim=self.dim, why=self.why))

    def table(self, theta: Array) -> Array:
        """`logits` of θ, or of a direction of θ; the argument must have been checked."""
        return theta.reshape(*theta.shape[:-1], self.states, self.actions)

    def pullback(self, g: Array) -> Array:
        """The transpose of `logits`: g (..., S, A) flat, (..., d); g must have been checked."""
        return g.reshape(*g.shape[:-2], self.dim)

    def entry(self, index: int | slice, shape: tuple[int, ...]) -> "TabularSoftmax":
        """The policy of task `index`, the same for all tasks."""
        return self


@dataclass(frozen=True, eq=False)
class LinearSoftmax:
    """π(a|s) = softmax(Φ(s) θ)_a with features Φ (..., S, A, d), one row per state and action."""

    features: Array

    __reduce__ = reduce_record
    log_prob, score, score_hvp, sample = _log_prob, _score, _score_hvp, _sample

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", as_real(self.features, "features"))
        if self.features.ndim < 3 or 0 in self.features.shape[-3:]:
            raise ValueError(f"features has shape {self.features.shape}, expected (..., S, A, d), none of them 0")

    @property
    def states(self) -> int:
        """The number of states."""
        return self.features.shape[-3]

    @property
    def actions(self) -> int:
        """The number of actions."""
        return self.features.shape[-2]

    @property
    def shape(self) -> tuple[int, ...]:
        """The batch axes of the features."""
        return self.features.shape[:-3]

    @property
    def dim(self) -> int:
        """The number of features."""
        return self.features.shape[-1]

    @property
    def why(self) -> str:
        """The factors of the number of parameters, for error messages."""
        return " = the number of features"

    @property
    def _matrix(self) -> Array:
        """Φ as a matrix (..., S·A, d)."""
        return self.features.reshape(*self.shape, self.states * self.actions, self.dim)

    def logits(self, theta: ArrayLike) -> Array:
        """Φθ for theta (..., d), as a table (..., S, A).

        Eq: linear-features
        """
        theta = as_parameters(theta, dim=self.dim, why=self.why)
        batch_shape(theta=theta.shape[:-1], features=self.shape)
        return finite_result(self.table)(theta)

    def table(self, theta: Array) -> Array:
        """`logits` of θ, or of a direction of θ; the argument must have been checked."""
        table = matvec(self._matrix, theta)
        return table.reshape(*table.shape[:-1], self.states, self.actions)

    def pullback(self, g: Array) -> Array:
        """Φᵀg, (..., d): the transpose of `logits`; g (..., S, A) must have been checked.

        Eq: linear-features
        """
        return matvec(self._matrix.swapaxes(-1, -2), g.reshape(*g.shape[:-2], self.states * self.actions))

    def entry(self, index: int | slice, shape: tuple[int, ...]) -> "LinearSoftmax":
        """The policy of task `index`, where the tasks have the batch axes `shape`."""
        return replace_fields(self, features=entry(self.features, index, shape, core=3))


Softmax = TabularSoftmax | LinearSoftmax
