"""The engine on transformers: every distinct token of a dialogue through the model once."""
