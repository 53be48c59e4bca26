"""The text format of stories with gold: what the bundled ones are stored in and a person can write.

A story is a line ``story: ID``, a few more names of it, and one line a sentence::

    # A line that begins with # is a comment.
    story: warm-bread
    title: Warm Bread
    arc: rise
    topic: cooking
    protagonist: Nora

    -0.7 sadness=0.7 fear=0.3 | Nora sat alone in her new bakery.
    0.9 happiness=0.9 | On Friday Nora paid the landlord.

Before the bar stand the valence, from -1 to 1, and those of the six emotions that are not 0, from 0 to 1: the state of
the protagonist right after the sentence, which is the last one's where the sentence changes nothing. ``title`` and
``topic`` are needed; ``arc`` is left out where there is none; ``kind`` is ``arc`` unless it says otherwise;
``source`` is the id of the story that this one was made from. Empty lines mean nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from unweave.base.errors import UnweaveError, nearest
from unweave.corpora.stories.value import Sentence, Story
from unweave.corpora.text_file import read_text_file

_FIELDS = {
    "story": "id",
    "title": "title",
    "arc": "arc",
    "topic": "topic",
    "kind": "kind",
    "source": "source_id",
    "protagonist": "protagonist",
}
_SENTENCE = "'-0.7 sadness=0.7 fear=0.3 | Nora sat alone.'"


def read_stories(path: str | os.PathLike[str]) -> tuple[Story, ...]:
    """The stories of a file in the format above, in its order.

    Raises ``UnweaveError``, with the line, for whatever is not in the format, values out of range, two stories of one
    id, a story without sentences, a file without stories, and bytes that are not UTF-8.
    """
    return parse_stories(read_text_file(path), os.fspath(path))


def parse_stories(text: str, name: str = "text") -> tuple[Story, ...]:
    """``read_stories`` of text; ``name`` stands before the line number in errors."""
    stories: dict[str, Story] = {}
    for draft in _drafts(text, name):
        story = draft.finished()
        if story.id in stories:
            raise UnweaveError(f"{draft.where}: there are two stories {story.id!r}; give one of them another id")
        stories[story.id] = story
    if not stories:
        raise UnweaveError(f"{name} holds no story: begin one with a line 'story: ID'")
    return tuple(stories.values())


@dataclass
class _Draft:
    where: str
    fields: dict[str, Any]
    sentences: list[Sentence] = field(default_factory=list)

    def finished(self) -> Story:
        for name in ("title", "topic"):
            if name not in self.fields:
                raise UnweaveError(f"{self.where}: story {self.fields['id']!r} has no {name}; add a line '{name}: ...'")
        with _errors_at(self.where):
            return Story(
                **{"arc": None, "kind": "arc", "source_id": None, **self.fields}, sentences=tuple(self.sentences)
            )


def _drafts(text: str, name: str) -> Iterator[_Draft]:
    draft: _Draft | None = None
    for number, raw in enumerate(text.split("\n"), start=1):
        where, line = f"{name} line {number}", raw.strip()
        if not line or line.startswith("#"):
            continue
        before, bar, sentence = line.partition("|")
        if bar and draft is not None:
            draft.sentences.append(_sentence(before.split(), sentence.strip(), where))
            continue
        key, value = _named(line, where)
        if key == "story":
            if draft is not None:
                yield draft
            draft = _Draft(where, {"id": value})
        elif draft is None:
            raise UnweaveError(f"{where}: {line[:40]!r} stands before the first story; begin one with 'story: ID'")
        elif draft.sentences:
            raise UnweaveError(f"{where}: {key!r} comes after sentences; put it above them, below 'story:'")
        elif _FIELDS[key] in draft.fields:
            raise UnweaveError(f"{where}: {key!r} is given twice in one story; keep one of them")
        else:
            draft.fields[_FIELDS[key]] = value
    if draft is not None:
        yield draft


def _named(line: str, where: str) -> tuple[str, str]:
    key, colon, value = (part.strip() for part in line.partition(":"))
    if not colon or " " in key:
        raise UnweaveError(f"{where}: {line[:40]!r} is neither 'name: value' nor a sentence, such as {_SENTENCE}")
    if key not in _FIELDS:
        raise UnweaveError(f"{where}: {key!r} is not a name that a story has; {nearest(key, _FIELDS)}")
    if not value:
        raise UnweaveError(f"{where}: {key!r} has no value; write one, or take the line out")
    return key, value


def _sentence(levels: list[str], text: str, where: str) -> Sentence:
    if not levels:
        raise UnweaveError(f"{where}: there is no valence before the bar; write one, such as {_SENTENCE}")
    emotions: dict[str, float] = {}
    for level in levels[1:]:
        name, equals, value = level.partition("=")
        if not equals:
            raise UnweaveError(f"{where}: {level!r} is not an emotion and its level; write one, such as 'fear=0.3'")
        if name in emotions:
            raise UnweaveError(f"{where}: {name!r} is given twice; keep one of them")
        emotions[name] = _number(value, name, where)
    with _errors_at(where):
        return Sentence(text, _number(levels[0], "valence", where), emotions)


def _number(value: str, name: str, where: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise UnweaveError(f"{where}: {name} is {value!r}, which is no number; write one, such as 0.3") from None


@contextmanager
def _errors_at(where: str) -> Iterator[None]:
    try:
        yield
    except UnweaveError as error:
        raise UnweaveError(f"{where}: {error}") from error
