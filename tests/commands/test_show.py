"""`show`: a vector as Python that runs, and a suite with all its inputs and answers."""

import numpy as np
import pytest

from refmeta.oracle.suites import SUITES
from refmeta.oracle.vectors import cases
from tests.commands.conftest import printed


def numbers(value):
    """An input as one flat array of floats; a word as it is."""
    if isinstance(value, str):
        return value
    return np.ravel(np.asarray(value, float)) if value is not None else np.zeros(0)


@pytest.mark.parametrize("suite", SUITES)
def test_what_is_shown_of_a_vector_runs_and_is_the_vector(suite, capsys, monkeypatch):
    """The first vector, the last, and one that must be refused."""
    monkeypatch.setenv("COLUMNS", "80")
    every = cases(suite)
    for case in (every[0], every[-1], *[case for case in every if case.result == "invalid"][:1]):
        space = {}
        exec(printed(capsys, "show", case.id)[0], space)
        assert set(space["inputs"]) == set(case.input) and set(space["expected"]) == set(case.expected)
        for name, value in case.arguments().items():
            np.testing.assert_array_equal(numbers(space["inputs"][name]), numbers(value))
            assert np.shape(space["inputs"][name]) == np.shape(value)
        for name, expected in case.expected.items():
            np.testing.assert_array_equal(space["expected"][name], expected.value)


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_that_is_shown_names_every_input_and_answer_and_a_command(suite, capsys):
    out, status = printed(capsys, "show", suite)
    case = cases(suite)[0]
    assert status == 0 and f"{len(cases(suite))} cases." in out and f"refmeta show {case.id}" in out
    first = {line.split()[0] for line in out.splitlines() if line.strip() and not line.startswith(" ")}
    assert set(case.input) | set(case.expected) <= first
    assert f"  python -m refmeta check mymodule:my_function --suite {suite}\n" in out
