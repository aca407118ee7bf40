"""The command line: `python -m refmeta verify | check | list | show | explain | bias | demo`."""

import argparse
import io
import math
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import refmeta
from refmeta.oracle.cases import VectorError
from refmeta.tables import paragraphs, unknown_name

FAMILIES = ("sinusoids", "navigation", "random-mdps", "gridworlds", "episodes")
TINY = ("two-state", "bandit", "chain")
GUIDE = """\
refmeta {version}: a reference implementation of meta-reinforcement learning.

  python -m refmeta verify
      judge every formula of the library on random problems (half a minute)
  python -m refmeta check mymodule:my_function --suite maml-regression
      judge your own implementation; `show maml-regression` prints its inputs
  python -m refmeta explain first-order
      what a known mistake computes, what causes it, where it was seen

`python -m refmeta --help` lists all commands, `COMMAND --help` their options.
"""


class Parser(argparse.ArgumentParser):
    """A parser whose errors fit the terminal, if it is one that they go to: elsewhere a message stays one line."""

    def error(self, message: str) -> NoReturn:
        """The usage of this command, and the message; status 2."""
        message = f"{self.prog}: error: {message}"
        self.print_usage(sys.stderr)
        self.exit(2, (paragraphs(message) if sys.stderr.isatty() else message) + "\n")


def _whole(least: int) -> Callable[[str], int]:
    """An argument that is a whole number of at least `least`."""

    def whole(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}, got {text!r}")
        return int(text)

    return whole


def _step_size(text: str) -> float:
    """A finite number."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"must be a finite number, got {text!r}")
    return number


def _add_bias(commands: Any) -> None:
    """The parser of `bias`."""
    bias = commands.add_parser("bias", help="exact bias and deviation of sampled meta-gradients on a tiny process")
    bias.add_argument(
        "--mdp", default="two-state", metavar="NAME|FILE.json",
        help=f"{', '.join(TINY)}, or a JSON object of your own with the keys P, R, rho, gamma, horizon, perhaps theta",
    )  # fmt: skip
    bias.add_argument(
        "--alpha", type=_step_size, nargs="+", default=[0.125, 0.75], metavar="A", help="inner step sizes"
    )
    bias.add_argument("--episodes", type=_whole(1), nargs="+", default=[1, 2], metavar="M", help="trajectories a step")
    bias.add_argument("--steps", type=_whole(1), nargs="+", default=[1, 2], metavar="K", help="inner steps")
    bias.add_argument("--format", choices=("text", "json"), default="text")
    bias.set_defaults(run=_bias)


def _parsers() -> tuple[Parser, dict[str, Parser]]:
    """The parser, and those of its commands by name."""
    from refmeta.commands import browse
    from refmeta.commands import check as commands

    parser = Parser(prog="python -m refmeta", description="A reference implementation of meta-reinforcement learning.")
    parser.add_argument("--version", action="version", version=f"refmeta {refmeta.__version__}")
    every = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    verify = every.add_parser("verify", help="judge every formula on random problems; exit status 1 if one is wrong")
    verify.add_argument("label", nargs="*", metavar="LABEL", help="judge only these formulas")
    verify.add_argument("--problems", type=_whole(1), default=20, metavar="N", help="random problems a formula (20)")
    verify.set_defaults(run=_verify)
    demo = every.add_parser("demo", help="adapt to held-out tasks from different starts")
    demo.add_argument("family", nargs="*", metavar="FAMILY", help=f"only these: {', '.join(FAMILIES)}")
    demo.set_defaults(run=_demo)
    for command in (verify, demo):
        command.add_argument("--seed", type=_whole(0), default=0, metavar="N", help="seed of everything random (0)")
    _add_bias(every)
    commands.add(every)
    browse.add(every, _labels)
    return parser, every.choices


def _labels() -> list[str]:
    """The labels of `verify`."""
    from refmeta.evidence import CHECKS

    return [check.label for check in CHECKS]


def _verify(options: Any) -> int:
    """`verify`."""
    from refmeta.commands.verify import verify

    return verify(options.label, seed=options.seed, problems=options.problems)


def _demo(options: Any) -> int:
    """`demo`."""
    from refmeta.commands.demo import demo

    return demo(options.family, seed=options.seed)


def _bias(options: Any) -> int:
    """`bias`."""
    from refmeta.commands.bias import bias

    return bias(options.mdp, steps=options.steps, episodes=options.episodes, alphas=options.alpha, form=options.format)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit status: 0 all right, 1 something is wrong, 2 usage; `check --help` lists the others.

    Without a command: a guide, and status 2, since nothing was judged.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments:
        print(GUIDE.format(version=refmeta.__version__), end="")
        return 2
    parser, commands = _parsers()
    name = next((word for word in arguments if not word.startswith("-")), "")
    if name and name not in commands:
        parser.error(unknown_name("command", name, commands, f"the commands are {', '.join(commands)}"))
    options, rest = parser.parse_known_args(arguments)
    command = commands[options.command]
    if rest:
        command.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return int(options.run(options))
    except (refmeta.oracle.UsageError, VectorError) as error:
        command.error(str(error))


def run() -> int:
    """`main` on a terminal of any encoding: 130 on Ctrl-C, 141 where the reader has gone, 6 where it fails by itself."""
    _listen()
    if sys.stderr is None:
        sys.stderr = open(os.open(os.devnull, os.O_WRONLY), "w", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if sys.stdout is None:
        return _unwritable("it is closed")
    try:
        try:
            return main()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        return _failed(error)


def _listen() -> None:
    """End on a signal with the status 128 plus its number; a signal that is ignored stays so."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: sys.exit(128 + number))


def _failed(error: Exception) -> int:
    """The status where nobody reads, where the output cannot be written, and where refmeta itself fails."""
    if isinstance(error, OSError) and error.filename is None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141 if isinstance(error, BrokenPipeError) else _unwritable(error)
    print(f"refmeta itself failed: {type(error).__name__}: {error}; please report it", file=sys.stderr)
    traceback.print_exception(error)
    return 6


def _unwritable(reason: object) -> int:
    """Say that nothing can be written."""
    print(f"python -m refmeta: error: cannot write to the standard output: {reason}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(run())
