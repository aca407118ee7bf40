"""`python -m refmeta bias`: exact bias and deviation of meta-gradient estimators on a tiny process.

Derivation: derivations/sampled-meta-gradients.md
"""

import argparse
import itertools
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

import refmeta
from refmeta.arrays import Array
from refmeta.commands.arguments import whole_number
from refmeta.meta import sampled
from refmeta.oracle.documents import parse_json, read_text
from refmeta.oracle.suites.expected_estimators.problem import (
    Estimate,
    Surrogates,
    first_order,
    normalised_surrogate,
    scaled_score,
    without_score,
)
from refmeta.oracle.vectors import UsageError
from refmeta.policies import TabularSoftmax
from refmeta.sampling.enumeration import MOST, excess_text, number_of_paths, paths
from refmeta.sampling.returns import exact_baseline
from refmeta.sampling.surrogates import Surrogate, dice, likelihood_ratio, loaded_dice, reinforce, tmaml
from refmeta.sampling.trajectories import Trajectories
from refmeta.tables import Column, count_text, paragraphs, table, unknown_name
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP

__all__ = [
    "BiasRow", "Block", "ESTIMATORS", "Estimator", "PROCESSES", "add", "as_json", "bias", "block_table", "blocks",
    "read_process",
]  # fmt: skip

PROCESSES: dict[str, dict[str, Any]] = {
    "two-state": {
        "P": [[[0.75, 0.25], [0.25, 0.75]], [[0.5, 0.5], [0.125, 0.875]]],
        "R": [[0.0, 1.0], [2.0, -1.0]], "rho": [1.0, 0.0], "gamma": 0.75, "horizon": 2,
        "theta": [0.5, -0.25, -0.75, 0.25],
    },
    "bandit": {
        "P": [[[1.0], [1.0], [1.0]]], "R": [[0.0, 1.0, 3.0]], "rho": [1.0], "gamma": 0.5, "horizon": 1,
        "theta": [0.5, 0.0, -0.5],
    },
    "chain": {
        "P": [[[1, 0, 0], [0, 1, 0]], [[1, 0, 0], [0, 0, 1]], [[1, 0, 0], [0, 0, 1]]],
        "R": [[0.25, 0.0], [0.25, 0.0], [0.25, 2.0]], "rho": [1.0, 0.0, 0.0], "gamma": 0.75, "horizon": 3,
        "theta": [0.5, 0.0, 0.25, 0.0, -0.25, 0.0],
    },
}  # fmt: skip

ROUNDING = 1e-13


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser("bias", help="exact bias and deviation of sampled meta-gradients on a tiny process")
    command.add_argument(
        "--mdp", default="two-state", metavar="NAME|FILE.json",
        help=f"{', '.join(PROCESSES)}, or a JSON object of your own with the keys P, R, rho, gamma, horizon, perhaps theta",
    )  # fmt: skip
    command.add_argument("--alpha", type=_number, nargs="+", default=[0.125, 0.75], metavar="A", help="inner step sizes")
    command.add_argument(
        "--episodes", type=whole_number(1), nargs="+", default=[1, 2], metavar="M", help="trajectories per step"
    )
    command.add_argument("--steps", type=whole_number(1), nargs="+", default=[1, 2], metavar="K", help="inner steps")
    command.add_argument("--format", choices=("text", "json"), default="text")
    command.set_defaults(run=lambda o: bias(o.mdp, steps=o.steps, episodes=o.episodes, alphas=o.alpha, form=o.format))


