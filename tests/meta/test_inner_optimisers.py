"""Optimisers of the inner loop: steps by hand, plain scalars, complex steps, forward Jacobians, limits, and what is refused."""

import tracemalloc
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import refmeta as rm
from refmeta import inner, maml, reptile
from refmeta.commands.verify import checks_of
from refmeta.evidence.inner_optimisers import (
    RULES,
    RuleProblem,
    objective_slopes,
    random_rule_problem,
    random_steps,
    walked,
)
from refmeta.judges import adjoint_gap, central_difference, complex_step
from refmeta.meta import inner as loop
from refmeta.problems import KINDS, random_problem, random_quadratic, random_tasks, random_trajectories
from refmeta.tolerance import max_per_task
from tests import independent
from tests.strategies import assert_close, assert_right, costly, problems, seeds

EPS = np.finfo(float).eps
HALF = rm.Quadratic([[1.0]], [0.0])  # ½θ², with gradient θ
names = st.sampled_from(sorted(RULES))


@st.composite
def rule_problems(draw):
    """A problem of any kind with any rule, one to five steps."""
    kind, name = draw(st.sampled_from(KINDS)), draw(names)
    return random_rule_problem(draw(seeds), kind, name, steps=draw(st.integers(1, 5)))


@pytest.mark.eq("inner-momentum", "inner-nesterov", "inner-rmsprop", "inner-adam", "inner-weight-decay", "inner-clip")
@pytest.mark.parametrize(
    ("rule", "path"),
    [
        (None, [4, 3, 9 / 4]),
        (inner.HeavyBall(0.5), [4, 3, 7 / 4]),  # m = 4, 5
        (inner.Nesterov(0.5), [4, 5 / 2, 21 / 16]),  # m = 4, 9/2; directions 6, 19/4
        (inner.RMSProp(0.75, 2.0), [4, 15 / 4]),  # v = 4, direction 4/4
        (inner.Adam(0.5, 0.75, 4.0), [4, 31 / 8]),  # m̂ = 4, v̂ = 16, direction 4/8
        (inner.AdamEpsilonHat(0.5, 0.75, 2.0), [4, 31 / 8]),  # m = 2, √v = 2, factor ½/½: direction 2/4
        (inner.AdamEpsilonRoot(0.5, 0.75, 9.0), [4, 19 / 5]),  # direction 4/√25
        (inner.DecayedWeights(0.25, inner.HeavyBall(0.5)), [4, 11 / 4, 81 / 64]),  # g + θ/4 = 5, 55/16; m = 5, 95/16
        (inner.DecoupledDecay(0.25, inner.HeavyBall(0.5)), [4, 11 / 4, 89 / 64]),  # m = 4, 19/4; 11/4 − 19/16 − 11/64
        (inner.DecoupledDecayPaper(0.25, inner.HeavyBall(0.5)), [4, 2, 1 / 2]),  # m = 4, 4
        (inner.ClippedByNorm(2.0), [4, 7 / 2, 3]),
    ],
)  # fmt: skip
def test_steps_by_hand(rule, path):
    """L = ½θ², from 4, with α = ¼."""
    points = rm.adapt([4.0], HALF, alpha=0.25, steps=len(path) - 1, optimiser=rule).path
    np.testing.assert_allclose([p.theta[0] for p in points], path, rtol=4 * EPS)


@pytest.mark.eq("inner-clip")
def test_the_norm_of_clipping_is_over_the_parameters_of_one_task():
    """Gradients (0.3, 0.4) and (6, 8) with c = 5: the first stays as it is, the second becomes (3, 4), and so it does times 2e307."""
    g = np.array([[0.3, 0.4], [6.0, 8.0]])
    theta, _ = inner.ClippedByNorm(5.0).step(np.zeros((2, 2)), g, inner.zero_moments(g), alpha=1.0)
    np.testing.assert_allclose(theta, [[-0.3, -0.4], [-3, -4]], rtol=4 * EPS)
    huge, _ = inner.ClippedByNorm(5.0).step(np.zeros(2), 2e307 * g[1], inner.zero_moments(g[1]), alpha=1.0)
    np.testing.assert_allclose(huge, [-3, -4], rtol=4 * EPS)


@pytest.mark.eq("inner-adam", "maml-gradient-optimiser")
@pytest.mark.parametrize(
    ("rule", "slope"),
    [(inner.Adam(), 9999999.0), (inner.AdamEpsilonRoot(), 999.0), (inner.AdamEpsilonHat(), np.sqrt(1e11) - 1)],
)
def test_at_a_gradient_of_zero_the_slope_exists_and_is_given(rule, slope):
    """L = ½θ², θ = 0, α = 0.1, query ½(φ − 1)²: dφ/dθ = 1 − α/ε, 1 − α/√ε, 1 − α√(1 − β₂)/ε̂, times −1."""
    query, settings = rm.Quadratic([[1.0]], [1.0]), {"alpha": 0.1, "optimiser": rule}
    np.testing.assert_allclose(maml.gradient([0.0], HALF, query, **settings), [slope], rtol=1e-13)
    np.testing.assert_allclose(complex_step(lambda t: maml.objective(t, HALF, query, **settings), [0.0]), [slope], rtol=1e-12)


