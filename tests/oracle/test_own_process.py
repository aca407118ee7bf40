"""A program that describes its own problem: right, wrong and hostile ones, and those that the page on the protocol shows."""

import contextlib
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from refmeta.__main__ import main
from refmeta.oracle import own_process
from refmeta.oracle.documents import DEPTH
from refmeta.oracle.own_process import LONGEST, Losses, judged_program, problem_of
from refmeta.oracle.process import LINE
from refmeta.oracle.protocol import NUMBER, Process, TargetMissing

PAGE = (Path(__file__).parents[2] / "derivations" / "protocol.md").read_text(encoding="utf-8")
(NETWORK,) = re.findall(r'^PROGRAM = """\n(.*?)^"""$', PAGE, re.M | re.S)
(CPP,) = re.findall(r"^```text\n(// network.cpp\n.*?)^```$", PAGE, re.M | re.S)
WITH_HVP = NETWORK.replace('"tasks": 3}', '"tasks": 3, "hvp": True}').replace(
    '        return {"type": "value"',
    '        if "v" in m:\n'
    '            v = np.array(m["v"])\n'
    '            return {"type": "value", "hvp": hvp(np.array(m["theta"]), ["support", "query"].index(m["split"]), m["task"], v).tolist()}\n'
    '        return {"type": "value"',
)  # fmt: skip
LOSS_ALONE = NETWORK.replace(', "grad": grad.tolist()}', "}").replace("size=12", "size=3")
MISTAKES = {
    "first-order": ("g = g - alpha", "g = g - 0 * alpha"),
    "last-step-only": ("in reversed(path[:-1])", "in path[-2:-1]"),
    "one-step-too-few": ("in range(steps)", "in range(steps - 1)"),
    "query-is-support": ("loss_and_grad(path[-1], 1, task)", "loss_and_grad(path[-1], 0, task)"),
}

# L = (theta_0² + theta_1²)/2 for both splits: the meta-gradient is (1 − alpha)^(2 steps) theta, or as it stands in RESULT.
SMALL = """
import json, os, sys, time
THETA, ALPHA, STEPS = [0.5, -0.25], 0.25, 2
crashed = asked = False
for line in sys.stdin:
    m = json.loads(line)
    if m["type"] == "bye":
        break
    a = {"id": m.get("id")}
    if m["type"] == "hello":
        a |= {"type": "ready", "name": "small", "suites": ["own"]}
    elif m["type"] == "describe":
        a |= {"type": "problem", "theta": THETA, "alpha": ALPHA, "steps": STEPS, "tasks": 1}
    elif m["type"] == "evaluate":
        t = m["theta"]
        a |= {"type": "value", "loss": sum(x * x for x in t) / 2, "grad": t}
        VALUED
    else:
        asked, t, alpha, steps = True, m["inputs"]["theta"], m["inputs"]["alpha"], m["inputs"]["steps"]
        a |= {"type": "result", "result": [[(1 - alpha) ** (2 * steps) * x for x in t]]}
        ANSWERED
    print(json.dumps(a), flush=True)
"""


def small(evaluating="", answering="", old="", new=""):
    """The small program with a line after each value, and after each result."""
    assert old in SMALL
    return SMALL.replace("VALUED", evaluating or "pass").replace("ANSWERED", answering or "pass").replace(old, new, bool(old))


def changed(program, old, new):
    """The program with a line replaced."""
    assert old in program
    return program.replace(old, new)


def process(tmp_path, program, timeout=20.0):
    file = tmp_path / "program.py"
    file.write_text(program, encoding="utf-8")
    return Process([sys.executable, str(file)], ("own",), timeout=timeout)


def judged(tmp_path, program, timeout=20.0):
    """The verdict on a program."""
    target = process(tmp_path, program, timeout)
    try:
        return judged_program(target)
    finally:
        target.stop(seconds=0)


def why(finding):
    """Why there is no verdict."""
    assert finding.word == "NOT RUN", finding
    return finding.outcomes[0].message


def shown(finding):
    """The digits that the losses show."""
    return float(re.search(r"your losses show ([\d.]+) digits$", finding.sentence)[1])


