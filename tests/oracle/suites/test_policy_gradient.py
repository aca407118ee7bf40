"""The known-wrong rows of `policy-gradient`: each is what it says."""

import numpy as np
import pytest

import refmeta as rm
from refmeta.oracle.suites.policy_gradient import SUITE
from refmeta.oracle.suites.policy_gradient.problem import Evaluation


def two_states(horizon=None):
    """The process of derivations/exact-policy-gradient.md: action 0 stays, action 1 moves; π = (1/4, 3/4), (1/2, 1/2)."""
    P = [[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]]
    mdp = rm.FiniteMDP([P], [[[3.0, 2.0], [1.0, -1.0]]], [[0.25, 0.75]], 0.5, horizon)
    task = rm.PolicyReturn(mdp, rm.TabularSoftmax(2, 2))
    return Evaluation(np.log([1.0, 3.0, 1.0, 1.0]), task, np.array([5.0, 0.0, 3.0, 0.0]))


@pytest.mark.parametrize(
    ("slug", "horizon", "expected"),
    [
        ("no-baseline-in-logits", None, [3 / 4, 5 / 4, 1, 1 / 3]),
        ("normalised-occupancy", None, [1 / 8, -1 / 8, 1 / 6, -1 / 6]),
        ("normalised-occupancy", 2, [9 / 96, -9 / 96, 39 / 192, -39 / 192]),
        ("undiscounted-visits", None, [3 / 10, -3 / 10, 3 / 10, -3 / 10]),
        ("undiscounted-visits", 2, [93 / 512, -93 / 512, 57 / 128, -57 / 128]),
        ("stationary-visits-frozen", None, [11 / 16, -11 / 16, -1 / 6, 1 / 6]),
        ("transposed-transition", None, [5 / 16, -5 / 16, 23 / 72, -23 / 72]),
        ("discounted-reward-as-return", None, [1 / 8, -1 / 8, 2 / 3, -2 / 3]),
    ],
)
def test_a_known_wrong_policy_gradient_is_what_it_says_by_hand(slug, horizon, expected):
    """The numbers are those of J; a row gives those of the loss."""
    row = next(row for row in SUITE.rows if row.slug == slug)
    np.testing.assert_allclose(-row.function(two_states(horizon))[0], expected, rtol=1e-13, atol=1e-15)
