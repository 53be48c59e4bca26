"""A language model that answers a task, as a system to steer at one of its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float, Float64, Int64

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress, Silent
from unweave.models.target import Target
from unweave.read.patch import PatchedPrompt
from unweave.read.stream import next_log_probabilities, stream_states
from unweave.shapes.steering.system import Labelled
from unweave.shapes.steering.tasks import Question, Task

Position = Literal["entity", "last"]


@dataclass(frozen=True)
class Tokenised:
    """A question as tokens; ``entity`` is the last token of the value that is asked about."""

    tokens: tuple[int, ...]
    entity: int
    answer: int

    def at(self, position: Position) -> int:
        return self.entity if position == "entity" else len(self.tokens) - 1


class Answers:
    """Which tokens begin the answer with each value: after a space, without one, and without a capital letter.

    A spelling of several tokens counts by its first. Raises ``UnweaveError`` where two values begin with one token.
    """

    def __init__(self, target: Target, values: Sequence[str]) -> None:
        groups: list[list[int]] = []
        for value in values:
            spellings = dict.fromkeys((f" {value}", value, f" {value.lower()}" if len(value) > 1 else f" {value}"))
            firsts = [_encoded(target, each)[0] for each in spellings]
            # A space that is a token of its own begins every word.
            groups.append(list(dict.fromkeys(each for each in firsts if target.tokenizer.decode([each]).strip())))
        owner: dict[int, str] = {}
        for value, group in zip(values, groups, strict=True):
            if not group:
                raise UnweaveError(f"{target.name} has no token that begins {value!r}: choose other values")
            for token in group:
                if owner.setdefault(token, value) != value:
                    raise UnweaveError(
                        f"{owner[token]!r} and {value!r} begin with one token in {target.name}, so its next token does "
                        "not tell them apart: choose other values"
                    )
        self.tokens = [token for group in groups for token in group]
        self._ends = np.cumsum([len(group) for group in groups])

    def probabilities(self, log_probabilities: Float[np.ndarray, "... a"]) -> Float64[np.ndarray, "... v"]:
        """The probability of each value, and of everything else, from those of ``tokens``."""
        each = np.exp(np.asarray(log_probabilities, np.float64))
        sums = np.add.reduceat(each, [0, *self._ends[:-1]], axis=-1)
        return np.concatenate([sums, np.clip(1 - sums.sum(-1, keepdims=True), 0, None)], -1)


class TargetSystem:
    """A target under a task: states from ``fit`` questions, answers in ``base`` contexts, patched at ``position``.

    ``base`` questions are of other contexts than ``fit`` ones. A patched state stands at depth ``layer`` of the stream
    (``read/stream.py``); a state is labelled with the value that its question is answered with.
    """

    def __init__(
        self,
        target: Target,
        task: Task,
        fit: Sequence[Question],
        base: Sequence[Question],
        position: Position,
        layers: Sequence[int],
        progress: Progress | None = None,
    ) -> None:
        self.target, self.task, self.name, self.metric = target, task, task.name, task.metric
        self.position: Position = position
        self.values: Sequence[str] = task.answers
        self.layers: Sequence[int] = tuple(layers)
        self._progress = progress or Silent()
        self._answers = Answers(target, task.answers)
        self._fit = [tokenised(target, each) for each in fit]
        self._base = [tokenised(target, each) for each in base]
        if not self._fit or not self._base:
            raise UnweaveError(f"{len(fit)} questions to fit and {len(base)} to steer in: give one or more of each")
        self._states: dict[int, np.ndarray] = {}

    def states(self, layer: int) -> Labelled:
        return Labelled(self._at(layer)[: len(self._fit)], self._index)

    def bases(self, layer: int) -> Float[np.ndarray, "b d"]:
        return self._at(layer)[len(self._fit) :]

    def natural(self, layer: int) -> Float64[np.ndarray, "n v"]:
        return self._natural

    def answers(self, layer: int, states: Float[np.ndarray, "b p d"]) -> Float64[np.ndarray, "b p v"]:
        if len(states) != len(self._base):
            raise UnweaveError(f"states of {len(states)} contexts: {self.name} is steered in {len(self._base)}")
        return np.stack(
            [
                self._answers.probabilities(prompt.log_probabilities(layer, own, self._answers.tokens))
                for prompt, own in zip(self._prompts, states, strict=True)
            ]
        )

    @cached_property
    def _index(self) -> Int64[np.ndarray, " n"]:
        return np.array([each.answer for each in self._fit])

    @cached_property
    def _natural(self) -> Float64[np.ndarray, "n v"]:
        return clean_answers(self.target, self._fit, self._answers, self._progress)

    @cached_property
    def _prompts(self) -> list[PatchedPrompt]:
        return [PatchedPrompt(self.target, each.tokens, each.at(self.position)) for each in self._base]

    def _at(self, layer: int) -> Float[np.ndarray, "n d"]:
        if layer not in self._states:
            both = [*self._fit, *self._base]
            wanted = list(dict.fromkeys([*self.layers, layer]))
            places = [[each.at(self.position)] for each in both]
            found = stream_states(self.target, [each.tokens for each in both], places, wanted, self._progress)
            self._states = {depth: found[:, number] for number, depth in enumerate(wanted)}
        return self._states[layer]


def tokenised(target: Target, question: Question) -> Tokenised:
    """A question's tokens. Raises ``UnweaveError`` where the value's end is not the end of a token."""
    tokens, until = _encoded(target, question.text), _encoded(target, question.before + question.value)
    if tokens[: len(until)] != until:
        raise UnweaveError(
            f"{target.name} joins the end of {question.value!r} with what follows in {question.text!r}: ask otherwise"
        )
    return Tokenised(tuple(tokens), len(until) - 1, question.answer)


def clean_answers(
    target: Target, questions: Sequence[Tokenised], answers: Answers, progress: Progress | None = None
) -> Float64[np.ndarray, "n v"]:
    """Probabilities of the values and of everything else after each question, with nothing put in."""
    found = next_log_probabilities(target, [each.tokens for each in questions], answers.tokens, progress)
    return answers.probabilities(found)


def _encoded(target: Target, text: str) -> list[int]:
    return list(target.tokenizer.encode(text, add_special_tokens=False))
