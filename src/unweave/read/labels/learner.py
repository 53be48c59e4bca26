"""Learns a small predicate that tells where a feature fires from where it does not: a tree of at most three questions.

Each question is whether an attribute is one of a set, the set being the values most of whose tokens fire; for two
classes the best set is a run of the values in that order (Breiman et al., "Classification and Regression Trees", 1984,
section 4.2). With thousands of values that finds something in pure noise, so a question is worth what the set chosen
on one half of the windows gains on the other half.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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

    @classmethod
    def of(cls, names: tuple[str, ...], codes: np.ndarray, fires: np.ndarray, half: np.ndarray) -> Sample:
        """From codes (attributes, n)."""
        found = [np.unique(row, return_inverse=True) for row in codes]
        return cls(names, tuple(values for values, _ in found), np.stack([which for _, which in found]), fires, half)

    def part(self, chosen: np.ndarray) -> Sample:
        return Sample(self.names, self.values, self.which[:, chosen], self.fires[chosen], self.half[chosen])


def learn(sample: Sample) -> Predicate:
    """The tree for a sample; firing and not firing weigh the same, however many there are of each."""
    fires = int(sample.fires.sum())
    others = len(sample.fires) - fires
    if not fires or not others:
        return False
    weight = np.where(sample.fires, 0.5 / fires, 0.5 / others)
    return _grow(sample, weight, 0.5 * (weight.max() + weight.min()), DEPTH)


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
        rest = sample.part(~chosen)
        # Quarters within the half: questions of its tree are cross-validated too.
        quarter = np.arange(len(rest.fires)) % 2
        predicate = learn(Sample(rest.names, rest.values, rest.which, rest.fires, quarter))
        found[chosen] = evaluate(predicate, sample.part(chosen))
    return found


def _grow(sample: Sample, weight: np.ndarray, one: float, depth: int) -> Predicate:
    fires, others = weight[sample.fires].sum(), weight[~sample.fires].sum()
    majority = bool(fires > others)
    if depth == 0 or min(fires, others) < LEAST_SHARE:
        return majority
    found = _best_question(sample, weight, one)
    if found is None:
        return majority
    row, chosen = found
    inside = np.isin(np.arange(len(sample.values[row])), chosen)[sample.which[row]]
    if inside.all() or not inside.any():
        return majority
    then, otherwise = (_grow(sample.part(side), weight[side], one, depth - 1) for side in (inside, ~inside))
    if isinstance(then, bool) and then == otherwise:
        return then
    return Question(sample.names[row], tuple(sorted(sample.values[row][chosen].tolist())), then, otherwise)


def _best_question(sample: Sample, weight: np.ndarray, one: float) -> tuple[int, np.ndarray] | None:
    best, found = LEAST_GAIN, None
    # Four piles of weight by value: not firing and firing, in half 0 and 1.
    pile = 2 * sample.fires + sample.half
    for row, values in enumerate(sample.values):
        count = len(values)
        if count < 2:
            continue
        piles = np.bincount(pile * count + sample.which[row], weight, 4 * count).reshape(2, 2, count)
        gain = 0.0
        for half in (0, 1):
            chosen = _best_set(piles[0, half], piles[1, half], one)
            others, fires = piles[:, 1 - half]
            gain += float(_gain(others[chosen].sum(), fires[chosen].sum(), others.sum(), fires.sum()))
        if gain > best:
            best, found = gain, (row, _best_set(*piles.sum(1), one))
    return found


def _best_set(others: np.ndarray, fires: np.ndarray, one: float) -> np.ndarray:
    """Of values with weights (k,) those to ask for: of the highest share of firing, as many as save most entropy."""
    total = others.sum(), fires.sum()
    both = others + fires
    seen = np.flatnonzero(both)
    if not len(seen):
        return seen
    # A value seen once says little: each is given the node's own share, with the weight of one example.
    share = (fires[seen] + one * total[1] / sum(total)) / (both[seen] + one)
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
