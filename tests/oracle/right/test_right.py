"""Whatever is right is called right, however it is computed; where digits are lost on the way, that alone is said."""

import pytest

from refmeta.oracle import cases
from refmeta.oracle.check import as_target, run
from refmeta.oracle.judge import JudgeSettings
from refmeta.oracle.suite import EXTREME
from refmeta.oracle.suites import SUITES
from refmeta.oracle.verdict import findings
from tests.oracle.right import MODULES, RIGHT

IDS = [f"{suite}: {name}, {module.__name__.split('.')[-1]}" for module in MODULES for suite, name, *_ in module.RIGHT]


@pytest.mark.parametrize(("suite", "name", "function", "settings", "may_round"), RIGHT, ids=IDS)
def test_a_right_implementation_is_called_right(suite, name, function, settings, may_round):
    """Every vector but extreme ones, and the first three for differences, of which each takes many calls.

    On extreme vectors some styles are wrong by nature: a softmax that is not shifted, a fixed number of sweeps.
    """
    settings, asked = JudgeSettings(**settings), [case for case in cases(suite) if EXTREME not in case.flags]
    (verdict,) = findings(run(as_target(function), asked[:3] if may_round else asked, settings), settings)
    assert verdict.word in ("RIGHT", "ROUNDING")[: 1 + may_round], (verdict.sentence, verdict.explanation)
    assert not any(outcome.warnings for outcome in verdict.outcomes)


def test_every_suite_has_several_of_them():
    styles = {suite: {id(function) for of, _, function, *_ in RIGHT if of == suite} for suite in SUITES}
    assert min(map(len, styles.values())) >= 3 and len(RIGHT) >= 100, {s: len(found) for s, found in styles.items()}
