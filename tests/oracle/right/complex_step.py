"""The complex step, Im f(x + 1e-30 i e)/1e-30, through inner gradients that are written by hand; a loop over tasks."""

# ruff: noqa: B023  (a function of a loop is called in its round)

import numpy as np

TINY = 1e-30


def slopes(f, x):
    """The slopes of f by every entry of x, with the axes of x last."""
    x, columns = np.asarray(x, dtype=float), []
    for j in range(x.size):
        moved = x.astype(complex).ravel()
        moved[j] += 1j * TINY
        columns.append(np.imag(f(moved.reshape(x.shape))) / TINY)
    return np.stack(columns, -1).reshape((*np.shape(columns[0]), *x.shape))


def softmax(x):
    e = np.exp(x - x.real.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def process_gradient(theta, P, R, rho, gamma, horizon, features):
    """L and its gradient from Q − V at every time; without a horizon, from the visits."""
    S, A = R.shape
    pi = softmax(features @ theta)
    r, M = (pi * R).sum(-1), np.einsum("sa,sat->st", pi, P)
    g = np.zeros((S, A), dtype=complex)
    if horizon is None:
        V = np.linalg.solve(np.eye(S) - gamma * M, r)
        d = np.linalg.solve(np.eye(S) - gamma * M.T, rho)
        g += d[:, None] * pi * (R + gamma * P @ V - V[:, None])
        return -rho @ V, -np.einsum("sa,saj->j", g, features)
    values = [np.zeros(S)]
    for _ in range(horizon):
        values.append(r + gamma * M @ values[-1])
    now = rho.astype(complex)
    for t in range(horizon):
        left = horizon - t
        g += now[:, None] * pi * (R + gamma * P @ values[left - 1] - values[left][:, None])
        now = gamma * now @ M
    return -rho @ values[-1], -np.einsum("sa,saj->j", g, features)


def entropy_gradient(theta, X, labels, classes, ridge):
    pi = softmax(X @ theta.reshape(classes, -1).T)
    rows = np.arange(len(X))
    loss = -np.log(pi[rows, labels]).mean() + ridge / 2 * theta @ theta
    pi[rows, labels] -= 1
    return loss, (pi.T @ X).ravel() / len(X) + ridge * theta


def cost_gradient(theta, A, B, Q, R, start, noise, gamma, horizon):
    """The cost by its value matrix; the slope by G is 2 ((R + γ B'VB) G + γ B'VA) Σ, summed over time."""
    p, m = B.shape
    G, variance = theta[: m * p].reshape(m, p), np.exp(2 * theta[m * p :])
    M, N, stage = A + B @ G, noise + (B * variance) @ B.T, Q + G.T @ R @ G
    at = lambda V, S: 2 * (R @ G + gamma * B.T @ V @ M) @ S
    spread = lambda V: 2 * variance * np.diagonal(R + gamma * B.T @ V @ B)
    if horizon is None:
        K = np.eye(p * p) - gamma * np.kron(M, M)
        V = np.linalg.solve(K.T, stage.ravel()).reshape(p, p)
        S = np.linalg.solve(K, (start + gamma / (1 - gamma) * N).ravel()).reshape(p, p)
        cost = (V * start).sum() + ((V * N).sum() * gamma + variance @ np.diagonal(R)) / (1 - gamma)
        return cost, np.append(at(V, S), spread(V) / (1 - gamma))
    V, values = np.zeros((p, p)), []
    for _ in range(horizon):
        values.insert(0, V)
        V = stage + gamma * M.T @ V @ M
    S, cost, g = start, 0, np.zeros(len(theta))
    for t, V in enumerate(values):
        cost = cost + gamma**t * ((stage * S).sum() + variance @ np.diagonal(R))
        g = g + gamma**t * np.append(at(V, S), spread(V))
        S = M @ S @ M.T + N
    return cost, g


def adapted(theta, gradient, data, alpha, steps):
    for k in range(steps):
        theta = theta - (alpha[k] if np.ndim(alpha) == 2 else alpha) * gradient(theta, *data)[1]
    return theta


def maml(gradient, names, shared=(), quantity="gradient", slopes=slopes):
    def target(theta, alpha, steps, features=None, **x):
        if "rho" in names:
            S, A = x["R"].shape[1:]
            x["features"] = np.eye(S * A).reshape(S, A, -1) if features is None else features
        same, rows = [x[name] for name in shared], []
        for i in range(len(x[names[0]])):
            support, query = ([x[prefix + name][i] for name in names] + same for prefix in ("", "query_"))
            F = lambda theta, alpha: gradient(adapted(theta, gradient, support, alpha, steps), *query)[0]
            by_alpha = quantity == "step_size_gradient"
            rows.append(slopes(lambda a: F(theta + 0j, a), alpha) if by_alpha else slopes(lambda t: F(t, alpha), theta))
        return np.array(rows)

    return target


def implicit(theta, A, c, X, y, query_A, query_c, query_X, query_y, strength, slopes=slopes):
    rows = []
    for i in range(len(c if X is None else y)):
        if X is None:
            H, b, n = A[i], A[i] @ c[i], 1
        else:
            n = y.shape[1]
            H, b = X[i].T @ X[i], X[i].T @ y[i]
        if query_X is None:
            query = lambda phi: (phi - query_c[i]) @ query_A[i] @ (phi - query_c[i]) / 2
        else:
            query = lambda phi: ((query_X[i] @ phi - query_y[i]) ** 2).mean() / 2
        K = H + n * strength * np.eye(len(theta))
        rows.append(slopes(lambda t: query(np.linalg.solve(K, b + n * strength * t)), theta))
    return rows


def beliefs(a, m, v, noise, transitions):
    """The log probability of the transitions, and the belief after them: precisions add."""
    c, precision, weighted, total = a.copy(), np.full(m.shape, 1 / v), m / v, 0
    for s, k, after, r in transitions:
        spread, mean = 1 / precision[s, k] + noise, weighted[s, k] / precision[s, k]
        total = (
            total
            + np.log(c[s, k, after] / c[s, k].sum())
            - np.log(2 * np.pi * spread) / 2
            - (r - mean) ** 2 / spread / 2
        )
        c[s, k, after] += 1
        precision[s, k] += 1 / noise
        weighted[s, k] += r / noise
    return total, c / c.sum(-1, keepdims=True), weighted / precision


def model(theta, concentration, reward_mean, reward_variance, noise_variance, P, R, rho, gamma, horizon, alpha, steps,
          slopes=slopes, **context):  # fmt: skip
    out = {}
    columns = zip(
        *(context[f"context_{name}"] for name in ("states", "actions", "following", "rewards", "mask")), strict=True
    )
    for i, task in enumerate(columns):
        seen = [row[:4] for row in zip(*task, strict=True) if row[4]]
        belief = lambda a, m, v: beliefs(a + 0j, m + 0j, v + 0j, noise_variance, seen)
        at = concentration, reward_mean, reward_variance
        log_p, transition, reward = (np.real(x) for x in belief(*at))
        features, same = np.eye(len(theta)).reshape(*R.shape[1:], -1), (gamma, horizon)
        learned, true = ((p, r, rho[i], *same, features) for p, r in ((transition, reward), (P[i], R[i])))
        F = lambda t: process_gradient(adapted(t, process_gradient, learned, alpha, steps), *true)[0]
        row = {
            "transition": transition, "reward": reward, "log_marginal": log_p, "objective": F(theta + 0j).real,
            "gradient": slopes(F, theta), "reward_mean_grad": slopes(lambda m: belief(at[0], m, at[2])[0], reward_mean),
            "concentration_grad": concentration * slopes(lambda a: belief(a, *at[1:])[0], concentration),
            "reward_variance_grad": slopes(lambda log_v: belief(*at[:2], np.exp(log_v))[0], np.log(reward_variance)),
        }  # fmt: skip
        out = {name: [*out.get(name, []), value] for name, value in row.items()}
    return out


def lstm_loss(W, b, W_I, b_I, W_F, b_F, c0, support, query, steps):
    """F after the steps; the logarithm of the preprocessing is that of x or of −x."""
    d, H, sigmoid = len(c0), len(W_I) - 2, lambda x: 1 / (1 + np.exp(-x))
    theta, h, c, i, f = c0 + 0j, np.zeros((d, H)), np.zeros((d, H)), np.zeros(d), np.zeros(d)

    def seen(x):
        sign = np.where(x.real > 0, 1.0, -1.0)
        large = abs(x.real) >= np.exp(-10)
        return np.stack(
            [np.where(large, np.log(np.where(large, sign * x, 1)) / 10, -1), np.where(large, sign, np.exp(10) * x)], -1
        )

    for _ in range(steps):
        loss, g = entropy_gradient(theta, *support)
        z = np.concatenate([seen(g), np.broadcast_to(seen(loss), (d, 2)), h], -1) @ W.T + b
        zi, zf, zo, zc = np.split(z, 4, axis=-1)
        c = sigmoid(zf) * c + sigmoid(zi) * np.tanh(zc)
        h = sigmoid(zo) * np.tanh(c)
        i = sigmoid(np.column_stack([h, theta, i]) @ W_I + b_I)
        f = sigmoid(np.column_stack([h, theta, f]) @ W_F + b_F)
        theta = f * theta - i * g
    return entropy_gradient(theta, *query)[0]


def meta_lstm(X, labels, query_X, query_labels, classes, ridge, steps, slopes=slopes, **weights):
    """The objective and the exact slopes, not the independent ones."""
    rows = []
    for x, y, qx, qy in zip(X, labels, query_X, query_labels, strict=True):
        data = (x, y, classes, ridge), (qx, qy, classes, ridge), steps
        F = lambda **changed: lstm_loss(*({**weights, **changed}[name] for name in ORDER), *data)
        row = {f"exact_{name}": slopes(lambda w: F(**{name: w}), weights[name]) for name in ORDER}
        rows.append({**row, "objective": F().real})
    return {name: [row[name] for row in rows] for name in rows[0]}


ORDER = ("W", "b", "W_I", "b_I", "W_F", "b_F", "c0")
PROCESS, SYSTEM = ("P", "R", "rho"), ("A", "B", "Q", "R", "start", "noise")
TIME = ("gamma", "horizon")
RIGHT = [
    ("maml-tabular", "complex step", maml(process_gradient, PROCESS, (*TIME, "features")), {}, False),
    ("maml-linear-features", "complex step", maml(process_gradient, PROCESS, (*TIME, "features")), {}, False),
    ("maml-classification", "complex step", maml(entropy_gradient, ("X", "labels"), ("classes", "ridge")), {}, False),
    ("maml-lq", "complex step", maml(cost_gradient, SYSTEM, TIME), {}, False),
    ("maml-classification", "complex step in the step sizes",
     maml(entropy_gradient, ("X", "labels"), ("classes", "ridge"), "step_size_gradient"),
     {"quantity": "step_size_gradient"}, False),
    ("maml-tabular", "complex step in the step sizes",
     maml(process_gradient, PROCESS, (*TIME, "features"), "step_size_gradient"),
     {"quantity": "step_size_gradient"}, False),
    ("implicit", "complex step, a list of rows", implicit, {}, False),
    ("model", "complex step, lists", model, {}, False),
    ("meta-lstm", "complex step", meta_lstm, {}, False),
]  # fmt: skip
