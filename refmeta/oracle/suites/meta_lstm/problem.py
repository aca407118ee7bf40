"""Meta-LSTM as the library takes it.  Derivation: derivations/meta-lstm.md"""

from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.meta import meta_lstm
from refmeta.meta.meta_lstm import Parameters
from refmeta.oracle.bicomplex import COMPLEX, complex_numbers, complex_value, real_part
from refmeta.oracle.common import softmax_regression
from refmeta.oracle.decimals import Inputs
from refmeta.oracle.suites.meta_lstm.definition import PAPER, Formulas, define, losses, slopes, task_objective

__all__ = ["LEAVES", "Learner", "answer", "by_definition", "all_parts", "problem", "terms", "leaves"]

LEAVES = Parameters._fields


class Learner(NamedTuple):
    """A Meta-LSTM, N support and N query tasks, and K."""

    parameters: Parameters
    support: Any
    query: Any
    steps: int

    def __hash__(self) -> int:
        """By identity."""
        return id(self)

    def __eq__(self, other: object) -> bool:
        """The same object?"""
        return self is other

    @property
    def theta(self) -> Array:
        """c0."""
        return np.asarray(self.parameters.c0)

    @property
    def inputs(self) -> Inputs:
        """The inputs of the suite as nested lists."""
        x = leaves(self.parameters) | {"classes": self.support.classes, "ridge": float(self.support.ridge)}
        for prefix, task in (("", self.support), ("query_", self.query)):
            x |= {f"{prefix}X": task.X.tolist(), f"{prefix}labels": task.labels.tolist()}
        return x | {"steps": self.steps}


def leaves(parameters: Parameters) -> Inputs:
    """The leaves as nested lists."""
    return {leaf: np.asarray(value).tolist() for leaf, value in parameters._asdict().items()}


def problem(x: dict[str, Any]) -> Learner:
    """The inputs of the suite."""
    support, query = (softmax_regression(x, prefix) for prefix in ("", "query_"))
    return Learner(Parameters(*[x[leaf] for leaf in LEAVES]), support, query, x["steps"])


def answer(part: str, problem: Learner) -> Array:
    """A part of the suite."""
    arguments = problem.parameters, problem.support, problem.query
    kind, _, leaf = part.partition("_")
    if not leaf:
        return np.asarray(meta_lstm.objective(*arguments, steps=problem.steps))
    function = meta_lstm.gradient if kind == "exact" else meta_lstm.gradient_independent
    return np.asarray(getattr(function(*arguments, steps=problem.steps), leaf))


def terms(part: str, problem: Learner, value: Array) -> Any:
    """The query's loss where nothing is adapted."""
    return np.abs(problem.query.at(problem.theta).loss)


def by_definition(part: str, problem: Learner, use: Formulas = PAPER) -> Array:
    """A part by the definition in complex numbers, with some of its functions exchanged."""
    return complex_value(define, part, problem.inputs, use)


def all_parts(problem: Learner, use: Formulas = PAPER) -> dict[str, Array]:
    """The objective, and both gradients leaf by leaf, by the definition."""
    x = complex_numbers(problem.inputs)
    pairs, parts = losses(x, use), {"objective": by_definition("objective", problem, use)}
    for kind in ("exact", "independent"):
        rows = [slopes(task_objective(kind, x, *pair, COMPLEX, use), x, LEAVES, COMPLEX.outer) for pair in pairs]
        parts |= {f"{kind}_{leaf}": real_part(list(column)) for leaf, column in zip(LEAVES, zip(*rows, strict=True), strict=True)}
    return parts
