"""``python -m tools.calibration``: simulate, print, and write the page with its pictures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from qwen_bench.errors import QwenBenchError
from qwen_bench.runs.store import read_run
from tools.calibration.page import page
from tools.calibration.pictures import pictures
from tools.calibration.real import cut_against_full, real_page
from tools.calibration.results import calibrate
from tools.calibration.sizes import SEED, SIZES


def main(arguments: list[str]) -> int:
    """Run a calibration.

    Args:
        arguments: the words after the module's name.

    Returns:
        0 when every demand is met, else 1.
    """
    parser = argparse.ArgumentParser(prog="python -m tools.calibration", description=__doc__)
    parser.add_argument("--size", choices=sorted(SIZES), default="full", help="default: full")
    parser.add_argument("--seed", type=int, default=SEED, help=f"default: {SEED}")
    parser.add_argument("--out", type=Path, default=None, help="folder to write the page into")
    parser.add_argument(
        "--runs",
        type=Path,
        nargs=2,
        metavar=("FULL", "CUT"),
        help="instead of simulating: two runs of one model, the second under last-turns:N",
    )
    given = parser.parse_args(arguments)
    if given.runs is not None:
        return _of_runs(given.runs[0], given.runs[1], given.out)
    sys.stderr.write(f"calibration, size {given.size}, seed {given.seed}\n")
    results = calibrate(SIZES[given.size], given.seed, lambda line: _say(f"  {line}"))
    text = page(results)
    sys.stdout.write(text)
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        for name, content in {"calibration.md": text, **pictures(results)}.items():
            (given.out / name).write_text(content, encoding="utf-8", newline="\n")
            _say(f"wrote {given.out / name}")
    for line in results.missed:
        _say(f"not met: {line}")
    return 1 if results.missed else 0


def _of_runs(full: Path, cut: Path, out: Path | None) -> int:
    """The page of a real model; 1 when a length has the wrong word."""
    try:
        found = cut_against_full(read_run(full), read_run(cut))
    except QwenBenchError as error:
        _say("\n".join([f"error: {error.message}", *(f"  why: {line}" for line in error.why)]))
        return error.exit_code
    text = real_page(found)
    sys.stdout.write(text)
    if out is not None:
        (out / "calibration-model.md").write_text(text, encoding="utf-8", newline="\n")
    return 1 if found.wrong else 0


def _say(line: str) -> None:
    """A line on stderr."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
