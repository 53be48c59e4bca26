"""Labels of all features of a harvest as columns, for tables and search; a feature without one has an empty text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unweave.base.errors import UnweaveError

if TYPE_CHECKING:
    from unweave.read.harvest.value import Harvest
    from unweave.read.labels.store import LabelRow

CONFIDENCES = ("unclear", "weak", "clear")
"""From the least to the most."""


@dataclass(frozen=True)
class FeatureLabels:
    """Labels by row. ``confidence`` is an index into ``CONFIDENCES``, -1 without a label; no score is NaN.

    ``note`` says why labels that are beside the harvest are not among them.
    """

    entries: Mapping[int, LabelRow]
    text: tuple[str, ...]
    confidence: np.ndarray
    detection: np.ndarray
    fuzzing: np.ndarray
    note: str = ""

    @classmethod
    def of(cls, count: int, entries: Iterable[LabelRow] = (), note: str = "") -> FeatureLabels:
        """Columns for ``count`` features."""
        by_row = {entry.row: entry for entry in entries}
        text = [""] * count
        confidence = np.full(count, -1, np.int8)
        detection, fuzzing = np.full(count, np.nan), np.full(count, np.nan)
        for row, entry in by_row.items():
            text[row], confidence[row] = entry.text, CONFIDENCES.index(entry.confidence)
            detection[row] = np.nan if entry.detection is None else entry.detection
            fuzzing[row] = np.nan if entry.fuzzing is None else entry.fuzzing
        return cls(by_row, tuple(text), confidence, detection, fuzzing, note)

    @classmethod
    def load(cls, folder: Path, harvest: Harvest) -> FeatureLabels:
        """The labels in a harvest's folder, or none; of damaged ones, and of another harvest's, only ``note``."""
        from unweave.read.labels.store import DESCRIPTION, Labels

        if not (Path(folder) / DESCRIPTION).is_file():
            return cls.of(len(harvest))
        try:
            labels = Labels.load(folder)
            labels.check_harvest(harvest)
        except UnweaveError as error:
            return cls.of(len(harvest), note=str(error))
        return cls.of(len(harvest), labels)

    @staticmethod
    def stamp(folder: Path) -> tuple[tuple[int, int, int] | None, ...]:
        """What differs once the labels in a harvest's folder are others."""
        from unweave.read.labels.store import DESCRIPTION, TABLE

        return tuple(_stamp(Path(folder, name)) for name in (DESCRIPTION, TABLE))

    def confidence_of(self, row: int) -> str | None:
        """``clear``, ``weak``, ``unclear``, or None without a label."""
        found = int(self.confidence[row])
        return None if found < 0 else CONFIDENCES[found]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
