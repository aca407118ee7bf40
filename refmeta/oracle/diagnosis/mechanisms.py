"""The mechanisms in the order in which they are tried.  Derivation: derivations/using-the-oracle.md"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from refmeta.oracle.diagnosis.additions import addition_matches, mixture_matches
from refmeta.oracle.diagnosis.choices import factor_or_choice, single_factor_matches, single_matches
from refmeta.oracle.diagnosis.counts import count_matches
from refmeta.oracle.diagnosis.digits import rounding_matches, single_precision_matches
from refmeta.oracle.diagnosis.factors import factor_matches, fitted_factors, row_factor_matches
from refmeta.oracle.diagnosis.families import family_matches
from refmeta.oracle.diagnosis.fitted import fitted_matches
from refmeta.oracle.diagnosis.patterns import quantity_matches, row_matches
from refmeta.oracle.diagnosis.permutations import layout_matches, order_matches, permutation_matches
from refmeta.oracle.diagnosis.product import pair_matches, product_matches
from refmeta.oracle.diagnosis.recipes import changed_recipe_matches, recipe_matches
from refmeta.oracle.diagnosis.traces import offset, traces
from refmeta.oracle.diagnosis.transforms import transform_matches
from refmeta.oracle.diagnosis.weights import fitted_weights, weight_matches
from refmeta.oracle.judge import JudgeSettings, Outcome
from refmeta.oracle.match import Match
from refmeta.oracle.suite import Suite

__all__ = ["Mechanism", "fits", "is_large", "mechanisms", "quick", "quickest"]

DIGITS = 4.0


class Mechanism(NamedTuple):
    """A name, what it finds, and whether a passing vector may refute it: a fit on all vectors is not refuted by one."""

    name: str
    find: Callable[[Sequence[Outcome], JudgeSettings], list[Match]]
    refutable: bool = True


def quick(about: Suite, until: float) -> list[Mechanism]:
    """What costs little: known-wrong formulas, another quantity, one choice, a factor, the suite's own patterns, one term."""
    return [
        Mechanism("row", row_matches),
        Mechanism("other quantity", quantity_matches),
        Mechanism("factor", partial(factor_or_choice, until=until)),
        Mechanism("row times", row_factor_matches),
        Mechanism("order", order_matches),
        *(Mechanism(name, find) for name, find in about.patterns.items()),
        Mechanism("choice", partial(single_matches, until=until)),
        Mechanism("recipe", partial(recipe_matches, until=until)),
        Mechanism("choice times", partial(single_factor_matches, until=until)),
        Mechanism("addition", addition_matches),
    ]


def quickest(passing: Sequence[Outcome]) -> list[Mechanism]:
    """What costs next to nothing: known-wrong formulas, another quantity, a factor, another order, what explains small errors."""
    return [
        Mechanism("row", row_matches),
        Mechanism("other quantity", quantity_matches),
        Mechanism("factor", factor_matches),
        Mechanism("order", order_matches),
        Mechanism("offset", partial(offset, passing=passing), False),
        Mechanism("trace", partial(traces, passing=passing), False),
        Mechanism("single precision", single_precision_matches, False),
    ]


def mechanisms(failing: Sequence[Outcome], passing: Sequence[Outcome], start: float, seconds: float) -> Iterator[Mechanism]:
    """All mechanisms, the cheap ones first; those that explain no small error are left out where every error is small."""
    until: Callable[[float], float] = lambda share: start + share * seconds
    *first, addition = quick(failing[0].case.about, until(0.4))
    yield from first
    yield Mechanism("layout", layout_matches)
    yield Mechanism("rounded input", rounding_matches)
    yield Mechanism("offset", partial(offset, passing=passing), False)
    yield Mechanism("trace", partial(traces, passing=passing), False)
    yield addition
    yield Mechanism("single precision", single_precision_matches, False)
    if is_large(failing):
        yield Mechanism("weights", weight_matches)
        yield Mechanism("permutation", permutation_matches)
        yield Mechanism("function", transform_matches)
        yield Mechanism("count", partial(count_matches, until=until(0.5)))
        yield Mechanism("family", partial(family_matches, until=until(0.6)))
        yield Mechanism("choices", partial(pair_matches, until=until(0.7)))
        yield Mechanism("recipe", partial(changed_recipe_matches, until=until(0.75)))
        yield Mechanism("fitted inside", partial(fitted_matches, until=until(0.8)))
        yield Mechanism("mixture", partial(mixture_matches, until=until(0.85)))
        yield Mechanism("product", partial(product_matches, until=until(1.0)))


def fits(failing: Sequence[Outcome]) -> list[Mechanism]:
    """What fits numbers to every vector that no formula gives; for large errors alone."""
    return [Mechanism("fit", fitted_factors), Mechanism("fit", fitted_weights)] if is_large(failing) else []


def is_large(failing: Sequence[Outcome]) -> bool:
    """Is an error larger than what is lost in digits?"""
    return any(o.digits < DIGITS for o in failing)
