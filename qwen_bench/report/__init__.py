"""The HTML report: one self-contained page made from runs, summaries and comparisons."""
