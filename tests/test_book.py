"""The book and the notebooks say what the chapters say: mathematics, fences and links survive their translation."""

import re
from pathlib import Path

import pytest

from derivations.book.dialects import (
    BOOK,
    FENCE,
    NOTEBOOK,
    anchors,
    check_links,
    contents,
    labels,
    margin,
    reading_order,
    targets,
    translated,
)
from derivations.book.publish import check_no_network, loads, write_pages

FOLDER = Path(__file__).parents[1] / "derivations"
PAGES = {path.name: path.read_text("utf-8") for path in sorted(FOLDER.glob("*.md"))}
DIALECTS = {"book": BOOK, "notebook": NOTEBOOK}
HAND = {
    "a.md": "# A & `b`\n\n## 2. The $x$-axis\n\n```math\nx \\tag{first}\n```\n",
    "README.md": "# R\n\n0. [A](a.md): one\n1. [B](b.md)\n\n[C](c.md) and [what is no page](d.txt)\n",
}


@pytest.mark.parametrize(
    ("text", "book", "notebook"),
    [
        ("$`a_1`$, $x$.", "{math}`a_1`, {math}`x`.", "$a_1$, $x$."),
        ("> $`a\n> b`$ here", "> {math}`a b` here", "> $a b$ here"),
        ("`$x$` and ``a`b $`c`$``", "`$x$` and ``a`b $`c`$``", "`$x$` and ``a`b $`c`$``"),
        ("[`f[0]` of $`x_0`$](a.md)", "[`f[0]` of {math}`x_0`](a.md)", "[`f[0]` of $x_0$](a.ipynb)"),
        ("[first](a.md), [A](a.md)", "[first](a.md#first), [A](a.md)", "[first](a.ipynb), [A](a.ipynb)"),
        ("[2](a.md#2-the-x-axis)", "[2](a.md#2-the-x-axis)", "[2](a.ipynb#2.-The-x-axis)"),
        ("[front](README.md)", "[front](index.md)", "[front](README.ipynb)"),
        ("[the licence](../LICENSE) is in [a folder](figures/)", "the licence is in a folder", "the licence is in a folder"),
        ("[a](https://example.org/a.md#b)", "[a](https://example.org/a.md#b)", "[a](https://example.org/a.md#b)"),
        ("![what $`x_1`$ is](figures/x.svg)", "![what {math}`x_1` is](figures/x.svg)", "![what $x_1$ is](figures/x.svg)"),
        ("```python\nx = '$`a`$ [b](c.md)'\n```", "```python\nx = '$`a`$ [b](c.md)'\n```", "```python\nx = '$`a`$ [b](c.md)'\n```"),
        (
            "```math\nx \\\\\ny \\tag{f}\n```",
            "(f)=\n```{math}\n:nowrap:\n\n\\[\nx \\\\\ny\n\\]\n```\n\n{.formula-label}\n[f](#f)\n",
            "$$\nx \\\\\ny \\tag{f}\n$$",
        ),
        ("> so:\n> ```math\n> x\n> ```\n> end", "> so:\n> ```{math}\n> :nowrap:\n>\n> \\[\n> x\n> \\]\n> ```\n> end", "> so:\n> $$\n> x\n> $$\n> end"),
    ],
)  # fmt: skip
def test_a_passage_by_hand(text, book, notebook):
    assert translated(text, BOOK, HAND) == book
    assert translated(text, NOTEBOOK, HAND) == notebook


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", PAGES)
def test_a_chapter_keeps_its_formulas_fences_and_figures(name, dialect):
    before, after = PAGES[name], translated(PAGES[name], DIALECTS[dialect], PAGES)
    after = re.sub(r"^([> ]*)```\{math\}", r"\1```math", after, flags=re.M)
    fences, kept = FENCE.findall(before), FENCE.findall(after)
    assert [fence for fence in kept if fence[1] != "math"] == [fence for fence in fences if fence[1] != "math"]
    assert (re.findall(r"^[> ]*\((.*)\)=$", after, re.M) if dialect == "book" else labels(after)) == labels(before)
    assert "$`" not in re.sub(r"(`+)[^`]+\1", "", FENCE.sub("", after)) and "\0" not in after
    displays = after.count(":nowrap:") if dialect == "book" else len(re.findall(r"^[> ]*\$\$$", after, re.M)) / 2
    assert displays == sum(fence[1] == "math" for fence in fences)
    assert [path for path in targets(after) if path.endswith(".svg")] == [path for path in targets(before) if path.endswith(".svg")]


