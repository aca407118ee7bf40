"""The known-wrong rows of `episodic-return`, its choices, and what is refused."""

import itertools
from fractions import Fraction as F

import numpy as np
import pytest

import refmeta as rm
from refmeta.judges import complex_step
from refmeta.oracle import certify
from refmeta.oracle.check import as_target, run
from refmeta.oracle.choices import singles
from refmeta.oracle.judge import JudgeSettings, gap
from refmeta.oracle.suites.episodic_return import SUITE
from refmeta.oracle.vectors import cases
from refmeta.oracle.verdict import findings
from refmeta.tolerance import tolerance
from tests.oracle.right.episodes import as_table
from tests.oracle.targets import library, rejecting

VALID = [case for case in cases("episodic-return") if case.result == "valid"]
GENERIC = [case for case in VALID if not set(case.flags) & {"edge", "extreme", "inexact"}]
ROWS = {row.slug: row for row in SUITE.rows}
CLAMPS = {"probabilities-clamped", "logits-clamped"}


def inputs(gamma=1.0, horizon=None):
    """The process of derivations/exact-policy-gradient.md: action 0 walks, action 1 leaps; π = (1/2, 1/2), (3/4, 1/4)."""
    P, R = np.zeros((2, 1, 3, 2, 3))
    P[0, 0, 0, 1] = P[0, 1, 0, 2] = P[0, 1, 1, 0] = 1
    P[0, 0, 1], P[0, 2, :, 0] = [0.5, 0, 0.5], 1
    R[0, 0, 0, 1], R[0, 0, 1, 2], R[0, 1, 0, 2], R[0, 2] = -1, 6, 2, 8
    return {
        "theta": np.log([1.0, 1.0, 3.0, 1.0, 1.0, 1.0]), "P": P, "R": R, "rho": np.array([[0.5, 0.25, 0.25]]),
        "terminal": np.array([[0, 0, 1]]), "gamma": gamma, "horizon": horizon, "features": None, "v": np.arange(6.0),
    }  # fmt: skip


RIGHT = {
    1.0: {
        "value": [F(14, 5), F(11, 5), 0], "action_value": [F(6, 5), F(22, 5), 2, F(14, 5), 0, 0], "advantage": [-F(8, 5), F(8, 5), -F(1, 5), F(3, 5), 0, 0],
        "occupancy": [F(9, 10), F(7, 10), 0], "loss": [-F(39, 20)], "grad": [F(18, 25), -F(18, 25), F(21, 200), -F(21, 200), 0, 0],
        "optimal_value": [6, 6, 0],
    },
    0.5: {
        "value": [F(44, 27), F(46, 27), 0], "occupancy": [F(17, 27), F(11, 27), 0], "loss": [-F(67, 54)], "optimal_value": [4, 2, 0],
    },
}  # fmt: skip


@pytest.mark.eq("undiscounted-return")
@pytest.mark.parametrize(("gamma", "part"), [(gamma, part) for gamma, parts in RIGHT.items() for part in parts])
def test_the_answer_and_its_certificate_by_hand(gamma, part):
    x = inputs(gamma)
    expected = np.array(RIGHT[gamma][part], float)
    np.testing.assert_allclose(np.ravel(SUITE.answer(part, SUITE.problem(x))), expected, rtol=1e-14, atol=1e-14)
    value, _ = certify.certificate(SUITE, {name: np.asarray(each).tolist() for name, each in x.items()}, part)
    np.testing.assert_allclose(np.ravel(np.array(value, dtype=object).astype(float)), expected, rtol=1e-14, atol=1e-14)


LOSSES = {  # J at γ = 1/2 and at γ = 1; None where there is none, and the row gives what is right
    "ends-ignored": (F(575, 94), None),
    "end-pays-for-ever": (F(161, 18), None),
    "end-pays-once": (F(275, 54), F(199, 20)),
    "entering-reward-lost": (-F(17, 54), -F(9, 20)),
    "may-end-cuts": (F(35, 31), F(3, 2)),
    "end-row-evaluated": (F(31, 9), F(93, 20)),
    "new-start-after-end": (F(201, 112), None),
    "own-value-at-end": (F(13, 7), None),
    "start-renormalised": (F(134, 81), F(13, 5)),
    "discount-dropped": (F(39, 20), F(39, 20)),
}


