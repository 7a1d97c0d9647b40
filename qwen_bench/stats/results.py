"""Results of the statistics: what the terminal, the report and `compare.json` print.

Fractions 0 to 1 everywhere; points appear only on display.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qwen_bench.record.marks import SettingClass
    from qwen_bench.stats.clusters import Bin
    from qwen_bench.stats.pace import PaceDifference
    from qwen_bench.stats.paired_retention import PairedRetention
    from qwen_bench.stats.power import Achieved
    from qwen_bench.stats.span import Span
    from qwen_bench.stats.survival import RuleScores

Word = Literal["regressed", "improved", "within noise", "not worse", "inconclusive", "cannot tell"]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Accuracy of one model in one slice.

    Attributes:
        n: probes, failures included.
        clusters: clusters they come from.
        low, high: 95 % interval; None when there are too few clusters for one.
        truncated, refused, empty, too_long, error: counts of these statuses, all inside n.
    """

    n: int
    clusters: int
    correct: int
    accuracy: float
    low: float | None
    high: float | None
    truncated: int = 0
    refused: int = 0
    too_long: int = 0
    error: int = 0
    empty: int = 0
    prompt_tokens_median: float | None = None


@dataclass(frozen=True, slots=True)
class Visibility:
    """Accuracy in one slice under a history policy, split by whether the evidence was in sight.

    Attributes:
        n: probes, failures included.
        visible: those whose evidence the policy left in the prompt.
        accuracy: visible_part + invisible_part; every family weighs the same.
        share_visible: share of the probes with visible evidence, weighted alike.
        accuracy_given_visible: visible_part / share_visible; None where nothing is visible.
        visible_part: right answers with visible evidence among all probes.
        invisible_part: right answers without it: guesses, and abstentions that happen to be right.
    """

    n: int
    visible: int
    accuracy: float
    share_visible: float
    accuracy_given_visible: float | None
    visible_part: float
    invisible_part: float


@dataclass(frozen=True, slots=True)
class PolicySplit:
    """What a history policy cut, apart from what was forgotten; main condition."""

    policy: str
    overall: Visibility
    by_length: Mapping[int, Visibility]


