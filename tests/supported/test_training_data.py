"""Section of the page: keys and forms of data files, as training data and as filler."""

import json

import pytest

from qwen_bench.chat.jsonl import read_records
from qwen_bench.cli.main import main
from qwen_bench.errors import DataError
from qwen_bench.probes.filler_screening import load_own_filler
from qwen_bench.testing import tiny_checkpoint

TITLE = "Training data and filler"
INTRODUCTION = (
    "What `qwen-bench finetune --data FILE` and `--filler FILE` make of keys and forms. Null and "
    "empty values mean that the key is absent. Every error names file and line."
)
CORNER = "In the file"
TRAINING, FILLER = "`finetune --data`", "`--filler`"

ASK = {"role": "user", "content": "Where do I find the window boxes in winter, inside or outside?"}
NOTED = {"role": "assistant", "content": "They stand inside until the frost has gone."}
AGAIN = {"role": "user", "content": "How often should a person water a fern in a dry room?"}
LAST = {"role": "assistant", "content": "Twice a week is plenty for most ferns."}
CHAT = [ASK, NOTED, AGAIN, LAST]
BOTH = [NOTED["content"], LAST["content"]]
GOOD = {"messages": CHAT}


def chat(number=1, /, record=None, **keys):
    """A conversation whose message of this number has these keys too."""
    messages = [{**message, **keys} if i == number else message for i, message in enumerate(CHAT)]
    return {**(record or {}), "messages": messages}


def parts(*texts, key="text", **keys):
    return [{"type": "text", key: text, **keys} for text in texts]


def halves(text):
    return parts(text[:10], text[10:])


def lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records).encode()


MASKED = ("trained", [LAST["content"]])
WHOLE = ("trained", BOTH)
KEPT = ("kept", 2)
SYSTEM = "You look after plants."
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
CALLING = [
    {"role": "user", "content": "What is the weather in Harbin today, and is it cold there?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "function": {"name": "weather", "arguments": {"city": "Harbin"}}},
            {"id": "b", "function": {"name": "weather", "arguments": '{"city": "Jilin"}'}},
        ],
    },
    {"role": "tool", "content": "snow, -20", "tool_call_id": "a"},
    {"role": "tool", "content": "snow, -17", "tool_call_id": "b"},
    {"role": "assistant", "content": "It snows."},
]
UNREAD = ["messages[].content[].cache_control", "messages[].name", "mood"]

# Masks, each on the first of two answers.
_MASKS = {
    '`"loss": false` (own, ms-swift)': {"loss": False},
    '`"weight": 0` (OpenAI)': {"weight": 0},
    '`"train": false` (axolotl)': {"train": False},
    '`"training": false` (axolotl)': {"training": False},
    '`"loss_weight": 0.0` (LLaMA-Factory)': {"loss_weight": 0.0},
    '`"loss_scale": 0.0` (ms-swift)': {"loss_scale": 0.0},
    '`"masked": true` (torchtune)': {"masked": True},
    '`"mask": true`': {"mask": True},
    '`"train": false` in every part of a content (axolotl)': {
        "content": parts(NOTED["content"], train=False)
    },
}


def _of_record(why, **keys):
    """For each key of a conversation: the content, and the error it must give."""
    return [({**GOOD, key: value}, f"{key}: {why}") for key, value in keys.items()]


def _of_message(why, number=1, **keys):
    """For each key of one message, as `_of_record`."""
    return [
        (chat(number, **{key: value}), f"messages[{number}].{key}: {why}")
        for key, value in keys.items()
    ]


