"""The sheet that sentences lie on: whether it is bent, and its mesh for a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator
from unweave.shapes.manifolds.curvature import SheetTest, geodesic_ratio, sheet_test
from unweave.shapes.manifolds.family import checked, principal
from unweave.shapes.stories.held_out import folds
from unweave.shapes.stories.paths import Names, dealt, story_paths
from unweave.stats.permutation import exceeds_null, max_null_threshold


class RatioTest(NamedTuple):
    """Ways along the graph of neighbours to straight ones, among ratios of points with no shape on the same axes."""

    ratio: float
    null: float
    """The mean ratio of the null."""
    p: float
    threshold: float


@dataclass(frozen=True)
class Curvature:
    """Whether sentences lie on a bent sheet, tested with whole topics held out and whole stories dealt."""

    sheet: SheetTest
    ratio: RatioTest
    dimensions: int
    """Principal axes in which the ratio is taken."""


def emotion_curvature(
    values: Float[np.ndarray, "n d"],
    stories: Names,
    topics: Names,
    dimensions: int = 3,
    neighbours: int = 8,
    steps: int = 5,
    shuffles: int = 99,
    seed: int = 0,
) -> Curvature:
    """The bent sheet against the plane, and ways along neighbours against straight ones, of states or readouts.

    The ratio is of stories' paths at ``steps`` equal steps; where ``neighbours`` leave them in parts, twice as many are
    joined, and so on. The null gives each story the scores of another one, on each principal axis on its own for the
    ratio and on the third for the sheet, so that sentences of one story still hang together and what the axes share is
    gone. Raises ``UnweaveError`` as ``sheet_test`` and for fewer than 19 shuffles.
    """
    if shuffles < 19:
        raise UnweaveError(f"{shuffles} shuffles cannot reach 0.05: run at least 19")
    folds(stories, topics)
    given = checked(values)
    sheet = sheet_test(given, shuffles, seed, topics, lambda heights, generator: dealt(heights, stories, generator))
    if not 2 <= dimensions <= given.shape[1]:
        raise UnweaveError(f"{dimensions} dimensions of width {given.shape[1]}: give 2 or more, and no more than those")
    paths = story_paths(principal(given, dimensions)[2], stories, steps)
    generator = numpy_generator(seed, "emotion curvature")
    ratio = _ratio(paths, neighbours)
    null = [
        _ratio(np.stack([generator.permutation(axis) for axis in np.moveaxis(paths, 2, 0)], 2), neighbours)
        for _ in range(shuffles)
    ]
    test = RatioTest(ratio, float(np.mean(null)), exceeds_null(ratio, null).p, max_null_threshold(null))
    return Curvature(sheet, test, dimensions)


def _ratio(paths: Float64[np.ndarray, "s p k"], neighbours: int) -> float:
    points = np.unique(paths.reshape(-1, paths.shape[2]), axis=0)
    while neighbours < len(points) - 1:
        try:
            return geodesic_ratio(points, neighbours)
        except UnweaveError:
            neighbours *= 2
    # Every two points are joined: no way is longer than the straight one.
    return 1.0


class Mesh(NamedTuple):
    """Corners of a grid of ``side`` x ``side`` on a sheet, row by row, and its triangles by the corners' numbers."""

    vertices: Float64[np.ndarray, "v 3"]
    triangles: Int64[np.ndarray, "f 3"]


def sheet_mesh(places: Float[np.ndarray, "n 3"], side: int = 12) -> Mesh:
    """The quadratic sheet of the third coordinate over the first two, by least squares, over their middle 96 %.

    Heights are kept within those of the points, because a quadratic sheet runs away at its corners. Raises
    ``UnweaveError`` for fewer than 12 places, and for those that are not of three coordinates.
    """
    given = checked(places)
    if len(given) < 12 or given.shape[1] != 3 or side < 2:
        raise UnweaveError(f"places have shape {given.shape}, side {side}: give 12 places of 3 coordinates, and 2")
    weights = np.linalg.lstsq(_terms(given[:, 0], given[:, 1]), given[:, 2], rcond=None)[0]
    ends = np.percentile(given[:, :2], [2, 98], axis=0)
    x, y = (
        each.ravel() for each in np.meshgrid(*(np.linspace(low, high, side) for low, high in ends.T), indexing="ij")
    )
    height = np.clip(_terms(x, y) @ weights, given[:, 2].min(), given[:, 2].max())
    corner = np.arange(side * side).reshape(side, side)
    first, second, third, last = corner[:-1, :-1], corner[1:, :-1], corner[:-1, 1:], corner[1:, 1:]
    triangles = np.concatenate([np.stack([first, second, third], -1), np.stack([second, last, third], -1)])
    return Mesh(np.stack([x, y, height], 1), triangles.reshape(-1, 3))


def _terms(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], 1)
