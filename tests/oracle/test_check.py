"""`check` in this process and as a command: right code passes, wrong code is told, whatever a target does is said."""

import contextlib
import importlib.util
import io
import json
import re
import subprocess
import sys
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

import refmeta as rm
from refmeta.__main__ import main
from refmeta.arrays import replace_fields
from refmeta.oracle import cases
from refmeta.oracle.check import as_target, run
from refmeta.oracle.judge import RIGHT, JudgeSettings, judge
from refmeta.oracle.report import Report, indistinct, status
from refmeta.oracle.report import text as report_text
from refmeta.oracle.suites import FOLDER, SUITES
from refmeta.oracle.verdict import findings

MAML = [suite for suite in SUITES if suite.startswith("maml")]
MODULE = """
import os, sys, time
import numpy as np
import refmeta as rm
from refmeta.oracle.suites import SUITES

def problem(inputs):
    return SUITES["maml-quadratic"].problem(inputs)

def right(**inputs):
    print("noise on the standard output")
    os.write(1, b"more of it")
    p = problem(inputs)
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

def imports(**inputs):
    import no_such_library

not_a_function = 3
"""


def own(suite, quantity="gradient"):
    """The library behind a user's signature."""
    functions = {
        "gradient": rm.maml.gradient,
        "objective": rm.maml.objective,
        "first_order": rm.maml.first_order_gradient,
        "step_size_gradient": rm.maml.step_size_gradient,
    }

    def function(**inputs):
        problem = SUITES[suite].problem(inputs)
        if suite == "reptile":
            return rm.reptile.update(problem.theta, problem.adapted, epsilon=problem.epsilon)
        if suite == "policy-gradient":
            point = problem.task.at(problem.theta)
            kl = rm.PolicyKL(point).at(problem.theta + problem.v)
            return {
                "loss": point.loss, "grad": point.grad, "hvp": point.hvp(problem.v),
                "fisher": rm.fisher.product(point, problem.v), "natural_gradient": rm.fisher.natural_gradient(point),
                "kl": kl.loss, "kl_grad": kl.grad, "kl_hvp": kl.hvp(problem.v),
            }  # fmt: skip
        if suite == "implicit":
            return implicit(quantity, problem)
        if not SUITES[suite].array:
            return {name: SUITES[suite].answer(name, problem) for name in SUITES[suite].parts}
        return functions[quantity](problem.theta, *problem.split, **problem.hyper)

    return function


def implicit(quantity, problem):
    given = (problem.theta, problem.support, problem.query)
    if quantity == "first_order":
        adapted = rm.implicit.adapt(*given[:2], strength=problem.strength).adapted
        return problem.query.at(adapted).grad
    return {"gradient": rm.implicit.gradient, "objective": rm.implicit.objective}[quantity](
        *given, strength=problem.strength
    )


@pytest.mark.parametrize("suite", SUITES)
def test_a_right_implementation_passes_every_case_to_fourteen_digits(suite):
    outcomes = rm.oracle.check(own(suite), suite, validation=True)
    assert all(o.verdict in RIGHT for o in outcomes)
    assert min(o.digits for o in outcomes if o.verdict == "pass") >= 13.9
    assert {o.verdict for o in outcomes if o.case.result == "invalid"} <= {"refused"}


@pytest.mark.parametrize("quantity", ["objective", "first_order", "step_size_gradient"])
@pytest.mark.parametrize("suite", MAML)
def test_every_quantity_passes(suite, quantity):
    rm.oracle.check(own(suite, quantity), suite, quantity=quantity)


@pytest.mark.parametrize("quantity", ["objective", "first_order"])
def test_every_quantity_of_the_implicit_suite_passes(quantity):
    rm.oracle.check(own("implicit", quantity), "implicit", quantity=quantity)


