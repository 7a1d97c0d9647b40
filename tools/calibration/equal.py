"""Equal models: how often a verdict calls them changed, and how often a naive test would."""

from __future__ import annotations

from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite
from qwen_bench.stats.bootstrap import Resampler, child_generator
from qwen_bench.stats.cells import judge, measure
from qwen_bench.stats.significance import mcnemar_p
from tools.calibration.clustered import Layout, even_layout, layout_of, simulated_pairs
from tools.calibration.counting import Demand, Finding, Share
from tools.calibration.sizes import Size

ALPHA = 0.05
MARGINS = (0.05, 0.0)
CLUSTERS = (12, 20, 60, 100)
MOST = ALPHA + 0.01
CHANGED = frozenset({"regressed", "improved"})
NAIVE = "McNemar over single probes (not used)"


def core_layout(rotations: int) -> Layout:
    """Main probes of the suite `core`: twelve families of unequal size in two programmes."""
    suite = build_suite("core", Selection(limit=rotations, conditions=("main",)))
    return layout_of(
        [
            (asked.probe.cluster, asked.probe.family)
            for dialogue in suite.dialogues()
            for asked in dialogue.probes
        ]
    )


def equal_models(size: Size, seed: int) -> list[Finding]:
    """False alarms by number of clusters, and in the design of a real suite.

    Args:
        size: how much.
        seed: of everything random.
    """
    found: list[Finding] = []
    for clusters in CLUSTERS:
        name = f"{clusters} clusters of 20 probes"
        found += _false_alarms(name, even_layout(clusters), size.equal, size, seed)
    core = core_layout(size.rotations)
    name = f"design of core, --limit {size.rotations}: {core.probes:,} probes, 12 families"
    return found + _false_alarms(name, core, size.equal // 2, size, seed)


def _false_alarms(name: str, layout: Layout, tries: int, size: Size, seed: int) -> list[Finding]:
    """Verdicts of change at both margins, the test alone, and the naive test."""
    generator = child_generator(seed, "equal", name)
    words = dict.fromkeys(MARGINS, 0)
    rejected = naive = 0
    for number, (base, candidate) in enumerate(simulated_pairs(layout, 0.0, tries, generator)):
        data = layout.columns(base, candidate)
        found = measure(data, data.main, Resampler(seed + number, size.replicates))
        for margin in MARGINS:
            words[margin] += judge(found, margin, ALPHA).word in CHANGED
        rejected += (found.cell.p or 0.0) <= ALPHA
        naive += mcnemar_p(found.cell.gained, found.cell.lost) <= ALPHA
    demand = Demand(most=MOST)
    k = layout.clusters
    return [
        Finding(f"{name}: verdict, margin 5", k, Share(words[0.05], tries), demand),
        Finding(f"{name}: verdict, margin 0", k, Share(words[0.0], tries), demand),
        Finding(f"{name}: cluster sign-flip test", k, Share(rejected, tries), demand),
        Finding(f"{name}: {NAIVE}", k, Share(naive, tries)),
    ]
