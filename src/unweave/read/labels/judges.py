"""Who decides, from a label and from text alone, where a feature fires. No judge is told which feature it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from unweave.read.labels.attributes import Attributes
from unweave.read.labels.contexts import REACH, Contexts, contexts_at, join
from unweave.read.labels.labeler import Label
from unweave.read.labels.predicate import from_json, holds
from unweave.read.labels.scoring import Trial


class Judge(Protocol):
    """Answers trials with one yes or no a context. It gets the label and the text, not the truth."""

    @property
    def name(self) -> str: ...

    def settings(self) -> dict[str, Any]:
        """What its answers depend on besides label and text, as JSON; no secrets."""
        ...

    def can_read(self, label: Label) -> bool:
        """Whether it can tell from this label where a feature fires."""
        ...

    def detect(self, label: Label, trials: Sequence[Contexts]) -> list[np.ndarray]:
        """For each trial: does the middle token of each context fit the label?"""
        ...

    def fuzz(self, label: Label, trials: Sequence[tuple[Contexts, np.ndarray]]) -> list[np.ndarray]:
        """For each trial: do the marked tokens (n, 41) of each context fit the label?"""
        ...

    def intruder(self, trials: Sequence[Contexts]) -> list[int]:
        """For each trial: which context does not belong with the others? No label is given."""
        ...

    @property
    def intruder_by(self) -> str:
        """What it goes by in finding intruders."""
        ...

    def spent(self) -> dict[str, Any]:
        """Tokens and money spent so far; empty where judging costs nothing."""
        ...


@dataclass
class OfflineJudge:
    """Checks the label's predicate; finds intruders by what the contexts' tokens share.

    Two contexts share the information, -ln of its frequency in shown text, of every attribute that they have in
    common; with an embedding matrix (vocabulary, d) the cosine of their middle tokens counts as well. The intruder is
    the one that shares least with the other four.
    """

    attributes: Attributes
    rarity: dict[str, np.ndarray]
    """By attribute and code, -ln of its frequency in shown text; the last is what stands outside the window."""
    embedding: np.ndarray | None = None

    @property
    def name(self) -> str:
        return "predicate"

    def settings(self) -> dict[str, Any]:
        return {}

    def can_read(self, label: Label) -> bool:
        """It reads predicates, no words: of a label in words alone it says nothing."""
        return label.predicate is not None

    @property
    def intruder_by(self) -> str:
        return "token attributes" + (" and embeddings" if self.embedding is not None else "")

    def detect(self, label: Label, trials: Sequence[Contexts]) -> list[np.ndarray]:
        if not trials:
            return []
        said = self._holds(label, join(trials))
        return np.split(said, np.cumsum([len(trial) for trial in trials])[:-1])

    def fuzz(self, label: Label, trials: Sequence[tuple[Contexts, np.ndarray]]) -> list[np.ndarray]:
        if not trials:
            return []
        contexts = join([trial for trial, _ in trials])
        rows, columns = np.nonzero(np.concatenate([marked for _, marked in trials]))
        said = self._holds(label, contexts.moved(rows, columns - REACH))
        share = np.bincount(rows, said, len(contexts)) / np.maximum(np.bincount(rows, minlength=len(contexts)), 1)
        return np.split(share > 0.5, np.cumsum([len(trial) for trial, _ in trials])[:-1])

    def intruder(self, trials: Sequence[Contexts]) -> list[int]:
        if not trials:
            return []
        contexts, each = join(trials), len(trials[0])
        shared = np.zeros((len(trials), each, each))
        for name, rarity in self.rarity.items():
            codes = self.attributes.of(name, contexts).reshape(-1, each)
            shared += (codes[:, :, None] == codes[:, None, :]) * rarity[codes][:, :, None]
        if self.embedding is not None:
            vectors = self.embedding[contexts.centre]
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
            vectors = vectors.reshape(len(trials), each, -1)
            shared += 4 * vectors @ vectors.transpose(0, 2, 1)
        shared[:, np.arange(each), np.arange(each)] = 0
        return shared.sum(2).argmin(1).tolist()

    def spent(self) -> dict[str, Any]:
        return {}

    def _holds(self, label: Label, contexts: Contexts) -> np.ndarray:
        return holds(from_json(label.predicate, self.attributes), self.attributes, contexts)


def offline_judge(attributes: Attributes, windows: np.ndarray, embedding: np.ndarray | None = None) -> OfflineJudge:
    """The offline judge, with frequencies from shown ``windows`` (n, t)."""
    contexts = contexts_at(windows, np.arange(windows.size))
    rarity = {}
    for name in ("token", "previous", "next", "kind", "kind before", "kind after", "letter", "ending"):
        # Values that shown text does not have may stand in other text: one is added to each.
        counts = np.bincount(attributes.of(name, contexts) + 1, minlength=attributes.count(name) + 1) + 1
        information = -np.log(counts / counts.sum())
        # Code -1, outside the window, is last.
        rarity[name] = np.concatenate([information[1:], information[:1]])
    return OfflineJudge(attributes, rarity, embedding)


def answers(
    judge: Judge, label: Label, trials: Sequence[Trial], fuzzing: bool = False
) -> list[tuple[int, int, int, int]]:
    """For each trial: how many there were to find and how many were found, how many others and how many left alone."""
    if fuzzing:
        given: Any = [(trial.contexts, trial.highlighted) for trial in trials]
        said = judge.fuzz(label, given)
    else:
        said = judge.detect(label, [trial.contexts for trial in trials])
    found = []
    for trial, each in zip(trials, said, strict=True):
        truth, each = trial.truth, np.asarray(each, bool)
        found.append((int(truth.sum()), int((each & truth).sum()), int((~truth).sum()), int((~each & ~truth).sum())))
    return found
