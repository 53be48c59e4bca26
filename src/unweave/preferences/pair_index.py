"""Pairs of a dataset by row, in any order, where the dataset itself can only be gone through."""

from __future__ import annotations

import json
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int64

from unweave.base.errors import UnweaveError, nearest
from unweave.corpora.pairs.value import PreferencePair, Turn
from unweave.preferences.features.rows import StoreRow, content_hash
from unweave.preferences.features.shards import Shard

if TYPE_CHECKING:
    from unweave.preferences.features.store import PairFeatures


class PairIndex:
    """The pairs that a store was read of, row by row as there, without their ``extra``.

    They are gone through once and laid into a temporary file without a name, so that memory holds no more than where
    each begins, and nothing is written to a folder. Raises ``UnweaveError`` where the source no longer holds what the
    store was read of, to the byte: nothing of another file is shown as a pair.
    """

    def __init__(self, source: Iterable[PreferencePair], store: PairFeatures) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as this does
        weakref.finalize(self, self._file.close)
        self._lock = Lock()
        self.ids = store.ids
        self._rows: dict[str, int] = {}
        for row, name in enumerate(self.ids):
            self._rows.setdefault(name, row)
        starts = [0]
        pairs = (pair for pair in source if pair.id in self._rows)
        for facts in store.shards:
            part = list(islice(pairs, facts.rows))
            if content_hash([StoreRow.of_pair(pair) for pair in part]) != Shard(store.folder / facts.file).content:
                raise UnweaveError(
                    f"the pairs from row {len(starts) - 1} on are not those that {store.folder.name!r} was read of: "
                    "the data have changed since; bring them back, or predict again"
                )
            for pair in part:
                starts.append(starts[-1] + self._file.write(_packed(pair)))
        self._file.flush()
        self._starts: Int64[np.ndarray, " n_plus_1"] = np.array(starts, np.int64)

    def __len__(self) -> int:
        return len(self.ids)

    def row(self, name: str) -> int:
        """The first row of an id; raises ``UnweaveError`` with the nearest ids for an unknown one."""
        if name not in self._rows:
            raise UnweaveError(f"no pair {name!r} was read; {nearest(name, self.ids[:10_000])}")
        return self._rows[name]

    def pair(self, row: int) -> PreferencePair:
        """Raises ``UnweaveError`` for a row that is not there."""
        if not 0 <= row < len(self):
            raise UnweaveError(f"row {row} is not among the {len(self)} pairs that were read, from 0")
        with self._lock:
            self._file.seek(int(self._starts[row]))
            content = self._file.read(int(self._starts[row + 1] - self._starts[row]))
        return _unpacked(content)

    def matching(self, text: str, rows: Iterable[int]) -> Iterator[int]:
        """Those of ``rows`` whose id, prompt or replies hold every word of ``text``, whatever their case."""
        words = text.casefold().split()
        for row in rows:
            pair = self.pair(row)
            parts = (pair.id, *(turn.content for turn in pair.prompt), pair.chosen, pair.rejected)
            held = "\n".join(parts).casefold()
            if all(word in held for word in words):
                yield row


def _packed(pair: PreferencePair) -> bytes:
    turns = [[turn.role, turn.content] for turn in pair.prompt]
    return json.dumps([pair.id, turns, pair.chosen, pair.rejected]).encode()


def _unpacked(content: bytes) -> PreferencePair:
    name, turns, chosen, rejected = json.loads(content)
    return PreferencePair(name, tuple(Turn(*turn) for turn in turns), chosen, rejected)
