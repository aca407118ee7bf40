"""Mistakes of MAML on softmax policies, tabular and with features."""

from functools import partial
from math import log

import numpy as np

from tests.oracle.field.base_maml import (
    Policy,
    by_hand,
    descend,
    detach,
    final,
    maml,
    softmax,
    tasks_of,
)
from tests.oracle.field.mistake import Mistake


def norm(g):
    """The length, also of a complex vector, as a differentiable number."""
    return np.sqrt(np.sum(g * g))


def stepping(change):
    """An inner loop in which `change` makes the step's direction from the gradient, the point and the support."""

    def inner(theta, alphas, tasks, i):
        phi = theta
        for alpha in alphas:
            phi = phi - alpha * change(tasks[i][0].grad(phi), phi, tasks[i][0])
        return phi

    return inner


def given(target, change):
    """The target on other inputs than it was given."""
    return lambda **x: target(**{**x, **change(x)})


def kl(pi, rho):
    """The mean over states of KL(pi || rho)."""
    return np.mean(np.sum(pi * (np.log(pi) - np.log(rho)), 1))


class RatioSurrogate(Policy):
    """The gradient is that of the ratio surrogate: visits and advantages are constants."""

    def grad(self, theta):
        pi, old = self.policy(theta), self.policy(detach(theta))
        A = [(d[:, None], self.advantage(old, Q)) for d, Q in self.flow(old)]
        return -self.back(
            sum(d * pi * (a - np.sum(pi * a, 1, keepdims=True)) for d, a in A)
        )


class LogProbability(Policy):
    """The gradient is Σ d π Q ∇log π with everything constant but ∇log π."""

    def grad(self, theta):
        pi, old = self.policy(theta), self.policy(detach(theta))
        w = sum(d[:, None] * old * Q for d, Q in self.flow(old))
        return -self.back(w - pi * w.sum(1, keepdims=True))


class Whitened(Policy):
    """Advantages have mean 0 and deviation 1."""

    def advantage(self, pi, Q):
        A = super().advantage(pi, Q)
        return (A - A.mean()) / (np.sqrt(np.mean((A - A.mean()) ** 2)) + 1e-8)


class Entropic(Policy):
    """A bonus for the entropy."""

    def grad(self, theta):
        pi = self.policy(theta)
        entropy = -np.sum(pi * np.log(pi), 1, keepdims=True)
        return super().grad(theta) + 0.05 / len(pi) * self.back(
            pi * (np.log(pi) + entropy)
        )


class ActionMajor(Policy):
    """Logits laid out as PyTorch's Linear(S, A).weight."""

    def logits(self, theta):
        return theta.reshape(self.R.shape[::-1]).T

    def back(self, g):
        return g.T.ravel()


class Forty(Policy):
    """The infinite horizon is forty steps."""

    def flow(self, pi):
        self.horizon = self.horizon or 40
        return super().flow(pi)


class EffectiveHorizon(Policy):
    """The infinite horizon ends where the discount falls below 1e-3, after 200 steps at the latest."""

    def flow(self, pi):
        self.horizon = self.horizon or min(200, int(log(1e-3) / log(self.gamma)))
        return super().flow(pi)


class TimeLimit(Policy):
    """After the last reward the values go on as if there were no horizon."""

    def flow(self, pi):
        if self.horizon is None or self.gamma == 1:
            return super().flow(pi)
        endless = Policy(self.P, self.R, self.rho, self.gamma, None, self.features)
        return [(d, endless.flow(pi)[0][1]) for d, _ in super().flow(pi)]


class ReturnBaseline(Policy):
    """The baseline is the mean return, not the state's value."""

    def advantage(self, pi, Q):
        return Q - np.sum(self.rho * np.sum(pi * Q, 1))


class Backwards(Policy):
    """Visits flow along the rows of the transition matrix instead of its columns."""

    def flow(self, pi):
        if self.horizon is not None:
            return super().flow(pi)
        Pp = np.einsum("sa,sat->st", pi, self.P)
        return [
            (np.linalg.solve(np.eye(len(Pp)) - self.gamma * Pp, self.rho), Q)
            for _, Q in super().flow(pi)
        ]


class Distribution(Policy):
    """Visits are a probability distribution."""

    def flow(self, pi):
        flow = super().flow(pi)
        total = sum(np.sum(d) for d, _ in flow)
        return [(d / total, Q) for d, Q in flow]


