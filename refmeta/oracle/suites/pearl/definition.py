"""One task of a training step of PEARL in any arithmetic.  Derivation: derivations/pearl.md

No derivative formula stands here: every slope is numeric, of a loss whose fixed values are computed first.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from refmeta.oracle.decimals import Inputs, Number, Softmax, Steps, Vector, dot, exp, leaf_gradient, ln, softmax, sqrt

__all__ = [
    "PEARL", "Pearl", "actor_loss", "critic_loss", "define", "encoder_loss", "factor", "features", "kl", "part_functions",
    "policy", "posterior", "product", "sample", "soft_value", "targets", "temperature", "temperature_loss",
]  # fmt: skip

Factor = tuple[Vector, Vector]


def features(x: Inputs, s: int, a: int, r: Number, after: int) -> Vector:
    """[1, e_sa, e_s', r e_sa, r e_s'] of a transition."""
    S, A, one = len(x["critic"]), len(x["critic"][0]), 0 * x["gamma"] + 1
    where = [one * (i == s * A + a) for i in range(S * A)] + [one * (i == after) for i in range(S)]
    return [one, *where, *(r * e for e in where)]


def factor(x: Inputs, psi: Vector) -> Factor:
    """Means and log variances, W ψ."""
    mean, log_variance = ([dot(row, psi) for row in x[name]] for name in ("encoder_mean", "encoder_log_variance"))
    return mean, log_variance


def product(factors: list[Factor]) -> tuple[Vector, Vector]:
    """Mean and variance: densities multiplied, so that precisions, and precisions times means, add."""
    precisions = [[exp(-v) for v in log_variance] for _, log_variance in factors]
    total = [sum(column) for column in zip(*precisions, strict=True)]
    means = zip(*(mean for mean, _ in factors), strict=True)
    weighted = [dot(p, m) for p, m in zip(zip(*precisions, strict=True), means, strict=True)]
    return [w / t for w, t in zip(weighted, total, strict=True)], [1 / t for t in total]


def kl(mean: Vector, variance: Vector) -> Number:
    """KL(N(μ, σ²) ‖ N(0, 1)), summed over the latent variables."""
    return sum(v + m * m - 1 - ln(v) for m, v in zip(mean, variance, strict=True)) / 2


def sample(mean: Vector, variance: Vector, noise: Vector) -> Vector:
    """μ + σε."""
    return [m + sqrt(v) * e for m, v, e in zip(mean, variance, noise, strict=True)]


def temperature(x: Inputs) -> Number:
    """τ."""
    return exp(x["log_temperature"])


def _at_state(weights: Any, state: int, z: Vector) -> Vector:
    """w[s, a] · [1, z] of every action."""
    return [sum((a * b for a, b in zip(w[1:], z, strict=True)), start=w[0]) for w in weights[state]]


def policy(x: Inputs, state: int, z: Vector, softmax: Softmax = softmax) -> Vector:
    """π(·|s, z)."""
    return softmax(_at_state(x["policy"], state, z))


def _batch(x: Inputs, task: int, *names: str) -> list[tuple[Any, ...]]:
    """The transitions of the batch, as tuples of the named columns."""
    rows = zip(x["mask"][task], *(x[name][task] for name in names), strict=True)
    return [transition for present, *transition in rows if present]  # type: ignore[misc]


def soft_value(f: "Pearl", x: Inputs, state: int, z: Vector) -> Number:
    """Σ_a π (Q̄ − τ ln π)."""
    pi, Q, tau = policy(x, state, z, f.softmax), _at_state(x["target_critic"], state, z), f.temperature(x)
    return sum(p * (q - tau * f.log(p)) for p, q in zip(pi, Q, strict=True))


def critic_loss(f: "Pearl", x: Inputs, task: int, z: Vector, y: Vector) -> Number:
    """½ mean (Q − y)², y held."""
    pairs = _batch(x, task, "states", "actions")
    errors = [_at_state(x["critic"], s, z)[a] - target for (s, a), target in zip(pairs, y, strict=True)]
    return sum(e * e for e in errors) / (2 * f.count(errors))


class Pearl(NamedTuple):
    """The functions of a training step; each may be exchanged for another.

    `log` is that of the policy's probabilities, `count` the number of transitions in a mean, `latent_loss` the loss that
    the encoder gets through z.
    """

    features: Callable[..., Vector] = features
    factor: Callable[..., Factor] = factor
    product: Callable[..., tuple[Vector, Vector]] = product
    kl: Callable[..., Number] = kl
    sample: Callable[..., Vector] = sample
    temperature: Callable[..., Number] = temperature
    log: Callable[..., Number] = ln
    count: Callable[..., Number] = len
    soft_value: Callable[..., Number] = soft_value
    latent_loss: Callable[..., Number] = critic_loss
    softmax: Softmax = softmax


PEARL = Pearl()


def posterior(f: Pearl, x: Inputs, task: int) -> tuple[Vector, Vector]:
    """Mean and variance of the product of the factors, N(0, I) among them if the input says so."""
    zero = [0 * x["gamma"]] * len(x["encoder_mean"])
    names = ("states", "actions", "rewards", "following", "mask")
    context = zip(*(x[f"context_{name}"][task] for name in names), strict=True)
    factors = [f.factor(x, f.features(x, *transition)) for *transition, present in context if present]
    return f.product([(zero, zero)] * x["prior_factors"] + factors)


def targets(f: Pearl, x: Inputs, task: int, z: Vector) -> Vector:
    """r + γ (1 − terminal) Σ_a π (Q̄ − τ ln π) at s'."""
    batch = _batch(x, task, "rewards", "terminal", "following")
    return [r + x["gamma"] * (1 - end) * f.soft_value(f, x, after, z) for r, end, after in batch]


