"""`bias` as M grows: against complex steps of the limit, and against enumerated batches of many trajectories, in plain NumPy."""

import itertools
import json

import numpy as np
import pytest
from scipy.special import gammaln

import refmeta as rm
from refmeta.__main__ import main
from refmeta.commands.bias.blocks import blocks
from refmeta.commands.bias.estimators import ESTIMATORS
from refmeta.commands.bias.limits import limit_bias, limit_of
from refmeta.commands.bias.processes import PROCESSES, read_process
from refmeta.judges import complex_step
from refmeta.meta import sampled

BY_NAME = {e.name: e for e in ESTIMATORS}
SCORED = ("e-maml", "advantages-normalised", "normalised, ddof 1", "mean-over-time", "undiscounted-visits")
PLAIN = "tests.commands.plain_estimators:"
COMBINED = """
import numpy as np

def estimate(theta, states, actions, rewards, mask, gamma, alpha, query, state_count, action_count):
    pi = np.exp(theta.reshape(state_count, action_count))
    pi /= pi.sum(axis=1, keepdims=True)
    s, a, r = states[0], actions[0], rewards[0]
    powers = gamma ** np.arange(r.shape[1])
    to_go = np.cumsum((powers * r)[:, ::-1], axis=1)[:, ::-1] / powers
    score = np.eye(state_count)[s][..., None] * (np.eye(action_count)[a] - pi[s])[..., None, :]
    return query(theta + alpha * np.mean(np.sum(to_go[..., None, None] * score, axis=1), axis=0).ravel())[1]
"""


def enumerated(name):
    """Every trajectory of a named process with rewards of (s, a): states, actions, rewards (n, H) and the weights of the process."""
    x, paths = PROCESSES[name], []
    P, R, rho, H = (np.array(x[key], float) if key != "horizon" else x[key] for key in ("P", "R", "rho", "horizon"))
    for s in itertools.product(range(len(rho)), repeat=H):
        for a in itertools.product(range(R.shape[1]), repeat=H):
            weight = rho[s[0]] * np.prod([P[s[t], a[t], s[t + 1]] for t in range(H - 1)])
            if weight > 0:
                paths.append((s, a, [R[i, j] for i, j in zip(s, a, strict=True)], weight))
    return tuple(np.array(each) for each in zip(*paths, strict=True))


def log_policy(theta, s, a, shape):
    logits = np.reshape(theta, shape)
    return (logits - np.log(np.sum(np.exp(logits), axis=1, keepdims=True)))[s, a]


def scores(theta, s, a, shape):
    """∇ log π(a|s) of every step, (n, H, d); complex θ stays complex."""
    pi, out = np.exp(np.reshape(theta, shape)), np.zeros((*s.shape, *shape), complex)
    pi = pi / np.sum(pi, axis=1, keepdims=True)
    n, t = np.indices(s.shape)
    out[n, t, s] -= pi[s]
    out[n, t, s, a] += 1
    return out.reshape(*s.shape, -1)


def to_go(r, gamma):
    return np.stack([sum(gamma ** (k - t) * r[:, k] for k in range(t, r.shape[1])) for t in range(r.shape[1])], axis=1)


def inner_step(name, theta, alpha, p, at, world):
    """θ + α E ĝ: the trajectories have the probabilities p, the scores are taken at `at`."""
    s, a, r, _, gamma, shape = world
    G, H = to_go(r, gamma), r.shape[1]
    discount = np.ones(H) if name == "undiscounted-visits" else gamma ** np.arange(H)
    if "normalised" in name:
        mean = p @ np.mean(G, axis=1)
        G = (G - mean) / (np.sqrt(p @ np.mean((G - mean) ** 2, axis=1)) + 1e-8)
    w = discount * G / (H if name == "mean-over-time" else 1)
    return theta + alpha * np.einsum("n,nt,nti->i", p, w, scores(at, s, a, shape))


def world_of(process):
    task, theta = read_process(process)
    s, a, r, weight = enumerated(process)
    return task, theta, (s, a, r, weight, task.mdp.gamma, task.mdp.R.shape)