def test_an_entry_without_gradient_among_others_has_its_slope():
    """A diagonal quadratic at its minimum in one entry: each entry is a problem of its own."""
    task, query = rm.Quadratic(np.diag([2.0, 3.0]), [0.5, 1.0]), rm.Quadratic(np.eye(2), [1.0, -1.0])
    for name in ("RMSProp", "Adam", "AdamEpsilonHat", "AdamEpsilonRoot"):
        settings = {"alpha": 0.2, "steps": 3, "optimiser": RULES[name](np.random.default_rng(1))}
        got = maml.gradient([0.5, 2.0], task, query, **settings)
        expected = complex_step(lambda t, s=settings: maml.objective(t, task, query, **s), [0.5, 2.0])
        np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.eq("inner-momentum", "inner-nesterov", "inner-rmsprop", "inner-adam", "inner-weight-decay", "inner-clip")
@given(name=names, rng=seeds)
def test_steps_are_sums_over_all_gradients_and_the_adjoint_is_the_complex_step(name, rng):
    label = {"RMSProp": "rmsprop", "HeavyBall": "momentum", "Nesterov": "nesterov", "ClippedByNorm": "clip"}.get(name)
    label = label or ("adam" if "Adam" in name else "weight-decay")
    assert_right(f"inner-{label}", (random_steps(rng, RULES[name](rng)),))


@given(name=names, rng=seeds)
def test_the_adjoint_is_the_transpose_of_the_step(name, rng):
    """⟨w, J u⟩ = ⟨Jᵀw, u⟩ for J of (θ, m, v, g, α) ↦ (θ', m', v')."""
    case = random_steps(rng, RULES[name](rng))
    state = inner.Moments(rng.normal(size=(2, 3)), rng.uniform(0.5, 1, size=(2, 3)), 2)
    x = np.stack([case.theta, state.first, state.second, case.gradients[0], case.alpha])

    def after(z):
        theta, moments = case.rule.step(z[0], z[3], inner.Moments(z[1], z[2], 2), alpha=z[4])
        return np.stack([theta, moments.first + 0 * theta, moments.second + 0 * theta])

    def adjoint(w):
        slopes = case.rule.adjoint(x[0], x[3], state, inner.Slopes(*w), alpha=x[4])
        return np.stack([np.broadcast_to(part, (2, 3)) for part in slopes])

    gap = adjoint_gap(lambda u: complex_step(after, x, u), adjoint, rng.normal(size=x.shape), case.later)
    assert gap <= 64 * EPS


@pytest.mark.eq("maml-gradient-optimiser", "inner-momentum", "inner-adam")
@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_through_every_rule_is_the_complex_step_on_every_kind_of_task(kind):
    """One to five steps: every number of steps meets every rule on one of the kinds."""
    for i, name in enumerate(RULES):
        steps = 1 + (i + KINDS.index(kind)) % 5
        assert_right_of_some(lambda rng, name=name, steps=steps: random_rule_problem(rng, kind, name, steps))


def assert_right_of_some(draw):
    """The check accepts the first of ten problems that is well conditioned."""
    (check,), rng = checks_of(["maml-gradient-optimiser"]), np.random.default_rng(8)
    errors = (float(check.judge(draw(rng))) for _ in range(10))
    error = next(error for error in errors if not np.isnan(error))
    assert error <= 1


@pytest.mark.eq("maml-gradient-optimiser")
@costly
@given(pair=rule_problems())
def test_the_slopes_by_alpha_and_of_many_steps_are_complex_steps(pair):
    rule, case = pair
    settings = {"steps": case.steps, "optimiser": rule}
    scale = max_per_task(maml.first_order_gradient(case.theta, *case.split, **case.hyper, optimiser=rule))
    expected = complex_step(lambda a: maml.objective(case.theta, *case.split, alpha=a, **settings), case.alpha)
    by_alpha = lambda z: maml.step_size_gradient(z.case.theta, *z.case.split, **z.case.hyper, optimiser=z.rule)
    assert_close(by_alpha, pair, expected, scale)
    w = np.linspace(-1, 1, case.steps + 1)
    value = lambda t: maml.multi_step_objective(t, *case.split, weights=w, **case.hyper, optimiser=rule)
    many = lambda z: maml.multi_step_gradient(z.case.theta, *z.case.split, weights=w, **z.case.hyper, optimiser=z.rule)
    assert_close(many, pair, complex_step(value, case.theta), scale * np.sum(np.abs(w)))


NUMBERS = {
    "descent": (None, {}),
    "heavy-ball": (inner.HeavyBall(0.7), {"b1": 0.7}),
    "nesterov": (inner.Nesterov(0.6), {"b1": 0.6}),
    "rmsprop": (inner.RMSProp(0.8, 0.1), {"b2": 0.8, "eps": 0.1}),
    "adam": (inner.Adam(0.7, 0.8, 0.1), {"b1": 0.7, "b2": 0.8, "eps": 0.1}),
    "adam-hat": (inner.AdamEpsilonHat(0.7, 0.8, 0.1), {"b1": 0.7, "b2": 0.8, "eps": 0.1}),
    "adam-root": (inner.AdamEpsilonRoot(0.7, 0.8, 0.1), {"b1": 0.7, "b2": 0.8, "eps": 0.1}),
}
AROUND = {
    "plain": (lambda rule: rule, {}),
    "clipped": (partial(inner.ClippedByNorm, 0.7), {"clip": 0.7}),
    "coupled": (partial(inner.DecayedWeights, 0.3), {"coupled": 0.3}),
    "decoupled": (partial(inner.DecoupledDecay, 0.3), {"decoupled": 0.3}),
    "paper": (partial(inner.DecoupledDecayPaper, 0.1), {"plain": 0.1}),
    "clipped-coupled": (lambda rule: inner.ClippedByNorm(0.7, inner.DecayedWeights(0.3, rule)), {"clip": 0.7, "coupled": 0.3}),
}


