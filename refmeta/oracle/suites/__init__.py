"""The suites: the table of contents, one line each."""

from importlib.resources import files

from refmeta.oracle.suite import Suite
from refmeta.oracle.suites import maml, reptile

__all__ = ["FOLDER", "SUITES"]

FOLDER = files("refmeta.oracle.suites")
SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        *maml.SUITES,
        reptile.SUITE,
    )
}
