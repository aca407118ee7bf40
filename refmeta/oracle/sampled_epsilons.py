"""Where an ε may stand in an estimator on trajectories, and its first-order effect.  Derivation: derivations/using-the-oracle.md"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.meta.inner import adapt, adjoints
from refmeta.oracle.answers import own
from refmeta.oracle.batches import Batches
from refmeta.oracle.case import Case
from refmeta.oracle.shifted import departures, slope
from refmeta.oracle.wrong import estimators
from refmeta.sampling.enumeration import expectation
from refmeta.sampling.likelihood import likelihood_at
from refmeta.sampling.surrogates import emaml_score_term


class Softened(NamedTuple):
    """The likelihood ℓ = log(π + ε) of a batch: its slope is w ∇log π, w = π/(π + ε), and w' = w(1 − w)."""

    inner: Any
    epsilon: complex

    @property
    def weight(self) -> Array:
        """w."""
        return np.asarray(1 / (1 + self.epsilon * np.exp(-self.inner.log_prob)))

    @property
    def log_prob(self) -> Array:
        """log(π + ε)."""
        return np.asarray(self.inner.log_prob - np.log(self.weight))

    def along(self, u: Array) -> Array:
        """∇ℓ · u."""
        return np.asarray(self.weight * self.inner.along(u))

    def pull(self, y: Array) -> Array:
        """Σ y ∇ℓ."""
        return np.asarray(self.inner.pull(y * self.weight))

    def curve(self, y: Array, u: Array) -> Array:
        """Σ y ∇²ℓ u."""
        w = self.weight
        return np.asarray(self.inner.curve(y * w, u) + self.inner.pull(y * w * (1 - w) * self.inner.along(u)))


def evaluated(surrogate: Any, like: Any, sampled: Array, part: str, v: Array) -> Array:
    """A surrogate's loss, gradient or Hessian product with these log-probabilities."""
    each = [(term, term.link(term.weights, term.mixed(like.log_prob - sampled))) for term in surrogate.terms]
    M = surrogate.trajectories.mask.shape[-2]
    slopes = sum(term.spread(y[1]) for term, y in each)
    if part == "loss":
        return np.asarray(-sum(np.sum(y[0], axis=(-2, -1)) for _, y in each) / M)
    if part == "grad":
        return np.asarray(-like.pull(slopes) / M)
    bent = sum(term.spread(y[2] * term.mixed(like.along(v))) for term, y in each)
    return np.asarray(-(like.pull(bent) + like.curve(slopes, v)) / M)


def softened(surrogate: Any, theta: Array, part: str, v: Array) -> dict[str, Callable[[], Any]]:
    """log(π + ε) of the policy that is differentiated, of the one that sampled, or of both."""
    like = likelihood_at(surrogate.policy, np.asarray(theta, float), surrogate.trajectories)
    old = likelihood_at(surrogate.policy, surrogate.theta_sampled, surrogate.trajectories)
    e = 1e-30j
    one: Callable[..., Any] = lambda new, sampled: (
        np.imag(evaluated(surrogate, Softened(like, new), Softened(old, sampled).log_prob, part, v)) / 1e-30
    )
    return {
        "log(π + ε)": lambda: one(e, e), "log(π + ε) but at the time of sampling": lambda: one(e, 0),
        "π/(π_sampled + ε)": lambda: one(0, e),
    }  # fmt: skip


def of_batches(case: Case, part: str) -> dict[str, Callable[[], Any]]:
    """An ε in the ratios of a surrogate, or in its mean over trajectories."""
    problem, (kind, of) = case.problem, part.rsplit("_", 1)
    M = np.shape(problem.trajectories[3])[-2]
    ratios = softened(problem.surrogate(kind), problem.theta, of, problem.v)
    return ratios | {"1/(M + ε)": lambda: -case.expected[part].value / M}


