"""`data validate` names what is wrong with a file, with its line, and mends what is safe."""

import json
import resource
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from qwen_bench.chat.json_objects import LONGEST
from qwen_bench.cli.main import main
from qwen_bench.data.findings import KINDS
from qwen_bench.data.validation import validate

USER = {"role": "user", "content": "My bus is line 9."}
REPLY = {"role": "assistant", "content": "Line 9, noted."}
AGAIN = {"role": "user", "content": "Which bus is mine?"}
LAST = {"role": "assistant", "content": "Line 9."}
CHAT = [USER, REPLY, AGAIN, LAST]


def line(*messages, **keys):
    return json.dumps({"messages": list(messages), **keys}).encode()


def chat(number=1, /, **keys):
    """The conversation whose message of this number has these keys too."""
    return line(*({**m, **keys} if i == number else m for i, m in enumerate(CHAT)))


def first(content):
    return {**USER, "content": content}


CALL = {"name": "weather", "arguments": {}}
HALF = "half of a surrogate pair"
# Every content stands in line 3, behind a good conversation and a blank line: kind, level, text.
IN_LINE_3 = {
    "no value": (b'{"messages": [}', "json", "error", "not valid JSON at column 15"),
    "no comma": (b'{"id": "a" "messages": []}', "json", "error", "not valid JSON at column 12"),
    "cut off": (line(*CHAT)[:-40], "json", "error", "not valid JSON at column"),
    "cut off in a key": (b'{"messa', "json", "error", "not valid JSON at column 2"),
    "single quotes": (b"{'messages': []}", "json", "error", "not valid JSON at column 2"),
    "two objects in a line": (line(*CHAT) * 2, "json", "error", "not valid JSON at column"),
    "array in a line": (b"[1]", "json", "error", "this is a JSON array, not one object a line"),
    "number": (b"7", "json", "error", "number, not a JSON object"),
    "text": (b'"hello"', "json", "error", "text, not a JSON object"),
    "null": (b"null", "json", "error", "null, not a JSON object"),
    "plain words": (b"hello there", "json", "error", "not valid JSON at column 1"),
    "key twice": (b'{"id": "a", "id": "b"}', "json", "error", "the key 'id' stands twice"),
    "too deep": (b'{"a":' * 100_000, "json", "error", "not valid JSON: nested too deeply"),
    "latin-1": (b'{"messages": "\xc4"}', "encoding", "error", "byte 0xC4 is not UTF-8"),
    "utf-16": ("é{}".encode("utf-16"), "encoding", "error", "byte 0xFF is not UTF-8"),
    "half a character": (chat(content="a\ud83d"), "encoding", "error", "messages[1].content: h"),
    "half in an id": (line(*CHAT, id="\ud83d"), "encoding", "error", "id: holds U+D83D"),
    "half in a key": (chat(**{"\ud83d": 1}), "encoding", "error", "messages[1], key '\\ud83d'"),
    "half in a thought": (
        chat(reasoning_content="\ud83d"),
        "encoding",
        "error",
        "messages[1].reasoning_content: holds",
    ),
    "no messages": (b'{"id": "a"}', "messages", "error", "messages: missing"),
    "messages null": (b'{"messages": null}', "messages", "error", "messages: missing"),
    "messages empty": (line(), "messages", "error", "messages: empty"),
    "messages object": (b'{"messages": {}}', "messages", "error", "messages: object, not a list"),
    "message text": (line("hello"), "messages", "error", "messages[0]: text, not an object"),
    "sharegpt": (b'{"conversations": []}', "messages", "error", "messages: missing"),
    "alpaca": (
        b'{"instruction": "Hi", "output": "Hello"}',
        "messages",
        "error",
        "messages: missing; 'instruction' is another form of training data",
    ),
    "role bot": (
        line(USER, REPLY, {"role": "bot", "content": "x"}),
        "role",
        "error",
        "messages[2].role: 'bot' is not system, user, assistant or tool (near:",
    ),
    "role missing": (line(USER, {"content": "x"}), "role", "error", "messages[1].role: missing"),
    "role number": (
        line(USER, {"role": 1, "content": "x"}),
        "role",
        "error",
        "messages[1].role: 1",
    ),
    "role capital": (chat(role="Assistant"), "role", "error", "messages[1].role: 'Assistant' is"),
    "role human": (chat(0, role="human"), "role", "error", "messages[0].role: 'human' is not"),
    "content null": (chat(content=None), "content", "error", "messages[1].content: null, not text"),
    "content missing": (
        line(USER, {"role": "assistant"}),
        "content",
        "error",
        "messages[1].content",
    ),
    "content number": (
        chat(content=7),
        "content",
        "error",
        "messages[1].content: number, not text",
    ),
    "content blank": (chat(2, content=" \n"), "content", "error", "messages[2].content: blank"),
    "content empty": (chat(content=""), "content", "error", "messages[1].content: blank"),
    "content picture": (
        chat(0, content=[{"type": "image_url"}]),
        "content",
        "error",
        "messages[0].content[0]: a part of type 'image_url'; only text is read",
    ),
    "content part": (chat(content=["x"]), "content", "error", "messages[1].content[0]: text, not"),
    "part without text": (
        chat(content=[{"type": "text"}]),
        "content",
        "error",
        "messages[1].content[0].text: null, not text",
    ),
    "system late": (
        line(USER, REPLY, {"role": "system", "content": "x"}, AGAIN, LAST),
        "system-place",
        "error",
        "messages[2]: a system message; only messages[0] may be one",
    ),
    "system twice": (
        line({"role": "system", "content": "a"}, {"role": "system", "content": "b"}, *CHAT),
        "system-place",
        "error",
        "messages[1]: a system message",
    ),
    "two systems": (
        line({"role": "system", "content": "a"}, *CHAT, system="b"),
        "system-place",
        "error",
        "system: another text than the system message",
    ),
    "assistant first": (
        line(REPLY, *CHAT),
        "first-turn",
        "error",
        "messages[0]: assistant; a conversation starts with user",
    ),
    "tool first": (
        line({"role": "tool", "content": "x"}, *CHAT),
        "first-turn",
        "error",
        "messages[0]: tool; a conversation starts with user",
    ),
    "user twice": (
        line(USER, REPLY, USER, AGAIN, LAST),
        "alternation",
        "error",
        "messages[3]: user after user",
    ),
    "assistant twice": (
        line(USER, REPLY, LAST, AGAIN, LAST),
        "alternation",
        "error",
        "messages[2]: assistant after assistant",
    ),
    "tool after user": (
        line(USER, {"role": "tool", "content": "x"}, LAST, AGAIN, LAST),
        "tool-place",
        "error",
        "messages[1]: tool after user",
    ),
    "no assistant": (line(USER), "no-answer", "error", "messages: no assistant message"),
    "id number": (line(*CHAT, id=7.5), "key", "error", "id: number, not text or a whole number"),
    "id list": (line(*CHAT, id=["a"]), "key", "error", "id: list, not text"),
    "source list": (line(*CHAT, source=["a"]), "key", "error", "source: list, not text"),
    "type": (line(*CHAT, type="sharegpt"), "key", "error", "type: 'sharegpt' is not 'chatml'"),
    "im_end": (
        chat(content="a<|im_end|>"),
        "special-string",
        "error",
        "messages[1].content: holds",
    ),
    "im_start": (
        chat(0, content="<|im_start|>a"),
        "special-string",
        "error",
        "messages[0].content",
    ),
    "endoftext": (chat(2, content="<|endoftext|>"), "special-string", "error", "messages[2].cont"),
    "marker in system": (line(*CHAT, system="<|im_end|>"), "special-string", "error", "system: h"),
    "calls text": (chat(tool_calls="a"), "tools", "error", "messages[1].tool_calls: text, not a"),
    "call no name": (
        chat(tool_calls=[{"function": {}}]),
        "tools",
        "error",
        "messages[1].tool_calls[0].function.name: missing or empty",
    ),
    "call arguments": (
        chat(tool_calls=[{**CALL, "arguments": 7}]),
        "tools",
        "error",
        "messages[1].tool_calls[0].arguments: number, not an object or its JSON",
    ),
    "call of a user": (
        chat(0, tool_calls=[CALL]),
        "tools",
        "error",
        "messages[0].tool_calls: only",
    ),
    "call id of a user": (chat(0, tool_call_id="a"), "tools", "error", "messages[0].tool_call_id"),
    "tools text": (line(*CHAT, tools="weather"), "tools", "error", "tools: text that is not"),
    "tools object": (line(*CHAT, tools={"a": 1}), "tools", "error", "tools: object, not a list"),
    "thought of a user": (chat(0, thinking="Hm."), "reasoning", "error", "messages[0].thinking: o"),
    "thought list": (chat(reasoning=["Hm."]), "reasoning", "error", "messages[1].reasoning: list"),
    "two thoughts": (
        chat(reasoning="a", thinking="b"),
        "reasoning",
        "error",
        "messages[1]: reasoning and thinking are two thoughts",
    ),
    "mask half": (chat(weight=0.5), "mask", "error", "messages[1].weight: 0.5 cannot be honoured"),
    "mask text": (chat(loss="no"), "mask", "error", 'messages[1].loss: "no" cannot be honoured'),
    "masks differ": (chat(weight=1, train=False), "mask", "error", "messages[1]: train false"),
    "mask of a user": (chat(0, loss=True), "mask", "error", "messages[0].loss: only assistant"),
    "mask of a record": (line(*CHAT, weight=2), "mask", "error", "weight: 2 cannot be honoured"),
    "flags list": (
        line(*CHAT, chat_template_kwargs=["a"]),
        "template-flags",
        "error",
        "chat_template_kwargs: list, not an object",
    ),
    "flags number": (
        line(*CHAT, chat_template_kwargs={"a": 1}),
        "template-flags",
        "error",
        "chat_template_kwargs.a: number, not a boolean or text",
    ),
    "flags differ": (
        line(USER, LAST, AGAIN, LAST, chat_template_kwargs={"enable_thinking": True}),
        "template-flags",
        "error",
        "chat_template_kwargs: another one than in line 1",
    ),
    "images": (line(*CHAT, images=["a"]), "unsupported", "error", "images: not supported, only"),
    "rejected": (line(*CHAT, rejected="a"), "unsupported", "error", "rejected: not supported, th"),
    "labels": (line(*CHAT, labels=[1]), "unsupported", "error", "labels: not supported, labels"),
    "old calls": (chat(function_call=CALL), "unsupported", "error", "messages[1].function_call: n"),
    "mask_history": (line(*CHAT, mask_history=True), "unsupported", "error", "mask_history: cann"),
    "unanswered": (
        line(*CHAT, USER),
        "unanswered",
        "warning",
        "conversation ends with a user turn: nothing to train on",
    ),
    "tool unanswered": (
        line(*CHAT, {"role": "tool", "content": "x"}),
        "unanswered",
        "warning",
        "conversation ends with a tool's result",
    ),
    "newline": (chat(2, content="\nWhich?"), "edge-space", "warning", "messages[2].content: begin"),
    "blank at end": (chat(content="Noted. "), "edge-space", "warning", "messages[1].content: ends"),
    "system edge": (line(*CHAT, system=" Be brief."), "edge-space", "warning", "system: begins"),
    "think": (
        chat(content="<think>Hm.</think>Noted."),
        "think-in-history",
        "warning",
        "messages[1].content: has a think block; Qwen3 to 3.6 drop it from history",
    ),
    "think closed": (
        chat(content="Hm.</think>Noted."),
        "think-in-history",
        "warning",
        "messages[1]",
    ),
    "duplicate": (line(*CHAT, id="b"), "duplicate", "warning", "same conversation as line 1"),
    "indented": (
        json.dumps({"messages": [USER, LAST, AGAIN, LAST]}, indent=1).encode(),
        "indented",
        "warning",
        "an object over",
    ),
    "duplicate id": (
        line(USER, LAST, AGAIN, LAST, id="first"),
        "duplicate-id",
        "error",
        "id: 'first' was used in line 1",
    ),
    "duplicate id of a bad line": (line(USER, id="first"), "duplicate-id", "error", "id: 'first'"),
}


