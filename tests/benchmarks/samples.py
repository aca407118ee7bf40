"""What samples cost: rollouts, GAE, enumeration with and without processes, the training step of Meta-LSTM and of PEARL."""

import hashlib
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context

import numpy as np
from measure import Shown, Subject, installed, megabytes, timed
from peers import meta_lstm_gradient, pearl_step

import refmeta as rm
from refmeta.problems import random_linear_regression, random_process
from refmeta.sampling.transitions import Transitions

STATES, ACTIONS = 10, 4


def step_by_step(mdp, policy, theta, episodes, horizon):
    """One task, episode and step after another."""
    rng, pi = np.random.default_rng(0), np.exp(policy.logits(theta))
    pi = np.cumsum(pi / pi.sum(-1, keepdims=True), axis=-1)
    P, rho = np.cumsum(mdp.P, axis=-1), np.cumsum(mdp.rho, axis=-1)
    out = np.zeros((3, len(P), episodes, horizon))
    for n in range(len(P)):
        for m in range(episodes):
            s = int(np.searchsorted(rho[n], rng.random(), side="right"))
            for t in range(horizon):
                a = int(np.searchsorted(pi[s], rng.random(), side="right"))
                out[:, n, m, t] = s, a, mdp.R[n, s, a]
                s = int(np.searchsorted(P[n, s, a], rng.random(), side="right"))
    return out


def gymnasium_rollout(mdp, policy, theta, episodes, horizon):
    """All tasks and episodes in one `VectorEnv` whose tables are arrays, or None where gymnasium is not installed."""
    if not installed("gymnasium"):
        return None
    import gymnasium

    class Tables(gymnasium.vector.VectorEnv):
        def __init__(self):
            self.num_envs = len(mdp.P) * episodes
            self.single_observation_space = gymnasium.spaces.Discrete(mdp.states)
            self.single_action_space = gymnasium.spaces.Discrete(mdp.actions)
            self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, self.num_envs)
            self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, self.num_envs)
            self.task = np.repeat(np.arange(len(mdp.P)), episodes)
            self.P, self.rho = np.cumsum(mdp.P, axis=-1), np.cumsum(mdp.rho, axis=-1)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.s = np.sum(self.np_random.random(self.num_envs)[:, None] >= self.rho[self.task], axis=-1)
            return self.s, {}

        def step(self, actions):
            rewards, below = mdp.R[self.task, self.s, actions], self.P[self.task, self.s, actions]
            self.s = np.sum(self.np_random.random(self.num_envs)[:, None] >= below, axis=-1)
            no = np.zeros(self.num_envs, bool)
            return self.s, rewards, no, no, {}

    pi = np.exp(policy.logits(theta))
    pi = np.cumsum(pi / pi.sum(-1, keepdims=True), axis=-1)

    def run():
        env, rng = Tables(), np.random.default_rng(0)
        s, _ = env.reset(seed=0)
        out = np.zeros((3, len(s), horizon))
        for t in range(horizon):
            a = np.sum(rng.random(len(s))[:, None] >= pi[s], axis=-1)
            before = s
            s, r, *_ = env.step(a)
            out[:, :, t] = before, a, r
        return out

    return run


def rollouts(size, seconds):
    """The same number of steps three ways."""
    tasks, episodes, horizon = size
    rng, policy = np.random.default_rng(0), rm.TabularSoftmax(STATES, ACTIONS)
    mdp, theta = random_process(rng, tasks, STATES, ACTIONS, gamma=0.9), rng.normal(size=policy.dim)
    row = timed({
        "refmeta": lambda: rm.rollout(mdp, policy, theta, episodes=episodes, horizon=horizon, rng=0),
        "loop": lambda: step_by_step(mdp, policy, theta, episodes, horizon),
        "gymnasium": gymnasium_rollout(mdp, policy, theta, episodes, horizon),
    }, seconds)  # fmt: skip
    return row | {"rate": tasks * episodes * horizon / row["refmeta"] / 1e3}


