"""How near the best two tokens were where two answers part: a numerical tie or a defect.

    echo '[[17, [5, 6]]]' | python -m benchmarks.gaps --grid G140 --model qwen3-tiny

reads (place of the prompt, ids both answers begin with) and writes the gap of the best two
log-probabilities at the next token, from one plain forward each.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks import grids, measuring, models


def main() -> None:
    """Read from stdin, write to stdout."""
    measuring.prepare_process()
    import torch  # noqa: PLC0415 - after the process is prepared

    parser = argparse.ArgumentParser()
    parser.add_argument("--grid", required=True)
    parser.add_argument("--model", required=True, choices=models.MODELS)
    parser.add_argument("--models", type=Path, default=models.default_folder())
    given = parser.parse_args()
    prompts = grids.load(given.grid, given.models).flat
    model = models.load(given.models / given.model)
    measuring.torch_thread()
    gaps = []
    for place, common in json.load(sys.stdin):
        with torch.inference_mode():
            logits = model(torch.tensor([[*prompts[place], *common]]), logits_to_keep=1).logits
        top = logits[0, -1].float().topk(2).values
        gaps.append(float(top[0] - top[1]))
    sys.stdout.write(json.dumps(gaps) + "\n")


if __name__ == "__main__":
    main()
