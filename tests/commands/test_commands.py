"""What the command line prints: its width, its guide, its usage errors, and list, show and explain."""

import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from refmeta.__main__ import _parsers, main
from refmeta.commands import explain
from refmeta.oracle.suites import SUITES
from refmeta.oracle.vectors import cases

COMMANDS = ("verify", "demo", "bias", "check", "list", "show", "explain")
ROWS = explain.rows()
SLUGS = [row.slug for _, row in ROWS] + list(explain.false_alarms())


def printed(capsys, *arguments):
    """What a command prints, and its status."""
    try:
        status = main(arguments)
    except SystemExit as end:
        status = end.code
    return capsys.readouterr().out, status


def refused(capsys, *arguments):
    """The message of a command that is refused."""
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    return capsys.readouterr().err


@pytest.fixture(params=[80, 120])
def columns(request, monkeypatch):
    """A terminal of this width."""
    monkeypatch.setenv("COLUMNS", str(request.param))
    return request.param


def assert_fits(text, columns):
    """No line is longer than the terminal is wide."""
    longest = max(text.split("\n"), key=len)
    assert len(longest) <= columns and "\t" not in text, longest


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["--help"], *([name, "--help"] for name in COMMANDS), ["--version"],
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
    from refmeta.commands import verify as command

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
        (["demo", "sinusoid"], "demo", "no family is called 'sinusoid' (did you mean 'sinusoids'?); the families are sinus"),
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
    assert len(message.splitlines()[-1]) < 320


def test_a_message_is_wrapped_on_a_terminal_and_one_line_elsewhere(monkeypatch, capsys):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("COLUMNS", "80")
    message = refused(capsys, "list", "--suite", "mamba").splitlines()
    assert len(message) == 2 and message[1].endswith(", model")
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
        (["explain", "gates-swapped"], "in code    the same in every library"),
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


def test_a_clause_of_many_comments_is_listed_once(capsys, monkeypatch):
    """And no comment loses anything else."""
    monkeypatch.setenv("COLUMNS", "300")
    out, _ = printed(capsys, "list", "--suite", "maml-regression")
    clause = re.search(r"^\(\*\) (.*)$", out, re.M)[1]
    assert out.count(clause) == 1 and all(case.comment in out.replace("(*)", clause) for case in cases("maml-regression"))


def test_flags_and_labels_of_a_table_can_be_copied(columns, capsys):
    """A cell is broken at spaces, not at the hyphens of a name."""
    out, _ = printed(capsys, "list")
    words = set(re.split(r"[\s,\[\]]+", out))
    assert {flag for suite in SUITES for case in cases(suite) for flag in case.flags} <= words
    assert not [line for line in out.splitlines() if re.search(r"\w-$", line)]


def test_formulas_of_parts_are_not_called_instead_of_parts(capsys):
    for suite, row in ROWS:
        assert "instead of: parts" not in explain._whole(suite, row)


def test_a_chapter_is_the_path_of_a_file_that_exists_or_a_name(tmp_path, monkeypatch):
    """In a checkout, from its folder and from another; installed; and with neither."""
    there = Path(explain.__file__).parents[2]
    monkeypatch.chdir(there)
    assert explain.derivation("maml.md") == str(Path("derivations", "maml.md"))
    monkeypatch.chdir(tmp_path)
    assert Path(explain.derivation("maml.md")) == there / "derivations" / "maml.md"
    monkeypatch.setattr(explain.refmeta, "__file__", str(tmp_path / "site-packages" / "refmeta" / "__init__.py"))
    monkeypatch.setattr(explain.sysconfig, "get_path", lambda name: str(tmp_path / name))
    assert explain.derivation("maml.md") == "maml.md"
    folder = tmp_path / "data" / "share" / "refmeta" / "derivations"
    folder.mkdir(parents=True)
    (folder / "maml.md").write_text("")
    monkeypatch.chdir(folder)
    assert explain.derivation("maml.md") == "maml.md"
    monkeypatch.chdir("/")
    assert Path("/", explain.derivation("maml.md")) == folder / "maml.md"


