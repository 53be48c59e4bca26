"""Uniform samples of each feature's firings, the same however the text is cut into batches and shards.

Every firing has a pseudo-random priority that depends on its window, its position and its feature alone, and a feature
keeps the firings with the smallest (a bottom-k sketch). Sketches merge exactly and in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

NONE = np.uint64(0xFFFFFFFFFFFFFFFF)
"""The priority of an empty place."""


RESERVOIR_FIELDS = ("priority", "window", "position", "importance", "activation")


def mixed(values: np.ndarray) -> np.ndarray:
    """uint64 in, uint64 out: a bijection whose outputs look random (splitmix64's finaliser)."""
    with np.errstate(over="ignore"):
        found = values + np.uint64(0x9E3779B97F4A7C15)
        found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return found ^ (found >> np.uint64(31))


def position_keys(hashes: np.ndarray, length: int) -> np.ndarray:
    """uint64 [n, t]: a random number for each position of windows with these hashes."""
    return mixed(hashes[:, None] ^ mixed(np.arange(length, dtype=np.uint64))[None, :])


class Reservoir:
    """For each of ``rows`` features the ``size`` firings of smallest priority, in any order, with what goes with them.

    Payloads: ``window`` and ``position`` of the firing, ``importance`` and ``activation`` of the tokens round it
    (``width`` of them, the firing one in the middle; 0 beyond the window).
    """

    def __init__(self, rows: int, size: int, width: int) -> None:
        self.priority = np.full((rows, size), NONE, np.uint64)
        self.window = np.zeros((rows, size), np.int32)
        self.position = np.zeros((rows, size), np.int16)
        self.importance = np.zeros((rows, size, width), np.float16)
        self.activation = np.zeros((rows, size, width), np.float32)
        self._limit = np.full(rows, NONE, np.uint64)

    @property
    def size(self) -> int:
        return self.priority.shape[1]

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything by name, each feature's firings by priority, so that equal samples are equal bytes."""
        order = np.argsort(self.priority, axis=1, kind="stable")
        rows = np.arange(len(order))[:, None]
        return {name: getattr(self, name)[rows, order] for name in RESERVOIR_FIELDS}

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Reservoir:
        """What ``arrays`` gave."""
        made = cls(*arrays["importance"].shape)
        for name in RESERVOIR_FIELDS:
            getattr(made, name)[...] = arrays[name]
        made._limit = made.priority.max(1)
        return made

    def offer(
        self,
        row: np.ndarray,
        priority: np.ndarray,
        payload: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    ) -> None:
        """Takes in firings of features ``row`` [e]; ``payload(kept)`` gives what goes with those at places ``kept``."""
        kept = np.flatnonzero(priority < self._limit[row])
        if not len(kept):
            return
        order = kept[np.lexsort((priority[kept], row[kept]))]
        rank = _rank_in_run(row[order])
        order, rank = order[rank < self.size], rank[rank < self.size]
        touched, place = np.unique(row[order], return_inverse=True)
        offered = np.full((len(touched), self.size), NONE, np.uint64)
        offered[place, rank] = priority[order]
        entry = np.zeros((len(touched), self.size), np.int64)
        entry[place, rank] = order
        both = np.concatenate([self.priority[touched], offered], axis=1)
        stays = np.zeros(both.shape, bool)
        np.put_along_axis(stays, np.argpartition(both, self.size - 1, axis=1)[:, : self.size], True, axis=1)
        # As many leave a row as come into it, so that the two lists pair up row by row.
        leaving, slot = np.nonzero(~stays[:, : self.size])
        coming = np.nonzero(stays[:, self.size :])
        real = offered[coming] != NONE
        at = (touched[leaving[real]], slot[real])
        chosen = entry[coming][real]
        self.priority[at] = priority[chosen]
        for name, values in payload(chosen).items():
            getattr(self, name)[at] = values
        self._limit[touched] = self.priority[touched].max(1)

    def merge(self, other: Reservoir) -> None:
        """Takes in another sketch of the same features."""
        row, place = np.nonzero(other.priority != NONE)

        def payload(kept: np.ndarray) -> dict[str, np.ndarray]:
            return {name: getattr(other, name)[row[kept], place[kept]] for name in RESERVOIR_FIELDS[1:]}

        self.offer(row, other.priority[row, place], payload)


def _rank_in_run(sorted_rows: np.ndarray) -> np.ndarray:
    """0, 1, 2, ... within each run of equal values."""
    starts = np.flatnonzero(np.concatenate([[True], np.diff(sorted_rows) != 0]))
    lengths = np.diff(np.append(starts, len(sorted_rows)))
    return np.arange(len(sorted_rows)) - np.repeat(starts, lengths)
