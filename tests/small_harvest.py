"""A harvest of six features made by hand, for what only reads one: every number is known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from unweave.read.features import FIRES
from unweave.read.harvest.value import TokenCounts
from unweave.read.labels.store import LabelRow

GROUPS = (("h.0.up", 4), ("h.1.down", 2))
LABELS, NAMES = ("en", "de", "fr"), ("English", "German", "French")
TEXT = ["der", " der", "Der", " and", ",", "dog"]
WINDOWS, LENGTH = 60, 4
# Feature 0 is about German, 1 somewhat, 2 is the same on all, 3 never fires, 4 about French, 5 about nothing.
BY_LABEL = np.array([[0.0, 0.9, 0.1], [0.1, 0.5, 0.1], [0.5, 0.5, 0.5], [0, 0, 0], [0.0, 0.1, 0.7], [0.3, 0.3, 0.3]])
FIRING = np.array([40, 30, 120, 0, 32, 60])


class SmallHarvest:
    """Looks like ``Harvest`` to those who only read it."""

    groups = GROUPS
    firing = FIRING
    density = FIRING / (WINDOWS * LENGTH)
    importance_by_label = BY_LABEL
    importance_mean = np.array([0.9, 0.6, 0.5, 0.0, 0.7, 0.3])
    activation_mean = np.array([2.0, -1.0, 0.5, 0.0, 0.1, 3.0])
    tokens_by_label = np.array([80, 80, 80])
    facts = SimpleNamespace(labels=LABELS, label_names=NAMES)
    vocabulary = SimpleNamespace(text=TEXT, count=np.array([10, 20, 5, 50, 40, 8]))

    def __len__(self):
        return len(FIRING)

    def row(self, name):
        names = [f"{group}:{index}" for group, count in GROUPS for index in range(count)]
        return names.index(name)

    def input_tokens(self, row):
        counted = {0: {0: 9, 1: 18}, 1: {1: 10, 3: 10, -1: 10}, 2: {3: 40, 4: 30}, 4: {4: 10, 5: 8}, 5: {5: 1, 3: 49}}
        found = counted.get(row, {})
        return TokenCounts(np.array(list(found), int), np.array(list(found.values()), int))

    def partners(self, row):
        pairs = {0: [(1, 20, 0.5), (2, 5, 0.1)]}.get(row, [])
        return SimpleNamespace(
            partner=np.array([p for p, _, _ in pairs], int),
            together=np.array([t for _, t, _ in pairs], int),
            jaccard=np.array([j for _, _, j in pairs], float),
        )

    @property
    def pool(self):
        """Windows of which every label has twenty; each feature's importance there scatters around its mean."""
        owner = np.arange(WINDOWS) % 3
        generator = np.random.default_rng(0)
        entries = []
        for row in range(len(self)):
            for window in range(WINDOWS):
                strength = BY_LABEL[row, owner[window]] * generator.uniform(0.7, 1.1)
                if strength > FIRES:
                    entries.append((row, window * LENGTH + window % LENGTH, min(strength, 1.0)))
        row, position, importance = map(np.array, zip(*entries, strict=True))
        return SimpleNamespace(
            tokens=np.zeros((WINDOWS, LENGTH), int),
            label=owner,
            entries=lambda: (row, position, importance, importance),
        )


def label(row, text, confidence="clear", detection=None, **scores):
    """A label's row in its table."""
    name = [f"{group}:{index}" for group, count in GROUPS for index in range(count)][row] if row < 6 else str(row)
    return LabelRow(row, name, text, text, "", confidence, "by hand", "", "hand", detection=detection, **scores)
