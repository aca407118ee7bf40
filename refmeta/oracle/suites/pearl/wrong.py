"""Known-wrong steps of PEARL: the definition with a function or an input exchanged.  Right: `meta.pearl`.

A problem is a `TrainingStep`.  Rows give {part: (N, ...)}: the belief, its sample, and what the losses and their slopes become.
"""

from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.decimals import Inputs, Number, Vector, exp, ln
from refmeta.oracle.known import EVERY, rows_in, wrong
from refmeta.oracle.suites.pearl import definition
from refmeta.oracle.suites.pearl.definition import Pearl, actor_loss, critic_loss, soft_value, targets
from refmeta.oracle.suites.pearl.problem import all_parts
from refmeta.oracle.suites.pearl.wrong_limits import ROWS as LIMITS

__all__ = ["ROWS"]


@wrong("mean-of-factors", "μ = mean of μ_n, σ² = mean of σ_n²", quantity=EVERY,
       cause="the encoder's outputs are averaged over the context, as a permutation-invariant network's would be",
       repair="precision = exp(-log_variance); mean = (precision * means).sum(context) / precision.sum(context)")  # fmt: skip
def mean_of_factors(problem: Any) -> dict[str, Array]:
    def product(factors: Any) -> tuple[Vector, Vector]:
        means, log_variances = (list(zip(*rows, strict=True)) for rows in zip(*factors, strict=True))
        n = len(factors)
        return [sum(column) / n for column in means], [sum(map(exp, column)) / n for column in log_variances]

    return all_parts(problem, Pearl(product=product))


@wrong("deviation-for-variance", "σ² = 1/Σ σ_n⁻¹, μ = σ² Σ μ_n σ_n⁻¹", quantity=EVERY,
       cause="the encoder's second output, a deviation, is taken for a variance in the product",
       repair="PyTorch: Normal takes a deviation; precisions are 1 / deviation ** 2")  # fmt: skip
def deviation_for_variance(problem: Any) -> dict[str, Array]:
    def factor(x: Inputs, psi: Vector) -> tuple[Vector, Vector]:
        mean, log_variance = definition.factor(x, psi)
        return mean, [v / 2 for v in log_variance]

    return all_parts(problem, Pearl(factor=factor))


@wrong("kl-reversed", "KL(N(0, I) ‖ q)", quantity=EVERY,
       cause="the arguments of the KL divergence are swapped")  # fmt: skip
def kl_reversed(problem: Any) -> dict[str, Array]:
    def kl(mean: Vector, variance: Vector) -> Number:
        return sum((1 + m * m) / v - 1 + ln(v) for m, v in zip(mean, variance, strict=True)) / 2

    return all_parts(problem, Pearl(kl=kl))


@wrong("kl-without-half", "Σ (σ² + μ² − 1 − log σ²)", quantity=EVERY,
       cause="the ½ of the KL divergence is lost")  # fmt: skip
def kl_without_half(problem: Any) -> dict[str, Array]:
    return all_parts(problem, Pearl(kl=lambda mean, variance: 2 * definition.kl(mean, variance)))


@wrong("actor-reaches-encoder", "∇(critic_loss + actor_loss + β KL) in the encoder", quantity=EVERY,
       cause="z is not detached where it enters the policy's loss",
       repair="z.detach() in the policy's input and in the Q of the policy's loss")  # fmt: skip
def actor_reaches_encoder(problem: Any) -> dict[str, Array]:
    both_losses = lambda f, x, task, z, y: critic_loss(f, x, task, z, y) + actor_loss(f, x, task, z)
    return all_parts(problem, Pearl(latent_loss=both_losses))


@wrong("next-state-missing", "ψ without e_s' and r e_s'", quantity=EVERY,
       cause="the context holds (s, a, r) only, and tasks that differ in their dynamics cannot be told apart",
       source="katerakelly/oyster issue #4: an option since",
       repair="oyster: use_next_obs_in_context")  # fmt: skip
def next_state_missing(problem: Any) -> dict[str, Array]:
    return all_parts(problem, Pearl(features=lambda x, s, a, r, after: definition.features(x, s, a, r, -1)))


@wrong("temperature-missing", "log π for τ log π, in the target and in the actor's loss", quantity=EVERY,
       cause="the rewards are to be scaled instead, and are not",
       source="katerakelly/oyster issue #9",
       repair="alpha.detach() * log_pi in the target and in the policy's loss, or rewards divided by it")  # fmt: skip