@pytest.mark.eq("maml-gradient-optimiser")
@costly
@given(case=problems(alphas=("step-parameter",), steps=st.integers(1, 4)), name=st.sampled_from(sorted(NUMBERS)), around=st.sampled_from(sorted(AROUND)))
def test_everything_equals_the_forward_jacobians_of_other_code(case, name, around):
    """Dense Jacobians of (θ, m, v) pushed forward, one task at a time, on losses of other code."""
    (rule, numbers), (wrap, more) = NUMBERS[name], AROUND[around]
    case = type(case)(case.theta, case.support, case.query, 0.5 * np.minimum(case.alpha, 0.4), case.steps)
    each = range(case.support.shape[0])
    expected = [
        independent.unrolled(case.theta, *(independent.single(t, i) for t in case.split), case.alpha, case.steps, name, **numbers, **more)
        for i in each
    ]
    F, G, S = (np.stack(x) for x in zip(*expected, strict=True))
    pair = RuleProblem(wrap(rule), case)
    ask = lambda f: lambda z: f(z.case.theta, *z.case.split, **z.case.hyper, optimiser=z.rule)
    scale = max_per_task(ask(maml.first_order_gradient)(pair))
    assert_close(ask(maml.objective), pair, F, np.abs(case.query.at(case.theta).loss))
    assert_close(ask(maml.gradient), pair, G, scale)
    assert_close(ask(maml.step_size_gradient), pair, S, scale)


@pytest.mark.parametrize("name", sorted(RULES))
@pytest.mark.parametrize("kind", ["likelihood_ratio", "dice"])
def test_surrogates_on_batches_adapt_with_every_rule(name, kind):
    """The surrogate is a task like the others, and the complex step goes through its gradient."""
    rng = np.random.default_rng(4)
    policy, theta, batch = random_trajectories(rng, "tabular", tasks=2)
    support = getattr(rm.surrogates, kind)(policy, theta, batch, gamma=0.8)
    query = random_quadratic(rng, 2, policy.dim)
    settings = {"alpha": 0.1, "steps": 3, "optimiser": RULES[name](rng)}
    expected = complex_step(lambda t: maml.objective(t, support, query, **settings), theta)
    np.testing.assert_allclose(maml.gradient(theta, support, query, **settings), expected, rtol=0, atol=1e-12 * np.max(np.abs(expected)))


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_black_box_of_the_user_adapts_with_every_rule(name):
    """It is real: the judge is a difference."""
    rng = np.random.default_rng(5)
    known = random_tasks(rng, "softmax-regression")
    box = rm.BlackBox(
        lambda t, i: known[i].at(t).loss, known.dim, grad=lambda t, i: known[i].at(t).grad,
        hvp=lambda t, v, i: known[i].at(t).hvp(v), shape=(2,),
    )  # fmt: skip
    theta, settings = rng.normal(size=known.dim), {"alpha": 0.2, "steps": 2, "optimiser": RULES[name](rng)}
    got = maml.gradient(theta, box, **settings)
    np.testing.assert_allclose(got, maml.gradient(theta, known, **settings), rtol=0, atol=1e-13)
    numeric = central_difference(lambda t: np.sum(maml.objective(t, box, **settings)), theta)
    assert np.max(np.abs(numeric.derivative - got.sum(0))) <= 4 * np.max(numeric.error)


SAME = {
    "no momentum": inner.HeavyBall(0.0),
    "no Nesterov momentum": inner.Nesterov(0.0),
    "the rule by name": inner.GradientDescent(),
    "no decay": inner.DecayedWeights(0.0),
    "no decoupled decay": inner.DecoupledDecay(0.0, inner.HeavyBall(0.0)),
    "no clipping": inner.ClippedByNorm(1e9),
}


@pytest.mark.eq("inner-momentum", "inner-nesterov", "inner-clip", "inner-weight-decay")
@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("kind", KINDS)
def test_what_does_nothing_is_gradient_descent_to_the_last_bit(name, kind):
    case = random_problem(np.random.default_rng(6), kind, tasks=2, steps=3, alpha="step-parameter")
    for f in (maml.objective, maml.gradient, maml.first_order_gradient, maml.step_size_gradient):
        plain = f(case.theta, *case.split, **case.hyper)
        np.testing.assert_array_equal(f(case.theta, *case.split, **case.hyper, optimiser=SAME[name]), plain)


@pytest.mark.eq("inner-weight-decay")
@given(case=problems(steps=st.integers(1, 4)), w=st.floats(0.05, 0.5))
def test_without_momentum_coupled_decay_is_decoupled_decay(case, w):
    def moved(f):
        one, two = (f(case.theta, *case.split, **case.hyper, optimiser=rule(w)) for rule in (inner.DecayedWeights, inner.DecoupledDecay))
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-10 * max(1, np.max(np.abs(two))))

    assume(np.max(case.alpha) < 5)
    moved(maml.objective), moved(maml.gradient)


@pytest.mark.eq("inner-weight-decay")
def test_the_two_decoupled_decays_meet_where_alpha_is_one_and_the_coupled_one_is_another():
    task = random_quadratic(np.random.default_rng(1), 2, 3)
    phi = lambda rule: rm.adapt([1.0, 2.0, -1.0], task, alpha=1.0, steps=3, optimiser=rule).adapted
    adam = inner.Adam(0.7, 0.8, 0.1)
    np.testing.assert_allclose(phi(inner.DecoupledDecay(0.2, adam)), phi(inner.DecoupledDecayPaper(0.2, adam)), rtol=1e-14)
    assert np.min(np.abs(phi(inner.DecoupledDecay(0.2, adam)) - phi(inner.DecayedWeights(0.2, adam)))) > 1e-3


