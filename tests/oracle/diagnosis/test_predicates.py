"""Statements on the inputs of a case: each is true where it says so, and a case that is moved to it satisfies it."""

import numpy as np
import pytest

from refmeta.oracle.asking import moved
from refmeta.oracle.diagnosis.predicates import predicates_of, thresholds, trimmed
from refmeta.oracle.suites import SUITES
from tests.oracle.targets import valid


def named(suite):
    """The predicates of a suite on its valid vectors, by name."""
    return {p.name: p for p in predicates_of(SUITES[suite], valid(suite))}


@pytest.mark.parametrize("suite", SUITES)
def test_inputs_that_are_moved_to_a_predicate_satisfy_it_and_are_copies(suite):
    """Where the library takes them, and something moves; the arguments stay as they are, and the names are all different."""
    found, case = predicates_of(SUITES[suite], valid(suite)), valid(suite)[0]
    part, count = SUITES[suite].array or next(iter(SUITES[suite].parts)), 0
    assert len({p.name for p in found}) == len(found)
    for p in found:
        before = case.arguments()
        inputs = None if p.holds(case) else p.move(before)
        assert all(np.array_equal(before[name], x) for name, x in case.arguments().items()), p.name
        moves = inputs is not None and any(not np.array_equal(inputs[name], x) for name, x in before.items())
        other = moved(case, inputs, [part]) if moves else None
        assert other is None or p.holds(other), p.name
        count += other is not None
    assert count >= 2


class _With:
    """A case with other inputs."""

    def __init__(self, case, inputs):
        self.about, self._inputs = case.about, inputs

    def arguments(self):
        return self._inputs


def test_predicates_are_true_of_the_inputs():
    of = named("maml-lq")
    for case in valid("maml-lq"):
        x = case.arguments()
        assert of["K <= 1"].holds(case) == (x["steps"] <= 1) and of["K = 0"].holds(case) == (x["steps"] == 0)
        assert of["N = 1"].holds(case) == (len(x["A"]) == 1) and of["horizon is None"].holds(case) == (x["horizon"] is None)
        assert of["alpha is a number"].holds(case) == (np.ndim(x["alpha"]) == 0)
        assert of["nothing is adapted"].holds(case) == (x["steps"] == 0 or not np.any(x["alpha"]))


def test_support_and_query_are_compared_input_by_input():
    of, case = named("maml-quadratic")["support = query"], valid("maml-quadratic")[0]
    x = case.arguments()
    same = x | {"query_A": x["A"], "query_c": x["c"]}
    assert of.holds(_With(case, same)) and not of.holds(_With(case, same | {"query_c": x["c"] + 1}))


def test_a_size_is_trimmed_on_every_axis_that_has_it():
    case = next(c for c in valid("maml-regression") if len(c.input["X"]) > 1)
    x = case.arguments()
    one = trimmed(SUITES["maml-regression"], "N", 1, x)
    assert {len(one[name]) for name in ("X", "y", "query_X", "query_y")} == {1} and one["theta"].shape == x["theta"].shape
    np.testing.assert_array_equal(one["X"], x["X"][:1])


def test_a_bound_far_from_both_separates_right_from_wrong_and_one_between_neighbours_does_not():
    """Vectors by the size of their theta."""
    ordered = sorted(valid("maml-quadratic"), key=lambda case: np.max(np.abs(case.arguments()["theta"])))
    size = [np.max(np.abs(case.arguments()["theta"])) for case in ordered]
    gap = next(i for i in range(1, len(size)) if 0 < size[i - 1] < 0.9 * size[i])
    bound = next(p for p in thresholds(ordered[:gap], ordered[gap:]) if p.name.startswith("|theta| <= "))
    assert all(bound.holds(case) for case in ordered[:gap]) and not any(bound.holds(case) for case in ordered[gap:])
    large = ordered[-1]
    assert bound.holds(_With(large, bound.move(large.arguments())))
    near = [i for i in range(1, len(size)) if size[i - 1] >= 0.9 * size[i]]
    assert near and not any(p.name.startswith("|theta|") for p in thresholds(ordered[: near[0]], ordered[near[0] :]))
    assert thresholds([], ordered) == []


def test_a_count_is_no_factor():
    """One term is Neumann's series without a product; what is wrong with two is not a power of the number of terms."""
    early, pearl, implicit = named("implicit-early"), named("pearl"), named("implicit")
    assert early["terms = 1"].reading == "what is done only with terms above 1 differs"
    assert pearl["prior_factors = 1"].reading == "a case with prior_factors = 0 goes another way"
    assert implicit["strength = 1"].reading == "a factor or power of strength differs"
