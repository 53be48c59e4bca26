"""The frame of a static copy, and the parts that runs and threads share: facts, JSON, tables, pictures."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from typing import Any

from unweave.record.markup import table_html, text_html
from unweave.record.table import Table

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
MOST_ROWS = 500
"""Rows of one table that a page shows; the bundle has them all."""
_MORE_STYLE = (
    ".drawing img{display:block;width:100%;height:auto}pre{overflow:auto;font:.8125rem/1.5 var(--mono);"
    "padding:.75rem 1rem;background:var(--wash)}pre code{font:inherit}blockquote{margin:0 0 1rem;padding-left:1rem;"
    "border-left:3px solid var(--rule)}article{margin:1.5rem 0;padding-top:.75rem;border-top:1px solid var(--rule)}"
    ".said{font:.8125rem/1.5 var(--sans);color:var(--soft)}details{margin:1rem 0}summary{cursor:pointer}"
)


def page_html(kicker: str, title: str, lead: str, said: Sequence[str], sections: Mapping[str, tuple[str, str]]) -> str:
    """The whole page. ``sections`` are heading and HTML by anchor; all else is text."""
    contents = "".join(
        f'<li><a href="#{anchor}">{text_html(heading)}</a></li>' for anchor, (heading, _) in sections.items()
    )
    parts = "".join(
        f'<section id="{anchor}"><h2>{text_html(heading)}</h2>\n{content}</section>\n'
        for anchor, (heading, content) in sections.items()
    )
    style = resources.files("unweave.record").joinpath("report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{text_html(title)}</title>\n<style>\n{style}{_MORE_STYLE}</style>\n</head>\n<body>\n"
        f'<header class="masthead"><p class="kicker">{text_html(kicker)}</p><h1>{text_html(title)}</h1>'
        f'<p class="lead">{text_html(lead)}</p>'
        f'<p class="byline">{"".join(f"<span>{text_html(one)}</span> " for one in said)}</p></header>\n'
        f'<nav class="contents" aria-label="Contents"><ol>{contents}</ol></nav>\n'
        f"<main>\n{parts}</main>\n</body>\n</html>\n"
    )


def facts_html(facts: Iterable[tuple[str, Any]]) -> str:
    """Names and values, one a line; what has no value is left out."""
    rows = "".join(
        f"<div><dt>{text_html(name)}</dt><dd>{text_html(value)}</dd></div>"
        for name, value in facts
        if value not in (None, "", [], {})
    )
    return f'<dl class="facts">{rows}</dl>\n' if rows else ""


def json_html(value: Any, summary: str) -> str:
    """JSON as it is, folded away under ``summary``."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    return f"<details><summary>{text_html(summary)}</summary><pre>{text_html(text)}</pre></details>\n"


def some_rows_html(table: Table) -> str:
    """The table, or its first rows and how many more there are."""
    more = len(table.rows) - MOST_ROWS
    if more <= 0:
        return f"{table_html(table)}\n"
    caption = f"{table.caption} The first {MOST_ROWS:,} rows of {len(table.rows):,}: a bundle has them all.".strip()
    return f"{table_html(replace(table, rows=table.rows[:MOST_ROWS], caption=caption))}\n"


def picture_html(svg: str, what: str) -> str:
    """A drawing as a picture, in which a browser runs nothing and follows no link, whoever drew it."""
    content = base64.b64encode(svg.encode("utf-8")).decode("ascii")
    return f'<img alt="{text_html(what)}" src="data:image/svg+xml;base64,{content}">'
