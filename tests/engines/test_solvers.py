"""Solvers: what each looks at, on conversations small enough to check by eye."""

import pytest

from qwen_bench.chat.messages import Message
from qwen_bench.errors import InputError
from qwen_bench.probes.probe import Cluster, Probe, ProbeId, Rule
from qwen_bench.probes.suites import Selection, build_suite
from qwen_bench.protocol import Request, Unit
from qwen_bench.scoring.score import judge_text
from qwen_bench.solvers.history_reading import history_of
from qwen_bench.solvers.solver_engine import (
    SOLVERS,
    SolverEngine,
    applies,
    check_solver_name,
    find_solver,
    is_window,
    window_of,
)
from qwen_bench.solvers.word_overlap import best_clause, best_texts, terms

ROOMS = ("Cedar", "Willow", "Hazel")


def a_probe(**changes):
    given = {
        "id": ProbeId("mixed-0/A/en/f.q/T2/main"),
        "programme": "mixed",
        "cluster": Cluster("mixed-0"),
        "variant": "A",
        "lang": "en",
        "family": "update_latest",
        "question": "q",
        "twin_group": "mixed-0/en/f/T2/main",
        "condition": "main",
        "length": 2,
        "distance": 0,
        "distance_first": 1,
        "position": 1.0,
        "needs": (1, 2),
        "question_text": "Which room has the choir?",
        "gold": "Willow",
        "candidates": ROOMS,
        "rank_candidates": ROOMS,
        "aliases": {},
        "answer_kind": "single",
        "gold_abstains": False,
        "chance": 1 / 3,
        "factors": {"slot": "0"},
        "key_words": ("the choir",),
    }
    return Probe(**{**given, **changes})


def chat(*texts):
    """User and assistant in turn, the question last."""
    return tuple(Message(("user", "assistant")[i % 2], text) for i, text in enumerate(texts))


HISTORY = chat(
    "The choir is in Cedar, the chess group in Hazel.",
    "Noted.",
    "Now the chess group moves to Cedar, and Willow goes to the choir.",
    "Fine.",
    "Which room has the choir?",
)


@pytest.mark.parametrize(
    ("solver", "answer"),
    [
        ("oracle", "Willow"),
        ("constant", "Cedar"),
        ("longest", "Willow"),
        ("recency", "Willow"),
        ("primacy", "Cedar"),
        ("frequency", "Cedar"),
        ("last-entity", "Willow"),
        ("dump", "Cedar, Willow, Hazel"),
        ("abstain", "not mentioned"),
        ("window-2", "Willow"),
        ("window-1", "not mentioned"),
    ],
)
def test_a_solver_answers_what_it_looks_at(solver, answer):
    assert find_solver(solver)(a_probe(), HISTORY) == answer


@pytest.mark.parametrize("solver", ["blind", "constant", "longest"])
def test_solvers_that_see_no_history_pick_one_of_the_candidates_to_rank(solver):
    probe = a_probe(candidates=("Elm", *ROOMS, "Sycamore"), rank_candidates=ROOMS)

    assert find_solver(solver)(probe, HISTORY) in ROOMS
    assert find_solver(solver)(a_probe(rank_candidates=()), HISTORY) in ROOMS


class TestPresence:
    foils = ("Willow", "Elm", "Ash", "Birch")
    probe = a_probe(candidates=(*ROOMS, *foils), rank_candidates=foils)

    def test_the_one_candidate_to_rank_that_the_history_mentions_is_taken(self):
        assert find_solver("presence")(self.probe, HISTORY) == "Willow"

    def test_of_several_or_none_one_is_picked_blindly(self):
        for ranked in (ROOMS, ("Elm", "Ash")):
            probe = a_probe(candidates=(*ROOMS, *self.foils), rank_candidates=ranked)
            blind = find_solver("blind")(probe, HISTORY)
            assert find_solver("presence")(probe, HISTORY) == blind

    def test_it_has_nothing_to_say_about_sets_rules_or_yes_and_no(self):
        kinds = ("single", "abstain", "set", "rule", "yesno")

        said = [kind for kind in kinds if applies("presence", a_probe(answer_kind=kind))]

        assert said == ["single", "abstain"]


def test_never_abstain_names_a_value_though_abstaining_is_among_the_options():
    options = ("not mentioned", "Cedar")
    probe = a_probe(gold="not mentioned", gold_abstains=True, rank_candidates=options)

    assert find_solver("never-abstain")(probe, HISTORY) in ROOMS
    assert find_solver("never-abstain")(a_probe(rank_candidates=options), HISTORY) == "Willow"


def test_blind_says_the_same_to_both_variants():
    blind = find_solver("blind")

    assert blind(a_probe(gold="Cedar"), HISTORY) == blind(a_probe(variant="B"), HISTORY[-1:])


