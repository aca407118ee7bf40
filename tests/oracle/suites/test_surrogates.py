"""The known-wrong surrogates are what they say, and an ε has the effect that is said."""

import numpy as np
import pytest

import refmeta as rm
from refmeta.arrays import replace_fields
from refmeta.judges import complex_step
from refmeta.oracle.epsilons import slope
from refmeta.oracle.suites.surrogates import SUITE
from refmeta.oracle.suites.surrogates.definition import SUMMANDS
from refmeta.oracle.suites.surrogates.epsilons import ratio_effects
from refmeta.oracle.suites.surrogates.problem import Batches, by_definition, problem
from refmeta.problems import POLICIES, random_trajectories
from refmeta.sampling.likelihood import likelihood_at
from refmeta.sampling.trajectories import Trajectories


def generic(kind, seed=7):
    """Two tasks whose trajectories end early, and θ away from θ_sampled."""
    rng = np.random.default_rng(seed)
    policy, start, batch = random_trajectories(rng, kind)
    theta, v = start + 0.2 * rng.normal(size=policy.dim), rng.normal(size=policy.dim)
    return Batches(theta, start, policy, batch, rng.normal(size=batch.mask.shape), 0.8, 0.625, v)


@pytest.mark.parametrize("kind", POLICIES)
def test_batches_give_back_the_inputs_that_they_were_made_of(kind):
    inputs = generic(kind).inputs
    assert set(inputs) == set(SUITE.inputs) and problem(SUITE.arguments(inputs)).inputs == inputs


@pytest.mark.parametrize("kind", POLICIES)
def test_the_definition_is_the_library_where_no_step_is_changed(kind):
    case = generic(kind)
    for part in SUITE.parts:
        np.testing.assert_allclose(by_definition(part, case), SUITE.answer(part, case), rtol=1e-11, atol=1e-12)


def two_ratios():
    """One task, one state: π = (½, ½), once (¼, ¾); action 0 twice with rewards 3, 5, and action 1 that ends at once.

    γ = ½, b = (7, 0), so that x = (ln 2, ln 2) and ln 2/3, and G = (11/2, 5) and 4; what stands after the end is 9.
    """
    batch = Trajectories(
        np.zeros((1, 2, 2), int), np.array([[[0, 0], [1, 0]]]), np.array([[[3.0, 5], [4, 9]]]), np.array([[[1, 1], [1, 0]]])
    )
    b = np.array([[[7.0, 0], [0, 0]]])
    return Batches(np.zeros(2), np.log([1.0, 3.0]), rm.TabularSoftmax(1, 2), batch, b, 0.5, 1.0, np.ones(2))


@pytest.mark.parametrize(
    ("slug", "name", "minus_twice_the_loss"),
    [
        (None, "dice", 3 * 2 - 7 + 5 / 2 * 4 + 4 * 2 / 3),
        (None, "tmaml", 3 * 2 + 7 * (1 - 2) + 5 / 2 * 4 + 4 * 2 / 3),
        (None, "likelihood_ratio", (11 / 2 - 7) * 2 + 5 / 2 * 2 + 4 * 2 / 3),
        ("dice-averaged-dependencies", "dice", 3 * 2**0.5 - 7 + 5 / 2 * 2 + 4 * (2 / 3) ** 0.5),
        ("dice-over-returns", "dice", 11 / 2 * 2 - 7 + 5 / 2 * 4 + 4 * 2 / 3),
        ("no-magic-box", "dice", 3 * np.log(2) - 7 + 5 / 2 * np.log(4) + 4 * np.log(2 / 3)),
        ("mean-over-time", "dice", (3 * 2 - 7 + 5 / 2 * 4 + 4 * 2 / 3) / (3 / 2)),
        ("sum-over-episodes", "dice", (3 * 2 - 7 + 5 / 2 * 4 + 4 * 2 / 3) * 2),
        ("surrogate-undiscounted-visits", "likelihood_ratio", (11 / 2 - 7) * 2 + 5 * 2 + 4 * 2 / 3),
        ("denominator-follows", "dice", 3 + 5 / 2 + 4),
        ("mask-ignored", "dice", 3 * 2 - 7 + 5 / 2 * 4 + 4 * 2 / 3 + 9 / 2 * 2 / 3 * 2),
        ("baseline-dropped", "dice", 3 * 2 + 5 / 2 * 4 + 4 * 2 / 3),
        ("tmaml-present-included", "tmaml", 3 * 2 + 7 * ((1 - 2) - (1 - 2) * (1 - 2)) + 5 / 2 * 4 + 4 * 2 / 3),
    ],
)  # fmt: skip
def test_rows_by_hand(slug, name, minus_twice_the_loss):
    case = two_ratios()
    row = next((row for row in SUITE.rows if row.slug == slug), None)
    part = f"{name}_loss"
    value = row.function(case)[part] if row else SUITE.answer(part, case)
    np.testing.assert_allclose(value, [-minus_twice_the_loss / 2], rtol=1e-14)