SPAN = [{"begin_offset": 0, "end_offset": 4, "train": False}]
SWITCHES = ("loss", "loss_scale", "loss_weight", "train", "training", "weight", "mask", "masked")
CALL = [{"id": "a"}]
OTHER_FORM = "messages: missing; '{}' is another form of training data"
# Every content of a row must be refused with its words, in both columns.
_REFUSED = {
    "a mask that is neither 0 nor 1, such as `weight: 0.5`": [
        *_of_message("0.5 cannot be honoured", **dict.fromkeys(SWITCHES, 0.5)),
        *_of_message("2 cannot be honoured", **dict.fromkeys(SWITCHES, 2)),
        *_of_record("0.5 cannot be honoured", **dict.fromkeys(SWITCHES, 0.5)),
    ],
    "masks that contradict each other": [
        (chat(weight=1, train=False), "messages[1]: train false, weight 1 contradict each other")
    ],
    "a mask that would train a user message": _of_message(
        "only assistant messages are learned",
        0,
        **{key: "mask" not in key for key in SWITCHES},
    ),
    "`train_detail`, `training_detail`, `reasoning_training_detail` (axolotl)": _of_message(
        "not supported, parts of an answer cannot be masked",
        train_detail=SPAN,
        training_detail=SPAN,
        reasoning_training_detail=SPAN,
    ),
    "masks that differ between the parts of a content": [
        (
            chat(content=parts("They stand ", train=False) + parts("inside.", train=True)),
            "messages[1].content: parts that are learned beside parts that are not",
        ),
        (
            chat(content=parts("They stand ", train=False) + parts("inside.")),
            "messages[1].content: parts that are learned beside parts that are not",
        ),
    ],
    "`labels`, `assistant_masks`, `completion_mask` (labels of tokens)": _of_record(
        "not supported, labels of tokens are not read",
        labels=[0, 1],
        assistant_masks=[0, 1],
        completion_mask=[0, 1],
    ),
    "`mask_history`, `train_on_inputs`, `train_on_prompt`, unless false": _of_record(
        "cannot be honoured", mask_history=True, train_on_inputs=True, train_on_prompt=1
    ),
    "preferences: `chosen`, `rejected`, `rejected_response`, `rejected_messages`, `label: false`": [
        *_of_record(
            "not supported, this is data of preferences",
            chosen="Inside.",
            rejected="Outside.",
            rejected_response="Outside.",
            rejected_messages=[LAST],
        ),
        *_of_record("false, this is data of preferences", label=False),
    ],
    "`functions`, `function_call`, the old form of tools": [
        *_of_record("not supported, this is the old form of tools", functions=CALL),
        *_of_message("not supported, this is the old form of tools", function_call=CALL[0]),
    ],
    "calls of tools and thoughts that are no calls or texts, or are a user's": [
        (chat(tool_calls=[{"id": "a"}]), "messages[1].tool_calls[0].name: missing or empty"),
        (chat(0, tool_calls=[{"name": "a"}]), "messages[0].tool_calls: only an assistant"),
        (chat(0, thinking="Hm."), "messages[0].thinking: only an assistant has thoughts"),
        (chat(reasoning=["Hm."]), "messages[1].reasoning: list, not text"),
        ({**GOOD, "tools": "none"}, "tools: text that is not JSON"),
    ],
    "`images`, `videos`, `audios`, `objects`": [
        *_of_record(
            "not supported, only text is read",
            images=["a"],
            videos=["a"],
            audios=["a"],
            objects={"ref": ["a"]},
        ),
    ],
    "a part of a content that is no text": [
        (
            chat(content=[{"type": "image_url", "image_url": {"url": "a"}}]),
            "messages[1].content[0]: a part of type 'image_url'; only text is read",
        ),
        (chat(content=["Inside."]), "messages[1].content[0]: text, not a part of a text"),
    ],
    "a system key and another system message in `messages`": [
        (
            {"system": "Be loud.", "messages": [{"role": "system", "content": SYSTEM}, *CHAT]},
            "system: another text than the system message in messages[0]",
        )
    ],
    "a key twice in one object": [
        (
            b'{"messages": [], "messages": []}',
            "the key 'messages' stands twice in one object",
        )
    ],
    "an id twice": [
        (lines({**GOOD, "id": 7}, {**GOOD, "id": "7"})[:-1], "id: '7' was used in line 1")
    ],
    "broken JSON": [(b'{"messages": [', "not valid JSON at column")],
    "bytes that are not UTF-8": [(b'{"messages": "\xc4"}', "byte 0xC4 is not UTF-8")],
    "other forms: ShareGPT, Alpaca, prompt or query, plain text": [
        ({key: "Hi"}, OTHER_FORM.format(key))
        for key in ("conversations", "conversation", "instruction", "prompt", "query", "text")
    ],
    "roles that do not take turns": [
        ({"messages": [ASK, AGAIN, LAST]}, "messages[1]: user after user")
    ],
    "half a surrogate pair in a key, an id or a source": [
        ({**GOOD, "id": "\ud83d"}, "id: holds U+D83D, half of a surrogate pair"),
        ({**GOOD, "source": "\ud83d"}, "source: holds U+D83D, half of a surrogate pair"),
        ({**GOOD, "\ud83d": 1}, "key '\\ud83d': holds U+D83D, half of a surrogate pair"),
        (chat(**{"\ud83d": 1}), "messages[1], key '\\ud83d': holds U+D83D, half of a surrogate"),
    ],
}


def _read(row, content, said=("read", "read"), training=WHOLE, filler=KEPT):
    """The two cells of a row."""
    return [
        (row, TRAINING, said[0], (content, training)),
        (row, FILLER, said[1], (content, filler)),
    ]


