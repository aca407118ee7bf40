"""The gradient of a penalty with some departures.  Derivation: derivations/sampled-policy-gradients.md"""

from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Point
from refmeta.oracle.suites.surrogates.derivatives import finished
from refmeta.oracle.suites.surrogates.jets import MASKS, PLACE, jets, log_ratios
from refmeta.oracle.suites.surrogates.kl_alternatives import KL_CHOICES, SHARED
from refmeta.oracle.suites.surrogates.kl_functions import FUNCTIONS, OTHERS
from refmeta.oracle.suites.surrogates.penalties import divergence_slopes
from refmeta.oracle.suites.surrogates.problem import Batches
from refmeta.oracle.suites.surrogates.weights import step_weights
from refmeta.sampling.returns import discounted_sum

__all__ = ["of_penalty"]

DIVERGENCES = {"divergence": 2, "other divergence": 1}
OF_STEPS = ("log pi", "a step is read with", "order of theta", "evaluated at", "denominators", "log ratio")  # what a divergence of two policies does not read


def of_penalty(part: str, problem: Batches, point: Point) -> Array | None:
    """(1/M) Σ γᵗ k(l) exp(x) differentiated, or what is computed instead; None where the point does not concern penalties."""
    if not _concerned(part, point):
        return None
    with np.errstate(all="ignore"):
        value = finished(_scale(problem, point) * _value(part, problem, point), problem, point, "grad")
    return value if np.isfinite(value).all() else None


def _concerned(part: str, point: Point) -> bool:
    """Does every departure of the point change a penalty, whatever the case?"""
    form = point.get("form of the penalty")
    if form in DIVERGENCES and any(choice in point for choice in ("function of the log ratio", "log ratio of the penalty", *OF_STEPS)):
        return False
    without_ratio = form in ("in loss", "own step alone", "in reward anew", *DIVERGENCES)
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
    j, w, form = jets(problem, point), step_weights(problem, point), point.get("form of the penalty", "with ratio")
    if form in DIVERGENCES:
        return np.asarray(np.einsum("nmh,nmhd->nd", w, divergence_slopes(problem, DIVERGENCES[form])))
    if form == "so far":
        each = _with_ratios_so_far(w * k, sign * w * slope, j.x)
    else:
        each = _forms(w * k, sign * w * slope, np.exp(j.x), discounted_sum(w * paid, 1.0))[form]
    return np.asarray(sum(np.einsum("nmh,nmhd->nd", u, D) for u, D in zip(each, (turn, j.slopes), strict=True)))


def _forms(k: Array, slope: Array, ratio: Array, later: Array) -> dict[str, tuple[Array, Array]]:
    """What multiplies ∇l and ∇x, by the form; k and its slope are weighted, `later` is the sum of what is still paid."""
    none, anew = 0 * k, discounted_sum(k, 1.0)
    return {
        "with ratio": (slope * ratio, k * ratio), "in loss": (slope, none), "held": (slope * ratio, none), "in reward": (none, later),
        "in reward, weighted": (none, later * ratio), "in reward anew": (none, anew), "in reward anew, weighted": (none, anew * ratio),
        "own step": (none, k * ratio), "own step alone": (none, k), "both": (slope, later),
    }  # fmt: skip


def _with_ratios_so_far(k: Array, slope: Array, x: Array) -> tuple[Array, Array]:
    """What multiplies ∇l and ∇x where the ratio of a step is the product of those of all steps up to it."""
    ratio = np.exp(np.cumsum(x, axis=-1))
    return slope * ratio, discounted_sum(k * ratio, 1.0)


def _scale(problem: Batches, point: Point) -> Any:
    """1/M, or another reduction and sign."""
    N, M = problem.trajectories.rewards.shape[:2]
    episodes = {"sum": 1.0}.get(point.get("over trajectories", ""), 1 / M)
    tasks = {"mean": 1 / N}.get(point.get("over tasks", ""), 1.0)
    return (-1.0 if point.get("sign") == "of the return" else 1.0) * episodes * tasks
