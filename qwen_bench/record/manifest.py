"""`manifest.json` as a value: what was run, on what, by what.

The models are the documentation of the file: every field is followed by one line saying what it
means, and carries a mark saying what it decides (`qwen_bench.record.marks`). Keys this version does
not know survive a rewrite. Knows no files; `qwen_bench.runs.manifest_file` reads and writes them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from qwen_bench.record.marks import Mark
from qwen_bench.record.outcome import Mode

SCHEMA_VERSION = 1
RunStatus = Literal["running", "finished", "interrupted", "failed"]


def device_kind(device: object) -> str | None:
    """`cuda` of `cuda:1`; None where the device is not known."""
    return str(device or "").split(":")[0] or None


_DECODING = Mark("must match", identity=True, workers=True)


def _decoding(flag: str, *, off: str | None = None) -> Mark:
    """The mark of a setting that decides how answers are generated."""
    return replace(_DECODING, flag=flag, off=off)


class Section(BaseModel):
    """A part of the manifest: immutable, and keeps keys it does not know.

    Attributes:
        undeclared: mark of the keys it does not know.
    """

    undeclared: ClassVar[Mark] = Mark()

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)


class ToolInfo(Section):
    """The program that made the run."""

    version: Annotated[str, Mark()]
    """Version of qwen-bench."""
    git_commit: Annotated[str | None, Mark()] = None
    """Commit of the checkout; null in an installed package."""
    git_dirty: Annotated[bool | None, Mark()] = None
    """Whether the checkout had changes; null in an installed package."""


class SuiteInfo(Section):
    """What was asked: the definition, then the selection from it."""

    name: Annotated[str, Mark("must match", identity=True, flag="--suite")]
    """Name of the suite."""
    version: Annotated[str, Mark("must match", identity=True)]
    """Version of its meaning; texts, gold answers and construction rules."""
    sha256: Annotated[str, Mark("must match", identity=True)]
    """Hash of the definition; independent of the selection."""
    seed: Annotated[int, Mark("must match", identity=True, flag="--seed")]
    """Seed of the probe construction."""
    filler_sha256: Annotated[str | None, Mark("must match", identity=True)] = None
    """Hash of the filler conversations."""
    filler: Annotated[str | None, Mark(flag="--filler")] = None
    """File of the user's own filler as typed; null with the built-in one."""
    tasks_dirs: Annotated[tuple[str, ...], Mark(flag="--tasks-dir", repeated=True)] = ()
    """Folders of further families, as typed."""
    policy: Annotated[str, Mark("must match", identity=True, flag="--policy")] = "full"
    """History policy; `full` shows the model every turn."""
    langs: Annotated[
        tuple[str, ...], Mark("expected", selection=True, column="lang", flag="--lang")
    ]
    """Languages asked."""
    families: Annotated[
        tuple[str, ...],
        Mark("must match", selection=True, column="family", flag="--family", repeated=True),
    ]
    """Probe families asked."""
    lengths: Annotated[
        tuple[int, ...], Mark("expected", selection=True, column="length", flag="--lengths")
    ]
    """History lengths asked, in user turns."""
    levels: Annotated[
        tuple[int, ...], Mark("expected", selection=True, column="level", flag="--level")
    ] = ()
    """Levels of memory load asked, 1 to 5; empty in runs of suites without levels."""
    conditions: Annotated[
        tuple[str, ...],
        Mark("expected", selection=True, column="condition", flag="--condition", repeated=True),
    ]
    """Conditions asked."""
    limit: Annotated[int | None, Mark("expected", selection=True, flag="--limit")] = None
    """Rotations of every programme; null is the suite's own number."""
    max_tokens: Annotated[int | None, Mark("expected", selection=True, flag="--max-tokens")] = None
    """Tokens that the history lengths were narrowed to fit; null where they were not."""
    modes: Annotated[
        tuple[Mode, ...], Mark("expected", selection=True, column="mode", flag="--mode")
    ]
    """Scorers asked."""
    primary: Annotated[Mode, Mark()]
    """The scorer that decides a verdict."""


class ModelInfo(Section):
    """Who answered."""

    label: Annotated[str, Mark("expected")]
    """Name in tables and charts."""
    spec: Annotated[str, Mark("expected", flag="--model")]
    """The SPEC as typed."""
    kind: Annotated[str, Mark()]
    """hub, local, gguf, adapter, embedded, openai, mock, python or imported."""
    resolved: Annotated[str | None, Mark()] = None
    """What the SPEC resolved to."""
    revision: Annotated[str | None, Mark()] = None
    """Commit on the Hub."""
    fingerprint: Annotated[str, Mark("expected", identity=True, workers=True)]
    """Hash of the weights; see docs/runs.md."""
    base_fingerprint: Annotated[str | None, Mark(workers=True)] = None
    """Of an adapter: hash of the weights under it."""
    architecture: Annotated[str | None, Mark()] = None
    """Class of the model."""
    parameters: Annotated[int | None, Mark()] = None
    """Number of weights."""
    context_window: Annotated[int | None, Mark()] = None
    """Tokens that prompt and answer may have together."""
    dtype: Annotated[str | None, Mark("warn", identity=True, workers=True)] = None
    """Number format of the weights."""
    quantisation: Annotated[str | None, Mark("warn")] = None
    """Format in which the weights were stored in fewer bits, such as GGUF Q4_K_M."""


