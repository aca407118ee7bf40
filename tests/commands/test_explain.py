"""`explain`: what it finds, and what it says of each known-wrong formula."""

import re
from pathlib import Path

import pytest

from refmeta.commands import explain
from tests.commands.conftest import ROWS, SLUGS, printed


@pytest.mark.parametrize(
    ("words", "slugs"),
    [
        (["λ", "1/λ"], ["implicit-strength-inverted"]),
        (["MAML-Pytorch", "#17"], ["first-order"]),
        (["create_graph"], ["first-order", "first-step-only", "first-order", "inner-gradients-detached", "independent-called-exact", "model-first-order"]),
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


def test_every_known_wrong_formula_is_explained(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    for suite, row in ROWS:
        out = explain._full_text(suite, row)
        assert all(text in out for text in (row.slug, row.formula, row.cause, row.source, row.hint, row.repair))
        assert "instead of: parts" not in out


REPAIRING = re.compile(r"^(use|write|keep|add|drop|count|multiply|divide|subtract|draw|leave|hand|start at|differentiate)\b|\b(must|instead|needs? no)\b|\) for ")


def test_what_is_written_is_the_mistake_and_the_repair_stands_on_a_line_of_its_own(monkeypatch):
    """As far as words show it: no mistake is told by what to do, or in one breath with what is right."""
    monkeypatch.setenv("COLUMNS", "400")
    assert [row.slug for _, row in ROWS if REPAIRING.search(row.hint)] == [] and all(row.hint != row.repair for _, row in ROWS)
    for suite, row in ROWS:
        heads = [line[2:13].rstrip() for line in explain._full_text(suite, row).splitlines()[1:]]
        assert ("written as" in heads, "repair" in heads) == (bool(row.hint), bool(row.repair)) != (False, False)


@pytest.mark.parametrize(
    ("slug", "written", "repair"),
    [
        ("trace-not-cut", "", "lastgaelam is multiplied by 1 - (terminated or truncated)"),
        ("epsilon-inside", "optax.adam(eps_root=); PyTorch: (v + eps).sqrt()", ""),
        ("last-step-without-adjoint", "reversed(states[:-1])", "reversed(states)"),
        ("decay-coupled", "PyTorch: Adam(weight_decay=)", "PyTorch: AdamW(weight_decay=)"),
    ],
)
def test_code_of_a_mistake_and_of_its_repair_are_told_apart(slug, written, repair, capsys):
    out, _ = printed(capsys, "explain", slug)
    assert [line[13:] for line in out.splitlines() if line.startswith("  written as")] == ([written] if written else [])
    assert [line[13:] for line in out.splitlines() if line.startswith("  repair")] == ([repair] if repair else [])


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
