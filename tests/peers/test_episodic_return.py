"""`check` on the return with declared ends in JAX: right on every vector, and each mistake is named.

`make test-peers` installs JAX and runs this; `make test` does not.
"""

import pytest

pytest.importorskip("jax")

from test_peers import check, few


def test_jax_is_right_on_every_vector():
    status, report = check("jax_episodic_return:episodes", "--suite", "episodic-return", "--skip-flag", "ill-conditioned")
    assert status == 0 and "Diagnosis" not in report, report


@pytest.mark.parametrize(
    ("function", "slug", "numbers"),
    [
        ("done_ignored", "ends-ignored", (1, 2, 6, 7)),
        ("done_late", "end-pays-once", (1, 2, 3, 7)),
        ("done_early", "entering-reward-lost", (1, 2, 3, 7)),
        ("done_of_transitions", "end-row-evaluated", (1, 2, 3, 7)),
        ("one_mask", "ends-of-first-task", (1, 2, 3, 9)),
    ],
)
def test_a_mistake_is_named(function, slug, numbers):
    status, report = check(f"jax_episodic_return:{function}", *few("episodic-return", numbers))
    assert status == 1 and slug in report, report
