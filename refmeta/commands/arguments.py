"""What several commands read of the command line."""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator

from refmeta.oracle.suites import SUITES
from refmeta.oracle.vectors import UsageError
from refmeta.tables import unknown_name

__all__ = ["add_workers", "as_suites", "this_folder_on_path", "whole_number"]


def whole_number(least: int) -> Callable[[str], int]:
    """An argument that is a whole number of at least `least`."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}, got {text!r}")
        return int(text)

    return number


def add_workers(command: argparse.ArgumentParser) -> None:
    """The option --workers of a command whose work is in pieces."""
    text = "so many processes; the results are the same (1)"
    command.add_argument("--workers", type=whole_number(1), default=1, metavar="N", help=text)


def as_suites(names: Iterable[str] | None) -> tuple[str, ...]:
    """The suites of these names, by default all; UsageError names one that does not exist."""
    for name in names or ():
        if name not in SUITES:
            raise UsageError(unknown_name("suite", name, SUITES, f"the suites are {', '.join(SUITES)}"))
    return tuple(names or SUITES)


@contextlib.contextmanager
def this_folder_on_path() -> Iterator[None]:
    """The current folder is the first in which modules are looked for, as with `python -m`, whatever started the command."""
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
