"""A problem of one's own: its class, and the algorithms that it may be of.  Derivation: derivations/using-the-oracle.md"""

__all__: list[str] = []
