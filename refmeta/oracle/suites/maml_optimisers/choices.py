"""What implementations of MAML through an inner optimiser choose, the right alternative first.  Derivation: derivations/inner-optimisers.md"""

from functools import lru_cache
from typing import Any

from refmeta.arrays import Array
from refmeta.oracle.choices import Choices, Point
from refmeta.oracle.suites.maml import choices as of_maml
from refmeta.oracle.suites.maml import variants
from refmeta.oracle.suites.maml.choices import numbers
from refmeta.oracle.suites.maml.losses import having, sided
from refmeta.oracle.suites.maml.losses_of_classes import CLASSIFICATION
from refmeta.oracle.suites.maml.losses_of_data import BY_POINT_COUNT
from refmeta.oracle.suites.maml.predicates import PREDICATES
from refmeta.oracle.suites.maml.steps import Optimiser
from refmeta.oracle.suites.maml_optimisers.departures import CLIPS, DECAYS, EPSILONS, MOMENTS, UPDATES, StepChange
from refmeta.oracle.suites.maml_optimisers.unrolled import optimiser_with

__all__ = ["CHOICES", "PREDICATES", "additions", "numbers", "variant"]

OF_THE_STEP = {"decay": DECAYS, "epsilon": EPSILONS, "update rule": UPDATES, "moments": MOMENTS, "clip": CLIPS}
SHARED = (
    "Hessian factors", "Hessians taken at", "steps", "alpha", "alpha of the parameters", "split", "loss", "outer loss", "query's loss taken at",
    "gradient of alpha", "result",
)  # fmt: skip
WITHOUT = (  # no step is a product of factors, and no vector has a step size below 0 or above 1
    "all, the last one twice", "all, the first one twice", "all twice", "all, and one more at phi", "not negative", "its size", "at most 1",
)  # fmt: skip
RIDGES = ("as it is", "none", "doubled (no 1/2)", "halved")
CHOICES: Choices = {
    **OF_THE_STEP,
    "ridge": having("ridge", {words: x for words, x in CLASSIFICATION["ridge"].items() if words.split(", in the ")[0] in RIDGES}),
    "mean over the data points": {"as it is": None, **having("labels", sided(BY_POINT_COUNT))},
    **{name: {words: x for words, x in of_maml.CHOICES[name].items() if name == "result" or words not in WITHOUT} for name in SHARED},
}
additions = of_maml.additions


def variant(part: str, problem: Any, point: Point) -> Array | None:
    """A part at a point of the product, MAML's with the inner optimiser that the point describes."""
    departures = tuple(point[name] for name in OF_THE_STEP if point.get(name) is not None)
    others = {name: value for name, value in point.items() if name not in OF_THE_STEP}
    return variants.variant(part, problem, others | {"inner optimiser": _optimiser(problem, departures)})


@lru_cache(maxsize=1024)
def _optimiser(problem: Any, departures: tuple[StepChange, ...]) -> Optimiser:
    """One object for each problem and its departures, by which paths are remembered."""
    return optimiser_with(problem.rule, *departures)
