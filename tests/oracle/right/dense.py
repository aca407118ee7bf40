"""Explicit matrices: inverses, Hessians, products of I − αH, a horizon as a chain of S·H states."""

# ruff: noqa: B023  (a function of a loop is called in its round)

import numpy as np


def jacobian_product(theta, alpha, steps, derivatives, support, query, **settings):
    """∇L_query times the product of all I − αH, accumulated forwards as one dense matrix."""
    phi, J = theta, np.eye(len(theta))
    for k in range(steps):
        g, H = derivatives(phi, *support)
        rate = np.broadcast_to(alpha[k] if np.ndim(alpha) == 2 else alpha, theta.shape)
        phi, J = phi - rate * g, (np.eye(len(theta)) - np.diag(rate) @ H) @ J
    return derivatives(phi, *query)[0] @ J


def by_task(derivatives, names, shared=()):
    def target(theta, alpha, steps, **x):
        same, rows = [x[name] for name in shared], []
        for i in range(len(x[names[0]])):
            support, query = ([x[prefix + name][i] for name in names] + same for prefix in ("", "query_"))
            rows.append(jacobian_product(theta, alpha, steps, derivatives, support, query))
        return np.asfortranarray(rows)

    return target


def squares(theta, X, y):
    return X.T @ (X @ theta - y) / len(y), X.T @ X / len(y)


def quadratic(theta, A, c):
    return A @ theta - A @ c, A


def entropies(theta, X, labels, classes, ridge):
    """Σ (diag π − ππᵀ) ⊗ xxᵀ / n, with log-sum-exp."""
    logits = X @ theta.reshape(classes, -1).T
    top = logits.max(1)
    logs = logits - (top + np.log(np.exp(logits - top[:, None]).sum(1)))[:, None]
    g, H = ridge * theta, ridge * np.eye(len(theta))
    for x, p, label in zip(X, np.exp(logs), labels, strict=True):
        g = g + np.kron(p - np.eye(classes)[label], x) / len(X)
        H = H + np.kron(np.diag(p) - np.outer(p, p), np.outer(x, x)) / len(X)
    return g, H


def unrolled(P, R, rho, gamma, horizon):
    """A process of S·H states whose last ones lead nowhere, without a horizon of its own."""
    if horizon is None:
        return P, R, rho
    S, A, H = *R.shape, horizon
    long = np.zeros((H * S, A, H * S))
    for t in range(H - 1):
        long[t * S : (t + 1) * S, :, (t + 1) * S : (t + 2) * S] = P
    return long, np.tile(R, (H, 1)), np.concatenate([rho, np.zeros((H - 1) * S)])


def returns(theta, P, R, rho, gamma, horizon, features=None):
    """g and H of −ρᵀ (I − γM)⁻¹ r by the product rule, every derivative of π an array."""
    S, A, d = *R.shape, len(theta)
    features = np.eye(S * A).reshape(S, A, d) if features is None else features
    e = np.exp(features @ theta)
    pi = e / e.sum(1, keepdims=True)
    score = features - np.einsum("sa,sai->si", pi, features)[:, None]
    spread = np.einsum("sa,sai,saj->sij", pi, score, score)
    dpi = pi[..., None] * score
    ddpi = pi[..., None, None] * (score[..., :, None] * score[..., None, :] - spread[:, None])
    times = 1 if horizon is None else horizon
    pi, dpi, ddpi = (np.concatenate([x] * times) for x in (pi, dpi, ddpi))
    P, R, rho = unrolled(P, R, rho, gamma, horizon)
    G = np.linalg.inv(np.eye(len(rho)) - gamma * np.einsum("sa,sat->st", pi, P))
    V = G @ np.einsum("sa,sa->s", pi, R)
    Q = R + gamma * P @ V
    dM = gamma * np.einsum("sai,sat->ist", dpi, P)
    dV = np.einsum("st,tai,ta->is", G, dpi, Q)
    cross = np.einsum("s,ist,jt->ij", rho @ G, dM, dV)
    return -np.einsum("s,sai,sa->i", rho @ G, dpi, Q), -(np.einsum("s,saij,sa->ij", rho @ G, ddpi, Q) + cross + cross.T)


