"""What GitHub would not render is refused, and every chapter is in the reading order."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "derivations"
CHAPTERS = sorted(FOLDER.glob("*.md"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def prose(text):
    """The text without its fences."""
    return FENCE.sub("", text)


def problems(text):
    """What GitHub's Markdown would not show as meant."""
    for language, body in FENCE.findall(text):
        if language == "math":
            if body.count(r"\tag{") > 1:
                yield "two tags in one fence"
            if re.search(r"\\(newcommand|def|operatorname|label|ref|eqref|require)\b", body):
                yield "a command that GitHub's mathematics has not"
            if "\n\n" in body or body.count("{") - body.count(r"\{") != body.count("}") - body.count(r"\}"):
                yield "a blank line or an open brace in a math fence"
            if body.count(r"\begin") != body.count(r"\end") or len(re.findall(r"\\left(?![a-z])", body)) != len(
                re.findall(r"\\right(?![a-z])", body)
            ):
                yield "an environment or delimiter that is not closed"
        elif language not in ("python", "text", "console", "yaml"):
            yield f"a fence of language {language!r}"
    rest = prose(text)
    if "$$" in rest or r"\[" in rest or r"\(" in rest:
        yield "display mathematics outside a math fence"
    rest = re.sub(r"\$`[^`$]+`\$", "", rest)
    rest = re.sub(r"`[^`\n]*`", "", rest)
    for inline in re.findall(r"\$([^$]*)\$", rest):
        if re.search(r"[_*{}\[\]]|\n", inline):
            yield f"inline mathematics that needs the backtick form: {inline}"
    if rest.count("$") % 2:
        yield "a dollar without its partner"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_a_chapter_renders(path):
    assert list(problems(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "text",
    ["$$x$$", r"\[x\]", "$a_b$", "$x", "```math\na\n\nb\n```", "```math\n{a\n```", "```math\na \\tag{x} b \\tag{y}\n```", "```math\n\\operatorname{x}\n```", "```math\n\\left( a\n```", "```js\n1\n```"],
)  # fmt: skip
def test_what_would_not_render_is_refused(text):
    assert list(problems(text))


def test_the_reading_order_names_every_chapter_and_the_code_cites_only_chapters_that_exist():
    order = (FOLDER / "README.md").read_text(encoding="utf-8")
    for path in CHAPTERS:
        assert path.name == "README.md" or f"({path.name})" in order
    package = FOLDER.parent / "refmeta"
    for path in package.rglob("*.py"):
        for name in re.findall(r"derivations/([\w-]+\.md)", path.read_text(encoding="utf-8")):
            assert (FOLDER / name).exists(), f"{path.name} cites {name}"


def test_what_a_chapter_needs_stands_before_it_and_holds_what_it_links_to():
    """A link back is a need, but for the asides; a need of a need is one, too."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    order = re.findall(r"^\d+\. \[.*?\]\((.*?)\)", text, re.M)
    asides = {"softmax-policies.md": {1}, "model-based.md": {12}}
    needs = {number: set() for number in range(1, len(order) + 1)}
    for number, earlier in re.findall(r"(\d+) needs (\d+(?:, \d+)*)", " ".join(text.split())):
        direct = {int(n) for n in earlier.split(", ")}
        assert max(direct) < int(number)
        needs[int(number)] = direct.union(*(needs[n] for n in direct))
    assert needs[4] == {2} and {5, 10, 11} <= needs[14] and 4 in needs[15]
    for number, name in enumerate(order[:-1], start=1):
        links = set(re.findall(r"\]\(([\w-]+\.md)\)", (FOLDER / name).read_text(encoding="utf-8"))) & set(order)
        back = {order.index(link) + 1 for link in links} - asides.get(name, set())
        assert {n for n in back if n < number} <= needs[number], name


def test_every_chapter_has_blocks_that_run_and_assert():
    for path in CHAPTERS:
        blocks = [body for language, body in FENCE.findall(path.read_text(encoding="utf-8")) if language == "python"]
        if path.name != "README.md":
            assert any("assert" in block for block in blocks), path.name
