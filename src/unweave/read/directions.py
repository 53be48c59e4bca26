"""Features whose read or write directions are alike, among places of one width."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

if TYPE_CHECKING:
    from torch import Tensor

Side = Literal["read", "write"]


class Alike(NamedTuple):
    """Rows of one width with their signed cosines to a feature, itself left out."""

    rows: Int[np.ndarray, " n"]
    cosine: Float[np.ndarray, " n"]
    chance: float
    """About the largest absolute cosine that as many random directions of this width would reach."""


class Directions:
    """The directions of a dictionary's features, normalised, by side and width.

    A width is not a space: among sites of equal width, compare those that read (or write) the same stream.
    """

    def __init__(self, groups: Iterable[tuple[Tensor, Tensor]], signed: bool) -> None:
        """From the directions [c, d_in] and [c, d_out] of each group in order.

        ``signed`` is False where a direction's sign means nothing: (-u)(-v)^T is the same piece of weight as u v^T.
        """
        parts: dict[tuple[Side, int], list[tuple[np.ndarray, np.ndarray]]] = {}
        start = 0
        for reads, writes in groups:
            rows = np.arange(start, start + len(reads))
            both: dict[Side, Tensor] = {"read": reads, "write": writes}
            for side, matrix in both.items():
                values = matrix.detach().float().cpu().numpy()
                unit = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
                parts.setdefault((side, unit.shape[1]), []).append((rows, unit))
            start += len(reads)
        self._matrices = {
            key: (np.concatenate([rows for rows, _ in found]), np.concatenate([unit for _, unit in found]))
            for key, found in parts.items()
        }
        self._signed = signed

    def alike(self, row: int, side: Side) -> Alike:
        """All other features whose directions on that side have the same width."""
        for (kind, width), (rows, unit) in self._matrices.items():
            place = int(np.searchsorted(rows, row))
            if kind == side and place < len(rows) and rows[place] == row:
                others = rows != row
                chance = math.sqrt(2 * math.log(max(len(rows), 2)) / width)
                return Alike(rows[others], (unit @ unit[place])[others], min(chance, 1.0))
        raise IndexError(f"no feature has row {row}")

    def closeness(self, cosine: np.ndarray) -> np.ndarray:
        """What likeness is ordered by: the cosine, or its size where a direction's sign means nothing."""
        return np.maximum(cosine, 0.0) if self._signed else np.abs(cosine)

    def nearest(self, row: int, side: Side, count: int) -> list[tuple[int, float]]:
        """The ``count`` features most like one, as (row, signed cosine)."""
        found = self.alike(row, side)
        order = np.argsort(-self.closeness(found.cosine), kind="stable")[:count]
        return [(int(found.rows[place]), float(found.cosine[place])) for place in order]
