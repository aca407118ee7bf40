"""The sizes of a case are read from the shapes of its inputs."""

import numpy as np

from refmeta.oracle.sizes import axes_of, fits, sizes_in


def test_a_size_is_taken_from_where_it_stands_and_one_unknown_is_solved_for():
    sizes = sizes_in({"theta": "(d,)", "X": "(N, 2*n+1)", "alpha": "number"}, {"theta": np.zeros(3), "X": np.zeros((2, 7)), "alpha": 1.0})
    assert sizes == {"d": 3, "N": 2, "n": 3}
    assert sizes_in({}, {"steps": 4}) == {"K": 4}


def test_a_shape_that_does_not_fit_adds_no_size():
    sizes = {"d": 3}
    assert not fits("(d,) or (N, d)", np.zeros((2, 4)), sizes) and sizes == {"d": 3}
    assert fits("(d,) or (N, d)", np.zeros((2, 3)), sizes) and sizes == {"d": 3, "N": 2}
    assert fits("integer or None", None, sizes) and not fits("integer", 1.0, sizes)
    assert axes_of("(N, S*A)") == ["N", "S*A"]
