"""Rules that make an answer recognisable and a shortcut useless (sections 3.2, 3.3, 3.5)."""

import itertools
import json
import re
from collections import Counter, defaultdict
from functools import cache

import pytest

from qwen_bench.audit.trees import strings_of, tree_of
from qwen_bench.errors import DataError
from qwen_bench.probes.bank import load_bank, without
from qwen_bench.probes.definitions import load_families, load_family, read_yaml
from qwen_bench.probes.probe import LANGS
from qwen_bench.probes.selection import Selection, load_canary
from qwen_bench.probes.suites import build_suite
from qwen_bench.probes.word_templates import pattern_of
from qwen_bench.resources import data_folder
from qwen_bench.scoring.mentions import find_mentions
from qwen_bench.scoring.normalise import normalise
from qwen_bench.scoring.score import judge_text

from .word_checks import list_lengths

TASKS = data_folder("tasks")
FAMILIES = load_families(TASKS)
SPLITS = ("eval", "train")
SECTIONS = (*SPLITS, "lures")
EVERY = list(itertools.product(LANGS, SPLITS))
SPOKEN_BY_THE_ASSISTANT = {
    *("assistant_recall", "ellipsis", "ordinal_ref", "own_output", "speaker_attribution"),
}
RULES = {"instruction_retention", "system_rule"}
# Days of a month, and labels beside which people are few.
FEW_ANSWERS = {"topic_return", *RULES}
# Threads of the bank that a word may cost the dialogues that name it.
MOST_THREADS = {"answers": 2, "keys": 6}
# As a numeral or as a word.
NUMBER = re.compile(r"\d+|[a-z]+(?:-[a-z]+)?|[一二三四五六七八九十]+")
ORDINALS = {"first", "second", "third", "fourth"}
PRONOUNS = {"she", "her", "he", "him", "his", "她", "他"}


def words_of(name, lang, section):
    """The words of a section; None where a family has no such section."""
    family = FAMILIES[name]
    return family.lures.get(lang) if section == "lures" else family.words[lang, section]


def every_section():
    for name, lang, section in itertools.product(FAMILIES, LANGS, SECTIONS):
        if words := words_of(name, lang, section):
            yield name, lang, section, words


def values_by_family(lang, split):
    found = {name: words_of(name, lang, split).answers for name in FAMILIES}
    return {name: answers for name, answers in found.items() if answers}


@cache
def file_text(name, lang, section):
    """All texts in a section of a word file, without the names of what templates fill in."""
    content = read_yaml(TASKS / name / f"{lang}.yaml").get(section, {})
    text = "\n".join(strings_of(content))
    return normalise(re.sub(r"{[{%].*?[%}]}", " ", text, flags=re.DOTALL)).text


def without_article(word):
    return re.sub(r"^(?:the|an?|my) ", "", word)


class TestLists:
    def test_there_are_48_values_and_20_keys_and_for_lures_24_and_20(self):
        short = [
            (name, lang, section, len(set(words.answers)), len(set(words.keys)))
            for name, lang, section, words in every_section()
            if FAMILIES[name].group == name
            if (
                len(set(words.answers)) < (24 if section == "lures" else 48)
                and name not in FEW_ANSWERS
            )
            or len(set(words.keys)) < 20
        ]
        assert short == []

    def test_no_value_and_no_key_is_listed_twice(self):
        for name, lang, section, words in every_section():
            for listed in (words.answers, words.keys):
                twice = [word for word, count in Counter(listed).items() if count > 1]
                assert twice == [], (name, lang, section)

    def test_every_form_of_evidence_has_four_templates_and_three_acknowledgements(self):
        for name, lang, section, words in every_section():
            forms = {place: found for place, found in told(tree_of(words)) if found}
            assert forms or FAMILIES[name].group != name
            for place, (templates, replies) in forms.items():
                assert len({*map(str, templates)}) >= 4, (name, lang, section, place)
                assert all(len(set(said)) >= 3 for said in replies), (name, lang, section, place)

    def test_every_kind_of_question_has_four_templates(self):
        for name, lang, section, words in every_section():
            if section != "lures":
                questions = tree_of(words.questions)
                kinds = questions.values() if isinstance(questions, dict) else [questions]
                for templates in kinds:
                    assert len(set(templates)) == len(templates) >= 4, (name, lang, section)

    @pytest.mark.parametrize("name", FAMILIES)
    def test_both_languages_have_lists_of_equal_length_so_that_draws_agree(self, name):
        """But for spellings of one answer, of which a language has as many as it has."""
        en, zh = (read_yaml(TASKS / name / f"{lang}.yaml") for lang in LANGS)
        assert en.keys() == zh.keys()
        for section in en.keys() & {*SECTIONS}:
            lengths = [
                {at: n for at, n in list_lengths(one[section]) if not at.endswith(".also")}
                for one in (en, zh)
            ]
            assert lengths[0] == lengths[1]


