"""PEARL: inference, discrete soft actor-critic and the encoder's gradient; posterior sampling, exact Bayes, training."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refmeta as rm
from refmeta.evidence.pearl import A, N, S, Z, processes, training_step, transitions
from refmeta.judges import complex_step
from refmeta.meta import model_based, pearl, posterior_sampling
from refmeta.meta.pearl.agent import ravel, unravel
from refmeta.meta.pearl.encoder import (
    Context,
    Encoder,
    Gaussian,
    context_of,
    factors,
    kl,
    posterior,
    posterior_without_prior,
    sample,
)
from refmeta.meta.pearl.soft_actor_critic import polyak_average, soft_target
from refmeta.meta.task_posterior import entropy, log_likelihood, optimal_plans, task_posterior, thompson_sampling
from refmeta.sampling.transitions import (
    Transitions,
    concatenation,
    empty_transitions,
    newest_transitions,
    sample_experience,
    sample_prefix,
)
from refmeta.sampling.transitions import sample_transitions as drawn_of
from tests.strategies import assert_right, costly, counts, seeds, sizes, widths

EPS = np.finfo(float).eps
infers = st.sampled_from((posterior, posterior_without_prior))


@pytest.mark.eq("gaussian-product", "gaussian-product-prior")
def test_two_factors_by_hand():
    """N(3, 1) and N(0, 1/2): precision 3 and mean 1; with N(0, 1) precision 4 and mean 3/4."""
    each = Gaussian(np.array([[3.0], [0.0]]), np.log([[1.0], [0.5]]))
    without, having = posterior_without_prior(each), posterior(each)
    np.testing.assert_allclose([without.mean[0], without.variance[0]], [1, 1 / 3], rtol=4 * EPS)
    np.testing.assert_allclose([having.mean[0], having.variance[0]], [3 / 4, 1 / 4], rtol=4 * EPS)


@st.composite
def training_steps(draw):
    """A training step of any sizes, the first transition of every task there."""
    numbers = {"tasks": draw(counts), "states": draw(widths), "actions": draw(widths), "latent": draw(counts)}
    return training_step(draw(seeds), draw(infers), context=draw(widths), batch=draw(sizes), **numbers)


@pytest.mark.eq("gaussian-product", "gaussian-product-prior", "reparametrised-sample")
@given(step=training_steps())
def test_the_belief_adds_natural_parameters_and_a_sample_of_it_is_reparametrised(step):
    for label, infer in (("gaussian-product", posterior_without_prior), ("gaussian-product-prior", posterior)):
        assert_right(label, step._replace(settings=step.settings._replace(infer=infer)))
    assert_right("reparametrised-sample", step)


@pytest.mark.eq("gaussian-kl")
@given(rng=seeds, tasks=counts, latent=widths)
def test_the_divergence_is_the_mean_of_a_log_ratio(rng, tasks, latent):
    assert_right("gaussian-kl", Gaussian(*rng.normal(size=(2, tasks, latent))))


@pytest.mark.eq("gaussian-product", "gaussian-product-prior")
@given(rng=seeds, infer=infers)
def test_the_product_does_not_mind_the_order(rng, infer):
    each, order = Gaussian(*rng.normal(size=(2, N, 4, Z))), rng.permutation(4)
    got, moved = (np.concatenate(infer(Gaussian(*(x[:, i] for x in each))), axis=-1) for i in (slice(None), order))
    assert np.max(np.abs(moved - got)) <= 10 * EPS * max(1.0, np.max(np.abs(each)))


@pytest.mark.eq("gaussian-product", "gaussian-product-prior")
def test_an_empty_context_is_the_prior_or_refused_and_a_mask_is_as_good_as_leaving_out():
    each, mask = (
        Gaussian(*np.random.default_rng(0).normal(size=(2, 2, 3, Z))),
        np.array([[True, False, True], [False] * 3]),
    )
    got = posterior(each, mask)
    np.testing.assert_array_equal(np.concatenate([got.mean[1], got.log_variance[1]]), np.zeros(2 * Z))
    left = posterior(Gaussian(*(x[:1, [0, 2]] for x in each)))
    np.testing.assert_allclose(got.mean[0], left.mean[0], rtol=4 * EPS)
    with pytest.raises(ValueError, match=r"the context of task \[1\] is empty: without a prior factor"):
        posterior_without_prior(each, mask)
    nothing = Gaussian(*np.zeros((2, 0, Z)))
    np.testing.assert_array_equal(posterior(nothing).mean, np.zeros(Z))
    with pytest.raises(ValueError, match=r"the context of task \(\) is empty"):
        posterior_without_prior(nothing)


@pytest.mark.parametrize(("log_variance", "how"), [(-800.0, "underflows"), (800.0, "overflows")])
def test_variances_that_leave_the_floats_are_named(log_variance, how):
    each = Gaussian(np.zeros((1, Z)), np.full((1, Z), log_variance))
    with pytest.raises(FloatingPointError, match=rf"the variance of the posterior {how}: log_variance\[0\] is -?800"):
        posterior_without_prior(each)
    with pytest.raises(FloatingPointError, match=how):
        sample(Gaussian(*(x[0] for x in each)), np.zeros(Z))


@pytest.mark.eq("gaussian-kl", "reparametrised-sample")
def test_divergence_and_sample_by_hand():
    q = Gaussian(np.array([1.0, 0.0]), np.log([4.0, 1.0]))
    assert kl(q) == pytest.approx((4 + 1 - 1 - np.log(4)) / 2, rel=4 * EPS)
    np.testing.assert_allclose(sample(q, [0.5, -2.0]), [2, -2], rtol=4 * EPS)
    assert kl(Gaussian(np.zeros(3), np.zeros(3))) == 0
    np.testing.assert_allclose(q.entropy, np.log(2 * np.pi * np.e) + np.log(2), rtol=1e-15)


@pytest.mark.eq("thm:exact-posterior")
@given(rng=seeds, n=sizes)
def test_hand_set_weights_are_exact_bayes(rng, n):
    assert_right("thm:exact-posterior", (rng.normal(size=A) + 2, rng.uniform(0.5, 2), transitions(rng, n)))


@pytest.mark.eq("soft-critic-loss", "soft-actor-loss", "temperature-loss")
@given(step=training_steps())
def test_losses_and_their_gradients_are_those_of_the_definition(step):
    for label in ("soft-critic-loss", "soft-actor-loss", "temperature-loss"):
        assert_right(label, step)


@pytest.mark.eq("encoder-gradient")
@costly
@given(step=training_steps())
def test_the_encoders_loss_and_gradient_are_those_of_the_definition(step):
    assert_right("encoder-gradient", step)


def test_without_latent_variables_it_is_plain_discrete_soft_actor_critic():
    step, z = training_step(np.random.default_rng(0)), np.zeros((N, 0))
    w, y = step.agent.critic[..., :1], np.zeros((N, 5))
    got = pearl.critic_gradient(w, z, step.batch, y)
    expected = complex_step(lambda x: pearl.critic_loss(x.reshape(S, A, 1), z, step.batch, y), w.ravel())
    np.testing.assert_allclose(got.critic.reshape(N, -1), expected, rtol=0, atol=1e-14)
    assert got.critic.shape == (N, S, A, 1) and got.z.shape == (N, 0)


def test_a_training_steps_gradient_is_made_of_the_four():
    step, settings = training_step(np.random.default_rng(1)), pearl.Settings(0.8, 0.3, 0.4)
    agent, context = step.agent._replace(log_temperature=-0.5), context_of(step.context, S, A)
    got = pearl.gradient(agent, context, step.batch, step.noise, settings)
    z = sample(posterior(factors(agent.encoder, context.features), context.mask), step.noise)
    y = soft_target(step.batch, z, agent.target_critic, agent.policy, log_temperature=-0.5, gamma=0.8)
    np.testing.assert_array_equal(got.critic, pearl.critic_gradient(agent.critic, z, step.batch, y).critic)
    rest = (step.batch, agent.critic)
    np.testing.assert_array_equal(got.policy, pearl.actor_gradient(agent.policy, z, *rest, log_temperature=-0.5))
    more = {"noise": step.noise, "critic": agent.critic, "target": y, "beta": 0.3}
    encoder = pearl.encoder_gradient(agent.encoder, context, step.batch, **more)
    np.testing.assert_array_equal(got.encoder.mean, encoder.mean)
    np.testing.assert_array_equal(got.encoder.log_variance, encoder.log_variance)
    expected = pearl.temperature_gradient(-0.5, agent.policy, z, step.batch, target_entropy=0.4)
    np.testing.assert_array_equal(got.log_temperature, expected)
    assert got.log_temperature.shape == (N,) and got.encoder.mean.shape == (N, Z, 1 + 2 * S * A + 2 * S)
    flat = ravel(got)
    np.testing.assert_allclose(flat[-1], np.sum(got.log_temperature), rtol=1e-14)
    back = unravel(agent, ravel(agent))
    np.testing.assert_array_equal(back.policy, agent.policy)
    np.testing.assert_array_equal(back.encoder.log_variance, agent.encoder.log_variance)
    np.testing.assert_allclose(polyak_average(np.ones(2), np.zeros(2), 0.25), [0.75, 0.75])


@pytest.mark.eq("posterior-sampling")
@given(rng=seeds)
def test_posterior_sampling_believes_what_the_episodes_before_say(rng):
    assert_right("posterior-sampling", (processes(rng), rng.normal(size=(N, S * A)), int(rng.integers(2**31))))


def test_adaptation_acts_from_the_prior_and_then_from_the_posterior():
    family = rm.GoalGridworlds(size=3)
    agent, task = pearl.init(9, 4, latent=2, scale=1.0, rng=0), family.sample(5, 1).support
    for infer in (posterior, posterior_without_prior):
        got = pearl.adapt(agent, task, episodes=3, horizon=6, infer=infer, rng=0)
        np.testing.assert_array_equal(got.beliefs[0].mean, np.zeros((5, 2)))
        np.testing.assert_array_equal(got.beliefs[0].log_variance, np.zeros((5, 2)))
        seen = context_of(Transitions(*(x[:, :12] for x in got.context)), 9, 4)
        again = infer(factors(agent.encoder, seen.features), seen.mask)
        np.testing.assert_allclose(got.beliefs[2].mean, again.mean, rtol=1e-12)
        np.testing.assert_allclose(got.returns, -task.at(got.theta).loss, rtol=1e-15)
        assert got.returns.shape == (4, 5) and got.context.mask.shape == (5, 18)


@pytest.mark.eq("task-posterior")
def test_exact_bayes_by_hand_and_what_no_task_can_have_produced():
    """Two coins: P(s' = 1) is 1/4 and 3/4; after 1, 1, 0 they are as 3/64 to 9/64."""
    P = np.array([[[[3 / 4, 1 / 4]]], [[[1 / 4, 3 / 4]]]]) * np.ones((2, 2, 1, 2))
    tasks = rm.FiniteMDP(P, np.zeros((2, 1)), [1.0, 0.0], 0.5)
    seen = Transitions([0, 1, 1], [0, 0, 0], np.zeros(3), [1, 1, 0], [False] * 3, [True] * 3)
    np.testing.assert_allclose(task_posterior(tasks, seen), [1 / 4, 3 / 4], rtol=1e-14)
    np.testing.assert_allclose(task_posterior(tasks, seen, [3 / 4, 1 / 4]), [1 / 2, 1 / 2], rtol=1e-14)
    np.testing.assert_array_equal(task_posterior(tasks, empty_transitions()), [1 / 2, 1 / 2])
    with pytest.raises(ValueError, match=r"no task can have produced the context of task \(\)"):
        task_posterior(tasks, seen._replace(rewards=np.ones(3)))
    with pytest.raises(ValueError, match=r"prior must be 2 probabilities, got shape \(3,\)"):
        task_posterior(tasks, seen, [0.5, 0.25, 0.25])
    assert entropy(np.array([[0.5, 0.5], [1.0, 0.0]])) == pytest.approx([np.log(2), 0])


@pytest.mark.eq("task-posterior")
@given(rng=seeds, episodes=counts, horizon=sizes)
def test_exact_bayes_is_bayes_rule_step_by_step(rng, episodes, horizon):
    tasks, policy = processes(rng), rm.TabularSoftmax(S, A)
    context = sample_experience(tasks, policy, rng.normal(size=S * A), episodes=episodes, horizon=horizon, rng=rng)
    assert_right("task-posterior", (tasks, rng.dirichlet(np.ones(N)), context))


def test_thompson_sampling_finds_the_goal():
    family = rm.GoalGridworlds(size=3)
    every = family.tasks(np.arange(1, 9))
    got = thompson_sampling(every, every.mdp, optimal_plans(every.mdp), episodes=8, horizon=20, rng=0)
    best = rm.optimal_values(every.mdp).best_return
    assert np.all(got.returns <= best * (1 + 1e-12)) and np.mean(got.returns[-1]) > 0.95 * np.mean(best)
    assert np.mean(got.returns[0]) < 0.6 * np.mean(best)
    entropies = [np.mean(entropy(b)) for b in got.beliefs]
    assert entropies[0] == pytest.approx(np.log(8)) and entropies[-1] < 0.3
    with pytest.raises(ValueError, match="their optimal policy depends on time"):
        optimal_plans(rm.RandomMDPs().sample(2, 0).support.mdp)


@pytest.mark.eq("task-posterior")
def test_exact_bayes_weighs_noisy_rewards_by_their_density():
    """Means 0 and 2, σ = 2, a reward of 3: the densities are as exp(−9/8) to exp(−1/8), 1 to e."""
    P, R = np.ones((2, 1, 1, 1)), np.array([[[0.0]], [[2.0]]])
    tasks, one = rm.FiniteMDP(P, R, [[1.0]], 0.5), Transitions([0], [0], [3.0], [0], [False], [True])
    got = task_posterior(tasks, one, reward_noise=2.0)
    np.testing.assert_allclose(got, [1 / (1 + np.e), np.e / (1 + np.e)], rtol=1e-14)
    with pytest.raises(ValueError, match="no task can have"):
        task_posterior(tasks, one)
    with pytest.raises(ValueError, match="reward_noise must be at least 0"):
        task_posterior(tasks, one, reward_noise=-1.0)


@pytest.mark.parametrize("way", ["thompson", "adapt", "train", "model"])
def test_whatever_acts_in_a_task_meets_noisy_rewards(way, monkeypatch):
    """Rewards have the deviation asked for about their means; training asks for that of the family."""
    family, contexts = rm.RandomMDPs(3, 2, 4, reward_noise=0.5), []
    task, more = family.sample(40, np.random.default_rng(3)).support, {"episodes": 5, "rng": np.random.default_rng(0)}
    agent = pearl.init(3, 2, latent=1, rng=0)
    whole = posterior_sampling.sample_experience
    for module in (posterior_sampling, model_based):
        monkeypatch.setattr(module, "sample_experience", lambda *a, **k: contexts.append(whole(*a, **k)) or contexts[-1])
    if way == "thompson":
        plans = np.random.default_rng(0).normal(size=(40, 6))
        thompson_sampling(task, task.mdp, plans, reward_noise=0.5, **more)
    elif way == "adapt":
        pearl.adapt(agent, task, reward_noise=0.5, **more)
    elif way == "train":
        more |= {"outer": rm.SGD(0.0), "iterations": 1, "tasks": 40, "updates": 0, "rng": np.random.default_rng(3)}
        pearl.train(family, agent, settings=pearl.Settings(0.9, 0.1, 0.5), **more)
    else:
        model_based.ModelledTasks(family, model_based.Prior(1.0, 1.0, 1.0, 0.25)).sample(40, np.random.default_rng(3))
    error = np.concatenate([
        c.rewards - task.mdp.R[np.arange(40)[:, None], c.states, c.actions] for c in contexts
    ], axis=1)  # fmt: skip
    np.testing.assert_allclose(error.std(), 0.5, rtol=4 / np.sqrt(2 * 800))
    assert error.shape == (40, 20)


def small(**changes):
    family = rm.GoalGridworlds(size=2)
    more = {"settings": pearl.Settings(0.9, 1e-3, 0.5), "outer": rm.Adam(0.02), "iterations": 2, "tasks": 6, "episodes": 2,
            "horizon": 5, "updates": 3, "batch": 3, "transitions": 8, "context": 5, "rng": 0}  # fmt: skip
    return pearl.train(family, pearl.init(4, 4, latent=2, rng=0), **more | changes)


def test_training_is_repeatable_can_be_watched_and_stopped(capsys):
    seen = []
    first, second = small(callback=seen.append), small()
    np.testing.assert_array_equal(first.agent.policy, second.agent.policy)
    assert [i.done for i in seen] == [1, 2] and seen[0].returns.shape == (3, 6) and not first.interrupted
    assert first.iterations == 2 and np.any(first.agent.target_critic != first.agent.critic)

    def stop(iteration):
        raise (KeyboardInterrupt if iteration.done == 1 else AssertionError)

    got = small(callback=stop)
    assert got.interrupted and got.iterations == 1
    assert "pearl.train: interrupted after 1 of 2 iterations" in capsys.readouterr().err
    np.testing.assert_array_equal(got.agent.policy, seen[0].agent.policy)


def test_training_learns_to_use_its_context():
    """Four cells, goals in three: after two episodes better than before, and better than with another task's context."""
    family = rm.GoalGridworlds(size=2, slip=0.0, gamma=0.8)
    agent = pearl.train(
        family, pearl.init(4, 4, latent=3, rng=1), settings=pearl.Settings(0.8, 1e-4, 0.3), outer=rm.Adam(0.02),
        iterations=12, tasks=24, episodes=3, horizon=6, updates=60, batch=8, transitions=32, context=16, rng=1,
    ).agent  # fmt: skip
    task, other = family.sample(60, 2).support, np.roll(np.arange(60), 1)
    right = pearl.adapt(agent, task, episodes=3, horizon=6, rng=3).returns.mean(1)
    crossed = lambda f, mask: Gaussian(*(x[other] for x in posterior(f, mask)))
    wrong = pearl.adapt(agent, task, episodes=3, horizon=6, rng=3, infer=crossed).returns.mean(1)
    assert right[-1] > right[0] + 0.1 and right[-1] > wrong[-1] + 0.1


def test_transitions_have_their_last_next_state_and_their_ends():
    family = rm.GoalGridworlds(size=3, slip=0.0)
    task = family.tasks([1, 8])
    got = sample_experience(task.mdp, task.policy, np.zeros(36), episodes=50, horizon=7, rng=0)
    goal = np.array([[1], [8]])
    np.testing.assert_array_equal(got.terminal, (got.following == goal) & got.mask)
    P = task.mdp.P[np.arange(2)[:, None], got.states, got.actions, got.following]
    assert np.all(P[got.mask] > 0) and np.array_equal(got.rewards[got.mask] == 1, got.terminal[got.mask])
    trajectories = rm.rollout(task.mdp, task.policy, np.zeros(36), episodes=50, horizon=7, rng=0)
    np.testing.assert_array_equal(got.states.reshape(2, 50, 7), trajectories.states)
    np.testing.assert_array_equal(got.rewards.reshape(2, 50, 7), trajectories.rewards)


def test_a_buffer_keeps_the_newest_and_a_context_any_number():
    def of(rewards, mask):
        zero = np.zeros(np.shape(rewards), int)
        return Transitions(zero, zero, np.array(rewards, float), zero, zero.astype(bool), np.array(mask))

    buffer = concatenation(of([[1, 2, 3]], [[True, True, False]]), of([[4, 5]], [[False, True]]))
    kept = newest_transitions(buffer, 2)
    assert kept.rewards[kept.mask].tolist() == [2, 5]
    assert newest_transitions(buffer, 9).mask.sum() == 3
    sizes = {
        int(sample_prefix(of(np.ones((1, 3)), np.ones((1, 3), bool)), np.random.default_rng(k)).mask.sum()) for k in range(40)
    }
    assert sizes == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda g: factors(g.agent.encoder, np.zeros((N, 4, 7))), ValueError, r"features has shape \(3, 4, 7\), expected last axis 19"),
        (lambda g: factors(Encoder(np.zeros((2, 3)), np.zeros((2, 4))), np.zeros((1, 3))), ValueError, "expected .* twice"),
        (lambda g: posterior(Gaussian(np.zeros((2, Z)), np.zeros((3, Z)))), ValueError, "factors have shapes"),
        (lambda g: posterior(Gaussian(np.zeros((2, Z)), np.zeros((2, Z))), np.ones(3, bool)), ValueError, "mask has shape"),
        (lambda g: posterior(Gaussian(np.full((2, Z), np.nan), np.zeros((2, Z)))), ValueError, "factors.mean.* is nan"),
        (lambda g: sample(Gaussian(np.zeros(2), np.zeros(2)), np.zeros(3)), ValueError, "noise has shape"),
        (lambda g: pearl.critic_loss(g.agent.critic, np.zeros((N, 5)), g.batch, np.zeros((N, 5))), ValueError, "critic has shape"),
        (lambda g: pearl.critic_loss(g.agent.critic, g.noise, g.batch, np.zeros((N, 2))), ValueError, "target has shape"),
        (lambda g: pearl.critic_loss(g.agent.critic, g.noise, (1, 2), np.zeros((N, 5))), TypeError, "batch must be Transitions"),
        (lambda g: pearl.critic_loss(g.agent.critic, g.noise, g.batch._replace(mask=np.zeros((N, 5), bool)), np.zeros((N, 5))),
         ValueError, r"task \[0\] of the batch has no transition"),
        (lambda g: context_of(g.batch._replace(states=np.full((N, 5), S)), S, A), ValueError, r"states\[0, 0\] is 3"),
        (lambda g: context_of(g.batch._replace(rewards=np.zeros((N, 4))), S, A), ValueError, "rewards has shape"),
        (lambda g: pearl.actor_loss(np.zeros((2, 2, 3)), g.noise, g.batch, g.agent.critic, log_temperature=0.0), ValueError, r"states\[0, .*expected 0 <= it < 2"),
        (lambda g: pearl.adapt(pearl.init(2, 2), 3, episodes=1), TypeError, "task must be a PolicyReturn, got int"),
        (lambda g: pearl.adapt((1, 2), None, episodes=1), TypeError, "agent must be a pearl.Agent"),
        (lambda g: pearl.adapt(pearl.init(4, 4), rm.GoalGridworlds().sample(2, 0).support, episodes=1, horizon=3), ValueError,
         r"agent has \(states, actions\) = \(4, 4\), expected \(25, 4\) as the task"),
        (lambda g: pearl.init(2, 2, temperature=0.0), ValueError, "temperature must be positive, got 0.0"),
        (lambda g: soft_target(g.batch, g.noise, g.agent.critic, g.agent.policy, log_temperature=0.0, gamma=1.5), ValueError, "gamma must satisfy"),
        (lambda g: task_posterior(3, empty_transitions()), TypeError, "tasks must be a FiniteMDP of N tasks, got int"),
        (lambda g: small(outer=rm.Adam), TypeError, r"outer must be an object with step\(...\)"),
        (lambda g: small(batch=7), ValueError, "batch must be at most the number of tasks, 6, got 7"),
        (lambda g: small(averaging=2.0), ValueError, "averaging must satisfy"),
        (lambda g: pearl.train(rm.GoalGridworlds(), pearl.init(4, 4), settings=pearl.Settings(0.9, 0, 0), outer=rm.SGD(1), iterations=1, rng=0),
         ValueError, r"agent has \(states, actions\) = \(4, 4\), expected \(25, 4\)"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call(training_step(np.random.default_rng(0)))


def test_a_weight_that_leaves_the_finite_numbers_is_named():
    with pytest.raises(FloatingPointError) as raised:
        small(outer=rm.SGD(1e200), iterations=5)
    assert raised.value.__notes__ == ["in iteration 1 of pearl.train, after 0 that were done"]


def test_training_neither_writes_to_the_agent_at_its_start_nor_returns_it():
    agent = pearl.init(4, 4, latent=2, rng=0)
    before = [np.array(x) for x in (*agent.encoder, *agent[1:])]
    for iterations in (0, 1):
        got = pearl.train(
            rm.GoalGridworlds(size=2), agent, settings=pearl.Settings(0.9, 1e-3, 0.5), outer=rm.Adam(0.1), updates=2,
            iterations=iterations, tasks=2, episodes=1, horizon=4, batch=2, rng=0,
        ).agent  # fmt: skip
        for one, other in zip((*got.encoder, *got[1:]), (*agent.encoder, *agent[1:]), strict=True):
            assert not np.shares_memory(one, other)
    for x, kept in zip((*agent.encoder, *agent[1:]), before, strict=True):
        np.testing.assert_array_equal(x, kept)


def test_adaptation_acts_by_its_table_whatever_the_policy_of_the_task():
    task = rm.GoalGridworlds(size=2).sample(3, 0).support
    odd = rm.PolicyReturn(task.mdp, rm.LinearSoftmax(np.random.default_rng(0).normal(size=(4, 4, 16))))
    agent = pearl.init(4, 4, latent=2, scale=1.0, rng=0)
    one, other = (pearl.adapt(agent, t, episodes=2, horizon=5, rng=0) for t in (task, odd))
    np.testing.assert_array_equal(one.returns, other.returns)


def test_a_context_without_a_mask_is_whole_and_encoders_have_batch_axes():
    step = training_step(np.random.default_rng(2))
    context, encoder = context_of(step.context, S, A), step.agent.encoder
    whole = context._replace(mask=np.ones_like(context.mask))
    more = {"noise": step.noise, "critic": step.agent.critic, "target": np.zeros((N, 5)), "beta": 0.3}
    got, expected = (pearl.encoder_gradient(encoder, c, step.batch, **more) for c in (whole._replace(mask=None), whole))
    np.testing.assert_array_equal(got.mean, expected.mean)
    both = Encoder(*(np.stack([w, 2 * w])[:, None] for w in encoder))
    several = pearl.encoder_gradient(both, context, step.batch, **more)
    for k in range(2):
        alone = pearl.encoder_gradient(Encoder(*(w[k, 0] for w in both)), context, step.batch, **more)
        np.testing.assert_allclose(several.log_variance[k], alone.log_variance, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("shape", [(), (4,), (4, 2)])
def test_critics_and_policies_of_their_own_are_those_of_each_task(shape):
    """Weights, z and batches with the same axes of tasks in front, none or several, are each task's one by one."""
    rng, n, S, A, Z = np.random.default_rng(5), 6, 5, 3, 2
    critic, policy = rng.normal(size=(2, *shape, S, A, 1 + Z))
    z, y = rng.normal(size=(*shape, Z)), rng.normal(size=(*shape, n))
    ids = [rng.integers(0, k, (*shape, n)) for k in (S, A, S)]
    mask = rng.random((*shape, n)) < 0.7
    mask[..., 0] = True
    batch = Transitions(ids[0], ids[1], rng.normal(size=y.shape), ids[2], rng.random(y.shape) < 0.3, mask)
    tau = {"log_temperature": -0.5}

    def all_of(critic, policy, z, batch, y):
        slopes = pearl.critic_gradient(critic, z, batch, y)
        return [
            pearl.soft_target(batch, z, critic, policy, gamma=0.9, **tau), pearl.critic_loss(critic, z, batch, y),
            slopes.critic, slopes.z, pearl.actor_loss(policy, z, batch, critic, **tau),
            pearl.actor_gradient(policy, z, batch, critic, **tau),
            pearl.temperature_loss(-0.5, policy, z, batch, target_entropy=0.3),
        ]  # fmt: skip

    together = all_of(critic, policy, z, batch, y)
    for i in np.ndindex(shape):
        alone = all_of(critic[i], policy[i], z[i], Transitions(*(part[i] for part in batch)), y[i])
        for one, of_all in zip(alone, together, strict=True):
            np.testing.assert_allclose(of_all[i], one, rtol=0, atol=1e-14 * (1 + np.max(np.abs(one))))


def test_weights_of_other_tasks_than_the_batch_are_refused():
    rng, batch = np.random.default_rng(0), transitions(np.random.default_rng(0), 4)
    w, z = rng.normal(size=(2, S, A, 1 + Z)), rng.normal(size=(3, Z))
    with pytest.raises(ValueError, match=r"critic.*\(2,\).*z.*\(3,\)"):
        pearl.critic_loss(w, z, batch, np.zeros((3, 4)))
    with pytest.raises(ValueError, match=r"table.*\(2,\).*batch.*\(3,\)"):
        pearl.critic_loss(w, z[:2], batch, np.zeros((3, 4)))


def test_features_and_actions_of_one_transition_each():
    encoder = pearl.Encoder(np.ones((2, 5)), np.zeros((2, 5)))
    np.testing.assert_array_equal(pearl.factors(encoder, np.ones((1, 5))).mean, [[5.0, 5.0]])
    with pytest.raises(ValueError, match=r"features has shape \(5,\), expected \(\.\.\., n, 5\)"):
        pearl.factors(encoder, np.ones(5))


def test_an_agent_starts_as_it_says():
    """No spread: only the constant's log variance; with it, weights of that spread, and a target that is the critic."""
    bare = pearl.init(3, 2, latent=2, scale=0.0, temperature=0.25)
    assert not np.any(bare.encoder.mean) and not np.any(bare.critic) and not np.any(bare.policy)
    np.testing.assert_array_equal(bare.encoder.log_variance, np.log(100.0) * np.eye(19)[:1].repeat(2, axis=0))
    np.testing.assert_allclose(np.exp(bare.log_temperature), 0.25, rtol=1e-15)
    wide = pearl.init(12, 4, latent=6, scale=0.3, rng=0)
    assert pearl.init(1, 1).latent == 5 and (wide.states, wide.actions, wide.latent) == (12, 4, 6)
    for weights in (wide.encoder.mean, wide.encoder.log_variance[:, 1:], wide.critic, wide.policy):
        assert abs(np.std(weights) / 0.3 - 1) < 0.15
    assert wide.critic is not wide.target_critic
    np.testing.assert_array_equal(wide.critic, wide.target_critic)


def test_a_task_that_cannot_be_is_never_drawn():
    """A prior of (0, ¾, ¼): the first plan is never acted by, the others as often as they are likely."""
    tasks = rm.GoalGridworlds(size=2).tasks([1, 2, 3])
    many = rm.PolicyReturn(
        rm.FiniteMDP(tasks.mdp.P[:1].repeat(4000, 0), tasks.mdp.R[:1].repeat(4000, 0), tasks.mdp.rho, 0.9), tasks.policy
    )
    plans = np.arange(3.0)[:, None] * np.ones(16)
    result = thompson_sampling(many, tasks.mdp, plans, prior=[0.0, 0.75, 0.25], episodes=0, horizon=1, rng=0)
    shares = np.mean(result.theta[0, :, :1] == np.arange(3.0), axis=0)
    assert shares[0] == 0 and abs(shares[1] - 0.75) < 0.03
    np.testing.assert_allclose(result.beliefs[0], np.broadcast_to([0.0, 0.75, 0.25], (4000, 3)), rtol=1e-15)


def test_one_task_without_an_axis_is_adapted_to_as_well():
    every, task = rm.GoalGridworlds(size=2).tasks([1, 2, 3]), rm.GoalGridworlds(size=2).tasks([3])[0]
    result = thompson_sampling(task, every.mdp, optimal_plans(every.mdp), episodes=4, horizon=6, rng=0)
    assert result.returns.shape == (5,) and result.theta.shape == (5, 16) and result.beliefs[-1].shape == (3,)
    assert np.argmax(result.beliefs[-1]) == 2
    acted = pearl.adapt(pearl.init(4, 4, rng=0), task, episodes=2, horizon=3, rng=0)
    assert acted.returns.shape == (3,) and acted.beliefs[0].mean.shape == (5,)


def test_a_critic_of_all_tasks_judges_policies_of_each():
    rng, batch = np.random.default_rng(3), transitions(np.random.default_rng(3), 4)
    critic, policy, z = rng.normal(size=(S, A, 1 + Z)), rng.normal(size=(N, S, A, 1 + Z)), rng.normal(size=(N, Z))
    together = pearl.actor_loss(policy, z, batch, critic, log_temperature=-1.0)
    for i in range(N):
        one = Transitions(*(part[i] for part in batch))
        alone = pearl.actor_loss(policy[i], z[i], one, critic, log_temperature=-1.0)
        np.testing.assert_allclose(together[i], alone, rtol=1e-13)


def test_actions_are_counted_by_the_axis_of_actions_and_nothing_is_empty():
    """3 states, 2 actions: action 2 does not exist, though state 2 does."""
    batch = transitions(np.random.default_rng(0), 4)
    w, z = np.zeros((S, A, 1 + Z)), np.zeros((N, Z))
    with pytest.raises(ValueError, match=r"batch.actions\[0, 0\] is 2, expected 0 <= it < 2"):
        pearl.critic_loss(w, z, batch._replace(actions=np.full_like(batch.actions, 2)), np.zeros((N, 4)))
    for shape in ((0, A, 1 + Z), (S, 0, 1 + Z)):
        with pytest.raises(ValueError, match="none of them 0"):
            pearl.critic_loss(np.zeros(shape), z, batch, np.zeros((N, 4)))
    start = pearl.init(2, 2, rng=0)
    np.testing.assert_allclose(np.exp(start.log_temperature), 0.1, rtol=1e-15)
    assert np.max(np.abs(start.policy)) < 0.5


def test_features_by_hand():
    """Two states, two actions: (s, a) = (1, 0) is entry 2, (0, 1) entry 1; then s', and both times the reward."""
    met = Transitions(
        *np.array([[1, 0, 1], [0, 1, 1]]).T[:2], np.array([3.0, -0.5]), np.array([0, 1]), *[np.ones(2, bool)] * 2
    )
    expected = [
        [1, 0, 0, 1, 0, 1, 0, 0, 0, 3, 0, 3, 0],
        [1, 0, 1, 0, 0, 0, 1, 0, -0.5, 0, 0, 0, -0.5],
    ]
    np.testing.assert_array_equal(context_of(met, 2, 2).features, expected)


def test_the_likelihood_by_hand_counts_nothing_that_is_not_there():
    P = np.array([[[[0.25, 0.75]], [[0.0, 1.0]]], [[[0.5, 0.5]], [[0.0, 1.0]]]])
    tasks = rm.FiniteMDP(P, np.array([[[0.0], [1.0]], [[0.0], [2.0]]]), [1.0, 0.0], 0.9)
    there = np.array([True, True, False])
    met = Transitions(np.array([0, 0, 1]), np.zeros(3, int), np.array([0.0, 0, 7]), np.array([0, 1, 1]), ~there, there)
    np.testing.assert_allclose(log_likelihood(tasks, met), np.log([0.25 * 0.75, 0.25]), rtol=1e-15)
    np.testing.assert_allclose(task_posterior(tasks, met), [3 / 7, 4 / 7], rtol=1e-15)
    with pytest.raises(ValueError, match="prior must be 2 probabilities, got shape .2,. with sum 1.5"):
        task_posterior(tasks, met, [0.75, 0.75])


def test_without_a_prior_factor_training_draws_no_empty_context():
    """The paper's product: a context of none has no posterior, and the training needs none."""
    settings = pearl.Settings(0.9, 1e-3, 0.3, posterior_without_prior)
    more = {"outer": rm.Adam(0.02), "iterations": 2, "tasks": 20, "horizon": 8, "updates": 60, "context": 2, "rng": 0}
    done = pearl.train(rm.GoalGridworlds(size=2), pearl.init(4, 4, rng=0), settings=settings, **more)
    assert done.iterations == 2
    with pytest.raises(ValueError, match="context must be at least 1, got 0"):
        pearl.train(rm.GoalGridworlds(size=2), pearl.init(4, 4), settings=settings, **more | {"context": 0})
    there = np.ones((50, 3), bool)
    batch = Transitions(*np.zeros((3, 50, 3), int), *np.zeros((2, 50, 3), int), there)
    assert set(np.sum(sample_prefix(batch, np.random.default_rng(0), 1).mask, axis=-1)) == {1, 2, 3}


@pytest.mark.parametrize("settings", [(0.9, 1e-3, 0.3), {"gamma": 0.9}, pearl.Settings(0.9, 1e-3, 0.3, "prior")])
def test_settings_that_are_none_are_named(settings):
    with pytest.raises(TypeError, match=r"settings must be Settings\(gamma, beta, target_entropy, infer\)"):
        pearl.train(rm.GoalGridworlds(size=2), pearl.init(4, 4), settings=settings, outer=rm.SGD(0.1), iterations=1)


def test_what_is_no_gaussian_no_encoder_and_no_context_is_named():
    """An array of two rows would be taken for a mean and a log variance."""
    step = training_step(np.random.default_rng(0))
    with pytest.raises(TypeError, match=r"posterior must be a pearl.Gaussian\(mean, log_variance\), got ndarray"):
        kl(np.zeros((2, 3)))
    with pytest.raises(TypeError, match=r"factors must be a pearl.Gaussian\(mean, log_variance\), got ndarray"):
        posterior(np.zeros((2, 3, 2)))
    with pytest.raises(TypeError, match=r"encoder must be a pearl.Encoder\(mean, log_variance\), got ndarray"):
        factors(np.stack(step.agent.encoder), context_of(step.context, S, A).features)
    more = {"noise": step.noise, "critic": step.agent.critic, "target": np.zeros((N, 5)), "beta": 0.1}
    with pytest.raises(TypeError, match="context must be a pearl.Context, as from context_of, got Transitions"):
        pearl.encoder_gradient(step.agent.encoder, step.batch, step.batch, **more)


@pytest.mark.parametrize("shape", [(S, 1, 1 + Z), (1, A, 1 + Z), (S + 1, A, 1 + Z)])
def test_a_policy_of_another_size_than_its_critic_is_never_broadcast(shape):
    step, other = training_step(np.random.default_rng(0)), np.zeros(shape)
    with pytest.raises(
        ValueError, match=r"target_critic has \(states, actions\) = \(3, 2\), expected .* as the policy"
    ):
        soft_target(step.batch, step.noise, step.agent.target_critic, other, log_temperature=-1.0, gamma=0.9)
    one = step.batch._replace(states=np.zeros_like(step.batch.states))
    with pytest.raises(ValueError, match=r"critic has \(states, actions\) = .*, expected \(3, 2\) as the policy"):
        pearl.actor_loss(step.agent.policy, step.noise, one, other, log_temperature=-1.0)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a._replace(policy=a.policy.swapaxes(0, 1)), lambda a: a._replace(policy=a.policy.reshape(36, 1, 3)),
        lambda a: a._replace(critic=a.critic[None]), lambda a: a._replace(target_critic=a.critic[..., :2]),
        lambda a: a._replace(log_temperature=np.zeros(2)), lambda a: a._replace(encoder=pearl.Encoder(*(w[:, :3] for w in a.encoder))),
    ],
)  # fmt: skip
def test_an_agent_whose_parts_do_not_fit_is_refused_before_it_acts(change):
    SENTENCE = r"agent\.\S+ (has shape .*, expected \(|must be one number)|as the task"
    agent, family = change(pearl.init(9, 4, latent=2, rng=0)), rm.GoalGridworlds(size=3)
    with pytest.raises(ValueError, match=SENTENCE):
        pearl.adapt(agent, family.sample(2, 0).support, episodes=1, horizon=3)
    with pytest.raises(ValueError, match=SENTENCE):
        pearl.train(family, agent, settings=pearl.Settings(0.9, 0.1, 0.1), outer=rm.SGD(0.1), iterations=1, horizon=3)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda g: sample(Gaussian(np.zeros((3, 2)), np.zeros((3, 2))), np.zeros((2, 2))), r"got posterior \(3,\), noise \(2,\)"),
        (lambda g: pearl.critic_loss(g.agent.critic, g.noise, g.batch, np.zeros((2, 5))), r"got target \(2,\), batch \(3,\)"),
        (lambda g: posterior(Gaussian(*np.zeros((2, 2, 3, Z))), np.ones((4, 3), bool)), r"mask has shape \(4, 3\).*expected \(2, 3\)"),
        (lambda g: factors(Encoder(*np.zeros((2, 2, Z, 5))), np.zeros((3, 4, 5))), r"got encoder \(2,\), features \(3,\)"),
        (lambda g: pearl.encoder_gradient(g.agent.encoder, Context(context_of(g.context, S, A).features[:2], None), g.batch, noise=g.noise[:1],
                                          critic=g.agent.critic, target=np.zeros((N, 5)), beta=0.1), r"got context \(2,\), batch \(3,\)"),
    ],
)  # fmt: skip
def test_batch_axes_that_do_not_fit_are_reported_in_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(training_step(np.random.default_rng(0)))


