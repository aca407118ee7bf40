"""The decisions that rounding could turn are the same under another BLAS kernel; `make test-kernels` runs far more."""

import pytest

from tests.kernels import in_use, outcome

TESTS = ("tests/meta/test_implicit.py", "tests/sampling/test_trust_region.py")
CHOSEN = "singular or saddle or negative or curvature"


@pytest.mark.parametrize("kernel", ["Haswell", "Nehalem"])
def test_what_rounding_could_decide_is_decided_alike(kernel):
    """In processes of their own; the kernel that is in use here, and one that this processor cannot run, are left out."""
    other = in_use(OPENBLAS_CORETYPE=kernel)
    if other in (None, "not OpenBLAS", in_use()):
        return
    passed, printed = outcome(TESTS, "-k", CHOSEN, OPENBLAS_CORETYPE=kernel, OPENBLAS_NUM_THREADS="1")
    assert passed and "1 deselected" not in printed, printed
