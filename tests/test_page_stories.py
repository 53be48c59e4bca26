"""The page of stories in a real browser, against the real server over a made run, and the file that plays them."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import pytest
from browser import browsing, chromium, fresh_pages, signed_in, until
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
    with fresh_pages(browser) as fresh:

        def open_one(address, allowed="", **options):
            page = fresh(allowed, **options)
            if address.startswith("/"):
                return signed_in(page, served.origin, served.token, address.replace("ID", subject.id))
            page.goto(address)
            page.wait_for_selector("h1")
            return page

        yield open_one


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
    until(page, "document.querySelector('canvas.scene').width <= 360")
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
        row
        for row in run.load_table("sentences").records()
        if (row["story"], row["sentence"]) == ("fall-rise-harbour", 2)
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
    until(page, f"before => {picture} !== before", before)
    expect(page.locator(".player-words")).to_have_text(f"1 of {SENTENCES}")
    turned = page.evaluate(picture)
    frame = page.locator("canvas.scene").bounding_box()
    page.mouse.move(frame["x"] + 200, frame["y"] + 100)
    page.mouse.down()
    page.mouse.move(frame["x"] + 280, frame["y"] + 120, steps=3)
    page.mouse.up()
    until(page, f"before => {picture} !== before", turned)
    page.get_by_role("button", name="Turn back").click()
    until(page, f"before => {picture} === before", before)


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


DECODED = """async ([width, height, colours, random]) => {
  const { gif, commonColours } = await import("/static/gif.js");
  let seed = 7;
  const next = () => (seed = (seed * 1103515245 + 12345) % 2147483648) >> 8;
  const palette = Array.from({ length: colours }, (_, at) => [(at * 37) % 256, (at * 11) % 256, at % 256]);
  const frames = [0, 1, 2].map((frame) => {
    const data = new Uint8ClampedArray(4 * width * height);
    for (let at = 0; at < width * height; at += 1) {
      data.set([...palette[(random ? next() : Math.floor(at / (3 + frame))) % colours], 255], 4 * at);
    }
    return { data, width, height, delay: 100 * (frame + 1) };
  });
  const decoder = new ImageDecoder({ data: gif(frames), type: "image/gif" });
  await decoder.tracks.ready;
  await decoder.completed;
  const wrong = [];
  for (let frame = 0; frame < 3; frame += 1) {
    const { image } = await decoder.decode({ frameIndex: frame });
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    wrong.push(data.reduce((sum, value, at) => sum + (value !== frames[frame].data[at]), 0), image.duration);
  }
  const { frameCount, repetitionCount } = decoder.tracks.selectedTrack;
  return { wrong, frames: frameCount, forever: repetitionCount === Infinity, colours: commonColours(frames).length };
}"""


@pytest.mark.parametrize(
    ("size", "colours", "random"), [((97, 61), 5, False), ((210, 190), 256, True), ((3, 1), 1, False)]
)
def test_a_gif_decodes_to_the_frames_pixel_by_pixel(open_page, size, colours, random):
    found = open_page("/").evaluate(DECODED, [*size, colours, random])
    assert found["wrong"] == [0, 100_000, 0, 200_000, 0, 300_000]
    assert (found["frames"], found["forever"], found["colours"]) == (3, True, colours)


def test_a_figure_is_projected_and_painted_from_the_farthest_to_the_nearest(open_page):
    found = open_page("/").evaluate("""async () => {
      const { box, dotAt, marksOf, moved, projection, FIRST } = await import("/static/scene_math.js");
      const { toSvg } = await import("/static/scene_paint.js");
      const points = [[-1, -1, -1], [1, 1, 1], [0, 0, 0], [1, -1, 0]];
      const size = { width: 400, height: 300 };
      const flat = { yaw: 0, pitch: 0, zoom: 1, perspective: false };
      const dots_ = [{ points, names: ["p", "q", "r", "s"], colour: "ink" }];
      const figure = { captions: ["a<b", "b", "c"], meshes: [], lines: [], dots: dots_ };
      const place = projection(box(points), flat, size);
      const top = projection(box(points), { ...flat, pitch: Math.PI / 2 }, size);
      const near = projection(box(points), { ...flat, perspective: true }, size);
      const marks = marksOf(figure, FIRST, size);
      const dots = marks.filter((mark) => mark.name);
      const inside = [];
      for (let turn = 0; turn < 24; turn += 1) {
        const camera = moved(FIRST, turn / 4, Math.sin(turn));
        const seen = marksOf(figure, camera, size).filter((mark) => mark.name);
        inside.push(...seen.map(({ x, y }) => x > 0 && y > 0 && x < 400 && y < 300));
      }
      const svg = toSvg(marks, { ink: "#000000", paper: "#ffffff" }, size, "t & <t>");
      return {
        middle: place([0, 0, 0]), up: place([0, 0, 1]).y < place([0, 0, 0]).y, right: place([1, 0, 0]).x > 200,
        above: top([0, 1, 0]).y < top([0, 0, 0]).y, larger: near([0, -1, 0]).size > 1 && near([0, 1, 0]).size < 1,
        sorted: dots.every((mark, at) => !at || dots[at - 1].depth >= mark.depth), inside: inside.every(Boolean),
        named: dotAt(marks, dots[2].x + 2, dots[2].y)?.name === dots[2].name, none: dotAt(marks, 1, 299),
        pitch: moved(FIRST, 0, 99).pitch, svg, nearest: dots.at(-1),
      };
    }""")
    assert (found["middle"]["x"], found["middle"]["y"]) == (200, 150)
    assert found["pitch"] == pytest.approx(1.5707963)
    assert found["none"] is None
    for what in ("up", "right", "above", "larger", "sorted", "inside", "named"):
        assert found[what], what
    drawing = ElementTree.fromstring(found["svg"])  # noqa: S314  # our own
    space = "{http://www.w3.org/2000/svg}"
    assert drawing.find(f"{space}title").text == "t & <t>"
    named = [one for one in drawing.iter(f"{space}circle") if one.find(f"{space}title") is not None]
    assert len(named) == 4
    last = found["nearest"]
    assert (named[-1].find(f"{space}title").text, float(named[-1].get("cx"))) == (
        last["name"],
        pytest.approx(last["x"], abs=0.01),
    )
    assert "a<b" in [one.text for one in drawing.iter(f"{space}text")]
