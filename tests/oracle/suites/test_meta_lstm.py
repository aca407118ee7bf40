"""The rows of Meta-LSTM: each is what it says, and right where its mistake does not matter.  Its choices are what they say."""

import numpy as np
import pytest

import refmeta as rm
from refmeta.evidence.meta_lstm import random_learner
from refmeta.meta import meta_lstm
from refmeta.oracle.asking import moved
from refmeta.oracle.choices import singles
from refmeta.oracle.decimals import real
from refmeta.oracle.judge import gap
from refmeta.oracle.suites.meta_lstm import SUITE
from refmeta.oracle.suites.meta_lstm.definition import Formulas, signal
from refmeta.oracle.suites.meta_lstm.problem import LEAVES, all_parts, answer
from refmeta.oracle.vectors import cases
from refmeta.tolerance import tolerance

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


def test_a_loss_of_at_least_e_to_the_minus_ten_is_seen_where_the_loss_is_smaller():
    """The vectors hold such a loss next to gradients of both sizes: the branches of the preprocessing are independent."""

    def floored(support, theta, step):
        g, loss = signal(support, theta, step)
        return g, loss if real(loss) > np.exp(-10) else 0 * loss + np.exp(-10)

    (small,) = [case for case in cases("meta-lstm") if "small-loss" in case.flags]
    got = all_parts(small.problem, Formulas(signal=floored))["objective"]
    off = np.abs(got - small.expected["objective"].value)
    assert off[0] > 1e-6 and off[1] < 1e-12, "the losses of the second task are larger"


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


CHOSEN = {case.id: case for case in cases("meta-lstm") if case.result == "valid"}
GIVEN = {"gradient goes to": {"gradient": SUITE.choices["gradient"]["twice"]}}  # this says where another departure goes


def at(case, **words):
    """Every part at the point of these alternatives that it concerns; a choice is named with _ for each blank."""
    names = {name.replace(" ", "_"): name for name in SUITE.choices}
    point = {names[choice]: SUITE.choices[names[choice]][each] for choice, each in words.items()}
    values = {part: SUITE.variant(part, case, point) for part in SUITE.parts}
    return {part: value for part, value in values.items() if value is not None}


@pytest.mark.parametrize("id", CHOSEN)
def test_without_a_departure_a_variant_is_the_answer_of_the_library(id):
    problem = CHOSEN[id].problem
    for part in SUITE.parts:
        value = SUITE.answer(part, problem)
        np.testing.assert_allclose(SUITE.variant(part, problem, {}), value, rtol=1e-10, atol=1e-13 * np.max(np.abs(value), initial=1))


def departs(case, part, point, before):
    """Is a part at one point elsewhere than at another, by ten tolerances?"""
    value, other, expected = (*(SUITE.variant(part, case.problem, p) for p in (point, before)), case.expected[part])
    limit = tolerance(expected.kappa, expected.scale, "float64")
    return value is not None and other is not None and gap(value, other, limit) > 10


@pytest.mark.parametrize("choice", SUITE.choices)
def test_every_departure_is_seen_in_a_vector(choice):
    before = GIVEN.get(choice, {})
    for words in [each for name, each in singles(SUITE.choices) if name == choice]:
        point = before | {choice: SUITE.choices[choice][words]}
        assert any(departs(case, part, point, before) for part in SUITE.parts for case in CHOSEN.values()), words


@pytest.mark.parametrize(
    ("slug", "words"),
    [
        ("gates-before-sigmoid", {"gates_fed_back": "gates before the sigmoid"}),
        ("gradient-divided-by-batch", {"gradient": "divided by n"}),
        ("gates-swapped", {"update": "i theta - f g"}),
        ("input-gate-tied-to-forget", {"gates": "i = 1 - f"}),
        ("start-not-learned", {"start": "c0, not learned"}),
        ("preprocessing-without-sign", {"preprocessing": "without the sign"}),
        ("independent-called-exact", {"held_constant": "gradients and losses (independent)"}),
    ],
)
def test_a_known_wrong_formula_is_a_point(slug, words):
    case = random_case()
    row, point = ROWS[slug](case), at(case, **words)
    assert_parts({part: point[part] for part in row}, row)


