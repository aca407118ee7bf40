"""Cases that are asked beside the vectors: other numbers of the same kind, judged by the library."""

import numpy as np
import pytest

from refmeta.oracle.asking import moved, varied
from refmeta.oracle.check import as_target, run
from refmeta.oracle.facts import unseen_line
from refmeta.oracle.judge import JudgeSettings
from refmeta.oracle.suites import SUITES
from refmeta.oracle.verdict import findings
from tests.oracle.targets import library, valid


@pytest.mark.parametrize("suite", SUITES)
def test_every_array_of_floats_is_varied_and_the_library_is_right_on_what_comes_of_it(suite):
    case = valid(suite)[3]
    other = varied(case, 1)
    assert {o.verdict for o in run(as_target(library(suite)), [other], JudgeSettings())} == {"pass"}
    before, after = case.arguments(), other.arguments()
    for name, value in before.items():
        changed = not np.array_equal(value, after[name])
        assert changed == (np.asarray(value).dtype.kind == "f" and np.any(value)), name


def test_what_the_library_refuses_is_not_asked():
    case = valid("maml-tabular")[0]
    assert moved(case, case.arguments() | {"gamma": 1.5}) is None
    assert moved(case, case.arguments() | {"gamma": 0.5}).input["gamma"] == 0.5


def test_a_batch_that_was_drawn_where_it_is_used_stays_one():
    """Arrays that are equal are varied alike; where they differ they are varied apart."""
    for case in valid("surrogates")[:8]:
        other = varied(case, 3)
        together = case.input["theta"] == case.input["theta_sampled"]
        assert other.input["theta"] != case.input["theta"]
        assert (other.input["theta"] == other.input["theta_sampled"]) == together
    assert any("off-policy" not in case.flags for case in valid("surrogates")[:8])


def test_a_report_says_what_a_skipped_flag_leaves_unseen():
    """Of a right result: how many cases were left out, and the mistakes that only these reject."""
    settings = JudgeSettings(skip_flags=("off-policy",))
    asked = [case for case in valid("surrogates") if len(np.ravel(case.input["rewards"])) < 30]
    (finding,) = findings(run(as_target(library("surrogates")), asked, settings), settings)
    left_out = sum("off-policy" in case.flags for case in asked)
    (line,) = unseen_line(finding)
    assert f"; {left_out} cases with the flag off-policy; " in line and line.endswith(", which only these reject")
    assert "denominator-follows" in line and "k3-in-the-loss" not in line
    (plain,) = findings(run(as_target(library("surrogates")), asked, JudgeSettings()), JudgeSettings())
    assert "flag" not in "".join(unseen_line(plain))
