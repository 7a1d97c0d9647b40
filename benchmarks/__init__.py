"""Speed and memory of the engine, side by side with others; see README.md."""
