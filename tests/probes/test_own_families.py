"""Families that a user adds: the guide works as printed, and a bad folder is told file and line."""

import itertools
import re
from pathlib import Path

import pytest

from qwen_bench.cli.main import main
from qwen_bench.errors import DataError, InputError
from qwen_bench.probes import suites
from qwen_bench.probes.definitions import load_families
from qwen_bench.probes.family_checks import load_checked_families
from qwen_bench.probes.instance import Brief
from qwen_bench.probes.probe import LEVELS
from qwen_bench.probes.seeded_draws import Draw
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import Own, build_suite
from qwen_bench.probes.word_templates import render
from qwen_bench.resources import data_folder

FAMILIES = load_families(data_folder("tasks"))
RULES = {"instruction_retention", "system_rule"}
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "families.md"
FILES = re.findall(
    r"^`(families/[^`]+)`:\n\n```yaml\n(.*?)```",
    GUIDE.read_text(encoding="utf-8"),
    re.DOTALL | re.MULTILINE,
)
COMMANDS = re.findall(r"^qwen-bench (.*)$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "families"


PASTED = """  pasted:
    - user: |-
        From the rota:
        {% for b in bindings %}- {{ b.say }}: {{ b.value }}
        {% endfor %}
      assistant: ["Thanks, I have the list."]
"""


def paste_into(folder, text=PASTED):
    """The family with lists to paste, as the guide shows them."""
    path = folder / "on_call" / "en.yaml"
    words = path.read_text(encoding="utf-8")
    path.write_text(words.replace("  questions:\n", f"{text}  questions:\n"), encoding="utf-8")


def evidence_of(folder):
    """What users say in evidence turns, by level, in a suite of the levels 2 and 4."""
    suite = build_suite("quick", Selection(families=("on_call",), langs=("en",)), own=own(folder))
    return {
        dialogue.probes[0].probe.level: turn.user
        for dialogue in suite.dialogues()
        for turn in dialogue.turns
        if turn.group
    }


def own(folder):
    return Own(tasks_dirs=(str(folder),))


def test_the_guide_makes_a_family_from_nothing_in_27_lines():
    assert [name for name, _ in FILES] == ["families/on_call/task.yaml", "families/on_call/en.yaml"]
    assert sum(len(text.splitlines()) for _, text in FILES) == 27


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_guide_works_as_printed(folder, monkeypatch, capsys, command):
    monkeypatch.chdir(folder.parent)

    code = main(command.split())

    out, err = capsys.readouterr()
    assert code == 0, err
    assert "on_call" in out or command.startswith("run")


def test_a_family_of_the_user_is_asked_only_when_it_is_named(folder):
    plain = build_suite("quick", own=own(folder))
    named = build_suite("quick", Selection(families=("on_call",), langs=("en",)), own=own(folder))

    assert "on_call" not in plain.families
    assert plain.sha256 == build_suite("quick").sha256
    assert named.families == ("on_call",)
    assert {d.cluster.rpartition("-")[0] for d in named.dialogues()} == {"quick-on_call"}
    assert named.sha256 != plain.sha256


def test_a_family_that_was_changed_is_read_anew_under_the_same_relative_path(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    before = load_checked_families(Path(folder.name))
    assert load_checked_families(Path(folder.name)) is before
    path = folder / "on_call" / "task.yaml"

    path.write_text(path.read_text("utf-8").replace("chance: 0.25", "chance: 0.3"), "utf-8")

    assert load_checked_families(Path(folder.name))["on_call"].task.chance == 0.3


def test_high_levels_are_told_where_there_is_nothing_to_paste(folder):
    assert PASTED in GUIDE.read_text(encoding="utf-8")
    assert all("- the " not in said for said in evidence_of(folder).values())

    paste_into(folder)

    found = evidence_of(folder)
    assert found.keys() == {2, 4}
    assert "- the " in found[4]
    assert "- the " not in found[2]


def test_without_levels_there_are_four_items_at_every_level(folder):
    path = folder / "on_call" / "task.yaml"
    path.write_text(path.read_text("utf-8").replace("levels: [1, 2, 3, 4, 5]\n", ""), "utf-8")

    assert load_checked_families(folder)["on_call"].task.levels == [4] * 5
    for said in evidence_of(folder).values():
        names = ("Runa", "Hedda", "Liselotte", "Eskil", "Torvald", "Bastiaan")
        assert sum(name in said for name in names) == 4


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in RULES])
def test_every_builder_makes_do_with_four_items_and_nothing_to_paste(name):
    host = FAMILIES[name]
    words = host.words["en", "eval"]
    bare = {"pasted": []} if hasattr(words, "pasted") else {}
    if hasattr(words, "things"):
        bare["things"] = words.things.model_copy(update={"pasted": []})
    words = words.model_copy(update=bare)
    if host.group != name:
        assert not bare
        return
    for level, variant in itertools.product(range(1, LEVELS + 1), "AB"):
        draw = Draw(("own",), name, 2, level)
        brief = Brief(draw, variant, (name,), level, 4, "lexical", {})
        for evidence in host.builder.build(brief, words).evidence:
            said = render(evidence.user, evidence.context, host.joins["en"], lines=True)
            assert "\n" not in said or name in {"ellipsis", "document_recall"}


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("- Runa: {{ b.say }}", "states the answer 'Runa'"),
        ("- {{ b.say }}", "never states the answer"),
    ],
)
def test_a_bad_list_to_paste_is_refused_with_file_and_remedy(folder, line, what):
    paste_into(folder, PASTED.replace("- {{ b.say }}: {{ b.value }}", line))

    with pytest.raises(DataError, match=what) as caught:
        load_checked_families(folder)
    assert caught.value.fix


