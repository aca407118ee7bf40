"""The decisions that rounding could turn are the same under another BLAS kernel; `make test-kernels` runs far more."""

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
