"""Finding and reading run folders, and what is derived from one.

Readers take no lock and never write. `summary.json` is what statistics make of a run, kept for
people and scripts; readers of this package compute it again from the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen_bench.errors import InputError, RunError, near
from qwen_bench.record.counters import total_counters
from qwen_bench.record.manifest import Invocation, Manifest
from qwen_bench.record.outcome import Run, final_outcomes
from qwen_bench.runs.journal import JOURNAL_NAME, read_journal
from qwen_bench.runs.manifest_file import MANIFEST_NAME, read_manifest
from qwen_bench.stats.summary import summarise, summary_as_dict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from qwen_bench.record.outcome import Outcome

MOST_NAMED = 5
SUMMARY_NAME = "summary.json"


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run folder as read.

    Attributes:
        outcomes: the row that counts for each key; superseded rows are left out.
        notices: what the reader forgave, for the user.
    """

    folder: Path
    manifest: Manifest
    outcomes: tuple[Outcome, ...]
    notices: tuple[str, ...] = ()

    def view(self, label: str | None = None) -> Run:
        """The run as statistics and report take it.

        Args:
            label: name to show instead of the stored one.
        """
        return Run(label or self.manifest.model.label, self.manifest, self.outcomes)


def is_run(path: Path) -> bool:
    """Whether a folder is a run folder."""
    return (path / MANIFEST_NAME).is_file()


def find_run(text: str, runs_dir: Path) -> Path:
    """The run folder a user means: a path, or the name of a run in `runs_dir`.

    Raises:
        InputError: there is none, or the path is some other folder.
    """
    for candidate in (Path(text), runs_dir / text):
        if is_run(candidate):
            return candidate
    if Path(text).exists():
        raise InputError(f"{text} is not a run folder (no {MANIFEST_NAME})")
    names = [folder.name for folder in run_folders(runs_dir)]
    hint = near(Path(text).name, names) if names else f"{runs_dir} holds no run"
    if len(names) > MOST_NAMED and not hint.startswith("near"):
        hint = f"the newest are {', '.join(names[-MOST_NAMED:])}"
    raise InputError(f"no such run: {text}; {hint}")


def run_folders(runs_dir: Path) -> list[Path]:
    """All run folders of a store, oldest name first."""
    if not runs_dir.is_dir():
        return []
    return sorted(folder for folder in runs_dir.iterdir() if is_run(folder))


def readable_runs(runs_dir: Path) -> Iterator[tuple[Path, Manifest]]:
    """Runs with a readable manifest, newest first by the start of their first invocation."""
    found = []
    for folder in run_folders(runs_dir):
        try:
            manifest = read_manifest(folder)
        except RunError:
            continue
        first = manifest.invocations[0].started if manifest.invocations else ""
        found.append((first, folder.name, folder, manifest))
    for _, _, folder, manifest in sorted(found, key=lambda item: item[:2], reverse=True):
        yield folder, manifest


def latest_with_identity(runs_dir: Path, identity: str) -> Path | None:
    """The newest run of equal identity, finished or not; None when there is none."""
    for folder, manifest in readable_runs(runs_dir):
        if manifest.identity == identity:
            return folder
    return None


def read_run(folder: Path) -> StoredRun:
    """Read manifest and results of a run folder.

    Raises:
        RunError: one of the two files is damaged or too new.
        InputError: the folder is no run.
    """
    if not is_run(folder):
        raise InputError(f"{folder} is not a run folder (no {MANIFEST_NAME})")
    content = read_journal(folder / JOURNAL_NAME)
    notices = (torn_notice(folder),) if content.torn else ()
    return StoredRun(
        folder, read_manifest(folder), tuple(final_outcomes(content.outcomes)), notices
    )


def torn_notice(folder: Path) -> str:
    """What is said when a cut last line was dropped."""
    return (
        f"notice: the last line of {folder / JOURNAL_NAME} was cut off and is dropped; "
        "that probe will be asked again"
    )


def total_efficiency(invocations: Iterable[Invocation]) -> dict[str, Any] | None:
    """Counters of all invocations together; None when none is known.

    `invocations_without_counters` tells how many were killed before they could say.
    """
    efficiencies = [item.efficiency for item in invocations]
    known = [counters for counters in efficiencies if counters is not None]
    if not known:
        return None
    return total_counters(known) | {"invocations_without_counters": len(efficiencies) - len(known)}


def run_summary(run: StoredRun) -> dict[str, Any]:
    """What `summary.json` holds: names, counts, one summary a scorer, efficiency."""
    manifest = run.manifest
    return {
        "schema_version": 1,
        "run_id": manifest.run_id,
        "label": manifest.model.label,
        "fingerprint": manifest.model.fingerprint,
        "suite": {"name": manifest.suite.name, "version": manifest.suite.version},
        "primary": manifest.suite.primary,
        "expected": manifest.expected.rows,
        "modes": summary_as_dict(summarise(run.outcomes)),
        "efficiency": total_efficiency(manifest.invocations),
    }
