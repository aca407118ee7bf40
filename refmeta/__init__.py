"""refmeta: a minimal NumPy-only reference implementation of meta-reinforcement learning.

>>> import refmeta as rm
>>> task = rm.Quadratic(A=[[[2.0, 1.0], [1.0, 3.0]]], c=[[0.0, 0.0]])
>>> rm.maml.gradient([4.0, 8.0], task, alpha=0.25, steps=2)
array([[-0.171875,  0.109375]])
"""

import importlib
from typing import TYPE_CHECKING, Any

from refmeta import _start, judges  # noqa: F401
from refmeta.meta import (
    bayes_adaptive,
    implicit,
    maml,
    many_episodes,
    meta_lstm,
    model_based,
    pearl,
    reptile,
    sampled,
    sampled_maml,
    sensitivity,
    zeroth_order,
)
from refmeta.meta import inner_optimisers as inner
from refmeta.meta.arguments import Point, Task
from refmeta.meta.implicit import ImplicitMAML
from refmeta.meta.inner import Adaptation, adapt
from refmeta.meta.maml import MAML, FirstOrderMAML, MetaSGD
from refmeta.meta.meta_lstm import IndependentMetaLSTM, MetaLSTM
from refmeta.meta.reptile import Reptile
from refmeta.meta.sampled_maml import SampledMAML
from refmeta.meta.train import SGD, Adam, Iteration, Trained, meta_train
from refmeta.meta.zeroth_order import ESMAML
from refmeta.policies import LinearSoftmax, TabularSoftmax
from refmeta.policies.linear_gaussian import LinearGaussian
from refmeta.sampling import enumeration, estimators, kl, returns, surrogates, targets, values
from refmeta.sampling.likelihood import likelihood
from refmeta.sampling.rollout import rollout
from refmeta.sampling.trajectories import Trajectories
from refmeta.sampling.trust_region import SampledKL, TrustRegionStep, trpo_step
from refmeta.tasks import fisher
from refmeta.tasks.black_box import BlackBox
from refmeta.tasks.classification import SoftmaxRegression
from refmeta.tasks.distributions import GoalGridworlds, Navigation, RadialSinusoids, RandomMDPs, Sinusoids, Split
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.fisher import PolicyKL
from refmeta.tasks.lq import LinearQuadratic
from refmeta.tasks.mdp import FiniteMDP
from refmeta.tasks.planning import Optimum, SoftOptimum, optimal_values, soft_values
from refmeta.tasks.policy_cost import PolicyCost
from refmeta.tasks.quadratic import Quadratic
from refmeta.tasks.regression import LinearRegression

if TYPE_CHECKING:
    from refmeta import oracle

__version__ = "0.12.0"

__all__ = [
    "Adam", "Adaptation", "BlackBox", "ESMAML", "FiniteMDP", "FirstOrderMAML", "GoalGridworlds", "ImplicitMAML",
    "IndependentMetaLSTM", "Iteration", "LinearGaussian", "LinearQuadratic", "LinearRegression", "LinearSoftmax",
    "MAML", "MetaLSTM", "MetaSGD", "Navigation", "Optimum", "Point", "PolicyCost", "PolicyKL", "PolicyReturn",
    "Quadratic", "RadialSinusoids", "RandomMDPs", "Reptile", "SGD", "SampledKL", "SampledMAML", "Sinusoids", "SoftOptimum",
    "SoftmaxRegression", "Split", "TabularSoftmax", "Task", "Trained", "Trajectories", "TrustRegionStep", "adapt",
    "bayes_adaptive", "enumeration", "estimators", "fisher", "implicit", "inner", "judges", "kl", "likelihood", "maml", "many_episodes", "meta_lstm", "meta_train", "model_based",
    "optimal_values", "oracle", "pearl", "reptile", "returns", "rollout", "sampled", "sampled_maml", "sensitivity", "soft_values", "surrogates",
    "targets", "trpo_step", "values", "zeroth_order",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """The oracle, imported when it is asked for."""
    if name != "oracle":
        raise AttributeError(f"module 'refmeta' has no attribute {name!r}")
    return importlib.import_module("refmeta.oracle")


def __dir__() -> list[str]:
    """The public names."""
    return __all__
