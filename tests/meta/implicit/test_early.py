"""Hypergradients that stop early: closed forms in fractions, limits, rates, complex steps, and what is refused."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refmeta as rm
from refmeta import implicit
from refmeta.evidence.hypergradients import krylov_solution, random_early, random_krylov, random_unrolled
from refmeta.judges import central_difference, complex_step
from refmeta.meta.implicit.convergence import check_converges
from refmeta.problems import KINDS, largest_curvature, random_problem
from tests.independent import solved
from tests.meta.test_inner_optimisers import OneBuffer
from tests.strategies import assert_right, costly, seeds

EPS = np.finfo(float).eps
SUPPORT, QUERY = rm.Quadratic([[1.0]], [3.0]), rm.Quadratic([[2.0]], [0.0])  # by hand in the derivation
HAND = {"strength": 2.0, "eta": 0.5}


@pytest.mark.eq("neumann-hypergradient", "thm:neumann-error", "one-step-hypergradient", "thm:truncated-error")
@costly
@given(rng=seeds, label=st.sampled_from(["neumann-hypergradient", "thm:neumann-error", "one-step-hypergradient", "thm:truncated-error"]))
def test_series_and_what_they_lack_by_eigenvectors(label, rng):
    assert_right(label, random_early(rng))


@pytest.mark.eq("cg-hypergradient", "thm:cg-error")
@costly
@given(rng=seeds, label=st.sampled_from(["cg-hypergradient", "thm:cg-error"]))
def test_conjugate_gradients_are_the_best_of_their_span(label, rng):
    assert_right(label, random_krylov(rng))


@pytest.mark.eq("truncated-unroll")
@costly
@given(rng=seeds)
def test_the_truncated_unrolling_is_the_complex_step_of_its_last_steps(rng):
    assert_right("truncated-unroll", random_unrolled(rng))


@pytest.mark.eq("finite-difference-hypergradient")
@costly
@given(rng=seeds)
def test_differences_are_exact_on_quadratics(rng):
    assert_right("finite-difference-hypergradient", random_early(rng))


@pytest.mark.eq("thm:finite-difference-order")
@pytest.mark.parametrize("seed", range(4))
def test_differences_are_off_by_the_square_of_their_step_elsewhere(seed):
    assert_right("thm:finite-difference-order", random_problem(np.random.default_rng(seed), "softmax-regression", tasks=2))


def in_fractions(case, count):
    """Of one quadratic task: H, ∇L_query(φ*), the series of so many terms, H⁻¹∇L_query; all in fractions."""
    exact = lambda x: [[Fraction(y) for y in row] for row in np.atleast_2d(x).tolist()]
    times = lambda M, x: [sum(a * b for a, b in zip(row, x, strict=True)) for row in M]
    strength, eta = Fraction(case.strength), Fraction(case.eta)
    A, Q = exact(case.support.A[0]), exact(case.query.A[0])
    (c,), (q,), (theta,) = exact(case.support.c[0]), exact(case.query.c[0]), exact(case.theta)
    H = [[a / strength + (i == j) for j, a in enumerate(row)] for i, row in enumerate(A)]
    phi = solved(H, [t + x / strength for t, x in zip(theta, times(A, c), strict=True)])
    g = times(Q, [p - x for p, x in zip(phi, q, strict=True)])
    v, rest = [Fraction(0)] * len(g), list(g)
    for _ in range(count):
        v, rest = [a + eta * b for a, b in zip(v, rest, strict=True)], [a - eta * b for a, b in zip(rest, times(H, rest), strict=True)]
    return H, g, v, solved(H, g), solved(H, rest)


@given(rng=seeds)
@costly
def test_the_series_lacks_exactly_its_rest_in_fractions(rng):
    """H⁻¹g − v_k = (I − ηH)ᵏH⁻¹g holds as an equation of fractions, and the library gives v_k."""
    case = random_early(rng)
    _, g, v, exact, rest = in_fractions(case, case.terms)
    assert [x - y for x, y in zip(exact, v, strict=True)] == rest
    got = implicit.neumann_gradient(case.theta, case.support, case.query, terms=case.terms, **case.hyper)[0]
    np.testing.assert_allclose(got, np.array(v, float), rtol=0, atol=1e-12 * max(abs(float(x)) for x in (*v, *g)))


@given(rng=seeds)
@costly
def test_as_many_steps_of_conjugate_gradients_as_parameters_are_exact_in_fractions(rng):
    """The best of the whole span is H⁻¹g itself; and the library's third step, and its hundredth, are it to rounding."""
    case = random_early(rng)
    H, g, _, exact, _ = in_fractions(case, 1)
    assert krylov_solution(np.array(H), np.array(g), 3) == exact
    size = max(abs(float(x)) for x in (*exact, *g))
    for steps in (3, 4, 100):
        got = implicit.cg_gradient(case.theta, case.support, case.query, strength=case.strength, steps=steps)[0]
        np.testing.assert_allclose(got, np.array(exact, float), rtol=0, atol=1e-11 * size)


