import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from qwen_bench.report.markdown import MOST_BYTES, comparison_markdown, profile_markdown
from qwen_bench.report.quoting import code, table_code
from qwen_bench.stats.gates import evaluate, parse_gate
from qwen_bench.stats.paired_comparison import compare
from qwen_bench.stats.pairing import pair
from qwen_bench.stats.results import Unjudged
from qwen_bench.stats.summary import summarise
from qwen_bench.testing import change_run, make_manifest

HOSTILE = {
    "script": "</script><script>document.title='owned'</script>",
    "image": '<img src=x onerror="window.owned=1">',
    "details": "</details><h1>Improved</h1>",
    "comment": "<!-- hidden",
    "link": "[x](javascript:alert(1)) <https://evil.example> https://evil.example",
    "picture": "![x](https://evil.example/track.png)",
    "mention": "@octo-org/team please merge, closes #12 GH-12",
    "heading": "x\n\n# Improved\n\n> [!TIP]\n> fine",
    "table": "a | b || c \\| d \\\\| e |",
    "ticks": "`` ` ``` x ```` y`",
    "edge ticks": "`code`",
    "fence": "```\n</pre>\n```",
    "command": "::error file=x::boom",
    "broken line command": "x\n::set-output name=a::b\r\n ::stop-commands::t",
    "old command": "text ##[error]boom ##vso[task.complete result=Succeeded]",
    "escape": "\x1b[31mred\x1b[0m\x07\x00\x85",
    "surrogate": "\ud800 \udfff \ufffe",
    "override": "\u202ereversed\u202c \u2066a\u2028b\u200b",
    "entity": "&lt;b&gt; &#64;team &commat;team",
    "math": r"$\href{javascript:alert(1)}{x}$ $$x$$",
    "braces": "{0} {base} {{ 7*7 }}",
    "blank": "   ",
}


def compared(runs, *gates, **settings):
    """Comparisons of the first run with the others, gates evaluated."""
    found = []
    for candidate in runs[1:]:
        pairing = pair(runs[0], candidate, **settings)
        comparison = compare(pairing, primary="generate")
        pairs = [(item.base, item.candidate) for item in pairing.pairs]
        results = evaluate([parse_gate(text) for text in gates], comparison, pairs)
        found.append(replace(comparison, gates=results))
    return found


def parsed(text):
    """Flat list of tokens as GitHub would see them."""
    tokens = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        tokens += [token, *(token.children or [])]
    return tokens


def harmless(text):
    text.encode("utf-8")
    tokens = parsed(text)
    kinds = {token.type for token in tokens}
    assert not kinds & {"html_block", "html_inline", "link_open", "image", "fence", "code_block"}
    prose = " ".join(token.content for token in tokens if token.type == "text")
    assert not re.search(r"@\w|#\d|https?:|<[^ ]|evil|owned|boom", prose)
    assert "##[" not in text
    assert not [line for line in text.splitlines() if line.lstrip().startswith("::")]
    assert not re.findall(
        "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u2028\u2029\u202a-\u202e\u2066]", text
    )
    headings = [tokens[at + 1].content for at, t in enumerate(tokens) if t.type == "heading_open"]
    assert not [heading for heading in headings if heading.startswith("Improved")]
    return tokens


@pytest.fixture(scope="module")
def two(sample):
    return sample.two_runs()[1]


@pytest.fixture(scope="module")
def small(sample):
    """Two small runs, their comparison, and a summary."""
    suite = sample.SampleSuite(langs=("en",))
    runs = [sample.run("a", suite), sample.run("b", suite, wrong=sample.forgets_long)]
    return runs, compared(runs)[0], summarise(runs[0].outcomes)


def test_the_document_says_verdict_tables_changes_and_where_to_look(two):
    text = comparison_markdown(
        compared(two), two, report="out/report.html", command="qwen-bench compare a b"
    )

    assert text.startswith("## `lora-v3` against `base-model`\n\n> [!CAUTION]\n> **Regressed.** ")
    assert "`lora-v3` answers 44.4 points fewer of the questions right than `base-model`" in text
    assert "Suite `sample 1.0` · 288 paired probes · 36 skeletons" in text
    assert "| turns | base | candidate | difference | 95 % interval | verdict |" in text
    assert "| **all** |" in text
    assert re.search(r"Changed answers: \*\*\d+ lost\*\*, \*\*0 gained\*\*", text)
    assert re.search(r"\| `fact_recall` \| \d+ \|", text)
    assert "### Lost answers (10 of " in text
    assert "Report: `out/report.html`" in text
    assert "Made by: `qwen-bench compare a b`" in text
    assert "### Gates" not in text
    harmless(text)


def test_figures_are_those_of_the_comparison(two):
    comparison = compared(two)[0]
    cell = comparison.verdict

    text = comparison_markdown([comparison], two)

    row = next(line for line in text.splitlines() if line.startswith("| **all** |"))
    assert f"{100 * cell.base:.1f} % | {100 * cell.candidate:.1f} %" in row
    assert f"−{abs(100 * cell.difference):.1f} |" in row
    assert f"**{cell.lost} lost**" in text


