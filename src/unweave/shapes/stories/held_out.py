"""Ridge regression that is tested on a topic's stories by what stories of other topics taught it.

One decomposition serves all penalties, all columns of targets and all shuffles of them, so that a null that repeats
every choice costs little more than the fit itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress, Silent
from unweave.shapes.stories.paths import Names, of_stories

Variant = Callable[[Bool[np.ndarray, " n"]], Float[np.ndarray, "n d"]]
"""Given the rows that are trained on, the features of all rows, made without looking at the other rows' targets."""
PENALTIES = (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1)
"""Ridge penalties, as shares of the sum of the training rows' squared lengths."""


@dataclass(frozen=True)
class HeldOut:
    """What was decoded for every row by fits that saw nothing of the row's topic.

    ``v`` variants (layers, say), ``n`` rows, ``s`` sets of targets (the first is the true one, the others are nulls)
    and ``c`` columns. Penalties are chosen inside the training topics, for each column on its own.
    """

    decoded: Float32[np.ndarray, "v n s c"]
    inner: Float64[np.ndarray, "v f n c"]
    """For each held-out topic, what each other topic's rows got from fits without both; NaN on its own rows."""
    chosen: Int64[np.ndarray, "f s"]
    """The variant with the least squared error inside the training topics."""
    fold: Int64[np.ndarray, " n"]
    topics: tuple[str | int, ...]

    def nested(self) -> Float32[np.ndarray, "n s c"]:
        """What the variants that were chosen inside the training topics decode."""
        sets = np.arange(self.decoded.shape[2])
        return self.decoded[self.chosen[self.fold][:, sets], np.arange(len(self.fold))[:, None], sets]


def folds(stories: Names, topics: Names) -> tuple[Int64[np.ndarray, " n"], tuple[str | int, ...]]:
    """The number of each row's topic, and the topics; raises ``UnweaveError`` for fewer than three, or shared stories.

    Whole stories are held out with their topic because no story has two.
    """
    of_stories(topics, stories)
    names, fold = np.unique(np.asarray(topics), return_inverse=True)
    if len(names) < 3:
        raise UnweaveError(
            f"{len(names)} topics: three are needed, one to test on, one to choose by and one to train on"
        )
    return fold.astype(np.int64), tuple(names.tolist())


def hold_out(
    variants: Sequence[Variant],
    targets: Float[np.ndarray, "n s c"],
    stories: Names,
    topics: Names,
    penalties: Sequence[float] = PENALTIES,
    progress: Progress | None = None,
) -> HeldOut:
    """Decodes each topic's rows by ridge fits to the other topics, for each variant of features.

    For each held-out topic the penalty and the variant are chosen by the error on every other topic of fits without
    both. Raises ``UnweaveError`` for fewer than three topics and for targets that are not finite.
    """
    fold, names = folds(stories, topics)
    targets = np.asarray(targets, np.float64)
    if targets.ndim != 3 or len(targets) != len(fold) or not np.isfinite(targets).all():
        raise UnweaveError(f"targets have shape {targets.shape}: give finite numbers, [{len(fold)}, sets, columns]")
    progress = progress or Silent()
    count, sets, columns = targets.shape
    flat = targets.reshape(count, -1)
    decoded = np.empty((len(variants), count, sets, columns), np.float32)
    inner = np.full((len(variants), len(names), count, columns), np.nan)
    errors = np.empty((len(variants), len(names), sets))
    for index, variant in enumerate(variants):
        missed = np.zeros((len(names), len(penalties), flat.shape[1]))
        seen = np.full((len(names), len(penalties), count, columns), np.nan)
        for one, other in combinations(range(len(names)), 2):
            solved = Solved(variant, (fold != one) & (fold != other), flat)
            for tested, held in ((one, other), (other, one)):
                rows = np.flatnonzero(fold == tested)
                coordinates = solved.coordinates(rows)
                for which, penalty in enumerate(penalties):
                    found = solved.decode(coordinates, penalty)
                    missed[held, which] += ((found - flat[rows]) ** 2).sum(0)
                    seen[held, which, rows] = found[:, :columns]
        best = missed.argmin(1)
        for held in range(len(names)):
            rows, train = np.flatnonzero(fold == held), fold != held
            solved = Solved(variant, train, flat)
            found, coordinates = np.empty((len(rows), flat.shape[1])), solved.coordinates(rows)
            for which in np.unique(best[held]):
                at = np.flatnonzero(best[held] == which)
                found[:, at] = solved.decode(coordinates, penalties[which], at)
            decoded[index, rows] = found.reshape(len(rows), sets, columns)
            inner[index, held] = seen[held, best[held, :columns], :, np.arange(columns)].T
            share = missed[held].min(0) / np.maximum(flat[train].var(0) * train.sum(), 1e-12)
            errors[index, held] = share.reshape(sets, columns).mean(1)
        progress.update(index + 1, len(variants), "layers probed")
    return HeldOut(decoded, inner, errors.argmin(0), fold, names)


class Solved:
    """Ridge regression in the space of the training rows, decomposed once for all penalties and targets.

    In single precision: the least penalty is far above its rounding.
    """

    def __init__(self, variant: Variant, train: Bool[np.ndarray, " n"], targets: Float[np.ndarray, "n k"]) -> None:
        features = np.asarray(variant(train), np.float32)
        self.features = features - features[train].mean(0)
        self.inside = self.features[train]
        products = self.inside @ self.inside.T
        self.scale = float(np.trace(products)) / len(products) or 1.0
        size, self.axes = np.linalg.eigh(products / np.float32(self.scale))
        self.size = np.maximum(size, 0)[:, None]
        self.mean = targets[train].mean(0)
        self.pulled = self.axes.T @ (targets[train] - self.mean).astype(np.float32)

    def coordinates(self, rows: Int64[np.ndarray, " m"]) -> Float32[np.ndarray, "m t"]:
        """What ``decode`` needs of the rows, whatever the penalty."""
        return self.features[rows] @ self.inside.T @ self.axes / np.float32(self.scale)

    def decode(
        self,
        coordinates: Float32[np.ndarray, "m t"],
        penalty: float,
        columns: Int64[np.ndarray, " k"] | slice = slice(None),
    ) -> Float64[np.ndarray, "m k"]:
        shrunk = self.pulled[:, columns] / (self.size + np.float32(penalty * len(self.size)))
        return coordinates @ shrunk + self.mean[columns]

    def weights(self, penalties: Float64[np.ndarray, " k"]) -> Float64[np.ndarray, "d k"]:
        """What the features are multiplied with, for a penalty of each column."""
        shrunk = self.pulled / (self.size + penalties * len(self.size))
        return self.inside.T.astype(np.float64) @ (self.axes @ shrunk) / self.scale


def standardised(states: Float[np.ndarray, "n d"]) -> Variant:
    """The states with every column at mean 0 and deviation 1 over the training rows."""
    states = np.asarray(states, np.float32)

    def make(train: Bool[np.ndarray, " n"]) -> Float32[np.ndarray, "n d"]:
        deviation = states[train].std(0)
        # A column that says nothing, or that no training row uses, is left out.
        return (states - states[train].mean(0)) / np.where(deviation > 1e-6 * deviation.max(initial=0), deviation, np.inf)

    return make


def as_they_are(features: Float[np.ndarray, "n d"]) -> Variant:
    """Features that need nothing of the training rows, such as shares of words."""
    return lambda _: features
