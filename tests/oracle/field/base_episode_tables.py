"""Episodic returns from gymnasium's tables: lists of (probability, next state, reward, done), swept until nothing changes."""

import numpy as np

THETA, MAX_SWEEPS = 1e-15, 20_000


def build_table(P, R, terminal):
    """env.unwrapped.P of one task: P[s][a] is a list of (probability, next state, reward, done)."""
    S, A = P.shape[:2]
    table = {s: {a: [] for a in range(A)} for s in range(S)}
    for s in range(S):
        for a in range(A):
            for s2 in range(S):
                reward = R[s, a, s2] if R.ndim == 3 else R[s, a]
                if P[s, a, s2] > 0:
                    table[s][a].append((P[s, a, s2], s2, reward, bool(terminal[s2])))
    return table


def softmax_policy(theta, features, S, A):
    """The probabilities of all actions."""
    logits = theta.reshape(S, A) if features is None else features.dot(theta)
    pi = np.exp(logits - np.max(logits, axis=1, keepdims=True))
    return pi / np.sum(pi, axis=1, keepdims=True)


def backup(table, V, s, a, gamma):
    """Q(s, a) from the values of the next states."""
    q = 0.0
    for prob, s2, reward, done in table[s][a]:
        q += prob * (reward + gamma * V[s2] * (not done))
    return q


def sweep(table, terminal, V, gamma, combine):
    """One sweep over all states, in place; the largest change, beside the largest value."""
    delta = 0.0
    for s in range(len(V)):
        if terminal[s]:
            continue
        q = [backup(table, V, s, a, gamma) for a in range(len(table[s]))]
        new = combine(s, q)
        delta = max(delta, abs(new - V[s]))
        V[s] = new
    return delta


def evaluate(table, terminal, gamma, combine, V):
    """Sweeps until the largest change is small."""
    for _ in range(MAX_SWEEPS):
        if sweep(table, terminal, V, gamma, combine) <= THETA * (1 + np.max(np.abs(V))):
            break
    return V


def backward(table, terminal, gamma, combine, horizon):
    """Values of all times, from the last to the first."""
    S = len(terminal)
    V = np.zeros((horizon + 1, S))
    for t in reversed(range(horizon)):
        for s in range(S):
            if not terminal[s]:
                V[t, s] = combine(s, [backup(table, V[t + 1], s, a, gamma) for a in range(len(table[s]))])
    return V


def action_values(table, terminal, V, gamma):
    """Q of all states and actions; 0 in ends."""
    S, A = len(table), len(table[0])
    Q = np.zeros((S, A))
    for s in range(S):
        for a in range(A):
            Q[s, a] = 0.0 if terminal[s] else backup(table, V, s, a, gamma)
    return Q


def one_task(theta, P, R, rho, terminal, gamma, horizon, features):
    """value, action_value, advantage, loss and optimal_value of one task."""
    S, A = P.shape[:2]
    table = build_table(P, R, terminal)
    pi = softmax_policy(theta, features, S, A)
    follow, greedy = (lambda s, q: pi[s] @ q), (lambda s, q: max(q))
    if horizon is None:
        V = evaluate(table, terminal, gamma, follow, np.zeros(S))
        Q = action_values(table, terminal, V, gamma)
        adv = Q - V[:, None]
        first = V
        optimal = evaluate(table, terminal, gamma, greedy, V.copy())
    else:
        V = backward(table, terminal, gamma, follow, horizon)
        Q = np.array([action_values(table, terminal, V[t + 1], gamma) for t in range(horizon)]).reshape(horizon, S, A)
        adv = Q - V[:-1, :, None]
        first = V[0]
        optimal = backward(table, terminal, gamma, greedy, horizon)
    return {"value": V, "action_value": Q, "advantage": adv, "loss": -np.dot(rho, first), "optimal_value": optimal}


def answer(theta, P, R, rho, terminal, gamma, horizon, features, v):
    """A dict of stacked parts."""
    rows = [one_task(theta, P[i], R[i], rho[i], terminal[i], gamma, horizon, features) for i in range(len(P))]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}
