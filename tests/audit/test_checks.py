"""Each audit passes on the real suite and fails on dialogues that are broken on purpose."""

from dataclasses import replace

import pytest
from scipy import stats

from qwen_bench.audit.balance import Balance, chi_square_tail
from qwen_bench.audit.composition import Composition
from qwen_bench.audit.leaks import Conflicts, Leaks, bare_keys
from qwen_bench.audit.metamorphic import Twins, metamorphic
from qwen_bench.audit.separability import Separability
from qwen_bench.audit.shape import Lengths, Nesting
from qwen_bench.audit.solvability import Solvability
from qwen_bench.audit.told import teller
from qwen_bench.chat.messages import Message
from qwen_bench.probes.probe import Rule, Turn

from . import toy
from .conftest import requestioned, small, watch
from .toy import watched

EVERY = ("*",)


def checks(suite):
    families, split = suite.sources.families, suite.sources.split
    return [
        Leaks(teller(suite)),
        Conflicts(families, split),
        Solvability(),
        Twins(),
        Balance(families, split, suite.programmes),
        Lengths(),
        Nesting(),
        Composition(suite.levels, len(suite.sources.levels), suite.rotations),
        Separability(),
    ]


@pytest.mark.parametrize("name", ["quick", pytest.param("full", marks=pytest.mark.slow)])
def test_nothing_is_wrong_with_the_real_suite(name):
    suite = small(*EVERY, suite=name, limit=None if name == "quick" else 5)

    lines = [watch(check, suite) for check in checks(suite)]

    assert [(line.name, line.findings) for line in lines if line.status != "ok"] == []


def test_nothing_is_wrong_with_the_toy_suite():
    lines = [
        watched(check)
        for check in (
            Leaks(told),
            conflicts(),
            Solvability(),
            Twins(),
            balance(),
            Lengths(),
            Nesting(),
        )
    ]

    assert [(line.name, line.findings) for line in lines if line.status != "ok"] == []


def told(dialogue):
    """Remark and acknowledgement of the evidence turns of a toy dialogue."""
    return {
        number: (turn.user.split("\n\n")[0], "Noted.")
        for number, turn in enumerate(dialogue.turns, start=1)
        if turn.group is not None
    }


def conflicts():
    return Conflicts(toy.families(), "eval")


def balance():
    return Balance(toy.families(), "eval", (toy.PROGRAMME,))


def broken(check, change, rotations=2):
    """First finding of a check that must fail over changed toy dialogues."""
    line = watched(check, toy.renderings(rotations, change=change))
    assert line.status == "fail", line
    return line.findings[0]


def others_say(user="Hello.", assistant="Hello."):
    """A change that puts texts into every turn without evidence."""
    return toy.turned(
        lambda _, turn: turn if turn.group is not None else Turn(user, assistant, None)
    )


ALL_NAMES = " and ".join(toy.NAMES)