def test_a_flattened_history_is_read_as_its_messages():
    text = "\n".join(
        [
            "Here is our conversation so far:",
            "",
            f"User: {HISTORY[0].content}\nand more",
            f"Assistant: {HISTORY[1].content}",
            "",
            "Which room has the choir?",
        ]
    )
    probe = a_probe(condition="concat")

    history = history_of(probe, (Message("user", text),))

    assert [message.role for message in history] == ["user", "assistant"]
    assert history[0].content == f"{HISTORY[0].content}\nand more"
    assert find_solver("recency")(probe, (Message("user", text),)) == "Hazel"


@pytest.mark.parametrize("solver", ["recency", "primacy", "frequency", "last-entity", "overlap"])
def test_the_concat_condition_changes_no_reader_of_mentions(solver):
    solve = find_solver(solver)
    chosen = Selection(limit=1, lengths=(8,), conditions=("main", "concat"))
    for dialogue in build_suite("core", chosen).dialogues():
        answers = {}
        for asked in dialogue.probes:
            if applies(solver, asked.probe):
                key = (asked.probe.family, asked.probe.question)
                answers.setdefault(key, set()).add(solve(asked.probe, asked.messages))
        assert all(len(found) == 1 for found in answers.values())


class TestOverlap:
    def test_terms_are_english_words_and_pairs_of_chinese_characters(self):
        assert terms("it's 3 rooms, 望江厅") == ["it's", "3", "rooms", "望江", "江厅"]

    def test_the_clause_with_the_rarer_words_wins(self):
        clause = best_clause("where does the choir sing?", HISTORY[:-1])

        assert (clause.message, clause.start) == (0, 0)

    def test_texts_are_ranked_by_the_rarer_words_and_those_that_share_none_are_left_out(self):
        texts = ["The choir sings.", "Hello.", "The chess group and the cook sit.", "The end."]

        assert best_texts("where does the choir sing?", texts)[0] == 0
        assert 1 not in best_texts("where does the choir sing?", texts)

    def test_the_first_candidate_of_the_best_clause_is_taken(self):
        assert find_solver("overlap")(a_probe(), HISTORY) == "Cedar"

    def test_without_one_the_nearest_before_it_is_taken(self):
        told = chat("Hazel it is, the choir knows.", "Fine.", "Cedar is shut.", "Oh.", "The choir?")
        probe = a_probe(question_text="The choir?")

        assert find_solver("overlap")(probe, told) == "Hazel"

    def test_a_question_that_shares_nothing_gets_a_blind_pick(self):
        probe = a_probe(question_text="Wo?")

        assert find_solver("overlap")(probe, HISTORY) == find_solver("blind")(probe, HISTORY)


class TestSets:
    items = ("rope", "kettle", "tarp", "compass")
    probe = a_probe(
        answer_kind="set",
        candidates=items,
        gold="rope, compass",
        gold_items=("rope", "compass"),
        rank_candidates=("rope, compass", "rope, kettle", "kettle, tarp", "tarp, compass"),
    )
    told = chat(
        "My list: rope, kettle.", "Good.", "Swap kettle for tarp, tarp for compass.", "Ok.", "?"
    )

    def test_blind_and_constant_pick_one_of_the_ranked_sets(self):
        assert find_solver("constant")(self.probe, self.told) == "rope, compass"
        assert find_solver("blind")(self.probe, self.told) in self.probe.rank_candidates

    def test_positional_solvers_list_as_many_items_as_the_answer_has(self):
        assert find_solver("primacy")(self.probe, self.told) == "rope, kettle"
        assert find_solver("recency")(self.probe, self.told) == "compass, tarp"
        assert find_solver("frequency")(self.probe, self.told) == "kettle, tarp"

    def test_dump_lists_all(self):
        assert find_solver("dump")(self.probe, self.told) == "rope, kettle, tarp, compass"


@pytest.mark.parametrize(
    ("lang", "rule"),
    [
        ("en", Rule("suffix", ("roger",))),
        ("en", Rule("json", ("msg",))),
        ("zh", Rule("prefix", ("收到",))),
        ("zh", Rule("wrap", ("【", "】"))),
    ],
)
class TestRules:
    def probe(self, lang, rule, gold="marked"):
        return a_probe(
            answer_kind="rule", rule=rule, gold=gold, candidates=(), rank_candidates=(), lang=lang
        )

    def test_the_oracle_marks_its_reply_when_it_must(self, lang, rule):
        for gold in ("marked", "plain"):
            probe = self.probe(lang, rule, gold)
            assert judge_text(probe, find_solver("oracle")(probe, HISTORY)).reason == "correct"

    def test_follow_marks_always_and_never_follow_never(self, lang, rule):
        for name, marked in (("follow", 1), ("never-follow", 0), ("blind", 0), ("window-1", 0)):
            probe = self.probe(lang, rule)
            assert judge_text(probe, find_solver(name)(probe, HISTORY)).score == marked

    def test_copycat_does_as_the_last_scripted_reply(self, lang, rule):
        probe = self.probe(lang, rule)
        marked = find_solver("follow")(probe, ())
        for reply, score in ((marked, 1), ("Fine.", 0)):
            told = chat("Hello.", reply, "And now?")
            assert judge_text(probe, find_solver("copycat")(probe, told)).score == score


