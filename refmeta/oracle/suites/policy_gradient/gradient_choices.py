"""What implementations choose in a policy gradient and its slope, the right alternative first.  Derivation: derivations/exact-policy-gradient.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.policy_gradient.readings import ReadProcess, Run

__all__ = ["ADVANTAGES", "FAMILIES_OF_GRADIENTS", "HESSIANS", "RETURNS"]

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
    "reward + gamma max Q(s')": lambda run, process, pi: process.r + process.gamma * np.einsum("nsat,hnt->hnsa", process.P, _largest_ahead(run)),
    "reward + V(s)": lambda run, process, pi: process.r + run.V[..., None],
    "reward + gamma V(s)": lambda run, process, pi: process.r + process.gamma * run.V[..., None],
    "reward - gamma V(s')": lambda run, process, pi: 2 * process.r - run.Q,
    "gamma Q for the next step's": lambda run, process, pi: run.Q + (1 - process.gamma) * (run.Q - process.r),
    "Q of the last step in every step": lambda run, process, pi: 0 * run.Q + run.Q[-1:],
    "mean of Q over the steps": lambda run, process, pi: 0 * run.Q + np.mean(run.Q, axis=0),
    "sum of Q over the steps": lambda run, process, pi: 0 * run.Q + np.sum(run.Q, axis=0),
    "Q of the first task": lambda run, process, pi: 0 * run.Q + run.Q[:, :1],
    "J in every state": lambda run, process, pi: 0 * run.Q + np.sum(process.rho * run.V[0], axis=-1)[:, None, None],
    "tanh Q": lambda run, process, pi: np.tanh(run.Q),
    "sign of Q": lambda run, process, pi: np.sign(np.real(run.Q)),
}


def _largest_ahead(run: Run) -> Array:
    """max over actions of the next step's Q."""
    best = np.max(np.real(run.Q), axis=-1)
    return best if len(best) == 1 else np.concatenate([best[1:], 0 * best[:1]])





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
    "Q - V, less its mean over states and actions": lambda Q, pi, run: Q - run.V[..., None] - np.mean(Q - run.V[..., None], axis=(-2, -1), keepdims=True),
    "over its deviation": lambda Q, pi, run: (Q - run.V[..., None]) / (np.std(np.real(Q - run.V[..., None]), axis=(-2, -1), keepdims=True) + 1e-8),
    "Q over V": lambda Q, pi, run: Q / run.V[..., None],
    "sign of Q - V": lambda Q, pi, run: np.sign(np.real(Q - run.V[..., None])),
    "|Q - V|": lambda Q, pi, run: np.abs(np.real(Q - run.V[..., None])),
    "exp(Q - V)": lambda Q, pi, run: np.exp(Q - run.V[..., None]),
    "Q - V within -1 and 1": lambda Q, pi, run: np.clip(np.real(Q - run.V[..., None]), -1, 1),
    "Q - 2 V": lambda Q, pi, run: Q - 2 * run.V[..., None],
    "Q - V of the start": lambda Q, pi, run: Q - run.V[:1, ..., None],
    "Q - mean over tasks of V": lambda Q, pi, run: Q - np.mean(run.V, axis=1, keepdims=True)[..., None],
}


def _normalised(A: Array) -> Array:
    """A with the mean 0 and the deviation 1."""
    off = A - np.mean(A, axis=(-2, -1), keepdims=True)
    return off / np.sqrt(np.mean(off**2, axis=(-2, -1), keepdims=True))


def _difference(h: float, *, central: bool = False) -> Callable[..., Array]:
    """A numeric slope of the gradient along v."""
    back = -h if central else 0.0
    return lambda grad, theta, v, fisher: (grad(theta + h * v) - grad(theta + back * v)) / (h - back)


