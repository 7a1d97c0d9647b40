"""Whether the evidence decides the answer, and nothing less than the evidence does.

The facts are read off the rendered turns, with values numbered in the order they appear, so that
only who has which value counts. Without one of its needed turns a question must be open: its answer
was never said in what is left, or another world (the other variant) leaves the same and has another
answer, or the missing turn speaks of what is asked, so that whoever misses it knows old facts.
"""

from __future__ import annotations

from collections.abc import Sequence

from qwen_bench.audit.findings import Check
from qwen_bench.audit.leaks import bare_keys
from qwen_bench.audit.questions import LABELS, AskedQuestion, questions_of
from qwen_bench.probes.probe import Dialogue, Probe
from qwen_bench.solvers.history_reading import aliases_of, mentions_in, plain

Facts = tuple[str, ...]


class Solvability(Check):
    """Needs of every question: enough, and none too many."""

    name = "solvability"

    def see(self, rendering: Sequence[Dialogue]) -> None:
        """Compare the evidence of both variants."""
        worlds: dict[tuple[str, str, str], list[AskedQuestion]] = {}
        for asked in questions_of(rendering):
            probe = asked.probe
            worlds.setdefault((probe.family, probe.question, probe.condition), []).append(asked)
        for twins in worlds.values():
            for asked in twins:
                self._checked += 1
                self._stated(asked)
                self._minimal(asked, twins)
            self._decided(twins)

    def summary(self) -> str:
        """What was looked at."""
        return f"{self._checked} questions: needs hold the answer and are minimal"

    def _stated(self, asked: AskedQuestion) -> None:
        """The gold is a candidate and said in the needed turns, or what decides it is."""
        probe = asked.probe
        if probe.answer_kind == "rule" or probe.gold_abstains:
            return
        golds = probe.gold_items or (probe.gold,)
        for gold in golds:
            if gold not in probe.candidates:
                self._findings.add(probe.id, f"the gold '{gold}' is no candidate")
            if gold in LABELS:
                continue
            texts = [asked.evidence(turn) for turn in probe.needs]
            sought = bare_keys(probe.key_words) if _offers(asked) else (gold,)
            if not any(mentions_in(text, sought, aliases_of(probe)) for text in texts):
                self._findings.add(
                    probe.id, f"the gold '{gold}' is not said in turns {_named(probe.needs)}"
                )

    def _decided(self, twins: Sequence[AskedQuestion]) -> None:
        """Variants whose needed turns are the same have the same answer."""
        facts = {asked.probe.variant: _texts(asked, asked.probe.needs) for asked in twins}
        if len(facts) == 2 and facts["A"] == facts["B"]:
            what = f"turns {_named(twins[0].probe.needs)} are the same in A and B"
            self._findings.add(twins[0].probe.id, what)

    def _minimal(self, asked: AskedQuestion, twins: Sequence[AskedQuestion]) -> None:
        """Every needed turn is needed."""
        probe = asked.probe
        if probe.gold_abstains:
            return
        for missing in probe.needs:
            left = _left(asked, missing)
            if not (
                None in left[1]
                or any(_rivals(left, _left(twin, n)) for twin in twins for n in twin.probe.needs)
                or _speaks_of(asked, missing)
            ):
                self._findings.add(probe.id, "the answer is known without this turn", missing)


def _offers(asked: AskedQuestion) -> bool:
    """Whether the question names all options, and no turn that is needed names one."""
    probe = asked.probe
    aliases = aliases_of(probe)
    named = mentions_in(probe.question_text, probe.candidates, aliases)
    return {mention.candidate for mention in named} == {*probe.candidates} and not any(
        mentions_in(text, probe.candidates, aliases) for text in _texts(asked, probe.needs)
    )


def _left(asked: AskedQuestion, missing: int) -> tuple[Facts, tuple[int | str | None, ...]]:
    """Facts of the needed turns but one, and the answer in their numbering (None: not said)."""
    texts = _texts(asked, [turn for turn in asked.probe.needs if turn != missing])
    return _numbered(asked.probe, texts)


def _rivals(
    one: tuple[Facts, tuple[int | str | None, ...]],
    two: tuple[Facts, tuple[int | str | None, ...]],
) -> bool:
    """Whether the same facts go with another answer."""
    return one[0] == two[0] and one[1] != two[1]


def _texts(asked: AskedQuestion, turns: Sequence[int]) -> Facts:
    return tuple(plain(asked.evidence(turn)) for turn in turns)


def _numbered(probe: Probe, texts: Facts) -> tuple[Facts, tuple[int | str | None, ...]]:
    """Texts with values replaced by numbers in order of appearance; the gold in these numbers."""
    numbers: dict[str, int] = {}
    facts = []
    for text in texts:
        parts, end = [], 0
        for mention in mentions_in(text, probe.candidates, aliases_of(probe)):
            number = numbers.setdefault(mention.candidate, len(numbers))
            parts += [text[end : mention.start], f"\x00{number}"]
            end = mention.end
        facts.append("".join([*parts, text[end:]]))
    if probe.answer_kind == "rule" or probe.gold in LABELS:
        return tuple(facts), (probe.gold,)
    golds = sorted(probe.gold_items) or [probe.gold]
    return tuple(facts), tuple(numbers.get(gold) for gold in golds)


def _speaks_of(asked: AskedQuestion, turn: int) -> bool:
    """Whether a turn names what is asked about, or an option that the question names."""
    probe, text = asked.probe, asked.evidence(turn)
    named = mentions_in(probe.question_text, probe.candidates, aliases_of(probe))
    words = (*bare_keys(probe.key_words), *(mention.candidate for mention in named))
    return bool(words) and bool(mentions_in(text, words))


def _named(turns: Sequence[int]) -> str:
    return ", ".join(map(str, turns)) or "none"
