"""What implementations of exact policy gradients choose, the right alternative first.  Derivation: derivations/exact-policy-gradient.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Choices, Predicate
from refmeta.oracle.suites.policy_gradient.geometry_choices import DIVERGENCES, FISHERS, SOLUTIONS
from refmeta.oracle.suites.policy_gradient.gradient_choices import ADVANTAGES, HESSIANS, RETURNS
from refmeta.oracle.suites.policy_gradient.problem import Evaluation
from refmeta.oracle.suites.policy_gradient.variants import variant
from refmeta.oracle.suites.policy_gradient.visit_choices import VISITS
from refmeta.policies.softmax import TabularSoftmax
from refmeta.tasks import fisher

__all__ = ["CHOICES", "PREDICATES", "additions", "layouts", "numbers", "variant"]

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
