"""The meta-gradient of sampled batches from gradients and Hessian products of surrogates that others compute."""

import numpy as np

from tests.oracle.right import formulas, forward, taped


def by_recursion(surrogates, names):
    """Forwards with one gradient per step, backwards with one Hessian product per step, task after task.

    surrogates(name, ...) need give the results of this name only.
    """

    def target(theta, theta_sampled, query_theta_sampled, alpha, rewards, **x):
        shared = {name: x[name] for name in ("state_count", "action_count", "features", "gamma", "lam")}
        x["rewards"] = rewards
        N, K = rewards.shape[:2]
        alphas = np.broadcast_to(alpha, (K, len(theta)))

        def parts(name, i, k, at, v):
            prefix, index = ("query_", (slice(i, i + 1),)) if k == K else ("", (slice(i, i + 1), k))
            batch = {name: x[prefix + name][index] for name in ("states", "actions", "rewards", "mask", "baseline")}
            sampled = query_theta_sampled[i] if k == K else theta_sampled[i, k]
            return surrogates(name, theta=at, theta_sampled=sampled, v=v, **batch, **shared)

        out = {}
        for name in names:
            for i in range(N):
                path = [np.array(theta)]
                for k in range(K):
                    path.append(path[-1] - alphas[k] * np.asarray(parts(name, i, k, path[-1], 0 * theta)[f"{name}_grad"])[0])
                g = np.asarray(parts(name, i, K, path[-1], 0 * theta)[f"{name}_grad"])[0]
                for k in reversed(range(K)):
                    g = g - np.asarray(parts(name, i, k, path[k], alphas[k] * g)[f"{name}_hvp"])[0]
                out.setdefault(f"{name}_adapted", []).append(path[-1])
                out.setdefault(f"{name}_objective", []).append(np.asarray(parts(name, i, K, path[-1], 0 * theta)[f"{name}_loss"])[0])
                out.setdefault(f"{name}_gradient", []).append(g)
        return out

    return target


RIGHT = [
    ("maml-sampled", "scores written out", by_recursion(lambda name, **x: formulas.surrogates(**x), ("reinforce", "dice", "loaded_dice")), {}, False),
    ("maml-sampled", "hyper-dual numbers", by_recursion(lambda name, **x: forward.surrogates(**x, names=[name]), ("dice", "tmaml", "loaded_dice")), {}, False),
    ("maml-sampled", "reverse mode", by_recursion(lambda name, **x: taped.surrogates(**x, names=[name]), ("likelihood_ratio", "tmaml")), {}, False),
]
