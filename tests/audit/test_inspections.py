"""Audits that read words, build again or look at tokens: each passes, and fails on a fault."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from qwen_bench.audit.determinism import across_suites, determinism
from qwen_bench.audit.lexicon import lexicon
from qwen_bench.audit.parsing import parser
from qwen_bench.audit.purity import judge_free
from qwen_bench.audit.token_lengths import token_lines
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import Own, build_suite

from .conftest import small


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

    def test_filler_that_holds_a_value(self, refilled):
        suite = refilled(small("fact_recall"), user="Margot, perhaps?")

        found = lexicon(suite.sources, suite.families).findings[0]

        assert (found.where, found.what) == ("en.jsonl:1", "the filler holds 'Margot'")


class TestParser:
    def test_every_answer_of_the_real_suite_survives_wrapping(self):
        assert parser(small("*", suite="full", lengths=(8,))).status == "ok"

    def test_a_value_that_reads_as_an_abstention(self, doctored):
        suite = small("fact_recall", suite="core", limit=6, lengths=(8,), langs=("en",))
        suite = doctored(suite, "fact_recall", "en", ("Isadora", "Unknown"))

        line = parser(suite)

        assert line.status == "fail"
        assert line.findings[0].what == "'Unknown' is judged multiple"


class TestJudgeFree:
    def test_the_scorer_asks_no_model(self):
        assert judge_free().status == "ok"

    @pytest.mark.parametrize(
        "line", ["import torch", "from qwen_bench.engines.hf.hf_engine import HfEngine"]
    )
    def test_a_scorer_that_could(self, tmp_path, line):
        (tmp_path / "judge.py").write_text(f"{line}\n", encoding="utf-8")

        assert judge_free(tmp_path).findings[0].where == "scoring/judge.py"


class TestSameness:
    def test_a_suite_has_the_same_bytes_in_any_order_and_process(self):
        chosen = Selection(limit=1, lengths=(4,))

        line = determinism(build_suite("quick", chosen), chosen)

        assert (line.status, line.count) == ("ok", 0)

    def test_a_family_whose_logic_depends_on_the_hash_seed(self, tmp_path, monkeypatch):
        folder = tmp_path / "tasks" / "seedy"
        folder.mkdir(parents=True)
        (tmp_path / "seedy_logic.py").write_text(_SEEDY, encoding="utf-8")
        (folder / "task.yaml").write_text(_SEEDY_TASK, encoding="utf-8")
        (folder / "en.yaml").write_text(_SEEDY_WORDS, encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        chosen = Selection(families=("seedy",), limit=1, lengths=(4,), langs=("en",))
        suite = build_suite("quick", chosen, own=Own((str(tmp_path / "tasks"),)))

        line = determinism(suite, chosen)
        sys.modules.pop("seedy_logic", None)

        assert line.status == "fail"
        assert "under PYTHONHASHSEED=" in line.findings[0].what

    def test_turns_do_not_depend_on_the_suite_or_its_longest_history(self):
        chosen = Selection(limit=1)

        assert across_suites(build_suite("quick", chosen), chosen, build_suite).status == "ok"

    def test_a_suite_that_draws_other_skeletons(self):
        chosen = Selection(limit=1)

        def rebuild(name, selection):
            suite = build_suite(name, selection)
            return replace(suite, sources=replace(suite.sources, scope=("another",)))

        line = across_suites(build_suite("quick", chosen), chosen, rebuild)

        assert "other text with" in line.findings[0].what


_SEEDY_TASK = """\
name: seedy
version: 1
builder: seedy_logic:BUILDER
evidence_turns: [1, 1]
twin: swap
answer: single
chance: 0.5
floor: 0.5
"""
_SEEDY_WORDS = """\
eval:
  values: [plum, fig]
  questions: ["Which fruit?"]
"""
_SEEDY = """\
from qwen_bench.probes.instance import Builder, Evidence, Instance, Question, Words


class Fruit(Words):
    values: list[str]
    questions: list[str]

    @property
    def answers(self):
        return self.values


def build(brief, words):
    gold = words.values[brief.variant == "B"]
    word = sorted({"so", "well", "now", "then"}, key=hash)[0]
    told = Evidence(f"{word}, I like the {gold}.", "Good.", {})
    asked = Question(brief.families[0], "fruit", {}, gold, tuple(words.values), (0,))
    return Instance((told,), (asked,))


BUILDER = Builder(Fruit, build)
"""


class Letters:
    """A tokenizer of single characters that joins what is in `pairs`."""

    def __init__(self, *pairs):
        self.pairs = pairs

    def encode(self, text, **_):
        ids = []
        while text:
            size = 2 if text[:2] in self.pairs else 1
            ids.append(hash(text[:size]))
            text = text[size:]
        return ids


def prompter(*pairs, opening=""):
    tokenizer = Letters(*pairs)

    def prompt(messages):
        text = opening + "".join(f"<{m.role}>{m.content}\n" for m in messages) + "<assistant>"
        return SimpleNamespace(text=text, ids=tuple(tokenizer.encode(text)))

    def candidate(text):
        return tuple(tokenizer.encode(text))

    return SimpleNamespace(tokenizer=tokenizer, prompt=prompt, candidate=candidate)


class TestTokens:
    suite = small("false_history_resistance", suite="full", lengths=(4,), langs=("en",))

    def lines(self, *models):
        return {line.name: line for line in token_lines(self.suite, models)}

    def test_without_a_model_they_say_what_they_need(self):
        lines = self.lines()

        assert {line.status for line in lines.values()} == {"skipped"}
        assert "--model" in lines["rank tokens"].summary

    def test_candidates_that_begin_in_tokens_of_their_own(self):
        assert self.lines(("a", prompter()))["rank tokens"].status == "ok"

    def test_a_candidate_that_joins_the_end_of_the_prompt(self):
        line = self.lines(("a", prompter(">y")))["rank tokens"]

        assert line.findings[0].what == "a writes 'yes' in other tokens"

    def test_variants_of_unequal_length_in_tokens(self):
        assert self.lines(("a", prompter()))["prompt tokens"].status == "ok"

    def test_two_templates_are_compared(self):
        same = self.lines(("a", prompter()), ("b", prompter()))["template"]
        other = self.lines(("a", prompter()), ("b", prompter(opening="<s>\n")))["template"]

        assert "are equal" in same.summary
        assert "a and b differ" in other.summary
        assert "+<s>" in other.summary
