"""`data generate` writes conversations of the train split, also among a user's own."""

import json

import pytest

from qwen_bench.chat.jsonl import read_records
from qwen_bench.cli.main import main
from qwen_bench.data.validation import validate

OWN = [
    {"messages": [{"role": "user", "content": f"Hi {i}."}, {"role": "assistant", "content": "Yo."}]}
    for i in range(5)
]


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = main(["data", "generate", *(str(word) for word in words)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call


def test_what_is_asked_for_is_made_the_same_at_every_call_and_passes_validation(call, tmp_path):
    words = ("--n", "6", "--lang", "en,zh", "--lengths", "2-4", "--level", "1,2")

    code, out, _ = call("-o", "a.jsonl", *words, "--family", "fact_*")
    call("-o", "b.jsonl", *words, "--family", "fact_*")

    assert (code, out) == (0, "6 made: a.jsonl\n")
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    found = []
    seen = validate(tmp_path / "a.jsonl", found.append)
    assert found == []
    assert seen.counts.languages == {"en": 4, "zh": 2}
    for record in read_records(tmp_path / "a.jsonl"):
        history = sum(m.role == "user" for m in record.messages) - sum(record.trained)
        assert 2 <= history <= 4


def test_own_conversations_are_all_there_in_their_order_with_all_of_their_keys(call, tmp_path):
    own = [{**record, "id": f"own-{i}", "mood": "fair"} for i, record in enumerate(OWN)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(record) + "\n" for record in own))

    code, out, _ = call("-o", "a.jsonl", "--n", "6", "--lengths", "1-2", "--mix", "own.jsonl")

    lines = [json.loads(text) for text in (tmp_path / "a.jsonl").read_text("utf-8").splitlines()]
    mine = [number for number, line in enumerate(lines) if "mood" in line]
    assert (code, out) == (0, "6 made, 5 from own.jsonl: a.jsonl\n")
    assert [lines[number] for number in mine] == own
    assert len(lines) == 11
    assert mine not in ([*range(5)], [*range(6, 11)])


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--family", "fact_recal"), 2, "no family matches 'fact_recal'; near: fact_recall"),
        (("--lang", "fr"), 2, "no such language 'fr'; there are en, zh"),
        (("--lengths", "3-x"), 2, "'3-x' is not a span of turns such as 1-10"),
        (("--lengths", "5-99"), 2, "lengths 5 to 99 are not within 1 to 64 turns"),
        (("--level", "6"), 2, "6"),
        (("--n", "0"), 2, "0 is too small, must be 1 or more"),
        (("--mix", "none.jsonl"), 2, "cannot read the data file none.jsonl"),
        (("--mix", "bad.jsonl"), 1, "bad.jsonl:2  error  messages: missing"),
        (("--mix", "a.jsonl"), 2, "-o a.jsonl is the file that is read"),
    ],
)
def test_what_cannot_be_made_or_mixed_is_told_and_nothing_is_written(
    call, tmp_path, words, code, told
):
    (tmp_path / "bad.jsonl").write_text(json.dumps(OWN[0]) + "\n{}\n")
    if "a.jsonl" in words:
        (tmp_path / "a.jsonl").write_text(json.dumps(OWN[0]))
    before = sorted(path.name for path in tmp_path.iterdir())

    ended, _, err = call("-o", "a.jsonl", "--n", "2", *words)

    assert ended == code
    assert told in err
    assert sorted(path.name for path in tmp_path.iterdir()) == before
