"""A place on a manifold, chosen by hand, and what the model answers there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError
from unweave.shapes.steering.paths import Manifold
from unweave.shapes.steering.system import System


class Moved(NamedTuple):
    """Probabilities of the values and of everything else, mean and deviation over base contexts; the state's place."""

    theta: float
    answers: Float64[np.ndarray, " v"]
    deviation: Float64[np.ndarray, " v"]
    place: Float64[np.ndarray, " k"]
    """Coordinates in the manifold's subspace."""


def move(system: System, manifold: Manifold, layer: int, theta: float | None = None, value: str | None = None) -> Moved:
    """The answers with each base context's state moved to ``theta`` on the manifold, or to where a value lies on it.

    Raises ``UnweaveError`` where both or neither is given, and for a value that the system does not have.
    """
    if theta is None and value is not None:
        if value not in system.values:
            raise UnweaveError(f"{value!r} is no value of {system.name}: it has {', '.join(system.values)}")
        theta = float(manifold.curve.knots[list(system.values).index(value)])
    elif theta is None or value is not None:
        raise UnweaveError("give theta, a place on the manifold, or a value, and not both")
    if not np.isfinite(theta):
        raise UnweaveError(f"theta is {theta}: give a finite place")
    place = manifold.curve.at(np.array([theta]))
    found = system.answers(layer, manifold.put(place, system.bases(layer)))[:, 0]
    return Moved(theta, found.mean(0), found.std(0), place[0])
