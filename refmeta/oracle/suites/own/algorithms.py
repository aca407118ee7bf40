"""The algorithms that a user's own problem may be of: what is right, and what is known to be wrong on any losses.

A problem of one's own has no vectors and no definition: its losses are the user's.  Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array, as_count, as_positive, as_real
from refmeta.meta.arguments import as_step_sizes
from refmeta.meta.inner import adapt
from refmeta.meta.reptile import gradient as reptile_gradient
from refmeta.oracle.choices import Point
from refmeta.oracle.suite import Case, Effects, Input, Part, Suite, choice_facts
from refmeta.oracle.suites import implicit, maml
from refmeta.oracle.suites.maml import choices as maml_choices
from refmeta.oracle.suites.maml import problem as maml_problem
from refmeta.oracle.suites.maml.patterns import detached_steps, odd_terms

__all__ = ["ALGORITHMS", "DEFAULT", "NAME", "SUPPORT_ALONE", "Algorithm"]

NAME, DEFAULT, SUPPORT_ALONE = "own", "maml", ("reptile",)  # the suite; the usual algorithm; those that no query takes part in
THETA = {"theta": Input("(d,)", "parameters")}
STEPS = THETA | {
    "alpha": Input("number or (d,) or (K, 1) or (K, d)", "step sizes"), "steps": Input("integer", "number of inner steps", "integer")
}  # fmt: skip


ADAPTED = (
    "refmeta.adapt(theta, support, alpha=alpha, steps=steps).adapted, your phi; losses as tasks are "
    "[refmeta.BlackBox(loss, len(theta)) for loss in losses]"
)
MEANT = {
    "loss-scale-half": "a support and a query whose losses are half as large, as yours are",
    "loss-scale-double": "a support and a query whose losses are twice as large, as yours are",
    "loss-summed": "a support and a query whose losses are sums over the data points, as yours are",
}


class Algorithm(NamedTuple):
    """A meta-gradient: its inputs beside the losses, its formula, and what a suite knows of it on any losses.

    compare_first : what to compare first, as a call of the library.
    first_order : of the problem, what a right answer is to be told from; None if there is nothing.
    check_inputs : the inputs beside the losses and theta, checked for a number of parameters.
    problem : of the theta, the support, the query and the other inputs.
    answer, terms : of the problem, as of a suite.
    meant : what to write in the problem for a convention, by its slug.
    """

    inputs: Mapping[str, Input]
    formula: str
    compare_first: str
    check_inputs: Callable[[dict[str, Any], int], dict[str, Any]]
    problem: Callable[..., Any]
    answer: Callable[[str, Any], Array]
    terms: Callable[[str, Any, Array], Any]
    facts: Mapping[str, Any]
    first_order: Callable[[Any], Array] | None = None
    meant: Mapping[str, str] = {}

    def suite(self, problem: Callable[[dict[str, Any]], Any]) -> Suite:
        """The suite of one problem: `problem` of other inputs is the same losses with them."""
        return Suite(
            name=NAME, title="a meta-gradient on losses of one's own", sizes="N tasks, d parameters, K steps", losses="those that are given",
            inputs=self.inputs, array="gradient", parts={"gradient": Part("(N, d)", self.formula)}, problem=problem, answer=self.answer,
            terms=self.terms, definition=lambda part, x, steps: [], vectors="", **self.facts,
        )  # fmt: skip


def _step_sizes(given: dict[str, Any], dim: int) -> dict[str, Any]:
    """alpha and steps, which fit each other."""
    steps, sizes = as_count(given["steps"], "steps"), as_real(given["alpha"], "alpha")
    as_step_sizes(sizes, steps, dim)
    return {"alpha": sizes if sizes.ndim else float(sizes), "steps": steps}


def _one_step_size(given: dict[str, Any], dim: int) -> dict[str, Any]:
    """alpha, one number other than 0, and steps."""
    checked = _step_sizes(given, dim)
    if np.ndim(checked["alpha"]) or checked["alpha"] == 0:
        raise ValueError("alpha must be one number other than 0: the gradient of reptile is (theta - phi) / alpha")
    return checked


def _strength(given: dict[str, Any], dim: int) -> dict[str, Any]:
    """A positive strength."""
    return {"strength": as_positive(given["strength"], "strength")}


def _proximity(theta: Array, support: Any, query: Any, strength: float) -> Any:
    """An implicit meta-gradient."""
    return implicit.problem.Proximity(theta, support, query, strength)


def _displacement(part: str, problem: Any) -> Array:
    """(θ − φ)/α of every task, φ after K steps on the support."""
    phi = adapt(problem.theta, problem.support, **problem.hyper).adapted
    return reptile_gradient(problem.theta, phi, alpha=problem.alpha)


def _displaced(part: str, problem: Any, point: Point) -> Array | None:
    """(θ − φ)/α at a point of the product of MAML's inner loop."""
    phi = maml_choices.variant("adapted", problem, point)
    return None if phi is None else (problem.theta - phi) / problem.alpha


