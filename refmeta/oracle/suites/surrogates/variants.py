"""A surrogate with some departures: other weights, other sums of x, another function of them.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Point
from refmeta.oracle.suite import at_most_one
from refmeta.oracle.suites.surrogates.jets import Jets, jets
from refmeta.oracle.suites.surrogates.problem import Batches
from refmeta.oracle.suites.surrogates.weights import DICE, advantages, own_return
from refmeta.sampling.surrogates import clipped_exponential, exponential, linear

__all__ = ["Term", "concerned", "own_sums", "sums", "terms", "variant"]

Link = Callable[[Array, Array], tuple[Array, Array, Array]]
Term = tuple[Array, Array, Link]  # weights (N, M, H), sums of x as a matrix over the M·H steps, and a function of them
LINKS: dict[str, tuple[Link, Link]] = {
    "linear box": (linear, exponential),
    "clip 0.1": (clipped_exponential(0.1), exponential), "clip 0.2": (clipped_exponential(0.2), exponential),
    "clip 0.3": (clipped_exponential(0.3), exponential),
}  # fmt: skip
RULES: dict[str, Callable[[str, str, str, Point], bool]] = {
    "curvature": lambda name, own, kind, point: name != own,
    "product": lambda name, own, kind, point: kind == "hvp",
    "lam": lambda name, own, kind, point: name == "loaded_dice" or point.get("return") == "gae",
    "sums": lambda name, own, kind, point: name != "loaded_dice" and point["sums"] != own_sums(name),
    "ratio": lambda name, own, kind, point: name in DICE or name == "likelihood_ratio" and "clip" in point["ratio"],
    "return": lambda name, own, kind, point: point["return"] != own_return(name),
    "discount": lambda name, own, kind, point: point.get("return") != "whole alone",
    "baseline's place": lambda name, own, kind, point: name in DICE,
    "advantages": lambda name, own, kind, point: (
        name not in DICE or "baseline's place" in point or not point["advantages"][0].startswith("return")
    ),
    "denominators": lambda name, own, kind, point: name != "reinforce" or point["denominators"] != "upside down",
}  # of a choice that does not concern every surrogate and part, or not without another choice: does it?


def variant(part: str, problem: Batches, point: Point) -> Array | None:
    """The loss, gradient or Hessian product of a surrogate where a point departs from what is right."""
    own, _, kind = part.rpartition("_")
    name = point.get("curvature", own)
    if not concerned(name, own, kind, point):
        return None
    value = _value(name, kind, problem, point)
    return value if np.isfinite(value).all() else None


def _value(name: str, kind: str, problem: Batches, point: Point) -> Array:
    """The loss, gradient or Hessian product of a surrogate at a point that concerns it."""
    j, scale = jets(problem, point), _scale(problem, point)
    value, slope, bent = sums(terms(name, problem, point), j.x, j.along)
    if kind == "loss":
        return np.asarray(scale * value)
    grad: Array = scale * np.einsum("nmh,nmhd->nd", slope, j.slopes)
    if kind == "grad":
        return grad
    if point.get("product") == "gradients":
        return grad * (grad @ problem.v)[:, None]
    return np.asarray(scale * _product(point.get("product", "exact"), slope, bent, j))


def concerned(name: str, own: str, kind: str, point: Point) -> bool:
    """Does every departure of the point change this part, whatever the case?"""
    return all(choice not in RULES or RULES[choice](name, own, kind, point) for choice in point)


def terms(name: str, problem: Batches, point: Point) -> list[Term]:
    """−M L as a sum of terms, by the surrogate that is computed."""
    w, b, mask = advantages(name, problem, point)
    shape = w.shape[-2:]
    main, control = LINKS.get(point.get("ratio", ""), (linear if name == "reinforce" else exponential, exponential))
    if name == "loaded_dice":
        lam = _lam(problem, point)
        return [(w, _ratios("fading", *shape, lam), main), (-w, _ratios("fading before t", *shape, lam), main)]
    kind = point.get("sums", own_sums(name))
    box = _ratios(kind, *shape, 1 / shape[0])
    box = box + _around(mask, 1 / shape[0]) if kind == "fading around" else box
    if name not in DICE or point.get("baseline's place") == "inside":
        return [(w, box, main)]
    before, up_to = ("before t", "each to t") if name == "tmaml" else ("none", "alone")
    return [(w, box, main), (b, _ratios(before, *shape), control), (-b, _ratios(up_to, *shape), control)]


def own_sums(name: str) -> str:
    """Whose ratios a surrogate multiplies, by itself."""
    return "each to t" if name in DICE else "alone"


def _lam(problem: Batches, point: Point) -> float:
    """λ, or what is used instead of it."""
    lam, kind = at_most_one(problem.lam), point.get("lam", "lam")
    others = {"1 - lam": 1 - lam, "1": 1.0, "0": 0.0, "squared": lam**2, "gamma lam": at_most_one(problem.gamma) * lam}
    return others.get(kind, lam)


@lru_cache(maxsize=1024)
def _ratios(kind: str, M: int, H: int, fading: float = 1.0) -> Array:
    """The sum of logarithms that stands in the ratio of each step, as a matrix over the M·H steps."""
    t, one = np.arange(H), np.eye(H)
    past, faded = np.tril(np.ones((H, H))), np.tril(fading ** np.maximum(t[:, None] - t, 0))
    inside = {
        "none": 0 * one, "alone": one, "each to t": past, "before t": past - one, "from t on": past.T, "all steps": past + past.T - one,
        "first step": np.ones((H, 1)) * one[0], "over M": past / M, "mean to t": past / (1 + t[:, None]), "fading": faded,
        "fading around": faded, "fading before t": faded - one,
    }  # fmt: skip
    return np.tril(np.ones((M * H, M * H))) if kind == "over ends" else np.kron(np.eye(M), inside[kind])


def _around(mask: Array, fading: float) -> Array:
    """What a loop from 0 on adds: `fading` times the batch's last step to its first, and then to those after it, fading."""
    N, M, H = mask.shape
    extra = np.zeros((N, M * H, M * H))
    last = (M - 1) * H + np.sum(mask[:, -1], axis=-1).astype(int) - 1
    extra[np.arange(N)[:, None], np.arange(H), last[:, None]] = fading ** (1.0 + np.arange(H))
    return extra


