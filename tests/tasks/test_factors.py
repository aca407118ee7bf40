"""Systems of a batch: against `numpy.linalg.solve`, for any layout in memory, and without a change of what was given."""

from decimal import Decimal, localcontext

import numpy as np
import pytest

from refmeta.oracle.decimals import solution
from refmeta.tasks.factors import SMALL, Inverses, factorise, solve, solve_transposed
from refmeta.tasks.factors import _lu_factors as lu_factors


def dominant(rng, shape, n, dtype=float):
    return np.eye(n) - 0.9 * rng.dirichlet(np.ones(n), (*shape, n)) * (1 + 0.1j if dtype is complex else 1)


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize(
    ("batch", "right"),
    [((), ()), ((3,), (3,)), ((2, 3), (2, 3)), ((), (4,)), ((3,), (2, 1)), ((2, 1), (3,)), ((0,), (0,))],
)
@pytest.mark.parametrize("n", [4, SMALL, SMALL + 1])
def test_a_batch_of_systems(batch, right, dtype, n):
    rng = np.random.default_rng(0)
    M, b = dominant(rng, batch, n, dtype), rng.normal(size=(*right, n))
    factors = factorise(M.copy())
    for got, A in ((solve(factors, b), M), (solve_transposed(factors, b), M.swapaxes(-1, -2))):
        expected = np.linalg.solve(A, b[..., None])[..., 0]
        assert got.shape == expected.shape == (*np.broadcast_shapes(batch, right), n)
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("n", [5, SMALL + 1])
def test_right_sides_of_any_layout_stay_as_they_are(n):
    rng = np.random.default_rng(1)
    factors = factorise(dominant(rng, (3, 2), n))
    b = rng.normal(size=(3, 2, n))
    expected = solve(factors, b)
    turned = np.ascontiguousarray(b.transpose(2, 1, 0)).transpose(2, 1, 0)
    wide = np.zeros((3, 2, 2 * n))
    wide[..., ::2] = b
    for same in (np.asfortranarray(b), turned, wide[..., ::2]):
        before = same.copy()
        same.flags.writeable = False
        np.testing.assert_allclose(solve(factors, same), expected, rtol=0, atol=1e-14)
        np.testing.assert_array_equal(same, before)
    row = np.broadcast_to(b[0, 0], b.shape)
    for same in (row, b[0, 0]):
        np.testing.assert_allclose(solve(factors, same), solve(factors, np.array(row)), rtol=0, atol=1e-14)


@pytest.mark.parametrize("n", [3, SMALL + 1])
@pytest.mark.parametrize("dtype", [float, complex])
def test_a_complex_right_side_of_real_matrices(dtype, n):
    rng = np.random.default_rng(2)
    M, b = dominant(rng, (2,), n), rng.normal(size=(2, n)) + 1e-20j
    got = solve(factorise(M.astype(dtype)), b)
    np.testing.assert_allclose(got.imag, np.linalg.solve(M, np.full((2, n, 1), 1e-20))[..., 0], rtol=1e-13)


@pytest.mark.parametrize("n", [2, SMALL + 1])
def test_a_singular_matrix_is_named(n):
    """And not one before it whose pivot is small, but not zero."""
    M = np.broadcast_to(np.eye(n), (2, 3, n, n)).copy()
    M[0, 1, -1, -1] = 1e-20
    M[1, 2, -1] = 0
    with pytest.raises(FloatingPointError, match=r"of task \[1, 2\] is singular: a pivot is zero"):
        factorise(M)


@pytest.mark.parametrize("rest", [0.5, 1e-2, 1e-8])
def test_an_inverse_loses_no_digit_to_lu(rest):
    """1 − γ = `rest`: the worst errors of both, against decimals, on sparse and dense processes."""
    rng, worst = np.random.default_rng(3), np.zeros(2)
    with localcontext() as context:
        context.prec = 40
        for n in (2, 5, 9, SMALL) * 5:
            M, b = np.eye(n) - (1 - rest) * rng.dirichlet(np.full(n, rng.choice([0.05, 1.0])), n), rng.normal(size=n)
            exact = solution([[Decimal(x) for x in row] for row in M.T.tolist()], [Decimal(x) for x in b.tolist()])
            x = np.array([float(value) for value in exact])
            answers = (solve_transposed(f, b[None])[0] for f in (Inverses(np.linalg.inv(M[None])), lu_factors(M[None].copy())))
            worst = np.maximum(worst, [np.max(np.abs(got - x)) / np.max(np.abs(x)) for got in answers])
    assert worst[0] <= 4 * worst[1] + 1e-16
