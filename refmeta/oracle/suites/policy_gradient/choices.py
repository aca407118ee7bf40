"""What implementations of exact policy gradients choose, the right alternative first.  Derivation: derivations/exact-policy-gradient.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Choices, Predicate
from refmeta.oracle.suites.policy_gradient.problem import Evaluation
from refmeta.oracle.suites.policy_gradient.variants import Process, Run, variant
from refmeta.policies.softmax import TabularSoftmax
from refmeta.tasks import fisher

__all__ = ["CHOICES", "PREDICATES", "additions", "layouts", "numbers", "variant"]

Visits = Callable[[Run, Process, Array], Array]


def _kernel(process: Process, pi: Array) -> Array:
    """P_π, (N, S, S)."""
    return np.einsum("nsa,nsat->nst", pi + 0 * process.r, process.P)


def _walk(process: Process, pi: Array, *, gamma: float = 1.0, turned: bool = False) -> Array:
    """The distributions of the states in time, each times γᵗ; of the transposed P_π if turned."""
    kernel, steps = gamma * _kernel(process, pi), [process.rho + 0 * pi[..., 0]]
    kernel = kernel.swapaxes(-1, -2) if turned else kernel
    for _ in range((process.horizon or 1) - 1):
        steps.append(np.einsum("nst,ns->nt", kernel, steps[-1]))
    return np.stack(steps)


def _undiscounted(run: Run, process: Process, pi: Array) -> Array:
    """Visits without γᵗ; where there is no horizon, their long-run share over 1 − γ."""
    if process.horizon is not None:
        return _walk(process, pi)
    return _stationary(process, pi)[None] / (1 - process.gamma)


def _stationary(process: Process, pi: Array) -> Array:
    """The mean distribution of the states of a very long run: (I + P_π)/2 is squared until nothing moves."""
    kernel = _kernel(process, pi)
    power = (np.eye(kernel.shape[-1]) + kernel) / 2
    for _ in range(40):
        power = power @ power
        power = power / np.sum(power, axis=-1, keepdims=True)
    return np.einsum("ns,nst->nt", process.rho, power)


def _transposed(run: Run, process: Process, pi: Array) -> Array:
    """Visits by P_π instead of its transpose."""
    if process.horizon is not None:
        return _walk(process, pi, gamma=process.gamma, turned=True)
    system = np.eye(process.rho.shape[-1]) - process.gamma * _kernel(process, pi)
    return np.linalg.solve(system, (process.rho + 0 * pi[..., 0])[..., None])[None, ..., 0]


VISITS: dict[str, Visits | None] = {
    "discounted": None,
    "normalised to 1": lambda run, process, pi: run.visits / np.sum(run.visits, axis=(0, -1), keepdims=True),
    "undiscounted": _undiscounted,
    "undiscounted, normalised to 1": lambda run, process, pi: _undiscounted(run, process, pi) / np.sum(_undiscounted(run, process, pi), axis=(0, -1), keepdims=True),
    "by the transposed P": _transposed,
    "1 in every state": lambda run, process, pi: 0 * run.visits + (np.arange(len(run.visits)) == 0)[:, None, None],
    "1/S in every state": lambda run, process, pi: 0 * run.visits + (np.arange(len(run.visits)) == 0)[:, None, None] / run.visits.shape[-1],
    "those of the first state only": lambda run, process, pi: process.rho * (np.arange(len(run.visits)) == 0)[:, None, None],
    "without the first step": lambda run, process, pi: run.visits - process.rho * (np.arange(len(run.visits)) == 0)[:, None, None],
    "discounted once more": lambda run, process, pi: run.visits * process.gamma,
    "discounted once less": lambda run, process, pi: run.visits / process.gamma,
    "divided by the horizon": lambda run, process, pi: run.visits / len(run.visits),
    "of the uniform policy": lambda run, process, pi: _of_uniform(process, pi),
}


def _of_uniform(process: Process, pi: Array) -> Array:
    """Visits of the uniform policy."""
    even = 0 * pi + 1 / pi.shape[-1]
    if process.horizon is not None:
        return _walk(process, even, gamma=process.gamma)
    system = np.eye(process.rho.shape[-1]) - process.gamma * _kernel(process, even)
    return np.linalg.solve(system.swapaxes(-1, -2), (process.rho + 0 * even[..., 0])[..., None])[None, ..., 0]


RETURNS: dict[str, Visits | None] = {
    "Q": None,
    "reward": lambda run, process, pi: process.r + 0 * run.Q,
    "gamma V(s')": lambda run, process, pi: run.Q - process.r,
    "reward and gamma times the next reward": lambda run, process, pi: process.r + process.gamma * _next(process, pi) + 0 * run.Q,
    "reward + V(s'), not discounted": lambda run, process, pi: process.r + _ahead(process, run),
    "reward + gamma^2 V(s')": lambda run, process, pi: process.r + process.gamma**2 * _ahead(process, run),
    "gamma Q": lambda run, process, pi: process.gamma * run.Q,
    "(1 - gamma) Q": lambda run, process, pi: (1 - process.gamma) * run.Q,
    "Q of the first step in every step": lambda run, process, pi: 0 * run.Q + run.Q[:1],
    "Q of the next step": lambda run, process, pi: np.concatenate([run.Q[1:], 0 * run.Q[:1]]) if process.horizon else 0 * run.Q,
    "Q^2": lambda run, process, pi: run.Q**2,
}


def _next(process: Process, pi: Array) -> Array:
    """The expected reward of the next step."""
    return np.einsum("nsat,nt->nsa", process.P, np.sum(pi * process.r, axis=-1))


def _ahead(process: Process, run: Run) -> Array:
    """The expected V of the next state."""
    return np.einsum("nsat,hnt->hnsa", process.P, run.after)


ADVANTAGES: dict[str, Callable[[Array, Array, Run], Array] | None] = {
    "Q - V": None,
    "Q": lambda Q, pi, run: Q,
    "Q - mean over actions of Q": lambda Q, pi, run: Q - np.mean(Q, axis=-1, keepdims=True),
    "Q - the largest Q": lambda Q, pi, run: Q - np.max(np.real(Q), axis=-1, keepdims=True),
    "Q + V": lambda Q, pi, run: Q + run.V[..., None],
    "Q - V/2": lambda Q, pi, run: Q - run.V[..., None] / 2,
    "V - Q": lambda Q, pi, run: run.V[..., None] - Q,
    "V": lambda Q, pi, run: 0 * Q + run.V[..., None],
    "Q - V(s') of the next step": lambda Q, pi, run: Q - run.after[..., None],
    "Q - mean over states of V": lambda Q, pi, run: Q - np.mean(run.V, axis=-1, keepdims=True)[..., None],
    "positive part of Q - V": lambda Q, pi, run: (Q - run.V[..., None]) * (np.real(Q - run.V[..., None]) > 0),
    "normalised over states and actions": lambda Q, pi, run: _normalised(Q - run.V[..., None]),
}


def _normalised(A: Array) -> Array:
    """A with the mean 0 and the deviation 1."""
    off = A - np.mean(A, axis=(-2, -1), keepdims=True)
    return off / np.sqrt(np.mean(off**2, axis=(-2, -1), keepdims=True))


def _difference(h: float, *, central: bool = False) -> Callable[..., Array]:
    """A numeric slope of the gradient along v."""
    back = -h if central else 0.0
    return lambda grad, theta, v, fisher: (grad(theta + h * v) - grad(theta + back * v)) / (h - back)


HESSIANS: dict[str, Any] = {
    "all terms": None,
    "visits held": ("visits",),
    "Q held": ("Q",),
    "visits and Q held": ("visits", "Q"),
    "visits, Q and scores held (Gauss-Newton)": ("visits", "Q", "scores"),
    "visits, Q and probabilities held": ("visits", "Q", "probabilities"),
    "probabilities and scores held": ("probabilities", "scores"),
    "scores held": ("scores",),
    "probabilities held": ("probabilities",),
    "Fisher's product": lambda grad, theta, v, fisher: fisher(),
    "minus Fisher's product": lambda grad, theta, v, fisher: -fisher(),
    "the gradient times its product with v": lambda grad, theta, v, fisher: grad(theta) * np.sum(grad(theta) * v, axis=-1, keepdims=True),
    "the gradient times v": lambda grad, theta, v, fisher: grad(theta) * v,
    "its diagonal times v": lambda grad, theta, v, fisher: np.stack(
        [np.imag(grad(theta + 1e-30j * e)[..., j]) / 1e-30 * v[j] for j, e in enumerate(np.eye(len(theta)))], axis=-1
    ),
    "along v of norm 1": lambda grad, theta, v, fisher: np.imag(grad(theta + 1e-30j * v)) / 1e-30 / np.linalg.norm(v),
    "at theta + v": lambda grad, theta, v, fisher: np.imag(grad(theta + v + 1e-30j * v)) / 1e-30,
    "change of the gradient from theta to theta + v": _difference(1.0),
    **{f"forward difference, step {h:g}": _difference(h) for h in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)},
    **{f"central difference, step {h:g}": _difference(h, central=True) for h in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)},
}
FISHERS: dict[str, Callable[..., tuple[Array, bool]] | None] = {
    "d (diag pi - pi pi^T)": None,
    "scores not centred, d diag pi": lambda d, pi, x, y, A: (d * pi * x, False),
    "d pi pi^T": lambda d, pi, x, y, A: (d * pi * np.sum(pi * x, axis=-1, keepdims=True), False),
    "d (diag pi + pi pi^T)": lambda d, pi, x, y, A: (d * pi * (x + np.sum(pi * x, axis=-1, keepdims=True)), False),
    "actions even, scores of pi": lambda d, pi, x, y, A: (d * y / pi.shape[-1], True),
    "sum over actions without pi": lambda d, pi, x, y, A: (d * y, True),
    "pi^2": lambda d, pi, x, y, A: (d * pi**2 * y, True),
    "weighted by A^2 (of score times advantage)": lambda d, pi, x, y, A: (d * pi * A() ** 2 * y, True),
    "weighted by |A|": lambda d, pi, x, y, A: (d * pi * np.abs(np.real(A())) * y, True),
    "its diagonal": lambda d, pi, x, y, A: (d * pi * (1 - pi) * x, False),
    "identity": lambda d, pi, x, y, A: (x + 0 * d, False),
    "slopes of pi, not of log pi": lambda d, pi, x, y, A: (d * pi * pi * pi * y, True),
}


def _steps(count: int) -> Callable[..., Array]:
    """The result of a few steps of conjugate gradients from 0."""

    def solution(F: Array, g: Array, solve: Any) -> Array:
        return np.stack([_conjugate(M, b, count) for M, b in zip(F, g, strict=True)])

    return solution


def _conjugate(M: Array, b: Array, count: int) -> Array:
    """k steps of conjugate gradients on M x = b, from 0."""
    x, rest, p = 0 * b, b, b
    for _ in range(count):
        if not np.any(rest):
            break
        step = (rest @ rest) / (p @ M @ p)
        x, new = x + step * p, rest - step * (M @ p)
        p, rest = new + (new @ new) / (rest @ rest) * p, new
    return x


SOLUTIONS: dict[str, Callable[..., Array] | None] = {
    "of least norm": None,
    "the gradient itself": lambda F, g, solve: g,
    "negative": lambda F, g, solve: -solve(F, g),
    "of norm 1": lambda F, g, solve: solve(F, g) / np.linalg.norm(solve(F, g), axis=-1, keepdims=True),
    "divided by sqrt(g x)": lambda F, g, solve: solve(F, g) / np.sqrt(np.sum(g * solve(F, g), axis=-1, keepdims=True)),
    "times sqrt(2/(g x))": lambda F, g, solve: solve(F, g) * np.sqrt(2 / np.sum(g * solve(F, g), axis=-1, keepdims=True)),
    "gradient over the diagonal": lambda F, g, solve: g / np.diagonal(F, axis1=-2, axis2=-1),
    "F^2 for F": lambda F, g, solve: solve(F, solve(F, g)),
    "F for its inverse": lambda F, g, solve: (F @ g[..., None])[..., 0],
    "F^(1/2) for F": lambda F, g, solve: _root(F, g),
    **{f"{k} steps of conjugate gradients": _steps(k) for k in (1, 2, 3, 4)},
}


def _root(F: Array, g: Array) -> Array:
    """F^(−1/2) g."""
    values, vectors = np.linalg.eigh(F)
    inverse = np.where(values > 1e-12 * np.max(values), 1 / np.sqrt(np.abs(values) + (values <= 0)), 0)
    return np.einsum("nij,nj,nkj,nk->ni", vectors, inverse, vectors, g)


def _swapped(d: Array, old: Any, new: Any, x: Array) -> Array:
    """Σ d π ln(π/π₀)."""
    return np.sum(d * new.pi * (new.logs - old.logs), axis=(-2, -1))


def _swapped_slope(d: Array, old: Any, new: Any, x: Array) -> tuple[Array, Any]:
    """d π (ln(π/π₀) + 1), in ln π."""
    return d * new.pi * (new.logs - old.logs + 1), new


def _forward(d: Array, old: Any, new: Any, x: Array) -> Array:
    """Σ d π₀ ln(π₀/π)."""
    return np.sum(d * old.pi * (old.logs - new.logs), axis=(-2, -1))


def _mean_kl(scale: float) -> tuple[Any, Any]:
    """A multiple of the sum of both directions."""
    slope = lambda d, old, new, x: (scale * (_swapped_slope(d, old, new, x)[0] - d * old.pi), new)
    return (lambda d, old, new, x: scale * (_forward(d, old, new, x) + _swapped(d, old, new, x)), slope)


def _centred(policy: Any, x: Array) -> Array:
    """x − ⟨π, x⟩."""
    return x - np.sum(policy.pi * x, axis=-1, keepdims=True)


DIVERGENCES: dict[str, tuple[Callable[..., Array], Callable[..., tuple[Array, Any]]] | None] = {
    "KL(old || new)": None,
    "KL(new || old)": (_swapped, _swapped_slope),
    "sum of both": _mean_kl(1.0),
    "mean of both": _mean_kl(0.5),
    "quadratic, 1/2 v F v": (
        lambda d, old, new, x: np.sum(d * old.pi * _centred(old, x) ** 2, axis=(-2, -1)) / 2,
        lambda d, old, new, x: (d * old.pi * _centred(old, x), old),
    ),
    "v F v": (
        lambda d, old, new, x: np.sum(d * old.pi * _centred(old, x) ** 2, axis=(-2, -1)),
        lambda d, old, new, x: (2 * d * old.pi * _centred(old, x), old),
    ),
    "mean over actions": (
        lambda d, old, new, x: _forward(d, old, new, x) / old.pi.shape[-1], lambda d, old, new, x: (-d * old.pi / old.pi.shape[-1] + 0 * new.pi, new),
    ),
    "cross-entropy, without the old entropy": (
        lambda d, old, new, x: np.sum(-d * old.pi * new.logs, axis=(-2, -1)), lambda d, old, new, x: (-d * old.pi + 0 * new.pi, new),
    ),
    "without pi, mean of log ratios": (
        lambda d, old, new, x: np.sum(d * (old.logs - new.logs), axis=(-2, -1)) / old.pi.shape[-1],
        lambda d, old, new, x: (-d / old.pi.shape[-1] + 0 * new.pi, new),
    ),
    "half the squared log ratio": (
        lambda d, old, new, x: np.sum(d * old.pi * (old.logs - new.logs) ** 2, axis=(-2, -1)) / 2,
        lambda d, old, new, x: (d * old.pi * (new.logs - old.logs), new),
    ),
    "total variation": (
        lambda d, old, new, x: np.sum(d * np.abs(np.real(old.pi - new.pi)), axis=(-2, -1)) / 2,
        lambda d, old, new, x: (d * new.pi * np.sign(np.real(new.pi - old.pi)) / 2, new),
    ),
    "to base 2": (lambda d, old, new, x: _forward(d, old, new, x) / np.log(2), lambda d, old, new, x: (-d * old.pi / np.log(2) + 0 * new.pi, new)),
}  # fmt: skip
CHOICES: Choices = {
    "horizon": {
        "as given": None, "one step less": lambda H: None if H is None else max(H - 1, 0), "one step more": lambda H: None if H is None else H + 1,
        "none": lambda H: None, **{f"at most {n} steps": lambda H, n=n: min(H or n, n) for n in (1, 2, 10, 20, 50, 100)},
    },
    "discount": {
        "gamma": None, "1": lambda g: 1.0, "gamma^2": lambda g: g**2, "sqrt gamma": np.sqrt, "0": lambda g: 0.0, "1 - gamma": lambda g: 1 - g,
        "0.99": lambda g: 0.99, "0.9": lambda g: 0.9,
    },
    "power of gamma": {
        "gamma^t": None, "gamma^(t+1)": lambda g: g, "gamma^(t-1)": lambda g: 1 / g, "times 1 - gamma": lambda g: 1 - g, "over 1 - gamma": lambda g: 1 / (1 - g),
    },
    "start": {
        "rho": None, "first state": lambda rho: 0 * rho + (np.arange(rho.shape[-1]) == 0), "uniform": lambda rho: 0 * rho + 1 / rho.shape[-1],
        "last state": lambda rho: 0 * rho + (np.arange(rho.shape[-1]) == rho.shape[-1] - 1), "sum over all states": lambda rho: 0 * rho + 1,
        "likeliest state": lambda rho: 1.0 * (np.arange(rho.shape[-1]) == np.argmax(rho, axis=-1)[..., None]), "the first task's": lambda rho: 0 * rho + rho[:1],
        "rho squared": lambda rho: rho**2,
    },
    "P": {
        "P[s, a, s']": None, "first and last axis exchanged": lambda P: P.swapaxes(-1, -3),
        "first and last axis exchanged, rows made to add to 1": lambda P: P.swapaxes(-1, -3) / np.sum(P.swapaxes(-1, -3), axis=-1, keepdims=True),
        "the first task's": lambda P: 0 * P + P[:1], "the next task's": lambda P: np.roll(P, -1, axis=0), "uniform": lambda P: 0 * P + 1 / P.shape[-1],
        "that of the first action": lambda P: 0 * P + P[..., :1, :], "actions even": lambda P: 0 * P + np.mean(P, axis=-2, keepdims=True),
        "staying": lambda P: 0 * P + np.eye(P.shape[-1])[:, None],
    },
    "reward": {
        "R": None, "the first task's": lambda r, P, R: 0 * r + r[:1], "the next task's": lambda r, P, R: np.roll(r, -1, axis=0), "-R": lambda r, P, R: -r,
        "R - mean R": lambda r, P, R: r - np.mean(r, axis=(-2, -1), keepdims=True), "of the next state, mean over s'": lambda r, P, R: np.mean(R, axis=-1) if R.ndim == P.ndim else r,
        "of the next state, sum over s'": lambda r, P, R: np.sum(R, axis=-1) if R.ndim == P.ndim else r, "mean over actions": lambda r, P, R: 0 * r + np.mean(r, axis=-1, keepdims=True),
        "paid on arrival, mean over actions": lambda r, P, R: np.einsum("nsat,nt->nsa", P, np.mean(r, axis=-1)), "clipped at 1": lambda r, P, R: np.clip(r, -1, 1),
    },
    "softmax over": {"actions": None, "states": True},
    "logits times": {"1": None, "2": 2.0, "1/2": 0.5, "-1": -1.0, "10": 10.0},
    "layout of theta": {"(S, A)": None, "(A, S)": True},
    "noise in the policy": {"none": None, "0.1": 0.1, "0.05": 0.05, "0.01": 0.01, "0.001": 1e-3},
    "return": RETURNS,
    "advantage": ADVANTAGES,
    "pi": {"pi": None, "left out": np.ones_like, "pi^2": lambda pi: pi**2, "1/A": lambda pi: 0 * pi + 1 / pi.shape[-1], "sqrt pi": np.sqrt, "1/pi": lambda pi: 1 / pi},
    "visits": VISITS,
    "Hessian": HESSIANS,
    "visits of the geometry": VISITS,
    "Fisher's matrix": FISHERS,
    "fisher at": {
        "theta": None, "theta + v": lambda theta, v: theta + v, "theta - v": lambda theta, v: theta - v, "0": lambda theta, v: 0 * theta, "v": lambda theta, v: v,
    },
    "damping": {"none": None, **{f"{c:g}": c for c in (1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0)}},
    "solution": SOLUTIONS,
    "divergence": DIVERGENCES,
    "moved to": {
        "theta + v": None, "theta - v": lambda theta, v: theta - v, "theta": lambda theta, v: theta, "theta + v/2": lambda theta, v: theta + v / 2,
        "theta + 2 v": lambda theta, v: theta + 2 * v, "v": lambda theta, v: v, "theta + v/|v|": lambda theta, v: theta + v / np.linalg.norm(v),
    },
    "visits of": {"the old policy": None, "the new policy": lambda old, new: new, "the policy half way": lambda old, new: (old + new) / 2},
}  # fmt: skip


def additions(part: str, problem: Evaluation) -> dict[str, Callable[[], Any]]:
    """The entropy of the policy, over all states and over the visits, or its slope; Fisher's product; the gradient."""
    theta, terms = problem.theta, dict[str, Callable[[], Any]]()
    if part in ("loss", "grad", "hvp"):
        sizes = {"over all states": lambda point: 1.0 + 0 * fisher.visits(point), "over the visits": fisher.visits}
        for name, size in sizes.items():
            terms[f"the entropy {name}"] = lambda size=size: _entropy(problem, part, size(problem.task.at(theta)))  # type: ignore[misc]
    if part == "hvp":
        terms["Fisher's product with v"] = lambda: fisher.product(problem.task.at(theta), problem.v)
    if part == "natural_gradient":
        terms["the gradient"] = lambda: problem.task.at(theta).grad
    return terms


