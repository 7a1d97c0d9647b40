"""Audits of the benchmark itself: each passes, and fails on a fault; a wheel says what it lacks."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from qwen_bench.audit.audit_suite import audit_suite
from qwen_bench.audit.maintenance import checkout
from qwen_bench.errors import InputError
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import Own, build_suite
from tools.audit.determinism import across_suites, determinism
from tools.audit.purity import judge_free
from tools.audit.token_lengths import token_lines

from .conftest import small


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
twin: swap
answer: single
chance: 0.5
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
    word = " ".join(sorted({"so", "well", "now", "then", "right", "okay"}, key=hash))
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
    def lines(self, *models):
        suite = small("false_history_resistance", suite="full", lengths=(4,), langs=("en",))
        return {line.name: line for line in token_lines(suite, models)}

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


class TestInstalledPackage:
    def test_it_says_what_only_a_checkout_audits_and_audits_the_rest(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "tools.audit", None)
        chosen = Selection(limit=1, lengths=(2, 4), families=("fact_recall",), langs=("en",))

        audit = audit_suite(build_suite("quick", chosen), chosen, build_suite)

        skipped = {line.name for line in audit.lines if "needs a checkout" in line.summary}
        assert skipped == {
            *("forgetting", "determinism", "suites", "lexicon", "parser", "judge-free"),
            *("rank tokens", "prompt tokens", "template"),
        }
        assert {line.status for line in audit.lines if line.name not in skipped} == {
            "ok",
            "skipped",
        }
        assert audit.curves == {}

    def test_a_model_is_audited_in_a_checkout_only(self, tmp_path):
        with pytest.raises(InputError, match="--model needs a checkout"):
            checkout(tmp_path / "tasks", "--model")
