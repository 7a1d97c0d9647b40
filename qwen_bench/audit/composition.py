"""Composition: every history length asks the same share of each level, form and wording.

Otherwise a reader with perfect memory that fails at hard forms would seem to forget: it would fall
with T because longer histories ask harder questions.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from qwen_bench.audit.findings import Check
from qwen_bench.audit.questions import group_of
from qwen_bench.audit.surface import about_tokens
from qwen_bench.probes.instance import PASTED_FROM
from qwen_bench.probes.probe import WORDINGS, Dialogue, Probe


class Kind(NamedTuple):
    """What a probe asks of a reader, its history aside.

    Attributes:
        evidence: turns of the history that hold its evidence.
    """

    level: int
    evidence: int
    wording: str

    @property
    def form(self) -> str:
        """`pasted` or `told`: the form of evidence, a function of the level."""
        return "pasted" if self.level >= PASTED_FROM else "told"


@dataclass(frozen=True, slots=True)
class Share:
    """Composition of the probes of one history length, families counting the same.

    Attributes:
        families: asked there.
        probes: asked there.
        levels: share of each level.
        forms: share of `told` and `pasted`.
        wordings: share of each wording among families that have both.
    """

    families: int
    probes: int
    levels: Mapping[int, Fraction]
    forms: Mapping[str, Fraction]
    wordings: Mapping[str, Fraction]


class Sharing(NamedTuple):
    """About how many tokens the main condition of a programme takes.

    Attributes:
        naive: every probe reads its history again.
        shared: every dialogue is read once.
    """

    naive: int
    shared: int

    @property
    def ratio(self) -> float:
        """The first divided by the second."""
        return self.naive / self.shared if self.shared else 1.0


class Composition(Check):
    """Counts levels, forms and wordings by family, language, history length and slot.

    Args:
        levels: that are asked.
        cycle: rotations in which every level has its turn. Where the rotations are no multiple of
            it, a slot cannot hold all levels equally often; where they do not cross levels and
            wordings, only the levels are judged.
        rotations: of each programme at each history length.
    """

    name = "composition"

    def __init__(
        self, levels: Sequence[int], cycle: int, rotations: Mapping[str, Mapping[int, int]]
    ) -> None:
        super().__init__()
        self._due = tuple(levels)
        numbers = {n for at in rotations.values() for n in at.values()}
        self._whole = not any(n % cycle for n in numbers)
        self._crossed = not any(n % (cycle * len(WORDINGS)) for n in numbers)
        self._kinds: defaultdict[tuple[str, str, int], Counter[Kind]] = defaultdict(Counter)
        self._levels: defaultdict[tuple[str, str, int, str], Counter[int]] = defaultdict(Counter)
        self._naive: Counter[str] = Counter()
        self._shared: Counter[str] = Counter()

    def see(self, rendering: Sequence[Dialogue]) -> None:
        """Count the main condition of both variants."""
        for dialogue in rendering:
            asked = [asked.probe for asked in dialogue.probes if asked.probe.condition == "main"]
            held = Counter(turn.group for turn in dialogue.turns if turn.group is not None)
            for probe in asked:
                self._checked += 1
                kind = Kind(probe.level, held[group_of(probe)], probe.wording)
                self._kinds[probe.family, probe.lang, probe.length][kind] += 1
                slot = probe.factors.get("slot", "")
                self._levels[probe.family, probe.lang, probe.length, slot][probe.level] += 1
            self._share(dialogue, asked)

    def _share(self, dialogue: Dialogue, asked: Sequence[Probe]) -> None:
        """Tokens of a dialogue with and without sharing."""
        if not asked:
            return
        sizes = [about_tokens(dialogue.system or "")]
        for turn in dialogue.turns:
            sizes.append(sizes[-1] + about_tokens(turn.user) + about_tokens(turn.assistant))
        questions = sum(about_tokens(probe.question_text) for probe in asked)
        programme = asked[0].programme
        self._naive[programme] += questions + sum(sizes[probe.length] for probe in asked)
        self._shared[programme] += questions + sizes[max(probe.length for probe in asked)]

    def summary(self) -> str:
        """Judge all counts."""
        if self._whole:
            self._judge_levels()
        self._judge_forms()
        self._judge_lengths()
        families = {family for family, _, _ in self._kinds}
        what = "level, form and wording" if self._crossed else "level"
        return (
            f"{self._checked} probes, {len(families)} families: {what} in equal shares at every T"
        )

    def _judge_levels(self) -> None:
        """Inside a slot, at any history length, every level of a family is asked equally often."""
        for (family, lang, length, slot), levels in self._levels.items():
            if len({levels[level] for level in self._due}) > 1:
                shares = ", ".join(f"{level}: {levels[level]}" for level in self._due)
                what = f"T = {length}, slot {slot}: probes by level {shares}"
                self._findings.add(f"{family} {lang}", what)

    def _judge_forms(self) -> None:
        """The number of evidence turns is one constant of a family, whatever level or length."""
        forms: defaultdict[str, set[int]] = defaultdict(set)
        for (family, _, _), kinds in self._kinds.items():
            forms[family] |= {kind.evidence for kind in kinds}
        for family, found in forms.items():
            if len(found) > 1:
                turns = ", ".join(map(str, sorted(found)))
                self._findings.add(family, f"its evidence takes {turns} turns, not always the same")

    def _judge_lengths(self) -> None:
        """A family has the same composition at every history length."""
        first: dict[tuple[str, str], tuple[int, dict[str, Fraction]]] = {}
        for (family, lang, length), kinds in self._kinds.items():
            shares = self._named_shares(kinds)
            other, theirs = first.setdefault((family, lang), (length, shares))
            for name in {**shares, **theirs}:
                mine, due = shares.get(name, Fraction(0)), theirs.get(name, Fraction(0))
                if mine != due:
                    what = f"{name}: {mine} at T = {length}, {due} at T = {other}"
                    self._findings.add(f"{family} {lang}", what)

    def _named_shares(self, kinds: Counter[Kind]) -> dict[str, Fraction]:
        """Share of each level, and with it of each wording where both are crossed."""
        shares: dict[str, Fraction] = {}
        for kind, n in kinds.items():
            wording = f" {kind.wording}" if kind.wording and self._crossed else ""
            name = f"level {kind.level}{wording}"
            shares[name] = shares.get(name, Fraction(0)) + Fraction(n, kinds.total())
        return shares

    def shares(self) -> dict[tuple[str, int, int], Share]:
        """Composition by language, number of evidence turns and history length."""
        cells: defaultdict[tuple[str, int, int], dict[str, Counter[Kind]]] = defaultdict(dict)
        for (family, lang, length), kinds in self._kinds.items():
            evidence = max(kind.evidence for kind in kinds)
            cells[lang, evidence, length][family] = kinds
        return {key: _composition(cells[key]) for key in sorted(cells)}

    def sharing(self) -> dict[str, Sharing]:
        """Tokens by programme."""
        return {name: Sharing(self._naive[name], self._shared[name]) for name in self._naive}

    def lines(self) -> list[str]:
        """Both tables for the terminal."""
        return [" ".join(row).rstrip() for row in self._rows()]

    def _rows(self) -> Iterator[list[str]]:
        shares = self.shares()
        levels = sorted({level for share in shares.values() for level in share.levels})
        yield [" share of each level, form and wording at every T (families count the same)"]
        names = [*(f"L{level}" for level in levels), "told", "pasted", *WORDINGS]
        widths = [max(5, len(name)) for name in names]
        head = [f"{name:>{width}}" for name, width in zip(names, widths, strict=True)]
        yield [f" {'lang':<5}{'evidence':<9}{'T':>4}{'families':>10}{'probes':>8} ", *head]
        for (lang, evidence, length), share in shares.items():
            values = [
                *(share.levels.get(level) for level in levels),
                *(share.forms.get(form) for form in ("told", "pasted")),
                *(share.wordings.get(wording) for wording in WORDINGS),
            ]
            cells = [f"{_said(v):>{width}}" for v, width in zip(values, widths, strict=True)]
            turns = f"{evidence} turn{'' if evidence == 1 else 's'}"
            place = f" {lang:<5}{turns:<9}{length:>4}{share.families:>10}{share.probes:>8} "
            yield [place, *cells]
        yield [""]
        sharing = self.sharing()
        total = Sharing(
            sum(found.naive for found in sharing.values()),
            sum(found.shared for found in sharing.values()),
        )
        yield [" tokens of the main condition, about: every probe alone, histories shared, ratio"]
        for name, found in {**sharing, "all": total}.items():
            yield [f" {name:<12}{found.naive:>13,}{found.shared:>13,}  {found.ratio:.1f}"]
        yield [""]


def _composition(families: Mapping[str, Counter[Kind]]) -> Share:
    """Mean over families of the shares inside each."""
    levels: dict[int, Fraction] = {}
    forms: dict[str, Fraction] = {}
    wordings: dict[str, Fraction] = {}
    worded = sum(any(kind.wording for kind in kinds) for kinds in families.values())
    for kinds in families.values():
        for kind, n in kinds.items():
            share = Fraction(n, kinds.total())
            of_all = share / len(families)
            levels[kind.level] = levels.get(kind.level, Fraction(0)) + of_all
            forms[kind.form] = forms.get(kind.form, Fraction(0)) + of_all
            if kind.wording:
                of_worded = wordings.get(kind.wording, Fraction(0)) + share / worded
                wordings[kind.wording] = of_worded
    probes = sum(kinds.total() for kinds in families.values())
    return Share(len(families), probes, levels, forms, wordings)


def _said(share: Fraction | None) -> str:
    return "" if share is None else f"{float(share):.3f}"
