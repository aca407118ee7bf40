"""Iterations to convergence: conjugate gradients, gradient descent, sweeps of the Bellman equation."""

# ruff: noqa: B023  (a function of a loop is called in its round)

import itertools

import numpy as np


def refined(apply, b):
    """Conjugate gradients, and once more on what they left."""
    x = conjugate_gradients(apply, b, 1e-12)
    return x + conjugate_gradients(apply, b - apply(x), 1e-3)


def conjugate_gradients(apply, b, tiny):
    """x of A x = b, from 0, to a relative residual."""
    x, r = 0 * b, b
    p, rr = r, r @ r
    for _ in range(2 * len(b)):
        if np.sqrt(rr) <= tiny * np.linalg.norm(b):
            break
        Ap = apply(p)
        step = rr / (p @ Ap)
        x, r = x + step * p, r - step * Ap
        rr, before = r @ r, rr
        p = r + rr / before * p
    return x


def implicit_losses(i, A, c, X, y):
    """The gradient and the curvature's product of a task's loss."""
    if X is None:
        return (lambda phi: A[i] @ (phi - c[i])), (lambda u: A[i] @ u)
    return (lambda phi: X[i].T @ (X[i] @ phi - y[i]) / y.shape[1]), (lambda u: X[i].T @ (X[i] @ u) / y.shape[1])


def implicit_cg(theta, A, c, X, y, query_A, query_c, query_X, query_y, strength):
    """Both systems by conjugate gradients, without a matrix."""
    rows = []
    for i in range(len(y if A is None else A)):
        support, curvature = implicit_losses(i, A, c, X, y)
        apply = lambda u: curvature(u) + strength * u
        phi = theta - refined(apply, support(theta))
        g = implicit_losses(i, query_A, query_c, query_X, query_y)[0](phi)
        rows.append(strength * refined(apply, g))
    return np.array(rows)


def implicit_descent(theta, A, c, X, y, query_A, query_c, query_X, query_y, strength, end=1e-12):
    """Gradient descent on both quadratic problems until what is left is below `end` of the first."""

    def descend(apply, b, rate):
        x = 0 * b
        while np.linalg.norm(left := b - apply(x)) > end * np.linalg.norm(b):
            x = x + rate * left
        return x

    rows = []
    for i in range(len(y if A is None else A)):
        support, curvature = implicit_losses(i, A, c, X, y)
        apply = lambda u: curvature(u) + strength * u
        size = np.abs(np.stack([curvature(e) for e in np.eye(len(theta))])).sum(1).max()
        phi = theta - descend(apply, support(theta), 1 / (strength + size))
        g = implicit_losses(i, query_A, query_c, query_X, query_y)[0](phi)
        rows.append(strength * descend(apply, g, 1 / (strength + size)))
    return np.array(rows)


def settled(step, x, horizon, most=3000):
    """As many steps as the horizon has, or as it takes until nothing changes."""
    for _ in range(most if horizon is None else horizon):
        before, x = x, step(x)
        if horizon is None and np.array_equal(x, before):
            break
    return x


def swept(logits, P, R, rho, gamma, horizon):
    """−J and its slope by the logits: V by value iteration, visits by their own."""
    e = np.exp(logits - logits.max(-1, keepdims=True))
    pi = e / e.sum(-1, keepdims=True)
    M, r = np.einsum("nsa,nsat->nst", pi, P), np.einsum("nsa,nsa->ns", pi, R)
    if horizon is None:
        V = settled(lambda V: r + gamma * np.einsum("nst,nt->ns", M, V), 0 * r, None)
        d = settled(lambda d: rho + gamma * np.einsum("ns,nst->nt", d, M), 0 * rho, None)
        Q = R + gamma * np.einsum("nsat,nt->nsa", P, V)
        return -(rho * V).sum(-1), -d[..., None] * pi * (Q - (pi * Q).sum(-1, keepdims=True))
    V, visits, g = np.zeros_like(r), [rho], 0
    for _ in range(horizon - 1):
        visits.append(gamma * np.einsum("ns,nst->nt", visits[-1], M))
    for now in reversed(visits):
        Q = R + gamma * np.einsum("nsat,nt->nsa", P, V)
        V = (pi * Q).sum(-1)
        g = g - now[..., None] * pi * (Q - V[..., None])
    return -(rho * V).sum(-1), g


