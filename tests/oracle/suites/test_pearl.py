"""The known-wrong rows of `pearl` are what they say, and so are its choices and the places of an ε."""

import numpy as np
import pytest
from hypothesis import given

import refmeta as rm
from refmeta.oracle.asking import moved
from refmeta.oracle.choices import singles
from refmeta.oracle.judge import gap
from refmeta.oracle.suites.pearl import SUITE
from refmeta.oracle.suites.pearl.epsilons import epsilon_places
from refmeta.oracle.suites.pearl.problem import TrainingStep, all_parts, problem
from refmeta.oracle.suites.pearl.variants import ENCODER
from refmeta.oracle.vectors import cases
from refmeta.sampling.transitions import Transitions
from refmeta.tolerance import tolerance
from tests.meta.test_pearl import training_steps


@given(step=training_steps())
def test_a_training_step_gives_back_the_inputs_that_it_was_made_of(step):
    assert set(step.inputs) == set(SUITE.inputs)
    again = problem(SUITE.arguments(step.inputs))
    assert again.inputs == step.inputs and again.settings.infer is step.settings.infer


def one_factor_each():
    """Two transitions of one task, factors N(1, 1) and N(4, ¼); ε = 3, one action, Q = z, Q̄ = 1, the end: y = 0."""
    agent = rm.pearl.Agent(
        rm.pearl.Encoder(np.array([[1.0, 0, 0, 3, 0]]), np.array([[0.0, 0, 0, -np.log(4), 0]])),
        np.array([[[0.0, 1]]]), np.array([[[1.0, 0]]]), np.zeros((1, 1, 2)), 0.0,
    )  # fmt: skip
    zero, there = np.zeros((1, 2), int), np.ones((1, 2), bool)
    context = Transitions(zero, zero, np.array([[0.0, 1]]), zero, ~there, there)
    batch = Transitions(zero[:, :1], zero[:, :1], np.zeros((1, 1)), zero[:, :1], there[:, :1], there[:, :1])
    settings = rm.pearl.Settings(0.5, 2.0, 0.25, rm.pearl.posterior)
    return TrainingStep(agent, context, batch, np.array([[3.0]]), settings)


@pytest.mark.parametrize(
    ("slug", "part", "expected"),
    [
        (None, "mean", 17 / 6), (None, "variance", 1 / 6),
        ("mean-of-factors", "mean", 5 / 3), ("mean-of-factors", "variance", 3 / 4),
        ("deviation-for-variance", "mean", 9 / 4), ("deviation-for-variance", "variance", 1 / 4),
        ("prior-factor-never", "mean", 17 / 5), ("prior-factor-never", "variance", 1 / 5),
        ("prior-factor-always", "mean", 17 / 6),
        ("next-state-missing", "mean", 17 / 6),
        ("sample-by-variance", "z", 17 / 6 + 3 / 6),
        ("kl-without-half", "kl", 1 / 6 + 289 / 36 - 1 + np.log(6)),
        ("kl-reversed", "kl", (6 * (1 + 289 / 36) - 1 - np.log(6)) / 2),
        ("kl-summed-loss-averaged", "critic_loss", (17 / 6 + 3 / 6**0.5) ** 2 / 2),
        ("end-ignored", "critic_loss", (17 / 6 + 3 / 6**0.5 - 1 / 2) ** 2 / 2),
        ("critic-without-half", "critic_loss", (17 / 6 + 3 / 6**0.5) ** 2),
        ("loss-summed", "critic_loss", (17 / 6 + 3 / 6**0.5) ** 2 / 2),
        ("temperature-loss-of-logarithm", "temperature_loss", 0.0), ("temperature-loss-of-logarithm", "temperature_grad", -1 / 4),
        ("variance-floored", "variance", 1 / 6), ("log-sigma-clamped", "mean", 17 / 6),
    ],
)  # fmt: skip
def test_rows_of_pearl_by_hand(slug, part, expected):
    """With the prior: precisions 1, 1, 4, so μ = (1 + 16)/6 and σ² = 1/6.  An e_s' of a single state says nothing."""
    case = one_factor_each()
    row = next((row for row in SUITE.rows if row.slug == slug), None)
    value = (row.function(case) if row else all_parts(case))[part]
    np.testing.assert_allclose(value, np.full(value.shape, expected), rtol=1e-14)


def test_an_epsilon_changes_the_part_it_stands_in_first_and_its_effects_are_slopes():
    first = {
        "σ_n² + ε in the factors": "mean", "1/(Σ σ_n⁻² + ε) in the product of factors": "mean",
        "log(σ² + ε) in the KL divergence": "kl", "√(σ² + ε) in the sample": "z", "σ + ε in the sample": "z",
        "log(π + ε)": "critic_loss", "1/(Σ mask + ε)": "critic_loss",
    }  # fmt: skip
    case, h = cases("pearl")[0], 1e-6
    for name, place in first.items():
        up, down = (all_parts(case.problem, epsilon_places(e)[name]) for e in (h, -h))
        slopes = {part: SUITE.effects(case, part)[name]() for part in SUITE.parts}
        for part, slope in slopes.items():
            scale = np.max(np.abs(slope)) + np.max(np.abs(case.expected[part].value))
            np.testing.assert_allclose(slope, (up[part] - down[part]) / (2 * h), rtol=0, atol=1e-8 * scale)
        assert next(part for part, slope in slopes.items() if np.max(np.abs(slope)) > 1e-9) == place, name


