"""Wrong MAML on exact returns, with tables and with features."""

import numpy as np

from tests.oracle.field.held_out.base_maml import Process, softmax, solve
from tests.oracle.field.held_out.calculus import planter, slopes

MISTAKES = []
tabular, features = planter(MISTAKES, "maml-tabular"), planter(MISTAKES, "maml-linear-features")


@tabular("frozen", "freez", "not adapted", "last state", "held fixed")
class FrozenBody(Process):
    """The logits of the last state are left out of the inner steps, as a network's body is in ANIL."""

    def step(self, phi, g, a, k):
        A = self.x["R"].shape[-1]
        return phi - a * g * (np.arange(self.d) < self.d - A)


@tabular("stale", "first step", "initial", "at theta", "action value", "value", "visits")
class StaleCritic(Process):
    """Action values and visits are those of the initial policy in every inner step; only pi is renewed."""

    def inner_grad(self, phi, data, k):
        pi = self.policy(phi)
        if k == 0:
            self.kept = self.values(pi, data), self.visits(pi, data)
        (Qs, _), d = self.kept
        terms = [n[..., None] * pi * (Q - (pi * Q).sum(-1, keepdims=True)) for n, Q in zip(d, Qs, strict=False)]
        return -self.pull(sum(terms))


@tabular("visits", "occupancy", "state distribution", "d(s)", "weight of the state")
class StatesUnweighted(Process):
    """The inner gradient weighs every state by 1, not by its visits."""

    def inner_grad(self, phi, data, k):
        pi = self.policy(phi)
        Qs, Vs = self.values(pi, data)
        return -self.pull(pi * (Qs[0] - Vs[0][..., None]))


@tabular("uniform", "explor", "query policy", "policy of the query", "query")
class GreedyNoiseInTheQuery(Process):
    """The adapted policy is judged with 5 % uniform exploration mixed in."""

    def outer_loss(self, phi, data):
        pi = 0.95 * self.policy(phi) + 0.05 / self.x["R"].shape[-1]
        return -(self.values(pi, data)[1][0] * data[2]).sum(-1)


@tabular("query_rho", "rho", "start")
class QueryStartOfSupport(Process):
    """The query's P and R are used, but its start distribution is the support's."""

    def objective(self, theta, alpha, i):
        P, R, _ = self.data("query_", i)
        return self.loss(self.adapt(theta, alpha, i), [P, R, self.x["rho"][i]])


@tabular("horizon", "to go", "time step")
class TimelessCritic(Process):
    """With a horizon, the inner gradient uses the action values of the first time step at every time."""

    def inner_grad(self, phi, data, k):
        pi = self.policy(phi)
        Qs, Vs = self.values(pi, data)
        return -self.pull(sum(d[..., None] * pi * (Qs[0] - Vs[0][..., None]) for d in self.visits(pi, data)))


@tabular("step size", "alpha", "decay", "anneal", "schedule")
class DecayedSteps(Process):
    """Inner step k uses alpha / sqrt(k + 1)."""

    def step(self, phi, g, a, k):
        return phi - a / np.sqrt(k + 1) * g


@tabular("momentum", "nesterov", "extrapol", "look-ahead", "inner gradient")
class LookAhead(Process):
    """Every inner gradient is taken at a point extrapolated by half of the last move."""

    def path(self, theta, alpha, i):
        phis, data, rows = [theta], self.data("", i), self.rows(alpha)
        for k in range(self.K):
            ahead = phis[-1] + 0.5 * (phis[-1] - phis[max(k - 1, 0)])
            phis.append(self.step(ahead, self.inner_grad(ahead, data, k), rows[:, k], k))
        return phis


@tabular(
    "another task", "other task", "wrong task", "next task", "previous task", "order of the tasks", "tasks are", "query"
)
class QueriesShifted(Process):
    """Task i is judged on the query of task i - 1: a loader that shuffles supports and queries apart."""

    def objective(self, theta, alpha, i):
        return self.loss(self.adapt(theta, alpha, i), self.data("query_", i - 1))


@tabular("detach", "constant", "advantage", "action value", "held")
class CriticDetached(Process):
    """Action values are constants when the inner gradient is differentiated; pi and the visits are not."""

    def advantage(self, Q, V, pi):
        Q = Q.real
        return Q - (pi * Q).sum(-1, keepdims=True)


@tabular("detach", "constant", "visits", "held")
class VisitsDetached(Process):
    """The visits are constants when the inner gradient is differentiated: a batch's states are given."""

    def visits(self, pi, data):
        return [d.real for d in super().visits(pi, data)]