@pytest.mark.parametrize("slug", LOSSES)
def test_a_known_wrong_return_by_hand(slug):
    for gamma, J in zip((0.5, 1.0), LOSSES[slug], strict=True):
        parts = ROWS[slug].function(SUITE.problem(inputs(gamma)))
        assert parts["loss"][0] == pytest.approx(-float({0.5: F(67, 54), 1.0: F(39, 20)}[gamma] if J is None else J), rel=1e-13)


VISITS = {
    "ends-visited-once": ([F(17, 27), F(11, 27), F(13, 27)], [F(9, 10), F(7, 10), 1]),
    "ends-visited-for-ever": ([F(17, 27), F(11, 27), F(26, 27)], None),
    "occupancy-normalised": ([F(17, 28), F(11, 28), 0], [F(9, 16), F(7, 16), 0]),
    "occupancy-times-one-less-gamma": ([F(17, 54), F(11, 54), 0], [0, 0, 0]),
}


@pytest.mark.parametrize("slug", VISITS)
def test_known_wrong_visits_by_hand(slug):
    for gamma, expected in zip((0.5, 1.0), VISITS[slug], strict=True):
        problem = SUITE.problem(inputs(gamma))
        expected = SUITE.answer("occupancy", problem)[0] if expected is None else np.array(expected, float)
        np.testing.assert_allclose(ROWS[slug].function(problem)[0], expected, rtol=1e-13, atol=1e-15)


def test_visits_without_a_discount_by_hand():
    """d = (9/10, 7/10) instead of (17/27, 11/27), with the advantages of γ = 1/2: 16/9 and −8/9."""
    grad = ROWS["undiscounted-visits"].function(SUITE.problem(inputs(0.5)))["grad"][0]
    np.testing.assert_allclose(-grad, np.array([-4 / 5, 4 / 5, 7 / 45, -7 / 45, 0, 0]), rtol=1e-13)


def test_ends_that_are_taken_from_elsewhere_are_those_of_another_mask():
    """The library, with another mask, gives what the rows give: one end alone, the last state, those of the first task, unpaid states."""
    x = VALID[0].arguments()
    first = np.array([[0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0]])
    masks = {"first-end-alone": first, "last-state-ends": [[0, 0, 0, 1]] * 3, "ends-of-first-task": [[0, 0, 0, 1]] * 3, "ends-ignored": np.zeros((3, 4), int)}
    for slug, mask in masks.items():
        other = SUITE.problem(x | {"terminal": np.array(mask)})
        for part, value in ROWS[slug].function(VALID[0].problem).items():
            np.testing.assert_allclose(value, SUITE.answer(part, other), rtol=1e-12, atol=1e-12, err_msg=f"{slug}: {part}")
    case = next(case for case in VALID if "pays nothing and is no end" in case.comment and case.input["gamma"] < 1)
    x = case.arguments()
    unpaid = np.all(x["R"] == 0, axis=-1) | (x["terminal"] > 0)
    assert np.sum(unpaid) > np.sum(x["terminal"])
    other = SUITE.problem(x | {"terminal": unpaid.astype(int)})
    for part, value in ROWS["unpaid-states-end"].function(case.problem).items():
        np.testing.assert_allclose(value, SUITE.answer(part, other), rtol=1e-12, atol=1e-12, err_msg=part)


def test_what_the_rows_of_an_end_say_plays_no_part():
    """With loops that pay nothing instead, the answers are the same to the last bit, and those of a declared end in the library."""
    for case in GENERIC:
        x = case.arguments()
        end, R = x["terminal"] > 0, x["R"].copy()
        R[end] = 0
        P = np.where(end[..., None, None], np.eye(P_states := x["P"].shape[-1])[:, None], x["P"])
        other = SUITE.problem(x | {"P": P, "R": R})
        policy = rm.TabularSoftmax(P_states, P.shape[-2]) if x["features"] is None else rm.LinearSoftmax(x["features"])
        declared = rm.PolicyReturn(rm.FiniteMDP(P, R, x["rho"], x["gamma"], x["horizon"], end), policy).at(x["theta"])
        for part in SUITE.parts:
            np.testing.assert_array_equal(SUITE.answer(part, other), SUITE.answer(part, case.problem))
        np.testing.assert_array_equal(SUITE.answer("grad", other), declared.grad)


