"""Labels of all features of a harvest as columns, for tables and search; a feature without one has an empty text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

CONFIDENCES = ("unclear", "weak", "clear")
"""From the least to the most."""


@dataclass(frozen=True)
class FeatureLabel:
    """One feature's label; ``scores`` holds what was measured on held-out examples (detection, fuzzing, ...)."""

    row: int
    text: str
    reads: str
    writes: str
    confidence: str
    labeler: str
    predicate: Mapping[str, Any] | None = None
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class FeatureLabels:
    """Labels by row. ``confidence`` is an index into ``CONFIDENCES``, -1 without a label; no score is NaN."""

    entries: Mapping[int, FeatureLabel]
    text: tuple[str, ...]
    confidence: np.ndarray
    detection: np.ndarray
    fuzzing: np.ndarray

    @classmethod
    def of(cls, count: int, entries: Iterable[FeatureLabel] = ()) -> FeatureLabels:
        """Columns for ``count`` features."""
        by_row = {entry.row: entry for entry in entries}
        text = [""] * count
        confidence = np.full(count, -1, np.int8)
        scores = {name: np.full(count, np.nan) for name in ("detection", "fuzzing")}
        for row, entry in by_row.items():
            text[row], confidence[row] = entry.text, CONFIDENCES.index(entry.confidence)
            for name, column in scores.items():
                column[row] = entry.scores.get(name, np.nan)
        return cls(by_row, tuple(text), confidence, **scores)

    @classmethod
    def load(cls, folder: Path, count: int) -> FeatureLabels:
        """The labels in a harvest's folder; columns of nothing where it has none."""
        if not (Path(folder) / "labels.parquet").exists():
            return cls.of(count)
        raise NotImplementedError

    def confidence_of(self, row: int) -> str | None:
        """``clear``, ``weak``, ``unclear``, or None without a label."""
        found = int(self.confidence[row])
        return None if found < 0 else CONFIDENCES[found]
