"""`check` on the return with entropy in JAX: right on every vector, and each mistake is named.

`make test-peers` installs JAX and runs this; `make test` does not.
"""

import pytest

pytest.importorskip("jax")

from test_peers import check, few


def test_jax_is_right_on_every_vector():
    status, report = check("jax_soft_return:soft_returns", "--suite", "soft-return", "--skip-flag", "ill-conditioned")
    assert status == 0 and "Diagnosis" not in report, report


@pytest.mark.parametrize(
    ("function", "slug"),
    [("turned", "entropy-sign"), ("averaged", "entropy-mean-over-actions"), ("with_bonus", "entropy-bonus")],
)
def test_a_mistake_is_named(function, slug):
    status, report = check(f"jax_soft_return:{function}", *few("soft-return", (1, 2, 5, 8)))
    assert status == 1 and slug in report, report
