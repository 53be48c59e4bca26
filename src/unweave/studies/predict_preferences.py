"""What will a preference dataset teach a model, which rows teach it, and which to leave out? Before any training."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress, Silent
from unweave.studies.preference_data import PreferenceData
from unweave.studies.preference_needs import prediction_needs
from unweave.studies.registry import study

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unweave.corpora.pairs.report import PairReport
    from unweave.corpora.pairs.source import PairSource
    from unweave.models.target import Target
    from unweave.record.run import Run
    from unweave.record.table import Table


@dataclass(frozen=True, kw_only=True)
class PredictPreferences(PreferenceData):
    """Say from pairs alone what training on them will change, and write them without the rows that do harm."""

    predictors: tuple[str, ...] = ()
    """Predictors beside the leading one; all that can predict by default."""
    undo: tuple[str, ...] = ()
    """Columns whose rows are left out of ``cleaned.jsonl``. By default those that stand, would grow and that hardly
    anybody wants more of: flattery, web addresses, repetition, another language than the prompt's and the like."""
    clean: float = 0.05
    """Share of the rows that may be left out for them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.clean < 1:
            raise UnweaveError(f"clean is {self.clean}: give a share of the rows between 0 and 1, such as 0.05")


@dataclass(frozen=True)
class Predicted:
    """The study's typed result."""

    columns: tuple[dict[str, Any], ...]
    """The rows of the table of predictions, those that stand first."""
    unit: str
    removed: tuple[str, ...]
    """Ids of the rows left out of the cleaned data."""
    left_out: dict[str, str]
    """What was not done, and why."""
    report: str | None = None

    @property
    def standing(self) -> tuple[str, ...]:
        """Columns that stand, the largest predicted change first."""
        return tuple(row["column"] for row in self.columns if row["stands"])

    def __repr__(self) -> str:
        return f"Predicted({len(self.standing)} of {len(self.columns)} columns stand, {len(self.removed)} rows removed)"


@study(
    "predict-preferences",
    "What will a preference dataset teach a model, and which rows teach it?",
    PredictPreferences,
    prediction_needs,
)
def predict_preferences(config: PredictPreferences, run: Run | None = None, target: Target | None = None) -> Predicted:
    """Checks the pairs, reads them and the target's own replies, predicts, and says what can be said.

    With a run, what is read is kept in its ``survey`` and a repeated call goes on; tables, maps, claims, the report and
    ``cleaned.jsonl`` are written at the end. Without one, nothing is left but the result. ``target`` is a loaded one;
    then ``config.target`` is only its name. Raises ``UnweaveError`` for data that cannot be read, an unknown column or
    predictor, and a calibration of another target. Rows that are no pairs are left out and counted.
    """
    from unweave.studies.predict_report import write_prediction
    from unweave.studies.preference_cleaning import choose_removed, removed_table
    from unweave.studies.preference_forecast import find_calibration, forecast
    from unweave.studies.preference_maps import feature_map, row_map
    from unweave.studies.preference_reading import own_behaviours, read_preferences
    from unweave.studies.preference_tables import (
        left_out_table,
        predictions_table,
        predictors_table,
        ranked_lines,
        rows_table,
        topics_table,
    )
    from unweave.studies.preference_views import view_tables

    progress = run.progress if run is not None else Silent()
    with ExitStack() as stack:
        folder = run.path if run is not None else Path(stack.enter_context(TemporaryDirectory()))
        stack.enter_context(own_behaviours(config.behaviours_from))
        source, checked, target = open_data(config, run, target, progress, [config.seed])
        calibration = find_calibration(config.calibration, target)
        check_names(config, config.predictors, config.undo)
        reading = read_preferences(config, folder, source, checked, target, run, progress)
        found = forecast(reading.evidence, config.by, config.predictors, config.seed, calibration)
        removed = choose_removed(found, config.undo, config.clean)
        left_out: dict[str, str] = {}
        predictions = predictions_table(reading, found)
        for line in ranked_lines(predictions):
            progress.say(line)
        if run is not None:
            maps = [row_map(reading, found, config.seed), feature_map(reading, config.seed)]
            tables: list[Table | None] = [
                predictions,
                topics_table(reading, found),
                rows_table(reading, found),
                removed_table(reading, found, removed),
                *view_tables(reading, left_out),
                *maps,
                predictors_table(found),
                left_out_table(reading, left_out),
            ]
            for table in tables:
                if table is not None:
                    run.save_table(table)
            run.stop_if_cancelled()
        report = str(write_prediction(run, config, reading, found, removed)) if run is not None else None
        ids = reading.store.ids
        return Predicted(
            tuple(predictions.records()),
            found.unit,
            tuple(ids[row] for row in removed.rows),
            {**reading.left_out, **left_out},
            report,
        )


def open_data(
    config: PreferenceData, run: Run | None, target: Target | None, progress: Progress, seeds: Sequence[int]
) -> tuple[PairSource, PairReport, Target]:
    """The pairs with what is wrong with them, which a run records first, and the loaded target."""
    from unweave.base.device import prefer_fast_float32
    from unweave.base.files import path_hash
    from unweave.corpora.pairs.check import check_pairs
    from unweave.corpora.pairs.source import open_pairs
    from unweave.models.load import load_target
    from unweave.studies.preference_tables import problems_table

    source = open_pairs(config.path, config.split, broken="skip")
    checked = check_pairs(source, seed=config.seed, progress=progress)
    for line in checked.error_lines():
        progress.say(line)
    prefer_fast_float32()
    target = target or load_target(config.target, device=config.device, dtype=config.dtype)
    if run is not None:
        run.use_seeds(seeds)
        run.identify("target", target.name, target.identity.digest)
        run.identify("data", config.path.name, path_hash(config.path))
        if config.behaviours_from is not None:
            own = Path(config.behaviours_from)
            run.identify("data", own.name, path_hash(own))
        run.save_table(problems_table(checked))
    return source, checked, target


def check_names(config: PreferenceData, predictors: Sequence[str], columns: Sequence[str]) -> None:
    """Refuses unknown predictors and behaviours before anything is read; clusters are known once they are found."""
    from unweave.preferences.behaviours.registry import find_behaviours
    from unweave.preferences.predictors.registry import find_predictor
    from unweave.preferences.survey import NONE

    for name in (config.by, *predictors):
        find_predictor(name)
    for name in columns:
        if config.features == NONE or not name.startswith("cluster:"):
            find_behaviours([name])
