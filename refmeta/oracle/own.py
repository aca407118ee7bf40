"""The verdict on a meta-gradient on losses of one's own, in sentences.  Derivation: derivations/using-the-oracle.md"""

import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_real
from refmeta.oracle.check import as_target, questions, run
from refmeta.oracle.judge import Entry, JudgeSettings, Outcome, gap, judge, limit_of, size_of
from refmeta.oracle.own_case import case_of, cases_of
from refmeta.oracle.results import on_host
from refmeta.oracle.suite import Case
from refmeta.oracle.verdict import INDISTINCT, Finding, finding

__all__ = ["SECONDS", "Diagnosis", "diagnosis_of", "judged"]

SECONDS = 30.0  # of the search for what explains a mistake; the losses' own time counts
LEAST = 1.0  # digits that the losses must show
VAGUE = "the errors of the numeric derivatives are as large as the gradient: give grad= and hvp=, compute in float64, subtract large constants"
OPTIONS = re.compile(r" \([^()]*--[a-z][^()]*\)|; [^;()]*--[a-z][^;()]*")  # advice for the command line


class Diagnosis(NamedTuple):
    """What a meta-gradient computes: the verdict, sentences, and the evidence; `str` of it is the sentences.

    word : RIGHT, ROUNDING, CANNOT TELL or WRONG, as of `check`.
    sentence : in how many cases; a case, or vector, is one theta.
    where, what : sentences on where it is right, and on what it computes instead.
    right : the exact meta-gradient (N, d) at the theta given.
    worst : the worst entry at the first theta that is wrong: index, your value, the right value (field `certified`), their distance in tolerances.
    warnings : an answer that changes when it is asked again, or a theta that is changed in place.
    next : what to do next, if it is wrong.
    """

    word: str
    sentence: str
    where: tuple[str, ...]
    what: tuple[str, ...]
    right: Array
    worst: Entry
    warnings: tuple[str, ...] = ()
    next: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The sentences, one a line."""
        part, at, yours, right, off = self.worst
        entry = f"worst entry: {part}{list(at)}: yours {yours!r}, right {right!r}, off by {off:.3g} tolerances"
        said = {"Where": self.where, "Diagnosis": self.what, "Warning": self.warnings, "Next": self.next}
        return "\n".join([f"{self.word}: {self.sentence}", entry, *(f"{head}: {line}" for head, lines in said.items() for line in lines)])


def diagnosis_of(problem: Any, name: str = "gradient", *, seconds: float = SECONDS) -> Diagnosis:
    """The diagnosis of a problem of one's own; `name` is what the errors call its gradient."""
    verdict, case = judged(problem, name, seconds=seconds)
    return _diagnosis(verdict, case, asked=callable(problem.gradient))


def judged(problem: Any, name: str = "gradient", *, seconds: float = SECONDS) -> tuple[Finding, Case]:
    """The verdict on a problem of one's own, and the problem as a case."""
    settings, got = JudgeSettings(), problem.gradient
    cases = cases_of(problem) if callable(got) else [case_of(problem)]
    case = cases[0]
    if callable(got):
        verdict = _asked(problem, cases, settings, name, seconds)
    else:
        verdict = finding(case.suite, [judge(case, _as_rows(got, case, name), settings)], settings, seconds=seconds)
    shown = -np.log10(np.max(limit_of(case, "gradient", settings)) / size_of(case, "gradient", settings))
    slugs = [e.slug for e in verdict.causes if e.slug]
    steps = (*_meant(problem, case, slugs[:1]), *(f"`python -m refmeta explain {slug}`" for slug in slugs[:1]), f"compare yours with {problem.rules.compare_first}")
    if shown < LEAST and verdict.word in ("RIGHT", "ROUNDING"):
        verdict = verdict._replace(word="CANNOT TELL", explanation=(VAGUE,))
    verdict = verdict._replace(explanation=tuple(map(_without_options, verdict.explanation)))
    wrong = verdict.word == "WRONG"
    shows = f"your losses show {max(shown, 0.0):.1f} digits{'' if wrong else _unseen(problem, cases, settings)}"
    return verdict._replace(sentence=f"{verdict.sentence}; {shows}", next=steps if wrong else ()), case


