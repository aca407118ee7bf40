"""Fifteen of the wrong implementations that others wrote: the cause is named, and holds on fresh problems.  `make field` runs all."""

import pytest

from tests.oracle.field.__main__ import mistakes
from tests.oracle.field.harness import judged

EVERY = {m.name: m for name, listed in mistakes().items() if "held_out" not in name for m in listed}
FIFTEEN = (
    "gradients-not-zeroed", "hessian-diagonal", "jacobian-not-transposed", "two-conjugate-gradients", "adam-outside",
    "variance-is-softplus", "critic-loss-huber", "forget-bias-of-tensorflow", "counts-without-repeats",
    "adam-for-adamw", "phi-not-converged", "unrolled-twenty", "kl-visits-of-the-new-policy", "orders-not-counted", "temperature-loss-of-the-logarithm",
)  # fmt: skip


@pytest.mark.parametrize("name", FIFTEEN)
def test_a_mistake_of_others_is_named_truly(name):
    said = judged(EVERY[name], fresh=5)
    assert (said.word, said.cause) == ("WRONG", "right") and said.where in ("", "right"), said


def test_the_field_is_large_and_has_every_suite():
    listed = [mistake for some in mistakes().values() for mistake in some]
    assert len(listed) >= 700
    assert len({mistake.suite for mistake in listed}) >= 19
