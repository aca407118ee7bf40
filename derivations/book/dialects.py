"""A chapter in the two dialects of Markdown that Sphinx (with MyST) and Jupyter read.

The chapters are written for a reader of the repository: mathematics stands in `math` fences and in spans between dollars,
with backticks inside the dollars where it holds signs of Markdown.  These functions change that notation and the links,
and nothing else.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

__all__ = [
    "BOOK", "NOTEBOOK", "Dialect", "anchors", "check_links", "contents", "labels", "margin", "reading_order", "targets",
    "translated",
]  # fmt: skip

FENCE = re.compile(r"^([> ]*)```(\w*)\n(.*?)^\1```$", re.M | re.S)
SPAN = re.compile(r"\$`([^`$]+)`\$|\$([^$`\n]+)\$|(`+)(?!`)(?:(?!\n\n).)+?(?<!`)\3(?!`)", re.S)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]+)\)")
TAG = re.compile(r" *\\tag\{([a-z0-9:-]+)\}")
OUTSIDE = re.compile(r"^\.\./|/$")  # a file that is not delivered with the pages, or a folder
ELSEWHERE = re.compile(r"[a-z]+:")  # an address, not a file
Pages = Mapping[str, str]  # the text of every chapter by the name of its file


class Dialect(NamedTuple):
    """How a tool writes a span of mathematics, a formula of its own lines, and the target of a link."""

    inline: Callable[[str], str]
    display: Callable[[str], list[str]]
    target: Callable[[str, str, Pages], str | None]  # of a link's text and target; None: the text stands alone


def translated(text: str, dialect: Dialect, pages: Pages) -> str:
    """The chapter in a dialect."""
    result, end = [], 0
    for match in FENCE.finditer(text):
        result += [prose(text[end : match.start()], dialect, pages), fence(match, dialect)]
        end = match.end()
    return "".join(result) + prose(text[end:], dialect, pages)


def fence(match: re.Match[str], dialect: Dialect) -> str:
    """A fence: mathematics as the dialect writes it, behind the same `> `; any other as it is."""
    prefix, language, body = match.groups()
    if language != "math":
        return match[0]
    formula = "".join(line.removeprefix(prefix) for line in body.splitlines(keepends=True)).strip()
    return "\n".join((prefix + line).rstrip() for line in dialect.display(formula))


def prose(text: str, dialect: Dialect, pages: Pages) -> str:
    """Text outside fences; code is left as it is, and a link's text may hold code and mathematics."""
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        formula = match[1] or match[2]
        kept.append(dialect.inline(re.sub(r"\s*\n[> ]*", " ", formula)) if formula else match[0])
        return f"\0{len(kept) - 1}\0"

    def back(masked: str) -> str:
        return re.sub(r"\0(\d+)\0", lambda match: kept[int(match[1])], masked)

    def link(match: re.Match[str]) -> str:
        target = dialect.target(back(match[2]), match[3], pages)
        return match[2] if target is None else f"{match[1]}[{match[2]}]({target})"

    return back(LINK.sub(link, SPAN.sub(keep, text)))


def targets(text: str) -> list[str]:
    """The target of every link and figure of a chapter."""
    masked = SPAN.sub("", FENCE.sub("", text))
    return [match[3] for match in LINK.finditer(masked)]


def anchors(text: str) -> dict[str, str]:
    """The headings of a chapter, by the anchor that a link to them ends in."""
    found: dict[str, str] = {}
    for title in re.findall(r"^#{1,6} +(.*?) *$", FENCE.sub("", text), re.M):
        plain = re.sub(r"[`*$]", "", title)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        again = sum(re.fullmatch(rf"{re.escape(slug)}(-\d+)?", other) is not None for other in found)
        found[f"{slug}-{again}" if again else slug] = plain
    return found


def labels(text: str) -> list[str]:
    """The labels of the formulas of a chapter."""
    return TAG.findall(text)


def check_links(name: str, pages: Pages, exists: Callable[[str], bool]) -> Iterator[str]:
    """A sentence for each link of a page that leads nowhere; `exists` knows the files beside the chapters."""
    for target in targets(pages[name]):
        path, _, anchor = target.partition("#")
        if ELSEWHERE.match(target):
            continue
        if path and not exists(path):
            draw = "; draw it by `make figures`" if path.startswith("figures/") else ""
            yield f"{name} shows or links to {path}, and there is no such file{draw}"
        elif anchor and anchor not in anchors(pages[path or name]):
            yield f"{name} links to {target}; the headings there are {', '.join(anchors(pages[path or name]))}"


def reading_order(readme: str, names: list[str]) -> tuple[dict[str, int], list[str]]:
    """The numbers of the chapters on the front page, and all other pages: first those that it links to, in its order."""
    numbered = {name: int(n) for n, name in re.findall(r"^(\d+)\. \[.*?\]\(([\w-]+\.md)\)", readme, re.M) if name in names}
    linked = [name for name in targets(readme) if name in names]
    rest = dict.fromkeys([*linked, *sorted(names)])
    return numbered, [name for name in rest if name not in numbered and name != "README.md"]


def contents(caption: str, entries: Mapping[str, str]) -> str:
    """A table of contents for the book's margin; `entries` are the titles of the pages by the names of their files."""
    lines = "\n".join(f"{title} <{name.removesuffix('.md')}>" for name, title in entries.items())
    return f"\n```{{toctree}}\n:hidden:\n:maxdepth: 1\n:caption: {caption}\n\n{lines}\n```\n"


def margin(pages: Pages) -> str:
    """The tables of contents: the chapters with their numbers, and what stands beside them."""
    numbered, rest = reading_order(pages["README.md"], list(pages))
    titles = {name: next(iter(anchors(text).values()), name) for name, text in pages.items()}
    first = contents("Chapters", {name: f"{number}. {titles[name]}" for name, number in numbered.items()})
    return first + contents("Beside the chapters", {name: titles[name] for name in rest})


def book_display(formula: str) -> list[str]:
    """A directive that leaves the formula to MathJax; its label stands below it, so that the formula has all the width."""
    untagged = [line.rstrip() for line in TAG.sub("", formula).splitlines() if line.strip()]
    shown = ["```{math}", ":nowrap:", "", r"\[", *untagged, r"\]", "```"]
    for label in labels(formula):  # a place that links can lead to, and its name
        shown = [f"({label})=", *shown, "", "{.formula-label}", f"[{label}](#{label})", ""]
    return shown


def book_target(label: str, target: str, pages: Pages) -> str | None:
    """The page of the book; the link of a formula's label leads to the formula; what is not in the book has no link."""
    path, _, anchor = target.partition("#")
    if OUTSIDE.search(path):
        return None
    if label in labels(pages.get(path, "")) and not anchor:
        return f"{path}#{label}"
    return re.sub(r"^README\.md\b", "index.md", target)


def notebook_target(label: str, target: str, pages: Pages) -> str | None:
    """The notebook, with the anchor that Jupyter gives to the heading."""
    path, _, anchor = target.partition("#")
    if OUTSIDE.search(path):
        return None
    if ELSEWHERE.match(target):
        return target
    titles = [anchors(text).get(anchor) for name, text in pages.items() if path in (name, "")]
    heading = next((title.replace(" ", "-") for title in titles if title), anchor)
    return re.sub(r"\.md$", ".ipynb", path) + (f"#{heading}" if anchor else "")


BOOK = Dialect(lambda formula: f"{{math}}`{formula}`", book_display, book_target)
NOTEBOOK = Dialect(
    lambda formula: f"${formula}$",
    lambda formula: ["$$", *formula.splitlines(), "$$"],
    notebook_target,
)
