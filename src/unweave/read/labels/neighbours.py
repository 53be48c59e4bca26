"""Places where a feature does not fire but others like it do: of the same group, of a similar density."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from unweave.read.harvest.value import Harvest

AT_ONCE, MOST = 8, 32
"""So many neighbours are asked at a time, as long as they give too few places, and so many at most of each sort."""
FACTOR = 2.0
"""Neighbours fire at most so many times more or less often; at least three are taken, the nearest there are."""
AT_LEAST = 3
LEAST_SHARE = 0.25


class Neighbours:
    """Negatives for labels: in the mixture of labels of the positives, so that naming a language alone gains nothing,
    and at places where a feature of the same group and density fires, so that neither does naming a common token."""

    def __init__(self, harvest: Harvest, held: bool) -> None:
        self.harvest, self.held = harvest, held
        self._fires = np.zeros(harvest.pool.positions, bool)
        self._label = np.where(harvest.pool.held == held, harvest.pool.label, -1)
        """By window; -1 for windows of the other sort."""
        _, position, _, _ = harvest.pool.entries()
        mine = harvest.pool.held[position // harvest.pool.length] == held
        self._position = position[mine]
        self._starts = np.concatenate([[0], np.cumsum(mine)])[harvest.pool.starts]
        # How often each fires where this sort of text says it: a label must not depend on held-out text.
        self._often = harvest.firing if held else harvest.firing_shown

    def places(self, row: int, by_label: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
        """At most ``count`` flat positions of the pool in the mixture of ``by_label``; fewer where text is short.

        Neighbours of other groups are asked where those of its own give too few. Where no neighbour fires in a label,
        the label's other places are taken on which the feature does not fire.
        """
        length = self.harvest.pool.length
        own = self._firing(row)
        self._fires[own] = True
        wanted = by_label * (count / max(by_label.sum(), 1))
        places = np.empty(0, np.int64)
        label = places
        for near in self._near(row):
            found = [self._some(self._firing(each), count, generator) for each in near]
            places = np.unique(np.concatenate([places, *found]))
            label = self._label[places // length]
            if (np.bincount(label, minlength=len(wanted)) >= wanted).all():
                break
        given = {each: places[label == each] for each in np.flatnonzero(by_label)}
        for each, mine in given.items():
            if not len(mine):
                windows = np.flatnonzero(self._label == each)
                mine = (windows[:, None] * length + np.arange(length)).ravel()
                given[each] = mine[~self._fires[mine]]
        self._fires[own] = False
        # Where one label is short of places all get fewer, down to a quarter: the mixture stays.
        enough = min([1.0, *(len(mine) / wanted[each] for each, mine in given.items() if len(mine))])
        counts = wanted * max(LEAST_SHARE, enough)
        chosen = [
            generator.choice(mine, min(round(counts[each]), len(mine)), replace=False) for each, mine in given.items()
        ]
        return np.concatenate([*chosen, np.empty(0, np.int64)])

    def _near(self, row: int) -> Iterator[np.ndarray]:
        """Rows of features of the nearest densities, some at a time: those of its own group, then of the others."""
        harvest, often = self.harvest, self._often
        same = harvest.site_of == harvest.site_of[row]
        for group in (same, ~same):
            rows = np.flatnonzero(group & (often > 0))
            rows = rows[rows != row]
            distance = np.abs(np.log(often[rows] / max(often[row], 1)))
            order = np.argsort(distance, kind="stable")[:MOST]
            close = int((distance[order] <= np.log(FACTOR)).sum())
            near = rows[order[: max(close, AT_LEAST)]]
            yield from (near[start : start + AT_ONCE] for start in range(0, len(near), AT_ONCE))

    def _firing(self, row: int) -> np.ndarray:
        """Where a feature fires in windows of this sort, as flat positions of the pool."""
        return self._position[self._starts[row] : self._starts[row + 1]]

    def _some(self, flat: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
        if len(flat) > 4 * count:
            flat = flat[generator.integers(len(flat), size=4 * count)]
        flat = flat[~self._fires[flat]]
        return flat if len(flat) <= count else generator.choice(flat, count, replace=False)
