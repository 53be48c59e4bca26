"""Learns a small predicate that tells where a feature fires from where it does not: a tree of at most three questions.

Each question is whether an attribute is one of a set, the set being the values most of whose tokens fire; for two
classes the best set is a run of the values in that order (Breiman et al., "Classification and Regression Trees", 1984,
section 4.2). With thousands of values that finds something in pure noise, so a question is worth what the set chosen
on one half of the windows gains on the other half.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from unweave.read.harvest.reservoir import mixed
from unweave.read.labels.predicate import Predicate, Question

LARGEST = 48
"""Values in one set at most."""
DEPTH = 3
LEAST_GAIN = 0.005
"""Nats of cross-validated entropy that a question must save, of the ln 2 there are at first."""
LEAST_SHARE = 0.02


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
            counts = tuple(np.bincount(at, weights, len(values[0])) for weights in table[1:])
        # Windows are numbered by no order that means anything, but neighbours may be of one document.
        fold = mixed(window.astype(np.uint64))
        half, quarter = ((fold >> np.uint64(shift) & np.uint64(1)).astype(np.int64) for shift in (7, 19))
        return cls(tuple(codes), tuple(values), np.stack(which), fires, half, quarter, counts)

    def part(self, chosen: np.ndarray) -> Sample:
        return replace(
            self,
            which=self.which[:, chosen],
            fires=self.fires[chosen],
            half=self.half[chosen],
            quarter=self.quarter[chosen],
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


def evaluate(predicate: Predicate, sample: Sample) -> np.ndarray:
    """Whether the predicate holds for each of a sample, (n,), from its codes."""
    if isinstance(predicate, bool):
        return np.full(len(sample.fires), predicate)
    row = sample.names.index(predicate.attribute)
    inside = np.isin(sample.values[row], predicate.codes)[sample.which[row]]
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
    """Grows a tree over tokens given by their place in the sample."""

    def __init__(self, sample: Sample, weight: np.ndarray, prior: tuple[np.ndarray, np.ndarray] | None) -> None:
        self.sample, self.weight, self.prior = sample, weight, prior
        # One example's weight: as much is added to every value's share.
        self.one = 0.5 * (weight.max() + weight.min())
        # Four piles of weight by value: not firing and firing, in half 0 and 1.
        self.pile = 2 * sample.fires + sample.half

    def grow(self, at: np.ndarray, depth: int) -> Predicate:
        sample, weight = self.sample, self.weight[at]
        fires = float(weight[sample.fires[at]].sum())
        others = float(weight.sum()) - fires
        majority = fires > others
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
        best, found, pile = LEAST_GAIN, None, self.pile[at]
        for row, values in enumerate(self.sample.values):
            count, prior = len(values), self.prior if row == 0 else None
            if count < 2:
                continue
            piles = np.bincount(pile * count + self.sample.which[row, at], weight, 4 * count).reshape(2, 2, count)
            gain = 0.0
            for half in (0, 1):
                chosen = _best_set(piles[0, half], piles[1, half], self.one, prior)
                others, fires = piles[:, 1 - half]
                gain += float(_gain(others[chosen].sum(), fires[chosen].sum(), others.sum(), fires.sum()))
            if gain > best:
                best, found = gain, (row, _best_set(*piles.sum(1), self.one, prior))
        return found


def _best_set(
    others: np.ndarray, fires: np.ndarray, one: float, prior: tuple[np.ndarray, np.ndarray] | None
) -> np.ndarray:
    """Of values with weights (k,) those to ask for: of the highest share of firing, as many as save most entropy."""
    total = others.sum(), fires.sum()
    if not sum(total):
        return np.empty(0, np.int64)
    known = others + fires, fires
    if prior is not None:
        known = known[0] + prior[0] + prior[1], fires + prior[1]
    seen = np.flatnonzero(known[0])
    # A value seen once says little: each is given the node's own share, with the weight of one example.
    share = (known[1][seen] + one * total[1] / sum(total)) / (known[0][seen] + one)
    order = seen[np.argsort(-share, kind="stable")[:LARGEST]]
    return order[: int(_gain(others[order].cumsum(), fires[order].cumsum(), *total).argmax()) + 1]


def _gain(others: np.ndarray, fires: np.ndarray, all_others: float, all_fires: float) -> np.ndarray:
    """Weighted entropy in nats that dividing off a part saves."""
    return (
        _entropy(all_others, all_fires) - _entropy(others, fires) - _entropy(all_others - others, all_fires - fires)
    )


def _entropy(others: np.ndarray | float, fires: np.ndarray | float) -> np.ndarray:
    others, fires = np.maximum(others, 1e-12), np.maximum(fires, 1e-12)
    both = others + fires
    return both * np.log(both) - others * np.log(others) - fires * np.log(fires)
