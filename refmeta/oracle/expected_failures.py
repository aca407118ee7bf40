"""Cases that are known to fail, one id per line of a file; the cases of a suite for pytest.  Derivation: derivations/using-the-oracle.md"""

import os
from collections.abc import Iterable, Sequence
from typing import Any

from refmeta.oracle.documents import VectorError, read_text
from refmeta.oracle.judge import RIGHT, Outcome, is_bad
from refmeta.oracle.suite import Case
from refmeta.oracle.suites import SUITES
from refmeta.oracle.vectors import UsageError, cases
from refmeta.tables import suggestion, unknown_name

__all__ = ["check_flags", "excused", "mended", "pytest_cases", "read_expected_failures"]


def pytest_cases(
    suite: str, *, skip_flags: Sequence[str] = (), expected_failures: str | os.PathLike[str] | None = None
) -> list[Any]:
    """The valid vectors of a suite, each as a `pytest.param` whose id is the vector's.

    For `@pytest.mark.parametrize("case", rm.oracle.pytest_cases("SUITE"))`; the test calls
    `rm.oracle.assert_matches(case, f(**case.arguments()))`.

    Parameters
    ----------
    suite : str
        As of `check`.
    skip_flags : sequence of str
        Vectors of these flags are left out.
    expected_failures : path
        A file of ids, one per line; what follows `#` is a comment.  Such a case is marked `xfail(strict=True)`: its test
        fails when the case passes.

    Raises
    ------
    ImportError
        If pytest is not installed.
    UsageError
        If no suite, flag or vector has a name that is given, or the file cannot be read.
    """
    try:
        import pytest
    except ImportError:
        raise ImportError("rm.oracle.pytest_cases needs pytest, which is not installed: pip install pytest") from None
    every = cases(suite)
    check_flags(skip_flags, every)
    known = read_expected_failures(expected_failures, every) if expected_failures is not None else ()
    marks = {name: [pytest.mark.xfail(strict=True, reason=f"listed in {os.fspath(expected_failures or '')}")] for name in known}
    chosen = [case for case in every if case.result == "valid" and not set(case.flags) & set(skip_flags)]
    return [pytest.param(case, id=case.id, marks=marks.get(case.id, [])) for case in chosen]


def check_flags(flags: Sequence[str], every: Iterable[Case]) -> None:
    """UsageError if no case has one of these flags."""
    if isinstance(flags, str):
        raise TypeError(f"skip_flags must be a sequence of flags, got the string {flags!r}")
    existing = {flag for case in every for flag in case.flags}
    for flag in flags:
        if flag not in existing:
            raise UsageError(f"no case has the flag {flag!r}{suggestion(flag, existing)}; the flags are {', '.join(sorted(existing))}")


def read_expected_failures(path: str | os.PathLike[str], of: Iterable[Case]) -> tuple[str, ...]:
    """The ids that a file lists; each is that of one of these cases, or of a vector of any suite."""
    path = os.fspath(path)
    try:
        lines = [line.partition("#")[0].strip() for line in read_text(path).splitlines()]
    except VectorError as error:
        raise UsageError(f"the file of expected failures {error}") from None
    known = {case.id for case in of}
    if not known.issuperset(filter(None, lines)):
        known |= {case.id for suite in SUITES for case in cases(suite)}
    for number, name in enumerate(lines, start=1):
        if name and name not in known:
            raise UsageError(f"{path}:{number}: {unknown_name('case', name, known, '`python -m refmeta list` lists the suites')}")
    return tuple(dict.fromkeys(filter(None, lines)))


def excused(outcomes: Iterable[Outcome], ids: Sequence[str]) -> list[Outcome]:
    """The outcomes; a failure of a case that is listed has the verdict `expected`, which counts as neither right nor wrong."""
    return [o._replace(verdict="expected") if is_bad(o) and o.case.id in ids else o for o in outcomes]


def mended(outcomes: Iterable[Outcome], ids: Sequence[str], path: str) -> dict[str, str]:
    """A sentence for each case that is listed and right, by its id."""
    passing = [o.case.id for o in outcomes if o.verdict in RIGHT and o.case.id in ids]
    return {name: f"remove {name} from {path}: it passes" for name in passing}
