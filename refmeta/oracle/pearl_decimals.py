"""One task of a training step of PEARL in any arithmetic.  Derivation: derivations/judges.md

No derivative formula stands here: every slope is that of a loss, numeric, and what is to be held fixed is computed first.
"""

from typing import Any

from refmeta.oracle.decimals import Number, Vector, dot, leaf_gradient, softmax

Given = dict[str, Any]


def _features(x: Given, task: int, n: int) -> Vector:
    """[1, e_sa, e_s', r e_sa, r e_s'] of a transition of the context."""
    S, A, one = len(x["critic"]), len(x["critic"][0]), 0 * x["gamma"] + 1
    s, a, r, after = (x[f"context_{name}"][task][n] for name in ("states", "actions", "rewards", "following"))
    where = [one * (i == s * A + a) for i in range(S * A)] + [one * (i == after) for i in range(S)]
    return [one, *where, *(r * e for e in where)]


def posterior(x: Given, task: int) -> tuple[Vector, Vector]:
    """Mean and variance: densities multiplied, so that precisions, and precisions times means, add."""
    Z, one = len(x["encoder_mean"]), 0 * x["gamma"] + 1
    total, weighted = [x["prior_factors"] * one] * Z, [0 * one] * Z
    for n, there in enumerate(x["context_mask"][task]):
        if there:
            psi = _features(x, task, n)
            precision = [(-dot(row, psi)).exp() for row in x["encoder_log_variance"]]
            total = [t + p for t, p in zip(total, precision, strict=True)]
            weighted = [w + p * dot(row, psi) for w, p, row in zip(weighted, precision, x["encoder_mean"], strict=True)]
    return [w / t for w, t in zip(weighted, total, strict=True)], [1 / t for t in total]


def kl(mean: Vector, variance: Vector) -> Number:
    """KL(N(μ, σ²) ‖ N(0, 1)), summed over the latent variables."""
    return sum(v + m * m - 1 - v.ln() for m, v in zip(mean, variance, strict=True)) / 2


def sample(x: Given, task: int) -> Vector:
    """μ + σε."""
    mean, variance = posterior(x, task)
    return [m + v.sqrt() * e for m, v, e in zip(mean, variance, x["noise"][task], strict=True)]


def _row(weights: Any, state: int, z: Vector) -> Vector:
    """w[s, a] · [1, z] of every action."""
    return [dot(w, [w[0] * 0 + 1, *z]) for w in weights[state]]


def _there(x: Given, task: int) -> list[int]:
    return [n for n, there in enumerate(x["mask"][task]) if there]


def targets(x: Given, task: int, z: Vector) -> Vector:
    """r + γ (1 − terminal) Σ_a π (Q̄ − τ ln π) at s'."""
    tau, found = x["log_temperature"].exp(), []
    for n in _there(x, task):
        after = x["following"][task][n]
        pi = softmax(_row(x["policy"], after, z))
        V = sum(p * (q - tau * p.ln()) for p, q in zip(pi, _row(x["target_critic"], after, z), strict=True))
        found.append(x["rewards"][task][n] + x["gamma"] * (1 - x["terminal"][task][n]) * V)
    return found


def critic_loss(x: Given, task: int, z: Vector, held: Vector) -> Number:
    """½ mean (Q − y)², y held."""
    each = zip(_there(x, task), held, strict=True)
    errors = [_row(x["critic"], x["states"][task][n], z)[x["actions"][task][n]] - y for n, y in each]
    return sum(e * e for e in errors) / (2 * len(errors))


def actor_loss(x: Given, task: int, z: Vector) -> Number:
    """mean_s Σ_a π (τ ln π − Q)."""
    tau, total = x["log_temperature"].exp(), 0 * x["gamma"]
    for n in _there(x, task):
        s = x["states"][task][n]
        pi = softmax(_row(x["policy"], s, z))
        total += sum(p * (tau * p.ln() - q) for p, q in zip(pi, _row(x["critic"], s, z), strict=True))
    return total / len(_there(x, task))


def temperature_loss(x: Given, task: int, z: Vector) -> Number:
    """τ (mean_s H(π) − H̄)."""
    tables = [softmax(_row(x["policy"], x["states"][task][n], z)) for n in _there(x, task)]
    entropy = -sum(p * p.ln() for pi in tables for p in pi) / len(tables)
    return x["log_temperature"].exp() * (entropy - x["target_entropy"])


def part(name: str, x: Given, task: int, h: Number, outer: Number) -> Any:
    """A part of the suite `pearl`, of one task."""
    mean, variance = posterior(x, task)
    z = sample(x, task)
    held = targets(x, task, z)
    values = {"mean": mean, "variance": variance, "kl": kl(mean, variance), "z": z}
    if name in values:
        return values[name]
    losses = {
        "critic": lambda y: critic_loss(y, task, z, held),
        "actor": lambda y: actor_loss(y, task, z),
        "temperature": lambda y: temperature_loss(y, task, z),
        "encoder": lambda y: critic_loss(y, task, sample(y, task), held) + y["beta"] * kl(*posterior(y, task)),
    }
    of = name.split("_")[0]
    if name.endswith("loss"):
        return losses[of](x)
    leaf = {"critic": "critic", "actor": "policy", "temperature": "log_temperature"}.get(of, name.removesuffix("_grad"))
    return leaf_gradient(lambda value: losses[of]({**x, leaf: value}), x[leaf], outer)
