"""Where an ε may stand: in a logarithm, a denominator or a probability, suite by suite, and its first-order effect.

An effect is ∂(result)/∂ε at ε = 0, one row a task.  Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array, matvec, replaced
from refmeta.judges import complex_step
from refmeta.meta import meta_lstm as learned
from refmeta.meta.encoder import Gaussian
from refmeta.meta.lstm import P as LOGARITHMS
from refmeta.meta.lstm import preprocessed
from refmeta.oracle.answers import own
from refmeta.oracle.batches import Batches
from refmeta.oracle.case import Case
from refmeta.oracle.learner import LEAVES
from refmeta.oracle.judge import Settings, transformed
from refmeta.oracle.shifted import departures, slope
from refmeta.oracle.wrong import implicit, meta_lstm, model, pearl
from refmeta.sampling.enumeration import expectation
from refmeta.sampling.likelihood import at
from refmeta.softmax import log_softmax
from refmeta.tasks import fisher

TINY = 1e-7
Effect = Callable[[Case, str], Array | None]


def _of_tasks(case: Case, part: str) -> dict[str, Callable[[], Any]]:
    """An ε in the losses of a problem of support and query."""
    problem = case.problem

    def effect(change: Callable[[Any, float], Any]) -> Array:
        moved = lambda e: {"support": change(problem.support, e), "query": change(problem.query, e)}
        put = problem._replace if hasattr(problem, "_replace") else lambda **k: replaced(problem, **k)
        return np.asarray(slope(lambda e: own(case.suite, part, put(**moved(e)))))

    return {name: lambda f=f: effect(f) for name, f in departures(problem.support).items()}  # type: ignore[misc]


def _of_returns(case: Case, part: str) -> dict[str, Callable[[], Any]]:
    """An ε in an exact return and its derivatives, in a Fisher matrix, or in a divergence."""
    problem = case.problem
    if part in ("loss", "grad", "hvp"):
        changes = departures(problem.task)
        one = lambda f, e: own(case.suite, part, replaced(problem, task=f(problem.task, e)))
        return {name: lambda f=f: slope(lambda e: one(f, e)) for name, f in changes.items()}  # type: ignore[misc]
    if part.startswith("kl"):
        return _of_divergences(problem, part)
    return _of_metrics(problem, part)


def _of_metrics(problem: Any, part: str) -> dict[str, Callable[[], Any]]:
    """F + ε·I, and the scores of log(π + ε) in F."""
    point = problem.task.at(problem.theta)
    F = np.stack([fisher.product(point, e) for e in np.eye(problem.task.dim)], axis=-1)
    if part == "natural_gradient":
        solved = lambda x: matvec(np.linalg.pinv(F, rcond=1e-10, hermitian=True), x)
        return {"F + ε·I": lambda: -solved(solved(-point.grad))}

    def scores() -> Array:
        pi, x = point.probabilities, problem.task.policy.table(problem.v)
        along = x - np.sum(pi * x, axis=-1, keepdims=True)
        terms = -2 * fisher.visits(point)[..., None] * (along - pi * np.sum(along, axis=-1, keepdims=True))
        return np.asarray(problem.task.policy.pullback(terms))

    return {"F + ε·I": lambda: np.broadcast_to(problem.v, F.shape[:-1]), "log(π + ε) in the scores": scores}


def _of_divergences(problem: Any, part: str) -> dict[str, Callable[[], Any]]:
    """Σ d π_old (log π_old − log π_new), with π + ε in one logarithm or in both."""
    old = problem.task.at(problem.theta)
    d, pi, policy = fisher.visits(old)[..., None], old.probabilities, problem.task.policy

    def new(theta: Array) -> Array:
        return np.asarray(-np.sum(d * pi * np.exp(-log_softmax(policy.table(theta))), axis=(-2, -1)))

    constant = np.sum(d * np.ones_like(pi), axis=(-2, -1))
    theta = problem.theta + problem.v
    grad = lambda theta: complex_step(new, theta)
    if part == "kl":
        effects = {"log(π_new + ε)": new(theta), "log(π_old + ε)": constant, "log(π + ε)": new(theta) + constant}
        return {name: lambda x=x: x for name, x in effects.items()}  # type: ignore[misc]
    return {"log(π_new + ε)": lambda: grad(theta) if part == "kl_grad" else slope(lambda h: grad(theta + h * problem.v))}


def _of_updates(case: Case, part: str) -> dict[str, Callable[[], Any]]:
    """A mean over N + ε tasks."""
    problem = case.problem
    return {"1/(N + ε)": lambda: -(case.expected[part].value - problem.theta) / len(problem.adapted)}


def _of_minima(case: Case, part: str) -> dict[str, Callable[[], Any]]:
    """λ + ε, and a damped linear system."""
    problem = case.problem
    found = {"λ + ε": lambda: slope(lambda e: own(case.suite, part, replaced(problem, strength=problem.strength + e)))}

    def damped() -> Array:
        phi = implicit.minimiser(problem, problem.strength)
        M = np.eye(problem.support.dim) + implicit.hessian(problem.support, phi) / problem.strength
        return -matvec(np.linalg.inv(M), case.expected["gradient"].value)

    return found | ({"I + H/λ + ε·I": damped} if part == "gradient" else {})


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
    like = at(surrogate.policy, np.asarray(theta, float), surrogate.trajectories)
    old = at(surrogate.policy, surrogate.theta_sampled, surrogate.trajectories)
    e = 1e-30j
    one = lambda new, sampled: np.imag(evaluated(surrogate, Softened(like, new), Softened(old, sampled).log_prob, part, v)) / 1e-30
    return {
        "log(π + ε)": lambda: one(e, e), "log(π + ε) but at the time of sampling": lambda: one(e, 0),
        "π/(π_sampled + ε)": lambda: one(0, e),
    }  # fmt: skip


def _of_batches(case: Case, part: str) -> dict[str, Callable[[], Any]]:
    """An ε in the ratios of a surrogate, or in its mean over trajectories."""
    problem, (kind, of) = case.problem, part.rsplit("_", 1)
    M = np.shape(problem.trajectories[3])[-2]
    ratios = softened(problem.surrogate(kind), problem.theta, of, problem.v)
    return ratios | {"1/(M + ε)": lambda: -case.expected[part].value / M}


def _of_expectations(case: Case, part: str) -> dict[str, Callable[[], Any]]:
    """An ε in the ratios of the surrogates whose Hessians are averaged, or in the losses of exact steps."""
    problem = case.problem
    kinds = {"naive_hessian": "reinforce", "lvc_hessian": "likelihood_ratio", "dice_hessian": "dice"}
    if part == "formulation_exact":
        one = lambda f, e: own(case.suite, part, replaced(problem, tasks=tuple(f(t, e) for t in problem.tasks)))
        changes = departures(problem.tasks[0])
        return {name: lambda f=f: slope(lambda e: one(f, e)) for name, f in changes.items()}  # type: ignore[misc]
    if part not in kinds:
        return {}

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


def _of_learners(case: Case, part: str) -> dict[str, Callable[[], Any]]:
    """An ε in the learner's losses, or in the logarithm of the preprocessing."""
    return {name: lambda name=name: _of_learner(case, name)[part] for name in _places(case)}  # type: ignore[misc]


