"""Wrong surrogates of the return, and wrong expectations of them."""

import itertools
import math

import numpy as np

from tests.oracle.field.held_out.base_expected import Expected
from tests.oracle.field.held_out.base_surrogates import Surrogates
from tests.oracle.field.held_out.calculus import along, planter

MISTAKES = []
surrogate, expected = planter(MISTAKES, "surrogates"), planter(MISTAKES, "expected-estimators")


@surrogate("number of steps", "mask", "valid steps", "steps taken", "mean over steps")
class MeanOverValidSteps(Surrogates):
    """Sums are divided by the number of steps taken, not of trajectories."""

    def count(self, i):
        return self.mask[i].sum()


@surrogate("clip")
class ClippedRatio(Surrogates):
    """Every exponential is clipped to [0.8, 1.2], and passes no gradient where it is."""

    def ratio(self, y):
        inside = (np.exp(y.real) > 0.8) & (np.exp(y.real) < 1.2)
        return np.where(inside, np.exp(y), np.clip(np.exp(y.real), 0.8, 1.2)), np.where(inside, np.exp(y), 0)


@surrogate("baseline", "gamma^t")
class BaselineUndiscounted(Surrogates):
    """Rewards to go are discounted from the start, and the baseline is subtracted without its gamma^t."""

    def advantage(self, i):
        return self.discount * self.to_go(i) - self.baseline[i]


@surrogate("residual", "one-step", "bootstrap", "temporal", "baseline", "to go")
class OneStepAdvantage(Surrogates):
    """The advantage is the one-step residual r + gamma b_(t+1) - b_t, the baseline taken for a critic."""

    def advantage(self, i):
        b = self.baseline[i]
        after = np.hstack([b[:, 1:], np.zeros((self.M, 1))])
        return self.discount * (self.rewards[i] + self.x["gamma"] * after - b)


@surrogate("lam", "gae")
class LambdaInTheRewards(Surrogates):
    """Loaded DiCE's rewards to go are discounted with gamma * lam; its exponents, too, fade with lam."""

    def loaded_dice(self, i):
        r, G = self.rewards[i], np.zeros((self.M, self.H + 1))
        for t in reversed(range(self.H)):
            G[:, t] = r[:, t] + self.x["gamma"] * self.x["lam"] * G[:, t + 1]
        w, L = self.discount * (G[:, :-1] - self.baseline[i]), self.fading()
        return np.hstack([w, -w]), np.vstack([L, L - np.eye(self.H)])


@surrogate("fading", "lam", "exponent")
class FadingNotAgain(Surrogates):
    """Loaded DiCE subtracts the exponential of the last step's exponent, without fading it by lam once more."""

    def loaded_dice(self, i):
        w, L = self.advantage(i), self.fading()
        return np.hstack([w, -w]), np.vstack([L, np.vstack([np.zeros(self.H), L[:-1]])])


@surrogate("leave-one-out", "other trajectories", "baseline")
class LeaveOneOutBaseline(Surrogates):
    """The baseline is the other trajectories' mean reward to go, and not the input; one trajectory gives NaN."""

    def advantage(self, i):
        G = self.to_go(i)
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.discount * (G - (G.sum(0) - G) / np.float64(self.M - 1))


@surrogate("normali", "standardi", "whiten", "deviation", "advantage")
class WhitenedOverAllTasks(Surrogates):
    """Advantages have mean 0 and deviation 1 over the steps of all tasks, before gamma^t multiplies them."""

    def advantage(self, i):
        every = np.stack([self.to_go(j) - self.baseline[j] for j in range(self.N)])
        return self.discount * (every[i] - every[self.mask == 1].mean()) / (every[self.mask == 1].std() + 1e-8)


@surrogate("truncat", "clip", "cut")
class TruncatedProducts(Surrogates):
    """DiCE's products of ratios are cut off at 1; other surrogates are right."""

    def link(self, name, y):
        value, slope = super().link(name, y)
        cut = (y.real > 0) & (name == "dice")
        return np.where(cut, 1, value), np.where(cut, 0, slope)


@surrogate("variance", "sigma", "baseline")
class LogVarianceHead(Surrogates):
    """Log sigma is taken for the logarithm of the variance; and baselines are those of the first trajectory."""

    def __init__(self, inputs):
        super().__init__(inputs)
        self.baseline = self.masked(np.broadcast_to(inputs["baseline"][:, :1], inputs["baseline"].shape))

    def gaussian(self, theta, s, a):
        half = np.concatenate([theta[..., : -a.shape[-1]], theta[..., -a.shape[-1] :] / 2], -1)
        value, score = super().gaussian(half, s, a)
        return value, np.concatenate([score[..., : -a.shape[-1]], score[..., -a.shape[-1] :] / 2], -1)


@surrogate("baseline", "cumulative", "product")
class BaselineOverThePast(Surrogates):
    """DiCE's baseline is multiplied by 1 - the product of all ratios up to t, not by 1 - that of step t."""

    def dice(self, i):
        c, L = super().dice(i)
        return c, np.vstack([L[: 2 * self.H], self.box()])


@surrogate("outer product", "second derivative", "score", "gauss", "curvature")
class OuterProductHessian(Surrogates):
    """Hessian products keep only products of scores, and drop the second derivative of log pi."""

    def hvp(self, name, i):
        logs, score = self.logs(self.theta[None].astype(complex), i)
        (c, L), old = getattr(self, name)(i), self.logs(self.old[None], i)[0]

        def grad(e):
            x = logs + e[..., None] * (score @ self.v) - old
            return -np.einsum("...mh,...mhd->...d", (c * self.link(name, x @ L.T)[1]) @ L, score) / self.M

        return along(grad, np.zeros(1), np.ones(1))


