"""Rules that make an answer recognisable and a shortcut useless (sections 3.2, 3.3, 3.5)."""

import itertools
import json
import re
from collections import Counter

import pytest

from qwen_bench.errors import DataError
from qwen_bench.probes.definitions import load_families, load_family
from qwen_bench.probes.filler import load_filler
from qwen_bench.probes.probe import LANGS
from qwen_bench.probes.selection import Selection, load_canary
from qwen_bench.probes.suites import build_suite
from qwen_bench.resources import data_folder
from qwen_bench.scoring.mentions import find_mentions
from qwen_bench.scoring.normalise import normalise
from qwen_bench.scoring.score import judge_text

TASKS = data_folder("tasks")
SPLITS = ("eval", "train")
# Families whose answers are a form of the reply, and those whose answers are labels or days.
SPOKEN_BY_THE_ASSISTANT = {"ellipsis", "assistant_recall", "ordinal_ref"}
WITHOUT_VALUES = {"instruction_retention", "system_rule"}
FEW_ANSWERS = {"speaker_attribution", "topic_return"}
EVERY = list(itertools.product(LANGS, SPLITS))


def all_values(lang, split):
    return {
        name: family.words[lang, split].answers
        for name, family in load_families(TASKS).items()
        if family.words[lang, split].answers
    }