def _places(case: Case) -> dict[str, Callable[[float], dict[str, Array]]]:
    """Every part of a Meta-LSTM with an ε, by the place of the ε."""

    def inputs(x: Array, e: float) -> Array:
        both = preprocessed(x)
        large = both[..., 0] != -1
        return np.stack([np.where(large, np.log(np.exp(LOGARITHMS * both[..., 0]) + e) / LOGARITHMS, -1), both[..., 1]], -1)

    def every(change: Callable[[Any, float], Any]) -> Callable[[float], dict[str, Array]]:
        moved = lambda e: {name: change(getattr(case.problem, name), e) for name in ("support", "query")}
        return lambda e: _learned(case.problem._replace(**moved(e)))

    logarithm = lambda e: meta_lstm.parts(case.problem, meta_lstm.Change(meta_lstm.right, inputs=lambda x: inputs(x, e)))
    places = {name: every(change) for name, change in departures(case.problem.support).items()}
    return places | {"log(|x| + ε) in the preprocessing": logarithm}


def _learned(problem: Any) -> dict[str, Array]:
    """Every part of a Meta-LSTM, each gradient computed once."""
    given, found = (problem.parameters, problem.support, problem.query), {}
    for kind, gradient in (("exact", learned.gradient), ("independent", learned.gradient_independent)):
        slopes = gradient(*given, steps=problem.steps)
        found |= {f"{kind}_{leaf}": getattr(slopes, leaf) for leaf in LEAVES}
    return found | {"objective": np.asarray(learned.objective(*given, steps=problem.steps))}


