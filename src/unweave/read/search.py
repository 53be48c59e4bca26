"""Finding features by words of labels, token, site, label contrast, likeness and co-firing, in any combination."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from unweave.base.errors import UnweaveError, nearest
from unweave.read.contrast import Contrast, ContrastTest
from unweave.read.directions import Directions
from unweave.read.feature_table import FeatureTable
from unweave.read.token_index import TokenIndex
from unweave.read.view_models import SearchAnswer, SearchHit, SearchRequest
from unweave.read.word_index import WordIndex, words_of

if TYPE_CHECKING:
    from unweave.read.harvest.value import Pool

FIELDS = (1.0, 0.5)
"""How much a word counts in a label's text and in the feature's name."""
NAMED_ONLY = 0.4
"""How much a label's name counts for a feature that is about that label by its statistics, and does not say so."""
BACKING = 0.05
"""How much statistics weigh against the words of a label: enough to decide between labels that match alike."""


@dataclass
class _Evidence:
    """One criterion's verdict on every feature: 0 keeps a feature out, and all verdicts are multiplied."""

    name: str
    score: np.ndarray
    shown: np.ndarray
    """What a hit reports; NaN where there is nothing to report."""
    say: Callable[[int], str]
    empty: str
    """Why there is no hit, where no feature passes."""


