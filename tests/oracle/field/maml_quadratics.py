"""Mistakes of MAML on quadratic losses and in linear-quadratic control."""

from functools import partial

import numpy as np

from tests.oracle.field.base_maml import (
    Cost,
    Quadratic,
    by_hand,
    descend,
    detach,
    final,
    hessian,
    maml,
    tasks_of,
)
from tests.oracle.field.mistake import Mistake


def given(target, change):
    """The target on other inputs than it was given."""
    return lambda **x: target(**{**x, **change(x)})


def accumulated(theta, alphas, tasks, i):
    """Nobody zeroes .grad between the steps."""
    phi, g = theta, 0.0
    for alpha in alphas:
        g = g + tasks[i][0].grad(phi)
        phi = phi - alpha * g
    return phi


def implicit_steps(theta, alphas, tasks, i):
    """Each step uses the gradient where it ends."""
    phi, (A, c) = theta, (tasks[i][0].A, tasks[i][0].c)
    for alpha in alphas:
        phi = c + np.linalg.solve(np.eye(len(c)) + alpha[:, None] * A, phi - c)
    return phi


def lookahead(theta, alphas, tasks, i):
    """Nesterov's momentum 0.5."""
    phi, v = theta, 0.0
    for alpha in alphas:
        v = 0.5 * v - alpha * tasks[i][0].grad(phi + 0.5 * v)
        phi = phi + v
    return phi


def slow_weights(theta, alphas, tasks, i):
    """After the loop, half way back to a start that is not differentiated."""
    return (descend(theta, alphas, tasks, i) + detach(theta)) / 2


def line_search(theta, alphas, tasks, i):
    """The first step is as long as the quadratic wants; its length is a constant."""
    phi, s = theta, tasks[i][0]
    for k, alpha in enumerate(alphas):
        g = s.grad(phi)
        phi = phi - (detach(g @ g / (g @ s.A @ g)) if k == 0 else alpha) * g
    return phi


def barzilai(theta, alphas, tasks, i):
    """After the first step, Barzilai and Borwein's step sizes."""
    phi, s, old = theta, tasks[i][0], None
    for alpha in alphas:
        g = s.grad(phi)
        if old is not None and abs((phi - old[0]) @ (g - old[1])) > 1e-12:
            alpha = (phi - old[0]) @ (phi - old[0]) / ((phi - old[0]) @ (g - old[1]))
        phi, old = phi - alpha * g, (phi, g)
    return phi


def alternating(theta, alphas, tasks, i):
    """Odd steps descend the query."""
    phi = theta
    for k, alpha in enumerate(alphas):
        phi = phi - alpha * tasks[i][k % 2].grad(phi)
    return phi


def restarted(theta, alphas, tasks, i):
    """Every step adds its gradient to theta, not to the point before."""
    phi = theta
    for alpha in alphas:
        phi = theta - alpha * tasks[i][0].grad(phi)
    return phi


def harmonic_detached(theta, alphas, tasks, i):
    """Step sizes α/(k+1); the first step's gradient is detached."""
    phi = theta
    for k, alpha in enumerate(alphas):
        g = tasks[i][0].grad(phi)
        phi = phi - alpha / (k + 1) * (g if k else detach(g))
    return phi


def one_centre(theta, A, c, query_A, query_c, alpha, steps):
    """M' A_q M (θ − c_q): as if the inner loop went to the query's centre."""
    rows = []
    for a, aq, cq in zip(A, query_A, query_c, strict=False):
        M = np.eye(theta.size)
        for step in np.broadcast_to(alpha, (steps, theta.size)):
            M = (np.eye(theta.size) - step[:, None] * a) @ M
        rows.append(M.T @ aq @ M @ (theta - cq))
    return np.array(rows)


def mean_power(theta, A, c, query_A, query_c, alpha, steps):
    """The closed form with a power of I − ᾱA, where ᾱ is the mean step size."""
    rows = []
    for a, b, aq, bq in zip(A, c, query_A, query_c, strict=False):
        M = np.linalg.matrix_power(np.eye(theta.size) - np.mean(alpha) * a, steps)
        rows.append(M @ aq @ (b + M @ (theta - b) - bq))
    return np.array(rows)


def wrong_spectrum(theta, A, c, query_A, query_c, alpha, steps):
    """Eigenvectors are taken from the rows that eigh returns, in the backward pass."""

    def back(alphas, path, tasks, i, lam):
        w, V = np.linalg.eigh(tasks[i][0].A)
        for step in alphas[::-1]:
            lam = lam - V.T @ (w * (V @ (step * lam)))
        return lam

    return by_hand(tasks_of(Quadratic), back=back)(
        theta, alpha, steps, A=A, c=c, query_A=query_A, query_c=query_c
    )


