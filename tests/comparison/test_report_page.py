"""The page in a browser: it is opened from disk, clicked through, printed, narrowed, and read without JavaScript."""

import os
import shutil
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from densezoo.comparison.findings import judge
from densezoo.comparison.report import write_report

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
METRIC = "pose/PCK@0.2"
WIDE = {"width": 1280, "height": 800}
OPEN_ALL = "document.querySelectorAll('details').forEach((each) => { each.open = true; })"
HOSTILE = "</script><img src=x onerror='window.harmed=1'><b>${x}"

# Every text that is shown, with its contrast to what is behind it.
CONTRASTS = """
() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = parts(colour).map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = getComputedStyle(each).backgroundColor;
      if (parts(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility() || element.closest("script")) continue;
    const style = getComputedStyle(element);
    const ink = element.closest("svg") ? style.fill : style.color;
    found.push([walker.currentNode.textContent.trim().slice(0, 40), contrast(ink, behind(element))]);
  }
  const inks = [
    ...[...document.querySelectorAll(".plot .points path")].map((mark) => getComputedStyle(mark).fill),
    ...[...document.querySelectorAll(".plot path.xerror, .plot path.yerror, .plot .lines path")]
      .map((mark) => getComputedStyle(mark)).filter((style) => parseFloat(style.strokeWidth) > 0)
      .map((style) => style.stroke),
  ];
  const marks = inks.filter((colour) => colour.startsWith("rgb") && parts(colour)[3] !== 0)
    .map((colour) => [colour, contrast(colour, behind(document.body))]);
  return { texts: found, marks };
}
"""


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"] if os.getuid() == 0 else [])
        yield started
        started.close()


@pytest.fixture(scope="module")
def address(made_up, tmp_path_factory):
    """The report, with a joint of a name that would do harm."""
    arms = [
        replace(arm, runs={seed: replace(run, scores=run.scores | {f"{METRIC}/{HOSTILE}": 0.5 + 0.01 * seed})
                           for seed, run in arm.runs.items()})
        for arm in made_up.arms
    ]  # fmt: skip
    folder = tmp_path_factory.mktemp("page")
    return write_report(judge(made_up.study, made_up.prepared, arms, folder), folder)["html"].as_uri()


@dataclass
class Opened:
    """A page, and what it said and asked for while it was opened."""

    page: Any
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def opened(browser, address):
    found = Opened(browser.new_context(viewport=WIDE, color_scheme="light").new_page())
    found.page.on("console", lambda message: found.said.append(message.text))
    found.page.on("pageerror", lambda error: found.said.append(str(error)))
    found.page.on("request", lambda request: found.asked.append(request.url))
    found.page.goto(address)
    yield found
    found.page.context.close()


@pytest.fixture
def page(opened):
    """The page, light and wide, which tests share, as it takes a second to open: each changes a part of its own."""
    yield opened.page
    opened.page.emulate_media(media="screen", color_scheme="light")
    opened.page.set_viewport_size(WIDE)


def wait_until(page, condition):
    """Wait for something true of the page, whose policy lets no string run in it."""
    page.evaluate(
        f"new Promise((done) => {{ const look = () => ({condition}) ? done() : setTimeout(look, 20); look(); }})"
    )


