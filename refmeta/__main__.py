"""The command line: `python -m refmeta verify | check | list | show | explain | new | bias | experiment | demo | exercise`."""

import argparse
import contextlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import refmeta
from refmeta.numerics.returned import EndedBySignal
from refmeta.oracle.documents import VectorError
from refmeta.tables import paragraphs, unknown_name

__all__ = ["main", "run"]

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
    """A parser whose error messages are wrapped on a terminal; elsewhere a message stays one line."""

    def error(self, message: str) -> NoReturn:
        """The usage of this command, and the message; status 2."""
        message = f"{self.prog}: error: {message}"
        self.print_usage(sys.stderr)
        self.exit(2, (paragraphs(message) if sys.stderr.isatty() else message) + "\n")


def _parsers() -> tuple[Parser, dict[str, Parser]]:
    """The parser, and those of its commands by name."""
    from refmeta.commands import bias, check, demo, exercise, experiment, explain, list, new, show, verify

    parser = Parser(prog="python -m refmeta", description="A reference implementation of meta-reinforcement learning.")
    parser.add_argument("--version", action="version", version=f"refmeta {refmeta.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (verify, demo, experiment, bias, check, new, list, show, explain, exercise):
        command.add(commands)
    return parser, commands.choices


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
    """`main` on a terminal of any encoding: 130 on Ctrl-C, 141 where the reader has gone, 6 where refmeta itself fails."""
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
            signal.signal(number, _end)


def _end(number: int, _: object) -> NoReturn:
    """Say which signal ends the command, if somebody still reads, and end it."""
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        print(f"ended by {signal.Signals(number).name}", file=sys.stderr)
    raise EndedBySignal(128 + number)


def _failed(error: Exception) -> int:
    """The status where the reader has gone, where the output cannot be written, and where refmeta itself fails."""
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