CHOSEN = {case.id: case for case in cases("pearl") if case.result == "valid"}
CLAMPED = {("variance clamped", f"at least {least:g}") for least in (1e-7, 1e-6, 1e-4, 1e-3)}  # no vector has a smaller variance


def point_of(**words):
    """The point of these alternatives; a choice is named with _ for each blank."""
    chosen = {next(name for name in SUITE.choices if _plain(name) == choice): each for choice, each in words.items()}
    return {name: SUITE.choices[name][each] for name, each in chosen.items()}


def _plain(name):
    """A name as that of a keyword."""
    return name.replace(" ", "_").replace("'", "")


@pytest.mark.parametrize("id", CHOSEN)
def test_without_a_departure_a_variant_is_the_answer_of_the_library(id):
    problem = CHOSEN[id].problem
    for part in SUITE.parts:
        value = SUITE.answer(part, problem)
        np.testing.assert_allclose(SUITE.variant(part, problem, {}), value, rtol=1e-10, atol=1e-13 * np.max(np.abs(value), initial=1))


def is_seen(point):
    """Is a part elsewhere than it should be, by ten tolerances, in a vector?"""
    for case in CHOSEN.values():
        for part, expected in case.expected.items():
            value = SUITE.variant(part, case.problem, point)
            if value is not None and gap(value, expected.value, tolerance(expected.kappa, expected.scale, "float64")) > 10:
                return True
    return False


def test_every_departure_is_seen_in_a_vector():
    hidden = {(choice, words) for choice, words in singles(SUITE.choices) if not is_seen({choice: SUITE.choices[choice][words]})}
    assert hidden <= CLAMPED


@pytest.mark.parametrize(
    ("slug", "words"),
    [
        ("mean-of-factors", {"product": "means of means and of variances"}),
        ("deviation-for-variance", {"variance_from": "exp(x/2), a deviation taken for a variance"}),
        ("kl-reversed", {"kl": "reversed, KL(prior || belief)"}),
        ("kl-without-half", {"kl": "without 1/2"}),
        ("actor-reaches-encoder", {"actor_in_the_encoder": "yes, z not held"}),
        ("next-state-missing", {"features": "without e_s' and r e_s'"}),
        ("temperature-missing", {"temperature": "1"}),
        ("kl-summed-loss-averaged", {"critic_in_the_encoder": "divided by N"}),
        ("prior-factor-always", {"prior_factor": "always"}),
        ("prior-factor-never", {"prior_factor": "never"}),
        ("sample-by-variance", {"sample": "mean + sigma^2 noise"}),
        ("target-not-held", {"target": "not held"}),
        ("critic-for-its-target", {"critic_in_the_target": "the critic itself"}),
        ("target-without-entropy", {"value_of_s": "without entropy"}),
        ("end-ignored", {"ends": "ignored"}),
        ("context-mask-ignored", {"context_mask": "ignored"}),
        ("batch-mask-ignored", {"batch": "mask ignored"}),
    ],
)
@pytest.mark.parametrize("id", ["pearl-001", "pearl-007", "pearl-010"])
def test_a_known_wrong_formula_is_a_point(id, slug, words):
    case = CHOSEN[id]
    row = next(row for row in SUITE.rows if row.slug == slug)
    values = {part: (SUITE.variant(part, case.problem, point_of(**words)), value) for part, value in row.function(case.problem).items()}
    assert any(got is not None for got, _ in values.values())
    for part, (got, value) in values.items():
        if got is not None:
            np.testing.assert_allclose(got, value, rtol=1e-10, atol=1e-12, err_msg=part)


@pytest.mark.parametrize(
    ("words", "part", "expected"),
    [
        ({"product": "mean of means, sum of variances"}, "variance", 9 / 4),
        ({"product": "means unweighted"}, "mean", 5 / 3),
        ({"product": "precisions averaged"}, "variance", 1 / 2),
        ({"product": "1/sigma adds, then squared"}, "mean", 9 / 4),
        ({"product": "1/sigma adds, then squared"}, "variance", 1 / 16),
        ({"prior_factor": "never", "product": "sum of means"}, "mean", 5),
        ({"variance_from": "1"}, "mean", 5 / 3),
        ({"sample": "mean - sigma noise"}, "z", 17 / 6 - 3 / 6**0.5),
        ({"sample": "mean + sigma noise^2"}, "z", 17 / 6 + 9 / 6**0.5),
        ({"kl": "prior variance 2"}, "kl", (1 / 12 + 289 / 72 - 1 + np.log(12)) / 2),
        ({"ends": "inverted"}, "critic_loss", (17 / 6 + 3 / 6**0.5 - 1 / 2) ** 2 / 2),
        ({"critics_loss": "|Q - y|"}, "critic_loss", 17 / 6 + 3 / 6**0.5),
    ],
)  # fmt: skip
def test_points_by_hand(words, part, expected):
    np.testing.assert_allclose(SUITE.variant(part, one_factor_each(), point_of(**words)), np.full((1, 1) if part in ("mean", "variance", "z") else (1,), expected), rtol=1e-14)


