"""Same suite, same bytes: other hash seeds, orders of generation, history lengths and suites."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path

from qwen_bench.audit.findings import AuditLine, Findings, Rebuild
from qwen_bench.chat.messages import conversation_sha256
from qwen_bench.errors import QwenBenchError
from qwen_bench.probes.probe import Dialogue
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import Own, Suite, build_suite, load_suite_names

HASH_SEEDS = ("1", "4242")
_ROOT = Path(__file__).resolve().parents[2]
_CHILD = (
    f"import sys; sys.path.insert(0, {str(_ROOT)!r}); "
    "from tools.audit.determinism import print_hashes; print_hashes()"
)


def dialogue_sha256(dialogue: Dialogue) -> str:
    """SHA-256 of everything in a dialogue."""
    digest = hashlib.sha256(repr((dialogue.system, dialogue.turns)).encode())
    for asked in dialogue.probes:
        probe = {item.name: getattr(asked.probe, item.name) for item in fields(asked.probe)}
        digest.update(json.dumps(probe, sort_keys=True, default=asdict).encode())
        digest.update(conversation_sha256(asked.messages).encode())
    return digest.hexdigest()


def hashes(suite: Suite) -> dict[str, str]:
    """Hash of each dialogue by id."""
    return {dialogue.id: dialogue_sha256(dialogue) for dialogue in suite.dialogues()}


def print_hashes() -> None:
    """Print the hashes of the suite whose settings are on stdin; this runs in a child process."""
    given = json.load(sys.stdin)
    chosen = given["selection"]
    selection = Selection(
        lengths=tuple(chosen["lengths"]) if chosen["lengths"] else None,
        levels=tuple(chosen["levels"]) if chosen["levels"] else None,
        families=tuple(chosen["families"]),
        conditions=tuple(chosen["conditions"]),
        langs=tuple(chosen["langs"]) if chosen["langs"] else None,
        limit=chosen["limit"],
    )
    own = Own(tuple(given["tasks_dirs"]), given["filler"])
    json.dump(hashes(build_suite(given["name"], selection, given["seed"], own)), sys.stdout)


def determinism(suite: Suite, selection: Selection) -> AuditLine:
    """Build a suite again in other processes, and in another order in this one.

    Args:
        suite: small.
        selection: it was built with.
    """
    findings = Findings()
    children = {seed: _start(suite, selection, seed) for seed in HASH_SEEDS}
    here = hashes(suite)
    backwards: dict[str, str] = {}
    for lang in reversed(suite.langs):
        for programme in reversed(suite.programmes):
            backwards |= hashes(replace(suite, langs=(lang,), programmes=(programme,)))
    _compare(findings, here, backwards, "generated in another order")
    for seed, child in children.items():
        _compare(findings, here, _result(child), f"under PYTHONHASHSEED={seed}")
    return findings.line(
        "determinism",
        f"{len(here)} dialogues: equal bytes in another order and under "
        f"{len(HASH_SEEDS)} other hash seeds",
    )


def _start(suite: Suite, selection: Selection, seed: str) -> subprocess.Popen[str]:
    """A child that builds the same suite."""
    settings = {
        "name": suite.name,
        "selection": asdict(selection),
        "seed": suite.seed,
        "tasks_dirs": suite.own.tasks_dirs,
        "filler": suite.own.filler,
    }
    child = subprocess.Popen(  # noqa: S603 - this interpreter, own code
        [sys.executable, "-c", _CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONUTF8": "1"},
    )
    assert child.stdin is not None  # noqa: S101 - a pipe, as asked above
    child.stdin.write(json.dumps(settings))
    child.stdin.close()
    child.stdin = None
    return child


def _result(child: subprocess.Popen[str]) -> dict[str, str]:
    with child:
        out, err = child.communicate()
    if child.returncode:
        last = err.strip().splitlines()[-1:]
        raise QwenBenchError("a child process cannot build the suite", why=last)
    found: dict[str, str] = json.loads(out)
    return found


def _compare(findings: Findings, one: Mapping[str, str], two: Mapping[str, str], how: str) -> None:
    for name in sorted(set(one) | set(two)):
        if one.get(name) != two.get(name):
            findings.add(name, f"has other bytes {how}")


def across_suites(suite: Suite, selection: Selection, rebuild: Rebuild) -> AuditLine:
    """Turns do not depend on the longest history asked for, nor on the suite of one version.

    Args:
        suite: small.
        selection: it was built with.
        rebuild: builds another one.
    """
    findings = Findings()
    others = {}
    if len(suite.lengths) > 1:
        shorter = replace(selection, lengths=suite.lengths[:-1])
        others[f"T_max = {suite.lengths[-2]}"] = rebuild(suite.name, shorter)
    for name in load_suite_names():
        # A user's filler may not last for longer histories than those asked for.
        lengths = suite.lengths if suite.own.filler else None
        plain = Selection(lengths=lengths, limit=1, langs=suite.langs)
        other = rebuild(name, plain) if name != suite.name and not suite.own.tasks_dirs else None
        if other is not None and _shares_dialogues(other, suite):
            others[f"suite {name}"] = other
    compared = 0
    for how, other in others.items():
        turns = {dialogue.id: dialogue.turns for dialogue in other.dialogues()}
        for dialogue in suite.dialogues():
            if dialogue.id not in turns:
                continue
            compared += 1
            pairs = zip(dialogue.turns, turns[dialogue.id], strict=False)
            for number, (ours, theirs) in enumerate(pairs, start=1):
                if ours != theirs:
                    findings.add(dialogue.id, f"other text with {how}", number)
                    break
    return findings.line("suites", f"{compared} dialogues equal in {', '.join(others) or 'none'}")


def _shares_dialogues(one: Suite, two: Suite) -> bool:
    """Whether two suites tell the same dialogues: of one major version, under the same names."""
    majors = {suite.version.partition(".")[0] for suite in (one, two)}
    return len(majors) == 1 and one.sources.dialogues == two.sources.dialogues
