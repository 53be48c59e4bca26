"""How much more features matter on one label than on others, and which differ by more than chance."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from unweave.base.errors import UnweaveError, nearest
from unweave.base.seeds import numpy_generator

SHUFFLES = 50
_FEW_LABELS = 10
_AT_ONCE = 2048
"""Features whose shuffled means are held in memory together."""


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
        orders = [numpy_generator(seed, "contrast", shuffle).permutation(len(label)) for shuffle in range(SHUFFLES)]
        self._weights = np.stack([_mean_weights(label[order], labels) for order in (np.arange(len(label)), *orders)])
        self._found: dict[Contrast, np.ndarray] = {}

    def differs(self, contrast: Contrast) -> Bool[np.ndarray, " c"]:
        """Features whose contrast is larger than the largest found under any shuffle."""
        if contrast not in self._found:
            self._measure(self._together(contrast))
        return self._found[contrast]

    def _together(self, contrast: Contrast) -> list[Contrast]:
        """What takes about as long as one: every contrast of a few labels, each of many labels against all others."""
        labels = range(self._weights.shape[1])
        if len(labels) > _FEW_LABELS and contrast.against is not None:
            return [contrast]
        pairs = itertools.permutations(labels, 2) if len(labels) <= _FEW_LABELS else ()
        return [*(Contrast(label, None) for label in labels), *(Contrast(*pair) for pair in pairs)]

    def _measure(self, contrasts: Sequence[Contrast]) -> None:
        count = self._scaled.shape[1]
        observed = np.empty((len(contrasts), count), np.float32)
        largest = np.full(len(contrasts), -np.inf)
        needed = sorted({label for each in contrasts for label in (each.label, each.against) if label is not None})
        if any(each.against is None for each in contrasts):
            needed = list(range(self._weights.shape[1]))
        weights = self._weights[:, needed]
        for start in range(0, count, _AT_ONCE):
            means = np.full((len(weights), self._weights.shape[1], min(_AT_ONCE, count - start)), np.nan, np.float32)
            means[:, needed] = weights @ self._scaled[:, start : start + _AT_ONCE]
            by_label = np.moveaxis(means, 1, -1)
            for place, contrast in enumerate(contrasts):
                values = np.nan_to_num(contrast.values(by_label), nan=-np.inf, neginf=-np.inf)
                observed[place, start : start + _AT_ONCE] = values[0]
                largest[place] = max(largest[place], values[1:].max(initial=-np.inf))
        self._found |= dict(zip(contrasts, observed > largest[:, None], strict=True))


def _mean_weights(label: Int[np.ndarray, " windows"], labels: int) -> Float[np.ndarray, "labels windows"]:
    """What windows are weighed with in each label's mean; NaN for a label that has none."""
    members = (label == np.arange(labels)[:, None]).astype(np.float32)
    with np.errstate(invalid="ignore"):
        return members / members.sum(1, keepdims=True)
