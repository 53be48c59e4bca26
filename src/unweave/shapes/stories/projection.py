"""A few coordinates of states for a picture, and how far the picture's neighbours are neighbours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Float64

from unweave.base.errors import UnweaveError
from unweave.base.seeds import derive, numpy_generator
from unweave.shapes.manifolds.distances import linear
from unweave.shapes.manifolds.family import checked, principal
from unweave.shapes.stories.paths import Names

Way = Literal["pca", "umap"]


@dataclass(frozen=True)
class Projection:
    """A map from states [n, d] to a few coordinates, fitted to some rows and applied to any."""

    way: Way
    axes: tuple[str, ...]
    """A caption of each coordinate, with its share of the variance where there is one."""
    explained: tuple[float, ...]
    """Shares of the fitted rows' variance; empty for UMAP, whose coordinates have none."""
    place: Callable[[Float64[np.ndarray, "n d"]], Float64[np.ndarray, "n k"]]
    width: int

    def apply(self, states: Float[np.ndarray, "n d"]) -> Float64[np.ndarray, "n k"]:
        """Coordinates of states of the width that was fitted."""
        given = checked(states)
        if given.shape[1] != self.width:
            raise UnweaveError(f"states have width {given.shape[1]}: this projection takes {self.width}")
        return np.asarray(self.place(given), np.float64)


def fit_projection(
    states: Float[np.ndarray, "n d"], dimensions: int = 3, way: Way = "pca", seed: int = 0, neighbours: int = 15
) -> Projection:
    """Principal axes, or UMAP, of the given rows. The largest entry of each principal axis is positive.

    Raises ``UnweaveError`` for fewer rows or columns than dimensions, and where UMAP is asked for and not installed.
    Source of UMAP: McInnes, Healy and Melville, 2018 (umap-learn).
    """
    given = checked(states)
    count, width = given.shape
    if not 1 <= dimensions <= min(count - 1, width):
        raise UnweaveError(f"{dimensions} dimensions of {count} rows of width {width}: give at least one more row")
    if way == "umap":
        return _umap(given, dimensions, seed, neighbours)
    if way != "pca":
        raise UnweaveError(f"no projection is named {way!r}: choose pca or umap")
    mean, axes, scores = principal(given, dimensions)
    axes = axes * np.sign(axes[np.arange(dimensions), np.abs(axes).argmax(1)])[:, None]
    total = ((given - mean) ** 2).sum() or 1.0
    shares = tuple(float(each) for each in (scores**2).sum(0) / total)
    captions = tuple(f"PC{number} ({share:.0%})" for number, share in enumerate(shares, 1))
    return Projection("pca", captions, shares, lambda rows: (rows - mean) @ axes.T, width)


def _umap(given: Float64[np.ndarray, "n d"], dimensions: int, seed: int, neighbours: int) -> Projection:
    try:
        import umap  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UnweaveError('UMAP is not installed: `pip install "unweave[umap]"`, or choose pca') from error
    if not 2 <= neighbours < len(given):
        raise UnweaveError(f"{neighbours} neighbours among {len(given)} rows: give 2 or more, and fewer than rows")
    # One thread: with more, umap-learn's result depends on their order.
    fitted = umap.UMAP(
        n_neighbors=neighbours, n_components=dimensions, random_state=derive(seed, "umap") % 2**32, n_jobs=1
    ).fit(given)
    captions = tuple(f"UMAP {number}" for number in range(1, dimensions + 1))

    def place(rows: np.ndarray) -> np.ndarray:
        # Placing fitted rows anew would move them.
        return fitted.embedding_ if np.array_equal(rows, given) else fitted.transform(rows)

    return Projection("umap", captions, (), place, given.shape[1])


class Preservation(NamedTuple):
    """How far neighbours in ``low`` are neighbours in ``high`` (trustworthiness) and the reverse (continuity)."""

    trustworthiness: float
    continuity: float
    chance: float
    """The mean trustworthiness when the places are dealt to the rows anew: near 1/2, and not 0."""
    random_plane: float
    """The mean trustworthiness of random flat projections to as many dimensions: what a projection has to beat."""


def neighbourhood_preservation(
    high: Float[np.ndarray, "n d"],
    low: Float[np.ndarray, "n k"],
    neighbours: int = 10,
    stories: Names | None = None,
    draws: int = 20,
    seed: int = 0,
) -> Preservation:
    """Trustworthiness and continuity of a projection, 1 where every neighbourhood is kept.

    With ``stories``, sentences of a row's own story are not counted as its neighbours: that they are near is what any
    projection keeps. Raises ``UnweaveError`` for rows that do not agree and more than half of the rows as neighbours.
    Source: Venna and Kaski, "Neighborhood preservation in nonlinear projection methods", 2001.
    """
    high, low = checked(high), checked(low)
    count = len(high)
    if len(low) != count or (stories is not None and len(stories) != count):
        raise UnweaveError(f"{count} states, {len(low)} places: give one place, and one story, for each state")
    names = np.arange(count) if stories is None else np.asarray(stories)
    other = names[:, None] != names
    least = int(other.sum(1).min())
    if not 1 <= neighbours < least / 2:
        raise UnweaveError(f"{neighbours} neighbours of {least} rows outside the own story: give fewer than half")
    above, below = _ranks(high, other), _ranks(low, other)
    generator = numpy_generator(seed, "neighbourhoods")
    orders = [generator.permutation(count) for _ in range(draws)]
    dealt = [_trust(above, _ranks(low[order], other), other, neighbours) for order in orders]
    planes = [high @ generator.standard_normal((high.shape[1], low.shape[1])) for _ in range(draws)]
    flat = [_trust(above, _ranks(plane, other), other, neighbours) for plane in planes]
    trust, keep = (_trust(*pair, other, neighbours) for pair in ((above, below), (below, above)))
    return Preservation(trust, keep, float(np.mean(dealt)), float(np.mean(flat)))


def _ranks(points: Float64[np.ndarray, "n d"], other: np.ndarray) -> np.ndarray:
    """Ranks [n, n] from 1 of each other row by its distance; rows that do not count come last."""
    apart = np.where(other, linear(points), np.inf)
    ranks = np.empty(apart.shape, np.int64)
    np.put_along_axis(ranks, apart.argsort(1, kind="stable"), np.arange(1, len(apart) + 1)[None], 1)
    return ranks


def _trust(above: np.ndarray, below: np.ndarray, other: np.ndarray, neighbours: int) -> float:
    far = np.where((below <= neighbours) & other, np.maximum(above - neighbours, 0), 0).sum(1)
    worst = neighbours * (2 * other.sum(1) - 3 * neighbours + 1) / 2
    return float(1 - (far / worst).mean())
