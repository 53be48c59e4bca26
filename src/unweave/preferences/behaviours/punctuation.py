"""Marks between words, emoji and capitals."""

from __future__ import annotations

import re

from unweave.preferences.behaviours.registry import behaviour
from unweave.preferences.behaviours.reply_text import ReplyText

_ELLIPSIS = re.compile(r"\.{3,}|…")
_DASH = re.compile(r"—|(?<= )–(?= )|(?<![-\w])--(?!-)|(?<=\w)--(?=\w)")
_PILED = re.compile(r"[!?]{2,}")
_PICTURE = "[\U0001f300-\U0001faff\U0001f004\U0001f0cf\u2600-\u27bf\u2b50\u2b55\u231a\u231b\u23e9-\u23fa]"
_MODIFIER = "[\ufe0f\U0001f3fb-\U0001f3ff]*"
_EMOJI = re.compile(f"[\U0001f1e6-\U0001f1ff]{{2}}|{_PICTURE}{_MODIFIER}(?:\u200d{_PICTURE}{_MODIFIER})*")
# The first letter stands before the look behind it: a search goes by letters faster than by what lies behind.
_EMOTICON = re.compile(r"[:;=<xX^](?<![^\s(].)(?:(?<=[:;=])-?[)(DPpO/|]|(?<=<)3|(?<=[xX])D|(?<=\^)_?\^)(?![^\s).,!?])")
_CAPITALS = re.compile(r"[A-Z](?<![^\W_].)[A-Z]+(?![^\W_])")


def _for_each_word(count: int, reply: ReplyText) -> float:
    return count / len(reply.words) if reply.words else 0.0


@behaviour("exclamations", "Exclamation marks.", "punctuation")
def exclamations(reply: ReplyText) -> float:
    return reply.text.count("!") + reply.text.count("！")


@behaviour("exclamation-rate", "Exclamation marks for each sentence, one at the most.", "punctuation", "per sentence")
def exclamation_rate(reply: ReplyText) -> float:
    return min(1.0, exclamations(reply) / len(reply.sentences)) if reply.sentences else 0.0


@behaviour("piled-marks", "Runs of two or more exclamation or question marks.", "punctuation")
def piled_marks(reply: ReplyText) -> float:
    return len(_PILED.findall(reply.text))


@behaviour("commas", "Commas.", "punctuation", "per word")
def commas(reply: ReplyText) -> float:
    return _for_each_word(reply.text.count(",") + reply.text.count("，"), reply)


@behaviour("dashes", "Dashes between thoughts: —, a spaced –, or --.", "punctuation")
def dashes(reply: ReplyText) -> float:
    return len(_DASH.findall(reply.text)) if any(dash in reply.text for dash in ("—", "–", "--")) else 0


@behaviour("semicolons", "Semicolons.", "punctuation")
def semicolons(reply: ReplyText) -> float:
    return reply.text.count(";")


@behaviour("colons", "Colons that a space or the end of a line follows.", "punctuation")
def colons(reply: ReplyText) -> float:
    return reply.text.count(": ") + reply.text.count(":\n") + reply.text.endswith(":")


@behaviour("ellipses", "Runs of three dots or more.", "punctuation")
def ellipses(reply: ReplyText) -> float:
    return len(_ELLIPSIS.findall(reply.text)) if "..." in reply.text or "…" in reply.text else 0


@behaviour("brackets", "Opening round brackets.", "punctuation")
def brackets(reply: ReplyText) -> float:
    return reply.text.count("(")


@behaviour("emoji", "Emoji; one that is joined from several, and a flag, are one.", "punctuation")
def emoji(reply: ReplyText) -> float:
    return 0 if reply.text.isascii() else len(_EMOJI.findall(reply.text))


@behaviour("has-emoji", "Has an emoji.", "punctuation", "0 or 1")
def has_emoji(reply: ReplyText) -> float:
    return float(not reply.text.isascii() and _EMOJI.search(reply.text) is not None)


@behaviour("emoticons", "Faces and hearts typed with marks: :-) and <3.", "punctuation")
def emoticons(reply: ReplyText) -> float:
    return len(_EMOTICON.findall(reply.text))


@behaviour("capitals", "Words of two letters or more all in capitals.", "punctuation", "share of words")
def capitals(reply: ReplyText) -> float:
    return _for_each_word(len(_CAPITALS.findall(reply.text)), reply)
