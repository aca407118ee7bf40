"""Sampled meta-gradients and expected Hessians with some departures.  Derivation: derivations/sampled-meta-gradients.md"""

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Point
from refmeta.oracle.suites.expected_estimators.adaptation import adapted_gradient
from refmeta.oracle.suites.expected_estimators.hessians import FACTORS, expected_product
from refmeta.oracle.suites.expected_estimators.problem import SURROGATES, Expectations
from refmeta.oracle.suites.expected_estimators.ways import OF_DRAWS, OF_SURROGATES
from refmeta.oracle.suites.surrogates.variants import concerned

__all__ = ["variant"]

OF_SAMPLES = ("score term", "value of the score term", "later trajectories", "episodes", "drawn at")
OF_ADAPTATION = (
    "curvature", "alpha of the curvature", "alpha", "steps", "evaluated at", "loss", "start after adaptation", "inner update", "inner gradient at",
    "judged",
)  # fmt: skip
OF_EXACT = ("inner loss", "start of trajectories")


def variant(part: str, problem: Expectations, point: Point) -> Array | None:
    """A part where a point departs from what is right, one row per task."""
    if not _concerned(part, point):
        return None
    try:
        with np.errstate(all="ignore"):
            rows = [_row(part, problem, i, point) for i in range(len(problem.tasks))]
    except ValueError:  # too many ways to adapt
        return None
    scale = (1 / len(rows) if "over tasks" in point else 1.0) * (-1.0 if "sign" in point else 1.0)
    value = scale * np.stack(rows)
    return value if np.isfinite(value).all() else None


def _concerned(part: str, point: Point) -> bool:
    """Does every departure of the point change this part, whatever the case?"""
    own = SURROGATES[part].__name__ if part in SURROGATES else "reinforce" if part == "formulation_sampled" else ""
    name = point.get("surrogate", own)
    here: tuple[str, ...] = ("surrogate", "over tasks", "sign")
    here += OF_DRAWS if own else OF_EXACT
    here += ("product",) if part in SURROGATES else OF_ADAPTATION
    here += OF_SAMPLES if part == "formulation_sampled" else ()
    if not set(point) <= set(here) or "surrogate" in point and (name == own or point.get("curvature") == "none" and not own):
        return False
    if "value of the score term" in point and point.get("score term") == "dropped" or point.get("product") in FACTORS and part != "dice_hessian":
        return False
    of = {key: x for key, x in point.items() if key in OF_SURROGATES and not str(x).startswith("exact")}
    return not own or concerned(name, name, "hvp", of)


def _row(part: str, problem: Expectations, i: int, point: Point) -> Array:
    """The part of one task."""
    if part in SURROGATES:
        name = point.get("surrogate", SURROGATES[part].__name__)
        return expected_product(name, problem, i, problem.theta, problem.v, point)
    return adapted_gradient(problem, i, point, part == "formulation_sampled")
