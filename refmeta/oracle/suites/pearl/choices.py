"""What implementations of PEARL choose, the right alternative first.  Derivation: derivations/pearl.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Choices, Predicate
from refmeta.oracle.suites.pearl.belief_choices import BELIEFS, absolute, least
from refmeta.oracle.suites.pearl.problem import TrainingStep
from refmeta.oracle.suites.pearl.variants import variant
from refmeta.softmax import log_softmax

__all__ = ["CHOICES", "PREDICATES", "additions", "numbers", "variant"]


def _best(x: Array) -> Array:
    """The largest entry of the last axis, with its slope."""
    return np.take_along_axis(x, np.argmax(np.real(x), axis=-1)[..., None], axis=-1)[..., 0]


def _uniform(logits: Array) -> Array:
    """The logarithms of equal probabilities."""
    return 0 * logits - np.log(logits.shape[-1])


def _over_states(logits: Array) -> Array:
    """The logarithms of a softmax over the states."""
    return log_softmax(logits.swapaxes(-1, -2)).swapaxes(-1, -2)


def _log_sum(x: Array) -> Array:
    """ln Σ eˣ over the actions."""
    top = np.max(np.real(x), axis=-1, keepdims=True)
    return np.log(np.sum(np.exp(x - top), axis=-1)) + top[..., 0]


def _but_last(x: Array, mask: Array) -> Array:
    """The mean over all transitions but the last."""
    kept = mask * (np.cumsum(mask[:, ::-1], axis=-1)[:, ::-1] > 1)
    return np.sum(np.where(kept > 0, x, 0), axis=-1) / np.sum(kept, axis=-1)


def _huber(e: Array) -> Array:
    """e²/2, from 1 on |e| − ½."""
    return np.where(np.abs(np.real(e)) < 1, e**2 / 2, absolute(e) - 0.5)


VALUES: dict[str, Callable[..., Array] | None] = {
    "sum_a pi (Q - tau log pi)": None,
    "without entropy": lambda pi, logs, Q, tau: np.sum(pi * Q, axis=-1),
    "entropy without tau": lambda pi, logs, Q, tau: np.sum(pi * (Q - logs), axis=-1),
    "entropy subtracted": lambda pi, logs, Q, tau: np.sum(pi * (Q + tau * logs), axis=-1),
    "tau^2 for tau": lambda pi, logs, Q, tau: np.sum(pi * (Q - tau**2 * logs), axis=-1),
    "entropy over tau": lambda pi, logs, Q, tau: np.sum(pi * (Q - logs / tau), axis=-1),
    "log tau for tau": lambda pi, logs, Q, tau: np.sum(pi * (Q - np.log(tau) * logs), axis=-1),
    "half the entropy": lambda pi, logs, Q, tau: np.sum(pi * (Q - tau * logs / 2), axis=-1),
    "entropy alone": lambda pi, logs, Q, tau: np.sum(-pi * tau * logs + 0 * Q, axis=-1),
    "max_a Q": lambda pi, logs, Q, tau: _best(Q + 0 * pi),
    "max_a (Q - tau log pi)": lambda pi, logs, Q, tau: _best(Q - tau * logs),
    "max_a Q, and the entropy": lambda pi, logs, Q, tau: _best(Q + 0 * pi) - np.sum(pi * tau * logs, axis=-1),
    "tau log sum exp(Q/tau)": lambda pi, logs, Q, tau: np.sum(tau, axis=-1) * _log_sum(Q / tau),
    "sum over actions, without pi": lambda pi, logs, Q, tau: np.sum(Q - tau * logs, axis=-1),
    "mean over actions, without pi": lambda pi, logs, Q, tau: np.mean(Q - tau * logs, axis=-1),
    "divided by A once more": lambda pi, logs, Q, tau: np.mean(pi * (Q - tau * logs), axis=-1),
    "of the likeliest action": lambda pi, logs, Q, tau: np.sum((pi == np.max(np.real(pi), -1, keepdims=True)) * (Q - tau * logs), axis=-1),
    "of the first action": lambda pi, logs, Q, tau: (Q - tau * logs)[..., 0],
    "0": lambda pi, logs, Q, tau: np.sum(0 * pi * Q, axis=-1),
}
ACTOR_LOSSES: dict[str, Callable[..., Array] | None] = {
    "sum_a pi (tau log pi - Q)": None,
    "without entropy": lambda pi, logs, Q, target, tau: np.sum(pi * (-Q), axis=-1),
    "entropy without tau": lambda pi, logs, Q, target, tau: np.sum(pi * (logs - Q), axis=-1),
    "entropy subtracted": lambda pi, logs, Q, target, tau: np.sum(pi * (-tau * logs - Q), axis=-1),
    "negative": lambda pi, logs, Q, target, tau: np.sum(pi * (Q - tau * logs), axis=-1),
    "tau^2 for tau": lambda pi, logs, Q, target, tau: np.sum(pi * (tau**2 * logs - Q), axis=-1),
    "divided by tau": lambda pi, logs, Q, target, tau: np.sum(pi * (logs - Q / tau), axis=-1),
    "Q over tau, entropy with tau": lambda pi, logs, Q, target, tau: np.sum(pi * (tau * logs - Q / tau), axis=-1),
    "Q added": lambda pi, logs, Q, target, tau: np.sum(pi * (tau * logs + Q), axis=-1),
    "without Q": lambda pi, logs, Q, target, tau: np.sum(pi * tau * logs + 0 * Q, axis=-1),
    "Q of the target critic": lambda pi, logs, Q, target, tau: np.sum(pi * (tau * logs - target), axis=-1),
    "the smaller of both critics": lambda pi, logs, Q, target, tau: np.sum(pi * (tau * logs - least(Q, target)), axis=-1),
    "the mean of both critics": lambda pi, logs, Q, target, tau: np.sum(pi * (tau * logs - (Q + target) / 2), axis=-1),
    "mean over actions": lambda pi, logs, Q, target, tau: np.mean(pi * (tau * logs - Q), axis=-1),
    "mean over actions, without pi": lambda pi, logs, Q, target, tau: np.mean(tau * logs - Q, axis=-1),
    "sum over actions, without pi": lambda pi, logs, Q, target, tau: np.sum(tau * logs - Q, axis=-1),
    "pi held, -Q log pi": lambda pi, logs, Q, target, tau: np.sum(np.real(pi) * (tau * logs - np.real(Q) * logs), -1),
    "pi held": lambda pi, logs, Q, target, tau: np.sum(np.real(pi) * (tau * logs - Q), axis=-1),
    "advantage for Q": lambda pi, logs, Q, target, tau: np.sum(pi * (tau * logs - Q + np.real(np.sum(pi * Q, -1, keepdims=True))), axis=-1),
}
TEMPERATURE_LOSSES: dict[str, Callable[..., Array] | None] = {
    "tau (H - target)": None,
    "log tau (H - target)": lambda tau, H, wanted: np.log(tau) * (H - wanted),
    "-tau (H - target)": lambda tau, H, wanted: -tau * (H - wanted),
    "-log tau (H - target)": lambda tau, H, wanted: -np.log(tau) * (H - wanted),
    "tau (H + target)": lambda tau, H, wanted: tau * (H + wanted),
    "log tau (H + target)": lambda tau, H, wanted: np.log(tau) * (H + wanted),
    "-log tau (H + target)": lambda tau, H, wanted: -np.log(tau) * (H + wanted),
    "-tau (H + target)": lambda tau, H, wanted: -tau * (H + wanted),
    "tau H": lambda tau, H, wanted: tau * H,
    "tau^2 (H - target)": lambda tau, H, wanted: tau**2 * (H - wanted),
    "tau H - target": lambda tau, H, wanted: tau * H - wanted,
    "H - target": lambda tau, H, wanted: H - wanted + 0 * tau,
    "tau (tau H - target)": lambda tau, H, wanted: tau * (np.real(tau) * H - wanted),
    "(H - target)^2": lambda tau, H, wanted: (H - wanted) ** 2 + 0 * tau,
    "tau (H - target)^2": lambda tau, H, wanted: tau * (H - wanted) ** 2,
    "tau |H - target|": lambda tau, H, wanted: tau * absolute(H - wanted),
}
BATCHES: dict[str, Callable[[Array, Array], Array] | None] = {
    "mean over its transitions": None,
    "sum": lambda x, mask: np.sum(np.where(mask > 0, x, 0), axis=-1),
    "sum over b, padding included": lambda x, mask: np.sum(np.where(mask > 0, x, 0), axis=-1) / mask.shape[-1],
    "mask ignored": lambda x, mask: np.mean(x, axis=-1),
    "mask ignored, sum": lambda x, mask: np.sum(x, axis=-1),
    "mask ignored in the sum only": lambda x, mask: np.sum(x, axis=-1) / np.sum(mask, axis=-1),
    "sum over the number of transitions of all tasks": lambda x, mask: np.sum(np.where(mask > 0, x, 0), axis=-1) / np.sum(mask),
    "sum over the mean number of transitions": lambda x, mask: np.sum(np.where(mask > 0, x, 0), axis=-1) / np.mean(np.sum(mask, axis=-1)),
    "the first transition only": lambda x, mask: np.sum(np.where((mask > 0) & (np.cumsum(mask, -1) == 1), x, 0), axis=-1),
    "all but the last transition": _but_last,
}
ENDS: dict[str, Callable[[Array, Array, Array], Array] | None] = {
    "no value after an end": None,
    "ignored": lambda r, value, end: r + value,
    "inverted": lambda r, value, end: r + end * value,
    "no reward at an end either": lambda r, value, end: (1 - end) * (r + value),
    "of the step before": lambda r, value, end: r + (1 - np.roll(end, 1, -1)) * value,
    "-1 for a value after an end": lambda r, value, end: r + (1 - end) * value - end,
    "without rewards": lambda r, value, end: 0 * r + (1 - end) * value,
}
REWARDS: dict[str, Callable[[Array, Array], Array] | None] = {
    "r": None, "5 r": lambda r, tau: 5 * r, "10 r": lambda r, tau: 10 * r, "100 r": lambda r, tau: 100 * r, "r/10": lambda r, tau: r / 10,
    "r/tau": lambda r, tau: r / tau, "tau r": lambda r, tau: tau * r, "sign r": lambda r, tau: np.sign(r),
    "clipped at 1": lambda r, tau: np.clip(r, -1, 1), "that of the step before": lambda r, tau: np.roll(r, 1, -1), "-r": lambda r, tau: -r,
    "normalised over the batch": lambda r, tau: (r - np.mean(r)) / np.std(r),
}  # fmt: skip
CHOICES: Choices = {
    **BELIEFS,
    "temperature": {
        "exp(log_temperature)": None, "1": np.ones_like, "log_temperature itself": lambda x: x, "softplus": lambda x: np.log1p(np.exp(x)),
        "tau^2": lambda x: np.exp(2 * x), "sqrt tau": lambda x: np.exp(x / 2), "1/tau": lambda x: np.exp(-x), "0": np.zeros_like,
        "0.2": lambda x: 0 * x + 0.2,
    },
    "policy": {
        "softmax over actions": None, "softmax over states": _over_states, "uniform": _uniform,
        "softmax of -logits": lambda x: log_softmax(-x), "sharpened, softmax of 2 logits": lambda x: log_softmax(2 * x),
    },
    "logarithm": {"natural": None, "to base 2": 1 / np.log(2), "to base 10": 1 / np.log(10)},
    "value of s'": VALUES,
    "critic in the target": {
        "the target's": None, "the critic itself": lambda own, other: other, "the smaller of both": least,
        "the mean of both": lambda own, other: (own + other) / 2, "0.005 of the critic mixed in": lambda own, other: 0.995 * own + 0.005 * other,
        "the critic, held": lambda own, other: np.real(other),
    },
    "next state": {"s'": None, "s": True},
    "reward": REWARDS,
    "discount": {
        "gamma": None, "gamma^2": lambda g: g**2, "1": lambda g: 1.0, "0": lambda g: 0.0, "1 - gamma": lambda g: 1 - g, "0.99": lambda g: 0.99,
        "sqrt gamma": np.sqrt,
    },
    "ends": ENDS,
    "target": {"held": None, "not held": True},
    "critic's loss": {
        "1/2 (Q - y)^2": None, "(Q - y)^2": lambda e: e**2, "|Q - y|": absolute, "Huber": _huber, "(Q - y)^2, of two critics": lambda e: 2 * e**2,
        "Q - y": lambda e: e, "(Q - y)^2 / 4": lambda e: e**2 / 4, "(Q - y)^4": lambda e: e**4,
        "clipped at 1": lambda e: least(absolute(e), 1.0) ** 2 / 2,
    },
    "batch": BATCHES,
    "losses over tasks": {"each its own": None, "divided by N": True},
    "actor's loss": ACTOR_LOSSES,
    "states of the actor": {"s": None, "s'": True},
    "temperature's loss": TEMPERATURE_LOSSES,
    "target entropy": {
        "as given": None, "negative": lambda h, A: -h, "0": lambda h, A: 0.0, "ln A": lambda h, A: np.log(A), "0.98 ln A": lambda h, A: 0.98 * np.log(A),
        "-A": lambda h, A: -float(A), "-1": lambda h, A: -1.0, "times ln A": lambda h, A: h * np.log(A),
    },
    "slope of the temperature in": {"log tau": None, "tau": True},
    "beta": {
        "beta": None, "0": lambda b, N: 0.0, "1": lambda b, N: 1.0, "2 beta": lambda b, N: 2 * b, "beta^2": lambda b, N: b**2, "beta/2": lambda b, N: b / 2,
        "beta/N": lambda b, N: b / N, "N beta": lambda b, N: N * b, "-beta": lambda b, N: -b, "1 - beta": lambda b, N: 1 - b, "0.1": lambda b, N: 0.1,
    },
    "critic in the encoder": {
        "its loss": None, "left out": lambda b, N: 0.0, "divided by N": lambda b, N: 1 / N, "times N": lambda b, N: N, "times beta": lambda b, N: b,
        "doubled": lambda b, N: 2.0, "negative": lambda b, N: -1.0, "times 1 - beta": lambda b, N: 1 - b,
    },
    "actor in the encoder": {"no, z held": None, "yes, z not held": 1.0, "negative": -1.0},
}  # fmt: skip


def _of_encoder(part: str) -> dict[str, dict[str, Any]]:
    """Points whose slopes in the encoder are one of its terms."""
    b, c, a = (CHOICES[name] for name in ("beta", "critic in the encoder", "actor in the encoder"))
    alone = {"beta": b["0"], "critic in the encoder": c["left out"]}
    return {
        "the slopes of kl": {"beta": b["1"], "critic in the encoder": c["left out"]},
        "the slopes of the critic's loss": {"beta": b["0"]},
        "the slopes of the actor's loss": alone | {"actor in the encoder": a["yes, z not held"]},
        "the slopes of the critic's loss through its target": {"beta": b["0"], "target": True},
    }


def additions(part: str, problem: TrainingStep) -> dict[str, Callable[[], Any]]:
    """The entropy of the policy, terms of the encoder's slopes."""
    if part.startswith("encoder"):
        return {name: lambda point=point: variant(part, problem, point) for name, point in _of_encoder(part).items()}  # type: ignore[misc]
    if part.startswith("actor"):
        point = {"actor's loss": ACTOR_LOSSES["without Q"], "temperature": CHOICES["temperature"]["1"]}
        return {"the negative entropy" + "'s gradient" * part.endswith("grad"): lambda: variant(part, problem, point)}
    return {}


def numbers(problem: TrainingStep) -> dict[str, Any]:
    """Numbers of transitions, and the temperature."""
    batch, context = (np.sum(x.mask, axis=-1) for x in (problem.batch, problem.context))
    tau = float(np.exp(problem.agent.log_temperature))
    counts = {"transitions in the batch": batch, "transitions in the context": context, "transitions in all batches": np.sum(batch)}
    return counts | {"tau": tau, "ln A": float(np.log(problem.agent.actions))}


def _without_ends(x: dict[str, Any]) -> dict[str, Any]:
    """The same batch, none of whose transitions ends."""
    return x | {"terminal": np.zeros_like(x["terminal"])}


PREDICATES = (
    Predicate("no transition of the batch ends", "what follows an end is counted otherwise", lambda case: not np.any(case.problem.batch.terminal), _without_ends),
    Predicate(
        "every transition of the batch ends", "the value of the next state differs: its policy, its critic or its entropy",
        lambda case: bool(np.all(case.problem.batch.terminal)), lambda x: x | {"terminal": np.ones_like(x["terminal"])},
    ),
)  # fmt: skip
