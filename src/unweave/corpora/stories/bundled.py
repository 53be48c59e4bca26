"""The stories that come with the package: sixty with an arc, and their controls.

They were written for this project sentence by sentence, with their gold, by one hand: the gold is what the sentences
were written to do to the protagonist, and no reader's ratings. Each of six arcs meets each of five topics in two
stories, and the stories of every arc have 8, 8, 9, 9, 10, 10, 11, 11, 12 and 12 sentences, so that neither a topic nor
a length gives an arc away.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from unweave.base.errors import UnweaveError, nearest, oserror_line
from unweave.corpora.stories.layout import parse_stories
from unweave.corpora.stories.names import Kind
from unweave.corpora.stories.value import Story

TOPICS = ("cooking", "school", "sea", "farm", "music")
_FILES: dict[str, str] = {
    "arc": "arcs.txt",
    "plain": "plain.txt",
    "neutral": "neutral.txt",
    "negated": "negated.txt",
    "sarcastic": "sarcastic.txt",
}


@cache
def bundled_stories(kind: Kind = "arc") -> tuple[Story, ...]:
    """The 60 stories of the corpus, or the controls of a kind.

    ``plain``: 20 of the stories without a word that VADER's lexicon scores, gold unchanged. ``neutral``: 10 texts of
    10 sentences in which nothing is felt. ``negated``: 12, and ``sarcastic``: 10, of 8 sentences. Shuffled stories are
    made from these by ``shuffled``. Raises ``UnweaveError`` for a kind that is not bundled.
    """
    if kind not in _FILES:
        raise UnweaveError(f"no stories of kind {kind!r} come with the package; {nearest(str(kind), _FILES)}")
    path = files("unweave.corpora") / "data" / "stories" / _FILES[kind]
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise oserror_line(error, path) from error
    return parse_stories(text, _FILES[kind])