ROLLOUTS = Subject(
    "rollouts", f"Rollouts of N tasks, M episodes, H steps; {STATES} states, {ACTIONS} actions",
    "median ms, and its multiple of a plain loop's and of a gymnasium VectorEnv's", "N, M, H",
    [Shown("refmeta", "ms"), Shown("rate", "steps/µs"), Shown("loop", "loop", "ratio"), Shown("gymnasium", "gymnasium", "ratio")],
    [(20, 5, 100), (20, 20, 100), (20, 80, 100)], [(1, 2, 3)], rollouts,
)  # fmt: skip


def advantages(size, seconds, gamma=0.99, lam=0.95):
    """GAE with an end or a cut in every hundred steps, beside a loop over time and a filter per episode."""
    from scipy.signal import lfilter

    rng = np.random.default_rng(0)
    r, v, after = rng.normal(size=(3, *size))
    terminated, truncated = rng.random((2, *size)) < 0.005
    inside = ~terminated & ~truncated
    inside[:, -1] = False
    after = np.where(inside, np.roll(v, -1, axis=1), after)

    def loop():
        out, last = np.zeros_like(r), np.zeros(len(r))
        for t in reversed(range(r.shape[1])):
            delta = r[:, t] + gamma * after[:, t] * ~terminated[:, t] - v[:, t]
            last = delta + gamma * lam * ~(terminated[:, t] | truncated[:, t]) * last
            out[:, t] = last
        return out

    def filters():
        delta, out = (r + gamma * after * ~terminated - v).ravel(), np.empty(r.size)
        ends = np.flatnonzero(~inside.ravel()) + 1
        for a, b in zip([0, *ends[:-1]], ends, strict=True):
            out[a:b] = lfilter([1.0], [1.0, -gamma * lam], delta[a:b][::-1])[::-1]
        return out.reshape(r.shape)

    own = lambda: rm.targets.gae(r, v, after, terminated=terminated, truncated=truncated, gamma=gamma, lam=lam)
    for other in (loop, filters):
        np.testing.assert_allclose(other(), own(), rtol=0, atol=1e-12)
    return timed({"refmeta": own, "loop": loop, "filters": filters}, seconds) | {"MB": megabytes(own)}


GAE = Subject(
    "gae", "GAE of rows of steps with an end in every hundred",
    "median ms, and its multiple of a loop over time and of SciPy's lfilter per episode", "rows, steps",
    [Shown("refmeta", "ms"), Shown("loop", "loop", "ratio"), Shown("filters", "lfilter", "ratio"), Shown("MB", "MB", ".0f")],
    [(100, 1000), (1000, 1000)], [(2, 5)], advantages,
)  # fmt: skip


def gradient_rows(policy, theta, batch):
    """The REINFORCE gradient of every tuple; a function that another process can import."""
    return rm.surrogates.reinforce(policy, theta, batch, gamma=0.9).at(theta).grad


def enumerated(size, seconds):
    """The mean and covariance of an estimator over all tuples, here, and on pools of one and two processes."""
    horizon, episodes, counts = size
    rng, policy = np.random.default_rng(0), rm.TabularSoftmax(2, 2)
    mdp, theta = random_process(rng, 1, 2, 2, gamma=0.9), rng.normal(size=policy.dim)
    one = rm.FiniteMDP(mdp.P[0], mdp.R[0], mdp.rho[0], 0.9)
    f = partial(gradient_rows, policy, theta)
    run = lambda **where: rm.enumeration.expectation(f, one, policy, theta, horizon=horizon, episodes=episodes, **where)
    digest = lambda result: hashlib.sha256(b"".join(x.tobytes() for x in result)).hexdigest()[:12]
    with ExitStack() as pools:
        places = {"refmeta": {}} | {
            f"{n} processes": {"executor": pools.enter_context(ProcessPoolExecutor(n, mp_context=get_context("spawn")))} for n in counts
        }
        digests = {digest(run(**where)) for where in places.values()}
        if len(digests) > 1:
            raise AssertionError(f"the results differ from executor to executor: {sorted(digests)}")
        row = timed({name: partial(run, **where) for name, where in places.items()}, seconds, processes=True)
    tuples = rm.enumeration.number_of_paths(one, horizon) ** episodes
    return row | {"tuples": tuples, "each": row["refmeta"] / tuples * 1e3, "MB": megabytes(run), "digest": digests.pop(), "size": f"{horizon}, {episodes}"}