@pytest.mark.parametrize(("program", "least", "most"), [(WITH_HVP, 13, 15), (NETWORK, 10, 13), (LOSS_ALONE, 5, 10)], ids=["hvp", "grad", "loss"])
def test_a_right_program_is_right_to_the_digits_that_its_losses_show(tmp_path, program, least, most):
    found = judged(tmp_path, program)
    assert found.word == "RIGHT" and found.sentence.startswith("3 of 3 cases, to 1"), found
    assert least <= shown(found) < most
    assert f"| {least} or more |" in PAGE


@pytest.mark.parametrize("slug", MISTAKES)
@pytest.mark.parametrize("program", [WITH_HVP, NETWORK], ids=["hvp", "grad"])
def test_a_planted_mistake_is_named(tmp_path, program, slug):
    found = judged(tmp_path, changed(program, *MISTAKES[slug]))
    assert found.word == "WRONG" and f"EXACT match with known-wrong formula {slug} (" in found.explanation[0], found


REPTILE = changed(
    changed(NETWORK, '"type": "problem"', '"type": "problem", "algorithm": "reptile"'),
    "    g = loss_and_grad(path[-1], 1, task)[1]\n", "    return (theta - path[-1]) / alpha if alpha else np.zeros(12)\n",
)  # fmt: skip
IMPLICIT = changed(
    changed(WITH_HVP.replace("size=12", "size=3"), '"alpha": ALPHA, "steps": STEPS', '"algorithm": "implicit", "strength": 2.0'),
    'x["theta"]), task, x["alpha"], x["steps"])', 'x["theta"]), task, x["strength"])',
).replace("def answer", """
def meta_gradient(theta, task, strength):
    phi, unit = theta, np.eye(3)
    hessian = lambda: np.array([hvp(phi, 0, task, v) for v in unit])
    for _ in range(20):
        slope = loss_and_grad(phi, 0, task)[1] + strength * (phi - theta)
        phi = phi - np.linalg.solve(hessian() + strength * unit, slope)
    return np.linalg.solve(unit + hessian() / strength, loss_and_grad(phi, 1, task)[1])

def answer""", 1)  # fmt: skip


@pytest.mark.parametrize(
    ("program", "mistake", "words"),
    [
        (REPTILE, ("return (theta - path[-1])", "return (path[-1] - theta)"), "times −1"),
        (IMPLICIT, ("unit + hessian() / strength", "unit"), "known-wrong formula implicit-first-order"),
    ],
    ids=["reptile", "implicit"],
)
def test_the_other_algorithms(tmp_path, program, mistake, words):
    assert judged(tmp_path, program).word == "RIGHT"
    found = judged(tmp_path, changed(program, *mistake))
    assert found.word == "WRONG" and words in " ".join(found.explanation), found


def recorded(tmp_path, program, **limit):
    """The verdict on a program, and every question that it was asked."""
    target, questions = process(tmp_path, program), []
    losses, ask = Losses(target), target.ask

    def record(question, *arguments, **more):
        questions.append(question)
        return ask(question, *arguments, **more)

    target.ask = record
    try:
        verdict, _ = own_process.judged(problem_of(losses), **limit)
    finally:
        target.stop(seconds=0)
    assert losses.requests == len(questions)
    return verdict, questions


def test_loss_and_gradient_of_a_point_are_one_question_and_none_is_asked_twice(tmp_path):
    _, questions = recorded(tmp_path, NETWORK)
    evaluated = [json.dumps({**q, "id": ""}) for q in questions if q["type"] == "evaluate"]
    assert len(set(evaluated)) == len(evaluated) > 100
    assert len({q["id"] for q in questions}) == len(questions)
    assert [q["type"] for q in questions].count("describe") == 1