@tabular("every step", "each step", "all steps", "mean over the steps", "multi-step", "average")
class EveryStepJudged(Process):
    """The objective is the mean of the query's loss after every inner step, as in MAML++."""

    def objective(self, theta, alpha, i):
        phis = self.path(theta, alpha, i)[1:] or [theta]
        return sum(self.loss(phi, self.data("query_", i)) for phi in phis) / len(phis)


@tabular("clip", "norm", "rescal")
class ClippedNorm(Process):
    """The inner gradient is clipped to norm 0.1, and the clipping is differentiated."""

    def step(self, phi, g, a, k):
        size = np.sqrt((g**2).sum(-1, keepdims=True))
        return phi - a * g * np.where(size.real > 0.1, 0.1 / size, 1)


@tabular("hessian", "jacobian", "next point", "after the step")
class HessianAfterTheStep(Process):
    """Each Jacobian I - alpha H is taken where the step arrives, not where it starts."""

    def one(self, i):
        alpha = np.asarray(self.x["alpha"], float)[None]
        phis, rows = [p.real for p in self.path(self.theta[None].astype(complex), alpha, i)], self.rows(alpha)
        g = slopes(lambda t: self.loss(t, self.data("query_", i)), phis[-1][0])
        for k in reversed(range(self.K)):
            g = g - slopes(lambda t: self.grad(t, self.data("", i)), phis[k + 1][0]) @ (rows[0, k] * g)
        return g


@tabular("reward", "standardi", "whiten")
class RewardsStandardised(Process):
    """The support's rewards are shifted and scaled to mean 0 and deviation 1 over its table."""

    def path(self, theta, alpha, i):
        R = self.x["R"]
        flat = R.reshape(len(R), -1)
        self.x = {**self.x, "R": (R - flat.mean(1)[:, None, None]) / flat.std(1)[:, None, None]}
        phis = super().path(theta, alpha, i)
        self.x["R"] = R
        return phis


@tabular("horizon", "1 - gamma", "infinite")
class HorizonForgotten(Process):
    """The horizon is ignored, which is singular without a discount; and the inner gradient is scaled by 1 - gamma."""

    def __init__(self, inputs):
        super().__init__({**inputs, "horizon": None})

    def inner_grad(self, phi, data, k):
        return (1 - self.x["gamma"]) * self.grad(phi, data)


@tabular("adam", "rms", "optimi", "kept between", "from one task to the next", "precondition")
class SharedRmsprop(Process):
    """The inner step is RMSProp, and its running square is kept from one task to the next."""

    square = 1.0

    def step(self, phi, g, a, k):
        self.square = 0.9 * self.square + 0.1 * (g.real[0] ** 2)
        return phi - a * g / (np.sqrt(self.square) + 1e-3)


@tabular("bootstrap", "horizon", "last step", "after the end")
class TimeLimitBootstrapped(Process):
    """With a horizon, values after the last step start at the state's best reward, not at 0."""

    def values(self, pi, data):
        if self.x["horizon"] is None:
            return super().values(pi, data)
        P, R, _ = data
        Qs, Vs = [], [np.broadcast_to(R.max(-1), pi.shape[:-1]).astype(complex)]
        for _ in range(self.x["horizon"]):
            Qs.insert(0, R + self.x["gamma"] * np.einsum("sat,...t->...sa", P, Vs[0]))
            Vs.insert(0, (pi * Qs[0]).sum(-1))
        return Qs, Vs


@tabular("proximal", "weight decay", "regulari", "pull", "distance to theta", "l2")
class StepsPulledBack(Process):
    """The inner loss has a proximal term 0.3/2 |phi - theta|^2, whose anchor is detached."""

    def path(self, theta, alpha, i):
        self.anchor = theta.real
        return super().path(theta, alpha, i)

    def inner_grad(self, phi, data, k):
        return self.grad(phi, data) + 0.3 * (phi - self.anchor)


@tabular("alpha", "step size")
class StepRowsIgnored(Process):
    """Where alpha has a row for each step, every step uses the last row."""

    def rows(self, alpha):
        rows = super().rows(alpha)
        return np.broadcast_to(rows[:, -1:], rows.shape) if self.K else rows


@tabular("gamma", "discount")
class DiscountedOnArrival(Process):
    """The query's returns count the first reward with gamma, not 1; and K is at most 2."""

    def __init__(self, inputs):
        K = min(inputs["steps"], 2)
        alpha = inputs["alpha"][:K] if np.ndim(inputs["alpha"]) == 2 else inputs["alpha"]
        super().__init__({**inputs, "steps": K, "alpha": alpha})

    def outer_loss(self, phi, data):
        return self.x["gamma"] * self.loss(phi, data)


