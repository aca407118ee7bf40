"""Terms that may be added by mistake, numbers of which factors are made, and other orders of θ.  Derivation: derivations/maml.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.maml.class_loops import feature_major
from refmeta.oracle.suites.maml.losses_of_returns import action_major
from refmeta.oracle.suites.maml.problem import inner_path
from refmeta.oracle.suites.maml.system_changes import column_major
from refmeta.policies import TabularSoftmax
from refmeta.softmax import log_softmax, softmax

__all__ = ["additions", "layouts", "numbers"]

Terms = dict[str, Callable[[], Array]]


def additions(part: str, problem: Any) -> Terms:
    """Terms of a part, one row per task."""
    if part in ("gradient", "first_order", "adapted"):
        return _vectors(problem) | (_of_entropy(problem, 1, "the entropy's gradient") if hasattr(problem.support, "policy") else {})
    if part == "objective":
        return _scalars(problem) | (_of_entropy(problem, 0, "the policy's entropy") if hasattr(problem.support, "policy") else {})
    return {"alpha": lambda: np.broadcast_to(problem.alpha, (*problem.support.shape, *np.shape(problem.alpha)))}


def _vectors(problem: Any) -> Terms:
    """θ, φ, and what the losses have in the shape of a gradient there."""
    theta, support, query = problem.theta, problem.support, problem.query
    wide = np.broadcast_to(theta, (*support.shape, theta.size))
    phi: Callable[[], Array] = lambda: inner_path(problem)[0][-1].theta + 0 * wide
    g: Callable[[], Array] = lambda: inner_path(problem)[2]
    return {
        "theta": lambda: wide,
        "phi": phi,
        "phi - theta": lambda: phi() - theta,
        "1 in every entry": lambda: np.ones_like(wide),
        "the sign of theta": lambda: np.sign(wide),
        "the support's gradient at theta": lambda: support.at(wide).grad,
        "the support's gradient at phi": lambda: support.at(phi()).grad,
        "the query's gradient at theta": lambda: query.at(wide).grad,
        "the query's gradient at phi": g,
        "H(theta) times the query's gradient": lambda: support.at(wide).hvp(g()),
        "H(phi) times the query's gradient": lambda: support.at(phi()).hvp(g()),
        "H(theta) times the support's gradient": lambda: support.at(wide).hvp(support.at(wide).grad),
        "H(theta) theta": lambda: support.at(wide).hvp(wide),
        "alpha theta": lambda: _step_sizes(problem) * wide,
        "alpha times the query's gradient": lambda: _step_sizes(problem) * g(),
        "alpha times the support's gradient at theta": lambda: _step_sizes(problem) * support.at(wide).grad,
    }


def _step_sizes(problem: Any) -> Any:
    """α, without an axis of steps."""
    return np.mean(problem.alpha, axis=0) if np.ndim(problem.alpha) == 2 else problem.alpha


def _scalars(problem: Any) -> Terms:
    """Squares of θ, φ and their difference, and the losses there."""
    theta, support, query = problem.theta, problem.support, problem.query
    wide = np.broadcast_to(theta, (*support.shape, theta.size))
    phi: Callable[[], Array] = lambda: inner_path(problem)[0][-1].theta + 0 * wide
    return {
        "1": lambda: np.ones(support.shape),
        "|theta|^2": lambda: np.sum(wide**2, axis=-1),
        "|phi|^2": lambda: np.sum(phi() ** 2, axis=-1),
        "|phi - theta|^2": lambda: np.sum((phi() - wide) ** 2, axis=-1),
        "the sum of |theta|": lambda: np.sum(np.abs(wide), axis=-1),
        "the support's loss at theta": lambda: support.at(wide).loss,
        "the support's loss at phi": lambda: support.at(phi()).loss,
        "the query's loss at theta": lambda: query.at(wide).loss,
    }


def _of_entropy(problem: Any, which: int, words: str) -> Terms:
    """The mean entropy of the states' rows at θ and at φ, or its gradient."""
    support, query = problem.support, problem.query
    wide = np.broadcast_to(problem.theta, (*support.shape, support.dim))
    return {
        f"{words} at theta": lambda: _entropy(query.policy, wide)[which],
        f"{words} at phi": lambda: _entropy(query.policy, inner_path(problem)[0][-1].theta + 0 * wide)[which],
    }


def _entropy(policy: Any, theta: Array) -> tuple[Array, Array]:
    """−mean_s Σ_a π log π, and its gradient −π (log π − Σ π log π)/S."""
    z = policy.table(theta)
    pi, log_pi = softmax(z), log_softmax(z)
    mean = np.sum(pi * log_pi, axis=-1, keepdims=True)
    return -np.mean(mean[..., 0], axis=-1), policy.pullback(-pi * (log_pi - mean) / z.shape[-2])


def numbers(problem: Any) -> dict[str, float]:
    """The mean of α, and sums over time."""
    result = {"mean of alpha": float(np.mean(problem.alpha))} if np.size(problem.alpha) else {}
    inner = getattr(problem.support, "mdp", getattr(problem.support, "lq", None))
    if inner is not None and inner.horizon:
        powers = inner.gamma ** np.arange(inner.horizon)
        result |= {"sum of gamma^t": float(np.sum(powers)), "gamma^H": float(inner.gamma**inner.horizon)}
    return result


def layouts(problem: Any) -> dict[str, Array]:
    """Other orders in which θ is given back: for each entry the index of the right one."""
    task = problem.support
    if isinstance(getattr(task, "policy", None), TabularSoftmax):
        return {"(A, S) for (S, A)": np.argsort(action_major(task))}
    if hasattr(task, "classes"):
        return {"feature after feature for class after class": np.argsort(feature_major(task))}
    if hasattr(task, "lq"):
        return {"the gain column by column": np.argsort(column_major(task)), "log sigma first": np.roll(np.arange(task.dim), task.lq.actions)}
    return {}
