"""`python -m refmeta bias`: exact bias and deviation of meta-gradient estimators on a tiny process.

Derivation: derivations/sampled-meta-gradients.md
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from typing import Any

from refmeta.commands.arguments import add_workers, this_folder_on_path, whole_number
from refmeta.commands.bias.blocks import BiasRow, Block, blocks
from refmeta.commands.bias.documents import as_json
from refmeta.commands.bias.estimators import ESTIMATORS, Estimator
from refmeta.commands.bias.gradients import gradient_blocks, gradient_table
from refmeta.commands.bias.likeness import always
from refmeta.commands.bias.processes import PROCESSES, read_process
from refmeta.commands.bias.tables import block_table
from refmeta.commands.bias.yours import HELP, Yours, read_yours
from refmeta.oracle.results import CallError
from refmeta.oracle.vectors import UsageError
from refmeta.pieces import worker_pool
from refmeta.sampling.enumeration import number_of_paths
from refmeta.tables import Column, count_text, paragraphs, table
from refmeta.tasks.exact_return import PolicyReturn

__all__ = [
    "BiasRow", "Block", "ESTIMATORS", "Estimator", "PROCESSES", "add", "as_json", "bias", "block_table", "blocks",
    "read_process",
]  # fmt: skip

TITLE = "Estimators\n"
NOTHING = 5  # the exit status where nothing was computed, as that of `check`


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser(
        "bias", help="exact bias and deviation of sampled meta-gradients on a tiny process", epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    command.add_argument("target", nargs="?", metavar="MODULE:FUNCTION", help="an estimator of your own: see below")
    command.add_argument("--vectorised", action="store_true", help="it takes n batches at once")
    command.add_argument(
        "--mdp", default="two-state", metavar="NAME|FILE.json",
        help=f"{', '.join(PROCESSES)}, or a JSON object of your own with the keys P, R, rho, gamma, horizon, perhaps theta and terminal",
    )  # fmt: skip
    command.add_argument("--alpha", type=_number, nargs="+", default=[0.125, 0.75], metavar="A", help="inner step sizes")
    command.add_argument(
        "--episodes", type=_episodes, nargs="+", default=[1, 2, math.inf], metavar="M",
        help="trajectories per step; inf for what the bias tends to as M grows; a function of your own has the limit of what it is called at the other M",
    )  # fmt: skip
    command.add_argument("--steps", type=whole_number(1), nargs="+", default=[1, 2], metavar="K", help="inner steps")
    command.add_argument("--format", choices=("text", "json"), default="text")
    add_workers(command)
    command.set_defaults(run=_run)


def _run(o: argparse.Namespace) -> int:
    """`bias`, with as many processes as the options say."""
    settings = {"steps": o.steps, "episodes": o.episodes, "alphas": o.alpha, "form": o.format, "target": o.target}
    with worker_pool(o.workers) as executor:
        return bias(o.mdp, **settings, vectorised=o.vectorised, executor=executor)


def _number(text: str) -> float:
    """A finite number."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"must be a finite number, got {text!r}")
    return number


def _episodes(text: str) -> float:
    """A whole number of trajectories, or infinity."""
    return math.inf if text.lower() in ("inf", "infinity") else whole_number(1)(text)


def _finite(name: str, yours: Yours | None, settings: Iterator[Any]) -> Iterator[Any]:
    """The blocks; UsageError where numbers are not finite, or a user's function fails."""
    try:
        yield from settings
    except CallError as error:
        raise UsageError(f"{yours.what if yours else name}: {error}") from None
    except (FloatingPointError, ValueError) as error:
        raise UsageError(f"{name}: the rewards or a step size are too large: {error}") from None


def bias(
    name: str, *, steps: Sequence[int], episodes: Sequence[float], alphas: Sequence[float], form: str = "text",
    target: str | None = None, vectorised: bool = False, executor: Executor | None = None,
) -> int:  # fmt: skip
    """Print the table, or the JSON; 0."""
    task, theta = read_process(name)
    if vectorised and not target:
        raise UsageError("--vectorised is of a function of your own: give MODULE:FUNCTION")
    with this_folder_on_path():
        yours = read_yours(target, vectorised=vectorised) if target else None
        settings = blocks(task, theta, steps=steps, episodes=episodes, alphas=alphas, yours=yours, executor=executor)
        gradients = gradient_blocks(yours, task, theta, episodes=episodes, alpha=alphas[0]) if yours else iter(())
        return _printed(name, task, yours, form, _finite(name, yours, gradients), _finite(name, yours, settings))


def _printed(
    name: str, task: PolicyReturn, yours: Yours | None, form: str, gradients: Iterator[Any], settings: Iterator[Block]
) -> int:
    """Print the table, or the JSON, of a process; 0, or 5 where no setting is small enough to be enumerated."""
    if form == "json":
        every = list(settings)
        print(as_json(name, task, every, list(gradients)))
        return _status(every, yours)
    print(_head(name, task, yours))
    number = number_of_paths(task.mdp)
    printed: list[Block] = []
    for gradient_block in gradients:
        print("\n" + gradient_table(gradient_block, number), flush=True)
    for block in settings:
        print("\n" + block_table(block, number), flush=True)
        printed.append(block)
    if likenesses := [block.likenesses for block in printed if block.likenesses]:
        names = "; ".join(always(likenesses)) or "no estimator that is known here"
        print("\n" + paragraphs(f"At every setting above, yours is: {names}."))
    return _status(printed, yours)


def _status(settings: Sequence[Block], yours: Yours | None) -> int:
    """0, or 5 where nothing was computed; of a user's estimator, where it was never called."""
    return 0 if any(block.rows and (yours is None or block.likenesses) for block in settings) else NOTHING


def _head(name: str, task: PolicyReturn, yours: Yours | None) -> str:
    """What the tables show, and what each estimator is."""
    mdp = task.mdp
    text = paragraphs(
        f"Exact bias of sampled meta-gradients on {name}: {count_text(mdp.states, 'state')}, "
        f"{count_text(mdp.actions, 'action')}, horizon {mdp.horizon}, γ = {mdp.gamma:g}; "
        f"{number_of_paths(mdp)} trajectories, every tuple of them enumerated. Gradients are of the loss L = −J.\n\n"
        "∇I: of L(θ − α∇L(θ)), exact adaptation (formulation-exact).\n"
        "∇II: of E[L(θ + αĝ)], adaptation on M trajectories a step, K steps (formulation-sampled).\n"
        "|bias|: of the mean estimate; in %: of the length of the gradient ∇I or ∇II; cosine: of the angle "
        "between them. All norms are Euclidean.\n"
        "deviation: √tr Cov of one estimate, in the units of the gradient.\n"
        "M → ∞: what the mean estimate tends to as M grows, exact: means over trajectories become expectations, which are "
        "enumerated. There ∇II is ∇I.\n"
        "The gradient after the adaptation is exact: what is shown comes from the inner batch.\n"
    )
    rows = [e[:2] for e in ESTIMATORS] + ([yours[:2]] if yours else [])
    return f"{text}\n{table(TITLE, (Column('estimator'), Column('what it is', text=True)), rows)}"
