"""Learns a small predicate that tells where a feature fires from where it does not: a tree of at most three questions.

Each question is whether an attribute is one of a set, the set being the values most of whose tokens fire; for two
classes the best set is a run of the values in that order (Breiman et al., "Classification and Regression Trees", 1984,
section 4.2). With thousands of values that finds something in pure noise, so a question is worth what the set chosen
on one half of the windows gains on the other half.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from unweave.read.harvest.reservoir import mixed
from unweave.read.labels.predicate import Predicate, Question

LARGEST = 48
"""Values in one set at most."""
DEPTH = 3
LEAST_GAIN = 0.005
"""Nats of cross-validated entropy that a question must save, of the ln 2 there are at first."""
LEAST_SHARE = 0.02
"""Weight of either sort, firing or not, that a question must still tell apart."""
LEAST_ALIKE, FEWEST_ALIKE, KEPT = 0.1, 15, 0.9
"""What a refining question must save, how many places of each sort it must tell, the share of firings it keeps."""
TIE = 1e-9
"""Weights that differ by no more are equal."""
WORTH: Mapping[str, float] = {"letter": 0.8, "ending": 0.8, "length": 0.8, "second before": 0.8, "position": 0.8}
"""What a question's gain counts for, 1 where nothing is said: spelling and distance are harder to read than tokens."""


@dataclass(frozen=True)
class Sample:
    """What is known of n tokens: a number for every attribute, whether the feature fires, which half it is of."""

    names: tuple[str, ...]
    values: tuple[np.ndarray, ...]
    """The codes of each attribute that occur."""
    which: np.ndarray
    """For every attribute (attributes, n) the place of a token's code among those that occur."""
    fires: np.ndarray
    half: np.ndarray
    """0 or 1 (n,), the same for all tokens of a window."""
    quarter: np.ndarray
    """0 or 1 (n,), the same for all tokens of a window: each half has two."""
    window: np.ndarray
    """The window each token is from (n,), numbered from 0."""
    table: tuple[np.ndarray, np.ndarray] | None = None
    """Counts by value of the first attribute over more text than the sample: how often seen, how often firing. They
    say which values fire most, and count for no gain."""

    @classmethod
    def of(
        cls,
        codes: Mapping[str, np.ndarray],
        fires: np.ndarray,
        window: np.ndarray,
        table: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
    ) -> Sample:
        """From codes (n,) by attribute and the window each token is from.

        ``table`` has codes of the first attribute, how often each is seen and how often the feature fires on it.
        """
        values, which = [], []
        for row, each in enumerate(codes.values()):
            listed = each if row or table is None else np.concatenate([each, table[0]])
            found, places = np.unique(listed, return_inverse=True)
            values.append(found)
            which.append(places[: len(each)])
        counts = None
        if table is not None:
            at = np.searchsorted(values[0], table[0])
            seen, fired = (np.bincount(at, weights, len(values[0])) for weights in table[1:])
            counts = seen, fired
        fold = mixed(window.astype(np.uint64))
        half, quarter = ((fold >> np.uint64(shift) & np.uint64(1)).astype(np.int64) for shift in (7, 19))
        number = np.unique(window, return_inverse=True)[1]
        return cls(tuple(codes), tuple(values), np.stack(which), fires, half, quarter, number, counts)

    def part(self, chosen: np.ndarray) -> Sample:
        return replace(
            self,
            which=self.which[:, chosen],
            fires=self.fires[chosen],
            half=self.half[chosen],
            quarter=self.quarter[chosen],
            window=self.window[chosen],
        )

    def without(self, part: Sample) -> Sample:
        """The same with the firings of a part of it taken out of the table."""
        if self.table is None:
            return self
        seen, fired = self.table
        own = np.bincount(part.which[0][part.fires], minlength=len(seen))
        return replace(self, table=(np.maximum(seen - own, 0), np.maximum(fired - own, 0)))


def learn(sample: Sample) -> Predicate:
    """The tree for a sample; firing and not firing weigh the same, however many there are of each."""
    fires = int(sample.fires.sum())
    others = len(sample.fires) - fires
    if not fires or not others:
        return False
    weight = np.where(sample.fires, 0.5 / fires, 0.5 / others)
    prior = None
    if sample.table is not None:
        seen, fired = sample.table
        quiet = np.maximum(seen - fired, 0)
        prior = quiet * (0.5 / max(quiet.sum(), 1)), fired * (0.5 / max(fired.sum(), 1))
    return _Grower(sample, weight, prior).grow(np.arange(len(weight)), DEPTH)


