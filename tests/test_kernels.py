"""The decisions that rounding could turn are the same under another BLAS kernel; `make test-kernels` runs far more."""

from tests import kernels
from tests.kernels import ROOT, in_use, outcome
from tests.kernels import TESTS as LISTED

TESTS = ("tests/meta/test_implicit.py", "tests/sampling/test_trust_region.py")
CHOSEN = "singular or saddle or negative or curvature"


def test_what_rounding_could_decide_is_decided_alike():
    """In a process of its own, under the first kernel that is not in use here and that this processor can run."""
    assert in_use() is not None
    names = {kernel: in_use(OPENBLAS_CORETYPE=kernel) for kernel in ("Nehalem", "Haswell")}
    others = [kernel for kernel, name in names.items() if name not in (None, "not OpenBLAS", in_use())]
    for kernel in others[:1]:
        passed, printed = outcome(TESTS, "-k", CHOSEN, OPENBLAS_CORETYPE=kernel, OPENBLAS_NUM_THREADS="1")
        assert passed, printed


def test_the_tests_that_are_listed_exist():
    assert all((ROOT / name.partition("::")[0]).exists() for name in LISTED)


def test_a_kernel_that_has_run_under_another_name_is_not_run_again(monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(kernels, "in_use", lambda **given: {"Zen": "Haswell", "Prescott": None}.get(name := given.get("OPENBLAS_CORETYPE"), name or "SkylakeX"))
    monkeypatch.setattr(kernels, "outcome", lambda tests, *options, **given: (ran.append(given), (True, "3 passed in 1s"))[1])
    assert kernels.main() == 0
    names = [given.get("OPENBLAS_CORETYPE") for given in ran]
    assert names == ["Haswell"] * 2 + ["SkylakeX"] * 2 + ["Nehalem"] * 2 + [None] * 2
    text = capsys.readouterr().out
    assert text.count("has run, by another name") == 2 and text.count("not for this processor") == 2 and text.count("3 passed") == 8
