"""What is predicted of a dataset that was read, in what unit, and what of it can be said at all."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, nearest
from unweave.base.threads import one_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from unweave.models.target import Target
    from unweave.preferences.evidence import Evidence, Prediction
    from unweave.preferences.predictors.standing import Standing
    from unweave.preferences.trace import Trace
    from unweave.preferences.truth.calibration import Calibration

SPREADS = "spreads"
"""Standard deviations of a column over the untrained target's own replies, as a training will show them."""
RELATIVE = "relative"
"""A predictor's own units: nothing says how much of them a training will show."""
FEW = 4096
"""Pairs up to which one thread predicts: more threads would wait for one another most of the time."""


@dataclass(frozen=True)
class Forecast:
    """Predictions of one dataset: the leading predictor's first, in calibrated units where it is calibrated."""

    predictions: tuple[Prediction, ...] = field(repr=False)
    standing: Standing = field(repr=False)
    calibration: Calibration | None
    left_out: dict[str, str]
    """Predictors that could not predict here, and why."""

    @property
    def leading(self) -> Prediction:
        return self.predictions[0]

    @property
    def calibrated(self) -> bool:
        """Whether a change is in units of what training will be seen to do."""
        return self.calibration is not None and self.leading.predictor in self.calibration.slopes

    @property
    def unit(self) -> str:
        return SPREADS if self.calibrated else RELATIVE

    @property
    def order(self) -> np.ndarray:
        """Columns (m,): those that stand first, of each kind the largest predicted change first."""
        import numpy as np

        return np.lexsort((-np.abs(self.leading.change), ~self.standing.stands))

    def standing_names(self) -> list[str]:
        """Columns that stand, the largest predicted change first."""
        return [self.leading.names[column] for column in self.order if self.standing.stands[column]]

    def trace(self, name: str) -> Trace:
        """A column's change over the rows, by the leading predictor."""
        from unweave.preferences.trace import trace_change

        return trace_change(self.leading, name)

    def column(self, name: str) -> int:
        """Where a column stands in the predictions; raises ``UnweaveError`` with the nearest for an unknown one."""
        if name not in self.leading.names:
            raise UnweaveError(f"column {name!r} was not predicted; {nearest(name, self.leading.names)}")
        return self.leading.names.index(name)


def forecast(
    evidence: Evidence, by: str, predictors: Sequence[str], seed: int, calibration: Calibration | None
) -> Forecast:
    """Predicts by ``predictors`` (all that can by default) and by ``by``, which leads and is tested."""
    from unweave.preferences.predictors.registry import find_predictor, left_out, predict
    from unweave.preferences.predictors.standing import standing_of

    find_predictor(by)
    missing = left_out(evidence)
    names = [by, *(name for name in predictors if name != by)] if predictors else None
    with one_thread() if len(evidence) <= FEW else nullcontext():
        found = predict(evidence, names, seed)
        if by not in [each.predictor for each in found]:
            raise UnweaveError(f"predictor {by!r} cannot predict here: {missing[by]}")
        standing = standing_of(evidence, by, seed=seed)
    found.sort(key=lambda each: each.predictor != by)
    if calibration is not None:
        found = [calibration.changes(each) if each.predictor in calibration.slopes else each for each in found]
    return Forecast(tuple(found), standing, calibration, missing)


def default_recipe(target: Target) -> dict[str, Any]:
    """The settings that bundled calibrations were trained with, those of ``prove-predictions``, as JSON holds them."""
    from unweave.studies.preference_bench import dpo_settings
    from unweave.studies.prove_analysis import recipe
    from unweave.studies.prove_predictions import ProvePredictions

    settings = dpo_settings(ProvePredictions(), target)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in recipe(vars(settings)).items()}


def find_calibration(given: str | None, target: Target) -> Calibration | None:
    """The calibration of a file or run, else the bundled one of this target; None where there is none.

    One that is given may be of any recipe, and of no other target; a bundled one must be of the default recipe.
    """
    import unweave.preferences as room
    from unweave.preferences.truth.calibration import Calibration

    digest = target.identity.digest
    if given is not None:
        path = Path(given).expanduser()
        found = Calibration.load(path / "calibration.json" if path.is_dir() else path)
        found.check(digest, found.recipe)
        return found
    path = Path(room.__path__[0]) / "calibrations" / f"{digest}.json"
    if not path.is_file():
        return None
    found = Calibration.load(path)
    return found if found.target == digest and dict(found.recipe) == default_recipe(target) else None
