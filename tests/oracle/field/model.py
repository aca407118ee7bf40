"""Mistakes in adaptation through a learned model."""

from typing import Any

import numpy as np

from tests.oracle.field.base_model import Model as Base
from tests.oracle.field.mistake import Mistake
from tests.oracle.field.small_autograd import V, einsum, exp, grad, lift, log, planted, reshape, softmax, stop, total

__all__ = ["MISTAKES"]


def increments_lost(self: Any) -> tuple[Any, Any, Any, Any]:
    """counts[s, a, s'] += 1 with arrays for indices: what comes twice is counted once."""
    i, s, a, after, _ = self.columns()
    _, n, sums, squares = Base.statistics(self)
    counts = np.zeros(self.P.shape)
    counts[i, s, a, after] += 1
    return counts, n, sums, squares


def last_reward_kept(self: Any) -> tuple[Any, Any, Any, Any]:
    """sums[s, a] += r likewise: only the last reward of a pair is in the sum."""
    i, s, a, _, r = self.columns()
    counts, n, _, squares = Base.statistics(self)
    sums = np.zeros(n.shape)
    sums[i, s, a] += r
    return counts, n, sums, squares


def mode(self: Any) -> Any:
    """The mode, kept at 0 or above, and even where nothing is left."""
    c = np.maximum(exp(self.log_c).data + self.counts - 1, 0.0)
    size = np.sum(c, axis=-1, keepdims=True)
    return np.where(size > 0, c / np.where(size > 0, size, 1), 1 / self.S)


class NoiseSquared(Base):
    """noise_variance is squared, as if it were a standard deviation."""

    def __init__(self, **inputs: Any) -> None:
        super().__init__(**inputs | {"noise_variance": inputs["noise_variance"] ** 2})


def pooled(self: Any) -> tuple[Any, ...]:
    """Every task has seen the transitions of all."""
    columns = Base.columns(self)
    n = len(columns[0])
    return np.repeat(np.arange(self.N), n), *(np.tile(x, self.N) for x in columns[1:])


def per_transition(self: Any) -> V:
    """Divided by the number of transitions."""
    return Base.log_marginal(self) / np.maximum(np.sum(self.n, axis=(1, 2)), 1)


def plug_in(self: Any) -> V:
    """The log likelihood of the next states under the posterior mean."""
    c = exp(self.log_c) + self.counts
    return total(self.counts * (log(c) - log(total(c, (-1,)))[..., None]), (1, 2, 3))


def asymptotic(self: Any) -> list[V]:
    """Slopes in the logarithm of the concentration with ψ(x) ≈ ln x − 1/(2x)."""
    c = exp(self.log_c).data
    psi: Any = lambda x: np.log(x) - 1 / (2 * x)
    whole = np.sum(c, axis=-1)
    rows = psi(whole) - psi(whole + self.n)
    slope = c * (rows[..., None] + psi(c + self.counts) - psi(c))
    return [V(slope), *Base.prior_slopes(self)[1:]]


def one_reward(self: Any) -> list[V]:
    """Slopes in the means with D = σ² + v."""
    c, mean, v = Base.prior_slopes(self)
    variance = exp(self.log_v).data[:, None, None]
    right, wrong = (self.noise_variance + variance * self.n, self.noise_variance + variance)
    return [c, mean * (right / wrong), v]


def log_deviation(self: Any) -> list[V]:
    """The variance's slope is that in the logarithm of the deviation, summed over the tasks."""
    c, mean, v = Base.prior_slopes(self)
    return [c, mean, lift(np.full(self.N, 2 * np.sum(v.data)))]


def even_inside(self: Any, theta: V) -> V:
    """The model's loss from every state alike."""
    rho, self.rho = self.rho, np.full(self.rho.shape, 1 / self.S)
    out = Base.inner_loss(self, theta)
    self.rho = rho
    return out


def first_size(self: Any, k: int) -> Any:
    """Of several step sizes the first."""
    return np.ravel(np.asarray(self.alpha))[0]


def of_the_state(self: Any) -> Any:
    """The precision of a mean reward counts all visits of the state."""
    v, whole = (exp(self.log_v).data[:, None, None], np.sum(self.n, axis=-1, keepdims=True))
    return (self.noise_variance * self.mean.data + v * self.sums) / (self.noise_variance + v * whole)


def bonus(self: Any) -> Any:
    """Plus 0.1/√(n + 1)."""
    return Base.reward(self) + 0.1 / np.sqrt(self.n + 1)


def stays_where_unknown(self: Any) -> Any:
    """Rows that were never visited stay in their state."""
    stay = np.broadcast_to(np.eye(self.S)[None, :, None], self.P.shape)
    return np.where(self.n[..., None] > 0, Base.transition(self), stay)


