"""The known-wrong rows of `pearl` are what they say, and so are the places of an ε."""

import numpy as np
import pytest
from hypothesis import given

import refmeta as rm
from refmeta.oracle.suites.pearl import SUITE
from refmeta.oracle.suites.pearl.epsilons import epsilon_places
from refmeta.oracle.suites.pearl.problem import TrainingStep, all_parts, problem
from refmeta.oracle.vectors import cases
from refmeta.sampling.transitions import Transitions
from tests.meta.test_pearl import training_steps


@given(step=training_steps())
def test_a_training_step_gives_back_the_inputs_that_it_was_made_of(step):
    assert set(step.inputs) == set(SUITE.inputs)
    again = problem(SUITE.arguments(step.inputs))
    assert again.inputs == step.inputs and again.settings.infer is step.settings.infer


def one_factor_each():
    """Two transitions of one task, factors N(1, 1) and N(4, ¼); ε = 3, one action, Q = z, Q̄ = 1, the end: y = 0."""
    agent = rm.pearl.Agent(
        rm.pearl.Encoder(np.array([[1.0, 0, 0, 3, 0]]), np.array([[0.0, 0, 0, -np.log(4), 0]])),
        np.array([[[0.0, 1]]]), np.array([[[1.0, 0]]]), np.zeros((1, 1, 2)), 0.0,
    )  # fmt: skip
    zero, there = np.zeros((1, 2), int), np.ones((1, 2), bool)
    context = Transitions(zero, zero, np.array([[0.0, 1]]), zero, ~there, there)
    batch = Transitions(zero[:, :1], zero[:, :1], np.zeros((1, 1)), zero[:, :1], there[:, :1], there[:, :1])
    settings = rm.pearl.Settings(0.5, 2.0, 0.25, rm.pearl.posterior)
    return TrainingStep(agent, context, batch, np.array([[3.0]]), settings)


@pytest.mark.parametrize(
    ("slug", "part", "expected"),
    [
        (None, "mean", 17 / 6), (None, "variance", 1 / 6),
        ("mean-of-factors", "mean", 5 / 3), ("mean-of-factors", "variance", 3 / 4),
        ("deviation-for-variance", "mean", 9 / 4), ("deviation-for-variance", "variance", 1 / 4),
        ("prior-factor-never", "mean", 17 / 5), ("prior-factor-never", "variance", 1 / 5),
        ("prior-factor-always", "mean", 17 / 6),
        ("next-state-missing", "mean", 17 / 6),
        ("sample-by-variance", "z", 17 / 6 + 3 / 6),
        ("kl-without-half", "kl", 1 / 6 + 289 / 36 - 1 + np.log(6)),
        ("kl-reversed", "kl", (6 * (1 + 289 / 36) - 1 - np.log(6)) / 2),
        ("kl-summed-loss-averaged", "critic_loss", (17 / 6 + 3 / 6**0.5) ** 2 / 2),
        ("end-ignored", "critic_loss", (17 / 6 + 3 / 6**0.5 - 1 / 2) ** 2 / 2),
        ("critic-without-half", "critic_loss", (17 / 6 + 3 / 6**0.5) ** 2),
        ("loss-summed", "critic_loss", (17 / 6 + 3 / 6**0.5) ** 2 / 2),
        ("temperature-loss-of-logarithm", "temperature_loss", 0.0), ("temperature-loss-of-logarithm", "temperature_grad", -1 / 4),
        ("variance-floored", "variance", 1 / 6), ("log-sigma-clamped", "mean", 17 / 6),
    ],
)  # fmt: skip
def test_rows_of_pearl_by_hand(slug, part, expected):
    """With the prior: precisions 1, 1, 4, so μ = (1 + 16)/6 and σ² = 1/6.  An e_s' of a single state says nothing."""
    case = one_factor_each()
    row = next((row for row in SUITE.rows if row.slug == slug), None)
    value = (row.function(case) if row else all_parts(case))[part]
    np.testing.assert_allclose(value, np.full(value.shape, expected), rtol=1e-14)


def test_an_epsilon_changes_the_part_it_stands_in_first_and_its_effects_are_slopes():
    first = {
        "σ_n² + ε in the factors": "mean", "1/(Σ σ_n⁻² + ε) in the product of factors": "mean",
        "log(σ² + ε) in the KL divergence": "kl", "√(σ² + ε) in the sample": "z", "σ + ε in the sample": "z",
        "log(π + ε)": "critic_loss", "1/(Σ mask + ε)": "critic_loss",
    }  # fmt: skip
    case, h = cases("pearl")[0], 1e-6
    for name, place in first.items():
        up, down = (all_parts(case.problem, epsilon_places(e)[name]) for e in (h, -h))
        slopes = {part: SUITE.effects(case, part)[name]() for part in SUITE.parts}
        for part, slope in slopes.items():
            scale = np.max(np.abs(slope)) + np.max(np.abs(case.expected[part].value))
            np.testing.assert_allclose(slope, (up[part] - down[part]) / (2 * h), rtol=0, atol=1e-8 * scale)
        assert next(part for part, slope in slopes.items() if np.max(np.abs(slope)) > 1e-9) == place, name
