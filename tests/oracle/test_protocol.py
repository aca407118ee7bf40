"""The line protocol: a small program that speaks it, and programs that do not."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from refmeta.oracle.check import Failed, run
from refmeta.oracle.judge import JudgeSettings
from refmeta.oracle.process import CHUNK, LINE, Peer, ending
from refmeta.oracle.protocol import Process, TargetMissing, answered_numbers, as_command, json_value
from refmeta.oracle.report import status
from refmeta.oracle.serve import import_target
from refmeta.oracle.vectors import cases
from refmeta.oracle.verdict import findings

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
        return run(target, cases(suite), JudgeSettings(validation=True))
    finally:
        target.stop()


def test_a_harness_of_twenty_lines_passes(tmp_path):
    results = outcomes(process(tmp_path, HARNESS))
    assert status(results) == 0 and {o.verdict for o in results} == {"pass", "refused"}


def test_a_suite_that_the_target_does_not_do_is_skipped_and_never_passed(tmp_path):
    results = outcomes(process(tmp_path, HARNESS, suites=("maml-quadratic",)), "maml-quadratic")
    assert {o.verdict for o in results} == {"skip"} and status(results) == 5


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("print('hello', flush=True)", "printed a line that is no JSON: 'hello'"),
        ("print('[1]', flush=True)", "at the greeting: answered {"),
        ("""print('{"refmeta": 1}', flush=True)""", 'answered {"refmeta": 1}, expected {"type": "ready", ...}'),
        ("print('x' * 1000, flush=True)", f"no JSON: '{'x' * 60}…'"),
        ("print('{}', flush=True)", "at the greeting: answered {"),
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
def test_the_error_names_what_a_program_printed_instead_of_an_answer(tmp_path, line, message):
    target = process(tmp_path, f"input(); {line}\nimport time; time.sleep(60)")
    results = run(target, cases("reptile")[:1], JudgeSettings())
    target.stop(seconds=0)
    assert message in results[0].message and results[0].verdict == "error"


def test_a_program_that_does_not_exist_is_missing():
    with pytest.raises(TargetMissing, match="cannot start 'no-such-program"):
        run(Process("no-such-program --fast", ("reptile",)), cases("reptile"), JudgeSettings())


def test_numbers_that_are_not_finite_are_strings():
    assert json_value({"a": np.array([np.nan, np.inf, -np.inf, 1.0]), "b": None, "c": 3}) == {
        "a": ["nan", "inf", "-inf", 1.0],
        "b": None,
        "c": 3,
    }


def test_an_answer_holds_numbers_and_not_their_text():
    assert answered_numbers([[1, "inf"], 2.5]) == [[1, np.inf], 2.5]
    with pytest.raises(ValueError, match="a number must not be a string, got '1.5'"):
        answered_numbers({"x": [1.5, "1.5"]}["x"])


def test_a_stray_line_costs_one_case_and_not_the_rest(tmp_path):
    """After a protocol error the process is started anew: the next answer is the next case's."""
    stray = HARNESS.replace(
        '        x = m["inputs"]',
        '        x = m["inputs"]\n        if m["id"] == "reptile-002":\n            print("warning", flush=True)',
    )
    results = outcomes(process(tmp_path, stray))
    assert [o.case.id for o in results if o.verdict == "error"] == ["reptile-002"]


@pytest.mark.parametrize(
    ("code", "timeout", "verdict", "message"),
    [
        ("time.sleep(60)", 0.2, "timeout", "no answer within 1.2 s"),
        ("sys.exit(9)", 5.0, "crash", "the process ended with status 9"),
    ],
)
def test_a_program_that_fails_at_the_greeting_is_started_once(tmp_path, code, timeout, verdict, message):
    started = tmp_path / "started"
    code = f"import sys, time\nopen({str(started)!r}, 'a').write('once')\n{code}"
    results = run(process(tmp_path, code, timeout=timeout), cases("reptile"), JudgeSettings(validation=True))
    assert {o.verdict for o in results} == {verdict} and started.read_text() == "once"
    assert {o.message for o in results} == {results[0].message}
    assert results[0].message.startswith(f"at the greeting: {message}")


