"""The evidence for every labelled formula, chapter by chapter, in the order of reading."""

from refmeta.evidence import maml, reptile, returns, shared
from refmeta.evidence.judged import Check

CHECKS: tuple[Check, ...] = (*shared.CHECKS, *returns.CHECKS, *maml.CHECKS, *reptile.CHECKS)
