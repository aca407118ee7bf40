"""Mistakes in surrogates of the return on a batch of trajectories."""

from typing import Any

import numpy as np

from tests.oracle.field.base_surrogates import Surrogates as Base
from tests.oracle.field.mistake import Mistake
from tests.oracle.field.small_autograd import (
    V,
    einsum,
    exp,
    grad,
    log,
    log_softmax,
    planted,
    reshape,
    stop,
    total,
    where,
)

__all__ = ["MISTAKES"]


def bootstrapped(self: Any) -> Any:
    """G_t − b_t, with γ^(H − t) b_H added: the baseline of the last step stands for the rest."""
    more = self.gamma ** np.arange(self.H, 0, -1.0) * self.b[..., -1:]
    return np.where(self.alive, Base.advantage(self) + more, 0.0)


def generalised(self: Any) -> Any:
    """GAE with lam."""
    following = np.concatenate([self.b[..., 1:], np.zeros((self.N, self.M, 1))], axis=-1)
    delta, out, A = (self.r + self.gamma * following - self.b, np.zeros(self.r.shape), 0.0)
    for t in reversed(range(self.H)):
        A = delta[..., t] + self.gamma * self.lam * A
        out[..., t] = A
    return np.where(self.alive, out, 0.0)


def from_the_start(self: Any) -> Any:
    """Σ_{k≥t} γᵏ r_k."""
    return np.cumsum((self.r * self.discount)[..., ::-1], axis=-1)[..., ::-1]


def future(self: Any, x: V) -> V:
    """Σ_{k≥t} x_k."""
    return einsum("nmk,tk->nmt", x, np.triu(np.ones((self.H, self.H))))


def plus_baseline(self: Any, x: V) -> V:
    """r ☐ + b (eˣ − 1)."""
    return self.r * exp(self.sums(x)) + self.b * (exp(x) - 1)


def second_baseline_alone(self: Any, x: V) -> V:
    """DiCE without its baseline, less b (1 − past) (1 − eˣ)."""
    return self.r * exp(self.sums(x)) - self.b * (1 - exp(self.sums(x) - x)) * (1 - exp(x))


def past_not_faded(self: Any, x: V) -> V:
    """e^w − e^(w of the step before), which was to be multiplied by lam."""
    w = self.fading(x)
    before = einsum("nmk,tk->nmt", w, np.eye(self.H, k=-1))
    return self.advantage() * (exp(w) - exp(before))


def variance_parameter(self: Any, theta: V, s: Any, a: Any) -> V:
    """theta's last entries read as log σ²."""
    gain, logs = self.gain(theta), theta[:, self.S * self.A :]
    off = a - einsum("nas,nmhs->nmha", gain, s)
    return -total(off**2 * exp(-logs)[:, None, None] / 2 + logs[:, None, None] / 2, (-1,))


def mean_over_action(self: Any, theta: V, s: Any, a: Any) -> V:
    """The mean of the log densities of an action's entries."""
    return Base.log_gauss(self, theta, s, a) / self.A


def recomputed(self: Any, theta: V) -> V:
    """The old log probabilities are those at theta, detached."""
    logs = self.log_prob(theta)
    return logs - stop(logs)


def shifted_mask(self: Any) -> Any:
    """mask[t + 1] says whether step t counts; the last step always does."""
    mask = self.mask.astype(bool)
    return np.concatenate([mask[..., 1:], mask[..., -1:]], axis=-1)


def living(self: Any, each: V) -> V:
    """At each time the mean over the trajectories that still run."""
    count = np.maximum(np.sum(self.alive, axis=1, keepdims=True), 1)
    return -total(self.discount * each / count, (1, 2))


def over_states(self: Any, theta: V) -> V:
    """Log softmax over the states."""
    if self.features is not None:
        return Base.log_policy(self, theta)
    table = reshape(theta, (self.N, self.S, self.A))
    big = table - np.max(table.data, axis=1, keepdims=True)
    return big - log_sum(big)


def log_sum(x: V) -> V:
    """ln Σ_s eˣ, its axis kept."""
    return log(total(exp(x), (1,)))[:, None]


