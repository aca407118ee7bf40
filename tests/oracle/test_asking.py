"""Cases that are asked beside the vectors: other numbers of the same kind, judged by the library."""

import numpy as np
import pytest

from refmeta.oracle.asking import moved, varied
from refmeta.oracle.check import as_target, run
from refmeta.oracle.judge import JudgeSettings
from refmeta.oracle.suites import SUITES
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