@tabular("gain", "improvement", "difference", "before adaptation", "at theta", "unadapted", quantity="objective")
class GainReported(Process):
    """The objective is what adaptation gains, L_query(phi) - L_query(theta)."""

    quantity = "objective"

    def objective(self, theta, alpha, i):
        return super().objective(theta, alpha, i) - self.loss(theta, self.data("query_", i))


@tabular("last step", "last inner step", "detach", "earlier steps", "truncat", quantity="step_size_gradient")
class LearnedStepLastOnly(Process):
    """The slope in alpha passes through the last inner step only; what came before it is detached."""

    quantity = "step_size_gradient"

    def step(self, phi, g, a, k):
        return phi.real - (a if k == self.K - 1 else a.real) * g.real


@features("feature", "unit length", "normali")
class UnitFeatures(Process):
    """Every feature row is scaled to unit length."""

    def features(self):
        Phi = super().features()
        return Phi / np.linalg.norm(Phi, axis=-1, keepdims=True)


@features("feature", "score", "mean over actions", "baseline", "advantage")
class ScoreWithoutItsMean(Process):
    """The inner gradient multiplies features by Q without subtracting the policy's mean of either."""

    def inner_grad(self, phi, data, k):
        pi = self.policy(phi)
        Qs, _ = self.values(pi, data)
        return -self.pull(sum(d[..., None] * pi * Q for d, Q in zip(self.visits(pi, data), Qs, strict=True)))


@features("feature", "pseudo", "least squares", "project", "inverse")
class FittedToLogits(Process):
    """The inner step fits the weights to the tabular step by least squares: pinv(Phi), not its transpose."""

    def inner_grad(self, phi, data, k):
        Phi = self.features().reshape(-1, self.d)
        g = self.by_logits(self.policy(phi), data)
        return g.reshape(len(g), -1) @ np.linalg.pinv(Phi).T


@features("temperature", "logits", "sqrt", "feature", "horizon")
class AttentionScale(Process):
    """Logits are divided by sqrt(d); and with a horizon there is no adaptation."""

    def policy(self, phi):
        return softmax(np.einsum("sad,...d->...sa", self.features(), phi) / np.sqrt(self.d))

    def adapt(self, theta, alpha, i):
        return super().adapt(theta, alpha, i) if self.x["horizon"] is None else theta


@features("fisher", "hessian", "gauss", "curvature")
class FisherForHessian(Process):
    """The Hessian in the Jacobians is replaced by the Fisher matrix of the policy."""

    def one(self, i):
        alpha, data = np.asarray(self.x["alpha"], float)[None], self.data("", i)
        phis, rows = self.path(self.theta[None].astype(complex), alpha, i), self.rows(alpha)
        g = slopes(lambda t: self.loss(t, self.data("query_", i)), phis[-1][0].real)
        for k in reversed(range(self.K)):
            pi = self.policy(phis[k]).real
            score = self.features() - np.einsum("sa,sad->sd", pi[0], self.features())[:, None]
            d = sum(self.visits(pi, data))[0].real
            g = g - np.einsum("s,sa,sad,sae,e->d", d, pi[0], score, score, rows[0, k] * g)
        return g


@features("feature", "query")
class QueryFeaturesFlipped(Process):
    """The query's policy reads the states' features in reverse order."""

    def outer_loss(self, phi, data):
        pi = self.policy(phi)[..., ::-1, :]
        return -(self.values(pi, data)[1][0] * data[2]).sum(-1)


@features("visits", "discount", "gamma", "occupancy")
class LongRunVisits(Process):
    """Without a horizon, the inner gradient weighs states by visits with a discount of sqrt(gamma)."""

    def visits(self, pi, data):
        if self.x["horizon"] is not None:
            return super().visits(pi, data)
        T = np.sqrt(self.x["gamma"]) * np.einsum("...sa,sat->...ts", pi, data[0])
        return [solve(np.eye(T.shape[-1]) - T, np.broadcast_to(data[2], pi.shape[:-1]).astype(complex))]


@tabular("advantage", "deviation", "gamma^t", "undiscounted", "normali", "standardi")
class ActorCriticRecipe(Process):
    """A recipe inside: advantages are divided by their deviation, and visits are not discounted by gamma^t."""

    def inner_grad(self, phi, data, k):
        pi, gamma = self.policy(phi), float(self.x["gamma"]) or 1.0
        Qs, Vs = self.values(pi, data)
        every = np.stack([Q - V[..., None] for Q, V in zip(Qs, Vs, strict=False)])
        spread = every.real.std(axis=(0, -1, -2))[..., None, None] + 1e-8
        visits = [d / gamma**t for t, d in enumerate(self.visits(pi, data))]
        return -self.pull(sum(d[..., None] * pi * A / spread for d, A in zip(visits, every, strict=True)))
