"""Judging recorded runs: which ones, what of them, and each candidate against the baseline."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from qwen_bench.errors import InputError, QwenBenchError
from qwen_bench.probes.definitions import declared_chances
from qwen_bench.probes.probe import LANGS
from qwen_bench.probes.selection import chosen
from qwen_bench.record.marks import marked_fields
from qwen_bench.report.run_cards import unique_labels
from qwen_bench.runs.store import StoredRun, find_run, read_run
from qwen_bench.stats.comparability import compared_settings, needless
from qwen_bench.stats.gates import Gate, check_gate, evaluate, parse_gate
from qwen_bench.stats.half_life import REPLICATES
from qwen_bench.stats.paired_comparison import adjust_over_candidates
from qwen_bench.stats.paired_comparison import compare as compare_pairs
from qwen_bench.stats.pairing import pair
from qwen_bench.stats.results import Unjudged

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from qwen_bench.app.config import RunConfig
    from qwen_bench.record.outcome import Outcome, Run
    from qwen_bench.runs.job import Reporter
    from qwen_bench.stats.results import Comparison

# Their length counts evidence turns, so a choice of history lengths does not concern them.
_WITHOUT_LENGTH = {"adjacent", "blind"}


@dataclass(frozen=True, slots=True)
class Judged:
    """Comparisons of one baseline with several candidates.

    Attributes:
        runs: baseline first, candidates that could not be compared among them.
        comparisons: of the candidates that could be compared, in command order.
        unjudged: the others.
    """

    runs: tuple[Run, ...]
    comparisons: tuple[Comparison, ...]
    unjudged: tuple[Unjudged, ...] = ()


def compare_runs(names: Sequence[str], config: RunConfig, reporter: Reporter) -> Judged:
    """Compare run folders, narrowed to what the config selects.

    Args:
        names: paths or names of run folders, the baseline first.
        config: selection, verdict and run store.
        reporter: is told what the reader forgave, and of candidates that cannot be compared.

    Raises:
        InputError: a name is no run folder, or a flag names what no run has.
        RunError: a run folder is damaged.
        NotComparableError: the only candidate cannot be compared.
    """
    runs = narrowed(labelled(read_runs(names, config, reporter)), config)
    return judge(runs, config, reporter, note=narrowing_words(config))


def read_runs(names: Sequence[str], config: RunConfig, reporter: Reporter) -> list[StoredRun]:
    """Read run folders by path or name, each once.

    Raises:
        InputError: one is no run folder, or is named twice.
        RunError: one is damaged.
    """
    folders = [find_run(name, config.runs_path) for name in names]
    resolved = [folder.resolve() for folder in folders]
    for number, folder in enumerate(resolved):
        if folder in resolved[:number]:
            both = len(resolved) == 2
            raise InputError(
                "both arguments are the same run" if both else f"{names[number]} is named twice"
            )
    runs = [read_run(folder) for folder in folders]
    for run in runs:
        for notice in run.notices:
            reporter.say(notice)
    return runs


def labelled(runs: Sequence[StoredRun | Run]) -> list[Run]:
    """Runs whose labels differ: a label used twice is followed by the run's name."""
    views = [run.view() if isinstance(run, StoredRun) else run for run in runs]
    labels = unique_labels([view.label for view in views], [view.run_id for view in views])
    return [replace(view, label=label) for view, label in zip(views, labels, strict=True)]


def judge(
    runs: Sequence[Run],
    config: RunConfig,
    reporter: Reporter,
    *,
    note: str = "",
    intervals: bool | None = None,
) -> Judged:
    """Compare each candidate with the baseline.

    With several candidates one that cannot be compared is reported and the others go on.

    Args:
        runs: baseline first.
        config: margin, level, gates and what is allowed.
        reporter: is told of candidates that cannot be compared.
        note: stands first among the warnings of every comparison.
        intervals: compute those of half-lives, which takes seconds; None where a file of the config
            holds them.

    Raises:
        QwenBenchError: the only candidate cannot be compared, or a gate names what was not asked.
    """
    base, *candidates = runs
    if intervals is None:
        intervals = bool(config.json or config.html or config.out)
    suites = [run.manifest.suite for run in runs]
    gates = read_gates(
        config.gate,
        {family for suite in suites for family in suite.families},
        {length for suite in suites for length in suite.lengths},
    )
    for line in _needless(base, candidates, config.allow_mismatch):
        reporter.say(f"notice: {line}")
    comparisons: list[Comparison] = []
    unjudged: list[Unjudged] = []
    for candidate in candidates:
        try:
            comparisons.append(_compared(base, candidate, gates, config, intervals=intervals))
        except QwenBenchError as error:
            if len(candidates) == 1:
                raise
            reporter.broke(error)
            unjudged.append(Unjudged(candidate.label, error.message, error.exit_code))
    noted = (note,) if note else ()
    return Judged(
        tuple(runs),
        tuple(
            replace(comparison, warnings=(*noted, *comparison.warnings))
            for comparison in adjust_over_candidates(comparisons)
        ),
        tuple(unjudged),
    )


def _needless(base: Run, candidates: Sequence[Run], allowed: Sequence[str]) -> list[str]:
    """What is said of settings that need not be allowed, once for all candidates."""
    lines = [
        line
        for candidate in candidates
        for line in needless(allowed, compared_settings(base.manifest, candidate.manifest))
    ]
    return list(dict.fromkeys(lines))