class Thinking(Section):
    """Whether the template was asked to let the model think."""

    requested: Annotated[str | None, Mark("warn", workers=True, flag="--thinking")] = None
    """auto, on or off."""
    effective: Annotated[str | None, Mark("warn", identity=True, workers=True)] = None
    """What that meant for this template."""


class TemplateInfo(Section):
    """How conversations became prompts."""

    chat_template_sha256: Annotated[str | None, Mark("warn", identity=True, workers=True)] = None
    """Hash of the chat template text."""
    tokenizer_sha256: Annotated[str | None, Mark("warn", identity=True, workers=True)] = None
    """Hash of the tokenizer files."""
    source: Annotated[str | None, Mark()] = None
    """model, file or built-in."""
    default_system: Annotated[str | None, Mark("warn")] = None
    """System text the template inserts by itself."""
    thinking: Thinking = Thinking()
    """Thinking mode."""


class DecodingInfo(Section):
    """How answers were generated, as far as the engine decides it."""

    undeclared: ClassVar[Mark] = _DECODING

    temperature: Annotated[float, _decoding("--temperature")] = 0.0
    """0 is greedy."""
    repetition_penalty: Annotated[float, _DECODING] = 1.0
    """1 is none."""
    stop: Annotated[tuple[str, ...] | None, Mark("expected", identity=True, workers=True)] = None
    """Strings that end an answer; they follow from tokenizer and template."""
    system_sha256: Annotated[str | None, _DECODING] = None
    """Hash of the text given with --system; null by default."""
    checkpoint_defaults: Annotated[dict[str, Any] | None, Mark()] = None
    """Settings the model shipped that were overridden, which did not change the run."""


class GenerationInfo(DecodingInfo):
    """How answers were generated."""

    top_p: Annotated[float | None, _decoding("--top-p", off="1")] = None
    """Nucleus; null is off."""
    top_k: Annotated[int | None, _decoding("--top-k", off="0")] = None
    """Candidates for the next token; null is off."""
    max_new_tokens: Annotated[int, _decoding("--max-new-tokens")]
    """Budget of an answer."""
    max_thinking_tokens: Annotated[int | None, _decoding("--max-thinking-tokens")] = None
    """Budget of a thought; null where there is none apart."""
    seed: Annotated[int | None, _decoding("--sampling-seed")] = None
    """Seed of sampling; null when greedy."""


class EngineInfo(Section):
    """What computed the answers."""

    name: Annotated[str, Mark("warn", identity=True, workers=True)]
    """Engine."""
    version: Annotated[str | None, Mark("warn", workers=True)] = None
    """Version of the engine's library."""
    device: Annotated[
        str | None, Mark("warn", identity=True, identity_of=device_kind, workers=True)
    ] = None
    """Device it ran on."""
    batch_size: Annotated[int | str | None, Mark("expected")] = None
    """Prompts a batch."""
    replicas: Annotated[int, Mark("expected")] = 1
    """Engines side by side."""
    prefix_sharing: Annotated[bool | str | None, Mark()] = None
    """Whether and how prompts shared their computation."""


class ScorerInfo(Section):
    """What decided right or wrong."""

    version: Annotated[str, Mark("must match")]
    """Version of the rules."""
    sha256: Annotated[str | None, Mark("must match")] = None
    """Hash of the alias tables."""


class Expected(Section):
    """Which rows a complete run has."""

    rows: Annotated[int, Mark()]
    """Number of rows, one for each probe and mode."""
    ids_sha256: Annotated[str, Mark()]
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
    """The whole file; sections stand in the order in which their differences are told."""

    schema_version: Annotated[int, Mark()] = SCHEMA_VERSION
    """Layout of this file."""
    run_id: Annotated[str, Mark()]
    """Name of the folder."""
    status: Annotated[RunStatus, Mark()]
    """`running` without a process that holds the lock means crashed."""
    identity: Annotated[str, Mark()]
    """Hash over everything that changes answers; see `qwen_bench.record.marks`."""
    tool: ToolInfo
    """The program."""
    suite: SuiteInfo
    """What was asked."""
    scorer: ScorerInfo
    """What decided right or wrong."""
    generation: GenerationInfo
    """How answers were generated."""
    template: TemplateInfo
    """How conversations became prompts."""
    model: ModelInfo
    """Who answered."""
    engine: EngineInfo
    """What computed the answers."""
    expected: Expected
    """Which rows a complete run has."""
    counts: Annotated[dict[str, int], Mark()] = Field(default_factory=dict)
    """Rows by status; written at the end."""
    invocations: Annotated[tuple[Invocation, ...], Mark()] = ()
    """Every process that wrote here."""
    warnings: Annotated[tuple[str, ...], Mark()] = ()
    """Warnings shown to the user; the report repeats them."""