def temperature_missing(problem: Any) -> dict[str, Array]:
    return all_parts(problem, Pearl(temperature=lambda x: 1))


@wrong("kl-summed-loss-averaged", "∇critic_loss/N + β ∇KL", quantity=EVERY,
       cause="the critic's loss is a mean over all transitions of all tasks, the KL divergence a sum over the tasks",
       repair="both .mean() or both .sum() over the tasks; beta carries over only with both alike")  # fmt: skip
def kl_summed_loss_averaged(problem: Any) -> dict[str, Array]:
    mean_loss = lambda f, x, task, z, y: critic_loss(f, x, task, z, y) / len(problem.noise)
    return all_parts(problem, Pearl(latent_loss=mean_loss))


@wrong("prior-factor-always", "N(0, I) ∏ factors, also with prior_factors = 0", quantity=EVERY,
       cause="the prior is always one of the factors")  # fmt: skip
def prior_factor_always(problem: Any) -> dict[str, Array]:
    return all_parts(problem, prior_factors=1)


@wrong("prior-factor-never", "∏ factors, also with prior_factors = 1", quantity=EVERY,
       cause="the prior is never one of the factors",
       source="katerakelly/oyster, as in the paper")  # fmt: skip
def prior_factor_never(problem: Any) -> dict[str, Array]:
    if not np.all(np.any(problem.context.mask, axis=-1)):
        raise FloatingPointError("an empty product of factors has no variance")
    return all_parts(problem, prior_factors=0)


@wrong("sample-by-variance", "z = μ + σ² ε", quantity=EVERY,
       cause="the variance multiplies the noise")  # fmt: skip
def sample_by_variance(problem: Any) -> dict[str, Array]:
    sample = lambda mean, variance, noise: definition.sample(mean, [v * v for v in variance], noise)
    return all_parts(problem, Pearl(sample=sample))


@wrong("target-not-held", "∇(Q − y(z))² in the encoder, y moving with z", quantity=EVERY,
       cause="the target is not detached",
       repair="PyTorch: with torch.no_grad() around the target; JAX: stop_gradient(y)")  # fmt: skip
def target_not_held(problem: Any) -> dict[str, Array]:
    moving_target_loss = lambda f, x, task, z, y: critic_loss(f, x, task, z, targets(f, x, task, z))
    return all_parts(problem, Pearl(latent_loss=moving_target_loss))


@wrong("critic-for-its-target", "y with Q instead of Q̄", quantity=EVERY,
       cause="the target critic is not used, or is the same object as the critic")  # fmt: skip
def critic_for_its_target(problem: Any) -> dict[str, Array]:
    return all_parts(problem, target_critic=problem.inputs["critic"])


@wrong("target-without-entropy", "y = r + γ Σ π Q̄", quantity=EVERY,
       cause="the entropy bonus is missing in the target")  # fmt: skip
def target_without_entropy(problem: Any) -> dict[str, Array]:
    value = lambda f, x, state, z: soft_value(f._replace(temperature=lambda x: 0), x, state, z)
    return all_parts(problem, Pearl(soft_value=value))


@wrong("end-ignored", "y = r + γ V(s') at the end, too", quantity=EVERY,
       cause="the target goes on after a terminal state",
       repair="gamma * (1 - done) * V; a time limit is no terminal state")  # fmt: skip
def end_ignored(problem: Any) -> dict[str, Array]:
    return all_parts(problem, terminal=np.zeros_like(problem.batch.terminal).tolist())


@wrong("context-mask-ignored", "every factor counts, padded or not", quantity=EVERY,
       cause="the context's mask is not applied",
       repair="padded transitions have precision 0, not exp(-log_variance(0))")  # fmt: skip
def context_mask_ignored(problem: Any) -> dict[str, Array]:
    return all_parts(problem, context_mask=np.ones_like(problem.context.mask).tolist())


@wrong("batch-mask-ignored", "means over the batch, padding and all", quantity=EVERY,
       cause="the batch's mask is not applied",
       hint="loss.mean()", repair="(mask * loss).sum() / mask.sum()")  # fmt: skip
def batch_mask_ignored(problem: Any) -> dict[str, Array]:
    return all_parts(problem, mask=np.ones_like(problem.batch.mask).tolist())


ROWS = rows_in(globals()) + LIMITS
