"""`manifest.json`: what was run, on what, by what.

The models are the documentation of the file: every field is followed by one line saying what it
means. Keys this version does not know survive a rewrite.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qwen_bench import __version__
from qwen_bench.errors import NewerSchemaError, RunError
from qwen_bench.runs.atomic import write_atomic

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST_NAME = "manifest.json"
SCHEMA_VERSION = 1
RunStatus = Literal["running", "finished", "interrupted", "failed"]


class Section(BaseModel):
    """A part of the manifest: immutable, and keeps keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)


class ToolInfo(Section):
    """The program that made the run."""

    version: str
    """Version of qwen-bench."""
    git_commit: str | None = None
    """Commit of the checkout; null in an installed package."""
    git_dirty: bool | None = None
    """Whether the checkout had changes; null in an installed package."""


class SuiteInfo(Section):
    """What was asked: the definition, then the selection from it."""

    name: str
    """Name of the suite."""
    version: str
    """Version of its meaning; texts, gold answers and construction rules."""
    sha256: str
    """Hash of the definition; independent of the selection."""
    seed: int
    """Seed of the probe construction."""
    filler_sha256: str | None = None
    """Hash of the filler conversations."""
    filler: str | None = None
    """File of the user's own filler as typed; null with the built-in one."""
    tasks_dirs: tuple[str, ...] = ()
    """Folders of further families, as typed."""
    policy: str = "full"
    """History policy; `full` shows the model every turn."""
    langs: tuple[str, ...]
    """Languages asked."""
    families: tuple[str, ...]
    """Probe families asked."""
    lengths: tuple[int, ...]
    """History lengths asked, in user turns."""
    conditions: tuple[str, ...]
    """Conditions asked."""
    limit: int | None = None
    """Rotations of every programme; null is the suite's own number."""
    modes: tuple[Literal["generate", "rank"], ...]
    """Scorers asked."""
    primary: Literal["generate", "rank"]
    """The scorer that decides a verdict."""


class ModelInfo(Section):
    """Who answered."""

    spec: str
    """The SPEC as typed."""
    label: str
    """Name in tables and charts."""
    kind: str
    """hub, local, adapter, embedded, openai, mock, python or imported."""
    resolved: str | None = None
    """What the SPEC resolved to."""
    revision: str | None = None
    """Commit on the Hub."""
    fingerprint: str
    """Hash of the weights; see docs/runs.md."""
    base_fingerprint: str | None = None
    """Of an adapter: hash of the weights under it."""
    architecture: str | None = None
    """Class of the model."""
    parameters: int | None = None
    """Number of weights."""
    context_window: int | None = None
    """Tokens that prompt and answer may have together."""
    dtype: str | None = None
    """Number format of the weights."""


class Thinking(Section):
    """Whether the template was asked to let the model think."""

    requested: str | None = None
    """auto, on or off."""
    effective: str | None = None
    """What that meant for this template."""


class TemplateInfo(Section):
    """How conversations became prompts."""

    chat_template_sha256: str | None = None
    """Hash of the chat template text."""
    tokenizer_sha256: str | None = None
    """Hash of the tokenizer files."""
    source: str | None = None
    """model, file or built-in."""
    default_system: str | None = None
    """System text the template inserts by itself."""
    thinking: Thinking = Thinking()
    """Thinking mode."""


class GenerationInfo(Section):
    """How answers were generated."""

    temperature: float = 0.0
    """0 is greedy."""
    top_p: float | None = None
    """Nucleus; null is off."""
    top_k: int | None = None
    """Candidates for the next token; null is off."""
    max_new_tokens: int
    """Budget of an answer."""
    max_thinking_tokens: int | None = None
    """Budget of a thought; null where there is none apart."""
    repetition_penalty: float = 1.0
    """1 is none."""
    stop: tuple[str, ...] | None = None
    """Strings that end an answer."""
    seed: int | None = None
    """Seed of sampling; null when greedy."""
    system_sha256: str | None = None
    """Hash of the text given with --system; null by default."""
    checkpoint_defaults: dict[str, Any] | None = None
    """Settings the model shipped that were overridden."""


class EngineInfo(Section):
    """What computed the answers."""

    name: str
    """Engine."""
    version: str | None = None
    """Version of the engine's library."""
    device: str | None = None
    """Device it ran on."""
    batch_size: int | str | None = None
    """Prompts a batch."""
    replicas: int = 1
    """Engines side by side."""
    prefix_sharing: bool | str | None = None
    """Whether and how prompts shared their computation."""


