"""Mistakes in returns, their derivatives and the geometry of the policy."""

from typing import Any

import numpy as np

from tests.oracle.field.base_policy_gradient import PolicyGradient as Base
from tests.oracle.field.mistake import Mistake
from tests.oracle.field.small_autograd import V, einsum, exp, grad, inv, log_softmax, planted, softmax, stop, total

__all__ = ["MISTAKES"]


def visits_after_update(self: Any, new: V) -> V:
    """The divergence, its states weighted by the visits of the new policy."""
    old = log_softmax(self.logits(stop(self.rows(self.theta))))
    d = self.visits(self.theta + self.v)
    return total(d[..., None] * exp(old) * (old - log_softmax(self.logits(new))), (1, 2))


def fisher_for_hessian(self: Any) -> dict[str, Any]:
    """The divergence as it is, but F v for its Hessian product."""
    return Base.divergences(self) | {"kl_hvp": self.fisher_matrix() @ self.v}


def two_steps_of_cg(self: Any) -> Any:
    """Conjugate gradients, two iterations."""
    F, g = self.fisher_matrix(), -self.slope(self.rows(self.theta)).data
    x, r, p = 0 * g, g, g
    for _ in range(2):
        Fp, rr = np.einsum("nde,ne->nd", F, p), np.sum(r * r, axis=1, keepdims=True)
        a = rr / np.maximum(np.sum(p * Fp, axis=1, keepdims=True), 1e-30)
        x, r = x + a * p, r - a * Fp
        p = r + np.sum(r * r, axis=1, keepdims=True) / np.maximum(rr, 1e-30) * p
    return x


def forward_difference(self: Any) -> Any:
    """(∇L(θ + hv) − ∇L(θ))/h, h = 10⁻³."""
    at: Any = lambda x: self.slope(self.rows(x)).data
    return (at(self.theta + 1e-3 * self.v) - at(self.theta)) / 1e-3


def even_next_state(self: Any) -> Any:
    """The mean of R over next states, all alike."""
    return self.R if self.R.ndim == 3 else np.mean(self.R, axis=-1)


def uncentred(self: Any) -> Any:
    """E[φ φᵀ], the features not centred."""
    weight = self.visits(self.theta)[..., None] * self.pi(self.rows(self.theta)).data
    return np.einsum("nsa,sad,sae->nde", weight, self.Phi, self.Phi)


def held_critic(self: Any) -> Any:
    """Differentiates Σ d π Q twice, with d and Q held."""
    theta = self.rows(self.theta)
    V_s = self.values(self.pi(theta)).data
    if self.horizon is not None:
        return Base.hvp(self)
    Q = self.reward() + self.gamma * np.einsum("nsat,nt->nsa", self.P, V_s)
    loss = -total(self.visits(self.theta)[..., None] * self.pi(theta) * Q, (1, 2))
    return grad(grad(loss, [theta])[0] * self.v, [theta])[0].data


def with_entropy(self: Any, theta: V) -> V:
    """−J − 0.01 Σ_s d(s) H(π), d held."""
    logs = log_softmax(self.logits(theta))
    return Base.loss(self, theta) + 0.01 * total(self.visits(self.theta)[..., None] * exp(logs) * logs, (1, 2))


def descent_direction(self: Any) -> Any:
    """F⁻¹ ∇L."""
    return -Base.natural(self)


def reversed_mean(self: Any, new: V) -> V:
    """KL(new ‖ old), and the plain mean over the states."""
    old, logs = (log_softmax(self.logits(stop(self.rows(self.theta)))), log_softmax(self.logits(new)))
    return total(exp(logs) * (logs - old), (1, 2)) / self.S


def one_visit_more(self: Any, theta: Any) -> Any:
    """Sums over t = 0 … H."""
    self.horizon = None if self.horizon is None else self.horizon + 1
    d = Base.visits(self, theta)
    self.horizon = None if self.horizon is None else self.horizon - 1
    return d