def split_paragraphs(text):
    """Lines that begin a list or a heading in the middle of a paragraph, most often a number that a line break moved there."""
    lines = FENCE.sub(lambda match: "\n" * match[0].count("\n"), text).splitlines()
    for before, line in zip(lines, lines[1:], strict=False):
        in_paragraph = before.strip(" >") and not re.match(r"[> ]*(\d+[.)]|[-+*]) |[> ]* {2,}|#", before)
        if in_paragraph and re.match(r"[> ]*(1[.)]|[-+*]|#+|=+|-+)( |$)", line):
            yield line


@pytest.mark.parametrize("name", PAGES)
def test_no_paragraph_of_a_chapter_is_split_by_a_list(name):
    assert list(split_paragraphs(PAGES[name])) == []


@pytest.mark.parametrize(("text", "lines"), [("it earns\n1. The", 1), ("a\n- b", 1), ("a\n\n1. b\n   c\n- d", 0), ("a\n2. b", 0), ("# A\n1. b", 0), ("> a\n> 1. b", 1), ("```text\na\n- b\n```", 0), ("a\n--- b\n", 1)])  # fmt: skip
def test_a_paragraph_split_by_a_list_is_found(text, lines):
    assert len(list(split_paragraphs(text))) == lines


def test_every_link_of_every_chapter_leads_somewhere():
    exists = lambda path: (FOLDER / path).exists()  # noqa: E731
    assert [line for name in PAGES for line in check_links(name, PAGES, exists)] == []


def test_a_link_to_nothing_is_a_sentence():
    text = "[a](b.md) [c](a.md#no) [d](#no) ![e](figures/gates.svg) [f](a.md#a--b) [g](https://example.org/x) `[h](i.md)`"
    said = list(check_links("h.md", {**HAND, "h.md": text}, lambda path: path == "a.md"))
    assert said == [
        "h.md shows or links to b.md, and there is no such file",
        "h.md links to a.md#no; the headings there are a--b, 2-the-x-axis",
        "h.md links to #no; the headings there are ",
        "h.md shows or links to figures/gates.svg, and there is no such file; draw it by `make figures`",
    ]


def test_anchors_are_those_of_the_repository_s_site():
    text = "# One `x_1`: a, b\n```python\n# no heading\n```\n## Same\n## Same\n### *Why* not?\n"
    assert list(anchors(text)) == ["one-x_1-a-b", "same", "same-1", "why-not"]


def test_the_margin_names_every_page_once():
    entries = re.findall(r"^(?:\d+\. )?[A-Z].* <([\w-]+)>$", margin(PAGES), re.M)
    assert sorted(entries) == sorted(name.removesuffix(".md") for name in PAGES if name != "README.md")


def test_the_order_is_the_front_page_s_and_no_page_is_left_out():
    assert reading_order(HAND["README.md"], ["README.md", "a.md", "b.md", "c.md", "e.md"]) == ({"a.md": 0, "b.md": 1}, ["c.md", "e.md"])
    numbered, rest = reading_order(PAGES["README.md"], list(PAGES))
    assert sorted([*numbered, *rest, "README.md"]) == sorted(PAGES) and {"maml.md", "reptile.md"} <= set(numbered)
    table = contents("Chapters", {"a.md": "0. A"})
    assert table == "\n```{toctree}\n:hidden:\n:maxdepth: 1\n:caption: Chapters\n\n0. A <a>\n```\n"


@pytest.mark.parametrize(
    "text",
    ["<script async src='https://a.b/c.js'></script>", '<link href="http://a.b/c.css" rel="stylesheet">', '<link rel=icon href=//a.b/c.png>', '<img alt="" src="//a.b/c.png">', "@font-face { src: url(https://a.b/c.woff) }", '@import "http://a.b/c.css";'],
)  # fmt: skip
def test_what_is_loaded_from_another_host_is_found(text, tmp_path):
    assert len(loads(text)) == 1 and "//a.b/c." in loads(text)[0]
    (tmp_path / "page.html").write_text(text)
    with pytest.raises(SystemExit, match=r"page.html loads (https?:)?//a.b/c"):
        check_no_network(tmp_path)


def test_what_is_beside_the_page_or_only_clicked_on_is_not_loaded_from_another_host(tmp_path):
    text = '<a href="https://a.b">x</a><link rel="stylesheet" href="c.css"><link rel="canonical" href="https://a.b"><script src="_static/d.js"></script>'
    assert loads(text) == []
    with pytest.raises(SystemExit, match="is empty"):
        check_no_network(tmp_path)
    (tmp_path / "page.html").write_text(text)
    check_no_network(tmp_path)


def test_files_that_a_page_links_to_go_with_it(tmp_path):
    write_pages(tmp_path / "to", {"a.md": "[settings](book/conf.py), [chapter](maml.md) and [text](../LICENSE)"})
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == ["to/a.md", "to/book/conf.py"]
