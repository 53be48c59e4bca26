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
    "german yes no oh ah well"
)
_NO_NAMES = frozenset(_NO_NAMES_TEXT.split())


def find_protagonist(sentences: Sequence[str]) -> str:
    """The capitalised word that most often stands inside a sentence, with its title if it always has one (``Mrs Ray``).

    Words that begin a sentence count only where the same word also stands inside one. Raises ``UnweaveError`` for a
    text that names nobody.
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
    if not inside:
        raise UnweaveError("the text names nobody, and a readout asks how somebody feels: give the protagonist's name")
    counts = {name: number + opening[name] for name, number in inside.items()}
    return max(counts, key=lambda name: counts[name])
