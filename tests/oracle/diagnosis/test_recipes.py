"""A recipe is named where a target computes it, or it with one choice made otherwise, and nowhere else."""

import numpy as np
import pytest

from refmeta.oracle.diagnosis.recipes import changed_recipe_matches, recipe_matches
from refmeta.oracle.judge import JudgeSettings, judge
from refmeta.oracle.suites import SUITES
from refmeta.oracle.vectors import cases

WITH_RECIPES = [(name, recipe) for name, suite in SUITES.items() for recipe in suite.recipes]


def failures(name, part, result):
    """The wrong outcomes of a target that gives one part."""
    valid = [case for case in cases(name) if case.result == "valid"]
    answers = [(case, result(case)) for case in valid]
    outcomes = [judge(case, {part: value}, JudgeSettings()) for case, value in answers if value is not None]
    return [o for o in outcomes if o.verdict == "mismatch"]


@pytest.mark.parametrize(("name", "recipe"), WITH_RECIPES)
def test_every_recipe_is_named(name, recipe):
    suite = SUITES[name]
    point = suite.recipes[recipe]
    for part in suite.parts:
        failing = failures(name, part, lambda case: suite.variant(part, case.problem, point))  # noqa: B023
        if failing:
            lines = [m.line for m in recipe_matches(failing, JudgeSettings())]
            assert any(recipe in line for line in lines), (part, lines)
            return
    raise AssertionError("no part is wrong")


def test_a_recipe_with_another_choice_is_named_with_it():
    suite, part = SUITES["surrogates"], "reinforce_grad"
    point = suite.recipes["MAML-TRPO (learn2learn)"] | {"over time": "H", "baseline": "none"}
    failing = failures("surrogates", part, lambda case: suite.variant(part, case.problem, point))
    assert changed_recipe_matches(failing, JudgeSettings()) == []
    del point["baseline"]
    failing = failures("surrogates", part, lambda case: suite.variant(part, case.problem, point))
    (match,) = changed_recipe_matches(failing, JudgeSettings())
    assert "MAML-TRPO (learn2learn), but for over time" in match.line and "mean over H, padding included" in match.line


def test_other_numbers_are_no_recipe():
    rng = np.random.default_rng(3)
    failing = failures("surrogates", "dice_hvp", lambda case: case.expected["dice_hvp"].value * (1 + 0.1 * rng.normal(size=case.expected["dice_hvp"].value.shape)))
    assert recipe_matches(failing, JudgeSettings()) == changed_recipe_matches(failing, JudgeSettings()) == []
