"""What the evidence turns of a dialogue say for a family, apart from the bank's text beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qwen_bench.probes.probe import Dialogue
from qwen_bench.probes.programmes import place
from qwen_bench.probes.remarks import remark_of
from qwen_bench.probes.suites import Suite

# Remark of the user and acknowledgement of the assistant, by turn.
Told = Mapping[int, tuple[str, str]]
Tell = Callable[[Dialogue], Told]


def teller(suite: Suite) -> Tell:
    """A function that writes the evidence of a dialogue anew, from the draws of its cluster."""
    sources = suite.sources
    programmes = {f"{sources.dialogues}{p.name}": p for p in suite.programmes}

    def tell(dialogue: Dialogue) -> Told:
        name, _, number = dialogue.cluster.rpartition("-")
        told: dict[int, tuple[str, str]] = {}
        placed = place(sources, programmes[name], int(number), dialogue.variant, dialogue.lang)
        for item in placed:
            join = sources.families[item.group].joins[dialogue.lang]
            for turn, stage in zip(item.turns, item.instance.evidence, strict=False):
                remark = remark_of(stage, join, item.group)
                told[turn] = remark.said, remark.answered
        return told

    return tell


def rest_of(text: str, told: str) -> str | None:
    """A text without what it tells; None if it does not hold that."""
    before, found, after = text.partition(told)
    return f"{before}\n{after}" if found else None
