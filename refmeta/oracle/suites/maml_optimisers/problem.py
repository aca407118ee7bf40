"""MAML through an inner optimiser as the library takes it.  Derivation: derivations/inner-optimisers.md"""

from dataclasses import dataclass, fields
from typing import Any

from refmeta.arrays import Array
from refmeta.meta import inner_optimisers as inner
from refmeta.oracle.common import quadratic, softmax_regression
from refmeta.oracle.suites.maml.problem import answer, terms
from refmeta.oracle.suites.maml_optimisers.rules import InnerRule

__all__ = ["OptimiserProblem", "answer", "library_optimiser", "problem", "terms"]

LIBRARY: dict[str, Any] = {
    "gradient_descent": inner.GradientDescent, "heavy_ball": inner.HeavyBall, "nesterov": inner.Nesterov, "rmsprop": inner.RMSProp,
    "adam": inner.Adam, "adam_epsilon_hat": inner.AdamEpsilonHat, "adam_epsilon_root": inner.AdamEpsilonRoot,
}  # fmt: skip
RENAMED = {"decay": "beta2"}  # fields of the library's rules that have another name here
DECAY = {"coupled": inner.DecayedWeights, "decoupled": inner.DecoupledDecay, "decoupled_paper": inner.DecoupledDecayPaper}


@dataclass(frozen=True, eq=False)
class OptimiserProblem:
    """Where to start (d,), N support and N query tasks, how far to step, and by which rule."""

    theta: Array
    support: Any
    query: Any
    alpha: Any
    steps: int
    rule: InnerRule

    @property
    def split(self) -> tuple[Any, Any]:
        """(support, query), as `maml.gradient` takes them."""
        return self.support, self.query

    @property
    def optimiser(self) -> Any:
        """The rule as the library's own object."""
        return library_optimiser(self.rule)

    @property
    def hyper(self) -> dict[str, Any]:
        """The keyword arguments `alpha`, `steps` and `optimiser`."""
        return {"alpha": self.alpha, "steps": self.steps, "optimiser": self.optimiser}


def problem(x: dict[str, Any]) -> OptimiserProblem:
    """The inputs of the suite."""
    rule = InnerRule(**{name: x[name] for name in InnerRule._fields})
    return OptimiserProblem(x["theta"], _task(x, ""), _task(x, "query_"), x["alpha"], x["steps"], rule)


def _task(x: dict[str, Any], prefix: str) -> Any:
    """Softmax regressions where A is None, else quadratics."""
    return (softmax_regression if x[prefix + "A"] is None else quadratic)(x, prefix)


def library_optimiser(rule: InnerRule) -> Any:
    """The library's optimiser of a rule: clip, then decay, then the rule."""
    kind = LIBRARY[rule.optimiser]
    optimiser = kind(*(getattr(rule, RENAMED.get(field.name, field.name)) for field in fields(kind)))
    if rule.decay is not None:
        optimiser = DECAY[rule.decay](rule.weight_decay, optimiser)
    return optimiser if rule.clip is None else inner.ClippedByNorm(rule.clip, optimiser)
