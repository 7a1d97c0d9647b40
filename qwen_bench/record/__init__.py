"""What qwen-bench values say: a run, its manifest and its outcomes, without file access."""
