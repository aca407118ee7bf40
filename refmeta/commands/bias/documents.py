"""The JSON of `python -m refmeta bias`.  Derivation: derivations/sampled-meta-gradients.md"""

import json
import math
from collections.abc import Sequence
from typing import Any

import refmeta
from refmeta.commands.bias.blocks import BiasRow, Block
from refmeta.commands.bias.gradients import GradientBlock
from refmeta.commands.bias.likeness import Likeness
from refmeta.sampling.enumeration import number_of_paths
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["as_json"]


def as_json(name: str, task: PolicyReturn, settings: Sequence[Block], gradients: Sequence[GradientBlock] = ()) -> str:
    """Every block, with numbers in full and null for a number that is not finite."""

    def number(x: float) -> float | None:
        return x if math.isfinite(x) else None

    def estimator(row: BiasRow) -> dict[str, Any]:
        biases = {key: {f: number(x) for f, x in getattr(row, key)._asdict().items()} for key in ("exact", "sampled")}
        return {"estimator": row.estimator.name} | biases

    def entry(block: Block) -> dict[str, Any]:
        sizes = {"steps": block.steps, "episodes": block.episodes if math.isfinite(block.episodes) else "inf", "alpha": block.alpha}
        both = {key: [number(float(x)) for x in getattr(block, key)] for key in ("exact", "sampled")}
        likenesses: dict[str, Any] = {"likenesses": as_dicts(block.likenesses)} if block.likenesses else {}
        likenesses |= {"note": block.note} if block.note else {}
        return {**sizes, "gradient": both, "estimators": [estimator(row) for row in block.rows], **likenesses}

    def as_dicts(likenesses: Sequence[Likeness]) -> list[dict[str, Any]]:
        return [{f: number(x) if isinstance(x, float) else x for f, x in each._asdict().items()} for each in likenesses]

    def of_gradient(block: GradientBlock) -> dict[str, Any]:
        rows = [{"estimator": row.name, **{f: number(x) for f, x in row.bias._asdict().items()}} for row in block.rows]
        return {"episodes": block.episodes, "gradient": block.gradient.tolist(), "estimators": rows, "likenesses": as_dicts(block.likenesses)}

    document: dict[str, Any] = {"refmeta": refmeta.__version__, "process": name, "trajectories": number_of_paths(task.mdp), "norm": "Euclidean"}
    document |= {"settings": [entry(block) for block in settings]}
    return json.dumps(document | ({"loss gradients": [of_gradient(block) for block in gradients]} if gradients else {}), indent=1)
