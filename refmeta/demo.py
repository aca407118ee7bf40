"""`python -m refmeta demo`: adapt to held-out tasks of every family, from different starts."""

import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta import episodes
from refmeta.arrays import Array
from refmeta.meta import implicit, maml, meta_lstm
from refmeta.meta.implicit import ImplicitMAML
from refmeta.meta.inner import adapt
from refmeta.meta.maml import MAML, FirstOrderMAML
from refmeta.meta.meta_lstm import MetaLSTM
from refmeta.meta.reptile import Reptile
from refmeta.meta.train import Adam, Iteration, meta_train
from refmeta.oracle.problems import curvatures
from refmeta.tables import counted, table
from refmeta.tasks.distributions import GoalGridworlds, Navigation, RandomMDPs, Sinusoids, Split
from refmeta.tasks.planning import optimal_values

STEPS = (0, 1, 2, 3, 5)


def trained(family: Any, theta: Array, rules: dict[str, Any], rng: Generator, **settings: Any) -> dict[str, Array]:
    """For each rule by name θ after Adam with step size 0.02; the last finite θ, and so named, where it diverged."""
    found, settings = {}, {"iterations": 300, "batch": 20, "max_norm": None} | settings
    outer = Adam(0.02, max_norm=settings.pop("max_norm"))
    for name, rule in rules.items():
        kept: list[Iteration] = [Iteration(0, theta, theta)]
        try:
            done = meta_train(family, theta, rule=rule, outer=outer, rng=rng, callback=kept.append, **settings)
            if done.interrupted:
                raise KeyboardInterrupt
        except FloatingPointError:
            name += f" (diverged in iteration {kept[-1].done + 1})"
        found[name] = kept[-1].theta
    return found


def curve(theta: Array, held_out: Split, *, alpha: float) -> list[float]:
    """Mean query loss on the held-out tasks after each of STEPS; infinite where a step leaves the finite numbers."""
    return [_mean_loss(theta, held_out, alpha, k) for k in STEPS]


def learned(family: Any, held_out: Split, rng: Generator, *, iterations: int) -> list[float]:
    """The same of a Meta-LSTM trained for the last of STEPS, from zeros, which adapts by its own rule."""
    dim, hidden = family.dim, 20
    start = meta_lstm.init(dim, hidden=hidden, rng=rng).ravel()
    rule, outer = MetaLSTM(dim, hidden, STEPS[-1]), Adam(0.01, max_norm=10.0)
    done = meta_train(family, start, rule=rule, outer=outer, iterations=iterations, batch=20, rng=rng)
    if done.interrupted:
        raise KeyboardInterrupt
    given = meta_lstm.unravel(done.theta, dim=dim, hidden=hidden)
    return [float(np.mean(meta_lstm.objective(given, *held_out, steps=k))) for k in STEPS]


def _mean_loss(theta: Array, held_out: Split, alpha: float, steps: int) -> float:
    try:
        return float(np.mean(maml.objective(theta, *held_out, alpha=alpha, steps=steps)))
    except FloatingPointError:
        return float("inf")


def steps_table(title: str, unit: str, rows: dict[str, list[float]], best: str, more: tuple[str, ...] = ()) -> None:
    """One line a start, one column a number of steps, and then the columns named in `more`."""
    table(title, "start", [*(counted(k, "step") for k in STEPS), *more], unit, rows, best)


def sinusoids(rng: Generator, alpha: float = 0.8, iterations: int = 600) -> None:
    """Regression: MAML's start in closed form and by training, Reptile's by training."""
    family, zeros = Sinusoids(), np.zeros(3)
    starts = {
        "zeros": zeros,
        "random, N(0, 1)": rng.normal(size=3),
        "MAML, closed form (= joint)": family.mean_parameters,
    } | trained(family, zeros, {"MAML, trained": MAML(alpha), "Reptile, trained": Reptile(alpha)}, rng)
    held_out = family.sample(1000, rng)
    rows = {name: curve(theta, held_out, alpha=alpha) for name, theta in starts.items()}
    steps_table(
        f"Sinusoids A sin(x - phi), 10 shots, alpha = {alpha}: 1000 held-out tasks",
        "mean query loss, (1/2) squared error",
        rows | {"Meta-LSTM, trained": learned(family, held_out, rng, iterations=iterations)},
        "The optimum is 0: with the features [1, sin x, cos x] every task is exactly linear.\n"
        "MAML's best start is the mean of the tasks' parameters, which is the joint minimiser too, for every alpha and\n"
        "number of steps (thm:joint-tie): linear features leave nothing for MAML to gain over joint training here.\n"
        "Meta-LSTM has learned its steps, too, for five of them: it need not be good after fewer.",
    )


