"""Small runs with a suite of their own, and the page made from them.

Loaded by conftest.py; run as a script it prints the SHA-256 of a page, for tests that need another
process.
"""

import hashlib
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from qwen_bench.chat.messages import Message, conversation_sha256
from qwen_bench.probes.definitions import declared_chances, declared_loads
from qwen_bench.probes.probe import AskedProbe, Dialogue, Probe, Turn
from qwen_bench.record.manifest import Manifest
from qwen_bench.record.outcome import Outcome, Run
from qwen_bench.report.page import build_report
from qwen_bench.stats.paired_comparison import compare
from qwen_bench.stats.pairing import pair
from qwen_bench.stats.summary import summarise

NAMES = ("Maren", "Odette", "Tamsin", "Philippa")
FAMILIES = ("fact_recall", "pronoun")


@dataclass(frozen=True)
class SampleSuite:
    """What the report asks of a suite: facts and dialogues."""

    lengths: tuple[int, ...] = (1, 4)
    clusters: int = 12
    langs: tuple[str, ...] = ("en", "zh")
    name: str = "sample"
    version: str = "1.0"
    sha256: str = "5a" * 32
    seed: int = 0
    filler_sha256: str = "f1" * 32
    extra_turn: str | None = None
    conditions: tuple[str, ...] = ("main", "adjacent", "blind")
    levels: int = 0
    built: list[Dialogue] = field(default_factory=list, compare=False)

    def dialogues(self) -> Iterator[Dialogue]:
        if not self.built:
            self.built.extend(
                self._dialogue(number, lang)
                for number in range(self.clusters)
                for lang in self.langs
            )
        return iter(self.built)

    def _dialogue(self, number: int, lang: str) -> Dialogue:
        gold = NAMES[number % 4]
        fact = f"At the gym I ask for {gold}." if lang == "en" else f"去健身房我找{gold}。"
        turns = [Turn(fact, "Noted.", "fact")]
        for filler in range(2, max(self.lengths) + 1):
            words = self.extra_turn or f"Thing number {filler} happened."
            turns.append(Turn(words, "How nice."))
        asked = [
            self._asked(number, lang, gold, turns, family=family, condition=condition, length=n)
            for family in FAMILIES
            for condition in self.conditions
            for n in (
                self.lengths if condition == "main" else (1 if condition == "adjacent" else 0,)
            )
        ]
        return Dialogue(
            f"mixed-{number}/A/{lang}", f"mixed-{number}", "A", lang, tuple(turns), tuple(asked)
        )

    def _asked(self, number, lang, gold, turns, *, family, condition, length):
        question = "Whom do I ask for at the gym?" if lang == "en" else "去健身房该找谁？"
        history = turns[: length if condition != "blind" else 0]
        probe = Probe(
            id=f"mixed-{number}/A/{lang}/{family}.q/T{length}/{condition}",
            programme="mixed",
            cluster=f"mixed-{number}",
            variant="A",
            lang=lang,
            family=family,
            question="q",
            twin_group=f"mixed-{number}/{family}/{condition}",
            condition=condition,
            length=length,
            distance=None if condition == "blind" else length - 1,
            distance_first=None if condition == "blind" else length - 1,
            position=None if condition == "blind" else 0.0,
            needs=() if condition == "blind" else (1,),
            question_text=question,
            gold=gold,
            candidates=NAMES,
            rank_candidates=NAMES,
            aliases={},
            answer_kind="single",
            gold_abstains=False,
            chance=0.25,
            factors={},
            level=1 + number // 4 % self.levels if self.levels else 0,
        )
        messages = [message for turn in history for message in turn.messages]
        return AskedProbe(probe, (*messages, Message("user", question)))


