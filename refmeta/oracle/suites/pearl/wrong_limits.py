"""Steps of PEARL with clamps, or with another convention in a loss: functions of the definition exchanged.

A problem is a `TrainingStep`.  A clamp that nothing reaches changes nothing.
"""

from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.clamps import CLAMPED_LOGITS, CLAMPED_PROBABILITIES
from refmeta.oracle.decimals import Inputs, Vector
from refmeta.oracle.known import EVERY, rows_in, wrong
from refmeta.oracle.limits import between
from refmeta.oracle.suites.pearl import definition
from refmeta.oracle.suites.pearl.definition import Pearl, critic_loss
from refmeta.oracle.suites.pearl.problem import all_parts

__all__ = ["ROWS"]


def _factors_within(problem: Any, low: float, high: float) -> dict[str, Array]:
    """Every part, with the log variances of the factors kept in [low, high]."""

    def factor(x: Inputs, psi: Vector) -> tuple[Vector, Vector]:
        mean, log_variance = definition.factor(x, psi)
        return mean, [between(v, low, high) for v in log_variance]

    return all_parts(problem, Pearl(factor=factor))


@wrong("log-sigma-clamped", "log σ_n² in [−20, 2]", quantity=EVERY,
       cause="the encoder's log variances are clamped, as in code for soft actor-critic, and their gradient is cut there",
       hint="log_variance.clamp(-20, 2)")  # fmt: skip
def log_sigma_clamped(problem: Any) -> dict[str, Array]:
    return _factors_within(problem, -20.0, 2.0)


@wrong("variance-floored", "max(σ_n², 1e-7) for σ_n²", quantity=EVERY,
       cause="the factors' variances are kept away from 0, and their gradient is cut there",
       source="katerakelly/oyster, torch.clamp(sigmas_squared, min=1e-7)", hint="PyTorch: variance.clamp(min=1e-7)")  # fmt: skip
def variance_floored(problem: Any) -> dict[str, Array]:
    return _factors_within(problem, float(np.log(1e-7)), float("inf"))


@wrong("probabilities-clamped", "max(π, 1e-6) for π", quantity=EVERY, chapter="softmax-policies",
       cause="probabilities are kept away from 0, and their gradient is cut there",
       hint="PyTorch: probs.clamp(min=1e-6)", repair="log_softmax, which needs no clamp")  # fmt: skip
def probabilities_clamped(problem: Any) -> dict[str, Array]:
    return all_parts(problem, Pearl(softmax=CLAMPED_PROBABILITIES))


@wrong("logits-clamped", "logits in [−10, 10]", quantity=EVERY, chapter="softmax-policies",
       cause="logits are clamped against overflow, and their gradient is cut there",
       hint="logits.clamp(-10, 10)", repair="subtract the largest logit from all")  # fmt: skip
def logits_clamped(problem: Any) -> dict[str, Array]:
    return all_parts(problem, Pearl(softmax=CLAMPED_LOGITS))


def _scaled(problem: Any, losses: tuple[str, ...], factor: Array) -> dict[str, Array]:
    """Some losses and their gradients times a factor of each task, and the encoder's gradients with it on the critic's loss."""
    every = all_parts(problem, Pearl(latent_loss=lambda f, x, task, z, y: factor[task] * critic_loss(f, x, task, z, y)))
    scaled = {part: (factor * every[part].T).T for loss in losses for part in (f"{loss}_loss", f"{loss}_grad")}
    return scaled | {part: every[part] for part in ("encoder_mean_grad", "encoder_log_variance_grad")}


@wrong("loss-summed", "sums over the batch for means", quantity=EVERY, kind="convention",
       cause="a convention: the losses are b times as large, b the number of transitions",
       hint="PyTorch: reduction='sum', or .sum()", repair="PyTorch: reduction='mean', or .mean()")  # fmt: skip
def loss_summed(problem: Any) -> dict[str, Array]:
    return _scaled(problem, ("critic", "actor", "temperature"), np.sum(problem.batch.mask, axis=-1))


@wrong("critic-without-half", "mean (Q − y)² for ½ mean (Q − y)²", quantity=EVERY, kind="convention",
       cause="a convention: the critic's loss without its ½", source="katerakelly/oyster")  # fmt: skip
def critic_without_half(problem: Any) -> dict[str, Array]:
    return _scaled(problem, ("critic",), np.full(len(problem.noise), 2.0))


@wrong("temperature-loss-of-logarithm", "log τ (H − H̄) for τ (H − H̄)", quantity=EVERY, kind="convention",
       cause="a convention: log τ itself is multiplied by the gap of entropies", source="pranz24/pytorch-soft-actor-critic, and many ports",
       hint="-(log_alpha * (log_pi + target_entropy).detach()).mean()")  # fmt: skip
def temperature_loss_of_logarithm(problem: Any) -> dict[str, Array]:
    tau = np.exp(problem.agent.log_temperature)
    gap = all_parts(problem)["temperature_loss"] / tau
    return {"temperature_loss": problem.agent.log_temperature * gap, "temperature_grad": gap}


ROWS = rows_in(globals())
