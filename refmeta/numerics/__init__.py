"""Derivatives from values alone, with the error that is left, and what a user's functions return.  Derivation: derivations/judges.md"""

__all__: list[str] = []