def test_an_inner_problem_solved_to_a_residual_of_1e_11_is_right_and_one_of_1e_7_is_not():
    """Gradient descent on the proximal problem until its relative residual is small enough, and a dense solve."""

    def iterative(end):
        def function(**inputs):
            p = SUITES["implicit"].problem(inputs)
            phi = np.broadcast_to(p.theta, (*p.support.shape, p.theta.size))
            H = np.stack([p.support.at(p.theta).hvp(e) for e in np.eye(p.theta.size)], axis=-1)
            if not (p.strength > 0 and np.all(np.linalg.eigvalsh(H) > -p.strength)):
                raise ValueError("not a minimum")
            first = rate = None
            for _ in range(100000):
                r = p.support.at(phi).grad + p.strength * (phi - p.theta)
                size = np.linalg.norm(r, axis=-1, keepdims=True)
                first = (
                    np.maximum(size, p.strength * np.linalg.norm(phi, axis=-1, keepdims=True))
                    if first is None
                    else first
                )
                rate = 1 / (p.strength + np.linalg.eigvalsh(H)[:, -1:]) if rate is None else rate
                if np.all(size <= end * first):
                    break
                phi = phi - np.where(size > end * first, rate, 0) * r
            g = p.query.at(phi).grad
            return np.linalg.solve(np.eye(p.theta.size) + H / p.strength, g[..., None])[..., 0]

        return function

    chosen = [case for case in cases("implicit") if case.result == "valid"][:3]
    for end, word in ((1e-11, "RIGHT"), (1e-9, "ROUNDING"), (1e-7, "WRONG")):
        found = findings(run(as_target(iterative(end)), chosen, JudgeSettings()), JudgeSettings())
        assert [finding.word for finding in found] == [word], found


@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_reductions_ascent_and_first_order_on_purpose(reduce):
    right = own("maml-tabular")
    reduced = lambda **x: getattr(np, reduce)(right(**x), axis=0)
    rm.oracle.check(reduced, "maml-tabular", reduce=reduce)
    rm.oracle.check(lambda **x: -reduced(**x), "maml-tabular", reduce=reduce, ascent=True)
    rm.oracle.check(own("maml-tabular", "first_order"), "maml-tabular", expect="first-order")
    with pytest.raises(AssertionError, match="WRONG"):
        rm.oracle.check(right, "maml-tabular", reduce=reduce)
    with pytest.raises(AssertionError, match="WRONG"):
        rm.oracle.check(right, "maml-tabular", expect="first-order")


@pytest.mark.parametrize(("suite", "turned"), [("pearl", ()), ("model", ("objective", "gradient"))])
def test_ascent_turns_returns_only(suite, turned):
    right = own(suite)

    def ascent(**inputs):
        return {name: -value if name in turned else value for name, value in right(**inputs).items()}

    rm.oracle.check(ascent, suite, ascent=True)
    if turned:
        with pytest.raises(AssertionError, match="the sign"):
            rm.oracle.check(right, suite, ascent=True)


def test_ascent_turns_the_loss_and_its_derivatives_and_nothing_else_of_a_policy_gradient():
    right = own("policy-gradient")

    def ascent(**inputs):
        return {name: -x if name in ("loss", "grad", "hvp") else x for name, x in right(**inputs).items()}

    rm.oracle.check(ascent, "policy-gradient", ascent=True)
    with pytest.raises(AssertionError, match="WRONG"):
        rm.oracle.check(right, "policy-gradient", ascent=True)


def test_a_policy_gradient_may_return_any_subset():
    right = own("policy-gradient")
    for names in (("loss",), ("grad", "hvp")):
        rm.oracle.check(lambda names=names, **x: {k: v for k, v in right(**x).items() if k in names}, "policy-gradient")
    for bad in ({}, {"gradient": 1.0}, [1.0]):
        with pytest.raises(AssertionError, match="expected a dict with some of loss, grad, hvp"):
            rm.oracle.check(lambda bad=bad, **x: bad, "policy-gradient")


