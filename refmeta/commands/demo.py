"""`python -m refmeta demo`: adapt to held-out tasks of every family, from different starts."""

import functools
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.commands import episodes
from refmeta.commands.arguments import whole_number
from refmeta.meta import implicit, maml, meta_lstm
from refmeta.meta.implicit import ImplicitMAML
from refmeta.meta.inner import adapt
from refmeta.meta.maml import MAML, FirstOrderMAML
from refmeta.meta.meta_lstm import MetaLSTM
from refmeta.meta.reptile import Reptile
from refmeta.meta.train import Adam, Iteration, meta_train
from refmeta.oracle.vectors import UsageError
from refmeta.problems import curvatures
from refmeta.tables import count_text, paragraphs, print_number_table, unknown_name
from refmeta.tasks.distributions import GoalGridworlds, Navigation, RandomMDPs, Sinusoids, Split
from refmeta.tasks.planning import optimal_values

STEPS = (0, 1, 2, 3, 5)
NAVIGATION = Navigation()

__all__ = [
    "TrainedLSTM", "TABLES", "add", "curve", "demo", "spectral_radius", "few_episodes", "gridworlds", "trained_lstm", "longest_step",
    "navigation", "random_mdps", "print_returns", "sinusoids", "trained_starts",
]  # fmt: skip


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser("demo", help="adapt to held-out tasks from different starts")
    command.add_argument("family", nargs="*", metavar="FAMILY", help=f"only these: {', '.join(TABLES)}")
    command.add_argument("--seed", type=whole_number(0), default=0, metavar="N", help="seed of everything random (0)")
    command.set_defaults(run=lambda o: demo(o.family, seed=o.seed))


def trained_starts(family: Any, theta: Array, rules: dict[str, Any], rng: Generator, **settings: Any) -> dict[str, Array]:
    """θ after Adam with step size 0.02, by the name of the rule; where it diverged, the last finite θ, and the name says so."""
    starts, settings = {}, {"iterations": 300, "batch": 20, "max_norm": None} | settings
    outer = Adam(0.02, max_norm=settings.pop("max_norm"))
    for name, rule in rules.items():
        iterations: list[Iteration] = [Iteration(0, theta, theta)]
        try:
            result = meta_train(family, theta, rule=rule, outer=outer, rng=rng, callback=iterations.append, **settings)
            episodes.uninterrupted(result)
        except FloatingPointError:
            name += f" (diverged in iteration {iterations[-1].done + 1})"
        starts[name] = iterations[-1].theta
    return starts


def curve(theta: Array, held_out: Split, *, alpha: float) -> list[float]:
    """Mean query loss on the held-out tasks after each of STEPS; infinite where a step leaves the finite numbers."""
    return [_mean_loss(theta, held_out, alpha, k) for k in STEPS]


class TrainedLSTM(NamedTuple):
    """A trained Meta-LSTM on held-out tasks: mean query loss after each of STEPS, and its longest step in gradients."""

    curve: list[float]
    longest: float


def trained_lstm(family: Any, held_out: Split, rng: Generator, *, iterations: int) -> TrainedLSTM:
    """A Meta-LSTM trained from zeros for the last of STEPS, which adapts by its own rule."""
    dim, hidden = family.dim, 20
    start = meta_lstm.init(dim, hidden=hidden, rng=rng).ravel()
    rule, outer = MetaLSTM(dim, hidden, STEPS[-1]), Adam(0.01, max_norm=10.0)
    result = meta_train(family, start, rule=rule, outer=outer, iterations=iterations, batch=20, rng=rng)
    weights = meta_lstm.unravel(episodes.uninterrupted(result).theta, dim=dim, hidden=hidden)
    losses = [float(np.mean(meta_lstm.objective(weights, *held_out, steps=k))) for k in STEPS]
    return TrainedLSTM(losses, longest_step(weights, held_out.support))


def longest_step(weights: meta_lstm.Parameters, support: Any) -> float:
    """max |θ_t − θ_{t−1}| / |∇L(θ_{t−1})| over tasks and steps."""
    norm, path = functools.partial(np.linalg.norm, axis=-1), meta_lstm.unroll(weights, support, steps=STEPS[-1]).steps
    return float(np.max([norm(step.theta - step.point.theta) / norm(step.point.grad) for step in path]))


