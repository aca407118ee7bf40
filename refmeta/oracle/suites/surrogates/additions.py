"""Terms that may be added to a surrogate by mistake.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suite import at_most_one
from refmeta.oracle.suites.surrogates.jets import jets
from refmeta.oracle.suites.surrogates.penalties import OF_POLICIES, OF_RATIOS, WEIGHTS, term
from refmeta.oracle.suites.surrogates.problem import Batches, kind_of
from refmeta.sampling.returns import discounted_sum

__all__ = ["additions"]

WORDS = {"loss": "", "grad": ", its gradient", "hvp": ", its Hessian times v"}


def additions(part: str, problem: Batches) -> dict[str, Callable[[], Array]]:
    """Weight decay, entropies, divergences, functions of the ratios; of a Hessian product also damping and Fisher's matrix."""
    kind, theta, v = kind_of(part), problem.theta, problem.v
    rows: Callable[[Any], Array] = lambda x: np.zeros((len(problem.baseline), *np.shape(x))) + x
    terms: dict[str, Callable[[], Array]] = {
        f"the {name} ({over}){WORDS[kind]}": partial(term, kind, problem, name, over) for name in (*OF_POLICIES, *OF_RATIOS) for over in WEIGHTS
    }
    if kind == "loss":
        return terms | {"theta squared": lambda: rows(theta @ theta)} | _losses(problem)
    if kind == "grad":
        return terms | {"theta": lambda: rows(theta), "the signs of theta": lambda: rows(np.sign(theta)), "theta − theta_sampled": lambda: rows(theta - problem.theta_sampled)}
    j = jets(problem, {})
    fisher = lambda: np.einsum("nmh,nmhd->nd", j.along, j.slopes)
    return terms | {"v": lambda: rows(v), "Fisher's matrix times v": fisher}


def _losses(problem: Batches) -> dict[str, Callable[[], Array]]:
    """What a loss may have besides that does not depend on θ: the baseline's errors, returns, baselines; over all steps of a task."""
    mask, gamma = np.asarray(problem.trajectories.mask, bool), at_most_one(problem.gamma)
    r, b = (np.where(mask, x, 0.0) for x in (problem.trajectories.rewards, problem.baseline))
    G, discount = discounted_sum(r, gamma), gamma ** np.arange(mask.shape[-1])
    total: Callable[[Array], Array] = lambda x: np.sum(x, axis=(1, 2))
    mean: Callable[[Array], Array] = lambda x: total(x) / np.sum(mask, axis=(1, 2))
    each = {"the squared errors of the baseline": (G - b) ** 2 * mask, "the rewards to go": G, "the baseline": b, "the rewards": r, "the absolute errors of the baseline": np.abs(G - b)}
    return {
        f"{name}, {words}": partial(f, x * weight)
        for name, x in each.items()
        for words, f, weight in (("summed", total, 1.0), ("their mean over the steps taken", mean, 1.0), ("discounted, summed", total, discount))
    }  # fmt: skip
