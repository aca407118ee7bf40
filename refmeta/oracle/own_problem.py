"""A user's own meta-gradient on losses of their own, as a case of the oracle.  Derivation: derivations/using-the-oracle.md"""

import inspect
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_count, as_positive, as_real, replace_fields
from refmeta.meta.arguments import as_query, as_step_sizes
from refmeta.oracle.own_tasks import Opaque, as_task, check_derivatives
from refmeta.oracle.suite import Case, Expected, Suite
from refmeta.oracle.suites.own import ALGORITHMS, Algorithm
from refmeta.tables import suggestion
from refmeta.tolerance import condition_number, max_per_task, tolerance

__all__ = ["Problem", "case_of"]

SEEDS = range(4)


@dataclass(frozen=True, eq=False)
class Problem:
    """A meta-gradient of your own on losses of your own: `python -m refmeta check MODULE:PROBLEM` judges it.

    Eq: maml-gradient, implicit-maml, reptile-gradient

    Parameters
    ----------
    theta : (d,) array
        The initialisation, flat.
    support, query : lists of N losses, lists of N tasks, or tasks with `shape` (N,), `dim` d and `at(theta)`
        A loss is a function of theta (d,) that returns a number; a task may be `refmeta.BlackBox(loss, d, grad=, hvp=)`.
        `query=None` is the support itself.
    alpha, steps :
        As in `refmeta.adapt`; None for "implicit".
    gradient : function of theta that returns (N, d), or such an array
        One row per task, never reduced.  A function is asked at other theta, too; one that has the parameters `alpha` or
        `steps`, or `**inputs`, gets them, and is asked with others.
    algorithm : "maml", "implicit" or "reptile"
        dF_i/dθ of MAML or of implicit MAML, or (θ − φ_i)/α.
    strength : float
        λ of "implicit".
    """

    theta: ArrayLike
    support: Any
    query: Any
    alpha: Any
    steps: int | None
    gradient: Any
    algorithm: str = "maml"
    _: KW_ONLY
    strength: float | None = None

    def diagnose(self, *, seconds: float = 30.0) -> Any:
        """The `Diagnosis` of your gradient: verdict, sentences and evidence; a search takes so many seconds of the processor."""
        from refmeta.oracle.own import diagnosis_of

        return diagnosis_of(self, seconds=seconds)

    def check(self, *, allow_rounding: bool = False) -> None:
        """AssertionError with the diagnosis, unless your gradient is right."""
        found = self.diagnose()
        if found.word not in ("RIGHT", *["ROUNDING"] * allow_rounding):
            raise AssertionError(str(found))

    @property
    def of(self) -> Algorithm:
        """What is known of the algorithm."""
        if self.algorithm not in ALGORITHMS:
            near = suggestion(str(self.algorithm), list(ALGORITHMS))
            raise ValueError(f"algorithm must be one of {', '.join(ALGORITHMS)}, got {self.algorithm!r}{near}")
        return ALGORITHMS[self.algorithm]

    @property
    def given(self) -> dict[str, Any]:
        """The inputs of the algorithm beside θ and the losses."""
        every = {"alpha": self.alpha, "steps": self.steps, "strength": self.strength}
        given = {name: each for name, each in every.items() if each is not None}
        if set(given) != (wanted := set(self.of.inputs) - {"theta"}):
            got = ", ".join(sorted(given)) or "none of them"
            raise ValueError(f"the algorithm {self.algorithm!r} takes {' and '.join(sorted(wanted))}, got {got}; leave others None")
        return given

    def function(self, **inputs: Any) -> Any:
        """Your gradient at θ, with those of the other inputs that it takes."""
        return self.gradient(inputs["theta"], **{name: x for name, x in inputs.items() if name in self.asked})

    @property
    def asked(self) -> tuple[str, ...]:
        """The inputs beside θ that your gradient takes as keywords."""
        if not callable(self.gradient):
            return ()
        try:
            parameters = inspect.signature(self.gradient).parameters
        except (TypeError, ValueError):
            return ()
        takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        return tuple(name for name in self.of.inputs if name != "theta" and (takes_all or name in parameters))


