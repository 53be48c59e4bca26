"""Stories with gold valence and emotions, their controls, and readers of any text, book or novel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.corpora.stories.arcs import ARCS, Arc, arc_curve, arc_fits, nearest_arc
    from unweave.corpora.stories.austen import read_austen
    from unweave.corpora.stories.book import Book, Chapter, book_from_markdown, book_from_text, read_book
    from unweave.corpora.stories.bundled import TOPICS, bundled_stories
    from unweave.corpora.stories.layout import parse_stories, read_stories
    from unweave.corpora.stories.lexicon import scored_words, sliding_mean, vader_valence, word_valence
    from unweave.corpora.stories.names import EMOTIONS, KINDS, Emotion, Kind
    from unweave.corpora.stories.sentences import split_sentences
    from unweave.corpora.stories.shuffling import shuffled
    from unweave.corpora.stories.value import Sentence, Story
    from unweave.corpora.stories.windows import SentenceWindow, sliding_windows

_HOME = {
    "ARCS": "arcs",
    "EMOTIONS": "names",
    "KINDS": "names",
    "TOPICS": "bundled",
    "Arc": "arcs",
    "Book": "book",
    "Chapter": "book",
    "Emotion": "names",
    "Kind": "names",
    "Sentence": "value",
    "SentenceWindow": "windows",
    "Story": "value",
    "arc_curve": "arcs",
    "arc_fits": "arcs",
    "book_from_markdown": "book",
    "book_from_text": "book",
    "bundled_stories": "bundled",
    "nearest_arc": "arcs",
    "parse_stories": "layout",
    "read_austen": "austen",
    "read_book": "book",
    "read_stories": "layout",
    "scored_words": "lexicon",
    "shuffled": "shuffling",
    "sliding_mean": "lexicon",
    "sliding_windows": "windows",
    "split_sentences": "sentences",
    "vader_valence": "lexicon",
    "word_valence": "lexicon",
}
__all__ = [
    "ARCS",
    "EMOTIONS",
    "KINDS",
    "TOPICS",
    "Arc",
    "Book",
    "Chapter",
    "Emotion",
    "Kind",
    "Sentence",
    "SentenceWindow",
    "Story",
    "arc_curve",
    "arc_fits",
    "book_from_markdown",
    "book_from_text",
    "bundled_stories",
    "nearest_arc",
    "parse_stories",
    "read_austen",
    "read_book",
    "read_stories",
    "scored_words",
    "shuffled",
    "sliding_mean",
    "sliding_windows",
    "split_sentences",
    "vader_valence",
    "word_valence",
]

__getattr__ = lazy_exports(__name__, _HOME)