@pytest.mark.parametrize(
    ("code", "verdict", "remedy"),
    [
        ("sys.exit(2)", "crash", "it ended before it answered the greeting: its error is above"),
        ("os.kill(os.getpid(), 9)", "crash", "it ended before it answered the greeting"),
        ("print('I am ready', flush=True); input()", "error", "print only JSON lines on the standard output"),
        ("print('{}', flush=True); input()", "error", "print only JSON lines on the standard output"),
        ("input(); print(READY, flush=True); print('debug'); sys.exit()", "error", "print only JSON lines"),
        ("input(); print(READY, flush=True); input(); os.kill(os.getpid(), 9)", "crash", "a signal ended it, not an"),
        ("input(); print(READY, flush=True); input(); sys.exit(2)", "crash", "it ended while it was asked: its error"),
        ("input(); print(READY, flush=True); input(); os.close(1); time.sleep(9)", "crash", "keep the standard output open"),
        ("input(); print(READY[:-1] + SUITES, flush=True); input()", "skip", "that it announced: maml-regression, pearl"),
    ],
)  # fmt: skip
def test_the_remedy_for_a_program_that_computes_nothing_blames_what_it_did(tmp_path, code, verdict, remedy):
    start = """import os, sys, time
READY = '{"type": "ready"}'
SUITES = ', "suites": ["pearl", "maml-regression"]}'
"""
    target = process(tmp_path, start + code)
    results = run(target, cases("reptile")[:1], JudgeSettings())
    target.stop(seconds=0)
    (why,) = findings(results, JudgeSettings())[0].explanation
    assert results[0].verdict == verdict and remedy in why and "exit()" not in why and "by hand" not in why, why


def test_suites_that_are_no_list_are_reported(tmp_path):
    results = outcomes(process(tmp_path, """input(); print('{"type": "ready", "suites": 5}', flush=True); input()"""))
    assert "said that its suites are 5" in results[0].message


PEER = """
import json, os, signal, sys, time
input()
print('{"type": "ready", "suites": ["reptile"]}', flush=True)
first = {"type": "result", "id": "reptile-001", "result": [0.25, 0.2630208333333333, 0.033854166666666664]}
def say(text):
    sys.stdout.write(text)
    sys.stdout.flush()
"""
RESULT = "input(); say(json.dumps(first) + chr(10))\n"
FORK = """
if os.fork() == 0:
    open("child", "w").write(str(os.getpid()))
    time.sleep(60)
while not os.path.exists("child") or not open("child").read():
    time.sleep(0.01)
"""


def first(tmp_path, code, count=1, timeout=5.0):
    """What becomes of the first cases with a peer that behaves until it is asked the first."""
    target = process(tmp_path, PEER + code, timeout=timeout)
    try:
        return run(target, cases("reptile")[:count], JudgeSettings())
    finally:
        target.stop(seconds=0)


