"""A training step of PEARL with some departures, every slope by complex steps.  Derivation: derivations/pearl.md"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array, one_hot
from refmeta.oracle.choices import Point
from refmeta.oracle.suite import at_most_one
from refmeta.oracle.suites.pearl.beliefs import BELIEF, SAMPLE, H, belief, leaves, sample
from refmeta.oracle.suites.pearl.problem import TrainingStep
from refmeta.softmax import log_softmax

__all__ = ["ENCODER", "concerned", "variant"]

CRITIC, ACTOR = ("critic_loss", "critic_grad"), ("actor_loss", "actor_grad")
TEMPERATURE, ENCODER = ("temperature_loss", "temperature_grad"), ("encoder_mean_grad", "encoder_log_variance_grad")
LOSSES = (*CRITIC, *ACTOR, *TEMPERATURE, *ENCODER)
TARGET = ("critic in the target", "value of s'", "reward", "discount", "ends", "next state", "target value", "action in the target", "z of the target")
CONCERNS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(BELIEF, ("mean", "variance", "kl", "z", *LOSSES)), **dict.fromkeys(SAMPLE, ("z", *LOSSES)),
    "slopes of the belief": ENCODER, "slopes of the sample": ENCODER, "kl": ("kl", *ENCODER), "z of the encoder's loss": ENCODER,
    **dict.fromkeys(("weights times", "weights of the policy times"), LOSSES), "weights of the critics times": (*CRITIC, *ACTOR, *ENCODER),
    "z of the critic": (*CRITIC, *ACTOR, *ENCODER), "z of the policy": (*CRITIC, *ACTOR, *TEMPERATURE, *ENCODER), "repeated pairs": CRITIC, "repeated states": ACTOR,
    "entropy in the temperature's loss": TEMPERATURE, "temperature's loss in the encoder": ENCODER,
    **dict.fromkeys((*TARGET, "critic's loss"), (*CRITIC, *ENCODER)), "target": ("critic_grad", *ENCODER),
    "temperature": (*CRITIC, *ACTOR, *ENCODER), "logarithm": LOSSES, "policy": LOSSES, "batch": LOSSES, "losses over tasks": LOSSES,
    "actor's loss": ACTOR, "states of the actor": (*ACTOR, *TEMPERATURE), "temperature's loss": TEMPERATURE,
    "target entropy": TEMPERATURE, "slope of the temperature in": ("temperature_grad",),
    "beta": ENCODER, "critic in the encoder": ENCODER, "actor in the encoder": ENCODER,
}  # fmt: skip
ACTOR_CHOICES = ("actor's loss", "states of the actor")  # concern the encoder if the actor's loss reaches it
LEAF = {
    "critic_grad": "critic", "actor_grad": "policy", "temperature_grad": "log_temperature", "encoder_mean_grad": "encoder_mean",
    "encoder_log_variance_grad": "encoder_log_variance",
}  # fmt: skip


def concerned(part: str, point: Point) -> bool:
    """Does every departure of the point change this part, in some cases?"""
    reached = ACTOR_CHOICES if part in ENCODER and "actor in the encoder" in point else ()
    return all(part in CONCERNS[choice] or choice in reached for choice in point)


def variant(part: str, problem: TrainingStep, point: Point) -> Array | None:
    """A part where a point departs from what is right; None if it is not concerned."""
    if not concerned(part, point):
        return None
    with np.errstate(all="ignore"):
        value = PARTS[part](problem, LEAF.get(part, ""), point)
    core = leaves(problem, "")[LEAF[part]].shape[1:] if part in LEAF else ()
    slopes = np.imag(np.broadcast_to(value, (int(np.prod(core)), *value.shape[1:]))) / H
    result = np.array(slopes.T.reshape(-1, *core) if part in LEAF else np.real(value[0]))
    return result if np.isfinite(result).all() else None


def _reduced(problem: TrainingStep, point: Point, values: Array) -> Array:
    """(P, N) of (P, N, b): the mean over the transitions of the batch, or what is used instead."""
    mask, how = np.asarray(problem.batch.mask, float), point.get("batch")
    reduced: Array = how(values, mask) if how else np.sum(np.where(mask > 0, values, 0), axis=-1) / np.sum(mask, axis=-1)
    return point["losses over tasks"](reduced) if "losses over tasks" in point else reduced


def _weighted(problem: TrainingStep, how: Callable[[Array], Array] | None, of: Array) -> Array | float:
    """How much the transitions of the batch count, of which some have the same `of`."""
    if how is None:
        return 1.0
    there = np.asarray(problem.batch.mask, bool)
    return how((of[:, :, None] == of[:, None, :]) & there[:, :, None] & there[:, None, :])


def _table(x: dict[str, Array], name: str, z: Array, point: Point) -> Array:
    """w[s, a] · [1, z], (P, N, S, A), of weights (P, S, A, 1 + Z)."""
    weights = x[name]
    for choice in ("weights times", "weights of the policy times" if name == "policy" else "weights of the critics times"):
        weights = point[choice](weights) if choice in point else weights
    return weights[:, None, ..., 0] + (weights[:, None, ..., 1:] @ z[:, :, None, :, None])[..., 0]


def _z(problem: TrainingStep, leaf: str, point: Point, of: str) -> Array:
    """The z that the critic, its target or the policy gets."""
    z = sample(problem, leaf, point)
    return point[of](z, *belief(problem, leaf, point)) if of in point else z


def _tau(x: dict[str, Array], point: Point) -> Array:
    """τ, (P, 1, 1)."""
    tau: Array = point.get("temperature", np.exp)(x["log_temperature"])
    return tau[:, None, None]


def _logs(problem: TrainingStep, leaf: str, point: Point) -> tuple[Array, Array]:
    """π and ln π, (P, N, S, A)."""
    x = leaves(problem, leaf)
    logits = _table(x, "policy", _z(problem, leaf, point, "z of the policy"), point)
    logs = point["policy"](logits, np.real(_tau(x, point))[..., None]) if "policy" in point else log_softmax(logits)
    return np.exp(logs), point["logarithm"](logs) if "logarithm" in point else logs


def _at(values: Array, states: Array) -> Array:
    """Values (P, N, S, …) in states (N, b), (P, N, b, …)."""
    return values[:, np.arange(len(states))[:, None], states]


def _target(problem: TrainingStep, leaf: str, point: Point) -> Array:
    """y, (P, N, b)."""
    x, z, batch = leaves(problem, leaf), _z(problem, leaf, point, "z of the target"), problem.batch
    (pi, logs), tau, gamma = _logs(problem, leaf, point), _tau(x, point), at_most_one(problem.settings.gamma)
    own, other = _table(x, "target_critic", z, point), _table(x, "critic", z, point)
    Q = point["critic in the target"](own, other) if "critic in the target" in point else own
    after = np.asarray(batch.following)
    after = point["next state"](np.asarray(batch.states), after) if "next state" in point else after
    if "action in the target" in point:
        taken = point["action in the target"](Q, _actions(problem))
        V = np.sum(_at(Q - tau[..., None] * logs, after) * taken, axis=-1)
    else:
        V = _at(point.get("value of s'", lambda pi, logs, Q, tau: np.sum(pi * (Q - tau * logs), axis=-1))(pi, logs, Q, tau[..., None]), after)
    r, end, mask = np.asarray(batch.rewards), np.asarray(batch.terminal, float), np.asarray(batch.mask, float)
    r = point["reward"](r, tau, mask) if "reward" in point else r
    gamma = point["discount"](gamma) if "discount" in point else gamma
    y: Array = point.get("ends", lambda r, value, end: r + (1 - end) * value)(r, gamma * V, end)
    return point["target value"](y, mask) if "target value" in point else y


def _actions(problem: TrainingStep) -> Array:
    """The actions of the batch, one-hot, (N, b, A)."""
    return one_hot(np.asarray(problem.batch.actions), problem.agent.actions)


def _critic_loss(problem: TrainingStep, leaf: str, point: Point) -> Array:
    """½ mean (Q − y)²."""
    x, batch, held = leaves(problem, leaf), problem.batch, point.get("target") is None
    Q = _at(_table(x, "critic", _z(problem, leaf, point, "z of the critic"), point), np.asarray(batch.states))
    Q = np.take_along_axis(Q, np.asarray(batch.actions)[None, ..., None], axis=-1)[..., 0]
    error = Q - _target(problem, "" if held else leaf, point)
    pair = np.asarray(batch.states) * problem.agent.actions + np.asarray(batch.actions)
    weight = _weighted(problem, point.get("repeated pairs"), pair)
    return _reduced(problem, point, weight * point.get("critic's loss", lambda e: e**2 / 2)(error))


def _actor_loss(problem: TrainingStep, leaf: str, point: Point) -> Array:
    """mean_s Σ_a π (τ ln π − Q)."""
    x, z = leaves(problem, leaf), _z(problem, leaf, point, "z of the critic")
    pi, logs = _logs(problem, leaf, point)
    own, other, tau = _table(x, "critic", z, point), _table(x, "target_critic", z, point), _tau(x, point)[..., None]
    loss = point.get("actor's loss", lambda pi, logs, Q, target, tau: np.sum(pi * (tau * logs - Q), axis=-1))
    states = _states(problem, point)
    weight = _weighted(problem, point.get("repeated states"), states)
    return _reduced(problem, point, weight * _at(loss(pi, logs, own, other, tau), states))


def _states(problem: TrainingStep, point: Point) -> Array:
    """The states in the losses of actor and temperature."""
    both = np.asarray(problem.batch.states), np.asarray(problem.batch.following)
    return np.asarray(point["states of the actor"](*both)) if "states of the actor" in point else both[0]


def _temperature_loss(problem: TrainingStep, leaf: str, point: Point) -> Array:
    """τ (mean_s H(π) − H̄)."""
    x, states, how = leaves(problem, leaf), _states(problem, point), point.get("entropy in the temperature's loss")
    pi, logs = (_at(y, states) for y in _logs(problem, leaf, point))
    entropy = _reduced(problem, point, how(pi, logs, _actions(problem)) if how else -np.sum(pi * logs, axis=-1))
    wanted = problem.settings.target_entropy
    wanted = point["target entropy"](wanted, problem.agent.actions) if "target entropy" in point else wanted
    tau = np.exp(x["log_temperature"])[:, None]
    loss: Array = point["temperature's loss"](tau, entropy, wanted) if "temperature's loss" in point else tau * (entropy - wanted)
    return loss * (point["slope of the temperature in"](np.real(tau)) if leaf and "slope of the temperature in" in point else 1)


def _kl(problem: TrainingStep, leaf: str, point: Point) -> Array:
    """KL(belief ‖ N(0, 1)), (P, N)."""
    mean, variance = belief(problem, leaf, point)
    if "kl" in point:
        return np.asarray(point["kl"](mean, variance, lambda: sample(problem, leaf, point)))
    return np.sum(variance + mean**2 - 1 - np.log(variance), axis=-1) / 2


def _encoder_loss(problem: TrainingStep, leaf: str, point: Point) -> Array:
    """The critic's loss through z + β KL."""
    N, beta = len(problem.noise), problem.settings.beta
    beta = point["beta"](beta, N) if "beta" in point else beta
    critic, actor = point["critic in the encoder"](beta, N) if "critic in the encoder" in point else 1.0, point.get("actor in the encoder")
    critic, actor = (0.0, 1.0) if actor == "instead" else (critic, actor)
    loss, z = beta * _kl(problem, leaf, point), point.get("z of the encoder's loss")
    of_critic = point if z is None else {**point, "z of the critic": z[0], **({"z of the target": z[0], "z of the policy": z[0]} if z[1] else {})}
    loss = loss + critic * _critic_loss(problem, leaf, of_critic) if critic else loss
    loss = loss + actor * _actor_loss(problem, leaf, point) if actor else loss
    return loss + _temperature_loss(problem, leaf, point) if "temperature's loss in the encoder" in point else loss


PARTS: dict[str, Callable[[TrainingStep, str, Point], Array]] = {
    "mean": lambda problem, leaf, point: belief(problem, leaf, point).mean,
    "variance": lambda problem, leaf, point: belief(problem, leaf, point).variance, "z": sample, "kl": _kl, **dict.fromkeys(CRITIC, _critic_loss), **dict.fromkeys(ACTOR, _actor_loss),
    **dict.fromkeys(TEMPERATURE, _temperature_loss), **dict.fromkeys(ENCODER, _encoder_loss),
}  # fmt: skip
