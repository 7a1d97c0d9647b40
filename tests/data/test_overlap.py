"""`data overlap` finds texts of a suite in training data, and none in data of the train split."""

import json

import pytest

from qwen_bench.cli.main import main
from qwen_bench.data.overlap import overlap
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite

SMALL = ("--suite", "demo", "--limit", "1", "--lengths", "1,4")


def chat(*texts):
    roles = ("user", "assistant") * len(texts)
    said = [{"role": r, "content": t} for r, t in zip(roles, texts, strict=False)]
    return json.dumps({"messages": said}) + "\n"


CLEAN = chat("Which plants like a dry balcony in full sun all summer?", "Lavender does well there.")


@pytest.fixture(scope="module")
def suite():
    return build_suite("quick", Selection(limit=1, lengths=(1, 4)))


@pytest.fixture(scope="module")
def english(suite):
    return next(d for d in suite.dialogues() if d.lang == "en")


@pytest.fixture(scope="module")
def chinese(suite):
    return next(d for d in suite.dialogues() if d.lang == "zh")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "train.jsonl"


def evidence(dialogue):
    """A probe with the turn that tells its answer."""
    probe = next(a.probe for a in dialogue.probes if a.probe.condition == "main" and a.probe.needs)
    return probe, dialogue.turns[probe.needs[0] - 1]


def test_data_of_other_things_is_clean(file, suite):
    file.write_text(CLEAN)

    done = overlap(file, suite)

    assert done.found == []
    assert done.share == 0
    assert done.verdict.startswith("clean: ")
    assert min(done.texts.values()) > 50


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_evidence_inside_a_longer_message_is_found_with_its_line_and_its_probe(
    file, suite, english, chinese, lang
):
    probe, turn = evidence({"en": english, "zh": chinese}[lang])
    said = f"Hello, and this first: {turn.user.upper()}!" if lang == "en" else f"你好：{turn.user}"
    file.write_text(CLEAN + chat(said, "Good to know."))

    done = overlap(file, suite)

    assert {one.line for one in done.found} == {2}
    assert ("evidence", turn.user) in {(one.part, one.text) for one in done.found}
    assert done.touched[probe.family] >= 1
    assert done.verdict.startswith("leaked")


def test_a_text_shorter_than_a_run_is_found_only_as_a_whole_message(file, suite, english):
    text = english.turns[0].assistant
    file.write_text(chat("Well?", f"{text} Do tell me more of it."))
    inside = overlap(file, suite, words=500)
    file.write_text(chat("Well?", text))

    whole = overlap(file, suite, words=500)

    assert [one.text for one in whole.found] == [text]
    assert inside.found == []


def test_turns_that_are_not_asked_about_are_shared_but_leak_nothing(file, suite, english):
    own = {turn for a in english.probes for turn in a.probe.needs}
    other = next(t for n, t in enumerate(english.turns, 1) if n not in own and t.group is None)
    file.write_text(chat(other.user, "I do not know."))

    done = overlap(file, suite)

    assert {one.part for one in done.found} == {"other turns"}
    assert done.share == 0
    assert done.verdict.startswith("clean of questions and evidence")


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = main(["data", *(str(word) for word in words)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call


def test_what_generate_makes_touches_no_probe(call):
    call("generate", "-o", "train.jsonl", "--n", "16", "--lang", "en,zh")

    code, out, _ = call("overlap", "train.jsonl", *SMALL, "--max-overlap", "0")

    assert code == 0
    assert "touched  0 of " in out


def test_above_the_limit_the_command_exits_with_three_and_json_has_the_texts(call, file, english):
    _, turn = evidence(english)
    file.write_text(CLEAN + chat(turn.user, turn.assistant))
    words = ("--suite", "quick", "--limit", "1", "--lengths", "1,4")

    code, out, err = call("overlap", file, *words, "--max-overlap", "0", "--json", "-")

    document = json.loads(out)
    assert code == 3
    assert "% of the probes are touched, above --max-overlap 0" in err
    assert document["share"] > 0
    assert turn.user in {one["text"] for one in document["found"]}
    assert call("overlap", file, *words, "--max-overlap", "100")[0] == 0


@pytest.mark.parametrize(
    "case",
    [
        (None, (), 2, "error: cannot read train.jsonl"),
        ("", (), 1, "train.jsonl  error  holds no conversation"),
        ('{"conversations": []}', (), 1, "train.jsonl:1  error  messages: missing"),
        (CLEAN, ("--max-overlap", "101"), 2, "101"),
        (CLEAN, ("--suite", "quik"), 2, "no suite 'quik'; near: quick"),
        (CLEAN, ("--ngram", "1"), 2, "1 is too small, must be 3 or more"),
    ],
)
def test_a_mistake_is_told_in_one_line(call, file, case):
    content, words, code, told = case
    if content is not None:
        file.write_text(content)

    ended, _, err = call("overlap", "train.jsonl", *SMALL, *words)

    assert ended == code
    assert told in err