def trust_region(self: Any) -> Any:
    """The step of TRPO, of divergence 0.01, along F⁻¹ g."""
    x, F = Base.natural(self), self.fisher_matrix()
    size = np.einsum("nd,nde,ne->n", x, F, x)[:, None]
    return x * np.sqrt(2 * 0.01 / np.maximum(size, 1e-12))


def warm_sweeps(self: Any, pi: V) -> V:
    """Policy evaluation by 40 sweeps; its first values come from the task before."""
    if self.horizon is not None:
        return Base.values(self, pi)
    r, K = (total(pi * self.reward(), (-1,)), self.gamma * einsum("nsa,nsat->nst", pi, self.P))
    value = stop(r) * 0.0
    for _ in range(40):
        value = r + einsum("nst,nt->ns", K, value)
    warm = np.roll(value.data, 1, axis=0) * (np.arange(self.N)[:, None] > 0)
    return value + self.gamma**40 * warm


def pooled_fisher(self: Any) -> Any:
    """One Fisher matrix for all tasks, the mean."""
    F, g = (np.mean(self.fisher_matrix(), axis=0), -self.slope(self.rows(self.theta)).data)
    return g @ np.linalg.pinv(F, rcond=1e-10, hermitian=True)


def unit_direction(self: Any) -> Any:
    """F v/|v|, as power iteration leaves v, and visits divided by their sum."""
    F = self.fisher_matrix() / np.sum(self.visits(self.theta), axis=1)[:, None, None]
    return F @ (self.v / max(np.linalg.norm(self.v), 1e-12))


def fisher_unit(**inputs: Any) -> dict[str, Any]:
    """All parts, F v of a normalised v."""
    base = Base(**inputs)
    return base.answer() | {"fisher": unit_direction(base)}


def average_reward(self: Any, theta: V) -> V:
    """(1 − γ) J where there is no horizon, J/H where there is one."""
    share = (1 - self.gamma) if self.horizon is None else 1 / self.horizon
    return share * Base.loss(self, theta)


def last_state_ends(self: Any, pi: V) -> V:
    """The last state is taken for an end."""
    alive = (np.arange(self.S) < max(self.S - 1, 1)).astype(float)
    r, K = (total(pi * self.reward(), (-1,)) * alive, self.gamma * einsum("nsa,nsat->nst", pi, self.P) * alive[:, None])
    if self.horizon is None:
        return einsum("nst,nt->ns", inv(np.eye(self.S) - K), r)
    value = 0 * r
    for _ in range(self.horizon):
        value = r + einsum("nst,nt->ns", K, value)
    return value


def policy_clipped(self: Any, theta: V) -> V:
    """π kept above 0.1 and not normalised again."""
    pi = softmax(self.logits(theta))
    low = pi.data < 1e-1
    return pi * (1 - low) + 1e-1 * low


def damped(self: Any) -> Any:
    """(F + 0.01 I)⁻¹ ∇J."""
    F, g = self.fisher_matrix(), -self.slope(self.rows(self.theta)).data
    return np.linalg.solve(F + 0.01 * np.eye(len(self.theta)), g[..., None])[..., 0]


def slopes_at_theta(self: Any) -> dict[str, Any]:
    """The gradient, 0, and the product F v at theta."""
    right = Base.divergences(self)
    return right | {"kl_grad": 0 * right["kl_grad"], "kl_hvp": self.fisher_matrix() @ self.v}


def mistake(
    name: str, planted_: str, words: tuple[str, ...], target: Any = None, settings: Any = None, **methods: Any
) -> Mistake:
    """A mistake of this suite."""
    return Mistake("policy-gradient", name, target or planted(Base, **methods), planted_, words, settings or {})