def refine(predicate: Predicate, sample: Sample) -> Predicate:
    """The tree with one more question for each yes that holds on much where the feature does not fire.

    ``sample`` has firings and places of the same tokens without. A tree learned against text at large cannot tell the
    two. A question is asked only where it saves much, and where few of the firings are lost.
    """
    if isinstance(predicate, Question):
        inside = _asked(predicate, sample)
        parts = (predicate.inside, inside), (predicate.outside, ~inside)
        then, otherwise = (refine(branch, sample.part(side)) for branch, side in parts)
        return replace(predicate, inside=then, outside=otherwise)
    fires = int(sample.fires.sum())
    others = len(sample.fires) - fires
    if not predicate or min(fires, others) < FEWEST_ALIKE:
        return predicate
    weight = np.where(sample.fires, 0.5 / fires, 0.5 / others)
    found = _Grower(replace(sample, table=None), weight, None, LEAST_ALIKE).grow(np.arange(len(weight)), 1)
    kept = evaluate(found, sample)[sample.fires].mean()
    return found if isinstance(found, Question) and kept >= KEPT else predicate


def _asked(question: Question, sample: Sample) -> np.ndarray:
    row = sample.names.index(question.attribute)
    return np.isin(sample.values[row], question.codes)[sample.which[row]]


def evaluate(predicate: Predicate, sample: Sample) -> np.ndarray:
    """Whether the predicate holds for each of a sample, (n,), from its codes."""
    if isinstance(predicate, bool):
        return np.full(len(sample.fires), predicate)
    inside = _asked(predicate, sample)
    found = np.empty(len(inside), bool)
    for side, branch in ((inside, predicate.inside), (~inside, predicate.outside)):
        found[side] = branch if isinstance(branch, bool) else evaluate(branch, sample.part(side))
    return found


def cross_validated(sample: Sample) -> np.ndarray:
    """For each of a sample what the tree learned from the other half of the windows says, (n,)."""
    found = np.zeros(len(sample.fires), bool)
    for half in (0, 1):
        chosen = sample.half == half
        tested, rest = sample.part(chosen), sample.part(~chosen)
        # Quarters within the half: questions of its tree are cross-validated too.
        predicate = learn(replace(rest, half=rest.quarter).without(tested))
        found[chosen] = evaluate(predicate, tested)
    return found