def test_single_precision_is_judged_as_single_precision():
    """A float32 kernel passes with dtype float32, is refused with float64, and the faint rows are named."""
    suite = "maml-quadratic"

    def single(theta, A, c, query_A, query_c, alpha, steps):
        if not np.all(np.isfinite(theta)) or not np.array_equal(A, A.swapaxes(-1, -2)) or steps < 0:
            raise ValueError("refused")
        rm.meta.inner.as_step_sizes(alpha, steps, theta.size)
        A, c, query_A, query_c, alpha = (np.asarray(x, np.float32) for x in (A, c, query_A, query_c, alpha))
        rows = np.broadcast_to(alpha, (steps, theta.size)).astype(np.float32)
        x = np.broadcast_to(theta, c.shape).astype(np.float32)
        for a in rows:
            x = x - a * np.einsum("nij,nj->ni", A, x - c)
        g = np.einsum("nij,nj->ni", query_A, x - query_c)
        for a in rows[::-1]:
            g = g - np.einsum("nij,nj->ni", A, a * g)
        return g

    rm.oracle.check(single, suite, dtype="float32")
    with pytest.raises(AssertionError, match="right to single precision only"):
        rm.oracle.check(single, suite)
    assert indistinct(cases(suite), JudgeSettings()) == []
    assert indistinct(cases("maml-tabular"), JudgeSettings(dtype="float32")) == []
    alone = replace_fields(cases("maml-tabular")[0], discriminates={"reversed-product": 1e8, "first-order": 1e12})
    assert indistinct([alone], JudgeSettings(dtype="float32")) == ["reversed-product"]


def test_skipped_is_never_passed_and_nothing_run_is_never_right():
    chosen = JudgeSettings(skip_flags=("validation", "one-task", "edge"), validation=True)
    outcomes = run(as_target(own("reptile")), cases("reptile"), chosen)
    assert sum(o.verdict == "skip" for o in outcomes) == 3 and status(outcomes) == 0
    assert status([o for o in outcomes if o.verdict == "skip"]) == status([]) == 5
    flagged = [c for c in cases("reptile") if c.flags]
    every = tuple({flag for c in flagged for flag in c.flags})
    assert status(run(as_target(own("reptile")), flagged, JudgeSettings(skip_flags=every))) == 5


def test_assert_matches_carries_the_diagnosis():
    case = cases("maml-tabular")[2]
    problem = case.problem
    rm.oracle.assert_matches(case, rm.maml.gradient(problem.theta, *problem.split, **problem.hyper))
    wrong = rm.maml.first_order_gradient(problem.theta, *problem.split, **problem.hyper)
    with pytest.raises(AssertionError, match=r"maml-tabular-003: off by .* tolerances(.|\n)*first-order"):
        rm.oracle.assert_matches(case, wrong)
    with pytest.raises(AssertionError, match=r"returned shape \(2,\) for gradient, expected \(3, 6\)"):
        rm.oracle.assert_matches(case, np.zeros(2))


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
    assert done.returncode == 0 and "RIGHT: 18 of 18 cases, to 1" in done.stdout and "Not judged" not in done.stdout
    assert "noise" not in done.stdout and "noise" in done.stderr


