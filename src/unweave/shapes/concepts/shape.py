"""What shape a concept's values have in a target: every score with its null, and the family that fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator
from unweave.shapes.concepts.label_free import LABEL_FREE, label_free
from unweave.shapes.concepts.rings import Ring, compare_with_circle, find_ring
from unweave.shapes.concepts.states import ConceptStates, TemplateSplit, split_templates
from unweave.shapes.manifolds.choice import LEAST_VALUES, LEAST_WIDTH, choose
from unweave.shapes.manifolds.distances import HeldOutLayer, centroid_distances, distance_correlation, held_out_layer
from unweave.shapes.manifolds.family import chosen as chosen_values

DISTANCE, TOKENS = "distance r", "distance r, last token alone"
RING, RING_R, ADJACENCY = "ring score", "ring r", "ring neighbours"
MEANINGS = {
    DISTANCE: "Pearson's r of centroid distances with the known ones; the null chooses the layer again",
    TOKENS: "the same where the last token enters the first block: the baseline of what the other blocks add",
    RING: "how like a ring the values are in the plane of two principal axes; no order is used",
    RING_R: "r of ways round the middle of that plane, found without labels of order, with ways round the known circle",
    ADJACENCY: "share of known neighbours that are neighbours round that middle",
    **LABEL_FREE,
}
"""What each score says, by its name."""


@dataclass(frozen=True)
class ShapeSettings:
    """How often chance is asked, and of how many values families are chosen."""

    shuffles: int = 999
    """Orders of the values, for r of distances and of the ring."""
    surrogates: int = 99
    """Of each label-free score."""
    most_values: int = 48
    """Values of which the families are chosen; of more, this many are drawn."""

    def __post_init__(self) -> None:
        if self.shuffles < 19 or self.surrogates < 19 or self.most_values < LEAST_VALUES:
            raise UnweaveError(
                f"{self.shuffles} shuffles, {self.surrogates} surrogates, {self.most_values} values: 19, 19 and "
                f"{LEAST_VALUES} are needed at least"
            )


@dataclass(frozen=True)
class Score:
    """A number, what 5 % of its null reach, and its one-sided p; the bound is missing where a test gives only p."""

    name: str
    layer: int
    value: float
    null: float | None
    p: float


@dataclass(frozen=True)
class LayerScores:
    """r with the known distances on the templates that choose and on those that test, and the test ring score."""

    layer: int
    chosen_by: float | None
    r: float | None
    ring: float


@dataclass(frozen=True)
class FamilyError:
    """Held-out error of a family, a flat or clusters; p that it is no better than the flat of its dimension."""

    family: str
    dimension: int
    error: float
    p: float | None
    chosen: bool


@dataclass(frozen=True)
class ConceptShape:
    """One concept's shape, by one split of its templates."""

    concept: str
    seed: int
    layer: int
    """Depth that was chosen by the known distances, or where none are known by the ring score."""
    ring_layer: int
    """Depth that was chosen by the ring score."""
    scores: tuple[Score, ...]
    layers: tuple[LayerScores, ...]
    families: tuple[FamilyError, ...]
    refused: tuple[str, ...]
    """Families and scores that could not be had, and why."""
    chosen: str
    """The family of ``manifolds.choice``; empty where there are too few values or columns to choose by."""
    curve: str
    """The best family of one dimension, which is what to draw and to steer along."""

    def score(self, name: str) -> Score | None:
        return next((each for each in self.scores if each.name == name), None)


def concept_shape(states: ConceptStates, seed: int = 0, settings: ShapeSettings | None = None) -> ConceptShape:
    """All scores of a concept by the split of its templates that ``seed`` draws.

    The layer is chosen on one third of the templates and r measured on another, the null doing both; ring axes are of
    the remaining third. Label-free scores and families are of the centroids of the two thirds that did not choose.
    Raises ``UnweaveError`` for values that all have one state.
    """
    settings = settings or ShapeSettings()
    concept = states.concept
    split = split_templates(len(concept.templates), seed, concept.name)
    fit, choosing, test = (states.centroids(each) for each in split)
    ring = find_ring(fit, choosing, test, settings.surrogates, seed)
    held = _held_out(states, choosing, test, settings, seed)
    at = ring.layer if held is None else held.layer
    layer, ring_layer = states.layers[at], states.layers[ring.layer]
    scores = [] if held is None else [Score(DISTANCE, layer, held.r, held.threshold, held.p)]
    scores += _of_tokens(states, test, settings, seed)
    scores.append(Score(RING, ring_layer, ring.score, ring.threshold, ring.p))
    scores += _ring_order(states, ring, ring_layer, settings, seed)
    points = states.centroids(shown_templates(split))[at]
    refused: list[str] = []
    scores += [
        Score(name, layer, *found)
        for name, found in label_free(points, _order(states), settings.surrogates, seed, refused)
    ]
    families, chosen, curve = _families(states, points, settings, seed, refused)
    layers = tuple(
        LayerScores(
            depth,
            None if held is None else _number(held.chosen_by[place]),
            None if held is None else _number(held.by_layer[place]),
            float(ring.by_layer[place]),
        )
        for place, depth in enumerate(states.layers)
    )
    return ConceptShape(
        concept.name, seed, layer, ring_layer, tuple(scores), layers, families, tuple(refused), chosen, curve
    )


