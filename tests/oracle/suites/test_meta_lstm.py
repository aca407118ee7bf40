"""The rows of Meta-LSTM: each is what it says, and right where its mistake does not matter."""

import numpy as np
import pytest

import refmeta as rm
from refmeta.evidence.meta_lstm import random_learner
from refmeta.meta import meta_lstm
from refmeta.oracle.suites.meta_lstm import SUITE
from refmeta.oracle.suites.meta_lstm.problem import LEAVES, all_parts, answer

ROWS = {row.slug: row.function for row in SUITE.rows}


def random_case(**leaves):
    """A learner on softmax regression, some of its leaves replaced."""
    case = random_learner(np.random.default_rng(0), "softmax-regression")
    return case._replace(parameters=case.parameters._replace(**leaves))


def assert_parts(got, expected):
    """The same parts, to rounding."""
    assert set(got) == set(expected)
    for part, value in expected.items():
        np.testing.assert_allclose(got[part], value, rtol=0, atol=1e-13 * max(1, np.max(np.abs(value))), err_msg=part)


def right(case, **options):
    """Every part by the library."""
    arguments, options = case[:3], {"steps": case.steps} | options
    kinds = {"exact": meta_lstm.gradient, "independent": meta_lstm.gradient_independent}
    slopes = {kind: gradient(*arguments, **options) for kind, gradient in kinds.items()}
    slopes = {f"{kind}_{leaf}": getattr(slopes[kind], leaf) for kind in kinds for leaf in LEAVES}
    return {"objective": meta_lstm.objective(*arguments, **options)} | slopes


def test_the_definition_with_nothing_exchanged_is_right():
    case = random_case()
    assert_parts(all_parts(case), right(case))
    assert_parts(all_parts(case), {part: answer(part, case) for part in SUITE.parts})


def test_the_gates_before_the_sigmoid_are_those_of_the_released_code():
    case = random_case()
    released = right(case, recurrence=meta_lstm.gates_released)
    assert_parts(ROWS["gates-before-sigmoid"](case), released)
    assert np.max(np.abs(released["objective"] - right(case)["objective"])) > 1e-6


def test_swapped_gates_are_those_of_swapped_weights():
    case, back = random_case(), {"W_I": "W_F", "W_F": "W_I", "b_I": "b_F", "b_F": "b_I"}
    weights = {leaf: getattr(case.parameters, other) for leaf, other in back.items()}
    swapped = right(case._replace(parameters=case.parameters._replace(**weights)))
    kinds = {f"{kind}_{leaf}": f"{kind}_{other}" for kind in ("exact", "independent") for leaf, other in back.items()}
    assert_parts(ROWS["gates-swapped"](case), {part: swapped[kinds.get(part, part)] for part in swapped})


@pytest.mark.parametrize("tied", [True, False])
def test_a_tied_gate_is_right_where_the_weights_tie_it(tied):
    """W_I = −W_F and b_I = −b_F, and neither gate is given itself: σ(−z) = 1 − σ(z)."""
    W_F, b_F = np.array([0.5, -0.25, 0.125, 0.0]), np.array(0.75)
    case = random_case(W_F=W_F, b_F=b_F, W_I=-W_F if tied else W_F, b_I=-b_F)
    same = np.allclose(ROWS["input-gate-tied-to-forget"](case)["objective"], right(case)["objective"], rtol=1e-13)
    assert same == tied


@pytest.mark.parametrize("points", [1, 5])
def test_a_gradient_divided_by_the_batch_is_right_where_the_batch_is_one_point(points):
    case = random_case()
    support = rm.SoftmaxRegression(case.support.X[:, :points], case.support.labels[:, :points], 2, 0.3)
    case = case._replace(support=support)
    wrong, expected = ROWS["gradient-divided-by-batch"](case)["objective"], right(case)["objective"]
    assert np.allclose(wrong, expected, rtol=1e-13) == (points == 1)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_preprocessing_without_sign_is_right_where_signs_have_no_weight(weight):
    W = np.array(random_case().parameters.W)
    W[:, [1, 3]] *= weight
    case = random_case(W=W)
    wrong, expected = ROWS["preprocessing-without-sign"](case)["objective"], right(case)["objective"]
    assert np.allclose(wrong, expected, rtol=1e-13) == (weight == 0)


def test_what_is_held_and_what_is_not_learned():
    case = random_case()
    library = right(case)
    assert_parts(
        ROWS["independent-called-exact"](case), {f"exact_{leaf}": library[f"independent_{leaf}"] for leaf in LEAVES}
    )
    assert all(np.all(value == 0) and value.shape == (2, 4) for value in ROWS["start-not-learned"](case).values())
