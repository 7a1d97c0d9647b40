"""Audits that read words and answers: each passes, and fails on a fault."""

from dataclasses import replace

import pytest

from tools.audit.lexicon import lexicon
from tools.audit.parsing import parser

from .conftest import small, with_bank, with_family


class TestLexicon:
    def test_the_real_words_are_fine(self):
        suite = small("*", suite="full")

        assert lexicon(suite.sources, suite.families).findings == ()

    @pytest.mark.parametrize(
        ("change", "what"),
        [
            (("Isadora", "Margot May"), "'Margot' stands in 'Margot May' of fact_recall en eval"),
            (("Isadora", "and"), "'and' stands in 'and'"),
            (("Isadora", "gym"), "'gym' stands in 'the gym' of fact_recall en eval"),
            (("the stepladder", "Margot's ladder"), "'Margot' stands in 'Margot's ladder' of"),
            (("Edith", "Margot"), "eval and lures share the word 'Margot'"),
            (("has gone to", "left the gym for"), "the key 'gym' stands in 'Note to self"),
            (("Isadora, ", ""), "23 female and 24 male names"),
            (("Isadora, ", ""), "47 values, 48 are needed"),
        ],
    )
    def test_a_bad_word_is_named(self, doctored, change, what):
        suite = doctored(small("fact_recall"), "fact_recall", "en", change)

        line = lexicon(suite.sources, suite.families)

        assert line.status == "fail"
        assert any(what in found.what for found in line.findings), line.findings

    def test_a_part_with_too_few_keys_or_templates_or_lists_of_unequal_length(self):
        suite = small("fact_recall")
        family = suite.sources.families["fact_recall"]
        words = family.words["en", "eval"]
        fewer = words.model_copy(
            update={"entities": words.entities[:19], "pasted": words.pasted[:3]}
        )
        suite = with_family(suite, replace(family, words={**family.words, ("en", "eval"): fewer}))

        texts = [str(found) for found in lexicon(suite.sources, suite.families).findings]

        assert "fact_recall en eval: 19 keys, 20 are needed" in texts
        assert "fact_recall en eval: 3 phrasings of pasted, 4 are needed" in texts
        assert "fact_recall eval: en and zh differ in the length of entities" in texts

    def test_lures_with_too_few_values(self):
        suite = small("fact_recall")
        family = suite.sources.families["fact_recall"]
        words = family.lures["en"]
        values = words.values.model_copy(update={"f": words.values.f[:6], "m": words.values.m[:6]})
        lures = {**family.lures, "en": words.model_copy(update={"values": values})}
        suite = with_family(suite, replace(family, lures=lures))

        texts = [str(found) for found in lexicon(suite.sources, suite.families).findings]

        assert "fact_recall en lures: 12 values, 24 are needed" in texts

    def test_chinese_given_names_of_a_list_that_share_a_character(self, doctored):
        suite = small("fact_recall")
        first, second = suite.sources.families["fact_recall"].words["zh", "eval"].values.f[:2]
        suite = doctored(suite, "fact_recall", "zh", (first, first[:2] + second[2]))

        found = lexicon(suite.sources, suite.families).findings

        assert any(f"shares {second[2]} with another name of its list" in f.what for f in found)

    def test_a_template_of_both_splits_and_one_that_names_a_value(self, doctored):
        suite = small("fact_recall")
        only = suite.sources.families["fact_recall"].words["en", "eval"].questions.lexical
        train = suite.sources.families["fact_recall"].words["en", "train"].questions.lexical
        suite = doctored(suite, "fact_recall", "en", (train[0], only[0]), (only[1], "Does Margot?"))

        texts = [found.what for found in lexicon(suite.sources, suite.families).findings]

        assert any("eval and train share the template" in text for text in texts)
        assert any("'Margot' stands in 'Does Margot?'" in text for text in texts)

    def test_a_value_that_many_threads_of_the_bank_hold(self):
        suite = small("fact_recall")
        name = suite.sources.families["fact_recall"].words["en", "eval"].answers[0]
        suite = with_bank(suite, request=f"{name}, perhaps?")

        texts = [str(found) for found in lexicon(suite.sources, suite.families).findings]

        assert f"calm bank: 90 threads of 90 hold '{name}'" in texts


class TestParser:
    def test_every_answer_of_the_real_suite_survives_wrapping(self):
        assert parser(small("*", suite="full", lengths=(8,))).status == "ok"

    def test_a_value_that_reads_as_an_abstention(self, doctored):
        suite = small("fact_recall", suite="core", limit=6, lengths=(8,), langs=("en",))
        gold = next(suite.dialogues()).probes[0].probe.gold
        suite = doctored(suite, "fact_recall", "en", (gold, "Unknown"))

        line = parser(suite)

        assert line.status == "fail"
        assert line.findings[0].what == "'Unknown' is judged multiple"