class TestLeaks:
    @pytest.mark.parametrize("side", ["user", "assistant"])
    def test_a_lure_or_an_answer_of_the_bank_that_names_a_value(self, side):
        found = broken(Leaks(), others_say(**{side: f"{ALL_NAMES} came by."}))

        assert "leaks" in found.what
        assert found.where.startswith("mixed-")
        assert found.turn is not None

    def test_evidence_of_another_family_that_names_a_value(self):
        theirs = toy.turned(
            lambda _, turn: turn if turn.group == "toy" else Turn(ALL_NAMES, "Noted.", "other")
        )

        assert broken(Leaks(), theirs).where.split("/")[3] == "toy.q"

    @pytest.mark.parametrize("side", ["user", "assistant"])
    def test_bank_text_beside_the_evidence_that_names_a_value(self, side):
        def beside(_, turn):
            text = f"{getattr(turn, side)} What about {ALL_NAMES}?"
            return turn if turn.group is None else replace(turn, **{side: text})

        assert "leaks" in broken(Leaks(told), toy.turned(beside)).what
        assert watched(Leaks(), toy.renderings(2, change=toy.turned(beside))).status == "ok"

    def test_an_evidence_turn_that_does_not_say_what_its_family_tells(self):
        silent = toy.turned(
            lambda _, turn: turn if turn.group is None else replace(turn, assistant="Hm.")
        )

        found = broken(Leaks(told), silent)

        assert found.what == "the turn does not say what its family tells"

    def test_a_question_that_names_one_option(self):
        def named(probe):
            return {"question_text": f"{probe.question_text} {probe.rank_candidates[0]}?"}

        assert "but not all options" in broken(Leaks(), toy.asked_with(named)).what

    def test_a_bare_number_is_no_leak_of_a_day_and_the_day_itself_is(self):
        days = toy.asked_with(
            lambda _: {"candidates": ("6号",), "aliases": {"6号": ("6日", "六号", "6", "六")}}
        )

        def seen(text):
            told = others_say(user=text)
            return watched(Leaks(), toy.renderings(1, change=lambda d: days(told(d)))).status

        assert [seen("6 个，六个。"), seen("6日见。"), seen("六号见。")] == ["ok", "fail", "fail"]

    def test_a_rule_whose_mark_stands_in_a_turn_before_it(self):
        assert broken(Leaks(), ruled(lambda n, t: t if n > 1 else Turn("Roger!", "Hm."))).what == (
            "the mark ('roger',) leaks"
        )

    def test_a_rule_whose_mark_stands_in_a_reply_after_it(self):
        late = ruled(lambda n, t: t if n < 4 else Turn(t.user, "That is a plain one, roger."))

        assert broken(Leaks(), late).what == "the mark ('roger',) leaks"

    def test_a_rule_whose_mark_stands_where_it_is_told_alone(self):
        line = watched(Leaks(), toy.renderings(2, change=ruled(lambda _, turn: turn)))

        assert line.status == "ok"


def ruled(change):
    """A change that makes the evidence a rule, then changes turns."""
    rule = Rule("suffix", ("roger",))
    asks = toy.asked_with(
        lambda _: {
            "answer_kind": "rule",
            "rule": rule,
            "candidates": (),
            "rank_candidates": (),
            "gold": "marked",
            "question_text": "How do I boil an egg?",
        }
    )

    def changed(dialogue):
        (first,) = (n for n, turn in enumerate(dialogue.turns, 1) if turn.group is not None)

        def told_there(number, turn):
            user = "End with roger." if number == first else turn.user
            return change(number, Turn(user, turn.assistant, turn.group))

        return toy.turned(told_there)(asks(dialogue))

    return changed


class TestConflicts:
    places = " and ".join(bare_keys(tuple(f"the {place}" for place in toy.PLACES)))

    def test_a_lure_that_states_another_value_for_the_key(self):
        found = broken(conflicts(), others_say(user=f"At {self.places} they know {toy.NAMES[-1]}."))

        assert "stands beside" in found.what

    def test_a_lure_that_states_a_value_of_its_own_for_the_key(self):
        found = broken(conflicts(), others_say(user=f"At {self.places} they know Whisker."))

        assert found.what.endswith("stands beside 'Whisker'")

    def test_a_turn_that_names_the_key_alone_is_none(self):
        line = watched(
            conflicts(), toy.renderings(2, change=others_say(user="The gym was closed."))
        )

        assert line.status == "ok"

    def test_a_long_answer_that_names_key_and_value_in_one_sentence_is_one(self):
        together = others_say(assistant=f"Long ago. {self.places} knew Whisker. Then it ended.")

        assert "stands beside" in broken(conflicts(), together).what

    def test_a_long_answer_that_names_them_in_two_sentences_is_none(self):
        apart = others_say(assistant=f"Try {self.places}.\nWhisker is a name for cats.")

        assert watched(conflicts(), toy.renderings(2, change=apart)).status == "ok"


