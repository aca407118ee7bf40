"""Name the mistake: what a wrong result equals, on every failing vector and on no passing one otherwise."""

from refmeta.oracle.diagnosis.explain import UNCERTAIN, UNKNOWN, Explanation, diagnose, explain, first_of

__all__ = ["UNCERTAIN", "UNKNOWN", "Explanation", "diagnose", "explain", "first_of"]