def maml_returns(quantity):
    """The objective, or first order on purpose, of tables or of features."""

    def target(theta, P, R, rho, query_P, query_R, query_rho, gamma, horizon, alpha, steps, features=None):
        S, A = R.shape[1:]
        Phi = np.eye(S * A).reshape(S, A, -1) if features is None else features
        phi = np.tile(theta, (len(P), 1))
        at = lambda phi, *data: swept(np.einsum("saj,nj->nsa", Phi, phi), *data, gamma, horizon)
        for k in range(steps):
            g = np.einsum("nsa,saj->nj", at(phi, P, R, rho)[1], Phi)
            phi = phi - (alpha[k] if np.ndim(alpha) == 2 else alpha) * g
        F, g = at(phi, query_P, query_R, query_rho)
        return F if quantity == "objective" else np.einsum("nsa,saj->nj", g, Phi)

    return target


def policy_gradient(theta, P, R, rho, gamma, horizon, features, v):
    """Loss, gradient, F v, and the natural gradient by conjugate gradients, where a constant a state counts 1."""
    N, S, A = P.shape[:3]
    Phi = np.eye(S * A).reshape(S, A, -1) if features is None else features
    logits = np.tile(Phi @ theta, (N, 1, 1))
    R = (P * R).sum(-1) if R.ndim == 4 else R
    loss, g = swept(logits, P, R, rho, gamma, horizon)
    pi = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    M, ones = np.einsum("nsa,nsat->nst", pi, P), [rho]
    for _ in range(3000 if horizon is None else horizon - 1):
        ones.append(gamma * np.einsum("ns,nst->nt", ones[-1], M))
    d, g = sum(reversed(ones)), np.einsum("nsa,saj->nj", g, Phi)

    def fisher(i):
        def apply(u):
            along = Phi @ u
            return np.einsum("s,sa,sa,saj->j", d[i], pi[i], along - (pi[i] * along).sum(1, keepdims=True), Phi)

        return apply

    flat = lambda u: np.repeat(u.reshape(S, A).mean(1), A) if features is None else 0.0
    natural = [refined(lambda u: fisher(i)(u) + flat(u), -g[i]) for i in range(N)]
    return {"loss": loss, "grad": g, "fisher": [fisher(i)(v) for i in range(N)], "natural_gradient": natural}


def costs(theta, A, B, Q, R, start, noise, gamma, horizon):
    """The cost and its gradient; without a horizon the equations of Lyapunov are iterated until nothing changes."""
    p, m = B.shape
    G, variance = theta[: m * p].reshape(m, p), np.exp(2 * theta[m * p :])
    M, W, r = A + B @ G, noise + B @ np.diag(variance) @ B.T, np.trace(R @ np.diag(variance))
    stage, H = Q + G.T @ R @ G, 3000 if horizon is None else horizon
    V, v, values = np.zeros((p, p)), 0.0, []
    for _ in range(H):
        values.append(V)
        after = stage + gamma * M.T @ V @ M, r + gamma * (v + np.trace(V @ W))
        if horizon is None and np.array_equal(after[0], V) and after[1] == v:
            break
        V, v = after
    S, weight, g, s = start, 1.0, np.zeros((m, p)), np.zeros(m)
    for t in itertools.count():
        U = V if horizon is None else values[H - 1 - t]
        g = g + weight * (R @ G + gamma * B.T @ U @ M) @ S
        s = s + weight * variance * np.diagonal(R + gamma * B.T @ U @ B)
        S, weight = M @ S @ M.T + W, weight * gamma
        if t + 1 == H or weight * (1 + np.abs(S).max()) < 1e-25:
            return np.trace(V @ start) + v, np.append(2 * g, 2 * s)


def maml_costs(quantity):
    def target(theta, gamma, horizon, alpha, steps, **x):
        rows = []
        for i in range(len(x["A"])):
            support, query = ([x[pre + k][i] for k in ("A", "B", "Q", "R", "start", "noise")] for pre in ("", "query_"))
            phi = theta
            for k in range(steps):
                phi = phi - (alpha[k] if np.ndim(alpha) == 2 else alpha) * costs(phi, *support, gamma, horizon)[1]
            rows.append(costs(phi, *query, gamma, horizon)[quantity == "first_order"])
        return tuple(rows)

    return target


RIGHT = [
    ("implicit", "conjugate gradients, twice", implicit_cg, {}, False),
    ("implicit", "gradient descent to a residual of 1e-12", implicit_descent, {}, False),
    ("policy-gradient", "sweeps and conjugate gradients", policy_gradient, {}, False),
]
for quantity in ("objective", "first_order"):
    RIGHT += [
        (suite, f"sweeps, {quantity}", make(quantity), {"quantity": quantity}, False)
        for suite, make in (
            ("maml-tabular", maml_returns),
            ("maml-linear-features", maml_returns),
            ("maml-lq", maml_costs),
        )
    ]
RIGHT += [
    ("maml-tabular", "first order on purpose", maml_returns("first_order"), {"expect": "first-order"}, False),
    ("maml-lq", "a tuple of rows, first order on purpose", maml_costs("first_order"), {"expect": "first-order"}, False),
]
