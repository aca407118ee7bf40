"""PEARL (Rakelly et al. 2019): acting in an unknown task, and training for it.  Derivation: derivations/pearl.md

An episode is acted on one sample z of a Gaussian belief about the task, which an encoder makes of the transitions seen.
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
    """Act on z from the prior N(0, I), infer q(z|c) of all that was seen, act on z from it, and so on.

    Eq: posterior-sampling

    Parameters and results are those of `posterior_sampling`; a belief is a `Gaussian` (..., Z), theta the logits of a
    `TabularSoftmax` whatever the task's own policy.  Raises ValueError or TypeError for an agent of other tasks.
    """
    agent = _as_agent_of(agent, task)
    if not callable(infer):
        raise TypeError(f"infer must be a function of factors and a mask, got {infer!r}")
    task = PolicyReturn(task.mdp, TabularSoftmax(agent.states, agent.actions))

    def believe(context: Transitions) -> Gaussian:
        if context.mask.shape[-1] == 0:
            return Gaussian(*np.zeros((2, *task.shape, agent.latent)))
        seen = context_of(context, agent.states, agent.actions)
        return as_gaussian(infer(factors(agent.encoder, seen.features), seen.mask), "what infer returns")

    def act(belief: Gaussian, rng: Generator) -> Array:
        logits = bilinear_table(agent.policy, sample(belief, rng.normal(size=belief.mean.shape)), "policy")
        return logits.reshape(*logits.shape[:-2], -1)

    more: dict[str, Any] = {"episodes": episodes, "horizon": horizon, "reward_noise": reward_noise, "rng": rng}
    return posterior_sampling(task, believe, act, **more)


class AgentIteration(NamedTuple):
    """What a callback is told: iterations done, the agent after the last, and the exact returns (E + 1, N) it acted with.

    The returns are those of `Adapted`, on the training tasks, before the iteration's updates.
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
    """Between two iterations: agent, optimiser, replay buffers (N, at most capacity), the last returns."""

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

    In an iteration every task is acted in for `episodes` episodes; what is met joins the task's replay buffer, and is
    all that contexts are drawn from until the next.  Then `updates` times: of `batch` tasks, drawn without replacement,
    `transitions` transitions each from the buffer and another 0 to `context` (their number uniform; 1 at the least where
    no prior is a factor) as the context; one z a task; one step of `outer` along Σᵢ `gradient`; and one of Polyak averaging of the target critic.

    Parameters
    ----------
    distribution : family
        `sample(n, rng).support` is a batched PolicyReturn of n tasks.  What is sampled in them has the family's
        `reward_noise`, if it has that field.
    agent : Agent
        Where to start, as of `init`.
    settings : Settings
        γ of the critic (below 1 also where the tasks are not discounted), β, H̄, and how a posterior is inferred.
    outer : SGD or Adam
        Descends on everything at once.
    iterations, tasks, episodes, horizon, updates, batch, transitions, context, capacity : int
        See above; `horizon` is the length of an episode at most, the tasks' own if they have one.
    averaging : float
        κ of w̄ ← (1 − κ) w̄ + κ w, in [0, 1].
    rng : Generator, int or None
        Goes through `numpy.random.default_rng`.
    callback : function of an `AgentIteration`, optional
        Called after every iteration; a StopIteration that it raises ends the training.

    Returns
    -------
    TrainedAgent
        On Ctrl-C the agent of the last whole iteration, `interrupted` and with a note on standard error; there, on a
        terminal, the iteration, the mean exact return after the episodes and the time are shown, too.

    Raises
    ------
    ValueError, TypeError
        For an agent of other tasks, a number that is out of range.
    FloatingPointError
        If a gradient or a weight leaves the finite numbers.
    """
    settings = as_settings(settings)
    fewest = int(settings.infer is posterior_without_prior)
    some_of = {"tasks": tasks, "episodes": episodes, "batch": batch, "transitions": transitions, "capacity": capacity}
    for least, numbers in (
        (1, some_of),
        (0, {"iterations": iterations, "updates": updates}),
        (fewest, {"context": context}),
    ):
        for name, value in numbers.items():
            as_count(value, name, least=least)
    if batch > tasks:
        raise ValueError(f"batch must be at most the number of tasks, {tasks}, got {batch}")
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function of an AgentIteration, got {callback!r}")
    check_methods(distribution=(distribution, "sample"), outer=(outer, "step"))
    rate, rng = as_fraction(averaging, "averaging"), as_generator(rng)
    noise = reward_noise_of(distribution)
    acting: dict[str, Any] = {"episodes": episodes, "horizon": horizon, "reward_noise": noise, "rng": rng}
    task = distribution.sample(tasks, rng).support
    agent = _as_agent_of(agent, task)
    as_target_entropy(settings.target_entropy, agent.actions)

    def update(agent: Agent, state: Any, buffer: Transitions, recent: Transitions) -> tuple[Agent, Any]:
        chosen = rng.choice(tasks, batch, replace=False)
        seen = sample_prefix(sample_transitions(_of_tasks(recent, chosen), context, rng), rng, fewest)
        noise = rng.normal(size=(batch, agent.latent))
        found = gradient(
            agent,
            context_of(seen, agent.states, agent.actions),
            sample_transitions(_of_tasks(buffer, chosen), transitions, rng),
            noise,
            settings,
        )
        with np.errstate(all="ignore"):
            flat, state = outer.step(ravel(agent), ravel(found), state)
        agent = unravel(agent, check_finite(flat, "a weight of the agent left the finite numbers"))
        return agent._replace(target_critic=as_read_only(polyak_average(agent.target_critic, agent.critic, rate))), state

    def step(now: _AgentState, done: int) -> _AgentState:
        acted = adapt(now.agent, task, infer=settings.infer, **acting)
        buffer = newest_transitions(concatenation(now.buffer, acted.context), capacity)
        agent, state = now.agent, now.outer
        for _ in range(updates):
            agent, state = update(agent, state, buffer, acted.context)
        return _AgentState(agent, state, buffer, acted.returns)

    def told(now: _AgentState, done: int) -> None:
        if callback is not None:
            callback(AgentIteration(done, now.agent, now.returns))

    said = lambda now: f"mean return {np.mean(now.returns[-1]):.3f}"
    agent = unravel(agent, ravel(agent))._replace(target_critic=as_read_only(np.array(agent.target_critic)))
    start = _AgentState(agent, outer.start(ravel(agent)), empty_transitions((tasks,)), np.zeros((1, tasks)))
    last, done, interrupted = run_loop(step, start, iterations, name="pearl.train", summary=said, callback=told)
    return TrainedAgent(last.agent, done, interrupted)


def _of_tasks(batch: Transitions, tasks: Array) -> Transitions:
    """Those of some tasks."""
    return Transitions(*(part[tasks] for part in batch))


def _as_agent_of(agent: Agent, task: Any) -> Agent:
    """The agent, checked to be one for the states and actions of the task."""
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
    found = {name: np.shape(getattr(agent, name)) for name in shapes}
    for name, matrix in zip(("mean", "log_variance"), agent.encoder, strict=True):
        shapes[f"encoder.{name}"], found[f"encoder.{name}"] = (Z, feature_count(S, A)), np.shape(matrix)
    for name, shape in shapes.items():
        if found[name] != shape:
            raise ValueError(f"agent.{name} has shape {found[name]}, expected {shape}")
    return agent
