"""The gradient of a penalty with some departures.  Derivation: derivations/sampled-policy-gradients.md"""

from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Point
from refmeta.oracle.suites.surrogates.derivatives import finished
from refmeta.oracle.suites.surrogates.jets import MASKS, PLACE, jets, log_ratios
from refmeta.oracle.suites.surrogates.kl_alternatives import KL_CHOICES, SHARED
from refmeta.oracle.suites.surrogates.kl_functions import FUNCTIONS, OTHERS
from refmeta.oracle.suites.surrogates.problem import Batches
from refmeta.oracle.suites.surrogates.weights import step_weights
from refmeta.sampling.returns import discounted_sum

__all__ = ["of_penalty"]


def of_penalty(part: str, problem: Batches, point: Point) -> Array | None:
    """(1/M) Σ γᵗ k(l) exp(x) differentiated, or what is computed instead; None where the point does not concern penalties."""
    if not _concerned(part, point):
        return None
    with np.errstate(all="ignore"):
        value = finished(_scale(problem, point) * _value(part, problem, point), problem, point, "grad")
    return value if np.isfinite(value).all() else None


def _concerned(part: str, point: Point) -> bool:
    """Does every departure of the point change a penalty, whatever the case?"""
    without_ratio = point.get("form of the penalty") in ("in loss", "own step alone")
    of_ratio = any(choice in point for choice in ("denominators", "log ratio"))
    return (
        all(choice in KL_CHOICES or choice in SHARED for choice in point)
        and point.get("function of the log ratio") != part
        and ("mask" not in point or point["mask"] in MASKS)
        and point.get("discount") != "on the return"
        and not (without_ratio and of_ratio)
    )


def _value(part: str, problem: Batches, point: Point) -> Array:
    """Σ γᵗ (k'(l) ratio ∇l + k(l) ratio ∇x), or a part of it; what is in a reward was held when the batch was drawn."""
    to = point.get("log ratio of the penalty", "theta_ref")
    sign, held = (-1.0, "theta_ref") if to == "swapped" else (1.0, to)
    own = point.get("function of the log ratio", "own")
    f = (FUNCTIONS | OTHERS)[part if own == "own" else own]
    y, turn = log_ratios(problem, point, held)
    (k, slope), paid = f(sign * y), f(sign * log_ratios(problem, {**point, PLACE: "theta_sampled"}, held)[0])[0]
    j, w = jets(problem, point), step_weights(problem, point)
    of = _forms(w * k, sign * w * slope, np.exp(j.x), discounted_sum(w * paid, 1.0))
    each = of[point.get("form of the penalty", "with ratio")]
    return np.asarray(sum(np.einsum("nmh,nmhd->nd", u, D) for u, D in zip(each, (turn, j.slopes), strict=True)))


def _forms(k: Array, slope: Array, ratio: Array, later: Array) -> dict[str, tuple[Array, Array]]:
    """What multiplies ∇l and ∇x, by the form; k and its slope are weighted, `later` is the sum of what is still paid."""
    none = 0 * k
    return {
        "with ratio": (slope * ratio, k * ratio), "in loss": (slope, none), "held": (slope * ratio, none), "in reward": (none, later),
        "own step": (none, k * ratio), "own step alone": (none, k), "both": (slope, later),
    }  # fmt: skip


def _scale(problem: Batches, point: Point) -> Any:
    """1/M, or another reduction and sign."""
    N, M = problem.trajectories.rewards.shape[:2]
    episodes = {"sum": 1.0}.get(point.get("over trajectories", ""), 1 / M)
    tasks = {"mean": 1 / N}.get(point.get("over tasks", ""), 1.0)
    return (-1.0 if point.get("sign") == "of the return" else 1.0) * episodes * tasks
