"""Certificates: a fixed subset is derived again, the decimal kernels are held against other roads, κ against decimals."""

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest

from refmeta.oracle import certify, decimals
from refmeta.oracle.bicomplex import COMPLEX, real_part
from refmeta.oracle.suites import SUITES
from refmeta.oracle.vectors import cases
from refmeta.tolerance import DELTA, PATTERNS, error_in_tolerances, max_per_task, perturbed_input
from tests import independent

SUBSET = """maml-tabular-001 maml-tabular-010 maml-quadratic-014 maml-regression-004 policy-gradient-008
    policy-gradient-009 soft-return-002 soft-return-009 episodic-return-003 episodic-return-007 reptile-001 maml-lq-001 maml-lq-011 implicit-004 implicit-008 surrogates-008 surrogates-011 maml-sampled-001 maml-sampled-013
    expected-estimators-003 maml-optimisers-009 maml-optimisers-030 meta-lstm-006 pearl-004
    pearl-005 model-002 model-012""".split()
ONE = decimals.Central(Fraction(1))
FIXED = [case for suite in SUITES for case in cases(suite) if case.id in SUBSET]


@pytest.mark.eq("decimal-certificate")
@pytest.mark.parametrize("case", FIXED, ids=lambda c: c.id)
def test_expected_values_are_derived_again_from_the_objective_alone(case):
    """Of a suite with many parts every third: `make vectors-check` derives all."""
    every = list(case.about.parts)
    for quantity in every[:: 3 if len(every) > 10 else 1]:
        value, digits = certify.certificate(case.about, case.input, quantity)
        np.testing.assert_array_equal(np.array(value, dtype=object).astype(float), case.expected[quantity].value)
        assert digits == case.expected[quantity].digits and (digits == 0 or digits >= 30)


@pytest.mark.parametrize("suite", SUITES)
def test_the_library_is_one_more_implementation_below_a_fifth_of_the_tolerance(suite):
    for case in cases(suite):
        if case.result == "valid":
            for quantity, expected in case.expected.items():
                rows = np.asarray if case.about.parts[quantity].by_task else lambda value: np.asarray(value)[None]
                got = rows(case.about.answer(quantity, case.problem))
                error = error_in_tolerances(got, rows(expected.value), expected.kappa, expected.scale)
                assert np.all(error < 0.2), (case.id, quantity, error)


@pytest.mark.parametrize("suite", SUITES)
def test_the_definition_in_complex_numbers_gives_the_certified_values(suite):
    """Every slope by a complex step, and an inner gradient in a second unit: to one tolerance."""
    for case in [case for case in cases(suite) if case.result == "valid"][::3]:
        for part, expected in case.expected.items():
            rows = np.asarray if case.about.parts[part].by_task else lambda value: np.asarray(value)[None]
            got = real_part(case.about.definition(part, certify.exact_inputs(case.about, case.input, complex), COMPLEX))
            assert np.all(error_in_tolerances(rows(got), rows(expected.value), expected.kappa, expected.scale) < 1), (case.id, part)


@pytest.mark.parametrize("function", [decimals.exp, decimals.ln, decimals.sqrt, lambda x: 1 / x, lambda x: x**3 - 2 * x])
def test_numbers_in_two_units_carry_both_derivatives(function):
    """Of f(u v): ∂²/∂u∂v = f' + uv f'', against complex steps of complex numbers."""
    u, v, h = 1.25, 0.75, 1e-30
    first = lambda x: decimals.real(function(complex(x, h)).imag / h)
    second = (first(u * v * (1 + 1e-6)) - first(u * v * (1 - 1e-6))) / (2e-6 * u * v)
    mixed = COMPLEX.outer.slope(lambda x: COMPLEX.inner.slope(lambda y: function(x[0] * y[0]), [complex(v)], [1]), [complex(u)], [1])
    assert mixed == pytest.approx(first(u * v) + u * v * second, rel=1e-8, abs=1e-8)


@pytest.mark.eq("decimal-certificate")
def test_the_decimal_losses_are_those_of_plain_loops():
    """One task of each kind against `independent.py`, which shares nothing with the certificates."""
    for name in (
        "maml-quadratic-001",
        "maml-regression-001",
        "maml-classification-001",
        "maml-tabular-001",
        "maml-tabular-009",
        "maml-lq-002",
        "maml-lq-003",
        "maml-lq-011",
    ):
        case = next(c for c in cases(name[:-4]) if c.id == name)
        theta, problem = case.arguments()["theta"], case.problem
        with localcontext() as context:
            context.prec = 40
            losses = case.about.definition.keywords["losses"](certify.exact_inputs(case.about, case.input, Decimal), "")
            got = [float(f([Decimal(t) for t in theta.tolist()])) for f in losses]
        expected = [independent.single(problem.support, i).loss(theta) for i in range(len(got))]
        np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", ["exp", "ln"])
def test_a_remembered_value_is_that_of_the_precision_in_which_it_is_asked(name):
    """Of one number at two precisions in turn, and of another number."""
    for digits, x in ((100, Decimal("0.3")), (120, Decimal("0.3")), (100, Decimal("0.30")), (120, Decimal("0.7"))):
        with localcontext() as context:
            context.prec = digits
            assert getattr(decimals, name)(x) == getattr(x, name)()


