"""Return against episodes of experience, beside the best that can be done.  Derivation: derivations/best-possible.md"""

from typing import NamedTuple

import numpy as np
import style

import refmeta as rm
from refmeta.meta import bayes_adaptive
from refmeta.meta.task_posterior import optimal_plans, thompson_sampling

__all__ = ["Experience", "data", "draw"]

EPISODES, HORIZON = 5, 4
FAMILY = rm.GoalGridworlds(size=3, horizon=HORIZON)
GOALS = np.arange(1, FAMILY.size**2)
ALPHAS = np.geomspace(1, 1024, 11)
COLOURS = {
    "Bayes-adaptive bound": style.BLUE, "Thompson sampling": style.GREEN, "PEARL": style.PURPLE,
    "REINFORCE, MAML": style.RED, "REINFORCE, joint": style.ORANGE, "REINFORCE, zeros": style.DARK,
}  # fmt: skip


class Experience(NamedTuple):
    """Mean return of an episode after 0, 1, … episodes of experience, by learner, (E + 1,), and the most that any learner
    can earn in it; the optimum for known tasks; the step size that is best for each start of REINFORCE."""

    returns: dict
    known: float
    own: dict


def data(repeats=100, iterations=100, updates=60):
    """Every goal of a small grid `repeats` times; every policy is judged by its exact return."""
    rng = np.random.default_rng(0)
    every, task = FAMILY.tasks(GOALS), FAMILY.tasks(np.repeat(GOALS, repeats))
    returns, own = {"Bayes-adaptive bound": bound(every.mdp)}, {}
    plans = optimal_plans(rm.GoalGridworlds(size=FAMILY.size).tasks(GOALS).mdp)
    met = {"episodes": EPISODES, "horizon": HORIZON, "rng": rng}
    returns["Thompson sampling"] = thompson_sampling(task, every.mdp, plans, **met).returns.mean(1)
    returns["PEARL"] = rm.pearl.adapt(agent(rng, iterations, updates), task, **met).returns.mean(1)
    for name, theta in starts(iterations).items():
        training, batch = (
            rm.rollout(task.mdp, task.policy, theta, episodes=EPISODES, horizon=HORIZON, rng=rng) for _ in range(2)
        )
        own[name] = float(max(ALPHAS, key=lambda a: reinforce(task, theta, training, a, EPISODES)))
        returns[f"REINFORCE, {name}"] = np.array(
            [reinforce(task, theta, batch, own[name], n) for n in range(EPISODES + 1)]
        )
    return Experience(returns, float(np.mean(rm.optimal_values(every.mdp).best_return)), own)


def bound(tasks):
    """For each episode the optimum of a learner for whom only this episode counts: what comes before is free exploration."""
    only_last = [np.eye(k)[-1] for k in range(1, EPISODES + 2)]
    return np.array([bayes_adaptive.optimum(tasks, episodes=len(w), weights=w).value for w in only_last])


def starts(iterations):
    """Zeros, and two starts trained from them on exact gradients."""
    zeros, outer = np.zeros(FAMILY.dim), rm.Adam(0.02)
    rules = {"joint": rm.MAML(20.0, steps=0), "MAML": rm.MAML(20.0)}
    train = lambda rule: (
        rm.meta_train(FAMILY, zeros, rule=rule, outer=outer, iterations=iterations, batch=20, rng=0).theta
    )
    return {"zeros": zeros} | {name: train(rule) for name, rule in rules.items()}


def reinforce(task, theta, batch, alpha, episodes):
    """The mean return after one step of REINFORCE of size α on the first episodes of a batch."""
    if not episodes:
        return float(-np.mean(task.at(theta).loss))
    first = type(batch)(*(part[..., :episodes, :] for part in batch))
    slope = rm.surrogates.reinforce(task.policy, theta, first, gamma=FAMILY.gamma).at(theta).grad
    return float(-np.mean(task.at(theta - alpha * slope).loss))


def agent(rng, iterations, updates):
    """PEARL, trained on tasks of the family."""
    settings = rm.pearl.Settings(gamma=FAMILY.gamma, beta=1e-4, target_entropy=0.5)
    start = rm.pearl.init(FAMILY.policy.states, FAMILY.policy.actions, latent=6, rng=rng)
    options = {"tasks": 60, "horizon": HORIZON, "updates": updates, "iterations": iterations // 5, "transitions": 64}
    return rm.pearl.train(FAMILY, start, settings=settings, outer=rm.Adam(0.02), rng=rng, **options).agent


def sign(alpha):
    """Equal, or at least (at most) where the best α is an end of ALPHAS."""
    return "≥" if alpha == ALPHAS[-1] else "≤" if alpha == ALPHAS[0] else "="


def draw(found):
    """The figure."""
    drawing, axes = style.figure(3.8)
    axes.axhline(found.known, color=style.GREY, linewidth=1, linestyle="dashed")
    style.label(axes, "optimum, task known", (0, found.known), style.GREY, xytext=(0, 4), textcoords="offset points")
    ends = []
    for name, value in found.returns.items():
        axes.plot(value, "o-", color=COLOURS[name], markersize=3.5)
        start = name.removeprefix("REINFORCE, ")
        step = f", α {sign(found.own[start])} {found.own[start]:g}" if start in found.own else ""
        ends.append((name + step, value[-1], COLOURS[name]))
    axes.set(xlabel="episodes of experience", ylabel="mean return of the next episode", ylim=(0.15, 0.98))
    axes.set_title(f"A {FAMILY.size} × {FAMILY.size} grid with an unknown goal, episodes of {HORIZON} steps")
    style.beside(axes, ends)
    return drawing


if __name__ == "__main__":
    print(style.save(draw(data()), __file__))
