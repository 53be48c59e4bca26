"""The page in a real browser, against the real server over made-up subjects."""

from __future__ import annotations

import re
import shutil
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from made_subject import GROUPS, Made
from page_app import TOKEN, Served

from unweave.read import view_models as read

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="neither Chromium nor Chrome is installed"),
    # The browser's pipes are closed by the driver when the interpreter gets to it.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
ONE = f"{GROUPS[0]}:5"
PROMPT = quote("Der Hund läuft durch den dunklen")
VIEWS = {
    "home": "/",
    "features": "/d/made",
    "feature": f"/d/made/f/{ONE}",
    "text": f"/d/made/text?q={PROMPT}&at=1",
    "graph": f"/d/made/graph?q={PROMPT}",
    "edits": "/d/made/edits",
}


POOR_CONTRAST = """() => {
  const number = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const over = (top, below) => {
    const share = top[3] ?? 1;
    return top.slice(0, 3).map((one, at) => one * share + below[at] * (1 - share));
  };
  const behind = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) layers.push(number(getComputedStyle(one).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  const light = (rgb) => {
    const [r, g, b] = rgb.map((part) => linear(part / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const poor = [];
  for (const element of document.querySelectorAll("main *, header *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || element.closest("svg, option, [hidden], .unseen, :disabled")) continue;
    if (!element.getClientRects().length) continue;
    const back = behind(element);
    const front = over(number(getComputedStyle(element).color), back);
    const [more, less] = [light(front), light(back)].sort((a, b) => b - a);
    const ratio = (more + 0.05) / (less + 0.05);
    if (ratio < 4.5) poor.push(`${element.outerHTML.slice(0, 80)} ${ratio.toFixed(2)}`);
  }
  return poor.slice(0, 10);
}"""
CUT_OFF = """() => [...document.querySelectorAll("main *")].filter((element) => {
  const held = "svg, .scroll, .scroller, [hidden], td.who, td.label, td.name, details:not([open]) > :not(summary)";
  const box = element.getBoundingClientRect();
  return box.width > 0 && box.right > innerWidth + 1 && !element.closest(held);
}).slice(0, 5).map((element) => element.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as driver:
        # Chromium's own sandbox needs rights that a container or root does not have.
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def made():
    return Made()


@pytest.fixture(scope="module")
def served(made):
    with Served(made) as address:
        yield address


@pytest.fixture
def open_page(browser, served, made):
    """Opens an address in a fresh browser that is signed in, and at the end asserts that nothing was complained of."""
    made.edits.clear()
    made.graphs.clear()
    made.asked.clear()
    made.delay.clear()
    contexts, complaints, expected = [], [], []

    def open_one(path="/", allowed="", **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(8000)
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.goto(f"{served}/?token={TOKEN}")
        if path != "/":
            page.goto(served + path)
        page.wait_for_selector("h1")
        if allowed:
            expected.append(allowed)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert [one for one in complaints if not any(word in one for word in expected)] == []


def asked(made: Made, view: str) -> list:
    return [request for name, request in made.asked if name == view]


def query(page) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(page.url).query).items()}


def settle(page) -> None:
    page.wait_for_load_state("networkidle")


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_opens_in_both_schemes_and_on_a_phone(open_page, view):
    page = open_page(VIEWS[view])
    settle(page)
    expect(page.locator("h1").first).to_be_visible()
    assert "unweave" in page.title()
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        assert poor_contrast(page) == []
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    assert beyond_the_edge(page) == []


def poor_contrast(page) -> list[str]:
    """Texts in sight whose contrast with what is painted behind them is below 4.5 to 1 (WCAG 2, AA)."""
    return page.evaluate(POOR_CONTRAST)


def beyond_the_edge(page) -> list[str]:
    """Elements cut off at the right edge that no scrolling part of the page holds."""
    return page.evaluate(CUT_OFF)


def test_what_a_model_or_a_file_says_is_inert(open_page, made, served):
    name = quote(made.rows[2].name)
    page = open_page()
    for path in ("/", "/d/made", f"/d/made/f?name={name}", VIEWS["text"], VIEWS["graph"], f"/d/made/f/{ONE}"):
        page.goto(served + path)
        expect(page.locator("main")).to_contain_text("<script>window.struck=1</script>")
        assert page.evaluate("window.struck") is None
        assert page.locator("main script, main img, main b[onclick], main [onerror]").count() == 0
        assert page.locator("main a[href^='javascript']").count() == 0
        shown = page.locator("main").inner_text()
        # Direction overrides and escapes are named, not obeyed.
        assert "\u202e" not in shown
        assert "\x1b" not in shown


def test_hidden_characters_are_shown_as_marks(open_page):
    page = open_page(f"/d/made/f/{ONE}")
    marks = page.locator(".shaded .mark").all_inner_texts()
    assert {"↵", "RLO"} <= set(marks)
    assert page.locator(".shaded .mark", has_text="RLO").first.get_attribute("title") == "U+202E RLO"
    assert "␣Hund" in page.locator(".tokens").first.inner_text()


def test_the_token_is_asked_for_and_refusals_are_shown_plainly(open_page, browser, served):
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{served}/d/made")
    assert "needs its token" in page.inner_text("h1")
    context.close()
    page = open_page("/d/made/f/nowhere:1", allowed="422")
    expect(page.get_by_role("alert")).to_contain_text("no feature 'nowhere:1' is in this harvest")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).to_contain_text("no feature")


def test_twenty_thousand_rows_keep_few_in_the_document(open_page, made):
    page = open_page("/d/made")
    rows = page.locator(".rows tbody:not(.gap) tr")
    expect(page.get_by_role("status").filter(has_text="subcomponents").last).to_have_text(
        re.compile("20.000 of 20.000")
    )
    assert 10 < rows.count() < 80
    page.evaluate("document.querySelector('.scroller').scrollTop = 1e9")
    expect(page.locator(".rows")).to_contain_text("number 19999")
    assert rows.count() < 80
    assert page.locator(".rows").get_attribute("aria-rowcount") == "20001"
    # Passing over pages does not ask for each of them.
    assert len(asked(made, "features")) <= 4
    assert all(request.limit == 100 for request in asked(made, "features"))


def test_sorting_and_filtering_are_the_servers_and_in_the_address(open_page, made):
    page = open_page("/d/made")
    page.get_by_role("button", name="Density").click()
    expect(page.locator("th[aria-sort='descending']")).to_have_text(re.compile("Density"))
    settle(page)
    best = max(made.rows, key=lambda row: row.density)
    expect(page.locator(".rows tbody:not(.gap) tr").first).to_contain_text(best.label)
    page.get_by_role("button", name="Density").click()
    expect(page.locator("th[aria-sort='ascending']")).to_have_text(re.compile("Density"))
    page.get_by_role("button", name="fr", exact=True).click()
    settle(page)
    french = max(made.rows, key=lambda row: row.by_label[3])
    expect(page.locator(".rows tbody:not(.gap) tr").first).to_contain_text(french.label)
    assert query(page) == {"sort": "on:fr", "down": "1"}
    page.get_by_role("searchbox").press_sequentially("number 1234", delay=10)
    matching = sum("number" in row.label and "1234" in f"{row.name} {row.label}" for row in made.rows)
    expect(page.locator(".heading .total")).to_have_text(re.compile(rf"^{matching} of"))
    # Keystrokes are gathered into few requests.
    assert len(asked(made, "features")) <= 7
    page.get_by_label("clear", exact=True).check()
    clear = sum(
        "number" in row.label and "1234" in f"{row.name} {row.label}" and row.confidence == "clear" for row in made.rows
    )
    expect(page.locator(".heading .total")).to_have_text(re.compile(rf"^{clear} of"))
    assert query(page) == {"q": "number 1234", "confidence": "clear", "sort": "on:fr", "down": "1"}
    page.reload()
    expect(page.locator(".heading .total")).to_have_text(re.compile(rf"^{clear} of"))
    expect(page.get_by_role("searchbox")).to_have_value("number 1234")
    page.go_back()
    expect(page.locator(".heading .total")).to_have_text(re.compile(rf"^{matching} of"))


def test_a_contrast_has_its_own_column_and_order(open_page, made):
    page = open_page("/d/made?contrast=de")
    expect(page.locator("th[aria-sort='descending']")).to_have_text(re.compile("Contrast"))
    assert asked(made, "features")[-1].contrast == "de"
    page.locator(".filters select").select_option("")
    expect(page.locator("th.contrast")).to_have_count(0)


def test_links_and_the_back_button(open_page, served):
    page = open_page("/")
    page.get_by_role("link", name="polyglot, all matrices").click()
    expect(page.locator(".rows")).to_be_visible()
    page.locator(".rows a").nth(4).click()
    expect(page.locator("h1.feature-title")).to_have_text("0.self_attn.o_proj:4")
    page.locator("a.feature-name", has_text=":20").first.click()
    expect(page.locator("h1.feature-title")).to_have_text("0.self_attn.o_proj:20")
    page.go_back()
    expect(page.locator("h1.feature-title")).to_have_text("0.self_attn.o_proj:4")
    page.go_back()
    expect(page.locator(".rows tr.current")).to_contain_text("number 4")
    page.go_forward()
    expect(page.locator("h1.feature-title")).to_have_text("0.self_attn.o_proj:4")
    # With a modifier the browser's own meaning holds: another tab.
    with page.context.expect_page() as other:
        page.get_by_role("link", name="Text", exact=True).click(modifiers=["Control"])
    assert urlsplit(other.value.url).path == "/d/made/text"
    assert page.url.startswith(f"{served}/d/made/f/")


def test_the_keyboard_reaches_everything(open_page):
    page = open_page("/d/made")
    settle(page)
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("k")
    expect(page.locator(".rows tr.current a")).to_be_focused()
    expect(page.locator(".rows tr.current")).to_contain_text("<script>")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "what has the focus must be seen"
    page.keyboard.press("End")
    expect(page.locator(".rows tr.current")).to_contain_text("number 19999")
    page.keyboard.press("Home")
    page.keyboard.press("j")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("j")
    expect(page.get_by_role("searchbox")).to_have_value("j")
    page.keyboard.press("Backspace")
    page.locator(".rows tr.current a").focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1.feature-title")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    token = page.locator(".shaded .token[tabindex='0']").first
    token.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").count("importance") == 1


def test_importance_and_activation_are_told_apart_without_colour(open_page, made):
    page = open_page(f"/d/made/f/{ONE}")
    example = made.feature(read.FeatureRequest(name=ONE, examples=15)).examples[0]
    tokens = page.locator(".example").first.locator(".token")
    assert tokens.count() == len(example.tokens)
    strongest = max(range(len(example.tokens)), key=lambda at: example.tokens[at].importance)
    weakest = min(range(len(example.tokens)), key=lambda at: example.tokens[at].importance)
    underline = "element => getComputedStyle(element).boxShadow"
    assert "inset" in tokens.nth(strongest).evaluate(underline)
    assert tokens.nth(weakest).evaluate(underline) == "none"
    for at, token in enumerate(example.tokens[:10]):
        shown = tokens.nth(at)
        sign = "up" if token.activation > 0 else "down"
        assert shown.locator(f".activation.{sign}").count() == shown.locator(".activation").count()
        assert f"{abs(token.activation):.2f}".removeprefix("0") in shown.get_attribute("aria-label")
        assert f"{token.importance:.2f}".lstrip("0") in shown.get_attribute("aria-label")


def test_histograms_say_what_they_show(open_page, made):
    page = open_page(f"/d/made/f/{ONE}")
    answer = made.feature(read.FeatureRequest(name=ONE))
    chart = page.get_by_role("img", name=re.compile("^Importance, where above 0"))
    counts = answer.importance_histogram.counts
    assert f"{sum(counts)}" in re.sub(r"\s", "", chart.get_attribute("aria-label"))
    bars = chart.locator("rect.counted")
    assert bars.count() == sum(count > 0 for count in counts)
    heights = [float(bars.nth(at).get_attribute("height")) for at in range(bars.count())]
    assert heights.index(max(heights)) == counts.index(max(counts))
    page.locator("details.numbers summary").first.click()
    body = page.locator("details.numbers table").first.locator("tbody tr")
    assert [int(re.sub(r"\D", "", row.split("\t")[-1])) for row in body.all_inner_texts()] == counts


def test_the_slider_shows_the_newest_answer_only(open_page, made):
    page = open_page(f"/d/made/f/{ONE}")
    settle(page)
    made.delay[-4.0] = 0.8
    slider = page.get_by_role("slider", name="Factor", exact=True)
    slider.fill("-4")
    page.wait_for_timeout(150)
    slider.fill("0")
    shown = page.locator(".results [data-factor]")
    expect(shown).to_have_attribute("data-factor", "0")
    page.wait_for_timeout(1000)
    expect(shown).to_have_attribute("data-factor", "0")
    assert {-4.0, 0.0} <= {request.factors[ONE] for request in asked(made, "factor")}
    expect(page.locator(".changes tbody tr").first).to_contain_text("+.900")
    expect(page.get_by_role("spinbutton", name="Factor as a number")).to_have_value("0")
    assert query(page)["factor"] == "0"
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(shown).to_have_attribute("data-factor", "0.1")


def test_an_edit_is_made_listed_undone_and_forgotten(open_page, made):
    page = open_page(f"/d/made/f/{ONE}?factor=0")
    page.get_by_label("Name of the edit").fill("no <i>German</i>")
    page.get_by_role("button", name="Make this an edit").click()
    page.get_by_role("link", name="See the edits (1 active)").click()
    row = page.locator(".edits tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("no <i>German</i>")
    expect(row).to_contain_text("active")
    page.get_by_role("button", name="Undo the last").click()
    expect(row).to_contain_text("undone")
    assert [entry.active for entry in made.edits] == [False]
    page.get_by_role("button", name="Redo", exact=True).click()
    expect(row).to_contain_text("● active")
    page.get_by_role("button", name=re.compile("^Undo no")).click()
    page.get_by_role("button", name=re.compile("^Forget")).click()
    expect(row).to_have_count(0)
    assert made.edits == []
    page.go_back()
    page.get_by_label("Name of the edit").fill("twice")
    page.get_by_role("button", name="Make this an edit").click()
    expect(page.get_by_role("link", name=re.compile("See the edits"))).to_be_visible()


def test_typed_text_lists_what_fires_at_a_token(open_page, made):
    page = open_page("/d/made/text")
    page.keyboard.press("/")
    page.keyboard.type("Der Hund schläft", delay=5)
    buttons = page.locator(".token-button")
    expect(buttons).to_have_count(3)
    buttons.nth(1).click()
    answer = made.fires(read.FiresRequest(text="Der Hund schläft", limit=40))
    rows = page.get_by_role("table", name="What fires on the token").locator("tbody tr")
    expect(rows).to_have_count(len(answer.tokens[1].features))
    for at, one in enumerate(answer.tokens[1].features):  # in the order that the server gives
        expect(rows.nth(at)).to_contain_text(one.name.removeprefix("model.layers."))
    assert query(page) == {"q": "Der Hund schläft", "at": "1"}
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name="Token 3:")).to_be_visible()
    page.get_by_role("button", name=re.compile("^Show where")).first.click()
    expect(page.locator(".traced > .shaded .token")).to_have_count(3)
    page.get_by_label("Text", exact=True).fill("a " * 9000)
    expect(page.get_by_text("too long to be kept in the address")).to_be_visible()


def test_the_graph_is_pruned_walked_saved_and_opened(open_page, made):
    page = open_page(VIEWS["graph"])
    settle(page)
    circles = page.locator(".graph .node.feature")
    before = circles.count()
    page.get_by_label(re.compile("subcomponents kept")).fill("5")
    expect(page.locator(".answered")).to_be_visible()
    assert 0 < circles.count() <= 5 < before
    assert query(page)["keep"] == "5"
    page.locator(".graph").focus()
    page.keyboard.press("ArrowUp")
    expect(page.locator(".node-panel")).to_contain_text("answer")
    at = page.locator(".graph > g").first.get_attribute("transform")
    page.keyboard.press("+")
    page.keyboard.press("Shift+ArrowLeft")
    assert page.locator(".graph > g").first.get_attribute("transform") != at
    page.keyboard.press("0")
    circles.first.focus()
    name = circles.first.get_attribute("data-id")
    page.keyboard.press("x")
    expect(page.locator(f".graph [data-id='{name}']")).to_have_count(0)
    page.get_by_label("Title").fill("first <u>graph</u>")
    page.get_by_role("button", name="Save this graph").click()
    page.get_by_role("link", name="first <u>graph</u>").click()
    expect(page.locator(".answered")).to_contain_text("first <u>graph</u>")
    assert made.graphs["graph-0"].hidden == [name]
    expect(page.locator(f".graph [data-id='{name}']")).to_have_count(0)
    page.get_by_text("Edges as a table").click()
    weights = page.locator(".edge-table tbody td.number").all_inner_texts()
    numbers = [abs(float(text.replace("−", "-"))) for text in weights]
    assert numbers == sorted(numbers, reverse=True)
    assert len(numbers) > 0
    page.get_by_role("button", name=re.compile("^Forget")).click()
    expect(page.get_by_role("link", name="first <u>graph</u>")).to_have_count(0)


def test_the_graph_by_mouse(open_page):
    page = open_page(f"/d/made/graph?q={PROMPT}&pin={quote(ONE)}")
    settle(page)
    world = page.locator(".graph > g").first
    page.locator(".graph-frame").scroll_into_view_if_needed()
    frame = page.locator(".graph").bounding_box()
    before = world.get_attribute("transform")
    page.mouse.move(frame["x"] + 8, frame["y"] + frame["height"] - 8)
    page.mouse.down()
    page.mouse.move(frame["x"] + 60, frame["y"] + frame["height"] - 40, steps=4)
    page.mouse.up()
    moved = world.get_attribute("transform")
    assert moved != before
    page.mouse.wheel(0, -200)
    expect(world).not_to_have_attribute("transform", moved)
    page.get_by_role("button", name="All of it").click()
    node = page.locator(".graph .node.feature").nth(3)
    name = node.get_attribute("aria-label").split(" ")[0]
    node.click()
    expect(page.locator(".node-panel")).to_contain_text(name)
    expect(page.locator(".edge.near").first).to_be_attached()
    node.click()
    expect(page.locator("h1.feature-title")).to_have_text(name)


def test_the_chosen_scheme_is_kept_and_motion_is_spared(open_page):
    page = open_page("/d/made/edits", color_scheme="light", reduced_motion="reduce")
    paper = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    page.get_by_role("button", name="Dark").click()
    dark = page.evaluate(paper)
    assert dark != "rgb(255, 255, 255)"
    page.reload()
    expect(page.get_by_role("button", name="Light")).to_be_visible()
    assert page.evaluate(paper) == dark
    moving = (
        "[...document.querySelectorAll('*')].filter(e => parseFloat(getComputedStyle(e).transitionDuration) > 0).length"
    )
    assert page.evaluate(moving) == 0


def test_every_module_is_short_and_names_no_other_server(served):
    from unweave.server.static import bundled_static

    for name, file in bundled_static().items():
        text = file.content.decode()
        assert len(text.splitlines()) <= 300, name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text), name
        outside = [one for one in re.findall(r"https?://[^\s\"'`)]+", text) if one != "http://www.w3.org/2000/svg"]
        assert outside == [], name
        if name.endswith(".html"):
            assert not re.search(r"\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|<style", text), name