def test_an_end_that_is_a_loop_without_pay_is_a_false_alarm_where_there_is_a_discount():
    """Value, loss and slopes are right without any declaration; the visits of the ends are not."""
    for case in GENERIC:
        x = case.arguments()
        if x["gamma"] == 1 and x["horizon"] is None:
            continue
        end, R = x["terminal"] > 0, x["R"].copy()
        R[end] = 0
        P = np.where(end[..., None, None], np.eye(x["P"].shape[-1])[:, None], x["P"])
        loops = SUITE.problem(x | {"P": P, "R": R, "terminal": 0 * x["terminal"]})
        for part in ("value", "action_value", "advantage", "loss", "grad", "hvp", "optimal_value"):
            np.testing.assert_allclose(SUITE.answer(part, loops), case.expected[part].value, rtol=1e-11, atol=1e-12, err_msg=part)
        assert np.max(np.abs(SUITE.answer("occupancy", loops) - case.expected["occupancy"].value)) > 0.01


def test_gymnasiums_table_of_a_vector_gives_the_same_process():
    """Through `FiniteMDP.from_table`: where no start is in an end, and an end is entered by done transitions alone, nothing is added."""
    x = inputs()
    x["rho"] = np.array([[0.5, 0.5, 0.0]])
    table = as_table(x["P"][0], x["R"][0], x["terminal"][0])
    mdp = rm.FiniteMDP.from_table(table, rho=x["rho"][0], gamma=1.0)
    assert mdp.states == 3 and mdp.terminal.tolist() == [False, False, True]
    point = rm.PolicyReturn(mdp, rm.TabularSoftmax(3, 2)).at(x["theta"])
    np.testing.assert_allclose(point.grad, SUITE.answer("grad", SUITE.problem(x))[0], rtol=1e-14, atol=1e-15)


OF_OBJECTIVE = [each for each in singles(SUITE.choices) if each[0] in ("states that end", "after an end", "power of gamma")]


@pytest.mark.parametrize("each", OF_OBJECTIVE, ids=": ".join)
def test_another_objective_has_the_gradient_of_that_objective(each):
    """By central differences of its own loss; and the Hessian product is the slope of its gradient."""
    h, point, seen = 1e-5, {each[0]: SUITE.choices[each[0]][each[1]]}, 0
    for case in GENERIC[::3]:
        p = case.problem
        at = lambda theta, part, p=p: SUITE.variant(part, type(p)(theta, p.task, p.v, p.P, p.R), point)
        if at(p.theta, "loss") is None:
            continue
        for part, slope in (("loss", at(p.theta, "grad") @ p.v), ("grad", at(p.theta, "hvp"))):
            along = (at(p.theta + h * p.v, part) - at(p.theta - h * p.v, part)) / (2 * h)
            np.testing.assert_allclose(slope, along, rtol=1e-6, atol=1e-6 * max(1.0, np.max(np.abs(at(p.theta, part)))))
            seen += 1
    assert seen


@pytest.mark.parametrize("case", VALID, ids=lambda case: case.id)
def test_without_a_departure_a_variant_is_right(case):
    for part, expected in case.expected.items():
        value = SUITE.variant(part, case.problem, {})
        assert value is not None and gap(value, expected.value, tolerance(expected.kappa, expected.scale, "float64")) < 1, part


def is_seen(point):
    """Is a part elsewhere than it should be, by ten tolerances, in a vector?"""
    for case, part in itertools.product(VALID, SUITE.parts):
        value, expected = SUITE.variant(part, case.problem, point), case.expected[part]
        if value is not None and gap(value, expected.value, tolerance(expected.kappa, expected.scale, "float64")) > 10:
            return True
    return False


def test_every_departure_is_seen_in_a_vector():
    assert [each for each in singles(SUITE.choices) if not is_seen({each[0]: SUITE.choices[each[0]][each[1]]})] == []


def test_a_new_start_that_may_be_in_an_end_again_satisfies_its_equations():
    """A start is worth N = V(0)/2 + V(1)/4: in the end, where a quarter of them lie, nothing follows."""
    V0, V1, end = SUITE.variant("value", SUITE.problem(inputs(0.5)), {"after an end": SUITE.choices["after an end"]["a new start, which may be in an end again"]})[0]
    N = V0 / 2 + V1 / 4
    np.testing.assert_allclose([V0, V1, end], [(V1 / 2 - 1) / 2 + (3 + V0 / 4 + N / 4) / 2, 3 / 4 * (2 + N / 2) + V0 / 8, 0], rtol=1e-14)


