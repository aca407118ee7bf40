"""`check` as a command: what it prints of any target, what it writes, what it refuses, and its exit status."""

import contextlib
import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from refmeta.__main__ import main
from refmeta.oracle import cases
from refmeta.oracle.check import as_target, run
from refmeta.oracle.judge import JudgeSettings
from refmeta.oracle.report import Report
from refmeta.oracle.report import text as report_text
from refmeta.oracle.suites import FOLDER, SUITES
from refmeta.oracle.verdict import findings

MODULE = """
import os, sys, time
import numpy as np
import refmeta as rm
from refmeta.oracle.suites import SUITES

def right(**inputs):
    print("noise on the standard output")
    os.write(1, b"more of it")
    p = SUITES["maml-quadratic"].problem(inputs)
    return rm.maml.gradient(p.theta, *p.split, **p.hyper)

def first_order(theta, A, c, query_A, query_c, alpha, steps):
    return rm.maml.first_order_gradient(theta, rm.Quadratic(A, c), rm.Quadratic(query_A, query_c), alpha=alpha, steps=steps)

def raises(**inputs):
    raise RuntimeError("no such thing")

def sometimes(**inputs):
    if inputs["steps"] == 3:
        os._exit(7)
    if inputs["steps"] == 4:
        time.sleep(60)
    return right(**inputs)

def nothing(**inputs):
    pass

def text(**inputs):
    return "gradient"

def ragged(**inputs):
    return [[1.0], [1.0, 2.0]]

def imaginary(**inputs):
    return 1j * right(**inputs)

def nan(**inputs):
    return right(**inputs) * np.nan

def turned(**inputs):
    return right(**inputs).T

def lossy(**inputs):
    g = right(**inputs)
    return g + 1e-12 * np.random.default_rng(0).normal(size=g.shape)

def leaves(**inputs):
    sys.exit(3)

def unwanted(X, y):
    pass

def some(theta, A):
    pass

def imports(**inputs):
    import no_such_library

def makes():
    raise KeyError("no data")

not_a_function = 3
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("target")
    (path / "mine.py").write_text(MODULE, "utf-8")
    return path


def command(folder, *arguments):
    """The command in this process; a target runs in one of its own."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(["check", *arguments])
        except SystemExit as stopped:
            code = stopped.code
    return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