def test_the_command_names_first_order_on_the_terminal_and_in_every_format_at_once(folder):
    """In text of at most 80 columns, whatever else is written; an ending chooses the format, `--format` for others."""
    endings = ["txt", "json", "xml", "md", "log"]
    outputs = [word for end in endings for word in ("--output", f"report.{end}")]
    done = command(folder, "mine:first_order", *QUAD, "--skip-flag", "array-alpha", *outputs)
    text, found, xml, page, log = ((folder / f"report.{end}").read_text("utf-8") for end in endings)
    assert done.returncode == 1 and done.stdout == text == log and max(map(len, text.splitlines())) <= 80
    flat = " ".join(text.split())
    assert "EXACT match with known-wrong formula first-order (g_q) in 7 of 7 failing vectors" in flat
    assert "worst entry: maml-quadratic-002, gradient[" in flat and "7 cases: mismatch: off by" in flat
    assert text.splitlines()[4] == "WRONG: 7 of 8 cases (10 skipped)."
    found = json.loads(found)
    assert found["status"] == 1 and "first-order" in found["diagnosis"]["maml-quadratic"][0]
    assert {"refmeta", "vectors", "numpy", "scipy", "blas"} <= set(found["versions"])
    assert sum(row["verdict"] == "skip" for row in found["cases"]) == 10
    assert found["suites"][0]["verdict"] == "WRONG" and found["suites"][0]["worst"]["id"] == "maml-quadratic-002"
    suite = ElementTree.fromstring(xml)[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("18", "7", "10")
    assert "**WRONG: 7 of 8 cases (10 skipped).**" in page and "| maml-quadratic | 18 | 1 | 7 | 0 | 10 |" in page


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
        ("unwanted", 5, "the keywords of maml-quadratic: theta, A, c, query_A, query_c, alpha, steps; or is it meant for another --suite?"),
        ("imports", 5, "install what is missing in the Python that runs this command"),
        ("leaves", 5, "take out exit(): a target returns its result or raises an error"),
    ],
)
def test_what_a_target_does_is_said_once_and_the_rest_still_runs(folder, target, status, message):
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
    ("line", "told", "remedy"),
    [
        ("def f(:", "cannot import fails:f: SyntaxError", "the module cannot be imported: see the error"),
        ("1 / 0", "cannot import fails:f: ZeroDivisionError: division by zero", "the module cannot be imported: see the"),
        ("raise KeyboardInterrupt", "fails:f: KeyboardInterrupt without a message", "the module cannot be imported: see"),
        ("raise SystemExit(3)", "cannot import fails:f: it called sys.exit(3)", "take exit() out of what runs when"),
        ("import os; os._exit(3)", "at the greeting: the process ended with status 3", "before it answered the greeting"),
    ],
)  # fmt: skip
def test_a_module_that_fails_while_it_is_imported_is_told_with_its_remedy(folder, line, told, remedy):
    (folder / "fails.py").write_text(line + "\n")
    done = command(folder, "fails:f", "--suite", "reptile", "--case", "reptile-001")
    text = " ".join(done.stdout.split())
    assert done.returncode == 5 and told in text and remedy in text and "by hand" not in text and not done.stderr, done


def test_a_program_that_says_that_it_failed_is_told_in_its_own_words(folder):
    (folder / "failed.py").write_text("""input(); print('{"type": "failed", "message": "no\\\\u001b device"}', flush=True)""")
    done = command(folder, "--exec", f"{sys.executable} failed.py", "--suite", "reptile", "--case", "reptile-001")
    assert done.returncode == 5 and "error: no  device" in done.stdout and " None" not in done.stdout, done.stdout


def test_lines_fit_the_terminal_whatever_the_target_says():
    def loud(**inputs):
        raise ValueError("x" * 300)

    outcomes = run(as_target(loud), cases("reptile")[:1], JudgeSettings())
    text = report_text(Report("n" * 200, JudgeSettings(), tuple(findings(outcomes, JudgeSettings()))))
    assert max(map(len, text.splitlines())) <= 80 and text.replace("\n", "").replace(" ", "").count("x" * 300) == 1


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
    import os

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


def test_all_cases_skipped_is_status_five(folder):
    done = command(folder, "mine:right", "--suite", "reptile", "--case", "reptile-009", "--skip-flag", "validation")
    assert done.returncode == 5 and "NOT RUN: no case was judged" in done.stdout
    done = command(folder, "mine:right", "--suite", "reptile", "--case", "reptile-009")
    assert done.returncode == 5 and "judge them with --validation" in done.stdout