def of_expectations(case: Case, part: str) -> dict[str, Callable[[], Any]]:
    """An ε in the ratios of the surrogates whose Hessians are averaged, or in the losses of exact steps."""
    problem = case.problem
    kinds = {"naive_hessian": "reinforce", "lvc_hessian": "likelihood_ratio", "dice_hessian": "dice"}
    if part == "formulation_exact":
        one: Callable[..., Any] = lambda f, e: own(
            case.suite, part, replace_fields(problem, tasks=tuple(f(t, e) for t in problem.tasks))
        )
        changes = departures(problem.tasks[0])
        return {name: lambda f=f: slope(lambda e: one(f, e)) for name, f in changes.items()}  # type: ignore[misc]
    if part == "formulation_sampled":
        return {"log(π + ε)": lambda: slope(lambda e: _sampled(problem, e), 1e-5)} if problem.steps else {}

    def effect(name: str) -> Array:
        return np.stack([_expected(problem, task, kinds[part], name) for task in problem.tasks])

    return {name: lambda name=name: effect(name) for name in ("log(π + ε)", "log(π + ε) but at the time of sampling")}  # type: ignore[misc]


def _expected(problem: Any, task: Any, kind: str, name: str) -> Array:
    """The mean of an effect on a surrogate's Hessian product."""

    def effect(batch: Any) -> Array:
        zero = np.zeros(np.shape(batch.rewards))
        case = Batches(problem.theta, problem.theta, task.policy, batch, zero, task.mdp.gamma, 1.0, problem.v)
        return np.asarray(softened(case.surrogate(kind), problem.theta, "hvp", problem.v)[name]())

    return np.asarray(expectation(effect, task.mdp, task.policy, problem.theta).mean)


class SoftSurrogate(NamedTuple):
    """A surrogate as a task, with log(π + ε) where it differentiates log π."""

    surrogate: Any
    epsilon: float

    @property
    def shape(self) -> tuple[int, ...]:
        """The batch axes."""
        return tuple(self.surrogate.shape)

    @property
    def dim(self) -> int:
        """The number of parameters."""
        return int(self.surrogate.dim)

    def at(self, theta: Array) -> "SoftPoint":
        """The point theta."""
        return SoftPoint(np.asarray(theta), self)


class SoftPoint(NamedTuple):
    """A softened surrogate at θ."""

    theta: Array
    task: SoftSurrogate

    @property
    def grad(self) -> Array:
        """Its gradient."""
        return self._evaluated("grad", self.theta)

    def hvp(self, v: Array) -> Array:
        """Its Hessian product."""
        return self._evaluated("hvp", v)

    def _evaluated(self, part: str, v: Array) -> Array:
        """The gradient or the Hessian product along v."""
        surrogate, epsilon = self.task
        like = likelihood_at(surrogate.policy, self.theta, surrogate.trajectories)
        sampled = likelihood_at(surrogate.policy, surrogate.theta_sampled, surrogate.trajectories).log_prob
        return evaluated(surrogate, Softened(like, epsilon), sampled, part, v)


def _sampled(problem: Any, epsilon: float) -> Array:
    """The gradient of the sampled objective whose inner steps follow log(π + ε), one row a task."""

    def estimate(task: Any, theta: Array, soft: Any, alpha: Any) -> Array:
        inner = adapt(theta, list(soft), alpha=alpha, steps=len(soft))
        end, drawn = (
            task.at(inner.adapted),
            [(each.surrogate, point.theta) for each, point in zip(soft, inner.path, strict=False)],
        )
        terms = [emaml_score_term(s.policy, there, s.trajectories, value=end.loss) for s, there in drawn]
        return adjoints(inner, alpha, [*terms, end.grad])[0]

    def make(task: Any, theta: Array, batch: Any) -> Any:
        return SoftSurrogate(estimators.naive(task, theta, batch), epsilon)

    return np.asarray(estimators.expected(problem, estimate, make)["formulation_sampled"])
