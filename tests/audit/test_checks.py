"""Each audit passes on the real suite and fails on one that is broken on purpose."""

from dataclasses import replace

import pytest
from scipy import stats

from qwen_bench.audit.balance import Balance, chi_square_tail
from qwen_bench.audit.leaks import Conflicts, Leaks, bare_keys
from qwen_bench.audit.metamorphic import Twins, metamorphic
from qwen_bench.audit.shape import Lengths, Nesting
from qwen_bench.audit.solvability import Solvability
from qwen_bench.chat.messages import Message
from qwen_bench.probes.probe import Turn

from .conftest import rebuilt, renderings, requestioned, small, watch

EVERY = ("*",)


def checks(suite):
    families, split = suite.sources.families, suite.sources.split
    return [
        Leaks(),
        Conflicts(families, split),
        Solvability(),
        Twins(),
        Balance(families, split),
        Lengths(),
        Nesting(),
    ]


@pytest.mark.parametrize("name", ["quick", "full"])
def test_nothing_is_wrong_with_the_real_suite(name):
    suite = small(*EVERY, suite=name)

    lines = [watch(check, suite) for check in checks(suite)]

    assert [(line.name, line.findings) for line in lines if line.status != "ok"] == []


def broken(check, suite):
    """First finding of a check that must fail."""
    line = watch(check, suite)
    assert line.status == "fail", line
    return line.findings[0]


class TestLeaks:
    def test_filler_that_names_a_value(self, refilled):
        suite = refilled(small("fact_recall", langs=("en",)), user="Isadora and Margot came by.")

        found = broken(Leaks(), suite)

        assert "leaks" in found.what
        assert found.where.startswith("mixed-")
        assert found.turn is not None

    def test_evidence_of_another_family_that_names_a_value(self):
        suite = small("fact_recall", "abstention", langs=("en",))
        answers = ", ".join(suite.sources.families["fact_recall"].words["en", "eval"].answers)
        suite = rebuilt(
            suite,
            "abstention",
            lambda instance, _: replace(
                instance,
                evidence=tuple(replace(e, user=f"{e.user} {answers}") for e in instance.evidence),
            ),
        )

        assert broken(Leaks(), suite).where.split("/")[3] == "fact_recall.value"

    def test_a_question_that_names_one_option(self, doctored):
        suite = small("fact_recall", suite="core", limit=6, lengths=(8,), langs=("en",))
        suite = doctored(suite, "fact_recall", "en", ("{{ only }}", "{{ only }} Isadora?"))

        assert "the question names Isadora" in broken(Leaks(), suite).what

    def test_a_rule_whose_mark_stands_in_the_filler(self, refilled):
        suite = refilled(small("instruction_retention", langs=("en",)), user="Roger, as they say.")

        assert broken(Leaks(), suite).what.startswith("the mark ('roger',) leaks")

    def test_replies_of_which_only_some_obey_the_rule(self):
        rendering = next(
            found
            for found in renderings(small("instruction_retention", langs=("en",)))
            if found[0].variant == "A" and len(found[0].turns) > 4
        )
        turns = list(rendering[0].turns)
        turns[3] = Turn(turns[3].user, "That is a plain one.")
        check = Leaks()

        check.see([replace(rendering[0], turns=tuple(turns))])

        assert any("some replies obey" in found.what for found in check.line().findings)


class TestConflicts:
    def test_a_turn_that_states_another_value_for_the_key(self, refilled):
        suite = small("fact_recall", langs=("en",))
        words = suite.sources.families["fact_recall"].words["en", "eval"]
        keys = " and ".join(bare_keys(tuple(words.keys)))

        found = broken(
            Conflicts(suite.sources.families, "eval"),
            refilled(suite, user=f"At {keys} they all know {words.answers[0]}."),
        )

        assert "stands beside" in found.what

    def test_a_turn_that_names_the_key_alone_is_none(self, refilled):
        suite = refilled(small("fact_recall", langs=("en",)), user="The gym was closed.")

        assert watch(Conflicts(suite.sources.families, "eval"), suite).status == "ok"


class TestSolvability:
    def test_evidence_that_leaves_the_value_out(self, doctored):
        suite = small("pronoun", langs=("zh",))
        suite = doctored(suite, "pronoun", "zh", ("people[0].value", "people[0].does"))

        assert "is not said in turns" in broken(Solvability(), suite).what

    def test_evidence_that_is_the_same_in_both_variants(self, doctored):
        suite = small("pronoun", langs=("zh",))
        suite = doctored(suite, "pronoun", "zh", ("{{ cue }}", "其中一位"))

        assert "are the same in A and B" in broken(Solvability(), suite).what

    def test_a_gold_that_is_no_candidate(self):
        suite = requestioned(
            small("ordinal_ref"), "ordinal_ref", lambda question, _: replace(question, gold="owl")
        )

        assert broken(Solvability(), suite).what == "the gold 'owl' is no candidate"

    def test_a_turn_that_is_not_needed(self):
        suite = small("ellipsis", suite="core", limit=2, lengths=(16,), langs=("en",))
        suite = rebuilt(
            suite,
            "ellipsis",
            lambda instance, brief: replace(
                instance,
                questions=tuple(
                    replace(q, needs=tuple(range(brief.stages))) for q in instance.questions
                ),
            ),
        )

        assert broken(Solvability(), suite).what == "the answer is known without this turn"

    def test_needs_that_lack_a_turn(self):
        suite = requestioned(
            small("ellipsis"), "ellipsis", lambda question, _: replace(question, needs=(0,))
        )

        assert "the same in A and B" in broken(Solvability(), suite).what