def test_a_refusal_counts_only_beside_a_result():
    """A function of the wrong signature has refused nothing."""
    with pytest.raises(AssertionError, match="NOT RUN: the target gave no result that can be read in 18 of 18 cases"):
        rm.oracle.check(lambda A: A, "maml-quadratic", validation=True)
    invalid = [c for c in cases("maml-quadratic") if c.result == "invalid"]
    outcomes = run(as_target(lambda A: A), invalid, JudgeSettings(validation=True))
    assert {o.verdict for o in outcomes} == {"error"} and status(outcomes) == 5


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"quantity": "gradients"}, "quantity must be one of gradient, objective, first_order, step_size_gradient, got 'gradients'"),
        ({"reduce": "Sum"}, "reduce must be one of none, sum, mean, got 'Sum'"),
        ({"expect": "first_order"}, "expect must be one of exact, first-order, got 'first_order'"),
        ({"dtype": "float16"}, "dtype must be one of float64, float32, got 'float16'"),
        ({"skip_flags": "validation"}, "skip_flags must be a tuple of flags, got the string 'validation'"),
    ],
)  # fmt: skip
def test_settings_that_do_not_exist_are_refused(settings, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        rm.oracle.check(own("maml-quadratic"), "maml-quadratic", **settings)


def test_expected_values_cannot_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        cases("reptile")[0].expected["update"].value[0] = 7


def test_a_sum_without_its_option_is_hinted_at_also_in_a_tuple_of_one():
    """torch.autograd.grad returns a tuple, and the sum over the tasks where the losses are added."""
    case = cases("maml-regression")[0]
    total = case.expected["gradient"].value.sum(0)
    for got in (total, (total,)):
        with pytest.raises(AssertionError, match=r"it is the sum over the tasks: say so with --reduce sum"):
            rm.oracle.assert_matches(case, got)
    assert "return its entry [0]" in judge(case, (total,), JudgeSettings(reduce="sum")).message


def test_messages_have_no_control_characters_and_an_end():
    def loud(**inputs):
        raise ValueError("\x1b[31m\x00" + "x" * 10000)

    outcome = run(as_target(loud), cases("reptile")[:1], JudgeSettings())[0]
    assert "\x1b" not in outcome.message and "\x00" not in outcome.message and len(outcome.message) < 520


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["mine:right", "--suite", "maml-quadratic", "--output", "/nonexistent/report"],
            "cannot write the report to '/nonexistent/report'",
        ),
        (["--exec", "python 'x"], "cannot read the command"),
        (["mine:right", "--suite", "reptile", "--reduce", "sum"], "--quantity and --reduce are for the MAML suites"),
        (["mine:right", "--suite", "reptile", "--expect", "first-order"], "--expect first-order is for the MAML suites"),
        (["mine:right", "--suite", "pearl", "--expect", "first-order"], "--expect first-order is for the MAML suites"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(folder, arguments, sentence):
    done = command(folder, *arguments)
    assert done.returncode == 2 and sentence in done.stderr and "Traceback" not in done.stderr


def test_a_policy_gradient_says_what_was_judged(folder):
    (folder / "losses.py").write_text(
        "from refmeta.oracle.suites import SUITES\n\ndef f(**x):\n    p = SUITES['policy-gradient'].problem(x)\n    return {'loss': p.task.at(p.theta).loss}\n"
    )
    done = command(folder, "losses:f", "--suite", "policy-gradient")
    assert done.returncode == 0 and "judged: loss in 18 cases; not judged: grad, hvp, fisher" in done.stdout


def test_a_terminated_check_leaves_no_process_behind(folder):
    import os
    import signal
    import time

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


def test_what_is_called_a_false_alarm_is_right():
    """Reptile's sign under plain SGD; K = 1 is gradient descent on the mean; K = 1 has one step, first and last."""
    from refmeta.problems import random_problem

    case = random_problem(np.random.default_rng(0), "softmax-regression", tasks=3, steps=1)
    adapted = rm.adapt(case.theta, case.support, **case.hyper).adapted
    right = rm.reptile.update(case.theta, adapted, epsilon=0.5)
    direction = rm.reptile.gradient(case.theta, adapted, alpha=case.alpha)
    np.testing.assert_allclose(case.theta - 0.5 * case.alpha * direction.mean(0), right, rtol=1e-13)
    mean = case.support.at(case.theta).grad.mean(0)
    np.testing.assert_allclose(case.theta - 0.5 * case.alpha * mean, right, rtol=1e-13)
    for slug in ("first-step-only", "last-step-only"):
        row = next(row for row in SUITES["maml-tabular"].rows if row.slug == slug)
        exact = rm.maml.gradient(case.theta, *case.split, **case.hyper)
        np.testing.assert_allclose(row.function(case), exact, rtol=1e-13)


def test_a_missing_axis_is_hinted_at_only_where_it_is_the_one_of_the_tasks():
    case, parts = cases("maml-quadratic")[0], cases("pearl")[0]
    axis = "the axis of the tasks is missing"
    wanted = parts.expected["mean"].value
    for got, hinted in ((wanted[0], True), (np.zeros(9), False)):
        assert (axis in judge(parts, {"mean": got}, JudgeSettings()).message) == hinted
    assert axis not in judge(case, np.full(case.expected["gradient"].value.shape[1:], 7.0), JudgeSettings()).message


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (([1.0], [1.0, 2.0]), "returned a tuple of 2 for gradient with the shapes .*; return the result that is asked for alone"),
        ({"gradient": 1.0}, "returned a dict with the keys gradient for gradient; return the array alone"),
        ([object()], "returned dtype object for gradient with entries of type object; return one array of float64"),
        (None, "returned None for gradient: is a return statement missing"),
    ],
)
def test_what_is_no_array_is_told_with_its_remedy(value, sentence):
    with pytest.raises(AssertionError, match=sentence):
        rm.oracle.assert_matches(cases("maml-quadratic")[0], value)


