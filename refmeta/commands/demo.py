"""`python -m refmeta demo`: a tour: a mistake that is named, a table of adaptation, a picture, and where to go on."""

import inspect
import time
from typing import Any

import numpy as np

from refmeta.arrays import Array, matvec
from refmeta.commands.arguments import whole_number
from refmeta.commands.experiments.adaptation import ADAPTATION, gridworlds
from refmeta.commands.experiments.figure import check_figure, has_matplotlib, write_figure
from refmeta.commands.experiments.record import ExperimentPart, Result
from refmeta.commands.experiments.views import part_text
from refmeta.commands.explain import derivation
from refmeta.oracle import check
from refmeta.oracle.verdict import NEUTRAL
from refmeta.tables import paragraphs

__all__ = ["NEXT", "add", "demo", "right_gradient", "slope", "verdict_on", "wrong_gradient"]

SUITE, PICTURE = "maml-regression", "refmeta-demo.svg"
NEXT = f"""\
  python -m refmeta verify maml-gradient      judge one formula of the library
  python -m refmeta verify                    judge all of them (half a minute)
  python -m refmeta check mymodule:gradient --suite maml-regression
                                              judge your own implementation
  python -m refmeta explain first-order       what the mistake above is
  python -m refmeta experiment --list         measure when meta-learning helps
  python -m refmeta exercise --list           exercises that grade themselves
  {derivation("README.md"):43} the course: chapters and exercises
  {derivation("maml.md"):43} the formula above, with its proof"""


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser("demo", help="a tour: a mistake is named, starts are compared, a picture is drawn")
    command.add_argument("--seed", type=whole_number(0), default=0, metavar="N", help="seed of everything random (0)")
    command.add_argument("--figure", default=PICTURE, metavar="FILE", help=f"where the picture is written, over what is there ({PICTURE})")
    command.set_defaults(run=lambda o: demo(seed=o.seed, figure=o.figure))


def slope(theta: Array, X: Array, y: Array) -> Array:
    """∇ of |Xθ − y|²/2n, one row per task."""
    return matvec(X.swapaxes(-1, -2), matvec(X, theta) - y) / y.shape[1]


def wrong_gradient(theta: Array, X: Array, y: Array, query_X: Array, query_y: Array, alpha: Any, steps: int) -> Array:
    """MAML for linear regression as it is often written: the derivative of the inner steps is missing."""
    phi = np.broadcast_to(theta, (len(X), len(theta)))
    for a in np.broadcast_to(alpha, (steps, len(theta))):
        phi = phi - a * slope(phi, X, y)
    return slope(phi, query_X, query_y)


def right_gradient(theta: Array, X: Array, y: Array, query_X: Array, query_y: Array, alpha: Any, steps: int) -> Array:
    """The same with it: g ← g − H(α ⊙ g) for every inner step, backwards, H = XᵀX/n."""
    g = wrong_gradient(theta, X, y, query_X, query_y, alpha, steps)
    for a in np.broadcast_to(alpha, (steps, len(theta)))[::-1]:
        g = g - matvec(X.swapaxes(-1, -2), matvec(X, a * g)) / y.shape[1]
    return g


def verdict_on(function: Any) -> str:
    """What the oracle says of a function: how many cases are right, or the diagnosis."""
    try:
        judged = [outcome for outcome in check(function, SUITE) if outcome.verdict not in NEUTRAL]
        return f"RIGHT: {len(judged)} of {len(judged)} cases"
    except AssertionError as error:
        return str(error)


def demo(*, seed: int = 0, figure: str = PICTURE) -> int:
    """Print the tour; 0."""
    start, drawn = time.perf_counter(), has_matplotlib()
    if drawn:
        check_figure(figure)
    print(paragraphs(f"A tour of refmeta in four parts (seed {seed}).\n\n" + _oracle_head()), flush=True)
    print(_shown(wrong_gradient))
    print(f"\n{paragraphs(verdict_on(wrong_gradient), '  > ')}\n\nWith what is missing, backwards through the steps:\n")
    print(_shown(right_gradient))
    print(f"\n{paragraphs(verdict_on(right_gradient), '  > ')}\n\n{paragraphs(_TABLE)}\n", flush=True)
    part = gridworlds(np.random.default_rng([seed, *b"gridworlds"]), lstm=False)
    print(part_text(part), flush=True)
    print(paragraphs("3. A picture. " + _picture(part, seed, figure, drawn=drawn)), end="\n\n")
    print(f"4. Where to go on\n\n{NEXT}\n\n({time.perf_counter() - start:.1f} s)")
    return 0


_TABLE = (
    "2. Does it matter where adaptation starts? A grid has a goal that the agent does not see. It takes exact gradient "
    "steps towards goals that were held out: nothing was trained on them. MAML has trained its start for one such step, "
    "and joint training for none."
)


def _oracle_head() -> str:
    """The text before the wrong function."""
    return (
        "1. A mistake by its name. The MAML gradient of linear regression, as it is often written; it runs, and training "
        f"with it lowers the loss. slope(theta, X, y) is the gradient of |X theta - y|^2 / 2n. The oracle calls it with the inputs of the suite {SUITE}, whose results were "
        "computed from the objective alone, to a hundred digits.\n"
    )


def _shown(function: Any) -> str:
    """The source of a function without its docstring and types, four columns to the right."""
    _, _, body = inspect.getsource(function).partition(f'"""{function.__doc__}"""\n')
    head = f"def {function.__name__}({', '.join(inspect.signature(function).parameters)}):"
    return "\n".join(f"    {line}" for line in (head, *body.rstrip().splitlines()))


def _picture(part: ExperimentPart, seed: int, figure: str, *, drawn: bool) -> str:
    """Write the picture of the table's experiment, and say so; or what to install."""
    if not drawn:
        return "It needs matplotlib, which is not installed: pip install matplotlib, then run this again."
    write_figure(Result(ADAPTATION, seed, {"gridworlds": part}), figure)
    return f"The return after one step against the step size, for every start: wrote {figure}."
