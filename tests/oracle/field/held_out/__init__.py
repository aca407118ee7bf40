"""Wrong implementations that nobody reads before the work is done."""
