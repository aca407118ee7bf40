"""`python -m refmeta demo`: adapt to held-out tasks of both families, from different starts."""

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.meta import maml, reptile
from refmeta.meta.inner import adapt
from refmeta.meta.optimisers import adam, fresh
from refmeta.tasks.distributions import RandomMDPs, Sinusoids, Split
from refmeta.tasks.planning import optimal_values

STEPS = (0, 1, 2, 3, 5)


def progress(what: str, done: int, total: int) -> None:
    """One line that rewrites itself, on a terminal only."""
    if sys.stderr.isatty():
        end = "\r" if done < total else "\r" + " " * 60 + "\r"
        print(f"{what}: {done} of {total}".ljust(60) if done < total else "", end=end, file=sys.stderr, flush=True)


def trained(
    family: Any, theta: Array, gradient: Callable[[Array, Split], Array], *, name: str, iterations: int, batch: int,
    alpha: float, rng: Generator,
) -> Array:  # fmt: skip
    """θ after Adam on the mean of `gradient(theta, tasks)` over fresh tasks of the family."""
    state = fresh(theta)
    for i in range(iterations):
        progress(name, i, iterations)
        g = np.mean(gradient(theta, family.sample(batch, rng)), axis=0)
        theta, state = adam(theta, g, state, alpha=alpha, beta1=0.9, beta2=0.999, epsilon=1e-8)
    progress(name, iterations, iterations)
    return theta


def curve(theta: Array, held_out: Split, *, alpha: float) -> list[float]:
    """Mean query loss on the held-out tasks after each of STEPS."""
    return [float(np.mean(maml.objective(theta, *held_out, alpha=alpha, steps=k))) for k in STEPS]


def table(title: str, unit: str, rows: dict[str, list[float]], best: str) -> None:
    """Print one line a start, one column a number of steps."""
    wide = max(len(name) for name in rows)
    print(
        f"{title}\n{'start':{wide}}  "
        + "  ".join(f"{k:>2} steps" if k != 1 else " 1 step " for k in STEPS)
        + f"   {unit}"
    )
    for name, values in rows.items():
        print(f"{name:{wide}}  " + "  ".join(f"{value:8.3f}" for value in values))
    print(f"{best}\n")


def sinusoids(rng: Generator, alpha: float = 0.8, steps: int = 1) -> None:
    """Regression: MAML's start in closed form, Reptile's by training."""
    family, zeros = Sinusoids(), np.zeros(3)

    def towards_adapted(theta: Array, tasks: Split) -> Array:
        return reptile.gradient(theta, adapt(theta, tasks.support, alpha=alpha, steps=steps).adapted, alpha=alpha)

    def exact(theta: Array, tasks: Split) -> Array:
        return maml.gradient(theta, *tasks, alpha=alpha, steps=steps)

    settings: dict[str, Any] = {"iterations": 300, "batch": 25, "alpha": 0.02, "rng": rng}
    starts = {
        "zeros": zeros,
        "random, N(0, 1)": rng.normal(size=3),
        "MAML, closed form (= joint)": family.mean_parameters,
        "MAML, trained": trained(family, zeros, exact, name="MAML on sinusoids", **settings),
        "Reptile, trained": trained(family, zeros, towards_adapted, name="Reptile on sinusoids", **settings),
    }
    held_out = family.sample(1000, rng)
    table(
        f"Sinusoids A sin(x - phi), 10 shots, alpha = {alpha}: 1000 held-out tasks",
        "mean query loss, (1/2) squared error",
        {name: curve(theta, held_out, alpha=alpha) for name, theta in starts.items()},
        "The optimum is 0: with the features [1, sin x, cos x] every task is exactly linear.\n"
        "MAML's best start is the mean of the tasks' parameters, which is the joint minimiser too, for every alpha and\n"
        "number of steps (thm:joint-tie): linear features leave nothing for MAML to gain over joint training here.",
    )


def random_mdps(rng: Generator, alpha: float = 10.0, steps: int = 1) -> None:
    """Returns: MAML's and Reptile's starts by training on exact gradients."""
    family, zeros = RandomMDPs(), np.zeros(RandomMDPs().dim)

    def exact(theta: Array, tasks: Split) -> Array:
        return maml.gradient(theta, *tasks, alpha=alpha, steps=steps)

    def towards_adapted(theta: Array, tasks: Split) -> Array:
        return reptile.gradient(theta, adapt(theta, tasks.support, alpha=alpha, steps=3).adapted, alpha=alpha)

    settings: dict[str, Any] = {"iterations": 100, "batch": 20, "alpha": 0.02, "rng": rng}
    start = rng.normal(size=family.dim)
    starts = {
        "zeros (uniform logits)": zeros,
        "random, N(0, 1)": start,
        "MAML, trained from zeros": trained(family, zeros, exact, name="MAML on random MDPs", **settings),
        "MAML, trained from random": trained(family, start, exact, name="MAML on random MDPs", **settings),
        "Reptile, trained from zeros": trained(
            family, zeros, towards_adapted, name="Reptile on random MDPs", **settings
        ),
    }
    held_out = family.sample(200, rng)
    best = float(np.mean(optimal_values(held_out.support.mdp).best_return))
    table(
        f"Random MDPs of RL^2 (10 states, 5 actions, 10 steps), alpha = {alpha:g}: 200 held-out tasks",
        "mean return, sum of 10 rewards",
        {name: [-loss for loss in curve(theta, held_out, alpha=alpha)] for name, theta in starts.items()},
        f"The optimum, by a policy that may depend on time, is {best:.3f} on average.\n"
        "Before adaptation every start has the expected return 10, since every reward has mean 1 whatever is visited:\n"
        "what differs from 10 in the first column is the chance of these tasks, and only adaptation can gain.  Uniform\n"
        "logits are the symmetric point of the family, so no start need be better than they are.",
    )


def demo(*, seed: int = 0) -> int:
    """Print both tables."""
    begun, rng = time.perf_counter(), np.random.default_rng(seed)
    print(f"Adaptation by exact gradient descent on tasks that no start was trained on (seed {seed}).\n")
    sinusoids(rng)
    random_mdps(rng)
    print(f"({time.perf_counter() - begun:.1f} s)")
    return 0
