"""Act on a sample of what is believed, infer, act again.  Derivation: derivations/pearl.md"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_count, as_generator
from refmeta.sampling.transitions import Transitions, concatenation, empty_transitions, sample_experience
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["Adapted", "posterior_sampling"]


class Adapted(NamedTuple):
    """What was believed before each of E episodes and after the last, E + 1 in all, and what was done about it.

    beliefs : tuple
        The posterior given the episodes before.
    theta : (E + 1, ..., d)
        Parameters of the policy acted by, drawn from that belief.
    returns : (E + 1, ...)
        Its exact return in the task: no noise of an evaluation.
    context : Transitions (..., E · horizon)
        The experience of the E episodes, one after another.
    """

    beliefs: tuple[Any, ...]
    theta: Array
    returns: Array
    context: Transitions


def posterior_sampling(
    task: PolicyReturn,
    infer: Callable[[Transitions], Any],
    act: Callable[[Any, Generator], Array],
    *,
    episodes: int,
    horizon: int | None = None,
    reward_noise: ArrayLike = 0.0,
    rng: Generator | int | None = None,
) -> Adapted:
    """b_k = infer(c_k), θ_k = act(b_k), c_{k+1} = c_k and an episode under θ_k; from no context at all.

    Eq: posterior-sampling

    Parameters
    ----------
    task : PolicyReturn
        What is acted in, and by what policy; leading axes are tasks.
    infer : function of Transitions (..., n)
        The belief given a context.
    act : function of a belief and a Generator
        Parameters (..., d) of the policy, drawn from the belief.
    episodes, horizon, reward_noise, rng
        How many episodes, of how many steps at most (the process's own, if it has a horizon); the deviation of the
        rewards about their means, as in `refmeta.rollout`.
    """
    if not isinstance(task, PolicyReturn):
        raise TypeError(f"task must be a PolicyReturn, got {type(task).__name__}")
    rng, context = as_generator(rng), empty_transitions(task.shape)
    beliefs, thetas = [infer(context)], []
    thetas.append(act(beliefs[0], rng))
    for _ in range(as_count(episodes, "episodes")):
        one = sample_experience(
            task.mdp, task.policy, thetas[-1], episodes=1, horizon=horizon, reward_noise=reward_noise, rng=rng
        )
        context = concatenation(context, one)
        beliefs.append(infer(context))
        thetas.append(act(beliefs[-1], rng))
    theta = np.stack(thetas)
    return Adapted(tuple(beliefs), theta, -task.at(theta).loss, context)
