"""Which of the six arcs a story has, told from its path: by templates, or by what other topics' paths teach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from unweave.base.errors import UnweaveError, nearest
from unweave.base.progress import Progress
from unweave.base.seeds import numpy_generator
from unweave.corpora.stories.arcs import ARCS, arc_fits, nearest_arc
from unweave.shapes.stories.held_out import PENALTIES, Variant, hold_out, standardised
from unweave.shapes.stories.paths import Names, of_stories, rows_by_story, story_paths
from unweave.stats.bootstrap import Interval
from unweave.stats.noise import PairedTest, paired_test
from unweave.stats.permutation import exceeds_null
from unweave.stats.proportion import wilson_interval


@dataclass(frozen=True)
class Recognition:
    """The arc that each story was taken to have, and how often rightly."""

    stories: tuple[str | int, ...]
    actual: tuple[str, ...]
    recognised: tuple[str | None, ...]
    """None for a path that does not move."""
    accuracy: Interval
    """With Wilson's interval over stories."""
    chance: float
    """The mean accuracy of the null: 1/6 where every arc has as many stories."""
    p: float
    """One-sided, among nulls that deal the arcs to the stories of each topic anew."""

    @property
    def right(self) -> Bool[np.ndarray, " s"]:
        return np.array([one == other for one, other in zip(self.actual, self.recognised, strict=True)])

    @property
    def confusion(self) -> Int64[np.ndarray, "6 6"]:
        """Stories by actual arc (rows) and recognised arc (columns), both as in ``ARCS``; None is in no column."""
        found = np.zeros((len(ARCS), len(ARCS)), np.int64)
        for one, other in zip(self.actual, self.recognised, strict=True):
            if other is not None:
                found[ARCS.index(one), ARCS.index(other)] += 1
        return found


def recognise_by_template(
    values: Float[np.ndarray, " n"],
    stories: Names,
    arcs: Sequence[str],
    topics: Names | None = None,
    shuffles: int = 999,
    seed: int = 0,
) -> Recognition:
    """The arc whose template each story's values correlate with best.

    ``values`` are one number a sentence: a readout's valence, or what probes decode with the story's topic held out.
    Nothing is learnt here. ``arcs`` has each sentence's story's arc; with ``topics`` the null deals arcs inside topics.
    Raises ``UnweaveError`` for unknown arcs and for stories of fewer than four sentences.
    """
    values = np.asarray(values, np.float64)
    truth, rows = _truth(arcs, stories), rows_by_story(stories)
    if values.shape != (len(stories),):
        raise UnweaveError(f"values have shape {values.shape}: give one for each of the {len(stories)} sentences")
    recognised = [nearest_arc(values[each]) for each in rows.values()]
    kinds = of_stories(topics, stories) if topics is not None else [0] * len(rows)
    generator = numpy_generator(seed, "arcs by template")
    codes = np.array([-1 if arc is None else ARCS.index(arc) for arc in recognised])
    return _recognition(rows, truth, codes, _deals(truth, kinds, generator, shuffles), codes[:, None])


def recognise_by_path(
    states: Float[np.ndarray, "n l d"],
    stories: Names,
    topics: Names,
    arcs: Sequence[str],
    points: int = 6,
    components: Sequence[int] = (5, 20),
    shuffles: int = 199,
    seed: int = 0,
    progress: Progress | None = None,
) -> Recognition:
    """The arc by a linear classifier of whole paths through the states, on topics that it never saw.

    A path is its ``points`` equal steps in the first principal components of the training stories' paths. Layer, how
    many components, and the ridge penalty are chosen by holding out each training topic in turn; the null repeats all
    of it on arcs dealt inside topics. The classifier is a ridge regression on the six arcs.
    """
    states = np.asarray(states)
    if states.ndim != 3 or len(states) != len(stories):
        raise UnweaveError(f"states have shape {states.shape}: give [{len(stories)}, layers, width]")
    truth, rows = _truth(arcs, stories), rows_by_story(stories)
    kinds = of_stories(topics, stories)
    deals = _deals(truth, kinds, numpy_generator(seed, "arcs by path"), shuffles)
    sets = np.concatenate([truth[:, None], deals], 1)
    paths = [story_paths(states[:, layer], stories, points) for layer in range(states.shape[1])]
    variants = [_in_components(each, count) for each in paths for count in components]
    held = hold_out(variants, np.eye(len(ARCS))[sets], list(rows), kinds, PENALTIES, progress)
    told = held.nested().argmax(2)
    return _recognition(rows, truth, told[:, 0], deals, told[:, 1:])