def hessian_of_the_first(self: Any, theta: V) -> V:
    """The adjoint has the Hessian at θ in every step: φ = θ_K in value, its slopes those of K steps at θ."""
    phi, start = theta, theta
    for k in range(self.steps):
        at = V(phi.data, leaf=True)
        g = stop(Base.slope(self, at))
        here = Base.slope(self, start)
        phi = phi - self.step_size(k) * (g + jacobian_with(here, start, phi))
    return phi


def jacobian_with(g: V, at: V, moved: V) -> V:
    """H (moved − stop(moved)), H the Jacobian of g at `at`: zero in value."""
    d = g.shape[1]
    rows = np.stack([grad(g[:, j], [at])[0].data for j in range(d)], axis=1)
    return einsum("njk,nk->nj", rows, moved - stop(moved))


def heavy_ball(self: Any, theta: V) -> V:
    """Momentum 0.5."""
    speed: Any = 0.0
    for k in range(self.steps):
        speed = 0.5 * speed + self.slope(theta)
        theta = theta - self.step_size(k) * speed
    return theta


def sequential_prior(self: Any) -> tuple[Any, Any, Any, Any]:
    """The counts of the tasks before are kept, those of next states."""
    counts, n, sums, squares = Base.statistics(self)
    return np.cumsum(counts, axis=0), n, sums, squares


def last_one_out(self: Any) -> tuple[Any, ...]:
    """The last transition of a context is left out, as if it were padding."""
    keep = self.context_mask.astype(bool).copy()
    for i in range(self.N):
        last = np.nonzero(keep[i])[0][-1:]
        keep[i, last] = False
    self.context_mask, whole = keep, self.context_mask
    out = Base.columns(self)
    self.context_mask = whole
    return out


def places_changed(self: Any) -> tuple[Any, ...]:
    """State and next state have changed places."""
    i, s, a, after, r = Base.columns(self)
    return i, after, a, s, r


def without_determinant(self: Any) -> V:
    """The rewards' density without its normalising determinant."""
    n = self.n
    mean = self.sums / np.maximum(n, 1)
    v = exp(self.log_v)[:, None, None]
    D = self.noise_variance + n * v
    square = (self.squares - n * mean**2) / self.noise_variance + n * (mean - self.mean) ** 2 / D
    return -total(n * np.log(2 * np.pi) + square, (1, 2)) / 2


def entropy_inside(self: Any, theta: V) -> V:
    """The model's loss less 0.05 times the plain mean entropy."""
    pi = softmax(reshape(theta, (self.N, self.S, self.A)))
    return Base.inner_loss(self, theta) + 0.05 * total(pi * log(pi), (1, 2)) / self.S


def held_last_step(self: Any, theta: V) -> V:
    """The last step's gradient is held."""
    for k in range(self.steps):
        g = self.slope(theta)
        theta = theta - self.step_size(k) * (stop(g) if k == self.steps - 1 else g)
    return theta


def surest_rows(self: Any) -> Any:
    """The most likely next state of each row, surely."""
    best = np.argmax(Base.transition(self), axis=-1)
    return np.eye(self.S)[best]


def rescaled(self: Any, theta: V) -> V:
    """∇L over its norm, the norm held."""
    g = Base.slope(self, theta)
    return g / (np.linalg.norm(g.data, axis=1, keepdims=True) + 1e-8)


def truncated_inside(self: Any, theta: V) -> V:
    """Without a horizon the model is rolled out for ten steps."""
    horizon, self.horizon = self.horizon, self.horizon or 10
    out = Base.inner_loss(self, theta)
    self.horizon = horizon
    return out


def mistake(name: str, planted_: str, words: tuple[str, ...], base: type = Base, **methods: Any) -> Mistake:
    """A mistake of this suite."""
    settings = {"ascent": True} if "ascent" in methods else {}
    return Mistake("model", name, planted(base, **methods), planted_, words, settings)


