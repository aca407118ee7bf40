"""The softmax policy and the return of a tiny process for many parameters at once, analytic in them.

Derivation: derivations/sampled-meta-gradients.md
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.tasks.mdp import FiniteMDP

__all__ = ["STARTS", "World", "gradient", "log_policy", "loss", "pulled", "values", "world"]

STARTS: dict[str, Callable[[Array], Array]] = {
    "even": lambda rho: np.full(len(rho), 1 / len(rho)), "even where rho is": lambda rho: (rho > 0) / np.sum(rho > 0),
    "the first state": lambda rho: np.eye(len(rho))[0], "the last state": lambda rho: np.eye(len(rho))[-1],
    "the likeliest state": lambda rho: np.eye(len(rho))[np.argmax(rho)], "reversed": lambda rho: rho[::-1], "squared": lambda rho: rho**2 / np.sum(rho**2),
}  # fmt: skip


class World(NamedTuple):
    """A process: P (S A, S), mean rewards (S A,), the first states, γ, and the number of steps."""

    P: Array
    r: Array
    rho: Array
    gamma: float
    horizon: int


@lru_cache(maxsize=512)
def world(mdp: FiniteMDP, loss: str = "", start: str = "") -> World:
    """The process of a task, where what judges a policy may depart from what is right."""
    S, A = mdp.P.shape[:2]
    r = np.asarray(mdp.R if mdp.R.ndim == 2 else np.sum(mdp.P * mdp.R, axis=-1)).ravel()
    gamma, H = float(mdp.gamma), mdp.horizon or 1
    gamma, H = {"undiscounted": (1.0, H), "squared": (gamma**2, H), "one step less": (gamma, max(H - 1, 1)), "one step more": (gamma, H + 1),
                "first reward": (gamma, 1)}.get(loss, (gamma, H))  # fmt: skip
    rho = np.asarray(STARTS[start](mdp.rho) if start in STARTS else mdp.rho, float)
    return World(np.asarray(mdp.P).reshape(S * A, S), r, rho, gamma, H)


def log_policy(theta: Array, A: int) -> Array:
    """ln π (..., S, A)."""
    z = theta.reshape(*theta.shape[:-1], -1, A)
    z = z - np.max(z.real, axis=-1, keepdims=True)
    return z - np.log(np.sum(np.exp(z), axis=-1, keepdims=True))


def values(w: World, pi: Array) -> list[tuple[Array, Array]]:
    """V (..., S) and Q (..., S, A), of the last step first."""
    V, found = np.zeros(pi.shape[:-1], pi.dtype), []
    for _ in range(w.horizon):
        Q = (w.r + w.gamma * (V @ w.P.T)).reshape(pi.shape)
        V = np.sum(pi * Q, axis=-1)
        found.append((V, Q))
    return found


def loss(w: World, theta: Array, A: int) -> Array:
    """−J (...)."""
    return -values(w, np.exp(log_policy(theta, A)))[-1][0] @ w.rho


def gradient(w: World, theta: Array, A: int) -> Array:
    """−∇J (..., d) = −Σ γᵗ d π (Q − V)."""
    pi = np.exp(log_policy(theta, A))
    d, total, factor = np.broadcast_to(w.rho.astype(pi.dtype), pi.shape[:-1]), np.zeros(pi.shape, pi.dtype), 1.0
    for V, Q in reversed(values(w, pi)):
        total = total + factor * d[..., None] * pi * (Q - V[..., None])
        d, factor = (d[..., None] * pi).reshape(*pi.shape[:-2], -1) @ w.P, factor * w.gamma
    return -total.reshape(theta.shape)


def pulled(credit: Array, pi: Array) -> Array:
    """Σ credit ∇ln π: credit − π Σ_a credit, (..., d)."""
    credit = credit.reshape(*credit.shape[:-1], *pi.shape[-2:])
    return (credit - np.sum(credit, axis=-1, keepdims=True) * pi).reshape(*np.broadcast_shapes(credit.shape, pi.shape)[:-2], -1)
