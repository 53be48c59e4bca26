"""Which family the centroids lie on: held-out error, beside principal components of the same dimension."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError, nearest
from unweave.base.seeds import numpy_generator
from unweave.shapes.manifolds.clusters import NAME as CLUSTERS
from unweave.shapes.manifolds.clusters import clusters, counts
from unweave.shapes.manifolds.family import Family, Values, checked, chosen, families
from unweave.shapes.manifolds.fitted import Fitted
from unweave.shapes.manifolds.flats import flat
from unweave.stats.comparisons import holm
from unweave.stats.noise import paired_test

FLATS = {"line": 1, "plane": 2}
MOST_FLAT = 6
LEAST_VALUES = 6
LEAST_WIDTH = 8


@dataclass(frozen=True)
class Candidate:
    """A family, a flat of some dimension, or clusters, with its held-out error."""

    name: str
    dimension: int
    freedom: int
    errors: Float64[np.ndarray, " w"]
    """Of each value when it is left out: squared, as a share of the mean squared distance to the others' mean."""
    p: float | None
    """That it is no better than the flat of its dimension, adjusted for the families tried; none for flats."""

    @property
    def error(self) -> float:
        return float(self.errors.mean())


@dataclass(frozen=True)
class Choice:
    """What was chosen, and all that it was chosen from."""

    name: str
    """A family, ``flat K`` for K of 3 or more, ``clusters``, or ``none`` where the mean does as well as anything."""
    dimension: int
    candidates: tuple[Candidate, ...]
    """Flats of dimension 0, 1, 2 ..., then the other families, then clusters."""
    refused: Mapping[str, str]
    """Families that could not be fitted, and why."""
    level: float

    @property
    def curved(self) -> bool:
        """Whether it is a curve or surface and not principal components or clusters."""
        return self.dimension > 0 and self.candidate(self.name).p is not None

    def of_dimension(self, dimension: int) -> str:
        """The best of one dimension alone: the family with the least error of those that beat its flat, or the flat.

        This is what to fit where a curve is wanted whatever its errors are beside a flat of more dimensions.
        """
        at = [each for each in self.candidates if each.dimension == dimension]
        if not at:
            raise UnweaveError(f"nothing of dimension {dimension} was tried: 1 and 2 always are")
        return min((each for each in at if each.p is None or each.p <= self.level), key=lambda each: each.error).name

    def candidate(self, name: str) -> Candidate:
        found = {each.name: each for each in self.candidates}
        if name not in found:
            raise UnweaveError(f"{name!r} was not tried; {nearest(name, found)}")
        return found[name]


