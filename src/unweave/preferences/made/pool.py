"""The pool that made datasets choose from: a target's own replies to questions of the training part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from unweave.base.progress import Progress
from unweave.models.target import Target
from unweave.preferences.made.prompts import draw_prompts
from unweave.preferences.truth.answers import Answered, answer_questions

SEED = 101
"""Of the replies; those that trainings are measured by are drawn with others."""


def own_pool(
    target: Target,
    path: Path,
    prompts: int,
    replies: int,
    most: int,
    progress: Progress | None = None,
    stop: Callable[[], None] | None = None,
) -> list[Answered]:
    """``replies`` of at most ``most`` tokens to each of ``prompts`` questions, kept in ``path`` as they are drawn.

    Raises ``UnweaveError`` for more prompts than there are.
    """
    questions = draw_prompts("train", prompts, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    return answer_questions(target, questions, path, replies, most, SEED, progress, stop)
