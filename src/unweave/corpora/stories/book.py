"""A person's own text as a book: chapters of sentences, from plain text or Markdown."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError
from unweave.corpora.stories.sentences import split_sentences
from unweave.corpora.text_file import read_text_file

if TYPE_CHECKING:
    from markdown_it.token import Token

_MARKDOWN = (".md", ".markdown")
_PLAIN = (".txt", ".text", "")
_LONGEST_HEADING = 100
_HEADING = re.compile(
    r"(?:chapter|letter|stave|book|part|volume|act|scene)\s+(?:the\s+)?[\w-]+(?:\s*[.:—–-].*)?|"
    r"(?:prologue|epilogue|preface|introduction|foreword|afterword|finis|the end|a note on the text)\.?",
    re.IGNORECASE,
)
_GUTENBERG = re.compile(r"^\*\*\*\s*(START|END) OF TH(?:E|IS) PROJECT GUTENBERG.*$", re.MULTILINE)


@dataclass(frozen=True)
class Chapter:
    """Sentences under one heading."""

    title: str
    """The heading; empty for what stands before the first one."""
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Book:
    """Chapters in order. A text without headings is a book of one chapter."""

    title: str
    chapters: tuple[Chapter, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        """Those of all chapters, in order."""
        return tuple(sentence for chapter in self.chapters for sentence in chapter.sentences)


def read_book(path: str | os.PathLike[str]) -> Book:
    """The book in a plain text file or, by its ending ``.md``, a Markdown file; its title is the file's name.

    Raises ``UnweaveError`` for another ending, a file without sentences, and bytes that are not UTF-8.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in _MARKDOWN + _PLAIN:
        raise UnweaveError(f"{path} ends in {ending!r}: save it as plain text (.txt) or Markdown (.md)")
    text = read_text_file(path)
    return book_from_markdown(text, path.stem) if ending in _MARKDOWN else book_from_text(text, path.stem)


def book_from_text(text: str, title: str = "") -> Book:
    """The book in plain text, whose paragraphs are parted by empty lines.

    A heading is a paragraph of its own such as ``CHAPTER 1``, ``Letter the Second`` or ``Part IV: The Sea``; headings
    without text under them, as in a table of contents or ``THE END``, are left out, and so is what Project Gutenberg
    puts before and after a text. Raises ``UnweaveError`` for a text without sentences.
    """
    return _book(_headed(_without_gutenberg(text)), title)


def book_from_markdown(text: str, title: str = "") -> Book:
    """The book in Markdown: chapters by headings of any level, sentences from paragraphs, lists and quotations.

    Emphasis and links are their text; code, tables, pictures and HTML are left out. Raises ``UnweaveError`` for a text
    without sentences.
    """
    return _book(_marked(text), title)


def _book(pieces: Iterable[tuple[bool, str]], title: str) -> Book:
    """Chapters from paragraphs, each with whether it is a heading."""
    drafts: list[tuple[str, list[str]]] = [("", [])]
    for is_heading, text in pieces:
        if is_heading:
            drafts.append((" ".join(text.split()), []))
        else:
            drafts[-1][1].extend(split_sentences(text))
    chapters = tuple(Chapter(heading, tuple(sentences)) for heading, sentences in drafts if sentences)
    if not chapters:
        raise UnweaveError(f"{title or 'the text'!r} has no sentence: give text with words in it")
    return Book(title, chapters)


def _headed(text: str) -> Iterator[tuple[bool, str]]:
    for paragraph in re.split(r"\n\s*\n", text):
        lines = [line.strip() for line in paragraph.strip().split("\n")]
        for heading in lines if all(map(_is_heading, lines)) else ():
            yield True, heading
        if not all(map(_is_heading, lines)):
            yield False, paragraph


def _is_heading(line: str) -> bool:
    return len(line) <= _LONGEST_HEADING and _HEADING.fullmatch(line) is not None


def _without_gutenberg(text: str) -> str:
    marks = {match.group(1): match for match in _GUTENBERG.finditer(text)}
    start = marks["START"].end() if "START" in marks else 0
    stop = marks["END"].start() if "END" in marks else len(text)
    return text[start:stop]


def _marked(text: str) -> Iterator[tuple[bool, str]]:
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    opened: list[str] = []
    for token in tokens:
        if token.nesting == 1:
            opened.append(token.type)
        elif token.nesting == -1:
            opened.pop()
        elif token.type == "inline" and "table_open" not in opened:
            yield opened[-1] == "heading_open", "".join(map(_plain, token.children or ()))


def _plain(token: Token) -> str:
    if token.type in ("softbreak", "hardbreak"):
        return "\n"
    return token.content if token.type in ("text", "code_inline", "text_special") else ""
