"""Mistakes in the product ∏(I − αH) g that stand in no catalogue: detached steps, odd coefficients.

Derivation: derivations/using-the-oracle.md
"""

import itertools
from collections.abc import Sequence

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.judge import JudgeSettings, Outcome, as_returned
from refmeta.oracle.match import NEAR, Candidate, Match, candidate_of, in_all, matches, pairs
from refmeta.oracle.suite import Case
from refmeta.oracle.suites.maml.problem import adjoint_product, inner_path

__all__ = ["detached_steps", "odd_terms"]


def detached_steps(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The sets of inner steps whose gradient may have been detached: every one of at most five steps, else small or large ones."""
    if settings.quantity != "gradient":
        return []
    most = max(o.case.problem.steps for o in failing)
    sizes = range(1, most + 1) if most <= 5 else (1, 2, most - 1, most)
    sets = [cut for size in sizes for cut in itertools.combinations(range(most), size)]
    return [m for cut in sets if matches(failing, settings, (m := _detachment(cut, failing, settings)).value)]


def _detachment(cut: tuple[int, ...], failing: Sequence[Outcome], settings: JudgeSettings) -> Match:
    """The gradient without the factors of these steps, and the sentence about it."""
    what = f"the gradient whose inner step {', '.join(str(k + 1) for k in cut)} is detached"
    line = f"EXACT match with {what} (its factor I − αH is missing), {in_all(failing)}; likely: a detach or stop_gradient there"
    return Match(what, line, candidate_of(lambda case, _: _without_factors(case, cut), settings))


def _without_factors(case: Case, cut: tuple[int, ...]) -> Array:
    """∏(I − αH) g without the factors of these steps."""
    points, alphas, g = inner_path(case.problem)
    keep = np.array([[0.0] if k in cut else [1.0] for k in range(len(alphas))]).reshape(-1, 1)
    return adjoint_product(points, alphas * keep, g)


def odd_terms(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """Least squares on the terms of the expanded product, order by order in α; each coefficient should be 1."""
    if settings.quantity != "gradient":
        return []
    most = max(o.case.problem.steps for o in failing)
    blocks, results, weights = [], [], []
    for case, name, got, _, limit in pairs(failing, settings):
        terms = [as_returned(term, case, settings, name) for term in _orders(case, most)]
        blocks.append(np.stack([np.ravel(term) for term in terms], axis=-1))
        results.append(np.ravel(got))
        weights.append(np.full(got.size, 1 / np.max(limit)))
    X, y, w = np.concatenate(blocks), np.concatenate(results), np.concatenate(weights)
    fit, doubt = _weighted_fit(X, y, w)
    told = doubt < 1e-3
    if len(failing) < 2 or len(y) < 4 * np.sum(told) or np.max(np.abs(X @ fit - y) * w) > NEAR * (most + 1):
        return []
    fit[np.abs(fit) < 1e-6] = 0.0
    odd = [
        f"{_order_name(j)} has the coefficient {fit[j]:.6g}"
        for j in range(most + 1)
        if told[j] and abs(fit[j] - 1) > max(1e-6, doubt[j])
    ]
    power = most > 0 and all(abs(fit[j] - fit[1] ** j) < max(1e-6, doubt[j]) for j in range(most + 1) if told[j])
    fit = np.where(told, fit, fit[min(most, 1)] ** np.arange(most + 1) if power else 1.0)
    common = f"the Hessian term αH is scaled by {fit[1]:.6g} in every factor: " if power else ""
    what = f"{common}in the expanded product ∏(I − αH) g, {'; '.join(odd)}"
    return [Match(what, f"{what}, expected 1 each, {in_all(failing)}", _sum_of_orders(fit, settings))] if odd else []


def _weighted_fit(X: Array, y: Array, w: Array) -> tuple[Array, Array]:
    """Least squares with weights, and how far each coefficient is in doubt: without end where its term is 0."""
    norms = np.linalg.norm(X * w[:, None], axis=0)
    sizes = np.where(norms > 0, norms, 1.0)
    U, values, V = np.linalg.svd(X * w[:, None] / sizes, full_matrices=False)
    inverse = 1 / np.maximum(values, np.finfo(float).eps)
    spread = NEAR * np.linalg.norm(V * inverse[:, None], axis=0)
    return V.T @ (inverse * (U.T @ (y * w))) / sizes, np.where(norms > 0, spread / sizes, np.inf)


def _sum_of_orders(fit: Array, settings: JudgeSettings) -> Candidate:
    """The sum of the terms, each with its coefficient; None where a case has more steps than were fitted."""

    def value(case: Case, name: str) -> Array | None:
        terms = _orders(case, len(fit) - 1)
        return np.tensordot(fit, terms, axes=1) if case.problem.steps < len(fit) else None

    return candidate_of(value, settings)


def _order_name(j: int) -> str:
    """The terms with j Hessians in words."""
    return "the term without a Hessian" if j == 0 else f"the sum of terms with {j} Hessian{'s' * (j > 1)}"


def _orders(case: Case, most: int) -> list[Array]:
    """The terms of ∏(I − αH)g with j Hessians, j = 0 … most."""
    points, alphas, g = inner_path(case.problem)
    sums: list[Array] = [g] + [0 * g for _ in range(most)]
    for point, a in reversed(list(zip(points, alphas, strict=False))):
        sums = [sums[0]] + [sums[j] - point.hvp(a * sums[j - 1]) for j in range(1, most + 1)]
    return sums