def case_of(problem: Problem) -> Case:
    """The problem as a case of a suite of its own, with the library's answer and what its tolerance is made of; arguments checked."""
    theta, support, query = _losses(problem)
    given = _checked(problem, support.dim)
    fixed = [name for name in given if name not in problem.asked]

    def at(x: dict[str, Any]) -> Any:
        """The same losses at another θ, and with other inputs that the gradient takes."""
        if not all(np.array_equal(x[name], given[name]) for name in fixed):
            raise ValueError("the function takes no other " + ", ".join(fixed))
        return problem.of.problem(x["theta"], *losses, **{name: x[name] for name in given})

    losses = Opaque(support), Opaque(query)
    suite = problem.of.suite(at)
    inputs = {"theta": theta.tolist(), **{name: np.asarray(x).tolist() for name, x in given.items()}}
    expected = _expected(suite, at({"theta": theta, **given}))
    return Case("own", suite, "a problem of one's own", (), "valid", inputs, {"gradient": expected}, {})


def _losses(problem: Problem) -> tuple[Array, Any, Any]:
    """θ, the support and the query, checked; so are their derivatives."""
    theta = as_real(problem.theta, "theta")
    if theta.ndim != 1:
        raise ValueError(f"theta has shape {theta.shape}, expected (d,): one initialisation for all tasks")
    support = as_task(problem.support, "support", theta.size)
    query = as_query(support, None if problem.query is None else as_task(problem.query, "query", theta.size))
    if theta.shape != (support.dim,):
        raise ValueError(f"theta has shape {theta.shape}, expected ({support.dim},): one initialisation for all tasks")
    if len(support.shape) != 1 or tuple(query.shape) != tuple(support.shape):
        raise ValueError(f"support and query have the batch axes {tuple(support.shape)} and {tuple(query.shape)}, expected (N,) of both")
    for name, task in {"support": support, "query": query}.items():
        check_derivatives(name, task, theta)
    return theta, support, query


def _checked(problem: Problem, dim: int) -> dict[str, Any]:
    """The inputs beside θ and the losses."""
    given = problem.given
    if "strength" in given:
        return {"strength": as_positive(given["strength"], "strength")}
    steps, sizes = as_count(given["steps"], "steps"), as_real(given["alpha"], "alpha")
    as_step_sizes(sizes, steps, dim)
    if problem.algorithm == "reptile" and (sizes.ndim or sizes == 0):
        raise ValueError("alpha must be one number other than 0: the gradient of reptile is (theta - phi) / alpha")
    return {"alpha": sizes if sizes.ndim else float(sizes), "steps": steps}


def _expected(suite: Suite, problem: Any) -> Expected:
    """The library's answer, and what its tolerance is made of: its condition in θ, and the error of numeric derivatives.

    The tolerance is 30 eps max(1, κ) scale.  The error counts as a larger κ.
    """
    answer: Callable[[Any], Array] = lambda p: np.asarray(suite.answer("gradient", p))
    right = answer(problem)
    scale = np.maximum(max_per_task(right), suite.terms("gradient", problem, right))
    scale = np.where(scale > 0, scale, 1.0)
    kappa = condition_number(lambda theta: answer(replace_fields(problem, theta=theta)), problem.theta, scale, right)
    error = 2 * max_per_task(np.max([np.abs(answer(_noisy(problem, seed)) - right) for seed in SEEDS], axis=0))
    return Expected(right, np.maximum(kappa, error / tolerance(np.ones_like(scale), scale, "float64", suite.residual)), scale, 0)


def _noisy(problem: Any, seed: int) -> Any:
    """The problem with its numeric derivatives off by their errors."""
    query = problem.query if problem.query is problem.support else problem.query.noisy(seed + len(SEEDS))
    return replace_fields(problem, support=problem.support.noisy(seed), query=query)