def sums(each: list[Term], x: Array, along: Array) -> tuple[Array, Array, Array]:
    """Σ w g(Cx), its slopes u in x, and the change of u along v."""
    flat, moved = (y.reshape(*y.shape[:-2], -1, 1) for y in (x, along))
    value, slope, bent = np.zeros(()), np.zeros(()), np.zeros(())
    for w, C, link in each:
        g, first, second = link(w.reshape(*w.shape[:-2], -1, 1), C @ flat)
        value, back = value + np.sum(g, axis=(-2, -1)), C.swapaxes(-1, -2)
        slope, bent = slope + back @ first, bent + back @ (second * (C @ moved))
    slope, bent = (y.reshape(*y.shape[:-2], *x.shape[-2:]) for y in (slope, bent))
    return value, slope, bent


def _scale(problem: Batches, point: Point) -> Any:
    """−1/M, or another reduction and sign."""
    N, M = problem.trajectories.rewards.shape[:2]
    episodes = {"sum": 1.0}.get(point.get("over trajectories", ""), 1 / M)
    tasks = {"mean": 1 / N}.get(point.get("over tasks", ""), 1.0)
    return (1.0 if point.get("sign") == "of the return" else -1.0) * episodes * tasks


def _product(kind: str, slope: Array, bent: Array, j: Jets) -> Array:
    """Dᵀ U D v + Σ u ∇²x v, one of the two, or −Dᵀ D v, of Fisher's matrix."""
    outer = np.einsum("nmh,nmhd->nd", -j.along if kind == "fisher" else bent, j.slopes)
    if kind in ("outer", "fisher"):
        return outer
    inner = np.einsum("nmh,nmhd->nd", slope, j.bend)
    return inner if kind == "inner" else outer + inner