def _entropy(problem: Evaluation, part: str, weight: Array) -> Array:
    """Σ_s w(s) H(π(·|s)), its gradient, or its Hessian times v; w held."""
    if part == "hvp":
        return np.imag(_entropy_gradient(problem, problem.theta + 1e-30j * problem.v, weight)) / 1e-30
    if part == "grad":
        return np.real(_entropy_gradient(problem, problem.theta, weight))
    pi = problem.task.at(problem.theta).probabilities
    return np.asarray(-np.sum(weight[..., None] * pi * np.log(pi), axis=(-2, -1)))


def _entropy_gradient(problem: Evaluation, theta: Array, weight: Array) -> Array:
    """−w π (ln π − Σ π ln π), pulled back."""
    pi = problem.task.at(theta).probabilities
    off = np.log(pi) - np.sum(pi * np.log(pi), axis=-1, keepdims=True)
    return problem.task.policy.pullback(-weight[..., None] * pi * off)


def numbers(problem: Evaluation) -> dict[str, Any]:
    """The sum of the visits, the horizon, the number of states and actions."""
    mdp = problem.task.mdp
    more = {} if mdp.horizon is None else {"horizon": mdp.horizon, "1 - gamma^horizon": 1 - mdp.gamma**mdp.horizon}
    return {"sum of the visits": np.sum(fisher.visits(problem.task.at(problem.theta)), axis=-1), "S A": mdp.states * mdp.actions, **more}


def layouts(problem: Evaluation) -> dict[str, Array]:
    """Which entry of θ stands where, action by action."""
    policy = problem.task.policy
    if not isinstance(policy, TabularSoftmax):
        return {}
    return {"(A, S)": np.arange(policy.dim).reshape(policy.states, policy.actions).T.ravel()}


def _paid_before(x: dict[str, Any]) -> dict[str, Any]:
    """The same rewards in the mean over the next state."""
    return x | {"R": np.sum(x["P"] * x["R"], axis=-1)}


PREDICATES = (
    Predicate("R is that of s and a alone", "rewards of the next state are averaged otherwise", lambda case: case.problem.task.mdp.R.ndim == 3, _paid_before),
)