def test_inputs_that_are_fixed_are_not_varied_and_one_with_a_constant_inside_is_right(tmp_path, monkeypatch):
    monkeypatch.setattr(own_process, "SECONDS", 3.0)
    constant = changed(WITH_HVP, 'task, x["alpha"], x["steps"]', "task, ALPHA, STEPS")
    assert recorded(tmp_path, constant, seconds=1.0)[0].word == "WRONG"
    fixed = changed(constant, '"tasks": 3', '"tasks": 3, "fixed": True')
    verdict, questions = recorded(tmp_path, fixed)
    assert verdict.word == "RIGHT" and verdict.sentence.startswith("3 of 3 cases")
    asked = [q["inputs"] for q in questions if q["type"] == "case"]
    assert {(x["alpha"], x["steps"]) for x in asked} == {(0.25, 2)} and len({str(x["theta"]) for x in asked}) == 3
    monkeypatch.undo()
    found = judged(tmp_path, changed(fixed, *MISTAKES["first-order"]))
    assert "known-wrong formula first-order (" in found.explanation[0]


def test_a_program_that_skips_other_inputs_is_judged_on_its_own(tmp_path):
    found = judged(tmp_path, small("", "a = a if alpha == ALPHA else {'id': m['id'], 'type': 'skip', 'reason': 'a constant here'}"))
    assert found.word == "RIGHT" and found.sentence.startswith("1 of 1 case (2 skipped)"), found


def value(**changes):
    """A line that changes a value."""
    return f"a |= {changes!r}"


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        (small("sys.exit(3)"), 'the process ended with status 3; the request was {"type": "evaluate", "theta": [0.5, -0.25], "task": 0, "split": "support", "id": "evaluate-2"}'),
        (small("os.abort()"), "the process was ended by SIGABRT"),
        (small("print('[debug]', flush=True)"), "printed a line that is no JSON: '[debug]'"),
        (small(value(id="evaluate-1")), "expected a value, error or skip for the id evaluate-2, once"),
        (small(value(type="result")), "expected a value, error or skip for the id evaluate-2, once"),
        (small(value(grad=[0.5])), 'answered a value whose "grad" has shape (1,), expected (2,)'),
        (small(value(grad=[[0.5, -0.25]])), 'answered a value whose "grad" has shape (1, 2), expected (2,)'),
        (small(value(grad=[0.5, "1.5"])), "has something else than numbers: a number must not be a string, got '1.5'"),
        (small(value(grad=[0.5, "nan"])), 'answered a value whose "grad" has nan at index [1]; the request was {"type": "evaluate"'),
        (small("a['loss'] = float('nan')"), 'answered a value whose "loss" has nan; the request was {"type": "evaluate"'),
        (small(value(loss="-inf")), 'answered a value whose "loss" has -inf; the request was'),
        (small(value(loss=[0.5])), 'answered a value whose "loss" has shape (1,), expected (): one number'),
        (small(value(loss=True)), 'answered a value whose "loss" has dtype bool, expected real numbers'),
        (small(value(loss="much")), "answered a value whose \"loss\" has something else than numbers: a number must not be a string, got 'much'"),
        (small(value(loss={"x": 1})), 'answered a value whose "loss" has dtype object'),
        (small("del a['loss']"), 'answered a value without "loss"'),
        (small("a = {'id': m['id'], 'type': 'error', 'message': 'no\\x1b data'}"), "answered error: no  data; the request was"),
        (small("a['grad'] = t if t == THETA else None"), 'answered a value without "grad", which it gave elsewhere'),
        (small("a['grad'] = [1.5 * x for x in t]"), "support[0]: grad is no derivative: WRONG"),
        (small("", "sys.exit(3)"), "gradient(theta) the process ended with status 3"),
        (small("", "a['result'] = a['result'][0]"), "gradient(theta) returned shape (2,) for gradient, expected (1, 2); the axis of the tasks is gone"),
        (small(old='"suites": ["own"]', new='"suites": ["pearl"]'), "the target does not do own; the suites that it announced: pearl"),
        (small(old='"theta": THETA, ', new=""), 'answered a problem without "theta"'),
        (small(old=', "tasks": 1', new=""), 'answered a problem without "tasks"'),
        (small(old='"theta": THETA', new='"theta": [THETA]'), "theta has shape (1, 2), expected (d,): a list of numbers"),
        (small(old='"theta": THETA', new='"theta": []'), "theta has shape (0,), expected (d,)"),
        (small(old='"theta": THETA', new='"theta": [1.0, "nan"]'), "theta[1] is nan"),
        (small(old='"theta": THETA', new='"theta": "first"'), 'a problem whose "theta" has something else than numbers'),
        (small(old='"tasks": 1', new='"tasks": 0'), "tasks must be at least 1, got 0"),
        (small(old='"tasks": 1', new='"tasks": 10**9'), "tasks must be at most 5000000, got 1000000000"),
        (small(old='"tasks": 1', new='"tasks": "1"'), "tasks must be an integer, got '1'"),
        (small(old='"alpha": ALPHA, ', new=""), "the algorithm 'maml' takes alpha and steps, got steps"),
        (small(old='"alpha": ALPHA', new='"alpha": [0.1, 0.2, 0.3]'), "alpha has shape (3,)"),
        (small(old='"steps": STEPS', new='"steps": 1.5'), "steps must be an integer, got 1.5"),
        (small(old='"steps": STEPS', new='"steps": 2, "algorithm": ["mamll"]'), "algorithm must be one of maml, implicit, reptile, got"),
        (small(old='{"type": "problem"', new='{"type": "error", "message": "not yet"'), 'answered error: not yet; the request was {"type": "describe", "id": "describe-1"}'),
    ],
)  # fmt: skip
def test_a_hostile_program_gets_a_sentence(tmp_path, program, sentence):
    found = judged(tmp_path, program)
    assert sentence in why(found), why(found)
    assert "\x1b" not in why(found) and len(why(found)) < 1200


