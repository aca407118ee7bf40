"""Wrong MAML on linear-quadratic costs."""

import numpy as np

from tests.oracle.field.held_out.base_maml import Cost
from tests.oracle.field.held_out.calculus import planter

MISTAKES = []
lq = planter(MISTAKES, "maml-lq")


@lq("softplus", "sigma")
class SoftplusDeviation(Cost):
    """The query's sigma is softplus of its parameter, not exp."""

    def objective(self, theta, alpha, i):
        phi = self.adapt(theta, alpha, i)
        m = self.x["B"].shape[-1]
        tail = np.log(np.log(1 + np.exp(phi[..., -m:])))
        return self.loss(np.concatenate([phi[..., :-m], tail], -1), self.data("query_", i))


@lq("noise")
class NoiseBeforeTheDynamics(Cost):
    """The query's noise enters before the dynamics: S' = M (S + N) M'."""

    def outer_loss(self, phi, data):
        A, B, Q, R, start, noise = data
        G, sigma = self.policy(phi)
        M, N = self.closed(G, B, sigma, [*data])
        Mt, H = np.swapaxes(M, -1, -2), self.x["horizon"]
        S, total = start, 0
        for t in range(400 if H is None else H):
            total = total + self.x["gamma"] ** t * self.cost(S, G, sigma, data, 1)
            S = M @ (S + N) @ Mt
        return total


@lq("terminal", "final state", "last state", "horizon", "h + 1", "not adapted", "constant column")
class TerminalCost(Cost):
    """With a horizon the state after the last action is charged; without one the constant column is not adapted."""

    def outer_loss(self, phi, data):
        if self.x["horizon"] is None:
            return self.loss(phi, data)
        G, sigma = self.policy(phi)
        M, N = self.closed(G, data[1], sigma, data)
        S = data[4]
        for _ in range(self.x["horizon"]):
            S = self.moments(S, M, N)
        return self.loss(phi, data) + self.x["gamma"] ** self.x["horizon"] * (S * data[2]).sum((-1, -2))

    def step(self, phi, g, a, k):
        p, m = self.x["B"].shape[1:]
        constant = np.arange(self.d) % p == p - 1
        keep = (np.arange(self.d) < m * p) & constant & (self.x["horizon"] is None)
        return phi - a * np.where(keep, 0, g)


@lq("horizon", "truncat", "infinite", "tail")
class EightStepsForEver(Cost):
    """No horizon is taken for a horizon of 8 steps."""

    def __init__(self, inputs):
        super().__init__({**inputs, "horizon": inputs["horizon"] or 8})


@lq("clamp", "clip", "bound", "sigma")
class DeviationBounded(Cost):
    """The adapted log sigma is clamped to at least -0.5, and the clamp passes no gradient."""

    def adapt(self, theta, alpha, i):
        phi = super().adapt(theta, alpha, i)
        tail = np.arange(self.d) >= self.d - self.x["B"].shape[-1]
        return np.where(tail & (phi.real < -0.5), -0.5, phi)


@lq("natural", "sigma", "precondition", "gain")
class NaturalInsideGain(Cost):
    """The inner step multiplies the gain's gradient by sigma^2, a natural gradient that forgets the state's moments."""

    def step(self, phi, g, a, k):
        p, m = self.x["B"].shape[1:]
        scale = np.exp(2 * phi[..., m * p :])
        return phi - a * np.concatenate([g[..., : m * p] * np.repeat(scale, p, axis=-1), g[..., m * p :]], -1)


@lq("diagonal", "cost of the action", "action cost", "r is", "of r")
class ActionCostDiagonal(Cost):
    """Only R's diagonal is charged, in support and query."""

    def data(self, prefix, i):
        A, B, Q, R, start, noise = super().data(prefix, i)
        return [A, B, Q, np.diag(np.diag(R)), start, noise]


@lq("start", "mean of x_0", "second moment", "e[x_0]")
class StartCentred(Cost):
    """The start is read as a covariance with mean 0: E[x_0] of the query is dropped, except for the constant 1."""

    def data(self, prefix, i):
        data = super().data(prefix, i)
        if prefix:
            start = data[4].copy()
            start[:-1, -1] = start[-1, :-1] = 0
            data[4] = start
        return data


@lq("1 - gamma", "per step", "average", "number of steps", "normali", quantity="objective")
class CostPerStep(Cost):
    """The objective is the cost per step: times 1 - gamma without a horizon, over the sum of gamma^t with one."""

    quantity = "objective"

    def outer_loss(self, phi, data):
        gamma, H = self.x["gamma"], self.x["horizon"]
        return self.loss(phi, data) * (1 - gamma if H is None else 1 / sum(gamma**t for t in range(H)))