def strong(case):
    """A λ of twice the largest curvature at θ."""
    return 2 * max(largest_curvature(case.support, case.theta), 0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_method_has_the_exact_gradient_as_its_limit_on_every_kind_of_task(kind):
    case = random_problem(np.random.default_rng(5), kind, tasks=2)
    strength = strong(case)
    exact = implicit.gradient(case.theta, *case.split, strength=strength)
    run = lambda function, **hyper: function(case.theta, *case.split, strength=strength, **hyper)
    size = np.max(np.abs(exact))
    limits = {
        "conjugate gradients": run(implicit.cg_gradient, steps=case.theta.size), "Neumann": run(implicit.neumann_gradient, eta=0.6, terms=120),
        "truncated": run(implicit.truncated_gradient, eta=0.6, steps=150, kept=120),
    }  # fmt: skip
    for name, got in limits.items():
        np.testing.assert_allclose(got, exact, rtol=0, atol=2e-13 * size, err_msg=name)
    differences = run(implicit.finite_difference_gradient, eta=0.6, terms=120, delta=1e-5 / size)
    np.testing.assert_allclose(differences, exact, rtol=0, atol=1e-9 * size)


@pytest.mark.parametrize("kind", KINDS)
def test_the_errors_fall_at_the_rates_that_are_stated(kind):
    """Neumann's in the plain norm by ρ per term, conjugate gradients' in the norm of H by their bound, on every kind."""
    case = random_problem(np.random.default_rng(8), kind, tasks=2)
    strength, eta, d = strong(case), 0.9, case.theta.size
    point = implicit.adapt(case.theta, case.support, strength=strength).point
    H = np.stack([e + point.hvp(e + 0 * point.theta) / strength for e in np.eye(d)], axis=-1)
    values = np.linalg.eigvalsh(H)
    rho, root = np.max(np.abs(1 - eta * values), axis=-1), np.sqrt(values[:, -1] / values[:, 0])
    exact = implicit.gradient(case.theta, *case.split, strength=strength)
    energy = lambda x: np.sqrt(np.einsum("ni,nij,nj->n", x, H, x))
    floor = 1e-13 * energy(exact)
    for k in (1, 2, 4, 7):
        v = implicit.neumann_gradient(case.theta, *case.split, strength=strength, eta=eta, terms=k)
        assert np.all(np.linalg.norm(exact - v, axis=-1) <= rho**k * np.linalg.norm(exact, axis=-1) * (1 + 1e-12) + floor)
        x = implicit.cg_gradient(case.theta, *case.split, strength=strength, steps=k)
        bound = 2 * ((root - 1) / (root + 1)) ** k
        assert np.all(energy(exact - x) <= bound * energy(exact) + floor)
        assert np.all(energy(exact - x) <= energy(exact - v) + floor)


METHODS = {
    "neumann": (implicit.neumann_gradient, {"eta": 0.7, "terms": 3}),
    "one-step": (implicit.one_step_gradient, {"eta": 0.7}),
    "conjugate gradients": (implicit.cg_gradient, {"steps": 2}),
    "truncated": (implicit.truncated_gradient, {"eta": 0.7, "steps": 4, "kept": 3}),
    "differences": (implicit.finite_difference_gradient, {"eta": 0.7, "terms": 3, "delta": 0.01}),
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_complex_step_differentiates_every_method(name, kind):
    """No number is conjugated on the way; φ* of a complex θ is found, too.  A mistake is as large as the derivative itself."""
    function, hyper = METHODS[name]
    case = random_problem(np.random.default_rng(4), kind, tasks=2)
    strength, v = strong(case), np.random.default_rng(5).normal(size=case.theta.size)
    of = lambda t: function(t, *case.split, strength=strength, **hyper)
    numeric = central_difference(of, case.theta, v).derivative
    np.testing.assert_allclose(complex_step(of, case.theta, v), numeric, rtol=0, atol=1e-6 * np.max(np.abs(numeric)))


@pytest.mark.parametrize("name", METHODS)
def test_batch_axes_broadcast_and_every_task_is_on_its_own(name):
    function, hyper = METHODS[name]
    rng = np.random.default_rng(1)
    case = random_problem(rng, "softmax-regression", tasks=3)
    theta, strength = rng.normal(size=(5, 1, case.theta.size)), strong(case)
    many = function(theta, *case.split, strength=strength, **hyper)
    assert many.shape == (5, 3, case.theta.size)
    for i in range(3):
        one = function(theta[2, 0], case.support[i], case.query[i], strength=strength, **hyper)
        assert one.shape == case.theta.shape
        np.testing.assert_allclose(one, many[2, i], rtol=0, atol=1e-12 * np.max(np.abs(many)))
    alone = function(case.theta, case.support, strength=strength, **hyper)
    np.testing.assert_array_equal(alone, function(case.theta, case.support, case.support, strength=strength, **hyper))


@pytest.mark.parametrize("name", METHODS)
def test_a_task_may_return_its_gradients_in_one_array(name):
    case = random_problem(np.random.default_rng(5), "quadratic", tasks=1)
    function, hyper = METHODS[name]
    got, expected = (function(case.theta, of(case.support[0]), of(case.query[0]), strength=strong(case), **hyper) for of in (OneBuffer, lambda task: task))
    np.testing.assert_array_equal(got, expected)


def test_values_by_hand():
    """Two terms 5/4, three 21/16, one step 1, one unrolled step 3/4, one step of conjugate gradients 4/3."""
    at = lambda function, **hyper: function([0.0], SUPPORT, QUERY, **HAND, **hyper)[0]
    assert at(implicit.one_step_gradient) == 1.0 and at(implicit.truncated_gradient, steps=1, kept=1) == 0.75
    assert at(implicit.neumann_gradient, terms=2) == pytest.approx(5 / 4, rel=4 * EPS)
    assert at(implicit.neumann_gradient, terms=3) == pytest.approx(21 / 16, rel=4 * EPS)
    assert at(implicit.finite_difference_gradient, terms=3, delta=0.25) == pytest.approx(21 / 16, rel=8 * EPS)
    assert implicit.cg_gradient([0.0], SUPPORT, QUERY, strength=2.0, steps=1)[0] == pytest.approx(4 / 3, rel=4 * EPS)


def test_the_held_start_is_theta_itself_where_every_step_is_kept():
    """With one step of one: η times the query's gradient; the full derivative would add (1 − ηH) times it."""
    phi = 0.75  # the first step from 0
    full = central_difference(lambda t: QUERY.at(t - 0.25 * (t - 3.0)).loss, np.array([0.0])).derivative[0]
    got = implicit.truncated_gradient([0.0], SUPPORT, QUERY, steps=1, kept=1, **HAND)[0]
    assert got == 0.5 * 2 * phi and full == pytest.approx(got + (1 - 0.5 * 1.5) * 2 * phi, rel=1e-9)


@pytest.mark.parametrize("steps", [2, 3, 10, 1000])
def test_conjugate_gradients_end_where_nothing_is_left(steps):
    """Two different eigenvalues among five parameters: exact from the second step on; a zero gradient stays zero."""
    A, c = np.diag([1.0, 1.0, 1.0, 4.0, 4.0]), np.array([1.0, -2.0, 0.5, 3.0, 0.25])
    support = rm.Quadratic(np.stack([A, A]), np.stack([c, c]))
    query = rm.Quadratic(np.stack([np.eye(5), 0 * A]), np.stack([0 * c, c]))
    got = implicit.cg_gradient(np.zeros(5), support, query, strength=2.0, steps=steps)
    factors = 1 + np.diag(A) / 2
    np.testing.assert_allclose(got[0], np.diag(A) * c / 2 / factors**2, rtol=1e-14)
    np.testing.assert_array_equal(got[1], 0)


@pytest.mark.parametrize("power", [-250, -100, 100, 200])
def test_losses_of_any_size_keep_their_digits(power):
    """The query's loss times 10^power: every result is as many times larger."""
    case = random_problem(np.random.default_rng(2), "quadratic", tasks=2)
    scaled = rm.Quadratic(case.query.A * 10.0**power, case.query.c)
    for function, hyper in METHODS.values():
        if function is implicit.finite_difference_gradient:
            continue  # its δ is a length, and would have to be scaled with v
        one, other = (function(case.theta, case.support, q, strength=strong(case), **hyper) for q in (case.query, scaled))
        np.testing.assert_allclose(other * 10.0**-power, one, rtol=1e-12)


def test_an_eta_at_which_the_series_diverges_is_refused_with_the_spectral_radius():
    task = rm.Quadratic(np.stack([np.diag([0.5, 1.0]), np.diag([1.0, 3.0])]), np.zeros(2))
    refusing = (implicit.neumann_gradient, {"terms": 1}), (implicit.one_step_gradient, {}), (implicit.finite_difference_gradient, {"terms": 2, "delta": 0.1})
    for function, hyper in refusing:
        for eta, radius in ((0.5, "1 at task"), (0.6, "1.4 at task"), (1e3, "4e.03 at task")):
            with pytest.raises(ValueError, match=rf"eta must be below 0.5, got .*: the spectral radius of .* is {radius} \[1\]"):
                function([1.0, 1.0], task, strength=1.0, eta=eta, **hyper)
        assert np.all(np.isfinite(function([1.0, 1.0], task, strength=1.0, eta=0.49, **hyper)))
    with pytest.raises(ValueError, match=r"the spectral radius of I - eta \(I \+ H/strength\) is 3, and"):
        implicit.one_step_gradient([1.0, 1.0], task[1], strength=1.0, eta=1.0)
    assert np.isfinite(implicit.truncated_gradient([1.0, 1.0], task, strength=1.0, eta=0.6, steps=3, kept=2)).all()


class Counted:
    """A quadratic task whose points count their Hessian products."""

    shape, dim = SUPPORT.shape, SUPPORT.dim

    def __init__(self):
        self.products = 0

    def at(self, theta):
        return CountedPoint(self, SUPPORT.at(theta))


class CountedPoint:
    """A point that counts."""

    def __init__(self, task, point):
        self.task, self.point = task, point

    def __getattr__(self, name):
        return getattr(self.point, name)

    def hvp(self, v):
        self.task.products += 1
        return self.point.hvp(v)


@pytest.mark.parametrize(("steps", "kept"), [(1, 1), (4, 1), (4, 3), (4, 4)])
def test_a_truncated_unrolling_takes_one_product_fewer_than_it_keeps_steps(steps, kept):
    task = Counted()
    got = implicit.truncated_gradient([0.0], task, QUERY, steps=steps, kept=kept, **HAND)
    np.testing.assert_array_equal(got, implicit.truncated_gradient([0.0], SUPPORT, QUERY, steps=steps, kept=kept, **HAND))
    assert task.products == kept - 1


@pytest.mark.parametrize("eta", [1e-14, 1e-20, 1e-200])
def test_an_eta_that_is_small_beside_rounding_is_no_divergence(eta):
    """The sum of k terms is kη∇L_query there, up to rounding."""
    task, query = rm.Quadratic(np.diag([0.5, 3.0]), np.zeros(2)), rm.Quadratic(np.eye(2), [3.0, -1.0])
    g = np.asarray(query.at(implicit.adapt([1.0, 1.0], task, strength=1.0).adapted).grad)
    for terms in (1, 3):
        got = implicit.neumann_gradient([1.0, 1.0], task, query, strength=1.0, eta=eta, terms=terms)
        np.testing.assert_allclose(got, terms * eta * g, rtol=1e-12)


def test_of_a_matrix_that_is_not_positive_definite_no_eta_is_named():
    for lowest in (-1.0, 0.0):
        with pytest.raises(ValueError, match=rf"I \+ H/strength must be positive definite, .* it has the eigenvalue {lowest:.0f} at task \[1\]"):
            check_converges(lambda v, lowest=lowest: np.array([[1.0, 2.0], [lowest, 2.0]]) * v, np.ones((2, 2)), 0.1, 3)


def test_of_many_parameters_the_residuals_tell_that_the_series_diverges():
    """65 parameters: no eigenvalues are computed.  A residual that grows is a proof; the last η is below 2/h = 0.2."""
    curves = np.stack([np.linspace(1, 3, 65), np.linspace(1, 9, 65)])
    task = rm.Quadratic(np.stack([np.diag(x) for x in curves]), np.zeros(65))
    sentence = r"eta must be smaller: the residual of Neumann's series grew to 1\.\d+ times the one before at task \[1\], and the spectral"
    with pytest.raises(ValueError, match=sentence):
        implicit.neumann_gradient(np.ones(65), task, strength=1.0, eta=0.4, terms=30)
    got = implicit.neumann_gradient(np.ones(65), task, strength=1.0, eta=0.19, terms=600)
    np.testing.assert_allclose(got, curves / (1 + curves) ** 2, rtol=1e-12)


def test_bad_input_is_refused_in_a_sentence():
    every = {
        implicit.neumann_gradient: {"eta": 0.5, "terms": 2}, implicit.one_step_gradient: {"eta": 0.5}, implicit.cg_gradient: {"steps": 2},
        implicit.truncated_gradient: {"eta": 0.5, "steps": 2, "kept": 1},
        implicit.finite_difference_gradient: {"eta": 0.5, "terms": 2, "delta": 0.1},
    }  # fmt: skip
    sentences = {
        "terms": ((0, ValueError, "terms must be at least 1, got 0"), (1.5, TypeError, "terms must be an integer")),
        "steps": ((0, ValueError, "steps must be at least 1, got 0"), (True, TypeError, "steps must be an integer")),
        "kept": ((0, ValueError, "kept must be at least 1, got 0"), (3, ValueError, "kept must be at most steps = 2, got 3")),
        "eta": ((0.0, ValueError, "eta must be positive, got 0.0"), (-0.1, ValueError, "eta must be positive"), (1j, TypeError, "eta must be real")),
        "delta": ((0.0, ValueError, "delta must be positive, got 0.0"), (np.nan, ValueError, "delta must be finite")),
        "strength": ((0.0, ValueError, "strength must be positive, got 0.0"), (-1.0, ValueError, "strength must be positive")),
    }
    for function, hyper in every.items():
        for name, wrong in sentences.items():
            for value, error, sentence in wrong if name in (*hyper, "strength") else ():
                with pytest.raises(error, match=sentence):
                    function([0.0], SUPPORT, QUERY, **{"strength": 2.0, **hyper, name: value})
        with pytest.raises(ValueError, match="query has 2 parameters, expected 1"):
            function([0.0], SUPPORT, rm.Quadratic(np.eye(2), np.zeros(2)), strength=2.0, **hyper)
        for support, got in (([SUPPORT, SUPPORT], "list"), (None, "NoneType"), (3, "int")):
            for query in (None, QUERY):
                with pytest.raises(TypeError, match=rf"support must be a task with at\(theta\), got {got}"):
                    function([0.0], support, query, strength=2.0, **hyper)
        with pytest.raises(ValueError, match=r"theta has shape \(2,\), expected last axis 1"):
            function([0.0, 1.0], SUPPORT, QUERY, strength=2.0, **hyper)
    with pytest.raises(FloatingPointError, match="the steps left the finite numbers: eta is too large|left the finite numbers"):
        implicit.truncated_gradient([1.0], SUPPORT, QUERY, strength=2.0, eta=1e200, steps=9, kept=1)
    with pytest.raises(FloatingPointError, match="not positive definite"):
        implicit.cg_gradient([1.0], rm.Quadratic([[-3.0]], [0.0]), QUERY, strength=2.0, steps=1)
