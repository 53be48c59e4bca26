"""The page of a prediction in a real browser, against the real server over a real, small run."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote

import pytest
from browser import browsing, chromium, fresh_pages, signed_in
from page_checks import beyond_the_edge, poor_contrast
from preference_run import PAIRS, TOPICS
from serving import serving

from unweave.preferences.subject import open_preferences
from unweave.server.app import make_app

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect
pytestmark = [chromium, pytest.mark.filterwarnings("ignore::ResourceWarning")]
VIEWS = {
    "home": "/",
    "preferences": "/d/ID/preferences",
    "column": "/d/ID/column?name=exclamations",
    "cluster": "/d/ID/column?name=cluster:0",
    "maps": f"/d/ID/maps?rows={quote(TOPICS[0])}",
    "pairs": "/d/ID/pairs?column=exclamations",
    "words": "/d/ID/pair?row=4&column=exclamations",
    "tokens": "/d/ID/pair?row=2&column=cluster:0",
    "hostile": "/d/ID/pair?id=row-7&column=tokens",
    "removed": "/d/ID/removed",
}


class Address(NamedTuple):
    """Where the page is served, and what lets in."""

    url: str
    token: str


@pytest.fixture(scope="module")
def subject(foreseen):
    return open_preferences(foreseen)


@pytest.fixture(scope="module")
def served(subject):
    with serving(make=lambda settings: make_app({subject.id: subject}, settings)) as running:
        yield Address(f"http://127.0.0.1:{running.port}", running.token)


@pytest.fixture(scope="module")
def browser():
    with browsing() as opened:
        yield opened


@pytest.fixture
def open_page(browser, served, subject):
    """Opens a view, signed in; at the end asserts that nothing was complained of."""
    with fresh_pages(browser) as fresh:

        def open_one(view, allowed="", **options):
            path = VIEWS.get(view, view).replace("ID", subject.id)
            return signed_in(fresh(allowed, **options), served.url, served.token, path)

        yield open_one


def settle(page):
    """Waits until a view is complete, which is when it names itself."""
    expect(page).to_have_title(re.compile("·"))


def test_every_view_opens_in_both_schemes_and_on_a_phone_and_is_inert(open_page, served, subject):
    page = open_page("home")
    for path in VIEWS.values():
        page.goto(served.url + path.replace("ID", subject.id))
        page.wait_for_selector("h1")
        settle(page)
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            assert poor_contrast(page) == [], path
        page.set_viewport_size({"width": 360, "height": 740})
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), f"{path} scrolls sideways"
        assert beyond_the_edge(page) == [], path
        page.set_viewport_size({"width": 1280, "height": 800})
        assert page.evaluate("window.struck") is None, path
        assert page.locator("main script, main img, main [onerror]").count() == 0, path
        assert "\u202e" not in page.locator("main").inner_text(), path


def test_a_prediction_is_found_at_home_ranked_sorted_and_filtered(open_page, served, subject):
    page = open_page("home")
    expect(page.locator(".subjects li")).to_contain_text(f"{PAIRS} pairs, 2 of 5 columns stand")
    page.get_by_role("link", name="pairs.jsonl on polyglot").click()
    rows = page.locator(".ranked tbody tr")
    expect(rows).to_have_count(5)
    expect(rows.first).to_contain_text("+1.5 (+1.1 to +1.9)")
    expect(rows.first).to_contain_text("▲ chosen")
    expect(rows.first).to_contain_text("● stands")
    page.get_by_role("button", name="Predicted change").click()
    page.get_by_role("button", name="Predicted change").click()
    expect(rows.first).to_contain_text("cluster:0")
    expect(page.locator("th[aria-sort='ascending']")).to_have_text("Predicted change")
    page.get_by_label("only what stands").check()
    expect(rows).to_have_count(2)
    page.reload()
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("cluster:0")
    page.get_by_role("link", name="exclamations").click()
    expect(page.locator("h1")).to_have_text("exclamations")
    page.get_by_role("link", name=re.compile("^1 on neither")).click()
    expect(page.locator(".pair-entry")).to_have_count(1)
    expect(page.locator(".pair-entry")).to_contain_text("row-3")


def test_a_pair_is_shaded_by_words_by_tokens_and_not_at_all(open_page):
    page = open_page("words")
    chosen = page.locator(".reply.chosen .token.fires")
    expect(chosen).to_have_text(["!", "!"])
    expect(page.locator(".reply.rejected .token.fires")).to_have_count(0)
    # By keyboard: one stop a text, the arrows walk, and what is read is said.
    page.locator(".reply.chosen .token[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".reply.chosen .readout-line")).to_contain_text("changes nothing")
    page.get_by_role("button", name="Shade").click()
    expect(page.locator(".token")).to_have_count(0)
    expect(page.locator(".reply.chosen .whole-text")).to_contain_text("!! yes")
    page.get_by_role("button", name="Shade").click()
    page.get_by_label("Shade by").select_option("cluster:0")
    expect(page.locator(".reply.chosen .token").last).to_have_attribute("aria-label", re.compile("endoftext"))
    expect(page.locator(".shaded [aria-label*='cluster:0']").first).to_be_visible()
    page.get_by_role("link", name="Later row →").click()
    expect(page.locator("h1")).to_have_text("Pair row-5")
    expect(page.locator(".removed-note")).to_contain_text("teaches exclamations")


def test_maps_choose_by_mouse_and_by_the_list(open_page):
    page = open_page("/d/ID/maps")
    maps = page.locator(".map-part")
    expect(maps).to_have_count(2)
    rows = maps.first
    expect(rows.locator("circle.point")).to_have_count(PAIRS + 3)
    button = rows.get_by_role("button", name=re.compile("tea, kettle"))
    button.focus()
    page.keyboard.press("Enter")
    expect(rows.locator("circle.point.aside")).to_have_count(PAIRS // 2)
    expect(button).to_have_attribute("aria-pressed", "true")
    assert "tea%2C+kettle" in page.url
    other = rows.locator(".preference-map circle.point").nth(1)
    other.hover()
    expect(rows.locator(".readout-line")).to_contain_text("row-1 · rivers, rain")
    other.click()
    expect(rows.get_by_role("button", name=re.compile("rivers, rain"))).to_have_attribute("aria-pressed", "true")
    expect(rows.locator(".map-points a").first).to_have_text("row-1")
    page.reload()
    expect(rows.locator("circle.point.aside")).to_have_count(PAIRS // 2)


def test_a_bare_address_leads_to_the_predictions_and_refusals_are_said(open_page, subject):
    page = open_page("/d/ID", allowed="404")
    expect(page.locator("h1")).to_have_text("What pairs.jsonl would teach polyglot")
    assert page.url.endswith(f"/d/{subject.id}/preferences")
    page = open_page("/d/ID/column?name=nothing", allowed="422")
    expect(page.get_by_role("alert")).to_contain_text("column 'nothing' was not predicted")