def test_the_matrix_holds_every_margin_at_any_width(columns, capsys):
    """Column by column: a cell is the power of ten of that formula's margin on that vector."""
    case = next(case for case in cases("reptile") if case.result == "valid")
    out, _ = printed(capsys, "list", "--matrix", "--suite", "reptile")
    rows = [line.split() for line in out.splitlines()]
    heads = next(row for row in rows if row[:2] == ["known-wrong", "formula"])
    cells = {row[0]: row for row in rows if row and row[0] in case.discriminates}
    for slug, margin in case.discriminates.items():
        assert int(cells[slug][heads.index(case.id[-3:]) - 1]) == int(np.log10(margin))


def test_every_known_wrong_formula_is_explained(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    for suite, row in ROWS:
        out = explain._whole(suite, row)
        assert all(text in out for text in (row.slug, row.formula, row.cause, row.seen, row.hint))


@pytest.mark.parametrize(
    ("words", "slugs"),
    [
        (["λ", "1/λ"], ["implicit-strength-inverted"]),
        (["MAML-Pytorch", "#17"], ["first-order"]),
        (["create_graph"], ["first-order", "first-step-only", "independent-called-exact", "model-first-order"]),
        (["reversed-p"], ["reversed-product"]),
        (["TRPO", "vanish"], ["kl-always-zero"]),
        (["meta-lstm", "taken for each other"], ["gates-swapped"]),
        (["LQ", "horizon, right"], ["lq-undiscounted", "lq-one-cost-too-many"]),
    ],
)
def test_explain_searches_slugs_formulas_causes_hints_sources_and_chapters(words, slugs, capsys):
    """One match is printed whole, several one line each."""
    out, status = printed(capsys, "explain", *words)
    assert status == 0
    if len(slugs) == 1:
        assert out.startswith(slugs[0] + "\n") and ("likely" in out or "a false alarm" in out)
    else:
        assert [line.split()[0] for line in out.splitlines()[4:]] == slugs and out.startswith(f"{len(slugs)} match ")


def test_explain_has_one_line_for_each_of_many_matches(columns, capsys):
    out, _ = printed(capsys, "explain", "the")
    title, _, heads, rule, *rows = out.splitlines()
    assert len(rows) == int(title.split()[0]) > 50 and {row.split()[0] for row in rows} <= set(SLUGS)
    assert any(row.endswith(" …") for row in rows) == (columns == 80)


def test_explain_without_a_word_lists_every_slug_by_chapter(capsys):
    out, status = printed(capsys, "explain")
    assert status == 0 and set(SLUGS) <= set(re.split(r"[,\s]+", out))
    assert re.findall(r"^([a-z-]+(?: alarms)?):", out, re.M) == [*dict.fromkeys(suite.chapter_of(row) for suite, row in ROWS), "false alarms"]


def numbers(value):
    """An input as one flat array of floats."""
    return np.ravel(np.asarray(value, float)) if value is not None else np.zeros(0)


@pytest.mark.parametrize("suite", SUITES)
def test_what_is_shown_of_a_vector_runs_and_is_the_vector(suite, capsys, monkeypatch):
    """The first vector, the last, and one that must be refused."""
    monkeypatch.setenv("COLUMNS", "80")
    every = cases(suite)
    for case in (every[0], every[-1], *[case for case in every if case.result == "invalid"][:1]):
        space = {}
        exec(printed(capsys, "show", case.id)[0], space)
        assert set(space["inputs"]) == set(case.input) and set(space["expected"]) == set(case.expected)
        for name, value in case.arguments().items():
            np.testing.assert_array_equal(numbers(space["inputs"][name]), numbers(value))
            assert np.shape(space["inputs"][name]) == np.shape(value)
        for name, expected in case.expected.items():
            np.testing.assert_array_equal(space["expected"][name], expected.value)


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_that_is_shown_names_every_input_and_answer_and_a_command(suite, capsys):
    out, status = printed(capsys, "show", suite)
    case = cases(suite)[0]
    assert status == 0 and f"{len(cases(suite))} cases." in out and f"refmeta show {case.id}" in out
    first = {line.split()[0] for line in out.splitlines() if line.strip() and not line.startswith(" ")}
    assert set(case.input) | set(case.expected) <= first
    assert f"  python -m refmeta check mymodule:my_function --suite {suite}\n" in out
