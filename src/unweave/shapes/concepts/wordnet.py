"""Paths of nouns in WordNet's tree of what is a kind of what."""

from __future__ import annotations

import os
from dataclasses import dataclass

from unweave.base.errors import UnweaveError, nearest
from unweave.corpora.text_file import read_text_file


@dataclass(frozen=True)
class WordNet:
    """Synsets by their offset in the file: their words, and what they are kinds of."""

    words: dict[str, tuple[str, ...]]
    parents: dict[str, tuple[str, ...]]

    def path(self, word: str, through: str) -> tuple[str, ...]:
        """First words from the synset ``through`` down to a sense of ``word``, by first-named hypernyms.

        It is of the first sense in the file that lies below ``through``. Raises ``UnweaveError`` where there is none.
        """
        senses = [offset for offset, words in self.words.items() if word in words]
        if not senses:
            raise UnweaveError(
                f"{word!r} is no noun of this WordNet; {nearest(word, {w[0] for w in self.words.values()})}"
            )
        for sense in senses:
            chain = [sense]
            while self.parents[chain[-1]] and through not in self.words[chain[-1]]:
                chain.append(self.parents[chain[-1]][0])
            if through in self.words[chain[-1]]:
                above = [self.words[each][0] for each in reversed(chain[1:])]
                return (*above, word)
        raise UnweaveError(f"no sense of {word!r} is a kind of {through!r} by first-named hypernyms: name another root")


def read_wordnet(path: str | os.PathLike[str]) -> WordNet:
    """The nouns of WordNet's ``data.noun``, such as Debian's ``wordnet-base`` installs; words with spaces, as written.

    Raises ``UnweaveError``, with the line, for what is no such file. Source: wndb(5WN), WordNet 3.0, Princeton.
    """
    words: dict[str, tuple[str, ...]] = {}
    parents: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(read_text_file(path).split("\n"), start=1):
        if not line or line.startswith(" "):
            continue
        parts = line.split(" | ")[0].split()
        try:
            count = int(parts[3], 16)
            pointers = 5 + 2 * count
            kinds = parts[pointers : pointers + 4 * int(parts[pointers - 1])]
            words[parts[0]] = tuple(parts[4 + 2 * each].replace("_", " ") for each in range(count))
            parents[parts[0]] = tuple(kinds[at + 1] for at in range(0, len(kinds), 4) if kinds[at] in ("@", "@i"))
        except (IndexError, ValueError) as error:
            raise UnweaveError(
                f"{os.fspath(path)} line {number} is no synset of WordNet: give the file data.noun"
            ) from error
    if not words:
        raise UnweaveError(f"{os.fspath(path)} has no synset: give WordNet's file data.noun")
    return WordNet(words, parents)
