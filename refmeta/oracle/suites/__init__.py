"""The suites: the table of contents, one line each."""

from importlib.resources import files

from refmeta.oracle.suite import Suite
from refmeta.oracle.suites import implicit, maml, meta_lstm, model, pearl, policy_gradient, reptile

__all__ = ["FOLDER", "SUITES"]

FOLDER = files("refmeta.oracle.suites")
SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        policy_gradient.SUITE,
        *maml.SUITES,
        reptile.SUITE,
        implicit.SUITE,
        meta_lstm.SUITE,
        pearl.SUITE,
        model.SUITE,
    )
}
