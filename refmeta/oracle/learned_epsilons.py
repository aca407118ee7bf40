"""Where an ε may stand in Meta-LSTM, PEARL and a learned model, and its first-order effect.

Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.meta import meta_lstm as learned
from refmeta.meta.lstm import P as LOGARITHMS
from refmeta.meta.lstm import preprocessing
from refmeta.meta.pearl.encoder import Gaussian
from refmeta.oracle.answers import own
from refmeta.oracle.case import Case
from refmeta.oracle.learner import LEAVES
from refmeta.oracle.shifted import departures, slope
from refmeta.oracle.wrong import meta_lstm, model, pearl
from refmeta.softmax import log_softmax

TINY = 1e-7


def of_learners(case: Case, part: str) -> dict[str, Callable[[], Any]]:
    """An ε in the learner's losses, or in the logarithm of the preprocessing."""
    return {name: lambda name=name: _of_learner(case, name)[part] for name in _places(case)}  # type: ignore[misc]


def _places(case: Case) -> dict[str, Callable[[float], dict[str, Array]]]:
    """Every part of a Meta-LSTM with an ε, by the place of the ε."""

    def inputs(x: Array, e: float) -> Array:
        both = preprocessing(x)
        large = both[..., 0] != -1
        return np.stack(
            [np.where(large, np.log(np.exp(LOGARITHMS * both[..., 0]) + e) / LOGARITHMS, -1), both[..., 1]], -1
        )

    def every(change: Callable[[Any, float], Any]) -> Callable[[float], dict[str, Array]]:
        moved: Callable[..., Any] = lambda e: {
            name: change(getattr(case.problem, name), e) for name in ("support", "query")
        }
        return lambda e: _learned(case.problem._replace(**moved(e)))

    logarithm: Callable[..., Any] = lambda e: meta_lstm.parts(
        case.problem, meta_lstm.Change(meta_lstm.right, inputs=lambda x: inputs(x, e))
    )
    places = {name: every(change) for name, change in departures(case.problem.support).items()}
    return places | {"log(|x| + ε) in the preprocessing": logarithm}


def _learned(problem: Any) -> dict[str, Array]:
    """Every part of a Meta-LSTM, each gradient computed once."""
    given = problem.parameters, problem.support, problem.query
    found = {"objective": np.asarray(learned.objective(*given, steps=problem.steps))}
    for kind, gradient in (("exact", learned.gradient), ("independent", learned.gradient_independent)):
        slopes = gradient(*given, steps=problem.steps)
        found |= {f"{kind}_{leaf}": getattr(slopes, leaf) for leaf in LEAVES}
    return found


@lru_cache(maxsize=256)
def _of_learner(case: Case, name: str) -> dict[str, Array]:
    """The effect of an ε on every part of a Meta-LSTM."""
    return _slopes(_places(case)[name])


def _slopes(parts: Callable[[float], dict[str, Array]]) -> dict[str, Array]:
    """The derivative of every part at ε = 0, by a central difference."""
    with np.errstate(all="ignore"):
        up, down = (parts(e) for e in (TINY, -TINY))
    return {part: (up[part] - down[part]) / (2 * TINY) for part in up}


def _inferred(lift: Callable[[Gaussian], Gaussian], settle: Callable[[Gaussian], Gaussian]) -> Callable[[Any], Any]:
    """An inference with its factors and its product changed."""
    return lambda case: lambda factors, there: settle(case.settings.infer(lift(factors), there))


def steps_of(e: float, case: Any) -> dict[str, Any]:
    """PEARL's step with an ε in each of the places where code has one."""
    wide: Callable[..., Any] = lambda q: q._replace(log_variance=np.log(np.exp(q.log_variance) + e))
    same: Callable[..., Any] = lambda q: q
    over: Callable[..., Any] = lambda q: Gaussian(
        q.mean / (1 + e * np.exp(q.log_variance)), -np.log(np.exp(-q.log_variance) + e)
    )
    scale = 1 / (1 + e / np.sum(np.asarray(case.batch.mask, bool), axis=-1))
    return {
        "σ_n² + ε in the factors": pearl.Change(infer=_inferred(wide, same)),
        "1/(Σ σ_n⁻² + ε) in the product of factors": pearl.Change(infer=_inferred(same, over)),
        "log(σ² + ε) in the KL divergence": pearl.Change(kl=lambda q: pearl.Change().kl(q) - _log_less(q, e)),
        "√(σ² + ε) in the sample": pearl.Change(sample=lambda q, noise: q.mean + np.sqrt(np.exp(q.log_variance) + e) * noise),
        "σ + ε in the sample": pearl.Change(sample=lambda q, noise: q.mean + (np.exp(q.log_variance / 2) + e) * noise),
        "log(π + ε)": pearl.Change(log=lambda x: np.log(np.exp(log_softmax(x)) + e)),
        "1/(Σ mask + ε)": pearl.Change(weight=lambda mean: mean * scale[:, None]),
    }  # fmt: skip


def _log_less(q: Gaussian, e: float) -> Array:
    """½ Σ log(1 + ε/σ²)."""
    return np.asarray(np.sum(np.log(1 + e * np.exp(-q.log_variance)), axis=-1) / 2)


def of_agents(case: Case, part: str) -> dict[str, Callable[[], Any]]:
    """An ε in one of PEARL's steps."""
    names = steps_of(0.0, case.problem)
    return {name: lambda name=name: _of_step(case, name)[part] for name in names}  # type: ignore[misc]


@lru_cache(maxsize=256)
def _of_step(case: Case, name: str) -> dict[str, Array]:
    """The effect of an ε on every part of a step."""
    return _slopes(lambda e: pearl.parts(case.problem, steps_of(e, case.problem)[name]))


def of_models(case: Case, part: str) -> dict[str, Callable[[], Any]]:
    """An ε in the posterior mean, or in a variance of the prior."""
    problem = case.problem
    prior, seen = problem.prior, model.seen_of(problem)
    c, n = np.asarray(prior.concentration), np.asarray(seen.counts)
    rows = np.sum(c + n, axis=-1, keepdims=True)
    both = prior.noise + prior.variance * np.sum(n, axis=-1)
    through: Callable[..., Any] = lambda change: (
        lambda: slope(
            lambda e: model.changed(problem, lambda _, __, m: change(m, e)).get(part, 0 * case.expected[part].value)
        )
    )
    moved: Callable[..., Any] = lambda **by: own(case.suite, part, problem._replace(prior=prior._replace(**by)))
    return {
        "1/(Σ(c + n) + ε)": through(lambda m, e: m._replace(P=m.P / (1 + e / rows))),
        "1/(noise + n·variance + ε)": through(lambda m, e: m._replace(R=m.R / (1 + e / both))),
        "noise + ε": lambda: slope(lambda e: moved(noise=prior.noise + e), 1e-5),
        "variance + ε": lambda: slope(lambda e: moved(variance=prior.variance + e), 1e-5),
    }