def probabilities(theta, world):
    s, a, _, weight, _, shape = world
    return weight * np.exp(np.sum(log_policy(theta, s, a, shape), axis=1))


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("name", SCORED)
def test_with_the_whole_score_term_the_limit_is_the_gradient_of_the_limit_of_the_objective(name, process, steps):
    """L(φ), φ after K steps in which trajectories and scores both move with θ: by a complex step."""
    task, theta, world = world_of(process)

    def objective(x):
        for _ in range(steps):
            x = inner_step(name, x, 0.75, probabilities(x, world), x, world)
        return task.at(x).loss

    got = limit_of(BY_NAME[name], task, theta, alpha=0.75, steps=steps)
    np.testing.assert_allclose(got, complex_step(objective, theta), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("process", PROCESSES)
def test_without_a_score_term_the_trajectories_are_held(process, steps):
    """Naive curvature: along the path of the exact steps the probabilities are numbers; the score term over M is nothing in the end."""
    task, theta, world = world_of(process)
    path = [theta]
    for _ in range(steps):
        path.append(inner_step("e-maml", path[-1], 0.75, probabilities(path[-1], world), path[-1], world).real)
    held = [probabilities(x, world) for x in path]

    def objective(x):
        for p in held[:steps]:
            x = inner_step("e-maml", x, 0.75, p, x, world)
        return task.at(x).loss

    expected = complex_step(objective, theta)
    for name in ("score-term-dropped", "score-term-mean"):
        np.testing.assert_allclose(limit_of(BY_NAME[name], task, theta, alpha=0.75, steps=steps), expected, rtol=1e-11, atol=1e-13)
    first = limit_of(BY_NAME["first-order"], task, theta, alpha=0.75, steps=steps)
    np.testing.assert_allclose(first, task.at(path[-1]).grad, rtol=1e-12)


@pytest.mark.parametrize("process", PROCESSES)
def test_what_has_no_bias_in_the_limit(process):
    """E-MAML, and every surrogate whose expected Hessian is right, for both objectives, which are one."""
    task, theta = read_process(process)
    exact = sampled.formulation_exact(theta, task, alpha=0.75, steps=2).gradient
    for name, e in BY_NAME.items():
        relative = limit_bias(e, task, theta, exact, alpha=0.75, steps=2).relative
        if name in ("e-maml", "dice", "loaded-dice, exact V", "tmaml, exact V") or process == "bandit" and name in (
            "lvc", "mean-over-time", "undiscounted-visits"
        ):  # fmt: skip
            assert relative < 1e-13, name
        else:
            assert relative > 1e-3, name


def mean_of_many(name, M, alpha=0.75):
    """The exact mean of an estimator on the bandit with M trajectories: every batch by its counts of the three arms."""
    task, theta, world = world_of("bandit")
    s, a, r, _, _, shape = world
    n1, n2 = (x.ravel() for x in np.meshgrid(np.arange(M + 1), np.arange(M + 1)))
    counts = np.stack([n1, n2, M - n1 - n2], axis=1)[n1 + n2 <= M]
    logs = gammaln(M + 1) - np.sum(gammaln(counts + 1), axis=1)
    p = np.exp(logs + counts @ np.log(probabilities(theta, world)))
    share, score = counts / M, scores(theta, s, a, shape)[:, 0].real
    w = np.broadcast_to(r[:, 0], share.shape)
    if "normalised" in name:
        mean = np.sum(share * w, axis=1, keepdims=True)
        variance = np.sum(share * (w - mean) ** 2, axis=1, keepdims=True) * (M / (M - 1) if name.endswith("1") else 1)
        w = (w - mean) / (np.sqrt(variance) + 1e-8)
    phi = theta + alpha * (share * w) @ score
    end, pi = task.at(phi), probabilities(theta, world)
    bend = -(np.diag(pi) - np.outer(pi, pi))  # of log π, the same for every arm
    through = end.grad + alpha * np.sum(share * w, axis=1)[:, None] * (end.grad @ bend)
    return p @ (through + end.loss[:, None] * (counts @ score))


@pytest.mark.parametrize("name", ["e-maml", "advantages-normalised", "normalised, ddof 1"])
def test_the_mean_over_many_trajectories_goes_to_the_limit_as_one_over_m(name):
    """M = 200, 400, 800: twice as many halve the distance; extrapolated by two of them it falls to a quarter: a rest of order M⁻²."""
    task, theta = read_process("bandit")
    (block,) = blocks(task, theta, steps=[1], episodes=[3], alphas=[0.75])
    own = next(row for row in block.rows if row.estimator.name == name)
    assert np.linalg.norm(mean_of_many(name, 3) - block.sampled) == pytest.approx(own.sampled.norm, rel=1e-9, abs=1e-13)
    limit = limit_of(BY_NAME[name], task, theta, alpha=0.75, steps=1)
    means = [mean_of_many(name, M) for M in (200, 400, 800)]
    gaps = [np.linalg.norm(mean - limit) for mean in means]
    rests = [np.linalg.norm(2 * more - few - limit) for few, more in itertools.pairwise(means)]
    assert gaps[2] > 1e-5 and np.log2(gaps[1] / gaps[2]) == pytest.approx(1, abs=0.1)
    assert np.log2(rests[0] / rests[1]) == pytest.approx(2, abs=0.1) and rests[1] < gaps[2] / 20


@pytest.mark.parametrize("name", SCORED)
def test_more_trajectories_come_nearer_to_the_limit_on_two_states_with_two_steps_in_time(name):
    task, theta = read_process("two-state")
    limit = limit_of(BY_NAME[name], task, theta, alpha=0.25, steps=1)
    e, means = BY_NAME[name], []
    for M in (2, 4):
        make, estimate = lambda x, b: e.make(task, x, b), lambda x, s: e.estimate(task, x, s, 0.25)
        means.append(sampled.moments(estimate, make, theta, task, alpha=0.25, episodes=M).mean)
    gaps = [np.linalg.norm(mean - limit) for mean in means]
    assert 1.6 < gaps[0] / gaps[1] < 3.5 and gaps[1] > 1e-5


def test_a_process_whose_returns_are_all_alike_has_no_spread():
    """Normalised weights are 0 then, and nothing is adapted."""
    import refmeta as rm
    from refmeta.tasks.exact_return import PolicyReturn

    task = PolicyReturn(rm.FiniteMDP(np.ones((1, 2, 1)), np.full((1, 2), 0.1), [1.0], 0.5, 1), rm.TabularSoftmax(1, 2))
    got = limit_of(BY_NAME["advantages-normalised"], task, np.array([0.3, -0.2]), alpha=0.75, steps=2)
    np.testing.assert_allclose(got, 0, atol=1e-7)


@pytest.mark.parametrize("case", ["one action", "no reward", "certain"])
def test_a_score_term_that_is_zero_on_every_trajectory_has_no_deviation(case):
    """Nor has it for any finite number of trajectories."""
    actions, R = (1, 2.0) if case == "one action" else (2, 0.0 if case == "no reward" else 3.0)
    P = np.full((2, actions, 2), 0.5)
    task = rm.PolicyReturn(rm.FiniteMDP(P, np.full((2, actions), R), [0.5, 0.5], 0.5, 2), rm.TabularSoftmax(2, actions))
    theta = np.tile([800.0, -800.0][:actions], 2) if case == "certain" else np.arange(2.0 * actions)
    for block in blocks(task, theta, steps=[1], episodes=[2, np.inf], alphas=[0.75]):
        assert [row.sampled.deviation for row in block.rows] == [0.0] * len(block.rows), block.episodes


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_a_score_term_whose_loss_tends_to_zero_has_no_infinite_deviation(alpha):
    """Rewards ±1 and an even policy: without a step L(φ) is 0 on every batch, and so is the deviation for any M; with one it is not."""
    task = rm.PolicyReturn(rm.FiniteMDP([[[1.0], [1.0]]], [[1.0, -1.0]], [1.0], 1.0, 1), rm.TabularSoftmax(1, 2))
    few, many = blocks(task, np.zeros(2), steps=[1], episodes=[3, np.inf], alphas=[alpha])
    before, after = ({row.estimator.name: row.exact.deviation for row in block.rows} for block in (few, many))
    assert (before["e-maml"] == 0) == (alpha == 0) and after["dice"] == 0
    assert np.isnan(after["e-maml"]) if alpha == 0 else np.isinf(after["e-maml"])


def settings(capsys, *options, target=()):
    assert main(["bias", *target, "--alpha", "0.75", "--format", "json", *options]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["norm"] == "Euclidean"
    return document["settings"]


def test_infinity_is_a_setting_of_the_command(capsys):
    """Without --episodes, too; its deviation is 0, or infinite, which is null."""
    finite, infinite = settings(capsys, "--episodes", "inf", "1", "--steps", "1")
    assert (finite["episodes"], infinite["episodes"]) == (1, "inf")
    rows = {row["estimator"]: row["exact"] for row in infinite["estimators"]}
    assert list(rows) == list(BY_NAME) and rows["dice"]["deviation"] == 0 and rows["e-maml"]["deviation"] is None
    assert infinite["gradient"]["exact"] == infinite["gradient"]["sampled"] == finite["gradient"]["exact"]
    assert main(["bias", "--mdp", "bandit", "--steps", "1", "--alpha", "0.5"]) == 0
    text = capsys.readouterr().out
    assert text.count("M → ∞, α = 0.5;") == 1 and "All norms are Euclidean" in " ".join(text.split())
    row = next(line for line in text.split("M → ∞, α")[1].splitlines() if line.startswith("dice "))
    assert row.split() == ["dice", "0", "0.0", "1.00000", "0", "0.0", "1.00000", "0"]


def test_an_infinite_number_that_is_not_inf_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["bias", "--episodes", "-inf"])
    capsys.readouterr()


def test_a_function_that_is_named_has_the_limit_of_its_name(capsys):
    """Of two names with one limit, too; where the limits differ, or there is no name, a sentence says so."""
    for name, row in (("mean_over_time", "mean-over-time"), ("tmaml_exact_v", "dice")):
        *_, infinite = settings(capsys, "--episodes", "2", "inf", "--steps", "1", target=[PLAIN + name])
        rows = {each["estimator"]: each["exact"] for each in infinite["estimators"]}
        assert rows["yours"]["relative"] == pytest.approx(rows[row]["relative"], abs=1e-13) and "note" not in infinite
    *_, infinite = settings(capsys, "--episodes", "1", "inf", "--steps", "1", target=[PLAIN + "e_maml"])
    assert infinite["note"].startswith("yours is e-maml and score-term-mean on the batches above, and their limits differ")
    assert main(["bias", PLAIN + "nine_tenths", "--alpha", "0.75", "--episodes", "2", "inf", "--steps", "1"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "yours is no estimator that is known here at every M above, so that its limit is not computed" in said


def test_a_combination_that_is_named_but_has_no_row_has_no_limit_and_is_not_called_unknown(capsys, tmp_path, monkeypatch):
    """First order, and without γᵗ in the inner step: the last sentence of the report names it, too."""
    (tmp_path / "combined.py").write_text(COMBINED, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["bias", "combined:estimate", "--alpha", "0.75", "--episodes", "2", "inf", "--steps", "1"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "yours is first-order, undiscounted visits, which has no row in this table, so that its limit is not computed" in said
    assert "At every setting above, yours is: first-order, undiscounted visits." in said and "no estimator" not in said


def test_a_function_that_is_never_called_is_not_judged(capsys):
    """As where too many tuples are asked for."""
    assert main(["bias", PLAIN + "e_maml", "--alpha", "0.75", "--episodes", "inf", "--steps", "1"]) == 5
    said = " ".join(capsys.readouterr().out.split())
    assert "yours was called at no M above, so that its limit is not computed; give --episodes that can be enumerated, too" in said
    assert "no estimator of this table" not in said
