"""The verdict on a suite: RIGHT, ROUNDING, CANNOT TELL, WRONG or NOT RUN.  Derivation: derivations/using-the-oracle.md"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from refmeta.oracle.asking import Ask
from refmeta.oracle.diagnosis import SECONDS, UNCERTAIN, Explanation, explain, first_of
from refmeta.oracle.diagnosis.rows import distances
from refmeta.oracle.diagnosis.where import Where, first_wrong_part, locate
from refmeta.oracle.judge import (
    Entry,
    JudgeSettings,
    Outcome,
    gap,
    is_bad,
    limit_of,
    right_result,
    size_of,
    worst_entry,
)
from refmeta.oracle.match import pairs
from refmeta.oracle.suite import Case
from refmeta.tables import count_text

__all__ = ["INDISTINCT", "Finding", "NEUTRAL", "asked_findings", "finding", "findings", "overall", "status_of", "summary"]

NEUTRAL = ("skip", "unasked", "unanswered", "expected")
WIDEST = {"float64": 1e6, "float32": 1e3}
NEAREST, INDISTINCT, LAST = 1e-2, 100.0, 2.0
LOSS = (
    "no known mistake explains it; digits are lost in a finite difference, an iteration that stops early, float32 on the "
    "way, or a difference of nearly equal numbers"
)
REMEDIES = {
    "timeout": {"": "the first answer may include compilation or a slow import: raise --timeout"},
    "crash": {
        "^at the greeting": "it ended before it answered the greeting: its error is above, if it printed one",
        " closed its output": "keep the standard output open until the line bye has come",
        " was ended by ": "a signal ended it, not an error of its own: look for memory, a limit, or compiled code",
        "": "it ended while it was asked: its error is above, if it printed one",
    },
    "error": {
        "^cannot import .*: it called sys.exit": "take exit() out of what runs when the module is imported",
        "^the target called sys.exit": "take out exit(): a target returns its result or raises an error",
        r"^(cannot import \S+|raised) (ImportError|ModuleNotFoundError)\b": (
            "install what is missing in the Python that runs this command"
        ),
        "^cannot import": "the module cannot be imported: see the error",
        "^(at the greeting: )?(printed a line|answered|said that its suites)": (
            "print only JSON lines on the standard output, one for each question; log to the standard error"
        ),
    },
}
ORDER = ("RIGHT", "ROUNDING", "CANNOT TELL", "NOT RUN", "WRONG")


class Finding(NamedTuple):
    """The verdict on one suite: a word, a sentence, what it computes instead, where it is wrong, and what to do next.

    `worst` is the entry with the largest error, and `causes` are the explanations with their numbers.
    """

    suite: str
    word: str
    sentence: str
    outcomes: tuple[Outcome, ...]
    explanation: tuple[str, ...] = ()
    where: Where = Where()
    next: tuple[str, ...] = ()
    causes: tuple[Explanation, ...] = ()
    worst: tuple[Case, Entry] | None = None


def findings(outcomes: Sequence[Outcome], settings: JudgeSettings, ask: Ask | None = None) -> list[Finding]:
    """The verdict on every suite, in their order; `ask` lets the diagnosis ask the target more."""
    suites = dict.fromkeys(o.case.suite for o in outcomes)
    return [finding(suite, [o for o in outcomes if o.case.suite == suite], settings, ask) for suite in suites]


def finding(
    suite: str, outcomes: Sequence[Outcome], settings: JudgeSettings, ask: Ask | None = None, *, seconds: float = SECONDS
) -> Finding:
    """The verdict on the outcomes of one suite; the search for what explains them may take so many seconds."""
    judged = [o for o in outcomes if o.verdict not in NEUTRAL]
    bad = [o for o in judged if is_bad(o)]

    def verdict(word: str, sentence: str, why: Sequence[str] = (), **more: Any) -> Finding:
        return Finding(suite, word, sentence, tuple(outcomes), tuple(why), worst=_worst_of(outcomes, settings), **more)

    if not any(o.got is not None or o.verdict in ("mismatch", "accepted") for o in judged):
        return verdict("NOT RUN", *_not_run(outcomes))
    purpose = f", by the convention {settings.convention}" if settings.convention else ""
    count = f"{_count_of(len(bad) or len(judged), len(judged))}{_end_words(bad)}{_left_out(outcomes)}{purpose}"
    explanations = explain(outcomes, settings, ask, seconds)
    lost = _lost_digits(bad, explanations, settings) if bad else None
    if (tie := _first_order_tie(judged, settings)) and all(o.verdict == "mismatch" and o.error <= INDISTINCT for o in bad):
        return verdict("CANNOT TELL", *tie)
    if lost:
        return verdict("ROUNDING", f"{lost} in {count}", next((e.lines for e in explanations if e.name), [LOSS]))
    if bad:
        steps = _next_steps(bad, explanations, settings)
        more = {"where": locate(judged, settings, ask), "causes": tuple(explanations)}
        return verdict("WRONG", count, first_of(explanations), next=steps, **more)
    digits = [o.digits for o in judged if o.verdict == "pass"]
    return verdict(
        "RIGHT", count + (f", to {min(*digits, 17.0):.1f} digits or more" if digits else "; no value was compared")
    )


def _worst_of(outcomes: Sequence[Outcome], settings: JudgeSettings) -> tuple[Case, Entry] | None:
    """The case and the entry with the largest error: in the first wrong part of the wrong cases, if there are any."""
    verdicts, part = ("mismatch",) if any(map(is_bad, outcomes)) else ("pass",), first_wrong_part(outcomes, settings)
    compared = [o for o in outcomes if o.verdict in verdicts]
    entries = [(o.case, worst_entry(o.case, part, (o.got or {})[part], settings)) for o in compared if part in (o.got or {})]
    entries = entries or [(o.case, o.worst) for o in compared if o.worst is not None]
    return max(entries, key=lambda pair: pair[1].tolerances, default=None)


def _count_of(n: int, every: int) -> str:
    """1 of 1 case, 2 of 3 cases."""
    return f"{n} of {every} case{'s' * (every != 1)}"


def _end_words(bad: Sequence[Outcome]) -> str:
    """How the bad cases ended, if all of them ended without an answer."""
    words = {"crash": "crashed", "timeout": "timed out"}
    if not bad or any(o.verdict not in words for o in bad):
        return ""
    return " " + " or ".join(words[verdict] for verdict in sorted({o.verdict for o in bad}))


def _next_steps(bad: Sequence[Outcome], explanations: Sequence[Explanation], settings: JudgeSettings) -> tuple[str, ...]:
    """What to do next, as commands to type: read the mistake's page, ask for what comes before, look at the smallest case."""
    suite = bad[0].case.about
    smallest = min((o.case for o in bad), key=lambda case: sum(np.size(x) for x in case.arguments().values()))
    before = suite.quantities[: suite.quantities.index(settings.quantity)] if settings.quantity in suite.quantities else ()
    slugs = [e.slug for e in explanations if e.slug]
    return (
        *(f"`python -m refmeta explain {slug}`" for slug in slugs[:1]),
        *([f"the same command with --quantity {before[0]}: look first at {_listed(before)}, on which it depends"] if before and not slugs else []),
        f"`python -m refmeta show {smallest.id}` prints the smallest failing case, --case {smallest.id} asks it alone",
    )


