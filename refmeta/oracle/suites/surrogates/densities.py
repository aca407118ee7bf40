"""ln π of every step as implementations read it, with its slopes in θ, analytic in θ.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.policies.linear_gaussian import LinearGaussian
from refmeta.policies.softmax import LinearSoftmax, TabularSoftmax

__all__ = ["GAUSSIANS", "TABLES", "Gauss", "densities"]

Table = tuple[Array, Array]  # (S A,) and its slopes in the logits, (S A, S A)


class Gauss(NamedTuple):
    """−Σ [half (a − μ)²/σ^power + log · ln σ], σ a function of what stands in θ; what is a mean over coordinates, is held, is the first's."""

    sigma: Callable[[Array], tuple[Array, Array]] = lambda p: (np.exp(p), np.exp(p))
    half: float = 0.5
    log: float = 1.0
    power: float = 2.0
    mean: tuple[bool, bool] = (False, False)
    held: str = ""
    first: bool = False


def _softplus(p: Array) -> tuple[Array, Array]:
    """ln(1 + eᵖ) and its slope."""
    return np.log1p(np.exp(p)), 1 / (1 + np.exp(-p))


GAUSSIANS: dict[str, Gauss] = {
    "own": Gauss(), "mean": Gauss(mean=(True, True)), "mean of squares": Gauss(mean=(True, False)), "log sigma once": Gauss(mean=(False, True)),
    "log variance": Gauss(lambda p: (np.exp(p / 2), np.exp(p / 2) / 2)), "softplus": Gauss(_softplus),
    "sigma itself": Gauss(lambda p: (np.abs(p.real) + 1j * np.sign(p.real) * p.imag, np.sign(p.real))),
    "log precision": Gauss(lambda p: (np.exp(-p), -np.exp(-p))), "log precision root": Gauss(lambda p: (np.exp(-p / 2), -np.exp(-p / 2) / 2)),
    "sigma 1": Gauss(lambda p: (1 + 0 * p, 0 * p)), "no log sigma": Gauss(log=0.0), "plus log sigma": Gauss(log=-1.0),
    "whole square": Gauss(half=1.0), "sigma once": Gauss(power=1.0), "no sigma": Gauss(power=0.0), "log variance whole": Gauss(log=2.0),
    "log sigma of the first": Gauss(first=True),
    "sigma held": Gauss(held="sigma"), "gain held": Gauss(held="gain"),
}  # fmt: skip


def _own(z: Array, axes: tuple[int, ...] = (1,)) -> Table:
    """z − ln Σ eᶻ over some axes."""
    big = np.max(z.real, axis=axes, keepdims=True)
    logs = z - big - np.log(np.sum(np.exp(z - big), axis=axes, keepdims=True))
    same = np.ones((*z.shape, *z.shape))
    for k in {0, 1} - set(axes):
        i = np.arange(z.shape[k])
        same = same * (i.reshape([-1 if j == k else 1 for j in range(4)]) == i.reshape([-1 if j == k + 2 else 1 for j in range(4)]))
    return logs.ravel(), np.eye(z.size) - (same * np.exp(logs)).reshape(z.size, z.size)


def _through(values: Array, slopes: Array, table: Table) -> Table:
    """A function of ln π, entry by entry, by the chain rule."""
    return values, slopes[:, None] * table[1]


def _twice(z: Array) -> Table:
    """ln of the softmax of the softmax."""
    first = _own(z)
    pi = _through(np.exp(first[0]), np.exp(first[0]), first)
    logs, slopes = _own(pi[0].reshape(z.shape))
    return logs, slopes @ pi[1]


def _sigmoid(z: Array) -> Table:
    """−ln(1 + e⁻ᶻ)."""
    return -np.log1p(np.exp(-z.ravel())), np.diag(1 / (1 + np.exp(z.ravel())))


def _mixed(z: Array, share: float) -> Table:
    """ln of π mixed with the even policy."""
    logs, slopes = _own(z)
    pi = (1 - share) * np.exp(logs) + share / z.shape[1]
    return _through(np.log(pi), (1 - share) * np.exp(logs) / pi, (logs, slopes))


def _scaled(z: Array, inverse: float) -> Table:
    """The softmax of the logits times a number."""
    logs, slopes = _own(z * inverse)
    return logs, inverse * slopes


TABLES: dict[str, Callable[..., Table]] = {
    "own": _own, "over states": lambda z: _own(z, (0,)), "over states, tables": lambda z: _own(z, (0,)), "over all": lambda z: _own(z, (0, 1)),
    "logits": lambda z: (z.ravel(), np.eye(z.size)), "sigmoid": _sigmoid, "twice": _twice,
    "temperature": lambda z, c: _scaled(z, 1 / c), "mixed": _mixed,
}  # fmt: skip


def densities(policy: Any, theta: Array, s: Array, a: Array, kind: Any) -> Table:
    """ln π (N, M, H), or what is used instead, and its slopes (N, M, H, d)."""
    name, *more = kind if isinstance(kind, tuple) else (kind,)
    if isinstance(policy, LinearGaussian):
        logs, slopes = _gauss(policy, theta, s, a, GAUSSIANS.get(name, GAUSSIANS["own"]))
    else:
        logs, slopes = _softmax(policy, theta, s, a, name, more)
    if name == "probability":
        logs = np.exp(logs)
        slopes = logs[..., None] * slopes
    return logs, slopes


def _softmax(policy: Any, theta: Array, s: Array, a: Array, name: str, more: list[float]) -> Table:
    """The table of a softmax policy, read at the steps."""
    S, A = policy.states, policy.actions
    F = np.asarray(policy.features) if isinstance(policy, LinearSoftmax) else np.eye(S * A).reshape(S, A, -1)
    if name == "over states, tables" and not isinstance(policy, TabularSoftmax):
        name = "own"
    logs, slopes = TABLES.get(name, _own)((F @ theta).reshape(S, A), *more)
    at = (s % S) * A + a % A
    return logs[at], (slopes @ F.reshape(S * A, -1))[at]


def _gauss(policy: Any, theta: Array, s: Array, a: Array, way: Gauss) -> Table:
    """−Σ of the coordinates, and the slopes in the gain, row by row, and in what stands for σ."""
    n, m = policy.states, policy.actions
    sigma, rate = way.sigma(theta[-m:])
    off = a - s @ theta[:-m].reshape(m, n).T
    parts = [1 / m if mean else 1.0 for mean in way.mean]
    half, log = way.half * parts[0], way.log * parts[1] * (np.arange(m) == 0 if way.first else np.ones(m))
    logs = -np.sum(half * off**2 / sigma**way.power + log * np.log(sigma) + parts[1] * np.log(2 * np.pi) / 2, axis=-1)
    gain = (2 * half * off / sigma**way.power)[..., :, None] * s[..., None, :] * (way.held != "gain")
    scale = (half * way.power * off**2 / sigma ** (way.power + 1) - log / sigma) * rate * (way.held != "sigma")
    return logs, np.concatenate([gain.reshape(*gain.shape[:-2], -1), scale], axis=-1)
