"""Tables that a person reads, on standard output."""

from collections.abc import Sequence


def table(title: str, corner: str, heads: Sequence[str], unit: str, rows: dict[str, list[float]], below: str) -> None:
    """A title, one line a row with its name, one column a head, the unit at the end of the heads, and a text below."""
    wide = max(len(name) for name in (corner, *rows))
    print(f"{title}\n{corner:{wide}}" + "".join(f"{head:>10}" for head in heads) + f"   {unit}")
    for name, values in rows.items():
        print(f"{name:{wide}}" + "".join(f"{said(value):>10}" for value in values))
    print(f"{below}\n")


def said(value: float) -> str:
    """Three decimals, or that it diverges."""
    return f"{value:.3f}" if abs(value) < 1e5 else "diverges"


def counted(n: int, one: str) -> str:
    """1 step, 2 steps."""
    return f"{n} {one}" if n == 1 else f"{n} {one}s"
