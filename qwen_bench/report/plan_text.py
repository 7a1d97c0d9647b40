"""A plan as values, as lines and as a document: probes needed, and what asking them costs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from qwen_bench.record.formats import (
    byte_size,
    in_points,
    plural,
    rough_duration,
    rough_percent,
    rough_tokens,
)

if TYPE_CHECKING:
    from qwen_bench.engines.cost_estimate import KvCache, TokenBudget
    from qwen_bench.probes.suites import Suite
    from qwen_bench.record.outcome import Mode
    from qwen_bench.stats.planning import Assumed, Design, Need, Resolution

SCHEMA_VERSION = 1
_FEW = 30


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was typed.

    Attributes:
        difference: smallest drop to be seen, a fraction.
        power: share of runs in which it is to be seen.
        discordance: stated share of changed pairs; None for the default or a measured one.
        rate: stated tokens a second; None where a recorded run may say it.
        recorded: names of `--from`.
    """

    difference: float
    power: float
    discordance: float | None
    rate: float | None
    recorded: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second through the model, and where that is known from."""

    tokens_per_second: float
    source: str


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan.

    Attributes:
        primary: scorer of the endpoint.
        selected: design of the selection as it stands.
        need: probes that resolve the difference, in rotations of the selection.
        dialogues: of these rotations, main condition only.
        can: what the selection can tell.
        model: label of the model that tokens are counted for; None where they are estimated.
        cache: keys and values; None without a model.
        answer_tokens: generated tokens of an answer.
        answers_measured: whether they come from recorded runs.
        thinks: whether the prompts of the model ask for a thought.
        max_thinking_tokens: budget of one.
        speed: None where no rate is known.
        measured_on: names of the recorded runs behind `assumed`.
    """

    suite: Suite
    primary: Mode
    wanted: Wanted
    assumed: Assumed
    selected: Design
    need: Need
    dialogues: int
    can: Resolution
    tokens: TokenBudget
    model: str | None
    cache: KvCache | None
    answer_tokens: float
    answers_measured: bool
    thinks: bool
    max_thinking_tokens: int
    speed: Speed | None
    measured_on: tuple[str, ...] = ()

    @property
    def forward_tokens(self) -> float:
        """Tokens of one model through a sharing engine, answers included."""
        return self.tokens.forward(self.answer_tokens)

    @property
    def seconds(self) -> float | None:
        """Time of one model; None where no rate is known."""
        return self.forward_tokens / self.speed.tokens_per_second if self.speed else None


def plan_lines(made: Planned) -> list[str]:
    """The plan for people: probes needed, what the selection can tell, what it costs."""
    suite, design = made.suite, made.selected
    header = (
        f"suite {suite.name} {suite.version} · {plural(design.probes, 'main probe')} by "
        f"{made.primary} · {plural(design.clusters, 'skeleton')} · {', '.join(suite.langs)} · "
        f"lengths {' '.join(map(str, suite.lengths))}"
    )
    return [
        header,
        "",
        _needed(made),
        _assumptions(made),
        "",
        f"this selection, with {rough_percent(made.wanted.power)} power:",
        *_rows(
            [
                ("detected", f"a difference of {in_points(made.can.detected)}"),
                ("regressed", f"a loss of {in_points(made.can.regressed)}, at the margin 5"),
                (
                    "within noise",
                    f"equal models, from a margin of {in_points(made.can.within_noise)} on",
                ),
            ]
        ),
        "",
        "cost of one model:",
        *_rows(_cost(made)),
    ]


def plan_document(made: Planned) -> dict[str, Any]:
    """The plan as JSON: fractions, tokens, bytes and seconds."""
    suite, tokens = made.suite, made.tokens
    return {
        "schema_version": SCHEMA_VERSION,
        "suite": {
            "name": suite.name,
            "version": suite.version,
            "sha256": suite.sha256,
            "seed": suite.seed,
            "limit": suite.limit,
            "families": list(suite.families),
            "langs": list(suite.langs),
            "lengths": list(suite.lengths),
            "primary": made.primary,
        },
        "wanted": {"difference": made.wanted.difference, "power": made.wanted.power},
        "assumed": {**asdict(made.assumed), "runs": list(made.measured_on)},
        "need": {**asdict(made.need), "dialogues": made.dialogues},
        "selection": {
            **asdict(made.selected),
            "effect": made.selected.effect(made.assumed.correlation),
            "can": asdict(made.can),
        },
        "tokens": {
            **asdict(tokens),
            "model": made.model,
            "answer_tokens": made.answer_tokens,
            "answer_tokens_measured": made.answers_measured,
            "max_thinking_tokens": made.max_thinking_tokens if made.thinks else None,
            "forward": round(made.forward_tokens),
            "sharing_ratio": tokens.sharing_ratio(made.answer_tokens),
        },
        "kv_cache": None
        if made.cache is None
        else {
            **asdict(made.cache),
            "longest_bytes": made.cache.bytes_of(tokens.longest),
            "together_bytes": made.cache.bytes_of(tokens.together),
            "apart_bytes": made.cache.bytes_of(tokens.apart),
        },
        "time": None if made.speed is None else {**asdict(made.speed), "seconds": made.seconds},
    }


