"""Calibration: from a predictor's own units to a change with a prediction interval, learnt on datasets trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unweave.base.errors import UnweaveError, nearest
from unweave.base.files import read_json, write_json
from unweave.preferences.evidence import Prediction
from unweave.preferences.predictors.registry import LEVEL
from unweave.preferences.truth.cells import side_by_side
from unweave.preferences.truth.observed import Observed

NORMAL = 1.959964
"""The normal distribution's quantile for an interval of 95 %."""


@dataclass(frozen=True)
class Slope:
    """What one unit of a predictor is worth."""

    slope: float
    """Observed over predicted change, by least squares through the origin on all datasets."""
    spread: float
    """Standard deviation of the datasets' own slopes; NaN for one dataset."""
    residual: float
    """Root mean square of what a dataset's own slope leaves over, noise of the observation included."""
    datasets: int


@dataclass(frozen=True)
class Calibration:
    """Slopes by predictor, good for one target trained by one recipe."""

    target: str
    """The target's digest."""
    recipe: Mapping[str, Any]
    """Every setting of the training that a slope depends on: epochs, learning rate, beta, rank and the like."""
    pairs: tuple[int, int]
    """Of the smallest and of the largest dataset that slopes were learnt on: more pairs are more steps, which change
    more."""
    slopes: Mapping[str, Slope]

    def changes(self, prediction: Prediction) -> Prediction:
        """The prediction in units of the target's spread, with an interval for what a new dataset will be seen to do.

        Its half-width is the root of the sum of squares of two parts: the spread of slopes times the prediction,
        widened by the mean slope's own error, by Student's t with one degree of freedom less than datasets; and the
        prediction's own error times the slope with the residual, by the normal quantile. With one dataset the ends are
        NaN. Raises ``UnweaveError`` for a predictor that was not calibrated.
        """
        from scipy.special import stdtrit

        if prediction.predictor not in self.slopes:
            raise UnweaveError(
                f"predictor {prediction.predictor!r} was not calibrated; {nearest(prediction.predictor, self.slopes)}"
            )
        found = self.slopes[prediction.predictor]
        own = found.slope * (prediction.high - prediction.low) / (2 * NORMAL)
        if found.datasets > 1:
            reach = stdtrit(found.datasets - 1, (1 + LEVEL) / 2) * math.sqrt(1 + 1 / found.datasets)
            half = np.sqrt((reach * found.spread * prediction.change) ** 2 + NORMAL**2 * (own**2 + found.residual**2))
        else:
            half = np.full(len(prediction.names), np.nan)
        change = found.slope * prediction.change
        low, high = ((change + side * half).astype(np.float32) for side in (-1, 1))
        shares = (found.slope * prediction.shares).astype(np.float32)
        return Prediction(prediction.predictor, prediction.names, change.astype(np.float32), low, high, shares)

    def check(self, target: str, recipe: Mapping[str, Any]) -> None:
        """Raises ``UnweaveError`` naming the first difference where this was learnt on another target or recipe."""
        if target != self.target:
            raise UnweaveError(
                f"calibrated on the target {self.target[:12]}, not on {target[:12]}: calibrate on this one"
            )
        for name in sorted({*recipe, *self.recipe}):
            if recipe.get(name) != self.recipe.get(name):
                raise UnweaveError(
                    f"calibrated with {name} {self.recipe.get(name)!r}, not {recipe.get(name)!r}: train alike, or "
                    "calibrate anew"
                )

    def to_json(self) -> dict[str, Any]:
        """Plain values, NaN as None."""
        slopes = {
            name: {what: None if value != value else value for what, value in asdict(each).items()}
            for name, each in self.slopes.items()
        }
        return {"target": self.target, "recipe": dict(self.recipe), "pairs": list(self.pairs), "slopes": slopes}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Calibration:
        """Back from ``to_json``; raises ``UnweaveError`` where something is missing."""
        try:
            slopes = {
                str(name): Slope(
                    float(each["slope"]),
                    math.nan if each["spread"] is None else float(each["spread"]),
                    float(each["residual"]),
                    int(each["datasets"]),
                )
                for name, each in value["slopes"].items()
            }
            fewest, most = value["pairs"]
            return cls(str(value["target"]), dict(value["recipe"]), (int(fewest), int(most)), slopes)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UnweaveError(f"not a calibration ({type(error).__name__}: {error}): calibrate again") from error

    def save(self, path: Path) -> None:
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> Calibration:
        return cls.from_json(read_json(path))


def calibrate(
    predictions_by_dataset: Mapping[str, Sequence[Prediction]],
    observed_by_dataset: Mapping[str, Sequence[Observed]],
    target: str,
    recipe: Mapping[str, Any],
) -> Calibration:
    """Slopes from datasets that were predicted and then trained on, one run a seed; all columns and cells count.

    Raises ``UnweaveError`` where predictions and observations do not belong together, and for a predictor that said
    nothing of any dataset.
    """
    cells = side_by_side(predictions_by_dataset, observed_by_dataset)
    slopes = {}
    for predictor in cells.predicted:
        predicted = cells.of(predictor)
        products, squares, own, left = 0.0, 0.0, [], []
        for index in range(len(cells.datasets)):
            p, o = predicted[cells.dataset == index], cells.observed[cells.dataset == index]
            products, squares = products + float((p * o).sum()), squares + float((p * p).sum())
            fitted = float((p * o).sum() / (p * p).sum()) if p.any() else math.nan
            own.append(fitted)
            left.append((o - (fitted if p.any() else 0.0) * p).ravel())
        if not squares:
            raise UnweaveError(f"predictor {predictor!r} said of every dataset that nothing changes: leave it out")
        usable = np.array(own)[np.isfinite(own)]
        spread = float(usable.std(ddof=1)) if len(usable) > 1 else math.nan
        residual = math.sqrt(float((np.concatenate(left) ** 2).mean()))
        slopes[predictor] = Slope(products / squares, spread, residual, len(usable))
    sizes = [len(each.shares) for predictions in predictions_by_dataset.values() for each in predictions]
    return Calibration(target, dict(recipe), (min(sizes), max(sizes)), slopes)
