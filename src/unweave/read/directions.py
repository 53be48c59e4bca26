"""Features whose read or write directions are alike, among places of one width."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

if TYPE_CHECKING:
    from unweave.read.features import Dictionary

Side = Literal["read", "write"]


class Alike(NamedTuple):
    """Rows of one width with their signed cosines to a feature, itself left out."""

    rows: Int[np.ndarray, " n"]
    cosine: Float[np.ndarray, " n"]
    chance: float
    """About the largest absolute cosine that as many random directions of this width would reach."""


class Directions:
    """The directions of a dictionary, normalised, by side and width.

    A width is not a space: among sites of equal width, compare those that read (or write) the same stream.
    """

    def __init__(self, dictionary: Dictionary) -> None:
        parts: dict[tuple[Side, int], list[tuple[np.ndarray, np.ndarray]]] = {}
        start = 0
        for features in dictionary.groups.values():
            rows = np.arange(start, start + len(features))
            for side, matrix in (("read", features.read_directions()), ("write", features.write_directions())):
                values = matrix.detach().float().cpu().numpy()
                unit = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
                parts.setdefault((side, unit.shape[1]), []).append((rows, unit))
            start += len(features)
        self._matrices = {
            key: (np.concatenate([rows for rows, _ in found]), np.concatenate([unit for _, unit in found]))
            for key, found in parts.items()
        }
        # The sign of a subcomponent's directions means nothing: (-u)(-v)^T is the same piece of weight.
        self._signless = dictionary.kind == "subcomponents"

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
        return np.abs(cosine) if self._signless else np.maximum(cosine, 0.0)

    def nearest(self, row: int, side: Side, count: int) -> list[tuple[int, float]]:
        """The ``count`` features most like one, as (row, signed cosine)."""
        found = self.alike(row, side)
        order = np.argsort(-self.closeness(found.cosine), kind="stable")[:count]
        return [(int(found.rows[place]), float(found.cosine[place])) for place in order]