@pytest.mark.parametrize(
    ("code", "verdict", "sentence"),
    [
        ("input()\nwhile True: say('x' * 65536)", "error", "printed a line of more than 1048"),
        ("input()\nwhile True: say('{}' + chr(10))", "error", "answered {}, expected a result, error or skip for the id reptile-001"),
        ("input(); say(json.dumps(first | {'id': 'reptile-002'}) + chr(10)); time.sleep(60)", "error", "for the id reptile-001, once"),
        ("input(); os.close(1); time.sleep(60)", "crash", "the process closed its output but did not end"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "crash", "the process was ended by SIGKILL: out of memory?"),
        ("os.abort()", "crash", "the process was ended by SIGABRT"),
        ("sys.exit(3)", "crash", "the process ended with status 3"),
        ("input(); say(json.dumps(first)[:-20])", "error", "printed a line that is no JSON"),
        ("input(); say('[' * 100000 + chr(10))", "error", "printed a line that is nested 100000 deep, expected at most 12"),
        ("input(); os.write(1, bytes([255, 254, 10])); time.sleep(60)", "error", "printed a line that is no JSON: '\ufffd"),
        ("input(); say(json.dumps(first | {'warnings': 'none'}) + chr(10)); time.sleep(60)", "error", "expected a list of sentences"),
        ("input(); say(json.dumps(first).replace('0.25', '9' * 6000) + chr(10))", "mismatch", "returned inf for update at index [0]"),
        ("input(); say(json.dumps(first).replace('0.25', 'NaN') + chr(10))", "mismatch", "returned nan for update at index [0]"),
        ("input(); say(json.dumps(first).replace('0.25', 'null') + chr(10))", "mismatch", "returned dtype object for update with entries of type NoneType, float; return"),
        ("input(); say(json.dumps(first | {'result': {'update': 1}}) + chr(10))", "mismatch", "returned a dict with the keys update for update"),
    ],
)  # fmt: skip
def test_a_hostile_program_gets_a_verdict_and_a_message(tmp_path, code, verdict, sentence):
    (outcome,) = first(tmp_path, code)
    assert outcome.verdict == verdict and sentence in outcome.message


def test_a_program_that_ignores_requests_to_end_is_ended(tmp_path):
    target = process(tmp_path, PEER + "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)", timeout=0.2)
    (outcome,) = run(target, cases("reptile")[:1], JudgeSettings())
    assert outcome.verdict == "timeout"
    assert outcome.message.startswith("no answer within 0.2 s: it hangs, does not flush what it prints, or needs longer")
    assert target._peer is None


@pytest.mark.parametrize("more", ["json.dumps(first)", "'done'"])
def test_a_program_that_says_more_than_it_was_asked_is_reported(tmp_path, more):
    """The second line comes before the next question, or as the answer to it."""
    one, other = first(tmp_path, RESULT + f"say({more} + chr(10)); time.sleep(60)", count=2)
    assert (one.verdict, other.verdict) == ("pass", "error")
    message = other.message
    assert "before it was asked" in message or "for the id reptile-002, once" in message or "no JSON: 'done'" in message


def test_lines_that_nobody_asked_for_are_not_kept():
    """The program is held up by its full pipe, and the next question tells it so."""
    peer = Peer([sys.executable, "-c", "input()\nwhile True: print('x' * 1000)"])
    assert peer.ask("hello", seconds=5).startswith("xxx")
    while peer._lines.qsize() < 2:
        time.sleep(0.01)
    with pytest.raises(Failed, match="printed a line before it was asked: 'xxx"):
        peer.ask("again", seconds=5)
    assert peer._lines.qsize() <= 2
    peer.end()


def test_a_program_that_stops_reading_does_not_hold_the_judge():
    """A question larger than a pipe, and a program that never reads it."""
    peer = Peer([sys.executable, "-c", "import time; time.sleep(60)"])
    with pytest.raises(Failed, match="no answer within 0.1 s: it did not read the whole question"):
        peer.ask("x" * 10**6, seconds=0.1)
    peer.end()
    assert not peer.runs


def test_an_answer_may_be_as_long_as_the_result_of_the_case():
    long = LINE + 3 * CHUNK
    peer = Peer([sys.executable, "-c", f"while input(): print('x' * {long})"])
    assert len(peer.ask("hello", seconds=5, longest=long + 1)) == long
    with pytest.raises(Failed, match=f"printed a line of more than {LINE} bytes: 'xxx"):
        peer.ask("hello", seconds=5)
    peer.end()