def strings_in(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings_in(item)


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_every_family_has_at_least_24_values_and_8_keys(lang, split):
    for name, family in load_families(TASKS).items():
        words = family.words[lang, split]
        if name in WITHOUT_VALUES or family.name != family.group:
            continue
        assert len(set(words.answers)) >= 24 or name in FEW_ANSWERS, name
        assert len(set(words.keys)) >= 8, name


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_every_family_has_four_phrasings_of_evidence_and_question(lang, split):
    for name, family in load_families(TASKS).items():
        words = family.words[lang, split]
        if isinstance(getattr(words, "evidence", None), list):
            assert len(words.evidence) >= 4, name
        questions = words.questions
        lists = [questions] if isinstance(questions, list) else questions.model_dump().values()
        for templates in lists:
            assert len(set(templates)) >= 4, name


def test_lists_have_equal_lengths_in_both_languages_so_that_draws_agree():
    def shape(value):
        if isinstance(value, dict):
            return {key: shape(item) for key, item in value.items() if key != "value_suffix"}
        if isinstance(value, list):
            return [len(value)] + (
                [shape(value[0])] if value and not isinstance(value[0], str) else []
            )
        return None

    for family in load_families(TASKS).values():
        for split in SPLITS:
            en, zh = (shape(family.words[lang, split].model_dump()) for lang in LANGS)
            assert en == zh, (family.name, split)


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_no_value_occurs_in_another_value_of_any_family(lang, split):
    values = [normalise(v).text for found in all_values(lang, split).values() for v in found]

    assert len(set(values)) == len(values)
    for one, two in itertools.permutations(values, 2):
        if lang == "zh":
            assert one not in two
        else:
            assert not re.search(rf"\b{re.escape(one)}\b", two)


@pytest.mark.parametrize("split", SPLITS)
def test_chinese_names_share_no_character_and_hold_no_numeral(split):
    names = [
        name
        for family in ("fact_recall", "pronoun", "ellipsis")
        for name in load_families(TASKS)[family].words["zh", split].values.all
    ]

    counts = Counter(character for name in names for character in name)
    assert all(len(name) == 3 for name in names)
    assert max(counts.values()) == 1, counts.most_common(5)
    assert not set("一二三四两几厅室号个天日月年") & set(counts)


@pytest.mark.parametrize("lang", LANGS)
def test_train_and_eval_share_no_word_list_entry_and_no_sentence(lang):
    for name, family in load_families(TASKS).items():
        ours, theirs = (set(strings_in(family.words[lang, split].model_dump())) for split in SPLITS)
        pronouns = {"she", "her", "he", "him", "his", "她", "他"}
        assert ours & theirs <= pronouns | {""}, name
    values = [set(itertools.chain(*all_values(lang, split).values())) for split in SPLITS]
    assert not values[0] & values[1]
    banks = [load_filler(TASKS, lang, split) for split in SPLITS]
    texts = [{t.user for thread in b.threads for t in thread} for b in banks]
    assert not texts[0] & texts[1]


@pytest.mark.parametrize("lang", LANGS)
def test_the_filler_bank_is_large_enough_and_repeats_nothing(lang):
    bank = load_filler(TASKS, lang, "eval")

    exchanges = [turn for thread in bank.threads for turn in thread]
    assert len(exchanges) >= 300
    assert len({turn.user for turn in exchanges}) == len(exchanges)
    assert len({turn.assistant for turn in exchanges}) == len(exchanges)
    assert {len(thread) for thread in bank.threads} <= {2, 3, 4}


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_no_filler_mentions_a_value_or_a_digit(lang, split):
    values = [v for s in SPLITS for found in all_values(lang, s).values() for v in found]

    for thread in load_filler(TASKS, lang, split).threads:
        for turn in thread:
            text = normalise(f"{turn.user}\n{turn.assistant}").text
            assert not find_mentions(text, values, {}), turn
            assert not re.search(r"\d|<\||  ", turn.user + turn.assistant), turn


@pytest.mark.parametrize("lang", LANGS)
def test_a_candidate_is_mentioned_only_in_the_evidence_of_its_own_instance(lang):
    for dialogue in build_suite("core", Selection(langs=(lang,), limit=4)).dialogues():
        by_group = {}
        for asked in dialogue.probes:
            group = asked.probe.twin_group.split("/")[2]
            if asked.probe.answer_kind in {"rule", "yesno"}:
                continue
            by_group[group] = asked.probe
            if asked.probe.condition == "main":
                question = normalise(asked.probe.question_text).text
                found = find_mentions(question, asked.probe.candidates, asked.probe.aliases)
                assert {m.candidate for m in found} in (set(), set(asked.probe.candidates))
        for turn in dialogue.turns:
            text = normalise(f"{turn.user}\n{turn.assistant}").text
            for group, probe in by_group.items():
                if turn.group != group:
                    assert not find_mentions(text, probe.candidates, probe.aliases), (turn, group)


@pytest.mark.parametrize("lang", LANGS)
def test_assistant_acknowledgements_repeat_no_value_unless_they_are_evidence(lang):
    for dialogue in build_suite("core", Selection(langs=(lang,), limit=4)).dialogues():
        probes = {a.probe.twin_group.split("/")[2]: a.probe for a in dialogue.probes}
        for turn in dialogue.turns:
            probe = probes.get(turn.group or "")
            if probe is None or probe.family in SPOKEN_BY_THE_ASSISTANT:
                continue
            reply = normalise(turn.assistant).text
            assert not find_mentions(reply, probe.candidates, probe.aliases), turn


def test_the_canonical_answer_of_every_probe_is_judged_right():
    for dialogue in build_suite("core", Selection(limit=3)).dialogues():
        for asked in dialogue.probes:
            if asked.probe.answer_kind != "rule":
                assert judge_text(asked.probe, asked.probe.gold).reason == "correct"


def test_both_variants_are_about_equally_long():
    lengths = {}
    for dialogue in build_suite("core", Selection(limit=3)).dialogues():
        lengths[dialogue.id] = sum(len(t.user) + len(t.assistant) for t in dialogue.turns)

    for name, length in lengths.items():
        other = lengths[name.replace("/A/", "/B/")]
        # A rule that every reply obeys adds its mark to every turn of one variant.
        most = 0.2 if name.startswith("rule") else 0.05
        assert abs(length - other) <= most * length


def test_every_task_file_carries_the_canary_of_the_suites():
    canary = load_canary(TASKS)

    generated = [path for path in TASKS.glob("lm_eval/**/*") if path.suffix != ".md"]
    generated = [path for path in generated if path.is_file()]
    files = {*TASKS.glob("*/*.yaml"), TASKS / "suites.yaml"} - {*generated}
    assert len(files) == 49
    assert generated
    for path in (*files, *generated):
        assert f'canary: "{canary}"' in path.read_text(encoding="utf-8"), path
    for path in TASKS.glob("filler/*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert json.loads(line)["canary"] == canary, path


def test_the_filler_covers_at_least_15_topics_in_threads():
    for lang in LANGS:
        lines = (TASKS / "filler" / f"{lang}.jsonl").read_text(encoding="utf-8").splitlines()
        topics = {json.loads(line)["topic"] for line in lines}
        assert len(topics) >= 15


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
