"""A batch of trajectories as the library takes it.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.bicomplex import complex_value
from refmeta.oracle.decimals import Inputs
from refmeta.oracle.suite import at_most_one
from refmeta.oracle.suites.surrogates.definition import USUAL, Likelihood, define, unchanged
from refmeta.oracle.suites.surrogates.kl_definition import PENALTIES
from refmeta.policies.linear_gaussian import LinearGaussian
from refmeta.policies.softmax import LinearSoftmax, TabularSoftmax
from refmeta.sampling import kl, surrogates
from refmeta.sampling.likelihood import likelihood_at
from refmeta.sampling.trajectories import Trajectories, discounts

__all__ = ["Batches", "answer", "by_definition", "kind_of", "part_names", "problem", "terms"]


@dataclass(frozen=True, eq=False)
class Batches:
    """A batch of trajectories for each task, on which surrogates are evaluated at theta, with a direction."""

    theta: Array
    theta_sampled: Array
    policy: Any
    trajectories: Trajectories
    baseline: Array
    gamma: float
    lam: float
    v: Array

    def surrogate(self, name: str) -> surrogates.Surrogate:
        """The library's surrogate of this name."""
        lam = {"lam": at_most_one(self.lam)} if name == "loaded_dice" else {}
        shared: dict[str, Any] = {"gamma": at_most_one(self.gamma), "baseline": self.baseline, **lam}
        return getattr(surrogates, name)(self.policy, self.theta_sampled, self.trajectories, **shared)

    @property
    def theta_ref(self) -> Array:
        """The parameters of the reference policy, which the penalties hold."""
        return self.theta_sampled / 2

    def penalty(self, part: str) -> surrogates.Surrogate:
        """The library's penalty of this name, in the loss without a ratio."""
        make: Any = getattr(kl, part.removeprefix("kl_"))
        return make(self.policy, self.theta_ref, self.trajectories, gamma=at_most_one(self.gamma))

    @property
    def inputs(self) -> Inputs:
        """The inputs of the suite as nested lists."""
        policy = self.policy
        sizes = {"state_count": policy.states, "action_count": policy.actions}
        each = vars(self) | self.trajectories._asdict() | sizes | {"features": getattr(policy, "features", None)}
        return {name: np.asarray(x).tolist() for name, x in each.items() if name not in ("policy", "trajectories")}


def problem(x: dict[str, Any]) -> Batches:
    """The inputs of the suite; states with a last axis of their own are those of a linear-Gaussian policy."""
    counts = x["state_count"], x["action_count"]
    if np.ndim(x["states"]) == np.ndim(x["rewards"]) + 1:
        policy: Any = LinearGaussian(*counts)
    else:
        policy = TabularSoftmax(*counts) if x["features"] is None else LinearSoftmax(x["features"])
    batch = Trajectories(*(x[name] for name in ("states", "actions", "rewards", "mask")))
    return Batches(x["theta"], x["theta_sampled"], policy, batch, x["baseline"], x["gamma"], x["lam"], x["v"])


def part_names(names: Iterable[str]) -> tuple[str, ...]:
    """The parts of surrogates: the loss, the gradient and the Hessian product of each."""
    return tuple(f"{name}_{kind}" for name in names for kind in ("loss", "grad", "hvp"))


def kind_of(part: str) -> str:
    """"loss", "grad" or "hvp"; of a penalty the gradient is asked for."""
    return "grad" if part in PENALTIES else part.rpartition("_")[2]


def answer(part: str, problem: Batches) -> Array:
    """The library's loss, gradient or Hessian product of a surrogate, or its gradient of a penalty with the ratio."""
    if part in PENALTIES:
        return kl.with_ratio(problem.penalty(part), problem.theta_sampled).at(problem.theta).grad
    name, _, kind = part.rpartition("_")
    point = _point(name, problem)
    return np.asarray(point.hvp(problem.v) if kind == "hvp" else getattr(point, kind))


@lru_cache(maxsize=64)
def _point(name: str, problem: Batches) -> surrogates.SurrogatePoint:
    """A surrogate at θ, of which the parts share what they are made of."""
    return problem.surrogate(name).at(problem.theta)


def by_definition(
    part: str, problem: Batches, change: Callable[[Any], Any] = unchanged, use: Likelihood = USUAL
) -> Array:
    """A part by the definition in complex numbers; `change` exchanges what a surrogate reads of a step, `use` log π."""
    return complex_value(define, part, problem.inputs, change, use)


def terms(part: str, problem: Batches, value: Array) -> Any:
    """The mean over trajectories of Σ_t |∂f/∂x_t|, f the summand; times max |v| for a Hessian product."""
    if part in PENALTIES:
        return _terms_of_penalty(part, problem)
    name, _, kind = part.rpartition("_")
    slopes = _point(name, problem).slopes
    size = np.sum(np.abs(slopes), axis=(-2, -1)) / slopes.shape[-2]
    return size * (np.max(np.abs(problem.v)) if kind == "hvp" else 1.0)


def _terms_of_penalty(part: str, problem: Batches) -> Array:
    """The mean over trajectories of Σ γᵗ exp(x) times the terms of k + k', whose sum may be smaller than each of them."""
    thetas, batch = (problem.theta, problem.theta_sampled, problem.theta_ref), problem.penalty(part).trajectories
    here, drawn, ref = (likelihood_at(problem.policy, theta, batch).log_prob for theta in thetas)
    y = np.abs(here - ref)
    of = {"kl_k1": y + 1, "kl_k2": y**2 / 2 + y, "kl_k3": 2 * np.exp(ref - here) + y + 2}
    weights = discounts(batch.mask, at_most_one(problem.gamma)) * np.exp(here - drawn)
    return np.asarray(np.mean(np.sum(weights * of[part], axis=-1), axis=-1))
