"""One vector: its literal inputs, its certified values, and its inputs as the library's own objects.

Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.agents import INPUTS_OF_AGENTS, OF_AGENTS, SEEN, training_step
from refmeta.oracle.batches import (
    INPUTS_OF_BATCHES,
    INPUTS_OF_EXPECTATIONS,
    OF_BATCHES,
    OF_EXPECTATIONS,
    batches,
    expectations,
)
from refmeta.oracle.learner import INPUTS_OF_LEARNER, OF_LEARNER, learner
from refmeta.oracle.models import INPUTS_OF_MODELS, OF_MODELS, modelled
from refmeta.policies import LinearSoftmax, TabularSoftmax
from refmeta.tasks.classification import SoftmaxRegression
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.lq import LinearQuadratic
from refmeta.tasks.mdp import FiniteMDP
from refmeta.tasks.policy_cost import PolicyCost
from refmeta.tasks.quadratic import Quadratic
from refmeta.tasks.regression import LinearRegression

_PROCESS = ("P", "R", "rho")
_ADAPTED = ("alpha", "steps")
_SYSTEM = ("A", "B", "Q", "R", "start", "noise")


def _both(*names: str) -> tuple[str, ...]:
    return (*names, *("query_" + name for name in names))


INPUTS = {
    "policy-gradient": ("theta", *_PROCESS, "gamma", "horizon", "features", "v"),
    "maml-tabular": ("theta", *_both(*_PROCESS), "gamma", "horizon", *_ADAPTED),
    "maml-linear-features": ("theta", *_both(*_PROCESS), "gamma", "horizon", "features", *_ADAPTED),
    "maml-regression": ("theta", *_both("X", "y"), *_ADAPTED),
    "maml-classification": ("theta", *_both("X", "labels"), "classes", "ridge", *_ADAPTED),
    "maml-quadratic": ("theta", *_both("A", "c"), *_ADAPTED),
    "maml-lq": ("theta", *_both(*_SYSTEM), "gamma", "horizon", *_ADAPTED),
    "reptile": ("theta", "adapted", "epsilon"),
    "implicit": ("theta", *_both("A", "c", "X", "y"), "strength"),
    "surrogates": INPUTS_OF_BATCHES,
    "expected-estimators": INPUTS_OF_EXPECTATIONS,
    "meta-lstm": INPUTS_OF_LEARNER,
    "pearl": INPUTS_OF_AGENTS,
    "model": INPUTS_OF_MODELS,
}
QUANTITIES = ("gradient", "objective", "first_order", "step_size_gradient")
PARTS = {
    "policy-gradient": ("loss", "grad", "hvp", "fisher", "natural_gradient", "kl", "kl_grad", "kl_hvp"),
    "surrogates": OF_BATCHES,
    "expected-estimators": OF_EXPECTATIONS,
    "meta-lstm": OF_LEARNER,
    "pearl": OF_AGENTS,
    "model": OF_MODELS,
}
OF_RETURNS = {"policy-gradient": ("loss", "grad", "hvp"), "pearl": (), "model": ("objective", "gradient")}
INTEGERS = {
    "steps", "horizon", "classes", "labels", "query_labels", "episodes", "mask", "state_count", "action_count", "following",
    "terminal", "prior_factors",
} | set(SEEN) - {"context_rewards"}  # fmt: skip
STEPS = {"states", "actions"}


def quantities(suite: str) -> tuple[str, ...]:
    """What a vector of the suite holds."""
    return (PARTS | {"reptile": ("update",), "implicit": QUANTITIES[:3]}).get(suite, QUANTITIES)


def of_returns(suite: str, name: str) -> bool:
    """Is a part of a suite of parts a loss or its derivative, whose sign is that of who works with returns?"""
    return name in OF_RETURNS.get(suite, (name,))


class Expected(NamedTuple):
    """A certified value, one row a task, and what its tolerance is made of."""

    value: Array
    kappa: Array
    scale: Array
    digits: int


@dataclass(frozen=True, eq=False)
class Case:
    """One vector.  `expected` maps a quantity to its value, `discriminates` a known-wrong formula to its margin."""

    id: str
    suite: str
    comment: str
    flags: tuple[str, ...]
    result: str
    input: dict[str, Any]
    expected: dict[str, Expected]
    discriminates: dict[str, float]

    def arguments(self, dtype: Any = "float64") -> dict[str, Any]:
        """The keyword inputs of the user's function: fresh writeable arrays in C order, integers as int."""
        return {name: typed(name, value, np.dtype(dtype)) for name, value in self.input.items()}

    @property
    def problem(self) -> Any:
        """The inputs as the library's own objects; what the suite's formulas take."""
        return BUILD[self.suite](self.arguments())


