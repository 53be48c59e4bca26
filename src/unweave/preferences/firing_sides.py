"""On which side of each pair a column fires: on the chosen reply, the rejected one, both or neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from jaxtyping import Int64, UInt8

from unweave.base.errors import UnweaveError, nearest
from unweave.stats.proportion import wilson_interval

if TYPE_CHECKING:
    from unweave.preferences.features.store import PairFeatures
    from unweave.stats.bootstrap import Interval

Side = Literal["chosen", "rejected", "both", "neither"]
SIDES: tuple[Side, ...] = get_args(Side)
_ON_CHOSEN, _ON_REJECTED, _MORE_CHOSEN, _MORE_REJECTED = 1, 2, 4, 8
_CODES: dict[Side, int] = {"chosen": _ON_CHOSEN, "rejected": _ON_REJECTED, "both": 3, "neither": 0}
CLUSTERS_AT_ONCE = 128


@dataclass(frozen=True)
class SideCounts:
    """Pairs by where a column fires, and where there is more of it.

    A behaviour fires where it is not 0, a cluster where one of its features does.
    """

    chosen: int
    """Only on the chosen reply."""
    rejected: int
    both: int
    neither: int
    more_chosen: int
    """Pairs with more of it in the chosen reply."""
    more_rejected: int

    @property
    def lean(self) -> Interval | None:
        """Of the pairs whose replies differ in it, the share with more in the chosen one, with its 95 % interval.

        None where no pair differs. Pairs count as independent, so of pairs that share prompts it is too narrow.
        """
        differing = self.more_chosen + self.more_rejected
        return wilson_interval(self.more_chosen, differing) if differing else None

    @property
    def leans_to(self) -> Side:
        """``chosen`` or ``rejected`` where the lean's interval is on one side of a half, else ``both``; ``neither``
        for a column that fires nowhere."""
        lean = self.lean
        if lean is not None and lean.low > 0.5:
            return "chosen"
        if lean is not None and lean.high < 0.5:
            return "rejected"
        return "both" if self.chosen or self.rejected or self.both else "neither"


class FiringSides:
    """Where every column fires in every pair: a byte each, so that 100,000 pairs of 900 columns take 90 MB."""

    def __init__(self, names: Sequence[str], codes: UInt8[np.ndarray, "m n"]) -> None:
        self.names, self.codes = tuple(names), codes
        self._place = {name: at for at, name in enumerate(self.names)}

    @classmethod
    def of(cls, store: PairFeatures, clusters: Sequence[Sequence[int]]) -> FiringSides:
        """Those of a store's behaviours, then of ``cluster:<k>`` for every cluster of features."""
        names = (*store.names, *(f"cluster:{k}" for k in range(len(clusters))))
        codes = np.empty((len(names), len(store)), np.uint8)
        behaviours = len(store.names)
        codes[:behaviours] = _codes(store.values("chosen"), store.values("rejected"))
        for start in range(0, len(clusters), CLUSTERS_AT_ONCE):
            part = clusters[start : start + CLUSTERS_AT_ONCE]
            first = behaviours + start
            codes[first : first + len(part)] = _codes(
                store.cluster_values("chosen", part), store.cluster_values("rejected", part)
            )
        return cls(names, codes)

    def __contains__(self, name: object) -> bool:
        return name in self._place

    def counts(self, name: str, rows: Int64[np.ndarray, " r"] | None = None) -> SideCounts:
        """Counts over all pairs, or some. Raises ``UnweaveError`` with the nearest for an unknown column."""
        codes = self._column(name) if rows is None else self._column(name)[rows]
        by_side = np.bincount(codes & 3, minlength=4)
        more, less = int((codes & _MORE_CHOSEN > 0).sum()), int((codes & _MORE_REJECTED > 0).sum())
        return SideCounts(
            chosen=int(by_side[_CODES["chosen"]]),
            rejected=int(by_side[_CODES["rejected"]]),
            both=int(by_side[_CODES["both"]]),
            neither=int(by_side[_CODES["neither"]]),
            more_chosen=more,
            more_rejected=less,
        )

    def on(self, name: str, side: Side) -> Int64[np.ndarray, " r"]:
        """The rows in which a column fires on a side alone, on ``both``, or on ``neither``."""
        return np.flatnonzero((self._column(name) & 3) == _CODES[side])

    def side(self, name: str, row: int) -> Side:
        code = int(self._column(name)[row]) & 3
        return next(side for side, each in _CODES.items() if each == code)

    def _column(self, name: str) -> UInt8[np.ndarray, " n"]:
        if name not in self._place:
            raise UnweaveError(f"column {name!r} was not measured in the pairs; {nearest(name, self.names)}")
        return self.codes[self._place[name]]


def _codes(chosen: np.ndarray, rejected: np.ndarray) -> UInt8[np.ndarray, "m n"]:
    found = (chosen != 0) * _ON_CHOSEN + (rejected != 0) * _ON_REJECTED
    found += (chosen > rejected) * _MORE_CHOSEN + (chosen < rejected) * _MORE_REJECTED
    return found.astype(np.uint8).T