@pytest.mark.eq("inner-adam")
def test_the_three_forms_of_adam_meet_where_epsilon_is_zero_and_the_length_of_the_gradient_drops_out():
    """ε = 0: a loss times 1000 has the same path."""
    task, theta = random_quadratic(np.random.default_rng(2), 2, 3), np.array([1.0, 2.0, -1.0])
    louder = rm.Quadratic(1000 * task.A, task.c)
    forms = [form(0.7, 0.8, 0.0) for form in (inner.Adam, inner.AdamEpsilonHat, inner.AdamEpsilonRoot)]
    paths = [rm.adapt(theta, t, alpha=0.1, steps=4, optimiser=f).adapted for f in forms for t in (task, louder)]
    for other in paths[1:]:
        np.testing.assert_allclose(other, paths[0], rtol=1e-12)
    first = rm.adapt(theta, task, alpha=0.1, steps=1, optimiser=forms[0]).adapted
    np.testing.assert_allclose(first, theta - 0.1 * np.sign(task.at(theta).grad), rtol=1e-14)


@pytest.mark.eq("inner-rmsprop", "inner-adam")
@pytest.mark.parametrize("rule", [inner.RMSProp(0.9, 1e9), inner.Adam(0.0, 0.9, 1e9)])
def test_a_large_epsilon_leaves_gradient_descent_with_alpha_over_epsilon(rule):
    task, theta = random_quadratic(np.random.default_rng(3), 2, 3), np.array([1.0, 2.0, -1.0])
    got = maml.gradient(theta, task, alpha=0.3e9, steps=3, optimiser=rule)
    np.testing.assert_allclose(got, maml.gradient(theta, task, alpha=0.3, steps=3), rtol=1e-7)


@pytest.mark.parametrize("name", sorted(RULES))
def test_tasks_do_not_see_each_other_and_batches_broadcast(name):
    rng = np.random.default_rng(7)
    support, query = random_quadratic(rng, 3, 4), random_quadratic(rng, 3, 4)
    theta, rule = rng.normal(size=(2, 1, 4)), RULES[name](rng)
    for f in (maml.objective, maml.gradient, maml.first_order_gradient, maml.step_size_gradient):
        both = f(theta, support, query, alpha=0.2, steps=3, optimiser=rule)
        assert both.shape[:2] == (2, 3)
        for m, n in np.ndindex(2, 3):
            alone = f(theta[m, 0], support[n], query[n], alpha=0.2, steps=3, optimiser=rule)
            np.testing.assert_allclose(both[m, n], alone, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", sorted(set(RULES)))
def test_renamed_parameters_stay_renamed(name):
    rng = np.random.default_rng(8)
    task, theta, order = random_quadratic(rng, 2, 4), rng.normal(size=4), [2, 0, 3, 1]
    other = rm.Quadratic(task.A[:, order][:, :, order], task.c[:, order])
    settings = {"alpha": 0.2, "steps": 3, "optimiser": RULES[name](rng)}
    np.testing.assert_allclose(maml.gradient(theta[order], other, **settings), maml.gradient(theta, task, **settings)[:, order], rtol=1e-11)


@pytest.mark.parametrize("name", sorted(RULES))
def test_minibatches_share_the_state_of_their_task(name):
    """A sequence of tasks is one adaptation: its moments go on."""
    rng = np.random.default_rng(9)
    batches, query, theta = [random_quadratic(rng, 2, 3) for _ in range(3)], random_quadratic(rng, 2, 3), rng.normal(size=3)
    settings = {"alpha": 0.2, "steps": 3, "optimiser": RULES[name](rng)}
    got = maml.gradient(theta, batches, query, **settings)
    expected = complex_step(lambda t: maml.objective(t, batches, query, **settings), theta)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12 * np.max(np.abs(expected)))
    for n in range(2):
        slope = lambda k, x, n=n: batches[k][n].at(x).grad
        phi = walked(settings["optimiser"], theta, slope, np.full((3, 3), 0.2), 3)
        np.testing.assert_allclose(rm.adapt(theta, batches, **settings).adapted[n], phi, rtol=1e-12)


@pytest.mark.eq("maml-gradient-optimiser")
@pytest.mark.parametrize("name", sorted(RULES))
def test_each_step_needs_one_hessian_product(name, monkeypatch):
    case, calls = random_problem(np.random.default_rng(1), "quadratic", steps=7), []
    point = type(case.support.at(case.theta))
    right = point.hvp
    monkeypatch.setattr(point, "hvp", lambda self, v: calls.append(1) or right(self, v))
    maml.gradient(case.theta, *case.split, **case.hyper, optimiser=RULES[name](np.random.default_rng(2)))
    assert len(calls) == 7


@pytest.mark.parametrize(("rule", "vectors"), [(None, 3), (inner.HeavyBall(0.5), 5), (inner.Adam(0.9, 0.99, 0.01), 6)])
def test_memory_is_linear_in_the_number_of_steps(rule, vectors):
    """Per step: θ, its gradient and λ; and with a state the moments and a copy of the gradient."""
    rng, d = np.random.default_rng(0), 20000
    task, theta = rm.LinearRegression(rng.normal(size=(5, d)), rng.normal(size=5)), np.full(d, 1e-3)
    peaks = [peak_memory(lambda K=K: maml.gradient(theta, task, alpha=1e-4, steps=K, optimiser=rule)) for K in (10, 30, 50)]
    np.testing.assert_allclose(np.diff(peaks) / (8 * d * 20), vectors, atol=0.1)


