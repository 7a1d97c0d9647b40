"""One measurement in one fresh process, kept on disk so that an interrupted session goes on."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.plan import TINY, Alone, Pair

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_SECONDS = 3600
_VLLM = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_HOST_IP": "127.0.0.1",
    "VLLM_NO_USAGE_STATS": "1",
    "TORCHDYNAMO_DISABLE": "1",
}


class MeasurementError(Exception):
    """A measurement ended without a result; its message is the last thing the process said."""


@dataclass(frozen=True, slots=True)
class Session:
    """Where and with what measurements are made.

    Attributes:
        models: folder of the prepared models.
        scratch: folder of finished measurements; belongs to one state of the source.
        vllm_python: interpreter of the environment that has vLLM; None to leave it out.
        say: is told of every process.
    """

    models: Path
    scratch: Path
    vllm_python: Path | None
    say: Callable[[str], None]

    def has(self, peer: str) -> bool:
        """Whether a peer can be run here."""
        if peer == "peer_vllm_cpu":
            return self.vllm_python is not None
        module = {"peer_llama_cpp": "xllamacpp", "peer_lm_eval": "lm_eval"}.get(peer, "torch")
        code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
        found = subprocess.run([sys.executable, "-c", code], check=False)  # noqa: S603 - ourselves
        return found.returncode == 0


def open_session(models: Path, vllm_python: Path | None, say: Callable[[str], None]) -> Session:
    """A session for the source as it is now; another state of it starts anew."""
    scratch = models / "unfinished" / source_digest()[:12]
    scratch.mkdir(parents=True, exist_ok=True)
    return Session(models, scratch, vllm_python, say)


def source_digest() -> str:
    """SHA-256 of all that decides what is measured."""
    engines = ROOT / "qwen_bench" / "engines"
    files = sorted((*engines.glob("*.py"), *(engines / "hf").glob("*.py")))
    names = ("grids", "models", "measuring", "ours", "peer_*")
    files += sorted(path for name in names for path in (ROOT / "benchmarks").glob(f"{name}.py"))
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def paired_lines(
    session: Session, pair: Pair, pairs: int, attempt: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Measurements of us and of the peer, run in turns: A B B A A B ..."""
    own = _What("ours", "default", pair.grid, pair.model, pair.mode)
    other = _What(pair.peer, pair.setting, pair.grid, pair.model, pair.mode)
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    for number in range(pairs):
        sides = [(ours, own, "ours"), (theirs, other, "peer")]
        for lines, what, side in sides if number % 2 == 0 else sides[::-1]:
            lines.append(_line(session, what, f"{pair.name}/{attempt}-{number}-{side}"))
    return ours, theirs


def alone_lines(session: Session, item: Alone, runs: int, attempt: int) -> list[dict[str, Any]]:
    """Measurements of us."""
    what = _What("ours", "default", item.grid, TINY, "generate")
    return [_line(session, what, f"{item.name}/{attempt}-{number}") for number in range(runs)]


def gaps(session: Session, grid: str, model: str, parts: Sequence[Any]) -> list[float]:
    """See `benchmarks.gaps`."""
    if not parts:
        return []
    words = ["--grid", grid, "--model", model, "--models", str(session.models)]
    found: list[float] = json.loads(
        _run([sys.executable, "-m", "benchmarks.gaps", *words], json.dumps(list(parts)))
    )
    return found


class _What(NamedTuple):
    """Command line of a measurement."""

    script: str
    setting: str
    grid: str
    model: str
    mode: str


def _line(session: Session, what: _What, name: str) -> dict[str, Any]:
    """One measurement, from disk if it is there."""
    kept = session.scratch / f"{name}.json"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(".part")
        python = session.vllm_python if what.script == "peer_vllm_cpu" else sys.executable
        words = ["--grid", what.grid, "--model", what.model, "--mode", what.mode]
        words += ["--setting", what.setting]
        words += ["--models", str(session.models), "--out", str(part)]
        _run([str(python), "-m", f"benchmarks.{what.script}", *words], None)
        part.replace(kept)
    line: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    session.say(f"    {' '.join(what)}: {line['cpu_seconds']:.2f} CPU s")
    return line


def _run(command: list[str], given: str | None) -> str:
    """Run a process from the root of the checkout and give what it wrote."""
    done = subprocess.run(  # noqa: S603 - our own scripts
        command,
        cwd=ROOT,
        env={**os.environ, **_VLLM},
        input=given,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-8:]
        raise MeasurementError("\n".join([" ".join(command[1:]), *said]))
    return done.stdout
