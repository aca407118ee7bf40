"""Text that fits the terminal: paragraphs, tables, and messages about unknown names."""

import contextlib
import difflib
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

__all__ = [
    "Column", "Layout", "count_text", "layout", "number_table", "number_text", "paragraphs", "show_line", "shown_line", "suggestion",
    "table", "unknown_name", "width",
]  # fmt: skip

GAP = "  "


def width() -> int:
    """The width of the terminal, at least 80; in a file or a pipe 80, or COLUMNS if it is larger."""
    return max(80, shutil.get_terminal_size((80, 24)).columns)


def paragraphs(text: str, first: str = "", later: str | None = None) -> str:
    """Each line of the text as a paragraph, broken at spaces; a word is broken only if it is longer than a line.

    `first` starts the first line of a paragraph, and `later` all others.
    """
    return "\n".join(
        textwrap.fill(
            line, width(), initial_indent=first, subsequent_indent=first if later is None else later, break_on_hyphens=False
        )
        for line in text.split("\n")
    )  # fmt: skip


class Column(NamedTuple):
    """A heading; `text` cells may be broken into lines, and `right` cells are aligned to the right, as numbers are."""

    head: str
    text: bool = False
    right: bool = False


class Layout(NamedTuple):
    """The columns of a table and their widths."""

    columns: tuple[Column, ...]
    widths: tuple[int, ...]

    def row(self, cells: Sequence[str], *, last: bool = False) -> str:
        """The lines of a row.  All cells start on its first line; with `last` they all end on its last line."""
        each = [_lines(cell, w) for cell, w in zip(cells, self.widths, strict=True)]
        deep = max(map(len, each))
        each = [[""] * (last * (deep - len(lines))) + lines for lines in each]
        return "\n".join(self._line(parts) for parts in zip_longest(*each, fillvalue=""))

    def heads(self) -> str:
        """The headings, and a line of dashes below them."""
        heads = self.row([column.head for column in self.columns], last=True)
        return heads + "\n" + self._line("-" * w for w in self.widths)

    def _line(self, parts: Iterable[str]) -> str:
        """One line with every part in its column; a combining mark has no width."""
        cells = []
        for part, column, w in zip(parts, self.columns, self.widths, strict=True):
            w += sum(map(bool, map(unicodedata.combining, part)))
            cells.append(part.rjust(w) if column.right else part.ljust(w))
        return GAP.join(cells).rstrip()


def layout(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> Layout:
    """Each column as wide as its longest line.  If that is too wide, the text columns share what the others leave."""
    cells = [[column.head for column in columns], *rows]
    widths = [max(len(line) for row in cells for line in row[i].split("\n")) for i in range(len(columns))]
    texts = sorted((w, i) for i, (w, column) in enumerate(zip(widths, columns, strict=True)) if column.text)
    left = width() - len(GAP) * (len(columns) - 1) - sum(widths) + sum(w for w, _ in texts)
    for shared, (w, i) in zip(range(len(texts), 0, -1), texts, strict=True):
        widths[i] = min(w, max(left // shared, 8))
        left -= widths[i]
    return Layout(tuple(columns), tuple(widths))


def _lines(cell: str, columns: int) -> list[str]:
    """The lines of a cell, broken at spaces where they are too long; no word is split, so that it can be copied."""
    wrap = textwrap.TextWrapper(columns, break_on_hyphens=False).wrap
    return [line for part in cell.split("\n") for line in wrap(part) or [""]]


def table(title: str, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    """A title, the headings, and the rows."""
    form = layout(columns, rows)
    return "\n".join([paragraphs(title), form.heads(), *map(form.row, rows)])


def number_table(
    title: str, unit: str, corner: str, heads: Sequence[str], rows: Mapping[str, Sequence[float]],
    formats: Sequence[str] | None = None, starred: Mapping[str, Sequence[int]] | None = None,
) -> str:  # fmt: skip
    """A title, the unit, and one row per name; each column has a format, three decimals if none is given.

    `starred` names the columns, by row, whose number is followed by a star.
    """
    columns = [Column(corner, text=True), *(Column(head, right=True) for head in heads)]
    forms = formats or [".3f"] * len(heads)
    stars = {name: ["*" * (i in (starred or {}).get(name, ())) for i in range(len(heads))] for name in rows}
    cells = [
        [name, *(number_text(x, form) + star for x, form, star in zip(row, forms, stars[name], strict=True))]
        for name, row in rows.items()
    ]
    return table(f"{title}\n({unit})\n", columns, cells)


def number_text(value: float, form: str = ".3f") -> str:
    """The number in a format, no minus before a zero; "diverges" from 1e5 on, and a dash where there is no number (NaN)."""
    return "–" if value != value else format(value, f"z{form}") if abs(value) < 1e5 else "diverges"


def count_text(n: int, one: str) -> str:
    """The number with its noun: "1 step", "2 steps"."""
    return f"{n} {one}" if n == 1 else f"{n} {one}s"


def show_line(text: str) -> None:
    """Rewrite one line of standard error, if that is a terminal: how far the work is."""
    if sys.stderr.isatty():
        print(text.ljust(78), end="\r", file=sys.stderr, flush=True)


@contextlib.contextmanager
def shown_line(text: str) -> Iterator[None]:
    """The line of `show_line` while the work inside goes on; it is empty afterwards, also where an error ends the work."""
    show_line(text)
    try:
        yield
    finally:
        show_line("")


def suggestion(word: str, words: Iterable[str]) -> str:
    """The most similar of the words, as a question in brackets; empty if none is similar."""
    close = difflib.get_close_matches(word.lower(), list(words), 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def unknown_name(kind: str, word: str, words: Iterable[str], listing: str) -> str:
    """The message about an unknown name: the most similar name, and how to list all names."""
    return f"no {kind} is called {word!r}{suggestion(word, words)}; {listing}"
