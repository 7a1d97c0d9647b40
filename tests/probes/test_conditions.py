"""What each condition shows of a history: section 2.5 of the probe specification."""

from collections import Counter, defaultdict

import pytest

from qwen_bench.errors import InputError
from qwen_bench.probes.probe import LANGS
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite


def dialogues(suite, **selection):
    return list(build_suite(suite, Selection(limit=1, **selection)).dialogues())


def by_condition(dialogue):
    found = defaultdict(list)
    for asked in dialogue.probes:
        found[asked.probe.condition].append(asked)
    return found


@pytest.mark.parametrize("lang", LANGS)
def test_concat_is_one_message_with_the_same_turns_and_the_question_at_its_end(lang):
    opening = {"en": "Here is our conversation so far:\n\nUser: ", "zh": "以下是我们之前的对话："}
    for dialogue in dialogues("core", langs=(lang,)):
        for asked in by_condition(dialogue)["concat"]:
            (message,) = asked.messages
            assert message.role == "user"
            assert message.content.startswith(opening[lang])
            assert message.content.endswith("\n\n" + asked.probe.question_text)
            for turn in dialogue.turns[:8]:
                assert turn.user in message.content
                assert turn.assistant in message.content
            assert asked.probe.length == 8


def test_no_filler_shows_every_evidence_turn_and_nothing_else():
    for dialogue in dialogues("core"):
        for asked in by_condition(dialogue)["no-filler"]:
            own = [m for turn in dialogue.turns[:32] if turn.group for m in turn.messages]
            assert list(asked.messages[:-1]) == own
            assert asked.probe.length == 32


def test_brief_and_long_show_the_turns_of_main_at_another_pace():
    compared = Counter()
    for dialogue in dialogues("full", lengths=(8, 32), families=("fact_recall",)):
        found = by_condition(dialogue)
        mains = {(a.probe.question, a.probe.length): a.messages for a in found["main"]}
        for asked in (*found["brief"], *found["long"]):
            main = mains[asked.probe.question, asked.probe.length]
            is_long = asked.probe.condition == "long"
            short, longer = (main, asked.messages) if is_long else (asked.messages, main)
            assert len(main) == len(asked.messages) == 2 * asked.probe.length + 1
            for one, two in zip(short, longer, strict=True):
                assert two.content.startswith(one.content)
                assert one.role == "assistant" or one == two
            assert short != longer
            compared[asked.probe.condition, asked.probe.length] += 1

    assert compared == {("brief", 8): 12, ("long", 8): 12, ("brief", 32): 28, ("long", 32): 28}


def test_the_turns_a_reader_needs_are_numbered_within_what_is_shown():
    for dialogue in dialogues("full", lengths=(8, 64)):
        mains = {}
        for asked in dialogue.probes:
            probe = asked.probe
            if probe.condition == "concat" or not probe.needs or probe.needs == (0,):
                continue
            users = [m.content for m in asked.messages if m.role == "user"]
            evidence = [users[number - 1] for number in probe.needs]
            group = probe.twin_group.split("/")[2]
            planted = [turn.user for turn in dialogue.turns if turn.group == group]
            assert set(evidence) <= set(planted)
            key = (probe.family, probe.question)
            assert mains.setdefault(key, evidence) == evidence
            assert probe.distance == len(users) - 1 - probe.needs[-1]


def test_histories_of_different_programmes_and_seeds_never_read_the_same():
    seen = set()
    for dialogue in build_suite("core", Selection(limit=3)).dialogues():
        text = "\n".join(f"{t.user}\n{t.assistant}" for t in dialogue.turns)
        assert text not in seen
        seen.add(text)


def test_a_condition_that_the_suite_asks_at_other_lengths_is_named():
    with pytest.raises(InputError, match="concat is not asked at these history lengths") as caught:
        build_suite("core", Selection(lengths=(4,), conditions=("concat",)))

    assert caught.value.why == ("concat: 8",)


def test_a_condition_that_the_suite_does_not_have_is_refused():
    with pytest.raises(InputError, match="no condition matches 'dense'"):
        build_suite("quick", Selection(conditions=("dense",)))