def test_a_tensor_of_an_autograd_graph_is_detached_and_a_tuple_of_one_is_hinted_at():
    case = cases("maml-quadratic")[0]

    class Tensor:
        """As PyTorch's, which NumPy cannot read while it requires a gradient."""

        def detach(self):
            return case.expected["gradient"].value

        def __array__(self, *_, **__):
            raise RuntimeError("Can't call numpy() on Tensor that requires grad")

    rm.oracle.assert_matches(case, Tensor())
    with pytest.raises(AssertionError, match="returned a tuple of 1 for gradient with the shapes .*; return its entry alone"):
        rm.oracle.assert_matches(case, (case.expected["gradient"].value,))


def test_progress_is_told_on_a_terminal_only_and_wiped(folder, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    arguments = ["check", "mine:right", "--suite", "maml-quadratic", "--case", "maml-quadratic-001", "--case", "maml-quadratic-003"]
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", stream)
        with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
            assert main(arguments) == 0
        told = [line for line in stream.getvalue().split("\r\x1b[K") if line]
        if stream.isatty():
            assert told == [
                "1 of 2: maml-quadratic-001 (the first answer may take longer: imports, compilation)",
                "2 of 2: maml-quadratic-003",
            ] and stream.getvalue().endswith("\r\x1b[K")
        else:
            assert not told


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
    assert done.returncode == 0 and "RIGHT: 15 of 15 cases, to 15" in done.stdout, done.stdout
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
    assert done.returncode == 0 and "\nRIGHT: 9 of 9 cases, to 1" in done.stdout, done.stdout
    assert done.stdout.count("pearl") == 1 and "refused, 1 case;" in done.stdout and "NOT RUN" not in done.stdout
    assert (folder / "all.md").read_text("utf-8").count("## ") == 1