def positive(alphas, path, tasks, i, lam):
    """The Hessian without its negative eigenvalues."""
    w, V = np.linalg.eigh(hessian(tasks[i][0], path[0]))
    for step in alphas[::-1]:
        lam = lam - (V * np.maximum(w, 0)) @ V.T @ (step * lam)
    return lam


def diagonal(alphas, path, tasks, i, lam):
    """The Hessian's diagonal."""
    for k in reversed(range(len(alphas))):
        lam = lam - np.diag(hessian(tasks[i][0], path[k])) * alphas[k] * lam
    return lam


def first_terms(alphas, path, tasks, i, lam):
    """The product of Hessians, expanded to first order."""
    return lam - sum(
        hessian(tasks[i][0], path[k]) @ (a * lam) for k, a in enumerate(alphas)
    )


def rotated(x):
    """Rows of step sizes one place late."""
    return {"alpha": np.roll(x["alpha"], 1, 0)} if np.ndim(x["alpha"]) == 2 else {}


def squeezed(theta, A, c, query_A, query_c, alpha, steps):
    """One task has its axis squeezed away; elsewhere the query centre is the support's."""
    A, c = np.squeeze(A), np.squeeze(c)
    return maml(tasks_of(Quadratic))(
        theta, alpha, steps, A=A, c=c, query_A=query_A, query_c=c
    )


quad, qt = partial(Mistake, "maml-quadratic"), tasks_of(Quadratic)

MISTAKES = [
    quad("gradients-not-zeroed", maml(qt, inner=accumulated),
         "Inner gradients add up over the steps: nobody zeroes them.",
         ("accumul", "zero", "sum of", "momentum")),
    quad("tasks-add-up", maml(qt, after=lambda rows: np.cumsum(rows, 0)),
         "A task's row holds the gradients of the tasks before it, too.", ("accumul", "cumul", "task", "zero")),
    quad("implicit-steps", maml(qt, inner=implicit_steps),
         "Inner steps use the gradient where they end: implicit Euler.",
         ("implicit", "proximal", "inverse", "backward")),
    quad("nesterov-inside", maml(qt, inner=lookahead), "The inner optimiser has Nesterov's momentum 0.5.",
         ("momentum", "nesterov", "lookahead", "optimis")),
    quad("half-way-back", maml(qt, inner=slow_weights),
         "The adapted parameters are the mean of theta, detached, and the last point.",
         ("half", "average", "mean", "interpol", "lookahead", "detach")),
    quad("first-step-by-line-search", maml(qt, inner=line_search),
         "The first inner step has the length of an exact line search, detached.",
         ("line search", "alpha", "step size")),
    quad("barzilai-borwein", maml(qt, inner=barzilai),
         "From the second inner step on, step sizes are Barzilai-Borwein's.",
         ("barzilai", "alpha", "step size", "secant", "adaptive")),
    quad("support-and-query-in-turn", maml(qt, inner=alternating), "Every other inner step descends the query.",
         ("query", "support")),
    quad("steps-from-theta", maml(qt, inner=restarted), "Every inner step starts from theta, with the newest gradient.",
         ("theta", "restart", "start", "from")),
    quad("harmonic-and-first-detached", maml(qt, inner=harmonic_detached),
         "Step sizes are alpha/(k+1), and the first step's gradient is detached.",
         ("decay", "alpha", "k + 1", "k+1", "detach", "hessian", "first step", "schedule")),
    quad("closed-form-for-one-centre", one_centre,
         "The closed form for equal support and query: the query's centre also stands for the support's.",
         ("centre", "support", "closed form", "query_c")),
    quad("power-of-the-mean", mean_power, "The closed form's power has the mean of alpha.",
         ("alpha", "mean", "average")),
    quad("eigenvectors-in-rows", wrong_spectrum,
         "The backward pass builds the Hessian from eigh with eigenvectors as rows.",
         ("eigen", "hessian", "transpos", "backward")),
    quad("hessian-without-negative-part", by_hand(qt, back=positive),
         "Negative eigenvalues of the Hessian are set to zero in the backward pass.",
         ("eigenvalue", "negative", "positive", "psd", "clip", "clamp")),
    quad("hessian-diagonal", by_hand(qt, back=diagonal), "The Hessian is its diagonal.", ("diagonal",)),
    quad("expanded-to-first-order", by_hand(qt, back=first_terms),
         "The product of I - alpha H is I minus the sum of alpha H.",
         ("expan", "sum", "product", "cross", "first order")),
    quad("rows-of-alpha-late", given(maml(qt), rotated), "Rows of step sizes are one step late.",
         ("alpha", "step k", "shift", "roll", "order")),
    quad("squeezed-and-one-centre", squeezed,
         "With one task it crashes; otherwise the query's centre is the support's.", ("query_c", "centre", "support")),
    quad("theta-s-first-order", maml(qt, inner=lambda t, a, p, i: t, quantity="first_order"),
         "The first-order gradient is that at theta, not at the adapted parameters.",
         ("theta", "adapted", "before", "phi"), {"quantity": "first_order"}),
]  # fmt: skip


