"""Balance: factors, places, values and keys evenly spread (probe specification, section 3.4).

Otherwise a solver that knows where answers tend to stand would score without reading.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from qwen_bench.audit.findings import Check
from qwen_bench.audit.questions import LABELS, group_of
from qwen_bench.probes.definitions import Family
from qwen_bench.probes.probe import Dialogue, Probe, Split
from qwen_bench.probes.programmes import Programme
from qwen_bench.solvers.fixed_choice import options_of

LEAST_P = 0.01
# Below this expected count the approximation of chi-square does not hold.
LEAST_EXPECTED = 2.0


class Balance(Check):
    """Counts factors, slots, places of the gold, golds and keys of a suite."""

    name = "balance"

    def __init__(
        self, families: Mapping[str, Family], split: Split, programmes: Sequence[Programme]
    ) -> None:
        super().__init__()
        self._families = families
        self._rotation = {programme.name: programme.rotation for programme in programmes}
        self._split = split
        self._lang = ""
        # Family, factor, level, slot, rotation, value.
        self._drawn: list[tuple[str, str, int, int, int, int]] = []
        self._slots: defaultdict[tuple[str, str, int], Counter[str]] = defaultdict(Counter)
        self._counts: dict[str, defaultdict[tuple[str, int], Counter[str]]] = {
            name: defaultdict(Counter) for name in ("place of the gold", "gold", "key asked")
        }

    def see(self, rendering: Sequence[Dialogue]) -> None:
        """Count the instances of one cluster; languages share all draws, so one counts."""
        self._lang = self._lang or rendering[0].lang
        seen: set[tuple[str, ...]] = set()
        for dialogue in rendering:
            if dialogue.lang != self._lang:
                continue
            for asked in dialogue.probes:
                probe = asked.probe
                if probe.condition == "main" and probe.variant == rendering[0].variant:
                    slot = probe.factors.get("slot", "")
                    self._slots[probe.programme, probe.family, probe.length][slot] += 1
                key = (probe.variant, probe.family, probe.question)
                if key not in seen:
                    seen.add(key)
                    self._place(probe)
                    instance = (probe.variant, group_of(probe))
                    if instance not in seen:
                        seen.add(instance)
                        self._instance(probe, first=probe.variant == rendering[0].variant)
                    if probe.variant == rendering[0].variant and (probe.family,) not in seen:
                        seen.add((probe.family,))
                        self._factors(probe)

    def summary(self) -> str:
        """Judge all counts, and say what of them chi-square could judge."""
        self._judge_factors()
        self._judge_slots()
        tested = [text for name in self._counts if (text := self._judge_counts(name))]
        return f"factors even, slots even; {', '.join(tested) or 'too few draws for chi-square'}"

    def _factors(self, probe: Probe) -> None:
        number = int(probe.cluster.rpartition("-")[2])
        rotation = number // self._rotation[probe.programme]
        slot = int(probe.factors.get("slot", "0"))
        for factor, value in probe.factors.items():
            if factor != "slot":
                place = (probe.family, factor, probe.level, slot, rotation)
                self._drawn.append((*place, int(value)))

    def _place(self, probe: Probe) -> None:
        """Where the gold stands among those to choose from, in both variants."""
        options = options_of(probe)
        if probe.gold in options:
            k = len(options)
            place = str(options.index(probe.gold))
            self._counts["place of the gold"][probe.family, k][place] += 1

    def _instance(self, probe: Probe, *, first: bool) -> None:
        """Gold and key, once an instance: its other questions share its draws."""
        if probe.gold in probe.candidates and probe.gold not in LABELS:
            self._counts["gold"][probe.family, 0][probe.gold] += 1
        if probe.key_words and first:
            self._counts["key asked"][probe.family, 0][probe.key_words[0]] += 1

    def _judge_factors(self) -> None:
        """Counts of a factor's values differ by at most one, over slots and over rotations.

        Over the slots of a rotation always. Over the rotations of a slot where the factor has the
        same values at every level: one that has more of them at higher levels, such as which of k
        items is asked, has too few rotations at each.
        """
        sizes = self._sizes()
        levels: defaultdict[str, set[int]] = defaultdict(set)
        for family, _, level, _, _, _ in self._drawn:
            levels[family].add(level)
        counts: defaultdict[tuple[str, str, str], Counter[int]] = defaultdict(Counter)
        most: dict[tuple[str, str, str], int] = {}
        for family, factor, level, slot, rotation, value in self._drawn:
            of_levels = {sizes.get((family, factor, other), 0) for other in levels[family]}
            places = [f"rotation {rotation}"]
            if len(of_levels) == 1:
                places.append(f"slot {slot}")
            for place in places:
                counts[family, factor, place][value] += 1
                most[family, factor, place] = sizes[family, factor, level]
        for (family, factor, place), found in counts.items():
            least = min(found.values()) if len(found) >= most[family, factor, place] else 0
            if max(found.values()) - least > 1:
                what = f"{place}: values of '{factor}' occur {_spread(found)} times"
                self._findings.add(family, what)

    def _sizes(self) -> dict[tuple[str, str, int], int]:
        """Number of values of a factor by family and level, as far as they were seen."""
        sizes: dict[tuple[str, str, int], int] = {}
        for family, factor, level, _, _, value in self._drawn:
            key = (family, factor, level)
            sizes[key] = max(sizes.get(key, 0), value + 1)
        return sizes

    def _judge_slots(self) -> None:
        """At every history length a family stands equally often in all slots."""
        everywhere: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
        for (programme, _, length), counts in self._slots.items():
            everywhere[programme, length] |= set(counts)
        for (programme, family, length), counts in self._slots.items():
            slots = everywhere[programme, length]
            if len(set(counts.values())) > 1 or (length > 1 and set(counts) != slots):
                what = f"T = {length}: slots are asked {_spread(counts)} times"
                self._findings.add(family, what)

    def _judge_counts(self, name: str) -> str:
        """One chi-square over the suite; returns it in words, empty without data."""
        statistic, freedom, worst = 0.0, 0, ("", 0.0)
        for (family, k), counts in self._counts[name].items():
            size = k or self._size(name, family, counts)
            expected = counts.total() / size
            if size < 2 or expected < LEAST_EXPECTED:
                continue
            seen = sum((n - expected) ** 2 / expected for n in counts.values())
            seen += (size - len(counts)) * expected
            statistic, freedom = statistic + seen, freedom + size - 1
            worst = max(worst, (family, seen / (size - 1)), key=lambda item: item[1])
        if not freedom:
            return ""
        p = chi_square_tail(statistic, freedom)
        if p <= LEAST_P:
            self._findings.add(worst[0], f"{name} is not uniform: p = {p:.2g} over the suite")
        return f"{name} p = {p:.2f}"

    def _size(self, name: str, family: str, counts: Counter[str]) -> int:
        """Number of values that could have been drawn."""
        if name != "gold" or family not in self._families:
            return len(counts)
        host = self._families[self._families[family].group]
        for (_, split), words in host.words.items():
            if split == self._split and set(counts) <= set(words.answers):
                return len(set(words.answers))
        return len(counts)


def chi_square_tail(statistic: float, freedom: int) -> float:
    """Probability of a larger chi-square, by the cube-root approximation.

    Within 0.002 of the exact value from 3 degrees of freedom on (Wilson & Hilferty 1931).
    """
    scale = 2 / (9 * freedom)
    z = ((statistic / freedom) ** (1 / 3) - 1 + scale) / math.sqrt(scale)
    return math.erfc(z / math.sqrt(2)) / 2


def _spread(counts: Counter[str] | Counter[int]) -> str:
    found = {str(value): n for value, n in counts.items()}
    return ", ".join(str(found[value]) for value in sorted(found))