class Exploring(Policy):
    """A tenth of all actions is uniform."""

    def policy(self, theta):
        return 0.9 * softmax(self.logits(theta)) + 0.1 / self.R.shape[1]

    def grad(self, theta):
        soft = softmax(self.logits(theta))
        Q = [(d, Q) for d, Q in self.flow(self.policy(theta))]
        return -self.back(
            sum(0.9 * d[:, None] * soft * self.advantage(soft, q) for d, q in Q)
        )


class Sharpened(Policy):
    """Logits times two when it is judged."""

    def logits(self, theta):
        return 2 * super().logits(theta)


class LateReward(Policy):
    """The reward is paid after the transition: the first has weight γ."""

    def value(self, theta):
        return self.gamma * super().value(theta)


class UniformStart(Policy):
    """rho is ignored."""

    def flow(self, pi):
        self.rho = np.full_like(self.rho, 1 / len(self.rho))
        return super().flow(pi)


def fisher(support, phi, damping):
    """The Fisher matrix of the policy under its visits, damped."""
    pi = support.policy(phi)
    d = sum(d for d, _ in support.flow(pi))
    S, A = pi.shape
    F = np.zeros((S * A, S * A), dtype=pi.dtype)
    for s in range(S):
        F[s * A : s * A + A, s * A : s * A + A] = d[s] * (
            np.diag(pi[s]) - np.outer(pi[s], pi[s])
        )
    if support.features is not None:
        f = support.features.reshape(S * A, -1)
        F = f.T @ F @ f
    return F + damping * np.eye(len(F))


def natural(g, phi, support):
    """The natural gradient."""
    return np.linalg.solve(fisher(support, phi, 0.1), g)


def trust(g, phi, support):
    """TRPO's step: the natural gradient at the length of the trust region, differentiated but for the Fisher matrix."""
    x = np.linalg.solve(fisher(support, detach(phi), 0.01), g)
    return x / np.sqrt(detach(x @ g) / 0.02)


def clipped(g, phi, support):
    """Clipped to the length 1/2, and the factor is differentiated."""
    return g * (0.5 / norm(g)) if norm(g).real > 0.5 else g


def rmsprop(theta, alphas, tasks, i):
    phi, v = theta, 0.0
    for alpha in alphas:
        g = tasks[i][0].grad(phi)
        v = 0.9 * v + 0.1 * g * g
        phi = phi - alpha * g / (np.sqrt(v) + 1e-2)
    return phi


def carried_momentum(theta, alphas, tasks, i):
    """Momentum 0.9; the buffer is what the task before left."""
    buffer = 0.0
    for j in range(i + 1):
        buffer, phi = detach(buffer), theta if j == i else detach(theta)
        for alpha in alphas:
            buffer = 0.9 * buffer + tasks[j][0].grad(phi)
            phi = phi - alpha * buffer
    return phi


def patient(theta, alphas, tasks, i):
    """Stops when the gradient is short."""
    phi = theta
    for alpha in alphas:
        g = tasks[i][0].grad(phi)
        if norm(g).real < 0.2:
            break
        phi = phi - alpha * g
    return phi


def averaged(theta, alphas, tasks, i):
    """The mean of the points after each step."""
    path = [descend(theta, alphas[: k + 1], tasks, i) for k in range(len(alphas))]
    return sum(path) / len(path) if path else theta


def backtracking(theta, alphas, tasks, i):
    """A step that does not lower the loss, or lowers it by too little, is halved."""
    phi, support = theta, tasks[i][0]
    for alpha in alphas:
        g = support.grad(phi)
        while (
            support.value(phi - alpha * g).real
            > (support.value(phi) - 0.75 * np.sum(alpha * g * g)).real
        ):
            alpha = alpha / 2
            if np.max(np.abs(alpha)) < 1e-3:
                break
        phi = phi - alpha * g
    return phi


def penalised(phi, theta, alphas, tasks, i):
    """The query loss and a tenth of the divergence from the first policy."""
    old, new = (tasks[i][0].policy(x) for x in (theta, phi))
    return final(phi, theta, alphas, tasks, i) + 0.1 * kl(old, new)


def differences(alphas, path, tasks, i, lam):
    """Hessian products by a difference of gradients a hundredth apart."""
    for k in reversed(range(len(alphas))):
        v, g = alphas[k] * lam, tasks[i][0].grad
        lam = lam - (g(path[k] + 0.01 * v) - g(path[k])) / 0.01
    return lam


def fisher_for_hessian(alphas, path, tasks, i, lam):
    """The Fisher matrix in the place of the Hessian."""
    for k in reversed(range(len(alphas))):
        lam = lam - fisher(tasks[i][0], path[k], 0.0) @ (alphas[k] * lam)
    return lam