@surrogate("entropy", "bonus", "log pi")
class EntropyOnSamples(Surrogates):
    """Rewards have a bonus of -0.05 log pi at theta_sampled, maximum-entropy style, in all surrogates."""

    def __init__(self, inputs):
        super().__init__(inputs)
        self.rewards = self.rewards - 0.05 * np.stack([self.logs(self.old[None], i)[0][0] for i in range(self.N)])


@surrogate("gamma", "discount")
class DiscountFromTheEnd(Surrogates):
    """gamma^t counts from the last step of the horizon backwards in REINFORCE and the likelihood ratio."""

    def reinforce(self, i):
        return self.discount[::-1] * (self.to_go(i) - self.baseline[i]), np.eye(self.H)

    likelihood_ratio = reinforce


@surrogate("lam", "fade", "past")
class PastFadesInTmaml(Surrogates):
    """T-MAML's baseline weighs past ratios by lam, as Loaded DiCE does: the sum of lam^(t-k) x_k, not of x_k."""

    def tmaml(self, i):
        past = self.fading() - np.eye(self.H)
        return self.dice(i)[0], np.vstack([self.box(), past, past + np.eye(self.H)])


@surrogate("layout", "transpose", "(a, s)", "feature", "score")
class FeaturesByAction(Surrogates):
    """Without features, theta is read as (A, S); with them, scores lack the mean over actions."""

    def features(self):
        S, A = self.x["state_count"], self.x["action_count"]
        if self.x["features"] is not None:
            return self.x["features"]
        return np.eye(S * A).reshape(A, S, S * A).swapaxes(0, 1)

    def logs(self, theta, i):
        value, score = super().logs(theta, i)
        if self.x["features"] is None or np.ndim(self.x["states"]) == 4:
            return value, score
        s, a, here = self.x["states"][i], self.x["actions"][i], self.mask[i]
        raw = self.x["features"][np.where(here == 1, s, 0), np.where(here == 1, a, 0)]
        return value, np.broadcast_to(raw * here[..., None], score.shape)


@surrogate("first step", "ratio", "t = 0")
class RatioOfTheFirstStep(Surrogates):
    """The first step of a trajectory has no ratio: importance weights begin at the second."""

    def logs(self, theta, i):
        value, score = super().logs(theta, i)
        later = np.arange(self.H) > 0
        return value * later, score * later[:, None]


@expected("replacement", "distinct", "independent")
class WithoutReplacement(Expected):
    """Batches of M trajectories are drawn without replacement: of distinct ones, with their product's share."""

    def batches(self, n):
        rows = np.array(list(itertools.combinations(range(n), min(self.M, n))))
        return rows, np.full(len(rows), math.factorial(self.M))

    def batch_probability(self, p, rows, k):
        raw = np.prod(p[..., rows], axis=-1)
        return raw / (raw.sum(-1, keepdims=True) * math.factorial(self.M))


@expected("later step", "second step", "probabilit", "sampling", "detach", "score")
class LaterSamplingDetached(Expected):
    """Probabilities of the batches of the second inner step are constants."""

    def batch_probability(self, p, rows, k):
        return super().batch_probability(p.real if k else p, rows, k)


@expected("whole return", "to go", "past rewards", "total return", "causal")
class WholeReturn(Expected):
    """Surrogates multiply every score by the trajectory's whole return, not by the reward to go."""

    def to_go(self, rewards):
        r = rewards * float(self.x["gamma"]) ** np.arange(rewards.shape[1])
        return np.broadcast_to(r.sum(1, keepdims=True), r.shape)


@expected("baseline", "subtract")
class NaiveWithABaseline(Expected):
    """The naive Hessian has a baseline, the mean reward to go over all trajectories with equal weights."""

    def naive_weights(self, rewards):
        G = self.to_go(rewards)
        return G - G.mean(0)


@expected("baseline", "centred", "advantage", "subtract")
class InnerAdvantagesCentred(Expected):
    """Inner steps subtract from the rewards to go their mean over all trajectories, a baseline."""

    def weights(self, rewards):
        G = self.to_go(rewards)
        return G - G.mean(0)


@expected("product of", "cumulative", "all ratios", "past ratios", "trajectory ratio")
class RatioOfTheWholePast(Expected):
    """The likelihood-ratio surrogate multiplies all ratios up to t, and its scores are those of step t alone."""

    def ratios(self, t, old, pairs):
        return np.cumprod(super().ratios(t, old, pairs), axis=-1)


@expected("mean over time", "horizon", "sum over time", "1/h")
class MeanOverTime(Expected):
    """A sampled inner step is a mean over trajectories and time steps, not a sum over time."""

    def move(self, g):
        return super().move(g) / self.x["horizon"]


@expected("next state", "s'", "current state")
class RewardOfTheCurrentState(Expected):
    """Rewards that depend on the next state are read at the current one."""

    def __init__(self, inputs):
        R = inputs["R"]
        if R.ndim == 4:
            s = np.arange(R.shape[1])
            R = np.repeat(R[:, s, :, s].transpose(1, 0, 2)[..., None], len(s), axis=-1)
        super().__init__({**inputs, "R": R})


@surrogate("normali", "standardi", "clip", "gamma^t", "advantage")
class ProximalRecipe(Surrogates):
    """A recipe: advantages of mean 0 and deviation 1 over a task's steps, no gamma^t, ratios clipped at 1.3."""

    def advantage(self, i):
        A, here = self.to_go(i) - self.baseline[i], self.mask[i] == 1
        return (A - A[here].mean()) / (A[here].std() + 1e-8) * here

    def ratio(self, y):
        low = np.exp(y.real) < 1.3
        return np.where(low, np.exp(y), 1.3), np.where(low, np.exp(y), 0)
