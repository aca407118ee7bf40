"""What implementations of a return with entropy choose, the right alternative first.  Derivation: derivations/exact-policy-gradient.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Choices
from refmeta.oracle.suites.policy_gradient.choices import CHOICES as OF_RETURNS
from refmeta.oracle.suites.policy_gradient.choices import layouts, numbers
from refmeta.oracle.suites.policy_gradient.problem import Evaluation
from refmeta.oracle.suites.policy_gradient.readings import ReadProcess
from refmeta.oracle.suites.policy_gradient.visit_choices import FAMILIES_OF_VISITS
from refmeta.oracle.suites.soft_return.variants import Entropy, EntropyCounts, shannon, variant
from refmeta.tasks import fisher

__all__ = ["CHOICES", "FAMILIES", "additions", "layouts", "numbers", "variant"]

Measure = Callable[[Array, Array], Entropy]


def _times(c: Callable[[int], float]) -> Measure:
    """The entropy times a number that depends on the number of actions."""
    return lambda pi, logs: Entropy(*(c(pi.shape[-1]) * x for x in shannon(pi, logs)))


def _less(c: Callable[[int], float]) -> Measure:
    """The entropy less such a number."""

    def measure(pi: Array, logs: Array) -> Entropy:
        value, reward, slope = shannon(pi, logs)
        return Entropy(value - c(pi.shape[-1]), reward - c(pi.shape[-1]), slope)

    return measure


def _gini(pi: Array, logs: Array) -> Entropy:
    """1 − Σ π²."""
    return Entropy(1 - np.sum(pi * pi, axis=-1), 1 - pi, -2 * pi)


def _by_logarithm(pi: Array, logs: Array) -> Entropy:
    """−Σ log π over the actions, without π."""
    return Entropy(-np.sum(logs, axis=-1), -logs / pi, -1 / pi)


def _undiscounted(paid: ReadProcess) -> ReadProcess:
    """The entropy of each step counts alike, where there is a horizon."""
    return paid if paid.horizon is None else paid._replace(gamma=1.0)


def _longer(steps: int) -> Callable[[ReadProcess], ReadProcess]:
    """The entropy of some steps more, where there is a horizon."""
    return lambda paid: paid if paid.horizon is None else paid._replace(horizon=max(paid.horizon + steps, 0))


def _times_count(c: Callable[[float], float]) -> Callable[[float], EntropyCounts]:
    """Every entropy times a number that depends on γ."""
    return lambda gamma: EntropyCounts(*[c(gamma)] * 4)


def _inverse(tau: float) -> float:
    """1/τ, and 0 where there is no entropy."""
    return 1 / tau if tau else 0.0


def _weighted(own: float, later: float) -> Callable[[float], tuple[float, float]]:
    """How often the slopes of the own state's entropy and of that of later states count."""
    return lambda tau: (own * tau, later)


