"""Wrong implementations, written by people who do not know how the oracle explains them."""
