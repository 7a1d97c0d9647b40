"""What the evidence turns of a dialogue say for a family, apart from the bank's text beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from qwen_bench.probes.probe import Dialogue
from qwen_bench.probes.programmes import Programme, Sources, place
from qwen_bench.probes.word_templates import render

# Remark of the user and acknowledgement of the assistant, by turn.
Told = Mapping[int, tuple[str, str]]
Tell = Callable[[Dialogue], Told]


def teller(sources: Sources, programmes: Sequence[Programme]) -> Tell:
    """A function that writes the evidence of a dialogue anew, from the draws of its cluster.

    Args:
        sources: of the suite.
        programmes: of the suite.
    """
    named = {programme.name: programme for programme in programmes}

    def tell(dialogue: Dialogue) -> Told:
        name, _, number = dialogue.cluster.rpartition("-")
        told: dict[int, tuple[str, str]] = {}
        placed = place(sources, named[name], int(number), dialogue.variant, dialogue.lang)
        for item in placed:
            if not item.instance.evidence:
                continue
            join = sources.families[item.group].joins[dialogue.lang]
            for turn, stage in zip(item.turns, item.instance.evidence, strict=True):
                told[turn] = (
                    render(stage.user, stage.context, join, lines=True),
                    render(stage.assistant, stage.context, join, lines=True),
                )
        return told

    return tell


def rest_of(text: str, told: str) -> str | None:
    """A text without what it tells; None if it does not hold that."""
    before, found, after = text.partition(told)
    return f"{before}\n{after}" if found else None