class Variances(Cost):
    """The last parameters are logarithms of variances."""

    def unpack(self, theta):
        G, var = super().unpack(theta)
        return G, np.sqrt(var)

    def sigma_slope(self, var):
        return var


class ColumnMajor(Cost):
    """The gain column by column."""

    def unpack(self, theta):
        p, m = self.B.shape
        return theta[: m * p].reshape(p, m).T, np.exp(2 * theta[m * p :])

    def grad(self, theta):
        g, (p, m) = super().grad(theta), self.B.shape
        return np.concatenate([g[: m * p].reshape(m, p).T.ravel(), g[m * p :]])


class NoisyStart(Cost):
    """The noise enters from the start on: without a horizon N/(1 − γ), with one Σ₀ + W."""

    def flow(self, G, var):
        old, N = self.start, (self.B * var) @ self.B.T + self.noise
        self.start = old + N if self.horizon is None else old + self.noise
        flow = super().flow(G, var)
        self.start = old
        return flow


class Deterministic(Cost):
    """The mean action, when it is judged."""

    def unpack(self, theta):
        G, var = super().unpack(theta)
        return G, 0 * var


class GainHalved(Cost):
    """The gain's gradient without its factor 2."""

    def grad(self, theta):
        half = np.where(np.arange(theta.size) < self.B.size, 0.5, 1.0)
        return half * super().grad(theta)


class NaturalGain(Cost):
    """The gain's natural gradient: without the second moments on the right."""

    def grad(self, theta):
        G, var = self.unpack(theta)
        S = sum(S for _, S, _ in self.flow(G, var))
        dG = super().grad(theta)[: G.size].reshape(G.shape)
        flat = np.linalg.solve(S + 1e-3 * np.eye(len(S)), dG.T).T.ravel()
        return np.concatenate([flat, super().grad(theta)[G.size :]])


class CovarianceStart(Cost):
    """The start's mean is dropped: no correlation with the coordinate 1."""

    def __init__(self, *data):
        super().__init__(*data)
        self.start = self.start.copy()
        self.start[:-1, -1] = self.start[-1, :-1] = 0


class ActionFree(Cost):
    """Exploration costs nothing: R weighs the mean action only."""

    def value(self, theta):
        G, var = self.unpack(theta)
        return super().value(theta) - sum(
            w * np.sum(np.diag(self.R) * var) for w, _, _ in self.flow(G, var)
        )


class NextState(Cost):
    """The state's cost is that of the next state, one discount too little, and the start's is free."""

    def value(self, theta):
        G, var = self.unpack(theta)
        M, N = self.A + self.B @ G, (self.B * var) @ self.B.T + self.noise
        now = sum(np.sum(self.Q * S) for _, S, _ in self.flow(G, var))
        after = sum(
            np.sum(self.Q * (M @ S @ M.T + w * N)) for w, S, _ in self.flow(G, var)
        )
        return super().value(theta) - now + after


class StageOnly(Cost):
    """The gain's gradient with the actions' own cost only: what they do to later states is left out."""

    def grad(self, theta):
        G, var = self.unpack(theta)
        S = sum(S for _, S, _ in self.flow(G, var))
        return np.concatenate(
            [(2 * self.R @ G @ S).ravel(), super().grad(theta)[G.size :]]
        )


class Floor(Cost):
    """log σ is at least −0.4, and below that has no gradient."""

    def unpack(self, theta):
        p, m = self.B.shape
        log_sigma = theta[m * p :]
        return theta[: m * p].reshape(m, p), np.exp(
            2 * np.where(log_sigma.real < -0.4, -0.4, log_sigma)
        )

    def sigma_slope(self, var):
        return np.where(var.real > np.exp(-0.8) * (1 + 1e-12), 2 * var, 0)


class Symmetric(Cost):
    """The noises of different actions are taken for one: σσᵀ."""

    def flow(self, G, var):
        old, s = self.noise, np.sqrt(var)
        self.noise = old + self.B @ (np.outer(s, s) - np.diag(var)) @ self.B.T
        flow = super().flow(G, var)
        self.noise = old
        return flow


