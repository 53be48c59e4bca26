"""The windows a harvest reads, each with its label, and which of them are shown, held out, or kept whole."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unweave.base.errors import UnweaveError, nearest
from unweave.corpora.text import Corpus
from unweave.corpora.windows import token_windows
from unweave.read.harvest.config import HarvestConfig

HELD_OUT = 4
"""One window in so many is held out: only scores are made from it."""


@dataclass(frozen=True)
class HarvestText:
    """Windows of tokens in the order they are read. ``hashes`` depend on a window's label and tokens alone."""

    tokens: np.ndarray
    """int32 [n, t]."""
    label: np.ndarray
    """int64 [n], positions in ``labels``."""
    hashes: np.ndarray
    """uint64 [n]."""
    labels: tuple[str, ...]
    label_names: tuple[str, ...]
    corpus: str
    fingerprint: str

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def length(self) -> int:
        return self.tokens.shape[1]

    @property
    def held(self) -> np.ndarray:
        """bool [n]: windows that no statistic of tokens and no shown example comes from."""
        return (self.hashes >> np.uint64(32)) % np.uint64(HELD_OUT) == 0

    def pool(self, size: int) -> np.ndarray:
        """int64: the ``size`` shown and ``size`` held-out windows with the smallest hashes, in order of reading."""
        order, held = np.argsort(self.hashes, kind="stable"), self.held
        return np.sort(np.concatenate([order[~held[order]][:size], order[held[order]][:size]]))


def read_text(tokenizer: object, corpora: Sequence[Corpus], config: HarvestConfig) -> HarvestText:
    """The windows of some corpora for one harvest, shuffled over labels by their hashes.

    A label that several corpora have is read from all of them. Raises ``UnweaveError`` for a label that none has, and
    where nothing is long enough for one window.
    """
    labels = tuple(config.labels or corpora[0].labels())
    for label in labels:
        known = [name for corpus in corpora for name in corpus.labels()]
        if label not in known:
            raise UnweaveError(f"label {label!r} is in none of the corpora; {nearest(label, known)}")
    found: list[np.ndarray] = []
    owners: list[np.ndarray] = []
    for corpus in corpora:
        for part in config.parts:
            for label in labels:
                if label not in corpus.labels(part):
                    continue
                windows = _windows(tokenizer, corpus, part, label, config)
                found.append(windows)
                owners.append(np.full(len(windows), labels.index(label)))
    if not sum(map(len, found)):
        names = ", ".join(corpus.name for corpus in corpora)
        raise UnweaveError(
            f"no text of {names} is {config.length} tokens long: give longer documents or a smaller length"
        )
    tokens, label = np.concatenate(found).astype(np.int32), np.concatenate(owners)
    hashes = _hashes(tokens, label, config.seed)
    order = np.argsort(hashes, kind="stable")
    order = order[np.concatenate([[True], np.diff(hashes[order]) > 0])]  # the same window twice is read once
    digest = hashlib.sha256(np.ascontiguousarray(hashes[order]).tobytes()).hexdigest()
    names = tuple(_name(corpora, each) for each in labels)
    corpus_name = " + ".join(corpus.name for corpus in corpora)
    return HarvestText(tokens[order], label[order], hashes[order], labels, names, corpus_name, digest)


def _windows(tokenizer: object, corpus: Corpus, part: str, label: str, config: HarvestConfig) -> np.ndarray:
    try:
        return token_windows(tokenizer, corpus, part, label, config.length, None, config.seed, config.windows)
    except UnweaveError:
        return np.empty((0, config.length), np.int64)  # too short for one window; other parts may not be


def _name(corpora: Sequence[Corpus], label: str) -> str:
    for corpus in corpora:
        if label in corpus.label_names:
            return corpus.label_names[label]
    return label


def _hashes(tokens: np.ndarray, label: np.ndarray, seed: int) -> np.ndarray:
    found = np.empty(len(tokens), np.uint64)
    for row, (window, owner) in enumerate(zip(tokens, label, strict=True)):
        key = b"%d %d " % (seed, owner)
        found[row] = int.from_bytes(hashlib.blake2b(key + window.tobytes(), digest_size=8).digest(), "little")
    return found
