"""The views of an experiment: text for a terminal, and JSON."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import refmeta
from refmeta.commands.experiments.record import Experiment, ExperimentPart, Result
from refmeta.tables import number_table, paragraphs

__all__ = ["as_json", "head_text", "limits_text", "part_text"]


def head_text(experiment: Experiment, seed: int) -> str:
    """The title, the seed and the question."""
    return paragraphs(f"{experiment.title} (seed {seed}).\n\nQuestion: {experiment.question}\n")


def part_text(part: ExperimentPart) -> str:
    """The tables of a part, each with its title and unit, and the sentences that they support."""
    tables = [number_table(*table) for table in part.tables]
    return "\n\n".join([*tables, paragraphs("\n".join(part.sentences), "- ", "  ")]) + "\n"


def limits_text(experiment: Experiment) -> str:
    """What the experiment does not show."""
    return paragraphs(f"What this does not show: {experiment.limits}")


def as_json(result: Result) -> str:
    """The whole record: numbers in full, and null for a number that is not finite."""
    about = {key: getattr(result.experiment, key) for key in ("name", "title", "question", "limits")}
    parts = {name: _plain(part) for name, part in result.parts.items()}
    return json.dumps({"refmeta": refmeta.__version__, **about, "seed": result.seed, "parts": parts}, indent=1)


def _plain(value: Any) -> Any:
    """Records as objects, tuples as lists, and numbers that are not finite as None."""
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
