"""Implementations as other people write them: right ones, and wrong ones."""
