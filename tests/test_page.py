"""The page in a real browser, against the real server over made-up subjects."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, quote, quote_plus, urlsplit

import pytest
from browser import browsing, chromium, fresh_pages, signed_in
from made_subject import GROUPS, Made
from page_app import TOKEN, Served
from page_checks import beyond_the_edge, poor_contrast

from unweave.read import view_models as read

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect
# The browser's pipes are closed by the driver when the interpreter gets to it.
pytestmark = [chromium, pytest.mark.filterwarnings("ignore::ResourceWarning")]
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


@pytest.fixture(scope="module")
def browser():
    with browsing() as opened:
        yield opened


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
    made.slow_pages = 0.0
    with fresh_pages(browser, 8000) as fresh:

        def open_one(path="/", allowed="", **options):
            return signed_in(fresh(allowed, **options), served, TOKEN, path)

        yield open_one


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
        re.compile("18.182 of 20.000")
    )
    assert 10 < rows.count() < 80
    page.evaluate("document.querySelector('.scroller').scrollTop = 1e9")
    expect(page.locator(".rows")).to_contain_text("number 19999")
    assert rows.count() < 80
    assert page.locator(".rows").get_attribute("aria-rowcount") == "18183"
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
    numbers = [float(text.replace("e−", "e-")) for text in page.locator(".edge-table td.strength").all_inner_texts()]
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


def test_the_table_opens_with_what_fires_and_shows_both_sides_of_a_label(open_page, made):
    page = open_page("/d/made")
    settle(page)
    tick = page.get_by_label("at least once")
    expect(tick).to_be_checked()
    first = page.locator(".rows tbody:not(.gap) tr").first
    expect(first.locator(".reads")).to_have_text("de: fires on nouns after an article, number 0")
    expect(first.locator(".writes")).to_have_text("→ endings")
    row, cell = (first.locator(one).bounding_box() for one in ("td.name", "td.label"))
    assert cell["width"] > 150
    for side in (".reads", ".writes"):
        line = first.locator(side).bounding_box()
        assert row["y"] <= line["y"] < line["y"] + line["height"] <= row["y"] + row["height"] + 1, "both must be seen"
    tick.uncheck()
    expect(page.locator(".heading .total")).to_have_text(re.compile("20.000 of 20.000"))
    assert query(page) == {"alive": "0"}
    dead = quote(next(row.name for row in made.rows if not row.firing))
    page = open_page(f"/d/made/f/{dead}")
    page.get_by_role("link", name="Among all subcomponents").click()
    expect(page.locator(".rows tr.current")).to_contain_text(":10")


def test_rows_that_were_waited_for_when_the_order_changed_are_asked_for_again(open_page, made):
    page = open_page("/d/made")
    settle(page)
    made.slow_pages = 0.5
    scroll = "document.querySelector('.scroller').scrollTop = 1e9"
    page.evaluate(scroll)
    page.wait_for_timeout(120)  # the last page has been asked for, and has not come
    page.get_by_role("button", name="Density").click()
    expect(page.locator("th[aria-sort='descending']")).to_have_text(re.compile("Density"))
    page.evaluate(scroll)
    last = sorted((row for row in made.rows if row.firing), key=lambda row: row.density, reverse=True)[-1]
    expect(page.locator(".rows tbody:not(.gap) tr").last).to_contain_text(last.label.split(" → ")[0])
    expect(page.locator(".rows tr.waiting")).to_have_count(0)


def test_a_filter_that_is_refused_leaves_no_rows_of_the_one_before(open_page, made, monkeypatch):
    page = open_page("/d/made", allowed="422")
    expect(page.locator(".rows tbody:not(.gap) tr").first).to_be_visible()
    page.get_by_label("Site").fill("nowhere")
    expect(page.get_by_role("alert")).to_contain_text("group 'nowhere' matches nothing")
    expect(page.locator(".rows tbody:not(.gap) tr")).to_have_count(0)
    expect(page.locator(".heading .total")).to_have_text("")
    page.get_by_label("Site").fill("")
    expect(page.locator(".rows tbody:not(.gap) tr").first).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_cleared_density_is_no_limit(open_page, made):
    page = open_page("/d/made?min=0.07&max=0.2")
    lowest, highest = page.get_by_label("Lowest density"), page.get_by_label("Highest density")
    expect(lowest).to_have_value("7")
    expect(highest).to_have_value("20")
    highest.fill("")
    above = sum(row.density >= 0.07 for row in made.rows)
    expect(page.locator(".heading .total")).to_have_text(re.compile(rf"^{above // 1000}.?{above % 1000:03} of"))
    assert query(page) == {"min": "0.07"}
    assert asked(made, "features")[-1].max_density == 1.0


def test_where_a_feature_fires_is_shown_though_it_is_listed_for_no_token(open_page, made):
    one = made.rows[5]
    page = open_page(f"/d/made/text?q={PROMPT}&feature={quote(one.name)}")
    expected = made.fires(read.FiresRequest(text="Der Hund läuft durch den dunklen", limit=40, trace=one.name))
    assert all(one.name not in {each.name for each in token.features} for token in expected.tokens)
    tokens = page.locator(".traced > .shaded .token")
    expect(tokens).to_have_count(6)
    for at, importance in enumerate(expected.traced.importance):
        assert float(tokens.nth(at).evaluate("e => e.style.getPropertyValue('--importance')")) == pytest.approx(
            importance, abs=1e-3
        )
        activation = f"{abs(expected.traced.activation[at]):.2f}".removeprefix("0")
        assert activation in tokens.nth(at).get_attribute("aria-label")
    firing = sum(importance > 0.1 for importance in expected.traced.importance)
    expect(page.locator(".traced .about")).to_contain_text(f"fires: on {firing} of 6 tokens")
    assert page.locator(".traced .legend").inner_text().count("framed") == 0
    page.get_by_role("button", name=re.compile("^Show where")).first.click()
    name = page.locator(".firings .who a").first.get_attribute("title")
    expect(page.locator(".traced .about a")).to_have_attribute("title", name)
    assert asked(made, "fires")[-1].trace == name


def test_prompts_are_the_example_with_most_before_a_full_firing(open_page, made):
    page = open_page(f"/d/made/f/{ONE}")
    examples = [one for one in made.feature(read.FeatureRequest(name=ONE, examples=10)).examples if not one.held]
    full = [one for one in examples if one.tokens[one.offset].importance > 0.9]
    best = max(full, key=lambda one: one.offset)
    assert best is not examples[0]
    text = "".join(token.text for token in best.tokens[: best.offset + 1])
    expect(page.get_by_label("Text whose next token is asked")).to_have_value(text)
    for link in ("Attributions around an example", "Fires where, in an example"):
        href = page.get_by_role("link", name=link).get_attribute("href")
        assert parse_qs(urlsplit(href).query)["q"] == [text]


def test_counts_say_what_they_are_counted_on(open_page):
    page = open_page(f"/d/made/f/{ONE}")
    said = re.sub(r"\s", " ", page.locator("main").inner_text())
    assert "counted on the 900 000 tokens of shown windows" in said
    assert "counted on the 65 536 tokens of the harvest's pool" in said
    assert "43 trials" in said


def test_a_change_has_its_error_and_bars_have_a_legend(open_page):
    page = open_page(f"/d/made/f/{ONE}?factor=0")
    expect(page.locator(".changes tbody tr").first).to_contain_text("+.900 ±.034")
    expect(page.locator(".languages .help")).to_contain_text("standard error of the change over these tokens")
    expect(page.locator(".results .bars")).to_contain_text("before")
    box = page.locator(".bars .after .filled").bounding_box()
    assert box["width"] > 10
    assert box["height"] > 3


def test_a_cleared_text_stops_what_was_asked(open_page, made):
    page = open_page(f"/d/made/f/{ONE}")
    settle(page)
    page.get_by_label("Text whose next token is asked").fill("a")
    page.get_by_label("Text whose next token is asked").fill("")
    page.wait_for_timeout(700)
    expect(page.locator(".results")).to_have_text("Type a text to see what comes next.")
    expect(page.locator(".results")).to_have_attribute("aria-busy", "false")
    assert all(request.text for request in asked(made, "factor"))
    assert page.get_by_role("alert").count() == 0
    page = open_page("/d/made/text")
    before = len(asked(made, "fires"))
    page.get_by_label("Text", exact=True).fill("a")
    page.get_by_label("Text", exact=True).fill("")
    page.wait_for_timeout(500)
    assert len(asked(made, "fires")) == before
    expect(page.locator(".fired")).to_have_text("Type or paste a text above.")


def test_edges_are_cut_by_strength_which_compares_across_targets(open_page, made):
    page = open_page(f"{VIEWS['graph']}&least=0.2&keep=500")
    settle(page)
    graph = made.graph(read.GraphRequest(text="Der Hund läuft durch den dunklen", nodes=60, edges=300))
    most = max(edge.strength for edge in graph.edges)
    kept = [edge for edge in graph.edges if edge.strength >= 0.2 * most]
    weighty = [edge for edge in graph.edges if abs(edge.weight) >= 0.2 * max(abs(one.weight) for one in graph.edges)]
    assert len(kept) != len(weighty)
    edges = page.locator(".graph .edge")
    assert edges.count() == len(kept)
    widths = [float(edges.nth(at).get_attribute("stroke-width")) for at in range(edges.count())]
    assert widths == sorted(widths, reverse=True)
    expect(page.locator(".legend.help")).to_contain_text("Wider edge: stronger")


def test_a_saved_graph_opens_as_it_was_pruned(open_page, made):
    pinned = made.graph(read.GraphRequest(text="Der Hund läuft durch den dunklen", nodes=60)).nodes[-5].name
    page = open_page(f"{VIEWS['graph']}&keep=7&least=0.1&pin={quote(pinned)}")
    settle(page)
    shown = sorted(page.locator(".graph .node").evaluate_all("all => all.map(one => one.dataset.id)"))
    page.get_by_label("Title").fill("pruned")
    page.get_by_role("button", name="Save this graph").click()
    page.get_by_role("link", name="pruned").click()
    expect(page.locator(".answered")).to_contain_text("pruned")
    assert sorted(page.locator(".graph .node").evaluate_all("all => all.map(one => one.dataset.id)")) == shown
    kept = made.graphs["graph-0"]
    assert (kept.keep, kept.least, kept.pins) == (7, 0.1, [pinned])


def test_a_long_list_leaves_the_address_before_the_prompt_does(open_page):
    room = 7997 - len(f"?q={quote_plus('Der Hund läuft durch den dunklen')}&hide=")
    hidden = " ".join(f"f{number}" for number in range(1000, 1000 + room // len("f1000 ")))
    page = open_page(f"{VIEWS['graph']}&hide={quote_plus(hidden)}")
    settle(page)
    for _ in range(5):
        page.locator(".graph .node.feature").first.focus()
        page.keyboard.press("x")
    expect(page.get_by_text("The address has no room for what is hidden: save the graph to keep it.")).to_be_visible()
    assert query(page) == {"q": "Der Hund läuft durch den dunklen"}


def test_the_largest_nodes_are_named_and_narrow_drawings_have_no_row_names(open_page):
    page = open_page(VIEWS["graph"])
    settle(page)
    names = page.locator(".graph .node-names text")
    assert names.count() == 10
    assert names.locator("visible=true").count() >= 4
    boxes = [names.nth(at).bounding_box() for at in range(10) if names.nth(at).is_visible()]
    for at, a in enumerate(boxes):
        for b in boxes[:at]:
            apart = a["x"] + a["width"] <= b["x"] + 2 or b["x"] + b["width"] <= a["x"] + 2
            assert apart or a["y"] + a["height"] <= b["y"] + 3 or b["y"] + b["height"] <= a["y"] + 3, "names overlap"
    expect(page.locator(".graph .row-names")).to_be_visible()
    page.set_viewport_size({"width": 360, "height": 740})
    expect(page.locator(".graph .row-names")).to_be_hidden()
    nodes = page.locator(".graph .node > :nth-child(2)").evaluate_all("all => all.map(e => e.getBoundingClientRect())")
    for name in names.all():
        if name.is_visible():
            box = name.bounding_box()
            middle = [(one["x"] + one["width"] / 2, one["y"] + one["height"] / 2) for one in nodes]
            inside = [x for x, y in middle if 0 < x - box["x"] < box["width"] and 0 < y - box["y"] < box["height"]]
            assert inside == [], "a name lies over a node"


def test_a_histogram_names_its_scales_and_marks_zero(open_page):
    page = open_page(f"/d/made/f/{ONE}")
    charts = page.locator(".chart")
    expect(charts.nth(0).locator(".axis-name")).to_have_text("importance")
    expect(charts.nth(0).locator(".up-name")).to_have_text("↑ tokens, in powers of ten")
    expect(charts.nth(0).locator(".zero")).to_have_count(0)
    expect(charts.nth(1).locator(".axis-name")).to_contain_text("logarithm")
    zero = float(charts.nth(1).locator("line.zero").get_attribute("x1"))
    # The made edges run evenly from -12.25 to 12.25, and 0 is in the middle of the bin between.
    bars = charts.nth(1).locator("rect.counted title").all_text_contents()
    at = next(index for index, text in enumerate(bars) if text.startswith(("−.25 to .25", "−0.25 to 0.25")))
    bar = charts.nth(1).locator("rect.counted").nth(at)
    assert zero == pytest.approx(float(bar.get_attribute("x")) + float(bar.get_attribute("width")) / 2, abs=0.1)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (999.7, "1\u202f000"),
        (-999.6, "−1\u202f000"),
        (999.4, "999"),
        (12.34, "12.3"),
        (0, "0"),
        (0.5, "0.5"),
        (1e7, "1.0e7"),
    ],
)
def test_numbers_are_printed_in_three_digits(open_page, value, shown):
    page = open_page()
    printed = page.evaluate("async (value) => (await import('/static/numbers.js')).number(value)", value)
    assert printed == shown


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


def test_labels_that_are_not_shown_are_accounted_for(open_page, made):
    made.labels_note = "the labels beside it are of another harvest"
    try:
        page = open_page("/d/made")
        expect(page.locator(".problem")).to_have_text(made.labels_note)
    finally:
        made.labels_note = ""
    expect(open_page("/d/made").locator(".problem")).to_have_count(0)
