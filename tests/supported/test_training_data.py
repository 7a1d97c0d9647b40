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
_REFUSED = {
    "a mask between 0 and 1, or above, such as `weight: 0.5`": (
        chat(weight=0.5),
        "messages[1].weight: 0.5 cannot be honoured",
    ),
    "masks that contradict each other": (
        chat(weight=1, train=False),
        "messages[1]: train false, weight 1 contradict each other",
    ),
    "a mask that would train a user message": (
        chat(0, train=True),
        "messages[0].train: only assistant messages are learned",
    ),
    "`train_detail`, `training_detail` (axolotl)": (
        chat(train_detail=[{"begin_offset": 0, "end_offset": 4, "train": False}]),
        "messages[1].train_detail: not supported, parts of an answer cannot be masked",
    ),
    "masks that differ between the parts of a content": (
        chat(content=parts("They stand ", train=False) + parts("inside.", train=True)),
        "messages[1].content: parts that are learned beside parts that are not",
    ),
    "`labels`, `assistant_masks`, `completion_mask` (labels of tokens)": (
        {**GOOD, "assistant_masks": [0, 1]},
        "assistant_masks: not supported, labels of tokens are not read",
    ),
    "`mask_history`, `train_on_inputs`, `train_on_prompt`, unless false": (
        {**GOOD, "mask_history": True},
        "mask_history: cannot be honoured",
    ),
    "`chosen`, `rejected`, `rejected_response`, `label: false` (preferences)": (
        {**GOOD, "rejected_response": "Outside."},
        "rejected_response: not supported, this is data of preferences",
    ),
    "`tools`, `functions`, `tool_calls`, `function_call`": (
        chat(tool_calls=[{"id": "a"}]),
        "messages[1].tool_calls: not supported, calls of tools are not read",
    ),
    "`reasoning_content`, `reasoning`, `thinking`": (
        chat(reasoning_content="Hm."),
        "messages[1].reasoning_content: not supported, thoughts are not read",
    ),
    "`images`, `videos`, `audios`, `objects`, `chat_template_kwargs`": (
        {**GOOD, "images": ["a.png"]},
        "images: not supported, only text is read",
    ),
    "a part of a content that is no text": (
        chat(content=[{"type": "image_url", "image_url": {"url": "a"}}]),
        "messages[1].content[0]: a part of type 'image_url'; only text is read",
    ),
    "a system key and another system message in `messages`": (
        {"system": "Be loud.", "messages": [{"role": "system", "content": SYSTEM}, *CHAT]},
        "system: another text than the system message in messages[0]",
    ),
    "a key twice in one object": (
        b'{"messages": [], "messages": []}',
        "the key 'messages' stands twice in one object",
    ),
    "an id twice": (lines({**GOOD, "id": 7}, {**GOOD, "id": "7"})[:-1], "id: '7' was used in"),
    "broken JSON": (b'{"messages": [', "not valid JSON at column"),
    "other forms: ShareGPT, Alpaca, prompt and completion": (
        {"conversations": [{"from": "human", "value": "Hi"}]},
        "messages: missing; 'conversations' is another form of training data",
    ),
    "roles that do not take turns": ({"messages": [ASK, AGAIN, LAST]}, "messages[1]: user after"),
    "half a surrogate pair in a key or an id": ({**GOOD, "id": "\ud83d"}, "id: holds U+D83D, half"),
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
    *_read("masks that say 1 or true", lines(chat(weight=1, loss=True))),
    *_read(
        "a system key beside `messages`",
        lines({**GOOD, "system": SYSTEM}),
        ("read as the system message", "left out, as every system message"),
        ("system", SYSTEM),
    ),
    *_read(
        "any other key, on conversations, messages or parts",
        lines({**GOOD, "mood": "fair"}, chat(1, {"id": "b"}, name="Li")),
        ("named with its count, in the terminal and in `training.json`", "named with its count"),
        ("ignored", ["messages[].name", "mood"]),
        ("ignored", ["messages[].name", "mood"]),
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
        (row, column, "refused", (content if isinstance(content, bytes) else lines(content), case))
        for row, (content, told) in _REFUSED.items()
        for column in (TRAINING, FILLER)
        for case in [
            ("refused", content.count(b"\n") + 1 if isinstance(content, bytes) else 1, told)
        ]
    ),
]
IDS = [f"{column}-{row}" for row, column, _, _ in CELLS]


@pytest.mark.parametrize("cell", CELLS, ids=IDS)
def test_what_a_file_holds_is_read_masked_counted_or_refused_with_its_line(tmp_path, cell):
    _, column, _, (content, (outcome, *wanted)) = cell
    path = tmp_path / "data.jsonl"
    path.write_bytes(content)

    if outcome == "refused":
        line, told = wanted
        with pytest.raises(DataError) as caught:
            load_own_filler(path, {}, ("en",), 1) if column == FILLER else list(read_records(path))
        assert caught.value.message.startswith(f"{path}:{line}  error  {told}")
    elif column == FILLER:
        screened = load_own_filler(path, {}, ("en",), 1)
        if outcome == "kept":
            assert [screened.banks["en"].exchanges] == wanted
        elif outcome == "left out":
            (refused,) = [one for one in screened.refused if one.reason != "repeated"]
            assert [refused.reason] == wanted
            assert (refused.line, refused.exchange) == (2, 1)
            assert any(f"{path}:2 exchange 1" in text for text in screened.report())
        else:
            assert sorted(screened.ignored) == wanted[0]
            assert "keys that are not read: messages[].name (1), mood (1)" in screened.report()[-1]
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
