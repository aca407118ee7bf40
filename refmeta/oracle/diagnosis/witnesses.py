"""Other cases of the same sizes, on which the target is asked whether a named cause holds there too.

Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Iterator, Sequence

import numpy as np

from refmeta.oracle.asking import Ask, varied
from refmeta.oracle.clock import now
from refmeta.oracle.judge import JudgeSettings, Outcome
from refmeta.oracle.match import Candidate, alike, inputs_of, pairs, told_apart

__all__ = ["Witnesses", "holds"]

QUESTIONS, SECONDS, ENOUGH, SILENT, CASES = 12, 5.0, 3, 4, 4


class Witnesses:
    """The target's answers to variations of the smallest failing cases, asked when they are wanted, each once.

    At most twelve questions are asked, and none after five seconds of the clock.
    """

    def __init__(self, failing: Sequence[Outcome], ask: Ask | None, part: str) -> None:
        self.answers: list[Outcome] = []
        self.questions = _questions(failing, ask, part) if ask else iter(())

    def __iter__(self) -> Iterator[Outcome]:
        """The answers that are there, then new ones."""
        yield from list(self.answers)
        for answer in self.questions:
            self.answers.append(answer)
            yield answer


def _questions(failing: Sequence[Outcome], ask: Ask, part: str) -> Iterator[Outcome]:
    """Variations of the failing cases in turn, answered with numbers; only the part in question, if there are several."""
    size = lambda o: sum(np.size(x) for x in inputs_of(o.case).values())
    smallest, seconds = sorted(failing, key=size)[:CASES], 0.0
    for number in range(QUESTIONS):
        start = now()
        o = smallest[number % len(smallest)]
        if (case := varied(o.case, number, tuple(o.got or ()))) is None:
            continue
        answer = ask(case)
        seconds += now() - start
        got = {name: got for name, got in (answer.got or {}).items() if part in ("", name)}
        if got:
            yield answer._replace(got=got)
        if seconds > SECONDS:
            return


def holds(candidate: Candidate, witnesses: Witnesses, settings: JudgeSettings) -> bool:
    """Does the target give the candidate wherever it was asked?  Where the candidate is right, too, nothing is told."""
    told = silent = 0
    for answer in witnesses:
        before = told
        for pair in pairs([answer], settings):
            value = candidate(pair.case, pair.name)
            if value is not None and np.isfinite(value).all():
                if not alike(pair, value):
                    return False
                told += told_apart(pair, value)
        silent += told == before
        if told >= ENOUGH or silent >= SILENT:
            return True
    return True
