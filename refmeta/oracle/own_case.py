"""A problem of one's own as a case of the oracle.  Derivation: derivations/using-the-oracle.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, as_real, replace_fields
from refmeta.meta.arguments import as_query
from refmeta.numerics.returned import on_host
from refmeta.oracle.asking import varied
from refmeta.oracle.own_tasks import Opaque, as_task, black_box, check_derivatives
from refmeta.oracle.suite import Case, Expected, Suite
from refmeta.tolerance import condition_number, max_per_task, tolerance

__all__ = ["case_of", "cases_of"]

SEEDS, OTHERS, PATTERNS = range(2), (1, 2), ("+", "+-", "++-", "+++-")
EACH, SOLVED, MOST = 24, 50, 3 * 10**7  # evaluations of a loss for each parameter and step; steps of a solver; the most of all


def case_of(problem: Any) -> Case:
    """The problem as a case of a suite of its own, with the library's answer and what its tolerance is made of; arguments checked."""
    theta, support, query = _losses(problem)
    given = problem.rules.check_inputs(problem.inputs, support.dim)
    _check_cost(theta.size, support, given.get("steps", SOLVED))
    for name, task in {"support": support, "query": query}.items():
        check_derivatives(name, task, theta)
    fixed = [name for name in given if name not in problem.keywords]

    def at(x: dict[str, Any]) -> Any:
        """The same losses at another θ, and with other inputs that the gradient takes."""
        if not all(np.array_equal(x[name], given[name]) for name in fixed):
            raise ValueError("the function takes no other " + ", ".join(fixed))
        return problem.rules.problem(x["theta"], *losses, **{name: x[name] for name in given})

    losses = Opaque(support), Opaque(query)
    suite = problem.rules.suite(at)
    inputs = {"theta": theta.tolist(), **{name: np.asarray(x).tolist() for name, x in given.items()}}
    expected = _expected(suite, at({"theta": theta, **given}))
    return Case("own-1", suite, "a problem of one's own", (), "valid", inputs, {"gradient": expected}, {})


def cases_of(problem: Any) -> list[Case]:
    """The problem as a case, and two more with other θ (and other step sizes, if the gradient takes them)."""
    case = case_of(problem)
    others = [other for seed in OTHERS if (other := varied(case, seed)) is not None]
    return [case, *(replace_fields(o, id=f"own-{i}", expected={"gradient": _expected(o.about, o.problem)}) for i, o in enumerate(others, 2))]


def _losses(problem: Any) -> tuple[Array, Any, Any]:
    """θ, the support and the query, whose sizes fit each other."""
    theta = as_real(on_host(problem.theta), "theta")
    if theta.ndim != 1:
        raise ValueError(f"theta has shape {theta.shape}, expected (d,): one initialisation for all tasks")
    support = as_task(problem.support, "support", theta.size)
    query = as_query(support, None if problem.query is None else as_task(problem.query, "query", theta.size))
    if theta.shape != (support.dim,):
        raise ValueError(f"theta has shape {theta.shape}, expected ({support.dim},): one initialisation for all tasks")
    if len(support.shape) != 1 or tuple(query.shape) != tuple(support.shape):
        raise ValueError(f"support and query have the batch axes {tuple(support.shape)} and {tuple(query.shape)}, expected (N,) of both")
    return theta, support, query


def _check_cost(dim: int, support: Any, steps: int) -> None:
    """ValueError where losses alone would be asked more often than anybody waits for."""
    N = int(support.shape[0])
    alone = sum(box is not None and box.grad is None for box in (black_box(support, i) for i in range(N)))
    cost = alone * max(steps, 1) * EACH * dim * (1 + len(PATTERNS) + len(SEEDS)) * (1 + len(OTHERS))
    if cost > MOST:
        raise ValueError(
            f"a verdict from losses alone would cost some {cost:.0e} evaluations of them, for {alone} tasks, {dim} parameters and {steps} "
            f"steps; give their gradients: refmeta.BlackBox(loss, {dim}, grad=...)"
        )


def _expected(suite: Suite, problem: Any) -> Expected:
    """The library's answer, and what its tolerance is made of: its condition in θ, and the error of numeric derivatives.

    The tolerance is 30 eps max(1, κ) scale.  The error counts as a larger κ.
    """
    answer: Callable[[Any], Array] = lambda p: np.asarray(suite.answer("gradient", p))
    right = answer(problem)
    scale = np.maximum(max_per_task(right), suite.terms("gradient", problem, right))
    scale = np.where(scale > 0, scale, 1.0)
    kappa = condition_number(lambda theta: answer(replace_fields(problem, theta=theta)), problem.theta, scale, right, PATTERNS)
    error = 2 * max_per_task(np.max([np.abs(answer(_noisy(problem, seed)) - right) for seed in SEEDS], axis=0))
    return Expected(right, np.maximum(kappa, error / tolerance(np.ones_like(scale), scale, "float64", suite.residual)), scale, 0)


def _noisy(problem: Any, seed: int) -> Any:
    """The problem with its numeric derivatives off by their errors."""
    query = problem.query if problem.query is problem.support else problem.query.noisy(seed + len(SEEDS))
    return replace_fields(problem, support=problem.support.noisy(seed), query=query)
