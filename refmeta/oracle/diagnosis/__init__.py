"""Name the mistake: what a wrong result equals, on every failing vector and on no passing one otherwise."""

from refmeta.oracle.diagnosis.explain import SECONDS, UNCERTAIN, UNKNOWN, Explanation, diagnose, explain, first_of

__all__ = ["SECONDS", "UNCERTAIN", "UNKNOWN", "Explanation", "diagnose", "explain", "first_of"]