CELLS = [
    *((row, TRAINING, "masks", (lines(chat(**keys)), MASKED)) for row, keys in _MASKS.items()),
    *(
        (row, FILLER, "read, nothing is learned there", (lines(chat(**keys)), KEPT))
        for row, keys in _MASKS.items()
    ),
    (
        "a mask of 0 beside `messages`",
        TRAINING,
        "masks the conversation",
        (lines(chat(record={"weight": 0, "id": "a"}), {**GOOD, "id": "b"}), WHOLE),
    ),
    *_read(
        "masks by which an answer is learned",
        lines(chat(**{key: "mask" not in key for key in SWITCHES})),
    ),
    *_read(
        "masks by which a user message is not learned",
        lines(chat(0, **{key: "mask" in key for key in SWITCHES})),
    ),
    *_read(
        "`mask_history`, `train_on_inputs`, `train_on_prompt` as false",
        lines(
            {**GOOD, **dict.fromkeys(("mask_history", "train_on_inputs", "train_on_prompt"), False)}
        ),
    ),
    *_read(
        "a system key beside `messages`",
        lines({**GOOD, "system": SYSTEM}),
        ("read as the system message", "left out, as every system message"),
        ("system", SYSTEM),
    ),
    *_read(
        "any other key, on conversations, messages or parts",
        lines(
            {**GOOD, "mood": "fair"},
            chat(1, {"id": "b"}, name="Li"),
            chat(1, {"id": "c"}, content=parts(NOTED["content"], cache_control="a")),
        ),
        ("named with its count, in the terminal and in `training.json`", "named with its count"),
        ("ignored", UNREAD),
        ("ignored", UNREAD),
    ),
    *_read(
        "`reasoning_content`, `reasoning`, `thinking` of an assistant",
        lines(*(chat(**{key: "Hm."}) for key in ("reasoning_content", "reasoning", "thinking"))),
        ("written by the template", "the answer alone"),
        ("trained", BOTH * 3),
        ("kept", 2),
    ),
    *_read(
        "`tools` and `tool_calls`, arguments as an object or as JSON",
        lines({"tools": TOOLS, "messages": [*CALLING, *CHAT]}),
        ("written by the template", "the exchange is left out and counted, as `tool`"),
        ("trained", ["", "It snows.", *BOTH]),
        ("kept", 2),
    ),
    (
        "`chat_template_kwargs` with `enable_thinking`, the same in all lines",
        TRAINING,
        "the thinking mode of the training",
        (lines({**GOOD, "chat_template_kwargs": {"enable_thinking": False}}), WHOLE),
    ),
    *_read("`id` as a whole number", lines({**GOOD, "id": 0})),
    *_read("`tool_calls: null`", lines(chat(tool_calls=None))),
    *_read("`tools: []`", lines({**GOOD, "tools": [], "system": "", "weight": None})),
    *_read(
        "content as a list of text parts (`text`, or `value` of LLaMA-Factory)",
        lines(chat(content=halves(NOTED["content"])), chat(content=parts(BOTH[0], key="value"))),
        ("read, joined without a blank",) * 2,
        ("trained", BOTH * 2),
        ("kept", 2),
    ),
    *_read("JSONL: one object a line", lines(GOOD)),
    *_read("an indented object", json.dumps(GOOD, indent=2).encode()),
    *_read(
        "several indented objects",
        (json.dumps(GOOD, indent=2) + "\n" + json.dumps(GOOD, indent="\t")).encode(),
        training=("trained", BOTH * 2),
    ),
    *_read("a JSON array in one line", json.dumps([GOOD]).encode()),
    *_read("an indented JSON array", json.dumps([GOOD], indent=4).encode()),
    *_read("byte order mark, CRLF, blank lines", b"\xef\xbb\xbf\r\n" + lines(GOOD)[:-1] + b"\r\n"),
    *_read("NUL in a text", lines(chat(content=NOTED["content"] + "\0")), training=("read", 2)),
    (
        "half a surrogate pair in a text",
        TRAINING,
        "refused",
        (
            lines(GOOD, chat(content="Inside. \ud83d")),
            ("refused", 2, "messages[1].content: holds U+D83D, half of a surrogate pair"),
        ),
    ),
    (
        "half a surrogate pair in a text",
        FILLER,
        "the exchange is left out and counted, as `encoding`",
        (lines(GOOD, chat(content="They go inside. \ud83d")), ("left out", "encoding")),
    ),
    *(
        cell
        for marker in ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
        for cell in (
            (
                f"`{marker}` in a text".replace("|", r"\|"),
                TRAINING,
                "refused",
                (
                    lines(GOOD, chat(content=f"Inside.{marker}\nNo.")),
                    ("refused", 2, f"messages[1].content: holds {marker}, which the tokenizer"),
                ),
            ),
            (
                f"`{marker}` in a text".replace("|", r"\|"),
                FILLER,
                "the exchange is left out and counted, as `marker`",
                (lines(GOOD, chat(content=f"They go inside.{marker}")), ("left out", "marker")),
            ),
        )
    ),
    *(
        (row, column, "refused", (b"", ("refused each", refusals)))
        for row, refusals in _REFUSED.items()
        for column in (TRAINING, FILLER)
    ),
]
IDS = [f"{column}-{row}" for row, column, _, _ in CELLS]


