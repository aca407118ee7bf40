"""The suite `meta-lstm`: its inputs as the library's own objects, and the library's answers.  Derivation: derivations/meta-lstm.md"""

from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.meta import meta_lstm
from refmeta.meta.meta_lstm import Parameters
from refmeta.tasks.classification import SoftmaxRegression

LEAVES = Parameters._fields
INPUTS_OF_LEARNER = (*LEAVES, "X", "labels", "query_X", "query_labels", "classes", "ridge", "steps")
OF_LEARNER = ("objective", *(f"{kind}_{leaf}" for kind in ("exact", "independent") for leaf in LEAVES))


class Learner(NamedTuple):
    """A Meta-LSTM, N support and N query tasks, and K."""

    parameters: Parameters
    support: Any
    query: Any
    steps: int

    @property
    def theta(self) -> Array:
        """c0."""
        return np.asarray(self.parameters.c0)


def learner(x: dict[str, Any]) -> Learner:
    """The inputs of the suite."""
    support, query = (SoftmaxRegression(x[p + "X"], x[p + "labels"], x["classes"], x["ridge"]) for p in ("", "query_"))
    return Learner(Parameters(*[x[leaf] for leaf in LEAVES]), support, query, x["steps"])


def of_learner(name: str, case: Learner) -> Array:
    """A part of the suite."""
    given = case.parameters, case.support, case.query
    if name == "objective":
        return np.asarray(meta_lstm.objective(*given, steps=case.steps))
    kind, leaf = name.split("_", 1)
    function = meta_lstm.gradient if kind == "exact" else meta_lstm.gradient_independent
    return np.asarray(getattr(function(*given, steps=case.steps), leaf))
