"""The known-wrong rows of `policy-gradient`, and its choices: each is what it says."""

import itertools

import numpy as np
import pytest

import refmeta as rm
from refmeta.arrays import replace_fields
from refmeta.judges import complex_step
from refmeta.oracle.asking import moved
from refmeta.oracle.choices import singles
from refmeta.oracle.diagnosis.choices import is_exact
from refmeta.oracle.judge import gap
from refmeta.oracle.suites.policy_gradient import SUITE
from refmeta.oracle.suites.policy_gradient.problem import TAU, Evaluation, answer
from refmeta.oracle.suites.policy_gradient.readings import read, run_of
from refmeta.oracle.vectors import cases
from refmeta.tasks import fisher
from refmeta.tolerance import tolerance


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


CHOSEN = {case.id: case for case in cases("policy-gradient") if case.result == "valid"}
GENERIC = ["policy-gradient-001", "policy-gradient-005", "policy-gradient-008", "policy-gradient-009"]
RETURNS = ("loss", "grad", "hvp")
VALUES = ("value", "action_value", "advantage", "occupancy", "optimal_value", "soft_value")


def at(case, part, **words):
    """A part at the point of these alternatives; a choice is named with _ for each blank."""
    names = {name.replace(" ", "_").replace("'", ""): name for name in SUITE.choices}
    return SUITE.variant(part, case, {names[choice]: SUITE.choices[names[choice]][each] for choice, each in words.items()})


@pytest.mark.parametrize("id", CHOSEN)
def test_without_a_departure_a_variant_is_the_answer_of_the_library(id):
    """To ten digits; on an extreme vector, where a variant may lose digits, to those that make it say something of it."""
    case = CHOSEN[id]
    for part in SUITE.parts:
        value = SUITE.answer(part, case.problem)
        extreme = "extreme" in case.flags
        if extreme and not is_exact(case, part):
            continue
        np.testing.assert_allclose(SUITE.variant(part, case.problem, {}), value, rtol=1e-6 if extreme else 1e-10, atol=1e-13 * np.max(np.abs(value), initial=1))


def is_seen(point):
    """Is a part elsewhere than it should be, by ten tolerances, in a vector?"""
    for case in CHOSEN.values():
        for part, expected in case.expected.items():
            value = SUITE.variant(part, case.problem, point)
            if value is not None and gap(value, expected.value, tolerance(expected.kappa, expected.scale, "float64")) > 10:
                return True
    return False


def test_every_departure_is_seen_in_a_vector():
    assert [each for each in singles(SUITE.choices) if not is_seen({each[0]: SUITE.choices[each[0]][each[1]]})] == []