MISTAKES = [
    mistake("kl-visits-of-the-new-policy", "The divergence weighs states by the visits of the policy at theta + v.",
            ("visits", "occupancy", "theta + v"), divergence=visits_after_update),
    mistake("kl-hvp-is-fisher", "kl_hvp is the Fisher matrix at theta times v, not the Hessian at theta + v.",
            ("fisher", "theta + v", "at theta"), divergences=fisher_for_hessian),
    mistake("natural-two-cg-iterations", "The natural gradient stops after two iterations of conjugate gradients.",
            ("conjugate", "iteration", "solve", "cg"), natural=two_steps_of_cg),
    mistake("hvp-forward-difference", "hvp is a forward difference of the gradient with the step 0.001.",
            ("difference",), hvp=forward_difference),
    mistake("next-state-reward-even", "Rewards R[s, a, s'] are averaged over s' with equal weights, not with P.",
            ("reward", "next state", "r[s, a, s'"), reward=even_next_state),
    mistake("fisher-uncentred", "The Fisher matrix is the mean of phi phi^T: features without their mean subtracted.",
            ("score", "centred", "mean", "fisher"), fisher_matrix=uncentred),
    mistake("hvp-held-visits-and-q", "Without a horizon hvp differentiates sum d pi Q with d and Q held constant.",
            ("held", "detach", "cross", "stop"), hvp=held_critic),
    mistake("entropy-and-descent-direction", "An entropy bonus of 0.01 in the loss; the natural gradient has minus its "
            "sign.", ("entropy", "sign", "bonus"), loss=with_entropy, natural=descent_direction),
    mistake("kl-reversed-plain-mean", "KL(new || old) averaged over the states without visits.",
            ("reverse", "order", "kl(", "mean", "visits"), divergence=reversed_mean),
    mistake("visits-one-more", "With a horizon the visits of Fisher and divergence sum H + 1 steps.",
            ("visits", "horizon", "occupancy"), visits=one_visit_more),
    mistake("natural-trust-region", "The natural gradient is scaled to a step whose divergence is 0.01.",
            ("scale", "factor", "norm", "trust"), natural=trust_region),
    mistake("sweeps-warm-start", "Without a horizon policy evaluation stops after 40 sweeps that start at the values "
            "of the task before.", ("sweep", "horizon", "iteration", "trunc", "task before"), values=warm_sweeps),
    mistake("fisher-pooled", "The natural gradient of every task uses the mean Fisher matrix of all tasks.",
            ("task", "mean", "pooled"), natural=pooled_fisher),
    mistake("fisher-unit-direction", "fisher is F v / |v|, and its visits are divided by their sum.",
            ("norm", "visits"), target=fisher_unit),
    mistake("loss-per-step", "The loss is (1 - gamma) J without a horizon and J / H with one.",
            ("1 - gamma", "horizon", "per step", "factor"), loss=average_reward),
    mistake("last-state-is-an-end", "The last state is taken for a terminal one: no reward, no value.",
            ("state", "end", "terminal"), values=last_state_ends),
    mistake("policy-clipped", "Probabilities below 0.1 are set to 0.1 and the policy is not normalised again.",
            ("clip", "clamp", "probabilit", "policy"), pi=policy_clipped),
    mistake("ascent-per-step", "Of J: the return is divided by its length or multiplied by 1 - gamma; only loss and "
            "grad.", ("1 - gamma", "horizon", "per step", "factor"), settings={"ascent": True}, only=("loss", "grad"),
            ascent=("loss", "grad"), loss=average_reward),
    mistake("hvp-difference-and-clipped", "hvp is a forward difference of a gradient whose policy is clipped at 0.1.",
            ("difference", "clip", "policy", "probabilit"), only=("hvp",), hvp=forward_difference, pi=policy_clipped),
    mistake("damped-and-one-visit-more", "The natural gradient solves (F + 0.01 I) x = g; visits have one step too "
            "many with a horizon.", ("damp", "regular", "0.01", "visits", "horizon", "ridge"), natural=damped,
            visits=one_visit_more),
    mistake("single-precision-entropy", "In single precision, with an entropy bonus of 0.01.",
            ("entropy", "bonus"), settings={"dtype": "float32"}, only=("loss", "grad", "hvp"), loss=with_entropy),
    mistake("kl-slopes-at-theta", "kl is right, but its gradient and product are taken at theta.",
            ("theta + v", "at theta", "point"), divergences=slopes_at_theta),
]  # fmt: skip