class TestSolvability:
    def test_evidence_that_leaves_the_value_out(self):
        silent = toy.turned(
            lambda _, turn: turn if turn.group is None else replace(turn, user="Hm, someone.")
        )

        assert "is not said in turns" in broken(Solvability(), silent).what

    def test_evidence_that_is_the_same_in_both_variants(self):
        same = toy.turned(
            lambda _, turn: turn if turn.group is None else replace(turn, user=ALL_NAMES)
        )

        line = watched(Solvability(), toy.renderings(2, change=same))

        assert any("are the same in A and B" in found.what for found in line.findings)

    def test_a_gold_that_is_no_candidate(self):
        owl = toy.asked_with(lambda _: {"gold": "owl"})

        assert broken(Solvability(), owl).what == "the gold 'owl' is no candidate"

    def test_a_turn_that_is_not_needed(self):
        more = toy.asked_with(lambda probe: {"needs": tuple(sorted({2, *probe.needs}))})

        assert broken(Solvability(), more).what == "the answer is known without this turn"

    def test_needs_that_lack_the_turn(self):
        other = toy.asked_with(lambda _: {"needs": (2,)})

        line = watched(Solvability(), toy.renderings(2, change=other))

        assert any("the same in A and B" in found.what for found in line.findings)

    def test_options_that_the_question_alone_offers_need_evidence_on_whose_they_are(self):
        options = ("Larch", "Rowan", "Alder", "Maple")

        def offering(**more):
            return toy.asked_with(
                lambda probe: {
                    "question_text": f"{probe.question_text} Of {', '.join(options)}?",
                    "candidates": options,
                    "rank_candidates": options,
                    "gold": options[probe.variant == "B"],
                    **more,
                }
            )

        line = watched(Solvability(), toy.renderings(2, change=offering()))
        other = broken(Solvability(), offering(key_words=("the harbour",)))

        assert line.status == "ok"
        assert "is not said in turns" in other.what


class TestTwins:
    @pytest.mark.parametrize(
        ("change", "what"),
        [
            (lambda probe: {"gold": probe.candidates[0]}, "have the same answer"),
            (
                lambda probe: {"question_text": f"{probe.variant}? {probe.question_text}"},
                "ask in different words",
            ),
            (
                lambda probe: {"candidates": sorted(probe.candidates, key=probe.gold.__ne__)},
                "list different candidates",
            ),
            (
                lambda probe: {"rank_candidates": sorted(probe.candidates, key=probe.gold.__ne__)},
                "rank different candidates",
            ),
            (lambda probe: {"factors": {"slot": "0", "of": probe.variant}}, "different factors"),
            (lambda probe: {"level": 1 + (probe.variant == "B")}, "different levels or wordings"),
        ],
    )
    def test_variants_that_differ_in_more_than_the_answer(self, change, what):
        line = watched(Twins(), toy.renderings(2, change=toy.asked_with(change)))

        assert any(what in found.what for found in line.findings)


class TestMetamorphic:
    def test_the_real_families_follow(self):
        assert metamorphic(small(*EVERY, suite="full", lengths=(2, 8))).status == "ok"

    def test_a_gold_that_does_not_follow_the_values(self):
        suite = small("fact_recall")
        frozen = {}

        def freeze(question, brief):
            key = (brief.draw.slot, brief.variant, question.gold.isascii())
            return replace(question, gold=frozen.setdefault(key, question.gold))

        line = metamorphic(requestioned(suite, "fact_recall", freeze))

        assert line.status == "fail"
        assert "is due" in line.findings[0].what

    def test_a_gold_that_depends_on_the_name_of_an_entity(self):
        def by_name(question, _):
            longest = max(question.candidates, key=len)
            odd = sum(map(ord, question.key_words[0])) % 2
            return replace(question, gold=longest) if odd else question

        line = metamorphic(
            requestioned(small("fact_recall", langs=("en",)), "fact_recall", by_name)
        )

        assert any("when entities are renamed" in found.what for found in line.findings)


