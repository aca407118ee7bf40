"""The known-wrong formulas of a suite, as a target would return them.  Derivation: derivations/using-the-oracle.md"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.case import PARTS, Case, of_returns
from refmeta.oracle.judge import Settings, allowed_of, gap, transformed
from refmeta.oracle.match import NEAR
from refmeta.oracle.wrong import WRONG
from refmeta.oracle.wrong.row import Wrong

CATALOGUES = {
    "policy-gradient": "policy",
    "reptile": "reptile",
    "implicit": "implicit",
    "surrogates": "surrogates",
    "expected-estimators": "estimators",
    "meta-lstm": "meta-lstm",
    "pearl": "pearl",
    "model": "model",
}


def catalogue(suite: str, settings: Settings) -> tuple[Wrong, ...]:
    """The known-wrong formulas that may stand instead of what the target computes."""
    if suite in PARTS:
        return WRONG[CATALOGUES[suite]]
    if suite == "implicit":
        return WRONG["implicit"] if settings.quantity == "gradient" and settings.reduce == "none" else ()
    if suite == "reptile":
        return tuple(row for row in WRONG["reptile"] if row.quantity == "update")
    wanted = {"gradient": {"gradient"}, "step_size_gradient": {"step-size-gradient"}}.get(settings.quantity, set())
    if settings.quantity == "gradient" and settings.reduce != "none":
        wanted = wanted | {settings.reduce}
    every = WRONG["maml"] + (WRONG["lq"] if suite == "maml-lq" else ())
    return tuple(row for row in every if row.quantity in wanted)


@lru_cache(maxsize=1024)
def _computed(row: Wrong, case: Case) -> Any:
    """What the row gives on a case, kept while a diagnosis goes through its parts; None where it does not apply."""
    with np.errstate(all="ignore"):
        try:
            return row.function(case.problem)
        except (AttributeError, FloatingPointError, np.linalg.LinAlgError):
            return None


def value_of(row: Wrong, settings: Settings) -> Callable[[Case, str], Array | None]:
    """What the row gives on a case, as the target would return it."""

    def value(case: Case, name: str) -> Array | None:
        if case.suite == "policy-gradient" and {"grad": "gradient"}.get(name, name) != row.quantity:
            return None
        if (found := _computed(row, case)) is None:
            return None
        if row.quantity == "parts":
            return transformed(found[name], case, settings, name) if name in found else None
        raw = np.asarray(found)
        if case.suite == "policy-gradient":
            return raw if settings.ascent or not of_returns(case.suite, name) else -raw
        if row.quantity in ("sum", "mean"):
            return -raw if settings.ascent else raw
        return transformed(raw, case, settings)

    return value


def departure_of(row: Wrong, settings: Settings) -> Callable[[Case, str], Array | None]:
    """The difference between a known-wrong formula and the right answer; None where the formula does not apply."""
    value = value_of(row, settings)

    def departure(case: Case, name: str) -> Array | None:
        wrong, right = value(case, name), transformed(case.expected[name].value, case, settings, name)
        return None if wrong is None or wrong.shape != right.shape else wrong - right

    return departure


def distance(case: Case, name: str, settings: Settings) -> float:
    """The distance in tolerances from the right answer to the nearest known-wrong formula that differs from it here."""
    limit, nearest = allowed_of(case, name, settings), np.inf
    for row in catalogue(case.suite, settings):
        apart = departure_of(row, settings)(case, name)
        if apart is not None and np.isfinite(apart).all() and (size := gap(apart, 0 * apart, limit)) > NEAR:
            nearest = min(nearest, size)
    return nearest
