"""`verify`: its table, its exit status, and how it ends when nobody reads or waits."""

import os
import re
import signal
import subprocess
import sys

from refmeta.__main__ import _parsers, main
from refmeta.commands.verify import LabelRow, checks_of, judge
from refmeta.evidence import CHECKS, shared
from refmeta.evidence.checks import Check
from refmeta.meta import maml


def run(*arguments, folder=None):
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "refmeta", *arguments], capture_output=True, text=True, cwd=folder
    )


def test_verify_prints_one_row_per_label_and_succeeds(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    labels = ["softmax", "maml-gradient", "reptile-expansion"]
    assert main(["verify", *labels, "--problems", "3"]) == 0
    out = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in out if line.startswith("ok ")]
    assert [row[3 if row[1] == "order" else 2] for row in rows] == labels
    assert "3 of 3 formulas are right" in out[-1]


def test_a_mistake_gives_exit_status_one_and_the_name_of_its_formula(monkeypatch, capsys):
    monkeypatch.setattr(maml, "gradient", maml.first_order_gradient)
    assert main(["verify", "maml-gradient", "--problems", "3"]) == 1
    assert "Wrong: maml-gradient" in capsys.readouterr().out


def check_of(errors, order=None):
    """A check whose problems have these errors, one after the other."""
    errors = iter(errors)
    return Check("x", "", "", lambda rng: rng, lambda case: next(errors), order)


def test_a_row_passes_at_one_tolerance_and_not_above_it_nor_without_a_problem():
    for worst, problems, passed in ((1.0, 1, True), (1.5, 1, False), (float("nan"), 0, False)):
        assert LabelRow(check_of([]), worst, problems).passed == passed
    row = judge(check_of([float("nan")] * 30), seed=0, problems=3)
    assert row.problems == 0 and not row.passed


def test_a_row_keeps_the_worst_error_or_the_order_farthest_from_the_expected_one():
    row = judge(check_of([0.0, 5.0, 0.0, float("nan"), 0.0]), seed=0, problems=4)
    assert row.worst == 5 and row.problems == 4
    row = judge(check_of([0.5, 2.1, 2.0], (2, 0.05)), seed=0, problems=3)
    assert row.worst == 0.5 and not row.passed
    assert checks_of([]) == CHECKS


def test_the_commands_run_from_an_empty_folder_and_repeat_themselves(tmp_path):
    one, same = (run("verify", "softmax", "bellman", "--problems", "2", folder=tmp_path) for _ in range(2))
    assert one.returncode == 0 and one.stdout.splitlines()[:-1] == same.stdout.splitlines()[:-1]
    assert run("--version").stdout.startswith("refmeta ")


def test_a_terminal_that_knows_no_greek_still_gets_its_table():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "refmeta", "verify", "softmax-jvp", "--problems", "1"]
    done = subprocess.run(command, capture_output=True, env=environment)
    assert done.returncode == 0 and b"1 of 1 formula is right" in done.stdout and done.stderr == b""


def test_a_reader_that_goes_away_leaves_no_traceback():
    command = [sys.executable, "-m", "refmeta", "verify", "--problems", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait() == 141 and errors == b""


def test_an_interrupt_is_status_130():
    """Also where the shell has this process ignore SIGINT, as it does to jobs in the background."""
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); import refmeta.__main__ as m"
    command = [sys.executable, "-c", f"{code}; sys.exit(m.run())", "verify", "--problems", "1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            errors = process.communicate(timeout=30)[1]
        finally:
            process.kill()
        assert process.returncode == 130 and errors == b"interrupted\n"


def test_defaults_seeds_and_the_number_of_wrong_formulas(capsys, monkeypatch):
    options = _parsers()[0].parse_args(["verify"])
    assert (options.problems, options.seed, options.label) == (20, 0, [])
    for seed in ("1", "2"):
        main(["verify", "softmax", "--problems", "2", "--seed", seed])
    first, second = (re.findall("^ok .*", out, re.M) for out in capsys.readouterr().out.split("Every formula")[1:])
    assert len(first) == len(second) == 1 and first != second
    monkeypatch.setattr(shared, "softmax", lambda x: 2 * x)
    monkeypatch.setattr(shared, "log_softmax", lambda x: 2 * x)
    assert main(["verify", "softmax", "log-softmax", "--problems", "2"]) == 1
    assert "0 of 2 formulas are right" in capsys.readouterr().out
