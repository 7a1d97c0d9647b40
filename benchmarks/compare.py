"""Side by side: pairs of processes, answers checked equal, then JSON, table and picture.

    python -m benchmarks.compare               # what the targets need, about 35 minutes
    python -m benchmarks.compare --all         # everything, about two hours in all
    python -m benchmarks.compare --check       # table and picture still follow from the JSON

Interrupted, the same command goes on where it was. Imports no peer and no torch.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from benchmarks import children, grids, machine, models
from benchmarks.page import page
from benchmarks.picture import picture
from benchmarks.plan import PAIRED, PAIRS, UNPAIRED, Alone, Pair
from benchmarks.results import SCHEMA, alone, paired, partings
from benchmarks.targets import verdicts

RESULTS = children.ROOT / "benchmarks" / "results"
README = children.ROOT / "benchmarks" / "README.md"
_BEGIN, _END = "<!-- generated: results -->", "<!-- end of generated -->"


def main(words: Sequence[str] | None = None) -> int:
    """The command; gives the exit status."""
    given = _parser().parse_args(words)
    if given.check:
        stale = check(given.results, None if given.results != RESULTS else README)
        for name in stale:
            _say(f"{name} does not follow from its JSON; run python -m benchmarks.compare --render")
        return int(bool(stale))
    if given.render:
        for path in result_files(given.results):
            render(path, README if given.results == RESULTS else None)
        return 0
    models.prepare(given.models, _say)
    session = children.open_session(given.models, given.vllm_python, _say)
    began = machine.state()
    pairs, unpaired = _chosen(given, session)
    found = measure(session, pairs, unpaired, given.pairs)
    held = {
        "schema": SCHEMA,
        "kind": "comparison",
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine.describe(),
        "source": machine.source(children.ROOT),
        "state": {"start": began, "end": machine.state()},
        **found,
    }
    path = given.results / f"{held['date']}-{machine.slug(held['machine'])}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
    render(path, README if given.results == RESULTS else None)
    for item in verdicts(held):
        word = {True: "met", False: "MISSED", None: "not measured"}[item.met]
        _say(f"{word:12} {item.name}: {item.found or '-'} ({item.bound})")
    _say(f"written: {path.name} and its .md and .svg")
    return 0


def measure(
    session: children.Session, pairs: Sequence[Pair], unpaired: Sequence[Alone], most: int
) -> dict[str, Any]:
    """Measure everything chosen; what failed is said and left out.

    Args:
        session: where and with what.
        pairs: us against peers.
        unpaired: us alone.
        most: pairs or runs of each.
    """
    found: dict[str, Any] = {"pairs": [], "alone": [], "failed": []}
    items: list[Pair | Alone] = [*pairs, *unpaired]
    left = sum(_runs(item, most) * item.estimate for item in items)
    for number, item in enumerate(items, 1):
        _say(f"[{number}/{len(items)}, about {left / 60:.0f} min left] {item.name}")
        try:
            if isinstance(item, Pair):
                found["pairs"].append(_pair(session, item, _runs(item, most)))
            else:
                found["alone"].append(_alone(session, item, _runs(item, most)))
        except children.MeasurementError as error:
            _say(f"    failed: {error}")
            found["failed"].append(item.name)
        left -= _runs(item, most) * item.estimate
    return found


def _pair(session: children.Session, pair: Pair, runs: int) -> dict[str, Any]:
    """One pair; measured a second time if the machine was busy, and then taken as it is."""
    grid = grids.load(pair.grid, session.models)
    entry: dict[str, Any] = {}
    for attempt in (1, 2):
        ours, theirs = children.paired_lines(session, pair, runs, attempt)
        parts = partings(ours[0], theirs[0])
        entry = paired(
            pair, grid, ours, theirs, children.gaps(session, pair.grid, pair.model, parts)
        )
        if not entry["busy"]:
            break
        _say("    our own times differ too much: the machine is busy")
    return entry


def _alone(session: children.Session, item: Alone, runs: int) -> dict[str, Any]:
    grid = grids.load(item.grid, session.models)
    entry: dict[str, Any] = {}
    for attempt in (1, 2):
        entry = alone(item, grid, children.alone_lines(session, item, runs, attempt))
        if not entry["busy"]:
            break
        _say("    our own times differ too much: the machine is busy")
    return entry


def _runs(item: Pair | Alone, most: int) -> int:
    return min(most, item.most_pairs if isinstance(item, Pair) else item.runs)


def _chosen(given: argparse.Namespace, session: children.Session) -> tuple[list[Pair], list[Alone]]:
    patterns = given.only or ["*"]
    wide = given.all or bool(given.only)

    def wanted(item: Pair | Alone) -> bool:
        matches = any(fnmatchcase(item.name, pattern) for pattern in patterns)
        return matches and (wide or item.tier == "quoted")

    pairs = [pair for pair in PAIRED if wanted(pair)]
    for peer in sorted({pair.peer for pair in pairs}):
        if not session.has(peer):
            _say(f"{peer} is left out: not installed (see benchmarks/README.md)")
            pairs = [pair for pair in pairs if pair.peer != peer]
    return pairs, [item for item in UNPAIRED if wanted(item)]


def render(path: Path, readme: Path | None) -> None:
    """Write table and picture beside a results file; into the README what is newest."""
    for target, text in rendered(path).items():
        target.write_text(text, encoding="utf-8")
    if readme is not None and path == result_files(path.parent)[-1]:
        readme.write_text(with_results(readme, path), encoding="utf-8")


def rendered(path: Path) -> dict[Path, str]:
    """Texts of the files that follow from a results file."""
    held: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    drawn = path.with_suffix(".svg")
    return {path.with_suffix(".md"): page(held, drawn.name), drawn: picture(held)}


def with_results(readme: Path, path: Path) -> str:
    """The README with the page of a results file between its markers."""
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    after = rest.partition(_END)[2]
    held = json.loads(path.read_text(encoding="utf-8"))
    shown = page(held, f"results/{path.with_suffix('.svg').name}")
    return f"{before}{_BEGIN}\n\n{shown}\n{_END}{after}"


def result_files(folder: Path) -> list[Path]:
    """Comparisons of a folder, oldest first."""
    return sorted(
        path
        for path in folder.glob("*.json")
        if json.loads(path.read_text(encoding="utf-8")).get("kind") == "comparison"
    )


def check(folder: Path, readme: Path | None) -> list[str]:
    """Names of files that do not follow from the JSON beside them; empty when all do."""
    stale = []
    files = result_files(folder)
    for path in files:
        stale += [
            target.name
            for target, text in rendered(path).items()
            if not target.is_file() or target.read_text(encoding="utf-8") != text
        ]
    if readme is not None and files:
        fresh = with_results(readme, files[-1])
        stale += [] if readme.read_text(encoding="utf-8") == fresh else [readme.name]
    return stale


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare",
        description="Measure this engine beside others; equal answers first.",
    )
    parser.add_argument("--all", action="store_true", help="also what no target needs")
    parser.add_argument("--only", action="append", help="glob on names, such as 'peer_llama_cpp*'")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="pairs of each; ratios need 5")
    parser.add_argument("--vllm-python", type=Path, help="interpreter of an environment with vLLM")
    parser.add_argument("--models", type=Path, default=models.default_folder())
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of results files")
    parser.add_argument("--render", action="store_true", help="write tables and pictures again")
    parser.add_argument("--check", action="store_true", help="compare them with the JSON, and end")
    return parser


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
