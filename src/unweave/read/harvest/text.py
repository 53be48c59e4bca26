"""The windows a harvest reads, each with its label, and which of them are shown, held out, or kept whole."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unweave.base.errors import UnweaveError, nearest
from unweave.corpora.text import Corpus
from unweave.corpora.windows import placed_windows
from unweave.read.harvest.config import HarvestConfig

HELD_OUT = 4
"""One block of windows in so many is held out: only scores are made from it."""
BLOCK, BLOCKS = 32, 16
"""Windows that follow one another in a text are held out together, 32 of them, or fewer where a label's text has not 16
blocks of that size: neighbours share names and topics, and a label would be scored on what it was made from."""


@dataclass(frozen=True)
class HarvestText:
    """Windows of tokens in the order they are read. ``hashes`` depend on a window's label and tokens alone."""

    tokens: np.ndarray
    """int32 [n, t]."""
    label: np.ndarray
    """int64 [n], positions in ``labels``."""
    hashes: np.ndarray
    """uint64 [n]."""
    held: np.ndarray
    """bool [n]: windows that no statistic of tokens and no shown example comes from."""
    labels: tuple[str, ...]
    label_names: tuple[str, ...]
    corpus: str
    fingerprint: str

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def length(self) -> int:
        return self.tokens.shape[1]

    def pool(self, size: int) -> np.ndarray:
        """int64: the ``size`` shown and ``size`` held-out windows with the smallest hashes, in order of reading."""
        order, held = np.argsort(self.hashes, kind="stable"), self.held
        return np.sort(np.concatenate([order[~held[order]][:size], order[held[order]][:size]]))


def read_text(tokenizer: object, corpora: Sequence[Corpus], config: HarvestConfig) -> HarvestText:
    """The windows of some corpora for one harvest, shuffled over labels by their hashes.

    A label that several corpora have is read from all of them. Raises ``UnweaveError`` for a label that none has, and
    where nothing is long enough for one window.
    """
    if tokenizer is None:
        raise UnweaveError("the target has no tokenizer, so a corpus cannot be cut into its tokens: load it with one")
    labels = tuple(dict.fromkeys(config.labels or corpora[0].labels()))
    for label in labels:
        known = [name for corpus in corpora for name in corpus.labels()]
        if label not in known:
            raise UnweaveError(f"label {label!r} is in none of the corpora; {nearest(label, known)}")
    found: list[np.ndarray] = []
    owners: list[np.ndarray] = []
    held: list[np.ndarray] = []
    for corpus in corpora:
        for part in config.parts:
            for label in labels:
                if label not in corpus.labels(part):
                    continue
                windows, places = placed_windows(
                    tokenizer, corpus, part, label, config.length, None, config.seed, config.windows, least=0
                )
                found.append(windows)
                owners.append(np.full(len(windows), labels.index(label)))
                held.append(_held_out(places, f"{config.seed} {corpus.name} {part} {label}"))
    if not sum(map(len, found)):
        names = ", ".join(corpus.name for corpus in corpora)
        raise UnweaveError(
            f"no text of {names} is {config.length} tokens long: give longer documents or a smaller length"
        )
    tokens, label = np.concatenate(found).astype(np.int32), np.concatenate(owners)
    apart = np.concatenate(held)
    hashes = _hashes(tokens, label, config.seed)
    order = np.argsort(hashes, kind="stable")
    order = order[np.concatenate([[True], np.diff(hashes[order]) > 0])]  # the same window twice is read once
    digest = hashlib.sha256(hashes[order].tobytes() + apart[order].tobytes()).hexdigest()
    names = tuple(_name(corpora, each) for each in labels)
    corpus_name = " + ".join(corpus.name for corpus in corpora)
    return HarvestText(tokens[order], label[order], hashes[order], apart[order], labels, names, corpus_name, digest)


def _held_out(places: np.ndarray, source: str) -> np.ndarray:
    """Which windows of one text are held out, by the block of neighbours that each stands in."""
    if not len(places):
        return np.zeros(0, bool)
    blocks = places // max(1, min(BLOCK, (int(places.max()) + 1) // BLOCKS))
    drawn = {
        block: hashlib.blake2b(f"{source} {block}".encode(), digest_size=8).digest() for block in set(blocks.tolist())
    }
    return np.array([int.from_bytes(drawn[block], "little") % HELD_OUT == 0 for block in blocks.tolist()])


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