def test_an_inference_and_a_callback_that_are_none_are_named():
    task = rm.GoalGridworlds(size=2).sample(2, 0).support
    with pytest.raises(TypeError, match="infer must be a function of factors and a mask, got 'prior'"):
        pearl.adapt(pearl.init(4, 4), task, episodes=1, horizon=2, infer="prior")
    with pytest.raises(TypeError, match="callback must be a function of an AgentIteration, got 3"):
        small(callback=3)


class Recorded:
    """A generator that keeps what it was asked to choose."""

    def __init__(self, seed):
        self.rng, self.chosen = np.random.default_rng(seed), []

    def choice(self, *arguments, **more):
        self.chosen.append(self.rng.choice(*arguments, **more))
        return self.chosen[-1]

    def __getattr__(self, name):
        return getattr(self.rng, name)


def test_training_draws_what_it_says(monkeypatch):
    """Tasks without replacement; contexts of the last iteration's episodes alone, batches of all that was ever met."""
    import refmeta.meta.pearl.training as home

    rng, buffers, inferences = Recorded(0), [], []
    monkeypatch.setattr(home.np.random, "default_rng", lambda seed=None: rng)
    real = home.sample_transitions
    monkeypatch.setattr(
        home, "sample_transitions", lambda batch, n, rng: buffers.append((n, batch.mask.shape[-1])) or real(batch, n, rng)
    )

    def infer(factors, mask=None):
        inferences.append(factors.mean.shape[-2])
        return posterior(factors, mask)

    settings = pearl.Settings(0.9, 1e-3, 0.5, infer)
    small(settings=settings, iterations=3, updates=4, batch=5, tasks=6, episodes=2, horizon=3, transitions=7, context=9)
    assert len(rng.chosen) == 12 and all(len(set(chosen)) == 5 for chosen in rng.chosen)
    assert {places for n, places in buffers if n == 9} == {6}
    assert sorted({places for n, places in buffers if n == 7}) == [6, 12, 18]
    assert {3, 6} <= set(inferences), "acting infers of one and of two episodes by the settings' own inference"


