"""`check MODULE:PROBLEM`: a problem, or a function that makes one; the report in every format; what is refused."""

import json
import sys

import pytest

from refmeta.__main__ import main
from tests.commands.conftest import refused

SOURCE = '''
import numpy as np
import refmeta as rm

A, c, theta = np.diag([1.0, 2.0]), np.array([0.5, -1.0]), np.array([1.0, 3.0])
loss = lambda t: 0.5 * (t - c) @ A @ (t - c)
one = rm.BlackBox(loss, 2, grad=lambda t: A @ (t - c), hvp=lambda t, v: A @ v)
step = np.eye(2) - 0.1 * A


def gradient(t):
    print("a line of the user")
    return (step @ A @ (step @ (t - c)))[None]


right = rm.oracle.Problem(theta, [one], None, 0.1, 1, gradient)


def wrong():
    return rm.oracle.Problem(theta, [one], None, 0.1, 1, lambda t: (A @ (step @ (t - c)))[None])


def fails():
    raise ZeroDivisionError("a maker that fails")


def leaves():
    raise SystemExit(0)


def loss_leaves():
    return rm.oracle.Problem(theta, [lambda t: leaves()], None, 0.1, 1, gradient)


def broken(t):
    raise RuntimeError("no such layer")


fails_inside = rm.oracle.Problem(theta, [rm.BlackBox(broken, 2)], None, 0.1, 1, gradient)
fails_in_grad = rm.oracle.Problem(theta, [rm.BlackBox(loss, 2, grad=broken)], None, 0.1, 1, gradient)
divides = rm.oracle.Problem(theta, [rm.BlackBox(lambda t: 1 / 0, 2)], None, 0.1, 1, gradient)
misfit = rm.oracle.Problem(theta[:1], [one], None, 0.1, 1, gradient)
number = 3
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "problem_of_mine.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("problem_of_mine", None)


def check(capsys, name, *options):
    try:
        status = main(["check", f"problem_of_mine:{name}", *options])
    except SystemExit as stopped:
        status = stopped.code
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_a_right_problem_is_right_and_what_it_prints_stays_out_of_the_report(module, capsys):
    status, out, err = check(capsys, "right", "--format", "json")
    report = json.loads(out)
    assert status == 0 and report["suites"][0]["verdict"] == "RIGHT" and "a line of the user" in err


def test_a_wrong_problem_that_a_function_makes_is_named_with_a_next_step(module, capsys):
    status, out, _ = check(capsys, "wrong", "--output", "report.xml")
    assert status == 1 and "known-wrong formula first-order" in out and "Next: compare yours with refmeta.adapt(" in out
    assert max(map(len, out.splitlines())) <= 80
    assert "failures" in (module / "report.xml").read_text()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("misfit", "support[0] has the batch axes () and 2 parameters, expected () and 1"),
        ("fails", "problem_of_mine:fails() raised ZeroDivisionError: a maker that fails"),
        ("leaves", "problem_of_mine:leaves() called sys.exit(0); it must make a refmeta.oracle.Problem"),
        ("loss_leaves", "called sys.exit(0)"),
        ("fails_inside", "loss(theta) raised RuntimeError: no such layer"),
        ("fails_in_grad", "grad(theta) raised RuntimeError: no such layer"),
        ("divides", "loss(theta) raised ZeroDivisionError: division by zero"),
        ("absent", "cannot import problem_of_mine:absent"),
        ("gradient", "give the suite that problem_of_mine:gradient implements"),
        ("number", "give the suite that problem_of_mine:number implements"),
    ],
)
def test_what_is_no_problem_is_said(module, capsys, name, sentence):
    status, _, err = check(capsys, name)
    assert status == 2 and sentence in " ".join(err.split()), err


def test_a_module_that_fails_is_said_and_is_no_fault_of_refmeta(module, capsys):
    (module / "problem_of_mine.py").write_text("import no_such_package_at_all")
    status, _, err = check(capsys, "right")
    assert status == 2 and "cannot import problem_of_mine:right: ModuleNotFoundError: No module named 'no_such_package_at_all'" in " ".join(err.split())


@pytest.mark.parametrize("option", [("--reduce", "sum"), ("--ascent",), ("--dtype", "float32"), ("--case", "own-1"), ("--skip-flag", "x"), ("--quantity", "objective"), ("--validation",), ("--repeat", "2"), ("--expect", "first-order")])  # fmt: skip
def test_an_option_of_suites_is_refused_for_a_problem(option, monkeypatch, tmp_path, capsys):
    (tmp_path / "losses_of_mine.py").write_text(
        "import numpy as np, refmeta as rm\n"
        "loss = lambda t: float(np.sum(t**2))\n"
        "problem = rm.oracle.Problem(np.ones(2), [loss], [loss], alpha=0.1, steps=1, gradient=lambda t: 0 * t[None])\n"
    )
    monkeypatch.chdir(tmp_path)
    assert f"{option[0]} is for the cases of a suite" in " ".join(refused(capsys, "check", "losses_of_mine:problem", *option).split())
