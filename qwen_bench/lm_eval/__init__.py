"""The task plugin of EleutherAI's lm-evaluation-harness, and the import of its logs."""
