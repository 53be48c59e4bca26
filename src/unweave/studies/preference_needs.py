"""What the studies of preference data need of a machine, reckoned from their configs before anything is loaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from unweave.base.memory import may_have_gpu
from unweave.base.needs import Needs
from unweave.studies.removal_needs import BASE_GB, GB, SMALL, SMOLLM2, START_SECONDS, TOKENS_A_SECOND, target_parameters

if TYPE_CHECKING:
    from unweave.studies.preference_data import PreferenceData
    from unweave.studies.trace_preferences import TracePreferences

BYTES_A_PAIR, BYTES_A_TOKEN = 1500.0, 4.0
KEPT_A_PAIR = 12_000.0
"""Bytes of values, mean states, words and each predictor's shares that are held of a pair."""
GRADIENT_PAIRS = 2000
BACKWARD = 3.0
"""A backward pass with its forward one, in forward passes."""
LEAST_SECONDS = 60.0
"""Of clusters, views, maps and the report."""
MARGIN = 3.0
"""Of the time that is likely: the estimate is of a machine that does nothing else."""


def prediction_needs(config: PreferenceData) -> Needs:
    """Threads, memory by target and data, disk, and the seconds after which something is wrong."""
    parameters, size = target_parameters(config.target), data_bytes(config.path)
    pairs = size / BYTES_A_PAIR
    tokens = size / BYTES_A_TOKEN + config.questions * config.samples * config.most
    if config.gradient or (config.gradient is None and pairs <= GRADIENT_PAIRS):
        tokens += BACKWARD * size / BYTES_A_TOKEN
    seconds = START_SECONDS + LEAST_SECONDS + parameters / SMOLLM2 * tokens / TOKENS_A_SECOND
    return _needs(config, parameters, pairs, 1.5, seconds)


def trace_needs(config: TracePreferences) -> Needs:
    """As for a prediction, and the trainings where there are some."""
    found = prediction_needs(config)
    if not config.retrain:
        return found
    parameters, size = target_parameters(config.target), data_bytes(config.path)
    trainings = config.seeds * (1 + 2 * len(config.fractions))
    epochs = config.epochs or (2 if parameters < SMALL else 1)
    trained = BACKWARD * 2 * epochs * size / BYTES_A_TOKEN
    tokens = trainings * (trained + config.questions * config.samples * config.most)
    seconds = found.seconds / MARGIN + parameters / SMOLLM2 * tokens / TOKENS_A_SECOND
    return _needs(config, parameters, size / BYTES_A_PAIR, 3.0, seconds)


def _needs(config: PreferenceData, parameters: float, pairs: float, passes: float, seconds: float) -> Needs:
    held = parameters * (4 if config.dtype == "float32" else 2) / GB
    data = pairs * KEPT_A_PAIR / GB
    on_gpu = config.device == "cuda" or (config.device is None and may_have_gpu())
    return Needs(
        threads=float(min(1 if parameters < SMALL else 2, os.cpu_count() or 1)),
        memory_gb=round(BASE_GB + data + (held if on_gpu else passes * held), 2),
        gpu_gb=round(BASE_GB + passes * held, 2) if on_gpu else 0.0,
        disk_gb=round(0.1 + pairs * KEPT_A_PAIR / GB, 2),
        seconds=round(MARGIN * seconds),
    )


def data_bytes(path: Path) -> float:
    """Bytes of a data file, or of all files of a folder; 0 where nothing is, which the study will refuse."""
    if path.is_file():
        return float(path.stat().st_size)
    return float(sum(each.stat().st_size for each in path.rglob("*") if each.is_file())) if path.is_dir() else 0.0
