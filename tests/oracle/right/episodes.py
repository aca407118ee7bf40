"""The return with ends: steps counted one by one, Q by sweeps over a table, the formulas written out, hyper-dual numbers."""

import numpy as np

from tests.oracle.right.complex_step import slopes
from tests.oracle.right.differences import central
from tests.oracle.right.forward import hyper, policy

__all__ = ["RIGHT", "as_table", "by_formulas", "by_steps", "by_table"]

ENOUGH = 1500  # steps without a horizon; of the valid vectors those with longer episodes are extreme


def _policy(theta, shape, features):
    """π of every state."""
    logits = theta.reshape(shape) if features is None else features @ theta
    e = np.exp(logits - np.max(logits.real, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def _steps(horizon):
    """How many rewards there may be; enough for the rarest of the ends."""
    return horizon if horizon is not None else ENOUGH


def by_steps(theta, P, R, rho, terminal, gamma, horizon, features, v, slopes=slopes):
    """The walk through the states: whoever enters an end is paid for that and leaves; the gradient by a complex step."""
    r = np.einsum("nsat,nsat->nsa", P, R) if R.ndim == 4 else R

    def loss(theta):
        pi, now, total = _policy(theta, r.shape[1:], features), rho * (1 - terminal), 0.0
        for t in range(_steps(horizon)):
            total = total + gamma**t * np.einsum("ns,sa,nsa->n", now, pi, r)
            now = np.einsum("ns,sa,nsat->nt", now, pi, P) * (1 - terminal)
        return -total

    return {"loss": loss(theta), "grad": slopes(loss, theta)}


def as_table(P, R, terminal):
    """{s: {a: [(p, s', r, done)]}} of one task, as gymnasium has it; the rows of the ends go on as they are given."""
    S, A = P.shape[:2]
    paid = R if R.ndim == 3 else np.repeat(R[..., None], S, axis=-1)
    return {
        s: {a: [(float(P[s, a, t]), t, float(paid[s, a, t]), bool(terminal[t])) for t in range(S) if P[s, a, t] > 0] for a in range(A)}
        for s in range(S)
    }


def by_table(theta, P, R, rho, terminal, gamma, horizon, features, v):
    """Sweeps over the table: p (r + γ (1 − done) V[s']) for every transition, and the states that are ends are left out."""
    N, S, A = P.shape[:3]
    pi = _policy(theta, (S, A), features)
    values, actions = [], []
    for n in range(N):
        table, V, of_steps = as_table(P[n], R[n], terminal[n]), np.zeros(S), []
        for _ in range(_steps(horizon)):
            Q = np.zeros((S, A))
            for s in np.flatnonzero(terminal[n] == 0):
                for a in range(A):
                    Q[s, a] = sum(p * (r + gamma * (not done) * V[t]) for p, t, r, done in table[s][a])
            before, V = V, np.sum(pi * Q, axis=1)
            of_steps.insert(0, (V, Q))
            if horizon is None and np.array_equal(before, V):
                break
        values.append(V if horizon is None else np.stack([V for V, _ in of_steps] + [0 * V]))
        actions.append(Q if horizon is None else np.stack([Q for _, Q in of_steps]))
    V, Q = np.stack(values), np.stack(actions)
    return {"value": V, "action_value": Q, "advantage": Q - (V if horizon is None else V[:, :-1])[..., None]}


def by_formulas(theta, P, R, rho, terminal, gamma, horizon, features, v):
    """On the states that are no ends alone, task by task: values, whole advantages, and visits; the ends are filled in at last."""
    r = np.einsum("nsat,nsat->nsa", P, R) if R.ndim == 4 else R
    N, S, A = r.shape
    H, rows = 1 if horizon is None else horizon, []
    for n in range(N):
        go = np.flatnonzero(terminal[n] == 0)
        pi, K = _policy(theta, (S, A), features)[go], P[n][np.ix_(go, range(A), go)]
        M, mean = np.einsum("sa,sat->st", pi, K), np.sum(pi * r[n, go], axis=1)
        if horizon is None:
            system = np.eye(len(go)) - gamma * M
            values, d = [np.linalg.solve(system, mean)] * 2, [np.linalg.solve(system.T, rho[n, go])]
        else:
            values, d = [0 * mean], [rho[n, go]]
            for _ in range(horizon):
                values.insert(0, mean + gamma * M @ values[0])
                d.append(gamma * M.T @ d[-1])
        V, Q, visits = np.zeros((H + 1, S)), np.zeros((H, S, A)), np.zeros((H, S))
        V[:, go], visits[:, go] = values, d[:H]
        Q[:, go] = [r[n, go] + gamma * K @ V for V in values[1:]]
        advantage = Q - V[:H, :, None]
        g = np.einsum("ts,sa,tsa->sa", visits, _policy(theta, (S, A), features), advantage)
        grad = -g.ravel() if features is None else -np.einsum("sa,sad->d", g, features)
        every = {"value": V, "action_value": Q, "advantage": advantage, "occupancy": visits}
        first = {name: x[0] for name, x in every.items()} if horizon is None else every
        rows.append(first | {"loss": -rho[n] @ V[0], "grad": grad})
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def by_duals(theta, P, R, rho, terminal, gamma, horizon, features, v):
    """Steps of the values, backwards, in numbers that carry both slopes; an end is worth 0."""
    r = np.einsum("nsat,nsat->nsa", P, R) if R.ndim == 4 else R
    S, A = r.shape[1:]
    go = 1 - terminal

    def loss(theta):
        pi = policy(theta, S, A, features)
        paid = [sum(p * (r[:, s, a] * go[:, s]) for a, p in enumerate(pi[s])) for s in range(S)]
        kernel = [[sum(p * (gamma * P[:, s, a, t] * go[:, s]) for a, p in enumerate(pi[s])) for t in range(S)] for s in range(S)]
        V = paid
        for _ in range(_steps(horizon) - 1):
            V = [paid[s] + sum(M * x for M, x in zip(kernel[s], V, strict=True)) for s in range(S)]
        return -sum(V[s] * rho[:, s] for s in range(S))

    return dict(zip(("loss", "grad", "hvp"), hyper(loss, np.tile(theta, (len(P), 1)), v), strict=True))


def by_differences(**inputs):
    """The gradient as central differences of the loss."""
    return by_steps(**inputs, slopes=lambda f, x: central(lambda t: f(t), x))


RIGHT = [
    ("episodic-return", "steps one by one", by_steps, {}, False),
    ("episodic-return", "sweeps over gymnasium's table", by_table, {}, False),
    ("episodic-return", "formulas on the states that are no ends", by_formulas, {}, False),
    ("episodic-return", "hyper-dual numbers", by_duals, {}, False),
    ("episodic-return", "central differences", by_differences, {}, True),
]
