"""Cells: predicted and observed changes side by side, one cell a training run and column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from unweave.base.errors import UnweaveError, nearest
from unweave.preferences.evidence import Prediction
from unweave.preferences.truth.observed import Observed

CLUSTER = "cluster:"
"""Begins the name of a column that is a cluster of features."""


@dataclass(frozen=True)
class Cells:
    """Runs by columns: ``dataset[k]`` says which of ``datasets`` run k was trained on; its seeds share a prediction."""

    datasets: tuple[str, ...]
    names: tuple[str, ...]
    dataset: Int64[np.ndarray, " k"]
    predicted: Mapping[str, Float64[np.ndarray, "d m"]]
    """By predictor, one row a dataset."""
    observed: Float64[np.ndarray, "k m"]
    error: Float64[np.ndarray, "k m"]
    reliability: Float64[np.ndarray, "k m"]

    def of(self, predictor: str) -> Float64[np.ndarray, "k m"]:
        """What a predictor says of each run; raises ``UnweaveError`` with the nearest for one that was not asked."""
        if predictor not in self.predicted:
            raise UnweaveError(f"predictor {predictor!r} predicted nothing here; {nearest(predictor, self.predicted)}")
        return self.predicted[predictor][self.dataset]


def side_by_side(
    predictions_by_dataset: Mapping[str, Sequence[Prediction]], observed_by_dataset: Mapping[str, Sequence[Observed]]
) -> Cells:
    """Puts together what was predicted of each dataset and what its runs, one a seed, then did.

    Raises ``UnweaveError`` where a dataset is on one side only, or datasets differ in columns or predictors.
    """
    datasets = tuple(sorted(observed_by_dataset))
    if set(datasets) != set(predictions_by_dataset) or not datasets:
        odd = sorted(set(datasets) ^ set(predictions_by_dataset))
        raise UnweaveError(f"datasets {odd} are predicted or observed, not both: {len(datasets)} were observed")
    names = predictions_by_dataset[datasets[0]][0].names if predictions_by_dataset[datasets[0]] else ()
    predictors = [each.predictor for each in predictions_by_dataset[datasets[0]]]
    predicted: dict[str, list[np.ndarray]] = {name: [] for name in predictors}
    runs: list[int] = []
    seen: list[Observed] = []
    for index, dataset in enumerate(datasets):
        predictions = {each.predictor: each for each in predictions_by_dataset[dataset]}
        if sorted(predictions) != sorted(predictors) or not predictors:
            raise UnweaveError(
                f"dataset {dataset!r} is predicted by {sorted(predictions)}, others by {sorted(predictors)}"
            )
        for name, each in predictions.items():
            if each.names != names:
                raise UnweaveError(
                    f"{name!r} predicts other columns of {dataset!r} than of {datasets[0]!r}: measure alike"
                )
            predicted[name].append(each.change.astype(np.float64))
        if not observed_by_dataset[dataset]:
            raise UnweaveError(f"dataset {dataset!r} has no run: train on it, or leave it out")
        for each in observed_by_dataset[dataset]:
            missing = [name for name in names if name not in each.names]
            if missing:
                raise UnweaveError(
                    f"column {missing[0]!r} was predicted of {dataset!r} and not observed: measure it too"
                )
            seen.append(each)
            runs.append(index)
    places = [[one.names.index(name) for name in names] for one in seen]
    stacked = {
        what: np.stack([getattr(one, what)[place] for one, place in zip(seen, places, strict=True)])
        for what in ("change", "error", "reliability")
    }
    return Cells(
        datasets,
        names,
        np.array(runs, np.int64),
        {name: np.stack(rows) for name, rows in predicted.items()},
        stacked["change"],
        stacked["error"],
        stacked["reliability"],
    )


def views(names: Sequence[str]) -> dict[str, Bool[np.ndarray, " m"]]:
    """Which columns each view holds: ``all``, ``behaviours`` and ``clusters``, those that hold any."""
    clusters = np.array([name.startswith(CLUSTER) for name in names])
    found = {"all": np.ones(len(names), bool), "behaviours": ~clusters, "clusters": clusters}
    return {name: columns for name, columns in found.items() if columns.any()}
