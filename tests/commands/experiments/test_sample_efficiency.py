"""`experiment sample-efficiency`: what its tables say, measured on small trainings."""

import numpy as np
import pytest

import refmeta
from refmeta.commands.experiments import sample_efficiency
from refmeta.commands.experiments.bayes_rows import ALONE, WHOLE, bayes_rows
from refmeta.commands.experiments.held_out import goal_tasks
from refmeta.commands.experiments.record import AT_END
from tests.commands.experiments.conftest import assert_whole


@pytest.mark.parametrize(
    ("part", "sizes", "bayes"),
    [
        ("gridworlds", {"family": refmeta.GoalGridworlds(size=4), "horizon": 30}, True),
        ("random_mdps", {"family": refmeta.RandomMDPs(4, 3, 8)}, False),
    ],
)
def test_a_few_episodes_pay_below_the_optimum(part, sizes, bayes):
    """A short training: what was met pays, and the belief narrows.  In PEARL another task's context does not pay; this is not
    asked of gridworlds, where hardly anything that PEARL has learned is of use for goals that were held out.
    """
    part = assert_whole(getattr(sample_efficiency, part)(np.random.default_rng(0), tasks=80, iterations=3, **sizes))
    rows = {name: np.array(row) for name, row in part.tables[0].rows.items()}
    best = rows.pop("optimum, task known")[0]
    entropies = [rows.pop(name) for name in list(rows) if name.startswith("entropy")]
    assert len(entropies) == 1 + bayes and all(np.all(np.diff(entropy) < 0) for entropy in entropies)
    assert all(len(row) == 6 and np.all(row < best) for row in rows.values())
    gain = {name: row[-1] - row[0] for name, row in rows.items()}
    misled = rows["PEARL, another task's context"]
    assert bayes or rows["PEARL"][-1] - misled[-1] > 0.05 * best and gain["PEARL"] > 0.05 * best
    assert all(gain[name] > 0.3 * best for name in gain if name.startswith("learned model"))
    assert [gain[f"REINFORCE, {name}"] > 0 for name in ("zeros", "joint training", "exact MAML", "Reptile")] == [True] * 4
    assert ("exact Bayes, Thompson sampling" in rows) == bayes
    own = part.tables[1].rows
    assert list(own) == ["zeros", "joint training", "Reptile", "exact MAML", "E-MAML", "LVC"]
    assert all(row[2] < best for row in own.values()) and all(f"REINFORCE, {name}" in rows for name in own)
    assert f"exact MAML {own['exact MAML'][2]:.3f}." in " ".join(part.sentences) and AT_END in part.tables[1].unit


def check_below(name, returns, whole, alone):
    """The sum of the episodes, and each episode alone, are at most the optimum and four standard errors of their mean.

    Every goal occurs equally often, in turn, so that the error of a mean is that within the goals.  returns (E + 1, N).
    """
    for values, most in ((sample_efficiency.sum_earned(name, returns), whole), *zip(returns, alone, strict=True)):
        within = np.mean(np.var(values.reshape(-1, 8), axis=0, ddof=1))
        assert np.mean(values) <= most + 4 * np.sqrt(within / len(values)) + 1e-12, name


def test_nobody_earns_more_than_the_bayes_adaptive_optimum_and_who_is_told_the_goal_does(monkeypatch):
    """In the long run; here four standard errors are allowed, as they are measured."""
    found, compute = [], sample_efficiency.small_returns
    monkeypatch.setattr(sample_efficiency, "small_returns", lambda *a, **k: found.append(compute(*a, **k)) or found[0])
    part = assert_whole(sample_efficiency.small_gridworlds(np.random.default_rng(1), repeats=30, iterations=2))
    rows = {name: np.array(row) for name, row in part.tables[0].rows.items()}
    whole, alone, known = (rows.pop(name) for name in (WHOLE, ALONE, "optimum, task known"))
    assert set(rows) == set(found[0].learners)
    for name, returns in found[0].learners.items():
        check_below(name, returns, whole[-1], alone[:6])
    grids = goal_tasks(sample_efficiency.SMALL).mdp
    told = np.broadcast_to(np.tile(refmeta.optimal_values(grids).best_return, 30), (6, 240))
    for impossible in (told, 0.97 * told):
        with pytest.raises(AssertionError, match="told"):
            check_below("told", impossible, whole[-1], np.ones(6))
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
