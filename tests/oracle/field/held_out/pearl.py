"""Wrong training steps of PEARL."""

import numpy as np

from tests.oracle.field.held_out.base_pearl import Pearl, softmax
from tests.oracle.field.held_out.calculus import planter

MISTAKES = []
pearl = planter(MISTAKES, "pearl")


@pearl("context_mask", "mask", "padding")
class PaddingAsFactors(Pearl):
    """Masked transitions get zero features and stay as factors N(0, I), where they must not be read."""

    def context(self, i):
        self.here = np.asarray(self.x["context_mask"][i], float)[:, None]
        return [np.where(self.here[:, 0] == 1, self.x["context_" + k][i], 0 * self.x["context_states"][i])
                for k in ("states", "actions", "rewards", "following")]  # fmt: skip

    def psi(self, s, a, r, after):
        return super().psi(s.astype(int), a.astype(int), r, after.astype(int)) * self.here


@pearl("average", "mean of the", "product", "mixture")
class AveragedFactors(Pearl):
    """The belief is the average of the factors' means and variances, not their product."""

    def product(self, mean, variance, prior):
        m0, v0, count = prior
        n = mean.shape[-2] + count
        return (mean.sum(-2) + count * m0) / n, (variance.sum(-2) + count * v0) / n


@pearl("softplus", "log variance", "exp")
class SoftplusVariance(Pearl):
    """A factor's variance is softplus of the encoder's output, as in oyster, not exp."""

    def spread(self, raw):
        return np.log(1 + np.exp(raw))


@pearl("target", "through y", "y is", "held")
class TargetsNotHeld(Pearl):
    """The encoder's gradient goes through the critic's targets, too."""

    def latent_loss(self, i, z, y):
        return self.critic_loss(i, self.x["critic"], z, self.y(i, z))


@pearl("actor", "mean over the latent", "kl")
class ActorTrainsTheEncoder(Pearl):
    """The encoder learns from the actor's loss beside the critic's, and KL is a mean over the latent variables."""

    def latent_loss(self, i, z, y):
        return super().latent_loss(i, z, y) + self.actor_loss(i, self.x["policy"], z)

    def kl(self, mean, variance):
        return super().kl(mean, variance) / self.Z


@pearl("log-sum-exp", "logsumexp", "log sum exp", "soft maximum", "best policy", "soft value")
class SoftMaximum(Pearl):
    """The target's value is tau log sum exp(Q/tau), that of the best soft policy and not of pi."""

    def soft_value(self, pi, Q):
        top = Q.real.max(-1, keepdims=True)
        return self.tau * np.log(np.exp((Q - top) / self.tau).sum(-1)) + top[..., 0]


@pearl("terminal", "after the end", "entropy")
class EntropyAfterTheEnd(Pearl):
    """At an end Q is cut off, but the entropy's bonus is still added."""

    def y(self, i, z):
        r, terminal, after = self.batch(i, "rewards", "terminal", "following")
        pi, Q = self.policy(self.x["policy"], after, z), self.target_values(after, z)
        return r + self.gamma * self.soft_value(pi, (1 - terminal)[:, None] * Q)


@pearl("mask", "padding", "size of the batch", "number of transitions")
class ActorMeanOverPadding(Pearl):
    """The actor's and the temperature's means are divided by the size of the batch, not by its transitions."""

    def actor_loss(self, i, policy, z):
        m = np.asarray(self.x["mask"][i])
        return super().actor_loss(i, policy, z) * m.sum() / len(m)

    def entropy(self, i, z):
        m = np.asarray(self.x["mask"][i])
        return super().entropy(i, z) * m.sum() / len(m)


@pearl("layout", "a*s", "order", "entry", "feature", "transpose")
class ActionMajorFeatures(Pearl):
    """The one-hot of state and action has entry a*S + s."""

    def psi(self, s, a, r, after):
        where = np.hstack([np.eye(self.S * self.A)[a * self.S + s], np.eye(self.S)[after]])
        return np.hstack([np.ones((len(s), 1)), where, r[:, None] * where])


@pearl("minimum", "twin", "double")
class TwinMinimum(Pearl):
    """The target's value takes the minimum of the critic and its target, for two twins."""

    def target_values(self, following, z):
        one, two = self.at(self.x["target_critic"], following, z), self.at(self.x["critic"], following, z)
        return np.where(one.real < two.real, one, two)


@pearl("prior")
class PriorWithEveryFactor(Pearl):
    """N(0, I) is multiplied in once for each transition of the context."""

    def prior(self, shape, count):
        return np.zeros(shape), np.ones(shape), self.x["prior_factors"] * count


@pearl("detach", "deviation", "sigma", "through the mean", "noise")
class DeviationDetached(Pearl):
    """The draw's deviation is a constant: the encoder learns from z through the mean only."""

    def draw(self, mean, variance, noise):
        return mean + np.sqrt(variance.real) * noise


