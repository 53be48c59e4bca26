"""States that belong to values, and what is asked of others before a network is given them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64

from unweave.base.errors import UnweaveError
from unweave.shapes.steering.system import Labelled


def centroids(labelled: Labelled, count: int) -> Float64[np.ndarray, "w d"]:
    """The mean state of each of ``count`` values; raises ``UnweaveError`` where one has no state."""
    states = np.bincount(labelled.index, minlength=count)
    if not states.all():
        raise UnweaveError(f"value {int(states.argmin())} of {count} has no state: use fewer values or more states")
    found = np.zeros((count, labelled.states.shape[1]))
    np.add.at(found, labelled.index, labelled.states)
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