def test_transitions_are_drawn_uniformly_of_all_that_are_there():
    there = np.array([[True, False, True, True, False, True, True]])
    ids = np.arange(7)[None]
    got = drawn_of(Transitions(ids, ids, 1.0 * ids, ids, there, there), 20_000, np.random.default_rng(0))
    shares = np.bincount(got.states[0], minlength=7) / 20_000
    np.testing.assert_allclose(shares, there[0] / 5, rtol=0, atol=0.015)
    gaps = Transitions(*[ids[:, :3]] * 4, *[np.array([[False, True, True]])] * 2)
    assert {int(sample_prefix(gaps, np.random.default_rng(k), 1).mask.sum()) for k in range(30)} == {1, 2}


def test_optimal_plans_are_certain_and_what_a_callback_sees_cannot_be_written_to():
    every = rm.GoalGridworlds(size=2).tasks([1, 2, 3])
    pi = every.policy.logits(optimal_plans(every.mdp))
    np.testing.assert_array_equal(np.sort(np.exp(pi - pi.max(-1, keepdims=True)), axis=-1), np.eye(4)[[[3] * 4] * 3])
    seen = []
    small(iterations=1, callback=seen.append)
    for part in (*seen[0].agent.encoder, *seen[0].agent[1:]):
        with pytest.raises(ValueError, match="read-only"):
            part[...] = 0


