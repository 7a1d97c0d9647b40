"""Commands over the recorded runs, and what they leave: words, exit code, files.

As a script it writes `tests/data/recorded/expected/` again with the code that is installed.
"""

import gzip
import io
import json
import os
import shutil
import tempfile
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

from qwen_bench.cli.main import main

DATA = Path(__file__).resolve().parents[1] / "data" / "recorded"
EXPECTED = DATA / "expected"
CASES = json.loads((DATA / "cases.json").read_text("utf-8"))
PACKED = (".html", ".json")
SAID = "said.txt"
# Variables that commands read.
UNWANTED = ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "OPENAI_BASE_URL", "HF_HUB_OFFLINE")


def furnish(folder):
    """Put the recorded runs, and what they were made from, into an empty folder."""
    for name in ("runs", "families", "lm_eval"):
        shutil.copytree(DATA / name, folder / name)
    shutil.copy(DATA / "filler.jsonl", folder)
    (folder / "out").mkdir()


def call(words):
    """Exit code, stdout and stderr of a command, as one text."""
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", newline="") for _ in range(2)]
    with redirect_stdout(streams[0]), redirect_stderr(streams[1]):
        code = main(words)
    for stream in streams:
        stream.flush()
    out, err = (stream.buffer.getvalue().decode() for stream in streams)
    return f"exit {code}\n--- stdout\n{out}--- stderr\n{err}"


def left_by(words):
    """What a command says and leaves in `out` of the current folder: bytes by name."""
    said = call(words)
    files = {path.name: path.read_bytes() for path in sorted(Path("out").iterdir())}
    return files | {SAID: said.encode()}


def expected_of(name):
    """What the command of that name left when it was recorded."""
    found = {}
    for path in (EXPECTED / name).iterdir():
        data = path.read_bytes()
        packed = path.suffix == ".gz"
        found[path.stem if packed else path.name] = gzip.decompress(data) if packed else data
    return found


def write_expected():
    """Record what every command leaves now."""
    for name in UNWANTED:
        os.environ.pop(name, None)
    shutil.rmtree(EXPECTED, ignore_errors=True)
    for name, words in CASES.items():
        target = EXPECTED / name
        target.mkdir(parents=True)
        with tempfile.TemporaryDirectory() as home, chdir(home):
            furnish(Path(home))
            for file, data in left_by(words).items():
                if file.endswith(PACKED):
                    (target / f"{file}.gz").write_bytes(gzip.compress(data, mtime=0))
                else:
                    (target / file).write_bytes(data)


if __name__ == "__main__":
    write_expected()