@pytest.mark.parametrize(
    ("slug", "part", "words"),
    [
        ("no-baseline-in-logits", "grad", {"advantage": "Q"}),
        ("normalised-occupancy", "grad", {"visits": "normalised to 1"}),
        ("undiscounted-visits", "grad", {"visits": "undiscounted"}),
        ("stationary-visits-frozen", "hvp", {"Hessian": "visits held"}),
        ("transposed-transition", "grad", {"visits": "by the transposed P"}),
        ("discounted-reward-as-return", "grad", {"return": "reward"}),
        ("fisher-normalised", "fisher", {"visits_of_the_geometry": "normalised to 1"}),
        ("kl-swapped", "kl", {"divergence": "KL(new || old)"}),
        ("kl-new-visits", "kl", {"visits_of": "the new policy"}),
        ("value-discounted-once-more", "value", {"power_of_gamma": "gamma^(t+1)"}),
        ("next-value-undiscounted", "action_value", {"return": "reward + V(s'), not discounted"}),
        ("greedy-next-action", "action_value", {"return": "reward + gamma max Q(s')"}),
        ("action-value-as-advantage", "advantage", {"advantage": "Q"}),
        ("advantage-from-plain-mean", "advantage", {"advantage": "Q - mean over actions of Q"}),
        ("occupancy-normalised", "occupancy", {"visits": "normalised to 1"}),
        ("occupancy-undiscounted", "occupancy", {"visits": "undiscounted"}),
        ("occupancy-transposed", "occupancy", {"visits": "by the transposed P"}),
        ("soft-value-without-temperature", "soft_value", {"soft_maximum": "log sum exp Q, without tau"}),
        ("soft-policy-without-temperature", "soft_value", {"soft_maximum": "weights softmax(Q), with tau times the entropy"}),
        ("soft-value-hard-maximum", "soft_value", {"soft_maximum": "largest Q"}),
        ("soft-value-log-mean", "soft_value", {"soft_maximum": "tau log mean exp(Q/tau)"}),
        ("soft-value-entropy-missing", "soft_value", {"soft_maximum": "sum of softmax(Q/tau) Q, no entropy"}),
        ("soft-value-entropy-sign", "soft_value", {"soft_maximum": "sum of softmax(Q/tau) Q, less tau times the entropy"}),
        ("soft-value-mean-over-actions", "soft_value", {"soft_maximum": "mean over actions instead of the sum"}),
    ],
)
@pytest.mark.parametrize("id", GENERIC)
def test_a_known_wrong_formula_is_a_point(id, slug, part, words):
    case = CHOSEN[id].problem
    row = next(row for row in SUITE.rows if row.slug == slug)
    np.testing.assert_allclose(at(case, part, **words), row.function(case), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("id", ["policy-gradient-005", "policy-gradient-027", "policy-gradient-028"])
def test_best_actions_of_the_first_step_and_value_iteration_that_stops_are_points(id):
    rows = {row.slug: row.function for row in SUITE.rows}
    case, endless = CHOSEN[id].problem, CHOSEN["policy-gradient-001"].problem
    first = at(case, "optimal_value", best_actions="in every step those of the first")
    np.testing.assert_allclose(rows["stationary-best-actions"](case), first, rtol=1e-12)
    stopped = at(endless, "optimal_value", sweeps_until_no_value_moves_by="0.01")
    np.testing.assert_allclose(rows["value-iteration-stopped"](endless), stopped, rtol=1e-12)
    for slug, other in (("stationary-best-actions", endless), ("value-iteration-stopped", case)):
        np.testing.assert_array_equal(rows[slug](other), answer("optimal_value", other), err_msg="where it does not show")


@pytest.mark.parametrize(
    ("slug", "horizon", "expected"),
    [
        ("value-discounted-once-more", None, [3 / 2, 1 / 2]),
        ("value-discounted-once-more", 1, [[9 / 8, 0], [0, 0]]),
        ("next-value-undiscounted", None, [[6, 3], [2, 2]]),
        ("next-value-undiscounted", 2, [[[21 / 4, 2], [1, 5 / 4]], [[3, 2], [1, -1]]]),
        ("greedy-next-action", None, [[21 / 4, 11 / 4], [7 / 4, 5 / 4]]),
        ("greedy-next-action", 2, [[[9 / 2, 5 / 2], [3 / 2, 1 / 2]], [[3, 2], [1, -1]]]),
        ("action-value-as-advantage", None, [[9 / 2, 5 / 2], [3 / 2, 1 / 2]]),
        ("advantage-from-plain-mean", None, [[1, -1], [1 / 2, -1 / 2]]),
        ("occupancy-normalised", None, [1 / 3, 2 / 3]),
        ("occupancy-normalised", 2, [[1 / 6, 1 / 2], [7 / 48, 3 / 16]]),
        ("occupancy-undiscounted", None, [4 / 5, 6 / 5]),
        ("occupancy-undiscounted", 2, [[1 / 4, 3 / 4], [7 / 16, 9 / 16]]),
        ("occupancy-transposed", None, [5 / 6, 23 / 18]),
        ("occupancy-transposed", 2, [[1 / 4, 3 / 4], [5 / 16, 1 / 4]]),
    ],
)  # fmt: skip
def test_a_known_wrong_value_is_what_it_says_by_hand(slug, horizon, expected):
    """V = (3, 1), Q = ((9/2, 5/2), (3/2, 1/2)), d = (2/3, 4/3); one step before the end V = (9/4, 0) and Q = R."""
    row = next(row for row in SUITE.rows if row.slug == slug)
    np.testing.assert_allclose(row.function(two_states(horizon))[0], expected, rtol=1e-13, atol=1e-15)


def cash_or_wait(gamma, horizon=None):
    """The process of derivations/exact-policy-gradient.md: cash 2 and end, or wait, which pays 1 and stays."""
    mdp = rm.FiniteMDP([[[[0.0, 1.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]]], [[[2.0, 1.0], [0.0, 0.0]]], [[1.0, 0.0]], gamma, horizon)
    return Evaluation(np.zeros(4), rm.PolicyReturn(mdp, rm.TabularSoftmax(2, 2)), np.ones(4))


@pytest.mark.parametrize("id", ["policy-gradient-001", "policy-gradient-002", "policy-gradient-009", "policy-gradient-028"])
def test_the_certified_best_values_are_the_largest_of_every_policy_that_may_depend_on_time(id):
    """Every choice of actions for two steps, or one where no more are left, and the best values after them: none does better, one as well."""
    case = CHOSEN[id]
    mdp, right = case.problem.task.mdp, case.expected["optimal_value"].value
    steps, best = min(mdp.horizon or 2, 2), right if mdp.horizon is None else right[:, -3]
    last = right if mdp.horizon is None else right[:, -3 + steps]
    tables = list(itertools.product(range(mdp.actions), repeat=mdp.states))
    values = []
    for plan in itertools.product(tables, repeat=steps):
        V = last
        for table in plan[::-1]:
            Q = mdp.expected_reward + mdp.gamma * np.einsum("nsat,nt->nsa", mdp.P, V)
            V = Q[:, np.arange(mdp.states), list(table)]
        values.append(V)
    np.testing.assert_allclose(np.max(values, axis=0), best, rtol=1e-13)


@pytest.mark.parametrize("id", GENERIC)
def test_certified_values_and_visits_satisfy_their_equations(id):
    """V = Σ π Q, Q = R + γPV, A = Q − V, J = Σ d π R, and the soft value that of all sequences of actions."""
    case = CHOSEN[id]
    x, mdp, pi = {part: each.value for part, each in case.expected.items()}, case.problem.task.mdp, case.problem.task.at(case.problem.theta).probabilities
    endless = mdp.horizon is None
    V, after, soft, later = (x["value"], x["value"], x["soft_value"], x["soft_value"]) if endless else (x["value"][:, :-1], x["value"][:, 1:], x["soft_value"][:, :-1], x["soft_value"][:, 1:])
    p, r = (pi, mdp.expected_reward) if endless else (pi[:, None], mdp.expected_reward[:, None])
    ahead = lambda V: mdp.gamma * np.einsum("nsat,n...t->n...sa", mdp.P, V)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    close(x["action_value"], r + ahead(after))
    close(V, np.sum(p * x["action_value"], axis=-1))
    close(x["advantage"], x["action_value"] - V[..., None])
    close(-x["loss"], np.sum(x["occupancy"][..., None] * p * r, axis=tuple(range(1, r.ndim))))
    close(soft, TAU * np.log(np.sum(np.exp((r + ahead(later)) / TAU), axis=-1)))


def test_known_wrong_best_values_by_hand():
    """Waiting for ever is worth 4 at γ = 3/4; two rewards at γ = 1 are best 1 + 2, and 1 + 1 if the first action is kept."""
    rows = {row.slug: row.function for row in SUITE.rows}
    assert answer("optimal_value", cash_or_wait(1.0, 2))[0].tolist() == [[3, 0], [2, 0], [0, 0]]
    assert rows["stationary-best-actions"](cash_or_wait(1.0, 2))[0].tolist() == [[2, 0], [1, 0], [0, 0]]
    sweeps = [2.0]
    while len(sweeps) < 2 or sweeps[-1] - sweeps[-2] > 0.01:
        sweeps.append(1 + 0.75 * sweeps[-1])
    np.testing.assert_allclose(rows["value-iteration-stopped"](cash_or_wait(0.75))[0], [sweeps[-1], 0], rtol=1e-13)
    assert 0.01 < 4 - sweeps[-1] < 0.03


@pytest.mark.parametrize(
    ("slug", "expected"),
    [
        ("soft-value-without-temperature", lambda q, w: np.log(np.sum(np.exp(q)))),
        ("soft-policy-without-temperature", lambda q, w: np.sum(np.exp(q) / np.sum(np.exp(q)) * q) + TAU * entropy(np.exp(q) / np.sum(np.exp(q)))),
        ("soft-value-hard-maximum", lambda q, w: np.max(q)),
        ("soft-value-log-mean", lambda q, w: w @ q + TAU * entropy(w) - TAU * np.log(2)),
        ("soft-value-entropy-missing", lambda q, w: w @ q),
        ("soft-value-entropy-sign", lambda q, w: w @ q - TAU * entropy(w)),
        ("soft-value-mean-over-actions", lambda q, w: (w @ q + TAU * entropy(w)) / 2),
    ],
)
def test_a_known_wrong_soft_value_of_one_decision_is_what_it_says(slug, expected):
    """With one reward Q is R, in each state apart; the same with the values of the next step, where two are paid."""
    row = next(row for row in SUITE.rows if row.slug == slug)
    case = two_states(2)
    V, R = row.function(case)[0], case.task.mdp.R[0]
    assert V[2].tolist() == [0, 0]
    for t in (1, 0):
        for s in (0, 1):
            q = np.array([R[s, a] + 0.5 * V[t + 1, s if a == 0 else 1 - s] for a in (0, 1)])
            w = np.exp(q / TAU) / np.sum(np.exp(q / TAU))
            np.testing.assert_allclose(V[t, s], expected(q, w), rtol=1e-12)


def entropy(p):
    """−Σ p log p."""
    return -np.sum(p * np.log(p))


@pytest.mark.parametrize("id", GENERIC)
@pytest.mark.parametrize(
    ("words", "other"),
    [
        ({"discount": "gamma^2"}, lambda mdp: {"gamma": mdp.gamma**2}),
        ({"discount": "0"}, lambda mdp: {"gamma": 0.0}),
        ({"horizon": "none"}, lambda mdp: {"horizon": None}),
        ({"horizon": "one step more"}, lambda mdp: {"horizon": None if mdp.horizon is None else mdp.horizon + 1}),
        ({"horizon": "at most 10 steps"}, lambda mdp: {"horizon": min(mdp.horizon or 10, 10)}),
        ({"start": "uniform"}, lambda mdp: {"rho": np.full(mdp.states, 1 / mdp.states)}),
        ({"P": "the next task's"}, lambda mdp: {"P": np.roll(mdp.P, -1, axis=0)}),
        ({"reward": "-R"}, lambda mdp: {"R": -mdp.R}),
        ({"start": "first state", "discount": "0.9"}, lambda mdp: {"rho": np.eye(mdp.states)[0], "gamma": 0.9}),
    ],
)  # fmt: skip
def test_a_process_that_is_read_otherwise_is_another_process_of_the_library(id, words, other):
    case = CHOSEN[id].problem
    task = replace_fields(case.task, mdp=replace_fields(case.task.mdp, **other(case.task.mdp)))
    moved_case = replace_fields(case, task=task)
    for part in SUITE.parts:
        value = at(case, part, **words)
        if value is not None:
            np.testing.assert_allclose(value, in_shape(answer(part, moved_case), case, part), rtol=1e-9, atol=1e-12, err_msg=part)


def in_shape(value, case, part):
    """A value, visits or a best value with a horizon, as it is asked for without one: the first time, or the sum over time."""
    if part not in VALUES or value.shape == answer(part, case).shape:
        return value
    assert case.task.mdp.horizon is None
    return np.sum(value, axis=1) if part == "occupancy" else value[:, 0]


@pytest.mark.parametrize("id", ["policy-gradient-001", "policy-gradient-005", "policy-gradient-004"])
def test_the_return_whose_policy_is_read_otherwise_has_its_own_gradient_and_hessian(id):
    case = CHOSEN[id].problem
    readings = [{"softmax_over": "states"}, {"layout_of_theta": "(A, S)"}, {"logits_times": "2"}, {"noise_in_the_policy": "0.1"}]
    readings += [{"P": "first and last axis exchanged, rows made to add to 1"}, {"power_of_gamma": "gamma^(t+1)"}]
    for words in readings:
        loss = lambda theta, words=words: complex_value(case, "loss", theta, words)
        np.testing.assert_allclose(complex_step(loss, case.theta), at(case, "grad", **words), rtol=1e-10, atol=1e-12)
        grad = lambda h, words=words: at(replace_fields(case, theta=case.theta + h * case.v), "grad", **words)
        np.testing.assert_allclose((grad(1e-4) - grad(-1e-4)) / 2e-4, at(case, "hvp", **words), rtol=1e-5, atol=1e-6)


def complex_value(case, part, theta, words):
    """A part at a complex θ."""
    from refmeta.oracle.suites.policy_gradient.variants import PARTS

    names = {name.replace(" ", "_"): name for name in SUITE.choices}
    point = {names[choice]: SUITE.choices[names[choice]][each] for choice, each in words.items()}
    return PARTS[part](replace_fields(case, theta=theta), point, theta)


@pytest.mark.parametrize("id", GENERIC)
def test_terms_of_the_hessian_are_those_of_its_split(id):
    case = CHOSEN[id].problem
    split = fisher.hessian_split(case.task.at(case.theta), case.v)
    held = {
        "visits held": split.score_squared + split.curvature + split.cross, "Q held": split.score_squared + split.curvature + split.cross_transposed,
        "visits and Q held": split.score_squared + split.curvature, "visits, Q and scores held (Gauss-Newton)": split.score_squared,
        "visits, Q and probabilities held": split.curvature,
    }  # fmt: skip
    for words, value in held.items():
        np.testing.assert_allclose(at(case, "hvp", Hessian=words), -value, rtol=1e-10, atol=1e-12, err_msg=words)
    right = answer("hvp", case)
    for h in (1e-4, 1e-3):
        forward, central = (at(case, "hvp", Hessian=f"{kind} difference, step {h:g}") for kind in ("forward", "central"))
        size = np.max(np.abs(right)) + 1
        assert np.max(np.abs(forward - right)) < 30 * h * size and np.max(np.abs(central - right)) < 30 * h**2 * size


def slope_of_parts(case, visits, Q, V, pi, h=1e-5):
    """−(d/dh) Σ d π (Q − V) at θ + h v, in the logits; each argument says of which h the factor is."""
    runs = {x: (run_of(read(case, {}), p), p) for x, p in ((x, unnormalised(case, x * h)) for x in (-1, 0, 1))}

    def g(x):
        of = {name: x * moves for name, moves in {"d": visits, "Q": Q, "V": V, "pi": pi}.items()}
        d, A = runs[of["d"]][0].visits, runs[of["Q"]][0].Q - runs[of["V"]][0].V[..., None]
        return case.task.policy.pullback(np.sum(d[..., None] * runs[of["pi"]][1] * A, axis=0))

    return -(g(1) - g(-1)) / (2 * h)


def unnormalised(case, h, normalised=True):
    """π at θ + h v, or exp of its logits over the sum at θ."""
    of = lambda theta: np.exp(case.task.policy.table(theta))
    x, still = of(case.theta + h * case.v), of(case.theta)
    return x / np.sum(x if normalised else still, axis=-1, keepdims=True)


@pytest.mark.parametrize("id", GENERIC)
def test_what_is_held_inside_the_advantage_and_the_softmax_is_held(id):
    case = CHOSEN[id].problem
    moving = {
        "advantages held": (1, 0, 0, 1), "visits and advantages held": (0, 0, 0, 1), "advantages and probabilities held": (1, 0, 0, 0),
        "the baseline V held": (1, 1, 0, 1), "visits and the baseline V held": (0, 1, 0, 1), "the baseline V and probabilities held": (1, 1, 0, 0),
    }  # fmt: skip
    for words, which in moving.items():
        np.testing.assert_allclose(at(case, "hvp", Hessian=words), slope_of_parts(case, *which), rtol=1e-6, atol=1e-7, err_msg=words)
    grads = []
    for h in (1e-5, -1e-5):
        pi = unnormalised(case, h, normalised=False)
        run = run_of(read(case, {}), pi)
        grads.append(case.task.policy.pullback(np.sum(run.visits[..., None] * pi * (run.Q - np.sum(pi * run.Q, axis=-1, keepdims=True)), axis=0)))
    held = at(case, "hvp", Hessian="the normaliser of the softmax held")
    np.testing.assert_allclose(held, -(grads[0] - grads[1]) / 2e-5, rtol=1e-6, atol=1e-7)


def test_times_and_possible_next_states_are_read_as_they_say():
    case = next(each for each in CHOSEN.values() if each.input["horizon"] and each.input["horizon"] > 1 and "extreme" not in each.flags)
    V = case.expected["value"].value
    moved_in_time = {"in reverse": V[:, ::-1], "the first at every time": 0 * V + V[:, :1], "one later": np.roll(V, -1, 1), "one earlier": np.roll(V, 1, 1)}
    moved_in_time["one later"][:, -1] = moved_in_time["one earlier"][:, 0] = 0
    for words, value in moved_in_time.items():
        np.testing.assert_allclose(at(case.problem, "value", times=words), value, rtol=1e-12, atol=1e-14)
    P, R = np.array([[[[0.0, 0.75, 0.25], [1, 0, 0]]]]), np.array([[[[9.0, 4, 2], [3, 5, 7]]]])
    given, r = SUITE.choices, np.sum(P * R, axis=-1)
    assert given["P"]["first possible next state"](P).tolist() == [[[[0, 1, 0], [1, 0, 0]]]]
    assert given["P"]["last possible next state"](P).tolist() == [[[[0, 0, 1], [1, 0, 0]]]]
    assert given["P"]["possible next states alike"](P).tolist() == [[[[0, 0.5, 0.5], [1, 0, 0]]]]
    assert given["reward"]["sum over the possible next states"](r, P, R).tolist() == [[[6, 3]]]
    assert given["reward"]["mean over the possible next states"](r, P, R).tolist() == [[[3, 3]]]
    assert given["reward"]["sum over the possible next states"](r, P, r).tolist() == [[[7, 3]]]          # of s and a alone: counted twice


@pytest.mark.parametrize("id", GENERIC)
def test_best_values_that_are_those_of_the_policy_itself(id):
    case = CHOSEN[id].problem
    Q, mdp = answer("action_value", case), case.task.mdp
    own = at(case, "optimal_value", best_values="largest Q of the policy itself")
    np.testing.assert_allclose(own if mdp.horizon is None else own[:, :-1], np.max(Q, axis=-1), rtol=1e-12, atol=1e-14)
    better = at(case, "optimal_value", best_values="after one improvement of the policy, where there is no horizon")
    if mdp.horizon is not None:
        np.testing.assert_allclose(better, answer("optimal_value", case), rtol=1e-12, atol=1e-14)
        return
    greedy = np.eye(mdp.actions)[np.argmax(Q, axis=-1)]
    kernel, r = np.einsum("nsa,nsat->nst", greedy, np.broadcast_to(mdp.P, (*greedy.shape, mdp.states))), np.sum(greedy * mdp.expected_reward, axis=-1)
    np.testing.assert_allclose(better, np.linalg.solve(np.eye(mdp.states) - mdp.gamma * kernel, r[..., None])[..., 0], rtol=1e-11)


@pytest.mark.parametrize("words", [each for name, each in singles(SUITE.choices) if name == "divergence"])
@pytest.mark.parametrize("id", GENERIC)
def test_a_divergence_has_its_own_gradient_and_hessian(id, words):
    case = CHOSEN[id].problem
    kl = lambda v, part: at(replace_fields(case, v=v), part, divergence=words)
    slopes = [(kl(case.v + 1e-6 * e, "kl") - kl(case.v - 1e-6 * e, "kl")) / 2e-6 for e in np.eye(len(case.v))]
    np.testing.assert_allclose(np.stack(slopes, axis=-1), kl(case.v, "kl_grad"), rtol=1e-6, atol=1e-7)
    slope = (kl((1 + 1e-6) * case.v, "kl_grad") - kl((1 - 1e-6) * case.v, "kl_grad")) / 2e-6
    np.testing.assert_allclose(slope, kl(case.v, "kl_hvp"), rtol=1e-6, atol=1e-7)


def matrices(case, words):
    """The matrix that is used for Fisher's, column by column."""
    columns = [SUITE.variant("fisher", replace_fields(case, v=e), {"Fisher's matrix": SUITE.choices["Fisher's matrix"][words]}) for e in np.eye(len(case.v))]
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("id", ["policy-gradient-001", "policy-gradient-005", "policy-gradient-008"])
def test_what_is_used_for_fishers_matrix_is_a_sum_over_states_and_actions(id):
    case = CHOSEN[id].problem
    point, policy = case.task.at(case.theta), case.task.policy
    d, pi, S, A = fisher.visits(point), point.probabilities, policy.states, policy.actions
    plain = np.array([[policy.pullback(np.eye(S * A)[s * A + a].reshape(S, A)) for a in range(A)] for s in range(S)])
    Q, visits = point.action_value, point.occupancy[..., None]
    advantage = visits * (Q - np.sum((pi if Q.ndim == 3 else pi[:, None]) * Q, -1, keepdims=True))
    advantage = (advantage if Q.ndim == 3 else np.sum(advantage, axis=1)) / d[..., None]
    for i in range(len(d)):
        score = plain - np.einsum("sb,sbd->sd", pi[i], plain)[:, None]
        sums = {
            "scores not centred, d diag pi": np.einsum("s,sa,sad,sae->de", d[i], pi[i], plain, plain),
            "actions even, scores of pi": np.einsum("s,sad,sae->de", d[i] / A, score, score),
            "sum over actions without pi": np.einsum("s,sad,sae->de", d[i], score, score),
            "pi^2": np.einsum("s,sa,sad,sae->de", d[i], pi[i] ** 2, score, score),
            "weighted by A^2 (of score times advantage)": np.einsum("s,sa,sa,sad,sae->de", d[i], pi[i], advantage[i] ** 2, score, score),
            "slopes of pi, not of log pi": np.einsum("s,sa,sad,sae->de", d[i], pi[i] ** 3, score, score),
        }  # fmt: skip
        for words, value in sums.items():
            np.testing.assert_allclose(matrices(case, words)[i], value, rtol=1e-10, atol=1e-12, err_msg=words)


@pytest.mark.parametrize("id", ["policy-gradient-001", "policy-gradient-005", "policy-gradient-008"])
def test_solutions_solve_what_they_say(id):
    case = CHOSEN[id].problem
    F = np.stack([fisher.product(case.task.at(case.theta), e) for e in np.eye(len(case.v))], axis=-1)
    g, x = -answer("grad", case), answer("natural_gradient", case)
    apply = lambda x: np.einsum("nde,ne->nd", F, x)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)
    close(apply(at(case, "natural_gradient", damping="0.1")) + 0.1 * at(case, "natural_gradient", damping="0.1"), g)
    close(apply(apply(at(case, "natural_gradient", solution="F^2 for F"))), g)
    close(at(case, "natural_gradient", solution="the gradient itself"), g)
    once = at(case, "natural_gradient", solution="1 steps of conjugate gradients")
    close(once, g * (np.sum(g * g, -1) / np.sum(g * apply(g), -1))[:, None])
    half = np.linalg.norm(at(case, "natural_gradient", solution="F^(1/2) for F"), axis=-1) ** 2
    close(half, np.sum(g * x, axis=-1))


def test_visits_by_hand():
    """P_π = ((1/4, 3/4), (1/2, 1/2)) from (1/4, 3/4): one step on, (7/16, 9/16); its share of a long run is (2/5, 3/5)."""
    short, long = two_states(2), two_states()
    pi = np.array([[1 / 4, 3 / 4], [1 / 2, 1 / 2]])
    e = lambda d: (np.array(d)[:, None] * pi * (np.array([[1.0, 0], [0, 0]]) - pi[:, :1] * [[1], [0]]))[0]
    product = lambda case, words: SUITE.variant("fisher", replace_fields(case, v=np.array([1.0, 0, 0, 0])), {"visits of the geometry": SUITE.choices["visits"][words]})
    for case, words, d in [
        (short, "undiscounted", (1 / 4 + 7 / 16, 3 / 4 + 9 / 16)), (long, "undiscounted", (4 / 5, 6 / 5)), (short, "1 in every state", (1, 1)),
        (short, "without the first step", (7 / 32, 9 / 32)), (short, "those of the first state only", (1 / 4, 3 / 4)), (short, "discounted once more", (15 / 64, 33 / 64)),
    ]:  # fmt: skip
        np.testing.assert_allclose(product(case, words)[0, :2], e(d), rtol=1e-12, atol=1e-14, err_msg=words)


def test_terms_that_may_be_added_are_slopes_of_the_entropy():
    case = CHOSEN["policy-gradient-001"].problem
    for name in ("the entropy over all states", "the entropy over the visits"):
        of = lambda theta, part, name=name: SUITE.additions(part, replace_fields(case, theta=theta))[name]()
        if "visits" not in name:
            numeric = np.stack([(of(case.theta + 1e-6 * e, "loss") - of(case.theta - 1e-6 * e, "loss")) / 2e-6 for e in np.eye(len(case.v))], axis=-1)
            np.testing.assert_allclose(of(case.theta, "grad"), numeric, rtol=1e-6, atol=1e-8)
            slope = (of(case.theta + 1e-6 * case.v, "grad") - of(case.theta - 1e-6 * case.v, "grad")) / 2e-6
            np.testing.assert_allclose(of(case.theta, "hvp"), slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("predicate", SUITE.predicates, ids=lambda p: p.name)
def test_a_predicate_holds_where_its_move_leads(predicate):
    assert any(not predicate.holds(case) for case in CHOSEN.values())
    for case in CHOSEN.values():
        if not predicate.holds(case):
            other = moved(case, predicate.move(case.arguments()))
            assert other is not None and predicate.holds(other)
            np.testing.assert_allclose(answer("loss", other.problem), answer("loss", case.problem), rtol=1e-12)