def test_numeric_derivatives_by_hand():
    """f = x³y at (2, 3): f_x = 36, f_y = 8, Hessian (36, 12; 12, 0); the errors are the h² of the outer step."""
    f = lambda z: z[0] ** 3 * z[1]
    x, step = [Decimal(2), Decimal(3)], decimals.Central(Decimal("1e-12"))
    with localcontext() as context:
        context.prec = 60
        assert [abs(a - b) < Decimal("1e-22") for a, b in zip(decimals.gradient(f, x, step), (36, 8), strict=True)] == [
            True,
            True,
        ]
        product = decimals.hessian_product(f, x, [1, 2], step, step)
        assert [abs(a - b) < Decimal("1e-20") for a, b in zip(product, (60, 12), strict=True)] == [True, True]
    square = lambda z: z[0] * z[0] + z[0] * z[1]
    assert decimals.gradient(square, [Fraction(1, 3), Fraction(2)], ONE) == [Fraction(8, 3), Fraction(1, 3)]


def test_elimination_is_exact_in_fractions_and_pivots():
    M = [[Fraction(0), Fraction(2)], [Fraction(3), Fraction(1)]]
    assert decimals.solution(M, [Fraction(4), Fraction(5)]) == [Fraction(1), Fraction(2)]


def test_the_least_norm_solution_is_that_of_the_pseudo_inverse():
    """A symmetric matrix of rank 2 in four dimensions, its first pivot zero, and one of full rank."""
    rng = np.random.default_rng(0)
    half = rng.integers(-3, 4, size=(4, 2)).astype(float)
    half[0] = 0
    for F in (half @ half.T, half @ half.T + np.diag([1.0, 2.0, 3.0, 4.0])):
        g = F @ rng.integers(-3, 4, size=4)
        with localcontext() as context:
            context.prec = 50
            exact = [[Decimal(x) for x in row] for row in F.tolist()]
            x = decimals.least_norm(exact, [Decimal(x) for x in g.tolist()], Decimal("1e-30"))
        np.testing.assert_allclose(np.array(x, float), np.linalg.pinv(F) @ g, rtol=0, atol=1e-12)


def test_the_proximal_minimum_is_exact_in_fractions():
    """½(φ − 3)² and φ²: λ = 2, θ = 0 gives 1; in two dimensions the closed form."""
    one = decimals.quadratic([[Fraction(1)]], [Fraction(3)])
    assert decimals.proximal(one, [Fraction(0)], Fraction(2), ONE) == [Fraction(1)]
    A, c = [[2, 1], [1, 3]], [1, -2]
    exact = lambda x: [[Fraction(v) for v in row] if isinstance(row, list) else Fraction(row) for row in x]
    phi = decimals.proximal(decimals.quadratic(exact(A), exact(c)), exact([4, 5]), Fraction(3), ONE)
    expected = np.linalg.solve(np.array(A) + 3 * np.eye(2), np.array(A) @ c + 3 * np.array([4, 5]))
    np.testing.assert_allclose(np.array(phi, float), expected, rtol=1e-15)


@pytest.mark.eq("decimal-certificate")
def test_the_decimal_divergence_is_that_of_logarithms():
    for name in ("policy-gradient-001", "policy-gradient-005", "policy-gradient-009"):
        case = next(c for c in cases("policy-gradient") if c.id == name)
        x, task = case.arguments(), case.problem.task
        old, new = task.at(x["theta"]), task.at(x["theta"] + x["v"])
        d = old.occupancy if x["horizon"] is None else old.occupancy.sum(1)
        logs = np.log(old.probabilities) - np.log(new.probabilities)
        got, _ = certify.certificate(SUITES["policy-gradient"], case.input, "kl")
        np.testing.assert_allclose(
            np.array(got, float), np.sum(d[..., None] * old.probabilities * logs, (1, 2)), rtol=1e-12
        )


@pytest.mark.parametrize("name", ["maml-quadratic-002", "maml-tabular-008", "maml-lq-001"])
def test_kappa_is_that_of_decimals_within_a_factor_of_two(name):
    """The same perturbed inputs, but F in decimals: no rounding of the library is in it."""
    case = next(c for c in cases(name[:-4]) if c.id == name)
    inputs = {k: np.array(v) if isinstance(v, list) else v for k, v in case.input.items()}

    def F(values):
        plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}
        return np.array(certify.certificate(case.about, plain, "gradient")[0], dtype=object)

    start, expected = F(inputs), case.expected["gradient"]
    moves = [max_per_task((F({k: perturbed_input(v, p) for k, v in inputs.items()}) - start).astype(float)) for p in PATTERNS]
    kappa = np.max(moves, axis=0) / (DELTA * expected.scale)
    assert np.all((expected.kappa <= 2 * kappa) & (kappa <= 2 * expected.kappa))


def test_the_digits_in_which_two_precisions_agree_are_counted():
    one, other = [Decimal(1), Decimal(2)], [Decimal(1), Decimal("2.0000000000000000000000000001")]
    assert certify.agreement(one, other) == 28 and certify.agreement(one, one) == 100
