"""The LoRA recipe: conversations, rows with labels, a small trainer, the adapter folder."""
