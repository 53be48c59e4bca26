"""Questions that the reply asks."""

from __future__ import annotations

import re

from unweave.preferences.behaviours.registry import behaviour
from unweave.preferences.behaviours.reply_text import WORD, ReplyText

_QUESTION = re.compile(r"[?？؟]+")
_BEFORE = re.compile(r"[.!\n]")
_CLOSING = " \t\r\n\"'”’)]*_"
_YOU = ReplyText("you your yours yourself you're you've you'd you'll").vocabulary


@behaviour("questions", "Questions: question marks, a run of them once.", "questions")
def questions(reply: ReplyText) -> float:
    return len(_QUESTION.findall(reply.text))


@behaviour("ends-with-question", "The reply's last mark is a question mark.", "questions", "0 or 1")
def ends_with_question(reply: ReplyText) -> float:
    return float(reply.text.rstrip(_CLOSING).endswith(("?", "？", "؟")))


@behaviour("opens-with-question", "The reply's first sentence is a question.", "questions", "0 or 1")
def opens_with_question(reply: ReplyText) -> float:
    if not reply.sentences:
        return 0.0
    first = reply.sentences[0]
    after = reply.text.find(first) + len(first)
    return float(reply.text[after : after + 1] in ("?", "？", "؟"))


@behaviour("asks-back", "Asks the reader: a question that has 'you' or 'your' in it.", "questions", "0 or 1")
def asks_back(reply: ReplyText) -> float:
    if "?" not in reply.text:
        return 0.0
    pieces = reply.lower.replace("’", "'").split("?")[:-1]
    # A piece reaches back to the question before it: only its last sentence is the question.
    return float(any(not _YOU.isdisjoint(WORD.findall(_BEFORE.split(piece)[-1])) for piece in pieces))
