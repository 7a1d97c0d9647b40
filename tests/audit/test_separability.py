"""Evidence cannot be told from the rest by its surface; where it can, the audit says by what."""

import builtins
import importlib.util

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from qwen_bench.audit import separability
from qwen_bench.audit.separability import (
    ENOUGH_CLUSTERS,
    NAMES,
    Separability,
    auc,
    need_classifier,
    separate,
)
from qwen_bench.audit.surface import about_tokens, surface_of
from qwen_bench.errors import InputError
from qwen_bench.probes.probe import Turn

from . import toy
from .toy import watched

MANY = 60


def features(user, assistant="Fine.", lang="en"):
    return dict(zip(NAMES, surface_of(Turn(user, assistant), lang), strict=True))


class TestSurface:
    def test_signs_are_counted_in_both_languages(self):
        en = features('Is it "late", or not: 12 or 13?\nBring Rex.')
        zh = features("“晚了”吗？买：苹果、梨，共12个。", lang="zh")

        def signs(found):
            names = ("question marks", "digits", "commas", "colons", "line breaks", "quotes")
            return [found[f"{name} of the user"] for name in names]

        assert signs(en) == [1, 4, 1, 1, 1, 2]
        assert signs(zh) == [1, 2, 2, 1, 0, 2]

    def test_capitalised_words_inside_a_sentence_and_chinese_names_are_counted(self):
        name = "names of the user"

        assert features("I met Margot, and Kemal. She left.")[name] == 2
        assert features("我问了李清照，她说王维。", lang="zh")[name] == 2

    def test_sentences_end_at_full_stops_and_marks(self):
        name = "sentences of the user"

        assert features("One. Two! Three? And 3.5 more.")[name] == 4
        assert features("一。二！三？", lang="zh")[name] == 3

    def test_the_difference_in_length_is_a_feature_of_its_own(self):
        found = features("one two three", "one")

        assert found["tokens of the user less those of the assistant"] == 2

    def test_tokens_are_words_digits_signs_and_characters(self):
        assert about_tokens("It's 12 o'clock, 中文。") == 8


class TestAuc:
    @pytest.mark.parametrize("seed", range(4))
    def test_it_is_that_of_the_usual_library_with_ties(self, seed):
        random = np.random.default_rng(seed)
        truths = random.random(200) < 0.2
        scores = np.round(random.random(200) + 0.3 * truths, 1)

        assert auc(truths, scores) == pytest.approx(roc_auc_score(truths, scores))

    def test_a_constant_feature_tells_nothing(self):
        assert auc(np.array([True, False, False]), np.zeros(3)) == 0.5


class TestSeparability:
    def test_evidence_in_the_shape_of_everything_else_is_not_told_apart(self):
        check = Separability()
        line = watched(check, toy.renderings(MANY))

        found = check.separated["mixed", "en"]
        assert line.status == "ok", line
        assert found.gated
        assert (found.clusters, found.evidence, found.others) == (120, 120, 360)
        assert found.auc < 0.6

    def test_evidence_without_a_request_is_told_apart_and_the_marks_are_named(self):
        bare = toy.turned(
            lambda _, turn: (
                turn if turn.group is None else Turn(turn.user.split("\n")[0], "Noted.", "toy")
            )
        )

        line = watched(Separability(), toy.renderings(MANY, change=bare))

        assert line.status == "fail"
        assert line.findings[0].where == "mixed en"
        assert line.findings[0].what.startswith("AUC 1.000, at most 0.60 is allowed; alone: ")
        assert "line breaks of the user 0.00" in line.findings[0].what

    def test_few_clusters_are_reported_and_not_judged(self):
        few = ENOUGH_CLUSTERS // 2 - 2
        bare = toy.turned(
            lambda _, turn: turn if turn.group is None else Turn("Hm.", "Noted.", "toy")
        )

        line = watched(Separability(), toy.renderings(few, change=bare))

        assert line.status == "ok"
        assert "mixed en 1.00; too few turns to judge: mixed en" in line.summary

    def test_a_second_run_finds_the_same(self):
        first, second = Separability(), Separability()
        dialogues = toy.renderings(20)

        assert watched(first, dialogues) == watched(second, dialogues)
        assert first.separated == second.separated

    def test_a_dialogue_whose_evidence_is_the_system_message_has_nothing_to_tell_apart(self):
        rows = [(f"c-{i}", False, (0.0,) * len(NAMES)) for i in range(100)]

        assert separate(rows) is None

    def test_the_library_is_loaded_when_a_verdict_is_due_and_named_where_it_is_missing(
        self, monkeypatch
    ):
        found = importlib.util.find_spec
        monkeypatch.setattr(
            separability, "find_spec", lambda name: None if name == "sklearn" else found(name)
        )
        loaded = []
        importing = builtins.__import__
        monkeypatch.setattr(
            builtins,
            "__import__",
            lambda name, *a, **k: loaded.append(name) or importing(name, *a, **k),
        )

        line = watched(Separability(), toy.renderings(1))

        assert line.status == "skipped"
        assert line.summary == "needs scikit-learn: pip install 'qwen-bench[audit]'"
        assert not [name for name in loaded if name.startswith("sklearn")]
        with pytest.raises(InputError) as caught:
            need_classifier()
        assert caught.value.fix == ("pip install 'qwen-bench[audit]'",)


class TestSearch:
    def test_a_question_that_names_its_key_finds_the_turn_first(self):
        check = Separability()
        for rendering in toy.renderings(4):
            check.see(rendering)

        found = check.found()

        assert [*found] == [("en", lev, w) for lev in (1, 2) for w in ("lexical", "paraphrase")]
        assert {search.first.value for search in found.values()} == {1.0}
        assert {search.first.n for search in found.values()} == {2}

    def test_a_question_that_shares_no_word_finds_nothing(self):
        check = Separability()
        changed = toy.asked_with(lambda _: {"question_text": "Wer?"})
        for rendering in toy.renderings(4, change=changed):
            check.see(rendering)

        assert {search.among_three.value for search in check.found().values()} == {0.0}

    def test_the_tables_for_the_terminal_name_programme_level_and_wording(self):
        check = Separability()
        watched(check, toy.renderings(20))

        text = "\n".join(check.lines())

        assert "mixed        en  " in text
        assert "en  level 2  paraphrase   " in text