class TestTwins:
    def test_a_frozen_gold(self):
        suite = requestioned(
            small("fact_recall"),
            "fact_recall",
            lambda question, _: replace(question, gold=question.candidates[0]),
        )

        assert "A and B have the same answer" in broken(Twins(), suite).what

    def test_options_in_another_order(self):
        suite = requestioned(
            small("fact_recall"),
            "fact_recall",
            lambda question, _: replace(
                question,
                candidates=(question.gold, *(c for c in question.candidates if c != question.gold)),
            ),
        )

        assert broken(Twins(), suite).what == "A and B list different candidates"


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
            asked = question.key_words[0]
            return replace(question, gold=longest) if asked < "the h" else question

        line = metamorphic(
            requestioned(small("fact_recall", langs=("en",)), "fact_recall", by_name)
        )

        assert any("when entities are renamed" in found.what for found in line.findings)


class TestBalance:
    def test_a_gold_that_is_always_listed_first(self):
        suite = requestioned(
            small("fact_recall", limit=4),
            "fact_recall",
            lambda question, _: replace(
                question,
                candidates=(question.gold, *(c for c in question.candidates if c != question.gold)),
            ),
        )

        found = broken(Balance(suite.sources.families, "eval"), suite)

        assert found.where == "fact_recall"
        assert "place of the gold is not uniform" in found.what

    def test_a_value_that_is_the_answer_too_often(self):
        suite = small("abstention", suite="core", limit=12, lengths=(8,), langs=("en",))
        values = suite.sources.families["abstention"].words["en", "eval"].values
        suite = requestioned(
            suite,
            "abstention",
            lambda q, _: (
                q if q.gold_abstains else replace(q, candidates=values[:4], gold=values[0])
            ),
        )

        found = broken(Balance(suite.sources.families, "eval"), suite)

        assert "gold is not uniform" in found.what

    def test_skeletons_that_are_no_whole_rotation(self):
        suite = small("fact_recall", lengths=(8,), langs=("en",))
        check = Balance(suite.sources.families, "eval")
        seen = renderings(suite)
        for rendering in [*seen, seen[0]]:
            check.see(rendering)

        assert any("slots are asked" in found.what for found in check.line().findings)

    def test_levels_that_repeat(self):
        suite = small("fact_recall", limit=4, lengths=(8,))
        check = Balance(suite.sources.families, "eval")
        seen = renderings(suite)
        for rendering in [*seen, *seen[:4]]:
            check.see(rendering)

        assert any("levels of" in found.what for found in check.line().findings)

    @pytest.mark.parametrize(("statistic", "freedom"), [(3, 3), (11.3, 3), (40, 23), (190, 150)])
    def test_the_tail_of_chi_square_is_close_to_the_exact_one(self, statistic, freedom):
        exact = stats.chi2.sf(statistic, freedom)

        assert chi_square_tail(statistic, freedom) == pytest.approx(exact, abs=0.003)


class TestLengths:
    def test_a_variant_that_is_longer(self):
        suite = rebuilt(
            small("fact_recall", langs=("en",)),
            "fact_recall",
            lambda instance, brief: replace(
                instance,
                evidence=tuple(
                    replace(e, user=e.user + " And so on and on." * (brief.variant == "B"))
                    for e in instance.evidence
                ),
            ),
        )

        assert "in variant A" in broken(Lengths(), suite).what

    def test_a_chat_marker_in_a_message(self, refilled):
        suite = refilled(small("fact_recall", langs=("en",)), assistant="<think>Hm.</think> Fine.")

        assert broken(Lengths(), suite).what == "a chat marker inside a message"

    def test_a_turn_too_few_and_two_messages_of_one_role(self):
        rendering = renderings(small("fact_recall", lengths=(4,), conditions=("main",)))[0]
        asked = rendering[0].probes[0]
        for messages, what in (
            (asked.messages[2:], "3 turns where T = 4"),
            (asked.messages[1:], "user and assistant do not take turns"),
        ):
            check = Lengths()
            check.see([replace(rendering[0], probes=(replace(asked, messages=messages),))])
            assert check.line().findings[0].what == what


class TestNesting:
    def test_a_history_that_is_no_prefix(self):
        rendering = renderings(small("fact_recall", lengths=(4,), conditions=("main",)))[0]
        asked = rendering[0].probes[0]
        other = (*asked.messages[:4], Message("user", "Something else."), *asked.messages[5:])
        check = Nesting()

        check.see([replace(rendering[0], probes=(replace(asked, messages=other),))])

        assert (check.line().findings[0].turn, check.line().status) == (3, "fail")

    def test_filler_that_differs_between_variants(self):
        first, second = renderings(small("fact_recall"))[0]
        turns = [Turn("Other.", "Yes.") if t.group is None else t for t in second.turns]
        check = Nesting()

        check.see([first, replace(second, turns=tuple(turns), probes=())])

        assert "filler differs" in check.line().findings[0].what