def _number(text: str) -> float:
    """A finite number."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"must be a finite number, got {text!r}")
    return number


class Estimator(NamedTuple):
    """A name, what it is, the surrogate of an inner step, and the meta-gradient from all of them."""

    name: str
    what: str
    make: Callable[[PolicyReturn, Array, Trajectories], Surrogate]
    estimate: Estimate


def _e_maml(task: PolicyReturn, theta: Array, surrogates: Surrogates, alpha: Any) -> Array:
    """The gradient with the score term of every step."""
    return sampled.emaml_gradient(theta, surrogates, task, alpha=alpha)


def _mean_score(task: PolicyReturn, theta: Array, surrogates: Surrogates, alpha: Any) -> Array:
    """The same with the mean score of a batch instead of the sum."""
    return scaled_score(1 / surrogates[0].trajectories.mask.shape[-2])(task, theta, surrogates, alpha)


def _without_baseline(kind: Callable[..., Surrogate]) -> Callable[[PolicyReturn, Array, Trajectories], Surrogate]:
    """A surrogate without a baseline."""
    return lambda task, theta, batch: kind(task.policy, theta, batch, gamma=task.mdp.gamma)


def _with_exact_baseline(kind: Callable[..., Surrogate]) -> Callable[[PolicyReturn, Array, Trajectories], Surrogate]:
    """A surrogate with the exact V_t(s_t) as its baseline."""

    def make(task: PolicyReturn, theta: Array, batch: Trajectories) -> Surrogate:
        V = exact_baseline(batch, task.at(theta))
        return kind(task.policy, theta, batch, gamma=task.mdp.gamma, baseline=V)

    return make


_naive = _without_baseline(reinforce)
ESTIMATORS = (
    Estimator("e-maml", "naive curvature and the score term", _naive, _e_maml),
    Estimator("score-term-dropped", "naive curvature alone", _naive, without_score),
    Estimator("score-term-alpha", "the score term times α", _naive, lambda t, x, s, a: scaled_score(a)(t, x, s, a)),
    Estimator("score-term-mean", "the score term times 1/M", _naive, _mean_score),
    Estimator("first-order", "no curvature", _naive, first_order),
    Estimator("lvc", "likelihood-ratio curvature", _without_baseline(likelihood_ratio), without_score),
    Estimator("dice", "DiCE's curvature", _without_baseline(dice), without_score),
    Estimator("naive, exact V", "naive curvature, advantages", _with_exact_baseline(reinforce), without_score),
    Estimator("loaded-dice, exact V", "Loaded DiCE's, advantages", _with_exact_baseline(loaded_dice), without_score),
    Estimator("tmaml, exact V", "DiCE's with T-MAML's baseline", _with_exact_baseline(tmaml), without_score),
    Estimator("advantages-normalised", "e-maml, (Â − μ)/σ inside", normalised_surrogate, _e_maml),
)  # fmt: skip


class BiasRow(NamedTuple):
    """One estimator at one setting: its bias for either formulation."""

    estimator: Estimator
    exact: sampled.Bias
    sampled: sampled.Bias


class Block(NamedTuple):
    """One setting: K, M, α, the two gradients, and one row per estimator; no rows where there are too many tuples."""

    steps: int
    episodes: int
    alpha: float
    exact: Array
    sampled: Array
    rows: tuple[BiasRow, ...]


def read_process(name: str) -> tuple[PolicyReturn, Array]:
    """A named process, or one of a JSON file, and theta (zeros where none is given)."""
    if name not in PROCESSES and not os.path.exists(name):
        listing = f"the processes are {', '.join(PROCESSES)}; no file is called so, either"
        raise UsageError(unknown_name("process", name, PROCESSES, listing))
    document = PROCESSES[name] if name in PROCESSES else parse_json(read_text(name), name)
    wanted = {"P", "R", "rho", "gamma", "horizon"}
    if not isinstance(document, dict) or not wanted <= set(document) <= wanted | {"theta"}:
        got = ", ".join(sorted(document)) if isinstance(document, dict) else type(document).__name__
        raise UsageError(f"{name}: expected the keys P, R, rho, gamma, horizon and perhaps theta, got {got}")
    try:
        mdp = FiniteMDP(*(document[key] for key in ("P", "R", "rho", "gamma", "horizon")))
        task = PolicyReturn(mdp, TabularSoftmax(mdp.states, mdp.actions))
        theta = np.asarray(document.get("theta", [0.0] * task.dim), dtype=float)
        if mdp.horizon is None or mdp.shape or theta.shape != (task.dim,):
            raise ValueError(
                f"one task with a horizon and theta of shape ({task.dim},) is required, got batch axes {mdp.shape}, "
                f"horizon {mdp.horizon}, theta of shape {theta.shape}"
            )
        task.at(theta)
        paths(mdp)
    except (ValueError, TypeError, OverflowError) as error:
        raise UsageError(f"{name}: {error}") from None
    return task, theta


def blocks(
    task: PolicyReturn, theta: Array, *, steps: Sequence[int], episodes: Sequence[int], alphas: Sequence[float]
) -> Iterator[Block]:
    """Every setting in turn."""
    number, none = number_of_paths(task.mdp), np.full(task.dim, np.nan)
    for K, M, alpha in itertools.product(steps, episodes, alphas):
        if excess_text(number, K * M):
            yield Block(K, M, alpha, none, none, ())
            continue
        exact = sampled.formulation_exact(theta, task, alpha=alpha, steps=K).gradient
        mean = sampled.formulation_sampled(theta, task, alpha=alpha, episodes=M, steps=K).gradient
        yield Block(K, M, alpha, exact, mean, tuple(_row(e, task, theta, K, M, alpha, exact, mean) for e in ESTIMATORS))


def _finite(name: str, settings: Iterator[Block]) -> Iterator[Block]:
    """The blocks; UsageError where rewards or step sizes are so large that a number is not finite."""
    try:
        yield from settings
    except (FloatingPointError, ValueError) as error:
        raise UsageError(f"{name}: the rewards or a step size are too large: {error}") from None


def _row(
    e: Estimator, task: PolicyReturn, theta: Array, K: int, M: int, alpha: float, exact: Array, mean: Array
) -> BiasRow:
    """One estimator at one setting."""
    moments = sampled.moments(
        lambda x, surrogates: e.estimate(task, x, surrogates, alpha),
        lambda x, batch: e.make(task, x, batch),
        theta, task, alpha=alpha, episodes=M, steps=K,
    )  # fmt: skip
    return BiasRow(e, sampled.estimator_bias(moments, exact), sampled.estimator_bias(moments, mean))


def block_table(block: Block, number: int) -> str:
    """A block as a table, or how many of a process's `number` trajectories a tuple may have."""
    head = f"K = {block.steps}, M = {block.episodes}, α = {block.alpha:g}"
    if not block.rows:
        most = next(k for k in itertools.count(1) if excess_text(number, k + 1))
        return paragraphs(
            f"{head}: not enumerated, more than {MOST:,} tuples of trajectories; --steps times --episodes may be "
            f"{most} at most on this process"
        )
    size = f"|∇I| = {np.linalg.norm(block.exact):.4g}, |∇II| = {np.linalg.norm(block.sampled):.4g}"
    heads = [f"{target}\n{text}" for target in ("∇I:", "∇II:") for text in ("|bias|", "in %", "cosine")]
    columns = [Column("estimator", text=True), *(Column(text, right=True) for text in (*heads, "deviation"))]
    rows = [[e.name, *_cells(exact), *_cells(mean), f"{mean.deviation:#.3g}"] for e, exact, mean in block.rows]
    return table(f"{head}; {size}\n", columns, rows)