def _listed(names: Sequence[str]) -> str:
    """a; a and b; a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _left_out(outcomes: Sequence[Outcome]) -> str:
    """How many cases were skipped, and how many fail as expected."""
    skipped, expected = (sum(o.verdict == verdict for o in outcomes) for verdict in ("skip", "expected"))
    said = [f"{skipped} skipped"] * bool(skipped) + [count_text(expected, "expected failure")] * bool(expected)
    return f" ({', '.join(said)})" if said else ""


def _not_run(outcomes: Sequence[Outcome]) -> tuple[str, list[str]]:
    """Why nothing was computed, and what to do."""
    judged = [o for o in outcomes if o.verdict not in NEUTRAL]
    if not judged:
        remedy = {
            "unasked": "only inputs that must be refused were chosen: judge them with --validation, beside other cases",
            "skip": f"every case was skipped: {_skip_reason(outcomes)}",
            "unanswered": "the ill-conditioned case alone was chosen: choose other cases beside it",
            "expected": "every case that was asked is an expected failure: look into the file that lists them",
        }
        why = remedy["expected"] if any(o.verdict == "expected" for o in outcomes) else next((remedy[o.verdict] for o in outcomes), "no case was selected")
        return "no case was judged", [why]
    return f"the target gave no result that can be read in {_count_of(len(judged), len(judged))}", [_remedy(judged[0])]


def _skip_reason(outcomes: Sequence[Outcome]) -> str:
    """Why the target skipped a case, in the target's words; without any, what to do."""
    own = (o.message for o in outcomes if o.verdict == "skip" and "by --skip-flag" not in o.message)
    return next(own, "leave out a --skip-flag, or choose a suite that the target does")


def _remedy(o: Outcome) -> str:
    """What to do where a target cannot be called."""
    for pattern, remedy in REMEDIES.get(o.verdict, {}).items():
        if re.search(pattern, o.message):
            return remedy
    inputs = ", ".join(o.case.input)
    if "cannot be called" in o.message:
        unused = "" if "it requires" in o.message else " A last parameter `**unused` takes those that it does not need."
        return f"write it for the keywords of {o.case.suite}: {inputs}; or is it meant for another --suite?{unused}"
    return f"call it by hand on `python -m refmeta show {o.case.id}`; its keywords are {inputs}"


