"""transformers `generate`: full prompts, one by one or in left-padded batches of similar length."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import grids, measuring, models
from benchmarks.measuring import Asked, Measured


def load(asked: Asked) -> Callable[[grids.Grid], Measured]:
    """`single` asks one prompt at a time, `batch` all prompts of similar length together."""
    import torch  # noqa: PLC0415 - after the process is prepared

    measuring.torch_thread()
    model = models.load(asked.folder)

    def answer(grid: grids.Grid) -> Measured:
        prompts = grid.flat
        together = grid.batches if asked.setting == "batch" else [(p,) for p in range(len(prompts))]
        answers: dict[int, list[int]] = {}
        forward = 0
        for places in together:
            width = max(len(prompts[place]) for place in places)
            pads = [width - len(prompts[place]) for place in places]
            ids = torch.tensor(
                [[0] * pad + list(prompts[place]) for pad, place in zip(pads, places, strict=True)]
            )
            mask = torch.ones_like(ids)
            for row, pad in enumerate(pads):
                mask[row, :pad] = 0
            with torch.inference_mode():
                output = model.generate(
                    ids,
                    attention_mask=mask,
                    max_new_tokens=grid.new_tokens,
                    do_sample=False,
                    repetition_penalty=1.0,
                )
            new = output[:, width:].tolist()
            answers.update(zip(places, new, strict=True))
            forward += ids.numel() + sum(len(row) - 1 for row in new)
        return Measured(
            [answers[place] for place in range(len(prompts))], counters={"forward_tokens": forward}
        )

    return answer


if __name__ == "__main__":
    measuring.measure(
        "peer_generate", ("torch", "transformers"), load, settings=("single", "batch")
    )
