"""The suite `pearl`: one training step of PEARL."""

from refmeta.oracle.common import CONTEXT
from refmeta.oracle.suite import Input, Part, suite_of
from refmeta.oracle.suites.pearl import choices, definition, epsilons, problem, wrong

__all__ = ["SUITE"]

SUITE = suite_of(
    definition, problem, wrong, epsilons, choices=choices,
    name="pearl",
    chapter="pearl",
    title="one training step of PEARL with a linear encoder and soft actor-critic over finite states and actions",
    sizes="N tasks, c transitions in a context, b in a batch, S states, A actions, Z latent variables, F = 1+2*S*A+2*S "
    "features",
    losses="y = r + gamma (1 - terminal) sum_a pi(a|s', z) (Q_target(s', a, z) - tau log pi(a|s', z)). Means are over the "
    "batch's transitions of a task. --ascent turns nothing.",
    inputs={
        **CONTEXT,
        "prior_factors": Input("integer", "1 if N(0, I) is one of the factors of the belief, else 0", "integer"),
        "encoder_mean": Input(
            "(Z, F)",
            "mean of a transition's factor: these weights times its features 1, e_sa (entry s*A + a), e_s', r e_sa, r e_s'",
            place="encoder.mean",
        ),
        "encoder_log_variance": Input("(Z, F)", "log variance of the factor, likewise", place="encoder.log_variance"),
        "noise": Input("(N, Z)", "epsilon: z = mean + sqrt(variance) * epsilon"),
        "states": Input("(N, b)", "s of the batch, integers", "either"),
        "actions": Input("(N, b)", "a of the batch, integers", "either"),
        "rewards": Input("(N, b)", "r of the batch"),
        "following": Input("(N, b)", "s' of the batch, integers", "integer"),
        "terminal": Input("(N, b)", "1 where s' is an end, whose value is 0", "integer"),
        "mask": Input("(N, b)", "1 where there is a transition; what stands elsewhere must not be read", "integer"),
        "critic": Input("(S, A, 1+Z)", "Q(s, a, z) = critic[s, a] . [1, z]"),
        "target_critic": Input("(S, A, 1+Z)", "the same of the target"),
        "policy": Input("(S, A, 1+Z)", "logits policy[s, a] . [1, z]"),
        "log_temperature": Input("number", "log tau"),
        "target_entropy": Input("number", "of the policy, in nats"),
        "gamma": Input("number", "the discount"),
        "beta": Input("number", "weight of kl in the encoder's loss"),
    },
    parts={
        "mean": Part("(N, Z)", "of the belief", turned=False),
        "variance": Part("(N, Z)", "of the belief", turned=False),
        "kl": Part("(N,)", "KL(belief || N(0, I))", turned=False),
        "z": Part("(N, Z)", "the draw of the belief", turned=False),
        "critic_loss": Part("(N,)", "1/2 * mean (Q - y)^2", turned=False),
        "critic_grad": Part("(N, S, A, 1+Z)", "its gradient in critic, y held fixed", turned=False),
        "actor_loss": Part("(N,)", "mean_s sum_a pi (tau log pi - Q), z held fixed", turned=False),
        "actor_grad": Part("(N, S, A, 1+Z)", "its gradient in policy", turned=False),
        "temperature_loss": Part("(N,)", "tau (mean_s entropy of pi - target_entropy)", turned=False),
        "temperature_grad": Part("(N,)", "its slope in log_temperature", turned=False),
        "encoder_mean_grad": Part(
            "(N, Z, F)", "gradient of critic_loss + beta * kl in encoder_mean, y fixed", turned=False
        ),
        "encoder_log_variance_grad": Part("(N, Z, F)", "the same in encoder_log_variance", turned=False),
    },
    unseen=("clamps of logits beyond 800", "clamps of probabilities below 1e-11", "clamps of log variances below -20.5", "clamps of log variances above 9.63"),
)
