"""Posterior sampling: act on a sample of the belief, update the belief, repeat.  Derivation: derivations/pearl.md"""

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
    """The beliefs before each of E episodes and after the last, and the policies that were sampled from them.

    beliefs : tuple
        E + 1 posteriors, each given the earlier episodes.
    theta : (E + 1, ..., d)
        Parameters of the policy, sampled from each belief.
    returns : (E + 1, ...)
        The exact returns of these policies in the task.
    context : Transitions (..., E · horizon)
        The transitions of the E episodes, one episode after another.
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
    """b_k = infer(c_k), θ_k ~ act(b_k), c_{k+1} = c_k and an episode under θ_k; c_0 is empty.

    Eq: posterior-sampling

    Parameters
    ----------
    task : PolicyReturn
        The process and the policy; leading axes are tasks.
    infer : function of Transitions (..., n)
        The belief given a context.
    act : function of a belief and a Generator
        Parameters (..., d) of the policy, sampled from the belief.
    episodes, horizon, reward_noise, rng
        The number of episodes, and the other arguments of `refmeta.rollout`.
    """
    if not isinstance(task, PolicyReturn):
        raise TypeError(f"task must be a PolicyReturn, got {type(task).__name__}")
    rng, context = as_generator(rng), empty_transitions(task.shape)
    beliefs, thetas = [infer(context)], []
    thetas.append(act(beliefs[0], rng))
    options: dict[str, Any] = {"horizon": horizon, "reward_noise": reward_noise, "rng": rng}
    for _ in range(as_count(episodes, "episodes")):
        episode = sample_experience(task.mdp, task.policy, thetas[-1], episodes=1, **options)
        context = concatenation(context, episode)
        beliefs.append(infer(context))
        thetas.append(act(beliefs[-1], rng))
    theta = np.stack(thetas)
    return Adapted(tuple(beliefs), theta, -task.at(theta).loss, context)
