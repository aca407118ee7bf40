"""The choices of what stands before a ratio: rewards, returns, baselines, advantages, means.  Derivation: derivations/sampled-meta-gradients.md"""

from refmeta.oracle.choices import Choices

__all__ = ["WEIGHING"]

STATISTICS = {
    "": "task", " over all tasks": "all tasks", " over each trajectory": "trajectory", " over each step in time": "each step",
    " with the padding": "padding", " over all tasks, with the padding": "padding of all tasks", " over each step in time of all tasks": "each step of all tasks",
    " over each trajectory, with the padding": "padded trajectory", " over each step in time, with the padding": "padded step",
    " over the tasks": "tasks", " by means of the trajectories' means": "means",
}  # fmt: skip
NORMALISED = {
    **{
        f"normalised (ddof {n}){words}": (f"normalised {n}", over, 1e-8)
        for words, over in STATISTICS.items() for n in (0, 1) if n == 0 or over != "means"
    },
    **{
        f"normalised (ddof {n}){words}, no epsilon": (f"normalised {n}", over, 0.0)
        for words, over in STATISTICS.items() if over in ("task", "all tasks", "padding") for n in (0, 1)
    },
    **{
        f"normalised (ddof {n}), epsilon {words}": (f"normalised {n}", "task", epsilon)
        for words, epsilon in (("1e-5", 1e-5), ("1e-6", 1e-6)) for n in (0, 1)
    },
    **{f"normalised (ddof {n}), 1e-8 inside the root": (f"normalised {n}, inside", "task", 1e-8) for n in (0, 1)},
    **{f"gamma^t times them normalised (ddof {n}){words}": (f"weighted {n}", over, 1e-8) for n in (0, 1) for words, over in (("", "task"), (" with the padding", "padding"))},
    "divided by the variance": ("normalised 0, variance", "task", 1e-8),
    **{f"only centred{words}": ("centred", over, 0.0) for words, over in STATISTICS.items() if over != "means"},
    **{
        f"the return normalised (ddof {n}){words}, the baseline subtracted after": (f"return {n}", over, 1e-8)
        for words, over in STATISTICS.items() if over != "means" for n in (0, 1) if n == 0 or over in ("task", "each step")
    },
    **{
        f"only divided by their deviation (ddof {n}){words}{more}": (f"scaled {n}", over, epsilon)
        for n in (0, 1) for words, over in STATISTICS.items() if over in ("task", "all tasks", "padding")
        for more, epsilon in (("", 1e-8), (", no epsilon", 0.0))
    },
}  # fmt: skip
FUNCTIONS = {
    "positive part": ("positive part", "task", 0.0), "shifted to be positive": ("shifted", "task", 1e-8), "clipped at ± 1": ("clipped", "task", 1.0),
    "clipped at ± 0.5": ("clipped", "task", 0.5), "their signs": ("signs", "task", 0.0), "their absolute values": ("absolute", "task", 0.0),
    "tanh": ("tanh", "task", 0.0), "exp": ("exponential", "task", 1.0), "softmax over the task's batch": ("softmax", "task", 1.0),
    "1 where positive": ("above 0", "task", 0.0), "squared": ("squared", "task", 0.0), "between 0 and 1 by their range": ("range", "task", 1e-8),
    "divided by the largest": ("largest", "task", 1e-8), "divided by the largest, no epsilon": ("largest", "task", 0.0),
}  # fmt: skip
WEIGHING: Choices = {
    "discount": {
        "gamma^t": "kept", "dropped": "dropped", "gamma^(2t)": "squared", "gamma^(t+1)": "one more", "gamma^(t-1), 1 at first": "one less",
        "gamma^t on the return, not on the baseline": "on the return", "time runs on from one trajectory to the next": "running",
        "time runs on over the steps taken, from one trajectory to the next": "running over steps", "gamma^m of the m-th trajectory": "running over trajectories",
        "gamma^(H-1-t)": "reversed", "gamma^(H-t)": "to the horizon", "gamma^(steps left)": "to the end", "gamma^(t/2)": "half",
        "gamma^t divided by their sum": "normalised", "1/(t+1)": "harmonic", "gamma from the second step on": "first alone",
    },
    "over time": {
        "sum": "sum", "mean over the steps taken in the task's batch": "steps taken", "mean over H, padding included": "H",
        "mean over each trajectory's own steps": "own steps", "mean over the steps taken in all tasks": "all steps taken", "each divided by t + 1": "steps before", "each divided by the steps left": "steps left",
        "divided by the root of the mean number of steps": "root of the steps",
    },
    "over trajectories": {
        "mean": "mean", "sum": "sum", "mean at each time over those that still run": "living", "divided by M - 1": "M - 1", "divided by M + 1": "M + 1",
        "divided by the number of those that do not end early": "not ended", "divided by the root of M": "root",
    },
    "trajectories used": {"all": ("", 0)} | {
        f"{name}{words}": (name, used)
        for name in ("but the last", "but the first", "the first", "the last", "the first half", "every second")
        for words, used in ((", divided by M", 0), (", their mean", 1))
    },
    "over tasks": {"each its own": "each", "divided by N": "mean"},
    "rewards": {
        "as they are": "own", "of the next step": "next", "of the step before": "before", "of the step before, the last one's first": "around",
        "of the next step, the first one's last": "around, next", "in the other order of time": "reversed",
        "clipped at ± 1": ("clipped", 1.0), "clipped to 0 … 1": ("clipped above 0", 1.0), "their signs": "signs", "positive part": "positive",
        "absolute values": "absolute", "only centred": "centred", "normalised (ddof 0)": "normalised 0", "normalised (ddof 1)": "normalised 1",
        "only divided by their deviation (ddof 0)": "scaled 0", "only divided by their deviation (ddof 1)": "scaled 1", "the first alone": "first",
        "that of the last step alone": "last", "without the first": "without the first", "without that of the last step": "without the last",
        "without that of step H": "without H", "cumulated": "cumulated", "divided by H": "over H", "of the first trajectory": "first trajectory's",
        "of the first task": "first task's", "mean over the trajectories": "mean of trajectories", "of the next trajectory": "next trajectory's",
        "sign times log(1 + size)": "log",
    },
    "return": {
        "its own": "own", "reward to go": "to go", "the reward of the step": "reward", "whole return, without gamma^t": "whole alone",
        "whole return": "whole", "whole undiscounted return": "whole undiscounted",
        "to go, discounted from the start": "from the start", "to go, undiscounted": "undiscounted",
        "to go, without the reward of the step": "after", "that of the next step": "next",
        "the reward and gamma b of the next step": "one step", "two rewards and gamma^2 b": "two steps", "GAE with lam": "gae",
        "GAE with lam, after the last step its own baseline": "gae ends", "the reward and gamma b, after the last step its own": "td ends",
        "GAE with lam, the baseline subtracted once more": "gae bare", "GAE with 0.95": ("gae of", 0.95), "of the past (not reversed)": "past",
        "the reward, discounted once more": "discounted reward", "to go, and the baseline of the last step for the rest": "bootstrapped",
        "to go, and gamma^(H-t) times the baseline of step H": "bootstrapped at H", "to go, the last reward replaced by its baseline": "bootstrapped instead",
        "to go, times gamma": "once more", "to go with gamma^2": "squared", "to go through the ends of trajectories": "through ends",
        "to go through the ends of trajectories, over the steps taken": "through ends, steps", "mean of the rewards to go": "mean to go", "to go, divided by H - t": "over steps left",
        "to go, times 1 - gamma": "normalised to go",
    },
    "baseline": {
        "as given": "given", "none": "none", "twice": "twice", "added": "added", "half": "half", "its absolute values": "absolute",
        "mean of the batch at each step": "mean of each step", "mean at each step of the trajectories that still run": "mean of the living",
        "mean of all steps of the batch": "mean", "mean of all steps, padding included": "padded mean", "mean of each trajectory": "mean of each trajectory",
        "mean of all steps of all tasks": "mean of all", "mean at each step over all tasks": "mean of each step in all",
        "mean over the tasks": "mean of each step over tasks", "mean of the first steps": "mean of first steps", "median at each step": "median",
        "largest at each step": "largest", "the first trajectory's return": "first trajectory's return", "leave-one-out": "leave one out",
        "leave-one-out of those that still run": "leave one out of the living", "leave-one-out of all steps": "leave one out of all",
        "leave-one-out of the trajectory's steps": "leave one out of the trajectory", "mean return of the batch in each state": "mean of each state",
        "the batch's returns fitted by a line in time": "fitted line", "the batch's returns fitted by a parabola in time": "fitted square",
        "that of the next step": "of the next step", "gamma times that of the next step": "next times gamma", "that of the step before": "of the step before",
        "that of the step before, the last one's first": "around", "that of the next step, the first one's last": "around, next",
        "that of the first step": "of the first step", "that of the last step": "of the last step", "that of step H": "of step H", "its mean over time": "mean over time",
        "its mean over the trajectories": "mean over trajectories", "its mean over the task": "mean of the given", "the next trajectory's": "next trajectory's",
        "the first trajectory's": "first trajectory's", "the first task's": "first task's", "discounted once more": "discounted once more",
        "times gamma": "times gamma", "divided by gamma^t": "undiscounted", "in the other order of time": "reversed",
        **{f"a moving average over the tasks before{words} (0.9)": (f"running{value}", 0.9) for words, value in (("", ""), (", padding included", ", padded"))},
        **{f"as given, and a moving average over the tasks before{words} (0.9)": (f"plus running{value}", 0.9)
           for words, value in (("", ""), (", padding included", ", padded"))},
    },
    "baseline's place": {"its own": "own", "subtracted inside the magic box": "inside"},
    "advantages": {"as they are": ("as they are",)} | NORMALISED | FUNCTIONS,
    "mask": {
        "kept": "kept", "ignored": "ignored", "ignored in the rewards": "rewards", "ignored but for log pi": "all weights",
        "one step early: last step dropped": "early", "one step early, step H kept": "early, H kept", "one step late": "late", "step H dropped": "without step H",
        "the first step dropped": "without the first step", "the first step alone": "first step", "the last step alone": "last step",
        "that of the first trajectory": "first trajectory's", "that of the last trajectory": "last trajectory's", "that of the first task": "first task's",
        "up to the end of the shortest trajectory": "shortest",
        "trajectories that end early left out": "that do not end early",
    },
}  # fmt: skip
