"""`python -m refmeta experiment sensitivity`: what depends on α, K, the number of tasks, γ and λ, with exact slopes.

Derivation: derivations/best-possible.md
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.commands.experiments.exact_starts import TaskSets, Valleys, maml_start, noisy, sampled_tasks, sinusoids
from refmeta.commands.experiments.held_out import goal_families, goal_tasks
from refmeta.commands.experiments.record import (
    AT_END,
    Curves,
    Experiment,
    ExperimentPart,
    NumberTable,
    difference_text,
    is_end,
    named_choices,
    named_numbers,
)
from refmeta.commands.experiments.starts import best_alpha, mean_loss, trained_starts
from refmeta.commands.experiments.step_tables import geometric
from refmeta.meta import implicit, maml, sensitivity
from refmeta.meta.maml import MAML
from refmeta.tasks.distributions import GoalGridworlds, Split
from refmeta.tasks.planning import optimal_values

__all__ = ["SENSITIVITY", "TaskSets", "discount", "inner_steps", "proximal_slope", "proximity", "step_size", "training_tasks"]

STRENGTHS, NOISE = tuple(4.0**k for k in range(-5, 3)), 0.5
ALPHA, SINUSOIDS, VALLEYS = 0.3, "Sinusoids with radial features, 10 shots", "Valleys: the steeper, the further away"
UNIT = "mean query loss on held-out tasks: half the mean squared error"
LOSS = "mean loss on held-out tasks; at the minimum of each it is 0"


def step_size(rng: Generator, tasks: int = 200) -> ExperimentPart:
    """α: the loss after one step, and its slope, with the start kept and with the start trained for this α."""
    data, rows = sampled_tasks(Valleys(), rng, tasks), {}
    alphas = [k / 10 for k in range(1, 13)]
    for alpha in alphas:
        kept = float(np.mean(maml.step_size_gradient(data.joint, *data.held_out, alpha=alpha)))
        start = data.start(alpha)
        moved = sensitivity.step_size_sensitivity(start, *data.training, alpha=alpha, held_out=data.held_out).judged
        difference = (data.value(data.start(alpha + 1e-4), alpha + 1e-4) - data.value(data.start(alpha - 1e-4), alpha - 1e-4)) / 2e-4
        rows[f"{alpha:.4g}"] = [data.value(data.joint, alpha), kept, data.value(start, alpha), float(np.mean(moved)), difference]
    heads = ("joint", "slope", "MAML", "slope", "difference")
    table = NumberTable(f"{VALLEYS}, one step: the step size", f"{LOSS}; slope: its derivative by alpha", "alpha", heads, rows)
    lines, slopes = ({n: [row[i + j] for row in rows.values()] for n, i in (("joint start", 0), ("MAML's start for this alpha", 2))} for j in (0, 1))
    curves = Curves(f"{VALLEYS}: after one step", "step size alpha", "mean loss", alphas, lines, {"optimum": data.optimum}, "", slopes)
    return ExperimentPart((table,), (curves,), _step_size_texts(data, rows))


def _step_size_texts(data: TaskSets, rows: dict[str, list[float]]) -> tuple[str, ...]:
    """Which α is best for each start, and how far the exact slope is from a difference."""
    best = {name: float(min(rows, key=lambda a: rows[a][i])) for name, i in (("joint training", 0), ("MAML", 2))}
    joint, trained = (min(row[i] for row in rows.values()) for i in (0, 2))
    gap = max(abs(row[3] - row[4]) for row in rows.values())
    return (
        f"The best alpha in the table: {named_choices(best, map(float, rows))}. There the loss is {joint:.3f} for joint training and "
        f"{trained:.3f} for MAML. MAML's start against joint training's: {difference_text(trained, joint)}.",
        "The slope of 'MAML' includes that its start is trained again for another alpha: it is exact, by the implicit "
        f"function theorem, without training again. 'difference' trains twice more; the two differ by {gap:.1e} at most.",
    )


def inner_steps(rng: Generator, tasks: int = 200) -> ExperimentPart:
    """K: starts that were trained for K steps, after K steps, at the common α and each at its own."""
    data, rows, counts, alphas = sampled_tasks(Valleys(), rng, tasks), {}, (1, 2, 3, 5, 10), geometric(ALPHA, 1 / 8, 4, 15)
    for K in counts:
        starts = (np.zeros(data.joint.size), data.joint, data.start(ALPHA, K))
        rows[str(K)] = [*(data.value(theta, ALPHA, K) for theta in starts), *_tuned(data, K, alphas)]
    heads = ("zeros", "joint", "MAML", "own alpha", "joint", "own alpha", "MAML")
    formats = (".3f", ".3f", ".3f", ".4g", ".4f", ".4g", ".4f")
    title = f"{VALLEYS}: the number of steps; alpha = {ALPHA:g}, then each with its own"
    ends = {K: [i for i in (3, 5) if is_end(row[i], alphas)] for K, row in rows.items()}
    unit = f"{LOSS}; MAML: trained for this K and alpha; * {AT_END}"
    table = NumberTable(title, unit, "K", heads, rows, formats, ends)
    columns = {"zeros": 0, "joint": 1, "MAML for this K": 2, "joint, own alpha": 4, "MAML, own alpha": 6}
    lines = {name: [row[i] for row in rows.values()] for name, i in columns.items()}
    curves = Curves(f"{VALLEYS}", "inner steps K", "mean loss", [float(K) for K in counts], lines, log="y")
    gains = {f"K = {K}": row[1] - row[2] for K, row in rows.items()}
    own = {f"K = {K}": row[4] - row[6] for K, row in rows.items()}
    return ExperimentPart((table,), (curves,), (
        f"Joint training's loss minus MAML's, at the common alpha: {named_numbers(gains)}; each with its own alpha: "
        f"{named_numbers(own, '.4f')}.",
        f"With its own alpha joint training reaches {rows['1'][4]:.3f} in one step; MAML at the common alpha {rows['1'][2]:.3f}.",
    ))  # fmt: skip


def _tuned(data: TaskSets, K: int, alphas: Sequence[float]) -> list[float]:
    """The α that is best on the training tasks, and the held-out loss with it: for joint training and for MAML."""
    joint = best_alpha(data.joint, data.training, alphas, steps=K)
    starts = {alpha: data.start(alpha, K) for alpha in alphas}
    own = min(alphas, key=lambda alpha: mean_loss(starts[alpha], data.training, alpha=alpha, steps=K))
    return [joint, data.value(data.joint, joint, K), own, data.value(starts[own], own, K)]


def training_tasks(rng: Generator, draws: int = 8) -> ExperimentPart:
    """The number of training tasks: mean and deviation over several draws of them, judged on the same held-out tasks."""
    data, rows, counts = sampled_tasks(sinusoids(), rng, 100), {}, (2, 4, 8, 16, 32, 64)
    for n in counts:
        samples = [sinusoids().sample(n, rng) for _ in range(draws)]
        losses = np.array([[data.value(maml_start(each, ALPHA, K), ALPHA) for K in (0, 1)] for each in samples])
        rows[str(n)] = [x for K in (0, 1) for x in (float(np.mean(losses[:, K])), float(np.std(losses[:, K], ddof=1)))]
    heads = ("joint", "deviation", "MAML", "deviation")
    table = NumberTable(f"{SINUSOIDS}, one step, alpha = {ALPHA:g}: the number of training tasks", f"{UNIT}; mean and deviation of {draws} draws", "tasks", heads, rows)
    lines = {name: [row[i] for row in rows.values()] for name, i in (("joint", 0), ("MAML", 2))}
    zeros = data.value(np.zeros(data.joint.size), ALPHA)
    levels = {"zeros, no training": zeros, "optimum": data.optimum}
    curves = Curves(f"{SINUSOIDS}: after one step", "training tasks", "mean query loss", [float(n) for n in counts], lines, levels, "x")
    few, many = rows[str(counts[0])], rows[str(counts[-1])]
    return ExperimentPart((table,), (curves,), (
        f"With {counts[0]} training tasks MAML's start costs {few[2]:.3f} and joint training's {few[0]:.3f}; with {counts[-1]} "
        f"they cost {many[2]:.3f} and {many[0]:.3f}. Zeros, which need no training task, cost {zeros:.3f}; the best "
        f"parameters of each task cost {data.optimum:.3f}. Inputs do not depend on the task here, so that MAML has little to gain "
        "over joint training (thm:joint-tie).",
    ))  # fmt: skip


def proximity(
    rng: Generator, tasks: int = 100, strengths: Sequence[float] = STRENGTHS
) -> ExperimentPart:
    """λ of implicit MAML: the loss at argmin L + (λ/2)|φ − θ|², and its exact slope dF/dλ = ∇F·(θ − φ)/λ."""
    data, rows = sampled_tasks(sinusoids(), rng, tasks), {}
    held_out = noisy(data.held_out, rng, NOISE)
    for strength in strengths:
        pairs = [proximal_slope(theta, held_out, strength) for theta in (np.zeros(data.joint.size), data.joint)]
        up, down = (proximal_slope(data.joint, held_out, strength * (1 + h))[0] for h in (1e-4, -1e-4))
        rows[f"{strength:.3g}"] = [*pairs[0], *pairs[1], (up - down) / (2e-4 * strength)]
    heads = ("zeros", "slope", "joint", "slope", "difference")
    title = f"{SINUSOIDS} with noise of deviation {NOISE:g}: the strength of implicit MAML"
    table = NumberTable(title, f"{UNIT}; slope: its derivative by lambda", "lambda", heads, rows)
    lines, slopes = ({n: [row[i + j] for row in rows.values()] for n, i in (("zeros", 0), ("joint start", 2))} for j in (0, 1))
    curves = Curves(f"{SINUSOIDS}: at argmin L + lambda/2 |phi - theta|^2", "lambda", "mean query loss", list(strengths), lines, {"optimum": data.optimum}, "x", slopes)
    losses = {"zeros": lines["zeros"], "joint training": lines["joint start"]}
    best = {name: strengths[int(np.argmin(line))] for name, line in losses.items()}
    gap = max(abs(row[3] - row[4]) for row in rows.values())
    return ExperimentPart((table,), (curves,), (
        f"The best lambda in the table: {named_choices(best, strengths, '.3g')}. There the loss is "
        f"{named_numbers({name: min(line) for name, line in losses.items()})}. A small lambda trusts the 10 points with their noise, a "
        "large one the start.",
        f"The exact slope of 'joint' and the difference are {gap:.1e} apart at most.",
    ))  # fmt: skip


def proximal_slope(theta: Array, tasks: Split, strength: float) -> list[float]:
    """The mean of F(θ; λ), and of ∂F/∂λ = ∇F·(θ − φ)/λ: (H + λI) dφ = (θ − φ) dλ, and ∇F = λ(H + λI)⁻¹∇L_query(φ)."""
    phi = implicit.adapt(theta, tasks.support, strength=strength).adapted
    slope = np.sum(implicit.gradient(theta, *tasks, strength=strength) * (theta - phi), axis=-1) / strength
    return [float(np.mean(implicit.objective(theta, *tasks, strength=strength))), float(np.mean(slope))]


def discount(rng: Generator, iterations: int = 100, alpha: float = 20.0) -> ExperimentPart:
    """γ: the step follows the gradient of a return with another discount; the result is judged by that of the family."""
    families = goal_families(GoalGridworlds(), rng)
    family, zeros = families.training, np.zeros(families.training.dim)
    rules = {"joint": MAML(alpha, steps=0), "MAML": MAML(alpha)}
    starts = {"zeros": zeros, "random": rng.normal(size=zeros.size)} | trained_starts(family, zeros, rules, rng, iterations=iterations)
    query, rows, discounts = goal_tasks(families.held_out), {}, (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
    for gamma in discounts:
        split = Split(goal_tasks(replace(families.held_out, gamma=gamma)), query)
        rows[f"{gamma:g}"] = [-mean_loss(theta, split, alpha=alpha, steps=1) for theta in starts.values()]
    best = float(np.mean(optimal_values(query.mdp).best_return))
    table = NumberTable(
        f"Goal gridworlds, one step, alpha = {alpha:g}: the discount of the gradient; {query.shape[0]} held-out goals",
        f"mean return, judged with gamma = {family.gamma:g}; the optimum is {best:.3f}", "gamma", tuple(starts), rows,
    )  # fmt: skip
    lines: dict[str, Any] = {name: [row[i] for row in rows.values()] for i, name in enumerate(starts)}
    curves = Curves("Goal gridworlds: after one step", "discount gamma of the gradient", "mean return", list(discounts), lines, {"optimum": best})
    top = {name: discounts[int(np.argmax(line))] for name, line in lines.items()}
    return ExperimentPart((table,), (curves,), (
        f"The best discount in the table: {named_choices(top, discounts)}. A larger discount makes distant rewards count more, so "
        "that the gradient is longer, too: with alpha kept the step is longer.",
    ))  # fmt: skip


SENSITIVITY = Experiment(
    "sensitivity",
    "What the result depends on: step size, steps, tasks, discount, strength",
    "Whoever uses MAML chooses a step size alpha, a number of steps K and of training tasks, a discount gamma, and for "
    "implicit MAML a strength lambda. How much does the result after adaptation change with each, and would joint "
    "training with the same care do as well?",
    "how these choices interact, except K and alpha: all others are kept while one is changed. Deep networks may depend on "
    "them otherwise. Losses are "
    "quadratic, except in the gridworlds, so that the best start can be computed exactly.",
    {"step-size": step_size, "inner-steps": inner_steps, "training-tasks": training_tasks, "discount": discount, "strength": proximity},
)
