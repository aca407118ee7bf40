"""Where an ε may stand: in a logarithm, a denominator or a probability, suite by suite, and its first-order effect.

An effect is ∂(result)/∂ε at ε = 0, one row a task.  Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from refmeta.arrays import Array, matvec, replace_fields
from refmeta.judges import complex_step
from refmeta.oracle.answers import own
from refmeta.oracle.case import Case
from refmeta.oracle.judge import Settings, transformed
from refmeta.oracle.learned_epsilons import of_agents, of_learners, of_models
from refmeta.oracle.sampled_epsilons import of_batches, of_expectations
from refmeta.oracle.shifted import departures, slope
from refmeta.oracle.wrong import implicit
from refmeta.oracle.wrong.maml import path
from refmeta.softmax import log_softmax
from refmeta.tasks import fisher

Effect = Callable[[Case, str], Array | None]


def _of_tasks(case: Case, part: str) -> dict[str, Callable[[], Any]]:
    """An ε in the losses of a problem of support and query, of both or of one, or in the factors I − αH."""
    problem, found = case.problem, dict[str, Callable[..., Any]]()
    put: Callable[..., Any] = problem._replace if hasattr(problem, "_replace") else lambda **k: replace_fields(problem, **k)

    def effect(change: Callable[[Any, float], Any], where: Sequence[str]) -> Array:
        moved: Callable[[float], Any] = lambda e: put(**{side: change(getattr(problem, side), e) for side in where})
        return np.asarray(slope(lambda e: own(case.suite, part, moved(e))))

    for name, f in departures(problem.support).items():
        found[name] = lambda f=f: effect(f, ("support", "query"))
        for side in ("support", "query"):
            found[f"{name}, in the {side} only"] = lambda f=f, side=side: effect(f, (side,))
    return found | ({"I − α(H + ε·I)": lambda: slope(lambda e: damped(problem, e))} if part == "gradient" else {})


def damped(problem: Any, epsilon: float) -> Array:
    """∏(I − α(H + ε·I)) g."""
    points, alphas, g = path(problem)
    for point, a in reversed(list(zip(points, alphas, strict=False))):
        g = g - point.hvp(a * g) - epsilon * a * g
    return g


def _of_returns(case: Case, part: str) -> dict[str, Callable[[], Any]]:
    """An ε in an exact return and its derivatives, in a Fisher matrix, or in a divergence."""
    problem = case.problem
    if part in ("loss", "grad", "hvp"):
        changes = departures(problem.task)
        one: Callable[..., Any] = lambda f, e: own(case.suite, part, replace_fields(problem, task=f(problem.task, e)))
        return {name: lambda f=f: slope(lambda e: one(f, e)) for name, f in changes.items()}  # type: ignore[misc]
    if part.startswith("kl"):
        return _of_divergences(problem, part)
    return _of_metrics(problem, part)


def _of_metrics(problem: Any, part: str) -> dict[str, Callable[[], Any]]:
    """F + ε·I, and the scores of log(π + ε) in F."""
    point = problem.task.at(problem.theta)
    F = np.stack([fisher.product(point, e) for e in np.eye(problem.task.dim)], axis=-1)
    if part == "natural_gradient":
        solved: Callable[..., Any] = lambda x: matvec(np.linalg.pinv(F, rcond=1e-10, hermitian=True), x)
        return {"F + ε·I": lambda: -solved(solved(-point.grad))}

    def scores() -> Array:
        pi, x = point.probabilities, problem.task.policy.table(problem.v)
        along = x - np.sum(pi * x, axis=-1, keepdims=True)
        terms = -2 * fisher.visits(point)[..., None] * (along - pi * np.sum(along, axis=-1, keepdims=True))
        return np.asarray(problem.task.policy.pullback(terms))

    return {"F + ε·I": lambda: np.broadcast_to(problem.v, F.shape[:-1]), "log(π + ε) in the scores": scores}


def _of_divergences(problem: Any, part: str) -> dict[str, Callable[[], Any]]:
    """Σ d π_old (log π_old − log π_new), with π + ε in one logarithm or in both."""
    old = problem.task.at(problem.theta)
    d, pi, policy = fisher.visits(old)[..., None], old.probabilities, problem.task.policy

    def new(theta: Array) -> Array:
        return np.asarray(-np.sum(d * pi * np.exp(-log_softmax(policy.table(theta))), axis=(-2, -1)))

    constant = np.sum(d * np.ones_like(pi), axis=(-2, -1))
    theta = problem.theta + problem.v
    grad: Callable[..., Any] = lambda theta: complex_step(new, theta)
    if part == "kl":
        effects = {"log(π_new + ε)": new(theta), "log(π_old + ε)": constant, "log(π + ε)": new(theta) + constant}
        return {name: lambda x=x: x for name, x in effects.items()}  # type: ignore[misc]
    return {
        "log(π_new + ε)": lambda: grad(theta) if part == "kl_grad" else slope(lambda h: grad(theta + h * problem.v))
    }


def _of_updates(case: Case, part: str) -> dict[str, Callable[[], Any]]:
    """A mean over N + ε tasks."""
    problem = case.problem
    return {"1/(N + ε)": lambda: -(case.expected[part].value - problem.theta) / len(problem.adapted)}


def _of_minima(case: Case, part: str) -> dict[str, Callable[[], Any]]:
    """λ + ε, and a damped linear system."""
    problem = case.problem
    found = {"λ + ε": lambda: slope(lambda e: own(case.suite, part, replace_fields(problem, strength=problem.strength + e)))}

    def damped() -> Array:
        phi = implicit.minimiser(problem, problem.strength)
        M = np.eye(problem.support.dim) + implicit.hessian(problem.support, phi) / problem.strength
        return -matvec(np.linalg.inv(M), case.expected["gradient"].value)

    return found | ({"I + H/λ + ε·I": damped} if part == "gradient" else {})


PLACES: dict[str, Callable[[Case, str], dict[str, Callable[[], Any]]]] = {
    "policy-gradient": _of_returns, "reptile": _of_updates, "implicit": _of_minima, "surrogates": of_batches,
    "expected-estimators": of_expectations, "meta-lstm": of_learners, "pearl": of_agents, "model": of_models,
}  # fmt: skip


def effects(case: Case, part: str) -> dict[str, Callable[[], Any]]:
    """The effect of every ε that may stand in a part of a case, by its place."""
    return PLACES.get(case.suite, _of_tasks)(case, part)


@lru_cache(maxsize=1024)
def _effect(case: Case, part: str, name: str) -> Array | None:
    """One effect, kept while a diagnosis compares; None where it has none."""
    with np.errstate(all="ignore"):
        try:
            return np.asarray(effects(case, part)[name]())
        except (AttributeError, KeyError, FloatingPointError, ValueError, np.linalg.LinAlgError):
            return None


def returned(name: str, settings: Settings) -> Effect:
    """An effect as the target would return it."""

    def value(case: Case, part: str) -> Array | None:
        raw = _effect(case, part, name)
        return None if raw is None else transformed(raw, case, settings, part)

    return value