@pytest.mark.parametrize(
    ("slug", "of"),
    [("curvature-of-reinforce", "reinforce_hvp"), ("curvature-of-likelihood-ratio", "likelihood_ratio_hvp")],
)
def test_a_row_of_another_curvature_is_that_of_the_other_surrogate(slug, of):
    case = generic("tabular")
    row = next(row for row in SUITE.rows if row.slug == slug)
    assert set(row.function(case)) == {f"{name}_hvp" for name in SUMMANDS} - {of}
    for value in row.function(case).values():
        np.testing.assert_array_equal(value, SUITE.answer(of, case))


@pytest.mark.parametrize("kind", POLICIES)
@pytest.mark.parametrize("name", SUMMANDS)
def test_an_epsilon_in_the_ratios_has_the_effect_of_a_finite_one(name, kind):
    """x = log(π + e) − log(π_sampled + e₀), written out."""
    case = generic(kind)
    surrogate = case.surrogate(name)
    old = likelihood_at(case.policy, case.theta_sampled, case.trajectories).log_prob

    def loss(theta, new, sampled):
        now = likelihood_at(case.policy, theta, case.trajectories).log_prob
        x = np.log(np.exp(now) + new) - np.log(np.exp(old) + sampled)
        values = sum(term.link(term.weights, term.mixed(x * case.trajectories.mask))[0] for term in surrogate.terms)
        return -np.sum(values, axis=(-2, -1)) / old.shape[-2]

    def of(kind, *e):
        grad = lambda theta: complex_step(lambda t: loss(t, *e), theta)
        if kind == "loss":
            return loss(case.theta, *e)
        return grad(case.theta) if kind == "grad" else slope(lambda h: grad(case.theta + h * case.v))

    places = {"log(π + ε)": (1, 1), "log(π + ε) but at the time of sampling": (1, 0), "π/(π_sampled + ε)": (0, 1)}
    for part in ("loss", "grad", "hvp"):
        effects = ratio_effects(surrogate, case.theta, part, case.v)
        assert set(effects) == set(places)
        for place, (new, sampled) in places.items():
            expected = slope(lambda e: of(part, e * new, e * sampled), 1e-6)  # noqa: B023
            size = max(np.max(np.abs(expected)), 1.0)
            np.testing.assert_allclose(effects[place](), expected, rtol=0, atol=1e-5 * size, err_msg=f"{part}, {place}")


def test_the_whole_return_by_hand():
    """Σ_k γᵏ r_k is 11/2 in the first trajectory and 4 in the second; at the second step γb is 0: 11/2 stands for 5/2."""
    case = two_ratios()
    row = next(row for row in SUITE.rows if row.slug == "whole-return")
    parts = row.function(case)
    assert row.kind == "right" and all(part.startswith(("reinforce", "likelihood_ratio")) for part in parts)
    total = (11 / 2 - 7) * 2 + 11 / 2 * 2 + 4 * 2 / 3
    np.testing.assert_allclose(parts["likelihood_ratio_loss"], [-total / 2], rtol=1e-14)


def test_a_clamped_deviation_is_another_parameter_without_a_slope():
    """log σ = 3 is kept at 2: losses as with 2, and no slope in it."""
    case = generic("linear-gaussian")
    theta = case.theta.copy()
    theta[-1] = 3.0
    bounded = np.where(np.arange(theta.size) == theta.size - 1, 2.0, theta)
    row = next(row for row in SUITE.rows if row.slug == "log-sigma-clamped")
    parts, right = row.function(replace_fields(case, theta=theta)), replace_fields(case, theta=bounded)
    for name in SUMMANDS:
        np.testing.assert_allclose(parts[f"{name}_loss"], SUITE.answer(f"{name}_loss", right), rtol=1e-11)
        slopes = SUITE.answer(f"{name}_grad", right) * (np.arange(theta.size) < theta.size - 1)
        np.testing.assert_allclose(parts[f"{name}_grad"], slopes, rtol=1e-11, atol=1e-12)
