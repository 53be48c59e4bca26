"""What knows no states: the place of a sentence in its story, and the words of the story so far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unweave.base.errors import UnweaveError
from unweave.shapes.stories.held_out import Variant, as_they_are, standardised
from unweave.shapes.stories.paths import Names, rows_by_story

_WORD = r"\w+"
"""Words in another script are words too, and so are short ones."""


def places(stories: Names) -> list[Variant]:
    """What the place of a sentence in its story is told by: share of the way and its powers, number, first, last."""
    found = np.empty((len(stories), 7))
    for rows in rows_by_story(stories).values():
        number = np.arange(len(rows))
        share = number / max(len(rows) - 1, 1)
        found[rows] = np.stack([share, share**2, share**3, share**4, number, number == 0, number == len(rows) - 1], 1)
    return [standardised(found)]


def words(texts: Sequence[str], stories: Names) -> list[Variant]:
    """Weighted words of the sentence, of the story so far, and of both."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer

    if len(texts) != len(stories):
        raise UnweaveError(f"{len(texts)} texts for {len(stories)} sentences: give one for each")
    given, so_far = np.array(texts, object), [""] * len(texts)
    for rows in rows_by_story(stories).values():
        for place, row in enumerate(rows):
            so_far[row] = " ".join(given[rows[: place + 1]])
    vectorizer = TfidfVectorizer(token_pattern=_WORD, sublinear_tf=True).fit(texts)
    alone, before = vectorizer.transform(texts), vectorizer.transform(so_far)
    return [as_they_are(each.toarray()) for each in (alone, before, hstack([alone, before]).tocsr())]
