"""Windows of tokens of one length, cut inside documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from unweave.corpora.text import Corpus

Documents = tuple[np.ndarray, ...]
# Tokenising a part takes longer than cutting it; an entry lives as long as its tokenizer.
_TOKENS: WeakKeyDictionary[Any, dict[tuple[str, str, str, int], Documents]] = WeakKeyDictionary()


def token_windows(
    tokenizer: Any,
    corpus: Corpus,
    part: str,
    label: str,
    length: int = 64,
    count: int | None = None,
    seed: int = 0,
    at_most: int | None = None,
) -> np.ndarray:
    """``count`` non-overlapping windows of exactly ``length`` tokens, int64 [n, length], shuffled by ``seed``.

    Documents are tokenised without special tokens. Where the tokenizer starts a text with its beginning-of-sequence
    token by default, every window starts with it, and it counts towards ``length``. A smaller ``count`` gives the
    first rows of a larger one. ``at_most`` takes what there is up to that many. Raises ``UnweaveError`` when there are
    fewer than ``count`` windows, or none.
    """
    return placed_windows(tokenizer, corpus, part, label, length, count, seed, at_most)[0]


def placed_windows(
    tokenizer: Any,
    corpus: Corpus,
    part: str,
    label: str,
    length: int = 64,
    count: int | None = None,
    seed: int = 0,
    at_most: int | None = None,
    least: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """``token_windows``, and where each stands among all windows of the part in the order of the text, int64 [n].

    Fewer windows than ``least`` are refused where no ``count`` is asked for.
    """
    if length < 2:
        raise UnweaveError(f"a window of {length} tokens has nothing to predict: use a length of 2 or more")
    if count is not None and count < 1:
        raise UnweaveError(f"{count} windows were asked for: use a count of 1 or more")
    start = start_token(tokenizer)
    body = length if start is None else length - 1
    documents = _tokenise(tokenizer, corpus, part, label)
    pieces = [ids[: len(ids) // body * body].reshape(-1, body) for ids in documents]
    windows = np.concatenate([np.empty((0, body), np.int64), *pieces])
    have, tokens = len(windows), sum(map(len, documents))
    if have < (count or least):
        raise UnweaveError(
            f"label {label!r} has {have} windows of {length} tokens in the {part} part of corpus {corpus.name!r} "
            f"({tokens} tokens), and {count or 1} were asked for: give more text, or use fewer or shorter windows"
        )
    order = numpy_generator(seed, "windows", part, label).permutation(have)
    order = order[: count or at_most]
    windows = windows[order]
    if start is not None:
        windows = np.concatenate([np.full((len(windows), 1), start, np.int64), windows], axis=1)
    return windows, order


def windows_by_label(
    tokenizer: Any,
    corpus: Corpus,
    part: str,
    labels: Iterable[str] | None = None,
    length: int = 64,
    count: int | None = None,
    seed: int = 0,
    at_most: int | None = None,
) -> dict[str, np.ndarray]:
    """``token_windows`` for several labels, by default all that have text in the part."""
    chosen = corpus.labels(part) if labels is None else tuple(labels)
    return {label: token_windows(tokenizer, corpus, part, label, length, count, seed, at_most) for label in chosen}


def random_groups(windows: Mapping[str, np.ndarray], seed: int = 0) -> dict[str, np.ndarray]:
    """The same windows dealt anew over the same labels, as many to each: the null case, where no label means anything.

    Whole windows are dealt, not tokens, so that what holds inside a window (its topic, its language) stays together.
    """
    if len({array.shape[1:] for array in windows.values()}) != 1:
        shapes = ", ".join(f"{label!r} {array.shape}" for label, array in windows.items())
        raise UnweaveError(f"random groups need windows of one length, and got {shapes or 'none'}")
    pool = np.concatenate(list(windows.values()))
    pool = pool[numpy_generator(seed, "random groups").permutation(len(pool))]
    borders = np.cumsum([len(array) for array in windows.values()])[:-1]
    return dict(zip(windows, np.split(pool, borders), strict=True))


def start_token(tokenizer: Any) -> int | None:
    """The token that a tokenizer begins every text with by default, or None."""
    start = getattr(tokenizer, "bos_token_id", None)
    if start is None:
        return None
    # What the tokenizer does is asked of it: the add_bos_token flag is missing or untrue for many fast tokenizers.
    default = tokenizer("a", verbose=False)["input_ids"]
    plain = tokenizer("a", add_special_tokens=False, verbose=False)["input_ids"]
    return int(start) if default[:1] == [start] != plain[:1] else None


def _tokenise(tokenizer: Any, corpus: Corpus, part: str, label: str) -> Documents:
    texts = corpus.documents(part, label)
    kept = _TOKENS.setdefault(tokenizer, {})
    key = (corpus.fingerprint(part), part, label, len(tokenizer))
    if key not in kept:
        # verbose=False: a document is longer than the model's context, and is cut into windows right after.
        kept[key] = tuple(
            np.asarray(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"], np.int64)
            for text in texts
        )
    return kept[key]