def reported(folder, target, chosen):
    """The same for a function in this process, on cases of one suite."""
    spec = importlib.util.spec_from_file_location("mine", folder / "mine.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    outcomes = run(as_target(getattr(module, target)), chosen, JudgeSettings())
    report = Report(f"mine:{target}", JudgeSettings(), tuple(findings(outcomes, JudgeSettings())))
    return SimpleNamespace(returncode=report.status, stdout=report_text(report) + "\n", stderr="")


QUAD = ("--suite", "maml-quadratic", "--skip-flag", "validation")


def test_the_command_on_a_right_function_that_prints(folder):
    arguments = [sys.executable, "-W", "error", "-m", "refmeta", "check", "mine:right", "--suite", "maml-quadratic"]
    done = subprocess.run([*arguments, "--validation"], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0 and "RIGHT: 21 of 21 cases, to 1" in done.stdout and "Not judged" not in done.stdout
    assert "noise" not in done.stdout and "noise" in done.stderr


def test_the_command_names_first_order_on_the_terminal_and_in_every_format_at_once(folder):
    """In text of at most 80 columns, whatever else is written; an ending chooses the format, `--format` for others."""
    endings = ["txt", "json", "xml", "md", "log"]
    outputs = [word for end in endings for word in ("--output", f"report.{end}")]
    done = command(folder, "mine:first_order", *QUAD, "--skip-flag", "array-alpha", *outputs)
    text, document, xml, page, log = ((folder / f"report.{end}").read_text("utf-8") for end in endings)
    assert done.returncode == 1 and done.stdout == text == log and max(map(len, text.splitlines())) <= 80
    flat = " ".join(text.split())
    assert "EXACT match with known-wrong formula first-order (g_q) in 9 of 9 failing vectors" in flat
    assert "worst entry: maml-quadratic-002, gradient[" in flat and "9 cases: mismatch: off by" in flat
    assert text.splitlines()[4] == "WRONG: 9 of 10 cases (11 skipped)."
    document = json.loads(document)
    assert document["status"] == 1 and "first-order" in document["diagnosis"]["maml-quadratic"][0]
    assert {"refmeta", "vectors", "numpy", "scipy", "blas"} <= set(document["versions"])
    assert sum(row["verdict"] == "skip" for row in document["cases"]) == 11
    assert document["suites"][0]["verdict"] == "WRONG" and document["suites"][0]["worst"]["id"] == "maml-quadratic-002"
    suite = ElementTree.fromstring(xml)[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("21", "9", "11")
    assert "**WRONG: 9 of 10 cases (11 skipped).**" in page and "| maml-quadratic | 21 | 1 | 9 | 0 | 11 |" in page


@pytest.mark.parametrize(
    ("target", "status", "message"),
    [
        ("raises", 5, "2 cases: error: raised RuntimeError: no such thing: maml-quadratic-004, 005"),
        ("nothing", 5, "2 cases: error: returned None: is a return statement missing, or the gradient cut off?"),
        ("text", 5, "2 cases: error: returned dtype <U8"),
        ("ragged", 5, "2 cases: error: returned a list of 2 with the shapes (1,), (2,); return one array"),
        ("imaginary", 5, "2 cases: error: returned dtype complex128"),
        ("nan", 1, "2 cases: mismatch: returned nan for gradient at index [0, 0]: maml-quadratic-004, 005"),
        ("turned", 1, "expected (2, 3); it is the transposed shape"),
        ("leaves", 5, "2 cases: error: the target called sys.exit("),
        ("unwanted", 5, "the keywords of maml-quadratic: theta, A, c, query_A, query_c, alpha, steps; or is it meant for another --suite? Not judged"),
        ("some", 5, "another --suite? A last parameter `**unused` takes those that it does not need."),
        ("imports", 5, "install what is missing in the Python that runs this command"),
        ("leaves", 5, "take out exit(): a target returns its result or raises an error"),
    ],
)
def test_what_a_target_does_is_reported_once_and_the_rest_still_runs(folder, target, status, message):
    """Two of them also as a command, which prints the same of a function in another process."""
    chosen = [case for case in cases("maml-quadratic") if case.id[-3:] in ("004", "005", "015")]
    done = reported(folder, target, chosen)
    if target in ("raises", "leaves"):
        words = [word for case in chosen for word in ("--case", case.id)]
        assert command(folder, f"mine:{target}", "--suite", "maml-quadratic", *words) == done
    text = " ".join(done.stdout.split())
    assert done.returncode == status and text.count(message) == 1 and "Traceback" not in text, text
    assert ("NOT RUN: the target gave no result that can be read in 2 of 2 cases." if status == 5 else "WRONG: 2 of 2 cases.") in text
    assert "Not judged: whether bad input is refused, 1 case;" in text


def test_rounding_is_allowed_on_demand_and_names_its_cases(folder):
    chosen = [word for i in (3, 6, 10) for word in ("--case", f"maml-quadratic-{i:03d}")]
    for more, code, failures in (([], 1, "3"), (["--allow-rounding"], 0, "0")):
        done = command(folder, "mine:lossy", "--suite", "maml-quadratic", *chosen, *more, "--output", "rounding.xml")
        assert done.returncode == code and "\nROUNDING: right to 1" in done.stdout, done.stdout
        assert ElementTree.parse(folder / "rounding.xml").getroot()[0].get("failures") == failures
    assert "maml-quadratic-003, 006, 010" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("line", "message", "remedy"),
    [
        ("def f(:", "cannot import fails:f: SyntaxError", "the module cannot be imported: see the error"),
        ("1 / 0", "cannot import fails:f: ZeroDivisionError: division by zero", "the module cannot be imported: see the"),
        ("raise KeyboardInterrupt", "fails:f: KeyboardInterrupt without a message", "the module cannot be imported: see"),
        ("raise SystemExit(3)", "cannot import fails:f: it called sys.exit(3)", "take exit() out of what runs when"),
        ("import os; os._exit(3)", "at the greeting: the process ended with status 3", "before it answered the greeting"),
    ],
)  # fmt: skip
def test_a_module_that_fails_while_it_is_imported_is_reported_with_its_remedy(folder, line, message, remedy):
    (folder / "fails.py").write_text(line + "\n")
    done = command(folder, "fails:f", "--suite", "reptile", "--case", "reptile-001")
    text = " ".join(done.stdout.split())
    assert done.returncode == 5 and message in text and remedy in text and "by hand" not in text and not done.stderr, done


def test_a_program_that_says_that_it_failed_is_quoted_in_its_own_words(folder):
    (folder / "failed.py").write_text("""input(); print('{"type": "failed", "message": "no\\\\u001b device"}', flush=True)""")
    done = command(folder, "--exec", f"{sys.executable} failed.py", "--suite", "reptile", "--case", "reptile-001")
    assert done.returncode == 5 and "error: no  device" in done.stdout and " None" not in done.stdout, done.stdout


def test_a_report_that_cannot_be_written_is_printed_and_its_path_named(folder):
    """The other files are written, too."""
    one = ("mine:raises", "--suite", "reptile", "--case", "reptile-001")
    done = command(folder, *one, "--output", "/dev/full", "--output", "beside.txt")
    assert done.returncode == 2 and "cannot write the report to '/dev/full': " in done.stderr
    assert "NOT RUN" in done.stdout and (folder / "beside.txt").read_text("utf-8") == done.stdout


def test_a_usage_error_leaves_no_file_and_a_file_that_is_there_alone(folder):
    (folder / "kept.txt").write_text("kept")
    (folder / "link.txt").symlink_to("linked.txt")
    outputs = [word for name in ("new.txt", "kept.txt", "link.txt") for word in ("--output", name)]
    done = command(folder, "nowhere:f", "--suite", "reptile", *outputs)
    assert done.returncode == 2 and not (folder / "new.txt").exists() and not (folder / "linked.txt").exists()
    assert (folder / "kept.txt").read_text() == "kept" and (folder / "link.txt").is_symlink()


def test_what_is_no_file_is_refused_as_output_before_it_is_opened(folder):
    """To open a FIFO that nobody reads would wait for ever."""
    os.mkfifo(folder / "queue")
    for name, why in (("queue", "neither a regular file"), (".", "neither a regular"), ("-", "./-"), ("a\0", "null")):
        done = command(folder, "mine:right", "--suite", "maml-quadratic", "--output", name)
        assert done.returncode == 2 and why in done.stderr and not done.stdout, done.stderr
    assert not (folder / "-").exists()


def test_a_module_that_cannot_be_imported_is_not_run(folder):
    (folder / "broken.py").write_text("import no_such_library\n")
    done = command(folder, "broken:f", "--suite", "reptile")
    assert done.returncode == 5 and done.stdout.count("no_such_library") == 1, done.stdout + done.stderr


def test_a_crash_and_a_time_out_do_not_stop_the_others_and_neither_is_hidden(folder):
    chosen = [f"maml-quadratic-{i:03d}" for i in (1, 3, 6, 7, 8)]
    done = command(folder, "mine:sometimes", *QUAD, "--timeout", "2", *(x for i in chosen for x in ("--case", i)))
    assert done.returncode == 3
    assert "2 cases: crash: the process ended with status 7: maml-quadratic-003, 006" in done.stdout
    assert re.search("1 case: time-out: no answer within 2 s: .*: maml-quadratic-007", " ".join(done.stdout.split()))
    assert "WRONG: 3 of 5 cases crashed or timed out." in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "give one target: MODULE:FUNCTION, or --exec COMMAND"),
        (["mine:right"], "give the suite that mine:right implements"),
        (["mine:right", "--exec", "x"], "give one target"),
        (["mine:makes"], "mine:makes() raised KeyError: 'no data'; it must make a refmeta.oracle.Problem"),
        (["mine", "--suite", "reptile"], "the target is 'mine', expected MODULE:FUNCTION"),
        (["nowhere:f", "--suite", "reptile"], "cannot import nowhere:f: ModuleNotFoundError"),
        (["mine:absent", "--suite", "reptile"], "cannot import mine:absent: AttributeError"),
        (["mine:righ", "--suite", "reptile"], "has no attribute 'righ' (did you mean 'right'?)"),
        (["mine:right.absent", "--suite", "reptile"], "has no attribute 'absent'"),
        (["./mine.py:right", "--suite", "reptile"], "MODULE is a module's name, as in import, not a path: mine:right"),
        (["mine.py:right", "--suite", "reptile"], "not a path: mine:right"),
        (["C:\\a\\mine.py:right", "--suite", "reptile"], "not a path: mine:right"),
        (["mine:not_a_function", "--suite", "reptile"], "mine:not_a_function is no function but int"),
        (["--exec", "no-such-program-here"], "cannot start 'no-such-program-here'"),
        (["mine:right", "--suite", "maml-tabula"], "did you mean 'maml-tabular'?"),
        (["mine:right", "--suite", "reptile", "--skip-flag", "edgy"], "no case has the flag 'edgy' (did you mean 'edge'?)"),
        (["mine:right", "--suite", "reptile", "--case", "reptile-1"], "no case is called 'reptile-1'"),
        (["mine:right", "--suite", "reptile", "--dtype", "float16"], "invalid choice: 'float16'"),
        (["mine:right", "--suite", "reptile", "--timeout", "0"], "must be a positive number of seconds, got '0'"),
        (["mine:right", "--suite", "maml-tabular", "--expect", "first-order", "--quantity", "objective"], "goes with --quantity gradient"),
        (["mine:right", "--suite", "maml-quadratic", "--output", "/nonexistent/report"], "cannot write the report to '/nonexistent/report'"),
        (["--exec", "python 'x"], "cannot read the command"),
        (["mine:right", "--suite", "reptile", "--reduce", "sum"], "--quantity and --reduce are for the MAML suites"),
        (["mine:right", "--suite", "reptile", "--expect", "first-order"], "--expect first-order is for the MAML suites"),
        (["mine:right", "--suite", "pearl", "--expect", "first-order"], "--expect first-order is for the MAML suites"),
    ],
)  # fmt: skip
def test_wrong_usage_is_status_two_and_a_sentence(folder, arguments, sentence):
    done = command(folder, *arguments)
    assert done.returncode == 2 and sentence in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_a_bad_vector_file_is_status_four_and_one_s_own_is_checked(folder):
    bad, good = folder / "bad.json", folder / "good.json"
    bad.write_text("{}", "utf-8")
    done = command(folder, "mine:right", "--vectors", str(bad))
    assert done.returncode == 4 and "bad vector file: " in done.stderr and "top level" in done.stderr
    good.write_text((FOLDER / SUITES["maml-quadratic"].vectors).read_text("utf-8"), "utf-8")
    assert command(folder, "mine:right", "--vectors", str(good)).returncode == 0
    good.write_text((FOLDER / SUITES["implicit"].vectors).read_text("utf-8"), "utf-8")
    done = command(folder, "mine:right", "--vectors", str(good), "--quantity", "step_size_gradient")
    assert done.returncode == 2 and "the suite implicit has no step_size_gradient" in done.stderr


