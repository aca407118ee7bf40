"""Reverse mode through the inner loop: MAML on six losses, implicit MAML through its linear system."""

import numpy as np

from tests.oracle.right.tape import T, exp, grad, log, of, reshape, softmax, solve, swap, total


def returns(theta, P, R, rho, gamma, horizon, features=None):
    """−J of every task, (N, 1, 1)."""
    N, S, A = P.shape[:3]
    logits = theta if features is None else theta @ features.reshape(S * A, -1).T
    pi = softmax(reshape(logits, N, S, A))
    r, M = total(pi * (R if R.ndim == 3 else (P * R).sum(-1)), -1), reshape(reshape(pi, N, S, 1, A) @ P, N, S, S)
    V = of(np.zeros((N, S, 1)))
    if horizon is None:
        V = solve(np.eye(S) - gamma * M, r)
    for _ in range(horizon or 0):
        V = r + gamma * (M @ V)
    return -(rho[:, None] @ V)


def squares(theta, X, y):
    return total((X @ reshape(theta, *theta.value.shape, 1) - y[..., None]) ** 2, 1) / (2 * y.shape[1])


def entropies(theta, X, labels, classes, ridge):
    logits = X @ swap(reshape(theta, len(X), classes, -1))
    picked = total(log(softmax(logits)) * np.eye(classes)[labels], 1, 2)
    return ridge / 2 * total(reshape(theta, len(X), 1, -1) ** 2, 2) - picked / labels.shape[1]


def quadratics(theta, A, c):
    x = reshape(theta - c, *theta.value.shape, 1)
    return swap(x) @ (A @ x) / 2


def costs(theta, A, B, Q, R, start, noise, gamma, horizon):
    """The value x'Vx + v backwards; without a horizon, its linear system."""
    N, p, m = B.shape
    G, variance = reshape(theta[:, : m * p], N, m, p), exp(2 * reshape(theta[:, m * p :], N, m, 1))
    M, stage = A + B @ G, Q + swap(G) @ (R @ G)
    action = total(np.diagonal(R, axis1=1, axis2=2)[..., None] * variance, 1)
    W = noise + B @ (variance * swap(of(B)))
    V, v = of(np.zeros((N, p, p))), of(np.zeros((N, 1, 1)))
    if horizon is None:
        Mt = swap(M)
        kron = reshape(reshape(Mt, N, p, 1, p, 1) * reshape(Mt, N, 1, p, 1, p), N, p * p, p * p)
        V = reshape(solve(np.eye(p * p) - gamma * kron, reshape(stage, N, p * p, 1)), N, p, p)
        v = (action + gamma * total(V * W, 1, 2)) / (1 - gamma)
    for _ in range(horizon or 0):
        v = action + gamma * (v + total(V * W, 1, 2))
        V = stage + gamma * (swap(M) @ V @ M)
    return total(V * start, 1, 2) + v


def maml(loss, names, shared=(), quantity="gradient"):
    """MAML on a loss of data `names` and constants `shared`."""

    def target(theta, alpha, steps, **x):
        same = {name: x[name] for name in shared}
        support, query = ({name: x[prefix + name] for name in names} | same for prefix in ("", "query_"))
        N = len(x[names[0]])
        theta, alpha = T(np.tile(theta, (N, 1))), T(np.repeat(np.asarray(alpha)[None], N, axis=0))
        phi = theta
        for k in range(steps):
            rate = alpha[:, k] if alpha.value.ndim == 3 else reshape(alpha, N, -1)
            phi = phi - rate * grad(loss(phi, **support), phi)
        F = loss(phi, **query)
        asked = {"objective": reshape(F, N), "gradient": theta, "first_order": phi, "step_size_gradient": alpha}
        return (F if quantity == "objective" else grad(F, asked[quantity])).value.reshape(asked[quantity].value.shape)

    return target


def implicit(theta, A, c, X, y, query_A, query_c, query_X, query_y, strength):
    """The proximal problem solved on the tape."""
    if A is None:
        A, b = np.swapaxes(X, 1, 2) @ X / y.shape[1], np.swapaxes(X, 1, 2) @ y[..., None] / y.shape[1]
    else:
        b = A @ c[..., None]
    query = lambda phi: squares(phi, query_X, query_y) if query_A is None else quadratics(phi, query_A, query_c)
    theta = T(np.tile(theta, (len(A), 1)))
    N, d = theta.value.shape
    phi = solve(of(A + strength * np.eye(d)), b + strength * reshape(theta, N, d, 1))
    return grad(query(reshape(phi, N, d)), theta).value


PROCESS, SYSTEM = ("P", "R", "rho"), ("A", "B", "Q", "R", "start", "noise")
LOSSES = {
    "maml-tabular": (returns, PROCESS, ("gamma", "horizon")),
    "maml-linear-features": (returns, PROCESS, ("gamma", "horizon", "features")),
    "maml-regression": (squares, ("X", "y")),
    "maml-classification": (entropies, ("X", "labels"), ("classes", "ridge")),
    "maml-quadratic": (quadratics, ("A", "c")),
    "maml-lq": (costs, SYSTEM, ("gamma", "horizon")),
}
RIGHT = [(suite, "reverse mode", maml(*loss), {}, False) for suite, loss in LOSSES.items()]
RIGHT += [
    (suite, f"reverse mode, {quantity}", maml(*LOSSES[suite], quantity=quantity), {"quantity": quantity}, False)
    for suite, quantity in {
        "maml-regression": "step_size_gradient", "maml-lq": "step_size_gradient", "maml-tabular": "objective",
        "maml-classification": "first_order", "maml-linear-features": "step_size_gradient",
    }.items()
]  # fmt: skip
RIGHT += [("implicit", "reverse mode through a linear system", implicit, {}, False)]