class _Grower:
    """Grows a tree over tokens given by their place in the sample.

    All attributes are searched at once: their values stand one attribute after the other in arrays of one length, and
    three rows hold what is counted in half 0, in half 1 and in both.
    """

    def __init__(
        self,
        sample: Sample,
        weight: np.ndarray,
        prior: tuple[np.ndarray, np.ndarray] | None,
        least: float = LEAST_GAIN,
    ) -> None:
        self.sample, self.weight, self.prior, self.least = sample, weight, prior, least
        # One example's weight: as much is added to every value's share.
        self.one = 0.5 * (weight.max() + weight.min())
        sizes = np.array([len(values) for values in sample.values])
        self.first = np.concatenate([[0], sizes.cumsum()])
        self.attribute = np.repeat(np.arange(len(sizes)), sizes)
        # Four piles of weight by value: not firing and firing, in half 0 and 1.
        self.place = (2 * sample.fires + sample.half) * self.first[-1] + self.first[:-1, None] + sample.which
        # In each attribute's order of values only the first can be in a set.
        tops = [np.arange(start, min(end, start + LARGEST)) for start, end in pairwise(self.first)]
        self.top = np.concatenate(tops)
        self.top_first = np.concatenate([[0], np.cumsum([len(top) for top in tops])])
        self.penalty = np.array([WORTH.get(name, 1.0) for name in sample.names])

    def grow(self, at: np.ndarray, depth: int) -> Predicate:
        sample, weight = self.sample, self.weight[at]
        fires = float(weight[sample.fires[at]].sum())
        others = float(weight.sum()) - fires
        # At the root both weigh a half, up to rounding: that is a no.
        majority = fires - others > TIE
        if depth == 0 or min(fires, others) < LEAST_SHARE:
            return majority
        found = self._best_question(at, weight)
        if found is None:
            return majority
        row, chosen = found
        asked = np.zeros(len(sample.values[row]), bool)
        asked[chosen] = True
        inside = asked[sample.which[row, at]]
        if inside.all() or not inside.any():
            return majority
        then, otherwise = (self.grow(at[side], depth - 1) for side in (inside, ~inside))
        if isinstance(then, bool) and then == otherwise:
            return then
        return Question(sample.names[row], tuple(sample.values[row][asked].tolist()), then, otherwise)

    def _best_question(self, at: np.ndarray, weight: np.ndarray) -> tuple[int, np.ndarray] | None:
        """The attribute and the places of its values to ask for, or none that is worth it."""
        others, fires = self._piles(at, weight)
        all_others, all_fires = (piles[:, : self.first[1]].sum(1, keepdims=True) for piles in (others, fires))
        if (all_others + all_fires == 0).any():
            return None
        share = self._shares(others, fires, all_fires / (all_others + all_fires))
        # Attribute by attribute, those with the highest share of firing first and those never seen last.
        order = np.argsort(3 * self.attribute - share, axis=1, kind="stable")
        top = order[:, self.top]
        best = self._highest(_gain(self._running(others, top), self._running(fires, top), all_others, all_fires))
        # What the sets chosen on one half gain on the other half.
        swap = [1, 0]
        inside = (self._running(piles[swap], top[:2]) for piles in (others, fires))
        seen = _gain(next(inside), next(inside), all_others[swap], all_fires[swap])
        gains = self.penalty * np.take_along_axis(seen, best[:2], 1).sum(0)
        row = int(gains.argmax())
        if gains[row] <= self.least:
            return None
        first, last = self.top_first[row], best[2, row] + 1
        if row == 0 and self.prior is not None:
            # Values that the sample does not have, and that mostly fire in more text.
            both = np.take_along_axis(others[2] + fires[2], top[2], 0)
            while last < self.top_first[1] and not both[last] and share[2, top[2, last]] > 0.5:
                last += 1
        return row, top[2, first:last] - self.first[row]

    def _piles(self, at: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weight of not firing and of firing, (3, values) each."""
        count = int(self.first[-1])
        repeated = np.broadcast_to(weight, (len(self.first) - 1, len(weight)))
        piles = np.bincount(self.place[:, at].ravel(), repeated.ravel(), 4 * count).reshape(2, 2, count)
        others, fires = (np.concatenate([pile, pile.sum(0, keepdims=True)]) for pile in piles)
        return others, fires

    def _shares(self, others: np.ndarray, fires: np.ndarray, share: np.ndarray) -> np.ndarray:
        """The share of firing by value, (3, values); -1 for those never seen."""
        both, firing = others + fires, fires.copy()
        if self.prior is not None:
            both[:, : self.first[1]] += self.prior[0] + self.prior[1]
            firing[:, : self.first[1]] += self.prior[1]
        # A value seen once says little: each is given the node's own share, with the weight of one example.
        return np.where(both > 0, (firing + self.one * share) / (both + self.one), -1)

    def _running(self, piles: np.ndarray, top: np.ndarray) -> np.ndarray:
        """Cumulative sums (rows, top) of the top values' piles, which begin anew with every attribute."""
        total = np.take_along_axis(piles, top, 1).cumsum(1)
        start = np.concatenate([np.zeros((len(piles), 1)), total], 1)[:, self.top_first[:-1]]
        return total - np.repeat(start, np.diff(self.top_first), axis=1)

    def _highest(self, gains: np.ndarray) -> np.ndarray:
        """For every row and attribute the place among the top values up to which the set gains most."""
        return np.stack([start + gains[:, start:end].argmax(1) for start, end in pairwise(self.top_first)], 1)


def _gain(others: np.ndarray, fires: np.ndarray, all_others: np.ndarray, all_fires: np.ndarray) -> np.ndarray:
    """Weighted entropy in nats that dividing off a part saves."""
    rest = _entropy(np.maximum(all_others - others, 0), np.maximum(all_fires - fires, 0))
    return _entropy(all_others, all_fires) - _entropy(others, fires) - rest


def _entropy(others: np.ndarray, fires: np.ndarray) -> np.ndarray:
    others, fires = np.maximum(others, 1e-12), np.maximum(fires, 1e-12)
    both = others + fires
    return both * np.log(both) - others * np.log(others) - fires * np.log(fires)