def peak_memory(call):
    """The most bytes that a call holds at once."""
    call()
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_without_any_gradient_nothing_moves_and_other_code_says_so_too(name):
    """One action: the return does not depend on the policy."""
    (rule, numbers), case = NUMBERS[name], random_problem(np.random.default_rng(0), "discounted", width=1, steps=2)
    alone = [independent.single(task, 0) for task in case.split]
    expected = independent.unrolled(case.theta, *alone, case.alpha, 2, name, **numbers)[1]
    np.testing.assert_array_equal(maml.gradient(case.theta, *case.split, **case.hyper, optimiser=rule)[0], expected)
    assert not np.any(expected)


def test_no_steps_leave_the_gradient_of_the_query():
    case = random_problem(np.random.default_rng(1), "softmax-regression", steps=0)
    for name, rule in RULES.items():
        settings = {"alpha": 0.1, "steps": 0, "optimiser": rule(np.random.default_rng(0))}
        np.testing.assert_array_equal(maml.gradient(case.theta, *case.split, **settings), case.query.at(case.theta).grad, name)
        assert not np.any(maml.step_size_gradient(case.theta, *case.split, **settings))


def test_a_step_changes_nothing_that_it_gets():
    rng = np.random.default_rng(1)
    for rule in (make(rng) for make in RULES.values()):
        arrays = theta, g, m, v = tuple(rng.uniform(0.5, 1, size=(2, 3)) for _ in range(4))
        before = [x.copy() for x in arrays]
        rule.step(theta, g, inner.Moments(m, v, 0), alpha=0.1)
        rule.adjoint(theta, g, inner.Moments(m, v, 0), inner.Slopes(g, m, v), alpha=0.1)
        np.testing.assert_array_equal(arrays, before)
        assert rule == eval(repr(rule), vars(inner))


KINKED = {
    "theta": np.array([2.0, 2.0]),
    "support": rm.Quadratic(np.eye(2), [[0.25, 0.0], [1.5, 0.0]]),
    "query": rm.Quadratic(np.eye(2), [3.0, -1.0]),
    "alpha": np.array([[1.0], [0.5]]),
    "steps": 2,
}
REASON = "inner step 2 has no derivative: at entry 0 of task \\[1\\] the mean of squares v is 0 but the gradient or its mean m is not"


@pytest.mark.parametrize("form", [inner.Adam, inner.AdamEpsilonHat])
def test_a_root_without_slope_is_refused_and_inside_the_root_it_exists(form):
    """β₂ = 0: v is the last g². Task 1 goes from 2 to its minimum 3/2 in one step, ½/(½ + ½) long, and has m ≠ 0 there."""
    at = KINKED | {"optimiser": form(0.5, 0.0, 0.5)}
    first = rm.adapt(at["theta"], at["support"], alpha=1.0, steps=1, optimiser=at["optimiser"]).adapted
    assert first[1, 0] == 1.5 and first[0, 0] != 0.25
    for f in (maml.objective, maml.first_order_gradient):
        assert np.all(np.isfinite(f(**at)))
    for f in (maml.gradient, maml.step_size_gradient):
        with pytest.raises(FloatingPointError, match=REASON):
            f(**at)
    at["optimiser"] = inner.AdamEpsilonRoot(0.5, 0.0, 0.5)
    at["support"] = rm.Quadratic(np.eye(2), [[0.25, 0.0], [2.0, 0.0]])  # task 1 begins at its minimum, and its m stays 0
    expected = complex_step(lambda t: maml.objective(**at | {"theta": t}), at["theta"])
    np.testing.assert_allclose(maml.gradient(**at), expected, rtol=0, atol=1e-12)


def test_inside_the_root_the_slope_exists_where_v_is_zero_and_m_is_not():
    """The kink of the other forms: the step is m/√ε there, and v = g² has no slope at g = 0."""
    rule, state = inner.AdamEpsilonRoot(0.5, 0.0, 0.25), inner.Moments(np.array([3.0]), np.array([7.0]), 1)
    theta, after = rule.step(np.zeros(1), np.zeros(1), state, alpha=0.75)
    np.testing.assert_allclose(theta, [-0.75 * 1.5 / 0.75 / 0.5], rtol=1e-15)
    assert after.second == 0
    slopes = rule.adjoint(np.zeros(1), np.zeros(1), state, inner.Slopes(np.ones(1)), alpha=0.75)
    step = lambda z: rule.step(np.zeros(1), z[:1], state._replace(first=z[1:]), alpha=0.75)[0]
    np.testing.assert_allclose(np.concatenate([slopes.gradient, slopes.first]), complex_step(step, np.array([0.0, 3.0]))[0], rtol=1e-14)


def test_the_sphere_of_clipping_is_refused_and_next_to_it_the_slope_is_one_sided():
    """‖g‖ = 5 for θ = (3, 4) on ½‖θ‖²; one task of two is on the sphere."""
    task = rm.Quadratic(np.eye(2), [[1.0, 0.0], [0.0, 0.0]])
    settings = {"alpha": 0.5, "optimiser": inner.ClippedByNorm(5.0, inner.HeavyBall(0.5))}
    assert maml.objective([3.0, 4.0], task, **settings)[1] == 25 / 8
    with pytest.raises(FloatingPointError, match=r"inner step 1 has no derivative: the norm of the gradient of task \[1\] is max_norm, 5.0"):
        maml.gradient([3.0, 4.0], task, **settings)
    with pytest.raises(FloatingPointError, match=r"the norm of the gradient is max_norm"):
        maml.gradient([3.0, 4.0], task[1], **settings)
    np.testing.assert_allclose(maml.gradient([2.99, 4.0], task[1], **settings), [2.99 / 4, 1.0], rtol=1e-12)
    for theta in ([3.1, 4.0], [30.0, 40.0], [0.0, 0.0]):
        expected = complex_step(lambda t: maml.objective(t, task, **settings), theta)
        np.testing.assert_allclose(maml.gradient(theta, task, **settings), expected, rtol=0, atol=1e-12 * np.max(np.abs(expected)))


