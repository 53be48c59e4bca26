"""Puts predicates and tokens into words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unweave.read.labels.attributes import EDGE, PLACES, POSITION_STEP, Attributes
from unweave.read.labels.predicate import Condition

SHOWN_TOKENS, SHOWN_VALUES = 4, 3
_KINDS = {
    "word lower": "words",
    "word capitalised": "capitalised words",
    "word capitals": "words in capitals",
    "piece lower": "word pieces",
    "piece capitalised": "capitalised pieces",
    "piece capitals": "pieces in capitals",
    "punctuation": "punctuation",
    "digits": "digits",
    "space": "spaces",
    EDGE: "the edge of the window",
}
_BESIDE = {"previous": "after", "next": "before", "second before": "two after", "kind before": "after",
           "kind after": "before"}  # fmt: skip


def quoted(text: str, starts_words: bool = True) -> str:
    """A token as a person reads it: ``"und"`` where it begins a word, ``"-en"`` where it goes on with one."""
    body = text.strip()
    if not body:
        return {"\n": "line break", "": "nothing"}.get(text.strip(" "), "space")
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in body)
    piece = starts_words and not text[:1].isspace() and shown[0].isalpha()
    return f'"-{shown}"' if piece else f'"{shown}"'


def kind_words(kind: str) -> str:
    """``capitalised words`` for ``word capitalised``; ``cyrillic words`` for ``word cyrillic``."""
    if kind in _KINDS:
        return _KINDS[kind]
    what, _, script = kind.partition(" ")
    return f"{script} {'words' if what == 'word' else 'pieces'}"


def list_tokens(attributes: Attributes, tokens: Sequence[int], limit: int = SHOWN_TOKENS) -> str:
    """``"und", "der" (+9)``: the first few, those that read the same once."""
    said = list(dict.fromkeys(quoted(attributes.text(token), attributes.starts_words) for token in tokens))
    more = len(said) - limit
    return ", ".join(said[:limit]) + (f" (+{more})" if more > 0 else "")


def describe_way(attributes: Attributes, way: Sequence[Condition], often: dict[str, np.ndarray]) -> str:
    """One way to yes in words. ``often`` holds by attribute the codes of examples that go this way, the commonest first.

    What must not be is said only where nothing else is.
    """
    said = [condition for condition in way if condition.holds and condition.attribute != "language"]
    heads = [_head(attributes, c, often) for c in said if c.attribute not in _BESIDE and c.attribute != "position"]
    beside = [_beside(attributes, c, often) for c in said if c.attribute in _BESIDE]
    where = [_position(c.codes) for c in said if c.attribute == "position"]
    if not (heads or beside or where):
        denied = [c for c in way if not c.holds and c.attribute != "language"]
        return "; ".join(f"not {_condition(attributes, c, {})}" for c in denied[:2])
    return " ".join(heads + beside + where)


def _condition(attributes: Attributes, condition: Condition, often: dict[str, np.ndarray]) -> str:
    if condition.attribute == "position":
        return _position(condition.codes)
    say = _beside if condition.attribute in _BESIDE else _head
    return say(attributes, condition, often)


def _head(attributes: Attributes, condition: Condition, often: dict[str, np.ndarray]) -> str:
    name, codes = condition.attribute, _ordered(condition, often)
    if name in PLACES:
        return list_tokens(attributes, codes)
    values = [str(value) for value in attributes.values(name, codes)]
    if name == "kind":
        return " and ".join(dict.fromkeys(map(kind_words, values[:SHOWN_VALUES])))
    if name == "letter":
        return "starting with " + ", ".join(values[: SHOWN_TOKENS])
    if name == "ending":
        return "ending in " + ", ".join(f"-{value}" for value in values[:SHOWN_TOKENS])
    return f"{' or '.join(sorted(values)[:SHOWN_VALUES])} characters long"


def _beside(attributes: Attributes, condition: Condition, often: dict[str, np.ndarray]) -> str:
    name, codes = condition.attribute, _ordered(condition, often)
    if name in PLACES:
        return f"{_BESIDE[name]} {list_tokens(attributes, codes, SHOWN_VALUES)}"
    kinds = [kind_words(str(value)) for value in attributes.values(name, codes)]
    return f"{_BESIDE[name]} {' or '.join(dict.fromkeys(kinds[:SHOWN_VALUES]))}"


def _position(codes: Sequence[int]) -> str:
    listed = sorted(codes)
    if listed == list(range(len(listed))):
        return f"in the first {len(listed) * POSITION_STEP} tokens"
    return f"around token {listed[0] * POSITION_STEP + 1}"


def _ordered(condition: Condition, often: dict[str, np.ndarray]) -> list[int]:
    first = [int(code) for code in often.get(condition.attribute, ()) if code in condition.codes]
    return [*first, *(code for code in condition.codes if code not in first)]
