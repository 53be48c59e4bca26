"""Which rows of a preference dataset does one predicted change come from, and does leaving them out undo it?"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from unweave.base.errors import NothingFound, UnweaveError
from unweave.base.progress import Silent
from unweave.studies.predict_preferences import check_names, open_data
from unweave.studies.preference_bench import PreferenceTraining
from unweave.studies.preference_data import PreferenceData
from unweave.studies.preference_needs import trace_needs
from unweave.studies.registry import study

if TYPE_CHECKING:
    from unweave.models.target import Target
    from unweave.record.run import Run
    from unweave.studies.preference_forecast import Forecast


@dataclass(frozen=True, kw_only=True)
class TracePreferences(PreferenceTraining, PreferenceData):
    """Trace one predicted change to its rows, and train without them to see what that undoes."""

    column: str | None = None
    """A behaviour, or a cluster of features; by default the one that stands with the largest predicted change."""
    fractions: tuple[float, ...] = (0.05,)
    """Shares of the rows that are left out, those that push the column most; several make a curve."""
    retrain: bool = False
    """Whether to train: on all rows, without those, and without as many drawn at random. A fifth of the prompts is
    then held out: no pair of theirs is traced or trained on, and their questions are what the change is seen on."""
    seeds: int = 3
    """Seeds of training; each has its own random rows."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_training()
        if not self.fractions or not all(0 < each < 1 for each in self.fractions):
            raise UnweaveError(f"fractions is {self.fractions}: give shares of the rows between 0 and 1, such as 0.05")
        if list(self.fractions) != sorted(set(self.fractions)):
            raise UnweaveError(f"fractions is {self.fractions}: give each once, the smallest first")


@dataclass(frozen=True)
class Traced:
    """The study's typed result."""

    column: str
    change: float
    unit: str
    rows: tuple[str, ...]
    """Ids of the rows that hold half of all pushes with the change, the strongest first."""
    undoing: tuple[dict[str, Any], ...] = ()
    """What leaving rows out undid, where it was trained: the rows of that table."""
    report: str | None = None

    def __repr__(self) -> str:
        return f"Traced({self.column} {self.change:+.3f} {self.unit}, half of all pushes in {len(self.rows)} rows)"


@study(
    "trace-preferences",
    "Which rows does a predicted change come from, and does leaving them out undo it?",
    TracePreferences,
    trace_needs,
)
def trace_preferences(config: TracePreferences, run: Run | None = None, target: Target | None = None) -> Traced:
    """Reads and predicts as ``predict-preferences`` does, ranks rows by what they add, and trains if asked to.

    Whatever was read, and every finished training, is kept in the run's folder, and a repeated call goes on. Raises
    ``NothingFound`` where no column is named and none stands, and ``UnweaveError`` as ``predict-preferences`` does,
    for an unknown column, and for data with too few prompts to hold some out.
    """
    import numpy as np

    from unweave.preferences.held_out import SHARE
    from unweave.studies.preference_forecast import find_calibration, forecast
    from unweave.studies.preference_reading import own_behaviours, read_preferences
    from unweave.studies.prove_analysis import rows_of
    from unweave.studies.trace_report import write_trace
    from unweave.studies.trace_retraining import retrain

    progress = run.progress if run is not None else Silent()
    with ExitStack() as stack:
        folder = run.path if run is not None else Path(stack.enter_context(TemporaryDirectory()))
        stack.enter_context(own_behaviours(config.behaviours_from))
        seeds = config.training_seeds if config.retrain else [config.seed]
        source, checked, target = open_data(config, run, target, progress, seeds)
        calibration = find_calibration(config.calibration, target)
        check_names(config, (), (config.column,) if config.column is not None else ())
        reading = read_preferences(config, folder, source, checked, target, run, progress)
        kept = np.arange(len(reading))
        if config.retrain:
            kept = np.flatnonzero(reading.skim.places >= SHARE)
        evidence = reading.evidence if len(kept) == len(reading) else rows_of(reading.evidence, kept)
        found = forecast(evidence, config.by, (config.by,), config.seed, calibration)
        column = chosen_column(config, found)
        trained = retrain(config, reading, found, column, kept, folder, run) if config.retrain else None
        trace = found.trace(column)
        report, undoing = None, ()
        if trained is not None:
            undoing = tuple(trained.undoing.records())
        if run is not None:
            report = str(write_trace(run, config, reading, found, column, kept, trained))
        ids = reading.store.ids
        half = tuple(ids[kept[row]] for row in trace.covering())
        return Traced(column, float(found.leading.change[found.column(column)]), found.unit, half, undoing, report)


def chosen_column(config: TracePreferences, found: Forecast) -> str:
    """The column that is asked for, else the one that stands with the largest predicted change."""
    if config.column is not None:
        found.column(config.column)
        return config.column
    standing = found.standing_names()
    if not standing:
        raise NothingFound(
            f"none of {len(found.leading.names)} columns stands, so there is no change to trace: name a column to "
            "trace it all the same"
        )
    return standing[0]
