"""Trace: which rows of a dataset a predicted change comes from, and which to take out."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from unweave.base.errors import UnweaveError, nearest
from unweave.preferences.evidence import Prediction


@dataclass(frozen=True)
class Trace:
    """One column's predicted change over the rows. ``pushes`` are shares divided by the number of rows, so they add up
    to ``change``, and turned so that positive ones push the way that the change goes."""

    predictor: str
    name: str
    change: float
    pushes: Float64[np.ndarray, " n"]
    order: Int64[np.ndarray, " n"]
    """Rows from the strongest push to the strongest counter-push; equals in the order of the data."""

    @property
    def direction(self) -> int:
        return -1 if self.change < 0 else 1

    def concentration(self) -> Float64[np.ndarray, " n"]:
        """The share of all pushes with the change that the first 1, 2, ... n rows of ``order`` hold; rows that push
        against it add none. 0 throughout where no row pushes."""
        pushes = np.clip(self.pushes[self.order], 0, None)
        total = pushes.sum()
        return np.cumsum(pushes) / total if total > 0 else np.zeros(len(pushes))

    def covering(self, share: float = 0.5) -> Int64[np.ndarray, " k"]:
        """The smallest set of rows that holds ``share`` of all pushes with the change; empty where no row pushes."""
        if not 0 < share <= 1:
            raise UnweaveError(f"a share of {share} is not above 0 and at most 1: use 0.5 for half")
        reached = self.concentration()
        if not len(reached) or reached[-1] == 0:
            return self.order[:0]
        # The rounding of a running sum must not ask for one row more.
        return self.order[: int(np.searchsorted(reached, share - 1e-12)) + 1]

    def without(self, topics: Sequence[Hashable]) -> dict[Hashable, float]:
        """The change that is predicted when all rows of a topic (n,) are left out, by topic.

        Exact for predictors that are linear in rows; for ``tilt`` with the weights held. A topic that holds every row
        leaves nothing: NaN.
        """
        if len(topics) != len(self.pushes):
            raise UnweaveError(f"{len(topics)} topics for {len(self.pushes)} rows: give one for each")
        places: dict[Hashable, int] = {}
        index = np.array([places.setdefault(topic, len(places)) for topic in topics])
        n = len(index)
        gone = np.bincount(index, self.pushes, len(places)) * n * self.direction
        left = n - np.bincount(index, minlength=len(places))
        found = np.divide(self.change * n - gone, left, out=np.full(len(places), np.nan), where=left > 0)
        return {topic: float(found[place]) for topic, place in places.items()}


@dataclass(frozen=True)
class Hits:
    """How well a ranking of rows finds planted ones."""

    precision: float
    """Share of planted rows among the first ``k``."""
    average_precision: float
    """Mean, over planted rows, of the precision at the place where each is found."""
    random: float
    """Precision of a random order at any k: the share of planted rows."""
    k: int
    planted: int


def trace_change(prediction: Prediction, name: str) -> Trace:
    """The rows behind what a predictor says of the column ``name``; raises ``UnweaveError`` for an unknown one.

    A ``tilt`` counts what of a row is not explained yet, so rows that its weights explain well weigh little: where the
    cause is a jump along a column in which all rows vary, rank by ``mean-difference``.
    """
    shares = prediction.shares[:, _column(prediction, name)].astype(np.float64) / len(prediction.shares)
    change = float(shares.sum())
    pushes = shares * (-1 if change < 0 else 1)
    return Trace(prediction.predictor, name, change, pushes, np.argsort(-pushes, kind="stable"))


def rows_to_remove(
    prediction: Prediction, names: Sequence[str], fraction: float, direction: int | None = None
) -> Int64[np.ndarray, " k"]:
    """The ``fraction`` of rows that pushes these columns most, the strongest first, to be left out of training.

    Pushes are added over columns, in units of spread, each turned to where its own change goes, or all to ``direction``
    (1 to undo what would grow, -1 what would shrink). Rows that push against it are never among them, so there may be
    fewer. At least one row is taken where one pushes.
    """
    if not 0 < fraction < 1:
        raise UnweaveError(f"a fraction of {fraction} is not between 0 and 1: use 0.05 for 5 % of the rows")
    if not names:
        raise UnweaveError("no column is named: say which changes the rows are to be removed for")
    if direction not in (None, -1, 1):
        raise UnweaveError(f"direction {direction}: use 1, -1, or None for where each change goes")
    columns = [_column(prediction, name) for name in names]
    picked = prediction.shares[:, columns].astype(np.float64)
    signs = np.where(picked.mean(0) < 0, -1, 1) if direction is None else np.full(len(columns), direction)
    pushes = picked @ signs
    order = np.argsort(-pushes, kind="stable")[: max(1, round(fraction * len(pushes)))]
    return order[pushes[order] > 0]


def hits(order: Int64[np.ndarray, " n"], planted: Sequence[int], k: int | None = None) -> Hits:
    """Precision at ``k`` (by default the number of planted rows) and average precision of a whole ranking of rows.

    Raises ``UnweaveError`` where nothing was planted, a planted row is not ranked, or ``k`` is not within the rows.
    """
    rows = np.unique(np.asarray(planted, np.int64))
    if not len(rows) or not np.isin(rows, order).all():
        raise UnweaveError(f"{len(rows)} planted rows, of which {int((~np.isin(rows, order)).sum())} are not ranked")
    count = len(rows) if k is None else k
    if not 1 <= count <= len(order):
        raise UnweaveError(f"k {count} is not within 1 and the {len(order)} rows")
    found = np.isin(order, rows)
    places = np.flatnonzero(found)
    average = float((np.arange(1, len(rows) + 1) / (places + 1)).mean())
    return Hits(float(found[:count].mean()), average, len(rows) / len(order), count, len(rows))


def _column(prediction: Prediction, name: str) -> int:
    if name not in prediction.names:
        raise UnweaveError(f"column {name!r} was not predicted; {nearest(name, prediction.names)}")
    return prediction.names.index(name)
