"""Sampled meta-gradients: the definition is the library, and an ε has the effect that is said."""

import itertools

import numpy as np
import pytest

import refmeta as rm
from refmeta.evidence.definitions import all_trajectories, formulation
from refmeta.judges import complex_step
from refmeta.oracle.asking import moved
from refmeta.oracle.choices import singles
from refmeta.oracle.epsilons import slope
from refmeta.oracle.judge import gap
from refmeta.oracle.suites.expected_estimators import SUITE
from refmeta.oracle.suites.expected_estimators.choices import RECIPES
from refmeta.oracle.suites.expected_estimators.problem import problem
from refmeta.oracle.vectors import cases
from refmeta.tolerance import tolerance

CASES = {case.id[-3:]: case for case in cases(SUITE.name) if case.result == "valid"}


def test_expectations_give_back_the_inputs_that_they_were_made_of():
    for case in CASES.values():
        inputs = case.problem.inputs
        assert set(inputs) == set(SUITE.inputs) and problem(SUITE.arguments(inputs)).inputs == inputs


def test_without_a_step_no_row_says_anything_of_the_sampled_objective():
    for row in SUITE.rows:
        assert "formulation_sampled" not in row.function(CASES["015"].problem)


@pytest.mark.parametrize("part", ["formulation_exact", "formulation_sampled"])
def test_the_objectives_of_the_definition_are_those_of_the_library(part):
    for case in (CASES["002"], CASES["004"]):
        p = case.problem
        for i, task in enumerate(p.tasks):
            more = {} if part == "formulation_exact" else {"episodes": p.episodes}
            library = getattr(rm.sampled, part)(p.theta, task, alpha=p.alpha, steps=p.steps, **more)
            value = formulation(part, task, p.theta, p.alpha, p.episodes, p.steps)
            np.testing.assert_allclose(value, [library.objective, *library.gradient], rtol=1e-12)
            np.testing.assert_allclose(value[1:], case.expected[part].value[i], rtol=1e-12)


def logs(task, path, t):
    """ln π of the steps of a trajectory."""
    return np.array([task.policy.log_prob(t, s, a) for s, a in path])


def test_an_epsilon_in_the_sampled_steps_has_the_effect_of_a_finite_one():
    """M = K = 1: the mean over trajectories of L(θ + α Σ γᵗĜ_t π/(π + ε) ∇ ln π), every one in turn."""
    case = CASES["001"]
    p = case.problem
    effect = SUITE.effects(case, "formulation_sampled")["log(π + ε)"]()

    def gradient(task, e):
        total = np.zeros(task.dim)
        for weight, path, to_go in all_trajectories(task, p.theta):

            def term(t, path=path, to_go=to_go):
                w = to_go / (1 + e * np.exp(-logs(task, path, t)))
                phi = t + p.alpha * sum(x * task.policy.score(t, s, a) for x, (s, a) in zip(w, path, strict=True))
                return np.exp(np.sum(logs(task, path, t) - logs(task, path, p.theta))) * task.at(phi).loss

            total += weight * complex_step(term, p.theta)
        return total

    for i, task in enumerate(p.tasks):
        np.testing.assert_allclose(gradient(task, 0.0), case.expected["formulation_sampled"].value[i], rtol=1e-12)
        np.testing.assert_allclose(effect[i], slope(lambda e, task=task: gradient(task, e), 1e-5), rtol=1e-6, atol=1e-9)


def test_an_epsilon_in_an_expected_hessian_has_the_effect_of_a_finite_one():
    """E of the Hessian product of −Σ γᵗĜ_t log(π + ε), every trajectory in turn."""
    case = CASES["001"]
    p = case.problem
    effect = SUITE.effects(case, "naive_hessian")["log(π + ε)"]()
    for i, task in enumerate(p.tasks):
        every = list(all_trajectories(task, p.theta))

        def loss(t, e, task=task, every=every):
            return -sum(w * np.sum(g * np.log(np.exp(logs(task, path, t)) + e)) for w, path, g in every)

        product = lambda e, f=loss: slope(lambda h: complex_step(lambda t: f(t, e), p.theta + h * p.v))
        np.testing.assert_allclose(product(0.0), case.expected["naive_hessian"].value[i], rtol=1e-7, atol=1e-8)
        np.testing.assert_allclose(effect[i], slope(product, 1e-5), rtol=1e-5, atol=1e-6)


def departs(case, part, point):
    """Is a part elsewhere by ten tolerances?"""
    value, expected = SUITE.variant(part, case.problem, point), case.expected[part]
    limit = tolerance(expected.kappa, expected.scale, "float64")
    return value is not None and gap(value, expected.value, limit) > 10


@pytest.mark.parametrize("id", CASES)
def test_without_a_departure_a_variant_is_the_answer_of_the_library(id):
    problem = CASES[id].problem
    for part in SUITE.parts:
        value = SUITE.answer(part, problem)
        np.testing.assert_allclose(SUITE.variant(part, problem, {}), value, rtol=1e-10, atol=1e-14 * max(np.max(np.abs(value)), 10))


