"""MAML as other people write it: a right program; derivatives are complex steps, `detach` the real part."""

import numpy as np

H = 1e-40


def detach(x):
    """A value without its derivative."""
    return np.real(x)


def slope(f, x):
    """The derivatives of f by the entries of x: the shape of x, then that of f."""
    x = np.asarray(x, dtype=float)
    out = []
    for at in np.ndindex(x.shape):
        moved = x.astype(complex)
        moved[at] += 1j * H
        out.append(np.imag(f(moved)) / H)
    return np.reshape(out, x.shape + np.shape(out[0])) if out else np.zeros(x.shape)


def hessian(loss, theta):
    """The second derivatives of a loss."""
    return slope(loss.grad, theta)


def softmax(z, axis=-1):
    """Softmax of real or complex logits."""
    e = np.exp(z - np.max(z.real, axis=axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def descend(theta, alphas, tasks, i):
    """The inner loop: a row of step sizes for each step; task i is (support, query)."""
    phi = theta
    for alpha in alphas:
        phi = phi - alpha * tasks[i][0].grad(phi)
    return phi


def final(phi, theta, alphas, tasks, i):
    """The outer loss: that of the query after the inner loop."""
    return tasks[i][1].value(phi)


def maml(
    tasks, inner=descend, outer=final, quantity="gradient", after=lambda rows: rows
):
    """A target: one row a task, differentiated through `inner` and `outer`."""

    def target(theta, alpha, steps, **data):
        pairs, rows = tasks(data), []
        for i in range(len(pairs)):

            def phi(t, a, i=i):
                return inner(t, np.broadcast_to(a, (steps, theta.size)), pairs, i)

            def F(t, a, i=i):
                return outer(
                    phi(t, a), t, np.broadcast_to(a, (steps, theta.size)), pairs, i
                )

            if quantity == "objective":
                rows.append(detach(F(theta, alpha)))
            elif quantity == "first_order":
                rows.append(
                    slope(
                        lambda p, i=i: outer(p, theta, None, pairs, i),
                        detach(phi(theta, alpha)),
                    )
                )
            elif quantity == "gradient":
                rows.append(slope(lambda t: F(t, alpha), theta))
            else:
                rows.append(slope(lambda a: F(theta, a), alpha))
        return after(np.array(rows))

    return target


def product(alphas, path, tasks, i, lam):
    """The backward recursion: λ ← λ − H(α λ), from the last step to the first."""
    for k in reversed(range(len(alphas))):
        lam = lam - hessian(tasks[i][0], path[k]) @ (alphas[k] * lam)
    return lam


def by_hand(tasks, back=product, at=lambda path: path[-1], after=lambda rows: rows):
    """A target that writes out the product of Hessians itself: the path forwards, `back` backwards."""

    def target(theta, alpha, steps, **data):
        pairs, rows = tasks(data), []
        alphas = np.broadcast_to(alpha, (steps, theta.size))
        for i in range(len(pairs)):
            path = [theta]
            for a in alphas:
                path.append(path[-1] - a * pairs[i][0].grad(path[-1]))
            rows.append(back(alphas, path, pairs, i, pairs[i][1].grad(at(path))))
        return after(np.array(rows))

    return target


def tasks_of(support, query=None):
    """(support, query) of all tasks, as objects of these classes."""

    def tasks(data):
        def make(kind, prefix, i):
            return kind(
                *(data[prefix + n][i] for n in kind.own),
                *(data[n] for n in kind.shared if n in data),
            )

        return [
            (make(support, "", i), make(query or support, "query_", i))
            for i in range(len(data[support.own[0]]))
        ]

    return tasks


class Policy:
    """−J of a softmax policy."""

    own, shared = ("P", "R", "rho"), ("gamma", "horizon", "features")

    def __init__(self, P, R, rho, gamma, horizon, features=None):
        self.P, self.R, self.rho, self.gamma, self.horizon, self.features = (
            P,
            R,
            rho,
            gamma,
            horizon,
            features,
        )

    def logits(self, theta):
        return (
            theta.reshape(self.R.shape)
            if self.features is None
            else self.features @ theta
        )

    def policy(self, theta):
        return softmax(self.logits(theta))

    def flow(self, pi):
        """Discounted visits and action values, at each time; without a horizon one pair."""
        Pp, r = np.einsum("sa,sat->st", pi, self.P), np.sum(pi * self.R, 1)
        if self.horizon is None:
            eye = np.eye(len(self.rho))
            V = np.linalg.solve(eye - self.gamma * Pp, r)
            return [
                (
                    np.linalg.solve(eye - self.gamma * Pp.T, self.rho),
                    self.R + self.gamma * self.P @ V,
                )
            ]
        visits, Q, V = [self.rho], [], np.zeros_like(r)
        for _ in range(self.horizon):
            Q.insert(0, self.R + self.gamma * self.P @ V)
            V = np.sum(pi * Q[0], 1)
            visits.append(self.gamma * visits[-1] @ Pp)
        return list(zip(visits, Q, strict=False))

    def value(self, theta):
        pi = self.policy(theta)
        return -sum(np.sum(d * np.sum(pi * self.R, 1)) for d, _ in self.flow(pi))

    def back(self, g):
        """From the gradient in the logits to that in theta."""
        return (
            g.ravel()
            if self.features is None
            else np.einsum("sa,sad->d", g, self.features)
        )

    def advantage(self, pi, Q):
        return Q - np.sum(pi * Q, 1, keepdims=True)

    def grad(self, theta):
        pi = self.policy(theta)
        return -self.back(
            sum(d[:, None] * pi * self.advantage(pi, Q) for d, Q in self.flow(pi))
        )


class Regression:
    """Half the mean squared error."""

    own, shared = ("X", "y"), ()

    def __init__(self, X, y):
        self.X, self.y = X, y

    def value(self, theta):
        return np.sum((self.X @ theta - self.y) ** 2) / (2 * len(self.y))

    def grad(self, theta):
        return self.X.T @ (self.X @ theta - self.y) / len(self.y)


class Classification:
    """Cross-entropy with a ridge."""

    own, shared = ("X", "labels"), ("classes", "ridge")

    def __init__(self, X, labels, classes, ridge):
        self.X, self.classes, self.ridge, self.Y = (
            X,
            classes,
            ridge,
            np.eye(classes)[labels],
        )

    def logits(self, theta):
        return self.X @ theta.reshape(self.classes, -1).T

    def value(self, theta):
        p = softmax(self.logits(theta))
        return -np.sum(self.Y * np.log(p)) / len(self.X) + self.ridge / 2 * np.sum(
            theta**2
        )

    def grad(self, theta):
        p = softmax(self.logits(theta))
        return ((p - self.Y).T @ self.X / len(self.X)).ravel() + self.ridge * theta


class Quadratic:
    """½ (θ − c)ᵀ A (θ − c)."""

    own, shared = ("A", "c"), ()

    def __init__(self, A, c):
        self.A, self.c = A, c

    def value(self, theta):
        return (theta - self.c) @ self.A @ (theta - self.c) / 2

    def grad(self, theta):
        return self.A @ (theta - self.c)


class Cost:
    """The cost of a linear-Gaussian policy."""

    own, shared = ("A", "B", "Q", "R", "start", "noise"), ("gamma", "horizon")

    def __init__(self, A, B, Q, R, start, noise, gamma, horizon):
        self.A, self.B, self.Q, self.R, self.start, self.noise = (
            A,
            B,
            Q,
            R,
            start,
            noise,
        )
        self.gamma, self.horizon = gamma, horizon

    def unpack(self, theta):
        """The gain and the variances."""
        p, m = self.B.shape
        return theta[: m * p].reshape(m, p), np.exp(2 * theta[m * p :])

    def sigma_slope(self, var):
        """The derivatives of the variances by the last parameters."""
        return 2 * var

    def flow(self, G, var):
        """γ^t, the second moments and the next values, at each time; without a horizon one, summed."""
        g, M = self.gamma, self.A + self.B @ G
        N, C = (self.B * var) @ self.B.T + self.noise, self.Q + G.T @ self.R @ G
        if self.horizon is None:
            K = np.eye(M.size) - g * np.kron(M, M)
            S = np.linalg.solve(K, (self.start + g / (1 - g) * N).ravel()).reshape(
                M.shape
            )
            return [(1 / (1 - g), S, np.linalg.solve(K.T, C.ravel()).reshape(M.shape))]
        S, P = [self.start], [np.zeros_like(M)]
        for _ in range(self.horizon - 1):
            S.append(M @ S[-1] @ M.T + N)
            P.insert(0, C + g * M.T @ P[0] @ M)
        return [(g**t, g**t * S[t], P[t]) for t in range(self.horizon)]

    def value(self, theta):
        G, var = self.unpack(theta)
        C, noise = self.Q + G.T @ self.R @ G, np.sum(np.diag(self.R) * var)
        return sum(np.sum(C * S) + w * noise for w, S, _ in self.flow(G, var))

    def grad(self, theta):
        G, var = self.unpack(theta)
        M, flow = self.A + self.B @ G, self.flow(G, var)
        dG = sum(
            2 * (self.R @ G + self.gamma * self.B.T @ P @ M) @ S for _, S, P in flow
        )
        dv = sum(
            w * np.diag(self.R + self.gamma * self.B.T @ P @ self.B) for w, _, P in flow
        )
        return np.concatenate([dG.ravel(), dv * self.sigma_slope(var)])


LOSSES = {
    "maml-tabular": Policy, "maml-linear-features": Policy, "maml-regression": Regression,
    "maml-classification": Classification, "maml-quadratic": Quadratic, "maml-lq": Cost,
}  # fmt: skip
