"""Whether the order of a story's sentences makes its arc: readings of a story beside readings of it shuffled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from unweave.base.errors import UnweaveError
from unweave.corpora.stories.arcs import nearest_arc
from unweave.corpora.stories.value import Story
from unweave.shapes.stories.arc_recognition import arc_fit
from unweave.stats.bootstrap import Interval, mean_interval
from unweave.stats.noise import PairedTest, paired_test
from unweave.stats.proportion import wilson_interval


class ShuffledReading(NamedTuple):
    """What was read after each sentence of a story in another order, and which sentences those were."""

    values: Float[np.ndarray, " t"]
    order: Int[np.ndarray, " t"]
    """The place in the story of the sentence read at each place."""


class Paired(NamedTuple):
    """A measure of stories as they are and, averaged over its shuffles, of each shuffled, with a paired test."""

    original: Interval
    shuffled: Interval
    test: PairedTest


@dataclass(frozen=True)
class OrderEffect:
    """What shuffling does to paths; every test is over stories."""

    fit: Paired
    """Pearson's r with the template of the story's own arc."""
    roughness: Paired
    """Von Neumann's ratio: mean squared step by variance; 2 for values in random order, below it for a smooth path."""
    changed: Interval
    """The share of stories whose first shuffle is nearest to another arc than the story's, with Wilson's interval."""
    moved: Interval
    """Mean over stories: how far a sentence's value moves with its place, as a share of what dealing values would do.

    0 for a reader who takes sentences one by one, as a lexicon does; 1 where nothing of the sentence is left.
    """


def shuffled_order(story: Story, shuffled: Story) -> Int[np.ndarray, " t"]:
    """The place in ``story`` of each sentence of ``shuffled``; equal sentences in the order they come.

    Raises ``UnweaveError`` where the two do not have the same sentences.
    """
    places: dict[str, list[int]] = {}
    for place, sentence in enumerate(story.sentences):
        places.setdefault(sentence.text, []).append(place)
    try:
        order = [places[sentence.text].pop(0) for sentence in shuffled.sentences]
    except (KeyError, IndexError):
        order = []
    if len(order) != len(story.sentences):
        raise UnweaveError(f"{shuffled.id!r} does not have the sentences of {story.id!r}: give a shuffle of that story")
    return np.array(order, np.int64)


def order_effect(
    paths: Sequence[Float[np.ndarray, " t"]],
    shuffles: Sequence[Sequence[ShuffledReading]],
    arcs: Sequence[str],
    seed: int = 0,
) -> OrderEffect:
    """Compares each story's path with those of its shuffles, of which every story needs one or more.

    A reader who takes sentences one by one has an arc that shuffling breaks too; ``moved`` tells one who reads on.
    Raises ``UnweaveError`` for lengths that do not agree, and fewer than two stories.
    """
    if not len(paths) == len(shuffles) == len(arcs) or len(paths) < 2:
        raise UnweaveError(
            f"{len(paths)} paths, shuffles of {len(shuffles)}, {len(arcs)} arcs: give as many of each, of two stories "
            "or more"
        )
    given = [np.asarray(path, np.float64) for path in paths]
    for number, (path, readings) in enumerate(zip(given, shuffles, strict=True)):
        if not readings:
            raise UnweaveError(f"story {number} has no shuffle: read one or more of each story")
        for reading in readings:
            if sorted(np.asarray(reading.order).tolist()) != list(range(len(path))) or len(reading.values) != len(path):
                raise UnweaveError(f"a shuffle of story {number} is not an order of its {len(path)} sentences")
    fit = [arc_fit(path, arc) for path, arc in zip(given, arcs, strict=True)]
    fits = [
        float(np.mean([arc_fit(each.values, arc) for each in readings]))
        for readings, arc in zip(shuffles, arcs, strict=True)
    ]
    rough = [roughness(path) for path in given]
    roughs = [float(np.mean([roughness(each.values) for each in readings])) for readings in shuffles]
    changed = sum(
        nearest_arc(path) != nearest_arc(readings[0].values) for path, readings in zip(given, shuffles, strict=True)
    )
    moved = [
        float(np.mean([_moved(path, each) for each in readings]))
        for path, readings in zip(given, shuffles, strict=True)
    ]
    return OrderEffect(
        _paired(fit, fits, seed),
        _paired(rough, roughs, seed),
        wilson_interval(changed, len(given)),
        mean_interval(moved, seed),
    )


def roughness(path: Float[np.ndarray, " t"]) -> float:
    """Mean squared step by variance; 2 for a path that does not move, as for one without order.

    Source: von Neumann, "Distribution of the ratio of the mean square successive difference to the variance", 1941.
    """
    path = np.asarray(path, np.float64)
    variance = float(path.var(ddof=1)) if len(path) > 1 else 0.0
    return float((np.diff(path) ** 2).mean()) / variance if variance > 0 else 2.0


def _moved(path: np.ndarray, reading: ShuffledReading) -> float:
    back = np.empty(len(path))
    back[np.asarray(reading.order)] = np.asarray(reading.values, np.float64)
    # What a value dealt at random would be away from the story's own.
    dealt = float(((path[:, None] - back) ** 2).mean())
    return float(((path - back) ** 2).mean()) / dealt if dealt > 0 else 0.0


def _paired(original: Sequence[float], shuffled: Sequence[float], seed: int) -> Paired:
    return Paired(mean_interval(original, seed), mean_interval(shuffled, seed), paired_test(shuffled, original))
