import json
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import asdict

import pytest

from qwen_bench.chat.messages import as_dicts
from qwen_bench.errors import InputError
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite, find_probe

# SHA-256 of all probes of a suite as JSON lines. A change here is a change of probes: raise the
# suite's version in tasks/suites.yaml and say in CHANGELOG.md whether old numbers stay comparable.
# To print them: python -c "from tests.probes.test_suites import *; print(digest_of('demo', '1'))"
RECORDED = {
    "demo": "327a1de7a48c3397379e3cdfa662bd7b001efb96e61807b2f5bdd61361dee330",
    "quick": "b7a6dbcb654bdd4582c1672d9ba825df573e83d2c887d120bd31dbc2e5960fff",
}

DIGEST = """
import hashlib, json, sys
from dataclasses import asdict
from qwen_bench.chat.messages import as_dicts
from qwen_bench.probes.suites import build_suite
digest = hashlib.sha256()
for dialogue in build_suite(sys.argv[1]).dialogues():
    for asked in dialogue.probes:
        record = {**asdict(asked.probe), "messages": as_dicts(asked.messages)}
        line = json.dumps(record, ensure_ascii=False, sort_keys=True)
        digest.update(line.encode())
print(digest.hexdigest())
"""


def digest_of(suite: str, hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", DIGEST, suite],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": hash_seed, "PATH": ""},
    )
    return done.stdout.strip()


@pytest.mark.parametrize("suite", ["demo", "quick"])
def test_a_suite_has_the_recorded_bytes_whatever_the_hash_seed(suite):
    assert digest_of(suite, "1") == RECORDED[suite]
    assert digest_of(suite, "77") == RECORDED[suite]


def probes_of(suite):
    return [asked for dialogue in suite.dialogues() for asked in dialogue.probes]


def test_the_demo_suite_asks_whole_rotations_of_every_level_at_every_length():
    probes = [a.probe for a in probes_of(build_suite("demo")) if a.probe.condition == "main"]

    shares = defaultdict(Counter)
    clusters = defaultdict(set)
    for p in probes:
        shares[p.family, p.length][p.level] += 1
        clusters[p.length].add(p.cluster)
    assert all(found[1] == found[2] > 0 for found in shares.values())
    assert len(clusters[16]) == 12


def test_a_suite_without_twins_asks_one_variant_of_a_skeleton_in_turn():
    dialogues = list(build_suite("demo").dialogues())

    assert len({d.cluster for d in dialogues}) == len(dialogues)
    assert {d.variant for d in dialogues} == {"A", "B"}
    assert all("AB"[int(d.cluster.rpartition("-")[2]) % 2] == d.variant for d in dialogues)


@pytest.mark.parametrize("suite", ["demo", "quick", "core"])
def test_every_main_instance_has_its_adjacent_and_its_blind_probe(suite):
    asked = defaultdict(set)
    for item in probes_of(build_suite(suite)):
        p = item.probe
        asked[p.condition].add((p.cluster, p.variant, p.lang, p.family, p.question))

    assert asked["main"]
    assert asked["main"] <= asked["adjacent"]
    assert asked["main"] <= asked["blind"]


def test_levels_narrow_what_is_asked_and_leave_the_dialogues_as_they_are():
    whole = {a.probe.id: a for a in probes_of(build_suite("quick"))}
    part = {a.probe.id: a for a in probes_of(build_suite("quick", Selection(levels=(2,))))}

    assert {a.probe.level for a in part.values()} == {2}
    assert len(part) == sum(a.probe.level == 2 for a in whole.values())
    assert all(whole[name] == asked for name, asked in part.items())


def test_ids_are_unique_and_lengths_count_user_turns():
    seen = set()
    for asked in probes_of(build_suite("quick")):
        probe = asked.probe
        assert probe.id not in seen
        seen.add(probe.id)
        roles = [message.role for message in asked.messages]
        assert roles == ["user", "assistant"] * probe.length + ["user"]
        assert asked.messages[-1].content == probe.question_text
        if probe.needs:
            assert probe.distance == probe.length - probe.needs[-1]
            assert 1 <= probe.needs[0] <= probe.needs[-1] <= probe.length


def test_histories_nest_whatever_the_lengths_asked_for():
    short = {d.id: d for d in build_suite("core", Selection(lengths=(8,), limit=1)).dialogues()}
    long = {d.id: d for d in build_suite("core", Selection(lengths=(8, 64), limit=1)).dialogues()}

    assert len(next(iter(long.values())).turns) == 64
    for name, dialogue in short.items():
        assert long[name].turns[:8] == dialogue.turns


def test_smaller_limits_are_nested_in_larger_ones():
    two = {a.probe.id: a for a in probes_of(build_suite("core", Selection(limit=2)))}
    one = {a.probe.id: a for a in probes_of(build_suite("core", Selection(limit=1)))}

    assert len(one) < len(two)
    assert all(two[name] == asked for name, asked in one.items())


