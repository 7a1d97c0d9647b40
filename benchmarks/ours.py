"""This project's engine on token ids: `python -m benchmarks.ours --grid G140 --model qwen3-tiny`.

Calls what `HfEngine` calls after rendering and encoding, one unit a dialogue. `gate` checks the
token counts of a measurement; seconds are never a gate.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import grids, measuring, models
from benchmarks.measuring import Asked, Measured


def load(asked: Asked) -> Callable[[grids.Grid], Measured]:
    """The engine on a prepared model; its settings are the two strategies."""
    import torch  # noqa: PLC0415 - after the process is prepared

    from qwen_bench.engines.hf.forward import Forward  # noqa: PLC0415
    from qwen_bench.engines.hf.selfcheck import choose_strategy  # noqa: PLC0415
    from qwen_bench.record.counters import Counters  # noqa: PLC0415

    measuring.torch_thread()
    model = models.load(asked.folder)
    config = model.config.get_text_config(decoder=True)
    device, dtype = torch.device("cpu"), torch.float32
    with torch.inference_mode():
        choice = choose_strategy(Forward(model, config, device, dtype, Counters()), model)
    if choice.strategy == "copying":
        raise SystemExit(f"the self-check chose copied caches: {choice.reason}")

    def answer(grid: grids.Grid) -> Measured:
        counters = Counters()
        forward = Forward(model, config, device, dtype, counters)
        answers: list[tuple[int, ...]] = []
        margins: list[float] = []
        scores: list[tuple[float, ...]] = []
        for number in range(len(grid.prompts)):
            with torch.inference_mode():
                results = answer_dialogue(
                    grid,
                    number,
                    asked.mode,
                    forward=forward,
                    counters=counters,
                    strategy=choice.strategy,
                )
            for result in results:
                if asked.mode == "rank":
                    scores.append(tuple(score for score, _ in result.scores))
                else:
                    answers.append(result.tokens)
                    margins.append(result.margin)
        numbers = {
            name: value
            for name, value in counters.as_dict().items()
            if isinstance(value, int) and not isinstance(value, bool)
        }
        numbers["kv_bytes_per_token"] = _kv_bytes(config)
        return Measured(answers, scores, numbers, margins)

    return answer


def answer_dialogue(
    grid: grids.Grid,
    number: int,
    mode: str,
    *,
    forward: Any,  # noqa: ANN401 - torch must not be imported for an annotation
    counters: Any,  # noqa: ANN401 - as above
    strategy: Any,  # noqa: ANN401 - as above
) -> list[Any]:
    """Results of one dialogue in the order of its prompts.

    Args:
        grid: what is asked.
        number: of the dialogue.
        mode: `generate` or `rank`.
        forward: the model, as the engine wraps it.
        counters: those that `forward` counts in.
        strategy: of computing.
    """
    from qwen_bench.engines.decoding import Budget, Stopping  # noqa: PLC0415
    from qwen_bench.engines.hf.selfcheck import STRATEGIES  # noqa: PLC0415
    from qwen_bench.engines.hf.tasks import Computation, Limits, Task, TreeCounters  # noqa: PLC0415
    from qwen_bench.engines.prefix_tree import PrefixTree  # noqa: PLC0415

    tree, tasks = PrefixTree(), []
    if mode == "rank":
        for place, scored in enumerate(grid.scored[number]):
            end = tree.insert(scored.context)
            nodes = tuple(
                tree.path(tree.insert(ids, end), len(scored.context)) for ids in scored.candidates
            )
            tasks.append(Task(place, end, nodes))
    else:
        budget = Budget(grid.new_tokens, 0)
        for place, ids in enumerate(grid.prompts[number]):
            tasks.append(Task(place, tree.insert(ids), budget=budget))
    # Nothing stops an answer and no text is a thought: ids stand for themselves.
    work = Computation(
        tree, forward, TreeCounters(counters), Limits(), Stopping(frozenset(), lambda _: "-"), 0
    )
    found = [finished for batch in STRATEGIES[strategy](work, tasks) for finished in batch]
    found.sort(key=lambda finished: finished.task.number)
    return [finished.result for finished in found]


def _kv_bytes(config: Any) -> int:  # noqa: ANN401 - a transformers configuration
    """Bytes of keys and values of one token in float32."""
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * config.num_key_value_heads * size * 4)


def gate(line: dict[str, Any], folder: Path) -> list[str]:
    """What is not as promised in the counters of a measurement; empty when all is well.

    Args:
        line: of `ours`, generating.
        folder: of the prepared models.
    """
    counters = line["counters"]
    grid = grids.load(line["grid"], folder)
    due = counters["tree_tokens"] + counters["decoded_tokens"]
    most = (1.2 * grid.longest + grids.suffix_tokens(grid)) * counters["kv_bytes_per_token"]
    tree = grids.tree_tokens(grid)
    held = {
        "the tree has as many tokens as the grid": counters["tree_tokens"] == tree,
        "forward <= 1.02 * (tree + decoded)": counters["forward_tokens"] <= 1.02 * due,
        "no padding": counters["padding_tokens"] == 0,
        "K/V <= 1.2 * longest + suffixes": 0 < counters["peak_kv_bytes"] <= most,
        "at least half of the answers differ": 2 * len({tuple(a) for a in line["answers"]})
        >= len(line["answers"]),
    }
    return [name for name, well in held.items() if not well]


if __name__ == "__main__":
    measuring.measure(
        "ours", ("torch", "transformers"), load, settings=("default",), modes=("generate", "rank")
    )
