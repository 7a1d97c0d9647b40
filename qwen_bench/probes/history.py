"""Writes the turns of a dialogue: evidence at its places, filler in between, rules obeyed."""

from __future__ import annotations

from collections.abc import Sequence

from qwen_bench.probes.filler import fill, without
from qwen_bench.probes.placing import Placed, Sources
from qwen_bench.probes.probe import Lang, Rule, Turn
from qwen_bench.probes.programmes import MAX_TURNS
from qwen_bench.probes.scripted_rules import apply_rule
from qwen_bench.probes.seeded_draws import Stream
from qwen_bench.probes.word_templates import render


def write_turns(
    sources: Sources,
    placed: Sequence[Placed],
    seed: tuple[object, ...],
    lang: Lang,
    length: int,
    *,
    stack: int = 1,
) -> tuple[Turn, ...]:
    """The first `length` turns; the plan covers all 64, so they do not depend on `length`.

    Args:
        sources: words and filler.
        placed: instances of the skeleton.
        seed: names the skeleton; with the language it decides the filler, for both variants.
        lang: of the text.
        length: turns wanted.
        stack: exchanges of filler merged into one turn.

    Raises:
        QwenBenchError: a word template fails.
        DataError: the filler bank is too small.
    """
    evidence = _evidence(sources, placed, lang)
    free = [number not in evidence for number in range(1, MAX_TURNS + 1)][:length]
    barred = tuple(dict.fromkeys(word for item in placed for word in item.instance.barred))
    bank = without(sources.filler[lang], barred)
    filler = fill(bank, free, Stream(*sources.scope, *seed, "filler", lang), stack)
    turns = [turn or evidence[number] for number, turn in enumerate(filler, start=1)]
    for item in placed:
        if item.instance.marked is not None:
            turns = _marked(turns, item.instance.marked, max(item.turns[-1], 1), lang)
    return tuple(turns)


def system_text(sources: Sources, placed: Sequence[Placed], lang: Lang) -> str | None:
    """Text of the system message that an instance brings; None without one."""
    for item in placed:
        if item.instance.system is not None:
            join = sources.families[item.group].joins[lang]
            return render(item.instance.system, item.instance.system_context, join)
    return None


def _evidence(sources: Sources, placed: Sequence[Placed], lang: Lang) -> dict[int, Turn]:
    turns: dict[int, Turn] = {}
    for item in placed:
        if not item.instance.evidence:
            continue
        join = sources.families[item.group].joins[lang]
        for number, stage in zip(item.turns, item.instance.evidence, strict=True):
            turns[number] = Turn(
                render(stage.user, stage.context, join),
                render(stage.assistant, stage.context, join),
                item.group,
            )
    return turns


def _marked(turns: Sequence[Turn], rule: Rule, first: int, lang: Lang) -> list[Turn]:
    """The turns with every reply from turn `first` on obeying the rule."""
    return [
        turn
        if number < first
        else Turn(turn.user, apply_rule(rule, turn.assistant, lang), turn.group)
        for number, turn in enumerate(turns, start=1)
    ]
