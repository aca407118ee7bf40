"""The experiments of `python -m refmeta experiment`, one file for each."""

from refmeta.commands.experiments.adaptation import ADAPTATION
from refmeta.commands.experiments.estimators import ESTIMATORS_EXPERIMENT
from refmeta.commands.experiments.generalisation import GENERALISATION
from refmeta.commands.experiments.record import Experiment
from refmeta.commands.experiments.sample_efficiency import SAMPLE_EFFICIENCY
from refmeta.commands.experiments.sensitivity import SENSITIVITY

__all__ = ["EXPERIMENTS"]

EXPERIMENTS: dict[str, Experiment] = {
    each.name: each for each in (ADAPTATION, SAMPLE_EFFICIENCY, GENERALISATION, SENSITIVITY, ESTIMATORS_EXPERIMENT)
}
