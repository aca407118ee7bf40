"""Other roads to the same numbers: loops, dense Jacobians, plain scalars, fractions.

Nothing here comes from the library: one task at a time, from the definitions.
"""

import itertools
import math

import numpy as np


def softmax(logits):
    """Row by row in plain scalars."""
    rows = []
    for row in np.asarray(logits, dtype=float).reshape(-1, np.shape(logits)[-1]):
        weights = [math.exp(x - max(row)) for x in row]
        rows.append([w / math.fsum(weights) for w in weights])
    return np.array(rows).reshape(np.shape(logits))


def best_nonstationary(P, R, rho, gamma, horizon):
    """The largest H-step return of all deterministic policies that may depend on time."""
    S, A = R.shape

    def value(choices):
        V = np.zeros(S)
        for choice in choices:
            V = np.array([R[s, choice[s]] + gamma * P[s, choice[s]] @ V for s in range(S)])
        return float(rho @ V)

    rules = list(itertools.product(range(A), repeat=S))
    return max(value(choices) for choices in itertools.product(rules, repeat=horizon))


def solved(M, b):
    """M⁻¹b in fractions, for an M whose leading blocks are regular: no pivot is 0."""
    rows = [[*row, y] for row, y in zip(M, b, strict=True)]
    for i in range(len(rows)):
        rows[i] = [x / rows[i][i] for x in rows[i]]
        for k in range(len(rows)):
            if k != i:
                rows[k] = [x - rows[k][i] * y for x, y in zip(rows[k], rows[i], strict=True)]
    return [row[-1] for row in rows]


class Quadratic:
    """½(θ − c)ᵀA(θ − c)."""

    def __init__(self, A, c):
        self.A, self.c = A, c

    def loss(self, x):
        d = len(self.c)
        return 0.5 * math.fsum(
            (x[i] - self.c[i]) * self.A[i, j] * (x[j] - self.c[j]) for i in range(d) for j in range(d)
        )

    def grad(self, x):
        return self.A @ (x - self.c)

    def hess(self, x):
        return self.A


class LinearRegression:
    """1/(2n) Σ (x·θ − y)²."""

    def __init__(self, X, y):
        self.X, self.y = X, y

    def loss(self, theta):
        return math.fsum((row @ theta - y) ** 2 for row, y in zip(self.X, self.y, strict=True)) / (2 * len(self.y))

    def grad(self, theta):
        return sum((row @ theta - y) * row for row, y in zip(self.X, self.y, strict=True)) / len(self.y)

    def hess(self, theta):
        return sum(np.outer(row, row) for row in self.X) / len(self.y)


class SoftmaxRegression:
    """Mean cross-entropy + ridge/2 ‖θ‖², θ class after class."""

    def __init__(self, X, labels, classes, ridge):
        self.X, self.labels, self.classes, self.ridge = X, labels, classes, ridge

    def _pi(self, theta):
        return softmax(self.X @ theta.reshape(self.classes, -1).T)

    def loss(self, theta):
        pi = self._pi(theta)
        data = -math.fsum(math.log(p[label]) for p, label in zip(pi, self.labels, strict=True)) / len(pi)
        return data + self.ridge / 2 * math.fsum(theta**2)

    def grad(self, theta):
        rows = zip(self._pi(theta), self.labels, self.X, strict=True)
        data = sum(np.outer(p - np.eye(self.classes)[label], x) for p, label, x in rows)
        return data.ravel() / len(self.X) + self.ridge * theta

    def hess(self, theta):
        rows = zip(self._pi(theta), self.X, strict=True)
        data = sum(np.kron(np.diag(p) - np.outer(p, p), np.outer(x, x)) for p, x in rows)
        return data / len(self.X) + self.ridge * np.eye(theta.size)


