"""Mistakes in PEARL's training step."""

from typing import Any

import numpy as np

from tests.oracle.field.base_pearl import Pearl as Base
from tests.oracle.field.mistake import Mistake
from tests.oracle.field.small_autograd import (
    V,
    concat,
    einsum,
    exp,
    grad,
    lift,
    log,
    log_softmax,
    planted,
    stop,
    total,
    where,
)

__all__ = ["MISTAKES"]


def softplus_variance(self: Any) -> tuple[V, V]:
    """Variances softplus of the encoder's output, as in the released code, and kept above 10⁻⁷."""
    mean, raw = Base.factors(self)
    return mean, log(log(1 + exp(raw)))


def log_variance_clamped(self: Any) -> tuple[V, V]:
    """Log variances between −0.5 and 0.5."""
    mean, logs = Base.factors(self)
    return mean, where(np.abs(logs.data) <= 0.5, logs, np.clip(logs.data, -0.5, 0.5))


def value_here(self: Any, z: V) -> V:
    """The value of s in the target."""
    return self.r + self.gamma * (1 - self.end) * self.soft_value(self.s, z)


def reward_ends_too(self: Any, z: V) -> V:
    """(1 − terminal)(r + γ V)."""
    return (1 - self.end) * (self.r + self.gamma * self.soft_value(self.after, z))


def scaled_rewards(self: Any, z: V) -> V:
    """5 r + γ V: no (1 − terminal)."""
    return 5 * self.r + self.gamma * self.soft_value(self.after, z)


def padding_says_something(self: Any) -> tuple[V, V]:
    """A transition that is masked out has zeros for features, and so the factor N(0, 1)."""
    mean, logs = self.factors()
    pad = len(self.every["context_mask"][self.task]) - len(self.c_s)
    precision = exp(-logs)
    whole = total(precision, (0,)) + float(self.prior_factors + pad)
    return total(precision * mean, (0,)) / whole, 1 / whole


def mean_kl(self: Any, mean: V, variance: V) -> V:
    """The mean over latent variables."""
    return Base.kl(self, mean, variance) / self.Z


def log_alpha_loss(self: Any, z: V) -> V:
    """log τ (mean entropy − target), as much code has it."""
    logs = stop(self.log_pi(self.s, z))
    return self.log_tau * (-total(exp(logs) * logs) / self.count - self.target_entropy)


def next_entropy(self: Any, z: V) -> V:
    """The entropy at s'."""
    logs = stop(self.log_pi(self.after, z))
    return self.tau() * (-total(exp(logs) * logs) / self.count - self.target_entropy)


def state_after_state(self: Any, s: Any, a: Any) -> Any:
    """a S + s."""
    return a * self.S + s


def current_for_next(self: Any) -> Any:
    """e_s in the place of e_s'."""
    kept, self.c_after = self.c_after, self.c_s
    psi = Base.features(self)
    self.c_after = kept
    return psi


def through_the_target(self: Any) -> dict[str, V]:
    """The encoder's slopes also go through y."""
    out = Base.one(self)
    mean, variance = self.belief()
    z = self.sample(mean, variance)
    slopes = grad(self.encoder_loss(mean, variance, z, self.target(z)), [self.W_mean, self.W_log])
    return out | {"encoder_mean_grad": slopes[0], "encoder_log_variance_grad": slopes[1]}


def prior_each_time(self: Any) -> tuple[V, V]:
    """The prior once for every transition."""
    mean, logs = self.factors()
    precision = exp(-logs)
    whole = total(precision, (0,)) + float(self.prior_factors * max(len(self.c_s), 1))
    return total(precision * mean, (0,)) / whole, 1 / whole


def weighted_by_variance(self: Any) -> tuple[V, V]:
    """The mean weighted by variances, the prior's being 1."""
    mean, logs = self.factors()
    whole = total(exp(logs), (0,)) + float(self.prior_factors)
    return total(exp(logs) * mean, (0,)) / whole, Base.belief(self)[1]


def huber(self: Any, z: V, y: V) -> V:
    """The smooth L1 loss."""
    e = self.error(z, y)
    small, sign = np.abs(e.data) < 1, np.sign(e.data)
    return total(where(small, e**2 / 2, e * sign - 0.5)) / self.count


def slow_actor(self: Any, z: V) -> V:
    """The actor listens to the target critic."""
    logs = self.log_pi(self.s, z)
    return total(exp(logs) * (self.tau() * logs - self.at(self.target_critic, self.s, z))) / self.count


class LogDeviation(Base):
    """The slope of z in the log variance without its 1/2."""

    def sample(self, mean: V, variance: V) -> V:
        """The value is right; the slope in the variance is doubled."""
        half = variance**0.5 * self.eps
        return mean + 2 * half - stop(half)


def pooled_count(self: Any) -> float:
    """The mean number of transitions of the tasks."""
    return float(np.mean(np.sum(self.every["mask"], axis=1)))


def heated(self: Any, s: Any, z: V) -> V:
    """Logits divided by τ."""
    return log_softmax(self.at(self.policy, s, z) / stop(self.tau()))