SHARED = ("discount", "P", "reward", "start", "softmax over", "logits times", "layout of theta", "noise in the policy", "visits")
LEFT_OUT = ("next state", "the state itself for the next")  # rewards of the next state
CHOICES: Choices = {
    "horizon": {name: each for name, each in OF_RETURNS["horizon"].items() if "where there is none" not in name},
    **{name: {words: each for words, each in OF_RETURNS[name].items() if not any(w in words for w in LEFT_OUT)} for name in SHARED},
    "temperature": {
        "tau": None, "left out, 1": lambda tau: 1.0, "0": lambda tau: 0.0, "tau^2": lambda tau: tau * tau, "1/tau": _inverse,
        "-tau": lambda tau: -tau, "2 tau": lambda tau: 2 * tau, "tau/2": lambda tau: tau / 2, "sqrt tau": np.sqrt, "log tau": np.log, "exp tau": np.exp,
        "0.01": lambda tau: 0.01, "0.2": lambda tau: 0.2, "tau less 1": lambda tau: tau - 1,
    },
    "entropy": {
        "-sum pi log pi": None, "mean over actions": _times(lambda n: 1 / n), "log base 2": _times(lambda n: 1 / np.log(2)),
        "log base 10": _times(lambda n: 1 / np.log(10)), "over log A": _times(lambda n: 1 / np.log(n)), "less log A": _less(np.log),
        "1 - sum pi^2": _gini, "-sum log pi": _by_logarithm, "times A": _times(lambda n: n), "less 1": _less(lambda n: 1.0),
    },
    "entropy of": {
        "every visited state": None, "all but the first": lambda gamma: EntropyCounts(0.0, 1.0, 0.0, 1.0), "the first state alone": lambda gamma: EntropyCounts(1.0, 0.0, 1.0, 0.0),
        "each state twice in the value": lambda gamma: EntropyCounts(2.0, 2.0), "each state, discounted once more": _times_count(lambda gamma: gamma),
        "each state, discounted once less": _times_count(lambda gamma: np.divide(1, gamma)), "each state, times 1 - gamma": _times_count(lambda gamma: 1 - gamma),
    },
    "steps of the entropy": {
        "as those of the rewards, discounted": None, "not discounted where there is a horizon": _undiscounted, "one more": _longer(1), "one less": _longer(-1),
        "discounted twice, gamma^(2t)": lambda paid: paid._replace(gamma=paid.gamma**2),
    },
    "slope of the entropy": {
        "of the own state and of later ones": None, "of the own state alone": _weighted(1.0, 0.0), "of later states alone": _weighted(0.0, 1.0),
        "none": _weighted(0.0, 0.0), "of the own state without tau": lambda tau: (1.0, 1.0), "of the own state twice": _weighted(2.0, 1.0),
        "of later states twice": _weighted(1.0, 2.0), "of the own state with the other sign": _weighted(-1.0, 1.0),
        "of later states with the other sign": _weighted(1.0, -1.0), "of the own state with tau^2": lambda tau: (tau * tau, 1.0),
    },
    "action value": {
        "R + gamma P V": None, "with the entropy of its own state": lambda Q, plain, tau, entropy: Q + tau * entropy.value[..., None],
        "without any entropy": lambda Q, plain, tau, entropy: plain, "less tau log pi": lambda Q, plain, tau, entropy: Q + tau * entropy.reward,
        "plus tau log pi": lambda Q, plain, tau, entropy: Q - tau * entropy.reward,
    },
    "advantage": {
        "Q - tau log pi - V": None, "Q - V": lambda Q, V, reward, pi, plain: Q - V, "Q less its mean": lambda Q, V, reward, pi, plain: Q - np.sum(pi * Q, axis=-1, keepdims=True),
        "Q - log pi - V": lambda Q, V, reward, pi, plain: Q - np.log(pi) - V, "that without any entropy": lambda Q, V, reward, pi, plain: plain.Q - plain.V[..., None],
        "that without entropy, less tau log pi": lambda Q, V, reward, pi, plain: plain.Q - plain.V[..., None] + reward,
        "Q - tau log pi": lambda Q, V, reward, pi, plain: Q + reward, "Q + tau log pi - V": lambda Q, V, reward, pi, plain: Q - reward - V,
        "Q - V, less the mean over actions of both": lambda Q, V, reward, pi, plain: Q + reward - np.mean(Q + reward, axis=-1, keepdims=True),
        "V - Q": lambda Q, V, reward, pi, plain: V - Q - reward,
    },
    "Hessian": {
        "all terms": None, "visits held": ("visits",), "Q held": ("Q",), "log pi held": ("log pi",), "Q and log pi held": ("Q", "log pi"),
        "visits and log pi held": ("visits", "log pi"), "visits and Q held": ("visits", "Q"), "visits, Q and log pi held": ("visits", "Q", "log pi"),
    },
    "factor": {
        "1": None, "1/tau": lambda tau, gamma, H: _inverse(tau) or 1.0, "1 - gamma where there is no horizon": lambda tau, gamma, H: 1 - gamma if H is None else 1.0,
        "1/H": lambda tau, gamma, H: 1.0 if H is None else 1 / H, "1 - gamma": lambda tau, gamma, H: 1 - gamma, "tau": lambda tau, gamma, H: tau,
    },
}  # fmt: skip
FAMILIES: dict[str, tuple[Any, ...]] = {
    "{} for tau": ("temperature", lambda c: lambda tau: c), "{} tau": ("temperature", lambda c: lambda tau: c * tau),
    "tau^{}": ("temperature", lambda c: lambda tau: np.power(tau, c)), "less {}": ("entropy", lambda c: _less(lambda n: c)),
    "the slope of the own state times {}": ("slope of the entropy", lambda c: _weighted(c, 1.0)),
    "the slope of later states times {}": ("slope of the entropy", lambda c: _weighted(1.0, c)),
    "gamma is {}": ("discount", lambda c: lambda gamma: c),
    **FAMILIES_OF_VISITS,
}  # fmt: skip


def additions(part: str, problem: Evaluation) -> dict[str, Callable[[], Any]]:
    """Fisher's product, which is what the derivative of log π adds to the Hessian product."""
    return {"Fisher's product with v": lambda: fisher.product(problem.task.at(problem.theta), problem.v)} if part == "hvp" else {}
