"""Systems of a batch: against `numpy.linalg.solve`, for any layout in memory, and without a change of what was given."""

import numpy as np
import pytest

from refmeta.tasks.factors import factorise, solve, solve_transposed


def dominant(rng, shape, n, dtype=float):
    return np.eye(n) - 0.9 * rng.dirichlet(np.ones(n), (*shape, n)) * (1 + 0.1j if dtype is complex else 1)


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize(
    ("batch", "right"),
    [((), ()), ((3,), (3,)), ((2, 3), (2, 3)), ((), (4,)), ((3,), (2, 1)), ((2, 1), (3,)), ((0,), (0,))],
)
def test_a_batch_of_systems(batch, right, dtype):
    rng = np.random.default_rng(0)
    M, b = dominant(rng, batch, 4, dtype), rng.normal(size=(*right, 4))
    factors = factorise(M.copy())
    for got, A in ((solve(factors, b), M), (solve_transposed(factors, b), M.swapaxes(-1, -2))):
        expected = np.linalg.solve(A, b[..., None])[..., 0]
        assert got.shape == expected.shape == (*np.broadcast_shapes(batch, right), 4)
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-14)


def test_right_sides_of_any_layout_stay_as_they_are():
    rng = np.random.default_rng(1)
    factors = factorise(dominant(rng, (3, 2), 5))
    b = rng.normal(size=(3, 2, 5))
    expected = solve(factors, b)
    turned = np.ascontiguousarray(b.transpose(2, 1, 0)).transpose(2, 1, 0)
    wide = np.zeros((3, 2, 10))
    wide[..., ::2] = b
    for same in (np.asfortranarray(b), turned, wide[..., ::2]):
        before = same.copy()
        same.flags.writeable = False
        np.testing.assert_array_equal(solve(factors, same), expected)
        np.testing.assert_array_equal(same, before)
    row = np.broadcast_to(b[0, 0], b.shape)
    np.testing.assert_array_equal(solve(factors, row), solve(factors, np.array(row)))
    np.testing.assert_array_equal(solve(factors, b[0, 0]), solve(factors, np.array(row)))


def test_a_complex_right_side_of_real_matrices():
    rng = np.random.default_rng(2)
    M, b = dominant(rng, (2,), 3), rng.normal(size=(2, 3)) + 1e-20j
    got = solve(factorise(M.copy().astype(complex)), b)
    np.testing.assert_allclose(got.imag, np.linalg.solve(M, np.full((2, 3, 1), 1e-20))[..., 0], rtol=1e-13)