@dataclass(frozen=True, slots=True)
class ModeSummary:
    """One run, one scorer. `overall` is the macro average over families, main condition only.

    `by_length` and the other slices cover the main condition; `by_level` is empty where the suite
    has no levels; `conditions` covers adjacent, blind and main. `group_score` counts a twin group
    as 1 only if all its members are right. `reasons` counts the scorer's words. `policy` is None
    when every turn was sent. `spans` holds the highest level kept, by history length. `rules`
    holds form and content of replies to rules, None where there are none. `paces` holds what more
    tokens and what more turns cost; empty where the suite has one pace. `by_tokens` has bins of
    prompt tokens in the model's own tokenizer, see `stats.token_bins`; rows that do not know theirs
    are in no bin.
    """

    overall: Accuracy
    group_score: Accuracy
    by_length: Mapping[int, Accuracy]
    by_family: Mapping[str, Accuracy]
    by_family_length: Mapping[str, Mapping[int, Accuracy]]
    by_lang: Mapping[str, Accuracy]
    by_level: Mapping[int, Accuracy]
    by_condition: Mapping[str, Accuracy]
    blind_by_family: Mapping[str, Accuracy]
    adjacent_by_family: Mapping[str, Accuracy]
    reasons: Mapping[str, int]
    policy: PolicySplit | None = None
    spans: Mapping[int, Span] = field(default_factory=dict)
    rules: RuleScores | None = None
    paces: tuple[PaceDifference, ...] = ()
    by_tokens: Mapping[int, Accuracy] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Effects:
    """Sizes and further p-values of a paired comparison: shown, they never decide.

    Attributes:
        flip_rate: share of the pairs with different outcomes.
        odds_ratio: matched odds ratio lost : gained; None without a flip.
        cohens_g: share of the larger direction among the flips, minus one half; None without one.
        p_loss: one-sided p-value of a loss, by the test of the cell.
        mid_p: two-sided mid-p of McNemar's test; None where probes share clusters.
    """

    flip_rate: float
    odds_ratio: float | None
    cohens_g: float | None
    p_loss: float
    mid_p: float | None


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a paired difference, candidate minus baseline.

    Attributes:
        value: a fraction.
        low, high: 95 % interval; None without one.
        p: two-sided cluster sign-flip p-value.
        p_adjusted: Holm-adjusted over several candidates; None elsewhere.
        note: why there is no interval, or "zero variance"; empty otherwise.
    """

    value: float
    low: float | None
    high: float | None
    p: float
    p_adjusted: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Decomposition:
    """A paired difference split in two; ability and memory add up to it.

    Attributes:
        base_adjacent, candidate_adjacent: accuracy at the questions of the slice with the evidence
            directly before them.
        ability: the difference there.
        memory: the rest: below 0 the candidate forgets more than the baseline.
    """

    base_adjacent: float
    candidate_adjacent: float
    ability: Part
    memory: Part


@dataclass(frozen=True, slots=True)
class Cell:
    """Paired comparison of two models in one slice.

    Attributes:
        base, candidate: accuracy of each side over the paired probes.
        difference: candidate minus base.
        low, high: 95 % interval of the difference; None without one.
        p: two-sided cluster sign-flip p-value; None where no test is made.
        p_adjusted: Holm-adjusted over the families, in the overall cell over several candidates;
            None elsewhere.
        both_right, lost, gained, both_wrong: pairs by outcome; they add up to n.
        word: None for slices that carry no verdict.
        too_long, error, empty, refused: pairs with that status on either side; all inside n.
        failed: pairs with any of these.
        cut: pairs whose evidence the history policy left out of a prompt.
        more_probes: further probes that would settle an inconclusive difference; None where the
            word is another or more probes of the same kind would not help.
        effects: sizes and p-values that decide nothing.
        parts: what of the difference is ability and what is memory; None where a question was not
            asked with the evidence directly before it.
    """

    n: int
    clusters: int
    base: float
    candidate: float
    difference: float
    low: float | None
    high: float | None
    p: float | None
    p_adjusted: float | None
    both_right: int
    lost: int
    gained: int
    both_wrong: int
    word: Word | None
    note: str
    more_probes: int | None = None
    too_long: int = 0
    error: int = 0
    empty: int = 0
    refused: int = 0
    failed: int = 0
    cut: int = 0
    effects: Effects | None = None
    parts: Decomposition | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """A difference between languages, or a change of one, with its 95 % interval.

    Attributes:
        value: a fraction.
        low, high: None without an interval.
        note: why there is none; empty otherwise.
    """

    value: float
    low: float | None
    high: float | None
    note: str


@dataclass(frozen=True, slots=True)
class LanguageGap:
    """Accuracy in Chinese minus accuracy in English, over questions asked in both.

    Attributes:
        n: pairs of questions.
        base, candidate: gap of each model.
        change: gap of the candidate minus gap of the baseline.
    """

    n: int
    base: Gap
    candidate: Gap
    change: Gap


@dataclass(frozen=True, slots=True)
class ModeComparison:
    """Paired comparison under one scorer; slices cover the main condition.

    Attributes:
        answered_only: the overall cell over pairs with a score on both sides; None where all have
            one.
        without_failures: the same over pairs that ended with a text on both sides.
        in_sight: the same over pairs whose evidence the history policy left in both prompts; None
            where it cut none.
        by_distance: at the largest history length, by distance bin.
        by_level: empty where the suite has no levels.
        by_tokens: by bin of the baseline's prompt tokens, see `stats.token_bins`; without words.
        languages: None unless the same questions were asked in both.
        achieved: what the overall cell could have seen; None where no cluster changed.
        retention: by language group, `all` first; empty where it was not asked for.
    """

    overall: Cell
    answered_only: Cell | None
    by_length: Mapping[int, Cell]
    by_family: Mapping[str, Cell]
    by_lang: Mapping[str, Cell]
    by_condition: Mapping[str, Cell]
    lost_ids: tuple[str, ...]
    gained_ids: tuple[str, ...]
    by_distance: Mapping[Bin, Cell] = field(default_factory=dict)
    by_level: Mapping[int, Cell] = field(default_factory=dict)
    without_failures: Cell | None = None
    in_sight: Cell | None = None
    languages: LanguageGap | None = None
    achieved: Achieved | None = None
    retention: Mapping[str, PairedRetention] = field(default_factory=dict)
    by_tokens: Mapping[int, Cell] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SettingDifference:
    """One setting that differs between two runs."""

    field: str
    base: str
    candidate: str
    kind: SettingClass


@dataclass(frozen=True, slots=True)
class Accounting:
    """Where every probe of either run went; the counts cover the union of ids (id and mode)."""

    paired: int
    only_base: int
    only_candidate: int
    error: int
    too_long: int
    truncated_base: int
    truncated_candidate: int
    refused_base: int
    refused_candidate: int
    empty_base: int = 0
    empty_candidate: int = 0


@dataclass(frozen=True, slots=True)
class Side:
    """One run of a comparison as it is named in outputs."""

    run_id: str
    label: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class GateResult:
    """One `--gate` and whether the comparison meets it.

    Attributes:
        expr: as typed.
        name: what it reads: `overall`, `diff`, a family, or `error_rate`, `truncated_rate` or
            `empty_rate`.
        value: the point estimate, a fraction; None without data, and then it is not passed.
        low, high: 95 % interval of the value; None without one.
        n: paired probes it was read from.
        note: why there is no value; empty otherwise.
    """

    expr: str
    name: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    passed: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Sameness:
    """How far two runs are the same, over all their pairs: scorers and conditions together.

    Attributes:
        answers: pairs with an output on either side.
        identical: those with equal output and equal log-probabilities.
        repeated: one model asked twice in the same way, by fingerprint and settings.
    """

    answers: int
    identical: int
    repeated: bool

    @property
    def all_identical(self) -> bool:
        """No answer of the candidate differs from the baseline's."""
        return 0 < self.answers == self.identical


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs paired by probe id and mode.

    Attributes:
        primary: the scorer whose overall cell gives the verdict.
        modes: by scorer (`generate`, `rank`).
        margin: margin in fractions (0.05 is five points).
        gates: one for each `--gate`, as given.
        sameness: where it leaves nothing to compare, no word is positive.
    """

    base: Side
    candidate: Side
    settings: tuple[SettingDifference, ...]
    warnings: tuple[str, ...]
    accounting: Accounting
    primary: str
    modes: Mapping[str, ModeComparison]
    margin: float
    alpha: float
    seed: int
    gates: tuple[GateResult, ...] = ()
    sameness: Sameness = Sameness(0, 0, repeated=False)

    @property
    def verdict(self) -> Cell:
        """The one cell that gates: the overall row of the primary scorer."""
        return self.modes[self.primary].overall


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A candidate without a comparison: it broke, or cannot be compared.

    Attributes:
        reason: what was refused, one sentence.
        exit_code: what it means for the command; 5 for not comparable, else 1.
    """

    label: str
    reason: str
    exit_code: int
