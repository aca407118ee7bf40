"""Implicit MAML: closed forms, dense Newton, the limit of a strong proximal term, and what is refused."""

import re
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refmeta as rm
from refmeta import implicit, maml
from refmeta.conjugate_gradients import conjugate_gradients
from refmeta.judges import central_difference
from refmeta.meta.implicit.proximal import refine, solve
from refmeta.problems import KINDS, curvatures, largest_curvature, random_problem
from tests import independent
from tests.strategies import assert_right, costly, problems, seeds

EPS = np.finfo(float).eps


def strong(case, factor):
    """A λ that outweighs every curvature at θ by the factor."""
    return factor * max(largest_curvature(case.support, case.theta), 0.1)


def dense(support, query, theta, strength):
    """(φ*, ∇F) of one task by Newton steps with dense Hessians."""
    phi, eye = theta, np.eye(theta.size)
    for _ in range(60):
        step = np.linalg.solve(support.hess(phi) + strength * eye, support.grad(phi) + strength * (phi - theta))
        phi = phi - step
        if np.max(np.abs(step)) < 1e-16 * max(1, np.max(np.abs(phi))):
            break
    return phi, np.linalg.solve(eye + support.hess(phi) / strength, query.grad(phi))


@pytest.mark.eq("implicit-maml")
@costly
@given(case=problems(kinds=("quadratic",)), factor=st.sampled_from((1.5, 3.0, 40.0)))
def test_on_quadratics_it_is_the_closed_form(case, factor):
    assert_right("implicit-maml", (*case.split, case.theta, strong(case, factor)))


@pytest.mark.eq("implicit-maml")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factor", [2.0, 10.0])
def test_it_equals_newton_with_dense_hessians(kind, factor):
    case = random_problem(np.random.default_rng([7, *kind.encode()]), kind, tasks=3)
    strength = strong(case, factor)
    inner = implicit.adapt(case.theta, case.support, strength=strength)
    got = implicit.gradient(case.theta, *case.split, strength=strength)
    assert np.all(inner.residual < 1e-13)
    for i in range(3):
        phi, g = dense(independent.single(case.support, i), independent.single(case.query, i), case.theta, strength)
        np.testing.assert_allclose(inner.adapted[i], phi, rtol=0, atol=1e-12 * max(1, np.max(np.abs(phi))))
        np.testing.assert_allclose(got[i], g, rtol=0, atol=1e-11 * np.max(np.abs(g)))


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_central_difference_of_its_objective(kind):
    case = random_problem(np.random.default_rng([8, *kind.encode()]), kind, size=2, width=2)
    strength = strong(case, 3.0)
    value = lambda t: implicit.objective(t, *case.split, strength=strength)
    v = np.random.default_rng(2).normal(size=case.theta.size)
    numeric, got = central_difference(value, case.theta, v), implicit.gradient(case.theta, *case.split, strength=strength) @ v
    assert np.all(np.abs(numeric.derivative - got) <= numeric.error) and np.max(np.abs(got)) > 1e4 * np.max(numeric.error)


@pytest.mark.eq("implicit-maml")
@pytest.mark.parametrize("kind", KINDS)
def test_a_strong_proximal_term_is_one_step_of_maml_to_second_order(kind):
    """λ → ∞: the difference from maml.gradient with α = 1/λ, K = 1 falls as 1/λ², an observed order of 2."""
    case = random_problem(np.random.default_rng([9, *kind.encode()]), kind)
    strengths = strong(case, 1.0) * 2.0 ** np.arange(7, 12)
    gaps = [
        np.max(np.abs(
            implicit.gradient(case.theta, *case.split, strength=s) - maml.gradient(case.theta, *case.split, alpha=1 / s)
        ))
        for s in strengths
    ]  # fmt: skip
    order = -np.polyfit(np.log(strengths), np.log(gaps), 1)[0]
    assert abs(order - 2) < 0.05, order


