"""Episodic returns as other people write them: a right program with linear solves, the gradient and its tangent by hand."""

import numpy as np


def softmax(z):
    """Softmax over actions."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def get_logits(theta, features, S, A):
    """Logits of all states, or the product of the features and a direction."""
    if features is None:
        return theta.reshape(S, A)
    return features @ theta


def to_params(g, features):
    """The gradient in the logits, pulled back to theta."""
    return g.ravel() if features is None else np.einsum("sa,sad->d", g, features)


def prepare(P, R, rho, terminal):
    """Nothing leaves an end and nothing is paid there; a start in an end is lost."""
    done = np.asarray(terminal).astype(bool)
    alive = 1.0 - done
    r = (P * R).sum(-1) if R.ndim == 3 else R
    r = r * alive[:, None]
    P = P * alive[:, None, None]
    rho = rho * alive
    return P, r, rho, alive


def infinite(P, r, rho, alive, pi, gamma):
    """V, Q, advantages and visits, each with a time axis of length one."""
    eye = np.eye(len(rho))
    P_pi = np.einsum("sa,sat->st", pi, P)
    r_pi = (pi * r).sum(1)
    V = np.linalg.solve(eye - gamma * P_pi, r_pi)
    Q = r + gamma * P @ V
    d = np.linalg.solve(eye - gamma * P_pi.T, rho) * alive
    return V[None], Q[None], d[None]


def finite(P, r, rho, alive, pi, gamma, H):
    """The same by a backward and a forward pass over time."""
    S, A = r.shape
    V, Q, d = np.zeros((H + 1, S)), np.zeros((H, S, A)), np.zeros((H, S))
    P_pi = np.einsum("sa,sat->st", pi, P)
    for t in range(H - 1, -1, -1):
        Q[t] = r + gamma * P @ V[t + 1]
        V[t] = (pi * Q[t]).sum(1)
    x = rho
    for t in range(H):
        d[t] = x * alive
        x = gamma * (x @ P_pi)
    return V, Q, d


def hessian_times(P, rho, alive, pi, dpi, Q, adv, d, gamma, H):
    """The tangent of the gradient in the logits, where the policy moves by dpi."""
    S, eye = len(rho), np.eye(len(rho))
    P_pi, dP_pi = np.einsum("sa,sat->st", pi, P), np.einsum("sa,sat->st", dpi, P)
    dg = np.zeros_like(pi)
    if H is None:
        dV = np.linalg.solve(eye - gamma * P_pi, (dpi * Q[0]).sum(1))[None]
        dQ = (gamma * P @ dV[0])[None]
        dd = np.linalg.solve(eye - gamma * P_pi.T, gamma * dP_pi.T @ d[0])[None] * alive
    else:
        dV, dQ, dd = np.zeros((H + 1, S)), np.zeros_like(Q), np.zeros_like(d)
        for t in range(H - 1, -1, -1):
            dQ[t] = gamma * P @ dV[t + 1]
            dV[t] = (dpi * Q[t] + pi * dQ[t]).sum(1)
        for t in range(H - 1):
            dd[t + 1] = gamma * (dd[t] @ P_pi + d[t] @ dP_pi) * alive
    for t in range(len(Q)):
        dadv = dQ[t] - dV[t][:, None]
        dg += dd[t][:, None] * pi * adv[t]
        dg += d[t][:, None] * dpi * adv[t]
        dg += d[t][:, None] * pi * dadv
    return dg


def best(P, r, alive, pi, gamma, H):
    """Policy iteration from the softmax policy, which reaches an end; with a horizon the backward recursion."""
    S = len(r)
    if H is not None:
        V = np.zeros((H + 1, S))
        for t in range(H - 1, -1, -1):
            V[t] = (r + gamma * P @ V[t + 1]).max(1) * alive
        return V
    for _ in range(1000):
        V = np.linalg.solve(np.eye(S) - gamma * np.einsum("sa,sat->st", pi, P), (pi * r).sum(1))
        Q = r + gamma * P @ V
        better = Q.max(1) > V + 1e-11 * (1 + np.abs(V).max())
        if not better.any():
            return V
        pi = np.where(better[:, None], np.eye(r.shape[1])[Q.argmax(1)], pi)
    return V


def one_task(theta, P, R, rho, terminal, gamma, horizon, features, v):
    """All parts of one task."""
    S, A = P.shape[:2]
    pi = softmax(get_logits(theta, features, S, A))
    P, r, rho, alive = prepare(P, R, rho, terminal)
    if horizon is None:
        V, Q, d = infinite(P, r, rho, alive, pi, gamma)
    else:
        V, Q, d = finite(P, r, rho, alive, pi, gamma, horizon)
    adv = Q - V[: len(Q), :, None]
    g = (d[:, :, None] * pi * adv).sum(0)
    dl = get_logits(v, features, S, A)
    dpi = pi * (dl - (pi * dl).sum(1, keepdims=True))
    dg = hessian_times(P, rho, alive, pi, dpi, Q, adv, d, gamma, horizon)
    out = {"value": V, "action_value": Q, "advantage": adv, "occupancy": d}
    if horizon is None:
        out = {name: x[0] for name, x in out.items()}
    out["loss"] = -(rho @ V[0])
    out["grad"] = -to_params(g, features)
    out["hvp"] = -to_params(dg, features)
    out["optimal_value"] = best(P, r, alive, pi, gamma, horizon)
    return out


def answer(theta, P, R, rho, terminal, gamma, horizon, features, v):
    """A dict of stacked parts."""
    rows = [one_task(theta, P[i], R[i], rho[i], terminal[i], gamma, horizon, features, v) for i in range(len(P))]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}
