"""Where sentences lie among each other, and emotions among emotions: in states, in readouts, and for people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Float64

from unweave.base.errors import UnweaveError
from unweave.base.seeds import derive, numpy_generator
from unweave.shapes.manifolds.distances import LayerSearch, best_layer, linear
from unweave.shapes.manifolds.family import checked, principal
from unweave.shapes.stories.held_out import folds
from unweave.shapes.stories.paths import Names, of_stories, story_paths

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
        import umap
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


def readout_distances(readouts: Float[np.ndarray, "n c"]) -> Float64[np.ndarray, "c c"]:
    """How far apart emotions are read: sqrt(2 - 2 r) of every two emotions' values over the sentences.

    Raises ``UnweaveError`` for an emotion whose value is the same everywhere.
    """
    given = checked(readouts)
    deviation = given.std(0)
    level = int((deviation <= 1e-9).sum())
    if len(given) < 3 or level:
        raise UnweaveError(f"{level} emotions are read alike in all {len(given)} sentences: leave them out")
    return np.sqrt(np.clip(2 - 2 * np.corrcoef(given.T), 0, None))


def state_distances(
    states: Float[np.ndarray, "n l d"], levels: Float[np.ndarray, "n c"], stories: Names, topics: Names
) -> Float64[np.ndarray, "l c c"]:
    """Squared distances, at each layer, between the directions in which states move with each emotion's level.

    A direction is the mean of the states, weighted with the level less its mean and divided by the level's spread.
    Differences of two emotions' directions from two topics are multiplied, over all pairs of topics: noise and
    sentences that count for several emotions add nothing on average, and distances can come out below 0. Directions
    from the same sentences would copy the levels' own geometry from any states, random ones too. Source: the
    cross-validated distance of Walther et al., "Reliability of dissimilarity measures for multi-voxel pattern
    analysis", 2016. Raises ``UnweaveError`` for fewer than three topics and an emotion that never varies in one.
    """
    states, levels = np.asarray(states, np.float64), checked(levels)
    if states.ndim != 3 or len(states) != len(levels):
        raise UnweaveError(f"states {states.shape} and levels {levels.shape}: give [n, l, d] and [n, c]")
    fold, names = folds(stories, topics)
    deviation = states.std(0)
    scaled = (states - states.mean(0)) / np.where(deviation > 1e-9 * deviation.max(), deviation, np.inf)
    directions = []
    for each in range(len(names)):
        rows = fold == each
        level = levels[rows] - levels[rows].mean(0)
        spread = (level**2).sum(0)
        if (spread <= 1e-12).any():
            raise UnweaveError(f"an emotion never varies in topic {names[each]!r}: leave the topic or the emotion out")
        directions.append(np.einsum("nc,nld->lcd", level / np.sqrt(spread * rows.sum()), scaled[rows]))
    stacked = np.stack(directions)
    total = stacked.sum(0)
    product = np.einsum("lcd,led->lce", total, total) - np.einsum("tlcd,tled->lce", stacked, stacked)
    own = np.einsum("lcc->lc", product)
    pairs = len(names) * (len(names) - 1) * states.shape[2]
    return (own[:, :, None] + own[:, None] - product - product.transpose(0, 2, 1)) / pairs


def concept_distances(
    states: Float[np.ndarray, "n l d"],
    readouts: Float[np.ndarray, "n c"],
    stories: Names,
    topics: Names,
    levels: Float[np.ndarray, "n c"] | None = None,
    shuffles: int = 999,
    seed: int = 0,
) -> LayerSearch:
    """Whether emotions that are read alike lie near each other in the states: the best layer, its null repeating it.

    ``levels`` say how strong each emotion is where the states' directions are sought: the readouts by default, or
    gold. The test deals the emotions, not pairs of them or sentences. ``by_layer`` of the result has every layer's r.
    """
    apart = state_distances(states, readouts if levels is None else levels, stories, topics)
    return _search(apart, readout_distances(readouts) ** 2, shuffles, seed)


def human_distances(
    distances: Float64[np.ndarray, "l w w"], coordinates: Float64[np.ndarray, "w 2"], shuffles: int = 999, seed: int = 0
) -> LayerSearch:
    """Whether distances between emotions go with those of their valence and arousal (``human.valence_arousal``)."""
    return _search(distances, linear(coordinates), shuffles, seed)


def path_distances(
    states: Float[np.ndarray, "n l d"],
    readouts: Float[np.ndarray, "n c"],
    stories: Names,
    topics: Names,
    points: int = 6,
    shuffles: int = 999,
    seed: int = 0,
) -> LayerSearch:
    """Whether stories that are read alike take like paths through the states; the test deals stories.

    Paths are compared at ``points`` equal steps, after the mean path of their topic is taken out, so that shared words
    of a topic make no distance.
    """
    kinds = np.asarray(of_stories(topics, stories))
    states = np.asarray(states)
    ours = [_apart(story_paths(states[:, layer], stories, points), kinds) for layer in range(states.shape[1])]
    return _search(np.stack(ours), _apart(story_paths(readouts, stories, points), kinds), shuffles, seed)


def _apart(paths: Float64[np.ndarray, "s p k"], kinds: np.ndarray) -> Float64[np.ndarray, "s s"]:
    flat = paths.reshape(len(paths), -1).copy()
    for kind in np.unique(kinds):
        flat[kinds == kind] -= flat[kinds == kind].mean(0)
    return linear(flat)


def _search(
    layers: Float64[np.ndarray, "l w w"], known: Float64[np.ndarray, "w w"], shuffles: int, seed: int
) -> LayerSearch:
    """``best_layer`` of those that vary; r of the others is 0.

    States after the same mark at the end of every sentence are one point where no block has read yet.
    """
    varied = np.flatnonzero(np.ptp(layers, axis=(1, 2)) > 1e-12)
    if not len(varied):
        raise UnweaveError(f"states do not vary at any of {len(layers)} layers: there is no geometry to compare")
    found = best_layer(layers[varied], known, shuffles, seed)
    by_layer = np.zeros(len(layers))
    by_layer[varied] = found.by_layer
    return found._replace(layer=int(varied[found.layer]), by_layer=tuple(by_layer.tolist()))