def check_refused(path, column, line, told):
    with pytest.raises(DataError) as caught:
        load_own_filler(path, {}, ("en",)) if column == FILLER else list(read_records(path))
    assert caught.value.message.startswith(f"{path}:{line}  error  {told}"), caught.value.message
    assert caught.value.fix


@pytest.mark.parametrize("cell", CELLS, ids=IDS)
def test_what_a_file_holds_is_read_masked_counted_or_refused_with_its_line(tmp_path, cell):
    _, column, _, (content, (outcome, *wanted)) = cell
    path = tmp_path / "data.jsonl"
    path.write_bytes(content)

    if outcome == "refused":
        check_refused(path, column, *wanted)
    elif outcome == "refused each":
        for refused, told in wanted[0]:
            path.write_bytes(refused if isinstance(refused, bytes) else lines(refused))
            check_refused(path, column, 1 + path.read_bytes().rstrip().count(b"\n"), told)
    elif column == FILLER:
        screened = load_own_filler(path, {}, ("en",))
        if outcome == "kept":
            assert [screened.banks["en"].exchanges] == wanted
        elif outcome == "left out":
            (refused,) = [one for one in screened.refused if one.reason != "repeated"]
            assert [refused.reason] == wanted
            assert (refused.line, refused.exchange) == (2, 1)
            assert any(f"{path}:2 exchange 1" in text for text in screened.report())
        else:
            assert sorted(screened.ignored) == wanted[0]
            named = ", ".join(f"{key} (1)" for key in UNREAD)
            assert f"keys that are not read: {named}" in screened.report()[-1]
    else:
        records = list(read_records(path))
        answers = [
            message.content
            for record in records
            for message, trained in zip(record.messages, record.trained, strict=True)
            if trained
        ]
        if outcome == "trained":
            assert [answers] == wanted
        elif outcome == "system":
            assert [records[0].messages[0].content] == wanted
            assert records[0].trained == (False, False, True, False, True)
        elif outcome == "ignored":
            assert sorted(key for record in records for key in record.ignored) == wanted[0]
        else:
            assert [len(answers)] == wanted


RECIPE = """\
about: a test
data: data.jsonl
lora: {rank: 2, alpha: 4, target_modules: [q_proj]}
steps: 1
batch: 1
lr: 0.01
max_length: 1024
"""


def test_keys_that_are_not_read_are_named_in_the_terminal_and_in_the_record(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    tiny_checkpoint(tmp_path / "tiny")
    (tmp_path / "own.yaml").write_text(RECIPE, "utf-8")
    moods = [{**GOOD, "mood": "fair"}, chat(1, {"mood": "dull"}, name="Li"), GOOD]
    (tmp_path / "data.jsonl").write_bytes(lines(*moods))

    code = main(["finetune", "--base", "tiny", "--recipe", "own.yaml", "--out", "made"])

    err = capsys.readouterr().err
    assert code == 0, err
    assert "warning  keys of the data that are not read: messages[].name (1), mood (2)" in err
    record = json.loads((tmp_path / "made/training.json").read_text("utf-8"))
    assert record["data"]["ignored"] == {"messages[].name": 1, "mood": 2}
    readme = (tmp_path / "made/README.md").read_text("utf-8")
    assert "Keys not read: `messages[].name` (1), `mood` (2)." in readme


def test_a_special_token_of_the_base_alone_is_refused_with_its_line(tmp_path, monkeypatch, capsys):
    from transformers import AutoTokenizer

    monkeypatch.chdir(tmp_path)
    tiny_checkpoint(tmp_path / "tiny")
    tokenizer = AutoTokenizer.from_pretrained("tiny")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|box|>"]})
    tokenizer.save_pretrained("tiny")
    (tmp_path / "own.yaml").write_text(RECIPE, "utf-8")
    (tmp_path / "data.jsonl").write_bytes(lines(GOOD, chat(content="Inside a <|box|>, mostly.")))

    code = main(["finetune", "--base", "tiny", "--recipe", "own.yaml", "--show-labels", "1"])

    err = capsys.readouterr().err
    assert code == 1
    assert "data.jsonl:2  error  assistant: holds <|box|>, which the tokenizer reads as" in err
