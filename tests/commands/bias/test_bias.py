"""`python -m refmeta bias`: the table, the JSON, and what is refused of a user's own process."""

import io
import json
import re
import sys

import numpy as np
import pytest

from refmeta.__main__ import main
from refmeta.commands.bias import ESTIMATORS, PROCESSES, block_table, blocks, read_process
from refmeta.meta import sampled
from refmeta.sampling.enumeration import excess_text, number_of_paths

SMALL = ["--alpha", "0.5", "--episodes", "1", "2", "--steps", "1"]


def tables(text):
    """The lines below each "K = …" of the text."""
    return [part.split("\n\n", 1)[1].splitlines() for part in text.split("\nK = ")[1:] if "not enum" not in part]


def test_the_table_has_one_row_per_estimator_and_aligned_columns(capsys, monkeypatch):
    """Two heads and a rule, then the rows: the library's numbers, to two digits, to 0.1 % and to 1e-5."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["bias", *SMALL]) == 0
    text = capsys.readouterr().out
    assert "K = 1, M = 2, α = 0.5; |∇I| = 0.5709" in text and "naive, exact V         naive curvature, adv" in text
    both = tables(text)
    assert len(both) == 2
    for lines, M in zip(both, (1, 2), strict=True):
        (block,) = blocks(*read_process("two-state"), steps=[1], episodes=[M], alphas=[0.5])
        rows = [line for line in lines[3:] if line]
        assert len(rows) == len(ESTIMATORS) and len({len(line) for line in rows}) == 1 and len(rows[0]) <= 80
        ends = [match.end() for match in re.finditer("-+", lines[2])]
        assert all(line[end - 1] != " " for line in rows for end in ends[1:])
        for line, row in zip(rows, block.rows, strict=True):
            name, *cells = re.split(r" {2,}", line)
            numbers = [float(cell) for cell in cells]
            expected = [x for b in row[1:] for x in (b.norm, 100 * b.relative, b.cosine)] + [row.sampled.deviation]
            assert name == row.estimator.name
            written = [1e-14, 0.05, 5e-6, 1e-14, 0.05, 5e-6, 1e-14] + 0.05 * np.abs(expected) * ([1, 0, 0, 1, 0, 0, 1])
            assert np.all(np.abs(np.subtract(numbers, expected)) <= 1.01 * written), line


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("options", [[], ["--format", "json"], ["--workers", "2"]], ids=" ".join)
def test_a_terminal_sees_which_setting_is_waited_for(options, capsys, monkeypatch):
    """Every setting once, the infinite M last, and the line is empty at the end; what is printed is the same without a terminal."""
    arguments = ["bias", "--alpha", "0.5", "0.25", "--episodes", "INF", "1", "--steps", "1", *options]
    assert main(arguments) == 0
    out, nothing = capsys.readouterr()
    assert not nothing
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert main(arguments) == 0 and capsys.readouterr().out == out
    *lines, end = sys.stderr.getvalue().split("\r")
    assert [line.strip() for line in lines] == [
        "setting 1 of 4: K = 1, M = 1, α = 0.5", "", "setting 2 of 4: K = 1, M = 1, α = 0.25", "",
        "setting 3 of 4: K = 1, M → ∞, α = 0.5", "", "setting 4 of 4: K = 1, M → ∞, α = 0.25", "",
    ] and not end  # fmt: skip


def test_a_terminal_sees_that_a_gradient_of_yours_is_waited_for_and_the_line_goes_where_it_fails(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert main(["bias", "tests.commands.plain_estimators:policy_gradient", *SMALL]) == 0
    shown = [line.strip() for line in sys.stderr.getvalue().split("\r")]
    assert shown[:5] == ["your estimate of the gradient ∇L, M = 1", "", "your estimate of the gradient ∇L, M = 2", "", "setting 1 of 2: K = 1, M = 1, α = 0.5"]
    monkeypatch.setattr(sys, "stderr", Terminal())
    with pytest.raises(SystemExit):
        main(["bias", "tests.commands.plain_estimators:crashes", *SMALL])
    first, empty, *_ = sys.stderr.getvalue().split("\r")
    assert first.startswith("setting 1 of 2: ") and not empty.strip()


def test_the_json_holds_the_numbers_of_the_library(capsys):
    assert main(["bias", "--mdp", "bandit", "--format", "json", *SMALL]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["process"] == "bandit" and document["trajectories"] == 3
    task, theta = read_process("bandit")
    for block in document["settings"]:
        sizes = {"alpha": block["alpha"], "episodes": block["episodes"], "steps": block["steps"]}
        expected = sampled.formulation_sampled(theta, task, **sizes).gradient
        np.testing.assert_array_equal(block["gradient"]["sampled"], expected)
        assert [row["estimator"] for row in block["estimators"]] == [e.name for e in ESTIMATORS]
        assert set(block["estimators"][0]["exact"]) == {"norm", "relative", "cosine", "deviation"}


def test_the_estimators_are_what_they_are_called():
    """Each against its definition, taken over every batch: γᵗĜ or advantages in the step, what is added, what is left out."""
    import refmeta as rm

    task, theta = read_process("two-state")
    policy, alpha, M, gamma = task.policy, 0.5, 2, task.mdp.gamma
    V = lambda batch, at: rm.returns.exact_baseline(batch, task.at(at))
    value = lambda s: task.at(rm.adapt(theta, s[0], alpha=alpha, steps=1).adapted).loss
    through = lambda t, s: rm.maml.gradient(t, s[0], task, alpha=alpha)
    score = lambda scale: (
        lambda t, s: (
            through(t, s) + rm.surrogates.emaml_score_term(policy, t, s[0].trajectories, value=scale * value(s))
        )
    )
    first = lambda t, s: rm.maml.first_order_gradient(t, s[0], task, alpha=alpha)

    def by(make, advantage=False):
        return lambda t, batch: make(policy, t, batch, gamma=gamma, baseline=V(batch, t) if advantage else 0.0)

    def weighted(change):
        """γᵗA instead of γᵗĜ, A made of Ĝ and γᵗ."""

        def make(t, batch):
            G = rm.returns.reward_to_go(batch, gamma=gamma)
            return rm.surrogates.reinforce(policy, t, batch, gamma=gamma, baseline=G - change(G, gamma ** np.arange(G.shape[-1])))

        return make

    def normalised(ddof):
        return weighted(lambda G, g: (G - G.mean((-2, -1), keepdims=True)) / (G.std((-2, -1), keepdims=True, ddof=ddof) + 1e-8))

    S = rm.surrogates
    expected = {
        "e-maml": (by(S.reinforce), score(1.0)), "score-term-dropped": (by(S.reinforce), through),
        "score-term-alpha": (by(S.reinforce), score(alpha)), "score-term-mean": (by(S.reinforce), score(1 / M)),
        "first-order": (by(S.reinforce), first), "lvc": (by(S.likelihood_ratio), through), "dice": (by(S.dice), through),
        "naive, exact V": (by(S.reinforce, True), through), "loaded-dice, exact V": (by(S.loaded_dice, True), through),
        "tmaml, exact V": (by(S.tmaml, True), through), "advantages-normalised": (normalised(0), score(1.0)),
        "normalised, ddof 1": (normalised(1), score(1.0)), "mean-over-time": (weighted(lambda G, g: G / G.shape[-1]), score(1.0)),
        "undiscounted-visits": (weighted(lambda G, g: G / g), score(1.0)),
    }  # fmt: skip
    (block,) = blocks(task, theta, steps=[1], episodes=[M], alphas=[alpha])
    assert [row.estimator.name for row in block.rows] == list(expected)
    for row in block.rows:
        make, estimate = expected[row.estimator.name]
        moments = sampled.moments(estimate, make, theta, task, alpha=alpha, episodes=M)
        for truth, got in ((block.exact, row.exact), (block.sampled, row.sampled)):
            np.testing.assert_allclose(got, sampled.estimator_bias(moments, truth), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("name", PROCESSES)
def test_the_named_processes_exist_and_are_tiny(name, capsys):
    assert main(["bias", "--mdp", name, "--alpha", "0.5", "--episodes", "1", "--steps", "1"]) == 0
    assert "not enumerated" not in capsys.readouterr().out


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_run_that_enumerates_nothing_has_the_status_of_one_that_computes_nothing(form, capsys):
    assert main(["bias", "--alpha", "0.5", "--episodes", "7", "--steps", "1", "--format", form]) == 5
    assert ("not enumerated" in capsys.readouterr().out) == (form == "text")


def test_too_many_tuples_are_reported_and_the_rest_is_shown(capsys):
    assert main(["bias", "--alpha", "0.5", "--episodes", "1", "7", "--steps", "1"]) == 0
    text = capsys.readouterr().out
    assert "K = 1, M = 7, α = 0.5: not enumerated, more than 1,000,000 tuples" in text and "e-maml" in text
    most = int(re.search(r"--steps\s+times\s+--episodes\s+may\s+be\s+(\d+)\s+at most", text)[1])
    number = number_of_paths(read_process("two-state")[0].mdp)
    assert not excess_text(number, most) and excess_text(number, most + 1)


def test_a_bias_that_is_rounding_is_printed_as_zero_and_a_small_one_is_not():
    """Rounding differs from machine to machine."""
    (block,) = blocks(*read_process("bandit"), steps=[1], episodes=[1], alphas=[0.5])
    for relative, cell in ((3e-17, "0"), (3e-12, "3.0e-12")):
        bias = sampled.Bias(relative, relative, 1.0, 1.0)
        table = block_table(block._replace(rows=(block.rows[0]._replace(exact=bias, sampled=bias),)), 3)
        assert table.splitlines()[-1].split()[1::3] == [cell, cell, "1.00"]


def test_the_help_names_the_keys_of_a_process_of_one_s_own(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["bias", "--help"])
    assert "keys P, R, rho, gamma, horizon" in " ".join(capsys.readouterr().out.split())


def test_a_process_of_one_s_own(tmp_path, capsys):
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(PROCESSES["bandit"]))
    assert main(["bias", "--mdp", str(file), *SMALL]) == 0
    mine = capsys.readouterr().out
    assert main(["bias", "--mdp", "bandit", *SMALL]) == 0
    assert tables(mine) == tables(capsys.readouterr().out) != []
    file.write_text(json.dumps({k: v for k, v in PROCESSES["bandit"].items() if k != "theta"}))
    assert read_process(str(file))[1].tolist() == [0.0, 0.0, 0.0]


def test_a_process_of_one_s_own_declares_its_ends(tmp_path):
    file, one = tmp_path / "mine.json", {"P": [[[0, 1]], [[0, 1]]], "R": [[1], [0]], "rho": [1, 0], "gamma": 1.0, "horizon": 3}
    for terminal in ([False, True], None):
        file.write_text(json.dumps(one | ({"terminal": terminal} if terminal else {})))
        ends = read_process(str(file))[0].mdp.terminal
        assert ends.tolist() == (terminal or [False, False])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("P"), "expected the keys P, R, rho, gamma, horizon and perhaps theta and terminal, got R, gamma"),
        (lambda d: d.update(colour=1), "expected the keys P, R, rho, gamma, horizon and perhaps theta and terminal, got P, R, colour"),
        (lambda d: d.update(horizon=None), "one task with a horizon"),
        (lambda d: d.update(theta=[1.0]), r"theta of shape \(3,\) is required, got .* theta of shape \(1,\)"),
        (lambda d: d.update(theta=["a", "b", "c"]), "theta must be numbers|could not convert"),
        (lambda d: d.update(gamma=2.0), "gamma must satisfy 0 <= gamma <= 1, got 2.0"),
        (lambda d: d.update(rho=[0.5]), "rho sums to 0.5"),
        (lambda d: d.update(P=[[[1.0], [1.0], ["x"]]]), "P must be numbers"),
        (lambda d: d.update(P=[d["P"]], R=[d["R"]], rho=[d["rho"]]), "one task with a horizon"),
        (lambda d: d.update(horizon=40), "trajectories in tuples of 1 make"),
        (lambda d: d.update(theta=[1e999, 0, 0]), "the literal Infinity is no JSON"),
        (lambda d: d.update(gamma=None), "gamma must be numbers"),
        (lambda d: d.update(R=None), "R must be numbers"),
        (lambda d: d.update(theta=None), "is nan|theta of shape"),
        (lambda d: d.update(R=[[0.0, 1.0, 10**400]]), "R must be numbers"),
        (lambda d: d.update(theta=[10**400, 0, 0]), "theta must be numbers|too large"),
        (lambda d: d.update(R=[[0.0, 1.0, 1e160]]), "the rewards or a step size are too large"),
    ],
)  # fmt: skip
def test_a_process_that_is_none_is_refused_by_name(change, message, tmp_path, capsys):
    document = json.loads(json.dumps(PROCESSES["bandit"]))
    change(document)
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(document))
    with pytest.raises(SystemExit) as end:
        main(["bias", "--mdp", str(file)])
    assert end.value.code == 2
    errors = capsys.readouterr().err
    assert "mine.json" in errors and re.search(message, errors), errors


def test_files_that_are_no_json_or_do_not_exist_and_bad_options(tmp_path, capsys):
    (tmp_path / "no.json").write_text("{")
    for arguments, message in (
        (["--mdp", str(tmp_path / "no.json")], "no JSON"),
        (["--mdp", "nothing"], "no process is called 'nothing'; the processes are two-state, bandit, chain; no file"),
        (["--alpha", "x"], "must be a finite number, got 'x'"),
        (["--alpha", "nan"], "must be a finite number, got 'nan'"),
        (["--episodes", "0"], "must be a whole number of at least 1, got '0'"),
        (["--steps", "1.5"], "must be a whole number of at least 1"),
        (["--mdp", str(tmp_path)], "is a directory, expected a regular file"),
        (["--mdp", "bandit", "--alpha", "1e308"], "bandit: the rewards or a step size are too large"),
    ):
        with pytest.raises(SystemExit) as end:
            main(["bias", *arguments])
        assert end.value.code == 2 and message in capsys.readouterr().err
