"""A test of the tests: every known-wrong formula is off by a wide margin on generic problems."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

import refmeta as rm
from refmeta import maml, reptile
from refmeta.arrays import replace_fields
from refmeta.judges import complex_step
from refmeta.meta.model_based import Prior
from refmeta.oracle.agents import TrainingStep
from refmeta.oracle.case import PARTS
from refmeta.oracle.cases import cases
from refmeta.oracle.models import Modelled
from refmeta.oracle.wrong import WRONG
from refmeta.oracle.wrong import model as model_rows
from refmeta.oracle.wrong import pearl as pearl_rows
from refmeta.oracle.wrong.maml import BETA
from refmeta.oracle.wrong.reptile import EPSILON
from refmeta.problems import KINDS, random_policy_return, random_problem
from refmeta.sampling.transitions import Transitions
from refmeta.tolerance import condition_number, error_in_tolerances, max_per_task
from tests.independent import LQ

SLUGS = {
    "maml": """first-order no-gradient last-step-only first-step-only reversed-product hessians-at-start
        hessian-at-adapted first-order-in-alpha sign-flipped alpha-twice alpha-missing mean-over-tasks sum-over-tasks
        last-task-only first-task-only sequential-meta-steps query-is-support support-is-query gradient-at-start
        one-step-too-many one-step-too-few loss-scale-half loss-scale-double mean-over-dimensions step-sizes-frozen""",
    "reptile": """query-gradient-called-reptile serial-from-one-start sum-over-tasks wrong-direction alpha-divided
        last-optimiser-step""",
    "policy": """no-baseline-in-logits normalised-occupancy undiscounted-visits stationary-visits-frozen
        transposed-transition discounted-reward-as-return fisher-normalised kl-swapped kl-new-visits
        natural-gradient-undivided natural-gradient-uncentred""",
    "implicit": """implicit-without-proximal-term implicit-first-order implicit-one-term implicit-not-inverted
        implicit-double-strength implicit-strength-inverted implicit-hessian-at-start implicit-query-hessian""",
    "lq": """lq-gain-negated lq-variance-for-deviation lq-exploration-dropped lq-process-noise-dropped lq-mean-start
        lq-undiscounted lq-one-cost-too-many""",
    "surrogates": """dice-averaged-dependencies dice-over-returns no-magic-box mean-over-time sum-over-episodes
        surrogate-undiscounted-visits denominator-follows mask-ignored baseline-dropped tmaml-present-included
        curvature-of-reinforce curvature-of-likelihood-ratio""",
    "meta-lstm": """gates-before-sigmoid gradient-divided-by-batch gates-swapped input-gate-tied-to-forget
        start-not-learned preprocessing-without-sign independent-called-exact""",
    "pearl": """mean-of-factors deviation-for-variance kl-reversed kl-without-half actor-reaches-encoder
        next-state-missing temperature-missing kl-summed-loss-averaged prior-factor-always prior-factor-never
        sample-by-variance target-not-held critic-for-its-target target-without-entropy end-ignored
        context-mask-ignored batch-mask-ignored""",
    "model": """model-most-likely model-add-one model-variances-swapped model-reward-of-one query-on-the-model
        support-on-the-truth model-first-order model-hessian-of-truth slopes-without-logarithm marginal-of-counts
        rewards-independent""",
    "estimators": """score-term-dropped score-term-alpha score-term-mean score-term-first-step-only
        one-batch-for-all-steps advantages-normalised score-counted-twice expected-first-order
        expected-curvature-of-reinforce expected-curvature-of-likelihood-ratio""",
}
RIGHT = {
    "gradient": lambda c: maml.gradient(c.theta, *c.split, **c.hyper),
    "sum": lambda c: maml.gradient(c.theta, *c.split, **c.hyper).sum(0),
    "mean": lambda c: maml.gradient(c.theta, *c.split, **c.hyper).mean(0),
    "update": lambda c: maml.update(c.theta, maml.gradient(c.theta, *c.split, **c.hyper), beta=BETA),
    "step-size-gradient": lambda c: maml.step_size_gradient(c.theta, *c.split, **c.hyper),
}
REPTILE = {
    "update": lambda c: reptile.update(c.theta, adapted(c), epsilon=EPSILON),
    "serial": lambda c: reptile.update_serial(c.theta, c.support, epsilon=EPSILON, **c.hyper),
    "direction": lambda c: reptile.gradient(c.theta, adapted(c), alpha=c.alpha),
    "first-order step": lambda c: -c.alpha * maml.first_order_gradient(c.theta, *c.split, **c.hyper),
}


def adapted(case):
    from refmeta import adapt

    return adapt(case.theta, case.support, **case.hyper).adapted


def margin(right, wrong, case):
    """How many tolerances the wrong result is off; a result that is reduced over the tasks counts as one task."""
    tasks = (
        (lambda f: f) if right(case).ndim and len(right(case)) == 2 and wrong(case).shape == right(case).shape else None
    )
    one = tasks or (lambda f: lambda c: f(c)[None])
    expected = one(right)(case)
    scale = max_per_task(expected)
    return np.max(error_in_tolerances(one(wrong)(case), expected, condition_number(one(right), case, scale), scale))


def rejected_by_three(right, row, cases):
    """Is the row off by more than a thousand tolerances on three of the cases?"""
    far = (case for case in cases if margin(right, row.function, case) > 1e3)
    return len(list(itertools.islice(far, 3))) == 3


@pytest.mark.parametrize("chapter", WRONG)
def test_the_catalogue_is_complete(chapter):
    assert [row.slug for row in WRONG[chapter]] == SLUGS[chapter].split()
    for row in WRONG[chapter]:
        assert row.formula and row.cause and row.seen and callable(row.function)


@pytest.mark.parametrize("row", WRONG["maml"], ids=lambda row: row.slug)
def test_a_known_wrong_maml_formula_is_rejected_by_a_thousand_tolerances(row):
    """Non-quadratic losses, three steps, query ≠ support, two tasks; on three kinds of task at the least."""
    drawn = (random_problem(np.random.default_rng(seed), kind, steps=3) for seed, kind in enumerate(KINDS[2:], start=40))
    assert rejected_by_three(RIGHT[row.quantity], row, drawn)


@pytest.mark.parametrize("row", WRONG["reptile"], ids=lambda row: row.slug)
def test_a_known_wrong_reptile_formula_is_rejected_by_a_thousand_tolerances(row):
    drawn = (random_problem(np.random.default_rng(seed), kind, steps=3) for seed, kind in enumerate(KINDS, start=50))
    assert rejected_by_three(REPTILE[row.quantity], row, drawn)


@pytest.mark.parametrize("row", WRONG["policy"], ids=lambda row: row.slug)
def test_a_known_wrong_policy_gradient_is_rejected_by_a_thousand_tolerances(row):
    margins = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        task = random_policy_return(rng, "discounted", 2, 3, 3)
        case = SimpleNamespace(task=task, theta=rng.normal(size=9), v=rng.normal(size=9))
        point = task.at(case.theta)
        kl = rm.PolicyKL(point).at(case.theta + case.v)
        right = {
            "gradient": -point.grad, "hvp": -point.hvp(case.v), "fisher": rm.fisher.product(point, case.v),
            "natural_gradient": rm.fisher.natural_gradient(point), "kl": kl.loss,
        }[row.quantity]  # fmt: skip
        scale = max_per_task(right)
        margins.append(np.max(error_in_tolerances(row.function(case), right, np.full(2, 100.0), scale)))
    assert min(margins) > 1e3, margins


@pytest.mark.parametrize("row", WRONG["implicit"], ids=lambda row: row.slug)
def test_a_known_wrong_implicit_gradient_is_rejected_by_a_thousand_tolerances(row):
    """On losses whose Hessian moves, too."""
    from refmeta.oracle.case import Proximity

    for seed, kind in enumerate(("quadratic", "linear-regression", "softmax-regression"), start=60):
        case = random_problem(np.random.default_rng(seed), kind)
        case = Proximity(case.theta, case.support, case.query, 3.0)
        right = rm.implicit.gradient(case.theta, *case.split, strength=3.0)
        wrong = row.function(case)
        assert np.max(error_in_tolerances(wrong, right, np.full(2, 100.0), max_per_task(right), 1e-10)) > 1e3, kind


@pytest.mark.parametrize(
    ("slug", "expected"),
    [
        ("implicit-without-proximal-term", 6), ("implicit-first-order", 3), ("implicit-one-term", 3 / 2),
        ("implicit-not-inverted", 9 / 2), ("implicit-double-strength", 36 / 25), ("implicit-strength-inverted", 8 / 9),
        ("implicit-hessian-at-start", 0), ("implicit-query-hessian", 12 / 7),
    ],
)  # fmt: skip
def test_implicit_rows_by_hand(slug, expected):
    """L = (φ − 3)², L_query = (3/2)φ², θ = 0, λ = 4: φ* = 1, g = 3, H = 2; the right answer is 3/(1 + 2/4) = 2."""
    from refmeta.oracle.case import Proximity

    case = Proximity(np.zeros(1), rm.Quadratic([[[2.0]]], [[3.0]]), rm.Quadratic([[[3.0]]], [[0.0]]), 4.0)
    np.testing.assert_allclose(rm.implicit.gradient(case.theta, *case.split, strength=4.0), [[2.0]], rtol=1e-14)
    row = next(row for row in WRONG["implicit"] if row.slug == slug)
    np.testing.assert_allclose(row.function(case), [[expected]], rtol=1e-13, atol=1e-15)


def test_the_implicit_rows_share_their_right_parts_with_the_library():
    """The rows' own φ* and solve, put together rightly, are the library's gradient."""
    from refmeta.oracle.case import Proximity
    from refmeta.oracle.wrong.implicit import minimiser, solved

    case = random_problem(np.random.default_rng(5), "quadratic")
    case = Proximity(case.theta, case.support, case.query, 2.0)
    right = rm.implicit.gradient(case.theta, *case.split, strength=2.0)
    np.testing.assert_allclose(solved(case, minimiser(case, 2.0)), right, rtol=0, atol=1e-13 * np.max(np.abs(right)))


@pytest.mark.parametrize("row", WRONG["lq"], ids=lambda row: row.slug)
def test_a_known_wrong_linear_quadratic_cost_is_rejected_by_a_thousand_tolerances(row):
    drawn = (random_problem(np.random.default_rng(seed), "linear-quadratic", steps=2, width=2) for seed in range(70, 75))
    assert rejected_by_three(RIGHT["gradient"], row, drawn)


@pytest.mark.parametrize("slug", SLUGS["lq"].split())
def test_linear_quadratic_rows_by_hand(slug):
    """One cost x² + a², a = Kx + σε, σ = 1, E x_0² = 2, E x_0 = 1: ∇J = [2(2K_1 + K_2), 2(K_1 + K_2), 2σ²], K = (1, 1)."""
    system = rm.LinearQuadratic(
        np.eye(2), [[1.0], [0]], np.diag([1.0, 0]), [[1.0]], [[2.0, 1], [1, 1]], [[0.5, 0], [0, 0]], 0.5, 1
    )
    task = rm.PolicyCost(rm.LinearQuadratic(*([getattr(system, k)] for k in LQ), 0.5, 1))
    case = SimpleNamespace(theta=np.array([1.0, 1.0, 0.0]), support=task, query=task, alpha=0.0, steps=0)
    right = [6.0, 4.0, 2.0]
    np.testing.assert_allclose(
        RIGHT["gradient"](SimpleNamespace(**vars(case), split=(task, task), hyper={"alpha": 0.0, "steps": 0})), [right]
    )
    wrong = next(row for row in WRONG["lq"] if row.slug == slug).function(case)
    by_hand = {
        "lq-gain-negated": [6.0, 4.0, 2.0],
        "lq-variance-for-deviation": [6.0, 4.0, 1.0],
        "lq-exploration-dropped": [6.0, 4.0, 0.0],
        "lq-process-noise-dropped": right,
        "lq-mean-start": [4.0, 4.0, 2.0],
        "lq-undiscounted": right,
        "lq-one-cost-too-many": None,
    }[slug]
    if by_hand is None:
        numeric = complex_step(lambda t: rm.PolicyCost(replace_fields(task.lq, horizon=2)).at(t).loss, case.theta)
        np.testing.assert_allclose(wrong, numeric, rtol=1e-13)
    else:
        np.testing.assert_allclose(wrong, [by_hand], rtol=1e-14)


def test_a_formula_wrong_by_a_millionth_of_its_hessian_term_is_rejected():
    """The smallest mistake that the tolerance must see: H scaled by 1 + 10⁻⁶ is 10³ tolerances off or more."""
    case = random_problem(np.random.default_rng(0), "discounted", steps=2)
    right = maml.gradient(case.theta, *case.split, **case.hyper)
    first = maml.first_order_gradient(case.theta, *case.split, **case.hyper)
    off = lambda c: maml.gradient(c.theta, *c.split, **c.hyper) + 1e-6 * (right - first)
    assert margin(RIGHT["gradient"], off, case) > 1e3


def two_states(horizon=None):
    """The process of derivations/exact-policy-gradient.md: action 0 stays, action 1 moves; π = (1/4, 3/4), (1/2, 1/2)."""
    import refmeta as rm

    P = [[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]]
    mdp = rm.FiniteMDP([P], [[[3.0, 2.0], [1.0, -1.0]]], [[0.25, 0.75]], 0.5, horizon)
    theta = np.log([1.0, 3.0, 1.0, 1.0])
    return SimpleNamespace(
        task=rm.PolicyReturn(mdp, rm.TabularSoftmax(2, 2)), theta=theta, v=np.array([5.0, 0.0, 3.0, 0.0])
    )


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
    row = next(row for row in WRONG["policy"] if row.slug == slug)
    np.testing.assert_allclose(row.function(two_states(horizon))[0], expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("row", WRONG["reptile"], ids=lambda row: row.slug)
def test_a_known_wrong_reptile_formula_is_what_it_says_by_hand(row):
    """L_i = ½(θ − c_i)², c = (0, 7), α = ½, K = 2, θ = 4: φ = (1, 25/4); the query is ½(θ − c'_i)², c' = (2, 21/4)."""
    import refmeta as rm

    support = rm.Quadratic(np.ones((2, 1, 1)), [[0.0], [7.0]])
    query = rm.Quadratic(np.ones((2, 1, 1)), [[2.0], [5.25]])
    case = SimpleNamespace(theta=np.array([4.0]), support=support, query=query, alpha=0.5, steps=2)
    step = np.array([1.0, 6.25]) - 4
    by_hand = {
        "query-gradient-called-reptile": [[1.0 - 2.0], [6.25 - 5.25]],
        "serial-from-one-start": [((4 + 0.5 * (1 - 4)) + 6.25) / 2],
        "sum-over-tasks": [4 + 0.5 * step.sum()],
        "wrong-direction": [4 - 0.5 * step.mean()],
        "alpha-divided": [4 + 0.5 / 0.5 * step.mean()],
        "last-optimiser-step": [[-0.5 * 2.0], [-0.5 * -1.5]],
    }
    np.testing.assert_array_equal(row.function(case), by_hand[row.slug])


HAND = {
    "first-order": (-9 / 4, 3 / 2),
    "no-gradient": (0.0, 0.0),
    "reversed-product": (-15 / 16, -21 / 32),
    "gradient-at-start": (4.0, 8.0),
    "mean-over-dimensions": (3 / 128, 57 / 128),
}


@pytest.mark.parametrize("slug", HAND)
def test_a_known_wrong_maml_formula_is_what_it_says_by_hand(slug):
    """The dyadic quadratic of derivations/maml.md, a row of step sizes a step."""
    import refmeta as rm

    case = SimpleNamespace(
        theta=np.array([4.0, 8.0]), alpha=np.array([[0.5, 0.25], [0.25, 0.5]]), steps=2,
        support=rm.Quadratic([[[2.0, 1.0], [1.0, 3.0]]], [[0.0, 0.0]]), query=rm.Quadratic([np.eye(2)], [[0.0, 0.0]]),
    )  # fmt: skip
    row = next(row for row in WRONG["maml"] if row.slug == slug)
    np.testing.assert_array_equal(row.function(case), [HAND[slug]])


@pytest.mark.parametrize("case", [c for c in cases("pearl") if c.result == "valid"], ids=lambda c: c.id)
def test_the_forward_pass_of_pearls_rows_is_right_where_nothing_is_changed(case):
    """Its complex steps against what is certified, and so the rows' changes are all that is wrong in them."""
    for name, value in pearl_rows.parts(case.problem, pearl_rows.Change()).items():
        expected = case.expected[name]
        assert np.max(error_in_tolerances(value, expected.value, expected.kappa, expected.scale)) < 1, name


@pytest.mark.parametrize("case", [c for c in cases("model") if c.result == "valid"], ids=lambda c: c.id)
def test_the_rows_of_the_model_are_right_where_nothing_is_changed(case):
    found = model_rows.changed(case.problem, lambda prior, seen, model: model)
    found |= model_rows.numeric(case.problem, rm.model_based.log_marginal)
    assert set(found) == set(PARTS["model"]) - {"concentration_grad"}
    for name, value in found.items():
        expected = case.expected[name]
        assert np.max(error_in_tolerances(value, expected.value, expected.kappa, expected.scale)) < 1, name


def one_factor_each():
    """Two transitions of one task, factors N(1, 1) and N(4, ¼); ε = 3, one action, Q = z, Q̄ = 1, the end: y = 0."""
    agent = rm.pearl.Agent(
        rm.pearl.Encoder(np.array([[1.0, 0, 0, 3, 0]]), np.array([[0.0, 0, 0, -np.log(4), 0]])),
        np.array([[[0.0, 1]]]), np.array([[[1.0, 0]]]), np.zeros((1, 1, 2)), 0.0,
    )  # fmt: skip
    zero, there = np.zeros((1, 2), int), np.ones((1, 2), bool)
    context = Transitions(zero, zero, np.array([[0.0, 1]]), zero, ~there, there)
    batch = Transitions(zero[:, :1], zero[:, :1], np.zeros((1, 1)), zero[:, :1], there[:, :1], there[:, :1])
    settings = rm.pearl.Settings(0.5, 2.0, 0.25, rm.pearl.posterior)
    return TrainingStep(agent, context, batch, np.array([[3.0]]), settings)


@pytest.mark.parametrize(
    ("slug", "part", "expected"),
    [
        (None, "mean", 17 / 6), (None, "variance", 1 / 6),
        ("mean-of-factors", "mean", 5 / 3), ("mean-of-factors", "variance", 3 / 4),
        ("deviation-for-variance", "mean", 9 / 4), ("deviation-for-variance", "variance", 1 / 4),
        ("prior-factor-never", "mean", 17 / 5), ("prior-factor-never", "variance", 1 / 5),
        ("prior-factor-always", "mean", 17 / 6),
        ("next-state-missing", "mean", 17 / 6),
        ("sample-by-variance", "z", 17 / 6 + 3 / 6),
        ("kl-without-half", "kl", 1 / 6 + 289 / 36 - 1 + np.log(6)),
        ("kl-reversed", "kl", (6 * (1 + 289 / 36) - 1 - np.log(6)) / 2),
        ("kl-summed-loss-averaged", "critic_loss", (17 / 6 + 3 / 6**0.5) ** 2 / 2),
        ("end-ignored", "critic_loss", (17 / 6 + 3 / 6**0.5 - 1 / 2) ** 2 / 2),
    ],
)  # fmt: skip
def test_rows_of_pearl_by_hand(slug, part, expected):
    """With the prior: precisions 1, 1, 4, so μ = (1 + 16)/6 and σ² = 1/6.  An e_s' of a single state says nothing."""
    case = one_factor_each()
    row = next((row for row in WRONG["pearl"] if row.slug == slug), None)
    found = row.function(case) if row else pearl_rows.parts(case, pearl_rows.Change())
    np.testing.assert_allclose(found[part], np.full(found[part].shape, expected), rtol=1e-14)


def one_visit_each():
    """One process of two states and one action; (0, 0) was met three times: next 0, 1, 1, rewards 1, 2, 3."""
    zero = np.zeros((1, 3), int)
    context = Transitions(
        zero, zero, np.array([[1.0, 2, 3]]), np.array([[0, 1, 1]]), zero.astype(bool), np.ones((1, 3), bool)
    )
    prior = Prior(np.full((2, 1, 2), 2.0), np.zeros((2, 1)), 4.0, 0.5)
    mdp = rm.FiniteMDP([[[[1.0, 0]], [[0, 1.0]]]], [[[7.0], [0.0]]], [[1.0, 0]], 0.5)
    return Modelled(np.zeros(2), prior, context, rm.PolicyReturn(mdp, rm.TabularSoftmax(2, 1)), 0.5, 1)


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
    found = next(row for row in WRONG["model"] if row.slug == slug).function(case)[part][at]
    if slug == "marginal-of-counts":
        seen = rm.model_based.statistics(case.context, 2, 1)
        expected = rm.model_based.log_marginal(case.prior, seen)[0] + np.log(3)
    if slug == "query-on-the-model":
        P, r = np.array([[3 / 7, 4 / 7], [1 / 2, 1 / 2]]), np.array([4 * 3 * 2 / 12.5, 0])
        expected = -np.linalg.solve(np.eye(2) - 0.5 * P, r)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-13)
