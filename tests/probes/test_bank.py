"""The bank of requests: threads over many topics, each answer in up to three lengths.

A file is one topic of one language; the answers of a request grow, so that the shorter one is the
beginning of the longer.
"""

import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from qwen_bench.probes.probe import LANGS

BANK = Path(__file__).resolve().parents[2] / "tasks" / "bank"
FILES = sorted(BANK.glob("*/*.yaml"))
KINDS = {
    *("advice", "explanation", "drafting", "code", "table", "plan", "comparison", "translation"),
    *("arithmetic", "small talk"),
}
TOKENS = {"request": (4, 220), "brief": (10, 90), "chat": (110, 270), "long": (430, 950)}
MARKS = re.compile(r"<\|[^|<>]*\|>|</?think>")
AMERICAN = re.compile(
    r"\b("
    r"(dis|water)?color(s|ed|ing|ful)?|flavor\w*|favor(s|ed|ing|ites?|abl[ey])?"
    r"|honor(s|ed|ing)?|humor|labor|harbors?"
    r"|neighbor\w*|behavior\w*|center(s|ed)?|theaters?|fibers?|(kilo|centi|milli)meters?|liters?"
    r"|gray|aluminum|cozy|mold|toward|practiced|practicing|canceled|labeled|modeling"
    r"|traveled|travelers?|traveling"
    r"|(organ|recogn|real|optim|random|normal|stabil|apolog|minim|maxim|summar)iz\w+|analyz\w+"
    r"|apartments?|flashlights?|faucets?|drywall|trash|garbage|gasoline|sidewalks?|elevators?"
    r"|airplanes?|roommates?|paychecks?|baseboards?|countertops?|movies?|mom"
    r"|cell ?phones?|downtown|sneakers"
    r")\b",
    re.IGNORECASE,
)
CODE = re.compile(r"^ *```.*?^ *```|`[^`\n]+`", re.DOTALL | re.MULTILINE)


def content(file):
    return yaml.safe_load(file.read_text("utf-8"))


def requests(file):
    """Every request of a file, in order, with its thread."""
    for thread in content(file)["threads"]:
        for request in thread["turns"]:
            yield thread, request


def answers(request):
    """The answer in its lengths: each begins with the one before."""
    texts = [request["brief"].strip()]
    for more in ("chat", "long"):
        if more in request:
            texts.append(f"{texts[-1]}\n\n{request[more].strip()}")
    return dict(zip(("brief", "chat", "long"), texts, strict=False))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_topic_has_threads_of_known_kinds_that_make_sense_from_their_start(file):
    topic = content(file)

    assert set(topic) == {"topic", "threads"}
    for thread in topic["threads"]:
        assert set(thread) == {"kind", "turns"}
        assert thread["kind"] in KINDS
        assert 1 <= len(thread["turns"]) <= 5
    for _, request in requests(file):
        assert {"request", "brief", "chat"} <= set(request) <= {"request", "brief", "chat", "long"}
        assert not MARKS.search(json.dumps(request, ensure_ascii=False))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_lengths_are_those_of_their_pace_in_tokens_of_qwen(file, qwen_tokenizer):
    def tokens(text):
        return len(qwen_tokenizer.encode(text, add_special_tokens=False).ids)

    wrong = []
    for _, request in requests(file):
        texts = {"request": request["request"].strip(), **answers(request)}
        for name, text in texts.items():
            low, high = TOKENS[name]
            if not low <= (found := tokens(text)) <= high:
                wrong.append(f"{name} {found} not in {low} to {high}: {request['request'][:50]!r}")
        for short, longer in pairwise(answers(request).values()):
            assert longer.startswith(short)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("lang", LANGS)
def test_no_request_and_no_answer_occurs_twice(lang):
    files = [file for file in FILES if file.parent.name == lang]
    texts = Counter(
        text.strip()
        for file in files
        for _, request in requests(file)
        for text in (request["request"], request["brief"], request["chat"])
    )

    assert [text for text, count in texts.items() if count > 1] == []


@pytest.mark.parametrize(
    "file", [file for file in FILES if file.parent.name == "en"], ids=lambda file: file.stem
)
def test_english_is_british_in_every_topic(file):
    prose = CODE.sub("", file.read_text("utf-8"))

    assert [found.group(0) for found in AMERICAN.finditer(prose)] == []


@pytest.mark.parametrize("lang", LANGS)
def test_the_bank_fills_a_history_of_256_turns_at_128_000_tokens(lang, qwen_tokenizer):
    files = [file for file in FILES if file.parent.name == lang]
    found = [(thread["kind"], request) for file in files for thread, request in requests(file)]
    long = [request for _, request in found if "long" in request]
    texts = [request["request"].strip() + [*answers(request).values()][-1] for _, request in found]
    tokens = sum(len(e.ids) for e in qwen_tokenizer.encode_batch(texts, add_special_tokens=False))

    assert len(files) >= 25
    assert {kind for kind, _ in found} == KINDS
    assert len(found) >= 340
    assert len(long) >= 160
    assert tokens > 130_000