NAMES = ("visits", "Q", "probabilities", "scores")
SUBSETS = [tuple(n for n, bit in zip(NAMES, f"{k:04b}", strict=True) if bit == "1") for k in range(1, 15)]
HELD_INSIDE = {
    "advantages held": ("Q", "V"), "visits and advantages held": ("visits", "Q", "V"), "advantages and probabilities held": ("Q", "V", "probabilities"),
    "the baseline V held": ("V",), "visits and the baseline V held": ("visits", "V"), "the baseline V and probabilities held": ("V", "probabilities"),
    "the normaliser of the softmax held": ("normaliser",), "visits and the normaliser of the softmax held": ("visits", "normaliser"),
}  # fmt: skip
HELD = {
    ("visits", "Q"): "visits and Q held", ("visits", "Q", "scores"): "visits, Q and scores held (Gauss-Newton)",
    ("visits", "Q", "probabilities"): "visits, Q and probabilities held", ("probabilities", "scores"): "probabilities and scores held",
}  # fmt: skip
HESSIANS: dict[str, Any] = {
    "all terms": None,
    **{HELD.get(names, f"{', '.join(names[:-1])} and {names[-1]} held" if len(names) > 1 else f"{names[0]} held"): names for names in SUBSETS},
    **HELD_INSIDE,
    "Fisher's product": lambda grad, theta, v, fisher: fisher(),
    "minus Fisher's product": lambda grad, theta, v, fisher: -fisher(),
    "the gradient times its product with v": lambda grad, theta, v, fisher: grad(theta) * np.sum(grad(theta) * v, axis=-1, keepdims=True),
    "the gradient times v": lambda grad, theta, v, fisher: grad(theta) * v,
    "its diagonal times v": lambda grad, theta, v, fisher: np.stack(
        [np.imag(grad(theta + 1e-30j * e)[..., j]) / 1e-30 * v[j] for j, e in enumerate(np.eye(len(theta)))], axis=-1
    ),
    "along v of norm 1": lambda grad, theta, v, fisher: np.imag(grad(theta + 1e-30j * v)) / 1e-30 / np.linalg.norm(v),
    "minus it": lambda grad, theta, v, fisher: -np.imag(grad(theta + 1e-30j * v)) / 1e-30,
    "its product with v, times v": lambda grad, theta, v, fisher: v * np.imag(grad(theta + 1e-30j * v)) / 1e-30,
    "its square times v": lambda grad, theta, v, fisher: _twice(grad, theta, v),
    "its size times v": lambda grad, theta, v, fisher: np.abs(np.imag(grad(theta + 1e-30j * v)) / 1e-30),
    "with Fisher's product": lambda grad, theta, v, fisher: np.imag(grad(theta + 1e-30j * v)) / 1e-30 + fisher(),
    "less Fisher's product": lambda grad, theta, v, fisher: np.imag(grad(theta + 1e-30j * v)) / 1e-30 - fisher(),
    "the gradient at theta + v": lambda grad, theta, v, fisher: grad(theta + v),
    "v^2 for v": lambda grad, theta, v, fisher: np.imag(grad(theta + 1e-30j * v**2)) / 1e-30,
    "at theta - v": lambda grad, theta, v, fisher: np.imag(grad(theta - v + 1e-30j * v)) / 1e-30,
    "at v": lambda grad, theta, v, fisher: np.imag(grad(v + 1e-30j * v)) / 1e-30,
    "at theta + v": lambda grad, theta, v, fisher: np.imag(grad(theta + v + 1e-30j * v)) / 1e-30,
    "change of the gradient from theta to theta + v": _difference(1.0),
    "forward difference, step 1e-3 over the norm of v": lambda grad, theta, v, fisher: _difference(1e-3 / float(np.linalg.norm(v)))(grad, theta, v, fisher),
    "central difference, step 1e-3 over the norm of v": lambda grad, theta, v, fisher: _difference(1e-3 / float(np.linalg.norm(v)), central=True)(grad, theta, v, fisher),
    "central difference of step 1e-3, not over 2": lambda grad, theta, v, fisher: 2 * _difference(1e-3, central=True)(grad, theta, v, fisher),
    **{f"forward difference, step {h:g}": _difference(h) for h in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)},
    **{f"central difference, step {h:g}": _difference(h, central=True) for h in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)},
}
FAMILIES_OF_GRADIENTS: dict[str, tuple[str, Callable[[float], Any]]] = {
    "forward difference, step {}": ("Hessian", _difference),
    "central difference, step {}": ("Hessian", lambda h: _difference(h, central=True)),
    "forward difference, step {} over the norm of v": ("Hessian", lambda h: lambda grad, theta, v, fisher: _difference(h / float(np.linalg.norm(v)))(grad, theta, v, fisher)),
    "central difference, step {} over the norm of v": (
        "Hessian", lambda h: lambda grad, theta, v, fisher: _difference(h / float(np.linalg.norm(v)), central=True)(grad, theta, v, fisher),
    ),
    "{} v more": ("Hessian", lambda c: lambda grad, theta, v, fisher: np.imag(grad(theta + 1e-30j * v)) / 1e-30 + c * v),
    "{} times Fisher's product more": ("Hessian", lambda c: lambda grad, theta, v, fisher: np.imag(grad(theta + 1e-30j * v)) / 1e-30 + c * fisher()),
    "at theta + {} v": ("Hessian", lambda c: lambda grad, theta, v, fisher: np.imag(grad(theta + c * v + 1e-30j * v)) / 1e-30),
    "Q - {} V": ("advantage", lambda c: lambda Q, pi, run: Q - c * run.V[..., None]),
    "Q - V + {}": ("advantage", lambda c: lambda Q, pi, run: Q - run.V[..., None] + c),
    "Q - V within -{0} and {0}": ("advantage", lambda c: lambda Q, pi, run: np.clip(np.real(Q - run.V[..., None]), -abs(c), abs(c))),
    "Q + {}": ("advantage", lambda c: lambda Q, pi, run: Q + c),
    "reward + {} V(s')": ("return", lambda c: lambda run, process, pi: process.r + c * _ahead(process, run)),
}


def _twice(grad: Callable[[Array], Array], theta: Array, v: Array) -> Array:
    """H H v, task by task."""
    rows = np.stack([np.imag(grad(theta + 1e-30j * e)) / 1e-30 for e in np.eye(len(theta))], axis=-1)
    return np.asarray((rows @ (rows @ v)[..., None])[..., 0])
