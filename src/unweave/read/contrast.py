"""How much more features matter on one label than on others, and which differ by more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from unweave.base.errors import UnweaveError, nearest
from unweave.base.seeds import numpy_generator

SHUFFLES = 50


@dataclass(frozen=True)
class Contrast:
    """One label against one other, or against all others (``against`` is None); both by their position."""

    label: int
    against: int | None

    @classmethod
    def parse(cls, text: str, labels: Sequence[str], names: Sequence[str] = ()) -> Contrast:
        """``de`` or ``de:en``, by the labels or their names (``German``); raises ``UnweaveError`` for any other."""
        if len(labels) < 2:
            raise UnweaveError(f"contrast {text!r} needs two labels, and this harvest has text of {len(labels)}")
        first, colon, second = (part.strip() for part in text.partition(":"))
        label = label_position(first, labels, names)
        against = label_position(second, labels, names) if colon else None
        if label == against:
            raise UnweaveError(f"contrast {text!r} compares {first!r} with itself: name two labels")
        return cls(label, against)

    def values(self, by_label: Float[np.ndarray, "*n labels"]) -> Float[np.ndarray, "*n"]:
        """The label's value minus the other's, or minus the largest of all others (selectivity)."""
        own = by_label[..., self.label]
        if self.against is not None:
            return own - by_label[..., self.against]
        others = np.delete(by_label, self.label, axis=-1)
        # A label without text says nothing, and must not hide what the others say.
        return own - np.max(np.where(np.isnan(others), -np.inf, others), axis=-1)


def label_position(label: str, labels: Sequence[str], names: Sequence[str] = ()) -> int:
    """Where a label stands among a harvest's, by itself or by its name; raises ``UnweaveError`` for any other."""
    if label in labels:
        return list(labels).index(label)
    folded = [name.casefold() for name in names]
    if label.casefold() in folded:
        return folded.index(label.casefold())
    raise UnweaveError(f"label {label!r} is not in this harvest; {nearest(label, [*labels, *names])}")


class ContrastTest:
    """Which features' contrasts exceed what the same search finds among shuffled windows.

    ``by_window`` is each feature's mean importance on some windows, of which ``label`` is known. Every feature is put
    in units of its own spread over windows; the control deals whole windows to labels at random and takes the largest
    contrast over all features (maxT of Westfall and Young, 1993), ``SHUFFLES`` times.
    """

    def __init__(
        self, by_window: Float[np.ndarray, "windows c"], label: Int[np.ndarray, " windows"], labels: int, seed: int = 0
    ) -> None:
        spread = by_window.std(0)
        # A feature that is the same on every window cannot differ between labels.
        self._scaled = np.divide(by_window, spread, out=np.zeros_like(by_window), where=spread > 0)
        self._label, self._labels, self._seed = label, labels, seed
        self._thresholds: dict[Contrast, float] = {}

    def differs(self, contrast: Contrast) -> np.ndarray:
        """bool [c]: features whose contrast is larger than the largest found under any shuffle."""
        observed = contrast.values(self._means(self._label).T)
        return np.nan_to_num(observed, nan=-np.inf, neginf=-np.inf) > self._threshold(contrast)

    def _threshold(self, contrast: Contrast) -> float:
        if contrast not in self._thresholds:
            if contrast.against is None:
                self._thresholds |= self._selectivity_thresholds
            else:
                self._thresholds[contrast] = max(
                    float(np.nanmax(contrast.values(means.T), initial=-np.inf)) for means in self._shuffled(contrast)
                )
        return self._thresholds[contrast]

    @cached_property
    def _selectivity_thresholds(self) -> dict[Contrast, float]:
        every = [Contrast(label, None) for label in range(self._labels)]
        found = dict.fromkeys(every, -np.inf)
        for means in self._shuffled():
            for contrast in every:
                found[contrast] = max(found[contrast], float(np.nanmax(contrast.values(means.T), initial=-np.inf)))
        return found

    def _shuffled(self, contrast: Contrast | None = None):
        for shuffle in range(SHUFFLES):
            order = numpy_generator(self._seed, "contrast", shuffle).permutation(len(self._label))
            wanted = None if contrast is None else (contrast.label, contrast.against)
            yield self._means(self._label[order], wanted)

    def _means(self, label: np.ndarray, wanted: Sequence[int | None] | None = None) -> Float[np.ndarray, "labels c"]:
        """Means by label; those of labels that were not asked for, or have no window, are NaN."""
        members = (label == np.arange(self._labels)[:, None]).astype(self._scaled.dtype)
        counts = members.sum(1, keepdims=True)
        rows = np.flatnonzero(counts[:, 0]) if wanted is None else [row for row in wanted if counts[row, 0]]
        means = np.full((self._labels, self._scaled.shape[1]), np.nan, self._scaled.dtype)
        means[rows] = (members[rows] / counts[rows]) @ self._scaled
        return means