def typed(name: str, value: Any, dtype: np.dtype[Any]) -> Any:
    """An input as the user's function gets it: an array of the dtype, an int, a float, or None."""
    if value is None:
        return None
    if name in INTEGERS or name in STEPS and not _has_floats(value):
        return np.array(value, dtype=np.int64) if isinstance(value, list) else int(value)
    return np.array(floats(value), dtype=dtype) if isinstance(value, list) else float(floats(value))


def _has_floats(value: Any) -> bool:
    """Is any number of a nested list no integer?"""
    return any(map(_has_floats, value)) if isinstance(value, list) else not isinstance(value, int)


def floats(value: Any) -> Any:
    """ "nan", "inf" and "-inf" of an invalid case as floats, at any depth."""
    if isinstance(value, list):
        return [floats(entry) for entry in value]
    return float(value) if isinstance(value, str) else value


@dataclass(frozen=True, eq=False)
class Problem:
    """Where to start (d,), N support and N query tasks, and how to adapt."""

    theta: Array
    support: Any
    query: Any
    alpha: Any
    steps: int

    @property
    def split(self) -> tuple[Any, Any]:
        """(support, query), as `maml.gradient` takes them."""
        return self.support, self.query

    @property
    def hyper(self) -> dict[str, Any]:
        """The keyword arguments `alpha` and `steps`."""
        return {"alpha": self.alpha, "steps": self.steps}


def _policy(x: dict[str, Any]) -> Any:
    return TabularSoftmax(*x["R"].shape[1:3]) if x.get("features") is None else LinearSoftmax(x["features"])


def _return(x: dict[str, Any], prefix: str = "") -> PolicyReturn:
    P, R, rho = (x[prefix + name] for name in ("P", "R", "rho"))
    return PolicyReturn(FiniteMDP(P, R, rho, x["gamma"], x["horizon"]), _policy(x))


def _split(make: Callable[[dict[str, Any], str], Any]) -> Callable[[dict[str, Any]], Problem]:
    return lambda x: Problem(x["theta"], make(x, ""), make(x, "query_"), x["alpha"], x["steps"])


def _softmax_regression(x: dict[str, Any], prefix: str) -> SoftmaxRegression:
    return SoftmaxRegression(x[prefix + "X"], x[prefix + "labels"], x["classes"], x["ridge"])


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A policy's return to be differentiated: theta, a task, a direction."""

    theta: Array
    task: Any
    v: Array


@dataclass(frozen=True, eq=False)
class Proximity:
    """An implicit meta-gradient: theta (d,), support, query, λ."""

    theta: Array
    support: Any
    query: Any
    strength: float

    @property
    def split(self) -> tuple[Any, Any]:
        """(support, query)."""
        return self.support, self.query


def _cost(x: dict[str, Any], prefix: str) -> PolicyCost:
    system = {name: x[prefix + name] for name in _SYSTEM}
    return PolicyCost(LinearQuadratic(**system, gamma=x["gamma"], horizon=x["horizon"]))


def _quadratic_or_regression(x: dict[str, Any], prefix: str) -> Any:
    if x[prefix + "A"] is None:
        return LinearRegression(x[prefix + "X"], x[prefix + "y"])
    return Quadratic(x[prefix + "A"], x[prefix + "c"])


def _proximity(x: dict[str, Any]) -> Proximity:
    support, query = (_quadratic_or_regression(x, prefix) for prefix in ("", "query_"))
    return Proximity(x["theta"], support, query, x["strength"])


@dataclass(frozen=True, eq=False)
class Interpolation:
    """Reptile's update: theta (d,), adapted (N, d), ε."""

    theta: Array
    adapted: Array
    epsilon: float


BUILD: dict[str, Callable[[dict[str, Any]], Any]] = {
    "policy-gradient": lambda x: Evaluation(x["theta"], _return(x), x["v"]),
    "maml-tabular": _split(_return),
    "maml-linear-features": _split(_return),
    "maml-regression": _split(lambda x, prefix: LinearRegression(x[prefix + "X"], x[prefix + "y"])),
    "maml-classification": _split(_softmax_regression),
    "maml-quadratic": _split(lambda x, prefix: Quadratic(x[prefix + "A"], x[prefix + "c"])),
    "maml-lq": _split(_cost),
    "implicit": _proximity,
    "reptile": lambda x: Interpolation(x["theta"], x["adapted"], x["epsilon"]),
    "surrogates": batches,
    "expected-estimators": expectations,
    "meta-lstm": learner,
    "pearl": training_step,
    "model": modelled,
}
SUITES = tuple(INPUTS)