class Return:
    """−J of a softmax policy with logits Φθ; derivatives by Jacobian tensors of the Bellman system."""

    def __init__(self, P, R, rho, gamma, horizon, features):
        self.P, self.R, self.rho, self.gamma, self.horizon, self.features = P, R, rho, gamma, horizon, features

    def _jets(self, theta):
        """V(s), ∂_iV(s), ∂_ijV(s) at the first step."""
        pi = softmax(self.features @ theta)
        mean = np.einsum("sa,sai->si", pi, self.features)
        x = self.features - mean[:, None]
        spread = np.einsum("sa,sai,saj->sij", pi, x, x)
        dpi = pi[..., None] * x
        ddpi = pi[..., None, None] * (x[..., :, None] * x[..., None, :] - spread[:, None])
        K, S, d = self.gamma * np.einsum("sa,sat->st", pi, self.P), len(self.rho), theta.size

        def less(x):
            """x(s, a) less that of the likeliest action: derivatives of π sum to 0, so nothing large has to cancel."""
            return x - x[np.arange(S), np.argmax(pi, axis=1)][:, None]

        def back(V, dV, ddV):
            Q = self.R + self.gamma * self.P @ V
            cross = np.einsum("sai,saj->sij", dpi, less(self.gamma * self.P @ dV))
            first = np.einsum("sai,sa->si", dpi, less(Q))
            second = np.einsum("saij,sa->sij", ddpi, less(Q)) + cross + cross.swapaxes(1, 2)
            return np.sum(pi * Q, axis=1), first + K @ dV, second + np.einsum("st,tij->sij", K, ddV)

        if self.horizon is not None:
            jets = np.zeros(S), np.zeros((S, d)), np.zeros((S, d, d))
            for _ in range(self.horizon):
                jets = back(*jets)
            return jets
        solve = np.linalg.inv(np.eye(S) - K)
        V = solve @ np.sum(pi * self.R, axis=1)
        dV = solve @ back(V, np.zeros((S, d)), np.zeros((S, d, d)))[1]
        ddV = np.einsum("st,tij->sij", solve, back(V, dV, np.zeros((S, d, d)))[2])
        return V, dV, ddV

    def loss(self, theta):
        return -self.rho @ self._jets(theta)[0]

    def grad(self, theta):
        return -self.rho @ self._jets(theta)[1]

    def hess(self, theta):
        return -np.einsum("s,sij->ij", self.rho, self._jets(theta)[2])


LQ = ("A", "B", "Q", "R", "start", "noise")


