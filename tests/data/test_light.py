"""The data commands need no model library."""

import json
import subprocess
import sys

HEAVY = {"torch", "transformers", "peft", "matplotlib", "openai", "ray", "vllm"}
CALLS = """
import json, sys
from qwen_bench.cli.main import main
codes = [main(words.split()) for words in sys.argv[1:]]
print(json.dumps([codes, sorted({name.split(".")[0] for name in sys.modules})]), file=sys.stderr)
"""


def test_without_a_model_none_of_the_commands_loads_a_model_library(tmp_path):
    calls = (
        "data generate -o a.jsonl --n 2 --lengths 1-2",
        "data validate a.jsonl",
        "data convert a.jsonl -o b.json --to openai",
        "data overlap a.jsonl --suite quick --limit 1 --lengths 1 --lang en",
        "data stats a.jsonl",
    )

    done = subprocess.run(
        [sys.executable, "-c", CALLS, *calls],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )

    codes, modules = json.loads(done.stderr.splitlines()[-1])
    assert codes == [0] * len(calls)
    assert not HEAVY & {*modules}
