"""The meta-gradient through any inner step, its derivatives by complex steps.  Derivation: derivations/inner-optimisers.md

Only `at`, `grad` and `hvp` of the losses are used.
"""

from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import unit_vectors
from refmeta.oracle.suites.maml.paths import InnerPath, alpha_rows, carried, follow, pullback
from refmeta.oracle.suites.maml.steps import Memory, Optimiser
from refmeta.oracle.suites.maml_optimisers.departures import StepChange
from refmeta.oracle.suites.maml_optimisers.rules import RIGHT, InnerRule, step_of

__all__ = ["UnrolledPath", "forward_gradient", "gradients", "optimiser_with", "unrolled"]

STEP = 1e-30


class UnrolledPath(NamedTuple):
    """The inner path of a problem, and the query's gradient at φ."""

    path: InnerPath
    g: Array


def optimiser_with(rule: InnerRule, *departures: StepChange) -> Optimiser:
    """The optimiser of a rule, with some departures."""
    pieces = RIGHT
    for each in departures:
        rule, pieces = each.change(rule, pieces)
    return Optimiser(step_of(rule, pieces), any(each.kept for each in departures), sum((each.detached for each in departures), ()))


def unrolled(problem: Any, *departures: StepChange) -> UnrolledPath:
    """The path of the problem's rule, with some departures."""
    support, optimiser = problem.support, optimiser_with(problem.rule, *departures)
    start = np.broadcast_to(problem.theta, (*support.shape, support.dim))
    path = follow(support, start, alpha_rows(problem.alpha, problem.steps), optimiser, Memory(start))
    path = carried(path, support, False) if optimiser.kept else path
    return UnrolledPath(path, np.array(problem.query.at(path.thetas[-1]).grad))


def gradients(inner: UnrolledPath, steps: int | None = None, hessians: bool = True) -> tuple[Array, Array]:
    """dF/dθ (N, d), and dF by the step sizes (N, K, d), through the first steps, or through all; with their Hessians or without."""
    path, K = inner.path, len(inner.path.rows)
    n = K if steps is None else steps
    kept = path._replace(thetas=path.thetas[: n + 1], points=path.points[: n + 1], rows=path.rows[:n])
    bends = [point.hvp if hessians else np.zeros_like for point in kept.points[:n]]
    return pullback(kept, bends, [0 * inner.g] * n + [inner.g])


def forward_gradient(problem: Any, *departures: StepChange) -> Array:
    """dF/dθ (N, d), forwards along every axis: also where a task's step depends on the other tasks."""
    support, step = problem.support, optimiser_with(problem.rule, *departures).step
    slopes = []
    for axis in unit_vectors(support.dim):
        phi = problem.theta + 1j * STEP * axis + np.zeros((*support.shape, support.dim))
        memory = Memory(phi)
        for alpha in alpha_rows(problem.alpha, problem.steps):
            point = support.at(phi.real)
            phi, memory = step(memory, phi, point.grad + 1j * STEP * point.hvp(phi.imag / STEP), alpha)
        slopes.append(np.sum(problem.query.at(phi.real).grad * phi.imag / STEP, axis=-1))
    return np.stack(slopes, axis=-1)
