"""How far apart emotions and stories are: in states, in readouts, and for people."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Float32, Float64

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator
from unweave.shapes.manifolds.distances import LayerSearch, best_layer, linear
from unweave.shapes.manifolds.family import checked
from unweave.shapes.stories.held_out import columns_scale, folds
from unweave.shapes.stories.paths import Names, dealt, of_stories, rows_by_story, story_paths
from unweave.stats.permutation import exceeds_null, max_null_threshold


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
    """sqrt(2 - 2 cos), at each layer, of the directions in which states move with each two emotions' levels.

    A direction is the mean of the states, weighted with the level less its mean in the topic. Only directions from two
    topics are multiplied, over all pairs of topics, so that noise and sentences that count for several emotions add
    nothing on average. A direction that topics do not share has cos 0 with all others; a cos beyond 1, which noise can
    make, is 1. Lengths are left out because ``readout_distances`` has none. Where no direction is held the distances
    still take after those of the levels: ask ``directions_held`` first. Raises ``UnweaveError`` for fewer than three
    topics and an emotion that never varies in one. Source: after the cross-validated distance of Walther et al.,
    "Reliability of dissimilarity measures for multi-voxel pattern analysis", 2016.
    """
    scaled, given, fold = _prepared(states, levels, stories, topics)
    weights = _weights(given, fold)
    product = np.stack([weights.T @ between @ weights for between in _between(scaled, fold)])
    own = np.einsum("lcc->lc", product)
    held = (own[:, :, None] > 0) & (own[:, None] > 0)
    size = np.sqrt(np.where(held, own[:, :, None] * own[:, None], 1.0))
    cosines = np.clip(np.where(held, product / size, 0.0), -1, 1)
    cosines[:, range(len(own[0])), range(len(own[0]))] = 1
    return np.sqrt(2 - 2 * cosines)


def directions_held(
    states: Float[np.ndarray, "n l d"],
    levels: Float[np.ndarray, "n c"],
    stories: Names,
    topics: Names,
    shuffles: int = 999,
    seed: int = 0,
) -> float:
    """One-sided p that states move with the emotions along no direction that topics share, at any layer.

    The largest mean product of two topics' directions over layers, among those when each story's levels are another's.
    """
    if shuffles < 19:
        raise UnweaveError(f"{shuffles} shuffles cannot reach 0.05: run at least 19")
    scaled, given, fold = _prepared(states, levels, stories, topics)
    generator = numpy_generator(seed, "directions held")

    sets = [given, *(dealt(given, stories, generator) for _ in range(shuffles))]
    weights = np.concatenate([_weights(each, fold) for each in sets], 1, dtype=np.float32)
    shared = np.full(len(sets), -np.inf)
    for between in _between(scaled, fold):
        own = (weights * (between @ weights)).sum(0, dtype=np.float64)
        shared = np.maximum(shared, own.reshape(len(sets), -1).sum(1))
    return exceeds_null(float(shared[0]), shared[1:]).p


def concept_distances(
    states: Float[np.ndarray, "n l d"],
    readouts: Float[np.ndarray, "n c"],
    stories: Names,
    topics: Names,
    levels: Float[np.ndarray, "n c"] | None = None,
    shuffles: int = 999,
    seed: int = 0,
    held: float | None = None,
) -> LayerSearch:
    """Whether emotions that are read alike lie near each other in the states: the best layer, its null repeating it.

    ``levels`` say how strong each emotion is where the states' directions are sought: the readouts by default, or
    gold. ``threshold`` is of a null that deals the emotions, not pairs of them or sentences. ``p`` is the larger of
    that null's and of ``directions_held`` (``held``, where it is known already): any linear map of levels copies their
    geometry, so that noise has some of it too, and only states that hold the emotions at all can be said to have it.
    ``by_layer`` has every layer's r.
    """
    levels = readouts if levels is None else levels
    found = _search(state_distances(states, levels, stories, topics), readout_distances(readouts), shuffles, seed)
    if held is None:
        held = directions_held(states, levels, stories, topics, shuffles, seed)
    return found._replace(p=max(found.p, held))


def human_distances(
    distances: Float64[np.ndarray, "l w w"], coordinates: Float64[np.ndarray, "w 2"], shuffles: int = 999, seed: int = 0
) -> LayerSearch:
    """Whether distances between emotions go with those of their valence and arousal (``human.valence_arousal``).

    The null deals the emotions. Of ``state_distances``, say what ``directions_held`` says beside it.
    """
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
    """Whether stories that are read alike take like paths through the states, over pairs of stories of two topics.

    Paths are ``points`` equal steps, less the mean path of their topic, at length 1: what they have in common with
    their topic, and that short stories have rougher paths, makes no distance. The null deals the stories of each topic
    anew and repeats the choice of layer. Raises ``UnweaveError`` for fewer than 19 shuffles.
    """
    if shuffles < 19:
        raise UnweaveError(f"{shuffles} shuffles cannot reach 0.05: run at least 19")
    kinds = folds(list(rows_by_story(stories)), of_stories(topics, stories))[0]
    states = np.asarray(states)
    ours = np.stack([_apart(story_paths(states[:, at], stories, points), kinds) for at in range(states.shape[1])])
    theirs = _apart(story_paths(readouts, stories, points), kinds)
    first, second = np.nonzero(np.triu(kinds[:, None] != kinds))
    lists = ours[:, first, second]
    generator = numpy_generator(seed, "path distances")
    orders = [np.arange(len(kinds))]
    for _ in range(shuffles):
        order = np.arange(len(kinds))
        for kind in np.unique(kinds):
            order[kinds == kind] = generator.permutation(order[kinds == kind])
        orders.append(order)
    found = _unit(lists) @ _unit(np.stack([theirs[order[first], order[second]] for order in orders])).T
    best = int(found[:, 0].argmax())
    null = found[:, 1:].max(0)
    r = float(found[best, 0])
    return LayerSearch(best, r, exceeds_null(r, null).p, max_null_threshold(null), tuple(found[:, 0].tolist()))


def _apart(paths: Float64[np.ndarray, "s p k"], kinds: np.ndarray) -> Float64[np.ndarray, "s s"]:
    flat = paths.reshape(len(paths), -1).copy()
    for kind in np.unique(kinds):
        flat[kinds == kind] -= flat[kinds == kind].mean(0)
    size = np.linalg.norm(flat, axis=1, keepdims=True)
    return linear(flat / np.where(size > 1e-12, size, np.inf))


def _unit(lists: Float64[np.ndarray, "k q"]) -> Float64[np.ndarray, "k q"]:
    """Each list less its mean, at length 1; 0 where all of it is the same."""
    centred = lists - lists.mean(1, keepdims=True)
    size = np.linalg.norm(centred, axis=1, keepdims=True)
    return centred / np.where(size > 1e-9, size, np.inf)


def _prepared(
    states: Float[np.ndarray, "n l d"], levels: Float[np.ndarray, "n c"], stories: Names, topics: Names
) -> tuple[Float32[np.ndarray, "n l d"], Float64[np.ndarray, "n c"], np.ndarray]:
    states, levels = np.asarray(states, np.float32), checked(levels)
    if states.ndim != 3 or len(states) != len(levels):
        raise UnweaveError(f"states {states.shape} and levels {levels.shape}: give [n, l, d] and [n, c]")
    fold, names = folds(stories, topics)
    for each, name in enumerate(names):
        if (np.ptp(levels[fold == each], axis=0) <= 1e-9).any():
            raise UnweaveError(f"an emotion never varies in topic {name!r}: leave the topic or the emotion out")
    scales = [columns_scale(states[:, at]) for at in range(states.shape[1])]
    mean, scale = (np.stack(each) for each in zip(*scales, strict=True))
    return (states - mean) / scale, levels, fold


def _weights(levels: Float64[np.ndarray, "n c"], fold: np.ndarray) -> Float64[np.ndarray, "n c"]:
    """What each row's state counts for in its topic's direction of each emotion; 0 where the level never varies."""
    weights = np.zeros_like(levels)
    for each in np.unique(fold):
        rows = fold == each
        level = levels[rows] - levels[rows].mean(0)
        size = np.sqrt((level**2).sum(0) * rows.sum())
        weights[rows] = np.where(size > 1e-9, level / np.maximum(size, 1e-9), 0)
    return weights


def _between(scaled: Float32[np.ndarray, "n l d"], fold: np.ndarray) -> Iterator[Float32[np.ndarray, "n n"]]:
    """For each layer the inner products of every two rows of two topics, a mean over pairs of topics and columns."""
    topics = len(np.unique(fold))
    apart = (fold[:, None] != fold) / np.float32(topics * (topics - 1) * scaled.shape[2])
    for layer in range(scaled.shape[1]):
        rows = np.ascontiguousarray(scaled[:, layer])
        yield rows @ rows.T * apart


def _search(
    layers: Float64[np.ndarray, "l w w"], known: Float64[np.ndarray, "w w"], shuffles: int, seed: int
) -> LayerSearch:
    """``best_layer`` of those whose distances vary; r of the others is 0, and p is 1 where there is no other.

    States after the same mark at the end of every sentence are one point where no block has read yet.
    """
    off = np.asarray(layers)[:, *np.triu_indices(layers.shape[1], 1)]
    varied = np.flatnonzero(np.ptp(off, axis=1) > 1e-12)
    by_layer = np.zeros(len(layers))
    if not len(varied):
        return LayerSearch(0, 0.0, 1.0, 0.0, tuple(by_layer.tolist()))
    found = best_layer(layers[varied], known, shuffles, seed)
    by_layer[varied] = found.by_layer
    return found._replace(layer=int(varied[found.layer]), by_layer=tuple(by_layer.tolist()))