def test_core_and_full_share_their_skeletons_and_the_others_name_theirs_apart():
    once = Selection(limit=1, conditions=("main", "adjacent", "blind", "concat"))
    core = {a.probe.id: a.messages for a in probes_of(build_suite("core", once))}
    full = {a.probe.id: a.messages for a in probes_of(build_suite("full", once))}
    quick = {a.probe.id for a in probes_of(build_suite("quick"))}

    assert all(full[name] == messages for name, messages in core.items())
    assert not quick & {*core, *full}


def test_another_seed_gives_other_dialogues():
    first, second = (
        next(iter(build_suite("quick", seed=seed).dialogues())).turns for seed in (0, 1)
    )

    assert first != second


def test_variants_share_filler_plan_and_questions_but_no_gold_answer():
    dialogues = {d.id: d for d in build_suite("core", Selection(limit=2)).dialogues()}
    for name, a in dialogues.items():
        if "/A/" not in name:
            continue
        b = dialogues[name.replace("/A/", "/B/")]
        assert [t.group for t in a.turns] == [t.group for t in b.turns]
        marked = any(p.probe.rule for p in a.probes)
        for one, two in zip(a.turns, b.turns, strict=True):
            if not one.group:
                assert one.user == two.user
                assert one.assistant == two.assistant or marked
        for one, two in zip(a.probes, b.probes, strict=True):
            assert one.probe.question_text == two.probe.question_text
            assert one.probe.gold != two.probe.gold
            assert one.probe.candidates == two.probe.candidates
            assert one.probe.twin_group == two.probe.twin_group


def test_both_languages_share_every_latent_draw():
    dialogues = {d.id: d for d in build_suite("core", Selection(limit=2)).dialogues()}
    for name, en in dialogues.items():
        if not name.endswith("/en"):
            continue
        zh = dialogues[name.removesuffix("en") + "zh"]
        assert [t.group for t in en.turns] == [t.group for t in zh.turns]
        for one, two in zip(en.probes, zh.probes, strict=True):
            assert one.probe.needs == two.probe.needs
            assert one.probe.factors == two.probe.factors
            assert one.probe.gold_abstains == two.probe.gold_abstains
            assert (one.probe.level, one.probe.wording) == (two.probe.level, two.probe.wording)
            if one.probe.answer_kind != "rule":
                assert one.probe.rank_candidates.index(one.probe.gold) == (
                    two.probe.rank_candidates.index(two.probe.gold)
                )


def test_blind_prompts_of_both_variants_are_identical():
    suite = build_suite("quick", Selection(conditions=("blind",)))
    texts = defaultdict(set)
    for asked in probes_of(suite):
        texts[asked.probe.id.replace("/B/", "/A/")].add(json.dumps(as_dicts(asked.messages)))

    assert texts
    assert all(len(found) == 1 for found in texts.values())


def test_an_adjacent_prompt_holds_only_the_evidence_of_its_instance():
    for dialogue in build_suite("quick").dialogues():
        for asked in dialogue.probes:
            if asked.probe.condition != "adjacent":
                continue
            group = asked.probe.twin_group.split("/")[2]
            own = [m for turn in dialogue.turns if turn.group == group for m in turn.messages]
            assert list(asked.messages[:-1]) == own


def test_a_probe_is_found_by_its_id():
    for suite in ("demo", "quick", "full"):
        wanted = probes_of(build_suite(suite, Selection(limit=1)))[17]

        dialogue, asked = find_probe(wanted.probe.id)

        assert asked == wanted
        assert dialogue.cluster == wanted.probe.cluster


def test_the_definition_hash_does_not_depend_on_the_selection():
    whole, part = build_suite("core"), build_suite("core", Selection(limit=1, langs=("zh",)))

    assert whole.sha256 == part.sha256
    assert asdict(whole)["name"] == "core"
    assert whole.sha256 != ""


@pytest.mark.parametrize(
    ("suite", "selection", "message"),
    [
        ("croe", Selection(), "no suite 'croe'; near: core"),
        ("core", Selection(families=("fact_recal",)), "near: fact_recall"),
        ("core", Selection(conditions=("blnd",)), "near: blind"),
        ("core", Selection(langs=("fr",)), "no such language 'fr'; there are en, zh"),
        ("core", Selection(lengths=(0,)), "below 1"),
        ("core", Selection(lengths=(128,)), "above 64"),
        ("core", Selection(lengths=(8, 8)), "8 is repeated"),
        ("quick", Selection(levels=(3,)), "the suite asks no level 3; it has 2, 4"),
    ],
)
def test_an_unknown_choice_names_the_nearest_one(suite, selection, message):
    with pytest.raises(InputError, match=message):
        build_suite(suite, selection)


def test_an_id_that_is_none_is_refused():
    for wrong in ("x", "mixed-0/A/en/nothing.value/T1/main", "mixed-0/A/en/f.q/T99/main"):
        with pytest.raises(InputError, match="no probe"):
            find_probe(wrong)
