"""Audits that read words and answers: each passes, and fails on a fault."""

import pytest

from tools.audit.lexicon import lexicon
from tools.audit.parsing import parser

from .conftest import small, with_bank


class TestLexicon:
    def test_the_real_words_are_fine(self):
        suite = small("*", suite="full")

        assert lexicon(suite.sources, suite.families).findings == ()

    @pytest.mark.parametrize(
        ("name", "lang", "change", "what"),
        [
            ("abstention", "en", ("oboe", "slide oboe reed, oboe"), "stands in the value"),
            ("abstention", "en", ("oboe", "and"), "stands in the word 'and'"),
            ("abstention", "en", ("oboe", "the gym"), "stands in the key 'the gym' of fact_recall"),
            (
                "abstention",
                "en",
                ("oboe", "Cedar"),
                "'Cedar' is a value of abstention and update_l",
            ),
            ("update_latest", "zh", ("听泉厅", "松涛"), "'松涛' stands in the value '松涛厅'"),
            ("fact_recall", "en", ("Isadora, ", ""), "11 female and 12 male names"),
            ("abstention", "en", ("[oboe, ", "["), "23 values, 24 are needed"),
        ],
    )
    def test_a_bad_word_is_named(self, doctored, name, lang, change, what):
        suite = doctored(small(name), name, lang, change)

        line = lexicon(suite.sources, suite.families)

        assert line.status == "fail"
        assert any(what in found.what for found in line.findings), line.findings

    def test_chinese_names_that_share_a_character(self, doctored):
        suite = small("fact_recall", "pronoun")
        names = suite.sources.families["fact_recall"].words["zh", "eval"].values
        other = suite.sources.families["pronoun"].words["zh", "eval"].values.f[0]
        suite = doctored(suite, "fact_recall", "zh", (names.f[0], names.f[0][:2] + other[2]))

        found = lexicon(suite.sources, suite.families).findings

        assert any(f"shares {other[2]} with another name of mixed" in f.what for f in found)

    def test_a_template_of_both_splits_and_one_that_names_a_value(self, doctored):
        suite = small("fact_recall")
        only = suite.sources.families["fact_recall"].words["en", "eval"].questions.lexical
        train = suite.sources.families["fact_recall"].words["en", "train"].questions.lexical
        suite = doctored(suite, "fact_recall", "en", (train[0], only[0]), (only[1], "Does Margot?"))

        texts = [found.what for found in lexicon(suite.sources, suite.families).findings]

        assert any("both splits share the template" in text for text in texts)
        assert any("'Margot' stands in the sentence 'Does Margot?'" in text for text in texts)

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
        suite = doctored(suite, "fact_recall", "en", ("Isadora", "Unknown"))

        line = parser(suite)

        assert line.status == "fail"
        assert line.findings[0].what == "'Unknown' is judged multiple"
