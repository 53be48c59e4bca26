"""The pages of concepts and of steering in a real browser, against the real server over made runs."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from browser import browsing, chromium, fresh_pages, signed_in
from concept_run import PAIRS, TASK, WAYS, DaySystem, make_run
from page_checks import beyond_the_edge, poor_contrast
from serving import serving

from unweave.server.app import make_app
from unweave.shapes.concept_runs.subject import open_concepts

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect
pytestmark = [chromium, pytest.mark.filterwarnings("ignore::ResourceWarning")]
STEERING = f"/d/STEERED/steering?task={TASK}&pair={quote(PAIRS[1])}"


@pytest.fixture(scope="module")
def subjects(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    shaped = open_concepts(make_run(root, "concept-geometry", "shaped").path)
    steered = open_concepts(make_run(root, "steer-manifold", "steered").path)
    steered.kept(f"system {TASK}", DaySystem)
    return {"SHAPED": shaped, "STEERED": steered}


@pytest.fixture(scope="module")
def served(subjects):
    by_id = {one.id: one for one in subjects.values()}
    with serving(make=lambda settings: make_app(by_id, settings)) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    with browsing() as opened:
        yield opened


@pytest.fixture
def open_page(browser, served, subjects):
    """Opens an address, signed in; at the end asserts that nothing was complained of."""
    with fresh_pages(browser) as fresh:

        def open_one(address, allowed="", **options):
            for name, subject in subjects.items():
                address = address.replace(name, subject.id)
            page = signed_in(fresh(allowed, **options), served.origin, served.token, address)
            expect(page).to_have_title(re.compile("·"))
            return page

        yield open_one


def chooser(page, name):
    return page.locator(".filters label", has=page.get_by_text(name, exact=True)).locator("select")


@pytest.mark.parametrize("address", ["/d/SHAPED/concepts?concept=colours", STEERING])
def test_both_pages_open_in_both_schemes_and_on_a_phone_and_are_inert(open_page, address):
    page = open_page(address)
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        assert poor_contrast(page) == []
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert beyond_the_edge(page) == []
    assert page.locator("main script, main img, main b b, main [onerror]").count() == 0


def test_a_concept_is_chosen_with_its_depth_curve_and_tables(open_page):
    page = open_page("/", allowed="404")
    page.get_by_role("link", name="shaped on polyglot").click()
    expect(page.locator("h1")).to_have_text("Shapes of concepts in polyglot")
    expect(page.locator("p.lead")).to_contain_text("closed spline, which predicts a value that is left out best")
    expect(page.get_by_role("region", name="Families", exact=True).locator("tr.chosen")).to_contain_text(
        "closed spline"
    )
    chooser(page, "Curve").select_option("natural spline")
    expect(page.locator("p.lead")).to_contain_text("natural spline drawn through them")
    chooser(page, "Depth").select_option("5")
    expect(page.locator("p.lead")).to_contain_text("7 values at depth 5")
    page.reload()
    expect(page.locator("p.lead")).to_contain_text("7 values at depth 5")
    chooser(page, "Concept").select_option("colours")
    expect(page.locator("p.lead")).to_contain_text("4 values at depth 5")
    page.get_by_text("The drawing as a table").click()
    expect(page.locator(".scene-part tbody tr")).to_have_count(4)
    expect(page.locator(".scene-part tbody tr").last).to_contain_text("<b>odd</b>")
    # What is drawn has the colours of the values themselves.
    assert page.evaluate("""() => {
      const canvas = document.querySelector("canvas.scene");
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return new Uint32Array(data.buffer).includes(0xff1010d0);
    }""")


def test_ways_are_compared_and_read_along(open_page):
    page = open_page(STEERING)
    expect(page.locator(".ways button")).to_have_text([f" {way}" for way in WAYS])
    expect(page.locator(".curve-key li")).to_have_count(7)
    expect(page.locator(".curve-key")).to_contain_text("2 other values")
    expect(page.locator(".curve-key")).to_contain_text("something else")
    page.get_by_label("How far along the way").fill("50")
    expect(page.locator(".curve-readout")).to_contain_text("t 0.5")
    expect(page.locator(".curve-readout")).to_contain_text("something else 0.1")
    page.get_by_role("button", name="chord", exact=True).click()
    expect(page.get_by_role("button", name="chord", exact=True)).to_have_attribute("aria-pressed", "true")
    page.get_by_label("How far along the way").fill("50")
    expect(page.locator(".curve-readout")).to_contain_text("something else 0.4")
    expect(page.get_by_role("region", name="This pair", exact=True).locator("tbody tr")).to_have_count(len(WAYS))
    chooser(page, "Pair").select_option(PAIRS[0])
    page.reload()
    expect(chooser(page, "Pair")).to_have_value(PAIRS[0])
    expect(page.get_by_role("button", name="chord", exact=True)).to_have_attribute("aria-pressed", "true")


def test_a_value_is_moved_by_the_slider_and_by_name(open_page):
    page = open_page(STEERING)
    words = page.locator("section", has=page.get_by_role("heading", name="Move it yourself")).get_by_role("status")
    page.get_by_role("button", name="Friday", exact=True).click()
    expect(words).to_have_text(re.compile("It answers Friday, [0-9]+ %"))
    expect(page.locator(".moved tr.chosen")).to_contain_text("Friday")
    expect(page.locator(".moved tbody tr").last).to_contain_text("something else")
    at = int(page.get_by_label("Place on the curve").input_value())
    page.get_by_label("Place on the curve").fill(str((at + 34) % 240))
    expect(words).to_have_text(re.compile("It answers (Thursday|Saturday), [0-9]+ %"))
    page.get_by_label("Place on the curve").fill(str(at))
    expect(words).to_have_text(re.compile("It answers Friday, [0-9]+ %"))