def test_a_hessian_product_that_is_announced_must_come(tmp_path):
    announced = small(old='"tasks": 1}', new='"tasks": 1, "hvp": True}')
    assert 'answered a value without "hvp"; the request was' in why(judged(tmp_path, announced))
    right = changed(announced, '"grad": t}', '"grad": t} | ({"hvp": m["v"]} if "v" in m else {})')
    assert judged(tmp_path, right).word == "RIGHT"
    assert 'whose "hvp" has shape (1,), expected (2,)' in why(judged(tmp_path, changed(right, '{"hvp": m["v"]}', '{"hvp": [0.0]}')))


@pytest.mark.parametrize("program", [small("time.sleep(60)"), small("", "time.sleep(60)")], ids=["loss", "gradient"])
def test_a_program_that_hangs_is_ended(tmp_path, program):
    found = judged(tmp_path, program, timeout=1.0)
    assert "no answer within 1 s: it hangs, does not flush what it prints, or needs longer" in why(found)
    assert '; the request was {"type": ' in why(found)


def test_a_program_that_answers_twice_is_reported(tmp_path):
    message = why(judged(tmp_path, small("print(json.dumps(a), flush=True)")))
    assert "printed a line before it was asked" in message or "once; the request was" in message


def test_a_crash_during_the_search_leaves_the_verdict_and_is_a_warning(tmp_path):
    """The first loss that is asked for after the first case belongs to the search."""
    first_order = "a['result'] = [[(1 - alpha) ** steps * x for x in t]]"
    whole = judged(tmp_path, small("", first_order))
    assert whole.word == "WRONG" and whole.outcomes[0].warnings == ()
    found = judged(tmp_path, small("if asked: sys.exit(3)", first_order))
    assert found.word == "WRONG" and "the process ended with status 3; the request was" in found.outcomes[0].warnings[-1], found


def test_a_program_that_breaks_where_only_other_theta_are_asked_is_not_right(tmp_path):
    """At the theta of the problem all is right, and the second case is never made."""
    far = small("if any(abs(x) > 1.05 * abs(y) for x, y in zip(t, THETA)): sys.exit(3)", old='"tasks": 1}', new='"tasks": 1, "hvp": True}')
    far = changed(far, '"grad": t}', '"grad": t} | ({"hvp": m["v"]} if "v" in m else {})')
    assert "the process ended with status 3" in why(judged(tmp_path, far))