def test_choices_are_other_tasks_steps_or_weights_of_the_library():
    case = random_case()
    p, C = case.parameters, case.support.classes
    tasks = lambda *ridges: [rm.SoftmaxRegression(t.X, t.labels, C, r) for t, r in zip(case[1:3], ridges, strict=True)]
    ridge = float(case.support.ridge)
    with_tasks = lambda *ridges: right(case._replace(support=tasks(*ridges)[0], query=tasks(*ridges)[1]))
    order = np.concatenate([np.arange(p.hidden) + k * p.hidden for k in (0, 1, 3, 2)])
    permuted = right(case._replace(parameters=p._replace(W=p.W[order], b=p.b[order])))
    assert_parts(at(case), right(case))
    assert_parts(at(case, steps="K + 1"), right(case, steps=case.steps + 1))
    assert_parts(at(case, steps="K - 1"), right(case, steps=case.steps - 1))
    assert_parts(at(case, ridge="on the query only"), with_tasks(0.0, ridge))
    assert_parts(at(case, ridge="on the support only"), with_tasks(ridge, 0.0))
    assert_parts(at(case, ridge="without 1/2"), with_tasks(2 * ridge, 2 * ridge))
    assert_parts(at(case, judged_on="the support's loss at the end"), right(case._replace(query=case.support)))
    got = at(case, order_of_the_rows_of_W="i f g o (PyTorch, Keras)")
    back = {f"{kind}_{leaf}": np.argsort(order) for kind in ("exact", "independent") for leaf in ("W", "b")}
    assert_parts(got, {part: value[:, back[part]] if part in back else value for part, value in permuted.items()})


@pytest.mark.parametrize(("words", "bias"), [("b_F + 1", {"b_F": 1.0}), ("none", {})])
def test_biases_of_the_gates_are_other_biases(words, bias):
    case = random_case()
    p = case.parameters
    other = p._replace(b_F=p.b_F + 1) if bias else p._replace(b_I=0.0 * p.b_I, b_F=0.0 * p.b_F)
    expected = right(case._replace(parameters=other))["objective"]
    np.testing.assert_allclose(at(case, biases_of_the_gates=words)["objective"], expected, rtol=1e-13)


def test_parameters_that_are_carried_start_the_next_task():
    case = random_case()
    one = lambda task, i: rm.SoftmaxRegression(task.X[i : i + 1], task.labels[i : i + 1], task.classes, float(task.ridge))
    p, losses = case.parameters, []
    for i in range(len(case.support.X)):
        support, query = one(case.support, i), one(case.query, i)
        losses.append(meta_lstm.objective(p, support, query, steps=case.steps)[0])
        p = p._replace(c0=meta_lstm.unroll(p, support, steps=case.steps).adapted[0])
    np.testing.assert_allclose(at(case, carried_between_tasks="theta")["objective"], losses, rtol=1e-13)


def test_what_is_held_costs_its_terms():
    """With W_I and W_F free of θ and of the gates before, nothing flows through them, and holding them changes nothing."""
    case = random_case()
    p, H = case.parameters, case.parameters.hidden
    W_I, W_F = (np.append(np.array(w)[:H], [0.0, 0.0]) for w in (p.W_I, p.W_F))
    free = case._replace(parameters=p._replace(W_I=W_I, W_F=W_F))
    for words in ("theta in the gates", "fed back gates"):
        assert_parts({k: v for k, v in at(free, held_constant=words).items() if k != "objective" and "exact" in k}, {k: v for k, v in right(free).items() if "exact" in k})
        assert np.max(np.abs(at(case, held_constant=words)["exact_c0"] - right(case)["exact_c0"])) > 1e-9
    one = case._replace(steps=1)
    assert_parts({k: v for k, v in at(one, held_constant="all before the last step").items() if "exact" in k and "c0" not in k}, {k: v for k, v in right(one).items() if "exact" in k and "c0" not in k})


@pytest.mark.parametrize(
    ("words", "x", "expected"),
    [
        ("p = 7", np.exp(-2.0), (-2 / 7, 1)), ("p = 7", np.exp(-8.0), (-1, np.exp(-1.0))), ("log10", -0.01, (-0.2, -1)),
        ("ln not divided by p", -np.exp(-2.0), (-2, -1)), ("(x, 0)", 0.5, (0.5, 0)), ("sign reversed", 1.0, (0, -1)),
        ("branches exchanged", 2.0, (-1, 2 * np.exp(10.0))), ("(-1, x) below e^-10", 1e-6, (-1, 1e-6)), ("the sign alone", -3.0, (0, -1)),
    ],
)  # fmt: skip
def test_preprocessings_by_hand(words, x, expected):
    np.testing.assert_allclose(SUITE.choices["preprocessing"][words](np.array(x)), expected, rtol=1e-14)


def test_the_layout_of_theta_turns_every_class_into_every_feature():
    """Tasks that read θ feature after feature have the gradient of the turned tasks at the turned start."""
    case = random_case()
    turn = SUITE.layouts(case)["feature after feature"]
    there = case._replace(parameters=case.parameters._replace(c0=np.asarray(case.parameters.c0)[turn]))
    assert_parts({"objective": at(there, layout_of_theta="feature after feature")["objective"]}, {"objective": right(case)["objective"]})


@pytest.mark.parametrize("predicate", SUITE.predicates, ids=lambda p: p.name)
def test_a_predicate_holds_where_its_move_leads(predicate):
    assert any(predicate.holds(case) for case in CHOSEN.values())
    for case in CHOSEN.values():
        other = moved(case, predicate.move(case.arguments()))
        assert other is not None and predicate.holds(other)