def shared_mean(theta, alpha, steps, **data):
    """The derivative by step sizes, averaged over what shares an entry."""
    every = maml(tasks_of(Policy), quantity="step_size_gradient")
    full = every(
        theta=theta,
        alpha=np.array(np.broadcast_to(alpha, (steps, theta.size))),
        steps=steps,
        **data,
    )
    if np.ndim(alpha) == 2:
        return full if alpha.shape[1] > 1 else full.mean(2, keepdims=True)
    return full.mean(1) if np.ndim(alpha) == 1 else full.mean((1, 2))


def uphill(theta, alphas, tasks, i):
    """A step against the gradient of the return."""
    phi = theta
    for alpha in alphas:
        phi = phi + alpha * tasks[i][0].grad(phi)
    return phi


def gain(phi, theta, alphas, tasks, i):
    """What adaptation gained over the start."""
    return tasks[i][1].value(phi) - tasks[i][1].value(theta)


def stale(theta, alphas, tasks, i):
    """All steps reuse the advantages and visits of the first; the policy's probabilities are new each time."""
    support, phi = tasks[i][0], theta
    old = support.policy(theta)
    flow = support.flow(old)
    for alpha in alphas:
        pi = support.policy(phi)
        A = [support.advantage(old, Q) for _, Q in flow]
        g = sum(
            d[:, None] * pi * (a - np.sum(pi * a, 1, keepdims=True))
            for (d, _), a in zip(flow, A, strict=False)
        )
        phi = phi + alpha * support.back(g)
    return phi


tabular, right = partial(Mistake, "maml-tabular"), tasks_of(Policy)


def inner(change, **more):
    """A right program with another direction of the inner step."""
    return maml(right, inner=stepping(change), **more)


def swapped_alpha(x):
    """A step size for each parameter, read action after action."""
    if np.shape(x["alpha"]) != x["theta"].shape:
        return {}
    return {"alpha": x["alpha"].reshape(x["R"].shape[:0:-1]).T.ravel()}


