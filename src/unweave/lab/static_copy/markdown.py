"""A small part of Markdown as HTML: everything is text, but for a few signs whose meaning is known here.

Headings, paragraphs, lists, quotations and fenced code; in a line code, emphasis, and links to http and https. HTML,
images, other addresses and everything else stay as they were typed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from unweave.record.markup import text_html

# Every alternative ends at the first sign that it cannot hold, so that no text takes longer than its length.
_INLINE = re.compile(
    r"`(?P<code>[^`\n]+)`"
    r"|\*\*(?P<strong>[^*\n]+)\*\*"
    r"|(?<![\w*])\*(?P<em>[^*\s][^*\n]*)\*(?![\w*])"
    r"|\[(?P<text>[^\[\]\n]+)\]\((?P<address>https?://[^\s()<>\"'\\]+)\)"
)
_HEADING = re.compile(r"(#{1,6})[ \t]+(.*)")
_BULLET = re.compile(r"[ \t]*[-*+][ \t]+(.*)")
_NUMBER = re.compile(r"[ \t]*\d{1,9}[.)][ \t]+(.*)")
_QUOTE = re.compile(r"[ \t]*>[ \t]?(.*)")
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})")


def markdown_html(text: str, level: int = 4) -> str:
    """``text`` as HTML; its largest heading becomes ``<h4>``, or that of ``level``."""
    return "".join(_blocks(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), level))


def inline_html(text: str) -> str:
    """One line, or several that belong together, as HTML."""
    parts, end = [], 0
    for match in _INLINE.finditer(text):
        parts.append(text_html(text[end : match.start()]))
        end = match.end()
        if match["code"] is not None:
            parts.append(f"<code>{text_html(match['code'])}</code>")
        elif match["address"] is not None:
            address = text_html(match["address"])
            shown = text_html(match["text"])
            parts.append(f'<a href="{address}" rel="noopener noreferrer nofollow">{shown}</a> ({address})')
        else:
            tag = "strong" if match["strong"] is not None else "em"
            parts.append(f"<{tag}>{text_html(match[tag])}</{tag}>")
    return "".join(parts) + text_html(text[end:])


def _blocks(lines: list[str], level: int) -> Iterator[str]:
    at = 0
    while at < len(lines):
        line = lines[at]
        fence, heading = _FENCE.match(line), _HEADING.match(line)
        if fence:
            end = next((n for n in range(at + 1, len(lines)) if lines[n].strip().startswith(fence[1])), len(lines))
            yield f"<pre><code>{text_html(chr(10).join(lines[at + 1 : end]))}</code></pre>\n"
            at = end + 1
        elif heading:
            depth = min(6, level - 1 + len(heading[1]))
            yield f"<h{depth}>{inline_html(heading[2])}</h{depth}>\n"
            at += 1
        elif not line.strip():
            at += 1
        else:
            kind = next((kind for kind in (_BULLET, _NUMBER, _QUOTE) if kind.match(line)), None)
            end = _end_of(lines, at, kind)
            yield _block(lines[at:end], kind)
            at = end


def _end_of(lines: list[str], at: int, kind: re.Pattern[str] | None) -> int:
    """Where a list, a quotation or a paragraph ends: at an empty line, or where another thing begins."""
    for number in range(at + 1, len(lines)):
        line = lines[number]
        other = next((one for one in (_BULLET, _NUMBER, _QUOTE) if one.match(line)), None)
        if not line.strip() or _FENCE.match(line) or _HEADING.match(line) or (other is not None and other is not kind):
            return number
    return len(lines)


def _block(lines: list[str], kind: re.Pattern[str] | None) -> str:
    if kind is None:
        return f"<p>{inline_html(chr(10).join(lines))}</p>\n"
    if kind is _QUOTE:
        quoted = [match[1] if (match := _QUOTE.match(line)) else line for line in lines]
        return f"<blockquote><p>{inline_html(chr(10).join(quoted))}</p></blockquote>\n"
    items: list[str] = []
    for line in lines:
        match = kind.match(line)
        if match:
            items.append(match[1])
        else:
            items[-1] += f"\n{line.strip()}"
    tag = "ul" if kind is _BULLET else "ol"
    return f"<{tag}>{''.join(f'<li>{inline_html(item)}</li>' for item in items)}</{tag}>\n"
