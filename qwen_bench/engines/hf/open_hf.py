"""Opening hf engines: weights, adapters, and how much is computed together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qwen_bench.engines.adapters import checked_adapter, why_not_shared
from qwen_bench.engines.context_window import shared_window
from qwen_bench.engines.device_memory import memory_budget
from qwen_bench.engines.engine_options import EngineOptions, read_bytes
from qwen_bench.engines.hf.attaching import attach, attach_adapter
from qwen_bench.engines.hf.hf_engine import HfEngine
from qwen_bench.engines.hf.isolation import Isolation
from qwen_bench.engines.hf.tasks import Limits
from qwen_bench.engines.loading import LoadedBase, LoadedModels, load_base, shipped_template
from qwen_bench.engines.model_spec import ModelSpec
from qwen_bench.engines.prompter import chat_settings
from qwen_bench.errors import InputError

if TYPE_CHECKING:
    import torch


class HfModels(LoadedModels[LoadedBase]):
    """Bases in this process, with their adapters on them.

    An adapter that changes the base, or what is beside it, is found when it is put there; it then
    gets a copy of the weights to itself, and the others start anew on a base as it came.
    """

    def __init__(self, options: EngineOptions) -> None:
        super().__init__(options)
        self._apart: dict[Path, str] = {}

    def apart(self, folder: Path) -> bool:
        """Whether an adapter has weights of its own."""
        return folder in self._apart

    def load(self, spec: ModelSpec, adapters: Sequence[Path], *, shared: bool) -> LoadedBase:
        """Load the weights and put all adapters on them that can share them."""
        while True:
            base = load_base(spec, self.options)
            _set_window(base, spec.default_label, self.options.max_context)
            if not shared:
                for folder in adapters:
                    self._attach(base, folder)
                return base
            if self._share(base, adapters):
                return base
            del base

    def _share(self, base: LoadedBase, adapters: Sequence[Path]) -> bool:
        """Put adapters on one base; False when one has changed it, which is set apart then."""
        weights = dict(base.model.named_parameters(remove_duplicate=False))
        sharing = []
        for folder in adapters:
            checked = checked_adapter(base, folder, allow_pickle=self.options.allow_pickle)
            reason = why_not_shared(checked, weights)
            if reason is not None:
                self._apart.setdefault(folder, reason)
            elif folder not in self._apart:
                sharing.append(checked)
        if not sharing:
            return True
        base.isolation = Isolation(base)
        for checked in sharing:
            if not base.isolation.includes(attach(base, checked).name):
                self._apart[checked.folder] = "the base is not the same beside it"
                return False
        if not base.isolation.leaves_weights():
            reason = "the base and the adapters on it are not the same beside each other"
            self._apart |= {checked.folder: reason for checked in sharing}
            return False
        return True

    def _attach(self, base: LoadedBase, folder: Path) -> None:
        attached = attach_adapter(base, folder, allow_pickle=self.options.allow_pickle)
        if folder in self._apart:
            line = f"adapter {attached.shown}: has a copy of the weights to itself, because "
            own = (*attached.warnings, line + self._apart[folder])
            base.adapters[str(folder.absolute())] = replace(attached, warnings=own)

    def engine(self, base: LoadedBase, spec: ModelSpec) -> HfEngine:
        """An engine; as many may be open on one base as there are SPECs.

        Raises:
            EngineError: the base is not as it was loaded.
        """
        options, adapter = self.options, None
        if spec.kind == "adapter" and spec.path is not None:
            adapter = base.adapters[str(spec.path.absolute())]
        if base.isolation is not None:
            base.isolation.check(adapter.name if adapter else None)
        own = (adapter.chat_template if adapter else None) or shipped_template(base.tokenizer)
        return HfEngine(
            base,
            chat_settings(spec, options, own),
            spec,
            adapter=adapter,
            policy=options.policy,
            limits=limits_for(options, base.device),
        )

    def free(self, base: LoadedBase) -> None:
        """Nothing more than forgetting it."""


def _set_window(base: LoadedBase, label: str, asked: int | None) -> None:
    """Take the context window that the user asks for, as far as prompts can share there.

    Raises:
        InputError: they cannot.
    """
    configured, shared = base.context_window, shared_window(*base.positions)
    if shared is not None and (asked or 0) > shared:
        raise InputError(
            f"--max-context {asked}: {label} places the tokens of a prompt by its length beyond "
            f"{shared}",
            why="the rope scaling of its configuration; prompts of different lengths share nothing",
            fix=(f"--max-context {shared}", "--model openai:NAME asks a server that runs it"),
        )
    base.max_context = asked if asked is not None else shared
    if asked is not None and configured is not None and asked > configured:
        line = f"--max-context lets {label} have {asked:,} tokens; it is made for {configured:,}"
        base.notices += (line,)
    elif asked is None and shared is not None:
        line = f"{label} places tokens by the length of the prompt beyond {shared:,}; longer ones"
        base.notices += (f"{line} are too long here",)


def limits_for(options: EngineOptions, device: torch.device) -> Limits:
    """How much is computed together: what the user set, else what the device has.

    Called with the weights loaded, so that they do not count as free.

    Raises:
        ValueError: a setting that is no size.
    """
    given = options.model_args.get("memory")
    memory = memory_budget(device) if given is None else read_bytes(str(given))
    limits = Limits(memory_bytes=memory)
    if options.batch_size is not None:
        limits.rows = options.batch_size
    if "chunk_tokens" in options.model_args:
        limits.chunk = int(options.model_args["chunk_tokens"])
    return limits
