"""Remarks: what a user says beside a request. Evidence is a remark, and so are lures.

A lure is a true statement of the same kind about things that are never asked about. The builders of
the families make it from words of its own, at the levels of the suite, so that no length, form or
speech act tells evidence from the rest (LongMemEval and RULER plant evidence in filler of another
kind).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count, product
from typing import NamedTuple

from qwen_bench.probes.bank import Pace, Requested
from qwen_bench.probes.definitions import Join
from qwen_bench.probes.instance import Evidence
from qwen_bench.probes.probe import WORDINGS, Lang
from qwen_bench.probes.programmes import MIXED, Programme, Sources
from qwen_bench.probes.seeded_draws import Draw, Stream
from qwen_bench.probes.word_templates import render

# One turn of so many has a request alone.
PLAIN_TURNS = 12
# What stands between a request and the remark that follows it.
ASIDES: dict[Lang, tuple[str, ...]] = {
    "en": (
        "Before I forget:",
        "Something else:",
        "By the way:",
        "Unrelated, but:",
        "On another note:",
        "While I'm here:",
    ),
    "zh": ("对了，", "顺便说一下，", "另外，", "还有件事，", "说点别的，", "趁还记得，"),
}
_SENTENCE_ENDS = ".!?。！？…~～"
_MARKUP = re.compile(r"[|#>*\-`\d]|\$\$")


class Remark(NamedTuple):
    """What the user says in passing, and what the assistant says to it before it goes on.

    Attributes:
        group: of the instance whose evidence it is; None for a lure.
    """

    said: str
    answered: str
    group: str | None = None


def remark_of(evidence: Evidence, join: Join, group: str | None) -> Remark:
    """The text of one evidence turn.

    Raises:
        QwenBenchError: a word template fails.
    """
    said = render(evidence.user, evidence.context, join, lines=True)
    return Remark(said, render(evidence.assistant, evidence.context, join, lines=True), group)


def lures(sources: Sources, programme: Programme, number: int, lang: Lang) -> Iterator[Remark]:
    """Lures of a cluster without end, the same in both variants; none if no family has any.

    Every family of the programme at every level of the suite comes equally often, in random order;
    the turns of one lure follow each other, sooner or later. A programme without evidence in its
    turns has the lures of `mixed`. Training has none: no word of a suite may stand there, and the
    evidence that it does not ask about does the same.
    """
    if sources.split == "train":
        return
    groups = [g for g in programme.groups if lang in _lures_of(sources, g)]
    if not groups and programme.recipe:
        groups = [g for g in MIXED.groups if lang in _lures_of(sources, g)]
    if not groups:
        return
    seed = (*sources.scope, sources.dialogues + programme.name, "lures", number)
    stream = Stream(*seed)
    deck: list[tuple[str, int]] = []
    begun: list[tuple[str, Evidence]] = []
    for serial in count():
        if not begun or stream.index(2):
            deck = deck or stream.shuffled([*product(groups, sources.levels)])
            group, level = deck.pop()
            draw = Draw(seed, group, serial, number)
            told = _instance(sources, draw, level, lang)
            begun += [(group, evidence) for evidence in told]
        group, evidence = begun.pop(0)
        yield remark_of(evidence, sources.families[group].joins[lang], None)


def _lures_of(sources: Sources, group: str) -> frozenset[Lang]:
    family = sources.families.get(group)
    return frozenset(family.lures) if family else frozenset()


def _instance(sources: Sources, draw: Draw, level: int, lang: Lang) -> tuple[Evidence, ...]:
    host = sources.families[draw.group]
    brief = sources.brief(draw, "A", level, draw.balanced("wording", WORDINGS))
    return host.builder.build(brief, host.lures[lang]).evidence


class Manner(NamedTuple):
    """How a turn is put together, whatever the length of its answer.

    Attributes:
        remark_first: the remark may stand before the request.
        aside: number of what leads over from a request to the remark.
        apart: remark and request are paragraphs of their own.
    """

    remark_first: bool
    aside: int
    apart: bool


def manner_of(stream: Stream, lang: Lang) -> Manner:
    """A drawn manner."""
    first, aside, apart = stream.index(2), stream.index(len(ASIDES[lang])), stream.index(2)
    return Manner(first == 1, aside, apart == 1)


def turn_of(
    remark: Remark | None, requested: Requested, pace: Pace, manner: Manner, lang: Lang
) -> tuple[str, str]:
    """User text and reply of one turn.

    The remark stands before a request that opens a thread, or after any request, so that a thread
    goes on where it left off. The reply speaks to the remark first and goes on to the request.

    Args:
        remark: None for a request alone.
        requested: the request and its answer.
        pace: length of the answer.
        manner: the order, and what stands between.
        lang: of the text.
    """
    request, answer = requested.exchange.request, requested.exchange.answer(pace)
    if remark is None:
        return request, answer
    if requested.place == 0 and manner.remark_first:
        user = _joined(remark.said, request, lang, apart=manner.apart)
    else:
        user = _joined(request, _opened(remark.said, lang, manner.aside), lang, apart=manner.apart)
    apart = manner.apart or _MARKUP.match(answer) is not None
    return user, _joined(remark.answered, answer, lang, apart=apart)


def _opened(said: str, lang: Lang, aside: int) -> str:
    """A remark with what leads over to it; one that has an opening of its own is left alone."""
    if re.search("[:：]", said.split("\n", maxsplit=1)[0]):
        return said
    return f"{ASIDES[lang][aside]}{'' if lang == 'zh' else ' '}{said}"


def _joined(one: str, other: str, lang: Lang, *, apart: bool) -> str:
    """Two texts as one paragraph, or as two where they are wished or have to be apart."""
    if apart or "\n" in one or one[-1] not in _SENTENCE_ENDS:
        return f"{one}\n\n{other}"
    return f"{one}{'' if lang == 'zh' else ' '}{other}"
