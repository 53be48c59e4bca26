"""How thoughts are joined."""

from __future__ import annotations

from unweave.preferences.behaviours.lexicon import Lexicon
from unweave.preferences.behaviours.registry import behaviour
from unweave.preferences.behaviours.reply_text import ReplyText

_CAUSE = Lexicon(
    "because, since, therefore, thus, hence, so that, due to, as a result, which means, causes, caused, cause"
)
_CONDITION = Lexicon("if, unless, whether, in case, provided, assuming, depending, depends, otherwise")
_CONTRAST = Lexicon("but, however, although, though, yet, while, whereas, despite, instead, on the other hand, even so")
_NEGATION = Lexicon(
    "not, no, never, none, nothing, nobody, neither, nor, cannot, can't, don't, doesn't, didn't, isn't, aren't, "
    "wasn't, weren't, won't, wouldn't, shouldn't, couldn't, haven't, hasn't, hadn't, without"
)
_COMPARISON = Lexicon(
    "more, most, less, least, better, best, worse, worst, bigger, biggest, larger, largest, smaller, smallest, higher, "
    "highest, lower, lowest, faster, fastest, stronger, strongest, older, oldest, greater, greatest, than"
)
_SUMMARY = Lexicon(
    "in summary, in conclusion, to summarise, to summarize, to sum up, overall, in short, in brief, all in all, "
    "to conclude, ultimately, in essence, the bottom line, simply put"
)
_DEFINITION = Lexicon(
    "refers to, is defined as, is known as, are known as, is a type of, is a kind of, is called, means that, stands "
    "for, is a term, consists of, is a form of"
)


@behaviour("causes", "Because, therefore, due to.", "reasoning", "share of words")
def causes(reply: ReplyText) -> float:
    return _CAUSE.share(reply)


@behaviour("conditions", "If, unless, depending.", "reasoning", "share of words")
def conditions(reply: ReplyText) -> float:
    return _CONDITION.share(reply)


@behaviour("contrasts", "But, however, although.", "reasoning", "share of words")
def contrasts(reply: ReplyText) -> float:
    return _CONTRAST.share(reply)


@behaviour("negations", "Not, no, don't.", "reasoning", "share of words")
def negations(reply: ReplyText) -> float:
    return _NEGATION.share(reply)


@behaviour("comparisons", "More, best, than.", "reasoning", "share of words")
def comparisons(reply: ReplyText) -> float:
    return _COMPARISON.share(reply)


@behaviour("summing-up", "In short, overall, ultimately.", "reasoning", "0 or 1")
def summing_up(reply: ReplyText) -> float:
    return float(_SUMMARY.occurs(reply))


@behaviour("definitions", "Says what a thing is: refers to, is known as.", "reasoning", "0 or 1")
def definitions(reply: ReplyText) -> float:
    return float(_DEFINITION.occurs(reply))
