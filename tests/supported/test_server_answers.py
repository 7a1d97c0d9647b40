"""Every form in which servers give an answer is read, or counted under a name that says why not."""

import runpy
from pathlib import Path

import pytest

from qwen_bench.probes.suites import build_suite
from qwen_bench.protocol import Request, Unit
from qwen_bench.scoring.score import score_reply

TITLE = "Server answers"
INTRODUCTION = """\
What the engine for OpenAI-compatible servers makes of a response ([servers](servers.md)), by the
status of the row: an answer is scored by its text; `refused`, `empty` and a thought without an
answer count as wrong. *unread* marks an `empty` row whose answer may be in what the server sent:
above `--max-unread-rate` such rows end the run."""
CORNER = "the response holds"
ENDED = "finish_reason stop"

ANSWER = ("ok", "correct", None)
LENGTH = ("truncated", "correct", None)
THINKING = ("truncated", "no_answer", None)
FILTERED = ("`refused`", "refused", "refused", None)
CALL = {"id": "c", "type": "function", "function": {"name": "recall", "arguments": "{}"}}
IN_CHOICE = "choice"
USAGE = "usage"
GOLD = "GOLD"


def parts(*found):
    return {"content": list(found)}


def part(kind, **fields):
    return {"type": kind, **fields}


def shape(row, message, ended, cut, filtered=FILTERED):
    """The cells of a shape; an end is (what is said, status, reason, kind of unread)."""
    return [
        (row, f"finish_reason {finish}", end[0], (message, finish, end[1:]))
        for finish, end in (("stop", ended), ("length", cut), ("content_filter", filtered))
    ]


def read(row, message):
    return shape(row, message, ("the answer", *ANSWER), ("the answer, `truncated`", *LENGTH))


def thought_alone(row, message):
    kind = "ReasoningOnly"
    unread = (f"`empty`, unread: {kind}", "empty", "no_answer", kind)
    return shape(row, message, unread, ("`truncated`: inside its thought", *THINKING))


def unread(row, message, kind):
    cell = (f"`empty`, unread: {kind}", "empty", "empty", kind)
    return shape(row, message, cell, cell)


TEXT = part("text", text=GOLD)
HM = "Hm."
CELLS = (
    *read("`content`, a string", {"content": GOLD}),
    *read("`content`, a part of the type `text`", {"content": TEXT}),
    *read("`content`, parts of the type `text`", parts(part("text", text=""), TEXT)),
    *read("`content`, parts of the type `output_text`", parts(part("output_text", text=GOLD))),
    *read("`content`, strings in a list", {"content": [GOLD, ""]}),
    *read("text as an object with a `value`", parts(part("text", text={"value": GOLD}))),
    *read(
        "parts `thinking` and `text`",
        parts(part("thinking", thinking=[part("text", text=HM)]), TEXT),
    ),
    *read(
        "parts `reasoning` and `text`",
        parts(part("reasoning", summary=[part("summary_text", text=HM)]), TEXT),
    ),
    *read(
        "text beside a part of another type", parts(part("image_url", image_url={"url": "x"}), TEXT)
    ),
    *read("`reasoning_content` and `content`", {"content": GOLD, "reasoning_content": HM}),
    *read("`reasoning` and parts", {**parts(TEXT), "reasoning": HM}),
    *read("a closed thought and text in `content`", {"content": f"<think>{HM}</think>{GOLD}"}),
    *read(
        "`text` of the choice, as completions have it", {IN_CHOICE: {"message": None, "text": GOLD}}
    ),
    *read(
        "`delta`, as streams have it", {IN_CHOICE: {"message": None, "delta": {"content": GOLD}}}
    ),
    *read("`tool_calls` beside `content`", {"content": GOLD, "tool_calls": [CALL]}),
    *thought_alone("`reasoning_content` alone", {"content": None, "reasoning_content": GOLD}),
    *thought_alone("`reasoning` alone", {"content": "", "reasoning": GOLD}),
    *thought_alone(
        "`reasoning_details` alone",
        {"content": "", "reasoning_details": [part("reasoning.text", text=GOLD)]},
    ),
    *thought_alone("parts of the type `thinking` alone", parts(part("thinking", thinking=GOLD))),
    *shape(
        "an open thought in `content`",
        {"content": f"<think>{GOLD}"},
        ("`empty`: inside its thought", "empty", "no_answer", None),
        ("`truncated`: inside its thought", *THINKING),
    ),
    *shape(
        "a closed thought alone in `content`",
        {"content": f"<think>{GOLD}</think>"},
        ("`empty`", "empty", "empty", None),
        ("`truncated`", "truncated", "empty", None),
    ),
    *unread("`tool_calls` alone", {"content": None, "tool_calls": [CALL]}, "ToolCallOnly"),
    *unread(
        "`function_call` alone",
        {"content": None, "function_call": CALL["function"]},
        "ToolCallOnly",
    ),
    *unread("`audio` alone", {"content": None, "audio": {"id": "a"}}, "UnreadableContent"),
    *unread(
        "parts of other types alone",
        parts(part("image_url", image_url={"url": "x"})),
        "UnreadableContent",
    ),
    *unread("`content`, a number", {"content": 44}, "UnreadableContent"),
    *shape(
        "`refusal`",
        {"content": None, "refusal": "I cannot."},
        FILTERED,
        FILTERED,
    ),
    *shape(
        "parts of the type `refusal`",
        parts(part("refusal", refusal="I cannot.")),
        FILTERED,
        FILTERED,
    ),
    *shape(
        "empty `content`, two tokens counted",
        {"content": "", USAGE: {"prompt_tokens": 9, "completion_tokens": 2}},
        ("`empty`", "empty", "empty", None),
        ("`truncated`", "truncated", "empty", None),
    ),
    *shape(
        "`content` null, fifty tokens counted",
        {"content": None, USAGE: {"prompt_tokens": 9, "completion_tokens": 50}},
        ("`empty`, unread: WithheldText", "empty", "empty", "WithheldText"),
        ("`truncated`", "truncated", "empty", None),
    ),
    *shape(
        "`content` null, tokens of reasoning counted",
        {"content": None, USAGE: {"completion_tokens_details": {"reasoning_tokens": 7}}},
        ("`empty`, unread: WithheldText", "empty", "empty", "WithheldText"),
        ("`truncated`: inside its thought", *THINKING),
    ),
    *shape(
        "`content` null, no count",
        {"content": None, USAGE: {}},
        ("`empty`, unread: WithheldText", "empty", "empty", "WithheldText"),
        ("`truncated`", "truncated", "empty", None),
    ),
    *shape(
        "no choice",
        {"choices": []},
        ("`error`", "error", "empty", "ServerError"),
        ("`error`", "error", "empty", "ServerError"),
        ("`error`", "error", "empty", "ServerError"),
    ),
    *shape(
        "no choice, but an error that names the context window",
        {"choices": [], "error": {"code": 400, "message": "maximum context length is 9"}},
        ("`too_long`", "too_long", "server", "ServerError"),
        ("`too_long`", "too_long", "server", "ServerError"),
        ("`too_long`", "too_long", "server", "ServerError"),
    ),
)

