import re
from pathlib import Path

import html5lib
import pytest

import qwen_bench.report
from qwen_bench.testing import change_run

HOSTILE = {
    "script": "</script><script>document.title='owned'</script>",
    "image": '<img src=x onerror="window.owned=1">',
    "svg": "<svg onload=window.owned=1>",
    "link": '<a href="javascript:window.owned=1">x</a>',
    "template": "{{ 7*7 }} {% raw %} {# x #}",
    "cdata": "]]> --> <!-- ",
    "quotes": "\" onmouseover=window.owned=1 ' x=`y`",
    "escape": "\x1b[31mred\x1b[0m\x07\x00",
    "surrogate": "\ud800 \udfff",
    "noncharacter": "\ufffe \U0001ffff \ufdd0 \x85",
    "override": "\u202ereversed\u202c \u2066isolate",
    "separator": "a\u2028b\u2029c\u200bd\ufeff",
    "math": r"$\frac{x}{0}$ -- $",
    "entity": "&lt;b&gt; &#0; &nbsp",
}


@pytest.fixture(scope="module", params=HOSTILE.values(), ids=HOSTILE.keys())
def text(request):
    return request.param


@pytest.fixture(scope="module")
def hostile_page(sample, text):
    suite = sample.SampleSuite(lengths=(1, 4), clusters=12, langs=("en",), extra_turn=text)
    base = sample.run(text, suite)
    candidate = sample.run(f"x {text}", suite, wrong=sample.forgets_long, say=lambda _: text)
    invocation = {"started": "", "argv": ["qwen-bench", text]}
    hostile = {"warnings": [text], "model__spec": text, "invocations": [invocation]}
    runs = [change_run(item, note={"free": text}, **hostile) for item in (base, candidate)]
    return sample.page(runs, suite, title=text)


def test_hostile_text_is_text_and_nothing_else(hostile_page):
    document = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(hostile_page)
    hostile_page.encode("utf-8")
    elements = [element for element in document.iter() if isinstance(element.tag, str)]

    assert len([e for e in elements if e.tag == "script"]) == 1
    assert not [e for e in elements if e.tag == "img"]
    assert not [name for e in elements for name in e.attrib if str(name).startswith("on")]
    assert not [e for e in elements if str(e.get("href", "#"))[0] != "#"]
    assert "49" not in re.findall(r"<h1>(.*?)</h1>", hostile_page)[0]


def test_no_control_or_invisible_character_reaches_the_page(hostile_page):
    forbidden = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]"

    assert re.findall(forbidden, hostile_page) == []


def test_a_very_long_answer_is_cut_and_the_page_says_so(sample):
    suite = sample.SampleSuite(langs=("en",))
    runs = [
        sample.run("base", suite),
        sample.run("noisy", suite, wrong=sample.forgets_long, say=lambda _: "W" * 1_000_000),
    ]

    page = sample.page(runs, suite)

    assert len(page) < 3_000_000
    assert "cut here, 1,000,000 characters in all" in page


def test_home_folders_and_credentials_do_not_reach_the_page(sample):
    suite = sample.SampleSuite(langs=("en",))
    secrets = ["--hf-token", "tok-en-value", "--api-key=other-value"]
    run = change_run(
        sample.run("base", suite),
        model__spec="/home/alice/secret-project/out",
        engine__base_url="https://bob:hunter2@llm.example/v1",
        engine__api_key="abc123verysecret",
        invocations=[{"started": "", "argv": ["qwen-bench", "run", "--model", "base", *secrets]}],
    )

    page = sample.page([run], suite)

    for leak in ("alice", "hunter2", "abc123verysecret", "tok-en-value", "other-value"):
        assert leak not in page
    assert "~/secret-project/out" in page


def test_markup_is_made_in_one_module_and_templates_never_switch_escaping_off():
    folder = Path(qwen_bench.report.__file__).parent
    makers = [path.name for path in folder.rglob("*.py") if "Markup(" in path.read_text("utf-8")]
    unsafe = [
        path.name
        for path in folder.rglob("*.j2")
        if re.search(r"\|\s*safe\b|autoescape", path.read_text("utf-8"))
    ]

    assert makers == ["svg.py"]
    assert unsafe == []


def test_settings_that_differ_are_shown_without_home_folders(sample):
    suite = sample.SampleSuite(langs=("en",))
    changed = change_run(sample.run("cand", suite), model__spec="/Users/alice/out")
    runs = [sample.run("base", suite), changed]

    page = sample.page(runs, suite)

    assert "alice" not in page
    assert "<code>~/out</code>" in page
