"""refmeta: a minimal NumPy-only reference implementation of meta-reinforcement learning.

>>> import refmeta as rm
>>> task = rm.Quadratic(A=[[[2.0, 1.0], [1.0, 3.0]]], c=[[0.0, 0.0]])
>>> rm.maml.gradient([4.0, 8.0], task, alpha=0.25, steps=2)
array([[-0.171875,  0.109375]])
"""

from refmeta import judges, oracle
from refmeta.meta import maml, reptile
from refmeta.meta.inner import Adaptation, Point, Task, adapt
from refmeta.policies import LinearSoftmax, TabularSoftmax
from refmeta.tasks.classification import SoftmaxRegression
from refmeta.tasks.distributions import RandomMDPs, Sinusoids, Split
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP
from refmeta.tasks.planning import Optimum, optimal_values
from refmeta.tasks.quadratic import Quadratic
from refmeta.tasks.regression import LinearRegression

__version__ = "0.1.0"

__all__ = [
    "Adaptation", "FiniteMDP", "LinearRegression", "LinearSoftmax", "Optimum", "Point", "PolicyReturn", "Quadratic",
    "RandomMDPs", "Sinusoids", "SoftmaxRegression", "Split", "TabularSoftmax", "Task", "adapt", "judges", "maml",
    "oracle",
    "optimal_values", "reptile",
]  # fmt: skip
