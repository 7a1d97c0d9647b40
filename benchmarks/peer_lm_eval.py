"""lm-eval's `hf` model: token ids into its log-likelihood path, or `generate_until` on words.

`generate_until` takes text only; its prompts are words that stand for one id each, and encoding
them is part of the time it takes.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from benchmarks import grids, measuring, models
from benchmarks.measuring import Asked, Measured


def load(asked: Asked) -> Callable[[grids.Grid], Measured]:
    """The setting is its batch size."""
    from lm_eval.api.instance import Instance  # noqa: PLC0415 - after the process is prepared
    from lm_eval.models.huggingface import HFLM  # noqa: PLC0415 - as above

    measuring.torch_thread()
    model = models.load(asked.folder)
    runner = HFLM(
        pretrained=model,
        tokenizer=models.word_tokenizer(model.config.vocab_size),
        batch_size=int(asked.setting.removeprefix("batch-")),
        max_length=asked.grid.longest + 1,
        device="cpu",
    )

    def score(grid: grids.Grid) -> Measured:
        items = [item for dialogue in grid.scored for item in dialogue]
        requests = [
            ((f"{place}", f"{number}"), list(item.context), list(ids))
            for place, item in enumerate(items)
            for number, ids in enumerate(item.candidates)
        ]
        found = iter(runner._loglikelihood_tokens(requests, disable_tqdm=True))  # noqa: SLF001
        scores = [[value for value, _ in islice(found, len(item.candidates))] for item in items]
        # It feeds all but the last token of context and continuation.
        forward = sum(len(context) + len(ids) - 1 for _, context, ids in requests)
        return Measured(scores=scores, counters={"forward_tokens": forward})

    def write(grid: grids.Grid) -> Measured:
        options = {"until": [], "max_gen_toks": grid.new_tokens, "do_sample": False}
        requests = [
            Instance(
                "generate_until", {}, (" ".join(f"t{token}" for token in ids), dict(options)), place
            )
            for place, ids in enumerate(grid.flat)
        ]
        texts = runner.generate_until(requests, disable_tqdm=True)
        answers = [[int(word) for word in text.split("t")[1:]] for text in texts]
        forward = sum(map(len, grid.flat)) + sum(len(ids) - 1 for ids in answers)
        return Measured(answers, counters={"forward_tokens": forward})

    return score if asked.mode == "rank" else write


if __name__ == "__main__":
    measuring.measure(
        "peer_lm_eval",
        ("lm_eval", "torch", "transformers"),
        load,
        settings=("batch-1", "batch-8"),
        modes=("rank", "generate"),
    )