def told(tree, place=""):
    """Place of each list of templates of evidence, its templates, and their acknowledgements."""
    if isinstance(tree, dict) and "users" in tree:
        yield place, (tree["users"], [tree["assistant"]])
    elif isinstance(tree, dict):
        for key, value in tree.items():
            if key == "systems":
                for form, texts in value.items():
                    yield f"{place}.{key}.{form}", (texts, [])
            elif key != "questions":
                yield from told(value, f"{place}.{key}")
    elif isinstance(tree, list):
        turns = [one for item in tree if isinstance(item, dict) for one in turns_in(item)]
        if turns:
            yield place, (tree, [turn["assistant"] for turn in turns])


def turns_in(item):
    """The turns, with a user's text and acknowledgements, of one template of evidence."""
    if "user" in item and "assistant" in item and isinstance(item["user"], str):
        return [item]
    return [value for value in item.values() if isinstance(value, dict) and "assistant" in value]


class TestWordsOfOneFamily:
    @pytest.mark.parametrize("lang", LANGS)
    def test_train_and_eval_share_no_word_list_entry_and_no_sentence(self, lang):
        for name in FAMILIES:
            ours, theirs = (
                {*strings_of(told_words(words_of(name, lang, split)))} for split in SPLITS
            )
            assert ours & theirs <= PRONOUNS | ORDINALS | {""}, name

    @pytest.mark.parametrize("lang", LANGS)
    def test_no_value_and_no_key_of_a_section_is_one_of_another(self, lang):
        for name in FAMILIES:
            found = [
                {word.casefold() for word in (*words.answers, *words.keys)}
                for words in (words_of(name, lang, section) for section in SECTIONS)
                if words
            ]
            assert all(not one & two for one, two in itertools.combinations(found, 2)), name

    @pytest.mark.parametrize("lang", LANGS)
    def test_its_lures_name_no_answer_of_it(self, lang):
        for name, split in itertools.product(FAMILIES, SPLITS):
            found = pattern_of(answers_of(name, lang, split), plurals=True)
            assert found is None or not found.findall(file_text(name, lang, "lures")), name

    @pytest.mark.parametrize("split", SPLITS)
    def test_chinese_given_names_share_no_character_and_hold_no_numeral(self, split):
        for name in ("fact_recall", "pronoun", "ellipsis"):
            names = words_of(name, "zh", split).values.all
            counts = Counter(character for one in names for character in one[1:])
            assert all(len(one) == 3 for one in names)
            assert max(counts.values()) == 1, (name, counts.most_common(5))
            assert not set("一二三四两几厅室号个天日月年") & {*"".join(names)}


def told_words(words):
    """Words without separators, and without what everybody knows and a rule's question asks."""
    tree = tree_of(words)
    return {key: tree[key] for key in tree.keys() - {"comma", "value_suffix", "things"}}


def answers_of(name, lang, section):
    """What may be said for an answer: all values, and what is left of them without a suffix."""
    words = words_of(name, lang, section)
    suffix = getattr(words, "value_suffix", "")
    return [
        *words.answers,
        *(value.removesuffix(suffix) for value in words.answers if suffix),
    ]


def named(text, words):
    """The words that a text names, as the scorer finds them."""
    found = find_mentions(normalise(text).text, tuple(words), {})
    return sorted({mention.candidate for mention in found})


