"""The user's own conversations as filler: what is refused, why, and what is an error."""

import json
from difflib import SequenceMatcher

import pytest

from qwen_bench.errors import DataError, InputError
from qwen_bench.probes.definitions import load_families
from qwen_bench.probes.filler_screening import load_own_filler
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import Own, build_suite
from qwen_bench.resources import data_folder

FAMILIES = load_families(data_folder("tasks"))


def exchange(number, user=None, reply=None):
    user = user or f"How do I keep the window boxes number {'i' * number} tidy in winter weather?"
    return [
        {"role": "user", "content": user},
        {"role": "assistant", "content": reply or "Brush them now and then, and that will do."},
    ]


def chinese(number):
    text = f"毛衣起球了该怎么处理才不伤料子{'呢' * number}？"
    return exchange(0, text, "拿剃球器轻轻推一遍，别来回使劲刮就行。")


def written(path, conversations):
    lines = [json.dumps({"messages": messages}, ensure_ascii=False) for messages in conversations]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def screened(path, langs=("en",)):
    return load_own_filler(path, FAMILIES, langs)


def reasons(path, langs=("en",)):
    return [(r.reason, r.found) for r in screened(path, langs).refused]


def told(path, lang="en"):
    """Requests of every thread."""
    threads = screened(path, (lang,)).banks[lang].threads
    return [[exchange.request for exchange in thread.exchanges] for thread in threads]


@pytest.fixture
def good():
    return [exchange(n) for n in range(1, 9)]


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        (("Is a tuba hard to learn for a grown-up who never read music?",), ("leak", "tuba")),
        (("What time does the bakery usually open in the morning?",), ("conflict", "bakery")),
        (("Please explain what <|im_end|> is for in a prompt.",), ("marker", "<|im_end|>")),
        (("How does soap work?", "<think>hm</think>It binds with fat."), ("marker", "<think>")),
        (("Why?", "Because."), ("length", "12 characters")),
        (("It broke again last night, what should a person do?",), ("reference", "It")),
    ],
)
def test_an_unusable_exchange_is_refused_with_its_reason(tmp_path, good, asked, refused):
    path = written(tmp_path / "my.jsonl", [*good, exchange(0, *asked)])

    assert reasons(path) == [refused]


def test_a_repeated_exchange_is_refused(tmp_path, good):
    assert reasons(written(tmp_path / "my.jsonl", [*good, good[0]])) == [("repeated", "")]


def test_a_leak_costs_its_exchange_and_the_conversation_goes_on_as_one_thread(tmp_path):
    leak = exchange(0, "Is a tuba hard to learn for a grown-up who never read music?")
    path = written(tmp_path / "my.jsonl", [exchange(1) + leak + exchange(2) + exchange(3)])

    assert told(path) == [[exchange(n)[0]["content"] for n in (1, 2, 3)]]
    assert [(r.record, r.exchange, r.reason) for r in screened(path).refused] == [
        ("my.jsonl:1", 2, "leak")
    ]


@pytest.mark.parametrize(
    ("following", "found"),
    [
        ("And how long would a beginner have to practise every day?", "And"),
        ("How long would somebody have to practise it every day?", "it"),
        ("More formal, please.", "More formal, please."),
        ("Please rewrite the second paragraph and make this shorter.", "this"),
    ],
)
def test_what_makes_no_sense_after_a_leak_is_left_out_too_until_a_request_stands_alone(
    tmp_path, following, found
):
    leak = exchange(0, "Is a tuba hard to learn for a grown-up who never read music?")
    dependent = exchange(0, following, "Gladly, here is what I would suggest as a first attempt.")
    path = written(tmp_path / "my.jsonl", [exchange(1) + leak + dependent + exchange(2)])

    assert reasons(path) == [("leak", "tuba"), ("reference", found)]
    assert told(path) == [[exchange(1)[0]["content"], exchange(2)[0]["content"]]]


def test_chinese_after_a_leak_goes_on_with_a_request_that_stands_alone(tmp_path):
    leak = exchange(0, "去南京玩三天，行程怎么安排比较从容？", "第一天先在城里走走，别排太满。")
    talk = [
        *chinese(1),
        *leak,
        *exchange(
            0, "换成两天的话怎么安排比较好？", "去掉第三天，头两天各留一个下午自由活动就好。"
        ),
        *exchange(
            0, "其他毛料的衣服也能用剃球器吗？", "能，手轻一些，先在不显眼的地方试一试就好。"
        ),
    ]
    path = written(tmp_path / "my.jsonl", [talk])

    assert [reason for reason, _ in reasons(path, ("zh",))] == ["conflict", "reference"]
    assert told(path, "zh") == [[chinese(1)[0]["content"], "其他毛料的衣服也能用剃球器吗？"]]


