"""`qwen-bench probes show --raw`: the exact prompt on stdout, its token counts on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click

from qwen_bench.chat.policy import FULL, keep
from qwen_bench.cli.asking import EMBEDDED, engine_options
from qwen_bench.engines.engine_options import check_used, engine_of
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.engines.registry import open_prompter
from qwen_bench.errors import InputError
from qwen_bench.probes.evidence_visibility import evidence_visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_bench.chat.policy import Kept, Policy
    from qwen_bench.cli.display import Screen
    from qwen_bench.cli.options import Options
    from qwen_bench.probes.probe import AskedProbe, Probe

_OWN_FLAGS = (
    "model",
    "chat_template",
    "trust_remote_code",
    "model_arg",
    "policy",
    "thinking",
    "system",
    "offline",
)


class Share(NamedTuple):
    """Tokens of one part of a prompt."""

    name: str
    tokens: int
    note: str = ""


def check_raw_flags(options: Options, *, raw: bool, jsonl: bool) -> None:
    """Refuse flags that say how a prompt is written where none is.

    Raises:
        InputError: such a flag without `--raw`, or two forms of output at once.
    """
    if raw and jsonl:
        raise InputError("--raw and --jsonl are two forms of output; give one")
    for name in _OWN_FLAGS:
        if name in options.passed and not raw:
            raise InputError(f"--{name.replace('_', '-')} needs --raw")
    if len(options.model) > 1:
        raise InputError("--raw shows the prompt of one model; give one --model")


def print_raw(asked: AskedProbe, options: Options, screen: Screen) -> None:
    """Print the prompt as the model of `options` gets it.

    Args:
        asked: the probe.
        options: model, template, system text, thinking and policy.
        screen: takes the counts.

    Raises:
        InputError: the model has no tokenizer.
        ModelError: its tokenizer or template cannot be used.
    """
    if not options.model:
        screen.say("no --model given: using the embedded model, SmolLM2-135M-Instruct")
    spec = parse_spec(options.model[0] if options.model else EMBEDDED)
    if spec.notice:
        screen.say(f"notice: {spec.notice}")
    engine = engine_options(options)
    check_used(engine.model_args, [engine_of(spec, engine)])
    prompter = open_prompter(spec, engine)
    kept = keep(engine.policy, asked.messages, prompter)
    prompt = prompter.prompt(kept.messages)
    # Bytes, so that neither the terminal's encoding nor its line ends change the prompt.
    click.echo(prompt.text.encode("utf-8", "surrogatepass"), nl=False)
    shares = [
        Share("prompt", len(prompt.ids)),
        *_shares(asked.probe, kept, prompter.blocks(prompt)),
    ]
    width = max(len(share.name) for share in shares)
    for share in shares:
        screen.say(f"{share.name:<{width}}  {share.tokens:>7,} tokens  {share.note}".rstrip())
    for line in _cut(engine.policy, kept, asked.probe):
        screen.say(line)


def _shares(probe: Probe, kept: Kept, sizes: Sequence[int]) -> list[Share]:
    """Tokens of system message, turns, question and generation prompt; they add up to the prompt.

    Args:
        probe: what is asked.
        kept: the messages sent.
        sizes: tokens of each block; empty when the template does not write ChatML.
    """
    if not sizes:
        return []
    *rest, generation = sizes
    messages = list(kept.messages)
    inserted = len(rest) - len(messages)
    found: list[Share] = []
    if inserted or messages[0].role == "system":
        note = "evidence" if 0 in probe.needs else ""
        found.append(Share("system", rest.pop(0), note))
        messages = messages if inserted else messages[1:]
    turn = kept.dropped
    for message, size in zip(messages[:-1], rest[:-1], strict=True):
        if message.role == "user":
            turn += 1
            note = "evidence" if turn in probe.needs else ""
            found.append(Share(f"turn {turn}", 0, note))
        last = found[-1]
        found[-1] = last._replace(tokens=last.tokens + size)
    return [*found, Share("question", rest[-1]), Share("generation prompt", generation)]


def _cut(policy: Policy, kept: Kept, probe: Probe) -> list[str]:
    """What the history policy left out."""
    if policy == FULL:
        return []
    turns = {0: "no turn", 1: "turn 1"}.get(kept.dropped, f"turns 1 to {kept.dropped}")
    lost = probe.condition != "blind" and not evidence_visible(probe, kept.dropped)
    return [
        f"history policy {policy} leaves out {turns}" + (", evidence among them" if lost else "")
    ]
