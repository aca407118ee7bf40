"""Cases that are known to fail: the file of their ids, what `check` says of them, and the cases of a suite for pytest."""

import contextlib
import io
import json
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

import refmeta as rm
from refmeta.__main__ import main
from refmeta.oracle.expected_failures import read_expected_failures

MODULE = """
import numpy as np
import refmeta as rm

def gradient(theta, A, c, query_A, query_c, alpha, steps):
    if np.ndim(alpha) == 2:
        raise NotImplementedError("no step size per step")
    scale = 2 if steps == 3 else 1
    return scale * rm.maml.gradient(theta, rm.Quadratic(A, c), rm.Quadratic(query_A, query_c), alpha=alpha, steps=steps)
"""
CASES = {c.id: c for c in rm.oracle.cases("maml-quadratic") if c.result == "valid"}
RAISES = [name for name, c in CASES.items() if np.ndim(c.input["alpha"]) == 2]
WRONG = [name for name, c in CASES.items() if c.input["steps"] == 3 and name not in RAISES]
FINE = [name for name in CASES if name not in {*WRONG, *RAISES}]
ASKED = sorted([*WRONG[:2], *RAISES[:2], *FINE[:2]])
SUITE = """
import pytest
import refmeta as rm
from mine import gradient

@pytest.mark.parametrize("case", rm.oracle.pytest_cases("maml-quadratic", expected_failures="failures.txt"))
def test_gradient(case):
    rm.oracle.assert_matches(case, gradient(**case.arguments()))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("target")
    (path / "mine.py").write_text(MODULE, "utf-8")
    (path / "test_mine.py").write_text(SUITE, "utf-8")
    return path


def checked(folder, *listed, cases=ASKED):
    """The status, the text, and every other format of `check` with these expected failures."""
    (folder / "failures.txt").write_text("\n".join(["# known", *listed]), "utf-8")
    words = ["check", "mine:gradient", "--suite", "maml-quadratic", "--expected-failures", "failures.txt"]
    words += [word for end in ("json", "md", "xml") for word in ("--output", f"report.{end}")]
    words += [word for name in cases for word in ("--case", name)]
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            status = main(words)
        except SystemExit as stopped:
            return stopped.code, err.getvalue(), {}
    files = {end: (folder / f"report.{end}").read_text("utf-8") for end in ("json", "md", "xml")}
    return status, " ".join(out.getvalue().split()), files


def test_failures_that_are_listed_do_not_count_and_are_named(folder):
    assert len(ASKED) == 6 and checked(folder)[0] == 1
    status, text, files = checked(folder, *WRONG, f"{RAISES[0]}  # no such step sizes", "", *RAISES[1:])
    expected = sorted({*WRONG, *RAISES} & {*ASKED})
    assert status == 0 and f"RIGHT: 2 of 2 cases ({len(expected)} expected failures), to 1" in text, text
    assert "2 cases: expected failure: off by " in text and "expected failure: raised NotImplementedError: no step size per step: " in text
    document = json.loads(files["json"])
    assert [row["id"] for row in document["cases"] if row["verdict"] == "expected"] == expected and document["mended"] == []
    suite = ElementTree.fromstring(files["xml"])[0]
    assert (suite.get("failures"), suite.get("skipped")) == ("0", str(len(expected)))


def test_a_failure_that_is_not_listed_counts_and_is_explained(folder):
    status, text, _ = checked(folder, *RAISES)
    assert status == 1 and f"WRONG: 2 of 4 cases ({len(RAISES[:2])} expected failures)" in text and "Diagnosis: " in text, text


def test_a_case_that_is_listed_and_passes_is_status_one_and_named_everywhere(folder):
    status, text, files = checked(folder, *WRONG, *RAISES, FINE[0])
    sentence = f"emove {FINE[0]} from failures.txt: it passes"
    assert status == 1 and "RIGHT: 2 of 2 cases" in text and f"R{sentence}." in text, text
    document = json.loads(files["json"])
    assert document["status"] == 1 and document["mended"] == [f"r{sentence}"] and f"R{sentence}.**" in files["md"]
    suite = ElementTree.fromstring(files["xml"])[0]
    assert [node.get("message") for node in suite.iter("failure")] == [f"r{sentence}"] and suite.get("failures") == "1"


def test_nothing_but_expected_failures_is_no_pass(folder):
    status, text, _ = checked(folder, *WRONG, cases=WRONG[:1])
    assert status == 5 and "NOT RUN: no case was judged" in text and "every case that was asked is an expected failure" in text


def test_a_listed_case_that_is_not_asked_says_nothing(folder):
    """A file may serve several suites, and a run may ask some cases only."""
    status, text, _ = checked(folder, "maml-tabular-003", *WRONG, cases=FINE[:1])
    assert status == 0 and "RIGHT: 1 of 1 case, to 1" in text and "emove" not in text


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["maml-quadratic-0004"], "failures.txt:2: no case is called 'maml-quadratic-0004' (did you mean 'maml-quadratic-0"),
        (["", "reptile-1 # x"], "failures.txt:3: no case is called 'reptile-1' (did you mean 'reptile-0"),
    ],
)
def test_an_id_that_does_not_exist_is_refused_with_its_line_and_the_nearest(folder, lines, sentence):
    status, text, _ = checked(folder, *lines)
    assert status == 2 and sentence in text, text


def test_a_file_that_cannot_be_read_is_refused(folder):
    with pytest.raises(rm.oracle.UsageError, match="the file of expected failures .*nowhere.txt: cannot be read: "):
        read_expected_failures(folder / "nowhere.txt", ())
    with pytest.raises(rm.oracle.UsageError, match="is a directory, expected a regular file"):
        rm.oracle.pytest_cases("reptile", expected_failures=folder)


def test_a_problem_of_one_s_own_has_no_cases_to_list(folder):
    (folder / "own.py").write_text(
        "import refmeta as rm\nproblem = rm.oracle.Problem([1.0], [lambda t: float(t @ t)], None, 0.1, 1, [[1.28]])\n", "utf-8"
    )
    (folder / "failures.txt").write_text("", "utf-8")
    with contextlib.chdir(folder), contextlib.redirect_stderr(io.StringIO()) as err, pytest.raises(SystemExit, match="2"):
        main(["check", "own:problem", "--expected-failures", "failures.txt"])
    assert "--expected-failures is for the cases of a suite" in " ".join(err.getvalue().split())


def test_the_cases_for_pytest_are_the_valid_ones_named_and_without_skipped_flags():
    params = rm.oracle.pytest_cases("maml-quadratic")
    assert [param.id for param in params] == list(CASES) == [param.values[0].id for param in params]
    left = rm.oracle.pytest_cases("maml-quadratic", skip_flags=["array-alpha"])
    assert {param.id for param in params} - {param.id for param in left} == {n for n, c in CASES.items() if "array-alpha" in c.flags} != set()
    with pytest.raises(rm.oracle.UsageError, match=r"no case has the flag 'array-alfa' \(did you mean 'array-alpha'\?\)"):
        rm.oracle.pytest_cases("maml-quadratic", skip_flags=["array-alfa"])
    with pytest.raises(TypeError, match="got the string 'array-alpha'"):
        rm.oracle.pytest_cases("maml-quadratic", skip_flags="array-alpha")
    with pytest.raises(rm.oracle.UsageError, match="no suite is called 'maml'"):
        rm.oracle.pytest_cases("maml")


def test_without_pytest_a_sentence_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytest", None)
    with pytest.raises(ImportError, match="rm.oracle.pytest_cases needs pytest, which is not installed: pip install pytest"):
        rm.oracle.pytest_cases("maml-quadratic")


@pytest.mark.parametrize(("also", "status", "counts"), [((), 0, "xfailed"), ((FINE[0],), 1, "1 failed")])
def test_a_suite_of_one_s_own_fails_where_a_case_is_mended(folder, also, status, counts):
    (folder / "failures.txt").write_text("\n".join([*WRONG, *RAISES, *also]), "utf-8")
    arguments = ["-p", "no:cacheprovider", "-q", "-o", "addopts=", "test_mine.py"]
    done = subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == status and f"{len(WRONG + RAISES)} xfailed" in done.stdout and counts in done.stdout, done.stdout
    assert ("XPASS(strict)" in done.stdout) == bool(also)