def manifest(label: str, suite: SampleSuite, modes: tuple[str, ...]) -> Manifest:
    """A manifest as `runs/` writes it."""
    return Manifest.model_validate(
        {
            "schema_version": 1,
            "run_id": f"20261122T101503Z-{label}",
            "status": "finished",
            "identity": "",
            "expected": {"rows": 1, "ids_sha256": ""},
            "tool": {"version": "0.1.0"},
            "suite": {
                "name": suite.name,
                "version": suite.version,
                "sha256": suite.sha256,
                "seed": suite.seed,
                "filler_sha256": suite.filler_sha256,
                "policy": "full",
                "langs": list(suite.langs),
                "families": list(FAMILIES),
                "lengths": list(suite.lengths),
                "conditions": list(suite.conditions),
                "limit": None,
                "modes": list(modes),
                "primary": "generate",
            },
            "model": {
                "spec": label,
                "label": label,
                "kind": "local",
                "fingerprint": f"sha256:{label}",
            },
            "template": {"chat_template_sha256": "ab" * 32, "source": "model"},
            "generation": {"temperature": 0.0, "max_new_tokens": 64, "repetition_penalty": 1.0},
            "engine": {"name": "hf", "device": "cpu"},
            "scorer": {"version": "1.0"},
            "invocations": [
                {
                    "started": "2026-11-22T10:15:03Z",
                    "finished": "2026-11-22T10:17:14Z",
                    "argv": ["qwen-bench", "run", "--model", label],
                    "packages": {"torch": "2.13.0"},
                    "efficiency": {"seconds": 131.0, "forward_tokens": 1000, "naive_tokens": 7700},
                }
            ],
            "warnings": [],
        }
    )


def run(
    label: str,
    suite: SampleSuite,
    *,
    wrong=lambda _: False,
    say=None,
    modes: tuple[str, ...] = ("generate", "rank"),
    tokens=lambda probe: 40 + 58 * probe.length,
) -> Run:
    """A run that answers right except where `wrong(probe)`; `say(probe)` replaces its words.

    A prompt has `tokens(probe)`, None where nobody counted it.
    """
    outcomes = []
    for dialogue in suite.dialogues():
        for asked in dialogue.probes:
            probe = asked.probe
            for mode in modes:
                failed = wrong(probe) or (probe.condition == "blind" and probe.gold != "Maren")
                answer = next(name for name in NAMES if (name == probe.gold) != failed)
                said = say(probe) if say and mode == "generate" else f"It is {answer}."
                at = said.find(answer)
                outcomes.append(
                    Outcome(
                        probe_id=probe.id,
                        mode=mode,
                        family=probe.family,
                        lang=probe.lang,
                        length=probe.length,
                        distance=probe.distance,
                        position=probe.position,
                        condition=probe.condition,
                        policy="full",
                        cluster=probe.cluster,
                        twin_group=probe.twin_group,
                        variant=probe.variant,
                        evidence_visible=True,
                        status="ok",
                        output=said,
                        score=int(not failed),
                        reason="wrong_candidate" if failed else "correct",
                        matched=(at, at + len(answer)) if at >= 0 else None,
                        prompt_tokens=tokens(probe),
                        messages_sha256=conversation_sha256(asked.messages),
                        level=probe.level or None,
                        wording=probe.wording,
                    )
                )
    return Run(label, manifest(label, suite, modes), outcomes)


def forgets_long(probe: Probe) -> bool:
    """Wrong at four turns for most skeletons."""
    return probe.condition == "main" and probe.length > 1 and not probe.cluster.endswith("0")


def page(runs, suite, *, title=None) -> str:
    """The page of some runs, with their real statistics."""
    primary = runs[0].manifest.suite.primary
    summaries = [summarise(item.outcomes) for item in runs]
    comparisons = [
        compare(pair(runs[0], item, max_error_rate=1.0), primary=primary) for item in runs[1:]
    ]
    return build_report(
        runs,
        summaries,
        comparisons,
        suite,
        chances=declared_chances(),
        loads=declared_loads(),
        title=title,
    )


def two_runs() -> tuple[SampleSuite, list[Run]]:
    """Baseline that remembers, candidate that forgets, enough skeletons for a verdict."""
    suite = SampleSuite(clusters=36)
    return suite, [run("base-model", suite), run("lora-v3", suite, wrong=forgets_long)]


def comparison_page(*, shuffled: int | None = None) -> str:
    """The page of `two_runs`, rows in the order given by a seed."""
    suite, runs = two_runs()
    if shuffled is not None:
        runs = [replace(item, outcomes=_shuffled(item.outcomes, shuffled)) for item in runs]
    return page(runs, suite)


def _shuffled(outcomes, seed):
    rows = list(outcomes)
    random.Random(seed).shuffle(rows)  # noqa: S311 - order only
    return rows


if __name__ == "__main__":
    sys.stdout.write(hashlib.sha256(comparison_page().encode()).hexdigest())
