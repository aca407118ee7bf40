"""Ask a target every case, and judge each answer.  Derivation: derivations/using-the-oracle.md"""

import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from refmeta.oracle.calls import CallError, result_of
from refmeta.oracle.clock import now
from refmeta.oracle.judge import JudgeSettings, Outcome, gap, is_bad, judge, limit_of
from refmeta.oracle.suite import Case

__all__ = ["Answer", "Failed", "Target", "as_target", "printable", "questions", "run"]

Target = Callable[[Case, JudgeSettings], Any]


class Answer(NamedTuple):
    """A result of the target, with warnings about how it was computed."""

    value: Any
    warnings: tuple[str, ...] = ()


class Failed(Exception):
    """The target did not return: `verdict` is error, crash, timeout or skip; `refusal` if it refused the input on purpose."""

    def __init__(self, verdict: str, message: str, *, refusal: bool = False) -> None:
        super().__init__(message)
        self.verdict, self.refusal = verdict, refusal


def printable(message: str, most: int = 500) -> str:
    """A message without control characters, and not too long."""
    text = "".join(c if c.isprintable() or c == " " else " " for c in message)
    return text if len(text) <= most else text[:most] + " …"


def run(
    target: Target,
    cases: Iterable[Case],
    settings: JudgeSettings,
    *,
    repeat: int | None = 1,
    progress: Callable[[Case], None] = lambda case: None,
) -> list[Outcome]:
    """Ask the target every case `repeat` times; if `repeat` is None, the first answered case twice and all others once.

    Whatever the target does, the other cases still run.
    A refusal counts only in a suite with a result: a target that returns nothing has refused nothing.
    """
    outcomes: list[Outcome] = []
    for case in cases:
        progress(case)
        first = all(o.got is None for o in outcomes)
        outcomes.append(_ask_repeatedly(target, case, settings, repeat or 1 + first))
    answered = {o.case.suite for o in outcomes if o.got is not None}
    return [
        o._replace(verdict="error") if o.verdict == "refused" and o.case.suite not in answered else o for o in outcomes
    ]


def questions(target: Target, settings: JudgeSettings, *, seconds: float = 10.0) -> Callable[[Case], Outcome]:
    """What the diagnosis asks beside the vectors; after a time-out, a crash or so many seconds of the clock nothing is asked."""
    spent, ended = [0.0], ("timeout", "crash", "skip")

    def ask(case: Case) -> Outcome:
        if spent[0] > seconds:
            return Outcome(case, "skip", "the time for questions is over")
        start = now()
        outcome = _ask_once(target, case, settings._replace(skip_flags=()))
        spent[0] += np.inf if outcome.verdict in ended else now() - start
        return outcome

    return ask


def _ask_repeatedly(target: Target, case: Case, settings: JudgeSettings, times: int) -> Outcome:
    """The worst outcome of asking a case several times, with a warning where the answers differ."""
    outcomes = [_ask_once(target, case, settings)]
    while outcomes[-1].got is not None and len(outcomes) < times:
        outcomes.append(_ask_once(target, case, settings))
    worst = max(outcomes, key=lambda o: (is_bad(o), o.error))
    apart, differs = max((_disagreement(outcomes[0], o, settings) for o in outcomes), key=lambda pair: pair[0])
    warnings = dict.fromkeys([*(w for o in outcomes for w in o.warnings), *differs])
    return worst._replace(warnings=tuple(warnings), seconds=outcomes[0].seconds, differs=apart)


def _disagreement(one: Outcome, other: Outcome, settings: JudgeSettings) -> tuple[float, list[str]]:
    """By how many tolerances two answers to one case differ, and a sentence if they do."""
    a, b = one.got or {}, other.got or {}
    if a.keys() != b.keys():
        return np.inf, ["it answered the same case twice, once with a result of another kind"]
    if all(np.array_equal(a[name], b[name]) for name in a):
        return 0.0, []
    limits = {name: limit_of(one.case, name, settings) for name in a}
    name = max(a, key=lambda name: gap(a[name], b[name], limits[name]))
    with np.errstate(over="ignore"):
        size, tolerances = np.max(np.abs(a[name] - b[name])), gap(a[name], b[name], limits[name])
    return tolerances, [
        f"it answered the same case differently when it was asked again: {name} differs by up to {size:.2g}, "
        f"{tolerances:.2g} tolerances; is there a random number, dropout, or a state that is kept between calls?"
    ]


def _ask_once(target: Target, case: Case, settings: JudgeSettings) -> Outcome:
    """What became of asking a case once."""
    flags = sorted(set(case.flags) & set(settings.skip_flags))
    if flags:
        return Outcome(case, "skip", f"skipped by --skip-flag {flags[0]}")
    if case.result == "invalid" and not settings.validation:
        return Outcome(case, "unasked", "refusing bad input is judged with --validation only")
    start = time.perf_counter()
    try:
        returned = target(case, settings)
        answer = returned if isinstance(returned, Answer) else Answer(returned)
        outcome = judge(case, answer.value, settings)._replace(warnings=tuple(map(printable, answer.warnings)))
    except Failed as failure:
        outcome = Outcome(case, _verdict(failure, case), printable(str(failure)))
    return outcome._replace(seconds=time.perf_counter() - start)


def _verdict(failure: Failed, case: Case) -> str:
    """A refusal is right where the input is invalid or ill-conditioned; a time-out is excused in the second case only."""
    if failure.refusal and case.result != "valid":
        return "refused"
    return "unanswered" if failure.verdict == "timeout" and case.result == "ill_conditioned" else failure.verdict


def as_target(function: Callable[..., Any]) -> Target:
    """A Python function as a target: fresh arguments of the dtype, sentences for exceptions and for changed inputs."""

    def target(case: Case, settings: JudgeSettings) -> Answer:
        try:
            return Answer(*result_of(function, case.arguments(settings.dtype)))
        except CallError as error:
            if isinstance(error.__cause__, Failed):  # the function asks another process, and fails as it does
                raise error.__cause__ from None
            raise Failed("error", str(error), refusal=error.refusal) from error

    return target
