"""Single precision from the first number to the last, on the tape and off it."""

import numpy as np

from tests.oracle.right import taped, taped_maml
from tests.oracle.right.tape import in_single

SINGLE = {"dtype": "float32"}


def maml_quadratic(theta, A, c, query_A, query_c, alpha, steps):
    phi, J = np.tile(theta, (len(A), 1)), np.tile(np.eye(len(theta), dtype=np.float32), (len(A), 1, 1))
    for rate in np.broadcast_to(np.float32(alpha), (steps, len(theta))):
        phi = phi - rate * np.einsum("nij,nj->ni", A, phi - c)
        J = J - rate[:, None] * (A @ J)
    out = np.einsum("nij,ni->nj", J, np.einsum("nij,nj->ni", query_A, phi - query_c))
    assert out.dtype == np.float32
    return out


def maml_regression(theta, X, y, query_X, query_y, alpha, steps):
    rows = []
    for x, t, qx, qt in zip(X, y, query_X, query_y, strict=True):
        A, b, G, g = (z.T @ w / np.float32(len(z)) for z, w in ((x, x), (x, t), (qx, qx), (qx, qt)))
        rates = np.broadcast_to(np.float32(alpha), (steps, len(theta)))
        phi = theta
        for rate in rates:
            phi = phi - rate * (A @ phi - b)
        u = G @ phi - g
        for rate in rates[::-1]:
            u = u - A @ (rate * u)
        assert u.dtype == np.float32
        rows.append(u)
    return tuple(rows)


def reptile(theta, adapted, epsilon):
    return theta + np.float32(epsilon) * (adapted - theta).mean(0, dtype=np.float32)


RIGHT = [
    (suite, "reverse mode in single precision", in_single(target), SINGLE, False)
    for suite, name, target, settings, _ in taped_maml.RIGHT + taped.RIGHT
    if not settings
]
RIGHT += [
    ("maml-quadratic", "I − αH in single precision", maml_quadratic, SINGLE, False),
    ("maml-regression", "a vector taken back in single precision, a tuple of rows", maml_regression, SINGLE, False),
    ("reptile", "single precision", reptile, SINGLE, False),
]