def test_a_scalar_by_hand():
    """L = (φ − 3)²/2, L_query = φ²: λ = 2, θ = 0: φ* = 1, F = 1, ∇F = 2·(2/3) = 4/3."""
    support, query = rm.Quadratic([[[1.0]]], [[3.0]]), rm.Quadratic([[[2.0]]], [[0.0]])
    inner = implicit.adapt([0.0], support, strength=2.0)
    np.testing.assert_allclose(inner.adapted, [[1.0]], rtol=4 * EPS)
    np.testing.assert_allclose(implicit.objective([0.0], support, query, strength=2.0), [1.0], rtol=8 * EPS)
    np.testing.assert_allclose(implicit.gradient([0.0], support, query, strength=2.0), [[4 / 3]], rtol=8 * EPS)


def test_batch_axes_broadcast_and_a_stationary_start_stays():
    rng = np.random.default_rng(1)
    case = random_problem(rng, "quadratic", tasks=3)
    theta = rng.normal(size=(5, 1, 3))
    strength = strong(case, 3.0)
    many = implicit.gradient(theta, *case.split, strength=strength)
    assert many.shape == (5, 3, 3)
    for i in range(3):
        one = implicit.gradient(theta[2, 0], case.support[i], case.query[i], strength=strength)
        assert one.shape == (3,)
        np.testing.assert_allclose(one, many[2, i], rtol=0, atol=1e-12 * np.max(np.abs(many)))
    here = implicit.adapt(case.support.c, case.support, strength=strength)
    np.testing.assert_array_equal(here.adapted, case.support.c)
    assert implicit.gradient(theta[0, 0], case.support, strength=strength).shape == (3, 3)


def test_tasks_of_very_different_size_are_each_solved_to_their_own_scale():
    A = np.stack([np.diag([1.0, 2.0]) * 1e-9, np.diag([3.0, 1.0]) * 1e3])
    c, theta, strength = np.array([[1.0, -1.0], [2.0, 0.5]]), np.array([0.25, -0.5]), 10.0
    task = rm.Quadratic(A, c)
    inverse = np.linalg.inv(A + strength * np.eye(2))
    phi = np.einsum("nij,nj->ni", inverse, np.einsum("nij,nj->ni", A, c) + strength * theta)
    expected = strength * np.einsum("nij,njk,nk->ni", inverse, A, phi - c)
    got = implicit.gradient(theta, task, strength=strength)
    for i in range(2):
        np.testing.assert_allclose(got[i], expected[i], rtol=1e-11)


def test_losses_and_strength_may_be_scaled_together_over_hundreds_of_orders():
    A, c, theta = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([1.0, -2.0]), np.array([0.5, 0.25])
    one = implicit.gradient(theta, rm.Quadratic(A, c), strength=1.5)
    for power in (-600, 600):
        scaled = implicit.gradient(theta, rm.Quadratic(A * 2.0**power, c), strength=1.5 * 2.0**power)
        np.testing.assert_allclose(scaled * 2.0**-power, one, rtol=1e-13)
    strong = implicit.gradient(theta, rm.Quadratic(A, c), strength=1e300)
    np.testing.assert_allclose(strong, A @ (theta - c), rtol=1e-15)
    with pytest.raises(FloatingPointError, match="left the finite numbers"):
        implicit.gradient(theta * 1e10, rm.Quadratic(A, c), strength=1e-300)


def test_a_far_start_and_a_weak_term_are_solved_too():
    """Logistic losses from θ = 30 with λ = 0.01: plain Newton steps from there would leave the region of trust."""
    case = random_problem(np.random.default_rng(3), "softmax-regression")
    theta = 30 * np.sign(case.theta)
    inner = implicit.adapt(theta, case.support, strength=0.01)
    slope = case.support.at(inner.adapted).grad + 0.01 * (inner.adapted - theta)
    assert np.max(np.abs(slope)) < 1e-10 * 0.01 * np.linalg.norm(inner.adapted)
    value = lambda phi: case.support.at(phi).loss + 0.005 * np.sum((phi - theta) ** 2, axis=-1)
    for _ in range(5):
        move = np.random.default_rng(4).normal(size=theta.size)
        assert np.all(value(inner.adapted + 0.1 * move) > value(inner.adapted))