class MeanCost(Cost):
    """The weights γ^t are normalised to sum to one."""

    def value(self, theta):
        return super().value(theta) / sum(
            w for w, _, _ in self.flow(*self.unpack(theta))
        )

    def grad(self, theta):
        return super().grad(theta) / sum(
            w for w, _, _ in self.flow(*self.unpack(theta))
        )


def gain_only(theta, alphas, tasks, i):
    """The exploration is not adapted, and the gain's step is as short as a gradient of length 1 makes it."""
    phi, size = theta, tasks[i][0].B.size
    for alpha in alphas:
        g = tasks[i][0].grad(phi) * (np.arange(theta.size) < size)
        phi = phi - alpha * g / np.sqrt(np.maximum(1, detach(g @ g)))
    return phi


def frozen_sigma(theta, alphas, tasks, i):
    """The exploration is not adapted."""
    return descend(
        theta, alphas * (np.arange(theta.size) < tasks[i][0].B.size), tasks, i
    )


def bonus(phi, theta, alphas, tasks, i):
    """The entropy of the adapted policy is rewarded by 0.1."""
    return final(phi, theta, alphas, tasks, i) - 0.1 * np.sum(phi[tasks[i][0].B.size :])


lq, lt = partial(Mistake, "maml-lq"), tasks_of(Cost)

MISTAKES += [
    lq("log-variance", maml(tasks_of(Variances)), "The last parameters are taken for log variances.",
       ("variance", "sigma", "deviation")),
    lq("gain-by-columns", maml(tasks_of(ColumnMajor)), "The gain is read column by column.",
       ("gain", "layout", "transpos", "column", "order")),
    lq("noise-from-the-start", maml(tasks_of(NoisyStart)),
       "The noise enters one step early: N/(1 - gamma) without its gamma, or the start's moments plus W.",
       ("noise", "gamma", "start")),
    lq("query-without-exploration", maml(tasks_of(Cost, Deterministic)), "The query's policy takes the mean action.",
       ("sigma", "determin", "explor", "noise", "mean action")),
    lq("gain-gradient-halved", maml(tasks_of(GainHalved, Cost)), "The inner gradient of the gain lacks its factor 2.",
       ("factor", "twice", "half", "gain")),
    lq("natural-gain", maml(tasks_of(NaturalGain, Cost)), "The gain's inner gradient is natural: moments divided out.",
       ("natural", "moment", "precondition", "fisher")),
    lq("start-as-covariance", maml(tasks_of(CovarianceStart)), "The start's mean is dropped from its second moments.",
       ("start", "covariance", "mean", "moment")),
    lq("exploration-is-free", maml(tasks_of(Cost, ActionFree)), "The query lacks tr(R diag sigma^2).",
       ("sigma", "tr(r", "action", "explor")),
    lq("cost-of-the-next-state", maml(tasks_of(Cost, NextState)), "The query's state cost is that of the next state.",
       ("next", "state", "x_{t+1}", "shift", "late")),
    lq("myopic-gain", maml(tasks_of(StageOnly, Cost)),
       "The gain's inner gradient ignores what actions do to later states.",
       ("myopic", "later", "future", "value", "dynamics", "gamma")),
    lq("floor-under-log-sigma", maml(tasks_of(Floor)), "log sigma is clamped from below at -0.4.",
       ("clamp", "clip", "sigma")),
    lq("mean-cost", maml(tasks_of(MeanCost)), "The cost is a weighted mean over time: divided by the sum of gamma^t.",
       ("1 - gamma", "1-gamma", "mean", "normalis", "factor", "sum of gamma", "horizon")),
    lq("one-noise-for-all-actions", maml(tasks_of(Symmetric, Cost)),
       "In the inner loop all actions share one noise: the state meets the outer product of sigma.",
       ("noise", "covariance", "sigma", "correlat", "diag")),
    lq("exploration-not-adapted-and-clipped", maml(lt, inner=gain_only),
       "log sigma is not adapted, and the gain's inner gradient is clipped to length 1 by a constant factor.",
       ("sigma", "clip", "adapt", "norm")),
    lq("exploration-not-adapted", maml(lt, inner=frozen_sigma), "log sigma is not adapted.",
       ("sigma", "adapt", "explor", "last parameter", "frozen")),
    lq("entropy-outside-and-exploration-frozen", maml(lt, inner=frozen_sigma, outer=bonus),
       "log sigma is not adapted, and the outer loss rewards its entropy by 0.1.",
       ("sigma", "entropy", "bonus", "adapt")),
]  # fmt: skip
