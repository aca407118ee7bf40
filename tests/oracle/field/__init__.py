"""Implementations of other people, right and wrong, written without a look at how mistakes are diagnosed."""