@pearl("scale", "reward")
class RewardScale(Pearl):
    """Rewards of the batch are multiplied by 5, oyster's reward scale; those of the context are not."""

    def y(self, i, z):
        return super().y(i, z) + 4 * self.batch(i, "rewards")[0]


@pearl("mean of the belief", "belief's mean", "noise", "draw", "sample")
class ActorSeesTheMean(Pearl):
    """The actor and the temperature see the belief's mean, and only the critic its draw."""

    def one(self, i):
        row, noise = super().one(i), self.x["noise"]
        self.x = {**self.x, "noise": 0 * noise}
        calm = super().one(i)
        self.x["noise"] = noise
        return {**row, **{k: calm[k] for k in ("actor_loss", "actor_grad", "temperature_loss", "temperature_grad")}}


@pearl("target critic", "target_critic")
class ActorOnTheTargetCritic(Pearl):
    """The actor follows the target critic."""

    def actor_values(self, states, z):
        return self.at(self.x["target_critic"], states, z)


@pearl("log tau", "log_temperature", "base 2", "log2", "temperature")
class LogTemperatureAsFactor(Pearl):
    """The temperature's loss is log tau, not tau, times the difference of entropies; the entropy's base is 2."""

    def temperature_loss(self, i, log, z):
        return log * (self.entropy(i, z) / np.log(2) - self.x["target_entropy"])


@pearl("clip", "clamp")
class ClippedTargets(Pearl):
    """Targets are clipped to [-1, 1]."""

    def y(self, i, z):
        y = super().y(i, z)
        return np.where(np.abs(y.real) > 1, np.sign(y.real), y)


@pearl("number of tasks", "mean over tasks", "beta", "mean over the tasks")
class DivergenceSharedByTasks(Pearl):
    """KL is divided by the number of tasks in the encoder's loss: a mean over tasks beside a sum."""

    def __init__(self, inputs):
        super().__init__(inputs)
        self.beta = self.beta / self.N


@pearl("reverse", "direction", "kl", "sum over the batch")
class ReverseDivergence(Pearl):
    """The divergence is KL(N(0, I) || belief), and the critic's loss is a sum over the batch."""

    def kl(self, mean, variance):
        return ((1 + mean**2) / variance - 1 + np.log(variance)).sum(-1) / 2

    def critic_loss(self, i, critic, z, y):
        return super().critic_loss(i, critic, z, y) * self.batch(i, "states")[0].shape[0]


@pearl("divergence", "tau", "normali", "kl(")
class ActorAsADivergence(Pearl):
    """The actor's loss is the divergence KL(pi || softmax(Q/tau)), not divided back by tau and with its normaliser."""

    def actor_loss(self, i, policy, z):
        (s,) = self.batch(i, "states")
        pi, best = self.policy(policy, s, z), softmax(self.actor_values(s, z) / self.tau)
        return self.mean((pi * (np.log(pi) - np.log(best))).sum(-1), i)


@pearl("centred", "context_rewards", "mean of the rewards")
class ContextRewardsCentred(Pearl):
    """The context's rewards are centred by their mean before the encoder reads them."""

    def context(self, i):
        s, a, r, after = super().context(i)
        return [s, a, r - r.mean() if len(r) else r, after]


@pearl("clamp", "floor", "minimum", "bound", "epsilon")
class VarianceFloor(Pearl):
    """A factor's variance is at least 0.7, by a clamp without a gradient; z's deviation has 0.01 added."""

    def spread(self, raw):
        v = np.exp(raw)
        return np.where(v.real < 0.7, 0.7, v)

    def draw(self, mean, variance, noise):
        return mean + (np.sqrt(variance) + 0.01) * noise


@pearl("age", "weight", "precision", "order", "later")
class RecencyWeights(Pearl):
    """Later transitions count more: precisions are weighted by 0.9 to the power of their age."""

    def product(self, mean, variance, prior):
        age = np.arange(mean.shape[-2])[::-1, None]
        return super().product(mean, variance / 0.9**age, prior)


@pearl("softplus", "half", "scale", "twice")
class OysterRecipe(Pearl):
    """A recipe: softplus variances, the critic's loss without its half, and rewards of the batch times 5."""

    def spread(self, raw):
        return np.log(1 + np.exp(raw))

    def critic_loss(self, i, critic, z, y):
        return 2 * super().critic_loss(i, critic, z, y)

    def y(self, i, z):
        return super().y(i, z) + 4 * self.batch(i, "rewards")[0]


@pearl("empty", "square root", "sqrt", "deviation", "raised")
class ContextNeeded(Pearl):
    """An empty context raises an error; and z is drawn with the fourth root of the variance, not its square root."""

    def belief(self, i, W, U):
        if not len(self.context(i)[0]):
            raise IndexError("the context is empty")
        return super().belief(i, W, U)

    def draw(self, mean, variance, noise):
        return mean + np.exp(np.log(variance) / 4) * noise
