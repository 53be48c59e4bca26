"""What is said again: words, sentences, the prompt."""

from __future__ import annotations

import zlib
from itertools import pairwise

from unweave.preferences.behaviours.registry import behaviour
from unweave.preferences.behaviours.reply_text import ReplyText

_FUNCTION_WORDS = ReplyText(
    "a an the and or but if of to in on at by for from with as is are was were be been it its this that these those i "
    "you he she we they me my your his her our their do does did can will would should could have has had not no so "
    "what how why when where who which there"
).vocabulary


@behaviour("distinct-words", "Different words among all words (type-token ratio).", "repetition", "share of words")
def distinct_words(reply: ReplyText) -> float:
    return len(reply.vocabulary) / len(reply.words) if reply.words else 0.0


@behaviour("repeated-bigrams", "Pairs of words that came before in the reply.", "repetition", "share of pairs")
def repeated_bigrams(reply: ReplyText) -> float:
    words = reply.words
    pairs = len(words) - 1
    return 1 - len(set(pairwise(words))) / pairs if pairs > 0 else 0.0


@behaviour("repeated-trigrams", "Runs of three words that came before in the reply.", "repetition", "share of runs")
def repeated_trigrams(reply: ReplyText) -> float:
    words = reply.words
    runs = len(words) - 2
    return 1 - len(set(zip(words, words[1:], words[2:], strict=False))) / runs if runs > 0 else 0.0


@behaviour("doubled-words", "Words that stand twice in a row.", "repetition")
def doubled_words(reply: ReplyText) -> float:
    words = reply.words
    return sum(map(str.__eq__, words, words[1:]))


@behaviour("repeated-sentence", "A sentence of three words or more comes twice.", "repetition", "0 or 1")
def repeated_sentence(reply: ReplyText) -> float:
    long = [sentence.lower() for sentence in reply.sentences if sentence.count(" ") >= 2]
    return float(len(set(long)) < len(long))


@behaviour("repeated-openings", "Sentences whose first word began one before.", "repetition", "share of sentences")
def repeated_openings(reply: ReplyText) -> float:
    return 1 - len(set(reply.openings)) / len(reply.openings) if reply.openings else 0.0


@behaviour(
    "compressibility", "What deflate saves of the reply's bytes, 0 at the least.", "repetition", "share of bytes"
)
def compressibility(reply: ReplyText) -> float:
    content = reply.text.encode("utf-8", "surrogatepass")
    return max(0.0, 1 - len(zlib.compress(content, 6)) / len(content)) if content else 0.0


@behaviour(
    "prompt-echo",
    "Different words, function words aside, that the prompt has too.",
    "repetition",
    "share of such words",
)
def prompt_echo(reply: ReplyText) -> float:
    told = reply.vocabulary - _FUNCTION_WORDS
    return len(told.intersection(reply.prompt_words)) / len(told) if told else 0.0


@behaviour("restates-prompt", "Begins with three words in a row of the prompt.", "repetition", "0 or 1")
def restates_prompt(reply: ReplyText) -> float:
    opening = f" {'  '.join(reply.words[:3])} "
    return float(len(reply.words) >= 3 and opening in f" {'  '.join(reply.prompt_words)} ")
