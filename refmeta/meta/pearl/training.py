"""PEARL (Rakelly et al. 2019): acting in an unknown task, and training for it.  Derivation: derivations/pearl.md

In an episode the agent acts on one sample z of a Gaussian belief about the task.  An encoder infers the belief from the
transitions of earlier episodes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_count, as_fraction, as_generator, as_read_only, check_finite
from refmeta.meta.loop import check_methods, run_loop
from refmeta.meta.pearl.agent import (
    Agent,
    Settings,
    as_agent,
    as_settings,
    gradient,
    ravel,
    unravel,
)
from refmeta.meta.pearl.encoder import (
    Gaussian,
    Inference,
    as_gaussian,
    context_of,
    factors,
    feature_count,
    posterior,
    posterior_without_prior,
    sample,
)
from refmeta.meta.pearl.soft_actor_critic import (
    as_target_entropy,
    bilinear_table,
    polyak_average,
)
from refmeta.meta.posterior_sampling import Adapted, posterior_sampling
from refmeta.policies import TabularSoftmax
from refmeta.sampling.transitions import (
    Transitions,
    concatenation,
    empty_transitions,
    newest_transitions,
    sample_prefix,
    sample_transitions,
)
from refmeta.tasks.distributions import reward_noise_of
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["AgentIteration", "TrainedAgent", "adapt", "train"]


def adapt(
    agent: Agent, task: PolicyReturn, *, episodes: int, horizon: int | None = None, infer: Inference = posterior,
    reward_noise: ArrayLike = 0.0, rng: Generator | int | None = None,
) -> Adapted:  # fmt: skip
    """Posterior sampling: act on z ~ N(0, I), infer q(z|c) from all transitions, act on z from it, and so on.

    Eq: posterior-sampling

    Parameters and results are those of `posterior_sampling`.  A belief is a `Gaussian` (..., Z), and theta holds logits
    of a `TabularSoftmax`, whatever the policy of the task.  ValueError or TypeError if the agent does not fit the task.
    """
    agent = _as_agent_of(agent, task)
    if not callable(infer):
        raise TypeError(f"infer must be a function of factors and a mask, got {infer!r}")
    task = PolicyReturn(task.mdp, TabularSoftmax(agent.states, agent.actions), task.temperature)

    def belief(transitions: Transitions) -> Gaussian:
        if transitions.mask.shape[-1] == 0:
            return Gaussian(*np.zeros((2, *task.shape, agent.latent)))
        context = context_of(transitions, agent.states, agent.actions)
        return as_gaussian(infer(factors(agent.encoder, context.features), context.mask), "the result of infer")

    def act(q: Gaussian, rng: Generator) -> Array:
        logits = bilinear_table(agent.policy, sample(q, rng.normal(size=q.mean.shape)), "policy")
        return logits.reshape(*logits.shape[:-2], -1)

    options: dict[str, Any] = {"episodes": episodes, "horizon": horizon, "reward_noise": reward_noise, "rng": rng}
    return posterior_sampling(task, belief, act, **options)


class AgentIteration(NamedTuple):
    """The argument of a callback: the number of iterations done, the agent after the last one, and returns (E + 1, N).

    The returns are those of `Adapted`, exact, on the training tasks, before the updates of the iteration.
    """

    done: int
    agent: Agent
    returns: Array


class TrainedAgent(NamedTuple):
    """The agent and the number of iterations done; `interrupted` by Ctrl-C or not."""

    agent: Agent
    iterations: int
    interrupted: bool


class _AgentState(NamedTuple):
    """The state between two iterations: agent, optimiser, replay buffers (N, at most capacity), the last returns."""

    agent: Agent
    outer: Any
    buffer: Transitions
    returns: Array


def train(
    distribution: Any,
    agent: Agent,
    *,
    settings: Settings,
    outer: Any,
    iterations: int,
    tasks: int = 100,
    episodes: int = 6,
    horizon: int | None = None,
    updates: int = 100,
    batch: int = 12,
    transitions: int = 128,
    context: int = 64,
    capacity: int = 5000,
    averaging: float = 0.02,
    rng: Generator | int | None = None,
    callback: Callable[[AgentIteration], Any] | None = None,
) -> TrainedAgent:
    """Algorithm 1 of PEARL on `tasks` tasks of a distribution: act by posterior sampling, then descend off-policy.

    An iteration acts in every task for `episodes` episodes and adds their transitions to the replay buffer of the task.
    Then it makes `updates` updates.  Each samples `batch` tasks without replacement, and for each of them `transitions`
    transitions from the buffer, a context of 0 to `context` transitions of this iteration (their number is uniform; at
    least 1 without a prior factor), and one z.  It takes one step of `outer` along Σᵢ `gradient`, and one of Polyak
    averaging of the target critic.

    Parameters
    ----------
    distribution : family
        `sample(n, rng).support` is a batched PolicyReturn of n tasks.  Sampled rewards have the `reward_noise` of the
        family, if it has that field.
    agent : Agent
        The initial agent, as from `init`.
    settings : Settings
        γ of the critic (may be below 1 for undiscounted tasks), β, H̄, and the function that infers a posterior.
    outer : SGD or Adam
        One optimiser for all that the agent learns.
    iterations, tasks, episodes, horizon, updates, batch, transitions, context, capacity : int
        See above; `horizon` is the largest length of an episode, by default the horizon of the tasks.
    averaging : float
        κ of w̄ ← (1 − κ) w̄ + κ w, in [0, 1].
    rng : Generator, int or None
        Passed to `numpy.random.default_rng`.
    callback : function of an `AgentIteration`, optional
        Called after every iteration; a StopIteration that it raises ends the training.

    Returns
    -------
    TrainedAgent
        After Ctrl-C the agent of the last full iteration, with `interrupted` True and a message on standard error.  If
        that is a terminal, it shows the iteration, the mean exact return after the episodes and the time.

    Raises
    ------
    ValueError, TypeError
        If the agent does not fit the tasks, or a number is out of range.
    FloatingPointError
        If a gradient or a weight leaves the finite numbers.
    """
    settings = as_settings(settings)
    fewest = int(settings.infer is posterior_without_prior)
    counts = {
        "tasks": (tasks, 1), "episodes": (episodes, 1), "batch": (batch, 1), "transitions": (transitions, 1),
        "capacity": (capacity, 1), "iterations": (iterations, 0), "updates": (updates, 0), "context": (context, fewest),
    }  # fmt: skip
    for name, (value, least) in counts.items():
        as_count(value, name, least=least)
    if batch > tasks:
        raise ValueError(f"batch must be at most the number of tasks, {tasks}, got {batch}")
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function of an AgentIteration, got {callback!r}")
    check_methods(distribution=(distribution, "sample"), outer=(outer, "step"))
    rate, rng = as_fraction(averaging, "averaging"), as_generator(rng)
    noise = reward_noise_of(distribution)
    options: dict[str, Any] = {"episodes": episodes, "horizon": horizon, "reward_noise": noise, "rng": rng}
    task = distribution.sample(tasks, rng).support
    agent = _as_agent_of(agent, task)
    as_target_entropy(settings.target_entropy, agent.actions)

    def update(agent: Agent, memory: Any, buffer: Transitions, recent: Transitions) -> tuple[Agent, Any]:
        chosen = rng.choice(tasks, batch, replace=False)
        prefix = sample_prefix(sample_transitions(_of_tasks(recent, chosen), context, rng), rng, fewest)
        noise = rng.normal(size=(batch, agent.latent))
        sampled = sample_transitions(_of_tasks(buffer, chosen), transitions, rng)
        slopes = gradient(agent, context_of(prefix, agent.states, agent.actions), sampled, noise, settings)
        with np.errstate(all="ignore"):
            flat, memory = outer.step(ravel(agent), ravel(slopes), memory)
        agent = unravel(agent, check_finite(flat, "a weight of the agent left the finite numbers"))
        target = as_read_only(polyak_average(agent.target_critic, agent.critic, rate))
        return agent._replace(target_critic=target), memory

    def step(state: _AgentState, done: int) -> _AgentState:
        adapted = adapt(state.agent, task, infer=settings.infer, **options)
        buffer = newest_transitions(concatenation(state.buffer, adapted.context), capacity)
        agent, memory = state.agent, state.outer
        for _ in range(updates):
            agent, memory = update(agent, memory, buffer, adapted.context)
        return _AgentState(agent, memory, buffer, adapted.returns)

    def report(state: _AgentState, done: int) -> None:
        if callback is not None:
            callback(AgentIteration(done, state.agent, state.returns))

    summary = lambda state: f"mean return {np.mean(state.returns[-1]):.3f}"
    agent = unravel(agent, ravel(agent))._replace(target_critic=as_read_only(np.array(agent.target_critic)))
    start = _AgentState(agent, outer.start(ravel(agent)), empty_transitions((tasks,)), np.zeros((1, tasks)))
    last, done, interrupted = run_loop(step, start, iterations, name="pearl.train", summary=summary, callback=report)
    return TrainedAgent(last.agent, done, interrupted)


def _of_tasks(batch: Transitions, tasks: Array) -> Transitions:
    """The transitions of the tasks with these indices."""
    return Transitions(*(field[tasks] for field in batch))


def _as_agent_of(agent: Agent, task: Any) -> Agent:
    """The agent; ValueError unless it fits the states and actions of the task."""
    agent = as_agent(agent)
    if not isinstance(task, PolicyReturn):
        raise TypeError(f"task must be a PolicyReturn, got {type(task).__name__}")
    S, A = task.mdp.states, task.mdp.actions
    if (agent.states, agent.actions) != (S, A):
        raise ValueError(
            f"agent has (states, actions) = {(agent.states, agent.actions)}, expected {(S, A)} as the task"
        )
    weights, Z = (S, A, 1 + agent.latent), agent.latent
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("critic", "target_critic", "policy"), weights)
    shapes["log_temperature"] = ()
    got = {name: np.shape(getattr(agent, name)) for name in shapes}
    for name, matrix in zip(("mean", "log_variance"), agent.encoder, strict=True):
        shapes[f"encoder.{name}"], got[f"encoder.{name}"] = (Z, feature_count(S, A)), np.shape(matrix)
    for name, shape in shapes.items():
        if got[name] != shape:
            raise ValueError(f"agent.{name} has shape {got[name]}, expected {shape}")
    return agent