@lru_cache(maxsize=256)
def _of_learner(case: Case, name: str) -> dict[str, Array]:
    """The effect of an ε on every part of a Meta-LSTM."""
    with np.errstate(all="ignore"):
        up, down = (_places(case)[name](e) for e in (TINY, -TINY))
    return {part: (up[part] - down[part]) / (2 * TINY) for part in up}


def _changed(parts: Callable[..., dict[str, Array]], case: Case, change: Any) -> dict[str, Array]:
    with np.errstate(all="ignore"):
        return parts(case.problem, change)


def _inferred(lift: Callable[[Gaussian], Gaussian], settle: Callable[[Gaussian], Gaussian]) -> Callable[[Any], Any]:
    """An inference with its factors and its product changed."""
    return lambda case: lambda factors, there: settle(case.settings.infer(lift(factors), there))


def _steps(e: float, case: Any) -> dict[str, Any]:
    """PEARL's step with an ε in each of the places where code has one."""
    wide = lambda q: q._replace(log_variance=np.log(np.exp(q.log_variance) + e))
    same = lambda q: q
    over = lambda q: Gaussian(q.mean / (1 + e * np.exp(q.log_variance)), -np.log(np.exp(-q.log_variance) + e))
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


def _of_agents(case: Case, part: str) -> dict[str, Callable[[], Any]]:
    """An ε in one of PEARL's steps."""
    names = _steps(0.0, case.problem)
    return {name: lambda name=name: _of_step(case, name)[part] for name in names}  # type: ignore[misc]


@lru_cache(maxsize=256)
def _of_step(case: Case, name: str) -> dict[str, Array]:
    """The effect of an ε on every part of a step."""
    up, down = (_changed(pearl.parts, case, _steps(e, case.problem)[name]) for e in (TINY, -TINY))
    return {part: (up[part] - down[part]) / (2 * TINY) for part in up}


def _of_models(case: Case, part: str) -> dict[str, Callable[[], Any]]:
    """An ε in the posterior mean, or in a variance of the prior."""
    problem = case.problem
    prior, seen = problem.prior, model.seen_of(problem)
    c, n = np.asarray(prior.concentration), np.asarray(seen.counts)
    rows = np.sum(c + n, axis=-1, keepdims=True)
    both = prior.noise + prior.variance * np.sum(n, axis=-1)
    through = lambda change: lambda: slope(
        lambda e: model.changed(problem, lambda _, __, m: change(m, e)).get(part, 0 * case.expected[part].value)
    )
    moved = lambda **by: own(case.suite, part, problem._replace(prior=prior._replace(**by)))
    return {
        "1/(Σ(c + n) + ε)": through(lambda m, e: m._replace(P=m.P / (1 + e / rows))),
        "1/(noise + n·variance + ε)": through(lambda m, e: m._replace(R=m.R / (1 + e / both))),
        "noise + ε": lambda: slope(lambda e: moved(noise=prior.noise + e), 1e-5),
        "variance + ε": lambda: slope(lambda e: moved(variance=prior.variance + e), 1e-5),
    }


PLACES: dict[str, Callable[[Case, str], dict[str, Callable[[], Any]]]] = {
    "policy-gradient": _of_returns, "reptile": _of_updates, "implicit": _of_minima, "surrogates": _of_batches,
    "expected-estimators": _of_expectations, "meta-lstm": _of_learners, "pearl": _of_agents, "model": _of_models,
}  # fmt: skip


def effects(case: Case, part: str) -> dict[str, Callable[[], Any]]:
    """The effect of every ε that may stand in a part of a case, by its place."""
    return PLACES.get(case.suite, _of_tasks)(case, part)


@lru_cache(maxsize=1024)
def _effect(case: Case, part: str, name: str) -> Array | None:
    """One effect, kept while a diagnosis compares; None where it has none."""
    with np.errstate(all="ignore"):
        try:
            return np.asarray(effects(case, part)[name]())
        except (AttributeError, KeyError, FloatingPointError, ValueError, np.linalg.LinAlgError):
            return None


def returned(name: str, settings: Settings) -> Effect:
    """An effect as the target would return it."""

    def value(case: Case, part: str) -> Array | None:
        raw = _effect(case, part, name)
        return None if raw is None else transformed(raw, case, settings, part)

    return value