MISTAKES = [
    tabular("ratio-surrogate", maml(tasks_of(RatioSurrogate, Policy)),
            "The inner gradient's visits and advantages are constants to the Hessian; probabilities are not.",
            ("hessian", "advantage", "visit", "detach", "constant")),
    tabular("log-probability-surrogate", maml(tasks_of(LogProbability, Policy)),
            "The inner gradient is differentiated through the score only; all its weights are constants.",
            ("hessian", "log", "score", "detach", "constant", "visit")),
    tabular("whitened-advantages", maml(tasks_of(Whitened, Policy)),
            "The inner loop's advantages are normalised to mean 0 and deviation 1.",
            ("advantage", "normalis", "whiten", "inner")),
    tabular("whitened-advantages-in-trust-region", maml(tasks_of(Whitened, Policy), inner=stepping(trust)),
            "The inner step is TRPO's, scaled to a trust region, and its advantages are normalised.",
            ("natural", "fisher", "normalis", "advantage", "inner", "precondition", "length")),
    tabular("entropy-in-the-inner-loss", maml(tasks_of(Entropic, Policy)),
            "The inner loss has an entropy bonus of 0.05 times the mean over states.", ("entropy", "bonus", "inner")),
    tabular("query-reads-actions-first", maml(tasks_of(Policy, ActionMajor)),
            "The query reads theta action after action (A, S), the support state after state.",
            ("layout", "transpos", "action", "order", "query")),
    tabular("query-with-the-support-s-transitions", given(maml(right), lambda x: {"query_P": x["P"]}),
            "The adapted policy is judged with the query's rewards and start, but the support's transitions.",
            ("query_p", "transition", "support")),
    tabular("momentum-across-tasks", maml(right, inner=carried_momentum),
            "The inner loop has momentum 0.9, and its buffer is not reset between tasks.",
            ("momentum", "task", "carried", "state")),
    tabular("effective-horizon", maml(tasks_of(EffectiveHorizon)),
            "No horizon means the steps until gamma^t < 1e-3, at most 200; gamma 0 raises an exception.",
            ("horizon", "truncat")),
    tabular("forty-steps-are-endless", maml(tasks_of(Forty)), "No horizon means 40 steps.", ("horizon", "truncat")),
    tabular("time-limit-bootstrapped", maml(tasks_of(TimeLimit, Policy)),
            "With a finite horizon the inner gradient's action values are those without a horizon.",
            ("horizon", "bootstrap", "value")),
    tabular("return-as-baseline", maml(tasks_of(ReturnBaseline, Policy)),
            "The inner gradient's advantage is Q minus the mean return, where the formula needs V(s).",
            ("baseline", "advantage", "value", "v(s)")),
    tabular("visits-along-rows", maml(tasks_of(Backwards, Policy)),
            "The inner gradient's visits without a horizon solve with the transition matrix, not its transpose.",
            ("transpos", "visit", "transition")),
    tabular("visits-are-a-distribution", maml(tasks_of(Distribution, Policy)),
            "The inner gradient's visits sum to one: the gradient lacks the factor 1/(1 - gamma).",
            ("1 - gamma", "1-gamma", "1 - γ", "visit", "normalis", "factor")),
    tabular("uniform-exploration", maml(tasks_of(Exploring)), "The policy takes a uniform action with probability 0.1.",
            ("uniform", "explor", "epsilon", "policy", "mix")),
    tabular("query-at-half-temperature", maml(tasks_of(Policy, Sharpened)),
            "The adapted policy is judged at temperature 1/2.", ("temperature", "logit", "query")),
    tabular("query-reward-late-and-start-uniform",
            maml(tasks_of(Policy, type("Both", (LateReward, UniformStart), {}))),
            "The query discounts its first reward by gamma and starts in all states alike.",
            ("discount", "gamma", "rho", "start", "uniform")),
    tabular("natural-inner-gradient", inner(natural), "The inner step is the natural gradient, damped by 0.1.",
            ("natural", "fisher", "precondition")),
    tabular("inner-gradient-clipped", inner(clipped), "The inner gradient is clipped to the length 1/2.", ("clip",)),
    tabular("inner-gradient-clipped-outer-too",
            inner(clipped, after=lambda rows: np.array([clipped(g, None, None) for g in rows])),
            "Inner gradient and meta-gradient are both clipped to the length 1/2.", ("clip",)),
    tabular("rmsprop-inside", maml(right, inner=rmsprop), "The inner optimiser is RMSProp.",
            ("optimis", "adam", "rmsprop", "inner", "adaptive")),
    tabular("stops-when-flat", maml(right, inner=patient),
            "The inner loop stops when its gradient is shorter than 0.2.",
            ("stop", "fewer", "steps", "early")),
    tabular("backtracking", maml(right, inner=backtracking),
            "The inner loop halves a step that lowers the loss too little.",
            ("backtrack", "line search", "step size", "alpha", "halv")),
    tabular("mean-of-the-path", maml(right, inner=averaged),
            "The adapted parameters are the mean over the inner steps.",
            ("average", "mean", "path", "iterate")),
    tabular("alpha-laid-out-by-action", given(maml(right), swapped_alpha),
            "A step size for each parameter is read action after action.", ("alpha",)),
    tabular("promp", maml(tasks_of(RatioSurrogate, Policy), outer=penalised),
            "Inner visits and advantages are constants, and the outer loss has 0.1 KL(first || adapted).",
            ("kl", "penalty", "hessian", "advantage", "constant", "detach", "proximal")),
    tabular("stale-advantages", maml(right, inner=stale),
            "All inner steps reuse the advantages and visits of the first point.",
            ("stale", "reuse", "advantage", "visit", "theta", "first")),
    tabular("finite-difference-hessian", by_hand(right, back=differences),
            "Hessian products are differences of gradients with the step 0.01.", ("difference", "hessian")),
    tabular("fisher-for-the-hessian", by_hand(right, back=fisher_for_hessian),
            "The Fisher matrix stands for the Hessian.", ("fisher", "hessian", "gauss")),
    tabular("at-least-one-step", given(maml(right), lambda x: {"steps": max(1, x["steps"])}),
            "K = 0 takes one step.", ("steps", "k = 0", "no step")),
    tabular("step-sizes-averaged", shared_mean,
            "The derivative by a shared step size is the mean over what shares it, not the sum.",
            ("mean", "average", "sum", "shared", "factor"), {"quantity": "step_size_gradient"}),
    tabular("gain-over-the-start", maml(right, outer=gain, quantity="objective"),
            "The objective is L_query(phi) - L_query(theta).", ("theta", "difference", "before", "gain", "improve"),
            {"quantity": "objective"}),
    tabular("maximises-but-adapts-downhill", maml(right, inner=uphill, after=lambda rows: -rows),
            "The meta-gradient is that of the return, but the inner loop lowers the return.",
            ("inner", "sign", "direction", "ascen", "descen"), {"ascent": True}),
]  # fmt: skip


class UnitFeatures(Policy):
    """Every feature vector is scaled to length 1."""

    def __init__(self, *data):
        super().__init__(*data)
        self.features = self.features / np.linalg.norm(
            self.features, axis=-1, keepdims=True
        )


