"""Places where a feature does not fire but others like it do: of the same group, of a similar density."""

from __future__ import annotations

import numpy as np

from unweave.read.harvest.value import Harvest

NEIGHBOURS, MOST = 8, 32
"""So many neighbours are taken at a time, as long as they give too few places, and so many at most."""
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

    def of(self, row: int) -> np.ndarray:
        """Rows of the features of the same group whose densities are nearest, the nearest first."""
        harvest = self.harvest
        group = np.flatnonzero((harvest.site_of == harvest.site_of[row]) & harvest.alive)
        group = group[group != row]
        distance = np.abs(np.log(harvest.firing[group] / max(harvest.firing[row], 1)))
        order = np.argsort(distance, kind="stable")[:MOST]
        close = int((distance[order] <= np.log(FACTOR)).sum())
        return group[order[: max(close, AT_LEAST)]]

    def places(self, row: int, by_label: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
        """At most ``count`` flat positions of the pool, in the mixture of ``by_label``; fewer where text is short.

        Where its own label has no such place, the label's other places where the feature does not fire are taken.
        """
        pool, length = self.harvest.pool, self.harvest.pool.length
        own = pool.firing(row)[0]
        self._fires[own] = True
        places = np.empty(0, np.int64)
        near = self.of(row)
        for start in range(0, len(near), NEIGHBOURS):
            found = [self._some(pool.firing(each)[0], count, generator) for each in near[start : start + NEIGHBOURS]]
            places = np.unique(np.concatenate([places, *found]))
            if len(places) >= 2 * count:
                break
        label = pool.label[places // length]
        found = {each: places[label == each] for each in np.flatnonzero(by_label)}
        for each, mine in found.items():
            if not len(mine):
                windows = np.flatnonzero((pool.label == each) & (pool.held == self.held))
                mine = (windows[:, None] * length + np.arange(length)).ravel()
                found[each] = mine[~self._fires[mine]]
        wanted = by_label * (count / max(by_label.sum(), 1))
        # Where one label is short of places, all get fewer, down to a quarter: the mixture stays.
        share = max(LEAST_SHARE, min([1.0, *(len(mine) / wanted[each] for each, mine in found.items() if len(mine))]))
        chosen = [
            generator.choice(mine, min(round(wanted[each] * share), len(mine)), replace=False)
            for each, mine in found.items()
        ]
        self._fires[own] = False
        return np.concatenate([*chosen, np.empty(0, np.int64)])

    def _some(self, flat: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
        if len(flat) > 4 * count:
            flat = flat[generator.integers(len(flat), size=4 * count)]
        pool = self.harvest.pool
        flat = flat[(pool.held[flat // pool.length] == self.held) & ~self._fires[flat]]
        return flat[:count] if len(flat) <= count else generator.choice(flat, count, replace=False)