def test_all_cases_skipped_is_status_five(folder):
    done = command(folder, "mine:right", "--suite", "reptile", "--case", "reptile-009", "--skip-flag", "validation")
    assert done.returncode == 5 and "NOT RUN: no case was judged" in done.stdout
    done = command(folder, "mine:right", "--suite", "reptile", "--case", "reptile-009")
    assert done.returncode == 5 and "judge them with --validation" in done.stdout


def test_a_policy_gradient_says_what_was_judged(folder):
    (folder / "losses.py").write_text("""
from refmeta.oracle.suites import SUITES

def f(**x):
    p = SUITES["policy-gradient"].problem(x)
    return {"loss": p.task.at(p.theta).loss}
""")
    done = command(folder, "losses:f", "--suite", "policy-gradient")
    assert done.returncode == 0 and "judged: loss in 25 cases; not judged: value, action_value" in done.stdout


def test_a_terminated_check_leaves_no_process_behind(folder):
    (folder / "slow.py").write_text(
        "import os, time\n\ndef f(**x):\n    open('pid', 'w').write(str(os.getpid()))\n    time.sleep(60)\n"
    )
    arguments = [sys.executable, "-m", "refmeta", "check", "slow:f", "--suite", "reptile"]
    with subprocess.Popen(arguments, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        for _ in range(200):
            if (folder / "pid").exists() and (folder / "pid").read_text():
                break
            time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=20)
    assert running.returncode == 128 + signal.SIGTERM
    pid = int((folder / "pid").read_text())
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} is still there")


