"""The diagnosis of a meta-gradient on losses of one's own: any two tasks with `at(theta)`.  Derivation: derivations/using-the-oracle.md"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_parameters, replace_fields
from refmeta.meta.arguments import as_query
from refmeta.oracle.asking import Ask, varied
from refmeta.oracle.check import as_target, questions
from refmeta.oracle.judge import JudgeSettings, Outcome, judge
from refmeta.oracle.suite import Case, Expected, Input, Part, Suite, choice_facts
from refmeta.oracle.suites.maml import choices
from refmeta.oracle.suites.maml.epsilons import effects
from refmeta.oracle.suites.maml.patterns import detached_steps, odd_terms
from refmeta.oracle.suites.maml.problem import Problem, answer, terms
from refmeta.oracle.suites.maml.wrong import LETTERS, ROWS
from refmeta.oracle.verdict import finding
from refmeta.tolerance import condition_number, max_per_task

__all__ = ["Diagnosis", "diagnose"]

SEEDS = (1, 2)


class Diagnosis(NamedTuple):
    """What a meta-gradient computes: the verdict in a word, sentences, and the evidence.

    right : the exact meta-gradient (N, d).  tolerances : the largest error, in units of its tolerance.
    where, what : sentences on where it is right, and on what it computes instead.
    """

    word: str
    sentence: str
    where: tuple[str, ...]
    what: tuple[str, ...]
    right: Array
    tolerances: float

    def __str__(self) -> str:
        """The sentences, one a line."""
        lines = [f"{self.word}: {self.sentence}", *(f"Where: {line}" for line in self.where), *(f"Diagnosis: {line}" for line in self.what)]
        return "\n".join(lines)


def diagnose(
    got: ArrayLike | Callable[[Array], ArrayLike], theta: ArrayLike, support: Any, query: Any = None, *, alpha: ArrayLike, steps: int
) -> Diagnosis:
    """What the meta-gradient `got` (N, d), or a function of theta that returns it, computes on two tasks with `at(theta)`.

    Eq: maml-gradient

    The tasks have a batch axis, N; `query=None` is the support itself.  A function is also asked at two other theta, and
    whatever is named must hold there as well.  ValueError for a result of another shape.
    """
    problem = Problem(as_parameters(theta, "theta"), support, as_query(support, query), _as_alpha(alpha), steps)
    case, settings = _case(problem), JudgeSettings()
    if not callable(got):
        return _of([judge(case, np.asarray(got), settings)], case, settings, None)
    target = as_target(lambda theta: got(theta))
    ask = questions(target, settings)
    others = [other for seed in SEEDS if (other := varied(case, seed)) is not None]
    return _of([ask(each) for each in (case, *others)], case, settings, ask)


def _as_alpha(alpha: ArrayLike) -> Any:
    """α as a float, or as an array of floats."""
    return np.asarray(alpha, float) if np.ndim(alpha) else float(alpha)  # type: ignore[arg-type]


def _of(outcomes: list[Outcome], case: Case, settings: JudgeSettings, ask: Ask | None) -> Diagnosis:
    """The diagnosis of what came back; ValueError if it is no result."""
    if outcomes[0].got is None:
        raise ValueError(f"got {outcomes[0].message}")
    verdict = finding(case.suite, outcomes, settings, ask)
    error = max(o.error for o in outcomes)
    return Diagnosis(verdict.word, verdict.sentence, verdict.where.lines, verdict.explanation, case.expected["gradient"].value, error)


def _case(problem: Problem) -> Case:
    """The problem as a case of a suite of its own, with the library's answer and its condition in theta."""
    suite = Suite(
        name="own", chapter="maml", title="a meta-gradient on losses of one's own", sizes="N tasks, d parameters, K steps",
        losses="those that are given", inputs={"theta": Input("(d,)", "parameters")}, array="gradient",
        parts={"gradient": Part("(N, d)", "dF_i/dtheta")}, problem=lambda x: replace_fields(problem, theta=x["theta"]), answer=answer,
        definition=lambda part, x, steps: [], vectors="", rows=ROWS, effects=effects, terms=terms, letters=LETTERS,
        patterns={"detached step": detached_steps, "odd terms": odd_terms}, **choice_facts(choices),
    )  # fmt: skip
    right = answer("gradient", problem)
    scale = np.maximum(max_per_task(right), terms("gradient", problem, right))
    scale = np.where(scale > 0, scale, 1.0)
    kappa = condition_number(lambda theta: answer("gradient", replace_fields(problem, theta=theta)), problem.theta, scale, right)
    head = "own", suite, "a problem of one's own", (), "valid", {"theta": problem.theta.tolist()}
    return Case(*head, {"gradient": Expected(right, kappa, scale, 0)}, {})
