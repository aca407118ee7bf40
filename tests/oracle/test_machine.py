"""JSON and JUnit hold what the text says: the verdict, where, what, next."""

import json
from xml.etree import ElementTree

import pytest

from refmeta.oracle.check import as_target, questions, run
from refmeta.oracle.facts import details
from refmeta.oracle.judge import JudgeSettings
from refmeta.oracle.machine import as_json, junit
from refmeta.oracle.report import Report, text
from refmeta.oracle.verdict import findings
from tests.oracle.targets import library, valid


@pytest.fixture(scope="module")
def report():
    """A wrong and a right suite: first order, and what is right."""
    settings, verdicts = JudgeSettings(), []
    for suite, quantity in (("maml-quadratic", "first_order"), ("reptile", "")):
        target = as_target(library(suite, quantity))
        verdicts += findings(run(target, valid(suite), settings), settings, questions(target, settings))
    return Report("f", settings, tuple(verdicts))


def test_the_json_of_a_suite_has_the_verdict_where_what_and_next(report):
    document = json.loads(as_json(report))
    wrong, right = document["suites"]
    finding = report.findings[0]
    assert (wrong["suite"], wrong["verdict"], wrong["sentence"]) == ("maml-quadratic", "WRONG", finding.sentence)
    assert tuple(wrong["where"]) == finding.where.lines and wrong["where"][0].startswith("right exactly where nothing is adapted")
    assert tuple(wrong["what"]) == finding.explanation and "first-order (g_q)" in wrong["what"][0]
    assert tuple(wrong["next"]) == finding.next and wrong["next"][0] == "`python -m refmeta explain first-order`"
    assert set(wrong["worst"]) == {"id", "part", "index", "yours", "certified", "tolerances"}
    assert wrong["details"] == details(finding) and document["diagnosis"]["maml-quadratic"] == wrong["what"]
    assert right["verdict"] == "RIGHT" and right["where"] == right["what"] == right["next"] == []
    assert document["verdict"] == "WRONG: of 2 suites 1 WRONG, 1 RIGHT." and document["status"] == 1


def test_the_json_says_by_which_convention():
    settings = JudgeSettings(convention="sum-over-tasks")
    outcomes = run(as_target(library("reptile")), valid("reptile", 3), settings)
    document = json.loads(as_json(Report("f", settings, tuple(findings(outcomes, settings)))))
    assert document["settings"]["convention"] == "sum-over-tasks" and "by the convention sum-over-tasks" in document["verdict"]


def test_junit_has_a_test_case_per_vector_and_the_sentences_of_the_text(report):
    first, second = ElementTree.fromstring(junit(report))
    cases, failures = first.findall("testcase"), first.findall("testcase/failure")
    assert len(cases) == int(first.get("tests")) == len(report.findings[0].outcomes)
    assert len(failures) == int(first.get("failures")) == sum(o.verdict == "mismatch" for o in report.findings[0].outcomes)
    assert all(failure.get("message").startswith("mismatch: off by ") for failure in failures)
    output = first.find("system-out").text.splitlines()
    assert output[0] == f"WRONG: {report.findings[0].sentence}" and output[1:] == details(report.findings[0])
    assert {"Where", "Diagnosis", "Next"} <= {line.split(":")[0] for line in output}
    assert second.find("testcase/failure") is None and second.find("system-out").text.startswith("RIGHT: ")


def test_every_line_of_the_details_stands_in_the_text_which_fits_80_columns(report):
    printed = text(report)
    for finding in report.findings:
        for line in details(finding):
            assert " ".join(line.split()) in " ".join(printed.split())
    assert max(map(len, printed.splitlines())) <= 80
