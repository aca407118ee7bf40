"""Mistakes in the product ∏(I − αH) g that stand in no catalogue: detached steps, odd coefficients.

Derivation: derivations/using-the-oracle.md
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.judge import JudgeSettings, Outcome, transformed
from refmeta.oracle.match import NEAR, Match, in_all, matches, pairs
from refmeta.oracle.suite import Case
from refmeta.oracle.suites.maml.problem import path, product

__all__ = ["detached_steps", "odd_terms"]


def detached_steps(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """Every set of inner steps whose gradient may have been detached."""
    if settings.quantity != "gradient":
        return []
    most = max(o.case.problem.steps for o in failing)
    sets = [cut for size in range(1, most + 1) for cut in itertools.combinations(range(most), size)]
    found = [cut for cut in sets if matches(failing, settings, _cutting(cut, settings))]
    return [_detaching(cut, failing, settings) for cut in found]


def _detaching(cut: tuple[int, ...], failing: Sequence[Outcome], settings: JudgeSettings) -> Match:
    """What is said of detached steps."""
    what = f"the gradient whose inner step {', '.join(str(k + 1) for k in cut)} is detached"
    line = f"EXACT match with {what} (its factor I − αH is missing), {in_all(failing)}; likely: a detach or stop_gradient there"
    return Match(what, line, _cutting(cut, settings))


def _cutting(cut: tuple[int, ...], settings: JudgeSettings) -> Callable[[Case, str], Array | None]:
    """The gradient with these steps detached, as a target would return it."""
    return lambda case, name: _detached(case, cut, settings)


def _detached(case: Case, cut: tuple[int, ...], settings: JudgeSettings) -> Array:
    """∏(I − αH) g without the factors of these steps."""
    points, alphas, g = path(case.problem)
    keep = np.array([[0.0] if k in cut else [1.0] for k in range(len(alphas))]).reshape(-1, 1)
    return transformed(product(points, alphas * keep, g), case, settings)


def odd_terms(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """Least squares on the terms of the expanded product, order by order in α; each coefficient should be 1."""
    if settings.quantity != "gradient":
        return []
    most = max(o.case.problem.steps for o in failing)
    blocks, results, weights = [], [], []
    for case, _, got, _, limit in pairs(failing, settings):
        terms = _orders(case, most, settings)
        blocks.append(np.stack([np.ravel(term) for term in terms], axis=-1))
        results.append(np.ravel(got))
        weights.append(np.full(got.size, 1 / np.max(limit)))
    X, y, w = np.concatenate(blocks), np.concatenate(results), np.concatenate(weights)
    used = np.any(X != 0, axis=0)
    if len(failing) < 2 or len(y) < 4 * np.sum(used):
        return []
    fit, weighted = np.zeros(most + 1), X[:, used] * w[:, None]
    fit[used] = np.linalg.lstsq(weighted, y * w, rcond=None)[0]
    doubt = NEAR * np.sqrt(np.diag(np.linalg.pinv(weighted.T @ weighted)))
    if np.max(np.abs(X @ fit - y) * w) > NEAR * (most + 1) or np.max(doubt) > 1e-3:
        return []
    fit[np.abs(fit) < 1e-6] = 0.0
    odd = [
        f"{_order_name(j)} has the coefficient {fit[j]:.6g}"
        for j in range(most + 1)
        if used[j] and abs(fit[j] - 1) > 1e-6
    ]
    power = all(abs(fit[j] - fit[1] ** j) < 1e-6 for j in range(most + 1) if used[j]) if most else False
    common = f"the Hessian term αH is scaled by {fit[1]:.6g} in every factor: " if power else ""
    what = f"{common}in the expanded product ∏(I − αH) g, {'; '.join(odd)}"
    return [Match(what, f"{what}, expected 1 each, {in_all(failing)}", _summed(fit, settings))] if odd else []


def _summed(fit: Array, settings: JudgeSettings) -> Callable[[Case, str], Array | None]:
    """The sum of the terms, each with its coefficient; none where a case has more steps than were fitted."""

    def value(case: Case, name: str) -> Array | None:
        if case.problem.steps >= len(fit):
            return None
        return np.sum([c * term for c, term in zip(fit, _orders(case, len(fit) - 1, settings), strict=True)], axis=0)

    return value


def _order_name(j: int) -> str:
    """The terms with j Hessians in words."""
    return "the term without a Hessian" if j == 0 else f"the sum of terms with {j} Hessian{'s' * (j > 1)}"


def _orders(case: Case, most: int, settings: JudgeSettings) -> list[Array]:
    """The terms of ∏(I − αH)g with j Hessians, j = 0 … most, through the complex roots of unity in front of α."""
    points, alphas, g = path(case.problem)
    sums: list[Array] = [g] + [0 * g for _ in range(most)]
    for point, a in reversed(list(zip(points, alphas, strict=False))):
        sums = [sums[0]] + [sums[j] - point.hvp(a * sums[j - 1]) for j in range(1, most + 1)]
    return [transformed(term, case, settings) for term in sums]
