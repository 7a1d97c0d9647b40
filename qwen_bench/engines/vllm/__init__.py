"""vLLM in process: its prefix cache and LoRA requests behind the protocol of this project.

`asking` says what vLLM is asked, `loading` makes its `LLM`, `engine` answers units with it. Nothing
here imports vllm before an engine is opened.
"""
