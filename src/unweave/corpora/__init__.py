"""Text by label: the bundled samples, a reader for one's own files, and windows of tokens cut from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.corpora.bundled import CORPORA, declaration, language_name, parallel
    from unweave.corpora.files import load_corpus, read_corpus
    from unweave.corpora.text import PARTS, Corpus, merge
    from unweave.corpora.windows import random_groups, token_windows, windows_by_label

_HOME = {
    "CORPORA": "bundled",
    "PARTS": "text",
    "Corpus": "text",
    "declaration": "bundled",
    "language_name": "bundled",
    "load_corpus": "files",
    "merge": "text",
    "parallel": "bundled",
    "random_groups": "windows",
    "read_corpus": "files",
    "token_windows": "windows",
    "windows_by_label": "windows",
}
__all__ = [
    "CORPORA",
    "PARTS",
    "Corpus",
    "declaration",
    "language_name",
    "load_corpus",
    "merge",
    "parallel",
    "random_groups",
    "read_corpus",
    "token_windows",
    "windows_by_label",
]

__getattr__ = lazy_exports(__name__, _HOME)
