"""Forty-eight synthetic manifolds of eight kinds with known truth, alone with labels or a few of them superposed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator

TURN = 2 * math.pi
WIDTH = 128
PER_KIND = 6
ACTIVE = 4
CURVE_VALUES = 24
SURFACE_SIDES = (8, 5)
POINTS = 10

Draw = Callable[[Float64[np.ndarray, "n k"]], Float64[np.ndarray, "n m"]]


@dataclass(frozen=True)
class Specimen:
    """One manifold: ``shape`` takes shares [n, k] in [0, 1) to points of mean square 1, ``frame`` puts them into d."""

    kind: str
    number: int
    dimension: int
    right: str
    """The family that ``choose`` should name; see ``KINDS``."""
    shape: Draw
    frame: Float64[np.ndarray, "m d"]
    closed: tuple[bool, ...]
    """Axes that come round."""

    def at(self, shares: Float64[np.ndarray, "n k"]) -> Float64[np.ndarray, "n d"]:
        return self.shape(shares) @ self.frame


class Labelled(NamedTuple):
    """Means of noisy points with the same label, and the label: [w] of a curve, [w, 2] of a surface."""

    centroids: Float64[np.ndarray, "w d"]
    values: Float64[np.ndarray, "w ..."]


class Superposed(NamedTuple):
    """Sums of a few manifolds' points: which were active, and what each of them put in."""

    points: Float32[np.ndarray, "n d"]
    active: Bool[np.ndarray, "n z"]
    parts: Float32[np.ndarray, "z n m"]
    """Coordinates of each manifold's own point in its frame, 0 where it was not active; m is 3 for all."""


def zoo(seed: int = 0, width: int = WIDTH, per_kind: int = PER_KIND) -> list[Specimen]:
    """``per_kind`` manifolds of each kind, whose proportions and random orthonormal frames differ.

    Source of the kinds and their number: "Do sparse autoencoders capture concept manifolds?" (arXiv 2604.28119).
    Proportions are this project's. Raises ``UnweaveError`` for a width below 3.
    """
    if width < 3 or per_kind < 1:
        raise UnweaveError(f"width {width} and {per_kind} of a kind: 3 and 1 at least are needed")
    found = []
    for kind, (dimension, right, closed, make) in KINDS.items():
        for number in range(per_kind):
            generator = numpy_generator(seed, "zoo", kind, number)
            raw = make(generator)
            shares = numpy_generator(seed, "zoo", kind, number, "scale").random((4096, dimension))
            sample = raw(shares)
            inside = sample.shape[1]
            frame = np.linalg.qr(generator.standard_normal((width, inside)))[0].T
            found.append(
                Specimen(kind, number, dimension, right, _scaled(raw, sample), np.ascontiguousarray(frame), closed)
            )
    return found


def labelled(specimen: Specimen, noise: float, seed: int = 0, points: int = POINTS) -> Labelled:
    """Centroids of ``points`` points at each of 24 labels of a curve, or 8 x 5 of a surface.

    Every column of every point has Gaussian noise of deviation ``noise``, where the manifold's own points are 1 from
    their mean (root mean square). Raises ``UnweaveError`` for a negative noise or no points.
    """
    if noise < 0 or points < 1:
        raise UnweaveError(f"noise {noise} and {points} points a label: give 0 or more, and 1 or more")
    sides = (CURVE_VALUES,) if specimen.dimension == 1 else SURFACE_SIDES
    axes = [
        np.arange(side) / side if closed else (np.arange(side) + 0.5) / side
        for side, closed in zip(sides, specimen.closed, strict=True)
    ]
    shares = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, specimen.dimension)
    generator = numpy_generator(seed, "zoo labelled", specimen.kind, specimen.number)
    drawn = generator.standard_normal((points, len(shares), specimen.frame.shape[1])).mean(0)
    return Labelled(specimen.at(shares) + noise * drawn, shares[:, 0] if specimen.dimension == 1 else shares)


def superposed(specimens: list[Specimen], count: int, noise: float, seed: int = 0, active: int = ACTIVE) -> Superposed:
    """``count`` sums of the points of ``active`` manifolds drawn at random, with noise of that deviation a column."""
    if not 1 <= active <= len(specimens) or count < 1 or noise < 0:
        raise UnweaveError(
            f"{active} active of {len(specimens)} in {count} sums at noise {noise}: nothing can be drawn"
        )
    generator = numpy_generator(seed, "zoo superposed")
    width = specimens[0].frame.shape[1]
    order = generator.random((count, len(specimens))).argpartition(active - 1, axis=1)[:, :active]
    on = np.zeros((count, len(specimens)), bool)
    np.put_along_axis(on, order, True, axis=1)
    points = (noise * generator.standard_normal((count, width), np.float32)).astype(np.float32)
    parts = np.zeros((len(specimens), count, 3), np.float32)
    for index, specimen in enumerate(specimens):
        rows = np.flatnonzero(on[:, index])
        place = specimen.shape(generator.random((len(rows), specimen.dimension))).astype(np.float32)
        parts[index, rows, : place.shape[1]] = place
        points[rows] += place @ specimen.frame.astype(np.float32)
    return Superposed(points, on, parts)