def shown_templates(split: TemplateSplit) -> tuple[int, ...]:
    """The templates that did not choose the layer: what shapes are fitted to and drawn of."""
    return (*split.fit, *split.test)


def _held_out(
    states: ConceptStates, choosing: np.ndarray, test: np.ndarray, settings: ShapeSettings, seed: int
) -> HeldOutLayer | None:
    """The layer by its index into all layers; r is not a number where all values have one state."""
    known = states.concept.distances()
    if known is None:
        return None
    distances = [np.stack([centroid_distances(each) for each in layers]) for layers in (choosing, test)]
    # Labels that end in one token have one state where it enters the first block.
    pairs = np.triu_indices(len(known), 1)
    spread = np.min([np.ptp(each[:, *pairs], axis=1) / (each.max((1, 2)) + 1e-300) for each in distances], axis=0)
    told = np.flatnonzero(spread > 1e-9)
    if not len(told):
        raise UnweaveError(f"all values of {states.concept.name!r} have one state at every depth that was read")
    found = held_out_layer(distances[0][told], distances[1][told], known, settings.shuffles, seed)
    chosen_by, by_layer = (np.full(len(states.layers), np.nan) for _ in range(2))
    chosen_by[told], by_layer[told] = found.chosen_by, found.by_layer
    return found._replace(layer=int(told[found.layer]), chosen_by=tuple(chosen_by), by_layer=tuple(by_layer))


def _of_tokens(
    states: ConceptStates, test: Float64[np.ndarray, "l w d"], settings: ShapeSettings, seed: int
) -> Iterator[Score]:
    known = states.concept.distances()
    if known is None or 0 not in states.layers:
        return
    try:
        distances = centroid_distances(test[states.place(0)])
        found = distance_correlation(distances, known, settings.shuffles, seed)
    except UnweaveError:
        # Labels that all end in one token have no distances there.
        return
    yield Score(TOKENS, 0, found.r, found.threshold, found.p)


def _ring_order(states: ConceptStates, ring: Ring, layer: int, settings: ShapeSettings, seed: int) -> Iterator[Score]:
    known = states.concept.angles()
    if known is None:
        return
    found = compare_with_circle(ring.angles, known, settings.shuffles, seed)
    yield Score(RING_R, layer, found.r, found.threshold, found.p)
    yield Score(ADJACENCY, layer, found.adjacency, found.adjacency_threshold, found.adjacency_p)


def _families(
    states: ConceptStates, points: Float64[np.ndarray, "w d"], settings: ShapeSettings, seed: int, refused: list[str]
) -> tuple[tuple[FamilyError, ...], str, str]:
    if len(points) < LEAST_VALUES or points.shape[1] < LEAST_WIDTH:
        refused.append(f"families: {len(points)} values of width {points.shape[1]} are too few to choose by")
        return (), "", "line"
    known = states.concept.coordinates()
    kept = np.arange(len(points))
    if len(kept) > settings.most_values:
        generator = numpy_generator(seed, "concept families", states.concept.name)
        kept = np.sort(generator.choice(kept, settings.most_values, replace=False))
    found = choose(points[kept], chosen_values(known, kept), states.concept.families or None, seed=seed)
    refused += [f"{name}: {why}" for name, why in found.refused.items()]
    rows = tuple(
        FamilyError(each.name, each.dimension, each.error, each.p, each.name == found.name) for each in found.candidates
    )
    return rows, found.name, found.of_dimension(1)


def _order(states: ConceptStates) -> Int64[np.ndarray, " w"] | None:
    """The values in their known order, or none where they have no such."""
    known = states.concept.coordinates()
    return np.argsort(known, kind="stable") if isinstance(known, np.ndarray) and known.ndim == 1 else None


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