def read_gates(
    texts: Sequence[str], families: Collection[str], lengths: Collection[int]
) -> tuple[Gate, ...]:
    """The gates of a command.

    Args:
        texts: as typed.
        families: those asked.
        lengths: history lengths asked.

    Raises:
        InputError: one has not the form of a gate, or names what was never asked.
    """
    gates = tuple(parse_gate(text) for text in texts)
    for gate in gates:
        check_gate(gate, families, lengths)
    return gates


def _compared(
    base: Run, candidate: Run, gates: Sequence[Gate], config: RunConfig, *, intervals: bool
) -> Comparison:
    """One comparison with its gates.

    Raises:
        QwenBenchError: the two cannot be compared.
    """
    pairing = pair(
        base,
        candidate,
        allow_mismatch=config.allow_mismatch,
        allow_partial=config.allow_partial,
        max_error_rate=config.max_error_rate / 100,
        max_unread_rate=config.max_unread_rate / 100,
    )
    comparison = compare_pairs(
        pairing,
        chances=declared_chances(base.manifest.suite.version),
        primary=_primary(base, candidate),
        margin=config.margin / 100,
        alpha=config.alpha,
        fits=REPLICATES if intervals else 0,
    )
    pairs = [(item.base, item.candidate) for item in pairing.pairs]
    return replace(comparison, gates=evaluate(gates, comparison, pairs))


def _primary(base: Run, candidate: Run) -> str:
    """The scorer that decides: the baseline's, unless the candidate was not asked in it."""
    suite = base.manifest.suite
    common = [mode for mode in suite.modes if mode in candidate.manifest.suite.modes]
    return suite.primary if suite.primary in common or not common else common[0]


def narrowed(runs: Sequence[Run], config: RunConfig) -> list[Run]:
    """The runs with the rows that the selecting flags name; the runs themselves without flags.

    The selection in a run's manifest is narrowed alike, so that gates know what is left.

    Raises:
        InputError: a flag names what none of the runs has.
    """
    if not narrowing_words(config):
        return list(runs)
    check_langs(config)
    known: dict[str, tuple[Any, ...]] = {}
    for item in marked_fields(runs[0].manifest.suite):
        if item.mark.column is not None:
            values = (value for run in runs for value in item.read(run.manifest.suite))
            known[item.path] = tuple(dict.fromkeys(values))
    kept: dict[str, set[Any]] = {path: set(values) for path, values in known.items()} | {
        "families": set(chosen("family", config.family, known["families"])),
        "conditions": set(chosen("condition", config.condition, known["conditions"])),
        "lengths": _found(
            config.lengths,
            sorted(known["lengths"]),
            "no probes at length {}; lengths are {}",
        ),
        "langs": _found(config.lang, known["langs"], "no probes in '{}'; the runs have {}"),
    }
    if config.level:
        there = sorted(known["levels"])
        lacking = "no probes of level {}; " + (
            "levels are {}" if there else "the runs have no levels"
        )
        kept["levels"] = _found(config.level, there, lacking)
    else:
        # Rows of suites without levels have none, and stay.
        del kept["levels"]
    return [_narrowed(run, kept) for run in runs]


def check_langs(config: RunConfig) -> None:
    """Refuse languages that no suite has.

    Raises:
        InputError: there is one.
    """
    for lang in config.lang or ():
        if lang not in LANGS:
            raise InputError(f"no such language '{lang}'; there are {', '.join(LANGS)}")


def narrowing_words(config: RunConfig) -> str:
    """What the selecting flags leave, for people; empty without any."""
    parts = [
        ("families", ", ".join(config.family)),
        ("conditions", ", ".join(config.condition)),
        ("lengths", ", ".join(map(str, config.lengths or ()))),
        ("levels", ", ".join(map(str, config.level or ()))),
        ("languages", ", ".join(config.lang or ())),
    ]
    told = "; ".join(f"{name} {values}" for name, values in parts if values)
    return f"narrowed to {told}; the runs hold more" if told else ""


def _found(wanted: Sequence[Any] | None, known: Sequence[Any], lacking: str) -> set[Any]:
    """What was wanted, or all that is known.

    Raises:
        InputError: the runs have none of something.
    """
    for value in wanted or ():
        if value not in known:
            raise InputError(lacking.format(value, ", ".join(map(str, known))))
    return set(wanted or known)


def _narrowed(run: Run, kept: Mapping[str, set[Any]]) -> Run:
    """One run narrowed, rows and manifest."""
    suite = run.manifest.suite
    left = {
        item.path: tuple(value for value in item.read(suite) if value in kept[item.path])
        for item in marked_fields(suite)
        if item.path in kept
    }
    columns = {item.path: str(item.mark.column) for item in marked_fields(suite)}

    def stays(outcome: Outcome) -> bool:
        return all(
            getattr(outcome, columns[path]) in values
            or (path == "lengths" and outcome.condition in _WITHOUT_LENGTH)
            for path, values in kept.items()
        )

    return replace(
        run,
        manifest=run.manifest.model_copy(update={"suite": suite.model_copy(update=left)}),
        outcomes=tuple(outcome for outcome in run.outcomes if stays(outcome)),
    )