def _needed(made: Planned) -> str:
    """The sentence that answers the question, in probes."""
    need, wanted = made.need, made.wanted
    each = round(made.selected.mean_per_cluster)
    shares = f"{each} each, design effect {need.effect:.1f}"
    return (
        f"to see a drop of {in_points(wanted.difference)} with {rough_percent(wanted.power)} "
        f"power: {need.pairs:,} independent probes; your probes share skeletons ({shares}), so "
        f"about {need.probes:,} -> --limit {need.rotations} ({need.probes_asked:,} probes in "
        f"{plural(made.dialogues, 'dialogue')})"
        + (", few skeletons: wide intervals" if need.clusters < _FEW else "")
    )


def _assumptions(made: Planned) -> str:
    """What the number rests on."""
    assumed = made.assumed
    figures = (
        f"{rough_percent(assumed.discordance)} of the answers change, correlation "
        f"{assumed.correlation:.2g} inside a skeleton"
    )
    if assumed.measured:
        return f"measured on {' and '.join(made.measured_on)}: {figures}"
    return f"assumed: {figures}; measure it with --from BASE_RUN --from CANDIDATE_RUN"


def _cost(made: Planned) -> list[tuple[str, str]]:
    """Tokens, memory and time."""
    tokens, about = made.tokens, "" if made.tokens.exact else "about "
    how = f"tokenizer of {made.model}" if tokens.exact else "from characters; --model SPEC counts"
    prompts = (
        f"{tokens.requests:,} · {about}{rough_tokens(tokens.naive)} tokens naive, "
        f"{rough_tokens(tokens.shared)} shared ({how})"
    )
    answers = (
        f"{tokens.generated:,} generated, {made.answer_tokens:.0f} tokens each "
        f"({'measured' if made.answers_measured else 'assumed'}) · sharing "
        f"{tokens.sharing_ratio(made.answer_tokens):.1f} x"
    )
    longest = f"{about}{tokens.longest:,} tokens{_window(made)}"
    rows = [("prompts", prompts), ("answers", answers), ("longest", longest)]
    if made.cache is not None:
        rows += _memory(made.cache, tokens)
    if made.thinks:
        limit = f"{made.max_thinking_tokens:,} tokens each"
        rows.append(("thoughts", f"up to {limit}; part of a measured length, of no assumed one"))
    if tokens.too_long:
        rows.append(("too long", f"{tokens.too_long:,} prompts do not fit the context window"))
    if made.speed is not None and made.seconds is not None:
        rate = f"{made.speed.tokens_per_second:,.0f} tokens/s, {made.speed.source}"
        rows.append(("time", f"about {rough_duration(made.seconds)} ({rate})"))
    else:
        rows.append(("time", "unknown; --rate TOKENS or a recorded run says it"))
    return rows


def _memory(cache: KvCache, tokens: TokenBudget) -> list[tuple[str, str]]:
    """Keys and values: of a token, of the longest prompt, and of a dialogue's prompts at once."""
    held = [cache.bytes_of(size) for size in (tokens.longest, tokens.together, tokens.apart)]
    longest, together, apart = (byte_size(size, decimals=0) for size in held)
    other = f", {cache.other_layers} more of bounded size" if cache.other_layers else ""
    shared = (
        f"{together} for the largest dialogue at once, answers included; {apart} if every prompt "
        "had its own"
    )
    if cache.other_layers:
        # Their state cannot be shared: the cache is copied for every row computed together.
        shared = f"up to {apart} for the largest dialogue at once; less where memory is short"
    kind = f"{cache.layers} layers in {cache.dtype}{other}"
    of_one = f"{cache.bytes_per_token:,} bytes a token ({kind}) · {longest} for the longest prompt"
    return [("K/V memory", of_one), ("", shared)]


def _rows(rows: list[tuple[str, str]]) -> list[str]:
    """Names and texts in two columns."""
    width = max(len(name) for name, _ in rows)
    return [f"  {name:<{width}}  {text}" for name, text in rows]


def _window(made: Planned) -> str:
    """The context window, where it is known."""
    window = made.cache.window if made.cache else None
    return f" of {window:,}" if window else ""
