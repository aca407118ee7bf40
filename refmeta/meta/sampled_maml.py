"""Sampled MAML as a rule for training, on episodes alone.  Derivation: derivations/sampled-meta-gradients.md

`SampledMAML` draws episodes before and after the adaptation.  An *estimator* makes the direction of them: `ScoreTerm`,
`Curvature` or `ProMP`; `EMAML`, `LVC` and `DICE` are three of these.  An estimator has `surrogate`, the loss of an inner
step on its episodes, and `direction(theta, episodes, alpha) -> (d,)`, which sums over the tasks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_count, as_generator, as_positive, as_real_scalar, check_finite
from refmeta.meta.arguments import as_initialisation, as_step_sizes
from refmeta.meta.inner import adapt, adjoints
from refmeta.meta.loop import sum_over_tasks
from refmeta.meta.sampled import check_no_entropy, emaml_gradient, promp_gradient
from refmeta.policies.linear_gaussian import LinearGaussian
from refmeta.sampling.returns import whole_return
from refmeta.sampling.rollout import rollout
from refmeta.sampling.surrogates import Surrogate, clipped, dice, likelihood_ratio, reinforce
from refmeta.sampling.trajectories import Policy, Trajectories
from refmeta.sampling.trust_region import SampledKL
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.policy_cost import PolicyCost

__all__ = ["Curvature", "DICE", "EMAML", "Episodes", "EpisodeEstimator", "LVC", "ProMP", "SampledMAML", "ScoreTerm"]


class Episodes(NamedTuple):
    """What one iteration draws: the surrogate of each inner step, on M episodes of it; φ; M episodes at φ; and γ.

    policy : that of the query's episodes; None is that of the support.
    """

    support: tuple[Surrogate, ...]
    adapted: Array
    query: Trajectories
    gamma: float
    policy: Policy | None = None


class EpisodeEstimator(Protocol):
    """The surrogate of an inner step, and the direction of descent from the episodes of an iteration."""

    @property
    def surrogate(self) -> Callable[..., Surrogate]: ...
    def direction(self, theta: Array, episodes: Episodes, alpha: Any) -> Array: ...


@dataclass(frozen=True)
class ScoreTerm:
    """E-MAML: naive curvature, and the score term of every inner step.  Its direction has no bias for objective II."""

    surrogate = staticmethod(reinforce)

    def direction(self, theta: Array, episodes: Episodes, alpha: Any) -> Array:
        """Σᵢ of `emaml_gradient` with −(1/M) Σ_m G_m of the query's episodes for L(φ), and their gpomdp for −∇L(φ).

        Eq: emaml-score-term
        """
        value = -np.mean(whole_return(episodes.query, gamma=episodes.gamma), axis=-1)
        query = _query(reinforce, episodes)
        return sum_over_tasks(emaml_gradient(theta, episodes.support, query, alpha=alpha, value=value))


@dataclass(frozen=True, repr=False)
class Curvature:
    """MAML through a surrogate, without a score term: `likelihood_ratio` is LVC, `dice` is DiCE.

    Its direction is biased for both objectives.  The bias of `dice` vanishes as the number of episodes grows, that of
    `likelihood_ratio` and of `reinforce` does not.
    """

    surrogate: Callable[..., Surrogate]

    def __repr__(self) -> str:
        return f"Curvature({getattr(self.surrogate, '__name__', self.surrogate)})"

    def direction(self, theta: Array, episodes: Episodes, alpha: Any) -> Array:
        """Σᵢ λ_0 by λ_k = (I − α∇²L̂_k) λ_{k+1}, λ_K = −gpomdp of the query's episodes."""
        inner = adapt(theta, episodes.support, alpha=alpha, steps=len(episodes.support))
        end = _query(self.surrogate, episodes).at(inner.adapted).grad
        return sum_over_tasks(adjoints(inner, alpha, [end])[0])


@dataclass(frozen=True)
class ProMP:
    """ProMP's outer step: `epochs` steps of size β on ΣᵢLᵢ, the objectives of one set of episodes.  One inner step only.

    With the outer optimiser `SGD(beta)` an iteration ends at θ after the last of these steps.  With one epoch nothing
    is clipped and the slope of the penalty is 0, so that the direction is that of `LVC`.

    Parameters
    ----------
    beta : float
        The step size, positive.
    epsilon, penalty : float
        Where ratios are clipped, and the weight η of the divergence.
    epochs : int
        The number of steps, at least 1.
    """

    beta: float
    epsilon: float = 0.2
    penalty: float = 0.01
    epochs: int = 5
    surrogate = staticmethod(likelihood_ratio)

    def __post_init__(self) -> None:
        as_positive(self.beta, "beta")
        as_positive(self.epsilon, "epsilon")
        as_real_scalar(self.penalty, "penalty", least=0)
        as_count(self.epochs, "epochs", least=1)

    def direction(self, theta: Array, episodes: Episodes, alpha: Any) -> Array:
        """(θ − θ_E)/β = Σ_e Σᵢ ∇Lᵢ(θ_e), θ_{e+1} = θ_e − β Σᵢ ∇Lᵢ(θ_e), θ_0 = θ.

        Eq: promp-outer-step
        """
        if len(episodes.support) != 1:
            raise ValueError(f"ProMP has one inner step, got steps = {len(episodes.support)}")
        (support,) = episodes.support
        query, kl = _query(clipped, episodes, epsilon=self.epsilon), SampledKL(support.policy, theta, support.trajectories)
        point, total = theta, np.zeros_like(theta)
        for epoch in range(self.epochs):
            slope = sum_over_tasks(promp_gradient(point, support, query, kl, alpha=alpha, penalty=self.penalty))
            point, total = point - self.beta * slope, total + slope
            check_finite(point, f"epoch {epoch + 1} of ProMP left the finite numbers; beta may be too large")
        return total


