"""The tolerance: literal patterns, κ on problems whose condition is known, and the rule's three factors."""

import numpy as np
import pytest

from refmeta.problems import KINDS, random_problem, random_tasks
from refmeta.tolerance import DELTA, PATTERNS, condition_number, error_in_tolerances, perturbed_input, signs, tolerance

EPS = np.finfo(float).eps


def test_there_are_eight_literal_patterns():
    assert len(set(PATTERNS)) == 8
    np.testing.assert_array_equal(signs("++-", 7), [1, 1, -1, 1, 1, -1, 1])


def test_kappa_of_a_difference_is_the_known_one():
    """F = x₀ − x₁ at (1, 1 − 2⁻¹⁰): κ = (|x₀| + |x₁|)/|F| ≈ 2047, met by the pattern (+, −), rounded up to two digits."""
    x = np.array([1.0, 1 - 2.0**-10])
    kappa = condition_number(lambda x: np.array([x[0] - x[1]]), x, scale=np.array([2.0**-10]))
    np.testing.assert_allclose(kappa, [2100], rtol=1e-9)
    assert condition_number(lambda x: np.array([0.0]), x, scale=np.array([1.0])) == 0


def test_every_float_of_a_task_is_perturbed_and_no_integer():
    rng = np.random.default_rng(0)
    for kind in KINDS:
        task = random_tasks(rng, kind)
        moved = perturbed_input(task, "+")
        for name in ("A", "c", "X", "y"):
            if hasattr(task, name):
                np.testing.assert_allclose(getattr(moved, name) / getattr(task, name), 1 + DELTA, rtol=4 * EPS)
        if hasattr(task, "mdp"):
            assert moved.mdp.gamma == task.mdp.gamma * (1 + DELTA) and moved.mdp.horizon == task.mdp.horizon
            np.testing.assert_allclose(moved.mdp.P.sum(-1), 1 + DELTA, rtol=1e-14)
        if hasattr(task, "labels"):
            np.testing.assert_array_equal(moved.labels, task.labels)
            assert moved.ridge == task.ridge * (1 + DELTA)


def test_the_tolerance_is_the_product_of_its_factors():
    np.testing.assert_allclose(tolerance(np.array([0.1, 50.0]), np.array([2.0, 3.0])), [60 * EPS, 4500 * EPS])
    np.testing.assert_allclose(tolerance(np.array([1.0]), 1.0, "float32"), [30 * 2.0**-23])
    error = error_in_tolerances(np.array([[1.0, 2.0]]), np.array([[1.0, 2.0 + 60 * EPS]]), np.array([1.0]), np.array([1.0]))
    np.testing.assert_allclose(error, [2.0], rtol=0.05)
    with pytest.raises(ValueError, match=r"the result has shape \(1,\), expected \(2,\)"):
        error_in_tolerances(np.zeros(1), np.zeros(2), 1.0, 1.0)


def test_few_random_problems_are_ill_conditioned_or_past_the_edge_of_stability():
    """At most one draw in ten has κ > 10⁶ or α‖∇²L(θ⁽ᵏ⁾)‖ > 2: what the property tests refuse."""
    from refmeta import adapt, maml
    from refmeta.problems import ALPHAS, hessian
    from refmeta.tolerance import max_per_task

    refused = 0
    for seed in range(40):
        case = random_problem(np.random.default_rng(seed), KINDS[seed % 6], steps=3, alpha=ALPHAS[seed % 4])
        scale = max_per_task(maml.first_order_gradient(case.theta, *case.split, **case.hyper))
        kappa = condition_number(lambda c: maml.gradient(c.theta, *c.split, **c.hyper), case, scale)
        path = adapt(case.theta, case.support, **case.hyper).path[:-1]
        H = [
            np.linalg.norm(hessian(case.support[i], np.broadcast_to(p.theta, (2, case.theta.size))[i]), 2)
            for p in path
            for i in (0, 1)
        ]
        refused += bool(np.any(kappa > 1e6) or np.max(case.alpha) * max(H) > 2)
    assert refused <= 4


def test_the_step_and_the_patterns_are_literal():
    assert DELTA == 2.0**-26 and PATTERNS == ("+", "-", "+-", "-+", "++-", "+--", "+++-", "+--+")


def test_kappa_is_rounded_by_exact_powers_of_ten():
    """98 · 10⁻⁵ in double precision, on every processor: NumPy's powers differ in the last bit."""
    for exponent in range(-9, 9):
        unit = float(f"1e{exponent}")
        kappa = condition_number(lambda x: x * (97.5 * unit), np.array([[1.0]]), np.array([1.0]))  # noqa: B023
        assert kappa == 98 * unit
