"""The suites: the table of contents, one line each."""

from importlib.resources import files

from refmeta.oracle.suite import Suite
from refmeta.oracle.suites import (
    expected_estimators,
    implicit,
    maml,
    maml_sampled,
    meta_lstm,
    model,
    pearl,
    policy_gradient,
    reptile,
    returns,
    soft_return,
    surrogates,
)

__all__ = ["FOLDER", "SUITES"]

FOLDER = files("refmeta.oracle.suites")
SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        policy_gradient.SUITE,
        soft_return.SUITE,
        *maml.SUITES,
        reptile.SUITE,
        implicit.SUITE,
        returns.SUITE,
        surrogates.SUITE,
        maml_sampled.SUITE,
        expected_estimators.SUITE,
        meta_lstm.SUITE,
        pearl.SUITE,
        model.SUITE,
    )
}
