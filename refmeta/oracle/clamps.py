"""Clamped softmax policies and classifiers, as tasks.  Derivation: derivations/softmax-policies.md

A bound that nothing reaches changes nothing: there, a task's points are those of the library.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.bicomplex import COMPLEX, FirstUnit, real_part
from refmeta.oracle.decimals import Loss, Vector, gradient, policy_return, softmax, softmax_regression
from refmeta.oracle.epsilons import ChangedTask, logits
from refmeta.oracle.known import EVERY, Wrong, wrong
from refmeta.oracle.limits import between
from refmeta.softmax import softmax as probabilities

__all__ = ["CLAMPED_LOGITS", "CLAMPED_PROBABILITIES", "ClampedSoftmax", "NumericPoint", "clamp_rows", "with_softmax"]


@dataclass(frozen=True)
class ClampedSoftmax:
    """The softmax of logits in [−logit, logit], with probabilities of at least `least`; as it is where neither is reached."""

    logit: float = np.inf
    least: float = 0.0

    def __call__(self, x: Vector) -> Vector:
        """max(softmax(x in bounds), least)."""
        return [between(p, self.least, np.inf) for p in softmax([between(z, -self.logit, self.logit) for z in x])]

    def changes(self, logits: Array) -> bool:
        """Does a row of logits reach a bound?"""
        return bool(np.max(np.abs(logits)) > self.logit or np.min(probabilities(logits)) < self.least)


CLAMPED_LOGITS, CLAMPED_PROBABILITIES = ClampedSoftmax(logit=10.0), ClampedSoftmax(least=1e-6)


@dataclass(frozen=True, eq=False)
class NumericPoint:
    """Losses, one per task, at θ (N, d); the derivatives are complex steps."""

    theta: Array
    losses: tuple[Loss, ...]

    @cached_property
    def loss(self) -> Array:
        """L."""
        return real_part([loss([complex(t) for t in row]) for loss, row in self._rows()])

    @cached_property
    def grad(self) -> Array:
        """∇L."""
        return np.stack([gradient(loss, row, COMPLEX.outer) for loss, row in self._rows()])

    def hvp(self, v: Array) -> Array:
        """∇²L v: the slope of the gradient along v."""
        h, ways = FirstUnit().h, np.broadcast_to(v, self.theta.shape)
        moved = [
            gradient(loss, [complex(t, h * u) for t, u in zip(row, way, strict=True)], COMPLEX.inner)
            for (loss, row), way in zip(self._rows(), ways, strict=True)
        ]
        return np.imag(np.array(moved, dtype=complex)) / h

    def _rows(self) -> list[tuple[Loss, list[float]]]:
        """Each task's loss and its parameters."""
        return list(zip(self.losses, self.theta.tolist(), strict=True))


def with_softmax(task: Any, use: ClampedSoftmax) -> Any:
    """A return or a softmax regression with a clamped softmax; AttributeError for other tasks."""
    losses = tuple(_returns(task, use) if hasattr(task, "mdp") else _entropies(task, use))

    def point(task: Any, theta: Array) -> Any:
        return NumericPoint(theta, losses) if use.changes(_logits(task, theta)) else task.at(theta)

    return ChangedTask(task, point)


def clamp_rows(result: Callable[[Any, ClampedSoftmax], Any], quantity: str = EVERY) -> tuple[Wrong, Wrong]:
    """The known-wrong formulas with clamped probabilities and with clamped logits, from a suite's result with such a softmax."""
    of_probabilities = wrong(
        "probabilities-clamped", "max(π, 1e-6) for π", quantity=quantity, chapter="softmax-policies",
        cause="probabilities are kept away from 0, and their gradient is cut there",
        hint="PyTorch: probs.clamp(min=1e-6)", repair="log_softmax, which needs no clamp",
    )  # fmt: skip
    of_logits = wrong(
        "logits-clamped", "logits in [−10, 10]", quantity=quantity, chapter="softmax-policies",
        cause="logits are clamped against overflow, and their gradient is cut there",
        hint="logits.clamp(-10, 10)", repair="subtract the largest logit from all",
    )  # fmt: skip
    return of_probabilities(lambda problem: result(problem, CLAMPED_PROBABILITIES)), of_logits(lambda problem: result(problem, CLAMPED_LOGITS))


def _returns(task: Any, use: ClampedSoftmax) -> list[Loss]:
    """−J of every task."""
    mdp, features = task.mdp, getattr(task.policy, "features", None)
    rest = {"gamma": float(mdp.gamma), "horizon": mdp.horizon, "features": None if features is None else features.tolist()}
    arrays = (mdp.onward, 3), (mdp.expected_reward, 2), (mdp.rho, 1)
    each = zip(*(np.broadcast_to(x, (*task.shape, *x.shape[-n:])).tolist() for x, n in arrays), strict=True)
    return [policy_return(P, R, rho, **rest, softmax=use) for P, R, rho in each]


def _entropies(task: Any, use: ClampedSoftmax) -> list[Loss]:
    """The cross-entropy of every task."""
    each = zip(task.X.tolist(), task.labels.tolist(), strict=True)
    return [softmax_regression(X, labels, task.classes, float(task.ridge), use) for X, labels in each]


def _logits(task: Any, theta: Array) -> Array:
    """The logits of every state, or of every data point."""
    return np.asarray(task.policy.table(theta)) if hasattr(task, "mdp") else logits(task, theta)