def _mean_loss(theta: Array, held_out: Split, alpha: float, steps: int) -> float:
    """Mean query loss after some steps; infinite where one leaves the finite numbers."""
    try:
        return float(np.mean(maml.objective(theta, *held_out, alpha=alpha, steps=steps)))
    except FloatingPointError:
        return float("inf")


HEADS = tuple(count_text(k, "step") for k in STEPS)


def sinusoids(
    rng: Generator, alpha: float = 0.8, iterations: int = 300, tasks: int = 1000, lstm_iterations: int = 600
) -> None:
    """Regression: MAML's start in closed form and by training, Reptile's by training."""
    family, zeros = Sinusoids(), np.zeros(3)
    rules = {"MAML, trained": MAML(alpha), "Reptile, trained": Reptile(alpha)}
    starts = {
        "zeros": zeros,
        "random, N(0, 1)": rng.normal(size=3),
        "MAML, closed form (= joint)": family.mean_parameters,
    } | trained_starts(family, zeros, rules, rng, iterations=iterations)
    held_out = family.sample(tasks, rng)
    rows = {name: curve(theta, held_out, alpha=alpha) for name, theta in starts.items()}
    rows["Meta-LSTM, trained"] = trained_lstm(family, held_out, rng, iterations=lstm_iterations).curve
    print_number_table(
        f"Sinusoids A sin(x - phi), 10 shots, alpha = {alpha}: {tasks} held-out tasks",
        "mean query loss: half the mean squared error", "start", HEADS, rows,
        "The optimum is 0: with the features [1, √2 sin x, √2 cos x] every task is exactly linear. "
        "MAML's best start is the mean of the tasks' parameters, which is the joint minimiser too, for every alpha and "
        "number of steps (thm:joint-tie): linear features leave nothing for MAML to gain over joint training here. "
        "Meta-LSTM has learned its steps, too, for five of them: it need not be good after fewer.",
    )  # fmt: skip