def running_time(self: Any, each: V) -> V:
    """The exponent of γ runs on from one trajectory to the next."""
    t = np.arange(self.M * self.H).reshape(self.M, self.H)
    return -total(self.gamma**t * each, (1, 2)) / self.M


def score_squared(self: Any, name: str, theta: V, g: V) -> Any:
    """REINFORCE: −(1/M) Σ w s sᵀ v in the place of the Hessian."""
    if name != "reinforce":
        return Base.product(self, name, theta, g)
    out = np.zeros(theta.shape)
    weight = self.advantage() * self.discount / self.M
    for m in range(self.M):
        for t in range(self.H):
            s = grad(total(self.log_prob(theta)[:, m, t]), [theta])[0].data
            out -= weight[:, m, t, None] * s * (s @ self.v)[:, None]
    return out


def norm_clipped(self: Any, g: Any) -> Any:
    """Every gradient is shortened to the norm 1/2."""
    return g * np.minimum(1.0, 0.5 / (np.linalg.norm(g, axis=1, keepdims=True) + 1e-6))


def leave_one_out(self: Any) -> Any:
    """The mean reward to go of the other trajectories is the baseline."""
    G = self.to_go()
    others = (np.sum(G, axis=1, keepdims=True) - G) / max(self.M - 1, 1)
    return np.where(self.alive, G - others, 0.0)


def self_normalised(self: Any, x: V) -> V:
    """Ratios divided by their mean over the trajectories."""
    ratio = exp(x)
    return self.advantage() * ratio / (total(ratio, (1,)) / self.M)[:, None]


def box_of_advantages(self: Any, x: V) -> V:
    """☐ times the normalised advantage in the place of the reward, no baseline term."""
    A = self.advantage()
    normal = (A - np.mean(A, axis=(1, 2), keepdims=True)) / (np.std(A, axis=(1, 2), keepdims=True) + 1e-8)
    return normal * exp(self.sums(x))


def mean_of_all(self: Any, each: V) -> V:
    """No γᵗ, and the mean over all steps."""
    return -total(each, (1, 2)) / (self.M * self.H)


def sample_deviation(self: Any) -> Any:
    """Advantages divided by their sample deviation: NaN with one number."""
    A = Base.advantage(self)
    return A / np.std(A, axis=(1, 2), ddof=1, keepdims=True)


def discrete_only(self: Any, theta: V, s: Any, a: Any) -> V:
    """Raises."""
    raise NotImplementedError("continuous actions are not supported")


def first_reward_discounted(self: Any, each: V) -> V:
    """γ^(t + 1)."""
    return self.gamma * Base.reduce(self, each)


def log_ratio_clamped(self: Any, theta: V) -> V:
    """x between −0.2 and 0.2."""
    x = Base.ratios(self, theta)
    return where(np.abs(x.data) <= 0.2, x, np.clip(x.data, -0.2, 0.2))


def pessimist(self: Any, x: V) -> V:
    """PPO's smaller one of ratio and clipped ratio, less 0.1 ln(π_old/π) of the sampled actions."""
    A, ratio = self.advantage(), exp(x)
    clipped = where((ratio.data > 0.7) & (ratio.data < 1.3), ratio, np.clip(ratio.data, 0.7, 1.3))
    smaller = where(A * ratio.data < A * clipped.data, ratio, clipped)
    return A * smaller + 0.1 * x


def per_decision_past(self: Any, x: V) -> V:
    """Products of ratios for the likelihood ratio, those before t held."""
    return self.advantage() * exp(x) * stop(exp(self.sums(x) - x))


def discounted_baseline(self: Any, x: V) -> V:
    """DiCE's baseline discounted once more."""
    return self.r * exp(self.sums(x)) + self.discount * self.b * (1 - exp(x))


def running_mean_baseline(self: Any) -> Any:
    """The baseline gains a moving average of rewards to go that is kept from task to task."""
    G, out, kept = self.to_go(), np.zeros(self.r.shape), 0.0
    for i in range(self.N):
        out[i] = np.where(self.alive[i], G[i] - self.b[i] - kept, 0.0)
        kept = 0.9 * kept + 0.1 * float(np.mean(G[i]))
    return out


