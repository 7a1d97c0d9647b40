"""Engines turn requests into replies. They know nothing of probes; importing this imports no torch."""
