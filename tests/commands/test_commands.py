"""The command line as a whole: its width, its guide, and its usage errors."""

import io
import re
import sys

import pytest

from refmeta.__main__ import _parsers, main
from refmeta.commands import verify as command
from refmeta.oracle.suites import SUITES
from refmeta.oracle.vectors import cases
from tests.commands.conftest import SLUGS, printed, refused


def assert_fits(text, columns):
    """No line is longer than the terminal is wide."""
    longest = max(text.split("\n"), key=len)
    assert len(longest) <= columns and "\t" not in text, longest


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["--help"], *([name, "--help"] for name in _parsers()[1]), ["--version"],
        ["verify", "--problems", "1", "softmax", "taylor-rate", "thm:joint-tie", "meta-lstm-gates-released", "softmax-jvp"],
        ["bias", "--steps", "1"], ["bias", "--mdp", "bandit", "--steps", "1", "--alpha", "1e-5", "1e5"],
        ["list"], ["list", "--matrix"], ["explain"], ["explain", "the"], ["explain", "gradient", "held"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_every_command_fits_the_terminal(arguments, columns, capsys):
    assert_fits(printed(capsys, *arguments)[0], columns)


def test_every_vector_suite_and_explanation_fits_the_terminal(columns, capsys):
    for name in (*SUITES, *(cases(suite)[i].id for suite in SUITES for i in (0, -1))):
        assert_fits(printed(capsys, "show", name)[0], columns)
    for slug in SLUGS[::5]:
        assert_fits(printed(capsys, "explain", slug)[0], columns)


def test_verify_has_every_label_formula_and_judge_at_any_width(columns, capsys, monkeypatch):
    """The table of all formulas, without judging them: the texts are what may be too wide."""
    monkeypatch.setattr(
        command, "judge", lambda check, **_: command.LabelRow(check, check.order[0] if check.order else 0.5, 1)
    )
    out, status = printed(capsys, "verify")
    assert_fits(out, columns)
    assert status == 0 and len(re.findall(r"^ok  ", out, re.M)) == len(command.CHECKS)
    words = out.split()
    for check in command.CHECKS:
        assert check.label in words or f"{check.label}:" in words
        assert set(check.formula.split()) <= set(words), check.label


def test_without_a_command_a_guide_names_the_three_that_people_need(capsys):
    out, status = printed(capsys)
    assert status == 2 and re.findall(r"^  python -m refmeta (\w+)", out, re.M) == ["verify", "check", "explain"]
    for line in re.findall(r"^  python -m refmeta (.*)", out, re.M):
        parser, _ = _parsers()
        assert callable(parser.parse_args(line.split()).run)


@pytest.mark.parametrize(
    ("arguments", "usage", "sentence"),
    [
        (["verfy"], "[-h] [--version] COMMAND ...", "no command is called 'verfy' (did you mean 'verify'?); the commands are"),
        (["demonstrate"], "[-h] [--version] COMMAND ...", "no command is called 'demonstrate'; the commands are verify, demo"),
        (["verify", "mamlgradient"], "verify", "has the label 'mamlgradient' (did you mean 'maml-gradient'?); verify without"),
        (["verify", "--problems", "0"], "verify", "must be a whole number of at least 1, got '0'"),
        (["verify", "--seed", "-1"], "verify", "must be a whole number of at least 0, got '-1'"),
        (["verify", "--sed", "--suite"], "verify", "error: unrecognized arguments: --sed --suite"),
        (["demo", "--problems", "3"], "demo", "unrecognized arguments: --problems"),
        (["demo", "sinusoids"], "demo", "unrecognized arguments: sinusoids"),
        (["bias", "--mdp", "bandits"], "bias", "no process is called 'bandits' (did you mean 'bandit'?); the processes are"),
        (["check", "a:b", "--suite", "Reptle"], "check", "did you mean 'reptile'?"),
        (["list", "--suite", "mamba"], "list", "no suite is called 'mamba'; the suites are policy-gradient"),
        (["list", "--suite", "maml-tabula"], "list", "(did you mean 'maml-tabular'?)"),
        (["show"], "show", "the following arguments are required: CASE|SUITE"),
        (["show", "maml-quadratic-14"], "show", "no case or suite is called 'maml-quadratic-14' (did you mean 'maml-quadratic-014'?)"),
        (["show", "maml-quadratik"], "show", "(did you mean 'maml-quadratic'?); `python -m refmeta list` lists all cases"),
        (["show", "maml"], "show", "no case or suite is called 'maml'"),
        (["explain", "maml-gradient"], "explain", "no mistake but a formula of verify: python -m refmeta verify maml-gradient"),
        (["explain", "first-ordre"], "explain", "matches 'first-ordre' (did you mean 'first-order'?); `python -m refmeta ex"),
    ],
)  # fmt: skip
def test_wrong_usage_prints_the_usage_of_its_own_command_and_the_nearest_name(arguments, usage, sentence, capsys):
    message = refused(capsys, *arguments)
    assert message.startswith(f"usage: python -m refmeta {usage}") and sentence in message
    assert len(message.splitlines()[-1].replace(", ".join(SUITES), "")) < 240


def test_a_message_is_wrapped_on_a_terminal_and_one_line_elsewhere(monkeypatch, capsys):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("COLUMNS", "80")
    message = refused(capsys, "list", "--suite", "mamba").splitlines()
    assert len(message) == 2 and message[1].endswith(f", {[*SUITES][-1]}")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with pytest.raises(SystemExit):
        main(["list", "--suite", "mamba"])
    wrapped = sys.stderr.getvalue()
    assert_fits(wrapped, 80)
    assert " ".join(wrapped.split()) == " ".join(" ".join(message).split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["list", "--suite", "reptile"], "reptile-009"),
        (["list", "--matrix"], "reversed-product"),
        (["show", "maml-quadratic-014"], "gradient=np.array([[0.046875, 0.890625]])"),
        (["show", "maml-quadratic-014"], "# A (N, d, d): symmetric matrices"),
        (["show", "reptile-009"], "adapted=np.array([[3.0, np.nan], [5.0, 4.0]])"),
        (["show", "maml-quadratic"], "L = 1/2 * (theta - c)^T A (theta - c)."),
        (["show", "maml-tabular"], "of state s and action a are entry s*A + a"),
        (["show", "meta-lstm"], "(-1, e^p x), p = 10."),
        (["explain", "first-order"], "create_graph"),
        (["explain", "sum-over-tasks"], "derivations/reptile.md"),
        (["explain", "last-step-only"], "where      g_q is the gradient of the query loss at the adapted parameters; H_k is"),
        (["explain", "gates-swapped"], "written as the same in every library"),
        (["explain", "gates-swapped"], "seen in    not yet in public code"),
        (["list", "--suite", "maml-classification"], "1 feature"),
        (["list", "--suite", "policy-gradient"], ", 1 state, 3 actions"),
        (["show", "policy-gradient-013"], "3 states, 1 action, "),
        (["explain", "reptile-sign"], "a false alarm: θ + ε(φ − θ)"),
    ],
)
def test_list_show_and_explain(arguments, sentence, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    out, status = printed(capsys, *arguments)
    assert status == 0 and sentence in out
