"""`experiment sample-efficiency`: what its tables say, measured on small trainings."""

import numpy as np
import pytest

import refmeta
from refmeta.commands.experiments import sample_efficiency
from refmeta.commands.experiments.bayes_rows import ALONE, WHOLE, bayes_rows, goal_tasks
from tests.commands.experiments.conftest import assert_whole


@pytest.mark.parametrize(
    ("part", "sizes", "bayes"),
    [
        ("gridworlds", {"family": refmeta.GoalGridworlds(size=4), "horizon": 30}, True),
        ("random_mdps", {"family": refmeta.RandomMDPs(4, 3, 8)}, False),
    ],
)
def test_a_few_episodes_pay_below_the_optimum(part, sizes, bayes):
    """A short training: what was met pays, what another task's context says does not, and the belief narrows."""
    part = assert_whole(getattr(sample_efficiency, part)(np.random.default_rng(0), tasks=80, iterations=3, **sizes))
    rows = {name: np.array(row) for name, row in part.tables[0].rows.items()}
    best = rows.pop("optimum, task known")[0]
    entropies = [rows.pop(name) for name in list(rows) if name.startswith("entropy")]
    assert len(entropies) == 1 + bayes and all(np.all(np.diff(entropy) < 0) for entropy in entropies)
    assert all(len(row) == 6 and np.all(row < best) for row in rows.values())
    gain = {name: row[-1] - row[0] for name, row in rows.items()}
    misled = rows["PEARL, another task's context"]
    assert rows["PEARL"][-1] - misled[-1] > 0.05 * best and gain["PEARL"] > 0.05 * best
    assert all(gain[name] > 0.3 * best for name in gain if name.startswith("learned model"))
    assert [gain[f"REINFORCE, {name}"] > 0 for name in ("zeros", "joint training", "MAML", "Reptile")] == [True] * 4
    assert ("exact Bayes, Thompson sampling" in rows) == bayes
    own = part.tables[1].rows
    assert list(own) == ["zeros", "joint training", "Reptile", "MAML"] and all(row[2] < best for row in own.values())
    assert f"MAML {own['MAML'][2]:.3f}." in " ".join(part.sentences)


def test_nobody_earns_more_than_the_bayes_adaptive_optimum():
    """In the long run; here with four standard errors of a mean of N returns in [0, 1] to spare."""
    repeats = 30
    part = assert_whole(sample_efficiency.small_gridworlds(np.random.default_rng(1), repeats=repeats, iterations=2))
    rows = {name: np.array(row) for name, row in part.tables[0].rows.items()}
    whole, alone, known = (rows.pop(name) for name in (WHOLE, ALONE, "optimum, task known"))
    spare = 2 / np.sqrt(8 * repeats)
    assert all(row[-1] <= whole[-1] + 6 * spare and np.all(row[:6] <= alone[:6] + spare) for row in rows.values())
    assert np.all(whole[:6] <= alone[:6] + 1e-12) and np.all(alone[:6] <= known[:6] + 1e-12) and whole[-1] < known[-1]
    assert np.isnan(alone[-1]) and alone[0] > whole[0] + 1e-4, "exploring for later episodes costs a little in the first"
    named = next(name for name in rows if f"Of the learners, {name} earns most" in " ".join(part.sentences))
    assert rows[named][-1] == max(row[-1] for row in rows.values())


def test_with_one_goal_the_optimum_is_that_of_the_known_task():
    family = refmeta.GoalGridworlds(size=2, slip=0.0, horizon=3)
    grids = goal_tasks(family).mdp
    one = refmeta.FiniteMDP(grids.P[:1], grids.R[:1], grids.rho, grids.gamma, grids.horizon)
    rows = bayes_rows(one, episodes=2)
    assert rows[WHOLE] == pytest.approx([1, 1, 2]) and rows[ALONE][:2] == pytest.approx([1, 1])
