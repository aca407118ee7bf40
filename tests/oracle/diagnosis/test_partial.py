"""What explains some of the failing vectors is said of these alone."""


import numpy as np

from refmeta.oracle.clock import now
from refmeta.oracle.diagnosis.explain import explain
from refmeta.oracle.diagnosis.partial import partial_explanation
from refmeta.oracle.diagnosis.standing import Evidence
from refmeta.oracle.diagnosis.witnesses import Witnesses
from tests.oracle.diagnosis.planted import bent, failures


def evidence(change, suite="maml-regression"):
    failing, settings = failures(suite, change)
    return Evidence(failing, (), settings, Witnesses(failing, None, ""))


def test_a_group_is_explained_and_the_others_are_said_to_be_unknown():
    on = evidence(lambda right, x: 3 * right if np.ndim(x["alpha"]) == 0 else bent(right, x))
    part = partial_explanation(on)
    numbers = sum(np.ndim(o.case.input["alpha"]) == 0 for o in on.failing)
    start = f"explains the {numbers} of {len(on.failing)} failing vectors in which alpha is a number: the right result times 3"
    assert part.lines[0].startswith(start) and part.lines[-1] == "the others: nothing known here explains them"
    for o in on.failing:
        value = part.value(o.case, "gradient")
        assert (value is None) == (np.ndim(o.case.input["alpha"]) > 0)
        assert value is None or np.allclose(value, o.got["gradient"])


def test_both_groups_may_be_explained():
    on = evidence(lambda right, x: 3 * right if np.ndim(x["alpha"]) == 0 else -right)
    lines = partial_explanation(on).lines
    assert any("times 3" in line for line in lines) and any(line.startswith("the others: ") and "−1" in line for line in lines)


def test_numbers_without_a_pattern_are_not_explained_in_parts():
    on = evidence(bent)
    assert partial_explanation(on, now() + 1) is None
    assert [e.name for e in explain(on.failing, on.settings, seconds=1.0)] == [""]