EMAML, LVC, DICE = ScoreTerm(), Curvature(likelihood_ratio), Curvature(dice)


@dataclass(frozen=True, eq=False)
class SampledMAML:
    """Rule for `meta_train`: the direction of an estimator, on episodes that are drawn in each task.

    Parameters
    ----------
    alpha : scalar, (d,), (K, 1) or (K, d)
        The inner step size.
    estimator : EpisodeEstimator
        `EMAML`, `LVC`, `DICE`, `ProMP(...)` or `Curvature(surrogate)` of `refmeta.sampled_maml`.
    episodes : int
        M, the number of episodes per task for each inner step, and again for the query.
    steps : int
        K, the number of inner steps, at least 1.
    horizon : int, optional
        The length of an episode; required where the process has no horizon.  The objective is then that of the cut process.
    reward_noise : float
        The standard deviation of the noise of sampled rewards.
    """

    alpha: Any
    estimator: EpisodeEstimator
    episodes: int
    steps: int = 1
    horizon: int | None = None
    reward_noise: float = 0.0

    def __post_init__(self) -> None:
        as_count(self.episodes, "episodes", least=1)
        as_count(self.steps, "steps", least=1)
        methods = (getattr(self.estimator, name, None) for name in ("surrogate", "direction"))
        if isinstance(self.estimator, type) or not all(map(callable, methods)):
            raise TypeError(f"estimator must be an object with surrogate and direction(...), as sampled_maml.EMAML, got {self.estimator!r}")

    def direction(self, theta: ArrayLike, support: Any, query: Any = None) -> Array:
        """`sample_direction` with a new generator."""
        return self.sample_direction(theta, support, query)

    def sample_direction(
        self, theta: ArrayLike, support: Any, query: Any = None, rng: Generator | int | None = None
    ) -> Array:
        """The direction of the estimator, (d,), on new episodes of the tasks; `query` is by default the support.

        Raises
        ------
        TypeError
            For tasks that are neither a `PolicyReturn` nor a `PolicyCost`.
        ValueError
            For a task with a temperature: episodes hold no entropy.
        FloatingPointError
            If an inner step leaves the finite numbers.
        """
        theta = as_initialisation(theta)
        return self.estimator.direction(theta, self.sample_episodes(theta, support, query, rng), self.alpha)

    def sample_episodes(
        self, theta: ArrayLike, support: Any, query: Any = None, rng: Generator | int | None = None
    ) -> Episodes:
        """M episodes at each of θ⁽⁰⁾ … θ⁽ᴷ⁻¹⁾ in the support, each after a step on the ones before it; and M at φ in the query."""
        (process, policy), rng, at = _process(support), as_generator(rng), as_initialisation(theta)
        surrogates = []
        for k, step_size in enumerate(as_step_sizes(self.alpha, self.steps, policy.dim), start=1):
            surrogate = self.estimator.surrogate(policy, at, self._rollout(process, policy, at, rng), gamma=process.gamma)
            with np.errstate(all="ignore"):
                at = at - step_size * surrogate.at(at).grad
            check_finite(at, f"inner step {k} left the finite numbers; alpha may be too large")
            surrogates.append(surrogate)
        last, policy = _process(support if query is None else query)
        return Episodes(tuple(surrogates), at, self._rollout(last, policy, at, rng), last.gamma, policy)

    def _rollout(self, process: Any, policy: Policy, theta: Array, rng: Generator) -> Trajectories:
        """M episodes at θ."""
        more: dict[str, Any] = {"episodes": self.episodes, "horizon": self.horizon, "reward_noise": self.reward_noise}
        return rollout(process, policy, theta, rng=rng, **more)


def _query(make: Callable[..., Surrogate], episodes: Episodes, **more: Any) -> Surrogate:
    """A surrogate on the episodes after the adaptation."""
    policy = episodes.support[-1].policy if episodes.policy is None else episodes.policy
    return make(policy, episodes.adapted, episodes.query, gamma=episodes.gamma, **more)


def _process(task: Any) -> tuple[Any, Policy]:
    """The process of a task, and the policy that acts in it."""
    if isinstance(task, PolicyReturn):
        check_no_entropy(task)
        return task.mdp, task.policy
    if isinstance(task, PolicyCost):
        return task.lq, LinearGaussian(task.lq.states, task.lq.actions)
    raise TypeError(f"episodes are drawn in a PolicyReturn or a PolicyCost, got {type(task).__name__}")