class TestBalance:
    def test_a_gold_that_is_always_listed_first(self):
        first = toy.asked_with(
            lambda probe: {"rank_candidates": sorted(probe.candidates, key=probe.gold.__ne__)}
        )

        found = broken(balance(), first, rotations=8)

        assert found.where == "toy"
        assert "place of the gold is not uniform" in found.what

    def test_a_value_that_is_the_answer_too_often(self):
        same = toy.asked_with(
            lambda _: {
                "gold": toy.NAMES[0],
                "candidates": toy.NAMES,
                "rank_candidates": toy.NAMES[:4],
            }
        )

        line = watched(balance(), toy.renderings(10, change=same))

        assert any("gold is not uniform" in found.what for found in line.findings)

    def test_skeletons_that_are_no_whole_rotation(self):
        seen = toy.renderings(4)

        line = watched(balance(), [*seen, seen[0]])

        assert any("slots are asked" in found.what for found in line.findings)

    @pytest.mark.parametrize("axis", ["rotation", "slot"])
    def test_a_factor_that_is_the_same_all_over_a_rotation_or_a_slot(self, axis):
        def drawn(probe):
            number = _rotation(probe) if axis == "rotation" else int(probe.factors["slot"])
            return {"factors": {**probe.factors, "form": str(number % 2)}}

        line = watched(balance(), toy.renderings(4, change=toy.asked_with(drawn)))

        assert {found.what.split()[0] for found in line.findings} == {axis}
        assert all("values of 'form' occur" in found.what for found in line.findings)

    def test_a_factor_with_more_values_at_higher_levels_need_not_be_even_over_rotations(self):
        asked = watched(balance(), toy.renderings(16))

        assert not [found for found in asked.findings if "'asked'" in found.what]

    @pytest.mark.parametrize(("statistic", "freedom"), [(3, 3), (11.3, 3), (40, 23), (190, 150)])
    def test_the_tail_of_chi_square_is_close_to_the_exact_one(self, statistic, freedom):
        exact = stats.chi2.sf(statistic, freedom)

        assert chi_square_tail(statistic, freedom) == pytest.approx(exact, abs=0.003)


def _rotation(probe):
    return int(probe.cluster.rpartition("-")[2]) // 2


class TestLengths:
    def test_a_variant_that_is_longer(self):
        def longer(dialogue):
            more = " And so on and on." * (dialogue.variant == "B")
            change = toy.turned(
                lambda _, turn: turn if turn.group is None else replace(turn, user=turn.user + more)
            )
            return change(dialogue)

        assert "in variant A" in broken(Lengths(), longer).what

    def test_a_chat_marker_in_a_message(self):
        marked = others_say(assistant="<think>Hm.</think> Fine.")

        assert broken(Lengths(), marked).what == "a chat marker inside a message"

    @pytest.mark.parametrize(
        ("left_out", "what"),
        [(2, "3 turns where T = 4"), (1, "user and assistant do not take turns")],
    )
    def test_a_turn_too_few_and_two_messages_of_one_role(self, left_out, what):
        dialogue = toy.dialogue(0, "A")
        asked = dialogue.probes[-1]
        check = Lengths()

        check.see([replace(dialogue, probes=(replace(asked, messages=asked.messages[left_out:]),))])

        assert check.line().findings[0].what == what


class TestNesting:
    def test_a_history_that_is_no_prefix(self):
        dialogue = toy.dialogue(0, "A")
        asked = dialogue.probes[-1]
        other = (*asked.messages[:4], Message("user", "Something else."), *asked.messages[5:])
        check = Nesting()

        check.see([replace(dialogue, probes=(replace(asked, messages=other),))])

        assert (check.line().findings[0].turn, check.line().status) == (3, "fail")

    @pytest.mark.parametrize("side", ["user", "assistant"])
    def test_a_turn_without_evidence_that_differs_between_variants(self, side):
        def other(dialogue):
            change = others_say(**{side: f"Other {dialogue.variant}."})
            return change(dialogue)

        assert "other text than in mixed-0/A/en" in broken(Nesting(), other).what

    def test_evidence_at_other_turns_in_the_other_variant(self):
        first, second = toy.renderings(1)[0]
        turns = [replace(turn, group=None) for turn in second.turns]
        check = Nesting()

        check.see([first, replace(second, turns=tuple(turns), probes=())])

        assert "evidence unlike in" in check.line().findings[0].what