BOT = "'bot' is not system, user, assistant or tool (near: assistant)"


def findings(path):
    found = []
    seen = validate(path, found.append)
    return seen, found


@pytest.mark.parametrize(("content", "kind", "level", "text"), IN_LINE_3.values(), ids=IN_LINE_3)
def test_a_defect_is_named_with_its_line_and_the_lines_around_it_are_read(
    tmp_path, content, kind, level, text
):
    path = tmp_path / "data.jsonl"
    good = line(*CHAT, id="first"), line(USER, REPLY, AGAIN, REPLY)
    path.write_bytes(good[0] + b"\n\n" + content + b"\n" + good[1] + b"\n")

    seen, found = findings(path)

    (wanted,) = [one for one in found if one.kind == kind]
    assert (wanted.line, wanted.level) == (3, level)
    assert wanted.text.startswith(text)
    assert str(wanted) == f"{path}:3  {level:<7}  {wanted.text}"
    assert wanted.fix or level == "warning"
    assert {one.line for one in found if one.level == "error"} <= {3}
    assert seen.records == 3
    assert seen.counts.conversations >= 2
    assert kind in KINDS


WHOLE = {
    "empty": (b"", "empty", None, "no records"),
    "blank": (b"\n \r\n", "empty", None, "no records"),
    "array": (b"[" + line(*CHAT) + b"]", "array-file", 1, "this is a JSON array, not one object"),
    "indented array": (
        json.dumps([{"messages": CHAT}], indent=1).encode(),
        "array-file",
        1,
        "this is a JSON array, not one object a line; run: qwen-bench data convert",
    ),
    "broken array": (b"[" + line(*CHAT) + b",]", "json", 1, "not valid JSON at column"),
    "one turn": (
        line(USER, REPLY) + b"\n" + line(AGAIN, LAST),
        "one-turn",
        None,
        "all 2 conversations have one turn; training on them does not practise memory",
    ),
    "unknown keys": (
        line(*CHAT, mood="odd") + b"\n" + chat(3, name="Li"),
        "unknown-key",
        None,
        "keys that are not read: messages[].name (1), mood (1)",
    ),
    "byte order mark": (b"\xef\xbb\xbf" + line(*CHAT), "mark", 1, "a byte order mark, accepted"),
    "CRLF": (line(*CHAT) + b"\r\n", "line-ends", 1, "ends with CR LF, accepted"),
    "blank line": (line(*CHAT) + b"\n\n", "blank-line", 2, "a blank line, accepted"),
    "a line of 50 MB": (b'{"a": "' + b"x" * (50 << 20), "too-long", 1, "a line of more than 32 MB"),
}


