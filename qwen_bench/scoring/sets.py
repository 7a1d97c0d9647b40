"""How close a wrong list came: slot F1 and per-item accuracy, beside the exact match.

They never enter a headline: a list that is nearly right is a wrong list (probe specification,
sections 4.9 and 6.4).
"""

from __future__ import annotations

from typing import NamedTuple

from qwen_bench.probes.probe import Probe
from qwen_bench.scoring.mentions import find_mentions
from qwen_bench.scoring.normalise import answer_segment, normalise, visible_part


class SlotCounts(NamedTuple):
    """The items that could be listed, by what an answer did with them.

    Attributes:
        hits: in the gold and listed.
        missed: in the gold, not listed.
        extra: listed, not in the gold.
        spared: neither.
    """

    hits: int
    missed: int
    extra: int
    spared: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall over the items, ``2 hits / (2 hits + errors)``.

        Two empty lists agree: 1.
        """
        errors = self.missed + self.extra
        return 1.0 if self.hits + errors == 0 else 2 * self.hits / (2 * self.hits + errors)

    @property
    def item_accuracy(self) -> float:
        """Share of all items whose place, on the list or off it, is right."""
        return (self.hits + self.spared) / sum(self)


def slot_counts(probe: Probe, raw: str) -> SlotCounts:
    """Compares the items an answer lists with the gold of a probe of kind `set`.

    Reads the answer as the judge does; an unfinished thought lists nothing. A negated item counts
    as listed, since the judge does not follow polarity either.

    >>> SlotCounts(hits=2, missed=1, extra=1, spared=3).f1
    0.6666666666666666
    """
    visible = visible_part(raw)
    text = normalise(raw, visible.start, visible.end).text
    start, end = answer_segment(text)
    mentions = find_mentions(text[start:end], probe.candidates, probe.aliases)
    listed, gold = {mention.candidate for mention in mentions}, set(probe.gold_items)
    return SlotCounts(
        hits=len(listed & gold),
        missed=len(gold - listed),
        extra=len(listed - gold),
        spared=len(set(probe.candidates) - listed - gold),
    )