def restricted_r2(codes: Float32[np.ndarray, "n g"], part: Float32[np.ndarray, "n m"]) -> float:
    """How much of one manifold's part the codes of some units hold: held-out R^2 of an affine least-squares map.

    It is over the rows where the manifold was active; the map is fitted on the first half of them and scored on the
    second. Raises ``UnweaveError`` for fewer active rows than four times the units.
    """
    rows = np.flatnonzero((part != 0).any(1))
    if len(rows) < 4 * (codes.shape[1] + 1):
        raise UnweaveError(f"active in {len(rows)} rows, with {codes.shape[1]} units: draw more rows")
    system = np.concatenate([np.ones((len(rows), 1)), codes[rows]], 1)
    truth, middle = part[rows].astype(np.float64), len(rows) // 2
    weights = np.linalg.lstsq(system[:middle], truth[:middle], rcond=None)[0]
    missed = truth[middle:] - system[middle:] @ weights
    return 1 - float((missed**2).sum() / ((truth[middle:] - truth[:middle].mean(0)) ** 2).sum())


def _scaled(raw: Draw, sample: Float64[np.ndarray, "n m"]) -> Draw:
    mean = sample.mean(0)
    size = math.sqrt(float(((sample - mean) ** 2).sum(1).mean()))
    return lambda shares: (raw(shares) - mean) / size


def _circle(generator: np.random.Generator) -> Draw:
    del generator
    return lambda shares: np.stack([np.cos(TURN * shares[:, 0]), np.sin(TURN * shares[:, 0])], 1)


def _sphere(generator: np.random.Generator) -> Draw:
    del generator

    def draw(shares: np.ndarray) -> np.ndarray:
        height = 2 * shares[:, 1] - 1
        level = np.sqrt(np.maximum(1 - height**2, 0))
        angle = TURN * shares[:, 0]
        return np.stack([level * np.cos(angle), level * np.sin(angle), height], 1)

    return draw


def _torus(generator: np.random.Generator) -> Draw:
    tube = generator.uniform(0.3, 0.6)

    def draw(shares: np.ndarray) -> np.ndarray:
        around, across = TURN * shares.T
        reach = 1 + tube * np.cos(across)
        return np.stack([reach * np.cos(around), reach * np.sin(around), tube * np.sin(across)], 1)

    return draw


def _moebius(generator: np.random.Generator) -> Draw:
    half = generator.uniform(0.3, 0.5)

    def draw(shares: np.ndarray) -> np.ndarray:
        angle, across = TURN * shares[:, 0], half * (2 * shares[:, 1] - 1)
        reach = 1 + across * np.cos(angle / 2)
        return np.stack([reach * np.cos(angle), reach * np.sin(angle), across * np.sin(angle / 2)], 1)

    return draw


def _swiss_roll(generator: np.random.Generator) -> Draw:
    turns, width = generator.uniform(1.0, 1.5), generator.uniform(0.8, 1.6)

    def draw(shares: np.ndarray) -> np.ndarray:
        angle = math.pi + TURN * turns * shares[:, 0]
        reach = angle / (math.pi + TURN * turns)
        return np.stack([reach * np.cos(angle), reach * np.sin(angle), width * shares[:, 1]], 1)

    return draw


def _helix(generator: np.random.Generator) -> Draw:
    turns, height = generator.uniform(1.5, 3.0), generator.uniform(1.5, 4.0)

    def draw(shares: np.ndarray) -> np.ndarray:
        angle = TURN * turns * shares[:, 0]
        return np.stack([np.cos(angle), np.sin(angle), height * shares[:, 0]], 1)

    return draw


def _disk(generator: np.random.Generator) -> Draw:
    del generator

    def draw(shares: np.ndarray) -> np.ndarray:
        reach, angle = np.sqrt(shares[:, 1]), TURN * shares[:, 0]
        return np.stack([reach * np.cos(angle), reach * np.sin(angle)], 1)

    return draw


def _segment(generator: np.random.Generator) -> Draw:
    del generator
    return lambda shares: shares


KINDS: dict[str, tuple[int, str, tuple[bool, ...], Callable[[np.random.Generator], Draw]]] = {
    "circle": (1, "circle", (True,), _circle),
    "sphere": (2, "sphere", (True, False), _sphere),
    "torus": (2, "torus", (True, True), _torus),
    "Moebius band": (2, "flat 3", (True, False), _moebius),
    "Swiss roll": (2, "flat 3", (False, False), _swiss_roll),
    "helix": (1, "helix", (False,), _helix),
    "disk": (2, "plane", (True, False), _disk),
    "segment": (1, "line", (False,), _segment),
}
"""Of each kind: its dimension, the right family, axes that come round, and how one is made.

Right is told by the embedding, before anything is chosen: of all families and flats, the one of the fewest dimensions,
then parameters, in which the whole manifold lies, points that were not fitted included (a test fits them all). A disk
lies in a plane and a segment on a line. No surface here is a Moebius band or a Swiss roll, and both fill the three
dimensions that they are drawn in: ``flat 3`` holds them, and naming a torus or a spline is wrong.
"""