def test_a_saddle_is_refused_even_where_no_gradient_points_away_from_it():
    """A = diag(1, −2), λ = 1, start and query gradient on the first axis: nothing moves along the second."""
    task = rm.Quadratic(np.diag([1.0, -2.0]), [0.0, 0.0])
    with pytest.raises(FloatingPointError, match=r"I \+ H/strength is not positive definite"):
        implicit.gradient([1.0, 0.0], task, strength=1.0)
    with pytest.raises(FloatingPointError, match="not positive definite up to rounding: a direction has the curvature 0"):
        implicit.gradient([1.0, 0.0], task, strength=2.0)
    assert np.all(np.isfinite(implicit.gradient([1.0, 0.0], task, strength=2.5)))


def singular(rng, dim, turned):
    """(A, λ): I + A/λ has one eigenvalue that is 0 but for the rounding of A, the others positive, some of them huge."""
    strength = float(np.exp(rng.normal()))
    values = np.append(rng.uniform(-0.9, 10.0 ** rng.integers(0, 5), size=dim - 1), -1.0) * strength
    Q = np.linalg.qr(rng.normal(size=(dim, dim)))[0] if turned else np.eye(dim)
    return (Q * values) @ Q.T, strength


@pytest.mark.parametrize("turned", [False, True])
@given(rng=seeds, dim=st.integers(1, 6))
def test_a_curvature_that_is_zero_is_within_its_rounding_and_a_larger_one_is_not(turned, rng, dim):
    """I + A/λ with an eigenvalue of 0, at every scale; then with one of 2⁻¹⁰ more, where CG finds the solution."""
    A, strength = singular(rng, dim, turned)
    H, x = (A + A.T) / (2 * strength), rng.normal(size=dim)
    for scale in (1.0, 2.0**-300, 2.0**300):
        product = lambda v, c=scale: c * (H @ v)
        with pytest.raises(FloatingPointError, match="^refused -?[0-9.e+-]+$"):
            conjugate_gradients(product, x, shift=scale, rtol=1e-6, refusal="refused {:.3g}")
        shift = scale * (1 + 2.0**-10)
        got = conjugate_gradients(product, shift * x + product(x), shift=shift, rtol=1e-12, refusal="{}")
        np.testing.assert_allclose(shift * got + product(got), shift * x + product(x), rtol=0, atol=1e-9 * np.max(np.abs(product(x)) + shift))


@given(rng=seeds, dim=st.integers(2, 5))
def test_conjugate_gradients_solve_each_task_as_if_it_were_alone(rng, dim):
    """Ended after a few steps, where steps shared by all tasks would leave other rests."""
    half, b = rng.normal(size=(3, dim, dim)), rng.normal(size=(3, dim)) * [[1.0], [1e-9], [1e9]]
    H = half @ half.swapaxes(-1, -2)
    loose = {"shift": 1.0, "rtol": 0.1, "refusal": "{}"}
    together = conjugate_gradients(lambda v: np.einsum("nij,nj->ni", H, v), b, **loose)
    for i in range(3):
        alone = conjugate_gradients(lambda v, i=i: H[i] @ v, b[i], **loose)
        np.testing.assert_allclose(together[i], alone, rtol=0, atol=1e-9 * np.max(np.abs(b[i])))


