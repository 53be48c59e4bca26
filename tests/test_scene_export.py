from __future__ import annotations

import base64
import hashlib
import html
import json
import re

import pytest
from story_run import HOSTILE, make_run

from unweave.shapes.stories.export import save_story_page, story_page
from unweave.shapes.stories.scene import Scenes, scenes_from_run


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return scenes_from_run(make_run(tmp_path_factory.mktemp("runs")))


@pytest.fixture(scope="module")
def page(scenes):
    return story_page(scenes)


def modules(page: str) -> dict[str, str]:
    (held,) = re.findall(r'<script type="importmap">(.*?)</script>', page, re.DOTALL)
    start = "data:text/javascript;base64,"
    found = json.loads(held)["imports"]
    assert all(address.startswith(start) for address in found.values())
    return {name: base64.b64decode(address.removeprefix(start)).decode() for name, address in found.items()}


def test_the_scenes_in_the_file_are_the_scenes(page, scenes):
    (held,) = re.findall(r'id="scenes">(.*?)</script>', page, re.DOTALL)
    assert Scenes.model_validate_json(held) == scenes


def test_no_text_of_a_story_becomes_markup(page, scenes):
    assert page.count("<script") == page.count("</script>") == 3
    assert "<img" not in page
    assert "<!--" not in page
    one = story_page(scenes.only(["odd"]))
    assert f"<title>{html.escape(HOSTILE)}</title>" in one
    assert one.count("</script>") == 3


def test_every_module_that_is_imported_lies_in_the_file(page):
    found = modules(page)
    needed = [name for source in found.values() for name in re.findall(r'from "([^"]+)"', source)]
    assert len(found) > 12
    assert set(needed) <= set(found)
    assert not any(re.search(r"\bimport\(|\bfetch\(|XMLHttpRequest", source) for source in found.values())


def test_the_file_names_no_place_but_a_namespace(page):
    text = page + "".join(modules(page).values())
    assert set(re.findall(r"https?://[^\s\"'`<)]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"url\(|@import|<link|src=\"", page)


def test_its_policy_lets_these_two_scripts_run_and_no_other(page):
    (policy,) = re.findall(r'content-security-policy" content="([^"]*)"', page)
    allowed = re.findall(r"'sha256-([^']+)'", html.unescape(policy))
    scripts = re.findall(r'<script type="(?:importmap|module)">(.*?)</script>', page, re.DOTALL)
    assert [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts] == allowed
    assert "unsafe-inline" not in re.findall(r"script-src ([^;]*)", html.unescape(policy))[0]


def test_it_is_written_whole(scenes, tmp_path):
    path = save_story_page(scenes, tmp_path / "stories.html")
    assert path.read_text(encoding="utf-8") == story_page(scenes)
