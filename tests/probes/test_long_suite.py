"""The suite of long histories: slots to 256 turns, levels balanced at each length, flat memory."""

import time
import tracemalloc
from collections import Counter, defaultdict
from itertools import islice

import pytest

from qwen_bench.audit.balance import Balance
from qwen_bench.audit.composition import Composition
from qwen_bench.errors import InputError
from qwen_bench.probes.bank import load_bank
from qwen_bench.probes.probe import LANGS, LEVELS, WORDINGS
from qwen_bench.probes.programmes import place
from qwen_bench.probes.selection import Selection, load_suite_files
from qwen_bench.probes.suites import build_suite
from qwen_bench.resources import data_folder

TASKS = data_folder("tasks")
FILE = load_suite_files(TASKS)["long"]
# Exchanges of the bank that a dialogue may lack, since they hold words that it asks about.
BARRED = 20
TOLD = min(load_bank(TASKS, lang, "eval").exchanges for lang in LANGS) - BARRED
LENGTHS = tuple(t for t in FILE.lengths if t <= TOLD)


def long(**selection):
    return build_suite("long", Selection(**{"lengths": LENGTHS, "limit": 1} | selection))


@pytest.fixture(scope="module")
def told():
    """A few dialogues at the longest history that the bank fills, in both languages."""
    return list(islice(long().dialogues(), 8))


def test_histories_go_from_8_to_256_turns():
    suite = build_suite("long")

    assert suite.lengths == (8, 16, 32, 64, 128, 256)
    assert [p.slots[-1].last for p in suite.programmes] == [256]
    assert len(suite.programmes[0].groups) == 10


def test_every_length_asks_each_family_at_every_level_in_both_wordings_equally_often():
    suite = build_suite("long")
    (programme,) = suite.programmes
    loads = defaultdict(Counter)
    for number in range(programme.rotation * FILE.rotations["mixed"]):
        for item in place(suite.sources, programme, number, "A", "en"):
            for length in suite.lengths:
                if item.asked_at(length):
                    loads[item.group, length, item.slot_number][item.level, item.wording] += 1

    assert len(loads) == 10 * sum(6 - i for i in (0, 1, 2, 2, 3, 3, 4, 4, 5, 5))
    for found in loads.values():
        assert set(found.values()) == {1}
        assert len(found) == LEVELS * len(WORDINGS)


def test_no_request_comes_twice_in_a_dialogue(told):
    for dialogue in told:
        bank = load_bank(TASKS, dialogue.lang, "eval")
        asked = [e.request for thread in bank.threads for e in thread.exchanges]
        found = Counter(r for turn in dialogue.turns for r in asked if r in turn.user)
        repeated = [r for r, n in found.items() if n > sum(r in other for other in asked)]
        assert len(dialogue.turns) == LENGTHS[-1]
        assert repeated == []


def test_a_history_is_the_beginning_of_every_longer_one(told):
    short = {d.id: d for d in islice(long(lengths=(8, 16)).dialogues(), 8)}

    for dialogue in told:
        if dialogue.id in short:
            assert dialogue.turns[:16] == short[dialogue.id].turns


def test_replies_are_as_long_at_the_end_as_at_the_beginning(told):
    for lang in LANGS:
        turns = [dialogue.turns for dialogue in told if dialogue.lang == lang]
        half = LENGTHS[-1] // 2
        first, second = (
            sum(len(turn.assistant) for of_one in turns for turn in of_one[part])
            for part in (slice(half), slice(half, None))
        )
        assert 0.75 < first / second < 1.33


def test_composition_and_balance_hold():
    suite = long(lengths=(8, 16), langs=("en",), limit=5)
    checks = [
        Composition(suite.levels, len(suite.sources.levels), suite.rotations),
        Balance(suite.sources.families, "eval", suite.programmes),
    ]
    dialogues = list(suite.dialogues())
    for cluster in sorted({d.cluster for d in dialogues}):
        for check in checks:
            check.see([d for d in dialogues if d.cluster == cluster])

    assert [line.findings for line in (check.line() for check in checks) if line.findings] == []


def test_other_suites_end_at_64_turns_and_say_where_longer_ones_are():
    with pytest.raises(InputError, match="128 is above 64") as caught:
        build_suite("core", Selection(lengths=(128,)))

    assert caught.value.fix == ("--suite long has histories up to 256 turns",)
    with pytest.raises(InputError, match="257 is above 256"):
        build_suite("long", Selection(lengths=(257,)))


def test_it_streams_with_flat_memory_at_a_pace_that_builds_all_of_it_in_a_minute():
    suite = long()
    stream = suite.dialogues()
    for _ in range(6):
        next(stream)
    tracemalloc.start()
    try:
        early = tracemalloc.get_traced_memory()[0]
        for _ in range(6):
            next(stream)
        late, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    started = time.process_time()
    count = sum(1 for _ in islice(stream, 12))
    whole = 400 * (time.process_time() - started) / count

    assert late - early < 3_000_000
    assert peak < 20_000_000
    assert whole * FILE.lengths[-1] / LENGTHS[-1] < 60


@pytest.mark.parametrize("lang", LANGS)
def test_256_turns_have_128_000_tokens_and_fit_a_window_of_131_072(told, lang, qwen_tokenizer):
    def size(message):
        text = f"<|im_start|>{message.role}\n{message.content}<|im_end|>\n"
        return len(qwen_tokenizer.encode(text, add_special_tokens=False).ids)

    sizes = [
        sum(size(message) for turn in dialogue.turns for message in turn.messages)
        for dialogue in told
        if dialogue.lang == lang
    ]

    of_256 = [tokens * 256 / LENGTHS[-1] for tokens in sizes]
    if LENGTHS[-1] == 256:
        assert max(of_256) >= 128_000
        assert max(of_256) + 3 * FILE.max_new_tokens <= 131_072
    else:
        assert 120_000 < min(of_256) < max(of_256) < 138_000
