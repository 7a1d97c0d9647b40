"""A template's end of turn ends an answer, also where the tokenizer has no token for it."""

import pytest

from qwen_bench.chat.messages import Message
from qwen_bench.chat.rendering import CHATML, ChatSettings, ChatTemplate, choose_template
from qwen_bench.engines.decoding import Budget, GeneratedRow, Stopping
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.engines.prompter import Prompter
from qwen_bench.engines.registry import open_engines
from qwen_bench.protocol import Request, Unit
from qwen_bench.testing import tiny_tokenizer

ASKED = Unit("d", (Request("q", (Message("user", "Which colour?"),), "generate"),))
# One id a word.
WORDS = ("red", "<|im", "_end|>", "!<|", "im_", "end", "|> next", "<|", "|>")
BUDGET = Budget(9, 0)
STOPPING = Stopping(
    frozenset(), lambda ids: "".join(WORDS[token] for token in ids), ("<|im_end|>", "<|im_start|>")
)


def stops_of(template, tokenizer):
    settings = ChatSettings(ChatTemplate(template, "file", "t"))
    return Prompter(tokenizer, settings).stop_tokens(())


@pytest.fixture
def open_saying(saying):
    """An engine on a model without ChatML tokens that says a text, then whatever comes."""
    from qwen_bench.engines.hf.hf_engine import HfEngine
    from qwen_bench.engines.loading import load_base

    def open_one(text, **options):
        spec = parse_spec(str(saying(text, chatml=False)))
        base = load_base(spec, EngineOptions())
        return HfEngine(base, ChatSettings(choose_template("chatml", None, "m")), spec, **options)

    return open_one


@pytest.mark.parametrize("strategy", ["two-part", "copying"])
def test_the_marker_as_text_ends_an_answer_and_is_cut(open_saying, strategy):
    engine = open_saying("red<|im_end|>blue", strategy=strategy)

    (reply,) = engine.answer(ASKED)

    assert (reply.status, reply.text, reply.finish_reason) == ("ok", "red", "stop")
    assert reply.stop_token == "<|im_end|>"  # noqa: S105 - a token of text, not a secret
    assert reply.output_tokens == len(engine._prompter.candidate("red")) + 2


def test_it_is_recorded_and_said(open_saying):
    identity = open_saying("red<|im_end|>blue").identity()

    assert {"<|im_end|>", "<|im_start|>", "<|over|>"} <= set(identity.generation.stop)
    assert any(
        "has no token for <|im_end|> or <|im_start|>; an answer ends where its text has it" in line
        for line in identity.warnings
    )


def test_a_command_with_the_built_in_template_stops_there_too(saying):
    spec = parse_spec(str(saying("red<|im_end|>blue", chatml=False)))
    options = EngineOptions(chat_template="chatml", device="cpu")

    with open_engines([spec], options) as engines:
        (reply,) = next(engines).answer(ASKED)

    assert (reply.status, reply.text) == ("ok", "red")


def test_a_tokenizer_with_the_markers_stops_at_tokens_alone():
    stops = stops_of(CHATML, tiny_tokenizer())

    assert stops.texts == ()
    assert stops.end_of_turn_name == "<|im_end|>"


def test_the_end_of_another_template_is_no_marker_of_chatml(unmarked_tokenizer):
    tokenizer = unmarked_tokenizer

    own = stops_of(CHATML.replace("im_start", "turn").replace("im_end", "over"), tokenizer)
    words = stops_of(CHATML.replace("<|im_start|>", "[").replace("<|im_end|>", " (end)"), tokenizer)

    assert (own.texts, own.end_of_turn_name) == ((), "<|over|>")
    assert words.texts == ("(end)",)


def test_a_closing_token_that_another_token_follows_on_its_line_stops(unmarked_tokenizer):
    """As in templates without line breaks: the end of the last turn shows what is the end."""
    template = CHATML.replace("<|im_end|>\\n", "<|over|>").replace("<|im_start|>", "<|turn|>")
    unmarked_tokenizer.eos_token = "<|endoftext|>"  # noqa: S105 - as above

    stops = stops_of(template, unmarked_tokenizer)

    assert "<|over|>" in stops.names
    assert stops.texts == ()


@pytest.mark.parametrize(
    ("tokens", "kept", "stop"),
    [
        ((0, 1, 2, 0), 3, "<|im_end|>"),
        ((0, 3, 4, 5, 6, 0), 5, "<|im_end|>"),
        ((0, 7, 4, 5, 8, 0), 5, "<|im_end|>"),
        ((0, 1, 0, 2, 0), 5, None),
    ],
    ids=["two tokens", "begun and ended inside tokens", "four tokens", "never whole"],
)
def test_a_row_stops_where_its_text_has_the_marker(tokens, kept, stop):
    row = GeneratedRow(0, BUDGET)
    for token in tokens:
        if row.live:
            row.take(token, 1.0, STOPPING)

    found = row.written(BUDGET)

    assert len(found.tokens) == kept
    assert (found.stopped, found.stop_text) == (stop is not None, stop)


def test_an_equal_prompt_with_a_smaller_budget_is_cut_before_the_marker():
    row = GeneratedRow(0, BUDGET)
    for token in (0, 1, 2):
        row.take(token, 1.0, STOPPING)

    cut = row.written(Budget(2, 0))

    assert (cut.tokens, cut.stopped, cut.stop_text) == ((0, 1), False, None)