@pytest.mark.parametrize("form", [inner.Adam, inner.AdamEpsilonHat])
def test_a_kink_that_the_query_does_not_see_is_no_reason_to_refuse(form):
    """The kink of task 1 is in entry 0 of step 2: it is not seen if α is 0 there, or if the query does not depend on the entry."""
    at = KINKED | {"optimiser": form(0.5, 0.0, 0.5)}
    for change in ({"alpha": np.array([[1.0, 1.0], [0.0, 0.5]])}, {"query": rm.Quadratic(np.diag([0.0, 1.0]), [0.0, -1.0])}):
        numeric = central_difference(lambda t, c=change: np.sum(maml.objective(**at | c | {"theta": t})), at["theta"])
        np.testing.assert_allclose(maml.gradient(**at | change).sum(0), numeric.derivative, rtol=1e-7)
    clip = {"optimiser": inner.ClippedByNorm(5.0), "alpha": 0.5}
    flat = rm.Quadratic(np.zeros((2, 2)), [0.0, 0.0])
    assert not np.any(maml.gradient([3.0, 4.0], rm.Quadratic(np.eye(2), [0.0, 0.0]), flat, **clip))


@pytest.mark.parametrize("kind", [np.float32, np.float16, np.array])
def test_numbers_of_a_rule_are_kept_in_double_precision(kind):
    """1 − βᵗ of a number in single precision would have seven digits at most."""
    case = random_problem(np.random.default_rng(8), "quadratic")
    for make, numbers in (
        (inner.Adam, (0.9, 0.99, 1e-4)), (inner.AdamEpsilonHat, (0.9, 0.99, 1e-4)), (inner.AdamEpsilonRoot, (0.9, 0.99, 1e-4)), (inner.RMSProp, (0.9, 1e-4)),
        (inner.HeavyBall, (0.9,)), (inner.Nesterov, (0.9,)), (inner.DecayedWeights, (0.3,)), (inner.DecoupledDecay, (0.3,)),
        (inner.DecoupledDecayPaper, (0.3,)), (inner.ClippedByNorm, (0.3,)),
    ):  # fmt: skip
        given = [kind(x) for x in numbers]
        rule, same = make(*given), make(*(float(x) for x in given))
        assert hash(rule) == hash(same) and rule == same
        f = partial(maml.gradient, case.theta, *case.split, alpha=0.1, steps=5)
        np.testing.assert_array_equal(f(optimiser=rule), f(optimiser=same))
    outer, same = rm.Adam(*(kind(x) for x in (0.1, 0.9, 0.99, 1e-4))), rm.Adam(*(float(kind(x)) for x in (0.1, 0.9, 0.99, 1e-4)))
    np.testing.assert_array_equal(*(o.step(case.theta, case.theta, o.start(case.theta))[0] for o in (outer, same)))
    assert hash(rm.SGD(kind(0.1), kind(2.0))) == hash(rm.SGD(float(kind(0.1)), 2.0))


class Signs:
    """A rule of a user's own, θ − α sign g: its slopes are those by θ and by α, and zero for all that is left out."""

    def step(self, theta, gradient, state, *, alpha):
        return theta - alpha * np.sign(gradient), state._replace(steps=state.steps + 1)

    def adjoint(self, theta, gradient, state, later, *, alpha):
        return inner.Slopes(later.theta, alpha=-np.sign(gradient) * later.theta)


class Still(Signs):
    """A rule that does not move: nothing but the slope by θ is given."""

    def step(self, theta, gradient, state, *, alpha):
        return theta, state

    def adjoint(self, theta, gradient, state, later, *, alpha):
        return inner.Slopes(later.theta)


def test_slopes_that_a_user_s_rule_leaves_out_are_zero():
    case, alpha = random_problem(np.random.default_rng(9), "quadratic", tasks=2), 0.125
    wrappers = {
        "alone": lambda rule: rule, "clipped": lambda rule: inner.ClippedByNorm(0.5, rule), "coupled": lambda rule: inner.DecayedWeights(0.2, rule),
        "decoupled": lambda rule: inner.DecoupledDecay(0.2, rule), "of the paper": lambda rule: inner.DecoupledDecayPaper(0.2, rule),
    }  # fmt: skip
    for name, wrap in wrappers.items():
        for rule in (wrap(Signs()), wrap(Still())):
            settings = {"steps": 3, "optimiser": rule}
            by_theta = central_difference(lambda t, s=settings: maml.objective(t, *case.split, alpha=alpha, **s), case.theta)
            np.testing.assert_allclose(maml.gradient(case.theta, *case.split, alpha=alpha, **settings), by_theta.derivative, rtol=1e-6, atol=1e-8, err_msg=name)
            by_alpha = central_difference(lambda a, s=settings: maml.objective(case.theta, *case.split, alpha=a[0], **s), np.array([alpha]))
            got = maml.step_size_gradient(case.theta, *case.split, alpha=alpha, **settings)
            np.testing.assert_allclose(got[:, None], by_alpha.derivative, rtol=1e-6, atol=1e-8, err_msg=name)


class WritesIntoItsState:
    """The heavy ball of a user's own, in place, as optimisers of networks are written."""

    def step(self, theta, gradient, state, *, alpha):
        m = state.first
        m *= 0.5
        m += gradient
        return theta - alpha * m, state._replace(steps=state.steps + 1)

    adjoint = inner.HeavyBall(0.5).adjoint


