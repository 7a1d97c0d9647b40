"""The logic of each family, as small pure functions, in modules named after the families.

task.yaml names the shape it wants, which families of users share: `bindings` is what fact_recall
is made of. Each module here has a `BUILDER`. A family of a user may name its own as
``module:ATTRIBUTE``.
"""

from __future__ import annotations

import importlib

from qwen_bench.errors import InputError, near
from qwen_bench.probes.instance import Builder

MODULES = {
    "abstention": "abstention",
    "bindings": "fact_recall",
    "chain": "alias_chain",
    "documents": "document_recall",
    "drafts": "own_output",
    "ellipsis": "ellipsis",
    "lists": "state_tracking",
    "order": "temporal_order",
    "ordinal": "ordinal_ref",
    "preferences": "preference_use",
    "pronoun": "pronoun",
    "proposals": "assistant_recall",
    "quotes": "false_history_resistance",
    "scoped_rule": "instruction_retention",
    "speakers": "speaker_attribution",
    "system_rule": "system_rule",
    "threads": "topic_return",
    "update": "update",
}
"""Names that task.yaml uses, and the module behind each; they are part of the suites' hashes."""


def find_builder(name: str) -> Builder:
    """The builder that task.yaml names.

    Args:
        name: a key of `MODULES`, ``update:QUESTIONS`` for another attribute of its module, or
            ``package.module:ATTRIBUTE`` of any importable module.

    Raises:
        InputError: there is none, or it is no `Builder`.
    """
    module_name, _, attribute = name.partition(":")
    known = MODULES.get(module_name)
    path = f"{__name__}.{known}" if known else module_name
    if not known and not attribute:
        raise InputError(f"no builder '{name}'; {near(name, [*MODULES])}")
    try:
        builder = getattr(importlib.import_module(path), attribute or "BUILDER")
    except (ImportError, AttributeError) as error:
        raise InputError(f"no builder '{name}': {error}") from error
    if not isinstance(builder, Builder):
        raise InputError(f"'{name}' is no Builder but {type(builder).__name__}")
    return builder
