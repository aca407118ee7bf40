"""The choices of implementations of penalties: of each the right alternative first.  Derivation: derivations/sampled-policy-gradients.md"""

from refmeta.oracle.choices import Choices

__all__ = ["KL_CHOICES", "SHARED"]

KL_CHOICES: Choices = {
    "form of the penalty": {
        "in the loss with the ratio": "with ratio", "in the loss without the ratio": "in loss", "in the loss, the ratio held": "held",
        "in the reward": "in reward", "in the reward of its own step, with the ratio": "own step", "in the reward of its own step": "own step alone",
        "in the loss and in the reward": "both", "in the loss with the ratio of all steps so far": "so far",
        "in the reward, with the ratio": "in reward, weighted", "in the reward, paid anew at theta": "in reward anew",
        "in the reward, paid anew at theta, with the ratio": "in reward anew, weighted",
        "the divergence of the policy from the reference in each state": "divergence",
        "the divergence of the reference from the policy in each state": "other divergence",
    },
    "function of the log ratio": {
        "its own": "own", "k1": "kl_k1", "k2": "kl_k2", "k3": "kl_k3", "l^2": "square", "|l|": "absolute", "exp(-l) - l - 1": "log sign",
        "exp(-l) + l": "without 1", "exp(-l) - 1": "without l", "exp(l) - 1": "ratio less 1", "l exp(l)": "weighted",
        "k3 at most 10, of l between -20 and 20": "clamped", "k1 with the slope of k2": "k1 with the slope of k2", "k3 with the slope of k2": "k3 with the slope of k2",
    },
    "log ratio of the penalty": {
        "to the reference": "theta_ref", "upside down": "swapped", "to the policy that drew the batch": "theta_sampled", "log pi alone": "",
    },
}  # fmt: skip
SHARED = (
    "discount", "over time", "over trajectories", "over tasks", "mask", "trajectories used", "log pi", "a step is read with", "order of theta",
    "denominators", "log ratio", "evaluated at", "after differentiation", "sign",
)  # fmt: skip
