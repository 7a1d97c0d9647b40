"""Solvers: answers without a model, by which the benchmark tests itself. Imports nothing."""