@dataclass(frozen=True)
class RecognitionDifference:
    """How much oftener the first of two ways is right on the same stories, said after the fact."""

    difference: float
    test: PairedTest


def compare_recognitions(first: Recognition, second: Recognition) -> RecognitionDifference:
    """Two ways of recognising the same stories, paired by story; raises ``UnweaveError`` for other stories."""
    if first.stories != second.stories:
        raise UnweaveError("the two recognitions are of different stories: compare those of the same ones")
    one, other = first.right.astype(float), second.right.astype(float)
    return RecognitionDifference(float((one - other).mean()), paired_test(other, one))


def arc_fit(values: Float[np.ndarray, " t"], arc: str) -> float:
    """Pearson's r of a path with the template of an arc; raises ``UnweaveError`` for an unknown arc."""
    if arc not in ARCS:
        raise UnweaveError(f"arc {arc!r} is not one of the six; {nearest(str(arc), ARCS)}")
    return arc_fits(values)[arc]


def _truth(arcs: Sequence[str], stories: Names) -> Int64[np.ndarray, " s"]:
    found = of_stories(arcs, stories, "arc")
    for arc in found:
        if arc not in ARCS:
            raise UnweaveError(f"arc {arc!r} is not one of the six; {nearest(str(arc), ARCS)}")
    return np.array([ARCS.index(arc) for arc in found], np.int64)


def _deals(
    truth: Int64[np.ndarray, " s"], kinds: Sequence[str | int], generator: np.random.Generator, shuffles: int
) -> Int64[np.ndarray, "s k"]:
    if shuffles < 19:
        raise UnweaveError(f"{shuffles} shuffles cannot reach 0.05: run at least 19")
    found = np.tile(truth[:, None], (1, shuffles))
    names = np.array([str(each) for each in kinds])
    for kind in np.unique(names):
        found[names == kind] = generator.permuted(found[names == kind], axis=0)
    return found


def _recognition(
    rows: dict[str | int, np.ndarray],
    truth: Int64[np.ndarray, " s"],
    told: Int64[np.ndarray, " s"],
    dealt: Int64[np.ndarray, "s k"],
    told_of_dealt: Int64[np.ndarray, "s k"],
) -> Recognition:
    null = (dealt == told_of_dealt).mean(0)
    right = int((truth == told).sum())
    return Recognition(
        tuple(rows),
        tuple(ARCS[each] for each in truth),
        tuple(None if each < 0 else ARCS[each] for each in told),
        wilson_interval(right, len(truth)),
        float(null.mean()),
        exceeds_null(right / len(truth), null).p,
    )


def _in_components(paths: Float64[np.ndarray, "s p d"], count: int) -> Variant:
    """Paths in the first principal components of the points on training stories' paths."""
    width = paths.shape[2]

    def make(train: Bool[np.ndarray, " s"]) -> Float64[np.ndarray, "s f"]:
        inside = paths[train].reshape(-1, width)
        mean = inside.mean(0)
        centred = inside - mean
        size, left = np.linalg.eigh(centred @ centred.T)
        kept = np.argsort(size)[::-1][: min(count, len(size) - 1, width)]
        kept = kept[size[kept] > 1e-9 * size.max()]
        axes = centred.T @ left[:, kept] / np.sqrt(size[kept])
        return standardised(((paths - mean) @ axes).reshape(len(paths), -1))(train)

    return make
