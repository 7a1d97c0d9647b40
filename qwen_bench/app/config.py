"""`RunConfig`: every option of asking and comparing, declared once on the field that holds it.

The command line makes its flags from these fields, Python passes them by name, and `--resume` takes
them from a manifest; none of the three has a list or a default of its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from qwen_bench.app.option_values import (
    COMMAND,
    ENGINE,
    MACHINE,
    SELECTION,
    SETTING,
    Option,
    between,
    gate,
    levels,
    option,
    option_of,
    points,
    policy,
    probability,
    significance,
    switch,
    turns,
    whole,
    words,
)
from qwen_bench.chat.plain_text import half_character
from qwen_bench.engines.engine_options import arguments_help
from qwen_bench.errors import InputError, near
from qwen_bench.record.redaction import HIDDEN
from qwen_bench.record.unread import UNREAD_LIMIT

if TYPE_CHECKING:
    from qwen_bench.record.manifest import Manifest

Source = Literal["command line", "environment", "python", "run"]
EMBEDDED = "embedded"
LATEST = "latest"


def _one_word(modes: tuple[str, ...]) -> str:
    """The scorers of a manifest as one word."""
    return modes[0] if len(modes) == 1 else "both"


@dataclass(frozen=True, slots=True)
class RunConfig:
    """What is asked, of whom, how it is judged and where it is written.

    Attributes:
        sources: where each value that is not a default came from, by name of its field.
    """

    model: tuple[str, ...] = option(
        (),
        "Model",
        SETTING,
        "Model to ask; repeatable. Default of run: the embedded model.",
        "SPEC",
        repeated=True,
        recorded=lambda spec: (spec,),
    )
    baseline: str | None = option(
        None, "Model", COMMAND, "Compare with this model or run folder.", "SPEC_OR_RUN"
    )
    engine: Literal["auto", "hf", "vllm"] = option(
        "auto",
        "Model",
        ENGINE,
        "What computes models that are not behind a server; auto is hf.",
        choices=("auto", "hf", "vllm"),
    )
    device: str = option("auto", "Model", ENGINE, "auto, cuda, mps, cpu.")
    dtype: str = option("auto", "Model", ENGINE, "Number format of the weights.")
    batch_size: int | None = option(
        None,
        "Model",
        MACHINE,
        "hf: most sequences computed together; auto fits them to the memory.",
        "auto|N",
        read=whole(1),
        none="auto",
    )
    max_context: int | None = option(
        None,
        "Model",
        MACHINE,
        "Tokens of prompt and answer together, where you know better than the model's files.",
        "N",
        read=whole(1),
    )
    replicas: int = option(
        1, "Model", MACHINE, "Engines side by side, one a GPU, on Ray.", "N", read=whole(1)
    )
    ray_address: str | None = option(
        None, "Model", MACHINE, "Ray cluster to use; without it one is started here.", "A"
    )
    base_url: str | None = option(
        None,
        "Model",
        ENGINE,
        "Server of openai:NAME models, ending in /v1.  [env: OPENAI_BASE_URL]",
        "URL",
        variable="OPENAI_BASE_URL",
    )
    concurrency: int = option(
        8, "Model", MACHINE, "Requests sent to a server at one time.", "N", read=whole(1)
    )
    model_arg: tuple[str, ...] = option(
        (),
        "Model",
        MACHINE,
        "Setting of one engine; repeatable. " + arguments_help(),
        "KEY=VALUE",
        repeated=True,
        short="-M",
    )
    chat_template: str | None = option(
        None, "Model", ENGINE, "Instead of the model's own; recorded by hash.", "FILE|chatml"
    )
    trust_remote_code: bool = switch("Model", MACHINE, "Run code from the model folder.")
    allow_pickle: bool = switch("Model", MACHINE, "Load pickled weights (*.bin).")

    suite: str = option("core", "Probes", SETTING, "Suite of probes.")
    lengths: tuple[int, ...] | None = option(
        None,
        "Probes",
        SELECTION,
        "History lengths, user turns before the question.",
        "T,T,...",
        read=turns,
    )
    level: tuple[int, ...] | None = option(
        None,
        "Probes",
        SELECTION,
        "Only these levels of memory load, 1 (one fact) to 5.",
        "N,N,...",
        read=levels,
    )
    family: tuple[str, ...] = option(
        (), "Probes", SELECTION, "Only these families; repeatable.", "GLOB", repeated=True
    )
    condition: tuple[str, ...] = option(
        (), "Probes", SELECTION, "Only these conditions; repeatable.", "GLOB", repeated=True
    )
    lang: tuple[str, ...] | None = option(
        None, "Probes", SELECTION, "Only these languages.", "en,zh", read=words
    )
    limit: int | None = option(
        None,
        "Probes",
        SELECTION,
        "Rotations of every programme; smaller limits are nested in larger ones.",
        "N",
        read=whole(1),
    )
    max_tokens: int | None = option(
        None,
        "Probes",
        SELECTION,
        "Only history lengths whose longest prompt with its answer fits, in the model's tokenizer.",
        "N",
        read=whole(1),
    )
    seed: int = option(0, "Probes", SETTING, "Seed of the probe construction.", "N", read=whole(0))
    tasks_dir: tuple[str, ...] = option(
        (),
        "Probes",
        SETTING,
        "Folder of your own probe families; name them with --family; repeatable.",
        "DIR",
        repeated=True,
    )
    filler: str | None = option(
        None,
        "Probes",
        SETTING,
        "Your own ChatML conversations as history; leaks are refused.",
        "FILE.jsonl",
    )
    mode: Literal["generate", "rank", "both"] | None = option(
        None,
        "Probes",
        SELECTION,
        "Free answers, log-probability of the candidates, or both.",
        choices=("generate", "rank", "both"),
        recorded=_one_word,
    )
    policy: str = option(
        "full",
        "Probes",
        SETTING,
        "Which turns of a history are sent: full, last-turns:N, last-tokens:N, qwen-v1:N.",
        "POLICY",
        read=policy,
    )

    max_new_tokens: int | None = option(
        None,
        "Generation",
        SETTING,
        "Budget of an answer; that of the suite by default.",
        "N",
        read=whole(1),
    )
    max_thinking_tokens: int = option(
        2048, "Generation", SETTING, "Budget of the thought before it.", "N", read=whole(1)
    )
    thinking: Literal["auto", "on", "off"] = option(
        "auto",
        "Generation",
        ENGINE,
        "auto: what the template does by itself.",
        choices=("auto", "on", "off"),
    )
    temperature: float = option(
        0.0,
        "Generation",
        SETTING,
        "0 takes the most probable token; above, tokens are drawn.",
        "T",
        read=between(0, 100),
    )
    top_p: float = option(
        1.0,
        "Generation",
        SETTING,
        "Draw from the most probable tokens that together have this probability.",
        "P",
        read=probability,
    )
    top_k: int = option(
        0,
        "Generation",
        SETTING,
        "Draw from the K most probable tokens; 0 from all.",
        "K",
        read=whole(0),
    )
    sampling_seed: int = option(0, "Generation", SETTING, "Seed of the draws.", "N", read=whole(0))
    system: str = option(
        "default",
        "Generation",
        ENGINE,
        "System message: a file, an empty one, or what the template inserts.",
        "FILE|none|default",
    )

    runs_dir: str = option("runs", "Run", COMMAND, "Run store.", "DIR")
    run_id: str | None = option(None, "Run", COMMAND, "Name of the run folder.", "NAME")
    resume: str | None = option(
        None,
        "Run",
        COMMAND,
        "Ask only what is missing in a run; without a value: in the newest one with the same "
        "settings; alone: in the newest unfinished one, with what was typed for it.",
        "[RUN|latest]",
        alone=LATEST,
    )
    retry_errors: bool = switch(
        "Run", COMMAND, "With --resume: ask again what failed or was not read."
    )
    fingerprint: Literal["full", "fast"] = option(
        "full", "Run", ENGINE, "How local weights are hashed.", choices=("full", "fast")
    )
    offline: bool = switch("Run", MACHINE, "No network use at all.", variable="HF_HUB_OFFLINE")
    dry_run: bool = switch("Run", COMMAND, "Print what would be asked, then exit.")
    max_error_rate: float = option(
        0.0, "Run", COMMAND, "Above it the command exits 1.", "PCT", read=between(0, 100)
    )
    max_unread_rate: float = option(
        100 * UNREAD_LIMIT,
        "Run",
        COMMAND,
        "The same for answers that a server sends as no text: as reasoning or tool calls alone.",
        "PCT",
        read=between(0, 100),
    )

    fail_on: Literal["regression", "inconclusive", "never"] = option(
        "never",
        "Verdict",
        COMMAND,
        "Exit 3 after a regression, 5 when both sides are the same, 4 when inconclusive.",
        choices=("regression", "inconclusive", "never"),
    )
    gate: tuple[str, ...] = option(
        (),
        "Verdict",
        COMMAND,
        "Exit 3 unless it holds, whatever --fail-on says; repeatable. "
        "'[base:]NAME[@LENGTH] OP POINTS', NAME one of overall, a family, diff, error_rate, "
        "truncated_rate, empty_rate.",
        "EXPR",
        read=gate,
        repeated=True,
    )
    margin: float = option(
        5.0,
        "Verdict",
        COMMAND,
        "Differences inside it do not matter; percentage points.",
        "POINTS",
        read=points,
    )
    alpha: float = option(
        0.05, "Verdict", COMMAND, "Significance level, two-sided.", "A", read=significance
    )
    allow_mismatch: tuple[str, ...] = option(
        (),
        "Verdict",
        COMMAND,
        "Compare although this setting differs; repeatable.",
        "FIELD",
        repeated=True,
    )
    allow_partial: bool = switch("Verdict", COMMAND, "Compare unfinished runs.")

    out: str | None = option(
        None,
        "Output",
        COMMAND,
        "Folder for report.html, summary.md, junit.xml and compare.json.",
        "DIR",
    )
    html: str | None = option(
        None, "Output", COMMAND, "Write the report page; - is stdout.", "FILE"
    )
    markdown: str | None = option(
        None, "Output", COMMAND, "Write verdict and tables as Markdown; - is stdout.", "FILE"
    )
    junit: str | None = option(None, "Output", COMMAND, "Write JUnit XML; - is stdout.", "FILE")
    json: str | None = option(
        None, "Output", COMMAND, "Write the result as JSON; - is stdout.", "FILE"
    )
    summary: Literal["auto", "off"] = option(
        "auto",
        "Output",
        COMMAND,
        "auto: append the Markdown to the file of $GITHUB_STEP_SUMMARY.",
        choices=("auto", "off"),
    )

    display: Literal["auto", "rich", "plain", "none"] = option(
        "auto",
        "Display",
        COMMAND,
        "Live bars, whole lines, or errors only.",
        choices=("auto", "rich", "plain", "none"),
    )
    quiet: bool = switch("Display", COMMAND, "Short for --display none.", short="-q")
    verbose: bool = switch("Display", COMMAND, "Name every wrong or failed answer.", short="-v")
    debug: bool = switch("Display", COMMAND, "Show tracebacks.")

    sources: Mapping[str, Source] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, **given: Any) -> RunConfig:  # noqa: ANN401 - values of options
        """A config from Python: values by name of the field, checked as flags are.

        A value may be what the field holds, or its text as on the command line.

        Raises:
            InputError: no such option, or not a value of it.
        """
        known = options()
        for name in given:
            if name not in known:
                raise InputError(f"no such option '{name}'; {near(name, known)}")
        values = {name: _checked(name, value) for name, value in given.items()}
        return cls(**values, sources=dict.fromkeys(values, "python"))

    @classmethod
    def from_manifest(cls, manifest: Manifest) -> RunConfig:
        """The config that a run was made with, as far as its manifest tells."""
        return cls().taken_over(manifest)

    def taken_over(self, manifest: Manifest) -> RunConfig:
        """The config with everything that was not given as a recorded run had it.

        Args:
            manifest: of the run to resume.
        """
        from qwen_bench.record.marks import marked_fields

        marked = {item.mark.flag: item.read(manifest) for item in marked_fields(manifest)}
        first = manifest.invocations[0].args_effective if manifest.invocations else {}
        values = {}
        for name, said in options().items():
            if said.meaning.resumed == "manifest" and (value := marked[flag_of(name)]) is not None:
                values[name] = said.recorded(value) if said.recorded else value
            elif said.meaning.resumed == "arguments" and name in first:
                value = first[name]["value"]
                if HIDDEN not in str(value):
                    values[name] = tuple(value) if isinstance(value, list) else value
        if self.given("max_tokens"):
            # Lengths that fitted another number of tokens are no wish of the user's.
            values.pop("lengths", None)
        changed = {
            name: value
            for name, value in values.items()
            if not self.given(name) and value != getattr(self, name)
        }
        taken: dict[str, Source] = dict.fromkeys(changed, "run")
        return replace(self, **changed, sources={**taken, **self.sources})

    def given(self, name: str) -> bool:
        """Whether an option was given, on the command line or from Python."""
        return self.sources.get(name) in {"command line", "python"}

    def arguments(self) -> dict[str, dict[str, Any]]:
        """Every option with its `value` and its `source`, for the manifest."""
        return {
            name: {"value": getattr(self, name), "source": self.sources.get(name, "default")}
            for name in sorted(options())
        }

    @property
    def runs_path(self) -> Path:
        """The run store."""
        return Path(self.runs_dir)


@cache
def options() -> Mapping[str, Option]:
    """The option of every field, in order of declaration.

    Raises:
        TypeError: a field does not say what option it is.
    """
    return {item.name: option_of(item) for item in fields(RunConfig) if item.name != "sources"}


@cache
def default_of(name: str) -> Any:  # noqa: ANN401 - the value of an option
    """The default of an option."""
    return getattr(RunConfig(), name)


def flag_of(name: str) -> str:
    """The flag of a field."""
    return f"--{name.replace('_', '-')}"


def value_of(said: Option, text: str) -> Any:  # noqa: ANN401 - the value of an option
    """The value of one text given for an option.

    Raises:
        ValueError: it is none; the text of the error says why.
        InputError: the same.
    """
    wrong = half_character(text)
    if wrong is not None:
        raise ValueError(f"{text!r} {wrong}, so it is not UTF-8")
    if said.none is not None and text == said.none:
        return None
    if said.choices and text not in said.choices:
        raise ValueError(f"'{text}' is not one of {', '.join(said.choices)}")
    return said.read(text) if said.read else text


def _checked(name: str, value: Any) -> Any:  # noqa: ANN401 - the value of an option
    """A value given from Python, read as its text would be."""
    said, default = options()[name], default_of(name)
    if value is None and default is None:
        return None
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise InputError(f"{name}: {value!r} is neither True nor False")
        return value
    several = isinstance(value, list | tuple | set | frozenset)
    texts = [_text(item) for item in value] if several else [_text(value)]
    try:
        if said.repeated:
            return tuple(value_of(said, text) for text in texts)
        return value_of(said, ",".join(texts))
    except ValueError as error:
        raise InputError(f"{name}: {error}") from error


def _text(value: Any) -> str:  # noqa: ANN401 - one value from Python
    """A value as it is typed."""
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)
