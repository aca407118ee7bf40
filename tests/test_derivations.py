"""What GitHub would not render is refused, every chapter is in the reading order, and what it needs stands before it."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "derivations"
CHAPTERS = sorted(FOLDER.glob("*.md"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
README = (FOLDER / "README.md").read_text(encoding="utf-8")
ORDER = re.findall(r"^\d+\. \[.*?\]\((.*?)\)", README, re.M)  # the chapters, by their numbers
AS_NEEDED = 13  # the chapters from this number on are read when they are needed
CHAPTERS_TO_MAML = ["what-is-meta-rl.md", "softmax-policies.md", "exact-policy-gradient.md", "maml.md"]


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
    assert [name for name in ORDER if not (FOLDER / name).exists()] == []
    for path in CHAPTERS:
        assert path.name == "README.md" or f"({path.name})" in README
    package = FOLDER.parent / "refmeta"
    for path in package.rglob("*.py"):
        for name in re.findall(r"derivations/([\w-]+\.md)", path.read_text(encoding="utf-8")):
            assert (FOLDER / name).exists(), f"{path.name} cites {name}"


def stated(verb):
    """For each chapter the numbers that stand behind this verb on the front page: `7 needs 3, 6; 8 looks up 14`."""
    page = " ".join(README.split())
    pairs = re.findall(rf"(\d+) {verb} (\d+(?:, \d+)*)", page)
    assert len({chapter for chapter, _ in pairs}) == len(pairs), f"a chapter that {verb} twice"
    return {int(chapter): {int(n) for n in numbers.split(", ")} for chapter, numbers in pairs}


def all_needs():
    """What each chapter needs; a need of a need is one, too."""
    direct, needs = stated("needs"), {0: set()}
    assert set(direct) == set(range(1, len(ORDER))), "every chapter but the first needs another"
    for chapter, earlier in sorted(direct.items()):
        assert max(earlier) < chapter, f"chapter {chapter} needs what stands behind it"
        needs[chapter] = earlier.union(*(needs[n] for n in earlier))
    return needs


def links(text):
    """The numbers of the chapters that a text links to."""
    return {ORDER.index(name) for name in re.findall(r"\]\(([\w-]+\.md)", text) if name in ORDER}


def wrong_links(number, text, needs, looked_up):
    """The links back to what the chapter does not need, and those to the last chapters that the front page leaves out."""
    back = {n for n in links(text) if n < min(number, AS_NEEDED)} - needs[number]
    aside = {n for n in links(text) if n >= AS_NEEDED and n != number} - looked_up.get(number, set()) - needs[number]
    return back | (aside if number < AS_NEEDED else set())


@pytest.mark.parametrize("number", range(1, len(ORDER)), ids=lambda n: ORDER[n])
def test_what_a_chapter_needs_stands_before_it_and_holds_what_it_links_to(number):
    """A link back is a need; a link to a chapter that is read when it is needed is told on the front page."""
    text = (FOLDER / ORDER[number]).read_text(encoding="utf-8")
    assert wrong_links(number, text, all_needs(), stated("looks up")) == set(), ORDER[number]


def test_the_needs_lead_to_maml_by_the_shortest_path_and_what_is_looked_up_are_the_last_chapters():
    needs, maml = all_needs(), ORDER.index("maml.md")
    assert needs[maml] == {0, 1, 2} and ORDER[:4] == CHAPTERS_TO_MAML
    assert ORDER[AS_NEEDED - 1] == "judges.md" and len(set(ORDER)) == len(ORDER) == AS_NEEDED + 5
    for chapter, numbers in stated("looks up").items():
        assert chapter < AS_NEEDED <= min(numbers) and not numbers & needs[chapter]


def test_the_map_of_the_first_chapter_is_the_order_of_the_front_page():
    table = (FOLDER / ORDER[0]).read_text(encoding="utf-8").split("## The map\n")[1]
    assert re.findall(r"^\| \[.*?\]\((.*?)\)", table, re.M) == ORDER[1:AS_NEEDED]


def test_a_link_to_what_a_chapter_does_not_need_is_refused():
    needs, seven = {7: {0, 1, 2, 3, 6}}, "see [PEARL](pearl.md), [needed](maml.md#proofs)"
    assert wrong_links(7, seven, needs, {}) == set()  # links forward, and to needs
    assert wrong_links(7, seven + "[training](meta-training.md)", needs, {}) == {5}
    assert wrong_links(7, seven + "[geometry](policy-geometry.md)", needs, {}) == {14}
    assert wrong_links(7, seven + "[geometry](policy-geometry.md)", needs, {7: {14}}) == set()


def test_every_chapter_has_blocks_that_run_and_assert():
    for path in CHAPTERS:
        blocks = [body for language, body in FENCE.findall(path.read_text(encoding="utf-8")) if language == "python"]
        if path.name not in ("README.md", "lessons.md"):
            assert any("assert" in block for block in blocks), path.name


def head_faults(text):
    """What the head of a chapter lacks: the question, why, pseudo-code, quick facts, and what to read before."""
    head = re.split(r"^## ", FENCE.sub(lambda match: match[0].replace("#", ""), text), maxsplit=1, flags=re.M)[0]
    order = ["> **Question.** ", "> **Why.** ", "```text", "**Quick facts**", "| needs | ", "| costs | ", "| fails when | "]
    places = [head.find(f"\n{part}") for part in [*order, "**Read before**: "]]
    if -1 in places or places != sorted(places):
        yield f"its parts are {order} and **Read before**, each at the beginning of a line, in this order; found at {places}"
    if not re.match(r"# [^\n]+\n\n> \*\*Question\.\*\* ", head):
        yield "the question stands right under the title"
    language, body = next(iter(FENCE.findall(head)), ("", ""))
    if language != "text" or not 0 < len(body.splitlines()) <= 12:
        yield "its first block is pseudo-code in a text fence, of at most 12 lines"


def read_before(text):
    """The paragraph that says what to read before."""
    return next(iter(re.findall(r"^\*\*Read before\*\*: (.*?)\n\n", text, re.M | re.S)), "")


HEAD = """# A title

> **Question.** What?
>
> **Why.** Because.

```text
one line   # not a heading
```

**Quick facts**

| | |
| --- | --- |
| needs | this |
| costs | that |
| fails when | never |

**Read before**: [MAML](maml.md).

## A section
"""


@pytest.mark.parametrize("name", ORDER[ORDER.index("maml.md") :])
def test_a_chapter_begins_with_its_question_a_reason_pseudo_code_facts_and_what_to_read_before(name):
    text, number = (FOLDER / name).read_text(encoding="utf-8"), ORDER.index(name)
    assert list(head_faults(text)) == []
    before = links(read_before(text))
    assert before <= all_needs()[number] | stated("looks up").get(number, set()), "it stands on the front page, too"
    assert before or read_before(text).startswith("nothing")


def test_a_head_without_one_of_its_parts_is_refused():
    assert list(head_faults(HEAD)) == [] and links(read_before(HEAD)) == {3}
    for part in ("> **Question.** What?\n", "> **Why.** Because.\n", "| needs | this |\n", "**Read before**: "):
        assert list(head_faults(HEAD.replace(part, ""))), part
    for wrong in (
        HEAD.replace("> **Question.**", "Some words.\n\n> **Question.**"),
        HEAD.replace("```text", "```python"),
        HEAD.replace("one line", "line\n" * 12),
        HEAD.replace("| needs | this |\n| costs | that |", "| costs | that |\n| needs | this |"),
        HEAD.replace("**Read before**", "## A section\n\n**Read before**"),
    ):
        assert list(head_faults(wrong)), wrong
