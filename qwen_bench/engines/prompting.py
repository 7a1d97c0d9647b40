"""How an engine prompts, in the words of the manifest, as far as that is known without weights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwen_bench.chat.rendering import effective_thinking, template_system
from qwen_bench.record.manifest import DecodingInfo, TemplateInfo, Thinking

if TYPE_CHECKING:
    from qwen_bench.engines.engine_options import EngineOptions
    from qwen_bench.engines.prompter import Prompter


@dataclass(frozen=True, slots=True)
class Prompting:
    """What an engine will say of its prompts.

    Attributes:
        template: what needs files beside tokenizer and template is left out.
        generation: the same; null fields are not known to be null.
        system_messages: the chat template writes a system message where one is given.
    """

    template: TemplateInfo
    generation: DecodingInfo
    system_messages: bool = True


def prompting_of(prompter: Prompter) -> Prompting:
    """That of an engine with a tokenizer here."""
    system = system_sha256(prompter.settings.system)
    generation = DecodingInfo(system_sha256=system)
    return Prompting(template_info(prompter), generation, prompter.takes_system())


def prompting_of_server(options: EngineOptions) -> Prompting:
    """That of an engine on a server, which says the rest when it is asked."""
    return Prompting(
        TemplateInfo(source="server", thinking=Thinking(requested=options.thinking)),
        DecodingInfo(system_sha256=system_sha256(options.system)),
    )


def template_info(prompter: Prompter, tokenizer_sha256: str | None = None) -> TemplateInfo:
    """How conversations become prompts.

    Args:
        prompter: tokenizer and template.
        tokenizer_sha256: of the tokenizer's files.
    """
    settings, tokenizer = prompter.settings, prompter.tokenizer
    thinking = effective_thinking(settings, tokenizer)
    return TemplateInfo(
        chat_template_sha256=settings.template.sha256,
        tokenizer_sha256=tokenizer_sha256,
        source=settings.template.source,
        default_system=template_system(settings, tokenizer),
        thinking=Thinking(requested=settings.thinking, effective=thinking),
    )


def system_sha256(system: str) -> str | None:
    """Hash of the text that `--system` puts before every conversation; None by default."""
    if system == "default":
        return None
    return hashlib.sha256(("" if system == "none" else system).encode()).hexdigest()
