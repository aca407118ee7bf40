"""How good the diagnosis is on implementations that were written without a look at it.

A named cause must give the target's numbers on fresh problems, too, and a *where* must hold on them.
"""

import itertools
import re
import time
from typing import NamedTuple

import numpy as np

from refmeta.oracle.asking import LOOSER, moved, varied
from refmeta.oracle.check import as_target, questions, run
from refmeta.oracle.judge import JudgeSettings, gap, growth, limit_of
from refmeta.oracle.match import NEAR, is_right
from refmeta.oracle.suite import EXTREME
from refmeta.oracle.vectors import cases
from refmeta.oracle.verdict import finding

__all__ = ["FRESH", "Judged", "judged", "summary"]

FRESH, APART = 20, 6.0


class Judged(NamedTuple):
    """What the report says of a mistake, and whether that is true.

    cause : "" where none is named, else "right", or why it is misleading.  where : likewise.
    words : does the text hold one of the words that a useful answer must contain?
    seconds : of the processor, without those of the target.
    """

    mistake: object
    word: str
    cause: str
    where: str
    words: bool
    seconds: float
    lines: tuple


def judged(mistake, fresh=FRESH):
    """Check a mistake as `check` does, and hold what is named against fresh problems."""
    settings, target = JudgeSettings(**mistake.settings), as_target(mistake.target)
    timed = Timed(target)
    start = time.process_time()
    ask = questions(timed, settings)
    outcomes = run(timed, cases(mistake.suite), settings, repeat=None)
    verdict = finding(mistake.suite, outcomes, settings, ask)
    seconds = time.process_time() - start - timed.seconds
    lines = (*verdict.where.lines, *verdict.explanation, *verdict.next)
    words = any(word.lower() in " ".join(lines).lower() for word in mistake.words)
    fresh = _fresh(verdict, fresh)
    answer = questions(target, settings, seconds=np.inf)
    if verdict.word != "WRONG":
        return Judged(mistake, verdict.word, "", "", words, seconds, (verdict.sentence, *lines))
    return Judged(mistake, verdict.word, _cause(verdict, fresh, answer, settings), _where(verdict, fresh, answer, settings), words, seconds, lines)


class Timed:
    """A target that adds up the processor seconds of its own."""

    def __init__(self, target):
        self.target, self.seconds = target, 0.0

    def __call__(self, case, settings):
        start = time.process_time()
        try:
            return self.target(case, settings)
        finally:
            self.seconds += time.process_time() - start


def _fresh(verdict, number):
    """So many problems: the cases that are wrong, with other numbers; an extreme one must not become one that no program can solve."""
    wrong = [o.case for o in verdict.outcomes if o.verdict == "mismatch" and o.got and o.case.result == "valid"]
    pairs = ((case, varied(case, 100 + seed)) for seed in range(number) for case in wrong)
    return list(itertools.islice((other for case, other in pairs if other is not None and _is_near(case, other)), number))


def _is_near(case, other):
    """Are the results of an extreme case with other numbers of the size that they had?  Beyond it right programs lose all digits, too."""
    if EXTREME not in case.flags:
        return True
    sizes = ((np.max(np.abs(x.expected[part].value), initial=1e-300) for x in (case, other)) for part in other.expected)
    return all(abs(np.log10(after / before)) < APART for before, after in sizes)


def _cause(verdict, fresh, answer, settings):
    """Is the named cause what the target computes on the fresh problems?"""
    named = next((e for e in verdict.causes if e.value is not None), None)
    if named is None:
        return ""
    compared = 0
    for case in fresh:
        o = answer(case)
        for part, got in (o.got or {}).items():
            if named.part not in ("", part):
                continue
            value = named.value(case, part)
            if value is None:
                continue
            compared += 1
            limit = limit_of(case, part, settings) * NEAR * growth(value, case.expected[part])
            if value.shape != got.shape or not gap(got, value, limit) <= 1:
                return f"another number on a fresh problem: {gap(got, value, limit):.3g} times the tolerance, {case.id}"
    return "right" if compared else "compared with nothing"


def _where(verdict, fresh, answer, settings):
    """Does the claim on cases hold on the fresh problems, and where one is moved to where it should be right?"""
    where, part = verdict.where, next((e.part for e in verdict.causes), "")

    def right(o, share=1.0):
        return all(is_right(o, name, settings, share) for name in (o.got or {}) if part in (name, "")) and bool(o.got)

    if where.exactly is not None:
        for case in fresh:
            o, holds = answer(case), where.exactly(case)
            if EXTREME in case.flags and not holds:
                continue  # where nothing but rounding is left, a mistake may vanish
            if o.got is not None and (not right(o) if holds else right(o, 1 / LOOSER)):
                return f"not so on a fresh problem, {case.id}"
    for p in where.sufficient:
        for case in fresh[:6]:
            inputs = p.move(case.arguments())
            other = None if inputs is None else moved(case, inputs)
            if other is not None and p.holds(other) and not right(answer(other)):
                return f"wrong although {p.name}, {case.id}"
    for case in fresh:
        o = answer(case)
        if spoiled := [name for name in where.right_parts if name in (o.got or {}) and not is_right(o, name, settings)]:
            return f"{spoiled[0]} is wrong on a fresh problem, {case.id}"
    says = where.right_parts or where.exactly is not None or where.sufficient or any(re.search("row|index of the axis|every right case has", line) for line in where.lines)
    return "right" if says else ""


def summary(results):
    """Counts, in words."""
    n, wrong = len(results), [r for r in results if r.word == "WRONG"]
    misleading = [r for r in results if r.cause not in ("", "right") or r.where not in ("", "right")]
    named, placed = ([r for r in wrong if getattr(r, field) == "right"] for field in ("cause", "where"))
    either = [r for r in wrong if "right" in (r.cause, r.where)]
    seconds = sorted(r.seconds for r in results)
    return [
        f"{n} mistakes: {sum(r.word == 'RIGHT' for r in results)} called RIGHT, {sum(r.word == 'ROUNDING' for r in results)} ROUNDING, "
        f"{len(wrong)} WRONG",
        f"cause named and right {len(named)} ({len(named) / n:.0%}), where said and right {len(placed)} ({len(placed) / n:.0%}), "
        f"cause or where {len(either)} ({len(either) / n:.0%}), misleading {len(misleading)}, silent {len(wrong) - len(either)}",
        f"processor seconds of a check, the target's own aside: median {seconds[n // 2]:.2f}, worst {seconds[-1]:.2f}",
    ]
