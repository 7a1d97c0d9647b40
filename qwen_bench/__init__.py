"""qwen-bench: does a fine-tuned ChatML model still remember the conversation?

The data flows one way: ``tasks/`` definitions become probes (`qwen_bench.probes`), probes become
ChatML prompts (`qwen_bench.chat`), engines answer them (`qwen_bench.engines`), answers are scored
(`qwen_bench.scoring`), kept (`qwen_bench.runs`), compared (`qwen_bench.stats`) and shown
(`qwen_bench.report`).
"""

__version__ = "0.1.0"