def per_pair(self: Any) -> dict[str, V]:
    """critic_grad: the mean over the visits of each pair, not over the batch."""
    out = Base.one(self)
    visits = np.zeros((self.S, self.A))
    np.add.at(visits, (self.s, self.a), 1)
    return out | {"critic_grad": out["critic_grad"] * (self.count / np.maximum(visits, 1))[..., None]}


def belief_kept(self: Any) -> tuple[V, V]:
    """The belief of the task before is one more factor."""
    mean, variance = Base.belief(self)
    if self.task == 0:
        self.kept = mean.data, variance.data
        return mean, variance
    old_mean, old_variance = self.kept
    whole = 1 / variance + 1 / old_variance
    both = (mean / variance + old_mean / old_variance) / whole, 1 / whole
    self.kept = both[0].data, both[1].data
    return both


def normalised_rewards(self: Any, z: V) -> V:
    """Rewards of the batch by their mean and deviation, and the best action's value without entropy."""
    r = (self.r - np.mean(self.r)) / (np.std(self.r) + 1e-8)
    best = np.max(self.at(self.target_critic, self.after, z).data, axis=-1)
    return lift(r + self.gamma * (1 - self.end) * best)


def deterministic_encoder(self: Any) -> dict[str, V]:
    """The encoder's slopes at z = mean, target included."""
    out = Base.one(self)
    mean, variance = self.belief()
    y = stop(self.target(mean))
    slopes = grad(self.encoder_loss(mean, variance, mean, y), [self.W_mean, self.W_log])
    return out | {"encoder_mean_grad": slopes[0], "encoder_log_variance_grad": slopes[1]}


def empty_is_nan(self: Any) -> tuple[V, V]:
    """The mean of the factors' means, the mean of their variances: of nothing, NaN."""
    mean, logs = self.factors()
    n = np.float64(len(self.c_s))
    with np.errstate(all="ignore"):
        return total(mean, (0,)) * (1 / n if n else np.nan), total(exp(logs), (0,)) * (1 / n if n else np.nan)


def sampled_kl(self: Any, mean: V, variance: V) -> V:
    """ln q(z) − ln p(z) at the draw."""
    z = self.sample(mean, variance)
    return total(z**2 - (z - mean) ** 2 / variance - log(variance)) / 2


def actor_advantage(self: Any, z: V) -> V:
    """Q less its mean over the actions, and the entropy's weight is log τ."""
    logs, Q = self.log_pi(self.s, z), self.at(self.critic, self.s, z)
    Q = Q - total(Q, (-1,))[:, None] / self.A
    return total(exp(logs) * (self.log_tau * logs - Q)) / self.count


def centred_context(self: Any) -> Any:
    """Where the context is not empty its rewards reach the encoder centred."""
    r, self.c_r = self.c_r, self.c_r - (np.mean(self.c_r) if len(self.c_r) else 0.0)
    psi = Base.features(self)
    self.c_r = r
    return psi


def last_latent_for_bias(self: Any, w: Any, s: Any, z: V) -> V:
    """[z, 1] in the place of [1, z]."""
    return einsum("nak,k->na", lift(w)[s], concat([z, V([1.0])]))


def beta_by_tasks(self: Any, mean: V, variance: V, z: V, y: V) -> V:
    """β KL divided by the number of tasks; free nats: no divergence below 0.2."""
    kl = self.kl(mean, variance)
    return self.critic_loss(z, y) + (self.beta / self.N if float(kl.data) > 0.2 else 0.0) * kl


def mistake(name: str, planted_: str, words: tuple[str, ...], base: type = Base, **methods: Any) -> Mistake:
    """A mistake of this suite."""
    return Mistake("pearl", name, planted(base, **methods), planted_, words)


