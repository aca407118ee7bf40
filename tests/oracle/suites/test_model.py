"""The rows of adaptation through a learned model, by hand."""

import numpy as np
import pytest

import refmeta as rm
from refmeta.evidence.model_based import A, S, random_learning, random_tasks
from refmeta.meta.model_based import Prior
from refmeta.oracle.bicomplex import complex_value
from refmeta.oracle.suites.model import SUITE
from refmeta.oracle.suites.model.definition import define
from refmeta.oracle.suites.model.problem import ModelProblem, answer, parts_from_model
from refmeta.sampling.transitions import Transitions


def test_what_the_rows_are_made_of_is_right_where_nothing_is_changed():
    rng = np.random.default_rng(0)
    prior, context = random_learning(rng)
    case = ModelProblem(rng.normal(size=S * A), prior._replace(variance=0.7), context, random_tasks(rng, 3), 0.2, 2)
    parts = parts_from_model(case, case.model)
    likelihood = ("log_marginal", "reward_mean_grad", "reward_variance_grad")
    parts |= {part: complex_value(define, part, case.inputs) for part in likelihood}
    assert set(parts) == set(SUITE.parts) - {"concentration_grad"}
    for part, value in parts.items():
        expected = answer(part, case)
        np.testing.assert_allclose(value, expected, rtol=0, atol=1e-13 * max(1, np.max(np.abs(expected))), err_msg=part)


def one_visit_each():
    """One process of two states and one action; (0, 0) was met three times: next 0, 1, 1, rewards 1, 2, 3."""
    zero = np.zeros((1, 3), int)
    context = Transitions(
        zero, zero, np.array([[1.0, 2, 3]]), np.array([[0, 1, 1]]), zero.astype(bool), np.ones((1, 3), bool)
    )
    prior = Prior(np.full((2, 1, 2), 2.0), np.zeros((2, 1)), 4.0, 0.5)
    mdp = rm.FiniteMDP([[[[1.0, 0]], [[0, 1.0]]]], [[[7.0], [0.0]]], [[1.0, 0]], 0.5)
    return ModelProblem(np.zeros(2), prior, context, rm.PolicyReturn(mdp, rm.TabularSoftmax(2, 1)), 0.5, 1)


@pytest.mark.parametrize(
    ("slug", "part", "at", "expected"),
    [
        ("model-most-likely", "transition", (0, 0, 0, 0), 1 / 3), ("model-most-likely", "transition", (0, 1, 0, 0), 1 / 2),
        ("model-most-likely", "reward", (0, 0, 0), 2.0), ("model-add-one", "transition", (0, 0, 0, 0), 2 / 5),
        ("model-variances-swapped", "reward", (0, 0, 0), 0.5 * 3 * 2 / (4 + 0.5 * 3)),
        ("model-reward-of-one", "reward", (0, 0, 0), 4 * 2 / (0.5 + 4)),
        ("query-on-the-model", "objective", (0,), None),
        ("support-on-the-truth", "objective", (0,), -14.0),
        ("marginal-of-counts", "log_marginal", (0,), None),
        ("rewards-independent", "reward_mean_grad", (0, 0, 0), (1 + 2 + 3) / 4.5),
        ("rewards-independent", "reward_variance_grad", (0,), 4 * (-3 / 4.5 + 14 / 4.5**2) / 2),
        ("slopes-without-logarithm", "concentration_grad", (0, 0, 0, 0), 1 / 2 - (1 / 4 + 1 / 5 + 1 / 6)),
    ],
)  # fmt: skip
def test_rows_of_the_model_by_hand(slug, part, at, expected):
    case = one_visit_each()
    wrong = next(row for row in SUITE.rows if row.slug == slug).function(case)[part][at]
    if slug == "marginal-of-counts":
        expected = answer("log_marginal", case)[0] + np.log(3)
    if slug == "query-on-the-model":
        P, r = np.array([[3 / 7, 4 / 7], [1 / 2, 1 / 2]]), np.array([4 * 3 * 2 / 12.5, 0])
        expected = -np.linalg.solve(np.eye(2) - 0.5 * P, r)[0]
    np.testing.assert_allclose(wrong, expected, rtol=1e-13)
