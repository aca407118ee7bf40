"""What popular code computes: points of the product of choices.  Derivation: derivations/sampled-meta-gradients.md

Read in cbfinn/maml_rl (maml_npo.py, rllab/sampler/base.py), jonasrothfuss/ProMP (pro_mp.py, trpo_maml.py, dice_maml.py,
dice_sample_processor.py), tristandeleu/pytorch-maml-rl (maml_trpo.py, torch_utils.py), learnables/learn2learn
(examples/rl: maml_trpo.py, metasgd_a2c.py, promp.py, maml_dice.py, policies.py) with learnables/cherry, alshedivat/lola (rpg.py).
The baseline is what they fit, given as data.
"""

from typing import Any

__all__ = ["RECIPES"]

MEAN, NAIVE = {"discount": "dropped", "over time": "steps taken"}, {"curvature": "reinforce"}
TRPO: dict[str, dict[str, Any]] = {
    "MAML-TRPO (cbfinn/maml_rl, ProMP)": MEAN | {"advantages": ("normalised 0", "task", 1e-8)},
    "MAML-TRPO (learn2learn)": MEAN | {"advantages": ("normalised 1", "task", 1e-8), "log pi": "mean"},
    "MAML-TRPO (pytorch-maml-rl)": MEAN | {"over time": "own steps", "advantages": ("normalised 0", "means", 1e-8)},
}
RECIPES: dict[str, dict[str, Any]] = {
    **TRPO,
    **{f"{name}, log pi instead of its ratio": point | {"denominators": "left out"} for name, point in TRPO.items()},
    **{f"{name}, naive curvature": point | NAIVE for name, point in TRPO.items()},
    **{f"{name}, naive curvature, log pi instead of its ratio": point | NAIVE | {"denominators": "left out"} for name, point in TRPO.items()},
    **{
        f"the clipped ratio of ProMP, {clip}": MEAN | {"advantages": ("normalised 0", "task", 1e-8), "ratio": ("clip", clip)}
        for clip in (0.1, 0.2, 0.3)
    },
    "DiCE (ProMP)": {
        "discount": "on the return", "baseline's place": "inside", "advantages": ("normalised 0", "padding", 1e-8), "over time": "H",
        "denominators": "follow",
    },
    "DiCE (learn2learn)": MEAN | {
        "return": "to go", "baseline's place": "inside", "sums": "fading around", "denominators": "follow", "log pi": "mean",
    },
    **{
        f"DiCE of normalised advantages (ddof {n}{words})": {
            "return": "to go", "discount": "dropped", "baseline's place": "inside", "advantages": (f"normalised {n}", over, 1e-8), "over time": mean,
        }
        for n in (0, 1) for words, over, mean in ((", padding included", "padding", "H"), ("", "task", "steps taken"))
    },
    "PPO's, with GAE": MEAN | {"return": "gae", "advantages": ("normalised 1", "task", 1e-8), "ratio": ("clip", 0.2)},
    "TRPO's, with GAE": MEAN | {"return": "gae", "advantages": ("normalised 1", "task", 1e-8)},
    "actor-critic's, with GAE": MEAN | NAIVE | {"return": "gae", "advantages": ("normalised 1", "task", 1e-8), "denominators": "left out"},
    "lola_dice without use_baseline": {"baseline": "mean of each step", "baseline's place": "inside", "denominators": "follow"},
    "lola_dice without use_dice": NAIVE | {"denominators": "left out"},
    "lola_dice without use_dice and use_baseline": {
        "baseline": "mean of each step", "baseline's place": "inside", "ratio": ("linear box",), "denominators": "left out",
    },
}  # fmt: skip