@pytest.mark.parametrize("seed", range(6))
def test_a_singular_task_is_refused_by_its_name_and_a_healthy_one_is_not_blamed(seed):
    rng = np.random.default_rng(seed)
    dim, theta, c = 1 + seed % 3, rng.normal(size=1 + seed % 3), rng.normal(size=1 + seed % 3)
    A, strength = singular(rng, dim, turned=seed % 2)
    sick, whole = (A + A.T) / 2, strength * np.diag(rng.uniform(0.5, 2, size=dim))
    both = np.stack([whole, sick] if seed < 3 else [sick, whole])
    sentence = r"I \+ H/strength is not positive definite up to rounding: a direction has the curvature \S+"
    for function in (implicit.gradient, implicit.adapt):
        with pytest.raises(FloatingPointError, match=sentence + "$"):
            function(theta, rm.Quadratic(sick, c), strength=strength)
    with pytest.raises(FloatingPointError, match=sentence + rf" at task \[{int(seed < 3)}\]$"):
        implicit.gradient(theta, rm.Quadratic(both, c), strength=strength)
    healthy = implicit.gradient(theta, rm.Quadratic(whole, c), strength=strength)
    inverse = np.linalg.inv(whole / strength + np.eye(dim))
    np.testing.assert_allclose(healthy, inverse @ inverse @ whole @ (theta - c), rtol=1e-13)


def exactly(A, strength, c, theta):
    """(φ*, ∇F) of a quadratic with itself as its query, in fractions."""
    exact = lambda x: [Fraction(float(y)) for y in x]
    M = [[x + (Fraction(strength) if i == j else 0) for j, x in enumerate(exact(row))] for i, row in enumerate(A)]
    pull = lambda x: [sum(a * y for a, y in zip(exact(row), x, strict=True)) for row in A]
    phi = independent.solved(M, [a + Fraction(strength) * t for a, t in zip(pull(exact(c)), exact(theta), strict=True)])
    slope = independent.solved(M, pull([p - q for p, q in zip(phi, exact(c), strict=True)]))
    return phi, np.array([float(Fraction(strength) * x) for x in slope])


@pytest.mark.parametrize("power", [-4, -8, -11, -13])
def test_a_nearly_singular_task_is_solved_to_its_condition(power):
    """An eigenvalue μ of I + A/λ costs a relative error of eps(1 + ‖A‖/λ)/μ and no more, or it is refused; in fractions."""
    for seed in range(4):
        rng = np.random.default_rng([seed, -power])
        dim, mu = 1 + seed % 3, 10.0**power
        values = np.append(rng.uniform(-0.5, 1, size=dim - 1) * (1 + 9 * (seed % 2)), mu - 1)
        values = np.where(values < mu - 1, -values, values)
        Q = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
        A, (c, theta) = (Q * values) @ Q.T, rng.normal(size=(2, dim))
        A = (A + A.T) / 2
        expected = exactly(A, 1.0, c, theta)[1]
        try:
            got = implicit.gradient(theta, rm.Quadratic(A, c), strength=1.0)
        except FloatingPointError as error:
            assert power < -5 and re.search("not positive definite up to rounding|residual of .* of the right side", str(error))
            continue
        allowed = 4 * dim * EPS * (1 + np.max(np.abs(values))) / mu
        assert np.max(np.abs(got - expected)) <= allowed * np.max(np.abs(expected))


@pytest.mark.eq("implicit-maml")
@pytest.mark.parametrize("ratio", [1e-8, 1.0, 1e4, 1e8, 1e12])
def test_no_digit_is_lost_where_the_query_is_the_support(ratio):
    """∇L(φ*) = λA/(λ + A)(θ − c), a small difference where A/λ is large."""
    A, c, theta = ratio * np.array([0.7, 1.1, 1.9]), np.array([0.3, -1.2, 2.1]), np.array([1.7, 0.4, -0.9])
    got = implicit.gradient(theta, rm.Quadratic(np.diag(A), c), strength=1.3)
    np.testing.assert_allclose(got, exactly(np.diag(A), 1.3, c, theta)[1], rtol=4 * EPS)
    slope = A * 1.3 / (A + 1.3) * (theta - c)
    F = implicit.objective(theta, rm.Quadratic(np.diag(A), c), strength=1.3)
    np.testing.assert_allclose(F, np.sum(slope**2 / A) / 2, rtol=16 * EPS)


