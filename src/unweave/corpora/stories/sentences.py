"""English text -> sentences.

A sentence ends at a full stop, question mark, exclamation mark or ellipsis, with the quotation marks and brackets that
close there, where the next word begins like a new one. Inside a quotation sentences end as anywhere, because a speech
of twenty sentences is not one; the words that say who spoke stay with what was said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_CLOSING = "\"'”’»)\\]_*"
_OPENING = "\"'“‘«(\\[_*—–-"
_END = re.compile(
    rf"(?P<mark>(?:\.\s?){{2,}}\.|[.!?…]+)(?P<closing>[{_CLOSING}]*)\s+(?=(?P<opening>[{_OPENING}]*)(?P<next>\w*))"
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TITLES = _words(
    "mr mrs ms messrs mme mlle dr prof rev fr st ste capt col gen lt sgt cpl adm cmdr maj gov sen rep pres hon sir mt"
)
"""Never the end of a sentence: a name follows."""
_BEFORE_NUMBERS = _words(
    "no nos fig figs p pp vol vols ch chap art sec ver v op nr jan feb mar apr jun jul aug sept sep oct nov dec"
)
"""Not the end of a sentence where a number follows."""
_BEFORE_ANYTHING = _words(
    "etc esq jr sr co inc ltd dept vs cf viz approx est ave blvd rd a.m p.m ph.d m.d b.a m.a u.s u.k u.s.a d.c a.d b.c"
)
"""The end of a sentence where a word follows that often begins one."""
_NEVER = _words("i.e e.g")
_OPENERS = _words(
    "a after all an and another any are as at because before but by can could did do does each even every everyone "
    "everything finally for from had has have he her here his how however i if in is it its just later many maybe my "
    "never next no nobody none not nothing now of on once one only or other our perhaps she should since so some "
    "someone something soon still suddenly such that the their then there these they this those though through to "
    "today tomorrow until was we were what when where which while who why will with would yes yet you your"
)
_SPEAKING = (
    "said|says|asked|asks|cried|cries|replied|answered|exclaimed|whispered|shouted|called|muttered|murmured|added|"
    "repeated|returned|continued|began|observed|remarked|sighed|laughed|screamed|yelled|thought|declared|demanded|"
    "interrupted|groaned|growled|sobbed|snapped|told"
)
_SPEAKER = re.compile(
    rf"(?:(?:Mr\.?|Mrs\.?|Ms\.?|Dr\.?)\s+)?(?P<name>[\w’'-]+)(?:\s+[A-Z][\w’'-]*)?\s+(?:{_SPEAKING})\b"
)
_LAST_WORD = re.compile(r"[\w.&’'-]*$")
_INITIAL = re.compile(r"(?:[A-Z]\.)*[A-Z]")


def split_sentences(text: str) -> tuple[str, ...]:
    """The sentences of a text in order, their line breaks made spaces; an empty line always ends one.

    A paragraph without a letter or digit, such as a row of asterisks between scenes, is left out.
    """
    return tuple(sentence for paragraph in re.split(r"\n\s*\n", text) for sentence in _of_paragraph(paragraph))


def _of_paragraph(paragraph: str) -> Iterator[str]:
    text = " ".join(paragraph.split())
    start = 0
    for match in _END.finditer(text):
        if _ends(text[start : match.start()], match, text[match.end() :]):
            yield text[start : match.end("closing")]
            start = match.end()
    if any(character.isalnum() for character in text[start:]):
        yield text[start:]


def _ends(before: str, match: re.Match[str], after: str) -> bool:
    mark, closing, opening, following = match.group("mark", "closing", "opening", "next")
    if following[:1].islower():
        return False
    if closing and not opening and _says_who_spoke(after):
        return False
    if mark != ".":
        # An ellipsis before I is more often a pause than an end.
        return not (("…" in mark or "." in mark) and following == "I" and not closing)
    return closing != "" or _full_stop_ends(before, bool(opening), following)


def _says_who_spoke(after: str) -> bool:
    """Whether the words after a quotation are ``Tom said``; ``She said`` would be small there, and begins anew."""
    found = _SPEAKER.match(after)
    return found is not None and (found["name"] == "I" or found["name"].lower() not in _OPENERS)


def _full_stop_ends(before: str, quoted: bool, following: str) -> bool:
    found = _LAST_WORD.search(before)
    word = found.group().strip("'’-") if found else ""
    lower = word.lower()
    opens = quoted or following.lower() in _OPENERS
    if lower in _NEVER or (lower in _TITLES and word[:1].isupper()):
        return False
    if lower in _BEFORE_NUMBERS and following[:1].isdigit():
        return False
    if lower in _BEFORE_ANYTHING:
        return opens
    if before.strip().isdigit():  # the number of a list's item
        return False
    if word != "I" and _INITIAL.fullmatch(word):
        return opens
    return True