@pytest.mark.parametrize("entropy", [0.0, -0.5, np.log(2) + 1e-9, 1.2, np.nan])
def test_a_target_entropy_that_no_policy_has_is_refused(entropy):
    """Two actions: a policy has an entropy in [0, log 2], and 0 is never reached."""
    step, sentence = training_step(np.random.default_rng(0)), "target_entropy must be"
    with pytest.raises(ValueError, match=sentence):
        pearl.temperature_loss(-1.0, step.agent.policy, step.noise, step.batch, target_entropy=entropy)
    family, agent = rm.GoalGridworlds(size=2), pearl.init(4, 4, latent=2, rng=0)
    settings = pearl.Settings(0.9, 0.1, 2 * entropy)
    with pytest.raises(ValueError, match=sentence):
        pearl.train(family, agent, settings=settings, outer=rm.SGD(0.1), iterations=1, tasks=1, batch=1, horizon=3)


def test_the_largest_target_entropy_is_allowed_and_0_for_a_single_action():
    step = training_step(np.random.default_rng(0))
    pearl.temperature_loss(-1.0, step.agent.policy, step.noise, step.batch, target_entropy=np.log(2))
    one = step.batch._replace(actions=np.zeros_like(step.batch.actions))
    loss = pearl.temperature_loss(-1.0, step.agent.policy[:, :1], step.noise, one, target_entropy=0.0)
    np.testing.assert_array_equal(loss, np.zeros(loss.shape))


def test_the_gradient_of_no_tasks_has_its_shapes():
    agent, context, batch, noise, settings = training_step(np.random.default_rng(0), tasks=0)
    step = pearl.gradient(agent, context_of(context, S, A), batch, noise, settings)
    assert step.critic.shape == step.policy.shape == (0, S, A, 1 + Z) and step.log_temperature.shape == (0,)
