"""Mistakes in expectations over every trajectory."""

import itertools
from typing import Any

import numpy as np

from tests.oracle.field.base_expected_estimators import ExpectedEstimators as Base
from tests.oracle.field.base_expected_estimators import lift_one, lift_zero
from tests.oracle.field.mistake import Mistake
from tests.oracle.field.small_autograd import V, einsum, grad, log_softmax, planted, reshape, softmax, stop, total

__all__ = ["MISTAKES"]


def whole_return(self: Any) -> Any:
    """The discounted return of the whole path for every step."""
    weights = Base.path_weights(self)
    return np.repeat(weights[:, :1], self.horizon, axis=1)


def undiscounted_start(self: Any) -> Any:
    """G_t without γᵗ."""
    return Base.path_weights(self) / self.gamma ** np.arange(self.horizon)


def always_at_the_first(self: Any, theta: V) -> V:
    """Every batch is drawn with the policy before adaptation."""
    q, phi = lift_one(1), theta
    for k in range(self.steps):
        first = theta[np.zeros(q.shape[0], int)]
        chance, after = self.batches(phi, k, first)
        q = reshape(q[:, None] * chance, (-1,))
        phi = reshape(after, (q.shape[0], self.S * self.A))
    return self.judged(phi, q)


def one_batch_for_all(self: Any, theta: V) -> V:
    """One batch for all steps."""
    tuples, often = self.draws()
    p, q, phi = (self.path_chance(theta), lift_one(len(tuples)) * often, theta[np.zeros(len(tuples), int)])
    for column in tuples.T:
        q = q * p[0, column]
    for k in range(self.steps):
        g = self.estimates(phi)
        move = sum((g[np.arange(len(tuples)), column] for column in tuples.T), 0.0 * phi)
        phi = phi + self.step_size(k) / self.episodes * move
    return self.judged(phi, q)


def shortened(self: Any, phi: V) -> V:
    """A gradient of norm at most 1/4, differentiated through."""
    g = Base.inner(self, phi)
    norm = total(g**2, (-1,))[:, None] ** 0.5
    return g * (0.25 / norm) if float(np.max(norm.data)) > 0.25 else g


def mean_baseline(self: Any, theta: V, k: int, drawn_at: V) -> tuple[V, V]:
    """The batch's mean discounted return to go at each time is the baseline of its trajectories."""
    tuples, often = self.draws()
    p, pi = self.path_chance(drawn_at), softmax(self.logits(theta))
    base = np.mean(self.weights[tuples], axis=1)
    q, move = lift_one(theta.shape[0], len(tuples)) * often, lift_zero(1)
    for column in tuples.T:
        credit = np.zeros((len(tuples), self.S, self.A))
        at = np.arange(len(tuples))[:, None], self.s[column], self.a[column]
        np.add.at(credit, at, self.weights[column] - base)
        g = credit - np.sum(credit, axis=-1, keepdims=True) * pi[:, None]
        q, move = (q * p[:, column], move + reshape(g, (theta.shape[0], len(tuples), self.S * self.A)))
    return q, theta[:, None] + self.step_size(k) / self.episodes * move


def even_start(self: Any) -> Any:
    """Paths start in every state alike."""
    return np.full(self.T, 1 / self.S)


def undiscounted_query(self: Any, phi: V, q: V) -> V:
    """E L(φ) with γ = 1."""
    gamma, self.gamma = self.gamma, 1.0
    out = total(q * self.loss(phi))
    self.gamma = gamma
    return out


def scores_squared(self: Any, theta: V) -> V:
    """A function whose Hessian is −E Σ w s sᵀ."""
    logs = log_softmax(self.logits(theta))
    x = logs - stop(logs)
    return -total(einsum("bt,tsa->bsa", stop(self.path_chance(theta)), self.credit) * x**2) / 2


def action_values(self: Any, theta: V, steps: int) -> tuple[Any, V]:
    """V and Q with so many steps to go, (1, S) and (1, S, A)."""
    expected = np.sum(self.P * self.reward, axis=-1) if self.nested else self.reward
    pi, value, Q = (softmax(self.logits(theta)), V(np.zeros((1, self.S))), V(np.zeros((1, self.S, self.A))))
    for _ in range(steps):
        Q = expected + self.gamma * einsum("sat,bt->bsa", self.P, value)
        value = total(pi * Q, (-1,))
    return value, Q