@pytest.mark.parametrize(("choice", "words"), singles(SUITE.choices))
def test_every_departure_is_seen_in_a_vector(choice, words):
    point = {choice: SUITE.choices[choice][words]}
    assert any(departs(case, part, point) for case in CASES.values() for part in SUITE.parts)


@pytest.mark.parametrize(
    ("slug", "point"),
    [
        ("score-term-dropped", {"score term": "dropped"}),
        ("score-term-alpha", {"score term": "alpha"}),
        ("score-term-mean", {"score term": "over M"}),
        ("score-term-first-step-only", {"score term": "first"}),
        ("one-batch-for-all-steps", {"later trajectories": "reused"}),
        ("advantages-normalised", {"advantages": ("normalised 0", "task", 1e-8)}),
        ("score-counted-twice", {"surrogate": "dice"}),
        ("expected-first-order", {"score term": "dropped", "curvature": "none"}),
        ("expected-curvature-of-reinforce", {"surrogate": "reinforce"}),
        ("expected-curvature-of-likelihood-ratio", {"surrogate": "likelihood_ratio"}),
    ],
)
@pytest.mark.parametrize("id", ["002", "004", "005"])
def test_a_known_wrong_formula_is_a_point(id, slug, point):
    problem = CASES[id].problem
    row = next(row for row in SUITE.rows if row.slug == slug)
    for part, value in row.function(problem).items():
        np.testing.assert_allclose(SUITE.variant(part, problem, point), value, rtol=1e-10, atol=1e-13)


def gradient_without_scores(case, weights, sums, link=np.exp):
    """Of the first task, E of the slope of L(θ + α∇L̂(θ)) with the batches as data: K = 1, no score term, M = 2.

    L̂ is Σ w g(C x) over the steps of a batch, x = ln π − ln π_sampled; `weights` are functions of the rewards to go, (M, H),
    `sums(H)` is C, and `link` the slope of g.  A pair of trajectories stands for both of its orders.
    """
    p, task, total = case.problem, case.problem.tasks[0], 0.0
    every = [(weight, path, [g / task.mdp.gamma**t for t, g in enumerate(to_go)]) for weight, path, to_go in all_trajectories(task, p.theta)]
    C = sums(task.mdp.horizon)
    for i, j in itertools.combinations_with_replacement(range(len(every)), 2):
        pair = every[i], every[j]
        w = weights(np.array([to_go for _, _, to_go in pair], float))

        def adapted_loss(t, pair=pair, w=w):
            phi = t
            for (_, path, _), row in zip(pair, w, strict=True):
                slopes = C.T @ (row * link(C @ (logs(task, path, t) - logs(task, path, p.theta))))
                phi = phi + p.alpha * sum(u * task.policy.score(t, s, a) for u, (s, a) in zip(slopes, path, strict=True))
            return task.at(phi).loss

        total = total + (1 + (i != j)) * every[i][0] * every[j][0] * complex_step(adapted_loss, p.theta)
    return total


def normalised(ddof):
    """(x − mean)/(deviation + 1e-8) over a batch, and a mean over its steps."""
    return lambda x: (x - np.mean(x)) / (np.std(x, ddof=ddof) + 1e-8) / x.size


@pytest.mark.parametrize("ddof", [0, 1])
def test_maml_trpo_is_a_point(ddof):
    """The inner loop of cbfinn/maml_rl and pytorch-maml-rl (ddof 0) and of learn2learn (ddof 1): naive curvature."""
    by_hand = gradient_without_scores(CASES["002"], normalised(ddof), np.eye, np.ones_like)
    source = ("cbfinn/maml_rl, pytorch-maml-rl", "learn2learn")[ddof]
    assert_point(CASES["002"], by_hand, RECIPES[f"the inner loop of MAML-TRPO ({source})"])


def assert_point(case, by_hand, point):
    """The sampled meta-gradient at a point is what was computed by hand, and another than the right one."""
    value = SUITE.variant("formulation_sampled", case.problem, point)
    np.testing.assert_allclose(value[0], by_hand, rtol=1e-9, atol=1e-12)
    assert departs(case, "formulation_sampled", point)


def test_the_inner_loop_of_promp_is_a_point():
    """pro_mp.py: likelihood ratios, normalised advantages, a mean over all steps."""
    by_hand = gradient_without_scores(CASES["002"], normalised(0), np.eye)
    assert_point(CASES["002"], by_hand, RECIPES["the inner loop of ProMP"])


def test_the_inner_loop_of_dice_in_learn2learn_is_a_point():
    """maml_dice.py without its first step, where a batch's last one enters: returns in the box, each logarithm fading by 1/M."""
    fading = lambda H: np.tril(0.5 ** np.maximum(np.subtract.outer(np.arange(H), np.arange(H)), 0.0))
    by_hand = gradient_without_scores(CASES["002"], lambda x: x / x.size, fading)
    assert_point(CASES["002"], by_hand, RECIPES["the inner loop of MAML with DiCE (learn2learn)"])