class OverStates(Policy):
    """The softmax runs over states, then each state's row is scaled to sum to one."""

    def policy(self, theta):
        p = softmax(self.logits(theta), axis=0)
        return p / p.sum(1, keepdims=True)

    def grad(self, theta):
        g = np.array([self._d(theta, k) for k in range(theta.size)])
        return -g

    def _d(self, theta, k):
        p = softmax(self.logits(theta), axis=0)
        f, pi = self.features[..., k], self.policy(theta)
        dp = p * (f - np.sum(p * f, 0))
        dpi = dp / p.sum(1, keepdims=True) - pi * dp.sum(1, keepdims=True) / p.sum(
            1, keepdims=True
        )
        return sum(np.sum(d[:, None] * dpi * Q) for d, Q in self.flow(pi))


class Scaled(Policy):
    """Logits divided by √d."""

    def __init__(self, *data):
        super().__init__(*data)
        self.features = self.features / np.sqrt(self.features.shape[-1])


class FeatureScore(Policy):
    """The score is the feature vector itself: the expected feature is not subtracted, nor is a baseline."""

    def advantage(self, pi, Q):
        return Q


class Centred(Policy):
    """Features are centred and scaled over all pairs of state and action."""

    def __init__(self, *data):
        super().__init__(*data)
        self.features = (self.features - self.features.mean((0, 1))) / (
            self.features.std((0, 1)) + 1e-8
        )


def proximal(theta, alphas, tasks, i):
    """The inner loss has the square of the distance from a detached start; the last gradient is detached too."""
    phi = theta
    for k, alpha in enumerate(alphas):
        g = tasks[i][0].grad(phi) + 0.5 * (phi - detach(theta))
        phi = phi - alpha * (detach(g) if k == len(alphas) - 1 else g)
    return phi


def one_alpha(theta, alphas, tasks, i):
    """The first row of step sizes for all steps, and no second derivative before the third step."""
    phi = theta
    for k, _ in enumerate(alphas):
        g = tasks[i][0].grad(phi)
        phi = phi - alphas[0] * (g if k >= 2 else detach(g))
    return phi


def compatible(g, phi, support):
    """The weights of the best linear fit of the advantage on the scores, in place of the gradient."""
    pi = support.policy(phi)
    psi = support.features - np.einsum("sa,sad->sd", pi, support.features)[:, None]
    d = sum(d for d, _ in support.flow(pi))
    F = np.einsum("s,sa,sad,sae->de", d, pi, psi, psi)
    return np.linalg.solve(F + 1e-2 * np.eye(len(F)), g)


def worst_weighted(rows):
    """Tasks weighted by the length of their gradients."""
    w = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows * w / w.mean()


featured = partial(Mistake, "maml-linear-features")

MISTAKES += [
    featured("features-of-length-one", maml(tasks_of(UnitFeatures)), "Feature vectors are scaled to length 1.",
             ("feature", "normalis")),
    featured("softmax-over-states", maml(tasks_of(OverStates)), "The softmax runs over the states and is renormalised.",
             ("softmax", "axis", "states")),
    featured("logits-over-root-d", maml(tasks_of(Scaled)), "Logits are divided by the root of d, as in attention.",
             ("temperature", "logit", "scale", "feature")),
    featured("score-without-expectation", maml(tasks_of(FeatureScore, Policy)),
             "The inner gradient takes features as the score, without their expectation, and Q without a baseline.",
             ("score", "feature", "baseline", "expect", "advantage")),
    featured("features-standardised", maml(tasks_of(Centred)), "Features are standardised over states and actions.",
             ("feature", "standardis", "normalis")),
    featured("proximal-and-last-detached", maml(right, inner=proximal),
             "The inner loss has |phi - theta|^2 / 4 with theta detached, and the last step's gradient is detached.",
             ("proximal", "detach", "l2", "decay", "last", "hessian")),
    featured("first-alpha-and-late-hessians", maml(right, inner=one_alpha),
             "The first row of alpha serves all steps, and the first two steps are first order.",
             ("alpha", "first order", "first-order", "detach", "hessian")),
    featured("compatible-weights", maml(right, inner=stepping(compatible)),
             "The inner step follows the compatible weights, that is, the natural gradient.",
             ("natural", "fisher", "compatible", "precondition")),
    featured("tasks-weighted-by-length", maml(right, after=worst_weighted),
             "Each task's gradient is weighted by its own length over the mean length.",
             ("weight", "task", "norm", "scale")),
]  # fmt: skip
