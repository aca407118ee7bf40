"""What the tests of the commands share: what a command prints, and the width of the terminal."""

import pytest

from refmeta.__main__ import main
from refmeta.commands import explain

ROWS = explain.catalogue()
SLUGS = [row.slug for _, row in ROWS] + list(explain.false_alarms())


def printed(capsys, *arguments):
    """What a command prints, and its status."""
    try:
        status = main(arguments)
    except SystemExit as end:
        status = end.code
    return capsys.readouterr().out, status


def refused(capsys, *arguments):
    """The message of a command that is refused."""
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    return capsys.readouterr().err


@pytest.fixture(params=[80, 120])
def columns(request, monkeypatch):
    """A terminal of this width."""
    monkeypatch.setenv("COLUMNS", str(request.param))
    return request.param
