"""A surrogate with some departures: other weights, other sums of x, another function of them.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Point
from refmeta.oracle.suite import at_most_one
from refmeta.oracle.suites.surrogates.derivatives import finished, hessian_product
from refmeta.oracle.suites.surrogates.jets import jets
from refmeta.oracle.suites.surrogates.kl_alternatives import KL_CHOICES
from refmeta.oracle.suites.surrogates.kl_definition import PENALTIES
from refmeta.oracle.suites.surrogates.kl_variants import of_penalty
from refmeta.oracle.suites.surrogates.penalties import penalty
from refmeta.oracle.suites.surrogates.problem import Batches
from refmeta.oracle.suites.surrogates.sums import (
    CONTROLS,
    FADING,
    HELD,
    Term,
    around,
    constant,
    held_sums,
    links,
    own_sums,
    ratios,
    sums,
)
from refmeta.oracle.suites.surrogates.weights import DICE, advantages, own_return

__all__ = ["Term", "concerned", "own_sums", "sums", "terms", "variant"]

EVERYWHERE = ", everywhere"
RULES: dict[str, Callable[[str, str, str, Point], bool]] = {
    "curvature": lambda name, own, kind, point: name != own,
    "product": lambda name, own, kind, point: kind == "hvp",
    "after differentiation": lambda name, own, kind, point: kind != "loss",
    "lam": lambda name, own, kind, point: name == "loaded_dice" or str(point.get("return")).startswith("gae"),
    "sums": lambda name, own, kind, point: (
        name != "loaded_dice" and point["sums"] != own_sums(name) and (name == "tmaml" or not point["sums"].endswith(EVERYWHERE))
    ),
    "fading": lambda name, own, kind, point: name == "loaded_dice",
    "control": lambda name, own, kind, point: name in DICE and point["control"] != name and "baseline's place" not in point,
    "ratio": lambda name, own, kind, point: name != "reinforce" and (name in DICE or point["ratio"][0] != "linear box"),
    "return": lambda name, own, kind, point: point["return"] != own_return(name),
    "discount": lambda name, own, kind, point: point.get("return") != "whole alone",
    "baseline's place": lambda name, own, kind, point: name in DICE,
    "advantages": lambda name, own, kind, point: (
        name not in DICE or "baseline's place" in point or not point["advantages"][0].startswith("return")
    ),
    "denominators": lambda name, own, kind, point: name != "reinforce" or point["denominators"] != "upside down",
}  # of a choice that does not concern every surrogate and part, or not without another choice: does it?


def variant(part: str, problem: Batches, point: Point) -> Array | None:
    """The loss, gradient or Hessian product of a surrogate, or the gradient of a penalty, where a point departs from what is right."""
    own, _, kind = part.rpartition("_")
    name = point.get("curvature", own)
    if part in PENALTIES:
        return of_penalty(part, problem, point)
    if not concerned(name, own, kind, point) or any(choice in KL_CHOICES for choice in point):
        return None
    with np.errstate(all="ignore"):
        value = finished(_value(name, kind, problem, point), problem, point, kind)
    return value if np.isfinite(value).all() else None


def _value(name: str, kind: str, problem: Batches, point: Point) -> Array:
    """The loss, gradient or Hessian product of a surrogate at a point that concerns it."""
    j, scale = jets(problem, point), _scale(problem, point)
    each = terms(name, problem, point)
    if held := held_sums(point):
        w, C, link = each[0]
        factor = np.exp(ratios(held, *w.shape[-2:]) @ j.x.reshape(len(w), -1, 1)).reshape(w.shape)
        each = [(w * factor, C, link), *each[1:]]
    value, slope, bent = sums(each, j.x, j.along)
    more: Any = penalty(kind, problem, point["penalty"]) if "penalty" in point else 0.0
    if kind == "loss":
        return np.asarray(scale * value) + more
    grad: Array = scale * np.einsum("nmh,nmhd->nd", slope, j.slopes)
    if kind == "grad":
        return grad + more
    gradient: Callable[[Batches], Array] = lambda there: _value(name, "grad", there, {k: x for k, x in point.items() if k != "product"})
    return hessian_product(point.get("product", "exact"), problem, j, (slope, bent, scale), gradient) + more


def concerned(name: str, own: str, kind: str, point: Point) -> bool:
    """Does every departure of the point change this part, whatever the case?"""
    return all(choice not in RULES or RULES[choice](name, own, kind, point) for choice in point)


def terms(name: str, problem: Batches, point: Point) -> list[Term]:
    """−M L as a sum of terms, by the surrogate that is computed."""
    w, b, mask = advantages(name, problem, point)
    shape = w.shape[-2:]
    main, control = links(name, point.get("ratio"))
    if name == "loaded_dice":
        lam = _lam(problem, point)
        plus, minus = FADING.get(point.get("fading", ""), ("fading", "fading before t"))
        return [(w, ratios(plus, *shape, lam), main), *([(-w, ratios(minus, *shape, lam), main)] if minus else [])]
    kind = point.get("sums", own_sums(name))
    box = _box(kind.removesuffix(EVERYWHERE), mask)
    if name not in DICE or point.get("baseline's place") == "inside":
        return [(w, box, main)]
    of = {"each to t": box, "before t": box - ratios("alone", *shape)} if kind.endswith(EVERYWHERE) else {}
    others, control = CONTROLS[point.get("control", name)], constant if point.get("control") == "held" else control
    return [(w, box, main), *((c * b, of.get(kind, ratios(kind, *shape)), control) for c, kind in others)]


def _box(kind: str, mask: Array) -> Array:
    """The sums of logarithms in the box."""
    M, H = mask.shape[-2:]
    if kind == "mean of all":
        return ratios("all steps", M, H) / np.repeat(np.maximum(np.sum(mask, axis=-1), 1), H, axis=-1)[..., None]
    box = ratios(HELD.get(kind, (kind,))[0], M, H, 1 / M)
    return box + around(mask, 1 / M) if kind == "fading around" else box


def _lam(problem: Batches, point: Point) -> float:
    """λ, or what is used instead of it."""
    lam, kind = at_most_one(problem.lam), point.get("lam", "lam")
    gamma = at_most_one(problem.gamma)
    others = {"1 - lam": 1 - lam, "1": 1.0, "0": 0.0, "squared": lam**2, "gamma lam": gamma * lam, "gamma": gamma, "root": lam**0.5}
    return float(kind[1]) if isinstance(kind, tuple) else others.get(kind, lam)


def _scale(problem: Batches, point: Point) -> Any:
    """−1/M, or another reduction and sign."""
    N, M = problem.trajectories.rewards.shape[:2]
    episodes = {"sum": 1.0}.get(point.get("over trajectories", ""), 1 / M)
    tasks = {"mean": 1 / N}.get(point.get("over tasks", ""), 1.0)
    return (1.0 if point.get("sign") == "of the return" else -1.0) * episodes * tasks