def oyster(x, W_mean, W_variance):
    """katerakelly/oyster, sac.py and agent.py: the loss of both critics, that with the encoder's divergence, and the policy's."""
    S, A, F, tasks = len(x["policy"]), len(x["policy"][0]), len(W_mean[0]), range(len(x["noise"]))
    names = ("states", "actions", "rewards", "following", "mask")
    squares, policy, divergence = [], [], 0
    for t in tasks:
        means, variances = [], []
        for s, a, r, _, there in zip(*(x[f"context_{name}"][t] for name in names), strict=True):
            if there:
                psi = np.zeros(F)
                psi[0], psi[1 + s * A + a], psi[1 + S * A + S + s * A + a] = 1, 1, r
                softplus = np.log1p(np.exp(W_variance @ psi))
                means.append(W_mean @ psi)
                variances.append(np.where(softplus.real < 1e-7, 1e-7, softplus))
        sigma2 = 1 / sum(1 / v for v in variances)
        mu = sigma2 * sum(m / v for m, v in zip(means, variances, strict=True))
        divergence += sum(np.log(1 / np.sqrt(v)) + (v + m**2) / 2 - 0.5 for m, v in zip(mu, sigma2, strict=True))
        z = np.append(1, mu + np.sqrt(sigma2) * x["noise"][t])
        held = z.real
        for s, a, r, after, end, there in zip(*(x[n][t] for n in (*names[:4], "terminal", "mask")), strict=True):
            if there:
                V = sum(p * (q - np.log(p)) for p, q in zip(pi_of(x["policy"], after, held), x["target_critic"][after] @ held, strict=True))
                error = x["critic"][s, a] @ z - (5 * r + (1 - end) * x["gamma"] * V)
                squares.append(error**2)
                policy.append(sum(p * (np.log(p) - q) for p, q in zip(pi_of(x["policy"], s, held), x["critic"][s] @ held, strict=True)))
    critics = sum(squares) / len(squares) + sum(squares) / len(squares)
    return critics, x["beta"] * divergence + critics, sum(policy) / len(policy)


def pi_of(policy, s, z):
    """softmax of the logits of a state."""
    logits = policy[s] @ z
    e = np.exp(logits - np.max(np.real(logits)))
    return e / np.sum(e)


@pytest.mark.parametrize("id", [id for id in CHOSEN if np.all(np.any(CHOSEN[id].input["context_mask"], axis=-1))])
def test_the_losses_of_oyster_are_a_point(id):
    case = CHOSEN[id]
    x, N = case.arguments(), len(case.arguments()["noise"])
    losses = {"actor_loss": "oyster's policy loss"}
    got = {part: SUITE.variant(part, case.problem, SUITE.recipes[losses.get(part, "oyster's critics' loss")]) for part in ("critic_loss", "actor_loss", *ENCODER)}
    leaves = dict(zip(ENCODER, (x["encoder_mean"], x["encoder_log_variance"]), strict=True))
    critics, _, actor = oyster(x, *leaves.values())
    np.testing.assert_allclose((np.sum(got["critic_loss"]), np.sum(got["actor_loss"])), (critics, actor), rtol=1e-12)
    for part, W in leaves.items():
        by = lambda flat, part=part, W=W: oyster(x, *(leaves | {part: flat.reshape(W.shape)}).values())[1]
        expected = np.array([np.imag(by(W.ravel() + 1e-30j * e)) / 1e-30 for e in np.eye(W.size)]).reshape(W.shape)
        np.testing.assert_allclose(np.sum(got[part], axis=0), expected, rtol=1e-10, atol=1e-12 * N)


def test_terms_that_may_be_added_add_up_to_the_slopes_of_the_encoder():
    case = CHOSEN["pearl-001"]
    for part in ("encoder_mean_grad", "encoder_log_variance_grad"):
        terms = {name: term() for name, term in SUITE.additions(part, case.problem).items()}
        total = terms["the slopes of the critic's loss"] + case.problem.settings.beta * terms["the slopes of kl"]
        np.testing.assert_allclose(total, SUITE.answer(part, case.problem), rtol=1e-12, atol=1e-14)
        reached = next(row for row in SUITE.rows if row.slug == "actor-reaches-encoder").function(case.problem)[part]
        np.testing.assert_allclose(total + terms["the slopes of the actor's loss"], reached, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("predicate", SUITE.predicates, ids=lambda p: p.name)
def test_a_predicate_holds_where_its_move_leads(predicate):
    assert any(predicate.holds(case) for case in CHOSEN.values())
    for case in CHOSEN.values():
        other = moved(case, predicate.move(case.arguments()))
        assert other is not None and predicate.holds(other)
