"""PEARL (Rakelly et al. 2019) with a linear encoder and bilinear actor-critic.  Derivation: derivations/pearl.md

An episode is acted on one sample z of a Gaussian belief about the task; a linear encoder makes that belief of the
transitions seen, and is trained through z by the critic's loss alone, and by β KL.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from refmeta.arrays import Array, count, finite, fraction, frozen, positive, real_scalar, settled
from refmeta.meta.encoder import (
    Context,
    Encoder,
    Gaussian,
    Inference,
    context_of,
    factors,
    kl,
    posterior,
    posterior_without_prior,
    pulled,
    sample,
    width,
)
from refmeta.meta.loop import able, looped
from refmeta.meta.posterior_sampling import Adapted, posterior_sampling
from refmeta.meta.soft_actor_critic import (
    actor_gradient,
    actor_loss,
    averaged,
    critic_gradient,
    critic_loss,
    soft_target,
    table,
    temperature_gradient,
    temperature_loss,
)
from refmeta.policies import TabularSoftmax
from refmeta.sampling.transitions import Transitions, drawn, newest, none, some, together
from refmeta.tasks.exact_return import PolicyReturn

__all__ = [
    "Agent", "Context", "Encoder", "Gaussian", "Gradient", "Iteration", "Settings", "Trained", "actor_gradient", "actor_loss", "adapt",
    "context_of", "critic_gradient", "critic_loss", "encoder_gradient", "encoder_loss", "factors", "gradient", "init", "kl",
    "posterior", "posterior_without_prior", "sample", "soft_target", "temperature_gradient", "temperature_loss", "train",
]  # fmt: skip


class Agent(NamedTuple):
    """What is learned: encoder (Z, F) twice, critic and its target (S, A, 1 + Z), policy (S, A, 1 + Z), log τ."""

    encoder: Encoder
    critic: Any
    target_critic: Any
    policy: Any
    log_temperature: Any

    @property
    def states(self) -> int:
        """The number of states."""
        return int(np.shape(self.critic)[-3])

    @property
    def actions(self) -> int:
        """The number of actions."""
        return int(np.shape(self.critic)[-2])

    @property
    def latent(self) -> int:
        """The number of latent variables Z."""
        return int(np.shape(self.critic)[-1]) - 1


class Gradient(NamedTuple):
    """Slopes in what an `Agent` learns by descent, one a task in the leading axes."""

    encoder: Encoder
    critic: Array
    policy: Array
    log_temperature: Array


@finite
def encoder_loss(
    encoder: Encoder, context: Context, batch: Transitions, *, noise: ArrayLike, critic: ArrayLike, target: ArrayLike,
    beta: float, infer: Inference = posterior,
) -> Array:  # fmt: skip
    """critic_loss at z(encoder) with the target held fixed, + β KL(q(z|c) ‖ N(0, I)); (...).

    Eq: encoder-gradient
    """
    q, _ = _believed(encoder, context, infer)
    return critic_loss(critic, sample(q, noise), batch, target) + real_scalar(beta, "beta") * kl(q)


@finite
def encoder_gradient(
    encoder: Encoder, context: Context, batch: Transitions, *, noise: ArrayLike, critic: ArrayLike, target: ArrayLike,
    beta: float, infer: Inference = posterior,
) -> Encoder:  # fmt: skip
    """g + β μ in the posterior's mean and (g ⊙ (z − μ) + β (σ² − 1))/2 in log σ², g = ∂critic_loss/∂z, pulled back.

    Eq: encoder-gradient

    Nothing of the actor's loss is in it.

    Parameters
    ----------
    encoder : Encoder (Z, F) twice
    context : Context, features (..., n, F) and mask (..., n)
    batch : Transitions (..., m)
        What the critic's loss is a mean over.
    noise : (..., Z)
        ε of the sample z = μ + σ ⊙ ε.
    critic : (S, A, 1 + Z)
    target : (..., m)
        Held fixed, as of `soft_target`.
    beta : float
        Weight of the KL divergence.
    infer : posterior or posterior_without_prior

    Returns
    -------
    Encoder
        (..., Z, F) twice, one a task.
    """
    q, each = _believed(encoder, context, infer)
    z = sample(q, noise)
    g, beta = critic_gradient(critic, z, batch, target).z, real_scalar(beta, "beta")
    slopes = Gaussian(g + beta * q.mean, (g * (z - q.mean) + beta * np.expm1(q.log_variance)) / 2)
    return pulled(q, each, context, slopes)


def _believed(encoder: Encoder, context: Context, infer: Inference) -> tuple[Gaussian, Gaussian]:
    """The posterior, and the factors that it is made of."""
    each = factors(encoder, context.features)
    return infer(each, context.mask), each


class Settings(NamedTuple):
    """γ of the critic, β of the KL divergence, H̄ of the temperature, and how a posterior is inferred."""

    gamma: float
    beta: float
    target_entropy: float
    infer: Inference = posterior


def gradient(agent: Agent, context: Context, batch: Transitions, noise: ArrayLike, settings: Settings) -> Gradient:
    """Every slope at one z of every task, z = μ + σ ⊙ ε: what a training step sums over the tasks and descends along."""
    q, _ = _believed(agent.encoder, context, settings.infer)
    z, tau = sample(q, noise), {"log_temperature": agent.log_temperature}
    target = soft_target(batch, z, agent.target_critic, agent.policy, gamma=settings.gamma, **tau)
    return Gradient(
        encoder_gradient(
            agent.encoder, context, batch, noise=noise, critic=agent.critic, target=target, beta=settings.beta, infer=settings.infer
        ),
        critic_gradient(agent.critic, z, batch, target).critic,
        actor_gradient(agent.policy, z, batch, agent.critic, **tau),
        temperature_gradient(agent.log_temperature, agent.policy, z, batch, target_entropy=settings.target_entropy),
    )  # fmt: skip


def init(
    states: int, actions: int, *, latent: int = 5, temperature: float = 0.1, scale: float = 0.1,
    rng: Generator | int | None = None,
) -> Agent:  # fmt: skip
    """Weights N(0, scale²), no transition saying anything at first (log σ² = log 100 by its first feature); τ = `temperature`.

    Raises
    ------
    ValueError, TypeError
        For a number below 1 where one is counted, a temperature that is not positive.
    """
    S, A, Z = (count(n, name, least=1) for n, name in ((states, "states"), (actions, "actions"), (latent, "latent")))
    rng, F = np.random.default_rng(rng), width(S, A)
    mean, log_variance = real_scalar(scale, "scale") * rng.normal(size=(2, Z, F))
    log_variance[:, 0] += np.log(100.0)
    critic, policy = scale * rng.normal(size=(2, S, A, 1 + Z))
    return Agent(
        Encoder(mean, log_variance), critic, critic.copy(), policy, np.log(positive(temperature, "temperature"))
    )


def adapt(
    agent: Agent, task: PolicyReturn, *, episodes: int, horizon: int | None = None, infer: Inference = posterior,
    rng: Generator | int | None = None,
) -> Adapted:  # fmt: skip
    """Act on z from the prior N(0, I), infer q(z|c) of all that was seen, act on z from it, and so on.

    Eq: posterior-sampling

    Parameters and results are those of `posterior_sampling`; a belief is a `Gaussian` (..., Z), theta the logits of a
    `TabularSoftmax` whatever the task's own policy.  Raises ValueError or TypeError for an agent of other tasks.
    """
    _fitting(agent, task)
    task = PolicyReturn(task.mdp, TabularSoftmax(agent.states, agent.actions))

    def believe(context: Transitions) -> Gaussian:
        if context.mask.shape[-1] == 0:
            return Gaussian(*np.zeros((2, *task.shape, agent.latent)))
        seen = context_of(context, agent.states, agent.actions)
        return infer(factors(agent.encoder, seen.features), seen.mask)

    def act(belief: Gaussian, rng: Generator) -> Array:
        logits = table(agent.policy, sample(belief, rng.normal(size=belief.mean.shape)), "policy")
        return logits.reshape(*logits.shape[:-2], -1)

    return posterior_sampling(task, believe, act, episodes=episodes, horizon=horizon, rng=rng)


class Iteration(NamedTuple):
    """What a callback is told: iterations done, the agent after the last, and the exact returns (E + 1, N) it acted with.

    The returns are those of `Adapted`, on the training tasks, before the iteration's updates.
    """

    done: int
    agent: Agent
    returns: Array


class Trained(NamedTuple):
    """The agent and the number of iterations done; `interrupted` by Ctrl-C or not."""

    agent: Agent
    iterations: int
    interrupted: bool


class _State(NamedTuple):
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
    callback: Callable[[Iteration], Any] | None = None,
) -> Trained:
    """Algorithm 1 of PEARL on `tasks` tasks of a distribution: act by posterior sampling, then descend off-policy.

    In an iteration every task is acted in for `episodes` episodes; what is met joins the task's replay buffer, and is
    all that contexts are drawn from until the next.  Then `updates` times: of `batch` tasks, drawn without replacement,
    `transitions` transitions each from the buffer and another 0 to `context` (their number uniform) as the context; one
    z a task; one step of `outer` along Σᵢ `gradient`; and one of Polyak averaging of the target critic.

    Parameters
    ----------
    distribution : family
        `sample(n, rng).support` is a batched PolicyReturn of n tasks.
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
    callback : function of an `Iteration`, optional
        Called after every iteration; a StopIteration that it raises ends the training.

    Returns
    -------
    Trained
        On Ctrl-C the agent of the last whole iteration, `interrupted` and with a note on standard error; there, on a
        terminal, the iteration, the mean exact return after the episodes and the time are shown, too.

    Raises
    ------
    ValueError, TypeError
        For an agent of other tasks, a number that is out of range.
    FloatingPointError
        If a gradient or a weight leaves the finite numbers.
    """
    least = {"tasks": tasks, "episodes": episodes, "batch": batch, "transitions": transitions, "capacity": capacity}
    for name, value in least.items():
        count(value, name, least=1)
    for name, value in {"iterations": iterations, "updates": updates, "context": context}.items():
        count(value, name)
    if batch > tasks:
        raise ValueError(f"batch must be at most the number of tasks, {tasks}, got {batch}")
    able(distribution=(distribution, "sample"), outer=(outer, "step"))
    rate, rng = fraction(averaging, "averaging"), np.random.default_rng(rng)
    task = distribution.sample(tasks, rng).support
    _fitting(agent, task)

    def update(agent: Agent, state: Any, buffer: Transitions, recent: Transitions) -> tuple[Agent, Any]:
        chosen = rng.choice(tasks, batch, replace=False)
        seen = some(drawn(_of(recent, chosen), context, rng), rng)
        noise = rng.normal(size=(batch, agent.latent))
        found = gradient(
            agent,
            context_of(seen, agent.states, agent.actions),
            drawn(_of(buffer, chosen), transitions, rng),
            noise,
            settings,
        )
        with np.errstate(all="ignore"):
            flat, state = outer.step(_flat(agent), _flat(found), state)
        agent = _filled(agent, settled(flat, "a weight of the agent left the finite numbers"))
        return agent._replace(target_critic=frozen(averaged(agent.target_critic, agent.critic, rate))), state

    def step(now: _State, done: int) -> _State:
        acted = adapt(now.agent, task, episodes=episodes, horizon=horizon, infer=settings.infer, rng=rng)
        buffer = newest(together(now.buffer, acted.context), capacity)
        agent, state = now.agent, now.outer
        for _ in range(updates):
            agent, state = update(agent, state, buffer, acted.context)
        return _State(agent, state, buffer, acted.returns)

    def told(now: _State, done: int) -> None:
        if callback is not None:
            callback(Iteration(done, now.agent, now.returns))

    said = lambda now: f"mean return {np.mean(now.returns[-1]):.3f}"
    agent = _filled(agent, _flat(agent))._replace(target_critic=frozen(np.array(agent.target_critic)))
    start = _State(agent, outer.start(_flat(agent)), none((tasks,)), np.zeros((1, tasks)))
    last, done, interrupted = looped(step, start, iterations, name="pearl.train", said=said, callback=told)
    return Trained(last.agent, done, interrupted)


def _of(batch: Transitions, tasks: Array) -> Transitions:
    """Those of some tasks."""
    return Transitions(*(part[tasks] for part in batch))


def _fitting(agent: Agent, task: Any) -> None:
    """Refuse an agent that is none, or not for the states and actions of the task."""
    if not isinstance(agent, Agent):
        raise TypeError(f"agent must be a pearl.Agent, as of pearl.init, got {type(agent).__name__}")
    if not isinstance(task, PolicyReturn):
        raise TypeError(f"task must be a PolicyReturn, got {type(task).__name__}")
    ours, theirs = (agent.states, agent.actions), (task.mdp.states, task.mdp.actions)
    if ours != theirs:
        raise ValueError(f"agent has (states, actions) = {ours}, expected {theirs} as the task")


def _flat(parts: Agent | Gradient) -> Array:
    """Encoder, critic, policy and log τ in one axis; a gradient summed over its tasks."""
    leaves = (*parts.encoder, parts.critic, parts.policy, parts.log_temperature)
    cores = (2, 2, 3, 3, 0)
    return np.concatenate(
        [np.sum(x, axis=tuple(range(np.ndim(x) - core))).ravel() for x, core in zip(leaves, cores, strict=True)]
    )


def _filled(agent: Agent, flat: Array) -> Agent:
    """The agent with what `_flat` has put in one axis, read-only: a callback sees what is trained on."""
    flat = frozen(np.array(flat))
    shapes = [np.shape(x) for x in (*agent.encoder, agent.critic, agent.policy, agent.log_temperature)]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    mean, log_variance, critic, policy, tau = (x.reshape(s) for x, s in zip(np.split(flat, ends), shapes, strict=True))
    return Agent(Encoder(mean, log_variance), critic, agent.target_critic, policy, tau)