def test_requests_inside_a_conversation_may_refer_to_what_is_there_and_may_be_short(tmp_path):
    talk = [
        *exchange(1),
        *exchange(0, "And in spring?", "Weekly."),
        *exchange(0, "Thanks!", "Any time."),
        *exchange(0, "What about it after a storm?", "Twice."),
    ]
    path = written(tmp_path / "my.jsonl", [talk])

    assert reasons(path) == []
    assert [len(requests) for requests in told(path)] == [4]


def test_thanks_that_were_said_before_leave_no_gap(tmp_path):
    thanks = exchange(0, "Thanks!", "Any time.")
    talks = [exchange(1) + thanks, exchange(2) + thanks + exchange(0, "And then?", "Nothing.")]

    path = written(tmp_path / "my.jsonl", talks)

    assert reasons(path) == [("repeated", "")]
    assert [len(requests) for requests in told(path)] == [2, 2]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_an_exchange_may_have_8_000_characters_and_no_more(tmp_path, lang):
    begun = exchange(1) if lang == "en" else chinese(1)
    word = "calm " if lang == "en" else "嗯，"

    def talk(size):
        reply = (word * size)[: size - len(begun[0]["content"]) - 1] + "."
        return [begun[0], {"role": "assistant", "content": reply}]

    assert reasons(written(tmp_path / "fits.jsonl", [talk(8000)]), (lang,)) == []
    assert reasons(written(tmp_path / "over.jsonl", [talk(8001)]), (lang,)) == [
        ("length", "8001 characters")
    ]


def test_calls_of_tools_are_refused_and_system_messages_left_out(tmp_path, good):
    call = [
        {"role": "system", "content": "You are a gardener."},
        {
            "role": "user",
            "content": "How warm will the greenhouse be at noon on a dull winter day?",
        },
        {"role": "assistant", "content": "Let me look."},
        {"role": "tool", "content": "{}"},
        {"role": "assistant", "content": "Quite mild."},
        *exchange(20),
    ]
    found = screened(written(tmp_path / "my.jsonl", [*good, call]))

    assert [r.reason for r in found.refused] == ["tool"]
    assert found.banks["en"].exchanges == 9


def test_both_languages_of_a_file_are_told_apart(tmp_path):
    mixed = [exchange(n) for n in range(1, 5)] + [chinese(n) for n in range(1, 4)]

    found = screened(written(tmp_path / "my.jsonl", mixed), langs=("en", "zh"))

    assert {lang: bank.exchanges for lang, bank in found.banks.items()} == {"en": 4, "zh": 3}


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"messages": [', "not valid JSON at column"),
        ('{"messages": [{"role": "bot", "content": "Hello"}]}', "'bot' is not system, user"),
        (
            '{"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}',
            "user after user",
        ),
        (
            '{"messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": "b"}]}',  # noqa: E501
            r"messages\[0\].content: blank",
        ),
    ],
)
def test_a_line_that_is_no_conversation_is_an_error_with_file_line_and_remedy(
    tmp_path, good, line, what
):
    path = written(tmp_path / "my.jsonl", good)
    path.write_text(path.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")

    with pytest.raises(DataError, match=rf"my.jsonl:9  error  .*{what}") as caught:
        screened(path)

    assert caught.value.fix


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot read the data file"):
        screened(tmp_path / "none.jsonl")


def test_a_suite_with_own_filler_holds_it_and_keeps_the_evidence(tmp_path):
    path = written(
        tmp_path / "my.jsonl", [exchange(2 * n) + exchange(2 * n + 1) for n in range(20)]
    )
    selection = Selection(langs=("en",), families=("fact_recall",))

    own = build_suite("quick", selection, own=Own(filler=str(path)))
    plain = build_suite("quick", selection)

    assert own.sha256 != plain.sha256
    assert own.filler_sha256 != plain.filler_sha256
    for mine, theirs in zip(own.dialogues(), plain.dialogues(), strict=True):
        golds = {asked.probe.gold for asked in mine.probes}
        for one, two in zip(mine.turns, theirs.turns, strict=True):
            assert one.group == two.group
            assert "window boxes" in one.user
            assert "window boxes" not in two.user
            same = SequenceMatcher(None, one.user, two.user, autojunk=False).find_longest_match()
            kept = one.user[same.a : same.a + same.size]
            assert one.group != "fact_recall" or any(gold in kept for gold in golds)
        assert [a.probe.id for a in mine.probes] == [a.probe.id for a in theirs.probes]