def test_progress_is_printed_on_a_terminal_only_and_wiped(folder, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    arguments = ["check", "mine:right", "--suite", "maml-quadratic", "--case", "maml-quadratic-001", "--case", "maml-quadratic-003"]
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", stream)
        with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
            assert main(arguments) == 0
        lines = [line for line in stream.getvalue().split("\r\x1b[K") if line]
        if stream.isatty():
            assert lines == [
                "1 of 2: maml-quadratic-001 (the first answer may take longer: imports, compilation)",
                "2 of 2: maml-quadratic-003",
            ] and stream.getvalue().endswith("\r\x1b[K")
        else:
            assert not lines


def test_the_readme_s_command_on_a_right_implementation_that_refuses_nothing(folder):
    """Plain NumPy, without the library."""
    (folder / "plain.py").write_text(
        "import numpy as np\n\n"
        "def gradient(theta, X, y, query_X, query_y, alpha, steps):\n"
        "    rows, alphas = [], np.broadcast_to(alpha, (steps, len(theta)))\n"
        "    for X, y, Q, q in zip(X, y, query_X, query_y):\n"
        "        H, x = X.T @ X / len(X), theta\n"
        "        for a in alphas:\n"
        "            x = x - a * (H @ x - X.T @ y / len(X))\n"
        "        g = Q.T @ (Q @ x - q) / len(Q)\n"
        "        for a in alphas[::-1]:\n"
        "            g = g - H @ (a * g)\n"
        "        rows.append(g)\n"
        "    return np.array(rows)\n"
    )
    done = command(folder, "plain:gradient", "--suite", "maml-regression")
    assert done.returncode == 0 and "RIGHT: 19 of 19 cases, to 15" in done.stdout, done.stdout
    assert "Not judged: whether bad input is refused, 2 cases" in done.stdout


def test_suites_that_a_program_does_not_do_stand_in_the_table_and_nowhere_else(folder):
    """Every suite is asked for, and one is done."""
    (folder / "harness.py").write_text(
        "import json, sys\n\n"
        "for line in sys.stdin:\n"
        "    m = json.loads(line)\n"
        "    if m['type'] == 'bye':\n"
        "        break\n"
        "    reply = {'type': 'ready', 'name': 'mean', 'suites': ['reptile']}\n"
        "    if m['type'] == 'case':\n"
        "        x = m['inputs']\n"
        "        rows = [[p - t for p, t in zip(row, x['theta'])] for row in x['adapted']]\n"
        "        mean = [sum(column) / len(rows) for column in zip(*rows)]\n"
        "        r = [t + x['epsilon'] * step for t, step in zip(x['theta'], mean)]\n"
        "        reply = {'type': 'result', 'id': m['id'], 'result': r}\n"
        "    print(json.dumps(reply), flush=True)\n"
    )
    done = command(folder, "--exec", f"{sys.executable} harness.py", "--output", "all.md")
    assert done.returncode == 0 and "\nRIGHT: 12 of 12 cases, to 1" in done.stdout, done.stdout
    assert done.stdout.count("pearl") == 1 and "refused, 1 case;" in done.stdout and "NOT RUN" not in done.stdout
    assert (folder / "all.md").read_text("utf-8").count("## ") == 1
