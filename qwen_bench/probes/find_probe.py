"""Finds one probe by its id, in any suite."""

from __future__ import annotations

import re
from typing import cast

from qwen_bench.errors import InputError
from qwen_bench.probes.dialogue import WantedProbes, build_dialogue
from qwen_bench.probes.probe import (
    CONDITIONS,
    LANGS,
    MAX_TURNS,
    VARIANTS,
    AskedProbe,
    Condition,
    Dialogue,
    Lang,
    Variant,
)
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import Own, Suite, build_suite, load_suite_names

_ID = re.compile(
    r"(?P<programme>[^/]*)-(?P<number>[0-9]+)"
    rf"/(?P<variant>{'|'.join(VARIANTS)})/(?P<lang>{'|'.join(LANGS)})"
    rf"/(?P<family>[^/]*)\.[^./]*/T?(?P<length>[0-9]+)/(?P<condition>{'|'.join(CONDITIONS)})"
)


def find_probe(
    probe_id: str, suite: str | None = None, seed: int = 0, own: Own | None = None
) -> tuple[Dialogue, AskedProbe]:
    """A probe of any suite by its id, with its dialogue.

    Args:
        probe_id: ``CLUSTER/VARIANT/LANG/FAMILY.QUESTION/T<length>/CONDITION``.
        suite: look in this one only.
        seed: of the probe construction.
        own: families and filler of the user's.

    Raises:
        InputError: no such probe.
    """
    parts = _ID.fullmatch(probe_id)
    if parts is None or int(parts["length"]) > MAX_TURNS:
        raise _no_probe(probe_id, ())
    asked_instead: dict[str, None] = {}
    selection = Selection(families=(parts["family"],) if own and own.tasks_dirs else ())
    for name in (suite,) if suite else load_suite_names():
        dialogue = _dialogue(build_suite(name, selection, seed, own), parts)
        if dialogue is None:
            continue
        for asked in dialogue.probes:
            if asked.probe.id == probe_id:
                return dialogue, asked
            if asked.probe.family == parts["family"]:
                asked_instead[asked.probe.id] = None
    raise _no_probe(probe_id, tuple(asked_instead))


def _no_probe(probe_id: str, instead: tuple[str, ...]) -> InputError:
    """The error for an id that names nothing, with probes of the same dialogue and family."""
    shape = "an id reads CLUSTER/VARIANT/LANG/FAMILY.QUESTION/T<length>/CONDITION"
    if not instead:
        return InputError(f"no probe '{probe_id}'", why=shape, fix="qwen-bench probes list")
    return InputError(
        f"no probe '{probe_id}'",
        why="a family is asked once its turns in this dialogue are over",
        fix=[f"qwen-bench probes show {name}" for name in instead[:3]],
    )


def _dialogue(suite: Suite, parts: re.Match[str]) -> Dialogue | None:
    """The dialogue of a probe in one suite; None if the suite has no such programme."""
    programme = next((p for p in suite.programmes if p.name == parts["programme"]), None)
    condition = cast("Condition", parts["condition"])
    dense = condition == "dense"
    if programme is None or (dense and "dense" not in suite.blocks):
        return None
    lengths = tuple(sorted({*suite.lengths, max(1, int(parts["length"]))}))
    stack = suite.blocks["dense"].stack if dense else 1
    asking = WantedProbes(lengths, frozenset(suite.families), {condition: lengths}, stack)
    rendering = cast("tuple[Variant, Lang]", (parts["variant"], parts["lang"]))
    return build_dialogue(suite.sources, programme, int(parts["number"]), rendering, asking)
