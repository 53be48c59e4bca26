"""What ``remove-language`` needs of a machine, reckoned from its config before anything is loaded."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError
from unweave.base.memory import may_have_gpu
from unweave.base.needs import Needs

if TYPE_CHECKING:
    from unweave.studies.remove_language import RemoveLanguage

GB = 1e9
SMOLLM2 = 134_515_008
"""Parameters of the target that the seconds below are of."""
CELL_SECONDS = {
    "factor": 3.0,
    "factor-plain": 2.0,
    "ablation": 0.1,
    "least-variance": 3.0,
    "mean-difference": 3.0,
    "random-subcomponent": 3.0,
    "always-on-subcomponent": 2.0,
    "lora-1-here": 17.0,
    "lora-1-here-scaled": 12.0,
    "lora-1-here-kl-all": 38.0,
    "factors-16": 17.0,
    "lora-1": 139.0,
    "lora-4": 32.0,
    "lora-1-here-equal-total": 810.0,
}
"""Seconds to make one edit on SmolLM2-135M with two threads: the longest row of each method in the record of German."""
TOKENS_A_SECOND = 600.0
"""Of a forward pass there."""
LEAST_CELL_SECONDS = 5.0
"""Of a cell on a target so small that its passes take no time: 31 cells on polyglot take three minutes."""
SMALL = 20_000_000
"""Parameters below which a second thread gains nothing: two runs beside each other get done in half the time."""
START_SECONDS = 20.0
BASE_GB = 0.6
"""Of Python, torch and what they import. Measured were 0.54 GB altogether on polyglot, and on SmolLM2 1.0 GB for one
number and 1.7 GB for a LoRA in every matrix."""
SIZE_IN_NAME = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)([mb])(?![a-z])", re.IGNORECASE)


def removal_needs(config: RemoveLanguage) -> Needs:
    """Threads, memory by the target's size and type of numbers, disk, and the seconds that it is likely to take."""
    config = config.resolved()
    parameters = target_parameters(config.target)
    labels = 5 + len(config.also) + (80 if "all" in config.left_out else len(config.left_out))
    cells = cell_counts(config)
    count = sum(cells.values())
    tokens = 64 * labels * (config.windows * count + config.selection_windows)
    share = parameters / SMOLLM2
    made = sum(times * max(LEAST_CELL_SECONDS, CELL_SECONDS[name] * share) for name, times in cells.items())
    seconds = START_SECONDS + made + share * tokens / TOKENS_A_SECOND
    trained = any(name.startswith("lora") for name in cells)
    held = parameters * (4 if config.dtype == "float32" else 2) / GB
    work = held * (3.0 if trained else 1.5)
    on_gpu = config.device == "cuda" or (config.device is None and may_have_gpu())
    return Needs(
        threads=float(min(1 if parameters < SMALL else 2, os.cpu_count() or 1)),
        memory_gb=round(BASE_GB + (held if on_gpu else work), 2),
        gpu_gb=round(BASE_GB + work, 2) if on_gpu else 0.0,
        disk_gb=round(0.05 + 0.001 * count, 2),
        seconds=round(seconds),
    )


def cell_counts(config: RemoveLanguage) -> dict[str, int]:
    """About how many edits of each method are made; exactly how many is known once torch is there."""
    every = len(config.tokens) * config.seeds
    counts = {name: 1 if name == "ablation" else every for name in config.methods}
    if "lora-1-here-equal-total" in counts:
        counts["lora-1-here-equal-total"] = min(config.seeds, 2)
    if config.strict and "factor" in counts:
        counts["factor"] += config.seeds
    return counts


def target_parameters(target: str) -> float:
    """How many parameters a target has: by its files, else by its name; half a billion where neither says."""
    from unweave.models.named import resolve

    try:
        where = resolve(target)
    except UnweaveError:
        where = target
    if isinstance(where, Path):
        if where.is_file():
            # As in SmolLM2's: most numbers of four bits with their scales, and the embedding of more.
            return where.stat().st_size * 8 / 5.8
        return sum(path.stat().st_size for path in where.glob("*.safetensors")) / 4
    found = SIZE_IN_NAME.findall(str(where))
    return float(found[-1][0]) * (1e9 if found[-1][1] in "bB" else 1e6) if found else 5e8