def exact_gradient(case, direction, judge=None):
    """Of the first task, the slope of L(φ) after K exact steps along `direction(g, φ, θ, k, kept)`."""
    p, task = case.problem, case.problem.tasks[0]

    def adapted_loss(t):
        path, kept = [t], {}
        for k in range(p.steps):
            path.append(path[-1] - p.alpha * direction(task.at(path[-1]).grad, path[-1], t, k, kept))
        return judge(task, path) if judge else task.at(path[-1]).loss

    return complex_step(adapted_loss, p.theta)


def momentum(g, phi, theta, k, kept):
    """0.7 of the direction before, and the gradient."""
    kept["v"] = 0.7 * kept["v"] + g if "v" in kept else g
    return kept["v"]


def adam(g, phi, theta, k, kept):
    """Adam's direction."""
    kept["m"], kept["s"] = 0.9 * kept.get("m", 0) + 0.1 * g, 0.999 * kept.get("s", 0) + 0.001 * g**2
    return kept["m"] / (1 - 0.9 ** (k + 1)) / (np.sqrt(kept["s"] / (1 - 0.999 ** (k + 1))) + 1e-8)


@pytest.mark.parametrize(
    ("direction", "point"),
    [
        (momentum, {"inner update": ("momentum", 0.7)}),
        (adam, {"inner update": ("adam", 0.9, 0.999, 1e-8)}),
        (lambda g, phi, theta, k, kept: g + 0.3 * (phi - theta), {"inner update": ("decay to theta", 0.3)}),
        (lambda g, phi, theta, k, kept: g + 0.3 * phi, {"inner update": ("decay", 0.3)}),
        (lambda g, phi, theta, k, kept: g / (np.sqrt(np.sum(g**2, axis=-1, keepdims=True)) + 0.1), {"inner update": ("unit", 0.1)}),
        (lambda g, phi, theta, k, kept: g / (k + 1) ** 2, {"alpha": ("power", 2.0)}),
        (lambda g, phi, theta, k, kept: g.real, {"curvature": "none"}),
    ],
)
def test_exact_steps_by_hand(direction, point):
    for id in ("002", "004"):
        value = SUITE.variant("formulation_exact", CASES[id].problem, point)
        np.testing.assert_allclose(value[0], exact_gradient(CASES[id], direction), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("judge", "point"),
    [
        (lambda task, path: sum(task.at(x).loss for x in path), {"judged": "all"}),
        (lambda task, path: task.at(path[-1]).loss - task.at(path[0]).loss, {"judged": "improvement"}),
        (lambda task, path: task.at(sum(path) / len(path)).loss, {"evaluated at": "mean of all"}),
        (lambda task, path: task.at(path[0] + 0.3 * (path[-1] - path[0])).loss, {"evaluated at": ("between", 0.3)}),
    ],
)
def test_what_is_judged_by_hand(judge, point):
    value = SUITE.variant("formulation_exact", CASES["004"].problem, point)
    by_hand = exact_gradient(CASES["004"], lambda g, *rest: g, judge)
    np.testing.assert_allclose(value[0], by_hand, rtol=1e-9, atol=1e-12)


def test_the_factors_of_the_product_rule_add_up():
    case = CASES["007"]
    of = lambda how: SUITE.variant("dice_hessian", case.problem, {"product": how})
    whole = of("visits and values held") + of("values alone") + of("visits alone")
    np.testing.assert_allclose(whole, SUITE.answer("dice_hessian", case.problem), rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(of("visits held"), of("visits and values held") + of("values alone"), rtol=1e-10, atol=1e-13)


def test_batches_of_several_orders_are_counted_as_they_are_drawn():
    """For M = 1 no order is counted; the mean adapted parameters are judged as the mean over all batches."""
    one = CASES["001"]
    for how in ("orders once", "distinct", "alike"):
        value = SUITE.variant("formulation_sampled", one.problem, {"batches": how})
        np.testing.assert_allclose(value, SUITE.answer("formulation_sampled", one.problem), rtol=1e-10)


@pytest.mark.parametrize("words", SUITE.families)
def test_every_family_departs_on_a_vector(words):
    choice, make, *_ = SUITE.families[words]
    assert any(departs(case, part, {choice: make(0.3)}) for case in CASES.values() for part in SUITE.parts)


def test_terms_that_may_be_added_have_the_shape_of_the_part():
    problem = CASES["001"].problem
    for part in SUITE.parts:
        for name, term in SUITE.additions(part, problem).items():
            assert term().shape == SUITE.answer(part, problem).shape, name
    exact = SUITE.additions("naive_hessian", problem)["the exact Hessian times v"]()
    np.testing.assert_allclose(exact, SUITE.answer("dice_hessian", problem), rtol=1e-10)


def test_predicates_hold_after_a_move():
    for case in CASES.values():
        for predicate in SUITE.predicates:
            if not predicate.holds(case):
                assert predicate.holds(moved(case, predicate.move(case.arguments())))
    held_not = {p.name: [id for id, case in CASES.items() if not p.holds(case)] for p in SUITE.predicates}
    assert held_not["rewards do not depend on the next state"] == ["011", "012", "023", "024"]
    assert held_not["M K <= 1"] == ["002", "003", "004", "005", "006", "009", "010", "011", "023", "024"]