def centred_loss(self: Any, each: V) -> V:
    """The mean over the tasks subtracted from each loss, and held."""
    loss = Base.reduce(self, each)
    return loss - stop(np.mean(loss.data))


def stepped(self: Any, x: V) -> V:
    """λᵗ⁻ᵏ⁺¹, the weight of the present step being λ."""
    return self.lam * Base.fading(self, x)


def action_major(self: Any, theta: V) -> V:
    """theta read action after action; with features, the action's axis first."""
    if self.features is None:
        table = reshape(theta, (self.N, self.A, self.S))
        swap = np.arange(self.S * self.A).reshape(self.A, self.S).T.ravel()
        return log_softmax(reshape(reshape(table, (self.N, -1))[:, swap], (self.N, self.S, self.A)))
    return log_softmax(einsum("sad,nd->nsa", self.features[:, ::-1], theta))


def mistake(name: str, planted_: str, words: tuple[str, ...], **methods: Any) -> Mistake:
    """A mistake of this suite."""
    return Mistake("surrogates", name, planted(Base, **methods), planted_, words)


MISTAKES = [
    mistake("bootstrapped-with-last-baseline", "The reward to go is bootstrapped: gamma^(H - t) times the last "
            "baseline is added.", ("bootstrap", "baseline", "to go", "g_t"), advantage=bootstrapped),
    mistake("advantage-is-gae", "G - b is replaced by generalised advantages with lam, the lambda of Loaded DiCE.",
            ("gae", "lam", "advantage", "baseline"), advantage=generalised),
    mistake("discounted-twice", "Rewards to go are discounted from the start of the trajectory, and then gamma^t "
            "multiplies them again.", ("gamma", "discount"), to_go=from_the_start),
    mistake("box-of-the-future", "Products of ratios run over this and later steps, not over earlier ones.",
            ("later", "future", "order", "product", "past", "earlier", "cumul"), sums=future),
    mistake("dice-baseline-sign", "DiCE's baseline term is b (exp(x) - 1).",
            ("sign", "baseline"), dice=plus_baseline),
    mistake("tmaml-second-term-alone", "T-MAML has only its second baseline term, not DiCE's.",
            ("baseline", "term"), tmaml=second_baseline_alone),
    mistake("loaded-past-not-faded", "Loaded DiCE subtracts exp of the sum before without multiplying it by lam.",
            ("lam", "lambda", "fad", "past"), loaded_dice=past_not_faded),
    mistake("sigma-is-variance", "The last entries of theta are read as the logarithm of the variance, not of sigma.",
            ("sigma", "variance", "gauss"), log_gauss=variance_parameter),
    mistake("density-mean-over-entries", "The log density of a Gaussian action is the mean over its entries, not the "
            "sum.", ("mean", "entries", "gauss", "action", "sum"), log_gauss=mean_over_action),
    mistake("old-policy-recomputed", "The ratios' denominators are those at theta, detached, not at theta_sampled.",
            ("theta_sampled", "denominator", "old", "detach"), ratios=recomputed),
    mistake("mask-shifted", "The mask of the next step says whether a step counts: the last step taken is lost.",
            ("mask", "end", "last step"), read_mask=shifted_mask),
    mistake("mean-over-the-living", "At each time it divides by the number of trajectories that still run, not by M.",
            ("mean", "mask", "divide", "trajector"), reduce=living),
    mistake("softmax-over-states", "Without features the softmax runs over states, not over actions.",
            ("axis", "states", "softmax", "layout"), log_policy=over_states),
    mistake("time-runs-on", "The exponent of gamma runs on from one trajectory to the next.",
            ("gamma", "discount", "time", "trajector"), reduce=running_time),
    mistake("reinforce-score-squared", "reinforce_hvp is the weighted sum of score score^T v, without second "
            "derivatives.", ("score", "hessian", "second"), product=score_squared),
    mistake("gradients-clipped", "Gradients are shortened to the norm 1/2.",
            ("clip", "norm"), finish=norm_clipped),
    mistake("baseline-leave-one-out", "The baseline is the mean reward to go of the other trajectories, not the given "
            "one.", ("baseline", "leave", "other"), advantage=leave_one_out),
    mistake("ratio-self-normalised", "Ratios of the likelihood ratio are divided by their mean over the trajectories.",
            ("ratio", "normal", "mean"), likelihood_ratio=self_normalised),
    mistake("library-dice", "DiCE multiplies normalised advantages, drops the baseline, gamma^t, and is a mean over "
            "steps.", ("normal", "advantage", "mean", "gamma", "baseline"), dice=box_of_advantages, reduce=mean_of_all,
            names=("dice",)),
    mistake("sample-deviation", "Advantages are divided by their sample deviation: NaN where there is one number.",
            ("deviation", "normal", "std", "scale", "nan"), advantage=sample_deviation),
    mistake("discrete-and-first-discounted", "It raises for Gaussian policies, and discounts the first reward.",
            ("gamma", "discount", "factor"), log_gauss=discrete_only, reduce=first_reward_discounted),
    mistake("log-ratio-clamped", "x is clamped to [-0.2, 0.2].",
            ("clamp", "clip"), ratios=log_ratio_clamped),
    mistake("ppo-with-penalty", "The likelihood ratio is PPO's, clipped at 0.3, with a penalty of 0.1 times -x.",
            ("clip", "penalty", "kl"), likelihood_ratio=pessimist),
    mistake("ratios-before-held", "The likelihood ratio is multiplied by the product of earlier ratios, held constant.",
            ("ratio", "earlier", "product", "held", "past"), likelihood_ratio=per_decision_past),
    mistake("baseline-discounted-once-more", "DiCE's baseline is multiplied by gamma^t twice.",
            ("baseline", "gamma", "discount"), dice=discounted_baseline),
    mistake("baseline-kept-between-tasks", "A moving average of rewards to go, kept from task to task, joins the "
            "baseline.", ("baseline", "task", "average", "mean"), advantage=running_mean_baseline),
    mistake("loss-centred", "The mean loss over the tasks is subtracted from each loss, and held: only losses are "
            "wrong.", ("loss", "mean", "task", "constant"), reduce=centred_loss),
    mistake("lambda-one-power-more", "Loaded DiCE's weights are lam^(t - k + 1): the present step has the weight lam.",
            ("lam", "power", "present"), fading=stepped),
    mistake("layout-and-features-reversed", "theta is read action after action; with features the actions are "
            "reversed.", ("layout", "transpos", "action", "features", "order"), log_policy=action_major),
    mistake("gae-and-clamped-ratios", "Advantages are GAE's with lam, and x is clamped to [-0.2, 0.2].",
            ("gae", "lam", "advantage", "clamp", "clip", "baseline"), advantage=generalised, ratios=log_ratio_clamped),
    mistake("old-policy-recomputed-clipped", "x is measured from theta, detached; gradients are shortened to the norm "
            "1/2.", ("theta_sampled", "denominator", "clip", "norm", "detach"), ratios=recomputed, finish=norm_clipped),
    mistake("mask-shifted-mean-of-the-living", "The mask is shifted by one, and means are over trajectories that still "
            "run.", ("mask", "mean", "end", "divide"), read_mask=shifted_mask, reduce=living),
    mistake("variance-parameter-whole-mean", "Gaussian theta holds log variances; all is a mean over steps without "
            "gamma^t.", ("sigma", "variance", "gamma", "mean", "sum"), log_gauss=variance_parameter,
            reduce=mean_of_all),
    mistake("tmaml-alone-past-of-the-future", "T-MAML alone, and its products of ratios run over later steps.",
            ("later", "future", "order", "product", "past", "cumul"), names=("tmaml",), sums=future),
    mistake("dice-twice-discounted-sign", "DiCE's baseline has the wrong sign, and the first reward is discounted.",
            ("sign", "baseline", "discount", "gamma"), only=("dice_loss", "dice_grad"), dice=plus_baseline,
            reduce=first_reward_discounted),
]  # fmt: skip