@pytest.mark.parametrize(("content", "kind", "where", "text"), WHOLE.values(), ids=WHOLE)
def test_a_defect_of_a_file_is_named(tmp_path, content, kind, where, text):
    path = tmp_path / "data.jsonl"
    path.write_bytes(content)

    _, found = findings(path)

    (wanted,) = [one for one in found if one.kind == kind]
    assert wanted.line == where
    assert wanted.text.startswith(text)


def test_every_kind_of_finding_has_a_file_that_shows_it():
    shown = {kind for _, kind, *_ in (*IN_LINE_3.values(), *WHOLE.values())}

    # The two of a model are shown with one.
    assert shown == KINDS.keys() - {"template", "length"}
    assert len(IN_LINE_3) + len(WHOLE) >= 60


def test_several_defects_of_one_line_and_of_lines_in_a_row_are_all_named(tmp_path):
    path = tmp_path / "data.jsonl"
    broken = line(USER, {"role": "bot", "content": "x"}, {"role": "user", "content": None}, id=[1])
    path.write_bytes(b'{"messages": [{"role": "us\n' + b'{"messages": [\n' + broken + b"\n7\n")

    _, found = findings(path)

    assert [(one.line, one.kind) for one in found] == [
        (1, "json"),
        (2, "json"),
        (3, "role"),
        (3, "content"),
        (3, "key"),
        (4, "json"),
    ]


