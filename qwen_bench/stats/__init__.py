"""Intervals, paired tests and verdicts. Pure numpy; every random number is seeded."""