def test_other_families_keep_their_probes_beside_one_of_the_user(folder):
    both = Selection(families=("on_call", "fact_recall"), langs=("en",))
    alone = Selection(families=("fact_recall",), langs=("en",))

    mixed = [
        asked
        for dialogue in build_suite("quick", both, own=own(folder)).dialogues()
        for asked in dialogue.probes
        if asked.probe.family == "fact_recall"
    ]

    assert mixed == [a for d in build_suite("quick", alone).dialogues() for a in d.probes]


def test_a_name_that_is_taken_is_refused(folder):
    (folder / "on_call").rename(folder / "pronoun")
    task = folder / "pronoun" / "task.yaml"
    task.write_text(task.read_text().replace("on_call", "pronoun"))

    with pytest.raises(InputError, match="there is a family 'pronoun' already"):
        build_suite("quick", own=own(folder))


def test_a_folder_without_families_is_refused_with_what_is_expected(tmp_path):
    with pytest.raises(InputError, match="no family in") as caught:
        build_suite("quick", own=own(tmp_path))
    assert "task.yaml" in caught.value.why[0]

    with pytest.raises(InputError, match="no folder"):
        build_suite("quick", own=own(tmp_path / "nowhere"))


def test_families_of_an_installed_package_are_found_by_entry_point(folder, monkeypatch):
    class Entry:
        def load(self):
            return folder

    monkeypatch.setattr(suites, "entry_points", lambda **_: [Entry()])
    suites._installed_folders.cache_clear()

    found = build_suite("quick", Selection(families=("on_call",), langs=("en",)))

    suites._installed_folders.cache_clear()
    assert found.families == ("on_call",)


@pytest.mark.parametrize(
    ("file", "old", "new", "what"),
    [
        (
            "en.yaml",
            "  only: Reply",
            "  onyl: Reply",
            "en.yaml:18  error  unknown key .*near: only",
        ),
        ("en.yaml", "  only: Reply with the name only.\n", "", r"en.yaml:2  error  eval.only: "),
        ("en.yaml", "{{ b.value }} for ", "somebody for ", "never states the answer"),
        ("en.yaml", "{{ b.value }} for ", "{{ b.vlaue }} for ", "b?.*vlaue"),
        ("en.yaml", "Hedda,", "Runa Hedda,", "en.yaml:9  error  the answer 'Runa Hedda' holds"),
        ("en.yaml", "Hedda,", "Runa,", "'Runa' is listed twice"),
        ("en.yaml", "the rota is clear", "Runa has the rota", "en.yaml:12  error  the template"),
        ("en.yaml", "Who looks after", "Does Eskil look after", "states the answer 'Eskil'"),
        (
            "en.yaml",
            "    - {say: the login page, ask: the door that users come in by}\n",
            "",
            "the builder 'bindings' fails",
        ),
        ("en.yaml", "f: [Runa, Hedda, Liselotte], ", "f: [], ", "the builder 'bindings' fails"),
        ("task.yaml", "builder: bindings", "builder: bindngs", "task.yaml:3  error  builder: no"),
        ("task.yaml", "version: 1", "version: 1\nprogramme: mixed", "programme: belongs to the"),
        ("task.yaml", "name: on_call", "name: oncall", "name: 'oncall' in the folder on_call"),
        ("task.yaml", "items: names", "itms: names", "unknown key 'itms'.*near: items"),
    ],
)
def test_a_bad_family_is_refused_with_file_line_and_remedy(folder, file, old, new, what):
    path = folder / "on_call" / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")

    with pytest.raises(DataError, match=what) as caught:
        load_checked_families(folder)
    assert str(path) in str(caught.value)
