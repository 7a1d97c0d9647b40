"""Whether a comparison of the planned size finds the planned difference as often as planned."""

from __future__ import annotations

from collections import Counter
from math import ceil

import numpy as np

from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite
from qwen_bench.stats.bootstrap import child_generator
from qwen_bench.stats.planning import CORRELATION, DISCORDANCE, EFFECT, Assumed, design, need
from qwen_bench.stats.power import POWER, clusters_needed, pairs_needed
from qwen_bench.stats.significance import mcnemar_p, sign_flip_p
from tools.calibration.clustered import (
    Layout,
    even_layout,
    layout_of,
    simulated_changes,
)
from tools.calibration.counting import Demand, Finding, Share
from tools.calibration.sizes import Size

ALPHA = 0.05
WITHIN = 0.04
PER_CLUSTER, ALIKE = 12, 0.3
PATTERNS = 4_999
ROTATIONS = 8


def planned(size: Size, seed: int) -> list[Finding]:
    """Power at the sizes that `qwen-bench plan --effect 5` names.

    Args:
        size: how much.
        seed: of everything random.
    """
    pairs = ceil(pairs_needed(EFFECT, DISCORDANCE))
    clusters = clusters_needed(pairs, PER_CLUSTER, ALIKE)
    wanted = Demand(POWER - WITHIN, POWER + WITHIN)
    probes = _core(ROTATIONS)
    rotation = design(_core(1))
    plan = need(rotation, Assumed(DISCORDANCE, CORRELATION))
    part = layout_of(_first(probes, plan.probes))
    whole = layout_of(probes[: plan.probes_asked])
    expected = Demand(plan.power - WITHIN, plan.power + WITHIN)
    return [
        Finding(
            f"{pairs} independent probes",
            pairs,
            _independent(pairs, 5 * size.planned, seed),
            wanted,
            note="McNemar",
        ),
        Finding(
            f"{clusters} clusters of {PER_CLUSTER} probes, correlation {ALIKE:g}",
            clusters,
            _clustered(even_layout(clusters, PER_CLUSTER), ALIKE, size.planned, seed),
            wanted,
            note=f"{pairs} x {clusters * PER_CLUSTER / pairs:.1f} probes",
        ),
        Finding(
            f"core, {part.probes:,} probes, correlation {CORRELATION:g}",
            part.clusters,
            _clustered(part, CORRELATION, size.planned // 2, seed),
            wanted,
            note=f"planned: {plan.probes:,}, design effect {plan.effect:.1f}",
        ),
        Finding(
            f"core --limit {plan.rotations}, {whole.probes:,} probes, correlation {CORRELATION:g}",
            whole.clusters,
            _clustered(whole, CORRELATION, size.planned // 2, seed),
            expected,
            note=f"rounded up to whole rotations: planned power {100 * plan.power:.0f} %",
        ),
    ]


def _core(rotations: int) -> list[tuple[str, str]]:
    """(cluster, family) of the main probes of core, whole rotations one after the other."""
    suite = build_suite("core", Selection(limit=rotations, conditions=("main",)))
    sizes = {programme.name: programme.rotation for programme in suite.programmes}
    found = [
        (int(dialogue.cluster.rpartition("-")[2]) // sizes[asked.probe.programme], asked.probe)
        for dialogue in suite.dialogues()
        for asked in dialogue.probes
    ]
    found.sort(key=lambda item: item[0])
    return [(probe.cluster, probe.family) for _, probe in found]


def _first(probes: list[tuple[str, str]], wanted: int) -> list[tuple[str, str]]:
    """Whole clusters from the front that together hold about the wanted number of probes.

    Clusters of the last rotation are taken in a shuffled order, which keeps the mix of programmes.
    """
    each = len(probes) // ROTATIONS
    whole = wanted // each
    kept, last = probes[: whole * each], probes[whole * each : (whole + 1) * each]
    counts = Counter(cluster for cluster, _ in last)
    names = sorted(counts)
    taken = set()
    missing = wanted - len(kept)
    for place in np.random.default_rng(0).permutation(len(names)):
        if counts[names[place]] <= 2 * missing:
            taken.add(names[place])
            missing -= counts[names[place]]
    return [*kept, *(item for item in last if item[0] in taken)]


def _independent(pairs: int, tries: int, seed: int) -> Share:
    """McNemar's test on pairs that share nothing."""
    generator = child_generator(seed, "independent")
    gained, lost = (DISCORDANCE - EFFECT) / 2, (DISCORDANCE + EFFECT) / 2
    flips = generator.multinomial(pairs, [gained, lost, 1 - DISCORDANCE], size=tries)
    cells, counts = np.unique(flips[:, :2], axis=0, return_counts=True)
    found = sum(
        int(count)
        for (b, c), count in zip(cells, counts, strict=True)
        if mcnemar_p(int(b), int(c)) <= ALPHA
    )
    return Share(found, tries)


def _clustered(layout: Layout, correlation: float, tries: int, seed: int) -> Share:
    """The sign-flip test of the product on the macro average."""
    generator = child_generator(seed, "planned", layout.probes, layout.clusters)
    everything = np.ones(layout.probes, dtype=np.bool_)
    drawn = simulated_changes(
        layout, -EFFECT, DISCORDANCE, correlation, tries=tries, generator=generator
    )
    found = 0
    for number, (base, candidate) in enumerate(drawn):
        table = layout.index.table(candidate - base, everything)
        p = sign_flip_p(table.contributions, seed=seed + number, patterns=PATTERNS)
        found += p <= ALPHA
    return Share(found, tries)
