"""What implementations of PEARL choose, the right alternative first.  Derivation: derivations/pearl.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Choices, Predicate
from refmeta.oracle.suites.pearl.belief_choices import BELIEFS, absolute, least
from refmeta.oracle.suites.pearl.loss_choices import ACTOR_LOSSES, BATCHES, ENDS, REWARDS, TEMPERATURE_LOSSES, VALUES
from refmeta.oracle.suites.pearl.problem import TrainingStep
from refmeta.oracle.suites.pearl.variants import variant
from refmeta.softmax import log_softmax

__all__ = ["CHOICES", "PREDICATES", "RECIPES", "additions", "numbers", "variant"]


def _uniform(logits: Array) -> Array:
    """The logarithms of equal probabilities."""
    return 0 * logits - np.log(logits.shape[-1])


def _over_states(logits: Array) -> Array:
    """The logarithms of a softmax over the states."""
    return log_softmax(logits.swapaxes(-1, -2)).swapaxes(-1, -2)


def _huber(e: Array) -> Array:
    """e²/2, from 1 on |e| − ½."""
    return np.where(np.abs(np.real(e)) < 1, e**2 / 2, absolute(e) - 0.5)


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


def _point(**words: str) -> dict[str, Any]:
    """The point of these alternatives; the name of a choice has _ for its blanks."""
    return {name: CHOICES[name][each] for name, each in ((key.replace("_", " "), each) for key, each in words.items())}


OYSTER = _point(features="without e_s' and r e_s'", variance_from="softplus", variance_clamped="at least 1e-07", prior_factor="never")
OYSTER_LOSSES = _point(temperature="1", batch="sum over the number of transitions of all tasks")
RECIPES: dict[str, dict[str, Any]] = {
    "oyster's belief": OYSTER,
    "oyster's belief, next states in the context": {name: each for name, each in OYSTER.items() if name != "features"},
    "oyster's policy loss": OYSTER | OYSTER_LOSSES,
    "oyster's critics' loss": OYSTER | OYSTER_LOSSES | _point(reward="5 r") | {"critic's loss": CHOICES["critic's loss"]["(Q - y)^2, of two critics"]},
}


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