MISTAKES = [
    mistake("counts-without-repeats", "A transition that comes twice is counted once: fancy indexing with +=.",
            ("count", "repeat", "twice", "once"), statistics=increments_lost),
    mistake("rewards-last-one-kept", "Of the rewards of a pair only the last is in the sum; visits are right.",
            ("reward", "last", "sum", "mean"), statistics=last_reward_kept),
    mistake("transition-is-the-mode", "The model is the posterior's mode, (c + n - 1) / sum, not its mean.",
            ("mode", "mean", "c + n", "concentration"), transition=mode),
    mistake("noise-is-a-deviation", "noise_variance is squared, as if it were a standard deviation.",
            ("noise", "variance", "deviation"), base=NoiseSquared),
    mistake("contexts-pooled", "Every task's model has seen the contexts of all tasks.",
            ("task", "context", "pooled"), columns=pooled),
    mistake("marginal-per-transition", "log_marginal and its slopes are divided by the number of transitions.",
            ("mean", "number", "divide", "transition"), log_marginal=per_transition),
    mistake("marginal-plugs-in", "log_marginal has the likelihood of the next states under the posterior mean.",
            ("posterior", "likelihood", "mean", "marginal", "predict"), log_next_states=plug_in),
    mistake("digamma-asymptotic", "concentration_grad has log x - 1 / (2 x) for the digamma function.",
            ("digamma", "psi", "approx", "concentration"), prior_slopes=asymptotic),
    mistake("mean-slope-of-one-reward", "reward_mean_grad divides by noise + variance, without the number of rewards.",
            ("number", "visits", "n v", "independent", "reward", "variance"), prior_slopes=one_reward),
    mistake("variance-slope-of-deviation-summed", "reward_variance_grad is in the logarithm of the deviation, and "
            "summed over the tasks.", ("task", "sum", "factor", "deviation"), prior_slopes=log_deviation),
    mistake("model-starts-everywhere", "The model's loss starts from every state alike; the truth is judged from rho.",
            ("rho", "start", "first state"), inner_loss=even_inside),
    mistake("first-step-size-for-all", "Of several step sizes the first is used for all.",
            ("alpha", "step size"), step_size=first_size),
    mistake("reward-visits-of-the-state", "The posterior mean of a reward is weighted by all visits of its state.",
            ("visits", "count", "state", "reward"), reward=of_the_state),
    mistake("exploration-bonus", "0.1 / sqrt(n + 1) is added to the model's rewards.",
            ("bonus", "reward", "add", "constant"), reward=bonus),
    mistake("unknown-rows-stay", "A pair that was never visited stays in its state, whatever the prior.",
            ("visit", "prior", "unseen", "transition", "never"), transition=stays_where_unknown),
    mistake("hessians-at-theta", "The gradient has the model's Hessian at theta in every step.",
            ("hessian", "theta", "second step", "step"), adapt=hessian_of_the_first),
    mistake("momentum", "The steps on the model have momentum 0.5.",
            ("momentum", "step", "inner"), adapt=heavy_ball),
    mistake("counts-kept-between-tasks", "Counts of next states are kept from task to task; rewards are not.",
            ("task", "count", "kept", "state"), statistics=sequential_prior),
    mistake("last-transition-lost", "The last transition of each context is left out.",
            ("last", "transition", "mask", "context"), columns=last_one_out),
    mistake("next-state-for-state", "context_states and context_following have changed places.",
            ("next", "following", "swap", "order", "places"), columns=places_changed),
    mistake("density-without-determinant", "The density of rewards lacks its determinant: only squares and 2 pi.",
            ("determinant", "log", "normal", "variance", "density"), log_rewards=without_determinant),
    mistake("entropy-and-last-step-held", "An entropy bonus of 0.05 in the model's loss; the last step's gradient is "
            "held.", ("entropy", "bonus", "held", "detach", "last step"), inner_loss=entropy_inside,
            adapt=held_last_step),
    mistake("model-most-likely-successor", "The model goes to the most likely next state of each row, surely.",
            ("likely", "mode", "next state", "transition", "max"), transition=surest_rows),
    mistake("gradient-normalised", "The steps follow the gradient over its norm, the norm held.",
            ("norm", "inner"), slope=rescaled),
    mistake("model-rolled-out-ten-steps", "Without a horizon the model's loss has ten rewards.",
            ("horizon", "trunc", "ten", "infinite", "steps"), inner_loss=truncated_inside),
    mistake("noise-squared-first-step-size", "The noise variance is squared, and the first step size serves all steps.",
            ("noise", "variance", "alpha", "step size"), base=NoiseSquared, step_size=first_size),
    mistake("repeats-lost-and-mode", "Repeats are counted once, and the model is the posterior's mode.",
            ("count", "repeat", "mode", "once"), statistics=increments_lost, transition=mode),
    mistake("bonus-and-normalised", "Rewards have an exploration bonus, and steps follow the gradient over its norm.",
            ("bonus", "norm", "reward"), only=("objective", "gradient"), reward=bonus, slope=rescaled),
    mistake("rolled-out-with-momentum", "Ten rewards in the model where there is no horizon, and momentum 0.5.",
            ("horizon", "trunc", "momentum", "ten"), inner_loss=truncated_inside, adapt=heavy_ball),
    mistake("last-lost-unknown-stay", "The last transition is lost, and unvisited rows stay in their state.",
            ("last", "visit", "transition", "context"), columns=last_one_out, transition=stays_where_unknown),
    mistake("ascent-last-step-held", "Of J: the last step's gradient is held, and the model starts everywhere alike.",
            ("held", "detach", "start", "rho", "last step", "first"), only=("objective", "gradient"),
            ascent=("objective", "gradient"), inner_loss=even_inside, adapt=held_last_step),
]  # fmt: skip
