"""llama.cpp's server in this process (xllamacpp): one slot, prompt cache, prompts in tree order.

More slots are slower on this work, because slots share nothing. The prebuilt wheel is not compiled
for the processor it runs on. Answers equal those of float32 torch only with keys and values in
float32 and flash attention off, the setting `f32`; `default` is what the server does by itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from benchmarks import grids, measuring, models
from benchmarks.measuring import Asked, Measured


def load(asked: Asked) -> Callable[[grids.Grid], Measured]:
    """Start a server on a loopback port; it is asked through its functions, not through HTTP."""
    import xllamacpp as llama  # noqa: PLC0415 - not installed everywhere

    params = llama.CommonParams()
    params.model.path = str(asked.folder / models.GGUF)
    params.n_parallel = 1
    params.n_ctx = -(-(asked.grid.longest + 8) // 256) * 256
    params.cache_prompt = True
    params.cache_ram_mib = 0
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.n_threads_http = 1
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.ui = False
    params.verbosity = -1
    if asked.setting == "f32":
        params.cache_type_k = params.cache_type_v = llama.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = llama.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    server = llama.Server(params)

    def answer(grid: grids.Grid) -> Measured:
        answers: dict[int, list[int]] = {}
        forward = 0
        for place in grid.tree_order:
            reply = _complete(server, grid.flat[place], grid.new_tokens)
            # The GGUF vocabulary spells id 17 as `t17`.
            answers[place] = [int(word) for word in reply["choices"][0]["text"].split("t")[1:]]
            timings = reply["timings"]
            forward += int(timings["prompt_n"]) + int(timings["predicted_n"]) - 1
        ordered = [answers[place] for place in range(len(answers))]
        return Measured(ordered, counters={"forward_tokens": forward})

    return answer


def _complete(server: Any, ids: tuple[int, ...], new_tokens: int) -> dict[str, Any]:  # noqa: ANN401
    request = {
        "prompt": list(ids),
        "max_tokens": new_tokens,
        "temperature": 0.0,
        "samplers": ["temperature"],
        "repeat_penalty": 1.0,
        "ignore_eos": True,
        "cache_prompt": True,
        "id_slot": 0,
    }
    reply = server.handle_completions(request)
    found: dict[str, Any] = json.loads(reply) if isinstance(reply, str) else reply
    if "choices" not in found:
        raise SystemExit(f"llama.cpp refused a prompt: {str(found)[:300]}")
    return found


if __name__ == "__main__":
    measuring.measure(
        "peer_llama_cpp", ("xllamacpp",), load, settings=("f32", "default"), modes=("generate",)
    )
