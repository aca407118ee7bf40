"""Exercises that grade themselves: one file for each lesson, and what reads a student's file."""

__all__: list[str] = []
