"""States that belong to values, and what is asked of others before a network is given them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64

from unweave.base.errors import UnweaveError


class Labelled(NamedTuple):
    """States with the number of the value that each belongs to."""

    states: Float64[np.ndarray, "n d"]
    index: Int64[np.ndarray, " n"]

    def centroids(self, count: int) -> Float64[np.ndarray, "w d"]:
        """The mean state of each of ``count`` values; raises ``UnweaveError`` where one has no state."""
        states = np.bincount(self.index, minlength=count)
        if not states.all():
            raise UnweaveError(f"value {int(states.argmin())} of {count} has no state: use fewer values or more states")
        found = np.zeros((count, self.states.shape[1]))
        np.add.at(found, self.index, self.states)
        return found / states[:, None]


def checked_layer(layer: int, layers: tuple[int, ...], name: str) -> int:
    """``layer``, or ``UnweaveError`` where the system of that name does not have it."""
    if layer not in layers:
        raise UnweaveError(f"{name} has no layer {layer}: it has {', '.join(map(str, layers))}")
    return layer


def checked_states(states: Float[np.ndarray, "b p d"], bases: int, width: int) -> Float64[np.ndarray, "b p d"]:
    """``states`` as float64, or ``UnweaveError`` where they are of another shape, or not finite."""
    given = np.asarray(states, np.float64)
    if given.ndim != 3 or (given.shape[0], given.shape[2]) != (bases, width):
        raise UnweaveError(f"states have shape {given.shape}: this layer needs [{bases}, p, {width}]")
    if not np.isfinite(given).all():
        raise UnweaveError(f"{int((~np.isfinite(given)).sum())} numbers of the states are not finite: leave them out")
    return given