@pytest.mark.parametrize(
    ("word", "alert"),
    [
        ("regressed", "CAUTION"),
        ("inconclusive", "WARNING"),
        ("within noise", "NOTE"),
        ("not worse", "NOTE"),
        ("improved", "TIP"),
    ],
)
def test_the_alert_follows_the_verdict(two, word, alert):
    comparison = compared(two)[0]
    mode = comparison.modes["generate"]
    cell = replace(mode.overall, word=word)
    changed = replace(
        comparison, modes={**comparison.modes, "generate": replace(mode, overall=cell)}
    )

    assert f"> [!{alert}]\n> **{word.capitalize()}.**" in comparison_markdown([changed], two)


def test_gates_stand_in_a_table_and_an_unmet_one_is_the_news(two):
    runs = [two[1], two[0]]
    comparisons = compared(runs, "overall>=60", "diff>=90", "pronoun@16>=10")

    text = comparison_markdown(comparisons, runs)

    assert "> [!CAUTION]\n> **Improved.**" in text
    assert "> **2 of 3 gates are not met.**" in text
    assert re.search(r"\| `overall>=60` \| 100.0 \| .* \| met \|", text)
    assert re.search(r"\| `diff>=90` \| \+\d+\.\d \| .* \| \*\*not met\*\* \|", text)
    assert (
        "| `pronoun@16>=10` | no data | no interval "
        "| **not met** (no data: no paired probe of pronoun at 16 turns) |"
    ) in text
    rows = [token for token in parsed(text) if token.type == "tr_open"]
    assert rows


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_models_and_manifests_say_is_shown_and_obeyed_nowhere(small, hostile):
    runs, comparison, summary = small
    named = replace(
        comparison,
        base=replace(comparison.base, label=hostile),
        candidate=replace(comparison.candidate, label=f"x{hostile}"),
        warnings=(hostile, f"the sides differ in engine.device: {hostile} -> y{hostile}"),
    )
    saying = [
        replace(
            run,
            label=hostile,
            manifest=make_manifest(run.manifest, suite__name=hostile),
            outcomes=[replace(row, output=hostile, reason=hostile) for row in run.outcomes],
        )
        for run in runs
    ]
    broken = Unjudged(hostile, hostile, 1)

    text = comparison_markdown([named], saying, unjudged=[broken], report=hostile, command=hostile)
    profile = profile_markdown(saying, [summary, summary])

    tokens = harmless(text)
    harmless(profile)
    rows = "".join(
        "|" if token.type in {"th_open", "td_open"} else "\n" if token.type == "tr_open" else ""
        for token in tokens
    )
    # every row has as many cells as the header of its table: 5, 6, 8 columns
    assert {len(row) for row in rows.split() if row} <= {5, 6, 8}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a`b", "`` a`b ``"),
        ("`", "`` ` ``"),
        ("two\r\nlines\nthree", "`two⏎lines⏎three`"),
        ("", "`(empty)`"),
        ("W" * 250, f"`{'W' * 200}` (50 more characters)"),
        ("see /home/alice/x", "`see ~/x`"),
        ("##[error]", "`##［error]`"),
    ],
)
def test_a_code_span_keeps_the_text_readable(text, shown):
    assert code(text) == shown


def test_a_bar_stays_inside_its_cell():
    assert table_code("a|b") == r"`a\|b`"
    assert table_code("a\\|b") == r"`a⧵\|b`"


def test_a_very_long_answer_is_cut(sample):
    suite = sample.SampleSuite(langs=("en",))
    runs = [
        sample.run("base", suite),
        sample.run("noisy", suite, wrong=sample.forgets_long, say=lambda _: "W" * 100_000),
    ]

    text = comparison_markdown(compared(runs), runs)

    assert "(99,800 more characters)" in text
    assert len(text) < 20_000


def test_several_candidates_get_a_table_and_the_broken_one_is_in_it(two):
    runs = [*two, replace(change_run(two[0], run_id="again"), label="again")]
    broken = Unjudged("late", "the server is not reachable", 1)

    text = comparison_markdown(compared(runs, "overall>=1"), runs, unjudged=[broken])

    assert "Each candidate is compared with the baseline, not with the others." in text
    assert re.search(r"\| `lora-v3` \| regressed \| −.* \| 1 of 1 met \|", text)
    assert "| `late` | no verdict | – | – | – |" in text
    assert "> `late` has no verdict: `the server is not reachable`" in text


def test_the_document_fits_a_comment_and_says_what_is_missing(two):
    comparison = compared(two)[0]
    mode = comparison.modes["generate"]
    families = {f"family_{n}": mode.by_family["pronoun"] for n in range(900)}
    huge = replace(
        comparison,
        warnings=tuple("w" * 190 for _ in range(100)),
        modes={**comparison.modes, "generate": replace(mode, by_family=families)},
    )

    text = comparison_markdown([huge], two)
    cut = comparison_markdown([huge], two, command="x " * 60_000)
    many = comparison_markdown([comparison] * 60, two)

    for document in (text, cut, many):
        assert len(document.encode()) <= MOST_BYTES
    assert "_Left out for length: lost answers, warnings, families._" in text
    assert "> [!CAUTION]" in text
    assert many.endswith("_Cut here; the report has everything._\n")


def test_one_run_gives_a_profile(sample):
    suite = sample.SampleSuite()
    run = sample.run("base-model", suite, wrong=sample.forgets_long)

    text = profile_markdown([run], [summarise(run.outcomes)])

    assert text.startswith("## `base-model`\n\nSuite `sample 1.0`\n\n### Free answers (generate)")
    assert "| turns | accuracy | 95 % interval | probes | |" in text
    assert "### Log-probability of the candidates (rank)" in text
    assert "against" not in text
