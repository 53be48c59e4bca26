"""Stories as one file that plays them: the page's own modules and styles with the scenes inside, without a server."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from functools import cache
from importlib import resources
from pathlib import Path

from unweave.base.files import atomic_path
from unweave.shapes.stories.scene import Scenes

STORIES_FILE = "stories.html"
"""The file of a run's folder that plays its stories."""
_START = "story_file.js"
_STYLES = ("base.css", "parts.css", "stories.css")
_IMPORT = re.compile(r'^(import\s[^;]*?from\s+)"\./([a-z0-9_]+\.js)";', re.MULTILINE)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="content-security-policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{styles}</style>
<script type="importmap">{modules}</script>
<script type="application/json" id="scenes">{scenes}</script>
</head>
<body>
<header class="top"><span class="brand">unweave</span><span class="grow"></span>\
<button type="button" class="quiet" id="scheme">Dark</button></header>
<p id="status" class="unseen" role="status" aria-live="polite"></p>
<main id="content" tabindex="-1"></main>
<script type="module">{start}</script>
</body>
</html>
"""


def story_page(scenes: Scenes) -> str:
    """One HTML file in which ``scenes`` are played as on the page of a run: no network, no server, nothing beside it.

    Texts are data in it: they are written as JSON in which no markup can begin, and a policy in the file lets only the
    page's own modules run. The modules lie in it as an import map of ``data:`` URLs, which browsers take since 2023.
    """
    modules = json.dumps({"imports": _modules()})
    start = f'import "unweave/{_START}";'
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in (modules, start))
    policy = (
        f"default-src 'none'; script-src {allowed} data:; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    title = scenes.scenes[0].title if len(scenes.scenes) == 1 else f"Stories in {scenes.target}"
    return _PAGE.format(
        policy=html.escape(policy, quote=True),
        title=html.escape(title),
        styles=_styles(),
        modules=modules,
        scenes=_inert(scenes.model_dump_json()),
        start=start,
    )


def save_story_page(scenes: Scenes, path: Path) -> Path:
    """Writes ``story_page`` to a file, whole or not at all, and returns where."""
    with atomic_path(path) as temporary:
        temporary.write_text(story_page(scenes), encoding="utf-8")
    return path


def _inert(text: str) -> str:
    """JSON in which nothing can end the element that holds it."""
    # "<" stands only inside strings of JSON, where its escape means the same.
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


@cache
def _modules() -> dict[str, str]:
    """The module that a file begins with and all that it needs, each by its name in the import map."""
    found: dict[str, str] = {}
    waiting = [_START]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        source = _static(name)
        waiting += [needed for _, needed in _IMPORT.findall(source)]
        # A relative name means nothing beside a data: URL; a bare one is looked up in the map.
        bare = _IMPORT.sub(r'\1"unweave/\2";', source)
        found[name] = f"data:text/javascript;base64,{base64.b64encode(bare.encode()).decode()}"
    return {f"unweave/{name}": found[name] for name in sorted(found)}


@cache
def _styles() -> str:
    return "\n".join(_static(name) for name in _STYLES)


def _static(name: str) -> str:
    """One of the files that the server's page is made of, so that the file and the page never differ."""
    return resources.files("unweave").joinpath("server", "static", name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
