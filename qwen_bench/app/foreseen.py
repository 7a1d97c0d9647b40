"""What the manifest of a model's run will say, as far as that is known before anything is asked.

Tokenizers and templates are read, weights are not, and no server is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwen_bench.engines.engine_options import engine_of
from qwen_bench.engines.registry import open_prompting
from qwen_bench.errors import InputError, MissingExtraError, ModelError
from qwen_bench.probes.programmes import SYSTEM
from qwen_bench.protocol import Identity
from qwen_bench.record.manifest import EngineInfo, ModelInfo
from qwen_bench.record.marks import differences
from qwen_bench.record.redaction import redact_text
from qwen_bench.runs.draft_manifest import draft_manifest
from qwen_bench.runs.store import readable_runs
from qwen_bench.solvers.solver_engine import SolverEngine

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from qwen_bench.app.asking import Asking
    from qwen_bench.engines.prompting import Prompting
    from qwen_bench.probes.suites import Suite
    from qwen_bench.record.manifest import Manifest

# Told by the files of weights and tokenizer, by the device, or by a server.
_TOLD_LATER = frozenset(
    {
        "model.fingerprint",
        "model.dtype",
        "engine.device",
        "template.tokenizer_sha256",
        "generation.stop",
    }
)
_TOLD_BY_SERVER = _TOLD_LATER | {
    "suite.families",
    "template.chat_template_sha256",
    "template.thinking.effective",
}


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A manifest before its run.

    Attributes:
        manifest: without a name, rows, and what is not known.
        unknown: fields that only the opened engine tells.
    """

    manifest: Manifest
    unknown: frozenset[str]

    def differences(self, recorded: Manifest) -> list[tuple[str, Any, Any]]:
        """(field, recorded, asked now) of what forbids continuing a run, as far as it is known."""
        return [
            item for item in differences(recorded, self.manifest) if item[0] not in self.unknown
        ]

    def identifies(self, recorded: Manifest) -> bool:
        """Whether a run has the settings that `--resume` without a value looks for."""
        if not self.unknown:
            return recorded.identity == self.manifest.identity
        return all(field.startswith("scorer.") for field, _, _ in self.differences(recorded))


def foresee(asking: Asking, position: int) -> Foreseen | None:
    """What the run of one model will say.

    Args:
        asking: whom, and what.
        position: of the model.

    Returns:
        None for an engine of another package, and where only workers can read the model.

    Raises:
        QwenBenchError: the model cannot be used as given.
    """
    item, options = asking.models[position], asking.engine
    spec, label = item.spec, asking.labels[position]
    if item.engine is not None:
        engine = item.engine
        suite = answerable(asking, position, takes_system=engine.abilities().system_messages)
        return Foreseen(_draft(asking, position, engine.identity(), suite), frozenset())
    if spec.kind == "mock":
        identity = SolverEngine(spec.name, asking.suite, options.policy).identity()
        return Foreseen(_draft(asking, position, identity, asking.suite), frozenset())
    prompting = _prompting(asking, position)
    if prompting is None:
        return None
    unknown = _TOLD_BY_SERVER if spec.kind == "openai" else _TOLD_LATER
    model = ModelInfo(label=label, spec=spec.text, kind=spec.kind, fingerprint="")
    computing = EngineInfo(name=engine_of(spec, options) or "")
    if options.dtype != "auto" and spec.kind != "openai":
        model, unknown = (
            model.model_copy(update={"dtype": options.dtype}),
            unknown - {"model.dtype"},
        )
    identity = Identity(model, prompting.template, prompting.generation, computing)
    suite = answerable(asking, position, takes_system=prompting.system_messages)
    return Foreseen(_draft(asking, position, identity, suite), unknown)


def _prompting(asking: Asking, position: int) -> Prompting | None:
    """How the engine will prompt; on a cluster this machine may be the one that cannot tell."""
    options = asking.engine
    try:
        return open_prompting(asking.models[position].spec, options)
    except (MissingExtraError, ModelError):
        if options.replicas > 1 or options.ray_address is not None:
            return None
        raise


def _draft(asking: Asking, position: int, identity: Identity, suite: Suite) -> Manifest:
    return draft_manifest(
        suite,
        asking.modes,
        asking.plan,
        identity,
        spec=asking.models[position].spec.text,
        label=asking.labels[position],
        generation=asking.generation,
        policy=str(asking.engine.policy),
    )


def answerable(asking: Asking, position: int, *, takes_system: bool) -> Suite:
    """The suite as a model can be asked it: without a system role, no rules in one.

    Args:
        asking: whom, and what.
        position: of the model.
        takes_system: whether its prompts have a system message where one is given.

    Raises:
        InputError: nothing is left.
    """
    suite = asking.suite
    narrowed = suite if takes_system else suite.without(SYSTEM)
    if not narrowed.families:
        raise InputError(
            f"the chat template of {asking.labels[position]} takes no system message, and only "
            "families that need one are asked",
            fix="ask other families, or pass another template with --chat-template FILE",
        )
    return narrowed


def run_to_continue(asking: Asking, position: int, foreseen: Foreseen | None) -> Path | None:
    """The run that `--resume` without a value will most likely continue for a model.

    What only the opened engine tells is taken to be as in the newest run of the SPEC that agrees
    in everything else.
    """
    text = redact_text(asking.models[position].spec.text)
    spec = _without_label(text, asking.labels[position])
    exact = foreseen is not None and not foreseen.unknown
    for folder, manifest in readable_runs(asking.config.runs_path):
        same = exact or _without_label(manifest.model.spec, manifest.model.label) == spec
        if same and _identified(asking, foreseen, manifest):
            return folder
    return None


def _identified(asking: Asking, foreseen: Foreseen | None, recorded: Manifest) -> bool:
    if foreseen is not None:
        return foreseen.identifies(recorded)
    suite, info = asking.suite, recorded.suite
    asked = (suite.sha256, suite.seed, suite.filler_sha256, str(asking.engine.policy))
    return asked == (info.sha256, info.seed, info.filler_sha256, info.policy)


def _without_label(spec: str, label: str) -> str:
    return spec.removeprefix(f"{label}=")
