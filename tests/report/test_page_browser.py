"""The page in a real browser. Needs Debian's chromium package; nothing is downloaded."""

import re
import shutil

import pytest

pytestmark = pytest.mark.browser


@pytest.fixture(scope="session")
def chromium():
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.fail("Chromium is missing: apt-get install -y chromium")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def show(chromium, tmp_path):
    """Opens a page; returns it with the log of requests and console messages."""
    opened = []

    def opening(html, **options):
        file = tmp_path / f"report{len(opened)}.html"
        file.write_text(html, encoding="utf-8")
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        opened.append(context)
        page = context.new_page()
        page.requests, page.messages = [], []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("console", lambda message: page.messages.append(message.text))
        page.on("pageerror", lambda error: page.messages.append(str(error)))
        page.goto(file.as_uri())
        return page

    yield opening
    for context in opened:
        context.close()


def test_the_page_asks_for_nothing_and_the_console_is_silent(show, comparison_page):
    page = show(comparison_page)

    assert len(page.requests) == 1
    assert page.messages == []


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("name", ["comparison_page", "profile_page", "five_page"])
def test_the_page_never_scrolls_sideways(show, request, name, width):
    page = show(request.getfixturevalue(name), viewport={"width": width, "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")

    assert page.evaluate("document.documentElement.scrollWidth") <= width


def colours(page):
    return page.evaluate(
        """() => {
            const mark = document.querySelector('#chart-retention-generate-series-1 path');
            const text = document.querySelector('#chart-forest-generate-1 text');
            return [getComputedStyle(document.body).backgroundColor, getComputedStyle(mark).stroke,
                    getComputedStyle(text).fill];
        }"""
    )


def test_charts_follow_the_theme_of_the_system(show, comparison_page):
    light = colours(show(comparison_page, color_scheme="light"))
    dark = colours(show(comparison_page, color_scheme="dark"))

    assert light[:2] == ["rgb(255, 255, 255)", "rgb(192, 79, 0)"]
    assert dark[:2] == ["rgb(18, 20, 22)", "rgb(255, 159, 90)"]
    assert light[2] != dark[2]


def test_the_theme_switch_wins_over_the_system_and_is_kept(show, comparison_page):
    page = show(comparison_page, color_scheme="light")

    page.get_by_role("button", name="Dark").click()
    switched = colours(page)[0]
    page.reload()

    assert switched == colours(page)[0] == "rgb(18, 20, 22)"
    assert page.get_by_role("button", name="Dark").get_attribute("aria-pressed") == "true"


def test_filters_narrow_the_changed_answers_and_say_how_many_are_left(show, comparison_page):
    page = show(comparison_page)
    total = page.locator("details.answer").count()

    page.locator("#filter-family").select_option("pronoun")
    by_family = page.locator("details.answer:visible").count()
    page.locator("#filter-text").fill("去健身房")
    by_text = page.locator("details.answer:visible").count()
    words = page.locator("#found").text_content()
    page.get_by_role("button", name="Clear").click()

    assert by_family == total // 2
    assert by_text == total // 4
    assert words == f"{by_text} of {total} answers shown."
    assert page.locator("details.answer:visible").count() == total


def test_without_javascript_everything_but_the_controls_is_there(show, comparison_page):
    page = show(comparison_page, java_script_enabled=False)
    answer = page.locator("details.answer").first

    answer.locator("> summary").click()

    assert answer.get_by_text("planted here").is_visible()
    assert page.locator("#verdict .badge").is_visible()
    assert page.locator("#chart-retention-generate").is_visible()
    assert not page.locator(".filters").is_visible()
    assert not page.locator(".theme").is_visible()


def test_the_keyboard_reaches_skip_link_answers_and_scrolling_boxes(show, comparison_page):
    page = show(comparison_page, viewport={"width": 360, "height": 800})

    page.keyboard.press("Tab")
    first = page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    landed = page.evaluate("document.activeElement.id")
    page.locator("details.answer > summary").first.focus()
    page.keyboard.press("Enter")

    assert first == "Skip to the result"
    assert landed == "main"
    assert page.locator("details.answer").first.get_attribute("open") is not None
    assert page.locator(".scroll:not([tabindex])").count() == 0


def test_hostile_answers_run_nothing(show, sample):
    text = (
        "</script><script>window.owned=1</script><img src=x onerror=window.owned=1>"
        '<svg onload=window.owned=1><a href="javascript:window.owned=1">'
    )
    suite = sample.SampleSuite(extra_turn=text)
    runs = [
        sample.run("base", suite),
        sample.run(text, suite, wrong=sample.forgets_long, say=lambda _: text),
    ]

    page = show(sample.page(runs, suite, title=text))
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")

    assert page.evaluate("window.owned") is None
    assert page.messages == []
    assert len(page.requests) == 1


def test_a_script_or_handler_that_slipped_in_would_be_refused(show, comparison_page):
    slipped = comparison_page.replace(
        "</main>",
        '<script>window.owned=1</script><p id="bait" onclick="window.owned=2">x</p></main>',
    )

    page = show(slipped)
    page.locator("#bait").click()

    assert page.evaluate("window.owned") is None
    assert len([text for text in page.messages if "Content Security Policy" in text]) == 2


def test_assigning_html_from_a_string_is_refused(show, comparison_page):
    page = show(comparison_page)

    refused = page.evaluate(
        """() => {
            try { document.body.innerHTML = '<p>x</p>'; return ''; } catch (e) { return e.name; }
        }"""
    )

    assert refused == "TypeError"


def test_print_is_light_and_leaves_the_controls_out(show, comparison_page):
    page = show(comparison_page, color_scheme="dark")
    page.emulate_media(media="print")

    assert not page.locator(".filters").is_visible()
    assert re.match(rb"%PDF", page.pdf())
