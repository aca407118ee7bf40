"""What implementations of a return with ends choose, the right alternative first.  Derivation: derivations/exact-policy-gradient.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Choices
from refmeta.oracle.suites.episodic_return.end_states import STATES
from refmeta.oracle.suites.episodic_return.ends import AFTER, OWN_ROWS, worth
from refmeta.oracle.suites.episodic_return.variants import IN_ENDS, variant
from refmeta.oracle.suites.policy_gradient.choices import CHOICES as OF_RETURNS
from refmeta.oracle.suites.policy_gradient.choices import FAMILIES as OF_FAMILIES
from refmeta.oracle.suites.policy_gradient.choices import additions, layouts
from refmeta.oracle.suites.policy_gradient.problem import Evaluation
from refmeta.oracle.suites.policy_gradient.readings import ReadProcess, Run, is_left, run_of
from refmeta.tasks import fisher

__all__ = ["CHOICES", "FAMILIES", "additions", "layouts", "numbers", "variant"]


def _undiscounted(run: Run, process: ReadProcess, pi: Array) -> Array:
    """Visits without γᵗ; LinAlgError where no end is reached, and they have no bound."""
    if process.horizon is None and not is_left(process.P):
        raise np.linalg.LinAlgError("no end")
    return run_of(process._replace(gamma=1.0), pi).visits


def _normalised(run: Run, process: ReadProcess, pi: Array) -> Array:
    """The same as probabilities."""
    visits = _undiscounted(run, process, pi)
    return np.asarray(visits / np.sum(visits, axis=(0, -1), keepdims=True))


def _where_one(c: float) -> Callable[[float], float]:
    """A discount where there is none."""
    return lambda gamma: c if gamma == 1 else gamma


LONGER = [f"at most {n} steps" for n in (5, 10, 20, 50, 100)]  # no horizon of a vector is longer: the same as where there is none
SHARED = (
    "power of gamma", "P", "reward", "start", "softmax over", "logits times", "layout of theta", "noise in the policy",
    "probabilities changed", "return", "pi", "Hessian", "largest value", "best actions", "best values", "times", "sweeps until no value moves by",
)  # fmt: skip
CHOICES: Choices = {
    "states that end": STATES,
    "after an end": AFTER,
    IN_ENDS: OWN_ROWS,
    "horizon": {words: each for words, each in OF_RETURNS["horizon"].items() if words not in LONGER},
    **{name: OF_RETURNS[name] for name in SHARED},
    "advantage": {words: each for words, each in OF_RETURNS["advantage"].items() if words != "Q over V"},  # 0/0 in an end
    "discount": {**OF_RETURNS["discount"], **{f"{c:g} where it is 1": _where_one(c) for c in (0.9, 0.95, 0.99, 0.999)}},
    "visits": {**OF_RETURNS["visits"], "undiscounted": _undiscounted, "undiscounted, normalised to 1": _normalised},
}  # fmt: skip
FAMILIES: dict[str, tuple[Any, ...]] = {
    **{words: family for words, family in OF_FAMILIES.items() if family[0] in CHOICES},
    "an end is worth {}": ("after an end", worth),
}


def numbers(problem: Evaluation) -> dict[str, Any]:
    """The sum of the visits, states times actions, and the horizon where there is one."""
    mdp = problem.task.mdp
    more = {} if mdp.horizon is None else {"horizon": mdp.horizon}
    visits = np.sum(fisher.visits(problem.task.at(problem.theta)), axis=-1)
    return {"sum of the visits": visits, "S A": mdp.states * mdp.actions, **more}