class TestWordsOfOneProgramme:
    @pytest.mark.parametrize(("lang", "split"), EVERY)
    def test_no_value_occurs_in_another_value(self, lang, split):
        for programme in {family.task.programme for family in FAMILIES.values()}:
            values = [
                value
                for name, found in values_by_family(lang, split).items()
                if FAMILIES[name].task.programme == programme
                for value in found
            ]
            assert len(set(values)) == len(values)
            for one in values:
                pattern = pattern_of([one])
                assert [two for two in values if two != one and pattern.search(two)] == []

    @pytest.mark.parametrize(("lang", "split"), EVERY)
    def test_no_answer_of_a_family_is_named_by_another_that_shares_its_dialogues(self, lang, split):
        """Evidence and questions of the split, and lures, which also stand in `system`."""
        clashes = []
        for name, values in values_by_family(lang, split).items():
            programme = FAMILIES[name].task.programme
            answers = pattern_of(answers_of(name, lang, split))
            for other, family in FAMILIES.items():
                shared = family.task.programme == programme
                lured = shared or (programme, family.task.programme) == ("system", "mixed")
                for section, stands in ((split, shared), ("lures", lured)):
                    if other != name and stands:
                        found = answers.findall(file_text(other, lang, section))
                        clashes += [f"{name}: {word} in {other}/{section}" for word in found]
            assert values
        assert clashes == []


class TestBank:
    @pytest.mark.parametrize(("lang", "split"), EVERY)
    def test_a_value_costs_a_dialogue_two_threads_at_most_and_a_key_six(self, lang, split):
        bank = load_bank(TASKS, lang, split)
        costly = []
        for name in FAMILIES:
            words = words_of(name, lang, split)
            for kind, listed in (("answers", words.answers), ("keys", words.keys)):
                for word in listed:
                    count = len(bank.threads) - len(
                        without(bank, [without_article(word)], long=False)
                    )
                    if count > MOST_THREADS[kind]:
                        costly.append((name, kind, word, count))
        assert costly == []

    @pytest.mark.parametrize(
        ("split", "exchanges", "topics"), [("eval", 240, 18), ("train", 100, 13)]
    )
    def test_it_is_large_enough_and_asks_nothing_twice(self, split, exchanges, topics):
        for lang in LANGS:
            threads = load_bank(TASKS, lang, split).threads
            requests = [exchange.request for thread in threads for exchange in thread.exchanges]
            assert len(set(requests)) == len(requests) >= exchanges
            assert len({thread.topic for thread in threads}) >= topics
            assert not any("<|" in text for text in texts_of_bank(lang, split))

    @pytest.mark.parametrize("lang", LANGS)
    def test_train_and_eval_share_no_request(self, lang):
        one, two = (
            {e.request for t in load_bank(TASKS, lang, split).threads for e in t.exchanges}
            for split in SPLITS
        )
        assert not one & two


@cache
def texts_of_bank(lang, split):
    """All that is said in each thread."""
    return [
        "\n".join(text for e in thread.exchanges for text in (e.request, e.answers[-1]))
        for thread in load_bank(TASKS, lang, split).threads
    ]


def said_of(probe):
    """Candidates and their spellings, without labels and bare numbers, which any text may hold."""
    labels = {"user", "assistant", "用户", "助手"}
    values = tuple(value for value in probe.candidates if value not in labels)
    spelled = {
        value: tuple(form for form in forms if not NUMBER.fullmatch(form))
        for value, forms in probe.aliases.items()
    }
    return values, spelled


@pytest.fixture(scope="module")
def dialogues():
    """Dialogues of every programme, both variants, in both languages."""
    core = build_suite("core", Selection(limit=1, conditions=("main",), lengths=(8, 32)))
    others = (
        *("speaker_attribution", "topic_return", "false_history_resistance", "system_rule"),
        *("preference_use", "own_output", "document_recall"),
    )
    full = build_suite(
        "full", Selection(families=others, limit=1, conditions=("main",), lengths=(8, 32))
    )
    return [*core.dialogues(), *full.dialogues()]