def test_lines_behind_one_that_is_too_long_are_read(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_bytes(b'{"a": "' + b"x" * (LONGEST + 10) + b'"}\n' + line(USER) + b"\n")

    _, found = findings(path)

    assert [(one.line, one.kind) for one in found] == [(1, "too-long"), (2, "no-answer")]


def test_a_large_valid_file_takes_no_more_memory_than_a_small_one(tmp_path):
    path = tmp_path / "data.jsonl"
    peaks = []
    for count in (200, 1700):
        path.write_bytes(
            b"".join(line(first(f"{i}"), *CHAT[1:], id=i) + b"\n" for i in range(count))
        )
        tracemalloc.start()
        seen, found = findings(path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert seen.counts.conversations == count
        assert found == []

    # Two hashes with their lines for each conversation, and nothing else of it.
    assert (peaks[1] - peaks[0]) / 1500 < 400


MEASURED = """
import re, sys, time
from pathlib import Path
from qwen_bench.cli.main import main
code = main(["data", "validate", sys.argv[1]])
kilobytes = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
print(code, time.process_time(), int(kilobytes) >> 10)
"""


@pytest.mark.slow
def test_a_hundred_thousand_lines_take_under_twenty_seconds_of_one_core_and_100_mb(tmp_path):
    path = tmp_path / "data.jsonl"
    with path.open("wb") as stream:
        for i in range(100_000):
            said = first(f"{i} " + "My bus is line 9, please note it. " * 10)
            stream.write(line(said, {**REPLY, "content": "Noted. " * 40 + "."}, *CHAT[2:]) + b"\n")

    words = [sys.executable, "-c", MEASURED, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)

    code, seconds, megabytes = done.stdout.splitlines()[-1].split()
    assert "100,000 records" in done.stdout
    assert code == "0"
    assert float(seconds) < 20
    assert int(megabytes) < 100


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call


def test_the_command_prints_findings_and_a_summary_and_exits_with_one(call, tmp_path):
    content = [chat(role="bot"), line(*CHAT, USER, source="own"), line(*CHAT, source="own")]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(content))

    code, out, err = call("data", "validate", "a.jsonl")

    assert code == 1
    assert out.splitlines() == [
        f"a.jsonl:1  error    messages[1].role: {BOT}",
        "a.jsonl:2  warning  conversation ends with a user turn: nothing to train on",
        "conversations  2",
        "user turns     1 0 · 2-3 2 · 4-7 0 · 8+ 0",
        "languages      en 2",
        "sources        own 2",
        "characters     129",
        "trained        4 of 4 answers",
        "findings       role 1 · unanswered 1",
        "2 problems in 3 records: 1 error, 1 warning",
    ]
    assert err == "exit 1: see the errors above\n"


def test_warnings_end_with_one_only_when_strict(call, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(line(*CHAT, mood="odd"))

    assert call("data", "validate", "a.jsonl")[0] == 0
    assert call("data", "validate", "a.jsonl", "--strict")[0] == 1


def test_twenty_findings_are_printed_and_json_has_them_all(call, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([b"7"] * 15 + [line(USER)] * 15))

    code, out, err = call("data", "validate", "a.jsonl", "--json", "-")

    document = json.loads(out)
    assert code == 1
    assert "... and 10 more (1 kind)" in err
    assert len(document["findings"]) == 30
    assert document["findings"][20] == {
        "file": "a.jsonl",
        "line": 21,
        "level": "error",
        "kind": "no-answer",
        "path": "messages",
        "message": "messages: no assistant message, nothing to train on",
        "fix": ["mend or delete this line: user and assistant take turns, no message is empty"],
    }
    assert document["files"][0]["kinds"] == {"json": 15, "no-answer": 15}


MENDABLE = (
    b"\xef\xbb\xbf" + line(*CHAT, id="a") + b"\r\n",
    b"\n",
    line(*CHAT, id="b") + b"\n",
    b'{"messages": "bad"}\n',
    line(*CHAT, {"role": "user", "content": "Und é?"}, id="c").replace(b"\\u00e9", "é".encode()),
)


def test_a_mended_copy_changes_only_what_is_safe_and_lists_it(call, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"".join(MENDABLE))

    code, _, err = call("data", "validate", "a.jsonl", "--fix", "b.jsonl")

    assert code == 1
    assert (tmp_path / "b.jsonl").read_bytes() == (
        line(*CHAT, id="a") + b"\n" + b'{"messages": "bad"}\n'
    )
    assert err.splitlines()[:-1] == [
        "mended  b.jsonl",
        "  byte order mark removed: line 1",
        "  CR LF made LF: line 1",
        "  blank lines removed: line 2",
        "  copies of earlier lines removed: 2 lines (3, 5)",
        "  lines with errors are copied as they are",
    ]


def test_an_unanswered_message_is_left_out_and_a_mended_file_needs_no_mending(call, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(line(*CHAT, USER, id="a") + b"\n" + line(*CHAT, mood=1))

    code, _, err = call("data", "validate", "a.jsonl", "--fix", "b.jsonl")
    again, _, err_again = call("data", "validate", "b.jsonl", "--fix", "c.jsonl")

    assert (code, again) == (0, 0)
    assert "last user message without an answer removed: line 1" in err
    records = [json.loads(text) for text in (tmp_path / "b.jsonl").read_text().splitlines()]
    assert records == [{"messages": CHAT, "id": "a"}, {"messages": CHAT, "mood": 1}]
    assert "nothing had to be changed" in err_again
    assert (tmp_path / "c.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("none.jsonl",), "error: cannot read none.jsonl"),
        (("a.jsonl", "--fix", "a.jsonl"), "error: --fix a.jsonl is the file that is read"),
        (("a.jsonl", "--fix", "b.jsonl"), "error: --fix b.jsonl is there already"),
        (("a.jsonl", "--fix", "no/b.jsonl"), "error: --fix no/b.jsonl: there is no folder no"),
        (("a.jsonl", "b.jsonl", "--fix", "c.jsonl"), "error: --fix writes one corrected copy"),
        (("a.jsonl", "--max-length", "99"), "error: --max-length needs --model"),
        (("a.jsonl", "--strcit"), "error: no such option --strcit; near: --strict"),
    ],
)
def test_a_mistake_in_the_command_is_told_in_one_line(call, tmp_path, words, told):
    (tmp_path / "a.jsonl").write_bytes(line(*CHAT))
    (tmp_path / "b.jsonl").write_bytes(line(*CHAT))

    code, _, err = call("data", "validate", *words)

    assert code == 2
    assert err.startswith(told)


def test_a_copy_that_does_not_fit_on_the_disk_is_told_and_leaves_nothing(call, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(
        b"\n".join(line(first("x" * 3000 + str(i)), *CHAT[1:]) for i in range(30)) + b"\r\n"
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        code, _, err = call("data", "validate", "a.jsonl", "--fix", "b.jsonl")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert code == 1
    assert "error: cannot write b.jsonl: file too large" in err
    assert sorted(path.name for path in Path().iterdir()) == ["a.jsonl"]
