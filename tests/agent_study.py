"""A study for agents to ask: which of 32 inputs carries an output of a linear model, measured on drawn rows.

Of even models one input carries the first output alone; of odd ones it carries the second output too.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unweave.base.errors import NothingFound, UnweaveError
from unweave.base.needs import Needs
from unweave.record.table import Table
from unweave.studies.inquiry import Inquiry, Knob, Outcome
from unweave.studies.registry import study

INPUTS, OUTPUTS = 32, 3
EFFECT = Outcome("rise of the first output's error", "outcome", "rise", bar=0.5)
HARM = Outcome("rise of the worst other error", "outcome", "harm", better="lower", bar=0.2)


@dataclass(frozen=True)
class Removal:
    """Take inputs away from a linear model."""

    model: int = 0
    inputs: tuple[int, ...] = (0,)
    """What is taken away."""
    way: str = "whole"
    """whole, half or twice: how much of it; ``also`` is another name for whole."""
    rows: int = 60
    shuffle: bool = False
    """Deal the outputs at random."""
    random: bool = False
    first_seed: int = 0
    breaks: str = ""
    """What goes wrong: ``refuses``, ``nothing``, or a file that is waited for."""

    def __post_init__(self) -> None:
        if self.breaks == "refuses":
            raise UnweaveError("this setting is refused")


def weights(model: int) -> np.ndarray:
    """What each input adds to each output."""
    generator = np.random.default_rng(model)
    chosen = int(generator.integers(INPUTS))
    found = np.zeros((INPUTS, OUTPUTS))
    for index in range(INPUTS):
        found[index, 1 + index % 2] = 0.5
    found[chosen] = 0.0
    found[chosen, 0] = 1.0
    if model % 2:
        found[chosen, 1] = 1.0
    return found


@study(
    "tiny-removal",
    "Which input carries an output?",
    Removal,
    needs=lambda config: Needs(threads=1, memory_gb=0.3, disk_gb=0.01, seconds=60),
    inquiry=Inquiry(
        topics=("input", "inputs", "carry", "carries", "removes", "removing"),
        effect=EFFECT,
        knobs=(
            Knob("model"),
            Knob("inputs", values=tuple(range(INPUTS)), searched=True, joint=True),
            Knob("way", values=("whole", "half"), words={w: w for w in ("whole", "half", "also", "twice")}),
            Knob("rows"),
            Knob("breaks"),
        ),
        harms=(HARM,),
        null={"shuffle": True},
        control={"random": True},
        seeds=None,
        cheap={"rows": 20},
        examples=("Which input of model 2 removes the first output without harming the others?",),
    ),
)
def removal(config: Removal, run=None) -> dict[str, float]:
    """Errors of a fixed model before and after, on rows drawn for the seed."""
    if config.breaks == "nothing":
        raise NothingFound("nothing was found here")
    while config.breaks.startswith("/") and not Path(config.breaks).exists():
        time.sleep(0.02)
    generator = np.random.default_rng((config.model, config.first_seed, 7))
    known = weights(config.model)
    x = generator.normal(size=(config.rows, INPUTS))
    y = x @ known + 0.3 * generator.normal(size=(config.rows, OUTPUTS))
    if config.shuffle:
        y = np.stack([row[generator.permutation(OUTPUTS)] for row in y])
    taken = list(config.inputs)
    if config.random:
        taken = [int(generator.choice([one for one in range(INPUTS) if one not in taken]))]
    left = known.copy()
    left[taken] *= {"whole": 0.0, "also": 0.0, "half": 0.5, "twice": -1.0}[config.way]
    rises = np.square(y - x @ left).mean(0) - np.square(y - x @ known).mean(0)
    row = {"seed": config.first_seed, "rise": float(rises[0]), "harm": float(rises[1:].max())}
    if run is not None:
        text = os.environ.get("AGENT_STUDY_TEXT", "text")
        run.identify("held-out", "rows", hashlib.sha256(f"{text} {config.model}".encode()).hexdigest())
        run.save_table(Table.from_records("outcome", [row]))
    return row
