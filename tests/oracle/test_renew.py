"""What `make vectors` writes: the margins of known-wrong formulas, and one line for each list of numbers."""

import json

import pytest

from refmeta.oracle.renew import _margin, json_text
from refmeta.oracle.suites import FOLDER, SUITES
from tests.oracle.targets import valid


@pytest.mark.parametrize("suite", SUITES)
def test_a_margin_is_how_far_off_the_known_wrong_formula_is(suite):
    """Of every formula on some vectors of the suite; below ten tolerances none is written."""
    about = SUITES[suite]
    for case in valid(suite)[1::8]:
        for row in about.rows:
            value = row.result(case.problem)
            margins = [_margin(about, part, row, value, right.value, right.kappa, right.scale) for part, right in case.expected.items()]
            margin = case.discriminates.get(row.slug)
            assert max(margins) < 11 if margin is None else max(margins) == pytest.approx(margin, rel=0.07), (case.id, row.slug)


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
def test_a_file_is_written_as_it_is_read(suite):
    text = (FOLDER / suite.vectors).read_text("utf-8")
    assert json_text(json.loads(text)) == text
