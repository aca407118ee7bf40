"""What implementations of exact policy gradients choose, the right alternative first.  Derivation: derivations/exact-policy-gradient.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Choices, Predicate
from refmeta.oracle.suites.policy_gradient.geometry_choices import (
    DIRECTIONS,
    DIVERGENCES,
    FAMILIES_OF_GEOMETRY,
    FISHERS,
)
from refmeta.oracle.suites.policy_gradient.gradient_choices import ADVANTAGES, FAMILIES_OF_GRADIENTS, HESSIANS, RETURNS
from refmeta.oracle.suites.policy_gradient.policy_choices import FAMILIES_OF_POLICIES, POLICIES
from refmeta.oracle.suites.policy_gradient.problem import Evaluation
from refmeta.oracle.suites.policy_gradient.process_choices import ENDS, at_most, where_none
from refmeta.oracle.suites.policy_gradient.solution_choices import DAMPINGS, SOLUTIONS, damped
from refmeta.oracle.suites.policy_gradient.value_choices import (
    BEST_ACTIONS,
    BEST_VALUES,
    FAMILIES_OF_VALUES,
    LARGEST,
    SOFT,
    STOPS,
    TIMES,
)
from refmeta.oracle.suites.policy_gradient.variants import variant
from refmeta.oracle.suites.policy_gradient.visit_choices import FAMILIES_OF_VISITS, VISITS
from refmeta.policies.softmax import TabularSoftmax
from refmeta.tasks import fisher

__all__ = ["CHOICES", "FAMILIES", "PREDICATES", "additions", "layouts", "numbers", "variant"]


def _outcomes(r: Array, P: Array, R: Array) -> Array:
    """The reward of every next state, (N, S, A, S)."""
    return np.asarray(R + 0 * P if R.ndim == P.ndim else r[..., None] + 0 * P)


CHOICES: Choices = {
    "horizon": {
        "as given": None, "one step less": lambda H: None if H is None else max(H - 1, 0), "one step more": lambda H: None if H is None else H + 1,
        "none": lambda H: None, **{f"at most {n} steps": at_most(n) for n in (1, 2, 3, 4, 5, 10, 20, 50, 100)},
        **{f"{n} steps where there is none": where_none(n) for n in (1, 2, 5, 10, 15, 20, 25, 30, 40, 50, 64, 100, 128, 200)},
        "half": lambda H: None if H is None else max(H // 2, 1), "twice": lambda H: None if H is None else 2 * H, "two steps less": lambda H: None if H is None else max(H - 2, 0),
        "two steps more": lambda H: None if H is None else H + 2,
    },
    "ends": ENDS,
    **POLICIES,
    "discount": {
        "gamma": None, "1": lambda g: 1.0, "gamma^2": lambda g: g**2, "sqrt gamma": np.sqrt, "0": lambda g: 0.0, "1 - gamma": lambda g: 1 - g,
        "0.99": lambda g: 0.99, "0.9": lambda g: 0.9, "0.95": lambda g: 0.95, "gamma^3": lambda g: g**3, "gamma/2": lambda g: g / 2,
    },
    "power of gamma": {
        "gamma^t": None, "gamma^(t+1)": lambda g, H: g, "gamma^(t-1)": lambda g, H: np.divide(1, g), "times 1 - gamma": lambda g, H: 1 - g,
        "over 1 - gamma": lambda g, H: np.divide(1, 1 - g), "over the horizon; times 1 - gamma where there is none": lambda g, H: 1 - g if H is None else 1 / H,
        "over the horizon, if there is one": lambda g, H: 1 if H is None else 1 / H, "times 1 - gamma where there is no horizon": lambda g, H: 1 - g if H is None else 1,
        "over the sum of gamma^t": lambda g, H: 1 - g if H is None else 1 / np.sum(g ** np.arange(H)), "gamma^(t+2)": lambda g, H: g**2,
        "over the horizon and gamma^t once more": lambda g, H: g if H is None else g / H,
    },
    "start": {
        "rho": None, "first state": lambda rho: 0 * rho + (np.arange(rho.shape[-1]) == 0), "uniform": lambda rho: 0 * rho + 1 / rho.shape[-1],
        "last state": lambda rho: 0 * rho + (np.arange(rho.shape[-1]) == rho.shape[-1] - 1), "sum over all states": lambda rho: 0 * rho + 1,
        "likeliest state": lambda rho: 1.0 * (np.arange(rho.shape[-1]) == np.argmax(rho, axis=-1)[..., None]), "the first task's": lambda rho: 0 * rho + rho[:1],
        "rho squared": lambda rho: rho**2, "the next task's": lambda rho: np.roll(rho, -1, axis=0), "states in reverse": lambda rho: rho[..., ::-1],
        "softmax of rho": lambda rho: np.exp(rho) / np.sum(np.exp(rho), axis=-1, keepdims=True), "mean over the tasks": lambda rho: 0 * rho + np.mean(rho, axis=0),
    },
    "P": {
        "P[s, a, s']": None, "first and last axis exchanged": lambda P: P.swapaxes(-1, -3),
        "first and last axis exchanged, rows made to add to 1": lambda P: P.swapaxes(-1, -3) / np.sum(P.swapaxes(-1, -3), axis=-1, keepdims=True),
        "the first task's": lambda P: 0 * P + P[:1], "the next task's": lambda P: np.roll(P, -1, axis=0), "uniform": lambda P: 0 * P + 1 / P.shape[-1],
        "that of the first action": lambda P: 0 * P + P[..., :1, :], "actions even": lambda P: 0 * P + np.mean(P, axis=-2, keepdims=True),
        "staying": lambda P: 0 * P + np.eye(P.shape[-1])[:, None], "squared, two steps at once": lambda P: np.einsum("nsat,ntau->nsau", P, P),
        "mean over the tasks": lambda P: 0 * P + np.mean(P, axis=0), "most likely next state": lambda P: 1.0 * (np.arange(P.shape[-1]) == np.argmax(P, axis=-1)[..., None]),
        "states of arrival in reverse": lambda P: P[..., ::-1], "actions in reverse": lambda P: P[..., ::-1, :], "states in reverse": lambda P: P[..., ::-1, :, :],
        "possible next states alike": lambda P: (P > 0) / np.sum(P > 0, axis=-1, keepdims=True),
        "first possible next state": lambda P: 1.0 * (np.arange(P.shape[-1]) == np.argmax(P > 0, axis=-1)[..., None]),
        "last possible next state": lambda P: 1.0 * (np.arange(P.shape[-1]) == P.shape[-1] - 1 - np.argmax(P[..., ::-1] > 0, axis=-1)[..., None]),
        "that of the last action": lambda P: 0 * P + P[..., -1:, :], "(S, A) read as (A, S)": lambda P: P.reshape(P.shape[0], P.shape[2], P.shape[1], -1).swapaxes(1, 2),
    },
    "reward": {
        "R": None, "the first task's": lambda r, P, R: 0 * r + r[:1], "the next task's": lambda r, P, R: np.roll(r, -1, axis=0), "-R": lambda r, P, R: -r,
        "R - mean R": lambda r, P, R: r - np.mean(r, axis=(-2, -1), keepdims=True), "of the next state, mean over s'": lambda r, P, R: np.mean(R, axis=-1) if R.ndim == P.ndim else r,
        "of the next state, sum over s'": lambda r, P, R: np.sum(R, axis=-1) if R.ndim == P.ndim else r, "mean over actions": lambda r, P, R: 0 * r + np.mean(r, axis=-1, keepdims=True),
        "paid on arrival, mean over actions": lambda r, P, R: np.einsum("nsat,nt->nsa", P, np.mean(r, axis=-1)), "clipped at 1": lambda r, P, R: np.clip(r, -1, 1),
        "tanh R": lambda r, P, R: np.tanh(r), "sign R": lambda r, P, R: np.sign(r), "positive part": lambda r, P, R: np.maximum(r, 0), "R^2": lambda r, P, R: r**2, "|R|": lambda r, P, R: np.abs(r),
        "mean over the tasks": lambda r, P, R: 0 * r + np.mean(r, axis=0), "mean over states": lambda r, P, R: 0 * r + np.mean(r, axis=-2, keepdims=True),
        "(S, A) read as (A, S)": lambda r, P, R: r.reshape(r.shape[0], r.shape[2], r.shape[1]).swapaxes(1, 2), "that of the first action": lambda r, P, R: 0 * r + r[..., :1],
        "R less the largest": lambda r, P, R: r - np.max(r, axis=(-2, -1), keepdims=True), "normalised": lambda r, P, R: (r - np.mean(r, axis=(-2, -1), keepdims=True)) / (np.std(r, axis=(-2, -1), keepdims=True) + 1e-8),
        "of the next state at its most likely": lambda r, P, R: np.take_along_axis(R + 0 * P, np.argmax(P, -1)[..., None], -1)[..., 0] if R.ndim == P.ndim else r,
        "of the next state, that of the first": lambda r, P, R: R[..., 0] + 0 * r if R.ndim == P.ndim else r, "of the next state, largest": lambda r, P, R: np.max(R, -1) + 0 * r if R.ndim == P.ndim else r,
        "sum over the possible next states": lambda r, P, R: np.sum((P > 0) * _outcomes(r, P, R), axis=-1),
        "mean over the possible next states": lambda r, P, R: np.sum((P > 0) * _outcomes(r, P, R), axis=-1) / np.sum(P > 0, axis=-1),
        "of the state itself for the next": lambda r, P, R: np.einsum("nsas->nsa", R + 0 * P) if R.ndim == P.ndim else r, "less 1": lambda r, P, R: r - 1, "more by 1": lambda r, P, R: r + 1,
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
    "direction of Fisher's product": DIRECTIONS,
    "damping": {"none": None, **{f"{c:g}": damped(c) for c in (1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0)}, **DAMPINGS},
    "solution": SOLUTIONS,
    "divergence": DIVERGENCES,
    "moved to": {
        "theta + v": None, "theta - v": lambda theta, v: theta - v, "theta": lambda theta, v: theta, "theta + v/2": lambda theta, v: theta + v / 2,
        "theta + 2 v": lambda theta, v: theta + 2 * v, "v": lambda theta, v: v, "theta + v/|v|": lambda theta, v: theta + v / np.linalg.norm(v),
        "theta + v^2": lambda theta, v: theta + v**2, "theta + sign v": lambda theta, v: theta + np.sign(v), "theta v": lambda theta, v: theta * v, "v - theta": lambda theta, v: v - theta,
    },
    "largest value": LARGEST,
    "best actions": BEST_ACTIONS,
    "best values": BEST_VALUES,
    "times": TIMES,
    "soft maximum": SOFT,
    "sweeps until no value moves by": STOPS,
    "visits of": {"the old policy": None, "the new policy": lambda old, new: new, "the policy half way": lambda old, new: (old + new) / 2},
}  # fmt: skip
FAMILIES: dict[str, tuple[Any, ...]] = {
    **FAMILIES_OF_POLICIES, **FAMILIES_OF_GRADIENTS, **FAMILIES_OF_GEOMETRY, **FAMILIES_OF_VALUES,
    "{} steps where there is none": ("horizon", lambda c: where_none(max(c, 0.0))), "gamma is {}": ("discount", lambda c: lambda g: c),
    "{} gamma": ("discount", lambda c: lambda g: c * g), "gamma^{}": ("discount", lambda c: lambda g: g**c),
    "{} of the uniform mixed in": ("start", lambda c: lambda rho: (1 - c) * rho + c / rho.shape[-1]),
    "{} of staying mixed in": ("P", lambda c: lambda P: (1 - c) * P + c * np.eye(P.shape[-1])[:, None]),
    "{} of the uniform mixed into P": ("P", lambda c: lambda P: (1 - c) * P + c / P.shape[-1]),
    "R clipped at {}": ("reward", lambda c: lambda r, P, R: np.clip(r, -abs(c), abs(c))), "R + {}": ("reward", lambda c: lambda r, P, R: r + c),
    "theta + {} v": ("moved to", lambda c: lambda theta, v: theta + c * v), "theta + {} v for theta": ("fisher at", lambda c: lambda theta, v: theta + c * v),
    **FAMILIES_OF_VISITS,
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
    return x if np.ndim(x["R"]) < np.ndim(x["P"]) else x | {"R": np.sum(x["P"] * x["R"], axis=-1)}


PREDICATES = (
    Predicate("R is that of s and a alone", "rewards of the next state are averaged otherwise", lambda case: case.problem.task.mdp.R.ndim == 3, _paid_before),
)