def test_the_largest_q_of_the_policy_itself_by_hand():
    """In state 0 to leap is worth 22/5, in state 1 it is worth 14/5; RIGHT has both."""
    own = SUITE.variant("optimal_value", SUITE.problem(inputs()), {"best values": SUITE.choices["best values"]["largest Q of the policy itself"]})
    np.testing.assert_allclose(own, [[22 / 5, 14 / 5, 0]], rtol=1e-14)


def swept_from_zero(P, R, terminal, gamma):
    """Value iteration from 0, of many sweeps: at γ = 1 it keeps a 0 wherever a policy goes round for ever and pays nothing."""
    P, r = P * (1 - terminal)[:, None, None, :], (np.sum(P * R, axis=-1) if R.ndim == 4 else R) * (1 - terminal)[..., None]
    V = np.zeros(terminal.shape)
    for _ in range(500):
        V = np.max(r + gamma * np.einsum("nsat,nt->nsa", P * (1 - terminal)[..., None, None], V), axis=-1)
    return V


def test_no_vector_sees_a_best_value_of_a_policy_that_goes_round_for_ever():
    """What the suite says that it cannot see: state 0 stays for nothing, or pays 1 to end."""
    assert "best values of policies that go round for ever, at no cost" in SUITE.unseen
    for case in (case for case in VALID if case.input["gamma"] == 1 and case.input["horizon"] is None and "extreme" not in case.flags):
        x = case.arguments()
        np.testing.assert_allclose(swept_from_zero(x["P"], x["R"], x["terminal"], 1.0), case.expected["optimal_value"].value, rtol=1e-9, atol=1e-11)
    P, R, end = np.array([[[[1.0, 0], [0, 1]], [[0, 1], [0, 1]]]]), np.array([[[0.0, -1], [0, 0]]]), np.array([[0, 1]])
    assert swept_from_zero(P, R, end, 1.0).tolist() == [[0, 0]]
    assert rm.optimal_values(rm.FiniteMDP(P, R, [1, 0], 1.0, terminal=end)).value.tolist() == [[-1, 0]]


def test_a_departure_without_a_bound_has_no_value():
    """At γ = 1 a process that is never left has none: what is singular, or nearly so, is not computed."""
    for case in VALID:
        if case.input["gamma"] == 1 and case.input["horizon"] is None:
            for words in ("its own reward, for ever", "a new start", "nothing, and other steps are made to add to 1", "the value of the state before it"):
                value = SUITE.variant("value", case.problem, {"after an end": SUITE.choices["after an end"][words]})
                assert value is None or np.max(np.abs(value)) < 1e6, (case.id, words)


def planted(row):
    """What a target with the mistake returns: its parts, and the right ones where it has none."""
    right = library("episodic-return")

    def target(**x):
        value = row.result(SUITE.problem(x))
        return right(**x) | (value if isinstance(value, dict) else {} if value is None else {row.quantity: value})

    return target


@pytest.mark.parametrize("row", [row for row in SUITE.rows if row.slug not in CLAMPS], ids=lambda row: row.slug)
def test_a_known_wrong_formula_is_named(row):
    chosen = [case for case in rejecting("episodic-return", row) if "extreme" not in case.flags]
    (verdict,) = findings(run(as_target(planted(row)), chosen, JudgeSettings()), JudgeSettings())
    assert verdict.word == "WRONG" and any(row.slug in line for line in verdict.explanation), verdict.explanation


def test_a_small_number_on_the_diagonal_is_named():
    """Ends as loops that pay nothing, and (1 + 1e-6) I instead of I, so that the system can be solved at γ = 1."""

    def values(theta, P, R, rho, terminal, gamma, horizon, features, v):
        N, S, A = P.shape[:3]
        logits = theta.reshape(S, A) if features is None else features @ theta
        pi = np.exp(logits) / np.sum(np.exp(logits), axis=-1, keepdims=True)
        r, end = np.sum(P * R, axis=-1) if R.ndim == 4 else R, terminal[..., None]
        M = np.einsum("sa,nsat->nst", pi, P) * (1 - end) + np.eye(S) * end
        system, mean = (1 + 1e-6) * np.eye(S) - gamma * M, np.sum(pi * r, axis=-1, keepdims=True) * (1 - end)
        return {"value": np.linalg.solve(system, mean)[..., 0]}

    chosen = [case for case in VALID if case.input["horizon"] is None and "extreme" not in case.flags]
    (verdict,) = findings(run(as_target(values), chosen, JudgeSettings()), JudgeSettings())
    assert verdict.word == "WRONG" and "(1 + 1e-6)·I − γP" in " ".join(verdict.explanation), verdict.explanation


