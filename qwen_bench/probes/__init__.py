"""Scripted dialogues and the probes asked about them. Pure: same parameters, same bytes."""
