"""What a reading of stories needs of a machine, reckoned from its config before anything is loaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from unweave.base.memory import may_have_gpu
from unweave.base.needs import Needs
from unweave.studies.removal_needs import BASE_GB, GB, SMALL, SMOLLM2, START_SECONDS, TOKENS_A_SECOND, target_parameters

if TYPE_CHECKING:
    from unweave.studies.story_arc import StoryArc

STORY_TOKENS = 500
"""Of a story of ten sentences with the questions after each of them, as one forward holds them."""
BUNDLED_STORIES = 160
"""Of all kinds, with one shuffled order of each."""
SHUFFLED_STORIES = 36
"""That another order adds, with the usual two topics to calibrate on."""
DIRECT = 8.0
"""Tokens of a rating that is asked for, in those of a forced choice: the question is long, and asked six times."""
BYTES_A_SENTENCE, TOKENS_A_SENTENCE = 110.0, 100.0
KEPT_A_SENTENCE = 40 * 4096 * 4.0
"""Bytes of states at all depths, generously."""
ANALYSIS_SECONDS = 600.0
MARGIN = 4.0
"""Of the time that is likely: the estimate is of a machine that does nothing else."""


def story_needs(config: StoryArc) -> Needs:
    """Threads, memory by target, disk, and the seconds after which something is wrong."""
    parameters = target_parameters(config.target)
    asked = 1 + DIRECT * (len(config.readouts) - 1)
    stories = BUNDLED_STORIES
    if not config.has_text and "shuffled" in config.controls and config.stories == "bundled":
        stories += SHUFFLED_STORIES * (config.shuffles - 1)
    tokens = stories * STORY_TOKENS * asked
    sentences = 10.0 * stories
    if config.has_text:
        own = _own_sentences(config)
        sentences += own
        tokens += own * TOKENS_A_SENTENCE * asked
    elif config.steering:
        conditions = 8 * len(config.doses) + 2 * config.random_vectors
        tokens += conditions * config.steered * STORY_TOKENS * 1.5
    seconds = START_SECONDS + ANALYSIS_SECONDS + parameters / SMOLLM2 * tokens / TOKENS_A_SECOND
    held = parameters * (4 if config.dtype == "float32" else 2) / GB
    kept = sentences * KEPT_A_SENTENCE / GB
    on_gpu = config.device == "cuda" or (config.device is None and may_have_gpu())
    return Needs(
        threads=float(min(1 if parameters < SMALL else 2, os.cpu_count() or 1)),
        memory_gb=round(BASE_GB + 1.0 + kept + (held if on_gpu else 1.5 * held), 2),
        gpu_gb=round(1.5 * held + 0.5, 2) if on_gpu else 0.0,
        disk_gb=round(0.05 + kept, 2),
        seconds=round(MARGIN * seconds),
    )


def _own_sentences(config: StoryArc) -> float:
    if config.sentences is not None:
        return float(config.sentences)
    path = Path(config.text)
    # A novel of Austen's has at most 0.9 million characters.
    size = path.stat().st_size if config.text and path.is_file() else 900_000
    return size / BYTES_A_SENTENCE
