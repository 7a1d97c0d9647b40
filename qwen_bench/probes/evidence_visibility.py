"""Whether the evidence of a probe is still there once a history policy has cut the conversation."""

from __future__ import annotations

from qwen_bench.probes.probe import Probe


def evidence_visible(probe: Probe, dropped_turns: int) -> bool:
    """Whether a reader of the cut conversation can have seen every turn the probe needs.

    Args:
        probe: never visible in the condition blind.
        dropped_turns: number of oldest turns left out; the system message, turn 0, always stays.
    """
    return probe.condition != "blind" and all(
        turn == 0 or turn > dropped_turns for turn in probe.needs
    )