def implicit(theta, A, c, X, y, query_A, query_c, query_X, query_y, strength):
    """(I + H/λ)⁻¹ as a matrix, all tasks at once."""
    if A is None:
        A, b = np.einsum("njd,nje->nde", X, X) / y.shape[1], np.einsum("njd,nj->nd", X, y) / y.shape[1]
    else:
        b = np.einsum("nde,ne->nd", A, c)
    if query_A is None:
        query_A, b_q = (np.einsum("njd,nj...->nd...", query_X, z) / query_y.shape[1] for z in (query_X, query_y))
    else:
        b_q = np.einsum("nde,ne->nd", query_A, query_c)
    inverse = np.linalg.inv(np.eye(len(theta)) + A / strength)
    phi = np.einsum("nde,ne->nd", inverse, theta + b / strength)
    return np.einsum("nde,nd->ne", inverse, np.einsum("nde,ne->nd", query_A, phi) - b_q)


def policy_gradient(theta, P, R, rho, gamma, horizon, features, v):
    """The Hessian and Fisher's matrix as arrays, and its pseudo-inverse from its eigenvectors."""
    rows = []
    R = np.einsum("nsat,nsat->nsa", P, R) if R.ndim == 4 else R
    for task in zip(P, R, rho, strict=True):
        g, H = returns(theta, *task, gamma, horizon, features)
        S, A = task[1].shape
        Phi = np.eye(S * A).reshape(S, A, -1) if features is None else features
        softmax = lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True)
        old, new = softmax(Phi @ theta), softmax(Phi @ (theta + v))
        long, _, start = unrolled(*task, gamma, horizon)
        M = np.einsum("sa,sat->st", np.concatenate([old] * (len(start) // S)), long)
        d = (start @ np.linalg.inv(np.eye(len(start)) - gamma * M)).reshape(-1, S).sum(0)
        score = lambda pi: Phi - np.einsum("sa,sai->si", pi, Phi)[:, None]
        fisher = lambda pi: np.einsum("s,sa,sai,saj->ij", d, pi, score(pi), score(pi))
        F, G = fisher(old), fisher(new)
        values, vectors = np.linalg.eigh(F)
        kept = values > 1e-11 * values.max(initial=1e-300)
        rows.append({
            "grad": g, "hvp": H @ v, "fisher": F @ v, "kl": np.sum(d[:, None] * old * np.log(old / new)),
            "natural_gradient": -(vectors[:, kept] / values[kept]) @ (vectors[:, kept].T @ g),
            "kl_grad": np.einsum("s,sa,sai->i", d, new - old, Phi), "kl_hvp": G @ v,
        })  # fmt: skip
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


PROCESS, TIME = ("P", "R", "rho"), ("gamma", "horizon")
RIGHT = [
    ("maml-regression", "I − αH forwards, Fortran order", by_task(squares, "Xy"), {}, False),
    ("maml-quadratic", "I − αH forwards, Fortran order", by_task(quadratic, "Ac"), {}, False),
    ("maml-classification", "Kronecker products", by_task(entropies, ("X", "labels"), ("classes", "ridge")), {}, False),
    ("maml-tabular", "inverses, a chain of S·H states", by_task(returns, PROCESS, TIME), {}, False),
    (
        "maml-linear-features",
        "inverses, a chain of S·H states",
        by_task(returns, PROCESS, (*TIME, "features")),
        {},
        False,
    ),
    ("implicit", "an inverse of every task, einsum", implicit, {}, False),
    ("policy-gradient", "inverses and eigenvectors", policy_gradient, {}, False),
]
