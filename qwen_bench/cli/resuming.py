"""What `--resume RUN` takes over from a run, and the command line that continues one."""

from __future__ import annotations

import shlex
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from qwen_bench.errors import InputError
from qwen_bench.record.redaction import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from qwen_bench.cli.options import Options
    from qwen_bench.record.manifest import Manifest

_FROM_ARGUMENTS = (
    "engine",
    "replicas",
    "ray_address",
    "base_url",
    "concurrency",
    "device",
    "dtype",
    "batch_size",
    "model_arg",
    "chat_template",
    "trust_remote_code",
    "allow_pickle",
    "thinking",
    "system",
    "fingerprint",
    "offline",
)


def taken_over(options: Options, manifest: Manifest) -> Options:
    """The options with everything not given on the command line as the run had it.

    Args:
        options: as parsed; a flag in `passed` stays as given.
        manifest: of the run to resume.
    """
    suite, generation = manifest.suite, manifest.generation
    values: dict[str, Any] = {
        "model": (manifest.model.spec,),
        "suite": suite.name,
        "seed": suite.seed,
        "policy": suite.policy,
        "tasks_dir": suite.tasks_dirs,
        "filler": suite.filler,
        "lengths": suite.lengths,
        "family": suite.families,
        "condition": suite.conditions,
        "lang": suite.langs,
        "limit": suite.limit,
        "mode": suite.modes[0] if len(suite.modes) == 1 else "both",
        "max_new_tokens": generation.max_new_tokens,
        "max_thinking_tokens": generation.max_thinking_tokens or options.max_thinking_tokens,
        "temperature": generation.temperature,
        "top_p": generation.top_p or 1.0,
        "top_k": generation.top_k or 0,
        "sampling_seed": generation.seed or 0,
    }
    first = manifest.invocations[0].args_effective if manifest.invocations else {}
    values |= {
        name: tuple(value) if isinstance(value, list) else value
        for name in _FROM_ARGUMENTS
        if name in first and HIDDEN not in str(value := first[name]["value"])
    }
    return replace(
        options, **{name: value for name, value in values.items() if name not in options.passed}
    )


def effective_arguments(options: Options, original: Options) -> dict[str, dict[str, Any]]:
    """Every flag with its value and where it came from.

    Args:
        options: after `taken_over`.
        original: as parsed.
    """
    found = {}
    for name in sorted({item.name for item in fields(options)} - {"passed", "from_environment"}):
        value = getattr(options, name)
        if name in options.passed:
            source = "command line"
        elif name in options.from_environment:
            source = "environment"
        elif value != getattr(original, name):
            source = "run"
        else:
            source = "default"
        found[name] = {"value": value, "source": source}
    return found


def continue_command(arguments: Sequence[str], folder: Path | None) -> str:
    """The command line that continues what was interrupted.

    Args:
        arguments: of this process, after the program's name; secrets already removed.
        folder: the one run to continue; None where several were asked for, each of which is found
            again by its settings.
    """
    kept = _without(arguments, "--resume", optional_value=True)
    if folder is not None:
        kept = _without(kept, "--run-id", optional_value=False)
    target = ["--resume"] if folder is None else ["--resume", str(folder)]
    return shlex.join(["qwen-bench", *kept, *target])


def _without(arguments: Sequence[str], flag: str, *, optional_value: bool) -> list[str]:
    """The words without a flag and its value."""
    kept: list[str] = []
    skip = False
    for word in arguments:
        if skip:
            skip = False
            if not (optional_value and word.startswith("-")):
                continue
        if word == flag:
            skip = True
        elif not word.startswith(f"{flag}="):
            kept.append(word)
    return kept


def check_flags(options: Options, models: int) -> None:
    """Refuse flags of the Run group that do not go together.

    Args:
        options: as parsed.
        models: number of models that would be run.

    Raises:
        InputError: a flag has no meaning beside the others.
    """
    if options.retry_errors and options.resume is None:
        raise InputError("--retry-errors needs --resume", fix="--resume RUN --retry-errors")
    if options.run_id is not None:
        if models > 1:
            raise InputError("--run-id names one run folder, but several models are run")
        if options.resume not in {None, "latest"}:
            raise InputError("--run-id names a new run folder, --resume an old one; give one")
        if options.run_id.startswith(".") or "/" in options.run_id or not options.run_id.strip():
            raise InputError(f"--run-id: '{options.run_id}' is not a folder name")
    if models > 1 and options.resume not in {None, "latest"}:
        raise InputError(
            "--resume RUN continues one model, but several are run",
            fix="--resume without a value finds the newest run of each",
        )
