"""Scores of any unit made levels: monotone maps fitted to stories with gold, other stories than those tested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float64

from unweave.base.errors import UnweaveError
from unweave.corpora.stories import EMOTIONS

LEAST = 8


@dataclass(frozen=True)
class MonotoneMap:
    """A rising step line: ``levels`` at ``scores``, straight between them and constant outside."""

    scores: tuple[float, ...]
    levels: tuple[float, ...]

    def __call__(self, scores: Float[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        return np.interp(scores, self.scores, self.levels)


@dataclass(frozen=True)
class Calibration:
    """A map for each emotion, to 0 to 1, and one for valence, to -1 to 1."""

    emotions: tuple[MonotoneMap, ...]
    valence: MonotoneMap

    def apply(
        self, emotions: Float64[np.ndarray, "n 6"], valence: Float64[np.ndarray, " n"]
    ) -> tuple[Float64[np.ndarray, "n 6"], Float64[np.ndarray, " n"]]:
        """Levels of the emotions and of valence."""
        mapped = [each(emotions[:, column]) for column, each in enumerate(self.emotions)]
        return np.stack(mapped, axis=1), self.valence(valence)

    def to_json(self) -> dict[str, Any]:
        """All maps as plain JSON."""
        maps = {**dict(zip(EMOTIONS, self.emotions, strict=True)), "valence": self.valence}
        return {name: {"scores": list(each.scores), "levels": list(each.levels)} for name, each in maps.items()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Calibration:
        """The maps back from ``to_json``."""
        maps = {name: MonotoneMap(tuple(each["scores"]), tuple(each["levels"])) for name, each in value.items()}
        return cls(tuple(maps[name] for name in EMOTIONS), maps["valence"])


def fit_calibration(
    emotions: Float64[np.ndarray, "n 6"],
    valence: Float64[np.ndarray, " n"],
    gold_emotions: Float64[np.ndarray, "n 6"],
    gold_valence: Float64[np.ndarray, " n"],
) -> Calibration:
    """Isotonic regression of gold on scores, one emotion at a time (Barlow et al. 1972, by scikit-learn).

    Being monotone it changes no order of sentences, and where scores say nothing it gives the mean of the gold. Raises
    ``UnweaveError`` for fewer than 8 sentences and for values that are not finite.
    """
    given = (emotions, valence, gold_emotions, gold_valence)
    if len(emotions) < LEAST or not all(np.isfinite(each).all() for each in given):
        raise UnweaveError(
            f"{len(emotions)} sentences to calibrate on: give {LEAST} or more, with finite scores and gold"
        )
    maps = tuple(_fitted(emotions[:, column], gold_emotions[:, column], 0.0) for column in range(len(EMOTIONS)))
    return Calibration(maps, _fitted(valence, gold_valence, -1.0))


def _fitted(scores: np.ndarray, gold: np.ndarray, least: float) -> MonotoneMap:
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=least, y_max=1.0, increasing=True, out_of_bounds="clip").fit(scores, gold)
    return MonotoneMap(tuple(map(float, fitted.X_thresholds_)), tuple(map(float, fitted.y_thresholds_)))
