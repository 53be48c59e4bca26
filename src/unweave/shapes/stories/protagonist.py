"""Whose state is asked for: the name that a text gives its protagonist."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from unweave.base.errors import UnweaveError

_NAME = re.compile(r"(?<![\w’'-])(?:(?:Mr|Mrs|Miss|Ms|Dr)\.?\s)?[A-Z][a-zà-öø-ÿ]+(?![\w-])")
_NO_NAMES_TEXT = (
    "i god lord lady sir madam mr mrs miss ms dr monday tuesday wednesday thursday friday saturday sunday january "
    "february march april may june july august september october november december christmas easter english french "
    "german yes no oh ah well the a an he she it they we you then there here this that these those in on at but and so "
    "when while after before his her its as if one what who where why how now for all my our their with by from to of "
    "not never nobody everybody every each some once later soon still just even only perhaps maybe again until because"
)
_NO_NAMES = frozenset(_NO_NAMES_TEXT.split())


def find_protagonist(sentences: Sequence[str]) -> str:
    """The capitalised word that most often stands inside a sentence, with a title before it (``Mrs Ray``).

    Words that begin a sentence count only where the same word also stands inside one, or where none does. Raises
    ``UnweaveError`` for a text that names nobody.
    """
    inside: Counter[str] = Counter()
    opening: Counter[str] = Counter()
    for sentence in sentences:
        for match in _NAME.finditer(sentence):
            name = match.group()
            if name.lower() in _NO_NAMES:
                continue
            opens = not any(character.isalnum() for character in sentence[: match.start()]) or (
                sentence[: match.start()].rstrip()[-1:] in "“\"‘'.!?:"
            )
            (opening if opens else inside)[name] += 1
    # A short text may have its names at the beginning of sentences alone; a name is then what begins two or more.
    counts = {name: number + opening[name] for name, number in inside.items()} or {
        name: number for name, number in opening.items() if number > 1
    }
    if not counts:
        raise UnweaveError("the text names nobody, and a readout asks how somebody feels: give the protagonist's name")
    return max(counts, key=lambda name: counts[name])
