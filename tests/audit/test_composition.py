"""Every history length asks the same share of each level, form and wording."""

from dataclasses import replace
from fractions import Fraction

from qwen_bench.audit.composition import Composition
from qwen_bench.audit.surface import about_tokens

from . import toy
from .toy import watched

FOUR = {"mixed": {2: 4, 4: 4}}


def composition(rotations=FOUR):
    return Composition(toy.LEVELS, len(toy.LEVELS), rotations)


def seen(rotations=4, **changes):
    check = composition()
    line = watched(check, toy.renderings(rotations, **changes))
    return check, line


def test_crossed_rotations_ask_the_same_of_every_length():
    check, line = seen()

    assert line.findings == ()
    half = Fraction(1, 2)
    for share in check.shares().values():
        assert share.levels == {1: half, 2: half}
        assert share.forms == {"told": 1}
        assert share.wordings == {"lexical": half, "paraphrase": half}


def test_lengths_are_compared_within_families_of_as_many_evidence_turns():
    check, _ = seen(1)

    assert [*check.shares()] == [("en", 1, 2), ("en", 1, 4)]
    assert [share.probes for share in check.shares().values()] == [2, 4]


def test_a_level_that_late_slots_alone_have_is_found():
    def late(probe):
        return {"level": 2} if probe.factors["slot"] == "1" else {}

    _, line = seen(change=toy.asked_with(late))

    texts = [str(finding) for finding in line.findings]
    assert "toy en: T = 4, slot 1: probes by level 1: 0, 2: 8" in texts
    assert any("at T = 4" in text and "at T = 2" in text for text in texts)


def test_a_wording_that_late_slots_alone_have_is_found_where_rotations_cross():
    def late(probe):
        return {"wording": "lexical"} if probe.factors["slot"] == "1" else {}

    dialogues = toy.renderings(4, change=toy.asked_with(late))
    crossed, apart = composition(), composition({"mixed": {2: 2, 4: 2}})

    assert "level 1 lexical: 3/8 at T = 4, 1/4 at T = 2" in [
        finding.what for finding in watched(crossed, dialogues).findings
    ]
    assert watched(apart, dialogues).status == "ok"


def test_rotations_that_hold_no_whole_number_of_levels_are_not_judged_by_slot():
    check = composition({"mixed": {2: 1, 4: 1}})

    assert watched(check, toy.renderings(1)).status == "ok"
    assert watched(composition(), toy.renderings(1)).status == "fail"


def test_evidence_of_two_turns_at_some_level_only_is_found():
    def longer(dialogue):
        if dialogue.probes[0].probe.level == 1:
            return dialogue
        turns = (*dialogue.turns[:3], replace(dialogue.turns[3], group="toy"))
        return replace(dialogue, turns=turns)

    _, line = seen(change=longer)

    assert "its evidence takes 1, 2 turns, not always the same" in [f.what for f in line.findings]


def test_from_level_4_on_evidence_is_pasted():
    check, _ = seen(change=toy.asked_with(lambda probe: {"level": probe.level + 2}))

    half = Fraction(1, 2)
    assert {str(share.forms) for share in check.shares().values()} == {
        str({"told": half, "pasted": half})
    }


def test_sharing_counts_a_dialogue_once_and_alone_every_history_anew():
    check = composition()
    rendering = [toy.dialogue(0, "A")]

    check.see(rendering)

    sizes = [about_tokens(t.user) + about_tokens(t.assistant) for t in rendering[0].turns]
    question = about_tokens(rendering[0].probes[0].probe.question_text)
    found = check.sharing()["mixed"]
    assert found.shared == sum(sizes) + 2 * question
    assert found.naive == sum(sizes[:2]) + sum(sizes) + 2 * question
    assert found.ratio == found.naive / found.shared


def test_the_tables_for_the_terminal_have_a_row_for_every_length():
    check, _ = seen()

    lines = check.lines()

    assert lines[1].split()[-6:] == ["L1", "L2", "told", "pasted", "lexical", "paraphrase"]
    assert lines[2].split()[:6] == ["en", "1", "turn", "2", "1", "8"]
    assert lines[2].split()[6:] == ["0.500", "0.500", "1.000", "0.500", "0.500"]
    assert any(line.split()[:1] == ["mixed"] for line in lines)
