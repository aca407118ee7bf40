"""The evidence is judged: for every label it sees a mistake of a millionth, planted in the library's own code."""

import functools
import importlib

import numpy as np
import pytest

from refmeta import Quadratic
from refmeta.commands.verify import checks_of, judge
from refmeta.evidence import CHECKS, maml
from refmeta.evidence.checks import off, worst
from refmeta.judges import TaylorRates
from refmeta.problems import largest_curvature
from refmeta.tolerance import condition_number

PLACES = {
    "softmax": "refmeta.evidence.shared:softmax",
    "log-softmax": "refmeta.evidence.shared:log_softmax",
    "softmax-jvp": "refmeta.evidence.shared:softmax_jvp",
    "score": "refmeta.policies:LinearSoftmax.score",
    "score-hvp": "refmeta.policies:LinearSoftmax.score_hvp",
    "linear-features": "refmeta.policies:LinearSoftmax.logits",
    "quadratic": "refmeta.tasks.quadratic:QuadraticPoint.loss",
    "linear-regression": "refmeta.tasks.regression:LinearRegressionPoint.hvp",
    "softmax-regression": "refmeta.tasks.classification:SoftmaxRegressionPoint.grad",
    "complex-step": "refmeta.evidence.shared:complex_step",
    "central-difference": "refmeta.evidence.shared:central_difference",
    "taylor-rate": "refmeta.evidence.shared:taylor_rates",
    "adjoint-test": "refmeta.evidence.shared:adjoint_gap",
    "richardson-difference": "refmeta.evidence.differences:loss_gradient",
    "richardson-mixed-difference": "refmeta.evidence.differences:loss_hvp",
    "sixth-difference-noise": "refmeta.evidence.differences:noise_of",
    "decimal-certificate": "refmeta.evidence.shared:certificate",
    "policy-model": "refmeta.tasks.mdp:FiniteMDP.rewards",
    "bellman": "refmeta.tasks.exact_return:DiscountedPoint.value",
    "advantage": "refmeta.tasks.exact_return:DiscountedPoint.advantage",
    "occupancy": "refmeta.tasks.exact_return:DiscountedPoint.occupancy",
    "return": "refmeta.tasks.exact_return:DiscountedPoint.loss",
    "undiscounted-return": "refmeta.tasks.exact_return:DiscountedPoint.loss",
    "policy-gradient": "refmeta.tasks.exact_return:DiscountedPoint.grad",
    "policy-hvp": "refmeta.tasks.exact_return:DiscountedPoint.hvp",
    "finite-horizon-bellman": "refmeta.tasks.finite_horizon:FiniteHorizonPoint.value",
    "finite-horizon-occupancy": "refmeta.tasks.finite_horizon:FiniteHorizonPoint.occupancy",
    "finite-horizon-return": "refmeta.tasks.finite_horizon:FiniteHorizonPoint.loss",
    "finite-horizon-gradient": "refmeta.tasks.finite_horizon:FiniteHorizonPoint.grad",
    "finite-horizon-hvp": "refmeta.tasks.finite_horizon:FiniteHorizonPoint.hvp",
    "optimal-values": "refmeta.evidence.returns:optimal_values",
    "thm:episode-length": "refmeta.tasks.exact_return:DiscountedPoint.occupancy",
    "soft-return": "refmeta.tasks.exact_return:DiscountedPoint.loss",
    "soft-return-gradient": "refmeta.tasks.exact_return:DiscountedPoint.grad",
    "soft-return-hvp": "refmeta.tasks.exact_return:DiscountedPoint.hvp",
    "thm:soft-optimum": "refmeta.evidence.soft_returns:soft_values",
    "inner-step": "refmeta.evidence.maml:adapt",
    "maml-objective": "refmeta.meta.maml:objective",
    "maml-gradient": "refmeta.meta.maml:gradient",
    "first-order-maml": "refmeta.meta.maml:first_order_gradient",
    "step-size-gradient": "refmeta.meta.maml:step_size_gradient",
    "multi-step-loss": "refmeta.meta.maml:multi_step_gradient",
    "maml-update": "refmeta.meta.maml:update",
    "meta-sgd": "refmeta.meta.maml:meta_sgd_update",
    "quadratic-maml": "refmeta.meta.maml:quadratic_minimiser",
    "thm:joint-tie": "refmeta.meta.inner:step_sizes",
    "inner-momentum": "refmeta.meta.inner_optimisers:HeavyBall.adjoint",
    "inner-nesterov": "refmeta.meta.inner_optimisers:Nesterov.adjoint",
    "inner-rmsprop": "refmeta.meta.inner_optimisers:RMSProp.step",
    "inner-adam": "refmeta.meta.inner_optimisers.adam:_adjoint",
    "inner-weight-decay": "refmeta.meta.inner_optimisers:DecoupledDecayPaper.adjoint",
    "inner-clip": "refmeta.meta.inner_optimisers:ClippedByNorm.adjoint",
    "maml-gradient-optimiser": "refmeta.meta.maml:gradient",
    "reptile-update": "refmeta.meta.reptile:update",
    "reptile-serial": "refmeta.meta.reptile:update_serial",
    "reptile-gradient": "refmeta.meta.reptile:gradient",
    "adam": "refmeta.meta.reptile:adapt_adam",
    "adam-epsilon-hat": "refmeta.meta.reptile:adapt_adam",
    "reptile-expansion": "refmeta.meta.reptile:expansion",
    "fisher": "refmeta.tasks.fisher:product",
    "natural-gradient": "refmeta.tasks.fisher:natural_gradient",
    "policy-kl": "refmeta.tasks.fisher:PolicyKLPoint.loss",
    "policy-kl-gradient": "refmeta.tasks.fisher:PolicyKLPoint.grad",
    "policy-kl-hvp": "refmeta.tasks.fisher:PolicyKLPoint.hvp",
    "hessian-split": "refmeta.tasks.fisher:hessian_split",
    "soft-values": "refmeta.evidence.geometry:soft_values",
    "lq-moments": "refmeta.tasks.policy_cost:PolicyCostPoint.moments",
    "lq-values": "refmeta.tasks.policy_cost:PolicyCostPoint.values",
    "lq-cost": "refmeta.tasks.policy_cost:PolicyCostPoint.loss",
    "lq-gradient": "refmeta.tasks.policy_cost:PolicyCostPoint.grad",
    "lq-hvp": "refmeta.tasks.policy_cost:PolicyCostPoint.hvp",
    "lq-undiscounted-cost": "refmeta.tasks.undiscounted_cost:UndiscountedCostPoint.loss",
    "lq-stationary": "refmeta.evidence.control:stationary",
    "implicit-maml": "refmeta.meta.implicit:gradient",
    "neumann-hypergradient": "refmeta.meta.implicit:neumann_gradient",
    "thm:neumann-error": "refmeta.meta.implicit:neumann_gradient",
    "one-step-hypergradient": "refmeta.meta.implicit:one_step_gradient",
    "cg-hypergradient": "refmeta.meta.implicit:cg_gradient",
    "thm:cg-error": "refmeta.meta.implicit:cg_gradient",
    "truncated-unroll": "refmeta.meta.implicit:truncated_gradient",
    "thm:truncated-error": "refmeta.meta.implicit:truncated_gradient",
    "finite-difference-hypergradient": "refmeta.meta.implicit:finite_difference_gradient",
    "thm:finite-difference-order": "refmeta.meta.implicit:finite_difference_gradient",
    "hessian-free-maml": "refmeta.meta.zeroth_order:hessian_free_gradient",
    "es-maml": "refmeta.meta.zeroth_order:evolution_gradient",
    "clip-by-norm": "refmeta.evidence.gradients:clip_by_norm",
    "gradient-preprocessing": "refmeta.evidence.meta_lstm:preprocessing",
    "lstm-cell": "refmeta.evidence.meta_lstm:backward",
    "meta-lstm-cell": "refmeta.meta.meta_lstm:unroll",
    "meta-lstm-gates": "refmeta.evidence.meta_lstm:gates",
    "meta-lstm-gates-released": "refmeta.evidence.meta_lstm:gates_released",
    "meta-lstm-bptt": "refmeta.meta.meta_lstm:_back_propagation",
    "meta-lstm-bptt-exact": "refmeta.meta.meta_lstm:_back_propagation",
    "thm:meta-lstm-is-gradient-descent": "refmeta.meta.meta_lstm:_back_propagation",
    "thm:gate-bound": "refmeta.meta.meta_lstm:sigmoid",
    "log-likelihood": "refmeta.sampling.likelihood:SoftmaxLikelihood.log_prob",
    "log-likelihood-score": "refmeta.sampling.likelihood:SoftmaxLikelihood.pull",
    "log-likelihood-hvp": "refmeta.sampling.likelihood:SoftmaxLikelihood.curve",
    "reinforce": "refmeta.sampling.estimators:reinforce",
    "gpomdp": "refmeta.sampling.estimators:gpomdp",
    "undiscounted-visits": "refmeta.sampling.estimators:undiscounted_visits",
    "leave-one-out": "refmeta.sampling.returns:leave_one_out",
    "linear-feature-baseline": "refmeta.sampling.returns:linear_feature_baseline",
    "discounted-return": "refmeta.sampling.targets:discounted",
    "n-step-return": "refmeta.sampling.targets:n_step",
    "lambda-return": "refmeta.sampling.targets:lambda_return",
    "gae": "refmeta.sampling.targets:gae",
    "v-trace": "refmeta.sampling.targets:v_trace",
    "retrace": "refmeta.sampling.targets:retrace",
    "thm:on-policy-v-trace": "refmeta.sampling.targets:v_trace",
    "thm:gae-unbiased": "refmeta.sampling.targets:gae",
    "td-lambda": "refmeta.sampling.values:td_lambda",
    "lstd": "refmeta.sampling.values:lstd",
    "trajectory-expectation": "refmeta.evidence.sampling:expectation",
    "sampled-kl": "refmeta.sampling.trust_region:GaussianKLPoint.loss",
    "trpo-step": "refmeta.evidence.sampling:trpo_step",
    "kl-estimators": "refmeta.sampling.surrogates:SurrogatePoint.loss",
    "thm:kl-gradients": "refmeta.evidence.kl:expectation",
    "surrogate-naive": "refmeta.sampling.surrogates:SurrogatePoint.loss",
    "lvc": "refmeta.sampling.surrogates:SurrogatePoint.loss",
    "dice": "refmeta.sampling.surrogates:SurrogatePoint.loss",
    "tmaml-baseline": "refmeta.sampling.surrogates:SurrogatePoint.loss",
    "loaded-dice": "refmeta.sampling.surrogates:SurrogatePoint.loss",
    "surrogate-hvp": "refmeta.sampling.surrogates:SurrogatePoint.hvp",
    "thm:naive-curvature": "refmeta.evidence.sampled:expectation",
    "emaml-score-term": "refmeta.sampling.surrogates:emaml_score_term",
    "formulation-exact": "refmeta.meta.sampled:formulation_exact",
    "formulation-sampled": "refmeta.meta.sampled:_expected_loss",
    "promp-objective": "refmeta.meta.sampled:promp_gradient",
    "promp-outer-step": "refmeta.meta.sampled_maml:promp_gradient",
    "estimator-bias": "refmeta.meta.sampled:estimator_bias",
    "estimator-covariance": "refmeta.evidence.sampled:_moments",
    "many-episodes-step": "refmeta.evidence.many_episodes:step_limit",
    "many-episodes-limit": "refmeta.evidence.many_episodes:gradient_limit",
    "thm:many-episodes": "refmeta.evidence.many_episodes:gradient_limit",
    "gaussian-product": "refmeta.meta.pearl.encoder:softmax",
    "gaussian-product-prior": "refmeta.meta.pearl.encoder:_product",
    "gaussian-kl": "refmeta.evidence.pearl:kl",
    "reparametrised-sample": "refmeta.meta.pearl:sample",
    "thm:exact-posterior": "refmeta.evidence.pearl:posterior",
    "soft-critic-loss": "refmeta.meta.pearl.soft_actor_critic:_critic_gradient",
    "soft-actor-loss": "refmeta.meta.pearl.soft_actor_critic:_actor_gradient",
    "temperature-loss": "refmeta.meta.pearl:temperature_loss",
    "encoder-gradient": "refmeta.meta.pearl:encoder_gradient",
    "posterior-sampling": "refmeta.evidence.pearl:posterior_sampling",
    "task-posterior": "refmeta.evidence.pearl:task_posterior",
    "model-posterior": "refmeta.evidence.model_based:posterior",
    "model-prior": "refmeta.evidence.model_based:log_marginal_gradient",
    "model-based-maml": "refmeta.meta.model_based:gradient",
    "thm:model-order": "refmeta.meta.model_based:gradient",
    "bayes-adaptive": "refmeta.evidence.best_possible:optimum",
    "wrong-prior": "refmeta.evidence.best_possible:value_of",
    "hyper-sensitivity": "refmeta.evidence.best_possible:step_size_sensitivity",
}
ORDERS = {"taylor-rate", "reptile-expansion", "thm:finite-difference-order", "thm:many-episodes"}


