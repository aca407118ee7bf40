"""The first wrong part is explained, whatever became of other cases."""

import numpy as np
import pytest

from refmeta.oracle.check import Failed, run
from refmeta.oracle.diagnosis.explain import explain
from refmeta.oracle.judge import JudgeSettings, judge, right_result
from refmeta.oracle.suites import SUITES
from tests.oracle.targets import valid

SETTINGS = JudgeSettings()


def explained(suite, answer, **options):
    def target(case, settings):
        return answer(case, {part: case.about.answer(part, case.problem) for part in case.about.parts})

    return explain(run(target, valid(suite), SETTINGS), SETTINGS, **options)


def test_a_crash_a_nan_and_a_wrong_shape_do_not_silence_the_rest():
    def answer(case, right):
        number, g = int(case.id[-3:]), 2 * right["gradient"]
        if number == 2:
            raise Failed("crash", "it ended")
        return g * np.nan if number == 3 else g[0] if number == 4 else g

    (one,) = explained("maml-quadratic", answer)
    assert one.name == "factor" and "times 2" in one.lines[0]


def test_the_value_is_what_the_sentence_claims_and_a_slug_names_its_row():
    (one,) = explained("maml-regression", lambda case, right: right["first_order"])
    case = valid("maml-regression")[0]
    assert one.slug == "first-order" and "first-order (" in one.lines[0]
    np.testing.assert_allclose(one.value(case, "gradient"), case.expected["first_order"].value)


def test_nothing_is_claimed_where_nothing_is_named():
    (one,) = explained("reptile", lambda case, right: right["update"] + np.cos(9 * right["update"]), seconds=1.0)
    assert (one.name, one.value, one.slug) == ("", None, "")


def test_only_the_first_wrong_part_is_explained():
    def answer(case, right):
        return right | {"grad": 3 * right["grad"], "hvp": -right["hvp"], "kl": 2 * right["kl"]}

    first, *others = explained("policy-gradient", answer)
    assert first.part == "grad" and "times 3" in first.lines[0]
    assert [(e.part, e.lines) for e in others] == [("hvp", []), ("kl", [])]
    case = valid("policy-gradient")[0]
    np.testing.assert_allclose(first.value(case, "grad"), 3 * right_result(case, "grad", SETTINGS))
    assert list(SUITES["policy-gradient"].parts).index("grad") < list(SUITES["policy-gradient"].parts).index("hvp")


def test_two_mistakes_with_one_number_are_told_apart_by_the_other_parts():
    """k1 of a reversed log ratio is minus k1; k2 and k3 are not."""
    parts = ("kl_k1", "kl_k2", "kl_k3")
    minus, *_ = explained("surrogates", lambda case, right: {part: -right[part] for part in parts})
    assert (minus.name, minus.part) == ("factor", "kl_k1") and "times −1" in minus.lines[0]
    reversed_ratio = {"log ratio of the penalty": "swapped"}
    answer = lambda case, right: {part: case.about.variant(part, case.problem, reversed_ratio) for part in parts}
    assert explained("surrogates", answer)[0].slug == "kl-swapped"
    alone = explained("surrogates", lambda case, right: {"kl_k1": -right["kl_k1"]})
    assert alone[0].slug == "kl-swapped"


def test_a_second_mistake_in_another_part_takes_the_name_from_no_first_one():
    """No factor and no choice gives both parts: what is named of the first one stays."""
    swapped = {"log ratio of the penalty": "swapped"}
    answer = lambda case, right: {"kl_k1": case.about.variant("kl_k1", case.problem, swapped), "kl_k3": 1.7 * right["kl_k3"]}
    assert explained("surrogates", answer)[0].slug == "kl-swapped"


@pytest.mark.parametrize("suite", ["policy-gradient", "surrogates", "pearl"])
def test_noise_on_one_small_vector_is_not_explained(suite):
    """Also where the right answer is 0, or one number: neither a wide tolerance nor a fitted number may explain it."""
    case = next(c for c in valid(suite) if c.id == f"{suite}-013")
    rng, right = np.random.default_rng(1), {name: right_result(case, name, JudgeSettings()) for name in case.expected}
    got = {name: value + rng.normal(size=value.shape) for name, value in right.items()}
    explained = explain([judge(case, got, JudgeSettings())], JudgeSettings(), seconds=1.0)
    assert explained and not any(e.name for e in explained), explained


def test_a_number_with_an_imaginary_part_is_no_candidate():
    """Powers of a negative epsilon: nothing is warned of."""
    change = lambda case: 1.3 * right_result(case, "update", JudgeSettings()) + 0.1 * np.cos(np.arange(case.expected["update"].value.size))
    outcomes = [judge(case, change(case), JudgeSettings()) for case in valid("reptile")]
    assert not any(e.name for e in explain(outcomes, JudgeSettings(), seconds=2.0))