def actor_loss(f: Pearl, x: Inputs, task: int, z: Vector) -> Number:
    """mean_s Σ_a π (τ ln π − Q)."""

    def loss(s: int) -> Number:
        pi, tau = policy(x, s, z, f.softmax), f.temperature(x)
        return sum(p * (tau * f.log(p) - q) for p, q in zip(pi, _at_state(x["critic"], s, z), strict=True))

    states = _batch(x, task, "states")
    return sum(loss(s) for (s,) in states) / f.count(states)


def temperature_loss(f: Pearl, x: Inputs, task: int, z: Vector) -> Number:
    """τ (mean_s H(π) − H̄)."""
    states = _batch(x, task, "states")
    entropy = -sum(p * f.log(p) for (s,) in states for p in policy(x, s, z, f.softmax)) / f.count(states)
    return exp(x["log_temperature"]) * (entropy - x["target_entropy"])


def encoder_loss(f: Pearl, x: Inputs, task: int, y: Vector) -> Number:
    """The critic's loss through z, its target held, + β KL."""
    belief = posterior(f, x, task)
    return f.latent_loss(f, x, task, f.sample(*belief, x["noise"][task]), y) + x["beta"] * f.kl(*belief)


def part_functions(x: Inputs, task: int, steps: Steps, f: Pearl = PEARL) -> dict[str, Callable[[], Any]]:
    """Every part of the suite, of one task."""
    mean, variance = posterior(f, x, task)
    z = f.sample(mean, variance, x["noise"][task])
    y = targets(f, x, task, z)
    critic: Callable[[Inputs], Number] = lambda v: critic_loss(f, v, task, z, y)
    actor: Callable[[Inputs], Number] = lambda v: actor_loss(f, v, task, z)
    entropy: Callable[[Inputs], Number] = lambda v: temperature_loss(f, v, task, z)
    encoder: Callable[[Inputs], Number] = lambda v: encoder_loss(f, v, task, y)

    def slope(loss: Callable[[Inputs], Number], leaf: str) -> Callable[[], Any]:
        return lambda: leaf_gradient(lambda value: loss({**x, leaf: value}), x[leaf], steps.outer)

    return {
        "mean": lambda: mean, "variance": lambda: variance, "kl": lambda: f.kl(mean, variance), "z": lambda: z,
        "critic_loss": lambda: critic(x), "critic_grad": slope(critic, "critic"),
        "actor_loss": lambda: actor(x), "actor_grad": slope(actor, "policy"),
        "temperature_loss": lambda: entropy(x), "temperature_grad": slope(entropy, "log_temperature"),
        "encoder_mean_grad": slope(encoder, "encoder_mean"),
        "encoder_log_variance_grad": slope(encoder, "encoder_log_variance"),
    }  # fmt: skip


def define(part: str, x: Inputs, steps: Steps, f: Pearl = PEARL) -> list[Any]:
    """A part of the suite, one entry for each task."""
    return [part_functions(x, task, steps, f)[part]() for task in range(len(x["noise"]))]
