"""What ``steer-manifold`` needs of a machine, reckoned from its config before anything is loaded."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from unweave.base.memory import may_have_gpu
from unweave.base.needs import Needs
from unweave.studies.removal_needs import BASE_GB, GB, SMALL, SMOLLM2, START_SECONDS, target_parameters

if TYPE_CHECKING:
    from unweave.studies.steer_manifold import SteerManifold

WORLDS = ("mountain-car", "modular-addition")
WORLD_SECONDS = 120.0
"""To train one world and to steer in it, three layers."""
SCAN_SECONDS = 180.0
"""Of a task of SmolLM2: the gate and the interchanges at every depth."""
STATES_A_SECOND = 150.0
"""Answers of SmolLM2 with one state replaced."""
WAYS = 4
MARGIN = 4.0
"""Of the time that is likely: the estimate is of a machine that does nothing else."""


def steer_needs(config: SteerManifold) -> Needs:
    """Threads, memory by the target's size where one is steered, and the seconds after which something is wrong."""
    tasks = [name for name in config.systems if name not in WORLDS]
    worlds = len(config.systems) - len(tasks)
    parameters = target_parameters(config.target) if tasks else 0
    states = config.layers * config.seeds * config.pairs * config.waypoints * config.bases * (WAYS + config.shuffles)
    seconds = START_SECONDS + worlds * config.seeds * WORLD_SECONDS
    seconds += parameters / SMOLLM2 * len(tasks) * (SCAN_SECONDS + states / STATES_A_SECOND)
    held = parameters * (4 if config.dtype == "float32" else 2) / GB
    on_gpu = bool(tasks) and (config.device == "cuda" or (config.device is None and may_have_gpu()))
    return Needs(
        threads=float(min(1 if parameters < SMALL else 2, os.cpu_count() or 1)),
        memory_gb=round(BASE_GB + 1.0 + (held if on_gpu else 1.5 * held), 2),
        gpu_gb=round(1.5 * held + 0.5, 2) if on_gpu else 0.0,
        disk_gb=0.1,
        seconds=round(MARGIN * seconds),
    )