def test_a_slow_program_is_not_asked_without_end(tmp_path, monkeypatch):
    """After the first case the losses have so many seconds: with none, one more is asked at most."""
    wrong = changed(WITH_HVP, *MISTAKES["first-order"])
    _, many = recorded(tmp_path, wrong)
    monkeypatch.setattr(own_process, "SECONDS", 0.0)
    verdict, few = recorded(tmp_path, wrong)
    after = [q["type"] for q in few][[q["type"] for q in few].index("case") :]
    assert verdict.word == "WRONG" and after.count("evaluate") <= 1 < len(many) - len(few)


def test_the_page_states_the_limits():
    assert (LINE, NUMBER, LONGEST, DEPTH) == (2**20, 64, 16 * 2**20, 12)
    for words in ("at most 1 MiB, and 64 bytes more", "at most 16 MiB", "at most 12 brackets deep"):
        assert words in PAGE


def command(*arguments):
    """The exit status of `check`, what it prints, and what it says of wrong usage."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            status = main(["check", *arguments])
        except SystemExit as end:
            status = end.code
    return status, " ".join(out.getvalue().split()), err.getvalue()


def typed(tmp_path, program):
    """A program as --exec names it."""
    file = tmp_path / "program.py"
    file.write_text(program, encoding="utf-8")
    return "--exec", shlex.join([sys.executable, str(file)]), "--suite", "own"


def test_the_command_prints_and_writes_the_verdict(tmp_path):
    file = tmp_path / "report.json"
    status, out, _ = command(*typed(tmp_path, small()), "--output", str(file))
    assert status == 0 and "refmeta check of small: " in out and "RIGHT: 3 of 3 cases" in out
    assert json.loads(file.read_text("utf-8"))["suites"][0]["verdict"] == "RIGHT"
    status, out, _ = command(*typed(tmp_path, small(value(grad=[0.5]))), "--output", str(file), "--output", str(tmp_path / "report.xml"))
    assert status == 5 and "NOT RUN: the program gave no problem, or no result, that can be judged." in out
    assert "the program this request by hand" in out and json.loads(file.read_text("utf-8"))["verdict"].startswith("NOT RUN")
    status, *_ = command(*typed(tmp_path, small("", "if steps == 2 and t != THETA: sys.exit(3)")))
    assert status == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("mymodule:f", "--suite", "own"), "--suite own goes with --exec COMMAND; in Python name a refmeta.oracle.Problem"),
        (("--suite", "own"), "--suite own goes with --exec COMMAND"),
        (("--exec", "x", "--suite", "own", "--suite", "reptile"), "--suite own is judged alone"),
        (("--exec", "x", "--suite", "own", "--case", "own"), "--case is for the cases of a suite"),
        (("--exec", "no-such-program", "--suite", "own"), "cannot start 'no-such-program'"),
        (("--exec", "x", "--suite", "own", "--output", "-"), "--output names a file"),
    ],
)
def test_wrong_usage_is_refused(arguments, sentence):
    status, _, err = command(*arguments)
    assert status == 2 and sentence in err


def test_a_program_that_cannot_be_started_is_no_verdict():
    with pytest.raises(TargetMissing, match="cannot start"):
        judged_program(Process("no-such-program", ("own",)))


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a compiler of C++")
def test_the_program_in_c_plus_plus_of_the_page_is_right_and_its_mistake_is_named(tmp_path):
    for name, text in {"right": CPP, "wrong": changed(CPP, "k >= 0; k--", "k >= steps; k--")}.items():
        (tmp_path / f"{name}.cpp").write_text(text, encoding="utf-8")
        build = ["g++", "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-o", name, f"{name}.cpp"]
        subprocess.run(build, cwd=tmp_path, check=True, timeout=300)
    target = Process([str(tmp_path / "right")], ("own",))
    try:
        losses = Losses(target)
        verdict, _ = own_process.judged(problem_of(losses))
    finally:
        target.stop()
    assert verdict.word == "RIGHT" and shown(verdict) > 12 and verdict.outcomes[0].digits > 12 and 150 < losses.requests < 1500
    assert "a few hundred times if it is right" in PAGE and f"{own_process.SECONDS:g} seconds at most" in PAGE
    status, out, _ = command("--exec", str(tmp_path / "wrong"), "--suite", "own")
    assert status == 1 and "EXACT match with known-wrong formula first-order (g_q) in 3 of 3 failing vectors" in out