def _displaced_terms(part: str, problem: Any) -> dict[str, Callable[[], Array]]:
    """What may be added to (θ − φ)/α."""
    start = np.broadcast_to(problem.theta, (*problem.support.shape, problem.support.dim))
    return {
        "theta": lambda: start, "the support's gradient at theta": lambda: problem.support.at(start).grad,
        "the query's gradient at theta": lambda: problem.query.at(start).grad,
        "phi": lambda: adapt(problem.theta, problem.support, **problem.hyper).adapted,
    }  # fmt: skip


def _reptile_terms(part: str, problem: Any, value: Array) -> Array:
    """‖θ‖∞/|α|: what the difference θ − φ loses its digits by."""
    return np.full(problem.support.shape, np.max(np.abs(problem.theta)) / abs(problem.alpha))


def _no_effects(case: Case, part: str) -> Effects:
    """No ε has a place."""
    return Effects()


def _of_gradient(rows: Any) -> Any:
    """The rows of the meta-gradient, as formulas of another algorithm."""
    return tuple(row for row in rows if row.quantity in ("gradient", "sum", "mean"))


OF_MAML = maml.SUITES[0]
ALGORITHMS: dict[str, Algorithm] = {
    "maml": Algorithm(
        STEPS, "dF_i/dtheta, F_i = L_query(phi_i)", ADAPTED, _step_sizes, maml_problem.MetaProblem, maml_problem.answer, maml_problem.terms,
        {
            "chapter": "maml", "rows": OF_MAML.rows, "effects": maml.epsilons.effects, "letters": OF_MAML.letters,
            "patterns": {"detached step": detached_steps, "odd terms": odd_terms}, **choice_facts(maml_choices),
        },
        lambda problem: maml_problem.answer("first_order", problem), MEANT,
    ),
    "implicit": Algorithm(
        THETA | {"strength": Input("number", "lambda, the weight of the proximal term")},
        "dF_i/dtheta, F_i = L_query(phi_i), phi_i = argmin L_support + strength/2 |phi - theta|^2",
        "refmeta.implicit.adapt(theta, support, strength=strength).adapted, your phi", _strength, _proximity,
        implicit.problem.answer, implicit.problem.terms,
        {
            "chapter": implicit.SUITE.chapter, "rows": implicit.SUITE.rows, "effects": implicit.epsilons.effects,
            "residual": implicit.SUITE.residual, "choices": implicit.SUITE.choices, "variant": implicit.SUITE.variant,
            "families": implicit.SUITE.families, "additions": implicit.SUITE.additions,
        },
        lambda problem: implicit.problem.answer("first_order", problem),
    ),
    "reptile": Algorithm(
        STEPS, "(theta - phi_i)/alpha", ADAPTED, _one_step_size, maml_problem.MetaProblem, _displacement, _reptile_terms,
        {
            "chapter": "reptile", "rows": _of_gradient(OF_MAML.rows), "effects": _no_effects, "choices": {
                name: maml_choices.CHOICES[name] for name in ("steps", "alpha", "alpha of the parameters", "inner optimiser", "inner loop",
                "carried between tasks", "loss", "split") if name in maml_choices.CHOICES},
            "variant": _displaced, "additions": _displaced_terms,
        },
    ),
}  # fmt: skip