class Fenced:
    """The quadratic of A, with no loss where a coordinate is above 10: a step may meet the fence, an answer may not."""

    shape, dim = (2,), 1

    def __init__(self, A, c):
        self.task = rm.Quadratic(np.reshape(A, (2, 1, 1)), np.reshape(c, (2, 1)))

    def at(self, theta):
        if np.any(np.asarray(theta) > 10):
            raise ValueError("theta[0] is above 10")
        return self.task.at(theta)


def test_the_complaint_of_a_point_on_the_way_never_reaches_the_user_as_his_own():
    """Task 1 runs away from 0 until it meets the fence; task 0 is healthy.  Then a fence around the query's loss."""
    with pytest.raises(FloatingPointError, match=r"not positive definite .* curvature -1 at task \[1\]"):
        implicit.gradient([1.0], Fenced([1.0, -2.0], [0.0, 0.0]), strength=1.0)
    got = implicit.gradient([1.0], Fenced([1.0, 3.0], [0.0, 2.0]), strength=1.0)
    np.testing.assert_allclose(got, [[0.25], [-3 / 16]], rtol=1e-15)
    with pytest.raises(FloatingPointError, match=r"the query has no loss at the adapted parameters: theta\[0\] is above 10"):
        far = rm.Quadratic(np.ones((2, 1, 1)), np.full((2, 1), 50.0))
        implicit.gradient([1.0], far, Fenced([1.0, 1.0], [0.0, 0.0]), strength=1.0)


@pytest.mark.parametrize("power", [-160, -82, 82, 150, 200])
def test_slopes_of_any_size_are_solved_without_a_warning(power):
    """At home, with slopes of 10^power: φ* = (A + λ)⁻¹λθ.  And far away under a strong term: ∇F = ∇L(θ) to rounding."""
    task, direction = rm.Quadratic([[2.0, 0.5], [0.5, 1.0]], [0.0, 0.0]), np.array([1.0, -2.0])
    got = implicit.adapt(direction * 10.0**power, task, strength=1.0).adapted
    np.testing.assert_allclose(got / 10.0**power, np.linalg.solve(task.A + np.eye(2), direction), rtol=1e-14)
    away = rm.Quadratic(task.A, [1.0, 0.0])
    if power > 0:
        np.testing.assert_allclose(implicit.gradient([0.0, 0.0], away, strength=10.0**power), [-2.0, -0.5], rtol=1e-14)


@given(rng=seeds, dim=st.integers(2, 5))
def test_every_negative_curvature_is_found(rng, dim):
    """One eigenvalue of I + A/λ below zero in task 2 of three, along a direction that no gradient has."""
    Q = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    values = np.append(rng.uniform(0.1, 2, size=dim - 1), -1.05)
    bad = (Q * values) @ Q.T
    A = np.stack([np.eye(dim), np.diag(rng.uniform(0.5, 1.5, size=dim)), (bad + bad.T) / 2])
    theta = Q[:, 0]
    task = rm.Quadratic(A, np.zeros((3, dim)))
    with pytest.raises(FloatingPointError, match=r"not positive definite .* curvature -0\.0\d* at task \[2\]"):
        implicit.gradient(theta, task, strength=1.0)


class Kinked:
    """L = |φ|^(3/2) summed: its Hessian is infinite at 0, where the minimum lies; no residual gets small."""

    shape, dim = (), 1

    def at(self, theta):
        class Point:
            pass

        point = Point()
        point.theta = theta
        point.loss = np.sum(np.abs(theta), axis=-1)
        point.grad = np.where(theta >= 0, 1.0, -1.0)
        point.hvp = lambda v: 0.0 * np.asarray(v)
        return point


def test_what_did_not_converge_is_refused_with_its_residual():
    with pytest.raises(
        FloatingPointError, match=r"the proximal problem is not solved: its residual is 0?\.?\d.* of its scale"
    ):
        implicit.gradient([0.3], Kinked(), strength=1.0)


