"""What implementations choose in a policy gradient and its slope, the right alternative first.  Derivation: derivations/exact-policy-gradient.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.policy_gradient.readings import ReadProcess, Run

__all__ = ["ADVANTAGES", "HESSIANS", "RETURNS"]

RETURNS: dict[str, Callable[[Run, ReadProcess, Array], Array] | None] = {
    "Q": None,
    "reward": lambda run, process, pi: process.r + 0 * run.Q,
    "gamma V(s')": lambda run, process, pi: run.Q - process.r,
    "reward and gamma times the next reward": lambda run, process, pi: process.r + process.gamma * _next(process, pi) + 0 * run.Q,
    "reward + V(s'), not discounted": lambda run, process, pi: process.r + _ahead(process, run),
    "reward + gamma^2 V(s')": lambda run, process, pi: process.r + process.gamma**2 * _ahead(process, run),
    "gamma Q": lambda run, process, pi: process.gamma * run.Q,
    "(1 - gamma) Q": lambda run, process, pi: (1 - process.gamma) * run.Q,
    "Q of the first step in every step": lambda run, process, pi: 0 * run.Q + run.Q[:1],
    "Q of the next step": lambda run, process, pi: np.concatenate([run.Q[1:], 0 * run.Q[:1]]) if process.horizon else 0 * run.Q,
    "Q^2": lambda run, process, pi: run.Q**2,
}


def _next(process: ReadProcess, pi: Array) -> Array:
    """The expected reward of the next step."""
    return np.einsum("nsat,nt->nsa", process.P, np.sum(pi * process.r, axis=-1))


def _ahead(process: ReadProcess, run: Run) -> Array:
    """The expected V of the next state."""
    return np.einsum("nsat,hnt->hnsa", process.P, run.after)


ADVANTAGES: dict[str, Callable[[Array, Array, Run], Array] | None] = {
    "Q - V": None,
    "Q": lambda Q, pi, run: Q,
    "Q - mean over actions of Q": lambda Q, pi, run: Q - np.mean(Q, axis=-1, keepdims=True),
    "Q - the largest Q": lambda Q, pi, run: Q - np.max(np.real(Q), axis=-1, keepdims=True),
    "Q + V": lambda Q, pi, run: Q + run.V[..., None],
    "Q - V/2": lambda Q, pi, run: Q - run.V[..., None] / 2,
    "V - Q": lambda Q, pi, run: run.V[..., None] - Q,
    "V": lambda Q, pi, run: 0 * Q + run.V[..., None],
    "Q - V(s') of the next step": lambda Q, pi, run: Q - run.after[..., None],
    "Q - mean over states of V": lambda Q, pi, run: Q - np.mean(run.V, axis=-1, keepdims=True)[..., None],
    "positive part of Q - V": lambda Q, pi, run: (Q - run.V[..., None]) * (np.real(Q - run.V[..., None]) > 0),
    "normalised over states and actions": lambda Q, pi, run: _normalised(Q - run.V[..., None]),
}


def _normalised(A: Array) -> Array:
    """A with the mean 0 and the deviation 1."""
    off = A - np.mean(A, axis=(-2, -1), keepdims=True)
    return off / np.sqrt(np.mean(off**2, axis=(-2, -1), keepdims=True))


def _difference(h: float, *, central: bool = False) -> Callable[..., Array]:
    """A numeric slope of the gradient along v."""
    back = -h if central else 0.0
    return lambda grad, theta, v, fisher: (grad(theta + h * v) - grad(theta + back * v)) / (h - back)


HESSIANS: dict[str, Any] = {
    "all terms": None,
    "visits held": ("visits",),
    "Q held": ("Q",),
    "visits and Q held": ("visits", "Q"),
    "visits, Q and scores held (Gauss-Newton)": ("visits", "Q", "scores"),
    "visits, Q and probabilities held": ("visits", "Q", "probabilities"),
    "probabilities and scores held": ("probabilities", "scores"),
    "scores held": ("scores",),
    "probabilities held": ("probabilities",),
    "Fisher's product": lambda grad, theta, v, fisher: fisher(),
    "minus Fisher's product": lambda grad, theta, v, fisher: -fisher(),
    "the gradient times its product with v": lambda grad, theta, v, fisher: grad(theta) * np.sum(grad(theta) * v, axis=-1, keepdims=True),
    "the gradient times v": lambda grad, theta, v, fisher: grad(theta) * v,
    "its diagonal times v": lambda grad, theta, v, fisher: np.stack(
        [np.imag(grad(theta + 1e-30j * e)[..., j]) / 1e-30 * v[j] for j, e in enumerate(np.eye(len(theta)))], axis=-1
    ),
    "along v of norm 1": lambda grad, theta, v, fisher: np.imag(grad(theta + 1e-30j * v)) / 1e-30 / np.linalg.norm(v),
    "at theta + v": lambda grad, theta, v, fisher: np.imag(grad(theta + v + 1e-30j * v)) / 1e-30,
    "change of the gradient from theta to theta + v": _difference(1.0),
    **{f"forward difference, step {h:g}": _difference(h) for h in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)},
    **{f"central difference, step {h:g}": _difference(h, central=True) for h in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)},
}