ENUMERATION = Subject(
    "enumeration", "Enumeration of the REINFORCE gradient over all tuples of M paths of H steps",
    "median ms, µs per tuple, and its multiple of a pool's of 1 and 2 processes; all results have the digest", "H, M",
    [Shown("tuples", "tuples", ",d"), Shown("refmeta", "ms", ".1f"), Shown("each", "µs each", ".2f"), Shown("1 processes", "1 process", "ratio"),
     Shown("2 processes", "2 processes", "ratio"), Shown("MB", "MB", ".0f"), Shown("digest", "digest")],
    [(4, 2, (1, 2)), (8, 1, (1, 2)), (3, 3, (1, 2))], [(2, 1, (1,))], enumerated,
)  # fmt: skip


def learned_steps(size, seconds):
    """Meta-LSTM's gradients with and without the learner's own derivatives, and MAML's on the same tasks."""
    K, d, N = size
    rng = np.random.default_rng(0)
    task, learner = random_linear_regression(rng, N, d, 40), rm.meta_lstm.init(d, hidden=20, rng=rng)
    own, jax = lambda: rm.meta_lstm.gradient(learner, task, steps=K), meta_lstm_gradient(learner, task, K)
    for mine, theirs in zip(own(), jax() if jax else (), strict=bool(jax)):
        np.testing.assert_allclose(theirs, mine, rtol=0, atol=1e-10 * np.max(np.abs(mine)))
    return timed({
        "refmeta": own,
        "JAX": jax,
        "independent": lambda: rm.meta_lstm.gradient_independent(learner, task, steps=K),
        "MAML": lambda: rm.maml.gradient(learner.c0, task, alpha=0.01, steps=K),
    }, seconds)  # fmt: skip


META_LSTM = Subject(
    "meta-lstm", "Meta-LSTM on linear regression, 40 rows, 20 hidden units, d parameters",
    "median ms of the exact gradient, the independent one, and MAML's; multiples of MAML's, JAX", "K, d, N",
    [Shown("refmeta", "exact"), Shown("independent", "independent"), Shown("MAML", "MAML"), Shown("MAML", "of MAML", "ratio"),
     Shown("JAX", "JAX", "ratio")],
    [(5, 20, 20), (10, 20, 20), (20, 20, 20), (5, 80, 20), (5, 20, 80)], [(1, 2, 1)], learned_steps, ("refmeta", "independent"),
)  # fmt: skip


def transitions(rng, tasks, n, states):
    """Generic ones, nine of ten there."""
    shape, sizes = (tasks, n), (states, ACTIONS, states)
    mask = rng.random(shape) < 0.9
    mask[:, 0] = True
    s, a, following = (rng.integers(0, size, shape) for size in sizes)
    return Transitions(s, a, rng.normal(size=shape), following, rng.random(shape) < 0.1, mask)


def training_step(size, seconds, latent=5):
    """Every gradient of PEARL's step, beside PyTorch's."""
    tasks, n, states = size
    rng, given = np.random.default_rng(0), {"gamma": 0.95, "beta": 0.01, "target_entropy": 0.5}
    agent, settings = rm.pearl.init(states, ACTIONS, latent=latent, rng=rng), rm.pearl.Settings(**given)
    context, batch = transitions(rng, tasks, max(n // 2, 1), states), transitions(rng, tasks, n, states)
    noise = rng.normal(size=(tasks, latent))

    def own():
        seen = rm.pearl.context_of(context, agent.states, agent.actions)
        return rm.pearl.gradient(agent, seen, batch, noise, settings)

    return timed({"refmeta": own, "torch": pearl_step(agent, context, batch, noise, **given)}, seconds)


PEARL = Subject(
    "pearl", f"PEARL, all gradients of a training step; {ACTIONS} actions, 5 latent variables, S states",
    "median ms, and its multiple of PyTorch's", "tasks, transitions, S",
    [Shown("refmeta", "ms"), Shown("torch", "PyTorch, ms"), Shown("torch", "torch", "ratio")],
    [(12, 128, 25), (24, 128, 25), (48, 128, 25), (12, 512, 25), (12, 128, 100)], [(2, 3, 2)], training_step,
)  # fmt: skip


SUBJECTS = [ROLLOUTS, GAE, ENUMERATION, META_LSTM, PEARL]
