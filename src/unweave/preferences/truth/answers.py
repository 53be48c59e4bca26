"""A target's own replies to questions, kept in a file as they are sampled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress, Silent
from unweave.corpora.pairs.value import Turn
from unweave.models.target import Target
from unweave.preferences.encoding import encode_prompt, encode_reply
from unweave.preferences.truth.sampling import Reply, sample_replies
from unweave.record import jsonl

QUESTIONS_A_PART = 56
"""Questions answered between two writes: what an interruption may cost."""


@dataclass(frozen=True)
class Question:
    """A conversation that ends where a reply is due, and the topic it is counted under."""

    topic: str
    turns: tuple[Turn, ...]


@dataclass(frozen=True)
class Answered:
    """A question and the replies that a target gave to it."""

    question: Question
    replies: tuple[Reply, ...]


def answer_questions(
    target: Target,
    questions: Sequence[Question],
    path: Path,
    each: int,
    most: int,
    seed: int,
    progress: Progress | None = None,
    stop: Callable[[], None] | None = None,
) -> list[Answered]:
    """``each`` replies to every question, sampled at temperature 1 and kept in ``path`` (JSON lines) part by part.

    What is there already is not sampled again. Raises ``UnweaveError`` where the file is of other questions.
    """
    progress = progress or Silent()
    done = read_answers(path)
    if [answered.question for answered in done] != list(questions[: len(done)]):
        raise UnweaveError(f"{path} holds replies to other questions: move it away, or choose another folder")
    while len(done) < len(questions):
        part = questions[len(done) : len(done) + QUESTIONS_A_PART]
        # A part's seed is its place's, so that an interrupted pool goes on with the replies that it would have had.
        tokens = [encode_prompt(target, question.turns) for question in part]
        replies = sample_replies(target, tokens, each, most, seed + len(done))
        fresh = [Answered(question, tuple(each)) for question, each in zip(part, replies, strict=True)]
        for answered in fresh:
            jsonl.append(path, _row(answered), durable=answered is fresh[-1])
        done += fresh
        progress.update(len(done), len(questions), "questions answered")
        if stop is not None:
            stop()
    return done


def read_answers(path: Path) -> list[Answered]:
    """What ``answer_questions`` kept; nothing where there is no file yet."""
    return [
        Answered(
            Question(row["topic"], tuple(Turn(each["role"], each["content"]) for each in row["turns"])),
            tuple(Reply(tuple(each["tokens"]), each["text"], each["ended"]) for each in row["replies"]),
        )
        for row in jsonl.read(path)
    ]


def reply_tokens(
    target: Target, answers: Sequence[Answered], most: int | None = None
) -> list[tuple[list[int], list[int]]]:
    """Prompt and reply of every reply, or of the first ``most`` to each question, as tokens with the end mark."""
    return [
        (prompt, encode_reply(target, reply.text, reply.ended))
        for answered in answers
        for prompt in (encode_prompt(target, answered.question.turns),)
        for reply in answered.replies[:most]
    ]


def question_numbers(answers: Sequence[Answered]) -> Int64[np.ndarray, " s"]:
    """Of every reply, answer by answer, the place of its question."""
    return np.repeat(np.arange(len(answers)), [len(answered.replies) for answered in answers])


def _row(answered: Answered) -> dict[str, object]:
    return {
        "topic": answered.question.topic,
        "turns": [{"role": turn.role, "content": turn.content} for turn in answered.question.turns],
        "replies": [{"tokens": list(each.tokens), "text": each.text, "ended": each.ended} for each in answered.replies],
    }
