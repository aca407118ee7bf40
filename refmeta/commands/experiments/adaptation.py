"""`python -m refmeta experiment adaptation`: held-out tasks of every family, from different starts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.commands.experiments.held_out import goal_families
from refmeta.commands.experiments.learned_steps import trained_lstm
from refmeta.commands.experiments.navigation import navigation
from refmeta.commands.experiments.record import GREEDY, Experiment, ExperimentPart, named_numbers
from refmeta.commands.experiments.starts import trained_starts
from refmeta.commands.experiments.step_tables import (
    STEPS,
    Setting,
    alpha_curves,
    alpha_sentences,
    geometric,
    own_alphas,
    steps_table,
)
from refmeta.meta.maml import MAML
from refmeta.meta.reptile import Reptile
from refmeta.tasks.distributions import GoalGridworlds, RandomMDPs, Sinusoids, Split
from refmeta.tasks.planning import optimal_values

__all__ = ["ADAPTATION", "gridworlds", "random_mdps", "returns", "sinusoids"]


def sinusoids(
    rng: Generator, alpha: float = 0.8, iterations: int = 300, tasks: int = 1000, lstm_iterations: int = 600
) -> ExperimentPart:
    """Regression: MAML's start in closed form and by training, Reptile's by training."""
    family, zeros = Sinusoids(), np.zeros(3)
    rules = {"MAML, trained": MAML(alpha), "Reptile, trained": Reptile(alpha)}
    starts = {"zeros": zeros, "random, N(0, 1)": rng.normal(size=3)}
    starts |= {"joint training (= MAML, exact)": family.mean_parameters}
    starts |= trained_starts(family, zeros, rules, rng, iterations=iterations)
    training, held_out = (family.sample(n, rng) for n in (tasks // 2 + 1, tasks))
    unit = "mean query loss: half the mean squared error"
    setting = Setting("Sinusoids A sin(x - phi), 10 shots", unit, training, held_out, alpha, geometric(alpha, 1 / 8, 2.5, 15))
    lstm = trained_lstm(family, setting.held_out, rng, steps=STEPS, iterations=lstm_iterations)
    table = steps_table(setting, starts, 0.0, **{"Meta-LSTM, trained": lstm.curve})
    own = own_alphas(setting, starts, 0.0)
    sentences = alpha_sentences(table, own, "MAML, trained", ["joint training (= MAML, exact)", "zeros"], 0.0)
    theorem = (
        "The optimum is 0: with the features [1, √2 sin x, √2 cos x] every task is exactly linear. "
        "MAML's best start is the mean of the tasks' parameters, which is the joint minimiser too, for every alpha and "
        "number of steps (thm:joint-tie): linear features leave nothing for MAML to gain over joint training here.",
        "Meta-LSTM has learned its steps, too, for five of them: it need not be good after fewer.",
    )
    return ExperimentPart((table, own), (alpha_curves(setting, starts, 0.0),), (*theorem, *sentences))


def returns(
    title: str, unit: str, family: Any, samples: tuple[Split, Split], rng: Generator, *, alpha: float, about: Sequence[str],
    iterations: int, lstm: bool = True,
) -> ExperimentPart:  # fmt: skip
    """Returns: starts trained on a family by exact gradients, and each adapted by exact gradients; perhaps a Meta-LSTM, too.

    `samples` are tasks to choose step sizes on, and tasks that are held out.
    """
    zeros, start = np.zeros(family.dim), rng.normal(size=family.dim)
    rules = {"joint training": MAML(alpha, steps=0), "Reptile": Reptile(alpha, steps=3), "MAML": MAML(alpha)}
    starts = {"zeros (uniform logits)": zeros, "random, N(0, 1)": start}
    starts |= trained_starts(family, zeros, rules, rng, iterations=iterations)
    starts |= trained_starts(family, start, {"MAML, trained from random": MAML(alpha)}, rng, iterations=iterations)
    setting = Setting(title, unit, *samples, alpha, geometric(alpha, 1 / 8, 64, 10), sign=-1)
    best = float(np.mean(optimal_values(setting.held_out.support.mdp).best_return))
    learned = _learned_steps(family, setting, rng, iterations // 2) if lstm else ({}, ())
    table, own = steps_table(setting, starts, best, **learned[0]), own_alphas(setting, starts, best)
    sentences = alpha_sentences(table, own, "MAML", ["joint training", "zeros (uniform logits)"], best)
    texts = (*about, *sentences, _training_text(setting, starts), _limit_text(setting, starts, best), *learned[1])
    return ExperimentPart((table, own), (alpha_curves(setting, starts, best),), texts)


def _limit_text(setting: Setting, starts: dict[str, Array], best: float) -> str:
    """What a single exact step of any size amounts to, and what the largest of the grid leaves."""
    largest = setting.alphas[-1]
    gaps = [best - setting.value(theta, largest, 1) for theta in starts.values()]
    return (
        f"{GREEDY} With alpha = {largest:g} the starts are {min(gaps):.3f} to {max(gaps):.3f} below the optimum."
    )


def _training_text(setting: Setting, starts: dict[str, Array]) -> str:
    """What the starts reach in the tasks that the own α was chosen on."""
    values = {name: setting._replace(held_out=setting.training).value(theta, setting.alpha, 1) for name, theta in starts.items()}
    return (
        f"The {setting.training.support.shape[0]} training tasks, after one step at the common alpha: {named_numbers(values)}. "
        "Training made its starts for tasks like these: what it gains here, it need not gain in tasks that were held out, and may lose there."
    )


def _learned_steps(
    family: Any, setting: Setting, rng: Generator, iterations: int
) -> tuple[dict[str, list[float]], tuple[str, ...]]:
    """The row of a trained Meta-LSTM, and a sentence on the length of its steps."""
    losses, longest = trained_lstm(family, setting.held_out, rng, steps=STEPS, iterations=iterations)
    text = (
        "A step of Meta-LSTM is at most one gradient and what its forget gate takes from the parameters "
        f"(thm:gate-bound). This one was trained for {iterations} iterations. Its longest step on these tasks is "
        f"{longest:.2f} gradients; each step of gradient descent is {setting.alpha:g}."
    )
    return {"Meta-LSTM": [-loss for loss in losses]}, (text,)


def random_mdps(rng: Generator, tasks: int = 200, iterations: int = 100) -> ExperimentPart:
    """The tables of `RandomMDPs`."""
    family = RandomMDPs()
    return returns(
        "Random MDPs after RL^2 (10 states, 5 actions, 10 steps)", "mean return: sum of 10 expected rewards",
        family, (family.sample(tasks // 2 + 1, rng), family.sample(tasks, rng)), rng, alpha=10.0, iterations=iterations,
        about=["The optimum is that of a policy that may depend on time. Before adaptation every start has the expected "
        "return 10, since every reward has mean 1 whatever is visited: what differs from 10 in the first column is the "
        "chance of these tasks, and only adaptation can gain."],
    )  # fmt: skip


def gridworlds(rng: Generator, iterations: int = 100, *, lstm: bool = True) -> ExperimentPart:
    """The tables of `GoalGridworlds`, with goals that are held out."""
    families = goal_families(GoalGridworlds(), rng)
    return returns(
        "Goal gridworlds (5 x 5, slip 0.1, start in a corner)", "mean return: 0.95^(moves - 1) at the goal",
        families.training, families.splits, rng, alpha=20.0, iterations=iterations, lstm=lstm,
        about=[families.about, "The gradient is exact: one step knows where the goal is, wherever it starts."],
    )  # fmt: skip


ADAPTATION = Experiment(
    "adaptation",
    "Adaptation to tasks that nothing was trained on",
    "An agent meets a task that it has never seen, and takes a few gradient steps on it. Does it matter where these "
    "steps start? MAML and Reptile train the start so that the steps after it are good. The rivals are zeros, random "
    "numbers, and joint training, which trains one policy or model for all tasks and knows nothing of steps. alpha is the "
    "size of the steps.",
    "anything about learning from samples: every gradient here is exact, which no agent has (experiment "
    "sample-efficiency); or about tasks of another kind than those of the training (experiment generalisation). "
    "One seed trains one start of each kind: differences of a few thousandths may be chance, --seed shows.",
    {"sinusoids": sinusoids, "navigation": navigation, "random-mdps": random_mdps, "gridworlds": gridworlds},
)
