"""Engines side by side on Ray: several GPUs, several nodes. Importing this loads no ray."""
