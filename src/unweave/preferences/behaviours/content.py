"""What stands in the reply besides plain words: addresses, numbers, names, quotations."""

from __future__ import annotations

import re

from unweave.preferences.behaviours.lexicon import Lexicon
from unweave.preferences.behaviours.registry import behaviour
from unweave.preferences.behaviours.reply_text import ReplyText

_URL = re.compile(r"https?://[^\s<>\"')\]]+|(?<![\w./@-])www\.[^\s<>\"')\]]+")
_DOMAIN = re.compile(r"\.(?<=[a-z0-9]\.)(?:com|org|net|gov|edu|io|co\.uk|info)\b")
_MARKDOWN_LINK = re.compile(r"\]\([^()\s]+\)")
# Searched from the @ on: a long run of letters is not tried letter by letter.
_EMAIL = re.compile(r"@(?<=[\w.+-]@)[A-Za-z0-9-]+\.[A-Za-z]{2,}")
_PHONE = re.compile(
    r"(?<![\w.,/+-])(?:\+\d(?:[ ().-]{0,2}\d){6,13}|(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}"
    r"|0\d{2,4}(?:[ -]\d{2,4}){2,3}|0\d{9,10}|\d{3}-\d{4})(?![\w/-])"
)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_YEAR = re.compile(r"(?<![\w.,$€£-])(?:1[0-9]|20)\d\d(?![\w%]|[.,]\d)")
_MONEY = re.compile(r"[$€£¥]\s?\d|\d\s?(?:dollars|euros|pounds|cents|usd|eur)\b")
_PERCENT = re.compile(r"\d\s?(?:%|percent\b|per cent\b)")
_QUOTATION = re.compile(r"\"[^\"\n]+\"|“[^“”\n]+”|«[^«»\n]+»|„[^„“”\n]+[“”]")
# The capital stands before the look behind it: a search goes by letters faster than by what lies behind.
_NAME = re.compile(r"[A-Z](?<=[^\W_A-Z] .|[,;] .)[a-zà-ÿ]+")
_MATHS = re.compile(r"\\[(\[]|\$\$|\\(?:frac|sqrt|sum|int|times|cdot)\b|[\d)xy](?: ?[+*×÷=^]| [-/](?= ))(?= ?[\d(xy])")
_REFERENCE = re.compile(r"\[\d{1,3}\]|\((?:[A-Z][\w.& ]{1,40}, )?(?:1[89]|20)\d\d\)")
_SOURCE = Lexicon("et al, according to, studies show, research shows")
_UNIT = re.compile(
    r"\d\s?(?:cups?|tablespoons?|teaspoons?|tbsp|tsp|grams?|kg|g|ml|litres?|liters?|ounces?|oz|inch(?:es)?|feet|miles?|km"
    r"|cm|mm|metres?|meters?|minutes?|hours?|seconds?|days?|weeks?|months?|years?|degrees?|°[cf]?)(?![a-z])"
)
_EXAMPLE = Lexicon("for example, for instance, such as, e g, including, namely, like these")
_SIMILE = Lexicon("as if, as though, like a, like an, like the, just as, reminds of, is like, are like, looks like")
_NUMBER_WORDS = Lexicon(
    "two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, twenty, thirty, forty, fifty, hundred, "
    "hundreds, thousand, thousands, million, millions, billion, billions, dozen, dozens"
)


@behaviour("urls", "Web addresses, with or without http.", "content")
def urls(reply: ReplyText) -> float:
    if not has_url(reply):
        return 0
    # A bare example.com counts where it is no part of a full address or of an e-mail address.
    bare, full = _URL.subn(" ", reply.lower)
    return full + len(_DOMAIN.findall(_EMAIL.sub(" ", bare)))


@behaviour("has-url", "Has a web address.", "content", "0 or 1")
def has_url(reply: ReplyText) -> float:
    addressed = ("://" in reply.lower or "www." in reply.lower) and _URL.search(reply.lower) is not None
    return float(addressed or _has_domain(reply))


@behaviour("markdown-links", "Links of the form [text](address).", "content")
def markdown_links(reply: ReplyText) -> float:
    return len(_MARKDOWN_LINK.findall(reply.text)) if "](" in reply.text else 0


@behaviour("email-addresses", "E-mail addresses.", "content")
def email_addresses(reply: ReplyText) -> float:
    return len(_EMAIL.findall(reply.text)) if "@" in reply.text else 0


@behaviour("phone-numbers", "Telephone numbers of American, British or international form.", "content")
def phone_numbers(reply: ReplyText) -> float:
    return len(_PHONE.findall(reply.text)) if reply.digit_runs else 0


@behaviour("numbers", "Numbers in digits.", "content")
def numbers(reply: ReplyText) -> float:
    return len(_NUMBER.findall(reply.text)) if reply.digit_runs else 0


@behaviour("digits", "Digits.", "content", "share of characters")
def digits(reply: ReplyText) -> float:
    return sum(map(len, reply.digit_runs)) / len(reply.text) if reply.text else 0.0


@behaviour("number-words", "Numbers in words, from two on.", "content", "share of words")
def number_words(reply: ReplyText) -> float:
    return _NUMBER_WORDS.share(reply)


@behaviour("years", "Years from 1000 to 2099.", "content")
def years(reply: ReplyText) -> float:
    return len(_YEAR.findall(reply.text)) if reply.digit_runs else 0


@behaviour("money", "Sums of money.", "content")
def money(reply: ReplyText) -> float:
    return len(_MONEY.findall(reply.lower)) if reply.digit_runs else 0


@behaviour("percentages", "Percentages.", "content")
def percentages(reply: ReplyText) -> float:
    return len(_PERCENT.findall(reply.lower)) if reply.digit_runs else 0


@behaviour("measures", "Amounts with a unit of size, weight or time.", "content")
def measures(reply: ReplyText) -> float:
    return len(_UNIT.findall(reply.lower)) if reply.digit_runs else 0


@behaviour("quotations", "Spans between double quotation marks.", "content")
def quotations(reply: ReplyText) -> float:
    return len(_QUOTATION.findall(reply.text))


@behaviour("names", "Words with a capital inside a sentence.", "content", "share of words")
def names(reply: ReplyText) -> float:
    return len(_NAME.findall(reply.text)) / len(reply.words) if reply.words else 0.0


@behaviour(
    "maths", "Formulas with digits or in LaTeX: operators between numbers, x and y, and LaTeX commands.", "content"
)
def maths(reply: ReplyText) -> float:
    return len(_MATHS.findall(reply.text)) if reply.digit_runs or "\\" in reply.text else 0


@behaviour("references", "References to sources: [1], (Lee, 2019), et al, according to.", "content")
def references(reply: ReplyText) -> float:
    found = len(_REFERENCE.findall(reply.text)) if reply.digit_runs else 0
    return found + _SOURCE.count(reply)


@behaviour("examples", "For example, such as, including.", "content", "share of words")
def examples(reply: ReplyText) -> float:
    return _EXAMPLE.share(reply)


@behaviour("similes", "Comparisons with like a, as if.", "content", "share of words")
def similes(reply: ReplyText) -> float:
    return _SIMILE.share(reply)


def _has_domain(reply: ReplyText) -> bool:
    if not _DOMAIN.search(reply.lower):
        return False
    return _DOMAIN.search(_EMAIL.sub(" ", reply.lower)) is not None
