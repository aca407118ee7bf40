"""What stands in one place of a recursion in some implementations.  Derivation: derivations/sampled-policy-gradients.md"""

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Choices

__all__ = ["PLACES", "bounded_products", "mixture", "n_step"]

PLACES: Choices = {
    "inside an episode": {
        "q'": None, "q of the next row": lambda q, following: following, "q of the step itself": lambda q, following: q, "nothing": lambda q, following: 0 * q,
    },
    "mixture": {
        "(1 - lam) v' and lam times the target": None, "(1 - lam) v of the step itself and lam times the rest": "own",
        "v' and lam times the target": "whole", "lam times the target alone": "none",
    },
    "value after n steps": {"added": None, "added behind n whole steps alone": "whole", "with one gamma less": "less", "with one gamma more": "more", "times gamma^n after fewer steps, too": "whole power"},
    "gamma of the sum": {"gamma": None, "left out": lambda gamma: 1.0, "its square": lambda gamma: gamma * gamma},
    "before the padding": {
        "v'": None, "0": lambda v, following: 0 * v, "v of the next row": lambda v, following: following, "v of the step itself": lambda v, following: v,
    },
    "bounded": {"every ratio": None, "the product of the ratios": "product"},
    "the sum of errors is added to": {"v": None, "v'": "after"},
    "ratio of the advantage": {
        "as that of the error": None, "left out": lambda b: 1 + 0 * b.ratios, "not bounded": lambda b: b.ratios,
        "bounded by c_bar": lambda b: np.minimum(b.c_bar, b.ratios), "bounded by 1": lambda b: np.minimum(1, b.ratios),
    },
}  # fmt: skip


def mixture(kind: str | None, gamma: float, c: Array, going: Array, v: Array, following: Array) -> Array:
    """What the lambda-return adds to the reward beside γλ times the target of the next step."""
    rest = np.where(going, 0.0, following)
    if kind == "own":
        return gamma * ((1 - c) * v + c * rest)
    share = {"whole": 1.0, "none": 0 * c}.get(kind or "", 1 - c)
    return gamma * (np.where(going, share * following, 0.0) + rest)


def n_step(r: Array, gamma: float, following: Array, going: Array, n: int, value: str | None = None) -> Array:
    """n rewards and the guess."""
    if n < 1:
        return following
    if value == "whole power":
        rest = following
        for _ in range(n - 1):
            rest = np.where(going, np.roll(rest, -1, axis=1), following)
        return n_step(r, gamma, 0 * following, going, n) + gamma**n * rest
    last = r + {"less": 1.0, "more": gamma * gamma}.get(value or "", gamma) * following
    target = last
    for _ in range(n - 1):
        target = np.where(going, r + gamma * np.roll(target, -1, axis=1), r if value == "whole" else last)
    return target


def bounded_products(error: Array, carried: Array, ratios: Array, bound: float) -> Array:
    """Σ_k Π carried · min(bound, Π ratios) · error_k, the products over the steps from t to k."""
    total, way, product = np.array(error), np.ones_like(error), np.ones_like(error)
    for k in range(1, error.shape[1]):
        n = error.shape[1] - k
        way, product = way[:, :n] * carried[:, k - 1 :][:, :n], product[:, :n] * ratios[:, k - 1 :][:, :n]
        total[:, :n] += way * np.minimum(bound, product) * error[:, k:]
    return total