class Cost:
    """Σ γᵗ E[xᵀQx + aᵀRa], a = Kx + σε; derivatives by Jacobian tensors of the moment recursion, forward in time."""

    def __init__(self, A, B, Q, R, start, noise, gamma, horizon):
        self.A, self.B, self.Q, self.R, self.start, self.noise = A, B, Q, R, start, noise
        self.gamma, self.horizon = gamma, horizon

    def jets(self, theta):
        """The cost, its gradient and its Hessian, through the Kronecker form vec(MΣMᵀ) = (M ⊗ M) vec Σ."""
        n, m, d = *self.B.shape, theta.size
        K, variance = theta[:-m].reshape(m, n), np.exp(2 * theta[-m:])
        dK = np.zeros((d, m, n))
        dK.reshape(d, -1)[: m * n] = np.eye(m * n)
        dv, ddv = np.zeros((d, m)), np.zeros((d, d, m))
        for j in range(m):
            dv[m * n + j, j], ddv[m * n + j, m * n + j, j] = 2 * variance[j], 4 * variance[j]
        M, dM = self.A + self.B @ K, self.B @ dK
        spread = np.einsum("ik,jk->ijk", self.B, self.B).reshape(n * n, m)
        L = np.kron(M, M)
        dL = np.array([np.kron(D, M) + np.kron(M, D) for D in dM])
        ddL = np.array([[np.kron(D, E) + np.kron(E, D) for E in dM] for D in dM])
        C = self.Q + K.T @ self.R @ K
        dC = np.array([D.T @ self.R @ K + K.T @ self.R @ D for D in dK])
        ddC = np.array([[D.T @ self.R @ E + E.T @ self.R @ D for E in dK] for D in dK])
        c, dc, ddc = C.ravel(), dC.reshape(d, -1), ddC.reshape(d, d, -1)
        price = np.diag(self.R)
        source = [self.noise.ravel() + spread @ variance, dv @ spread.T, ddv @ spread.T]

        def step(x, dx, ddx):
            cross = np.einsum("ipq,jq->ijp", dL, dx)
            second = np.einsum("ijpq,q->ijp", ddL, x) + cross + cross.swapaxes(0, 1) + ddx @ L.T
            return L @ x + source[0], dL @ x + dx @ L.T + source[1], second + source[2]

        def measured(x, dx, ddx, weight):
            cross = np.einsum("ip,jp->ij", dc, dx)
            value = c @ x + weight * price @ variance
            return np.array(
                [value, *(dc @ x + dx @ c + weight * dv @ price)]
            ), ddc @ x + cross + cross.T + ddx @ c + weight * ddv @ price

        x, dx, ddx = self.start.ravel(), np.zeros((d, n * n)), np.zeros((d, d, n * n))
        if self.horizon is None:
            g, inverse = self.gamma, np.linalg.inv(np.eye(n * n) - self.gamma * L)
            s = g / (1 - g)
            x = inverse @ (x + s * source[0])
            dx = (g * dL @ x + s * source[1]) @ inverse.T
            cross = np.einsum("ipq,jq->ijp", dL, dx)
            second = np.einsum("ijpq,q->ijp", ddL, x) + cross + cross.swapaxes(0, 1)
            ddx = (g * second + s * source[2]) @ inverse.T
            return measured(x, dx, ddx, 1 / (1 - g))
        total, second = 0, 0
        for t in range(self.horizon):
            one, two = measured(x, dx, ddx, 1)
            total, second = total + self.gamma**t * one, second + self.gamma**t * two
            x, dx, ddx = step(x, dx, ddx)
        return total, second

    def loss(self, theta):
        return self.jets(theta)[0][0]

    def grad(self, theta):
        return self.jets(theta)[0][1:]

    def hess(self, theta):
        return self.jets(theta)[1]


def single(task, i):
    """Task i of a library's batch, as a class of this file."""
    name = type(task).__name__
    if name == "Quadratic":
        return Quadratic(task.A[i], task.c[i])
    if name == "LinearRegression":
        return LinearRegression(task.X[i], task.y[i])
    if name == "SoftmaxRegression":
        return SoftmaxRegression(task.X[i], task.labels[i], task.classes, task.ridge)
    if name == "PolicyCost":
        parts = (np.broadcast_to(x, task.shape + x.shape[-2:])[i] for x in (getattr(task.lq, k) for k in LQ))
        return Cost(*parts, task.lq.gamma, task.lq.horizon)
    mdp, policy = task.mdp, task.policy
    S, A = policy.states, policy.actions
    features = getattr(policy, "features", np.eye(S * A).reshape(S, A, S * A))
    return Return(mdp.P[i], mdp.R[i], mdp.rho[i], mdp.gamma, mdp.horizon, features)


def rows_of(alpha, steps, dim):
    """α as (K, d)."""
    return np.broadcast_to(alpha, (steps, dim))


def maml(theta, support, query, alpha, steps):
    """(F, ∇F, ∂F/∂α as (K, d)), forward: Jacobians of θ⁽ᵏ⁾ by θ and by every step size."""
    d = theta.size
    alphas, x, J, S = rows_of(alpha, steps, d), theta, np.eye(d), np.zeros((d, steps, d))
    for k in range(steps):
        g, H = support.grad(x), support.hess(x)
        P = np.eye(d) - np.diag(alphas[k]) @ H
        J, S = P @ J, np.einsum("ij,jkl->ikl", P, S)
        S[np.arange(d), k, np.arange(d)] -= g
        x = x - alphas[k] * g
    return query.loss(x), query.grad(x) @ J, np.einsum("i,ikl->kl", query.grad(x), S)


def root(w, dw):
    """√w and its derivative; where w is 0 all gradients so far were 0, and N/(√w + ε) moves with N alone."""
    size = np.sqrt(w)
    return size, dw / np.where(w == 0, 1, 2 * size)[:, None] * (w != 0)[:, None]


