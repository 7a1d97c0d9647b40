"""Metamorphic tests: what must happen to the answers when words or bank change in a known way.

A frozen or coincidental gold does not follow. Words are exchanged among themselves, so the changed
suite is as valid as the first one; draws are indices, so it has the same facts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from qwen_bench.audit.findings import AuditLine, Check, Findings
from qwen_bench.audit.questions import questions_of
from qwen_bench.audit.trees import exchanged, strings_of, tree_of
from qwen_bench.probes.definitions import Family
from qwen_bench.probes.instance import Words
from qwen_bench.probes.probe import Dialogue, Probe
from qwen_bench.probes.seeded_draws import rotated
from qwen_bench.probes.suites import Suite

Renaming = Mapping[str, str]


class Twins(Check):
    """Both variants ask the same words about the same options and have different answers."""

    name = "twins"

    def see(self, rendering: Sequence[Dialogue]) -> None:
        """Compare the questions of both variants."""
        first: dict[tuple[str, str, str], Probe] = {}
        for asked in questions_of(rendering):
            probe = asked.probe
            key = (probe.family, probe.question, probe.condition)
            twin = first.setdefault(key, probe)
            if twin is probe:
                continue
            self._checked += 1
            if (probe.gold, probe.gold_items) == (twin.gold, twin.gold_items):
                self._findings.add(probe.id, f"A and B have the same answer '{probe.gold}'")
            if probe.question_text != twin.question_text:
                self._findings.add(probe.id, "A and B ask in different words")
            if probe.candidates != twin.candidates:
                self._findings.add(probe.id, "A and B list different candidates")
            if probe.rank_candidates != twin.rank_candidates:
                self._findings.add(probe.id, "A and B rank different candidates")
            if probe.factors != twin.factors:
                self._findings.add(probe.id, "A and B have different factors")
            if (probe.level, probe.wording) != (twin.level, twin.wording):
                self._findings.add(probe.id, "A and B have different levels or wordings")

    def summary(self) -> str:
        """What was looked at."""
        return f"{self._checked} questions: same words and options, different answers"


def metamorphic(suite: Suite) -> AuditLine:
    """Exchange values, entities and the bank of a suite (its first rotation is enough).

    Args:
        suite: small; built several times over.
    """
    findings = Findings()
    plain = _probes(suite)
    for lang in suite.langs:
        words = {n: f.words[lang, suite.sources.split] for n, f in _families(suite).items()}
        values = {name: _exchange(found, found.answers) for name, found in words.items()}
        keys = {name: _exchange(found, _entities(found)) for name, found in words.items()}
        one = replace(suite, langs=(lang,))
        for probe in _probes(_renamed(one, lang, values)).values():
            _follow(findings, plain[probe.id], probe, values[_host(suite, probe)])
        for probe in _probes(_renamed(one, lang, keys)).values():
            _same(findings, plain[probe.id], probe, "when entities are renamed")
    sources = suite.sources
    banks = {
        lang: replace(bank, threads=tuple(reversed(bank.threads)))
        for lang, bank in sources.banks.items()
    }
    for probe in _probes(replace(suite, sources=replace(sources, banks=banks))).values():
        _same(findings, plain[probe.id], probe, "when the bank is permuted")
        if (probe.needs, probe.question_text) != (
            plain[probe.id].needs,
            plain[probe.id].question_text,
        ):
            findings.add(probe.id, "needs or question change when the bank is permuted")
    return findings.line(
        "metamorphic", f"{len(plain)} probes: values exchanged, entities renamed, bank permuted"
    )


def _probes(suite: Suite) -> dict[str, Probe]:
    return {asked.probe.id: asked.probe for d in suite.dialogues() for asked in d.probes}


def _families(suite: Suite) -> dict[str, Family]:
    """Families with evidence of their own."""
    found = {suite.sources.families[name].group for name in suite.families}
    return {name: suite.sources.families[name] for name in sorted(found)}


def _host(suite: Suite, probe: Probe) -> str:
    return suite.sources.families[probe.family].group


def _exchange(words: Words, of: Sequence[str]) -> dict[str, str]:
    """Each word for the next one, among those that stand in the word file as they are."""
    present = set(strings_of(tree_of(words)))
    known = [word for word in dict.fromkeys(of) if word in present]
    return dict(zip(known, rotated(known, 1), strict=True)) if known else {}


def _entities(words: Words) -> list[str]:
    """Keys that are no values as well."""
    values = set(words.answers)
    return [key for key in words.keys if key not in values]


def _renamed(suite: Suite, lang: str, renamings: Mapping[str, Renaming]) -> Suite:
    """The suite with words of one language exchanged."""
    families = dict(suite.sources.families)
    for name, renaming in renamings.items():
        family = families[name]
        words = {
            place: family.builder.words.model_validate(exchanged(tree_of(w), renaming))
            if place == (lang, suite.sources.split)
            else w
            for place, w in family.words.items()
        }
        families[name] = replace(family, words=words)
    return replace(suite, sources=replace(suite.sources, families=families))


def _follow(findings: Findings, old: Probe, new: Probe, renaming: Renaming) -> None:
    """The gold is the exchanged one."""
    due = renaming.get(old.gold, old.gold)
    items = {renaming.get(item, item) for item in old.gold_items}
    if (new.gold != due and not items) or set(new.gold_items) != items:
        findings.add(new.id, f"values exchanged: the answer is '{new.gold}', '{due}' is due")
    if sorted(new.candidates) != sorted(renaming.get(c, c) for c in old.candidates):
        findings.add(new.id, "values exchanged: the candidates do not follow")


def _same(findings: Findings, old: Probe, new: Probe, when: str) -> None:
    """The gold is unchanged."""
    if (new.gold, new.gold_items) != (old.gold, old.gold_items):
        findings.add(new.id, f"the answer '{old.gold}' becomes '{new.gold}' {when}")
