"""Finds one probe by its id, in any suite."""

from __future__ import annotations

import re
from typing import NamedTuple, cast

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


class _IdParts(NamedTuple):
    """What a probe id says."""

    programme: str
    number: int
    variant: Variant
    lang: Lang
    family: str
    length: int
    condition: Condition


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
    parts = _parts(probe_id)
    if parts is None:
        raise _no_probe(probe_id, ())
    asked_instead: dict[str, None] = {}
    selection = Selection(families=(parts.family,) if own and own.tasks_dirs else ())
    for name in (suite,) if suite else load_suite_names():
        dialogue = _dialogue(build_suite(name, selection, seed, own), parts)
        if dialogue is None:
            continue
        for asked in dialogue.probes:
            if asked.probe.id == probe_id:
                return dialogue, asked
            if asked.probe.family == parts.family:
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


def _parts(probe_id: str) -> _IdParts | None:
    found = _ID.fullmatch(probe_id)
    if found is None or int(found["length"]) > MAX_TURNS:
        return None
    return _IdParts(
        found["programme"],
        int(found["number"]),
        cast("Variant", found["variant"]),
        cast("Lang", found["lang"]),
        found["family"],
        int(found["length"]),
        cast("Condition", found["condition"]),
    )


def _dialogue(suite: Suite, parts: _IdParts) -> Dialogue | None:
    """The dialogue of a probe in one suite; None if the suite has no such programme."""
    programme = next((p for p in suite.programmes if p.name == parts.programme), None)
    if programme is None or (parts.condition == "dense" and "dense" not in suite.blocks):
        return None
    length = max(1, parts.length)
    lengths = tuple(sorted({*suite.lengths, length}))
    asking = WantedProbes(
        lengths,
        frozenset(suite.families),
        {parts.condition: lengths},
        suite.blocks["dense"].stack if parts.condition == "dense" else 1,
    )
    return build_dialogue(
        suite.sources, programme, parts.number, (parts.variant, parts.lang), asking
    )
