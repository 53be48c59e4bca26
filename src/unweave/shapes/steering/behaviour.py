"""The behaviour manifold: the curve of answer distributions that values bring, and how far others are from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from unweave.base.errors import UnweaveError
from unweave.shapes.steering.curve import Curve
from unweave.shapes.steering.system import Layout

PER_SPAN = 150
"""Places between two values at which the curve is compared: 1050 for the 7 weekdays, as published."""


@dataclass(frozen=True)
class Behaviour:
    """A curve on the sphere of square roots of probabilities, where distances are Hellinger's.

    ``roots`` are dense samples of it, at ``theta``, with every value's own place among them.
    """

    roots: Float64[np.ndarray, "g v"]
    theta: Float64[np.ndarray, " g"]
    knots: Float64[np.ndarray, " w"]
    period: float

    def bhattacharyya(self, probabilities: Float64[np.ndarray, "... v"]) -> Float64[np.ndarray, " ..."]:
        """Distance of distributions to the nearest one of the curve: -log of the sum of sqrt(p q)."""
        shape = probabilities.shape
        roots = np.sqrt(np.clip(probabilities, 0, None)).reshape(-1, shape[-1])
        overlap = (roots @ self.roots.T).max(1)
        # A sum that rounding has taken past 1 would give a negative distance.
        return -np.log(np.clip(overlap, 1e-300, 1.0)).reshape(shape[:-1])

    def distances(self) -> Float64[np.ndarray, "w w"]:
        """Lengths of the curve between values in radians, the shorter way round."""
        steps = np.linalg.norm(np.diff(self.roots, axis=0), axis=1)
        along = np.append(0.0, np.cumsum(2 * np.arcsin(np.clip(steps / 2, 0, 1))))
        start = self.theta[0]
        theta = start + np.mod(self.knots - start, self.period) if self.period else self.knots
        place = np.interp(theta, self.theta, along)
        apart = np.abs(place[:, None] - place)
        return np.minimum(apart, along[-1] - apart) if self.period else apart


def fit_behaviour(
    probabilities: Float64[np.ndarray, "n v"], index: Int64[np.ndarray, " n"], known: Layout
) -> Behaviour:
    """The curve through each value's mean square-root distribution, in the values' known order.

    Square roots are carried to the tangent plane at the normalised mean of the values (logarithm of the sphere), joined
    there by a periodic or natural spline, and carried back. The order is the known one: answers that are all but
    certain are equally far from one another, and the order that the published code reads from their principal
    components is then chance. Raises ``UnweaveError`` for a value without answers.
    Source: "Manifold steering", arXiv 2605.05115.
    """
    count = len(known.places)
    if not np.bincount(index, minlength=count).all():
        raise UnweaveError(f"{len(probabilities)} answers do not cover {count} values: give one or more of each")
    roots = np.sqrt(np.clip(probabilities, 0, None))
    centres = np.stack([roots[index == value].mean(0) for value in range(count)])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    middle = centres.mean(0)
    middle /= np.linalg.norm(middle)
    curve = Curve(known.places, _to_tangent(centres, middle), known.period)
    theta = curve.samples(PER_SPAN)
    # A spline between nearly certain answers dips below 0, where no probability is.
    samples = np.clip(_to_sphere(curve.at(theta), middle), 0, None)
    samples /= np.linalg.norm(samples, axis=1, keepdims=True)
    return Behaviour(samples, theta, known.places, known.period)


def _to_tangent(points: np.ndarray, middle: np.ndarray) -> np.ndarray:
    cosine = np.clip(points @ middle, -1, 1)
    away = points - cosine[:, None] * middle
    size = np.linalg.norm(away, axis=1)
    scale = np.divide(np.arccos(cosine), size, out=np.zeros_like(size), where=size > 1e-12)
    return scale[:, None] * away


def _to_sphere(vectors: np.ndarray, middle: np.ndarray) -> np.ndarray:
    size = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.cos(size) * middle + np.sinc(size / np.pi) * vectors