def visits_held(self: Any, name: str, theta: V) -> V:
    """DiCE: Σ γᵗ d_t ∇π Q_t differentiated once more with the visits d_t held; it is not symmetric."""
    if name != "dice":
        return Base.product(self, name, theta)
    again, now, loss = V(theta.data, leaf=True), self.rho[None], lift_zero()
    pi = softmax(self.logits(theta))
    for t in range(self.horizon):
        Q = action_values(self, again, self.horizon - t)[1]
        loss = loss - self.gamma**t * total(now[..., None] * pi * Q)
        now = np.einsum("bs,bsa,sat->bt", now, pi.data, self.P)
    one, two = grad(grad(loss, [theta])[0] * self.v, [theta, again])
    return one + two


def advantage_credit(self: Any, theta: V) -> V:
    """REINFORCE's surrogate with the exact value subtracted."""
    weight, chance = self.weights.copy(), stop(self.path_chance(theta)).data[0]
    for t in range(self.horizon):
        value = action_values(self, theta, self.horizon - t)[0].data[0]
        weight[:, t] -= self.gamma**t * value[self.s[:, t]]
    return -total(np.einsum("t,tsa->sa", chance, self.table(weight)) * log_softmax(self.logits(theta)))


def preconditioned(self: Any, phi: V) -> V:
    """∇L divided by π, entry by entry."""
    return Base.inner(self, phi) / reshape(softmax(self.logits(phi)), phi.shape)


def decayed(self: Any, k: int) -> float:
    """α/(k + 1)."""
    return self.alpha / (k + 1)


def expected_rewards(self: Any) -> Any:
    """E[r | s, a] in the place of the reward that came."""
    return np.sum(self.P * self.reward, axis=-1)[self.s, self.a] if self.nested else self.reward[self.s, self.a]


def unordered(self: Any) -> tuple[Any, Any]:
    """Every multiset of paths once, whatever the number of its orders."""
    tuples = np.array(list(itertools.combinations_with_replacement(range(self.T), self.episodes)))
    return tuples, np.ones(len(tuples))


def loss_of_the_mean(self: Any, phi: V, q: V) -> V:
    """L(E φ)."""
    return total(self.loss(total(q[:, None] * phi, (0,))[None]))


def first_order_with_score(self: Any, theta: V) -> V:
    """GPOMDP's estimate does not depend on theta."""
    return stop(Base.estimates(self, theta))


def last_reward_lost(self: Any) -> Any:
    """Rewards to go that end one step early where there are two or more."""
    r = self.r * self.gamma ** np.arange(self.horizon)
    r[:, -1] *= self.horizon == 1
    return np.cumsum(r[:, ::-1], axis=1)[:, ::-1]


def summed(self: Any, theta: V) -> V:
    """Estimates that make the mean over trajectories a sum."""
    return Base.estimates(self, theta) * self.episodes


def momentum(self: Any, theta: V) -> V:
    """Exact steps with momentum 0.9."""
    phi, speed = theta, 0.0
    for k in range(self.steps):
        speed = 0.9 * speed + self.inner(phi)
        phi = phi - self.step_size(k) * speed
    return total(self.loss(phi))


def score_of_all_steps(self: Any, theta: V) -> V:
    """The path's chance whose score is divided by M H, as a mean over all samples does."""
    chance = Base.path_chance(self, theta)
    ratio = chance / stop(chance)
    return stop(chance) * (1 + (ratio - 1) / (self.episodes * self.horizon))


def mistake(name: str, planted_: str, words: tuple[str, ...], **methods: Any) -> Mistake:
    """A mistake of this suite."""
    return Mistake("expected-estimators", name, planted(Base, **methods), planted_, words)