@pytest.mark.parametrize(
    ("part", "choice", "words"),
    [
        ("occupancy", "after an end", "nothing, and a start in it is moved to the first state that is none"),
        ("occupancy", "after an end", "nothing, and a start in it is moved to any other state alike"),
        ("value", "after an end", "nothing, and outcomes behind the first that ends are lost"),
        ("value", "after an end", "nothing, and the step into it is discounted once more"),
        ("value", "after an end", "~done, of whole numbers, times the next value"),
        ("value", "after an end", "a new start, which may be in an end again"),
        ("value", "P", "last possible next state"),
        ("value", "reward", "mean over the possible next states"),
        ("value", "times", "one later"),
        ("hvp", "Hessian", "visits and advantages held"),
        ("hvp", "Hessian", "the normaliser of the softmax held"),
        ("optimal_value", "best values", "largest Q of the policy itself, where there is no horizon"),
        ("optimal_value", "best values", "after one improvement of the policy, where there is no horizon"),
        ("action_value", "Q in an end", "its own reward"),
        ("advantage", "Q in an end", "its own reward, and what follows by its own row"),
        ("loss", "states that end", "those declared, and the last state"),
        ("grad", "states that end", "those of the next task"),
        ("grad", "discount", "0.999 where it is 1"),
    ],
)
def test_a_choice_is_named_in_its_words(part, choice, words):
    target = lambda **x: {part: SUITE.variant(part, SUITE.problem(x), {choice: SUITE.choices[choice][words]})}
    chosen = [case for case in VALID if "extreme" not in case.flags and SUITE.variant(part, case.problem, {choice: SUITE.choices[choice][words]}) is not None]
    (verdict,) = findings(run(as_target(target), chosen, JudgeSettings()), JudgeSettings())
    assert verdict.word == "WRONG" and f"{choice}: {words}" in " ".join(verdict.explanation), verdict.explanation


def test_any_subset_of_the_parts_may_be_returned():
    right = library("episodic-return")
    for names in (("loss", "grad"), ("hvp",), ("value", "occupancy")):
        target = lambda names=names, **x: {k: v for k, v in right(**x).items() if k in names}
        (verdict,) = findings(run(as_target(target), VALID[:5], JudgeSettings()), JudgeSettings())
        assert verdict.word == "RIGHT"


@pytest.mark.eq("undiscounted-return")
def test_the_definition_agrees_with_the_library_on_random_problems():
    """Unequal ends, weights and rows of ends; 1 and less than 1 for γ, with and without a horizon: every part."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        x = {
            "theta": rng.normal(size=8), "P": rng.dirichlet(np.ones(4), (2, 4, 2)), "R": rng.normal(size=(2, 4, 2, 4)), "rho": rng.dirichlet(np.ones(4), 2),
            "terminal": np.array([[0, 1, 0, 0], [1, 0, 0, 1]]), "gamma": (1.0, 0.8)[seed % 2], "horizon": (None, None, 3)[seed % 3], "features": None,
            "v": rng.normal(size=8),
        }  # fmt: skip
        lists = {name: each.tolist() if isinstance(each, np.ndarray) else each for name, each in x.items()}
        for part in SUITE.parts:
            value, _ = certify.certificate(SUITE, lists, part)
            np.testing.assert_allclose(SUITE.answer(part, SUITE.problem(x)), np.array(value, dtype=object).astype(float), rtol=1e-11, atol=1e-11)
        task = SUITE.problem(x).task
        np.testing.assert_allclose(task.at(x["theta"]).grad, complex_step(lambda t, task=task: task.at(t).loss, x["theta"]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda x: x["terminal"].__setitem__((0, 2), 0), "gamma must"),
        (lambda x: x["P"].__setitem__((0, 2, 0), [0.5, 0, 0]), "sums to 0.5"),
        (lambda x: x["rho"].__setitem__((0, 2), 0.5), "rho"),
        (lambda x: x["terminal"].__setitem__((0, 1), 2), "terminal"),
        (lambda x: x["P"].__setitem__((0, 1), [[0, 1, 0], [0, 1, 0]]), "no end|an end is reached from every state"),
    ],
)
def test_what_is_refused(change, sentence):
    """Rows of an end that are no probabilities are refused, too, though they play no part."""
    x = inputs()
    change(x)
    with pytest.raises(ValueError, match=sentence):
        SUITE.problem(x)