def choose(
    centroids: Float64[np.ndarray, "w d"],
    values: Values = None,
    names: Sequence[str] | None = None,
    level: float = 0.05,
    rotations: int = 2,
    most_flat: int = MOST_FLAT,
    seed: int = 0,
) -> Choice:
    """The simplest family that no other beats when values are left out, and that beats principal components.

    Each value is left out and every candidate fitted to the others. The left-out centroid's theta is then found from
    one half of the columns and its error measured on the other half, both ways round, after ``rotations`` random
    rotations that spread every direction over all columns. A candidate with more dimensions or parameters fits noise
    with them that the other half does not share, so that it gains nothing by having them; a distance to the nearest
    point would fall with each added dimension. An interpolating spline pays for the noise of the centroids that it
    passes through: where a flat of more dimensions predicts better, that flat is the choice, and ``of_dimension`` has
    the best curve. The flat of ``most_flat`` dimensions stands for all of more. A curved family counts where its errors
    are below those of the flat of its dimension (paired test over values, one-sided, Holm over families). Of the flats
    and those families, the ones that another one beats at ``level`` (the same test) are dropped, and the fewest
    dimensions, then parameters win.

    Where that is a curve, surface or tree, it must beat ``clusters`` too: centres of groups and nothing between them,
    which any three clusters' circle and any tree of clusters do no better than. Their number is the one of least
    held-out error, which favours them. Where they are not beaten they enter, with the families that do beat them, as
    of no dimension. Values of which three or more end each branch of a tree of even depth are such clusters: what a
    left-out one shares with all others of its branch does not tell the branches above.

    Give centroids in all their columns, not after PCA: noise outside the shape is what the halves are held against.
    Raises ``UnweaveError`` for fewer than 6 values or 8 columns.

    Source: Owen and Perry, "Bi-cross-validation of the SVD and the nonnegative matrix factorization", 2009; Bro et
    al., "Cross-validation of component models", 2008; preferring the simplest as Breiman et al., 1984, section 3.4.3.
    """
    points = checked(centroids, values)
    if len(points) < LEAST_VALUES or points.shape[1] < LEAST_WIDTH:
        raise UnweaveError(
            f"{len(points)} centroids of width {points.shape[1]}: a choice needs {LEAST_VALUES} values and "
            f"{LEAST_WIDTH} columns"
        )
    if not 0 < level < 1 or rotations < 1 or most_flat < 2:
        raise UnweaveError(
            f"level {level}, {rotations} rotations, flats up to {most_flat}: give e.g. 0.05, 2 and 6 (1 and 2 at least)"
        )
    known = families()
    for name in names or ():
        if name not in known:
            raise UnweaveError(f"no family is named {name!r}; {nearest(name, known)}")
    curved = [each for each in known.values() if each.name not in FLATS and (names is None or each.name in names)]
    halves = _Halves(points, rotations, seed)
    # A place on a flat of more dimensions than half of the columns is not to be found from them.
    flats = _flats(halves, min(most_flat, len(points) - 3, points.shape[1] // 2))
    bent, refused = _bent(halves, values, curved)
    bent = [each for each in bent if each.dimension < len(flats)]
    by_dimension = {each.dimension: each for each in flats}
    if bent:
        adjusted = holm([_worse(by_dimension[each.dimension], each) for each in bent])
        bent = [
            Candidate(each.name, each.dimension, each.freedom, each.errors, float(p))
            for each, p in zip(bent, adjusted, strict=True)
        ]
    better = [each for each in bent if each.p is not None and each.p <= level]
    grouped = _clusters(halves, flats[0]) if bent else None
    best = _simplest([*flats, *better], level)
    if grouped is not None and best.p is not None and _worse(grouped, best) > level:
        told = [each for each in better if _worse(grouped, each) <= level]
        best = _simplest([*flats, *told, grouped], level)
    return Choice(best.name, best.dimension, (*flats, *bent, *([grouped] if grouped else [])), refused, level)


class _Halves:
    """The centroids after random rotations, and half of the columns of each."""

    def __init__(self, points: Float64[np.ndarray, "w d"], rotations: int, seed: int) -> None:
        self.points = points
        generator = numpy_generator(seed, "choose family", "rotations")
        self.signs = generator.integers(2, size=(rotations, 2, points.shape[1])) * 2.0 - 1.0
        self.columns = np.stack([generator.permutation(points.shape[1]) for _ in range(rotations)])
        self.turned = self._turn(points)
        count = len(points)
        others = (points.sum(0) - points) / (count - 1)
        self.scale = float(((points - others) ** 2).sum(1).mean()) or 1.0

    def _turn(self, rows: Float64[np.ndarray, "n d"]) -> Float64[np.ndarray, "r n d"]:
        """Two rounds of random signs and a cosine transform: as good as a random rotation, at the cost of none."""
        from scipy.fft import dct

        found = rows[None]
        for each in range(2):
            found = np.asarray(dct(found * self.signs[:, None, each], norm="ortho", axis=-1))
        return np.take_along_axis(found, self.columns[:, None], 2)

    def error(self, fitted: Fitted, left_out: int) -> float:
        """Squared error of the left-out centroid on each half of the columns by theta from the other, all in all."""
        rows = self._turn(np.concatenate([fitted.origin[None], fitted.frame]))
        frame, offset = rows[:, 1:], self.turned[:, left_out] - rows[:, 0]
        middle = frame.shape[2] // 2
        parts = (slice(None, middle), slice(middle, None))
        metrics = np.concatenate([frame[:, :, part] @ frame[:, :, part].transpose(0, 2, 1) for part in parts])
        targets = np.concatenate([np.einsum("rmd,rd->rm", frame[:, :, part], offset[:, part]) for part in parts])
        theta = fitted.nearest_by(metrics, targets[:, None])[:, 0]
        place = fitted.local(theta)
        # |x - g A|^2 on the half that theta was not found from.
        there = np.roll(np.arange(len(place)), len(place) // 2)
        length = np.concatenate([(offset[:, part] ** 2).sum(1) for part in parts])
        fits = np.einsum("sm,smp,sp->s", place, metrics[there], place) - 2 * (targets[there] * place).sum(1)
        return float((length[there] + fits).sum() / len(self.signs))


def _flats(halves: _Halves, most: int) -> list[Candidate]:
    count, width = halves.points.shape
    errors = np.empty((most + 1, count))
    for left_out in range(count):
        others = np.delete(halves.points, left_out, 0)
        errors[0, left_out] = ((halves.points[left_out] - others.mean(0)) ** 2).sum()
        for dimension in range(1, most + 1):
            errors[dimension, left_out] = halves.error(flat(others, dimension), left_out)
    names = ["none", *FLATS, *(f"flat {each}" for each in range(3, most + 1))]
    return [
        Candidate(name, dimension, (dimension + 1) * (width - dimension), errors[dimension] / halves.scale, None)
        for dimension, name in enumerate(names[: most + 1])
    ]


def _bent(halves: _Halves, values: Values, tried: Sequence[Family]) -> tuple[list[Candidate], dict[str, str]]:
    found, refused = [], {}
    indices = np.arange(len(halves.points))
    for each in tried:
        try:
            whole = each.fit(halves.points, values)
            errors = np.empty(len(indices))
            for left_out in indices:
                kept = np.delete(indices, left_out)
                errors[left_out] = halves.error(each.fit(halves.points[kept], chosen(values, kept)), int(left_out))
        except UnweaveError as error:
            refused[each.name] = str(error)
            continue
        found.append(Candidate(each.name, each.dimension, whole.freedom, errors / halves.scale, None))
    return found, refused


def _clusters(halves: _Halves, mean: Candidate) -> Candidate:
    """The number of clusters with the least error; its p beside the mean is adjusted for the numbers tried."""
    count, width = halves.points.shape
    tried = counts(count)
    errors = np.empty((len(tried), count))
    for left_out in range(count):
        others = np.delete(halves.points, left_out, 0)
        for row, number in enumerate(tried):
            errors[row, left_out] = halves.error(clusters(others, number), left_out)
    best = int(errors.mean(1).argmin())
    found = Candidate(CLUSTERS, 0, tried[best] * width, errors[best] / halves.scale, None)
    return replace(found, p=min(1.0, len(tried) * _worse(mean, found)))


def _simplest(entered: Sequence[Candidate], level: float) -> Candidate:
    simplest_first = sorted(entered, key=lambda each: (each.dimension, each.freedom))
    return next(each for each in simplest_first if not _beaten(each, entered, level))


def _worse(one: Candidate, other: Candidate) -> float:
    """One-sided p that ``one`` has no larger errors than ``other``."""
    if one.error <= other.error:
        return 1.0
    return paired_test(other.errors, one.errors).p / 2


def _beaten(one: Candidate, entered: Sequence[Candidate], level: float) -> bool:
    others = [each for each in entered if each is not one]
    return bool(len(others) and holm([_worse(one, each) for each in others]).min() <= level)
