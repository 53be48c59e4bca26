"""Markdown and other layout."""

from __future__ import annotations

import re

from unweave.preferences.behaviours.registry import behaviour
from unweave.preferences.behaviours.reply_text import ReplyText

# Runs exclude their own opening mark and end at the line, so that no text makes a search start over.
_BOLD = re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__")
_EMPHASIS = re.compile(r"(?<![*\w])\*[^*\s][^*\n]*\*(?![*\w])|(?<![_\w])_[^_\s][^_\n]*_(?![_\w])")
_HEADING = re.compile(r"^ {0,3}#{1,6} ", re.MULTILINE)
_BULLET = re.compile(r"^[ \t]*[-*+•‣◦][ \t]+\S", re.MULTILINE)
_NUMBERED = re.compile(r"^[ \t]*\d{1,3}[.)][ \t]+\S", re.MULTILINE)
_TABLE_ROW = re.compile(r"^[ \t]*\|[^\n]*\|[ \t]*$", re.MULTILINE)
_RULE = re.compile(r"^ {0,3}(?:-[ \t]*+-[ \t]*+-|\*[ \t]*+\*[ \t]*+\*|_[ \t]*+_[ \t]*+_)[-*_ \t]*$", re.MULTILINE)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
_CODE = re.compile(r"(?<!`)`[^`\n]+`(?!`)")
_BLOCK_QUOTE = re.compile(r"^ {0,3}>", re.MULTILINE)
_LABEL = re.compile(r"^[ \t]*(?:[-*+•][ \t]+)?\*{0,2}[^\W\d_][\w' -]{0,40}(?::\*{0,2}|\*{2}:)[ \t]", re.MULTILINE)


def _count(pattern: re.Pattern[str], reply: ReplyText) -> int:
    return len(pattern.findall(reply.text))


@behaviour("bold", "Spans set in bold.", "formatting")
def bold(reply: ReplyText) -> float:
    return _count(_BOLD, reply) if "**" in reply.text or "__" in reply.text else 0


@behaviour(
    "emphasis", "Spans between single asterisks or underscores: italics, and acts such as *smiles*.", "formatting"
)
def emphasis(reply: ReplyText) -> float:
    return _count(_EMPHASIS, reply) if "*" in reply.text or "_" in reply.text else 0


@behaviour("headings", "Headings with #.", "formatting")
def headings(reply: ReplyText) -> float:
    return _count(_HEADING, reply) if "#" in reply.text else 0


@behaviour("bullets", "Items of bulleted lists.", "formatting")
def bullets(reply: ReplyText) -> float:
    return _count(_BULLET, reply)


@behaviour("numbered-items", "Items of numbered lists.", "formatting")
def numbered_items(reply: ReplyText) -> float:
    return _count(_NUMBERED, reply)


@behaviour("list-lines", "Lines that are items of a list of either kind.", "formatting", "share of lines")
def list_lines(reply: ReplyText) -> float:
    return (_count(_BULLET, reply) + _count(_NUMBERED, reply)) / len(reply.lines) if reply.lines else 0.0


@behaviour("has-list", "Has a list: two items or more.", "formatting", "0 or 1")
def has_list(reply: ReplyText) -> float:
    return float(_count(_BULLET, reply) >= 2 or _count(_NUMBERED, reply) >= 2)


@behaviour("table-rows", "Rows of tables between upright bars.", "formatting")
def table_rows(reply: ReplyText) -> float:
    return _count(_TABLE_ROW, reply) if "|" in reply.text else 0


@behaviour("rules", "Horizontal rules: lines of nothing but ---, *** or ___.", "formatting")
def rules(reply: ReplyText) -> float:
    return _count(_RULE, reply)


@behaviour("code-block", "Has a fenced block of code.", "formatting", "0 or 1")
def code_block(reply: ReplyText) -> float:
    return float(_FENCE.search(reply.text) is not None)


@behaviour("inline-code", "Spans of code between backticks.", "formatting")
def inline_code(reply: ReplyText) -> float:
    return _count(_CODE, reply) if "`" in reply.text else 0


@behaviour("block-quotes", "Lines of block quotes with >.", "formatting")
def block_quotes(reply: ReplyText) -> float:
    return _count(_BLOCK_QUOTE, reply) if ">" in reply.text else 0


@behaviour("labelled-lines", "Lines that begin with a label and a colon, as in 'Tip: ...'.", "formatting")
def labelled_lines(reply: ReplyText) -> float:
    return _count(_LABEL, reply) if ":" in reply.text else 0


@behaviour("has-markdown", "Has any bold, heading, list, table, rule or code.", "formatting", "0 or 1")
def has_markdown(reply: ReplyText) -> float:
    parts = (bold, headings, has_list, table_rows, rules, code_block, inline_code)
    return float(any(part(reply) for part in parts))
