"""How much a whole suite shares: `core`, condition `main`, all families, both languages.

    python -m benchmarks.sharing

A random model of one tiny layer with the embedded model's tokenizer and template is asked through
`qwen-bench run`. Token counts do not depend on weights; every answer has exactly `ANSWER_TOKENS`,
because the model cannot say a stop token. The counters of the run are the result.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import children, machine, measuring

ANSWER_TOKENS = 20
LEAST = 6.0
_COUNTERS = (
    "requests",
    "naive_tokens",
    "tree_tokens",
    "decoded_tokens",
    "forward_tokens",
    "padding_tokens",
    "recomputed_tokens",
    "sharing_ratio",
)


def tiny_folder(folder: Path) -> None:
    """Write the random model with the embedded model's tokenizer; it never says a stop token."""
    import torch  # noqa: PLC0415 - after the process is prepared
    from transformers import Qwen2Config, Qwen2ForCausalLM  # noqa: PLC0415 - as above

    from qwen_bench.engines.embedded import embedded_tokenizer  # noqa: PLC0415
    from qwen_bench.engines.prompter import STOP_STRINGS  # noqa: PLC0415

    tokenizer = embedded_tokenizer()
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        max_position_embeddings=8192,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=None,
    )
    model = Qwen2ForCausalLM(config).eval()
    stops = {tokenizer.convert_tokens_to_ids(name) for name in STOP_STRINGS}
    with torch.no_grad():
        model.lm_head.weight[sorted(stops | {tokenizer.eos_token_id})] = 0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def run_suite(folder: Path, words: list[str]) -> dict[str, Any]:
    """Counters of `qwen-bench run` on a model folder.

    Args:
        folder: of the model; the run is kept beside it.
        words: which probes.
    """
    runs = folder.parent / "runs"
    command = [
        "run",
        *("--model", str(folder), "--device", "cpu", "--max-new-tokens", str(ANSWER_TOKENS)),
        *("--mode", "generate", "--runs-dir", str(runs), "--run-id", "sharing"),
        *("--max-error-rate", "0", "--display", "none", *words),
    ]
    code = "import sys; from qwen_bench.cli.main import entry_point; sys.exit(entry_point())"
    subprocess.run([sys.executable, "-c", code, *command], check=True)  # noqa: S603 - ourselves
    summary = json.loads((runs / "sharing" / "summary.json").read_text(encoding="utf-8"))
    efficiency: dict[str, Any] = summary["efficiency"]
    return efficiency


def main() -> int:
    """Measure and write `results/<date>-sharing-core.json`; 1 if too little was shared."""
    measuring.prepare_process()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sharing", description=__doc__)
    parser.add_argument("--results", type=Path, default=children.ROOT / "benchmarks" / "results")
    parser.add_argument("--limit", type=int, help="rotations of every programme, for a quick look")
    given = parser.parse_args()
    words = ["--suite", "core", "--condition", "main"]
    words += [] if given.limit is None else ["--limit", str(given.limit)]
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "tiny"
        tiny_folder(folder)
        begun = time.perf_counter()
        found = run_suite(folder, words)
        seconds = time.perf_counter() - begun
    held = {
        "schema": 1,
        "kind": "sharing",
        "date": time.strftime("%Y-%m-%d"),
        "command": "qwen-bench run " + " ".join(words) + f" --max-new-tokens {ANSWER_TOKENS}",
        "tokenizer": "SmolLM2-135M-Instruct",
        "answer_tokens": ANSWER_TOKENS,
        "seconds": round(seconds, 1),
        "source": machine.source(children.ROOT),
        "counters": {name: found[name] for name in _COUNTERS},
    }
    given.results.mkdir(parents=True, exist_ok=True)
    path = given.results / f"{held['date']}-sharing-core.json"
    path.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
    ratio = found["sharing_ratio"]
    sys.stdout.write(
        f"sharing ratio {ratio:.2f} (at least {LEAST:g} wanted): {found['naive_tokens']:,} tokens "
        f"without sharing, {found['forward_tokens']:,} through the model, {found['requests']:,} "
        f"requests, {seconds:.0f} s\n"
    )
    return int(ratio < LEAST)


if __name__ == "__main__":
    sys.exit(main())
