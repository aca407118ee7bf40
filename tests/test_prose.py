"""What README and the chapters show of a terminal is what the commands print, and README's numbers are computed ones.

A block in a `console` fence is a list of commands, each after `$ `, and below each what it prints.  A line `…` stands for
any lines left out, a word `…` for any words.  Numbers are compared to the digits shown.  What depends on the machine is
not compared: times, folders, how many digits agree, errors below one tolerance.  A command without any output shown is
run if it is quick, else parsed.
"""

import contextlib
import functools
import io
import re
import runpy
import shlex
from configparser import ConfigParser
from pathlib import Path

import numpy as np
import pytest

import refmeta as rm
from refmeta.__main__ import main
from refmeta.oracle.expected_failures import read_expected_failures
from tests.test_layers import FLOORS, PACKAGE

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
NUMBER = re.compile(r"[+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
README = (ROOT / "README.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^```py\n(?=# (\w+\.py)\n)(.*?)^```$", README, re.M | re.S))  # shown by README, name and text
FILES |= {
    match[1]: match[2]
    for path in sorted((ROOT / "derivations").glob("*.md"))
    for match in re.finditer(r"^```python\n(?=# (\w+\.py)\n)(.*?)^```$", path.read_text(encoding="utf-8"), re.M | re.S)
}  # and by the chapters
TARGETS = """import refmeta as rm

def problem(x, query=""):
    if "y" in x:
        return rm.LinearRegression(x[query + "X"], x[query + "y"])
    P, R, rho = (x[query + name] for name in ("P", "R", "rho"))
    return rm.PolicyReturn(rm.FiniteMDP(P, R, rho, x["gamma"], x["horizon"]), rm.TabularSoftmax(*P.shape[-3:-1]))

def my_meta_gradient(theta, alpha, steps, **x):
    return rm.maml.gradient(theta, problem(x), problem(x, "query_"), alpha=alpha, steps=steps)
"""
LONG = ("demo", "verify", "experiment")  # `verify` is run where its problems are limited by --problems
ELSEWHERE = ("jax_", "torch_", "node ", "./")  # targets that need what is not installed here: tests/peers runs them


def shown_in(path):
    """(line, words of a command, the lines shown below it) of every command of a file's console blocks."""
    text = path.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        if match[1] != "console":
            continue
        first = text.count("\n", 0, match.start(2)) + 1
        lines = match[2].replace("\\\n", "").splitlines()
        starts = [i for i, line in enumerate(lines) if line.startswith("$ ")]
        assert starts[:1] == [0], f"{path.name}:{first}: a console block begins with a command, `$ ...`"
        for i, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            display = [line.strip() for line in lines[i + 1 : end] if line.strip()]
            yield first + i, tuple(shlex.split(lines[i][2:], comments=True)), display


