"""Headless Chromium, where there is one."""

from __future__ import annotations

import importlib.util
import shutil
import time
from contextlib import contextmanager

import pytest

_FOUND = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
chromium = pytest.mark.skipif(
    _FOUND is None or importlib.util.find_spec("playwright") is None, reason="Chromium and playwright are needed"
)


@contextmanager
def browsing():
    """A browser without profile or cookies."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # Chromium's own sandbox needs rights that a container or root does not have.
        opened = driver.chromium.launch(executable_path=_FOUND, args=["--no-sandbox"])
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def fresh_pages(browser, patience: int = 10_000):
    """A function that opens an empty page of its own; at the end asserts that no page complained of anything.

    ``allowed`` is a word of complaints that are expected.
    """
    contexts, complaints, expected = [], [], []

    def fresh(allowed="", **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(patience)
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        if allowed:
            expected.append(allowed)
        return page

    yield fresh
    for context in contexts:
        context.close()
    assert [one for one in complaints if not any(word in one for word in expected)] == []


def signed_in(page, origin, token, path="/"):
    """The page at ``path`` of a server, opened with a token, once its heading is there."""
    page.goto(f"{origin}/?token={token}")
    if path != "/":
        page.goto(origin + path)
    page.wait_for_selector("h1")
    return page


def until(page, expression, arg=None, seconds: float = 10.0):
    """Waits until ``expression`` is true of the page.

    Playwright's own wait asks again by making a function from text in the page, which its policy rightly refuses.
    """
    end = time.monotonic() + seconds
    while not page.evaluate(expression, arg):
        assert time.monotonic() < end, f"{expression} is not true after {seconds} s"
        page.wait_for_timeout(50)
