"""Held-out examples of one feature, dealt into trials: detection, fuzzing and intruder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unweave.base.seeds import numpy_generator
from unweave.read.features import FIRES
from unweave.read.harvest.value import Harvest
from unweave.read.labels.contexts import OUTSIDE, WIDTH, Contexts, contexts_at, contexts_of, highlights, join
from unweave.read.labels.neighbours import Neighbours

DETECTION_TRIALS, FUZZING_TRIALS, INTRUDER_TRIALS = 5, 5, 10
FIRING, OTHERS = 5, 5
RIGHT, WRONG = 5, 2
REAL = 4


@dataclass(frozen=True)
class Trial:
    """Contexts in random order and which of them are the ones to find (n,)."""

    contexts: Contexts
    truth: np.ndarray
    highlighted: np.ndarray | None = None
    """bool (n, 41): for fuzzing, the tokens that are marked; for detection the middle one is."""


@dataclass(frozen=True)
class ScoringSet:
    """Trials of one feature, all from held-out windows. Nothing in here says which feature it is.

    A list is empty where there are too few held-out examples for one trial.
    """

    detection: Sequence[Trial]
    """Five contexts where it fires on the middle token, five where others like it do and it does not."""
    fuzzing: Sequence[Trial]
    """Five contexts with the tokens it fires on marked, two with as many others marked."""
    intruder: Sequence[Trial]
    """Four contexts where it fires, one where others like it do."""
    strangers: Sequence[Trial]
    """The control: five contexts where others do, one of which is called the intruder."""


class ScoringSource:
    """Deals held-out examples of a harvest; the same for every order and subset of features."""

    def __init__(self, harvest: Harvest, seed: int = 0) -> None:
        self.harvest, self.seed = harvest, seed
        self._neighbours = Neighbours(harvest, held=True)
        # Examples are cut to the harvest's context: so is all that they are compared with.
        self._reach = harvest.facts.settings["context"]

    def of(self, row: int) -> ScoringSet:
        """The trials of one feature."""
        harvest, generator = self.harvest, numpy_generator(self.seed, "scoring", row)
        pool, length = harvest.pool, harvest.pool.length
        examples = harvest.examples(row, held=True)
        label = np.array([one.label for one in examples], np.int64)
        fires = contexts_of(examples)
        room = DETECTION_TRIALS * FIRING - len(examples)
        if room > 0:
            flat = pool.firing(row)[0]
            flat = flat[pool.held[flat // length]]
            seen = {(one.window, one.position) for one in examples}
            known = [(int(pool.window[at // length]), int(at % length)) in seen for at in flat.tolist()]
            flat = flat[~np.array(known, bool)] if len(flat) else flat
            flat = generator.permutation(flat)[:room]
            fires = join([fires, contexts_at(pool.tokens, flat, self._reach)])
            label = np.concatenate([label, pool.label[flat // length]])
        order = generator.permutation(len(fires))
        fires, label = fires[order], label[order]
        kept = fires[: DETECTION_TRIALS * FIRING]
        by_label = np.bincount(label[: len(kept)], minlength=len(harvest.facts.labels))
        others = self._others(row, by_label, generator)
        masks = highlights([one.importance > FIRES for one in examples], examples) > 0
        return ScoringSet(
            _detection(kept, others, generator),
            _fuzzing(contexts_of(examples), masks, generator),
            _intruders(fires, others, generator),
            _intruders(others, others, generator),
        )

    def _others(self, row: int, by_label: np.ndarray, generator: np.random.Generator) -> Contexts:
        count = int(by_label.sum())
        if not count:
            return join([])
        flat = self._neighbours.places(row, by_label, count, generator)
        return contexts_at(self.harvest.pool.tokens, generator.permutation(flat), self._reach)


def _detection(fires: Contexts, others: Contexts, generator: np.random.Generator) -> list[Trial]:
    count = min(DETECTION_TRIALS, len(fires) // FIRING, len(others) // OTHERS)
    truth = np.arange(FIRING + OTHERS) < FIRING
    found = []
    for trial in range(count):
        contexts = join([fires[trial * FIRING : (trial + 1) * FIRING], others[trial * OTHERS : (trial + 1) * OTHERS]])
        order = generator.permutation(len(contexts))
        found.append(Trial(contexts[order], truth[order]))
    return found


def _fuzzing(fires: Contexts, marked: np.ndarray, generator: np.random.Generator) -> list[Trial]:
    other = (fires.tokens != OUTSIDE) & ~marked
    # Where it fires on nearly every token there are not as many others to mark.
    usable = np.flatnonzero(other.sum(1) >= marked.sum(1))
    each = RIGHT + WRONG
    found = []
    for trial in range(min(FUZZING_TRIALS, len(usable) // each)):
        rows = usable[trial * each : (trial + 1) * each]
        truth = np.arange(each) < RIGHT
        shown = marked[rows].copy()
        for at in np.flatnonzero(~truth):
            row = rows[at]
            places = generator.choice(np.flatnonzero(other[row]), int(marked[row].sum()), replace=False)
            shown[at] = np.isin(np.arange(WIDTH), places)
        order = generator.permutation(each)
        found.append(Trial(fires[rows[order]], truth[order], shown[order]))
    return found


def _intruders(fires: Contexts, others: Contexts, generator: np.random.Generator) -> list[Trial]:
    """Trials as long as there are contexts that no other trial has: trials that share some are not independent."""
    if fires is others:
        count = len(fires) // (REAL + 1)
        fires, others = fires[: REAL * count], fires[REAL * count :]
    count = min(INTRUDER_TRIALS, len(fires) // REAL, len(others))
    found = []
    for trial in range(count):
        contexts = join([fires[trial * REAL : (trial + 1) * REAL], others[[trial]]])
        order = generator.permutation(REAL + 1)
        found.append(Trial(contexts[order], (np.arange(REAL + 1) == REAL)[order]))
    return found
