"""Circle, sphere and ring torus, nearest to the centroids in the space of their first principal axes."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError
from unweave.shapes.manifolds.family import Values, family, flat_freedom, principal
from unweave.shapes.manifolds.fitted import Fitted

TURN = 2 * math.pi
_ROUNDS = 30


@family("circle", dimension=1, least=4, least_width=2)
def circle(centroids: Float64[np.ndarray, "w d"], values: Values = None) -> Fitted:
    """The circle nearest to the centroids in the plane of their first two principal axes; theta is the angle in it."""
    del values
    mean, axes, scores = principal(centroids, 2)
    centre, radius = nearest_sphere(scores)
    knots = np.mod(np.arctan2(*(scores - centre).T[::-1]), TURN)[:, None]
    grid = np.linspace(0, TURN, 64, endpoint=False)[:, None]
    return Fitted(
        "circle", 1, flat_freedom(2, centroids.shape[1]) + 3, mean + centre @ axes, axes * radius,
        lambda theta: np.concatenate([np.cos(theta), np.sin(theta)], 1),
        np.concatenate([grid, knots]), *_ends(1), (TURN,), knots, {"radius": radius},
    )  # fmt: skip


@family("sphere", dimension=2, least=6, least_width=3)
def sphere(centroids: Float64[np.ndarray, "w d"], values: Values = None) -> Fitted:
    """The sphere nearest to the centroids in the space of three principal axes; theta is longitude and latitude."""
    del values
    mean, axes, scores = principal(centroids, 3)
    centre, radius = nearest_sphere(scores)
    offset = scores - centre
    longitude = np.mod(np.arctan2(offset[:, 1], offset[:, 0]), TURN)
    knots = np.stack([longitude, np.arctan2(offset[:, 2], np.hypot(offset[:, 0], offset[:, 1]))], 1)
    grid = _grid(np.linspace(0, TURN, 20, endpoint=False), np.linspace(-1.4, 1.4, 9))
    low, high = _ends(2)
    low[0, 1], high[0, 1] = -math.pi / 2, math.pi / 2

    def local(theta: np.ndarray) -> np.ndarray:
        level = np.cos(theta[:, 1])
        return np.stack([level * np.cos(theta[:, 0]), level * np.sin(theta[:, 0]), np.sin(theta[:, 1])], 1)

    return Fitted(
        "sphere", 2, flat_freedom(3, centroids.shape[1]) + 4, mean + centre @ axes, axes * radius, local,
        np.concatenate([grid, knots]), low, high, (TURN, 0.0), knots, {"radius": radius},
    )  # fmt: skip


@family("torus", dimension=2, least=9, least_width=3)
def torus(centroids: Float64[np.ndarray, "w d"], values: Values = None) -> Fitted:
    """The ring torus nearest to the centroids in the space of three principal axes; theta is (around, across).

    A product of two circles in planes of their own, which needs four dimensions, is another surface.
    """
    from scipy.optimize import least_squares

    del values
    mean, axes, scores = principal(centroids, 3)
    scale = float(np.sqrt((scores**2).sum(1).mean())) or 1.0
    points = scores / scale

    def rest(shape: np.ndarray) -> np.ndarray:
        offset = (points - shape[:3]) @ _turned(shape[3], shape[4]).T
        return np.hypot(np.hypot(offset[:, 0], offset[:, 1]) - shape[5], offset[:, 2]) - shape[6]

    around = np.hypot(points[:, 0], points[:, 1])
    tube = math.sqrt(2) * float(points[:, 2].std())
    start = np.array([0.0, 0.0, 0.0, 0.0, 0.0, float(around.mean()), max(tube, 0.05)])
    found = least_squares(rest, start, method="lm" if len(points) >= len(start) else "trf", max_nfev=400).x
    ring, across = abs(float(found[5])), abs(float(found[6]))
    basis = _turned(found[3], found[4])
    offset = (points - found[:3]) @ basis.T
    knots = np.stack(
        [
            np.arctan2(offset[:, 1], offset[:, 0]),
            np.arctan2(offset[:, 2], np.hypot(offset[:, 0], offset[:, 1]) - ring),
        ],
        1,
    )
    grid = np.linspace(0, TURN, 16, endpoint=False)

    def local(theta: np.ndarray) -> np.ndarray:
        reach = ring + across * np.cos(theta[:, 1])
        return np.stack([reach * np.cos(theta[:, 0]), reach * np.sin(theta[:, 0]), across * np.sin(theta[:, 1])], 1)

    knots = np.mod(knots, TURN)
    return Fitted(
        "torus", 2, flat_freedom(3, centroids.shape[1]) + 7, mean + scale * found[:3] @ axes, scale * basis @ axes,
        local, np.concatenate([_grid(grid, grid[::2]), knots]), *_ends(2), (TURN, TURN), knots,
        {"ring radius": ring * scale, "tube radius": across * scale},
    )  # fmt: skip


def nearest_sphere(points: Float64[np.ndarray, "w m"]) -> tuple[Float64[np.ndarray, " m"], float]:
    """Centre and radius of the sphere with the least squared distances to ``points``; a circle where m is 2.

    Gauss-Newton steps from the algebraic fit. Raises ``UnweaveError`` for points on one flat, which have none.
    Source: Coope, "Circle fitting by linear and nonlinear least squares", 1993.
    """
    count, width = points.shape
    system = np.concatenate([2 * points, np.ones((count, 1))], 1)
    solution, _, rank, _ = np.linalg.lstsq(system, (points**2).sum(1), rcond=1e-10)
    if rank <= width:
        raise UnweaveError(
            f"{count} points lie on one flat of {width - 1} dimensions: no round shape is nearest to them"
        )
    centre = solution[:width]
    radius = math.sqrt(max(solution[width] + centre @ centre, 0.0))
    for _ in range(_ROUNDS):
        offset = points - centre
        length = np.maximum(np.linalg.norm(offset, axis=1), 1e-300)
        slopes = np.concatenate([-offset / length[:, None], -np.ones((count, 1))], 1)
        step = np.linalg.lstsq(slopes, radius - length, rcond=None)[0]
        after = np.abs(np.linalg.norm(points - centre - step[:width], axis=1) - radius - step[width])
        if (after**2).sum() >= ((length - radius) ** 2).sum():
            break
        centre, radius = centre + step[:width], radius + float(step[width])
    return centre, abs(radius)


def _turned(first: float, second: float) -> Float64[np.ndarray, "3 3"]:
    """Rows of a basis whose last axis is tilted by two angles."""
    a, b, c, d = math.cos(first), math.sin(first), math.cos(second), math.sin(second)
    return np.array([[1, 0, 0], [0, a, b], [0, -b, a]]) @ np.array([[c, 0, d], [0, 1, 0], [-d, 0, c]])


def _grid(first: np.ndarray, second: np.ndarray) -> Float64[np.ndarray, "g 2"]:
    return np.stack(np.meshgrid(first, second, indexing="ij"), -1).reshape(-1, 2)


def _ends(dimension: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full((1, dimension), -np.inf), np.full((1, dimension), np.inf)
