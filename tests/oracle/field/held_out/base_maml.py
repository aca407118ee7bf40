"""MAML on six kinds of loss: gradients by hand inside, a complex step around everything."""

import numpy as np

from tests.oracle.field.held_out.calculus import slopes


def softmax(logits):
    """exp(x)/sum exp(x) over the last axis."""
    e = np.exp(logits - logits.real.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def solve(M, b):
    """M x = b for a batch of vectors b."""
    return np.linalg.solve(M, b[..., None])[..., 0]


class Maml:
    """The query's loss after K gradient steps on the support; parameters have a batch axis in front."""

    quantity = "gradient"

    def __init__(self, inputs):
        self.x = inputs
        self.theta, self.K = np.asarray(inputs["theta"], float), inputs["steps"]
        self.N, self.d = len(inputs["query_" + self.first]), len(self.theta)

    def data(self, prefix, i):
        """The arrays of task i."""
        return [self.x[prefix + name][i] for name in self.names]

    def loss(self, phi, data):
        """L(phi)."""
        raise NotImplementedError

    def grad(self, phi, data):
        """dL/dphi."""
        raise NotImplementedError

    def inner_grad(self, phi, data, k):
        """The gradient of inner step k."""
        return self.grad(phi, data)

    def outer_loss(self, phi, data):
        """The loss of the adapted parameters."""
        return self.loss(phi, data)

    def rows(self, alpha):
        """Step sizes as (batch, K, d)."""
        batch, rank = alpha.shape[0], np.ndim(self.x["alpha"])
        alpha = alpha.reshape((batch, 1, 1) if rank == 0 else (batch, 1, -1) if rank == 1 else alpha.shape)
        return np.broadcast_to(alpha, (batch, self.K, self.d))

    def step(self, phi, g, a, k):
        """One inner step."""
        return phi - a * g

    def path(self, theta, alpha, i):
        """theta and the parameters after every step."""
        phis, data, rows = [theta], self.data("", i), self.rows(alpha)
        for k in range(self.K):
            phis.append(self.step(phis[-1], self.inner_grad(phis[-1], data, k), rows[:, k], k))
        return phis

    def adapt(self, theta, alpha, i):
        """The adapted parameters."""
        return self.path(theta, alpha, i)[-1]

    def objective(self, theta, alpha, i):
        """F_i."""
        return self.outer_loss(self.adapt(theta, alpha, i), self.data("query_", i))

    def one(self, i):
        """What is asked for of task i."""
        alpha, theta = np.asarray(self.x["alpha"], float), self.theta
        if self.quantity == "gradient":
            return slopes(lambda t: self.objective(t, alpha[None], i), theta)
        if self.quantity == "step_size_gradient":
            return slopes(lambda a: self.objective(np.broadcast_to(theta, (len(a), self.d)), a, i), alpha)
        if self.quantity == "objective":
            return self.objective(theta[None].astype(complex), alpha[None], i)[0].real
        phi = self.adapt(theta[None].astype(complex), alpha[None], i).real
        return self.grad(phi.astype(complex), self.data("query_", i))[0].real

    def answer(self):
        """One row for each task."""
        return np.stack([np.asarray(self.one(i)) for i in range(self.N)])


class Regression(Maml):
    """Mean squared errors."""

    first, names = "X", ("X", "y")

    def errors(self, phi, data):
        X, y = data
        return phi @ X.T - y

    def loss(self, phi, data):
        return (self.errors(phi, data) ** 2).sum(-1) / (2 * len(data[1]))

    def grad(self, phi, data):
        return self.errors(phi, data) @ data[0] / len(data[1])


class Quadratic(Maml):
    """Quadratic losses."""

    first, names = "A", ("A", "c")

    def loss(self, phi, data):
        return ((phi - data[1]) * ((phi - data[1]) @ data[0])).sum(-1) / 2

    def grad(self, phi, data):
        return (phi - data[1]) @ data[0]


class Classification(Maml):
    """Cross-entropies."""

    first, names = "X", ("X", "labels")

    def targets(self, labels, data):
        return np.eye(self.x["classes"])[labels]

    def weights(self, data):
        return np.full(len(data[1]), 1 / len(data[1]))

    def logits(self, phi, data):
        W = phi.reshape(*phi.shape[:-1], self.x["classes"], -1)
        return np.einsum("...cf,nf->...nc", W, data[0])

    def penalty(self, phi):
        return self.x["ridge"] * (phi**2).sum(-1) / 2

    def loss(self, phi, data):
        log = np.log(softmax(self.logits(phi, data)))
        T = self.targets(data[1], data)
        return self.penalty(phi) - np.einsum("...nc,nc,n->...", log, T, self.weights(data))

    def grad(self, phi, data):
        T = self.targets(data[1], data)
        off = softmax(self.logits(phi, data)) - T
        g = np.einsum("...nc,nf,n->...cf", off, data[0], self.weights(data))
        return g.reshape(phi.shape) + self.x["ridge"] * phi


class Process(Maml):
    """Minus the returns of softmax policies."""

    first, names = "P", ("P", "R", "rho")

    def features(self):
        S, A = self.x["R"].shape[1:3]
        given = self.x.get("features")
        return np.eye(S * A).reshape(S, A, S * A) if given is None else given

    def policy(self, phi):
        return softmax(np.einsum("sad,...d->...sa", self.features(), phi))

    def values(self, pi, data):
        """Q and V; with a horizon a list of them, of the first time step first."""
        P, R, _ = data
        gamma, H = self.x["gamma"], self.x["horizon"]
        if H is None:
            M = np.eye(len(R)) - gamma * np.einsum("...sa,sat->...st", pi, P)
            V = solve(M, (pi * R).sum(-1))
            return [R + gamma * np.einsum("sat,...t->...sa", P, V)], [V]
        Qs, Vs = [], [np.zeros(pi.shape[:-1], complex)]
        for _ in range(H):
            Qs.insert(0, R + gamma * np.einsum("sat,...t->...sa", P, Vs[0]))
            Vs.insert(0, (pi * Qs[0]).sum(-1))
        return Qs, Vs

    def visits(self, pi, data):
        """Discounted visits; with a horizon a list of them."""
        P, R, rho = data
        gamma, H = self.x["gamma"], self.x["horizon"]
        T = gamma * np.einsum("...sa,sat->...ts", pi, P)
        start = np.broadcast_to(rho, pi.shape[:-1]).astype(complex)
        if H is None:
            return [solve(np.eye(len(R)) - T, start)]
        d = [start]
        for _ in range(H - 1):
            d.append(np.einsum("...ts,...s->...t", T, d[-1]))
        return d

    def loss(self, phi, data):
        return -(self.values(self.policy(phi), data)[1][0] * data[2]).sum(-1)

    def advantage(self, Q, V, pi):
        return Q - V[..., None]

    def by_logits(self, pi, data):
        """dL/dlogits (..., S, A)."""
        Qs, Vs = self.values(pi, data)
        terms = zip(self.visits(pi, data), Qs, Vs, strict=False)
        return -sum(d[..., None] * pi * self.advantage(Q, V, pi) for d, Q, V in terms)

    def pull(self, logits):
        return np.einsum("sad,...sa->...d", self.features(), logits)

    def grad(self, phi, data):
        return self.pull(self.by_logits(self.policy(phi), data))


class Cost(Maml):
    """Costs of linear-Gaussian policies."""

    first, names = "A", ("A", "B", "Q", "R", "start", "noise")

    def policy(self, phi):
        p, m = self.x["B"].shape[1:]
        return phi[..., : m * p].reshape(*phi.shape[:-1], m, p), self.sigma(phi[..., m * p :])

    def sigma(self, log):
        return np.exp(log)

    def moments(self, S, M, N):
        """The second moments after one step."""
        return M @ S @ np.swapaxes(M, -1, -2) + N

    def cost(self, S, G, sigma, data, weight):
        _, _, Q, R, _, _ = data
        GSG = G @ S @ np.swapaxes(G, -1, -2)
        return (S * Q).sum((-1, -2)) + (GSG * R).sum((-1, -2)) + weight * (sigma**2 * np.diag(R)).sum(-1)

    def closed(self, G, B, sigma, data):
        """The closed loop and the covariance that a step adds."""
        return data[0] + B @ G, data[5] + np.einsum("ij,...j,kj->...ik", B, sigma**2, B)

    def loss(self, phi, data):
        A, B, Q, R, start, noise = data
        gamma, H = self.x["gamma"], self.x["horizon"]
        G, sigma = self.policy(phi)
        M, N = self.closed(G, B, sigma, data)
        if H is not None:
            S, total = start, 0
            for t in range(H):
                total = total + gamma**t * self.cost(S, G, sigma, data, 1)
                S = self.moments(S, M, N)
            return total
        p = len(A)
        kron = np.einsum("...ij,...kl->...ikjl", M, M).reshape(*M.shape[:-2], p * p, p * p)
        right = (start + gamma / (1 - gamma) * N).reshape(*N.shape[:-2], p * p)
        S = solve(np.eye(p * p) - gamma * kron, right).reshape(N.shape)
        return self.cost(S, G, sigma, data, 1 / (1 - gamma))

    def grad(self, phi, data):
        """Backwards through time by hand; for no horizon the value's own equation."""
        A, B, Q, R, start, noise = data
        gamma, H = self.x["gamma"], self.x["horizon"]
        G, sigma = self.policy(phi)
        M, N = self.closed(G, B, sigma, data)
        Gt, Mt = np.swapaxes(G, -1, -2), np.swapaxes(M, -1, -2)
        stage, p = Q + Gt @ R @ G, len(A)
        if H is None:
            kron = np.einsum("...ij,...kl->...ikjl", M, M).reshape(*M.shape[:-2], p * p, p * p)
            right = (start + gamma / (1 - gamma) * N).reshape(*N.shape[:-2], p * p)
            S = solve(np.eye(p * p) - gamma * kron, right).reshape(N.shape)
            V = solve(np.eye(p * p) - gamma * np.swapaxes(kron, -1, -2), stage.reshape(right.shape)).reshape(N.shape)
            byG = 2 * (R @ G @ S + gamma * B.T @ V @ M @ S)
            bylog = 2 * sigma**2 / (1 - gamma) * (np.diag(R) + gamma * np.einsum("ij,...ik,kj->...j", B, V, B))
        else:
            Vs, Ss = [np.zeros_like(stage)], [np.broadcast_to(start, M.shape)]
            for _ in range(H):
                Vs.insert(0, stage + gamma * Mt @ Vs[0] @ M)
                Ss.append(self.moments(Ss[-1], M, N))
            byG, bylog = 0, 0
            for t in range(H):
                byG = byG + gamma**t * 2 * (R @ G @ Ss[t] + gamma * B.T @ Vs[t + 1] @ M @ Ss[t])
                V = np.einsum("ij,...ik,kj->...j", B, Vs[t + 1], B)
                bylog = bylog + gamma**t * 2 * sigma**2 * (np.diag(R) + gamma * V)
        return np.concatenate([byG.reshape(*phi.shape[:-1], -1), bylog], axis=-1)
