"""What implementations of PEARL choose, the right alternative first.  Derivation: derivations/pearl.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.oracle.choices import Choices, Predicate
from refmeta.oracle.suites.pearl.belief_choices import BELIEFS, FAMILIES_OF_BELIEFS
from refmeta.oracle.suites.pearl.context_choices import FAMILIES_OF_CONTEXT
from refmeta.oracle.suites.pearl.loss_choices import (
    ACTOR_LOSSES,
    BATCHES,
    CRITIC_LOSSES,
    ENTROPIES,
    FAMILIES_OF_LOSSES,
    TEMPERATURE_LOSSES,
)
from refmeta.oracle.suites.pearl.pieces import absolute, most
from refmeta.oracle.suites.pearl.problem import TrainingStep
from refmeta.oracle.suites.pearl.sample_choices import FAMILIES_OF_SAMPLES, SAMPLES
from refmeta.oracle.suites.pearl.target_choices import CRITICS, ENDS, FAMILIES_OF_TARGETS, REWARDS, TARGETS, VALUES
from refmeta.oracle.suites.pearl.variants import variant
from refmeta.oracle.suites.pearl.weight_choices import FAMILIES_OF_POLICIES, WEIGHTS

__all__ = ["CHOICES", "FAMILIES", "PREDICATES", "RECIPES", "additions", "numbers", "variant"]


CHOICES: Choices = {
    **BELIEFS,
    **SAMPLES,
    "temperature": {
        "exp(log_temperature)": None, "1": np.ones_like, "log_temperature itself": lambda x: x, "softplus": lambda x: np.log1p(np.exp(x)),
        "tau^2": lambda x: np.exp(2 * x), "sqrt tau": lambda x: np.exp(x / 2), "1/tau": lambda x: np.exp(-x), "0": np.zeros_like,
        "0.2": lambda x: 0 * x + 0.2, "-tau": lambda x: -np.exp(x), "|log tau|": absolute, "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "2 tau": lambda x: 2 * np.exp(x),
        "tau/2": lambda x: np.exp(x) / 2, "at least 1": lambda x: most(np.exp(x), 1.0), "10^x": lambda x: 10**x,
    },
    "value of s'": VALUES,
    "critic in the target": CRITICS,
    "next state": {"s'": None, "s": lambda s, after: s, "s' of the step before": lambda s, after: np.roll(after, 1, -1), "s of the step after": lambda s, after: np.roll(s, -1, -1)},
    "reward": REWARDS,
    "discount": {
        "gamma": None, "gamma^2": lambda g: g**2, "1": lambda g: 1.0, "0": lambda g: 0.0, "1 - gamma": lambda g: 1 - g, "0.99": lambda g: 0.99,
        "sqrt gamma": np.sqrt, "0.9": lambda g: 0.9, "0.95": lambda g: 0.95, "1/gamma": lambda g: 1 / g, "2 gamma - gamma^2": lambda g: 2 * g - g**2,
    },
    "ends": ENDS,
    "target value": TARGETS,
    "action in the target": {"mean over pi": None, "the batch's": lambda V, a: a, "the batch's next": lambda V, a: np.roll(a, -1, -2)},
    "target": {"held": None, "not held": True},
    "critic's loss": CRITIC_LOSSES,
    "batch": BATCHES,
    **WEIGHTS,
    "actor's loss": ACTOR_LOSSES,
    "states of the actor": {"s": None, "s'": lambda s, after: after, "s of the step before": lambda s, after: np.roll(s, 1, -1), "the first s": lambda s, after: 0 * s + s[:, :1]},
    "temperature's loss": TEMPERATURE_LOSSES,
    "entropy in the temperature's loss": ENTROPIES,
    "target entropy": {
        "as given": None, "negative": lambda h, A: -h, "0": lambda h, A: 0.0, "ln A": lambda h, A: np.log(A), "0.98 ln A": lambda h, A: 0.98 * np.log(A),
        "-A": lambda h, A: -float(A), "-1": lambda h, A: -1.0, "times ln A": lambda h, A: h * np.log(A), "-ln A": lambda h, A: -np.log(A), "-0.98 ln A": lambda h, A: -0.98 * np.log(A), "0.5 ln A": lambda h, A: 0.5 * np.log(A),
        "1": lambda h, A: 1.0, "A": lambda h, A: float(A), "exp of it": lambda h, A: np.exp(h), "times 0.98": lambda h, A: 0.98 * h, "over A": lambda h, A: h / A,
    },
    "slope of the temperature in": {"log tau": None, "tau": lambda tau: 1 / tau, "log tau, times tau once more": lambda tau: tau, "log2 tau": lambda tau: np.log(2) + 0 * tau},
    "beta": {
        "beta": None, "0": lambda b, N: 0.0, "1": lambda b, N: 1.0, "2 beta": lambda b, N: 2 * b, "beta^2": lambda b, N: b**2, "beta/2": lambda b, N: b / 2,
        "beta/N": lambda b, N: b / N, "N beta": lambda b, N: N * b, "-beta": lambda b, N: -b, "1 - beta": lambda b, N: 1 - b, "0.1": lambda b, N: 0.1, "1/N": lambda b, N: 1 / N, "sqrt beta": lambda b, N: np.sqrt(b), "1/beta": lambda b, N: np.divide(1, b),
        "1 + beta": lambda b, N: 1 + b, "4 beta": lambda b, N: 4 * b, "3 beta": lambda b, N: 3 * b,
    },
    "critic in the encoder": {
        "its loss": None, "left out": lambda b, N: 0.0, "divided by N": lambda b, N: 1 / N, "times N": lambda b, N: N, "times beta": lambda b, N: b,
        "doubled": lambda b, N: 2.0, "negative": lambda b, N: -1.0, "times 1 - beta": lambda b, N: 1 - b, "halved": lambda b, N: 0.5, "4 times": lambda b, N: 4.0, "over beta": lambda b, N: np.divide(1, b),
    },
    "actor in the encoder": {"no, z held": None, "yes, z not held": 1.0, "negative": -1.0, "instead of the critic": "instead"},
    "temperature's loss in the encoder": {"no": None, "yes, z not held": 1.0},
}  # fmt: skip


FAMILIES: dict[str, tuple[str, Callable[[float], Any]]] = {
    **FAMILIES_OF_CONTEXT, **FAMILIES_OF_BELIEFS, **FAMILIES_OF_SAMPLES, **FAMILIES_OF_LOSSES, **FAMILIES_OF_TARGETS, **FAMILIES_OF_POLICIES,
    "the number {}": ("temperature", lambda c: lambda x: 0 * x + c), "{} tau": ("temperature", lambda c: lambda x: c * np.exp(x)),
    "tau + {}": ("temperature", lambda c: lambda x: np.exp(x) + c), "gamma is {}": ("discount", lambda c: lambda g: c), "{} gamma": ("discount", lambda c: lambda g: c * g),
    "the number {} nats": ("target entropy", lambda c: lambda h, A: c), "{} ln A": ("target entropy", lambda c: lambda h, A: c * np.log(A)),
    "{} times what is given": ("target entropy", lambda c: lambda h, A: c * h), "what is given + {}": ("target entropy", lambda c: lambda h, A: h + c),
    "beta is {}": ("beta", lambda c: lambda b, N: c), "{} beta": ("beta", lambda c: lambda b, N: c * b), "beta + {}": ("beta", lambda c: lambda b, N: b + c),
    "its loss times {}": ("critic in the encoder", lambda c: lambda b, N: c), "the actor's loss times {}": ("actor in the encoder", lambda c: c),
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
