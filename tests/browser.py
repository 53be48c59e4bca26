"""Headless Chromium, where there is one."""

from __future__ import annotations

import importlib.util
import shutil
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
        opened = driver.chromium.launch(executable_path=_FOUND, args=["--no-sandbox"])
        try:
            yield opened
        finally:
            opened.close()
