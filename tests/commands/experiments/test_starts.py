"""Training of starts for the experiments, and step sizes of their own."""

import numpy as np
import pytest

import refmeta
from refmeta.commands.experiments.starts import best_alpha, mean_loss, name_in, trained_starts
from refmeta.tasks.distributions import Split


def test_training_that_diverges_is_reported_and_an_interrupt_ends_it():
    class Interrupted(refmeta.Sinusoids):
        def sample(self, n, rng=None):
            raise KeyboardInterrupt

    family, rules = refmeta.Navigation(), {"far too large": refmeta.MAML(1.0, steps=5)}
    starts = trained_starts(family, family.start(0), rules, np.random.default_rng(0), iterations=3)
    assert list(starts) == ["far too large (diverged in iteration 1)"]
    np.testing.assert_array_equal(starts["far too large (diverged in iteration 1)"], family.start(0))
    with pytest.raises(KeyboardInterrupt):
        trained_starts(Interrupted(), np.zeros(3), {"any": refmeta.MAML(0.1)}, np.random.default_rng(0))


def test_every_rule_sees_the_same_tasks_whatever_the_others_are():
    family, zeros, joint, maml = refmeta.Sinusoids(), np.zeros(3), refmeta.MAML(0.1, steps=0), refmeta.MAML(0.1)
    both = trained_starts(family, zeros, {"joint": joint, "MAML": maml}, np.random.default_rng(0), iterations=3)
    alone = trained_starts(family, zeros, {"MAML": maml}, np.random.default_rng(0), iterations=3)
    np.testing.assert_array_equal(both["MAML"], alone["MAML"])
    assert np.any(both["joint"] != both["MAML"])


def test_a_name_is_found_with_or_without_the_remark_that_it_diverged():
    names = ["MAML, 3 steps", "MAML (diverged in iteration 2)", "joint"]
    assert name_in(names, "MAML") == names[1] and name_in(names, "joint") == "joint"


def test_the_best_alpha_solves_a_quadratic_in_one_step_and_a_loss_that_overflows_is_infinite():
    """L = 2θ² from θ = 3: φ = (1 − 4α)3, which is 0 at α = 1/4."""
    task = Split(refmeta.Quadratic([[[4.0]]], [[0.0]]))
    assert best_alpha(np.array([3.0]), task, [1.0, 0.25, 0.125], steps=1) == 0.25
    assert mean_loss(np.array([3.0]), task, alpha=0.125, steps=1) == pytest.approx(4.5)
    assert mean_loss(np.array([3.0]), task, alpha=1e200, steps=3) == np.inf
