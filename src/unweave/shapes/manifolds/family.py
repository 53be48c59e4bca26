"""Kinds of curves and surfaces, each registered by one decorated function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError, nearest
from unweave.shapes.manifolds.fitted import Fitted

Values = Float64[np.ndarray, "w ..."] | Sequence[tuple[str, ...]] | None
"""What is known of each centroid: an ordinal value [w], several [w, v], a path from a root, or nothing."""
Fit = Callable[[Float64[np.ndarray, "w d"], Values], Fitted]


@dataclass(frozen=True)
class Family:
    """One kind of manifold, and the fewest centroids that it can be fitted to."""

    name: str
    dimension: int
    least: int
    least_width: int
    fit_to: Fit

    def fit(self, centroids: Float64[np.ndarray, "w d"], values: Values = None) -> Fitted:
        """The curve or surface of this kind through (splines, trees) or nearest to ``centroids`` [w, d].

        Raises ``UnweaveError`` for too few centroids or columns, for numbers that are not finite, and for values that
        are not one for each centroid.
        """
        points = checked(centroids, values)
        if len(points) < self.least or points.shape[1] < self.least_width:
            raise UnweaveError(
                f"{len(points)} centroids of width {points.shape[1]}: a {self.name} needs {self.least} or more, of "
                f"width {self.least_width} or more"
            )
        return replace(self.fit_to(points, values), family=self.name)


FAMILIES: dict[str, Family] = {}
_HOMES = ("flats", "round", "helix", "splines", "trees")


def family(name: str, dimension: int, least: int, least_width: int) -> Callable[[Fit], Fit]:
    """Registers a function of centroids [w, d] and values as a family that ``fit`` and ``choose`` know by ``name``."""

    def register(fit_to: Fit) -> Fit:
        if name in FAMILIES:
            raise UnweaveError(f"a family named {name!r} is registered already: choose another name")
        FAMILIES[name] = Family(name, dimension, least, least_width, fit_to)
        return fit_to

    return register


def families() -> dict[str, Family]:
    """All registered families by name, the ones of this package first."""
    for home in _HOMES:
        import_module(f"unweave.shapes.manifolds.{home}")
    return FAMILIES


def fit(name: str, centroids: Float64[np.ndarray, "w d"], values: Values = None) -> Fitted:
    """The family ``name`` fitted to ``centroids`` [w, d]; raises ``UnweaveError`` for an unknown name too."""
    known = families()
    if name not in known:
        raise UnweaveError(f"no family is named {name!r}; {nearest(name, known)}")
    return known[name].fit(centroids, values)


def checked(centroids: Float64[np.ndarray, "w d"], values: Values = None) -> Float64[np.ndarray, "w d"]:
    """``centroids`` as float64, or ``UnweaveError`` where they or ``values`` cannot be used."""
    points = np.asarray(centroids, np.float64)
    if points.ndim != 2:
        raise UnweaveError(f"centroids have shape {points.shape}: give one row for each value, [w, d]")
    if not np.isfinite(points).all():
        raise UnweaveError(
            f"{int((~np.isfinite(points)).sum())} numbers of the centroids are not finite: leave them out"
        )
    if values is not None and len(values) != len(points):
        raise UnweaveError(f"{len(points)} centroids with {len(values)} values: give one value for each centroid")
    return points


def numbers(values: Values) -> Float64[np.ndarray, "w ..."] | None:
    """Values that are numbers, else none: paths of a hierarchy have no place on a line."""
    if values is None or (len(values) and isinstance(values[0], tuple)):
        return None
    found = np.asarray(values, np.float64)
    if not np.isfinite(found).all():
        raise UnweaveError("some values are not finite: give an ordinal number for each centroid")
    return found


def chosen(values: Values, kept: np.ndarray) -> Values:
    """The values of the centroids at ``kept``."""
    if values is None:
        return None
    return np.asarray(values)[kept] if numbers(values) is not None else [values[int(each)] for each in kept]


def principal(points: Float64[np.ndarray, "w d"], count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean [d], the first ``count`` principal axes [count, d], and the points' scores on them [w, count]."""
    mean = points.mean(0)
    left, size, axes = np.linalg.svd(points - mean, full_matrices=False)
    return mean, axes[:count], left[:, :count] * size[:count]


def spanning(points: Float64[np.ndarray, "w d"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As ``principal``, with as many axes as it takes to hold every point exactly."""
    return principal(points, max(min(len(points) - 1, points.shape[1]), 1))


def ordinals(values: Values, points: Float64[np.ndarray, "w d"]) -> Float64[np.ndarray, " w"]:
    """Places on a line: the ordinal values, or scores on the first principal axis where there is not one a centroid."""
    found = numbers(values)
    return found if found is not None and found.ndim == 1 else principal(points, 1)[2][:, 0]


def flat_freedom(inside: int, width: int) -> int:
    """Numbers that say which flat of ``inside`` dimensions in a space of ``width`` is meant."""
    return (inside + 1) * (width - inside)
