"""The decisions that rounding could turn are the same under another BLAS kernel; `make test-kernels` runs far more."""

import pytest

from tests.kernels import in_use, outcome

TESTS = (
    "tests/meta/test_implicit.py",
    "tests/sampling/test_trust_region.py",
    "tests/oracle/test_certify.py::test_the_library_is_one_more_implementation_below_a_fifth_of_the_tolerance",
)
CHOSEN = "singular or saddle or negative or curvature or one_more_implementation"


@pytest.mark.parametrize("kernel", ["Haswell", "SkylakeX", "Nehalem"])
def test_what_rounding_could_decide_is_decided_alike(kernel):
    """In processes of their own; the kernel that is in use here, and one that this processor cannot run, are left out."""
    other = in_use(OPENBLAS_CORETYPE=kernel)
    if other in (None, "not OpenBLAS", in_use()):
        return
    passed, printed = outcome(TESTS, "-k", CHOSEN, OPENBLAS_CORETYPE=kernel, OPENBLAS_NUM_THREADS="1")
    assert passed and "1 deselected" not in printed, printed
