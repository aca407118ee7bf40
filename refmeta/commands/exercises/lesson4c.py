"""Exercise 4c: what the oracle says of two functions, in words for a student.  Derivation: derivations/maml.md"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.commands.exercises.answers import Answers
from refmeta.commands.exercises.grading import equal
from refmeta.oracle.check import as_target, questions, run
from refmeta.oracle.judge import JudgeSettings
from refmeta.oracle.vectors import cases
from refmeta.oracle.verdict import Finding, finding

__all__ = ["written_and_broken"]

SUITE, WANTED, SEARCH = "maml-regression", "reversed-product", 8.0
UNKNOWN = "It is none of the mistakes that it knows. "
COMPARE = {
    "meta_gradient": "Compare each line with the recursion in the question.",
    "broken": "Only the order of the steps in the loop backwards differs from the right function.",
}


def _asked(answers: Answers, name: str) -> Finding:
    """The verdict of the oracle on a function of the file, which computes one task."""

    def gradient(theta: Any, X: Any, y: Any, query_X: Any, query_y: Any, alpha: Any, steps: int) -> Any:
        alphas = np.broadcast_to(alpha, (steps, len(theta)))
        tasks = zip(X, y, query_X, query_y, strict=True)
        return np.stack([answers.call(name, (theta, *task, alphas), theta.shape) for task in tasks])

    vectors, settings = [case for case in cases(SUITE) if case.result == "valid"], JudgeSettings()
    gradient(**vectors[1].arguments())
    target = as_target(gradient)
    outcomes = run(target, vectors, settings)
    return finding(SUITE, outcomes, settings, questions(target, settings, seconds=SEARCH), seconds=SEARCH)


def written_and_broken(answers: Answers) -> Iterator[str]:
    """4c: the oracle says RIGHT, and of the other function reversed-product."""
    if told := _own_mistake(answers, "meta_gradient"):
        yield f"`meta_gradient`: {told}"
        return
    verdict = _asked(answers, "meta_gradient")
    if verdict.word != "RIGHT":
        yield f"`meta_gradient`: the oracle says {verdict.word}. {_said(verdict, 'meta_gradient')}"
        return
    if told := _own_mistake(answers, "broken"):
        yield f"`broken`: this is another mistake: {told}"
        return
    verdict = _asked(answers, "broken")
    if verdict.word == "RIGHT":
        yield f"`broken`: this is right. Break it: `python -m refmeta explain {WANTED}` says how."
    elif WANTED not in _slugs(verdict) and not _agrees(answers, "broken", {"order": 1}):  # on a slow machine the oracle's search may end early
        yield f"`broken`: the oracle says that it is another mistake. {_said(verdict, 'broken')}"


def _slugs(verdict: Finding) -> list[str]:
    """The known mistakes that a verdict names."""
    return list(dict.fromkeys(cause.slug for cause in verdict.causes if cause.slug))


def _said(verdict: Finding, name: str) -> str:
    """The mistake by its name, with the command that explains it."""
    slugs = _slugs(verdict)
    if not slugs:
        return UNKNOWN + COMPARE[name] if verdict.word == "WRONG" else verdict.sentence.rstrip(".") + "."
    return f"It recognises the mistake `{slugs[0]}`: `python -m refmeta explain {slugs[0]}` says what this computes."


def _own_mistake(answers: Answers, name: str) -> str:
    """A mistake of students that has no name in the oracle, or nothing."""
    turned = slice(None, None, -1)
    ways: dict[str, dict[str, Any]] = {
        "the sign of the whole result is turned.": {"sign": -1},
        "the Hessian must be that of the support data X, on which the steps are made; this takes the query data.": {"hessian_of": 3},
        "each step has its own step sizes: alphas[k] in step k. This takes alphas[0] in every step forwards.": {"forwards": slice(0, 1)},
        "each step has its own step sizes: alphas[k] in step k. This takes alphas[0] in every step backwards.": {"backwards": slice(0, 1)},
        "each step has its own step sizes: alphas[k] in step k. This takes alphas[0] in every step.": {"forwards": slice(0, 1), "backwards": slice(0, 1)},
        "the step sizes are taken in the opposite order forwards: step k has alphas[k].": {"forwards": turned},
        "the step sizes are taken in the opposite order in both loops; only the loop backwards is to be turned.":
        {"forwards": turned, "backwards": turned},
        "alphas[k] belongs to the right of the Hessian: first multiply g by alphas[k], then by H.": {"left": True},
        "the loop backwards begins with step 0, and alphas[k] stands to the left of the Hessian. It belongs to the right.": {"left": True, "order": 1},
        "the gradient of the query is taken at the start; it belongs at the end of the steps.": {"at_start": True},
        "the steps go up: a step goes against the gradient.": {"step": -1},
    }
    return next((sentence for sentence, options in ways.items() if _agrees(answers, name, options)), "")


def _agrees(answers: Answers, name: str, options: dict[str, Any]) -> bool:
    """Does a function of the file compute the recursion with these options?"""
    return all(equal(answers.call(name, problem, problem[0].shape), _backwards(*problem, **options)) for problem in _problems())


def _problems() -> Iterator[tuple[Array, ...]]:
    """Random regressions: theta, support, query, and step sizes for two and for three steps."""
    rng = np.random.default_rng(4)
    for steps, d in ((2, 2), (3, 3)):
        yield (
            rng.normal(size=d), rng.normal(size=(4, d)), rng.normal(size=4), rng.normal(size=(5, d)), rng.normal(size=5), rng.uniform(0.1, 0.5, (steps, d)),
        )  # fmt: skip


def _backwards(*problem: Array, hessian_of: int = 1, forwards: slice = slice(None), backwards: slice = slice(None),
               left: bool = False, at_start: bool = False, sign: int = 1, step: int = 1, order: int = -1) -> Any:  # fmt: skip
    """The recursion backwards, with the mistakes that are asked for."""
    theta, X, y, query_X, query_y, alphas = problem
    at, H = theta, problem[hessian_of].T @ problem[hessian_of] / len(problem[hessian_of])
    along, back = (np.broadcast_to(alphas[part], alphas.shape) for part in (forwards, backwards))
    for alpha in along:
        at = at - step * alpha * (X.T @ (X @ at - y) / len(X))
    at = theta if at_start else at
    g = query_X.T @ (query_X @ at - query_y) / len(query_X)
    for alpha in back[::order]:
        g = g - (alpha * (H @ g) if left else H @ (alpha * g))
    return sign * g
