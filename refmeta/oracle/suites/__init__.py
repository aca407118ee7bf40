"""The suites: the table of contents, one line each."""

from importlib.resources import files

from refmeta.oracle.suite import Suite
from refmeta.oracle.suites import (
    episodic_return,
    expected_estimators,
    implicit,
    implicit_early,
    maml,
    maml_optimisers,
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
        episodic_return.SUITE,
        soft_return.SUITE,
        *maml.SUITES,
        maml_optimisers.SUITE,
        reptile.SUITE,
        implicit.SUITE,
        implicit_early.SUITE,
        returns.SUITE,
        surrogates.SUITE,
        maml_sampled.SUITE,
        expected_estimators.SUITE,
        meta_lstm.SUITE,
        pearl.SUITE,
        model.SUITE,
    )
}