def _cells(bias: sampled.Bias) -> tuple[str, str, str]:
    """The norm, 0 if it is rounding, the norm in percent of the gradient's, and the cosine of estimate and gradient."""
    return "0" if bias.relative < ROUNDING else f"{bias.norm:#.2g}", f"{100 * bias.relative:.1f}", f"{bias.cosine:.5f}"


def as_json(name: str, task: PolicyReturn, settings: Sequence[Block]) -> str:
    """Every block, with numbers in full and null for a number that is not finite."""

    def number(x: float) -> float | None:
        return x if math.isfinite(x) else None

    def estimator(row: BiasRow) -> dict[str, Any]:
        biases = {key: {f: number(x) for f, x in getattr(row, key)._asdict().items()} for key in ("exact", "sampled")}
        return {"estimator": row.estimator.name} | biases

    def entry(block: Block) -> dict[str, Any]:
        sizes = {key: getattr(block, key) for key in ("steps", "episodes", "alpha")}
        gradients = {key: [number(float(x)) for x in getattr(block, key)] for key in ("exact", "sampled")}
        return {**sizes, "gradient": gradients, "estimators": [estimator(row) for row in block.rows]}

    document = {"refmeta": refmeta.__version__, "process": name, "trajectories": number_of_paths(task.mdp)}
    return json.dumps({**document, "settings": [entry(block) for block in settings]}, indent=1)


def bias(
    name: str, *, steps: Sequence[int], episodes: Sequence[int], alphas: Sequence[float], form: str = "text"
) -> int:
    """Print the table, or the JSON; 0."""
    task, theta = read_process(name)
    settings = _finite(name, blocks(task, theta, steps=steps, episodes=episodes, alphas=alphas))
    if form == "json":
        print(as_json(name, task, list(settings)))
        return 0
    mdp = task.mdp
    print(
        paragraphs(
            f"Exact bias of sampled meta-gradients on {name}: {count_text(mdp.states, 'state')}, "
            f"{count_text(mdp.actions, 'action')}, horizon {mdp.horizon}, γ = {mdp.gamma:g}; "
            f"{number_of_paths(mdp)} trajectories, every tuple of them enumerated. Gradients are of the loss −J.\n\n"
            "∇I: of L(θ − α∇L(θ)), exact adaptation (formulation-exact).\n"
            "∇II: of E[L(θ + αĝ)], adaptation on M trajectories a step, K steps (formulation-sampled).\n"
            "|bias|: of the mean estimate; in %: of the length of the gradient ∇I or ∇II; cosine: of the angle "
            "between them.\n"
            "deviation: √tr Cov of one estimate, in the units of the gradient.\n"
            "The gradient after the adaptation is exact: what is shown comes from the inner batch.\n"
        )
    )
    print(table("Estimators\n", (Column("estimator"), Column("what it is", text=True)), [e[:2] for e in ESTIMATORS]))
    for block in settings:
        print("\n" + block_table(block, number_of_paths(mdp)), flush=True)
    return 0
