"""The lab's page with ten thousand runs: few rows in the document, few requests, little memory."""

from __future__ import annotations

import re
import shutil

import pytest
from browser import browsing, chromium
from page_lab import TOKEN, LabServed

from unweave.lab import Lab
from unweave.record import Run

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect
pytestmark = [chromium, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(scope="module")
def browser():
    with browsing() as opened:
        yield opened


def rows(page):
    return page.locator(".rows tbody:not(.gap) tr")


def heap(client) -> int:
    """Bytes that the page's scripts hold."""
    client.send("HeapProfiler.collectGarbage")
    return client.send("Runtime.getHeapUsage")["usedSize"]


@pytest.fixture(scope="module")
def thousands(tmp_path_factory):
    """A lab with ten thousand runs."""
    root = tmp_path_factory.mktemp("many") / "runs"
    first = Run.create("push", {"strength": 1}, root=root, name="run-00000")
    first.finish()
    text = (first.path / "run.json").read_text()
    shutil.rmtree(first.path)
    for number in range(10_000):
        folder = root / f"run-{number:05}"
        folder.mkdir()
        state = text.replace("run-00000", folder.name)
        state = re.sub(
            r'"created": "[^"]+"',
            f'"created": "2026-01-{1 + number // 400:02}T{number % 24:02}:{number % 60:02}:00+00:00"',
            state,
        )
        (folder / "run.json").write_text(state)
    lab = Lab(root)
    lab.runs.sync()
    with LabServed(lab) as address:
        yield address
    lab.close()


def test_f3_38_ten_thousand_runs_keep_few_rows_and_little_memory(browser, thousands):
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/api/lab/runs" in request.url else None)
    page.goto(f"{thousands}/?token={TOKEN}")
    page.goto(f"{thousands}/lab?sort=id&up=1")
    expect(page.locator(".heading .total")).to_have_text(re.compile("10.000 runs"))
    client = context.new_cdp_session(page)
    before = heap(client)
    asked.clear()
    page.evaluate("document.querySelector('.scroller').scrollTop = 1e9")
    expect(page.locator(".rows")).to_contain_text("run-09999", timeout=20000)
    assert rows(page).count() < 80
    assert len(asked) <= 20, "the way to the end is walked in long steps"
    for share in range(20, -1, -1):
        page.evaluate(f"(one => one.scrollTop = one.scrollHeight * {share / 20})(document.querySelector('.scroller'))")
        page.wait_for_timeout(60)
    expect(page.locator(".rows")).to_contain_text("run-00000", timeout=20000)
    assert rows(page).count() < 80
    assert page.locator(".rows").get_attribute("aria-rowcount") == "10001"
    grown = heap(client) - before
    assert grown < 5e6, f"{grown / 1e6:.1f} MB more after all rows were passed"
    assert client.send("Memory.getDOMCounters")["nodes"] < 12_000
    context.close()


def test_f3_38_pages_far_from_sight_are_let_go(browser, thousands):
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{thousands}/?token={TOKEN}")
    # The page's own view must be there before it is put away.
    expect(page.get_by_role("link", name="Queue")).to_be_visible()
    most = page.evaluate(
        """async () => {
          const { Rows } = await import('/static/rows.js');
          const rows = (from) => Array.from({ length: 100 }, (_, at) => ({ id: `row-${from + at}` }));
          const table = new Rows({
            columns: [{ key: 'id', title: 'Id', cell: (row) => row.id }], caption: 'many',
            fetchPage: async (offset) => ({ rows: rows(offset), total: 10000 }),
            moved: () => {}, failed: (error) => { throw error; }, signal: new AbortController().signal,
          });
          table.root.style.height = '300px';
          table.root.style.flex = 'none';
          document.querySelector('main').replaceChildren(table.root);
          table.fill({ rows: rows(0), total: 10000, offset: 0 }, {});
          let most = 0;
          for (let page = 0; page < 60; page += 1) {
            table.root.scrollTop = page * 100 * table.height;
            while (!table.body.textContent.includes(`row-${page * 100}`)) await new Promise((go) => setTimeout(go, 10));
            most = Math.max(most, table.pages.size);
          }
          return most;
        }"""
    )
    assert 10 < most <= 24
    context.close()