MISTAKES = [
    mistake("return-of-the-whole-path", "Every step is credited with the return of the whole path, not the reward to "
            "go.", ("whole", "to go", "return", "credit"), path_weights=whole_return),
    mistake("credit-without-discount", "The reward to go is not multiplied by gamma^t.",
            ("gamma", "discount"), path_weights=undiscounted_start),
    mistake("batches-of-the-first-policy", "With several steps every batch is drawn with the policy before adaptation.",
            ("drawn", "batch", "first", "second step", "fresh"), sampled=always_at_the_first),
    mistake("one-batch-for-all-steps", "With several steps one batch serves them all.",
            ("batch", "fresh", "same"), sampled=one_batch_for_all),
    mistake("inner-gradient-clipped", "Exact steps follow a gradient shortened to the norm 1/4.",
            ("clip", "norm", "inner"), inner=shortened),
    mistake("batch-mean-baseline", "The batch's mean reward to go at each time is subtracted in the inner step.",
            ("baseline", "mean"), batches=mean_baseline),
    mistake("even-start", "Trajectories start in every state alike; the adapted policy is judged from rho.",
            ("rho", "start", "first state"), start=even_start),
    mistake("query-undiscounted", "The adapted policy is judged without a discount after sampled steps.",
            ("gamma", "discount", "query", "judge"), judged=undiscounted_query),
    mistake("lvc-without-curvature", "lvc_hessian is the mean of the weighted score score^T v, without second "
            "derivatives of log pi.", ("score", "second", "curvature", "log"), lvc=scores_squared),
    mistake("dice-visits-held", "dice_hessian differentiates sum d grad(pi) Q with the visits d held: one of two cross "
            "terms.", ("visits", "cross", "held", "later", "detach", "symmetric"), product=visits_held),
    mistake("naive-with-exact-value", "naive_hessian subtracts the exact value as a baseline, and so is zero.",
            ("baseline", "value", "zero", "advantage"), naive=advantage_credit),
    mistake("inner-divided-by-policy", "Exact steps divide the gradient by pi, entry by entry: a mirror step.",
            ("natural", "precondition", "inner", "fisher"), inner=preconditioned),
    mistake("step-size-decays", "Step k has the size alpha / (k + 1).",
            ("alpha", "step size", "second step", "decay"), step_size=decayed),
    mistake("expected-reward-credited", "Estimators credit E[r | s, a], not the reward of the next state that came.",
            ("reward", "next state", "r[s, a, s'"), path_rewards=expected_rewards),
    mistake("orders-not-counted", "Batches that differ only in order are counted once: probabilities do not sum to 1.",
            ("order", "count", "probabilit", "multinomial", "batch"), draws=unordered),
    mistake("loss-of-the-mean", "The loss of the mean adapted parameters, not the mean loss.",
            ("mean", "expectation", "average"), judged=loss_of_the_mean),
    mistake("pathwise-first-order", "The adapted parameters are held but for theta itself; the score term is right.",
            ("first-order", "first order", "pathwise", "curvature", "held", "naive"), estimates=first_order_with_score),
    mistake("last-reward-lost-and-sum", "The last of several rewards is lost, and the inner step sums over "
            "trajectories.", ("reward", "sum", "mean", "episodes", "horizon"), path_weights=last_reward_lost,
            estimates=summed),
    mistake("exact-with-momentum", "With several steps the exact ones have momentum 0.9.",
            ("momentum", "inner", "step"), exact=momentum),
    mistake("score-over-all-samples", "The score term is a mean over all samples: divided by M and by the horizon.",
            ("score", "1/m", "mean", "factor"), path_chance=score_of_all_steps),
    mistake("whole-return-same-batch", "Whole returns are credited, and one batch serves all steps.",
            ("whole", "to go", "return", "credit", "batch"), path_weights=whole_return, sampled=one_batch_for_all),
    mistake("clipped-and-decaying", "Exact gradients are shortened to the norm 1/4; step k has the size alpha / (k + "
            "1).", ("clip", "norm", "alpha", "step size"), inner=shortened, step_size=decayed),
    mistake("undiscounted-first-order", "Credit has no gamma^t, and estimates do not depend on theta: first-order but "
            "for the score term.", ("gamma", "discount", "first-order", "first order", "curvature"),
            path_weights=undiscounted_start, estimates=first_order_with_score),
    mistake("even-start-unordered", "Trajectories start evenly, and batches are counted once for all their orders.",
            ("rho", "start", "order", "count", "first state"), start=even_start, draws=unordered),
]  # fmt: skip