BLOCKS = [
    pytest.param(words, display, id=f"{path.name}:{line}")
    for path in (ROOT / "README.md", *sorted((ROOT / "derivations").glob("*.md")))
    for line, words, display in shown_in(path)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the module that the chapters call `mymodule`, and README's files."""
    path = tmp_path_factory.mktemp("prose")
    for name, text in {"mymodule.py": TARGETS, **FILES}.items():
        (path / name).write_text(text, encoding="utf-8")
    return path


@functools.cache
def printed(folder, arguments):
    """The exit status of `python -m refmeta ...` and all that it prints."""
    out = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            status = main(arguments)
        except SystemExit as stopped:
            status = stopped.code
    return status, out.getvalue()


def refmeta_command(arguments, display, folder):
    """Run, and compared with what is shown; parsed alone if it is long or needs what is not here, and shows nothing."""
    named = {word.lstrip("-") for word in arguments}
    long = arguments[:1] and arguments[0] in LONG and "problems" not in named
    if long or any(word.startswith(ELSEWHERE) for word in arguments):
        assert not display, f"the output of {arguments} is not compared with anything: too long, or not installed here"
        status, out = printed(folder, (*arguments, "--no-such-flag"))
        assert status == 2 and out.rstrip().endswith("unrecognized arguments: --no-such-flag"), "all else is parsed"
        return
    status, out = printed(folder, arguments)
    assert display or status == 0, out
    assert not display or (mismatch := difference(display, out.splitlines())) is None, f"{mismatch}\nIt prints:\n{out}"


def make_command(words, display, folder):
    """Every target is in the Makefile; what they do is run by hand."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert not display and set(words) <= set(targets), f"{words}: the targets are {targets}"


def pip_command(words, display, folder):
    """The project itself, with extras that it has."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = {extra for word in words for extra in re.findall(r"\w+", "".join(re.findall(r"\[(.*?)\]", word)))}
    assert not display and extras <= set(config["options.extras_require"]), f"{words}: no such extra"


def script(words, display, folder):
    """A file that a chapter shows."""
    assert len(words) == 1 and words[0] in FILES, f"{words}: no chapter shows such a file"
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as out:
        runpy.run_path(words[0], run_name="__main__")
    assert (mismatch := difference(display, out.getvalue().splitlines())) is None, mismatch


def of_the_shell(words, display, folder):
    """Needs a network or a shell of its own: nothing is shown of it."""
    assert not display


RULES = {
    ("python", "-m", "refmeta"): refmeta_command,
    ("refmeta",): refmeta_command,
    ("make",): make_command,
    ("pip", "install"): pip_command,
    ("python", "-m", "pip", "install"): pip_command,
    **dict.fromkeys((("git", "clone"), ("cd",), ("python", "-m", "venv"), ("source",), (".",)), of_the_shell),
    ("python",): script,
}


def rule_of(words):
    """The rule of a command, and the words after its name."""
    for name, rule in RULES.items():
        if words[: len(name)] == name:
            return rule, words[len(name) :]
    raise AssertionError(f"no rule in tests/test_prose.py says how `{shlex.join(words)}` is run or what stands for it")


@pytest.mark.parametrize(("words", "display"), BLOCKS)
def test_a_command_prints_what_is_shown(words, display, folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    rule, rest = rule_of(words)
    rule(rest, display, folder)


def difference(display, lines):
    """None if the lines shown are those printed, else what differs; blank lines do not count."""
    lines = [line for line in map(str.strip, lines) if line]
    at, skipping = 0, False
    for want in display:
        if want == "…":
            skipping = True
            continue
        matches = [i for i in range(at, len(lines)) if same(words_of(want), words_of(lines[i]))]
        if not matches or not skipping and matches[0] != at:
            return f"shown: {want}\nprinted: {lines[at] if at < len(lines) else 'nothing more'}"
        at, skipping = matches[0] + 1, False
    return None if skipping or at == len(lines) else f"printed and not shown: {lines[at]}"


def words_of(line):
    """The words of a line, without what depends on the machine."""
    line = re.sub(r"\b\d+(\.\d+)? (s|digits)\b|\b0\.\d+ tol", r"# \2", line)
    return re.sub(r"(?<![\w|])/(?:[\w.+-]+/)+([\w.+-]+)", r"\1", line).split()


def same(display, got):
    """Whether words match, where a word … stands for any number of them."""
    if not display or not got:
        return not got and all(word == "…" for word in display)
    if display[0] == "…":
        return same(display[1:], got) or same(display, got[1:])
    return alike(display[0], got[0]) and same(display[1:], got[1:])


def alike(display, got):
    """Whether two words are one, their numbers to the digits shown; what is rounding on both sides is equal."""
    if NUMBER.split(display) != NUMBER.split(got):
        return False
    return all(map(close, NUMBER.findall(display), NUMBER.findall(got)))


def close(display, got):
    mantissa, _, exponent = display.partition("e")
    unit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    x, y = (float(text.replace(",", "")) for text in (display, got))
    return abs(x - y) <= 0.5 * unit * (1 + 1e-9) or max(abs(x), abs(y)) < 1e-12


@pytest.mark.parametrize(
    ("display", "printed", "right"),
    [
        (["a 0.63 b"], ["a 0.6264 b"], True),
        (["a 0.6256 b"], ["a 0.6264 b"], False),
        (["x 1.5e-16"], ["x 1.36e-16"], True),
        (["x 1.5e-3"], ["x 1.36e-3"], False),
        (["22 of 22"], ["22 of 23"], False),
        (["one"], ["one", "two"], False),
        (["one", "…"], ["one", "two"], True),
        (["two"], ["one", "two"], False),
        (["…", "two"], ["one", "two"], True),
        (["…", "three"], ["one", "two"], False),
        (["version … of"], ["version 1.2, 3.4 of"], True),
        (["to 14.5 digits, 0.02 tolerances"], ["to 14.9 digits, 0.5 tolerances"], True),
        (["0.02 tolerances"], ["1.5 tolerances"], False),
        (["wrote /tmp/x.json (0.3 s)"], ["wrote /var/tmp/x.json (12.0 s)"], True),
        (["α = 0.75;  |∇I|"], ["α = 0.75; |∇I|"], True),
    ],
)
def test_a_display_that_is_not_the_output_is_found(display, printed, right):
    assert (difference(display, printed) is None) == right


@pytest.mark.parametrize("command", ["node harness.mjs", "make tset", "pip install '.[tset]'", "python -m refmeta lst",
                                     "python -m refmeta verify --problems x", "python -m refmeta demo --sed 1", "python -m refmeta check jax_maml:f --siute x",
                                     "python -m refmeta show nothing-001"])  # fmt: skip
def test_a_command_that_nobody_knows_is_refused(command, folder):
    with pytest.raises((AssertionError, SystemExit)), contextlib.redirect_stderr(io.StringIO()):
        rule, rest = rule_of(tuple(shlex.split(command)))
        rule(rest, [], folder)


WORKFLOW = re.search(r"^```yaml\n(.*?)^```$", (ROOT / "derivations" / "using-the-oracle.md").read_text("utf-8"), re.M | re.S)[1]


def shell_of(workflow):
    """The commands of a workflow's `run` steps, each with the `if` of its step; a folded block is one line."""
    for step in re.split(r"^ {6}- ", workflow, flags=re.M)[1:]:
        condition = re.search(r"^if: (.*)$", step, re.M)
        if run := re.search(r"^ *run: (>-\n(?: {10}.*\n)+|.*\n)", step, re.M):
            yield " ".join(run[1].removeprefix(">-").split()), condition and condition[1]


def test_the_workflow_of_the_manual_installs_checks_and_shows_its_report(folder):
    lines = WORKFLOW.splitlines()
    assert lines[0].startswith("# .github/workflows/") and not any("\t" in line or line != line.rstrip() for line in lines)
    assert all((len(line) - len(line.lstrip())) % 2 == 0 for line in lines)
    assert [line for line in lines if line and line[0] not in " #"] == ["name: refmeta", "on: [push, pull_request]", "env:", "jobs:"]
    install, check, summary = shell_of(WORKFLOW)
    assert install == ('pip install "refmeta @ git+$REFMETA"', None) and "  REFMETA: " in WORKFLOW
    assert summary == ('cat report.md >> "$GITHUB_STEP_SUMMARY"', "always()") and "path: report.xml" in WORKFLOW
    words = tuple(shlex.split(check[0]))
    assert words[:4] == ("python", "-m", "refmeta", "check") and check[1] is None
    assert {"report.md", "report.xml"} <= {words[i + 1] for i, word in enumerate(words) if word == "--output"}
    status, out = printed(folder, (*words[3:], "--no-such-flag"))
    assert status == 2 and out.rstrip().endswith("unrecognized arguments: --no-such-flag"), "all else is parsed"


def test_the_expected_failures_of_the_manual_are_what_their_comment_says(folder):
    """The file, as the workflow names it, on a gradient that has no step sizes per step."""
    text = (ROOT / "derivations" / "using-the-oracle.md").read_text("utf-8")
    (listed,) = (body for language, body in FENCE.findall(text) if language == "text" and body.startswith("# step sizes per step"))
    (folder / "expected-failures.txt").write_text(listed, "utf-8")
    ids = read_expected_failures(folder / "expected-failures.txt", ())
    assert list(ids) == [c.id for c in rm.oracle.cases("maml-regression") if np.ndim(c.input["alpha"]) == 2]


def prose_numbers(text):
    """Every number of two digits or more outside fences that is no part of a name, as it is written."""
    found = re.findall(r"(?<![A-Za-z_]-)(?<![A-Za-z_\d.,])\d[\d,]*(?:\.\d+)*[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]*", FENCE.sub("", text))
    return [number for number in (word.rstrip(",") for word in found) if len(number) > 1]


def test_every_number_of_the_readme_is_computed():
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    vectors = sum(len(rm.oracle.cases(suite)) for suite in rm.oracle.SUITES)
    computed = {f"{vectors:,}", config["options"]["python_requires"].lstrip(">=")}
    unknown = set(prose_numbers(README)) - computed
    assert not unknown, f"numbers of README that no test holds: {unknown}; compute them here"


def test_the_readme_s_python_runs_and_asserts():
    blocks = [body for language, body in FENCE.findall(README) if language == "python"]
    assert blocks and all("assert" in block for block in blocks)
    for block in blocks:
        exec(block, {})


def test_the_readme_names_every_chapter_and_suite_and_links_to_files_that_exist():
    for link in re.findall(r"\]\((?!http)(.*?)\)", README):
        assert (ROOT / link).exists(), link
    chapters = {f"derivations/{path.name}" for path in (ROOT / "derivations").glob("*.md")}
    assert chapters <= set(re.findall(r"\]\((.*?)\)", README))
    assert set(rm.oracle.SUITES) <= set(re.findall(r"`([\w-]+)`", README))


def test_the_readme_s_map_is_that_of_the_imports():
    """Its lines are the floors from above, and every folder is in its place."""
    lines = re.search(r"^```text\n(__main__.*?)^```$", README, re.M | re.S)[1].splitlines()
    for line, rooms in zip(lines, reversed(FLOORS), strict=True):
        display = set(re.findall(r"[\w]+", line.split("  ")[0]))
        assert display <= set(rooms.split()) and display >= {room for room in rooms.split() if (PACKAGE / room).is_dir()}, line


def test_every_target_of_make_that_the_texts_name_exists():
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text("utf-8"), re.M))
    for path in (ROOT / "README.md", *sorted((ROOT / "derivations").glob("*.md"))):
        named = set(re.findall(r"`make\s+([a-z-]+)`", path.read_text("utf-8")))
        assert named <= targets, f"{path.name}: {named - targets}"


def test_numbers_of_the_prose_are_found_and_names_are_not():
    text = "261 vectors, 5,000 examples, float64, maml-014, 10⁻¹² and 3.11; 7\n```console\n$ x 99\n```\n"
    assert prose_numbers(text) == ["261", "5,000", "10⁻¹²", "3.11"]