_OPENAI = runpy.run_path(
    str(Path(__file__).resolve().parents[1] / "engines" / "openai" / "conftest.py")
)
server, open_engine = _OPENAI["server"], _OPENAI["open_engine"]
Act = _OPENAI["Act"]


@pytest.fixture(scope="module")
def asked():
    """A probe with one right value, and its conversation."""
    items = (item for dialogue in build_suite("demo").dialogues() for item in dialogue.probes)
    return next(item for item in items if item.probe.family == "fact_recall")


def filled(value, gold):
    """A value of JSON with the right answer in it."""
    if isinstance(value, str):
        return value.replace(GOLD, gold)
    if isinstance(value, list):
        return [filled(item, gold) for item in value]
    if isinstance(value, dict):
        return {name: filled(item, gold) for name, item in value.items()}
    return value


def response(message, finish, gold):
    """The body of a response."""
    found = filled(message, gold)
    usage = found.pop(USAGE, {"prompt_tokens": 9, "completion_tokens": 5})
    if "choices" in found:
        return found
    choice = {"index": 0, "message": found, "finish_reason": finish} | found.pop(IN_CHOICE, {})
    return {"object": "chat.completion", "choices": [choice], "usage": usage}


@pytest.fixture
def answered(server, open_engine, asked):
    """`answered(case)`: the row of an answer in the form of a cell."""
    engine = open_engine()

    def one(case):
        message, finish, _ = case
        server.chat = lambda _: Act(response(message, finish, asked.probe.gold))
        request = Request(asked.probe.id, asked.messages, "generate")
        (reply,) = engine.answer(Unit("d", (request,)))
        return score_reply(asked.probe, reply, asked.messages)

    return one


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell[0]} - {cell[1]}")
def test_a_response_of_this_form_becomes_this_row(cell, answered, asked):
    _, _, says, case = cell
    status, reason, kind = case[2]

    found = answered(case)

    assert (found.status, found.reason, found.error_type) == (status, reason, kind)
    assert status in says or (status, found.output) == ("ok", asked.probe.gold)
    assert found.unread == ("unread" in says)
    assert found.value == (reason == "correct")


@pytest.mark.parametrize(
    "cell",
    [cell for cell in CELLS if "unread" in cell[2] and cell[1] == ENDED],
    ids=lambda cell: cell[0],
)
def test_an_unread_answer_names_what_the_server_sent(cell, answered, asked):
    found = answered(cell[3])

    named = [name for name in ("tool_calls", "function_call", "audio") if f"`{name}`" in cell[0]]
    assert found.error_message.startswith("the server sent ")
    assert all(name in found.error_message for name in named)
    if found.error_type == "ReasoningOnly":
        assert found.error_message.endswith(f"alone: {asked.probe.gold}")
