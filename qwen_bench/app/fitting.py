"""`--max-tokens N`: which history lengths of a suite fit so many tokens of a model's own tokenizer.

Prompt and answer count together, as in a context window. Of the dialogues of one length only those
are tokenized that could be the longest: their characters say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from qwen_bench.chat.policy import keep
from qwen_bench.chat.rendering import effective_thinking
from qwen_bench.chat.token_estimate import prompt_tokens, text_tokens
from qwen_bench.engines.registry import open_prompter
from qwen_bench.errors import InputError
from qwen_bench.probes.conditions import UNPLACED
from qwen_bench.probes.suites import build_suite
from qwen_bench.record.formats import plural

if TYPE_CHECKING:
    from qwen_bench.chat.messages import Conversation
    from qwen_bench.chat.policy import Policy
    from qwen_bench.engines.engine_options import EngineOptions
    from qwen_bench.engines.model_spec import ModelSpec
    from qwen_bench.engines.prompter import Prompter
    from qwen_bench.probes.probe import AskedProbe, Lang
    from qwen_bench.probes.selection import Selection
    from qwen_bench.probes.suites import Suite
    from qwen_bench.protocol import Generation
    from qwen_bench.record.outcome import Mode
    from qwen_bench.runs.job import Reporter

# How much denser in tokens than any dialogue counted before, by its characters, one may be.
_SPREAD = 1.05


class Counter(NamedTuple):
    """Counts the tokens of prompts and of texts in them.

    Attributes:
        how: whose tokenizer, for people.
        thinks: whether prompts ask for a thought, which takes room of its own.
    """

    how: str
    prompt: Callable[[Conversation], int]
    text: Callable[[str], int]
    thinks: bool = False


class Room(NamedTuple):
    """What prompt and answer have together, and what an answer takes of it.

    Attributes:
        tokens: of both.
        modes: scorers asked.
        generation: budgets of an answer.
    """

    tokens: int
    modes: Sequence[Mode]
    generation: Generation

    def needed(self, asked: AskedProbe, counter: Counter) -> int:
        """Tokens of a prompt with its longest answer."""
        answers = [0]
        if "generate" in self.modes:
            thought = self.generation.max_thinking_tokens if counter.thinks else 0
            answers.append(self.generation.max_new_tokens + thought)
        if "rank" in self.modes:
            answers += map(counter.text, asked.probe.rank_candidates)
        return counter.prompt(asked.messages) + max(answers)


def counters_of(specs: Sequence[ModelSpec], engine: EngineOptions) -> list[Counter]:
    """A counter for each model; one from characters where there is no tokenizer, or no model.

    Raises:
        InputError: the policy counts tokens, and there is no tokenizer.
        ModelError: a tokenizer cannot be had or used.
    """
    found = []
    for spec in specs:
        silent = spec.kind == "openai" and "tokenizer" not in engine.model_args
        if silent or spec.kind in {"mock", "plugin"}:
            found.append(_from_characters(engine.policy))
        else:
            found.append(_from_tokenizer(spec.default_label, open_prompter(spec, engine), engine))
    unique = {counter.how: counter for counter in found or [_from_characters(engine.policy)]}
    return list(unique.values())


def _from_tokenizer(label: str, prompter: Prompter, engine: EngineOptions) -> Counter:
    return Counter(
        f"the tokenizer of {label}",
        lambda messages: prompter.prompt_tokens(keep(engine.policy, messages, prompter).messages),
        prompter.text_tokens,
        effective_thinking(prompter.settings, prompter.tokenizer) == "on",
    )


def _from_characters(policy: Policy) -> Counter:
    if policy.counts_tokens:
        raise InputError(f"--max-tokens with the history policy {policy} needs a tokenizer")
    return Counter(
        "characters, about as many as a tokenizer like Qwen's gives",
        lambda messages: round(prompt_tokens(keep(policy, messages).messages)),
        lambda text: max(1, round(text_tokens(text))),
    )


def fitted(
    whole: Suite,
    selection: Selection,
    room: Room,
    counters: Sequence[Counter],
    reporter: Reporter,
) -> Suite:
    """The suite at the history lengths that fit; what is left out is said.

    Args:
        whole: the suite with the selection.
        selection: it was built with.
        room: that prompt and answer have together.
        counters: of every model; a length has to fit in all.
        reporter: is told.

    Raises:
        InputError: no length fits.
    """
    fitting: list[int] = []
    for length in reversed(whole.lengths):
        # Histories nest, so what a longer one fits, a shorter one does, unless it is told longer.
        told_longer = any(length in block.lengths for block in whole.blocks.values())
        nested = fitting and not told_longer
        if nested or _fits(_narrowed(whole, selection, (length,)), length, room, counters):
            fitting.insert(0, length)
    how = " and ".join(counter.how for counter in counters)
    if not fitting:
        shortest = plural(whole.lengths[0], "turn")
        raise InputError(
            f"--max-tokens {room.tokens}: no history length of suite {whole.name} fits",
            why=f"prompts after {shortest} with their answers are longer, counted with {how}",
            fix="a larger number, shorter --lengths or another suite",
        )
    suite = _narrowed(whole, replace(selection, max_tokens=room.tokens), tuple(fitting))
    before, now = whole.count(), suite.count()
    left_out = [length for length in whole.lengths if length not in fitting]
    said = f"histories of {_listed(fitting)} turns fit"
    if left_out:
        said += f", those of {_listed(left_out)} are left out"
        said += f": {before - now:,} of {before:,} probes"
    reporter.say(f"--max-tokens {room.tokens}: {said} (counted with {how})")
    return suite


def _listed(lengths: Sequence[int]) -> str:
    """Lengths as people read them."""
    *most, last = map(str, lengths)
    return f"{', '.join(most)} and {last}" if most else last


def _narrowed(whole: Suite, selection: Selection, lengths: tuple[int, ...]) -> Suite:
    """The suite at some of its lengths, without conditions that are not asked there."""
    there = {c for c in whole.conditions if c not in whole.blocks}
    there |= {c for c, block in whole.blocks.items() if {*block.lengths} & {*lengths}}
    conditions = tuple(c for c in whole.conditions if c in there)
    chosen = replace(selection, lengths=lengths, conditions=conditions)
    return build_suite(whole.name, chosen, whole.seed, whole.own)


def _fits(suite: Suite, length: int, room: Room, counters: Sequence[Counter]) -> bool:
    """Whether every prompt after so many turns fits, in the tokenizers of all models."""
    densest: dict[tuple[str, Lang], float] = {}
    for asked in _longest_prompts(suite, length):
        characters = sum(len(message.content) for message in asked.messages)
        for counter in counters:
            kind = (counter.how, asked.probe.lang)
            if characters * densest.get(kind, 1e9) * _SPREAD <= room.tokens:
                continue
            needed = room.needed(asked, counter)
            if needed > room.tokens:
                return False
            densest[kind] = max(densest.get(kind, 0.0), needed / characters)
    return True


def _longest_prompts(suite: Suite, length: int) -> Iterator[AskedProbe]:
    """The prompt with most characters of every dialogue, after so many turns."""
    for dialogue in suite.dialogues():
        placed = [a for a in dialogue.probes if a.probe.condition not in UNPLACED]
        placed = [a for a in placed if a.probe.length == length]
        if placed:
            yield max(placed, key=lambda a: sum(len(m.content) for m in a.messages))
