"""Forward mode over forward mode: scalars that are arrays of tasks, in lists."""

# ruff: noqa: B023  (a function of a loop is called in its round)

import numpy as np

from tests.oracle.right.duals import Dual, entry, exp, gradient, log, solve


def softmax(logits):
    e = [exp(x) for x in logits]
    total = sum(e)
    return [x / total for x in e]


def policy(theta, S, A, features=None):
    if features is None:
        return [softmax([entry(theta, s * A + a) for a in range(A)]) for s in range(S)]
    d = features.shape[-1]
    return [softmax([sum(entry(theta, j) * features[s, a, j] for j in range(d)) for a in range(A)]) for s in range(S)]


def loss_of(P, R, rho, gamma, horizon, features=None):
    N, S, A = P.shape[:3]
    R = np.einsum("nsat,nsat->nsa", P, R) if R.ndim == 4 else R
    states = range(S)

    def loss(theta):
        pi = policy(theta, S, A, features)
        r = [sum(p * R[:, s, a] for a, p in enumerate(pi[s])) for s in states]
        K = [[sum(p * (gamma * P[:, s, a, t]) for a, p in enumerate(pi[s])) for t in states] for s in states]
        if horizon is None:
            V = solve([[float(s == t) - K[s][t] for t in states] for s in states], r)
        else:
            V = r
            for _ in range(horizon - 1):
                V = [r[s] + sum(k * v for k, v in zip(K[s], V, strict=True)) for s in states]
        return -sum(V[s] * rho[:, s] for s in states)

    return loss


def regression_of(X, y):
    n, d = X.shape[1:]
    error = lambda theta, j: sum(entry(theta, i) * X[:, j, i] for i in range(d)) - y[:, j]
    return lambda theta: sum(error(theta, j) * error(theta, j) for j in range(n)) / (2.0 * n)


def quadratic_of(A, c):
    def loss(theta):
        x = [entry(theta, i) - c[:, i] for i in range(c.shape[1])]
        return sum(p * q * A[:, i, j] for i, p in enumerate(x) for j, q in enumerate(x)) * 0.5

    return loss


def maml(make, names, shared=()):
    """Outer directions in front, inner directions before them."""

    def target(theta, alpha, steps, **x):
        data = lambda prefix: [x[prefix + name] for name in names] + [x[name] for name in shared]
        support, query = make(*data("")), make(*data("query_"))

        def F(theta):
            for k in range(steps):
                g = gradient(support, theta)
                theta = theta - g * (alpha[k] if np.ndim(alpha) == 2 else alpha)
            return query(theta)

        return gradient(F, np.tile(theta, (len(x[names[0]]), 1)))

    return target


def hyper(f, at, v):
    """Value, gradient and Hessian product of f: the slopes of the slope along v."""
    slope = lambda theta: f(Dual(theta, np.broadcast_to(v, at.shape))).dx + 0 * at[:, 0]
    return f(at) + 0 * at[:, 0], gradient(f, at), gradient(slope, at)


def policy_gradient(theta, P, R, rho, gamma, horizon, features, v):
    """Loss, divergence and their derivatives, none of the others; visits by summing the chain's powers."""
    S, A, rows = *P.shape[1:3], np.tile(theta, (len(P), 1))
    old = np.stack([np.stack(row, -1) for row in policy(rows, S, A, features)], 1)
    M, now, d = np.einsum("nsa,nsat->nst", old, P), rho, 0 * rho
    for _ in range(horizon or 2000):
        d, now = d + now, gamma * np.einsum("ns,nst->nt", now, M)
    w = d[..., None] * old
    pairs = [(s, a) for s in range(S) for a in range(A)]

    def divergence(theta):
        pi = policy(theta, S, A, features)
        return sum((np.log(old[:, s, a]) - log(pi[s][a])) * w[:, s, a] for s, a in pairs)

    out = dict(zip(("loss", "grad", "hvp"), hyper(loss_of(P, R, rho, gamma, horizon, features), rows, v), strict=True))
    return out | dict(zip(("kl", "kl_grad", "kl_hvp"), hyper(divergence, rows + v, v), strict=True))


def surrogates(theta, theta_sampled, state_count, action_count, features, states, actions, rewards, mask, baseline,
               gamma, lam, v, names=("dice", "tmaml", "loaded_dice")):  # fmt: skip
    """Three of them, step by step: what came before is carried along, G_t is counted from the end."""
    S, A, (N, M, H) = state_count, action_count, rewards.shape

    def log_table(theta):
        of = lambda i, j: entry(theta, i * A + j)
        if features is not None:
            of = lambda i, j: sum(entry(theta, k) * features[i, j, k] for k in range(len(theta_sampled)))
        logits = [[of(i, j) for j in range(A)] for i in range(S)]
        return [[z - log(sum(map(exp, row))) for z in row] for row in logits]

    def log_pi(theta, table, m, t):
        s, a = (
            np.where(np.reshape(mask[:, m, t], (N, *(1,) * (x.ndim - 3))), x[:, m, t], 0) for x in (states, actions)
        )
        if s.ndim == 2:
            K = lambda j: sum(entry(theta, j * S + i) * s[:, i] for i in range(S))
            errors = ((a[:, j] - K(j)) * exp(-entry(theta, A * S + j)) for j in range(A))
            return sum((e * e * -0.5 - entry(theta, A * S + j) for j, e in enumerate(errors)), start=0.0)
        there = [(i, j, (s == i) & (a == j)) for i in range(S) for j in range(A)]
        return sum(table[i][j] * here for i, j, here in there if here.any())

    def every_log_pi(theta):
        table = log_table(theta) if states.ndim == 3 else None
        return [[log_pi(theta, table, m, t) for t in range(H)] for m in range(M)]

    old = every_log_pi(np.tile(theta_sampled, (N, 1)))

    def losses(theta):
        total, new = dict.fromkeys(("dice", "tmaml", "loaded_dice"), 0.0), every_log_pi(theta)
        for m in range(M):
            G = np.zeros((H + 1, N))
            for t in reversed(range(H)):
                G[t] = np.where(mask[:, m, t], rewards[:, m, t], 0) + gamma * G[t + 1]
            past, fading, w = 0.0, 0.0, 1.0 / M
            for t in range(H):
                there = mask[:, m, t]
                x = (new[m][t] - old[m][t]) * there
                r, b = np.where(there, rewards[:, m, t], 0), np.where(there, baseline[:, m, t], 0)
                before, fading = exp(past), fading * lam + x
                now, box, adv = exp(x), exp(past + x), (G[t] - b) * w
                total["dice"] -= (box * r + (1.0 - now) * b) * w
                total["tmaml"] -= (box * r + (1.0 - now) * b * before) * w
                total["loaded_dice"] -= (exp(fading) - exp(fading - x)) * adv
                past, w = past + x, w * gamma
        return total

    rows, out = np.tile(theta, (N, 1)), {}
    for name in names:
        parts = hyper(lambda theta: losses(theta)[name], rows, v)
        out |= {f"{name}_{kind}": part for kind, part in zip(("loss", "grad", "hvp"), parts, strict=True)}
    return out


RIGHT = [
    ("maml-quadratic", "forward mode twice", maml(quadratic_of, "Ac"), {}, False),
    ("maml-regression", "forward mode twice", maml(regression_of, "Xy"), {}, False),
    ("maml-tabular", "forward mode twice", maml(loss_of, ("P", "R", "rho"), ("gamma", "horizon")), {}, False),
    ("policy-gradient", "hyper-dual numbers", policy_gradient, {}, False),
    ("surrogates", "hyper-dual numbers", surrogates, {}, False),
]
