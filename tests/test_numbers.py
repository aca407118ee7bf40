"""Every number of three or more digits in a chapter's prose stands in a block of that chapter that is run.

A block is one of Python, or one of a console, whose output tests/test_prose.py compares.  A number of the prose may be
that of a block rounded to fewer digits.  Years, numbers of papers, and what stands in code or links, are no such numbers.
"""

import re
from decimal import Decimal
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "derivations"
NO_CHAPTERS = {"README.md", "names.md", "protocol.md", "lessons.md"}
CHAPTERS = sorted(path for path in FOLDER.glob("*.md") if path.name not in NO_CHAPTERS)
FENCE = re.compile(r"^(?:> ?)?```(\w*)\n(.*?)^(?:> ?)?```$", re.M | re.S)
YEAR = re.compile(r"\b(?:19\d\d|20[0-3]\d)(?:[ab])?\b|arXiv[: ]\d{4}\.\d{4,5}")
NUMBER = re.compile(r"(?<![\w.,/^])(?<!\w-)(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)(?:e([+-]?\d+))?(?![\w])")
SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
POWER = re.compile(r"\s*(?:·|×|\\cdot|\\times)\s*10(?:([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)|\^\{?(-?\d+)\}?)")


def numbers_in(text):
    """(the number as text, its value, its unit in the last place) of every number, powers of ten included."""
    for match in NUMBER.finditer(text):
        digits = match[1].replace(",", "")
        power = POWER.match(text, match.end())
        exponent = int(match[2] or 0) + (int((power[1] or power[2]).translate(SUPERSCRIPTS)) if power else 0)
        places = len(digits.partition(".")[2])
        yield match[0], Decimal(digits).scaleb(exponent), Decimal(1).scaleb(exponent - places)


def is_long(text):
    """Three significant digits or more; the zeros at the end of a whole number are none."""
    digits = text.partition("e")[0].replace(",", "")
    return len(digits.replace(".", "").lstrip("0") if "." in digits else digits.strip("0")) >= 3


def prose(text):
    """A chapter without its blocks, displays, code, links and years."""
    text = FENCE.sub("", text)
    text = re.sub(r"\$`([^`]*)`\$", r"\1", text)
    text = re.sub(r"`[^`]*`", "", text)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return YEAR.sub("", text)


def missing(text):
    """The long numbers of the prose that no block holds."""
    blocks = "\n".join(body for language, body in FENCE.findall(text) if language in ("python", "console"))
    held = [value for _, value, _ in numbers_in(blocks)]
    return [
        shown for shown, value, unit in numbers_in(prose(text))
        if is_long(shown) and not any(abs(value - other) <= unit / 2 for other in held)
    ]  # fmt: skip


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_numbers_of_a_chapter_are_computed_in_it(path):
    assert missing(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It is 0.2206.\n\n```python\nassert abs(x - 0.22063) < 1e-4\n```\n", []),
        ("It is 0.2206.\n\n```python\nassert abs(x - 0.2216) < 1e-4\n```\n", ["0.2206"]),
        ("It is 0.2206.\n", ["0.2206"]),
        ("It is $`0.2206`$.\n\n```text\n0.2206\n```\n", ["0.2206"]),
        ("Some 1,250 tasks, and 2·10⁻³, and 1.234·10⁻⁵.\n\n```python\nn, x = 1250, 1.234e-5\n```\n", []),
        ("1.234·10⁻⁵\n\n```python\nx = 1.234e-6\n```\n", ["1.234"]),
        ("Finn et al., 2017, and 0.5 and 100 and 25, and `--timeout 128`.\n", []),
    ],
)
def test_a_number_that_no_block_holds_is_found(text, found):
    assert missing(text) == found