class ScorerInfo(Section):
    """What decided right or wrong."""

    version: str
    """Version of the rules."""
    sha256: str | None = None
    """Hash of the alias tables."""


class Expected(Section):
    """Which rows a complete run has."""

    rows: int
    """Number of rows, one for each probe and mode."""
    ids_sha256: str
    """Hash over the sorted keys, so that a different expansion is noticed."""


class Invocation(Section):
    """One process that wrote to the folder."""

    started: str
    """UTC."""
    finished: str | None = None
    """UTC; null when killed."""
    argv: tuple[str, ...] = ()
    """Command line, secrets removed."""
    args_passed: dict[str, Any] = Field(default_factory=dict)
    """Flags as given."""
    args_effective: dict[str, Any] = Field(default_factory=dict)
    """All flags: `value` and `source` of each."""
    host: str | None = None
    """Hash of the host name."""
    hardware: dict[str, Any] = Field(default_factory=dict)
    """Machine, cores."""
    packages: dict[str, str] = Field(default_factory=dict)
    """Versions of the packages that matter."""
    rows_written: int = 0
    """Rows this process appended; 0 when killed."""
    efficiency: dict[str, Any] | None = None
    """Counters of the engine; null when killed."""
    ended: Literal["finished", "interrupted", "failed"] | None = None
    """How it ended; null when killed."""
    error: str | None = None
    """Why it failed."""


class Manifest(Section):
    """The whole file."""

    schema_version: int = SCHEMA_VERSION
    """Layout of this file."""
    run_id: str
    """Name of the folder."""
    status: RunStatus
    """`running` without a process that holds the lock means crashed."""
    identity: str
    """Hash over everything that changes answers; see `qwen_bench.runs.identity`."""
    tool: ToolInfo
    """The program."""
    suite: SuiteInfo
    """What was asked."""
    model: ModelInfo
    """Who answered."""
    template: TemplateInfo
    """How conversations became prompts."""
    generation: GenerationInfo
    """How answers were generated."""
    engine: EngineInfo
    """What computed the answers."""
    scorer: ScorerInfo
    """What decided right or wrong."""
    expected: Expected
    """Which rows a complete run has."""
    counts: dict[str, int] = Field(default_factory=dict)
    """Rows by status; written at the end."""
    invocations: tuple[Invocation, ...] = ()
    """Every process that wrote here."""
    warnings: tuple[str, ...] = ()
    """Warnings shown to the user; the report repeats them."""


def as_json(value: object) -> str:
    """Text of a JSON file: sorted keys, two blanks, no NaN, one newline at the end."""
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True, allow_nan=False) + "\n"


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace `manifest.json` atomically.

    Raises:
        OSError: the disk; the old file is intact.
    """
    write_atomic(folder / MANIFEST_NAME, as_json(manifest.model_dump(mode="json")))


def read_manifest(folder: Path) -> Manifest:
    """Read `manifest.json` of a run folder.

    Raises:
        NewerSchemaError: a newer version wrote it.
        RunError: it is not JSON, or a field is missing or wrong.
    """
    path = folder / MANIFEST_NAME
    try:
        data = json.loads(path.read_bytes())
    except ValueError as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 1
        raise RunError(
            f"{path} is not valid JSON at line {line}", why=_state_of_journal(folder)
        ) from error
    if not isinstance(data, dict):
        raise RunError(f"{path} is not a JSON object", why=_state_of_journal(folder))
    version = data.get("schema_version", SCHEMA_VERSION)
    if isinstance(version, int) and version > SCHEMA_VERSION:
        tool = data.get("tool")
        writer = tool.get("version", "?") if isinstance(tool, dict) else "?"
        raise NewerSchemaError(
            f"{path}: written by qwen-bench {writer} (schema {version}); "
            f"this is {__version__} (schema {SCHEMA_VERSION})",
            fix="upgrade qwen-bench",
        )
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RunError(f"{path}: {place}: {first['msg']}", why=_state_of_journal(folder)) from error


def _state_of_journal(folder: Path) -> str:
    """Says how many rows of the results are safe although the manifest is not."""
    from qwen_bench.runs.journal import JOURNAL_NAME, read_journal  # noqa: PLC0415 - only on failure

    try:
        rows = len(read_journal(folder / JOURNAL_NAME).outcomes)
    except RunError as error:
        return error.message
    return f"{JOURNAL_NAME} is intact with {rows} rows"