class TestDialogues:
    def test_a_candidate_is_mentioned_only_in_the_evidence_of_its_own_instance(self, dialogues):
        for dialogue in dialogues:
            asked_of = defaultdict(dict)
            for asked in dialogue.probes:
                if asked.probe.answer_kind not in {"rule", "yesno"}:
                    asked_of[asked.probe.twin_group.split("/")[2]][asked.probe.question] = (
                        asked.probe
                    )
            for turn in dialogue.turns:
                text = normalise(f"{turn.user}\n{turn.assistant}").text
                for group, probes in asked_of.items():
                    for probe in probes.values() if turn.group != group else ():
                        found = find_mentions(text, *said_of(probe))
                        assert not found, (turn, group, found)

    def test_acknowledgements_repeat_no_value_unless_they_are_evidence(self, dialogues):
        for dialogue in dialogues:
            probes = {a.probe.twin_group.split("/")[2]: a.probe for a in dialogue.probes}
            for turn in dialogue.turns:
                probe = probes.get(turn.group or "")
                if probe is None or probe.family in SPOKEN_BY_THE_ASSISTANT:
                    continue
                if probe.answer_kind != "yesno":
                    reply = normalise(turn.assistant).text
                    assert not find_mentions(reply, *said_of(probe)), turn

    def test_the_canonical_answer_of_every_probe_is_judged_right(self, dialogues):
        for asked in (asked for dialogue in dialogues for asked in dialogue.probes):
            if asked.probe.answer_kind != "rule":
                assert judge_text(asked.probe, asked.probe.gold).reason == "correct"

    def test_both_variants_are_about_equally_long(self, dialogues):
        lengths = {
            dialogue.id: sum(len(t.user) + len(t.assistant) for t in dialogue.turns)
            for dialogue in dialogues
        }
        for name, length in lengths.items():
            assert abs(length - lengths[name.replace("/A/", "/B/")]) <= 0.05 * length


def test_every_task_file_carries_the_canary_of_the_suites():
    canary = load_canary(TASKS)

    files = [*TASKS.glob("*/*.yaml"), TASKS / "suites.yaml"]
    generated = [p for p in TASKS.glob("lm_eval/**/*") if p.is_file() and p.suffix != ".md"]
    assert len([path for path in files if path.parent.name in FAMILIES]) == 3 * len(FAMILIES)
    assert generated
    for path in (*files, *generated):
        assert f'canary: "{canary}"' in path.read_text(encoding="utf-8"), path
    for path in TASKS.glob("filler/*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert json.loads(line)["canary"] == canary, path


class TestBadTaskFiles:
    @pytest.fixture
    def folder(self, tmp_path):
        source = TASKS / "fact_recall"
        target = tmp_path / "fact_recall"
        target.mkdir()
        for path in source.glob("*.yaml"):
            (target / path.name).write_bytes(path.read_bytes())
        return target

    def test_an_unknown_key_is_named_with_its_line(self, folder):
        path = folder / "en.yaml"
        lines = path.read_text(encoding="utf-8").replace("  only:", "  onyl:", 1)
        path.write_text(lines, encoding="utf-8")
        number = next(i for i, line in enumerate(lines.splitlines(), 1) if "onyl" in line)

        with pytest.raises(DataError, match=r"en.yaml:\d+  error") as caught:
            load_family(folder)

        assert "only" in str(caught.value) or "onyl" in str(caught.value)
        assert caught.value.line is not None
        assert caught.value.line <= number

    def test_broken_yaml_is_named_with_its_line(self, folder):
        path = folder / "zh.yaml"
        path.write_text("join: {sep: '，', last: '，'}\neval: [\n", encoding="utf-8")

        with pytest.raises(DataError, match=r"zh.yaml:\d+  error  not valid YAML"):
            load_family(folder)

    def test_a_missing_language_file_is_named(self, folder):
        (folder / "zh.yaml").unlink()

        with pytest.raises(DataError, match=r"zh.yaml  error  this file is missing"):
            load_family(folder)

    def test_an_unknown_builder_names_the_nearest(self, folder):
        path = folder / "task.yaml"
        path.write_text(path.read_text().replace("builder: bindings", "builder: binding"))

        with pytest.raises(DataError, match="no builder 'binding'; near: bindings"):
            load_family(folder)