def _first_order_tie(judged: Sequence[Outcome], settings: JudgeSettings) -> tuple[str, list[str]] | None:
    """The sentence and the remedy if first order cannot be told from the right answer in any judged case."""
    both = [o.case for o in judged if o.got and {"first_order", "gradient"} <= set(o.case.expected)]
    if not both or settings.convention or (settings.quantity, settings.expect) != ("gradient", "exact"):
        return None
    apart = max(_first_order_distance(case, settings) for case in both)
    if apart >= INDISTINCT:
        return None
    change = "choose cases with more steps or a larger step size" + ", or --dtype float64" * (
        settings.dtype == "float32"
    )
    where = f"in all {len(both)} cases" if len(both) > 1 else "in the one case"
    return f"first-order MAML is within {apart:.2g} tolerances of the right answer {where}", [change]


def _first_order_distance(case: Case, settings: JudgeSettings) -> float:
    """The distance from first order to the right gradient, in tolerances."""
    first, right = (right_result(case, q, settings) for q in ("first_order", "gradient"))
    return gap(first, right, limit_of(case, "gradient", settings))


def _lost_digits(bad: Sequence[Outcome], explanations: Sequence[Explanation], settings: JudgeSettings) -> str | None:
    """How many digits are right and how many can be had, if the error is small and no mistake explains it."""
    if any(e.name not in UNCERTAIN for e in explanations) or any(o.got is None for o in bad):
        return None
    if any(o.verdict != "mismatch" or o.case.result != "valid" for o in bad):
        return None
    if not all(_is_small(o, settings) for o in bad) or _is_trace(bad, settings):
        return None
    fewest, most = min(bad, key=lambda o: o.digits), max(o.error for o in bad)
    if most < LAST:
        return f"off by {most:.2g} tolerances at most, which is the last digit,"
    return f"right to {fewest.digits:.1f} digits where {_possible_digits(fewest, settings):.1f} can be had,"


def _is_small(o: Outcome, settings: JudgeSettings) -> bool:
    """Is every result within 10⁶ times 30 eps?"""
    rounding = 30 * float(np.finfo(settings.dtype).eps)
    return o.error <= WIDEST[settings.dtype] * rounding / max(rounding, o.case.about.residual)


def _is_trace(bad: Sequence[Outcome], settings: JudgeSettings) -> bool:
    """Is one known-wrong formula that near: are all errors above a hundredth of its distance, wherever it differs from what is right?"""
    shares: dict[str, list[float]] = {}
    for p in pairs(bad, settings):
        for slug, size in distances(p.case, p.name, settings).items():
            shares.setdefault(slug, []).append(gap(p.got, p.right, p.limit) / size)
    return any(min(each) > NEAREST for each in shares.values())


def _possible_digits(o: Outcome, settings: JudgeSettings) -> float:
    """The number of digits that the tolerance at the worst entry allows."""
    assert o.worst is not None
    limit = np.max(limit_of(o.case, o.worst.part, settings))
    return float(-np.log10(limit / size_of(o.case, o.worst.part, settings)))


def asked_findings(all_findings: Sequence[Finding]) -> list[Finding]:
    """The verdicts on the suites of which a case was judged; all of them, if none was."""
    return [f for f in all_findings if any(o.verdict not in NEUTRAL for o in f.outcomes)] or list(all_findings)


def overall(all_findings: Sequence[Finding]) -> str:
    """The worst word of the judged suites; NOT RUN if there is none."""
    return max((f.word for f in asked_findings(all_findings)), key=ORDER.index, default="NOT RUN")


def summary(all_findings: Sequence[Finding]) -> str:
    """One sentence for all suites."""
    judged, word = asked_findings(all_findings), overall(all_findings)
    if len(judged) == 1:
        return f"{word}: {judged[0].sentence}."
    outcomes = [o for f in judged for o in f.outcomes if o.verdict not in NEUTRAL]
    if word == "RIGHT":
        digits = min((o.digits for o in outcomes if o.verdict == "pass"), default=17.0)
        return f"RIGHT: {len(outcomes)} of {len(outcomes)} cases in {len(judged)} suites, to {min(digits, 17.0):.1f} digits or more."
    counts = [f"{n} {each}" for each in reversed(ORDER) if (n := sum(f.word == each for f in judged))]
    return f"{word}: of {len(judged)} suites {', '.join(counts)}." if counts else "NOT RUN: no case was selected."


def status_of(all_findings: Sequence[Finding], *, allow_rounding: bool = False) -> int:
    """0 all right, 1 a mismatch or rounding, 3 a crash or time-out after an answer, 5 nothing was computed."""
    words = {f.word for f in asked_findings(all_findings)}
    if words <= {"NOT RUN"}:
        return 5
    if any(o.verdict in ("crash", "timeout") for f in all_findings for o in f.outcomes):
        return 3
    return int(not words <= {"RIGHT"} | ({"ROUNDING"} if allow_rounding else set()))
