"""What ``concept-geometry`` needs of a machine, reckoned from its config before anything is loaded."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from unweave.base.memory import may_have_gpu
from unweave.base.needs import Needs
from unweave.studies.removal_needs import BASE_GB, GB, SMALL, SMOLLM2, START_SECONDS, TOKENS_A_SECOND, target_parameters

if TYPE_CHECKING:
    from unweave.studies.concept_geometry import ConceptGeometry

TEXTS = {"cities": 2400, "colours": 1224, "organisms": 780, "hues": 504}
"""Of the larger bundled concepts; of any other, about as many as below."""
USUAL_TEXTS = 350
TOKENS_A_TEXT = 8.0
BYTES_A_STATE = 4.0
WIDTH_AND_DEPTHS = 31 * 576
"""Numbers of a text that are held, for SmolLM2; they grow with the square root of the parameters and more."""
SHAPE_SECONDS = 20.0
"""Of one concept by one split, without other work on the machine."""
MARGIN = 3.0


def concept_needs(config: ConceptGeometry) -> Needs:
    """Threads, memory by the target's size and the largest concept, and the seconds that it is likely to take."""
    parameters = target_parameters(config.target)
    share = parameters / SMOLLM2
    texts = [TEXTS.get(name, USUAL_TEXTS) for name in config.concepts]
    passes = 2 if config.dictionary else 1
    seconds = START_SECONDS + passes * sum(texts) * TOKENS_A_TEXT * share / TOKENS_A_SECOND
    seconds += SHAPE_SECONDS * config.seeds * len(texts)
    held = parameters * (4 if config.dtype == "float32" else 2) / GB
    states = 3 * max(texts) * WIDTH_AND_DEPTHS * max(share, 0.05) ** 0.67 * BYTES_A_STATE / GB
    on_gpu = config.device == "cuda" or (config.device is None and may_have_gpu())
    return Needs(
        threads=float(min(1 if parameters < SMALL else 2, os.cpu_count() or 1)),
        memory_gb=round(BASE_GB + states + (held if on_gpu else 1.5 * held), 2),
        gpu_gb=round(BASE_GB + 1.5 * held, 2) if on_gpu else 0.0,
        disk_gb=0.1,
        seconds=round(MARGIN * seconds),
    )
