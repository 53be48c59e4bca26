"""A pool of a target's own replies to the made prompts: what every rater picks from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress, Silent
from unweave.corpora.pairs.value import Turn
from unweave.models.target import Target
from unweave.preferences.encoding import encode_prompt
from unweave.preferences.made.prompts import Prompt
from unweave.preferences.truth.sampling import Reply, sample_replies
from unweave.record import jsonl

PROMPTS_A_PART = 56
"""Prompts answered between two writes: what an interruption may cost."""


@dataclass(frozen=True)
class Answered:
    """A prompt and the replies that a target gave to it."""

    prompt: Prompt
    replies: tuple[Reply, ...]


def turns_of(prompt: Prompt) -> tuple[Turn, ...]:
    """A made prompt as a conversation."""
    return (Turn("user", prompt.text),)


def answer_prompts(
    target: Target,
    prompts: Sequence[Prompt],
    path: Path,
    each: int,
    most: int,
    seed: int,
    progress: Progress | None = None,
    stop: Callable[[], None] | None = None,
) -> list[Answered]:
    """``each`` replies to every prompt, sampled at temperature 1 and kept in ``path`` (JSON lines) part by part.

    What is there already is not sampled again. Raises ``UnweaveError`` where the file is of other prompts.
    """
    progress = progress or Silent()
    done = read_answers(path)
    if [answered.prompt for answered in done] != list(prompts[: len(done)]):
        raise UnweaveError(f"{path} holds replies to other prompts: move it away, or choose another folder")
    while len(done) < len(prompts):
        part = prompts[len(done) : len(done) + PROMPTS_A_PART]
        # A part's seed is its place's, so that an interrupted pool goes on with the replies that it would have had.
        tokens = [encode_prompt(target, turns_of(prompt)) for prompt in part]
        replies = sample_replies(target, tokens, each, most, seed + len(done))
        fresh = [Answered(prompt, tuple(each)) for prompt, each in zip(part, replies, strict=True)]
        for answered in fresh:
            jsonl.append(path, _row(answered), durable=answered is fresh[-1])
        done += fresh
        progress.update(len(done), len(prompts), "prompts answered")
        if stop is not None:
            stop()
    return done


def read_answers(path: Path) -> list[Answered]:
    """What ``answer_prompts`` kept; nothing where there is no file yet."""
    return [
        Answered(
            Prompt(row["topic"], row["prompt"]),
            tuple(Reply(tuple(each["tokens"]), each["text"], each["ended"]) for each in row["replies"]),
        )
        for row in jsonl.read(path)
    ]


def _row(answered: Answered) -> dict[str, object]:
    return {
        "topic": answered.prompt.topic,
        "prompt": answered.prompt.text,
        "replies": [{"tokens": list(each.tokens), "text": each.text, "ended": each.ended} for each in answered.replies],
    }
