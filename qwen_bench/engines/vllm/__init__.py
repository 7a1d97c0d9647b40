"""vLLM in process: its prefix cache and LoRA requests behind the protocol of this project.

`sampling_requests` says what vLLM is asked, `vllm_model` makes its `LLM`, `vllm_engine` answers
units with it. Nothing here imports vllm before an engine is opened.
"""
