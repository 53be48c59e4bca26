"""Scores of a cloud of centroids that no order or known distance enters, each beside surrogates without a shape.

Where the cloud's layer was chosen by known distances, these chose it, and surrogates do not choose again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float64, Int64

from unweave.base.errors import UnweaveError
from unweave.shapes.manifolds.curvature import geodesic_ratio, sheet_test
from unweave.shapes.manifolds.dimension import local_pca, two_nn
from unweave.shapes.manifolds.distances import centroid_distances
from unweave.shapes.manifolds.surrogates import Kind, surrogate_test
from unweave.shapes.manifolds.topology import loop_score
from unweave.shapes.manifolds.tree_likeness import tree_likeness

NEIGHBOURS = 5
DIMENSION_NEIGHBOURS = 10
LANDMARKS = 20
LABEL_FREE = {
    "loop": "1 - birth / death of the longest-lived loop; surrogates deal each axis anew",
    "loop, phases": "the same; surrogates keep that neighbours in the known order are near each other",
    "way over chord": "mean way along the graph of neighbours over the straight distance; 1 is flat",
    "bent sheet": "gain in held-out R^2 of the third principal score by a quadratic sheet over a plane",
    "dimension, two neighbours": "intrinsic dimension; smaller than that of a Gaussian cloud with the same axes?",
    "dimension, local axes": "principal axes that hold 95 % of a neighbourhood; smaller than the cloud's?",
    "tree delta": "mean four-point gap, 0 for a tree; smaller than when each axis is dealt anew?",
}
"""What each score says, by its name."""

Tested = tuple[float, float | None, float]
"""A score, what 5 % of its null reach where the test gives that, and its one-sided p."""


def label_free(
    points: Float64[np.ndarray, "w d"],
    order: Int64[np.ndarray, " w"] | None,
    surrogates: int,
    seed: int,
    refused: list[str],
) -> Iterator[tuple[str, Tested]]:
    """Each score by its name; why one cannot be had is added to ``refused``.

    ``order`` is that of the values where one is known: it enters only the surrogates that keep neighbours together.
    """

    def against(score: Callable[[np.ndarray], float], kind: Kind, given: np.ndarray, sign: int = 1) -> Tested:
        found = surrogate_test(lambda each: sign * score(each), given, kind, surrogates, seed)
        return sign * found.score, sign * found.threshold, found.p

    def loop(each: np.ndarray) -> float:
        return loop_score(each, LANDMARKS).score

    def bent() -> Tested:
        found = sheet_test(points, surrogates, seed)
        return found.gain, None, found.p

    near = min(DIMENSION_NEIGHBOURS, len(points) - 2)
    tests: dict[str, Callable[[], Tested]] = {
        "loop": lambda: against(loop, "columns", points),
        "way over chord": lambda: against(_way_over_chord, "columns", points),
        "bent sheet": bent,
        "dimension, two neighbours": lambda: against(two_nn, "gaussian", points, -1),
        "dimension, local axes": lambda: against(lambda each: local_pca(each, near), "gaussian", points, -1),
        "tree delta": lambda: against(
            lambda each: tree_likeness(centroid_distances(each), seed).delta, "columns", points, -1
        ),
    }
    if order is not None:
        tests["loop, phases"] = lambda: against(loop, "phases", points[order])
    for name, test in tests.items():
        try:
            yield name, test()
        except UnweaveError as error:
            refused.append(f"{name}: {error}")


def _way_over_chord(points: Float64[np.ndarray, "w d"]) -> float:
    """``geodesic_ratio`` with the fewest neighbours, from 5 on, that join all points."""
    for neighbours in range(min(NEIGHBOURS, len(points) - 1), len(points) - 1):
        try:
            return geodesic_ratio(points, neighbours)
        except UnweaveError as error:
            if "parts" not in str(error):
                raise
    return 1.0
