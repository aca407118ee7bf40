"""`make bench`: rollouts beside one step at a time and a vectorised gymnasium environment; surrogates as samples grow; GAE.

20 tasks x 20 episodes x horizon 100, MDPs of 10 states and 4 actions, a tabular policy.  The step-by-step rollout is the
same in plain Python with NumPy's generator; gymnasium, where it is installed, steps 400 environments at once, its
tables held as arrays, in a `VectorEnv`.
"""

import argparse
import time
import tracemalloc

import numpy as np
from scipy.signal import lfilter

import refmeta as rm
from refmeta.problems import random_process

TASKS, EPISODES, HORIZON, STATES, ACTIONS = 20, 20, 100, 10, 4


def problem():
    rng = np.random.default_rng(0)
    mdp, policy = random_process(rng, TASKS, STATES, ACTIONS, gamma=0.9), rm.TabularSoftmax(STATES, ACTIONS)
    return mdp, policy, rng.normal(size=policy.dim)


def step_by_step(mdp, policy, theta, rng):
    """One task, episode and step after another."""
    pi = np.exp(policy.logits(theta))
    pi = np.cumsum(pi / pi.sum(-1, keepdims=True), axis=-1)
    P, rho = np.cumsum(mdp.P, axis=-1), np.cumsum(mdp.rho, axis=-1)
    out = np.zeros((3, TASKS, EPISODES, HORIZON))
    for n in range(TASKS):
        for m in range(EPISODES):
            s = int(np.searchsorted(rho[n], rng.random(), side="right"))
            for t in range(HORIZON):
                a = int(np.searchsorted(pi[s], rng.random(), side="right"))
                out[:, n, m, t] = s, a, mdp.R[n, s, a]
                s = int(np.searchsorted(P[n, s, a], rng.random(), side="right"))
    return out


def gymnasium_rollout(mdp, policy, theta):
    """The same through gymnasium's vector interface, or None where it is not installed."""
    try:
        import gymnasium
    except ImportError:
        return None

    class Tables(gymnasium.vector.VectorEnv):
        """All tasks and episodes in one environment."""

        def __init__(self):
            self.num_envs = TASKS * EPISODES
            self.single_observation_space = gymnasium.spaces.Discrete(STATES)
            self.single_action_space = gymnasium.spaces.Discrete(ACTIONS)
            self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, self.num_envs)
            self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, self.num_envs)
            self.task = np.repeat(np.arange(TASKS), EPISODES)
            self.P, self.rho = np.cumsum(mdp.P, axis=-1), np.cumsum(mdp.rho, axis=-1)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.s = np.sum(self.np_random.random(self.num_envs)[:, None] >= self.rho[self.task], axis=-1)
            return self.s, {}

        def step(self, actions):
            rewards = mdp.R[self.task, self.s, actions]
            below = self.P[self.task, self.s, actions]
            self.s = np.sum(self.np_random.random(self.num_envs)[:, None] >= below, axis=-1)
            no = np.zeros(self.num_envs, bool)
            return self.s, rewards, no, no, {}

    pi = np.exp(policy.logits(theta))
    pi = np.cumsum(pi / pi.sum(-1, keepdims=True), axis=-1)

    def run():
        env, rng = Tables(), np.random.default_rng(0)
        s, _ = env.reset(seed=0)
        out = np.zeros((3, TASKS * EPISODES, HORIZON))
        for t in range(HORIZON):
            a = np.sum(rng.random(len(s))[:, None] >= pi[s], axis=-1)
            before = s
            s, r, *_ = env.step(a)
            out[:, :, t] = before, a, r
        return out

    return run


def best_of(functions, seconds):
    """The best time of each, the functions taking turns."""
    best, stop = dict.fromkeys(functions, np.inf), time.perf_counter() + seconds
    while time.perf_counter() < stop:
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def rollouts(seconds):
    mdp, policy, theta = problem()
    functions = {
        "refmeta": lambda: rm.rollout(mdp, policy, theta, episodes=EPISODES, horizon=HORIZON, rng=0),
        "step by step": lambda: step_by_step(mdp, policy, theta, np.random.default_rng(0)),
        "gymnasium (VectorEnv)": gymnasium_rollout(mdp, policy, theta),
    }
    best = best_of({name: f for name, f in functions.items() if f}, seconds)
    print(f"Rollout: {TASKS} tasks x {EPISODES} episodes x horizon {HORIZON}, {STATES} states, {ACTIONS} actions\n")
    print(f"{'':24}{'ms':>10}{'steps/s':>14}{'of refmeta':>12}")
    for name in functions:
        if name not in best:
            print(f"{name:24}{'not installed':>24}")
            continue
        rate = TASKS * EPISODES * HORIZON / best[name]
        print(f"{name:24}{best[name] * 1e3:10.2f}{rate:14,.0f}{best[name] / best['refmeta']:11.2f}x")
    print()


def surrogates(seconds):
    mdp, policy, theta = problem()
    print("Surrogates on one batch, 20 tasks, horizon 100: milliseconds as the number of samples grows\n")
    print(
        f"{'episodes':>9}{'samples':>10}"
        + "".join(f"{name:>22}" for name in ("likelihood_ratio grad", "hvp", "dice grad", "hvp"))
    )
    for M in (10, 20, 40, 80):
        batch, v = rm.rollout(mdp, policy, theta, episodes=M, horizon=HORIZON, rng=0), np.ones(policy.dim)
        functions = {}
        for make in (rm.surrogates.likelihood_ratio, rm.surrogates.dice):
            task = make(policy, theta, batch, gamma=0.9)
            functions[make, "grad"] = lambda task=task: task.at(theta).grad
            point = task.at(theta)
            _ = point.grad
            functions[make, "hvp"] = lambda point=point, v=v: point.hvp(v)
        best = best_of(functions, seconds / 4)
        print(f"{M:9}{TASKS * M * HORIZON:10,}" + "".join(f"{t * 1e3:22.2f}" for t in best.values()))
    print()


def advantages(seconds, rows=1000, horizon=1000, gamma=0.99, lam=0.95):
    """GAE of a million steps with an end or a cut in every hundred, beside a loop over time and a filter per episode."""
    rng = np.random.default_rng(0)
    r, v, after = rng.normal(size=(3, rows, horizon))
    terminated, truncated = rng.random((2, rows, horizon)) < 0.005
    inside = ~terminated & ~truncated
    inside[:, -1] = False
    after = np.where(inside, np.roll(v, -1, axis=1), after)

    def loop():
        out, last = np.zeros_like(r), np.zeros(rows)
        for t in reversed(range(horizon)):
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

    flags = {"terminated": terminated, "truncated": truncated, "gamma": gamma, "lam": lam}
    functions = {"refmeta": lambda: rm.targets.gae(r, v, after, **flags), "a loop over time": loop, "scipy's lfilter": filters}
    print(f"GAE of {rows:,} x {horizon:,} steps in {np.sum(~inside):,} episodes\n\n{'':24}{'ms':>10}{'MB':>8}")
    for name, best in best_of(functions, seconds).items():
        tracemalloc.start()
        got, peak = functions[name](), tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert np.allclose(got, functions["refmeta"](), rtol=0, atol=1e-12)
        print(f"{name:24}{best * 1e3:10.1f}{peak / 1e6:8.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="seconds a table")
    options = parser.parse_args()
    rollouts(options.seconds)
    surrogates(options.seconds)
    advantages(options.seconds)