def _meant(problem: Any, case: Case, slugs: list[str]) -> list[str]:
    """What to write in the problem if a convention that was named is meant."""
    conventions = [row.slug for row in case.about.rows if row.kind == "convention"]
    named, words = [slug for slug in slugs if slug in conventions], problem.rules.meant
    none = "a Problem has no word for it; judge your function on the vectors of a suite, with --convention"
    return [f"if you mean {slug}: {f'say so in the problem, {words[slug]}' if slug in words else f'{none} {slug}'}" for slug in named]


def _unseen(problem: Any, cases: list[Case], settings: JudgeSettings) -> str:
    """A sentence if the first order gives the same numbers in all cases, as with no inner step."""
    if problem.rules.first_order is None:
        return ""
    apart = [gap(problem.rules.first_order(c.problem), c.expected["gradient"].value, limit_of(c, "gradient", settings)) for c in cases]
    return "; the first order gives the same numbers here, so that the Hessian terms are not seen" if max(apart) < INDISTINCT else ""


def _asked(problem: Any, cases: list[Case], settings: JudgeSettings, name: str, seconds: float) -> Finding:
    """The verdict on a function, which is asked at other θ, too."""
    target = as_target(problem.function)
    outcomes = run(target, cases, settings, repeat=None)
    if outcomes[0].got is None:
        shape = ": one row per task, never reduced" if "returned shape" in outcomes[0].message else ""
        raise ValueError(f"{name}(theta) {_without_options(outcomes[0].message)}{shape}")
    _check_varies(outcomes, name)
    return finding(cases[0].suite, outcomes, settings, questions(target, settings), seconds=seconds)


def _as_rows(got: ArrayLike, case: Case, name: str) -> Array:
    """An array (N, d) of finite real numbers."""
    if got is None:
        raise TypeError(f"{name} is None: it must be a function of theta, or the array that the function gives at theta")
    array, wanted = as_real(on_host(got), name), case.expected["gradient"].value.shape
    if array.shape != wanted:
        hint = "; it is the transposed shape" if array.shape == wanted[::-1] else ""
        raise ValueError(f"{name} has shape {array.shape}, expected (N, d) = {wanted}: one row per task, never reduced{hint}")
    return array


def _check_varies(outcomes: list[Outcome], name: str) -> None:
    """ValueError if a wrong result other than 0 is the same at every theta."""
    results = [o.got["gradient"] for o in outcomes if o.got]
    same = len(results) > 1 and all(np.array_equal(results[0], each) for each in results)
    if same and np.any(results[0]) and any(o.verdict == "mismatch" for o in outcomes):
        raise ValueError(f"{name}(theta) is the same at every theta: it must compute at the theta that it is called with; or give the array")


def _diagnosis(verdict: Finding, case: Case, *, asked: bool) -> Diagnosis:
    """A verdict as sentences and evidence."""
    outcomes = verdict.outcomes
    worst = next((o.worst for o in outcomes if o.verdict == "mismatch" and o.worst), outcomes[0].worst)
    assert worst is not None
    right, what = case.expected["gradient"].value, verdict.explanation
    warnings = tuple(dict.fromkeys(w for o in outcomes for w in o.warnings))
    return Diagnosis(verdict.word, verdict.sentence, _where(verdict, asked=asked), what, right, worst, warnings, verdict.next)


def _where(verdict: Finding, *, asked: bool) -> tuple[str, ...]:
    """Where it is right, and where there is no result; of one array nothing can be said.

    What would follow from it is left out, but for rows: tasks cannot be moved, as the inputs of a suite can.
    """
    facts = [_fact(line) for line in verdict.where.lines] if asked else []
    failed = dict.fromkeys(f"no result at another theta: it {o.message}" for o in verdict.outcomes if o.got is None)
    return (*facts, *failed)


def _fact(line: str) -> str:
    """A sentence on where it is right.  For rows the reading is kept, and the other possible cause is added."""
    fact = re.split(": |; no single input", line)[0]
    return f"{line}; or that task is of another kind" if "row" in fact.split() or "rows" in fact.split() else fact


def _without_options(line: str) -> str:
    """A sentence without its advice on options of the command."""
    return OPTIONS.sub("", line)