def navigation(rng: Generator, alpha: float = 1e-3, iterations: int = 300, tasks: int = 100) -> None:
    """Control: every rule of the library on held-out goals, with the edge of stability of gradient descent."""
    family, held_out = Navigation(), Navigation().sample(tasks, rng)
    rules = {
        "MAML, 1 step": MAML(alpha),
        "first-order MAML, 1 step": FirstOrderMAML(alpha),
        "Reptile, 3 steps": Reptile(alpha, steps=3),
        "joint training": MAML(alpha, steps=0),
    }
    proximal = {"implicit MAML": ImplicitMAML(1 / alpha)}
    start = family.start(rng)
    starts = {"random": start} | trained(family, start, rules, rng, max_norm=1.0, iterations=iterations)
    starts |= trained(family, start, proximal, rng, max_norm=1.0, iterations=iterations // 8, batch=10)
    rows = {name: curve(theta, held_out, alpha=alpha) for name, theta in starts.items()}
    for name, theta in starts.items():
        rows[name].append(float(np.mean(implicit.objective(theta, held_out.support, strength=1 / alpha))))
        adapted = adapt(theta, held_out.support, alpha=alpha, steps=1).adapted
        rows[name] += [edge(held_out.support, x, alpha) for x in (theta, adapted)]
    best = float(np.mean(held_out.support.lq.Q[:, 2, 2]))
    steps_table(
        f"2-D navigation, 100 steps, goals uniform in [-0.5, 0.5]^2, alpha = {alpha:g}: {tasks} held-out goals",
        "mean cost, sum of 100 squared distances",
        rows,
        f"The optimum is {best:.3f}, the mean squared distance of the goals from the origin: the first step cannot be saved.\n"
        f"'proximal' is the cost at argmin L + ({1 / alpha:g}/2) |phi - theta|^2, which is how implicit MAML adapts.  'rho, k' is the\n"
        "largest spectral radius of I - alpha H over these tasks after k steps.  Above 1 a step of this size overshoots along\n"
        "some direction (or the curvature is negative there): the edge of stability.  A start may lie beyond it if its first\n"
        "step leaves that region; one from which the steps grow diverges.  Implicit MAML takes no gradient steps, so nothing\n"
        "keeps its start on this side of the edge; Reptile and joint training do not look at the Hessian, either.",
        ("proximal", "rho, 0", "rho, 1"),
    )


def edge(task: Any, theta: Array, alpha: float) -> float:
    """ρ(I − α∇²L(θ)), the largest of the tasks: above 1 a step of gradient descent is linearly unstable."""
    return float(np.max(np.abs(1 - alpha * curvatures(task, theta))))


def returns(
    title: str, unit: str, family: Any, rng: Generator, *, alpha: float, tasks: int, said: str, iterations: int = 100
) -> None:
    """Returns: MAML's and Reptile's starts by training on exact gradients."""
    zeros, start = np.zeros(family.dim), rng.normal(size=family.dim)
    rules = {"MAML, trained from zeros": MAML(alpha), "Reptile, trained from zeros": Reptile(alpha, steps=3)}
    starts = {"zeros (uniform logits)": zeros, "random, N(0, 1)": start}
    starts |= trained(family, zeros, rules, rng, iterations=iterations)
    starts |= trained(family, start, {"MAML, trained from random": MAML(alpha)}, rng, iterations=iterations)
    held_out = family.sample(tasks, rng)
    best = float(np.mean(optimal_values(held_out.support.mdp).best_return))
    rows = {name: curve(theta, held_out, alpha=alpha) for name, theta in starts.items()}
    rows["Meta-LSTM, trained"] = learned(family, held_out, rng, iterations=iterations // 2)
    steps_table(
        f"{title}, alpha = {alpha:g}: {tasks} held-out tasks",
        unit,
        {name: [-loss for loss in losses] for name, losses in rows.items()},
        said.format(best=best),
    )


def random_mdps(rng: Generator) -> None:
    """The table of `RandomMDPs`."""
    returns(
        "Random MDPs of RL^2 (10 states, 5 actions, 10 steps)", "mean return, sum of 10 rewards", RandomMDPs(), rng,
        alpha=10.0, tasks=200,
        said="The optimum, by a policy that may depend on time, is {best:.3f} on average.\n"
        "Before adaptation every start has the expected return 10, since every reward has mean 1 whatever is visited:\n"
        "what differs from 10 in the first column is the chance of these tasks, and only adaptation can gain.  Uniform\n"
        "logits are the symmetric point of the family, so no start need be better than they are.  No step of Meta-LSTM\n"
        "is longer than the gradient, whatever it has learned (thm:gate-bound), and here steps of ten gradients pay.",
    )  # fmt: skip


def gridworlds(rng: Generator) -> None:
    """The table of `GoalGridworlds`."""
    returns(
        "Goal gridworlds (5 x 5, slip 0.1, start in a corner)", "mean return, 0.95^(moves - 1) at the goal",
        GoalGridworlds(), rng, alpha=20.0, tasks=100,
        said="The optimum is {best:.3f} on average.  A start that leaves the corner meets more goals before it adapts; whether\n"
        "it then adapts better is not promised: the gradient is large only where the goal is met.  Meta-LSTM cannot take\n"
        "steps longer than the gradient (thm:gate-bound).",
    )  # fmt: skip


def few_episodes(rng: Generator) -> None:
    """The tables of `refmeta.episodes`."""
    episodes.gridworlds(rng)
    episodes.random_mdps(rng)


TABLES = {
    "sinusoids": sinusoids,
    "navigation": navigation,
    "random-mdps": random_mdps,
    "gridworlds": gridworlds,
    "episodes": few_episodes,
}


def demo(families: Iterable[str] = (), *, seed: int = 0) -> int:
    """Print the tables of the families named, of all without any; each is seeded by itself."""
    begun, wanted = time.perf_counter(), list(families) or list(TABLES)
    print(f"Adaptation to tasks that nothing was trained on (seed {seed}).\n")
    for name in wanted:
        TABLES[name](np.random.default_rng([seed, *name.encode()]))
    print(f"({time.perf_counter() - begun:.1f} s)")
    return 0
