"""Numbers in prose: each must be one that a claim holds, or a setting, a date or a name.

A text refers to claims by placeholders, which ``render_text`` fills in: ``{{RUN#2}}`` is the number of claim 2 of RUN
(counted from 0) as its sentence states it, ``{{RUN#2:+}}`` with its sign, ``{{RUN#2:sentence}}`` the whole sentence,
and ``{{RUN/summary}}`` the table ``summary`` of RUN. Without RUN it is the run that the text belongs to. Numbers may
also be written out; then they must read as some claim states its value.

Free are dates, numbers of figures, tables, sections and list entries, ordinals, addresses, and digits that belong to a
name (``lora-1``, ``smollm2``); between backticks also any word with a letter in it. A bare number between backticks is
a number like any other.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from unweave.base.errors import UnweaveError
from unweave.lab.audit.finding import Finding
from unweave.record.claims import Claim, stated
from unweave.record.run import Run
from unweave.record.table import Table, check_name, number_text

_PLACE = re.compile(r"\{\{([^{}]*)\}\}")
_CLAIM = re.compile(r"([a-z0-9][a-z0-9._-]*)?#(\d+)(?::(\+|sentence))?")
_TABLE = re.compile(r"([a-z0-9][a-z0-9._-]*)?/([a-z0-9][a-z0-9._-]*)")
_NUMBER = re.compile(r"(?:(?<![\w)\]])[+-])?(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d+)(?:\.\d+)?(?:e[+-]?\d+)?", re.IGNORECASE)
_PERCENT = r"(?:%|(?i:per ?cent\b|percentage\b))"
_PLACED = r"[1-9]\d*(?:\.\d+)*\b"
_FREE = (
    re.compile(r"https?://\S+|\bdoi:\S+|\barXiv:\d{4}\.\d{4,5}(?:v\d+)?", re.IGNORECASE),
    re.compile(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|\+\d\d:\d\d)?)?\b"),
    re.compile(rf"\b(?i:fig(?:ure)?|tab(?:le)?|section|chapter|page|appendix|equation)s?\.?\s+{_PLACED}"),
    # These are also words of their own ("level eq 0.97"), unless they are written as a reference is.
    re.compile(rf"(?:\b(?:Sec|Eq|Part)|(?<=[(\[])(?:sec|eq|part))s?\.?\s+{_PLACED}"),
    re.compile(rf"^[ \t]*(?:#+[ \t]*)?\d+[.)](?=\s)(?!\s*{_PERCENT})", re.MULTILINE),
    re.compile(r"\b\d+(?:st|nd|rd|th)\b"),
)
# Not the number of "about-97%", which is no part of a name.
_NAME = re.compile(rf"(?<![\w.])[^\W\d]\w*(?:-(?!\d+(?:\.\d+)?[ -]*{_PERCENT})\w+)*")
_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_MOST_CHARACTERS = 1_000_000
_MOST_DECIMALS = 30
_MOST_TOLD = 100
_DIGITS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TENS = ("ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred")
_TEENS = (
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_WORDS = {word: value for value, word in enumerate(("zero", *_DIGITS))}
_WORDS |= {word: value for value, word in enumerate(_TEENS, start=11)}
_WORDS |= {word: 10 * value for value, word in enumerate(_TENS, start=1)}
_SPELLED = re.compile(
    rf"\b({'|'.join(_WORDS)})(?:[ -]({'|'.join(_DIGITS)}))?[ -]*(?:%|per ?cent\b|percentage\b|times\b|fold\b)",
    re.IGNORECASE,
)


def check_text(
    text: str, claims: Mapping[str, Claim] | Sequence[Claim], allowed: Iterable[Any] = (), where: str = "text"
) -> list[Finding]:
    """The numbers of ``text`` that no claim holds, and the placeholders that lead nowhere.

    ``claims`` are by reference (``RUN#2``) where the text has placeholders. ``allowed`` are settings: numbers and texts
    at any depth of lists and dictionaries.
    """
    return _Reader(claims, allowed).findings(text, where)


def check_stated(text: str, claim: Claim, cells: Iterable[Any], allowed: Iterable[Any], where: str) -> list[Finding]:
    """As ``check_text``, for a claim's own sentence: cells of the row that it reads may be stated beside its value."""
    return _Reader([claim], allowed, cells).findings(text, where)


def check_prose(text: str, cells: Iterable[Any], allowed: Iterable[Any], where: str) -> list[Finding]:
    """As ``check_text``, for the prose of a study's report: each number must be one of ``cells`` at its decimals."""
    return _Reader([], allowed, cells).findings(text, where)


def render_text(text: str, claims: Mapping[str, Claim], tables: Mapping[str, Table] | None = None) -> str:
    """``text`` with its placeholders filled in. Raises ``UnweaveError`` for one that leads nowhere."""

    def fill(place: re.Match[str]) -> str:
        claim, table = _CLAIM.fullmatch(place[1].strip()), _TABLE.fullmatch(place[1].strip())
        key = f"{claim[1] or ''}#{claim[2]}" if claim else place[1].strip()
        if claim and key in claims:
            found = claims[key]
            return found.sentence if claim[3] == "sentence" else stated(found.value, found.digits, claim[3] == "+")
        if table and key in (tables or {}):
            return "\n" + (tables or {})[key].to_markdown()
        raise UnweaveError(
            f"{place[0]} refers to no claim and no table: write {{{{RUN#0}}}} for the first claim of RUN"
        )

    return _PLACE.sub(fill, text)


def cited_claims(text: str, root: Path, own: str | None = None) -> dict[str, Claim]:
    """The claims that a text's placeholders refer to, by reference; those that are not there are left out.

    Runs are opened by their ids in ``root``; ``own`` is the one that a placeholder without an id means.
    """
    found: dict[str, Claim] = {}
    for place in _PLACE.finditer(text):
        reference = _CLAIM.fullmatch(place[1].strip())
        if reference and (reference[1] or own):
            with suppress(UnweaveError, IndexError):
                claims = _open(root, reference[1] or str(own)).claims()
                found[f"{reference[1] or ''}#{reference[2]}"] = claims[int(reference[2])]
    return found


def cited_tables(text: str, root: Path, own: str | None = None) -> dict[str, Table]:
    """The tables that a text's placeholders refer to, by reference; see ``cited_claims``."""
    found: dict[str, Table] = {}
    for place in _PLACE.finditer(text):
        reference = _TABLE.fullmatch(place[1].strip())
        if reference and (reference[1] or own):
            with suppress(UnweaveError):
                found[reference[0]] = _open(root, reference[1] or str(own)).load_table(reference[2])
    return found


def _open(root: Path, name: str) -> Run:
    check_name(name, "run")
    return Run.open(Path(root) / name)


class _Reader:
    """Reads the numbers of texts against one set of claims, cells and settings."""

    def __init__(
        self, claims: Mapping[str, Claim] | Sequence[Claim], allowed: Iterable[Any], cells: Iterable[Any] = ()
    ) -> None:
        referred = cast("Mapping[str, Claim]", claims) if isinstance(claims, Mapping) else {}
        self.by_reference: dict[str, Claim] = dict(referred)
        self.claims = list(referred.values() if isinstance(claims, Mapping) else cast("Sequence[Claim]", claims))
        self.settings: set[float] = set()
        words: set[str] = set()
        for value in _flat(allowed):
            if isinstance(value, str):
                words.add(value)
            elif not isinstance(value, bool) and isinstance(value, (int, float)):
                self.settings.add(float(value))
        shown = list(cells)
        words |= {str(claim.value) for claim in self.claims if isinstance(claim.value, str)}
        words |= {cell for cell in shown if isinstance(cell, str)}
        words |= {reference.partition("#")[0] for reference in self.by_reference}
        self.words = sorted((_plain(word) for word in words if re.search(r"\d", word)), key=len, reverse=True)
        self.cells = {float(cell) for cell in shown if isinstance(cell, (int, float)) and not isinstance(cell, bool)}
        self._rounded: dict[int, set[str]] = {}
        self.stated = {
            form
            for claim in self.claims
            if isinstance(claim.value, (int, float)) and not isinstance(claim.value, bool)
            for form in (stated(claim.value, claim.digits), stated(claim.value, claim.digits, signed=True))
        }

    def findings(self, text: str, where: str) -> list[Finding]:
        if len(text) > _MOST_CHARACTERS:
            return [Finding("number", where, f"has {len(text):,} characters, and {_MOST_CHARACTERS:,} are read")]
        found = [
            Finding("number", where, f"refers to {place[0]}, and there is no such claim or table")
            for place in _PLACE.finditer(text)
            if not self._leads_somewhere(place[1].strip())
        ]
        shown = _plain(text)
        masked = self._masked(shown)
        unknown = [
            *(one for one in _NUMBER.finditer(_NAME.sub(_blank, masked)) if not self._known(one[0].replace(",", ""))),
            *(one for one in _SPELLED.finditer(masked) if not self._known(str(_spelled_value(one)))),
        ]
        told = [self._unknown(one[0], shown, one.start()) for one in unknown[:_MOST_TOLD]]
        if len(unknown) > _MOST_TOLD:
            told.append(f"states {len(unknown) - _MOST_TOLD:,} more numbers that no claim holds")
        return found + [Finding("number", where, what) for what in told]

    def _leads_somewhere(self, place: str) -> bool:
        claim = _CLAIM.fullmatch(place)
        return f"{claim[1] or ''}#{claim[2]}" in self.by_reference if claim else _TABLE.fullmatch(place) is not None

    def _masked(self, text: str) -> str:
        """``text`` with whatever is free blanked out, so that every position stays."""
        for pattern in (_PLACE, *_FREE):
            text = pattern.sub(_blank, text)
        for word in self.words:
            text = re.sub(rf"(?<![\w.]){re.escape(word)}(?!\w|\.\d)", _blank, text)
        return _CODE.sub(_code, text)

    def _known(self, number: str) -> bool:
        if number in self.stated or float(number) in self.settings:
            return True
        decimals = _decimals(number)
        return bool(self.cells) and decimals <= _MOST_DECIMALS and number.lstrip("+") in self._cells_at(decimals)

    def _cells_at(self, decimals: int) -> set[str]:
        if decimals not in self._rounded:
            self._rounded[decimals] = {number_text(cell, decimals) for cell in self.cells}
        return self._rounded[decimals]

    def _unknown(self, number: str, text: str, at: int) -> str:
        start, end = max(0, at - 30), at + len(number) + 30
        around = " ".join(text[start:end].split())
        near = self._near(number.replace(",", ""))
        told = (
            f"the claim holds {near.value!r}, which is {stated(near.value, near.digits)}"
            if near
            else "no claim holds it"
        )
        return f"states {number} in “{'…' if start else ''}{around}{'…' if end < len(text) else ''}”, and {told}"

    def _near(self, number: str) -> Claim | None:
        """The claim whose value ``number`` could be a wrong rounding of."""
        try:
            value, step = float(number), 10.0 ** -_decimals(number)
        except ValueError:
            return None
        near = [claim for claim in self.claims if isinstance(claim.value, float) and abs(claim.value - value) < step]
        return min(near, key=lambda claim: abs(float(str(claim.value)) - value), default=None)


def _spelled_value(found: re.Match[str]) -> int:
    return sum(_WORDS[word.lower()] for word in found.groups() if word)


def _decimals(number: str) -> int:
    return len(number.lower().partition("e")[0].partition(".")[2])


def _plain(text: str) -> str:
    """Digits of every script and form as ASCII ones, and nothing invisible between them."""
    folded = unicodedata.normalize("NFKC", text)
    folded = "".join(sign for sign in folded if unicodedata.category(sign) != "Cf")
    folded = re.sub("[−‐‑‒–—]", "-", folded)
    return re.sub(r"\d", lambda digit: str(unicodedata.digit(digit[0])), folded)


def _blank(found: re.Match[str]) -> str:
    return "\0" * len(found[0])


def _code(found: re.Match[str]) -> str:
    """A code span without its words that have a letter and are not numbers such as 1e-5."""

    def word(token: re.Match[str]) -> str:
        named = re.search(r"[^\W\d_]", token[0]) and not _NUMBER.fullmatch(token[0])
        return _blank(token) if named else token[0]

    return re.sub(r"[^\s=,:;()\[\]`]+", word, found[0])


def _flat(values: Any) -> Iterable[Any]:
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from _flat((key, value))
    elif isinstance(values, (list, tuple, set, frozenset)):
        for value in values:
            yield from _flat(value)
    elif isinstance(values, str) or not isinstance(values, Iterable):
        yield values
    else:
        yield from _flat(list(values))