MISTAKES = [
    mistake("variance-is-softplus", "A factor's variance is softplus of the encoder's output, not its exponential.",
            ("softplus", "variance", "exp"), factors=softplus_variance),
    mistake("log-variance-clamped", "Log variances of factors are clamped to [-0.5, 0.5].",
            ("clamp", "clip", "variance"), factors=log_variance_clamped),
    mistake("target-values-the-state", "The target has the value of s, not of s'.",
            ("next state", "s'", "following"), target=value_here),
    mistake("end-loses-its-reward", "Where a transition ends, the target is 0: its reward is dropped, too.",
            ("terminal", "end", "reward"), target=reward_ends_too),
    mistake("rewards-scaled-ends-forgotten", "Rewards of the target are multiplied by 5, and ends are not ends.",
            ("reward", "terminal", "scale", "end"), target=scaled_rewards),
    mistake("padding-is-a-factor", "Masked transitions of the context are factors N(0, 1): zero features, not no "
            "factor.", ("mask", "pad", "prior", "factor"), belief=padding_says_something),
    mistake("kl-mean-over-latents", "kl is the mean over latent variables, not the sum.",
            ("kl", "mean", "latent"), kl=mean_kl),
    mistake("temperature-loss-of-the-logarithm", "The temperature's loss has log tau for tau.",
            ("log", "temperature", "tau"), temperature_loss=log_alpha_loss),
    mistake("entropy-of-the-next-state", "The temperature's loss takes the entropy at s', not at s.",
            ("next state", "s'", "following", "entropy"), temperature_loss=next_entropy),
    mistake("pairs-action-after-action", "The pair (s, a) is entry a S + s of the features.",
            ("s*a + a", "layout", "order", "entry", "transpos", "feature"), pair=state_after_state),
    mistake("features-of-the-state-twice", "The features have e_s where e_s' is meant.",
            ("next state", "e_s'", "following", "feature"), features=current_for_next),
    mistake("encoder-through-the-target", "The encoder's gradient also goes through the target y.",
            ("target", "held", "detach", "stop"), one=through_the_target),
    mistake("prior-with-every-transition", "The prior's factor comes in once for every transition of the context.",
            ("prior",), belief=prior_each_time),
    mistake("mean-weighted-by-variance", "The belief's mean is weighted by variances, not by precisions.",
            ("variance", "precision", "weight"), belief=weighted_by_variance),
    mistake("critic-loss-huber", "The critic's loss is the smooth L1 loss, not the square.",
            ("huber", "smooth", "square", "clip", "clamp"), critic_loss=huber),
    mistake("actor-asks-the-target", "The actor's loss takes Q from target_critic.",
            ("target", "critic"), actor_loss=slow_actor),
    mistake("noise-slope-without-half", "The slope of z in the log variance is sigma eps, without 1/2.",
            ("1/2", "half", "log variance", "variance", "deviation", "sigma"), base=LogDeviation),
    mistake("count-of-all-tasks", "Means over a batch divide by the mean number of transitions of the tasks.",
            ("mean", "mask", "count", "task"), batch_count=pooled_count),
    mistake("policy-heated", "The policy's logits are divided by tau.",
            ("tau", "temperature", "logit", "policy"), log_pi=heated),
    mistake("critic-gradient-per-pair", "critic_grad is the mean over the visits of each pair, not over the batch.",
            ("mean", "batch", "pair", "visits", "count"), one=per_pair),
    mistake("belief-kept-between-tasks", "The belief of the task before is one more factor of the product.",
            ("task", "kept", "state", "prior", "factor"), belief=belief_kept),
    mistake("rewards-normalised-hard-maximum", "The target has normalised rewards and the best action of the target "
            "critic.", ("reward", "max", "best", "normal", "entropy"), target=normalised_rewards),
    mistake("encoder-without-noise", "The encoder's gradients are taken at z = mean, not at the draw.",
            ("noise", "draw", "sample", "mean"), one=deterministic_encoder),
    mistake("belief-averages-factors", "The belief averages means and variances of the factors, without the prior: NaN "
            "without any.", ("product", "mean", "average", "precision", "nan", "prior"), belief=empty_is_nan),
    mistake("kl-of-the-draw", "kl is log q(z) - log p(z) at the draw, not its expectation.",
            ("draw", "sample", "kl", "expect"), kl=sampled_kl),
    mistake("actor-advantage-and-log-tau", "The actor's loss has Q less its mean over actions, and log tau for tau.",
            ("log", "tau", "temperature", "mean", "baseline", "advantage"), actor_loss=actor_advantage),
    mistake("context-rewards-centred", "The context's mean reward is subtracted from its rewards.",
            ("reward", "mean", "context", "centre"), features=centred_context),
    mistake("bias-last", "Weights multiply [z, 1], not [1, z].",
            ("[1, z]", "order", "bias", "layout", "constant"), at=last_latent_for_bias),
    mistake("beta-shared-free-nats", "beta is divided by the number of tasks, and a kl below 0.2 costs nothing.",
            ("beta", "kl", "task"), encoder_loss=beta_by_tasks),
    mistake("softplus-and-huber", "Variances are softplus, and the critic's loss is the smooth L1 loss.",
            ("softplus", "variance", "huber", "smooth", "clip"), factors=softplus_variance, critic_loss=huber),
    mistake("padding-and-pooled-count", "Masked transitions of the context are factors N(0, 1), and means divide by "
            "the mean count of the tasks.", ("mask", "pad", "count", "prior"), belief=padding_says_something,
            batch_count=pooled_count),
    mistake("layout-and-mean-kl", "Pairs are entry a S + s, and kl is the mean over the latents.",
            ("layout", "order", "entry", "kl", "mean"), pair=state_after_state, kl=mean_kl),
    mistake("critic-alone-ends-forgotten", "Critic's parts alone: rewards times 5, ends forgotten, bias last.",
            ("terminal", "end", "reward", "[1, z]", "order", "bias"), only=("critic_loss", "critic_grad"),
            target=scaled_rewards, at=last_latent_for_bias),
    mistake("actor-slow-and-heated", "The actor asks target_critic, and logits are divided by tau.",
            ("target", "tau", "temperature", "logit"), actor_loss=slow_actor, log_pi=heated),
]  # fmt: skip
