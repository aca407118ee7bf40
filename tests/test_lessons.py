"""MAML is reached in one sitting, and the lecturer's page states the minutes that its readings take."""

import re

import pytest

from tests.reading import FOLDER, SKIP, anchor, first_reading, minutes, section, sections
from tests.test_derivations import CHAPTERS_TO_MAML

PAGE = (FOLDER / "lessons.md").read_text(encoding="utf-8")
LESSONS = re.findall(r"^## Lesson (\d): (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
READING = re.compile(r"\*\*Read before\*\* \((\d+) minutes\): (.*?)\n- ", re.S)
ROUGH = 0.2  # the share by which a stated number of minutes may be off, as chapters change
EXAMPLE = """# A title

One two three.
```math
# a comment, not a heading
```
## Kept

> **Skip on first reading.** A box
> of two lines.

Four five.
## Left out (skip on first reading)

Six.
### A part of it

Seven.
## Kept again

Eight.
## Sources

Nine.
"""


def read(name):
    """The text of a chapter."""
    return (FOLDER / name).read_text(encoding="utf-8")


def minutes_of(links):
    """What a list of links takes: a chapter or a section without what may be skipped; a section that is named counts, whatever it says of itself."""
    total = 0
    for name, part in re.findall(r"\]\(([\w-]+\.md)(?:#([\w-]+))?\)", links):
        text = first_reading(named(section(read(name), part)) if part else read(name))
        assert text, f"{name} has no section #{part}"
        total += minutes(text)
    return total


def named(part):
    """A section whose heading does not say that it may be skipped."""
    heading, *rest = part.split("\n", 1)
    return "\n".join([heading.replace(SKIP, ""), *rest])


def test_a_section_that_is_named_is_read_without_its_parts_that_may_be_skipped():
    text = "## Named (skip on first reading)\none two\n### A part (skip on first reading)\nthree\n### Another\nfour\n"
    kept = first_reading(named(section(text, "named-skip-on-first-reading")))
    assert "one two" in kept and "four" in kept and "three" not in kept


def test_a_first_reading_leaves_out_what_says_so():
    kept = first_reading(EXAMPLE)
    assert [heading for heading, _ in sections(kept)] == ["# A title", "## Kept", "## Kept again"]
    assert all(word in kept for word in ("three", "five", "Eight"))
    assert not any(word in kept for word in ("box", "lines", "Six", "Seven", "Nine"))


def test_minutes_are_words_by_two_hundred_and_two_for_each_fence():
    assert minutes("word " * 400 + "[link](to/a/long/name.md)") == 401 / 200
    assert minutes("word\n```math\na b c\n```\n```python\npass\n```\n") == 1 / 200 + 4


def test_a_section_is_found_by_its_anchor_and_holds_what_is_below_it():
    assert anchor("### 6. Where MAML and Reptile tie: `a`, (b)") == "6-where-maml-and-reptile-tie-a-b"
    part = section(EXAMPLE, "left-out-skip-on-first-reading")
    assert "Six" in part and "Seven" in part and "Eight" not in part and section(EXAMPLE, "nowhere") == ""


def test_maml_is_reached_within_ninety_minutes():
    times = {name: minutes(first_reading(read(name))) for name in CHAPTERS_TO_MAML[:-1]}
    assert sum(times.values()) <= 90, times


@pytest.mark.parametrize("number, title, body", LESSONS, ids=[number for number, *_ in LESSONS])
def test_a_lesson_states_the_minutes_of_its_reading_in_both_places(number, title, body):
    (stated, links) = READING.search(body).groups()
    computed = minutes_of(links)
    assert abs(int(stated) - computed) <= ROUGH * computed, f"lesson {number} takes {computed:.0f} minutes to read"
    assert f"\n| {number} {title} | {stated} | " in PAGE


def test_there_are_eight_lessons_with_three_exercises_each():
    assert [number for number, *_ in LESSONS] == list("12345678")
    for number, _, body in LESSONS:
        assert re.findall(r"`(\d[a-z])`", body) == [f"{number}{letter}" for letter in "abc"]
        assert all(f"**{part}:**" in body for part in ("At the board", "Show", "Experiment", "Exercises"))
