"""Engines turn requests into replies; they know no probes. Importing this loads no torch."""