def background(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def column(page, name, number):
    """Texts of a column of the table in a section."""
    return page.locator(f"#{name} table >> nth=0").locator(f"tbody tr > :nth-child({number})").all_inner_texts()


def test_it_opens_from_disk_alone(opened, page, address):
    charts = page.locator("figure.chart .plot")
    assert charts.count() == 4
    for number in range(4):
        charts.nth(number).locator("svg.main-svg").first.wait_for()
    page.select_option("#choose-parts", "weighted")
    page.locator("#parts .ytick").get_by_text("</script><img src=x", exact=False).wait_for()
    assert opened.said == []
    assert [url for url in opened.asked if not url.startswith("data:")] == [address]
    assert page.evaluate("window.harmed") is None
    assert page.locator("img").evaluate_all("all => all.every((each) => each.complete && each.naturalWidth > 100)")
    assert page.evaluate("document.documentElement.lang") == "en"


def test_the_theme_is_switched(page):
    button = page.get_by_role("button", name="Dark mode")
    axis = page.locator("#ranking .xtick text").first
    light = background(page), axis.evaluate("each => getComputedStyle(each).fill")
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert page.locator("#said").inner_text() == "Dark mode"
    dark = background(page), axis.evaluate("each => getComputedStyle(each).fill")
    assert dark[0] != light[0]
    assert dark[1] != light[1]
    button.press("Enter")
    assert (background(page), axis.evaluate("each => getComputedStyle(each).fill")) == light


def test_the_cost_is_chosen_by_keyboard(page):
    select = page.get_by_label("Cost", exact=True)
    title = page.locator("#costs .xtitle")
    assert title.text_content() == "million MACs"
    select.focus()
    page.keyboard.press("ArrowDown")
    assert select.input_value() == "parameters"
    assert title.text_content() == "thousand parameters"
    assert "against its parameters" in page.locator("#costs .plot").get_attribute("aria-label")
    assert "against its parameters" in page.locator("#costs figcaption").first.inner_text()
    assert "against its parameters" in page.locator("#said").inner_text()


def test_the_curve_is_chosen(page):
    labels = page.locator("#curves .ytick text")
    before = labels.all_text_contents()
    page.get_by_label("Curve", exact=True).select_option("training loss")
    assert labels.all_text_contents() != before
    assert "Training loss" in page.locator("#curves .plot").get_attribute("aria-label")


def test_tables_are_sorted_by_mouse_and_by_keyboard(page):
    head = page.locator("#ranking thead").first.locator("th")
    means = head.nth(1).get_by_role("button")
    means.click()
    shown = [float(value) for value in column(page, "ranking", 2)]
    assert shown == sorted(shown)
    assert head.nth(1).get_attribute("aria-sort") == "ascending"
    assert page.locator("#said").inner_text() == "Sorted by mean, ascending"
    means.press("Enter")
    assert [float(value) for value in column(page, "ranking", 2)] == shown[::-1]
    assert head.nth(1).get_attribute("aria-sort") == "descending"
    head.nth(0).get_by_role("button").press("Space")
    assert column(page, "ranking", 1) == ["again", "concat", "gated", "none", "sum", "weighted"]
    assert head.nth(1).get_attribute("aria-sort") is None
    for _ in range(2):  # what has no p value comes last, whichever way
        head.nth(6).get_by_role("button").click()
        assert column(page, "ranking", 1)[-1] == "sum"


def test_details_are_opened_by_keyboard(page):
    details = page.locator("#ranking details")
    assert not details.locator("table").is_visible()
    details.locator("summary").press("Enter")
    assert details.locator("table").is_visible()


def test_the_tab_key_reaches_everything_in_order(page):
    page.get_by_text("Skip to the answer").focus()
    reached = []
    while "choose-costs" not in reached and len(reached) < 80:
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    places = [
        reached.index(name) for name in ("theme", "The answer", "Protocol", "mean", "choose-ranking", "choose-costs")
    ]
    assert places == sorted(places)
    page.get_by_role("button", name="Dark mode").focus()
    page.keyboard.press("Shift+Tab")
    assert page.get_by_text("Skip to the answer").evaluate("each => each === document.activeElement")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "answer"


def test_it_prints_light_open_and_without_buttons(page):
    page.set_viewport_size({"width": 688, "height": 900})
    page.emulate_media(color_scheme="dark")
    closed = page.locator("details:not([open])").count()
    dark = background(page)
    assert closed > 3
    page.emulate_media(media="print", color_scheme="dark")
    wait_until(page, "document.documentElement.classList.contains('printing')")
    assert page.locator("details:not([open])").count() == 0
    assert background(page) == "rgb(255, 255, 255)"
    assert not page.get_by_role("button", name="Dark mode").is_visible()
    assert not page.locator("select:visible").count()
    assert page.evaluate("document.documentElement.scrollWidth") <= 688
    widths = page.locator(".plot svg.main-svg").evaluate_all("all => all.map((each) => each.clientWidth)")
    assert all(0 < width <= 688 for width in widths)
    assert min(contrast for _, contrast in page.evaluate(CONTRASTS)["texts"]) >= 4.5
    page.emulate_media(media="screen", color_scheme="dark")
    wait_until(page, "!document.documentElement.classList.contains('printing')")
    assert page.locator("details:not([open])").count() == closed
    assert background(page) == dark


def test_a_narrow_screen_scrolls_tables_and_not_the_page(page):
    page.set_viewport_size({"width": 400, "height": 800})
    page.evaluate(OPEN_ALL)
    wait_until(page, "document.querySelector('.plot svg.main-svg').clientWidth <= 400")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    table = page.locator("#ranking .scroll").first
    assert table.evaluate("each => each.scrollWidth > each.clientWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_stands_out(page, scheme):
    page.emulate_media(color_scheme=scheme)
    page.evaluate(OPEN_ALL)
    found = page.evaluate(CONTRASTS)
    assert len(found["texts"]) > 500
    assert len(found["marks"]) > 50
    assert [(text, value) for text, value in found["texts"] if value < 4.5] == []
    assert [(colour, value) for colour, value in found["marks"] if value < 3] == []


def test_tables_are_there_without_javascript(browser, address):
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(address)
    assert column(page, "ranking", 1)[0] == "concat"
    assert not page.locator("#theme").is_visible()
    assert not page.locator("select:visible").count()
    assert (
        page.locator("noscript p:visible").all_inner_texts()
        == ["Charts need JavaScript. Their numbers are in the tables."] * 4
    )
    page.locator("#ranking summary").click()
    assert page.locator("#ranking details table").is_visible()
    page.context.close()
