"""Returns with ends in more styles: dense solves with tangents, tables, an added end, sparse systems of all times, whole Hessians, batches."""

import numpy as np
from scipy.sparse import csc_matrix, eye, lil_matrix
from scipy.sparse.linalg import splu

from tests.oracle.field import base_episode_tables, base_episodes

__all__ = ["RIGHT", "by_added_end", "by_batches", "by_hessian", "by_sparse_systems"]

H = 1e-60


def _softmax(z):
    e = np.exp(z - np.max(z.real, axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _features(features, S, A):
    """Tabular parameters are features, too."""
    return np.eye(S * A).reshape(S, A, S * A) if features is None else features


def _rewards(P, R):
    return np.einsum("...sat,...sat->...sa", P, R) if R.ndim == P.ndim else R


def _summed(M, steps):
    """The sum of the powers of M from 0 to steps - 1 by halving; None sums until a power has vanished."""
    total, power = np.zeros_like(M), np.eye(len(M), dtype=M.dtype)
    if steps is None:
        total, power = np.eye(len(M), dtype=M.dtype), M
        while np.abs(power).max() > 1e-40:
            total, power = total + total @ power, power @ power
        return total
    for bit in bin(steps)[2:]:
        total, power = total + total @ power, power @ power
        if bit == "1":
            total, power = np.eye(len(M)) + total @ M, power @ M
    return total


def by_added_end(theta, P, R, rho, terminal, gamma, horizon, features, v):
    """Whatever enters an end goes to one more state; the discount is a probability to go there; the gradient by complex steps."""
    S, A = P.shape[1:3]
    psi, rows = _features(features, S, A), []

    def loss(theta, P, r, rho, go):
        move = np.zeros((S + 1, A, S + 1))
        move[:S, :, :S] = gamma * P * go
        move[:S, :, S] = 1 - move[:S, :, :S].sum(-1)
        pi = _softmax(psi @ theta)
        M = np.einsum("sa,sat->st", pi, move[:S, :, :S])
        return -(rho * go) @ _summed(M, horizon) @ np.sum(pi * r, 1)

    for p, r, start, ends in zip(P, _rewards(P, R), rho, terminal, strict=True):
        go, steps = 1 - ends, np.eye(theta.size) * 1j * H
        task = (p * go[:, None, None], r * go[:, None], start, go)
        rows.append((loss(theta, *task), np.array([loss(theta + step, *task).imag / H for step in steps])))
    return {"loss": np.array([x for x, _ in rows]), "grad": np.array([g for _, g in rows])}


def by_sparse_systems(theta, P, R, rho, terminal, gamma, horizon, features, v):
    """One sparse system for the values of all times; its transpose is solved for the visits."""
    S, A = P.shape[1:3]
    psi, rows = _features(features, S, A), []
    pi, T = _softmax(psi @ theta), 1 if horizon is None else horizon
    for p, r, start, ends in zip(P, _rewards(P, R), rho, terminal, strict=True):
        go = np.flatnonzero(ends == 0)
        n, M = len(go), np.einsum("sa,sat->st", pi, p)[np.ix_(go, go)]
        K = lil_matrix(eye(n * T))
        for t in range(T):
            to = slice(0, n) if horizon is None else slice((t + 1) * n, (t + 2) * n)
            if to.stop <= n * T:
                K[t * n : (t + 1) * n, to] = K[t * n : (t + 1) * n, to].toarray() - gamma * M
        solver = splu(csc_matrix(K))
        V = np.zeros((T + 1, S))
        V[:T, go] = solver.solve(np.tile(np.sum(pi * r, 1)[go], T)).reshape(T, n)
        d, first = np.zeros((T, S)), np.zeros(n * T)
        first[:n] = start[go]
        d[:, go] = solver.solve(first, trans="T").reshape(T, n)
        after = V[:T] if horizon is None else V[1:]
        Q = (r + gamma * np.einsum("sat,kt->ksa", p, after)) * (ends == 0)[:, None]
        adv = Q - V[:T, :, None]
        grad = -np.einsum("ks,sa,ksa,sad->d", d, pi, adv, psi)
        parts = (V[0], Q[0], adv[0], d[0]) if horizon is None else (V, Q, adv, d)
        rows.append((*parts, -start @ V[0], grad))
    return dict(zip(("value", "action_value", "advantage", "occupancy", "loss", "grad"), map(np.array, zip(*rows, strict=True)), strict=True))


def by_hessian(theta, P, R, rho, terminal, gamma, horizon, features, v):
    """Jacobians and whole Hessians of the policy, the values forwards in both: nothing is propagated back."""
    S, A = P.shape[1:3]
    psi, rows = _features(features, S, A), []
    pi = _softmax(psi @ theta)
    score = psi - np.einsum("sa,sad->sd", pi, psi)[:, None]
    first = pi[:, :, None] * score
    cov = np.einsum("sa,sad,sae->sde", pi, score, score)
    second = pi[:, :, None, None] * (score[:, :, :, None] * score[:, :, None] - cov[:, None])

    def step(solve, V, dV, ddV, p, r):
        Q, dQ = r + gamma * p @ V, gamma * np.einsum("sat,td->sad", p, dV)
        cross = np.einsum("sad,sae->sde", first, dQ)
        ddr = np.einsum("sade,sa->sde", second, Q) + cross + cross.swapaxes(1, 2)
        if solve is None:
            ddQ = gamma * np.einsum("sat,tde->sade", p, ddV)
            return np.sum(pi * Q, 1), np.einsum("sad,sa->sd", first, Q) + np.einsum("sa,sad->sd", pi, dQ), ddr + np.einsum("sa,sade->sde", pi, ddQ)
        return solve(np.sum(pi * r, 1)), solve(np.einsum("sad,sa->sd", first, Q)), solve(ddr.reshape(S, -1)).reshape(ddr.shape)

    for p, r, start, ends in zip(P, _rewards(P, R), rho, terminal, strict=True):
        go = 1 - ends
        p, r = p * go[:, None, None] * go, r * go[:, None]
        K = np.eye(S) - gamma * np.einsum("sa,sat->st", pi, p)
        V, dV, ddV = np.zeros(S), np.zeros((S, theta.size)), np.zeros((S, theta.size, theta.size))
        for _ in range(3 if horizon is None else horizon):  # without a horizon each of the three needs the one before it
            V, dV, ddV = step(None if horizon is not None else lambda b, K=K: np.linalg.solve(K, b), V, dV, ddV, p, r)
        rows.append((-start @ V, -start @ dV, -np.einsum("s,sde,e->d", start, ddV, v)))
    return dict(zip(("loss", "grad", "hvp"), map(np.array, zip(*rows, strict=True)), strict=True))


def by_batches(theta, P, R, rho, terminal, gamma, horizon, features, v):
    """All tasks at once, no loop over them; the best values by sweeps from the policy's own."""
    N, S, A = P.shape[:3]
    go = 1.0 - terminal
    p, r = P * go[:, :, None, None] * go[:, None, None], _rewards(P, R) * go[:, :, None]
    pi = _softmax(_features(features, S, A) @ theta)
    M, paid = np.einsum("sa,nsat->nst", pi, p), np.einsum("sa,nsa->ns", pi, r)

    def q(V):
        return r + gamma * (p @ V[:, None, :, None])[..., 0]

    if horizon is not None:
        V, best = [np.zeros((N, S))], [np.zeros((N, S))]
        for _ in range(horizon):
            V.insert(0, np.sum(pi * q(V[0]), -1))
            best.insert(0, q(best[0]).max(-1))
        return {"value": np.stack(V, 1), "optimal_value": np.stack(best, 1), "loss": -np.sum(rho * V[0], -1)}
    V = np.linalg.solve(np.eye(S) - gamma * M, paid[..., None])[..., 0]
    d = np.linalg.solve(np.eye(S) - gamma * M.swapaxes(1, 2), (rho * go)[..., None])[..., 0]
    best = V
    for _ in range(20_000):
        best, old = q(best).max(-1), best
        if np.abs(best - old).max() <= 1e-15 * np.abs(best).max():
            break
    Q = q(V)
    return {"value": V, "action_value": Q, "advantage": Q - V[..., None], "occupancy": d, "optimal_value": best, "loss": -np.sum(rho * V, -1)}


RIGHT = [
    ("episodic-return", "linear solves, tangents by hand", base_episodes.answer, {}, False),
    ("episodic-return", "sweeps in place over lists of transitions", base_episode_tables.answer, {}, False),
    ("episodic-return", "one more state, sums of powers by halving", by_added_end, {}, False),
    ("episodic-return", "sparse systems of all times", by_sparse_systems, {}, False),
    ("episodic-return", "Jacobians and Hessians forwards", by_hessian, {}, False),
    ("episodic-return", "all tasks at once", by_batches, {}, False),
]