class SearchIndex:
    """What ``search`` looks things up in, made once for a harvest and its labels.

    ``directions`` gives the dictionary's directions; it is called when likeness is first asked for.
    """

    def __init__(self, table: FeatureTable, directions: Callable[[], Directions] | None = None) -> None:
        self.table, self._directions = table, directions

    def prepare(self) -> None:
        """Builds every index now, so that no query waits for it."""
        _ = self.words, self.tokens, self.table.names
        if len(self.table.corpus_labels) > 1:
            self.contrasts.differs(Contrast(0, None))

    @cached_property
    def words(self) -> WordIndex:
        return WordIndex(list(zip(self.table.labels.text, self.table.short_names, strict=True)), FIELDS)

    @cached_property
    def tokens(self) -> TokenIndex:
        return TokenIndex(self.table.harvest)

    @cached_property
    def contrasts(self) -> ContrastTest:
        pool, count = self.table.harvest.pool, len(self.table.names)
        return ContrastTest(mean_importance(pool, count), np.asarray(pool.label), len(self.table.corpus_labels))

    def search(self, request: SearchRequest) -> SearchAnswer:
        """The features that meet every criterion of a request, best first.

        Raises ``UnweaveError`` where nothing is asked for, and for a name, label or site that is not here.
        """
        table = self.table
        asked = [
            self._about(request.words) if request.words.strip() else None,
            self._like(request.like, request.by) if request.like is not None else None,
            self._co_firing(request.co_fires) if request.co_fires is not None else None,
            self._on_token(request.token) if request.token is not None else None,
            self._contrast(request.contrast) if request.contrast is not None else None,
        ]
        evidence = [each for each in asked if each is not None]
        if not evidence and request.site is None:
            raise UnweaveError("nothing to search for: give words, a token, a site, a contrast, or a feature's name")
        score = np.prod([each.score for each in evidence], axis=0) if evidence else np.asarray(table.harvest.density)
        kept = score > 0 if evidence else np.ones(len(score), bool)
        if request.site is not None:
            kept = kept & table.in_groups(request.site)
        rows = np.flatnonzero(kept)
        best = rows[np.argsort(-score[rows], kind="stable")[: request.limit]]
        missing = [each.empty for each in evidence if not (each.score > 0).any()]
        note = "" if len(rows) else (missing or ["no feature meets all of these together"])[0]
        return SearchAnswer(total=len(rows), hits=[self._hit(int(row), score, evidence) for row in best], note=note)

    def _hit(self, row: int, score: np.ndarray, evidence: list[_Evidence]) -> SearchHit:
        table = self.table
        shown = {each.name: float(each.shown[row]) for each in evidence}
        said = [each.say(row) for each in evidence] or [f"fires on {table.harvest.density[row]:.2%} of tokens"]
        return SearchHit(
            row=row,
            name=table.names[row],
            label=table.labels.text[row],
            confidence=table.labels.confidence_of(row),  # type: ignore[arg-type]
            density=float(table.harvest.density[row]),
            score=float(score[row]),
            why="; ".join(said),
            **{name: shown.get(name) for name in ("match", "token", "contrast", "cosine", "jaccard")},
        )

    def holds(self, text: str) -> np.ndarray:
        """bool [c]: features that have every word of a text.

        A feature has what its label or name contains as it is written, a word of either in another number, and the
        name of a corpus label (a language) that it is about by its statistics.
        """
        found = np.ones(len(self.table.names), bool)
        for written in text.split():
            here = self.table.containing(written)
            words = words_of(written)
            if len(words) == 1:
                here |= self.words.holds(words[0]) > 0
                if words[0] in self._names:
                    here |= self.contrasts.differs(Contrast(self._names[words[0]], None))
            found &= here
        return found

    def match(self, text: str) -> np.ndarray:
        """[c] how well labels match words; see ``_about``."""
        return self._about(text).score

    def _about(self, text: str) -> _Evidence:
        """Label text first; between features that match alike, how strongly statistics back the label.

        A word that names one of the harvest's labels (a language) counts twice as much as the rarest other word, and
        is backed by the mean importance on that label minus the largest on any other; other words by the label's
        detection score.
        """
        words = list(dict.fromkeys(words_of(text)))
        named = {word: label for word in words if (label := self._names.get(word)) is not None}
        weights = {word: self.words.weight(word) for word in words}
        weights |= dict.fromkeys(named, 2 * max(weights.values(), default=1.0))
        said = {word: self.words.holds(word) for word in words}
        held = dict(said)
        backing = np.nan_to_num(self.table.labels.detection, nan=0.5) - 0.5
        for word, label in named.items():
            contrast = Contrast(label, None)
            differs = self.contrasts.differs(contrast)
            strength = np.nan_to_num(np.where(differs, contrast.values(self.table.by_label), 0.0), neginf=0.0)
            held[word] = np.maximum(held[word], np.where(differs, NAMED_ONLY, 0.0))
            backing = np.maximum(strength, 0.0) if word == next(iter(named)) else np.minimum(backing, strength)
        total = sum(weights.values())
        match = sum((weights[word] * held[word] for word in words), np.zeros(len(self.table.names))) / (total or 1.0)
        score = np.where(match > 0, (match + BACKING * np.clip(backing, 0.0, 1.0)) / (1 + BACKING), 0.0)

        def say(row: int) -> str:
            found = [repr(word) for word in words if said[word][row] > 0]
            parts = [f"its label has {', '.join(found)}"] if found else []
            for label in dict.fromkeys(named.values()):
                value = Contrast(label, None).values(self.table.by_label[row])
                parts.append(f"importance on {self.table.corpus_labels[label]} {value:+.3f} against the next label")
            return "; ".join(parts)

        return _Evidence("match", score, match, say, f"no label has a word of {text!r}")

    @cached_property
    def _names(self) -> dict[str, int]:
        """Labels by the words of their names; not by their codes, many of which are words: ``it``, ``de``, ``no``."""
        facts = self.table.harvest.facts
        if len(facts.labels) < 2:
            return {}
        return {word: place for place, name in enumerate(facts.label_names) for word in words_of(name)}

    def _on_token(self, token: str) -> _Evidence:
        ids = self.tokens.ids(token)
        if not len(ids):
            raise UnweaveError(f"token {token!r} is not in the vocabulary; {nearest(token, self.tokens.texts())}")
        precision, recall = self.tokens.precision_recall(ids)
        both = precision + recall
        f1 = np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)
        return _Evidence(
            "token",
            f1,
            recall,
            lambda row: f"{recall[row]:.0%} of its firings on {token!r}, {precision[row]:.0%} of {token!r} fires it",
            f"no feature fires on {token!r}",
        )

    def _contrast(self, text: str) -> _Evidence:
        facts = self.table.harvest.facts
        contrast = Contrast.parse(text, facts.labels, facts.label_names)
        values = contrast.values(self.table.by_label)
        differs = self.contrasts.differs(contrast)
        score = np.where(differs, np.clip(np.nan_to_num(values, nan=0.0, neginf=0.0), 0.0, 1.0), 0.0)
        label = facts.labels[contrast.label]
        other = "any other label" if contrast.against is None else facts.labels[contrast.against]
        return _Evidence(
            "contrast",
            score,
            values,
            lambda row: f"importance on {label} {values[row]:+.3f} against {other}",
            f"no feature's importance on {label} exceeds that on {other} by more than shuffled windows give",
        )

    def _like(self, name: str, by: str) -> _Evidence:
        if self._directions is None:
            raise UnweaveError(f"like {name!r} needs the dictionary's directions, and only the harvest is open")
        directions = self._directions()
        found = directions.alike(self._row(name), "read" if by == "read" else "write")
        count = len(self.table.names)
        cosine, score = np.full(count, np.nan), np.zeros(count)
        cosine[found.rows] = found.cosine
        score[found.rows] = directions.closeness(found.cosine)
        return _Evidence(
            "cosine",
            score,
            cosine,
            lambda row: f"{by} direction: cosine {cosine[row]:+.2f} (chance reaches {found.chance:.2f})",
            f"no other feature has a {by} direction of the same width as that of {name}",
        )

    def _co_firing(self, name: str) -> _Evidence:
        count = len(self.table.names)
        jaccard, together = np.zeros(count), np.zeros(count, np.int64)
        found = self.table.harvest.partners(self._row(name))
        jaccard[found.partner], together[found.partner] = found.jaccard, found.together
        return _Evidence(
            "jaccard",
            jaccard,
            jaccard,
            lambda row: f"fires with {name} on {together[row]} tokens",
            f"no feature is known to fire together with {name}",
        )

    def _row(self, name: str) -> int:
        return self.table.harvest.row(name)


def mean_importance(pool: Pool, count: int) -> Float[np.ndarray, "windows c"]:
    """Each feature's mean importance on each window of a pool, counted where it fires."""
    row, position, importance, _ = pool.entries()
    windows, length = pool.tokens.shape
    cell = row.astype(np.int64) * windows + position // length
    sums = np.bincount(cell, importance, count * windows)
    return (sums.reshape(count, windows).T / length).astype(np.float32)
