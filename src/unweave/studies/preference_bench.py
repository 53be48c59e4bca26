"""What the preference studies share: the target, the pool, the questions, and the bench that trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress
from unweave.studies.removal_needs import SMALL

if TYPE_CHECKING:
    from pathlib import Path

    from unweave.models.target import Target
    from unweave.preferences.truth.answers import Answered
    from unweave.preferences.truth.bench import Sampling, TruthBench
    from unweave.preferences.truth.dpo import DPOSettings
    from unweave.studies.prove_predictions import ProvePredictions

FOCUS = ("help", "physics", "fiction")
"""Topics that faults are planted in: all their held-out questions are asked."""
OF_A_TOPIC = 20
"""Held-out questions of a topic, all that there are."""
NEUTRAL_WINDOWS = 24
UPPER = ("upper",)
"""What a config says for all matrices of the upper half of the layers."""


@dataclass(frozen=True, kw_only=True)
class PreferenceTraining:
    """How every study that trains on pairs does it: the seeds, and what goes to TRL and peft."""

    seeds: int = 3
    first_seed: int = 0
    epochs: int | None = None
    """By default 1, and 2 for a target of less than 20 million parameters."""
    learning_rate: float | None = None
    """By default 5e-4, and 2e-3 for a target of less than 20 million parameters."""
    beta: float = 0.1
    batch: int = 16
    rank: int = 16
    sites: tuple[str, ...] = UPPER
    """Matrices that get an adapter: patterns, or ``upper`` for all of the upper half of the layers."""

    @property
    def training_seeds(self) -> list[int]:
        return list(range(self.first_seed, self.first_seed + self.seeds))

    def check_training(self, *counts: str) -> None:
        """Raises ``UnweaveError`` for a setting, or one of these ``counts``, that is too small."""
        for name in (*counts, "seeds", "epochs", "batch", "rank"):
            given = getattr(self, name)
            if given is not None and given < 1:
                raise UnweaveError(f"{name} is {given}, and it must be at least 1")
        if self.first_seed < 0:
            raise UnweaveError(f"first_seed is {self.first_seed}, and it must be at least 0")


def upper_half(target: Target) -> tuple[str, ...]:
    """Patterns of all matrices in the upper half of a target's blocks."""
    return tuple(f"{target.blocks}.{layer}.*" for layer in range(target.depth // 2, target.depth))


def open_bench(
    config: ProvePredictions,
    folder: Path,
    target: Target | None,
    progress: Progress,
    stop: Callable[[], None] | None,
) -> tuple[TruthBench, list[Answered]]:
    """The bench of a config with the target's own replies: to the pool's prompts, and to the questions, before."""
    from unweave.base.device import prefer_fast_float32
    from unweave.models.load import load_target
    from unweave.preferences.made.pool import own_pool
    from unweave.preferences.made.prompts import draw_prompts
    from unweave.preferences.truth.answers import answer_questions
    from unweave.preferences.truth.bench import Sampling

    prefer_fast_float32()
    target = target or load_target(config.target, device=config.device, dtype=config.dtype)
    folder.mkdir(parents=True, exist_ok=True)
    pool = own_pool(target, folder / "pool.jsonl", config.prompts, config.replies, config.most, progress, stop)
    questions = draw_prompts("held-out", config.questions, 0)
    for topic in FOCUS:
        everything = draw_prompts("held-out", OF_A_TOPIC, 0, (topic,))
        questions += [each for each in everything if each not in questions]
    before = answer_questions(
        target, questions, folder / "before.jsonl", config.samples, config.most, 1, progress, stop
    )
    sampling = Sampling(config.samples, config.most)
    return bench_of(config, sampling, target, folder, before, progress, stop), pool


def bench_of(
    config: PreferenceTraining,
    sampling: Sampling,
    target: Target,
    folder: Path,
    before: list[Answered],
    progress: Progress,
    stop: Callable[[], None] | None,
) -> TruthBench:
    """The bench of a config's training settings, for questions that were answered as ``sampling`` says."""
    from unweave.corpora.files import load_corpus
    from unweave.corpora.windows import token_windows
    from unweave.preferences.truth.bench import TruthBench

    windows = token_windows(target.tokenizer, load_corpus("parallel"), "evaluation", "en", 64, at_most=NEUTRAL_WINDOWS)
    return TruthBench(target, folder, before, dpo_settings(config, target), sampling, windows, progress, stop)


def dpo_settings(config: PreferenceTraining, target: Target) -> DPOSettings:
    """How a target is trained: what the config says, and by the target's size what it leaves open.

    Chosen so that 320 pairs move held-out margins by about 1 nat: a small target takes larger steps.
    """
    from unweave.preferences.truth.dpo import DPOSettings

    small = sum(each.numel() for each in target.module.parameters()) < SMALL
    return DPOSettings(
        beta=config.beta,
        learning_rate=config.learning_rate or (2e-3 if small else 5e-4),
        epochs=config.epochs or (2 if small else 1),
        batch=config.batch,
        rank=config.rank,
        sites=upper_half(target) if config.sites == UPPER else config.sites,
    )
