"""The line protocol: a small program that speaks it, and programs that do not."""

import sys

import numpy as np
import pytest

from refmeta.oracle.cases import cases
from refmeta.oracle.check import Settings, run
from refmeta.oracle.protocol import Process, TargetMissing, encoded
from refmeta.oracle.report import status

HARNESS = """
import json, sys
for line in sys.stdin:
    m = json.loads(line)
    if m["type"] == "hello":
        reply = {"type": "ready", "name": "tiny", "suites": ["reptile"]}
    elif m["type"] == "bye":
        break
    else:
        x = m["inputs"]
        try:
            rows = [[float(v) for v in row] for row in x["adapted"]]
            if any(v != v for row in rows for v in row):
                raise ValueError("NaN refused")
            n, e = len(rows), x["epsilon"]
            r = [t + e * sum(row[j] - t for row in rows) / n for j, t in enumerate(x["theta"])]
            reply = {"type": "result", "id": m["id"], "result": r}
        except ValueError as error:
            reply = {"type": "error", "id": m["id"], "message": str(error)}
    print(json.dumps(reply), flush=True)
"""


def process(tmp_path, code, suites=("reptile",), timeout=5.0):
    path = tmp_path / "harness.py"
    path.write_text(code, "utf-8")
    return Process([sys.executable, str(path)], suites, timeout=timeout)


def outcomes(target, suite="reptile"):
    try:
        return run(target, cases(suite), Settings(validation=True))
    finally:
        target.stop()


def test_a_harness_of_twenty_lines_passes(tmp_path):
    found = outcomes(process(tmp_path, HARNESS))
    assert status(found) == 0 and {o.verdict for o in found} == {"pass", "refused"}


def test_a_suite_that_the_target_does_not_do_is_skipped_and_never_passed(tmp_path):
    found = outcomes(process(tmp_path, HARNESS, suites=("maml-quadratic",)), "maml-quadratic")
    assert {o.verdict for o in found} == {"skip"} and status(found) == 5


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("print('hello', flush=True)", "printed a line that is no JSON: 'hello'"),
        ("print('[1]', flush=True)", "to the greeting, expected"),
        ("print('{}', flush=True)", "to the greeting, expected"),
        (
            """print('{"type": "ready"}', flush=True); input(); print('{"type": "result", "id": "other", "result": 1}', flush=True)""",
            "expected a result, error or skip for the id reptile-001",
        ),
        (
            """print('{"type": "ready"}', flush=True); input(); print('{"type": "result", "id": "reptile-001"}', flush=True)""",
            "without the key 'result'",
        ),
        (
            """print('{"type": "ready"}', flush=True); input(); print('{"type": "result", "id": "reptile-001", "result": ["one"]}', flush=True)""",
            "answered something else than numbers",
        ),
    ],
)
def test_a_program_that_does_not_speak_it_is_told_so(tmp_path, line, message):
    target = process(tmp_path, f"input(); {line}\nimport time; time.sleep(0.3)")
    found = run(target, cases("reptile")[:2], Settings())
    target.stop()
    assert message in found[0].message and found[0].verdict == "error"


def test_a_program_that_ends_at_once_has_crashed(tmp_path):
    found = outcomes(process(tmp_path, "raise SystemExit(9)"))
    assert {o.verdict for o in found} == {"crash"} and "status 9" in found[0].message and status(found) == 5


def test_a_program_that_says_nothing_times_out(tmp_path):
    target = process(tmp_path, "import time; time.sleep(60)", timeout=0.05)
    found = run(target, cases("reptile")[:2], Settings())
    target.stop()
    assert [o.verdict for o in found] == ["timeout", "timeout"]


def test_a_program_that_does_not_exist_is_missing():
    with pytest.raises(TargetMissing, match="cannot start 'no-such-program"):
        run(Process("no-such-program --fast", ("reptile",)), cases("reptile"), Settings())


def test_numbers_that_are_not_finite_are_strings():
    assert encoded({"a": np.array([np.nan, np.inf, -np.inf, 1.0]), "b": None, "c": 3}) == {
        "a": ["nan", "inf", "-inf", 1.0],
        "b": None,
        "c": 3,
    }


def test_a_stray_line_costs_one_case_and_not_the_rest(tmp_path):
    """After a protocol error the process is started anew: the next answer is the next case's."""
    stray = HARNESS.replace(
        '        x = m["inputs"]',
        '        x = m["inputs"]\n        if m["id"] == "reptile-002":\n            print("warning", flush=True)',
    )
    found = outcomes(process(tmp_path, stray))
    assert [o.case.id for o in found if o.verdict == "error"] == ["reptile-002"]


def test_a_greeting_that_is_never_answered_is_waited_for_once(tmp_path):
    import time

    target, start = process(tmp_path, "import time; time.sleep(60)", timeout=0.1), time.perf_counter()
    found = run(target, cases("reptile")[:8], Settings())
    target.stop()
    assert {o.verdict for o in found} == {"timeout"} and time.perf_counter() - start < 5
    assert "did not answer the greeting" in found[-1].message


def test_suites_that_are_no_list_are_told(tmp_path):
    found = outcomes(process(tmp_path, """input(); print('{"type": "ready", "suites": 5}', flush=True); input()"""))
    assert "said that its suites are 5" in found[0].message
