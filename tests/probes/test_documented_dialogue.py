"""The dialogue that docs/probes.md shows is one of core."""

from pathlib import Path

from qwen_bench.probes.suites import find_probe

PAGE = Path(__file__).parents[2] / "docs" / "probes.md"
QUESTION = "assistant_recall.proposal/T4/main"


def test_the_page_shows_three_turns_of_core_as_they_are_and_what_is_asked_about_them():
    page = PAGE.read_text("utf-8").replace("\\|", "\u2502")
    rows = [
        [cell.strip().replace("\u2502", "|") for cell in line.strip("|").split("|")]
        for line in page.split("## One dialogue")[1].split("\n\n")[2].splitlines()[2:]
    ]

    assert len(rows) == 8
    for column, lang in enumerate(("en", "zh"), start=1):
        dialogue, asked = find_probe(f"mixed-9/A/{lang}/{QUESTION}", "core")
        told = [text for turn in dialogue.turns[:3] for text in (turn.user, turn.assistant)]
        told += [asked.probe.question_text, asked.probe.gold]
        for row, text in zip(rows, told, strict=True):
            for part in row[column].removesuffix(" …").split("<br>"):
                assert part in text, (lang, row[0])
