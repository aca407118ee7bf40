"""`experiment adaptation`: what its tables say, measured on small trainings."""

import re

import numpy as np
import pytest

from refmeta.commands.experiments import adaptation
from tests.commands.experiments.conftest import assert_whole


def rows_of(table):
    return {name: np.array(row) for name, row in table.rows.items()}


def test_sinusoids_show_the_theorem_s_tie_and_what_meta_lstm_learns():
    """Every start gains with every step; MAML's training ends at its closed form; Meta-LSTM's five steps beat gradients."""
    sizes = {"iterations": 150, "tasks": 200, "lstm_iterations": 400}
    part = assert_whole(adaptation.sinusoids(np.random.default_rng(0), **sizes))
    losses, own = rows_of(part.tables[0]), rows_of(part.tables[1])
    assert np.all(losses.pop("optimum") == 0)
    assert len(losses) == 6 and all(np.all(np.diff(loss) < 0) for loss in losses.values())
    joint = "joint training (= MAML, exact)"
    np.testing.assert_allclose(losses["MAML, trained"] / losses[joint], 1, rtol=0, atol=0.05)
    assert losses["zeros"][0] > losses["MAML, trained"][0]
    assert losses["Meta-LSTM, trained"][-1] < 0.9 * losses[joint][-1]
    assert own[joint][1] < own["zeros"][1] < own["random, N(0, 1)"][1]
    assert any(f"MAML, trained {losses['MAML, trained'][1]:.3f}, {joint} {losses[joint][1]:.3f}" in text for text in part.sentences)


@pytest.mark.parametrize(("family", "alpha"), [("random_mdps", 10), ("gridworlds", 20)])
def test_returns_gain_below_the_optimum_and_a_long_step_from_zeros_comes_near_it(family, alpha):
    """Every start gains with every step; an α of its own leaves MAML's start little to gain over zeros."""
    part = assert_whole(getattr(adaptation, family)(np.random.default_rng(0), tasks=20, iterations=4))
    rows, own = rows_of(part.tables[0]), rows_of(part.tables[1])
    best = rows.pop("optimum")[0]
    assert len(rows) == 7 and all(np.all(np.diff(value) >= 0) and value[-1] < best for value in rows.values())
    zeros = "zeros (uniform logits)"
    assert rows[zeros][-1] > 0.85 * best and own[zeros][1] > 0.97 * best > rows[zeros][1]
    assert rows["Meta-LSTM"][0] < rows["Meta-LSTM"][-1] < rows[zeros][-1]
    longest = float(re.search(r"Its longest step on these tasks is ([\d.]+) gradients", part.sentences[-1])[1])
    assert 0 < longest < alpha and part.sentences[-1].endswith(f"each step of gradient descent is {alpha}.")
    (curves,) = part.curves
    at_common = {name: line[curves.x.index(float(alpha))] for name, line in curves.lines.items()}
    assert at_common == pytest.approx({name: rows[name][1] for name in at_common})
