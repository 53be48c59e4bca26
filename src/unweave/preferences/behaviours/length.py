"""How much is said. Replies that were cut off bias what is counted here; shares of words are not biased so."""

from __future__ import annotations

import re

from unweave.preferences.behaviours.registry import behaviour
from unweave.preferences.behaviours.reply_text import ReplyText

_PARAGRAPH_END = re.compile(r"\n[ \t]*\n")
_OPEN_MARKS = ",-–—(/&"


@behaviour("words", "Words in the reply.", "length")
def words(reply: ReplyText) -> float:
    return len(reply.words)


@behaviour("characters", "Characters, spaces too.", "length")
def characters(reply: ReplyText) -> float:
    return len(reply.text)


@behaviour("sentences", "Sentences.", "length")
def sentences(reply: ReplyText) -> float:
    return len(reply.sentences)


@behaviour("lines", "Lines that hold something.", "length")
def lines(reply: ReplyText) -> float:
    return len(reply.lines)


@behaviour("paragraphs", "Paragraphs, which end at an empty line.", "length")
def paragraphs(reply: ReplyText) -> float:
    return sum(1 for piece in _PARAGRAPH_END.split(reply.text) if piece.strip())


@behaviour("sentence-length", "Words in a sentence, on average.", "length", "words")
def sentence_length(reply: ReplyText) -> float:
    return len(reply.words) / len(reply.sentences) if reply.sentences else 0.0


@behaviour("word-length", "Characters of a word, on average.", "length", "characters")
def word_length(reply: ReplyText) -> float:
    # Every word brings two spaces to the spoken text.
    return len(reply.spoken) / len(reply.words) - 2 if reply.words else 0.0


@behaviour("long-words", "Words of eight letters or more.", "length", "share of words")
def long_words(reply: ReplyText) -> float:
    return sum(len(word) >= 8 for word in reply.words) / len(reply.words) if reply.words else 0.0


@behaviour(
    "unfinished", "Ends in a letter, digit, comma or dash, as a reply that was cut off does.", "length", "0 or 1"
)
def unfinished(reply: ReplyText) -> float:
    ending = reply.text.rstrip()
    return float(ending[-1:].isalnum() or ending.endswith(tuple(_OPEN_MARKS)))
