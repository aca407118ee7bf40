"""How long a chapter takes to read: 200 words a minute, and two minutes for each display and each block."""

import re
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "derivations"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
SKIP = "(skip on first reading)"


def sections(text):
    """The pairs of heading and body of a chapter, in order; the title is the first heading."""
    plain = FENCE.sub(lambda match: re.sub(r"^#", " #", match[0], flags=re.M), text)   # a comment is no heading
    parts = re.split(r"^(#{1,4} .*)$", plain, flags=re.M)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def first_reading(text):
    """The text without what a first reader may skip: sections and quotes that say so, and the list of sources."""
    kept, skipped = [], 0
    for heading, body in sections(text):
        depth = heading.index(" ")
        if skipped and depth > skipped:
            continue
        skipped = depth if SKIP in heading or heading == "## Sources" else 0
        if not skipped:
            kept += [heading, body]
    return re.sub(r"^> \*\*Skip on first reading\.\*\*.*\n(?:>.*\n)*", "", "".join(kept), flags=re.M)


def minutes(text):
    """The minutes that a text takes."""
    words = re.sub(r"\]\([^)]*\)", "]", FENCE.sub("", text)).split()
    return len(words) / 200 + 2 * len(FENCE.findall(text))


def anchor(heading):
    """The name by which GitHub links to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lstrip("#").strip().lower()).replace(" ", "-")


def section(text, name):
    """The section with this anchor, with all sections below it."""
    found, depth = "", 0
    for heading, body in sections(text):
        inside = depth and heading.index(" ") > depth
        if anchor(heading) == name or inside:
            found, depth = found + heading + body, depth or heading.index(" ")
        else:
            depth = 0
    return found
