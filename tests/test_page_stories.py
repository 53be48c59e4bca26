"""The page of stories in a real browser, against the real server over a made run, and the file that plays them."""

from __future__ import annotations

import json
import re

import pytest
from browser import browsing, chromium
from page_checks import beyond_the_edge, poor_contrast
from serving import serving
from story_run import HOSTILE, SENTENCES, make_run

from unweave.server.app import make_app
from unweave.shapes.stories.export import save_story_page
from unweave.shapes.stories.scene import scenes_from_run
from unweave.shapes.stories.subject import open_stories

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect
pytestmark = [chromium, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def subject(run):
    return open_stories(run.path)


@pytest.fixture(scope="module")
def served(subject):
    with serving(make=lambda settings: make_app({subject.id: subject}, settings)) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    with browsing() as opened:
        yield opened


@pytest.fixture
def open_page(browser, served, subject):
    """Opens an address, signed in; at the end asserts that nothing was complained of."""
    contexts, complaints, expected = [], [], []

    def open_one(address, allowed="", **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if address.startswith("/"):
            page.goto(f"{served.origin}/?token={served.token}")
            address = served.origin + address.replace("ID", subject.id)
        page.goto(address)
        page.wait_for_selector("h1")
        if allowed:
            expected.append(allowed)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert [one for one in complaints if not any(word in one for word in expected)] == []


@pytest.fixture(scope="module")
def file(run, tmp_path_factory):
    return save_story_page(scenes_from_run(run), tmp_path_factory.mktemp("file") / "stories.html").as_uri()


def chooser(page, name):
    """The list of that name above the story."""
    return page.locator(".shelf-row label", has=page.get_by_text(name, exact=True)).locator("select")


def drawn(page) -> int:
    """How many different colours the drawing has: one where nothing is drawn."""
    return page.evaluate("""() => {
      const canvas = document.querySelector("canvas.scene");
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return new Set(new Uint32Array(data.buffer)).size;
    }""")


@pytest.mark.parametrize("where", ["page", "file"])
def test_stories_are_read_in_both_schemes_and_on_a_phone_and_are_inert(open_page, file, where):
    page = open_page("/d/ID/stories?story=odd" if where == "page" else f"{file}#odd")
    expect(page.locator(".sentence")).to_have_count(SENTENCES)
    expect(page.locator(".story-chart")).to_have_count(7)
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        assert poor_contrast(page) == []
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert beyond_the_edge(page) == []
    page.wait_for_function("document.querySelector('canvas.scene').width <= 360")
    assert drawn(page) > 8
    assert page.evaluate("window.struck") is None
    assert page.locator("main script, main img, main [onerror]").count() == 0
    assert "\u202e" not in page.locator("main").inner_text()
    expect(page.locator(".story-title")).to_contain_text("<script>window.struck=1</script>")


def test_a_story_is_stepped_through_and_its_numbers_are_the_tables(open_page, run):
    page = open_page("/d/ID/stories?story=fall-rise-harbour")
    lit = page.locator(".sentence[aria-current]")
    expect(lit).to_have_text("Sentence 0 of a fall-rise.")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(lit).to_have_text("Sentence 2 of a fall-rise.")
    expect(page.locator(".player-words")).to_have_text(f"3 of {SENTENCES}")
    row = next(
        row for row in run.load_table("sentences").records() if (row["story"], row["sentence"]) == ("fall-rise-harbour", 2)
    )
    figures = page.locator(".story-chart .figure")
    expect(figures.nth(4)).to_have_text(
        f"{10 * row['forced-choice happiness']:.3g} · gold {10 * row['gold happiness']:.3g}"
    )
    page.reload()
    expect(lit).to_have_text("Sentence 2 of a fall-rise.")
    page.locator(".sentence").nth(4).click()
    expect(page.locator(".player-words")).to_have_text(f"5 of {SENTENCES}")
    page.get_by_text("The drawing as a table").click()
    point = next(
        one for one in run.load_table("paths").records() if (one["story"], one["sentence"]) == ("fall-rise-harbour", 0)
    )
    cell = page.locator(".scene-part tbody tr").first.locator("td").nth(1)
    assert float(cell.inner_text().replace("−", "-")) == pytest.approx(point["x"], rel=5e-3)


def test_it_plays_to_the_end_and_pauses(open_page):
    page = open_page("/d/ID/stories")
    page.get_by_label("Speed").select_option("4")
    page.get_by_role("button", name="Play or pause").click()
    expect(page.locator(".player-words")).to_have_text(f"{SENTENCES} of {SENTENCES}")
    expect(page.get_by_role("button", name="Play or pause")).to_have_text("Play")
    page.keyboard.press("Home")


def test_filters_choose_the_story_and_the_ghosts_and_another_readout_draws_anew(open_page, run):
    page = open_page("/d/ID/stories")
    chooser(page, "Arc").select_option("rise-fall")
    expect(chooser(page, "Story").locator("option")).to_have_count(2)
    expect(page.locator(".story-title")).to_have_text("A rise-fall in the garden")
    expect(page.locator("canvas.scene")).to_have_attribute("aria-label", re.compile("depth 3"))
    chooser(page, "Depth").select_option("1")
    chooser(page, "Read by").select_option("direct")
    expect(page.locator("canvas.scene")).to_have_attribute("aria-label", re.compile("depth 1"))
    row = next(row for row in run.load_table("sentences").records() if row["story"] == "rise-fall-garden")
    expect(page.locator(".story-chart .figure").nth(1)).to_contain_text(f"{10 * row['direct surprise']:.3g}")
    expect(page.locator(".own-text, .help", has_text="cannot be read here")).to_have_count(1)


def test_the_drawing_turns_by_drag_and_by_keys_and_names_what_is_under_the_pointer(open_page):
    page = open_page("/d/ID/stories")
    picture = "document.querySelector('canvas.scene').toDataURL()"
    page.wait_for_timeout(60)
    before = page.evaluate(picture)
    page.locator("canvas.scene").focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(f"before => {picture} !== before", arg=before)
    expect(page.locator(".player-words")).to_have_text(f"1 of {SENTENCES}")
    turned = page.evaluate(picture)
    frame = page.locator("canvas.scene").bounding_box()
    page.mouse.move(frame["x"] + 200, frame["y"] + 100)
    page.mouse.down()
    page.mouse.move(frame["x"] + 280, frame["y"] + 120, steps=3)
    page.mouse.up()
    page.wait_for_function(f"before => {picture} !== before", arg=turned)
    page.get_by_role("button", name="Turn back").click()
    page.wait_for_function(f"before => {picture} === before", arg=before)


def saved(page, press) -> bytes:
    with page.expect_download() as waiting:
        press()
    return waiting.value.path().read_bytes()


def test_pictures_and_the_file_are_saved(open_page, run):
    page = open_page("/d/ID/stories?story=fall-garden")
    button = lambda name: page.get_by_role("button", name=name, exact=True).click  # noqa: E731
    assert saved(page, button("PNG")).startswith(b"\x89PNG")
    svg = saved(page, button("SVG")).decode()
    assert "<title>The story&#39;s path</title>" in svg
    assert "PC1 (41% of variance)" in svg
    assert svg.count("<circle") > 20
    moving = saved(page, button("GIF, told"))
    assert moving.startswith(b"GIF89a")
    assert moving.count(b"\x21\xf9\x04") == 3 * (SENTENCES - 1) + 1
    html = saved(page, button("HTML, these stories")).decode()
    (held,) = re.findall(r'id="scenes">(.*?)</script>', html, re.DOTALL)
    scenes = json.loads(held)
    assert len(scenes["scenes"]) == 13
    assert scenes["scenes"][-1]["title"] == HOSTILE
