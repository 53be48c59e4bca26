"""Centroids and the curves through them in three principal axes: what a page draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError
from unweave.shapes.concepts.concept import Concept
from unweave.shapes.concepts.states import ConceptStates
from unweave.shapes.manifolds.family import families, fit, principal
from unweave.shapes.manifolds.fitted import Fitted

AXES = 3
STEPS = 72


@dataclass(frozen=True)
class Curve:
    """Points along a family's curve; the edges of a tree are its parts."""

    family: str
    part: tuple[int, ...]
    places: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class Picture:
    """One depth of a concept in its first three principal axes, from the mean of the centroids."""

    layer: int
    explained: tuple[float, ...]
    """Share of the centroids' variance along each axis."""
    centroids: tuple[tuple[float, float, float], ...]
    curves: tuple[Curve, ...]


def curve_families(concept: Concept, best: str) -> tuple[str, ...]:
    """The curves to draw of a concept: the ``best`` of one dimension, and those that what is known of it suggests."""
    known = concept.coordinates()
    suggested: tuple[str, ...] = ()
    if concept.angles() is not None:
        suggested = ("closed spline", "circle")
    elif isinstance(known, np.ndarray) and known.ndim == 1:
        suggested = ("natural spline",)
    elif known is not None and not isinstance(known, np.ndarray):
        suggested = ("tree",)
    tried = families()
    one = (best,) if best in tried and tried[best].dimension == 1 else ()
    return tuple(dict.fromkeys((*one, *suggested)))


def picture(states: ConceptStates, templates: Sequence[int], layer: int, names: Sequence[str]) -> Picture:
    """Centroids over ``templates`` at one depth, and the curves ``names`` through them.

    A curve is fitted in all columns and then drawn in three; one that cannot be fitted is left out. Raises
    ``UnweaveError`` for a depth that was not read.
    """
    points = states.centroids(templates)[states.place(layer)]
    mean, axes, scores = principal(points, AXES)
    total = float(((points - mean) ** 2).sum()) or 1.0
    known = states.concept.coordinates()
    curves = []
    for name in names:
        try:
            fitted = fit(name, points, known)
        except UnweaveError:
            continue
        part, theta = _along(fitted)
        curves.append(Curve(name, tuple(map(int, part)), _triples((fitted.at(theta) - mean) @ axes.T)))
    explained = np.zeros(AXES)
    explained[: scores.shape[1]] = (scores**2).sum(0) / total
    return Picture(layer, tuple(map(float, explained)), _triples(scores), tuple(curves))


def _along(fitted: Fitted) -> tuple[np.ndarray, np.ndarray]:
    """Parts and places along a curve: all of a closed one, of an open one from its first knot to its last."""
    if fitted.family == "tree":
        edges = int(fitted.parameters["edges"])
        ends = np.arange(edges)[:, None] + np.array([0.0, 1 - 1e-9])
        return np.repeat(np.arange(edges), 2), ends.reshape(-1)
    period = fitted.periods[0]
    low, high = (0.0, period) if period else (float(fitted.knots.min()), float(fitted.knots.max()))
    return np.zeros(STEPS, np.int64), np.linspace(low, high, STEPS)


def _triples(rows: Float64[np.ndarray, "n k"]) -> tuple[tuple[float, float, float], ...]:
    filled = np.zeros((len(rows), AXES))
    filled[:, : rows.shape[1]] = rows
    return tuple((float(x), float(y), float(z)) for x, y, z in filled)