def rule_direction(name, g, dg, m, dm, v, dv, t, b1, b2, eps):
    """The direction of a rule, the moments after it, and the derivatives of each, one row per parameter."""
    column = lambda x: x[:, None]
    if name == "heavy-ball":
        m, dm = b1 * m + g, b1 * dm + dg
        return m, dm, m, dm, v, dv
    if name == "nesterov":
        m, dm = b1 * m + g, b1 * dm + dg
        return g + b1 * m, dg + b1 * dm, m, dm, v, dv
    if name != "descent":
        v, dv = b2 * v + (1 - b2) * g * g, b2 * dv + (1 - b2) * 2 * column(g) * dg
    if name == "rmsprop":
        N, dN, (size, dD) = g, dg, root(v, dv)
        D = size + eps
    elif name == "descent":
        N, dN, D, dD = g, dg, np.ones_like(g), 0 * dg
    else:
        m, dm = b1 * m + (1 - b1) * g, b1 * dm + (1 - b1) * dg
        N, dN, w, dw = m / (1 - b1**t), dm / (1 - b1**t), v / (1 - b2**t), dv / (1 - b2**t)
        D, dD = root(w + eps, dw) if name == "adam-root" else root(w, dw)
        D = D + {"adam": eps, "adam-hat": eps / np.sqrt(1 - b2**t), "adam-root": 0}[name]
    return N / D, (dN * column(D) - column(N) * dD) / column(D) ** 2, m, dm, v, dv


def unrolled(theta, support, query, alpha, steps, name, b1=0.0, b2=0.0, eps=0.0, clip=None, coupled=0.0, decoupled=0.0, plain=0.0):
    """(F, ∇F, ∂F/∂α as (K, d)) through any rule, forward: the Jacobians of θ⁽ᵏ⁾, m_k and v_k by θ and by every step size."""
    d = theta.size
    x, m, v, alphas = theta, np.zeros(d), np.zeros(d), rows_of(alpha, steps, d)
    dx = np.hstack([np.eye(d), np.zeros((d, steps * d))])
    dm, dv = np.zeros_like(dx), np.zeros_like(dx)
    for k in range(steps):
        g, a, da = support.grad(x), alphas[k], np.zeros_like(dx)
        dg = support.hess(x) @ dx
        da[:, d + k * d : d + (k + 1) * d] = np.eye(d)
        n = math.sqrt(math.fsum(g * g))
        if clip is not None and n > clip:
            g, dg = clip * g / n, clip * (dg / n - np.outer(g, g @ dg) / n**3)
        g, dg = g + coupled * x, dg + coupled * dx
        u, du, m, dm, v, dv = rule_direction(name, g, dg, m, dm, v, dv, k + 1, b1, b2, eps)
        u, du = u + decoupled * x, du + decoupled * dx
        x, dx = x - a * u - plain * x, dx - a[:, None] * du - u[:, None] * da - plain * dx
    slope = query.grad(x) @ dx
    return query.loss(x), slope[:d], slope[d:].reshape(steps, d)


def adam(theta, gradient, alpha, steps, beta1, beta2, epsilon, hat=False, m=None, v=None, t=0):
    """Adam in plain scalars, coordinate by coordinate; `hat` is the form with α_t and ε beside √v."""
    theta = [float(x) for x in theta]
    m, v = list(m or [0.0] * len(theta)), list(v or [0.0] * len(theta))
    for _ in range(steps):
        t += 1
        for i, g in enumerate(gradient(np.array(theta))):
            m[i] = beta1 * m[i] + (1 - beta1) * g
            v[i] = beta2 * v[i] + (1 - beta2) * g * g
        for i in range(len(theta)):
            if hat:
                rate = alpha * math.sqrt(1 - beta2**t) / (1 - beta1**t)
                theta[i] -= rate * m[i] / (math.sqrt(v[i]) + epsilon)
            else:
                theta[i] -= alpha * (m[i] / (1 - beta1**t)) / (math.sqrt(v[i] / (1 - beta2**t)) + epsilon)
    return np.array(theta), m, v, t