def worse(value, label):
    """The value with a relative mistake of a millionth; an observed order off by a fifth."""
    if isinstance(value, TaylorRates):
        return TaylorRates(tuple(1.2 * order for order in value.orders))
    if label == "adjoint-test":
        return value + 1e-6
    if label == "decimal-certificate":
        return [[x * (1 + type(x)("1e-6")) for x in row] for row in value[0]], value[1]
    factor = 1 + (1e-3 if label in ORDERS else 1e-6)
    if isinstance(value, tuple):
        parts = [part * factor if isinstance(part, (np.ndarray, float)) else part for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value * factor


@pytest.mark.parametrize("label", [check.label for check in CHECKS if check.label != "thm:joint-tie"])
def test_a_right_formula_passes_and_one_wrong_by_a_millionth_does_not(label, monkeypatch):
    module, _, names = PLACES[label].partition(":")
    home = importlib.import_module(module)
    *path, name = names.split(".")
    home = functools.reduce(getattr, path, home)
    right = vars(home)[name]
    if isinstance(right, functools.cached_property):
        mutant = property(lambda self: worse(right.func(self), label))
    else:
        mutant = lambda *args, **kwargs: worse(right(*args, **kwargs), label)
    check = checks_of([label])[0]
    assert judge(check, seed=5, problems=1).passed
    monkeypatch.setattr(home, name, mutant)
    assert not judge(check, seed=5, problems=1).passed


def test_a_tie_that_is_broken_by_a_millionth_is_seen(monkeypatch):
    """MAML's gradient with outputs that depend on the inputs: the designs are no longer independent of the task."""
    (check,) = checks_of(["thm:joint-tie"])
    assert judge(check, seed=5, problems=5).passed
    right = maml.LinearRegression
    monkeypatch.setattr(maml, "LinearRegression", lambda X, y: right(X, y + 1e-6 * np.sum(X, axis=-1) ** 2))
    assert not judge(check, seed=5, problems=5).passed


def test_every_label_has_its_place():
    missing = set(PLACES) ^ {check.label for check in CHECKS}
    assert not missing, f"say in PLACES where a mistake is to be planted for each label: {missing}"


def test_random_problems_are_of_every_kind_and_have_step_sizes_of_every_shape():
    rng = np.random.default_rng(0)
    every = [maml.random_case(rng) for _ in range(80)]
    kinds = {
        (type(case.support).__name__, getattr(getattr(case.support, "mdp", None), "horizon", None) is None) for case in every
    }
    assert len(kinds) >= 5 and {np.shape(case.alpha)[-1:] == (case.theta.size,) for case in every} == {True, False}
    assert {np.ndim(case.alpha) for case in every} == {0, 1, 2}
    for case in every:
        curvature = largest_curvature(case.support, case.theta)
        assert np.min(case.alpha) > 0 and (not case.steps or curvature < 0.1 or np.max(case.alpha) * curvature <= 0.8 + 1e-12)
    quadratics = [case.support.A for case in every if isinstance(case.support, Quadratic)]
    assert np.min([np.linalg.eigvalsh(A) for A in quadratics]) < 0


@pytest.mark.parametrize("label", ["softmax", "maml-gradient", "thm:neumann-error", "soft-return-gradient", "linear-features"])
def test_an_error_that_is_measured_only_until_it_is_not_the_worst_gives_the_same_worst(label):
    """Of twelve problems, against all of them measured to the end; and an error is never above what a bound says of it."""
    (check,), errors = checks_of([label]), []
    rng = np.random.default_rng([5, *label.encode()])
    while len(errors) < 12:
        error = check.judge(check.draw(rng))
        whole = float(error)
        if not np.isnan(whole):
            errors.append(whole)
            for least in (0.0, whole / 2, 2 * whole, 1.0):
                assert error.above(least) == whole if whole > least else whole <= error.above(least) <= least
    assert judge(check, seed=5, problems=12).worst == max(errors)


def test_the_worst_of_several_errors_is_not_a_number_where_one_of_them_is_not():
    """An error of half a tolerance by hand, beside a number, and beside a function with κ = 10⁷."""
    eps, x = np.finfo(float).eps, np.array([[1.0]])
    half = off(lambda z: z, x, [[1.0 + 16 * eps]])
    assert float(half) == pytest.approx(16 / 30 / 1.1, rel=0.15)
    assert float(worst([half, 0.1])) == float(half) and float(worst([half, 3.0])) == 3.0 and half < 3.0 and half <= float(half)
    assert np.isnan(float(worst([half, off(lambda z: z**1e7, x, x)]))) and float(max(half, 3.0)) == 3.0


def test_an_error_is_ordered_among_numbers_from_both_sides():
    two, none = worst([2.0]), worst([np.nan])
    assert two > 1 and two >= 2 and 1 < two and 2 <= two and not two > 2 and not 3 < two
    assert float(max(1.0, two)) == 2.0 and min(two, 1.0) == 1.0 and [float(e) for e in sorted([two, 1.0, 3.0])] == [1.0, 2.0, 3.0]
    assert not (none < 1 or none <= 1 or none > 1 or none >= 1 or 1 < none or 1 > none)


def test_off_is_the_worst_of_all_tasks_in_units_of_its_tolerance():
    """κ = 1 by hand: F = x; one of two tasks wrong by 60 eps is two tolerances off."""
    eps = np.finfo(float).eps
    x = np.array([[1.0], [1.0]])
    assert float(off(lambda z: z, x, [[1.0], [1.0 + 60 * eps]])) == pytest.approx(60 / 30 / 1.1, rel=0.15)
    assert np.isnan(float(off(lambda z: z**1e7, x, x)))
    np.testing.assert_allclose(condition_number(lambda z: np.array([z[0, 0], 3 * z[1, 0]]), x, np.ones(2)), [1, 3], rtol=0.11)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_result_that_is_not_finite_is_infinitely_far_off(bad):
    """It is not taken for a problem with κ > 10⁶, which would be drawn again."""
    error = off(lambda z: z * [[1.0], [bad]], np.ones((2, 1)), np.ones((2, 1)))
    assert float(error) == np.inf and error.above(1.0) == np.inf
    assert not judge(checks_of(["softmax"])[0]._replace(judge=lambda case: error), seed=0, problems=3).passed