def navigation(
    rng: Generator, alpha: float = 1e-3, iterations: int = 300, tasks: int = 100, family: Any = NAVIGATION
) -> None:
    """Control: every rule of the library on held-out goals, with the edge of stability of gradient descent."""
    held_out = family.sample(tasks, rng)
    rules = {
        "MAML, 1 step": MAML(alpha),
        "first-order MAML, 1 step": FirstOrderMAML(alpha),
        "Reptile, 3 steps": Reptile(alpha, steps=3),
        "joint training": MAML(alpha, steps=0),
    }
    proximal = {"implicit MAML": ImplicitMAML(1 / alpha)}
    start = family.start(rng)
    starts = {"random": start} | trained_starts(family, start, rules, rng, max_norm=1.0, iterations=iterations)
    starts |= trained_starts(family, start, proximal, rng, max_norm=1.0, iterations=iterations // 8, batch=10)
    best = float(np.mean(held_out.support.lq.Q[:, 2, 2]))
    print_number_table(
        f"2-D navigation, {family.horizon} steps, goals uniform in [-0.5, 0.5]^2, alpha = {alpha:g}: {tasks} held-out goals",
        f"mean cost: sum of {family.horizon} squared distances", "start", HEADS,
        {name: curve(theta, held_out, alpha=alpha) for name, theta in starts.items()},
        f"The optimum is {best:.3f}, the mean squared distance of the goals from the origin: the first step cannot be "
        "saved.",
    )  # fmt: skip
    print_number_table(
        "2-D navigation: the same starts, the edge of stability, and implicit MAML's own way to adapt",
        "rho: the largest spectral radius of I - alpha H over these tasks; proximal: mean cost", "start",
        ("rho, 0 steps", "rho, 1 step", "proximal"),
        {name: _stability(theta, held_out.support, alpha) for name, theta in starts.items()},
        "Where rho is above 1, a step of this size overshoots along some direction, or the curvature is negative "
        "there: the edge of stability. A start may lie beyond it if its first step leaves that region; one from "
        f"which the steps grow diverges. 'proximal' is the cost at argmin L + ({1 / alpha:g}/2) |phi - theta|^2, "
        "which is how implicit MAML adapts. It takes no gradient steps, so nothing keeps its start on this side of "
        "the edge; Reptile and joint training do not look at the Hessian, either.",
    )  # fmt: skip


def _stability(theta: Array, task: Any, alpha: float) -> list[float]:
    """The edge before and after one step, and the mean cost of the proximal solution."""
    after = adapt(theta, task, alpha=alpha, steps=1).adapted
    cost = float(np.mean(implicit.objective(theta, task, strength=1 / alpha)))
    return [spectral_radius(task, theta, alpha), spectral_radius(task, after, alpha), cost]


def spectral_radius(task: Any, theta: Array, alpha: float) -> float:
    """ρ(I − α∇²L(θ)), the largest of the tasks: above 1 a step of gradient descent is linearly unstable."""
    return float(np.max(np.abs(1 - alpha * curvatures(task, theta))))


def print_returns(
    title: str, unit: str, family: Any, rng: Generator, *, alpha: float, tasks: int, below: str, iterations: int
) -> None:
    """Returns: MAML's and Reptile's starts by training on exact gradients."""
    zeros, start = np.zeros(family.dim), rng.normal(size=family.dim)
    rules = {"MAML, trained from zeros": MAML(alpha), "Reptile, trained from zeros": Reptile(alpha, steps=3)}
    starts = {"zeros (uniform logits)": zeros, "random, N(0, 1)": start}
    starts |= trained_starts(family, zeros, rules, rng, iterations=iterations)
    starts |= trained_starts(family, start, {"MAML, trained from random": MAML(alpha)}, rng, iterations=iterations)
    held_out = family.sample(tasks, rng)
    best = float(np.mean(optimal_values(held_out.support.mdp).best_return))
    rows = {name: curve(theta, held_out, alpha=alpha) for name, theta in starts.items()}
    rows["Meta-LSTM, trained"], longest = trained_lstm(family, held_out, rng, iterations=iterations // 2)
    print_number_table(
        f"{title}, alpha = {alpha:g}: {tasks} held-out tasks", unit, "start", HEADS,
        {name: [-loss for loss in losses] for name, losses in rows.items()},
        below.format(best=best)
        + " A step of Meta-LSTM is at most one gradient and what its forget gate takes from the parameters "
        f"(thm:gate-bound): the forget gate can make it long. This one was trained for {iterations // 2} iterations. "
        f"Its longest step on these tasks is {longest:.2f} gradients; each step of gradient descent is {alpha:g}.",
    )  # fmt: skip


def random_mdps(rng: Generator, tasks: int = 200, iterations: int = 100) -> None:
    """The table of `RandomMDPs`."""
    print_returns(
        "Random MDPs after RL^2, exact expected rewards (10 states, 5 actions, 10 steps)",
        "mean return: sum of 10 expected rewards", RandomMDPs(), rng, alpha=10.0, tasks=tasks, iterations=iterations,
        below="The optimum, by a policy that may depend on time, is {best:.3f} on average. "
        "Before adaptation every start has the expected return 10, since every reward has mean 1 whatever is visited: "
        "what differs from 10 in the first column is the chance of these tasks, and only adaptation can gain. Uniform "
        "logits are the symmetric point of the family, so no start need be better than they are.",
    )  # fmt: skip


def gridworlds(rng: Generator, tasks: int = 100, iterations: int = 100) -> None:
    """The table of `GoalGridworlds`."""
    print_returns(
        "Goal gridworlds (5 x 5, slip 0.1, start in a corner)", "mean return: 0.95^(moves - 1) at the goal",
        GoalGridworlds(), rng, alpha=20.0, tasks=tasks, iterations=iterations,
        below="The optimum is {best:.3f} on average. A start that leaves the corner meets more goals before it adapts; "
        "whether it then adapts better is not promised: the gradient is large only where the goal is met.",
    )  # fmt: skip


def few_episodes(rng: Generator) -> None:
    """The tables of `refmeta.commands.episodes`."""
    episodes.gridworlds(rng)
    episodes.random_mdps(rng)


TABLES: dict[str, Callable[[Generator], None]] = {
    "sinusoids": sinusoids,
    "navigation": navigation,
    "random-mdps": random_mdps,
    "gridworlds": gridworlds,
    "episodes": few_episodes,
}


def demo(families: Iterable[str] = (), *, seed: int = 0) -> int:
    """Print the tables of these families, by default of all; each has its own seed."""
    start, names = time.perf_counter(), list(families) or list(TABLES)
    for name in names:
        if name not in TABLES:
            raise UsageError(unknown_name("family", name, TABLES, f"the families are {', '.join(TABLES)}"))
    print(paragraphs(f"Adaptation to tasks that nothing was trained on (seed {seed}).\n"))
    for name in names:
        TABLES[name](np.random.default_rng([seed, *name.encode()]))
    print(f"({time.perf_counter() - start:.1f} s)")
    return 0
