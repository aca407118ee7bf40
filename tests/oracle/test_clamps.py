"""Clamped softmax policies and classifiers: those of the library where no bound is reached, and by hand beyond."""

import numpy as np
import pytest

import refmeta as rm
from refmeta.oracle.clamps import CLAMPED_LOGITS, CLAMPED_PROBABILITIES, ClampedSoftmax, with_softmax
from refmeta.problems import random_problem

SOFTMAX = ("softmax-regression", "discounted", "finite-horizon", "linear-features")


@pytest.mark.parametrize("kind", SOFTMAX)
def test_where_no_row_of_logits_reaches_a_bound_the_point_is_the_library_s(kind):
    case = random_problem(np.random.default_rng(3), kind)
    for use in (CLAMPED_LOGITS, CLAMPED_PROBABILITIES):
        point = with_softmax(case.support, use).at(case.theta)
        assert type(point) is type(case.support.at(case.theta))


@pytest.mark.parametrize("kind", SOFTMAX)
def test_the_complex_steps_of_the_losses_are_the_derivatives_of_the_library(kind, monkeypatch):
    """Bounds that nothing reaches, taken as if something did."""
    case, v = random_problem(np.random.default_rng(4), kind), np.random.default_rng(5).normal(size=50)
    monkeypatch.setattr(ClampedSoftmax, "changes", lambda self, logits: True)
    point, right = with_softmax(case.support, ClampedSoftmax()).at(case.theta), case.support.at(case.theta)
    v = v[: case.theta.size]
    for ours, theirs in ((point.loss, right.loss), (point.grad, right.grad), (point.hvp(v), right.hvp(v))):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)


def test_a_bandit_by_hand():
    """Rewards 1 and 3, γ = 0.  Logits (0, ln 3): π = (¼, ¾); at least ½ each: J = ½ + 9/4, ∇J = 3·(−3/16, 3/16).

    Logits in [−1, 1]: the second is beyond, and J moves with the first only: ∇J = (−2π(1 − π), 0), π = e/(1 + e).
    """
    mdp = rm.FiniteMDP(np.ones((1, 1, 2, 1)), np.array([[[1.0, 3.0]]]), np.ones((1, 1)), 0.0)
    task, theta, v = rm.PolicyReturn(mdp, rm.TabularSoftmax(1, 2)), np.log([1.0, 3.0]), np.array([1.0, 0.0])
    raised = with_softmax(task, ClampedSoftmax(least=0.5)).at(theta)
    np.testing.assert_allclose(raised.loss, [-0.5 - 9 / 4], rtol=1e-15)
    np.testing.assert_allclose(raised.grad, [[9 / 16, -9 / 16]], rtol=1e-14)
    np.testing.assert_allclose(raised.hvp(v), [[9 / 32, -9 / 32]], rtol=1e-14)  # ∂²π₂/∂z₁² = −π₁π₂(π₂ − π₁)
    bounded, pi = with_softmax(task, ClampedSoftmax(logit=1.0)).at(theta), 1 / (1 + np.exp(-1.0))
    np.testing.assert_allclose(bounded.loss, [-(1 - pi) - 3 * pi], rtol=1e-15)
    np.testing.assert_allclose(bounded.grad, [[2 * pi * (1 - pi), 0.0]], rtol=1e-14)
