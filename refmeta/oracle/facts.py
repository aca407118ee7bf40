"""What a report says of one suite, sentence by sentence.  Derivation: derivations/using-the-oracle.md"""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from refmeta.oracle.judge import JudgeSettings, Outcome, is_bad
from refmeta.oracle.suite import Case
from refmeta.oracle.verdict import Finding
from refmeta.tables import count_text
from refmeta.tolerance import tolerance

__all__ = [
    "brief", "details", "indistinct", "hints", "ids", "kinds", "parts_line", "unjudged_line", "unseen_line", "warnings_of", "worst_line",
]  # fmt: skip

SHOWN = 8
ALWAYS = ("timeout", "crash", "unanswered", "expected")
WORDS = {"timeout": "time-out", "unanswered": "time-out", "expected": "expected failure"}


def kinds(finding: Finding) -> list[str]:
    """One line for each kind of failure: how many cases, what, and which; of time-outs, crashes, rounding and expected failures all."""
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for o in finding.outcomes:
        if is_bad(o) or o.verdict in ("unanswered", "expected"):
            groups.setdefault((o.verdict, _without_numbers(o)), []).append(o)
    all_named = finding.word == "ROUNDING"
    return [_kind(verdict, group, all_named or verdict in ALWAYS) for (verdict, _), group in groups.items()]


def _without_numbers(o: Outcome) -> str:
    """The message of an outcome without its numbers, which failures of one kind share."""
    return re.sub(r"-?\d+(\.\d+)?(e[+-]?\d+)?", "#", o.message) if o.got is None else ""


def _kind(verdict: str, group: Sequence[Outcome], all_named: bool) -> str:
    """A line on failures of one kind, with the names of all cases or of the first."""
    message = group[0].message
    if group[0].got is not None:
        least, most = (f(o.error for o in group) for f in (min, max))
        message = f"off by {most:.3g} tolerances" if least == most else f"off by {least:.3g} to {most:.3g} tolerances"
    excused = ": the input is ill-conditioned, so this is not counted as wrong" if verdict == "unanswered" else ""
    first = group if all_named else group[:SHOWN]
    more = f" and {len(group) - len(first)} more" if len(group) > len(first) else ""
    return f"{count_text(len(group), 'case')}: {WORDS.get(verdict, verdict)}: {message}{excused}: {ids(first)}{more}"


def ids(group: Sequence[Outcome]) -> str:
    """The first case's name, and the numbers of the others."""
    return ", ".join(o.case.id if i == 0 else o.case.id.removeprefix(f"{o.case.suite}-") for i, o in enumerate(group))


def worst_line(finding: Finding) -> list[str]:
    """Part, index, yours, what is expected (certified, or of a convention), and tolerances of the worst entry."""
    if (pair := finding.worst) is None:
        return []
    case, entry = pair
    return [
        f"worst entry: {case.id}, {entry.part}{list(entry.at) or ''}: yours {entry.yours!r}, expected "
        f"{entry.certified!r}, off by {entry.tolerances:.3g} tolerances"
    ]


def parts_line(finding: Finding) -> list[str]:
    """Which parts of a suite were judged and which were not, where the answer is a dict."""
    suite = finding.outcomes[0].case.about
    if suite.array:
        return []
    names = [name for o in finding.outcomes if o.verdict in ("pass", "mismatch", "bounded") for name in o.got or {}]
    counts = {n: names.count(n) for n in suite.parts if n in names}
    judged = ", ".join(f"{n} in {count_text(number, 'case')}" for n, number in counts.items())
    if len(set(counts.values())) == 1 and len(counts) > 1:
        judged = f"{', '.join(counts) if len(counts) < len(suite.parts) else 'all parts'} in {count_text(max(counts.values()), 'case')}"
    unjudged = ", ".join(n for n in suite.parts if n not in names)
    return [f"judged: {judged or 'nothing'}" + (f"; not judged: {unjudged}" if unjudged else "")]


def unseen_line(finding: Finding) -> list[str]:
    """What the vectors cannot see, where all else is right."""
    if finding.word not in ("RIGHT", "ROUNDING"):
        return []
    unseen = [*finding.outcomes[0].case.about.unseen, *_left_out(finding.outcomes)]
    return [f"not seen: {'; '.join(unseen)}"] if unseen else []


def _left_out(outcomes: Sequence[Outcome]) -> list[str]:
    """The cases that a --skip-flag left out, and the known-wrong formulas that only they reject."""
    skipped = [(o.case, o.message.rpartition(" ")[2]) for o in outcomes if o.verdict == "skip" and "by --skip-flag" in o.message]
    flags = Counter(flag for case, flag in skipped if case.result == "valid")
    rejected = {slug for o in outcomes if o.got is not None for slug in o.case.discriminates}
    alone = dict.fromkeys(slug for case, _ in skipped for slug in case.discriminates if slug not in rejected)
    named = [f"{count_text(n, 'case')} with the flag {flag}" for flag, n in flags.items()]
    return named + ([f"{', '.join(alone)}, which only these reject"] if alone else [])


def warnings_of(finding: Finding) -> list[str]:
    """Every warning once, with its cases."""
    warned = dict.fromkeys(w for o in finding.outcomes for w in o.warnings)
    return [f"Warning: {w} ({ids([o for o in finding.outcomes if w in o.warnings][:SHOWN])})" for w in warned]


def hints(finding: Finding) -> list[str]:
    """What a slow first case may mean."""
    timed = [o for o in finding.outcomes if o.seconds > 0]
    timeouts = [o for o in timed if o.verdict == "timeout"]
    if not timeouts or timeouts[0] is not timed[0] or finding.word == "NOT RUN":
        return []
    return ["Hint: the first case timed out; a first answer may include compilation: raise --timeout"]


def unjudged_line(outcomes: Sequence[Outcome]) -> list[str]:
    """One line on the cases that only --validation judges."""
    n = sum(o.verdict == "unasked" for o in outcomes)
    return [f"Not judged: whether bad input is refused, {count_text(n, 'case')}; say --validation for that"] if n else []


def indistinct(cases: Sequence[Case], settings: JudgeSettings) -> list[str]:
    """Known-wrong formulas that single precision cannot tell from the right one: margin below ten tolerances."""
    if settings.dtype != "float32":
        return []
    one = np.ones(())
    best: dict[str, float] = {}
    for case in cases:
        double, single = (tolerance(one, one, dtype, case.about.residual) for dtype in ("float64", "float32"))
        shrink = float(double / single)
        for slug, margin in case.discriminates.items():
            best[slug] = max(best.get(slug, 0.0), margin * shrink)
    return [slug for slug, margin in best.items() if margin < 10]


def brief(finding: Finding) -> list[str]:
    """What is wrong with a suite, for the message of an exception, which ends with the diagnosis."""
    where = [f"where: {line}" for line in finding.where.lines]
    steps = [f"next: {line}" for line in finding.next]
    return [*kinds(finding), *warnings_of(finding), *worst_line(finding), *where, *finding.explanation, *steps]


def details(finding: Finding) -> list[str]:
    """All sentences on a suite, below its verdict."""
    plain = finding.word in ("NOT RUN", "CANNOT TELL")
    explained = [line if plain else f"Diagnosis: {line}" for line in finding.explanation]
    where = [f"Where: {line}" for line in finding.where.lines]
    steps = [f"Next: {line}" for line in finding.next]
    said = [*kinds(finding), *worst_line(finding), *where, *explained, *parts_line(finding), *unseen_line(finding)]
    return [*said, *warnings_of(finding), *hints(finding), *steps]