def test_refinement_stops_where_the_residual_halves_no_more():
    """x³ = 8 from 1.9 by a chord: each step divides the residual by 10 or more until rounding."""
    x, r, _ = refine(np.full(3, 1.9), lambda x: (x**3 - 8, None), lambda r, _: r / 12)
    np.testing.assert_allclose(x, 2, rtol=2 * EPS)
    assert np.all(np.abs(r) <= 8 * EPS)
    x, r, _ = refine(np.ones(2), lambda x: (x, None), lambda r, _: 0.4 * r)
    np.testing.assert_array_equal(x, 1)


@given(case=problems(kinds=("quadratic", "softmax-regression")))
def test_the_linear_solver_solves(case):
    strength = strong(case, 2.0)
    point, b = case.support.at(case.theta), np.ones((*case.support.shape, case.theta.size))
    x = solve(point, b, strength)
    np.testing.assert_allclose(x + point.hvp(x) / strength, b, rtol=0, atol=1e-13 * max(1, np.max(np.abs(x))))
    assert np.all(1 + curvatures(case.support, case.theta) / strength > 0)


def test_the_rule_sums_over_tasks():
    case = random_problem(np.random.default_rng(6), "quadratic", tasks=3)
    strength = strong(case, 2.0)
    direction = rm.ImplicitMAML(strength).direction(case.theta, *case.split)
    np.testing.assert_allclose(
        direction, implicit.gradient(case.theta, *case.split, strength=strength).sum(0), rtol=0, atol=1e-13
    )


def test_bad_input_is_refused_in_a_sentence():
    case = random_problem(np.random.default_rng(6), "quadratic")
    for strength, error, sentence in (
        (0.0, ValueError, "strength must be positive, got 0.0"),
        (-1.0, ValueError, "strength must be positive, got -1.0"),
        (np.nan, ValueError, "strength must be finite"),
        ("1", TypeError, "strength must be numbers"),
        (1j, TypeError, "strength must be real"),
    ):
        with pytest.raises(error, match=sentence):
            implicit.gradient(case.theta, *case.split, strength=strength)
    with pytest.raises(TypeError, match="theta must be real: conjugate gradients use complex conj"):
        implicit.gradient(case.theta + 1j, *case.split, strength=5.0)
    with pytest.raises(ValueError, match=r"theta has shape \(2,\), expected last axis 3"):
        implicit.gradient([1.0, 2.0], *case.split, strength=5.0)
    with pytest.raises(TypeError, match="support must be a task with at"):
        implicit.gradient(case.theta, [case.support], strength=5.0)
    with pytest.raises(ValueError, match="query has 2 parameters, expected 3"):
        implicit.gradient(case.theta, case.support, rm.Quadratic(np.eye(2), np.zeros(2)), strength=50.0)
    with pytest.raises(TypeError, match="query must be a task"):
        implicit.gradient(case.theta, case.support, 3, strength=50.0)


def test_a_gradient_of_a_user_s_task_may_be_a_list_and_has_d_numbers():
    quadratic = rm.Quadratic(2 * np.eye(2), np.ones(2))

    def task(change):
        point = lambda p: SimpleNamespace(theta=p.theta, loss=p.loss, grad=change(p.grad), hvp=p.hvp)
        return SimpleNamespace(shape=(), dim=2, at=lambda theta: point(quadratic.at(theta)))

    right = rm.implicit.adapt([1.0, 2.0], quadratic, strength=1.0).adapted
    np.testing.assert_array_equal(rm.implicit.adapt([1.0, 2.0], task(np.ndarray.tolist), strength=1.0).adapted, right)
    with pytest.raises(ValueError, match=r"the task's grad has shape \(1,\), expected last axis 2"):
        rm.implicit.adapt([1.0, 2.0], task(lambda g: g[:1]), strength=1.0)