def test_yes_and_no_and_a_dump_of_both():
    probe = a_probe(answer_kind="yesno", candidates=("yes", "no"), gold="no", lang="en")

    scores = {
        name: judge_text(probe, find_solver(name)(probe, HISTORY)).score
        for name in ("yes", "no", "dump", "abstain", "oracle")
    }

    assert scores == {"yes": 0, "no": 1, "dump": 0, "abstain": 0, "oracle": 1}


def test_the_solver_with_prejudices_gains_nothing_on_pronouns():
    gender = find_solver("gender")
    found = {}
    chosen = Selection(limit=2, families=("pronoun",), conditions=("main",), lengths=(4,))
    for dialogue in build_suite("core", chosen).dialogues():
        for asked in dialogue.probes:
            answer = gender(asked.probe, asked.messages)
            assert answer in asked.probe.candidates
            found.setdefault(asked.probe.twin_group, set()).add(answer)
    assert all(len(answers) == 1 for answers in found.values())


def test_who_never_abstains_names_a_value_where_the_phrase_is_ranked_and_right():
    phrase = "not mentioned"

    for number in range(20):
        probe = a_probe(
            answer_kind="abstain",
            gold=phrase,
            gold_abstains=True,
            rank_candidates=(*ROOMS, phrase),
            question_text=f"Which room has choir {number}?",
        )
        assert find_solver("never-abstain")(probe, HISTORY) in ROOMS


def test_a_solver_applies_to_the_kinds_it_has_something_to_say_about():
    rule = a_probe(answer_kind="rule", rule=Rule("suffix", ("roger",)))

    assert not applies("recency", rule)
    assert applies("follow", rule)
    assert not applies("follow", a_probe())
    assert applies("blind", rule)
    assert not applies("gender", a_probe())
    assert not applies("never-abstain", a_probe())


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_answers_every_probe_behind_the_protocol_of_engines(solver):
    suite = build_suite("full", Selection(limit=1, lengths=(8,), langs=("zh",)))
    asked = [asked for dialogue in suite.dialogues() for asked in dialogue.probes]
    engine = SolverEngine(solver, suite)
    requests = tuple(Request(a.probe.id, a.messages, "generate") for a in asked)

    replies = list(engine.answer(Unit("all", requests)))

    assert len(replies) == len(asked)
    assert all(reply.text for reply in replies)


def test_a_window_is_named_by_its_turns_or_its_thousands_of_tokens():
    names = ("window-8", "window-32k", "window-0", "window-0k", "window-k", "oracle")

    assert [window_of(name) for name in names] == [8, *[None] * 5]
    assert [is_window(name) for name in names] == [True, True, *[False] * 4]
    for name in names[2:5]:
        with pytest.raises(InputError, match=f"unknown solver '{name}'"):
            find_solver(name)


def test_a_window_of_tokens_sees_the_evidence_that_its_tokens_reach_back_to():
    probe = a_probe(needs=(2,), distance_first=0)
    filler = "a word " * 400
    near, far = chat("one", "ok", "two", "ok", "?"), chat("one", "ok", filler * 2, "ok", "?")

    assert find_solver("window-1k")(probe, near) == "Willow"
    assert find_solver("window-1k")(probe, far) == "not mentioned"
    assert find_solver("window-2k")(probe, far) == "Willow"
    first = a_probe(needs=(1,), distance_first=1)
    assert find_solver("window-2k")(first, chat("one", filler, "two", filler, "?")) == "Willow"
    assert find_solver("window-1k")(first, far) == "not mentioned"


@pytest.mark.parametrize(("name", "near"), [("recent", "recency"), ("orcle", "oracle")])
def test_an_unknown_solver_names_the_nearest(name, near):
    with pytest.raises(InputError, match=f"unknown solver '{name}'; near: {near}"):
        check_solver_name(name)


def test_a_probe_that_a_wider_run_of_the_suite_asks_is_answered_too():
    narrow = Selection(
        lengths=(1,), families=("fact_recall",), conditions=("main",), langs=("en",), limit=1
    )
    wide = build_suite("quick", Selection(lengths=(1, 3), langs=("en",), limit=1))
    engine = SolverEngine("oracle", build_suite("quick", narrow))
    whole = SolverEngine("oracle", wide)

    for dialogue in wide.dialogues():
        asked = dialogue.probes
        requests = tuple(Request(a.probe.id, a.messages, "generate") for a in asked)
        unit = Unit(dialogue.id, requests)
        assert list(engine.answer(unit)) == list(whole.answer(unit))