def runs(number):
    """Is there a process of this number?  One that has ended and is not waited for yet does not count."""
    try:
        with open(f"/proc/{number}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="looks into /proc")
@pytest.mark.parametrize("code", ["sys.exit(4)", "say('no JSON' + chr(10)); time.sleep(60)"])
def test_the_children_of_a_program_end_with_it_and_do_not_hold_the_judge(tmp_path, monkeypatch, code):
    """The child has the pipe open, too: that the program has ended is not seen at the pipe."""
    monkeypatch.chdir(tmp_path)
    (outcome,) = first(tmp_path, FORK + code)
    assert "ended with status 4" in outcome.message or "no JSON" in outcome.message
    child, deadline = (tmp_path / "child").read_text(), time.monotonic() + 5
    while runs(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_no_thread_is_left(tmp_path):
    before = threading.active_count()
    first(tmp_path, "while True: say('{}' + chr(10))")
    deadline = time.monotonic() + 5
    while threading.active_count() > before:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_interrupt_ends_a_judge_whose_program_stopped_reading():
    """Ctrl-C while a question of 1 MB waits in a full pipe."""
    code = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from refmeta.oracle.process import Peer
peer = Peer([sys.executable, "-c", "import time; time.sleep(60)"])
try:
    print("begun", flush=True)
    peer.ask("x" * 10**6, seconds=60)
finally:
    peer.end()
    print(peer.runs)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as judge:
        try:
            assert judge.stdout.readline() == "begun\n"
            judge.send_signal(signal.SIGINT)
            out, err = judge.communicate(timeout=30)
        finally:
            judge.kill()
    assert out == "False\n" and err.endswith("KeyboardInterrupt\n")


def test_warnings_come_with_the_result_and_an_error_may_be_no_refusal(tmp_path):
    (outcome,) = first(tmp_path, "input(); say(json.dumps(first | {'warnings': ['a' + chr(27), 'b']}) + chr(10))")
    assert (outcome.verdict, outcome.warnings) == ("pass", ("a ", "b"))
    unwilling = HARNESS.replace('"message": str(error)', '"refusal": False, "message": str(error)')
    verdicts = {o.verdict for o in outcomes(process(tmp_path, unwilling)) if o.case.result == "invalid"}
    assert verdicts == {"error"}


def test_how_a_process_ended_is_reported_in_words():
    assert ending(3) == "the process ended with status 3"
    assert ending(-signal.SIGSEGV) == "the process was ended by SIGSEGV: a fault in compiled code?"
    assert ending(-63) in ("the process was ended by signal 63", "the process was ended by SIGRTMAX-1")


def test_a_command_line_is_split_by_the_rules_of_its_system():
    line = r'"C:\Program Files\julia.exe" harness.jl --flag="a b"'
    assert as_command(line, posix=False) == line
    assert as_command("julia 'my harness.jl'", posix=True) == ["julia", "my harness.jl"]
    for wrong in (" ", "python \0"):
        with pytest.raises(TargetMissing, match="cannot start"):
            run(Process(wrong, ("reptile",)), cases("reptile"), JudgeSettings())


FUNCTION = """
import sys

def f(theta, adapted, epsilon):
    print("noise")
    if len(adapted) == 1:
        sys.exit(3)
    if epsilon == 1:
        input()
    adapted -= theta
    return theta + epsilon * adapted.mean(axis=0)
"""


def test_a_python_function_is_served_with_what_it_did(tmp_path, monkeypatch):
    """It prints, changes an input in place, exits, and finds nothing to read."""
    (tmp_path / "reptiles.py").write_text(FUNCTION, "utf-8")
    (tmp_path / "exits.py").write_text("raise SystemExit('no device')", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    target = Process([sys.executable, "-m", "refmeta.oracle.serve", "reptiles:f"], ("reptile",))
    outcome_of = {}
    for outcome in run(target, [case for case in cases("reptile") if case.result == "valid"], JudgeSettings()):
        outcome_of[outcome.message or outcome.verdict] = outcome
    target.stop()
    assert set(outcome_of) == {"pass", "the target called sys.exit(3)", "raised EOFError: EOF when reading a line"}
    assert outcome_of["pass"].warnings == ("the input adapted was changed in place: work on a copy of it",)
    with pytest.raises(ValueError, match=r"cannot import exits:f: it called sys.exit\('no device'\)"):
        import_target("exits:f")
