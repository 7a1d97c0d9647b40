"""The proof that verdicts mean what they say: simulations of the project's own statistics.

``python -m tools.calibration`` compares simulated models whose true difference is known,
counts how often the product's functions are right, and writes docs/calibration.md (statistics
specification, section 11).
"""