def test_a_rule_that_writes_into_the_state_before_its_step_is_refused():
    """The way back needs that state: with it overwritten the gradient was wrong without a word."""
    case = random_problem(np.random.default_rng(10), "quadratic")
    with pytest.raises(ValueError, match="read-only"):
        maml.gradient(np.broadcast_to(case.theta, (2, 1, case.theta.size)), *case.split, alpha=0.1, steps=3, optimiser=WritesIntoItsState())


class OneBuffer:
    """A task of a user's own whose points return every gradient in one array, and every product in another."""

    shape = ()

    def __init__(self, task):
        self.task, self.dim, self.buffers = task, task.dim, np.zeros((2, task.dim))

    def at(self, theta):
        return OneBufferPoint(self.task.at(theta), *self.buffers)


class OneBufferPoint:
    def __init__(self, point, gradient, product):
        self.point, self.gradient, self.product, self.theta, self.loss = point, gradient, product, point.theta, point.loss

    @property
    def grad(self):
        self.gradient[:] = self.point.grad
        return self.gradient

    def hvp(self, v):
        self.product[:] = self.point.hvp(v)
        return self.product


def test_a_task_may_return_its_gradients_in_one_array():
    case = random_problem(np.random.default_rng(11), "quadratic", tasks=2)
    support, query = case.support[0], case.query[0]
    for name, rule in (("gradient descent", lambda rng: None), *RULES.items()):
        settings = {"alpha": np.full((3, 1), 0.1), "steps": 3, "optimiser": rule(np.random.default_rng(1))}
        for f, more in ((maml.gradient, {}), (maml.step_size_gradient, {}), (maml.multi_step_gradient, {"weights": [0.5, -0.25, 1.0, 0.75]})):
            expected = f(case.theta, support, query, **settings, **more)
            np.testing.assert_array_equal(f(case.theta, OneBuffer(support), OneBuffer(query), **settings, **more), expected, name)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: inner.HeavyBall(1.0), ValueError, "momentum must satisfy 0 <= momentum < 1, got 1.0"),
        (lambda: inner.HeavyBall(-0.1), ValueError, "momentum must satisfy 0 <= momentum < 1, got -0.1"),
        (lambda: inner.Nesterov("0.9"), TypeError, "momentum must be numbers"),
        (lambda: inner.RMSProp(decay=-0.5), ValueError, "decay must satisfy 0 <= decay < 1, got -0.5"),
        (lambda: inner.RMSProp(epsilon=-1e-8), ValueError, "epsilon must be at least 0.0, got -1e-08"),
        (lambda: inner.Adam(beta1=1.0), ValueError, "beta1 must satisfy 0 <= beta1 < 1, got 1.0"),
        (lambda: inner.AdamEpsilonHat(beta2=1.5), ValueError, "beta2 must satisfy 0 <= beta2 < 1, got 1.5"),
        (lambda: inner.AdamEpsilonRoot(epsilon=-1), ValueError, "epsilon must be at least 0.0, got -1.0"),
        (lambda: inner.Adam(epsilon=np.nan), ValueError, "epsilon must be finite, got nan"),
        (lambda: inner.DecayedWeights(-0.1), ValueError, "weight must be at least 0.0, got -0.1"),
        (lambda: inner.DecoupledDecay(-0.1), ValueError, "weight must be at least 0.0, got -0.1"),
        (lambda: inner.DecoupledDecayPaper([0.1, 0.2]), ValueError, r"weight must be one number, got shape \(2,\)"),
        (lambda: inner.ClippedByNorm(0.0), ValueError, "max_norm must be positive, got 0.0"),
        (lambda: inner.ClippedByNorm(1.0, inner.Adam), TypeError, r"optimiser must be None or a rule with step and adjoint, such as rm.inner.Adam\(\), got <class"),
        (lambda: rm.adapt([1.0], HALF, alpha=0.1, steps=1, optimiser=rm.Adam(0.1)), TypeError, r"optimiser must be None or a rule with step and adjoint, .* got Adam\(beta=0.1"),
        (lambda: maml.gradient([1.0], HALF, alpha=0.1, optimiser="adam"), TypeError, "optimiser must be None or a rule with step and adjoint, .* got 'adam'"),
        (lambda: inner.Adam().step(np.ones(2), np.ones(2), inner.zero_moments(np.ones(3)), alpha=0.1), ValueError, r"state.first has shape \(3,\), expected \(2,\) as the gradient"),
        (lambda: inner.HeavyBall(0.5).step(np.ones(2), np.ones(2), inner.zero_moments(np.ones((4, 2))), alpha=0.1), ValueError, r"state.first has shape \(4, 2\), expected \(2,\) as the gradient"),
        (lambda: inner.RMSProp().step(np.ones(2), np.ones(2), inner.Moments(np.ones(2), np.ones(3), 0), alpha=0.1), ValueError, r"state.second has shape \(3,\), expected \(2,\)"),
        (lambda: rm.adapt([1e200], HALF, alpha=0.1, steps=1, optimiser=inner.Adam()), FloatingPointError, "inner step 1 left the finite numbers; alpha may be too large, or epsilon is 0"),
        (lambda: rm.adapt([0.0], HALF, alpha=0.1, steps=1, optimiser=inner.AdamEpsilonRoot(epsilon=0)), FloatingPointError, "inner step 1 left the finite numbers; .* epsilon is 0 where the gradient is 0"),
        (lambda: maml.gradient([1e-200], HALF, alpha=0.1, optimiser=inner.Adam()), FloatingPointError, "inner step 1 has no derivative: at entry 0 the mean of squares v is 0"),
        (lambda: maml.gradient([1e-160], HALF, alpha=0.1, optimiser=inner.AdamEpsilonRoot(epsilon=0)), FloatingPointError, "the adjoint of inner step 1 left the finite numbers"),
        (lambda: reptile.adapt_adam([1.0], HALF, alpha=0.1, steps=1, step=print), ValueError, "step must be adam or adam_epsilon_hat, got <built-in function print>"),
        (lambda: reptile.adapt_carried([1.0], [HALF], alpha=0.1, steps=1, optimiser=inner.Adam(), state=inner.zero_moments(np.ones(2))), ValueError, r"state has shape \(2,\)"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_a_sentence(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()


def test_rules_of_training_take_an_optimiser():
    rng = np.random.default_rng(3)
    support, query, theta = random_quadratic(rng, 3, 2), random_quadratic(rng, 3, 2), rng.normal(size=2)
    adam, alpha = inner.Adam(0.7, 0.8, 0.1), np.array([0.2, 0.3])
    settings = {"alpha": 0.2, "steps": 2, "optimiser": adam}
    total = lambda f, **more: f(theta, support, query, **settings | more).sum(0)
    np.testing.assert_array_equal(rm.MAML(0.2, 2, adam).direction(theta, support, query), total(maml.gradient))
    np.testing.assert_array_equal(rm.FirstOrderMAML(0.2, 2, adam).direction(theta, support, query), total(maml.first_order_gradient))
    both = [total(f, alpha=alpha) for f in (maml.gradient, maml.step_size_gradient)]
    np.testing.assert_array_equal(rm.MetaSGD(2, adam).direction(np.concatenate([theta, alpha]), support, query), np.concatenate(both))
    once = maml.meta_sgd_update(theta, support, query, beta=0.1, **settings | {"alpha": alpha})
    np.testing.assert_allclose(once.alpha, alpha - 0.1 * both[1], rtol=1e-14)
    phi = rm.adapt(theta, support, **settings).adapted
    np.testing.assert_allclose(rm.Reptile(0.2, 2, adam).direction(theta, support), np.mean((theta - phi) / 0.2, axis=0), rtol=1e-14)


def test_training_with_adam_inside_goes_downhill():
    family, adam = rm.Sinusoids(), inner.Adam(0.7, 0.9, 1e-2)
    held_out = family.sample(50, 99)
    start = np.zeros(held_out.support.dim)
    loss = lambda t: float(np.mean(maml.objective(t, *held_out, alpha=0.1, steps=2, optimiser=adam)))
    done = rm.meta_train(family, start, rule=rm.MAML(0.1, 2, adam), outer=rm.Adam(0.05), iterations=30, batch=10, rng=0)
    assert loss(done.theta) < 0.8 * loss(start)


@pytest.mark.eq("adam", "adam-epsilon-hat")
def test_reptile_s_adam_is_the_same_rule_fresh_for_each_task_or_carried_on():
    task, theta = random_quadratic(np.random.default_rng(4), 3, 2), np.array([1.0, -2.0])
    for step, form in ((reptile.adam, inner.Adam), (reptile.adam_epsilon_hat, inner.AdamEpsilonHat)):
        numbers = {"beta1": 0.6, "beta2": 0.8, "epsilon": 0.1}
        fresh, _ = reptile.adapt_adam(theta, task, alpha=0.1, steps=4, step=step, **numbers)
        np.testing.assert_array_equal(rm.adapt(theta, task, alpha=0.1, steps=4, optimiser=form(**numbers)).adapted, fresh)
        old = reptile.adapt_adam_carried(theta, task, alpha=0.1, steps=4, step=step, **numbers)
        new = reptile.adapt_carried(theta, task, alpha=0.1, steps=4, optimiser=form(**numbers))
        np.testing.assert_array_equal(new[0], old[0])
        np.testing.assert_array_equal(new[1].second, old[1].second)
        assert new[1].steps == 12


def test_the_slopes_of_a_path_include_those_of_the_moments():
    """λ by m and v after step 1, by complex steps of the steps that follow."""
    rng = np.random.default_rng(5)
    support, query, theta, adam = random_quadratic(rng, 2, 3), random_quadratic(rng, 2, 3), rng.normal(size=3), inner.Adam(0.7, 0.8, 0.1)
    path = rm.adapt(theta, support, alpha=0.2, steps=3, optimiser=adam)
    slopes = loop.slopes(path, 0.2, [query.at(path.adapted).grad], adam)
    x, state = adam.step(path.path[0].theta, path.path[0].grad, inner.zero_moments(theta), alpha=0.2)

    def rest(z):
        phi, after = z[0], inner.Moments(z[1], z[2], 1)
        for _ in range(2):
            phi, after = adam.step(phi, support.at(phi).grad, after, alpha=0.2)
        return np.sum(query.at(phi).loss)

    expected = complex_step(rest, np.stack([x, state.first, state.second]))
    np.testing.assert_allclose(np.stack(slopes[1][:3]), expected, rtol=0, atol=1e-13)


def test_the_evidence_sees_the_adjoint_of_each_part():
    """A planted mistake in any of the five slopes is seen by the complex step."""
    case = random_steps(np.random.default_rng(1), inner.Adam(0.7, 0.8, 0.1))
    adjoint, expected = objective_slopes(case)
    right = adjoint(case)
    np.testing.assert_allclose(right, expected, rtol=0, atol=1e-13)
    assert all(np.min(np.abs(part)) > 1e-6 for part in np.split(right, 5, axis=-1))
