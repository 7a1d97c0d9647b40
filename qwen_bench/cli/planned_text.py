"""A plan as lines and as a document."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qwen_bench.app.plan_run import Planned
    from qwen_bench.engines.cost_estimate import KvCache, TokenBudget

SCHEMA_VERSION = 1
_MINUTE, _HOUR = 60, 3600
_FEW = 30


def lines(made: Planned) -> list[str]:
    """The plan for people: probes needed, what the selection can tell, what it costs."""
    suite, design = made.suite, made.selected
    header = (
        f"suite {suite.name} {suite.version} · {_count(design.probes, 'main probe')} by "
        f"{made.primary} · {_count(design.clusters, 'skeleton')} · {', '.join(suite.langs)} · "
        f"lengths {' '.join(map(str, suite.lengths))}"
    )
    return [
        header,
        "",
        _needed(made),
        _assumptions(made),
        "",
        f"this selection, with {_percent(made.wanted.power)} power:",
        *_rows(
            [
                ("detected", f"a difference of {_points(made.can.detected)}"),
                ("regressed", f"a loss of {_points(made.can.regressed)}, at the margin 5"),
                (
                    "within noise",
                    f"equal models, from a margin of {_points(made.can.within_noise)} on",
                ),
            ]
        ),
        "",
        "cost of one model:",
        *_rows(_cost(made)),
    ]


def document(made: Planned) -> dict[str, Any]:
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
        f"to see a drop of {_points(wanted.difference)} with {_percent(wanted.power)} power: "
        f"{need.pairs:,} independent probes; your probes share skeletons ({shares}), so about "
        f"{need.probes:,} -> --limit {need.rotations} ({need.probes_asked:,} probes in "
        f"{_count(made.dialogues, 'dialogue')})"
        + (", few skeletons: wide intervals" if need.clusters < _FEW else "")
    )


def _assumptions(made: Planned) -> str:
    """What the number rests on."""
    assumed = made.assumed
    figures = (
        f"{_percent(assumed.discordance)} of the answers change, correlation "
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
        f"{tokens.requests:,} · {about}{_short(tokens.naive)} tokens naive, "
        f"{_short(tokens.shared)} shared ({how})"
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
        rows.append(("time", f"about {duration(made.seconds)} ({rate})"))
    else:
        rows.append(("time", "unknown; --rate TOKENS or a recorded run says it"))
    return rows


def _memory(cache: KvCache, tokens: TokenBudget) -> list[tuple[str, str]]:
    """Keys and values: of a token, of the longest prompt, and of a dialogue's prompts at once."""
    held = [cache.bytes_of(size) for size in (tokens.longest, tokens.together, tokens.apart)]
    longest, together, apart = map(_bytes, held)
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


def _points(fraction: float) -> str:
    """A difference in points, one decimal where it has one."""
    number = f"{100 * fraction:.1f}".removesuffix(".0")
    return f"{number} point{'' if number == '1' else 's'}"


def _percent(share: float) -> str:
    """A share in percent, without needless decimals."""
    return f"{100 * share:.3g} %"


def _count(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _short(tokens: float) -> str:
    """Tokens in thousands or millions."""
    return f"{tokens / 1e6:.2f} M" if tokens >= 1e6 else f"{tokens / 1e3:.0f} k"


def _bytes(number: int) -> str:
    """Bytes in the unit that gives a readable number."""
    size = float(number)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.1f} h"
