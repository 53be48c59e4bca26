"""HTML of the parts of a report: escaped text, tables, figures."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

from unweave.record.svg import clean

if TYPE_CHECKING:
    from unweave.record.table import Table


def text_html(text: object) -> str:
    """``text`` escaped for HTML, without characters that reorder or break their surroundings."""
    return escape(clean(str(text)))


def rich_html(text: str) -> str:
    """``text`` escaped for HTML, with what stands between backticks set as code."""
    return re.sub(r"`([^`\n]+)`", r"<code>\1</code>", text_html(text))


def figure_html(name: str, svg: str, narrow: str, caption: str, table: str) -> str:
    """A figure at both widths, of which the style sheet shows one, with the table it was drawn from as its caption."""
    words = f"{rich_html(caption.rstrip('.'))}. " if caption else ""
    return (
        f'<figure class="drawing" id="figure-{name}"><div class="wide">{svg}</div><div class="narrow">{narrow}</div>'
        f'<figcaption>{words}<span class="source">Drawn from <code>tables/{table}.csv</code>.</span>'
        "</figcaption></figure>\n"
    )


def table_html(table: Table) -> str:
    """The table in a container of its own that scrolls, numbers to the right, with its caption."""
    numeric = [kind in ("integer", "number") for kind in table.kinds]
    head = "".join(
        f'<th scope="col"{_class(right)}>{text_html(column)}{_unit(table.units.get(column))}</th>'
        for column, right in zip(table.columns, numeric, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{_class(right)}{'' if right else ' dir=auto'}>{_shown(table.shown(column, value), right)}</td>"
            for column, value, right in zip(table.columns, row, numeric, strict=True)
        )
        + "</tr>\n"
        for row in table.rows
    )
    caption = f"<figcaption>{text_html(table.caption)}</figcaption>" if table.caption else ""
    return (
        f'<figure class="table">{caption}<div class="scroll" tabindex="0" role="region" '
        f'aria-label="{text_html(table.caption or table.name)}"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div></figure>"
    )


def _class(right: bool) -> str:
    return ' class="number"' if right else ""


def _unit(unit: str | None) -> str:
    return f' <span class="unit">{text_html(unit)}</span>' if unit else ""


def _shown(text: str, numeric: bool) -> str:
    return text_html(text.replace("-", "−")) if numeric else text_html(text)
