"""All features of a harvest as columns: filtered and sorted in a few milliseconds at 20,000 rows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from unweave.base.errors import UnweaveError, nearest
from unweave.read.contrast import Contrast, label_position
from unweave.read.feature_labels import CONFIDENCES, FeatureLabels
from unweave.read.view_models import FeatureRow, FeaturesRequest

if TYPE_CHECKING:
    from unweave.read.harvest.value import Harvest

COLUMNS = (
    "row",
    "name",
    "group",
    "label",
    "confidence",
    "density",
    "importance",
    "activation",
    "detection",
    "fuzzing",
    "contrast",
    "match",
)


@dataclass(frozen=True)
class FeatureTable:
    """The columns that the page's table and search read, made once from a harvest and its labels."""

    harvest: Harvest
    labels: FeatureLabels

    @cached_property
    def groups(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.harvest.groups)

    @cached_property
    def names(self) -> list[str]:
        return [f"{name}:{index}" for name, count in self.harvest.groups for index in range(count)]

    @cached_property
    def group(self) -> np.ndarray:
        """int64 [c]: position of each feature's group."""
        return np.repeat(np.arange(len(self.groups)), [count for _, count in self.harvest.groups])

    @cached_property
    def by_label(self) -> np.ndarray:
        """[c, labels] mean importance; NaN on a label without text."""
        return np.where(np.asarray(self.harvest.tokens_by_label) > 0, self.harvest.importance_by_label, np.nan)

    @cached_property
    def importance(self) -> np.ndarray:
        """[c] mean where a feature fires; NaN for one that never did."""
        return np.where(self.harvest.firing > 0, self.harvest.importance_mean, np.nan)

    @cached_property
    def activation(self) -> np.ndarray:
        """[c] mean where a feature fires; NaN for one that never did."""
        return np.where(self.harvest.firing > 0, self.harvest.activation_mean, np.nan)

    @property
    def corpus_labels(self) -> tuple[str, ...]:
        return self.harvest.facts.labels

    @cached_property
    def common(self) -> str:
        """What all groups' names begin with, up to a dot, as the page leaves it out."""
        split = [name.split(".")[:-1] for name in self.groups]
        same = itertools.takewhile(lambda parts: len(set(parts)) == 1, zip(*split, strict=False))
        return "".join(f"{parts[0]}." for parts in same)

    @cached_property
    def short_names(self) -> list[str]:
        """Names without what all of them begin with, so that words of it do not find everything."""
        return [name.removeprefix(self.common) for name in self.names]

    @cached_property
    def _searched(self) -> list[str]:
        return [f"{name} {text}".casefold() for name, text in zip(self.short_names, self.labels.text, strict=True)]

    def containing(self, word: str) -> np.ndarray:
        """bool [c]: features with a text, in any case, somewhere in the label or the name."""
        folded, common = word.casefold(), self.common.casefold()
        if "." in folded and common.startswith(folded):  # a full name that is still being typed
            return np.ones(len(self._searched), bool)
        folded = folded.removeprefix(common)
        return np.fromiter((folded in text for text in self._searched), bool, len(self._searched))

    @cached_property
    def _label_rank(self) -> np.ndarray:
        # Features without a label come last in either direction.
        texts = np.array([text.casefold() for text in self.labels.text])
        rank = np.unique(texts, return_inverse=True)[1].astype(float)
        return np.where(self.labels.confidence < 0, np.nan, rank)

    @cached_property
    def _name_rank(self) -> np.ndarray:
        by_name = np.argsort(np.array(self.groups)[self.group], kind="stable")
        rank = np.empty(len(by_name))
        rank[by_name] = np.arange(len(by_name))
        return rank

    def in_groups(self, pattern: str) -> np.ndarray:
        """bool [c]: features of the groups of that name or pattern; raises ``UnweaveError`` where none is.

        A pattern without ``*``, ``?`` and ``[`` that is no group's name may stand anywhere in one.
        """
        partial = pattern not in self.groups and not any(each in pattern for each in "*?[")
        found = np.array([fnmatchcase(name, f"*{pattern}*" if partial else pattern) for name in self.groups])
        if not found.any():
            raise UnweaveError(f"group {pattern!r} matches nothing; {nearest(pattern, self.groups)}")
        return found[self.group]

    def contrast(self, text: str | None) -> np.ndarray | None:
        """Each feature's contrast, as ``Contrast`` reads it; None where none is asked for."""
        if text is None:
            return None
        return Contrast.parse(text, self.corpus_labels, self.harvest.facts.label_names).values(self.by_label)

    def kept(self, request: FeaturesRequest) -> np.ndarray:
        """int64: rows that pass the request's filters but its query, in order."""
        density = np.asarray(self.harvest.density)
        kept = (density >= request.min_density) & (density <= request.max_density)
        if request.alive:
            kept &= np.asarray(self.harvest.firing) > 0
        if request.group is not None:
            kept &= self.in_groups(request.group)
        if request.confidence:
            kept &= np.isin(self.labels.confidence, [CONFIDENCES.index(each) for each in request.confidence])
        return np.flatnonzero(kept)

    def ordered(
        self,
        rows: np.ndarray,
        column: str,
        descending: bool,
        contrast: np.ndarray | None = None,
        match: np.ndarray | None = None,
    ) -> np.ndarray:
        """The rows sorted by a column, ties by row; what has no value there comes last in either direction."""
        values = self._column(column, contrast, match)[rows]
        keys = -values if descending else values
        return rows[np.argsort(keys, kind="stable")]  # NaN sorts last

    def _column(self, column: str, contrast: np.ndarray | None, match: np.ndarray | None) -> np.ndarray:
        harvest = self.harvest
        if column.startswith("on:"):
            return self.by_label[:, label_position(column.removeprefix("on:"), self.corpus_labels)]
        if column in ("contrast", "match"):
            values = {"contrast": contrast, "match": match}[column]
            if values is None:
                needed = {"contrast": "a contrast", "match": "a query"}[column]
                raise UnweaveError(f"sorting by {column} needs {needed}: give one, or sort by another column")
            return np.asarray(values, float)
        columns = {
            "row": lambda: np.arange(len(self.group)),
            "name": lambda: self._name_rank,
            "group": lambda: self.group,
            "label": lambda: self._label_rank,
            "confidence": lambda: np.where(self.labels.confidence < 0, np.nan, self.labels.confidence),
            "density": lambda: harvest.density,
            "importance": lambda: self.importance,
            "activation": lambda: self.activation,
            "detection": lambda: self.labels.detection,
            "fuzzing": lambda: self.labels.fuzzing,
        }
        if column not in columns:
            raise UnweaveError(f"column {column!r} is not in the table; {nearest(column, [*COLUMNS, 'on:LABEL'])}")
        return np.asarray(columns[column](), float)

    def rows(self, rows: Sequence[int] | np.ndarray, contrast: np.ndarray | None = None) -> list[FeatureRow]:
        """The rows as a view answers them."""
        harvest, labels = self.harvest, self.labels
        return [
            FeatureRow(
                row=row,
                name=self.names[row],
                group=self.groups[self.group[row]],
                label=labels.text[row],
                confidence=labels.confidence_of(row),  # type: ignore[arg-type]
                density=float(harvest.density[row]),
                firing=int(harvest.firing[row]),
                importance=number(self.importance[row]),
                activation=number(self.activation[row]),
                detection=number(labels.detection[row]),
                fuzzing=number(labels.fuzzing[row]),
                contrast=None if contrast is None else number(contrast[row]),
                by_label=[number(value) for value in self.by_label[row]],
            )
            for row in map(int, rows)
        ]


def number(value: float) -> float | None:
    """A float that JSON can hold: None for what is not finite."""
    found = float(value)
    return found if np.isfinite(found) else None
