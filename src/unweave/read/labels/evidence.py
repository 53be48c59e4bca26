"""What a labeler may see of one feature: shown text only, nothing that its label is scored on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from unweave.base.seeds import numpy_generator
from unweave.read.harvest.value import Example, Harvest, TokenTable
from unweave.read.labels.attributes import Attributes
from unweave.read.labels.contexts import Contexts, contexts_at, contexts_of, join
from unweave.read.labels.language import find_function_words, fit_language
from unweave.read.labels.neighbours import Neighbours

FIRING_SEEN, OTHERS_SEEN, ALIKE_SEEN = 600, 1200, 300
"""Places that a labeler is given at most: where the feature fires, where it does not, and that on its own tokens."""
SHUFFLES = 999


@dataclass(frozen=True)
class ShownText:
    """The shown part of a harvest that all features have in common."""

    attributes: Attributes
    labels: Sequence[str]
    label_names: Sequence[str]
    tokens_by_label: np.ndarray
    """Tokens of shown text by label."""
    windows: np.ndarray
    """int [n, t]: the shown windows of the pool."""
    window_label: np.ndarray
    vocabulary_count: np.ndarray
    """How often each token stands in shown text."""
    vocabulary_draws: np.ndarray
    """How often the model would say each token anywhere in shown text."""
    draws_total: int
    """All draws there, those of tokens that the harvest does not tell apart among them."""
    own_column: np.ndarray
    """bool [vocabulary]: tokens that the harvest tells apart. Of the others nothing was counted."""
    draws_by_label: np.ndarray
    """[labels, vocabulary]: draws from what the model says next anywhere in the shown windows of the pool."""

    @cached_property
    def dealt(self) -> np.ndarray:
        """[shuffles, labels, n]: mean over each label's windows, under random dealings of labels to windows."""
        generator = numpy_generator(0, "labels of windows")
        found = np.zeros((SHUFFLES, len(self.labels), len(self.windows)), np.float32)
        share = 1 / np.maximum(np.bincount(self.window_label, minlength=len(self.labels)), 1)
        for shuffle in found:
            label = generator.permutation(self.window_label)
            shuffle[label, np.arange(len(label))] = share[label]
        return found


@dataclass(frozen=True)
class Places:
    """Some shown places: contexts with the label and the number of the window each is from."""

    contexts: Contexts
    label: np.ndarray
    window: np.ndarray

    def __len__(self) -> int:
        return len(self.window)


@dataclass(frozen=True)
class Evidence:
    """One feature, as shown. Held-out windows are not in here, so a labeler cannot look at them."""

    name: str
    group: str
    kind: str
    text: ShownText
    fires: Places
    """Places where it fires."""
    others: Places
    """Places where it does not fire, in the same mixture of labels: two in three where others of its group and of its
    density do, one anywhere."""
    alike: Places
    """Places where it does not fire on tokens on which it fires elsewhere, in the same mixture of labels and tokens."""
    examples: tuple[Example, ...]
    density: float
    """Share of the tokens of shown text on which it fires."""
    firing_shown: int
    """How often it fires in all shown text."""
    firing_by_label: np.ndarray
    """Of shown text, as all that follows."""
    firing_by_window: np.ndarray
    """How often it fires in each of the text's ``windows``."""
    inputs: TokenTable
    """Tokens it fires on, over all shown text."""
    outputs: TokenTable
    """Draws from what the model says next where it fires, over all shown text."""
    draws: int
    """Draws at each place, which are not independent of each other."""


def _attributes(harvest: Harvest, windows: np.ndarray, label: np.ndarray) -> Attributes:
    facts, texts = harvest.facts, harvest.vocabulary.text
    language = fit_language(windows, label, facts.labels, facts.label_names, len(texts))
    plain = Attributes(texts, language)
    kinds = plain.kind(np.arange(len(texts)))
    begins = np.array([kind.startswith("word ") for kind in kinds])
    ends = np.array([not kind.startswith("piece ") for kind in kinds])
    return replace(plain, function_words=find_function_words(windows, label, len(facts.labels), begins, ends))


def _mixture(wanted: np.ndarray, given: np.ndarray, kinds: int) -> np.ndarray:
    """Weights that give ``given`` the mixture of kinds that ``wanted`` has."""
    share = np.bincount(wanted, minlength=kinds) / np.maximum(np.bincount(given, minlength=kinds), 1)
    return share[given]


def _draw(weight: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """At most ``count`` places of those with weight, drawn by weight without replacement.

    They are those with the largest ``u ** (1 / weight)``: Efraimidis and Spirakis, 2006.
    """
    usable = np.flatnonzero(weight > 0)
    if len(usable) <= count:
        return usable
    keys = np.log(generator.random(len(usable))) / weight[usable]
    return usable[np.argpartition(-keys, count)[:count]]


class EvidenceSource:
    """Reads evidence out of a harvest, feature by feature; the same for every order and subset of features."""

    def __init__(self, harvest: Harvest, seed: int = 0) -> None:
        self.harvest, self.seed = harvest, seed
        pool, facts, vocabulary = harvest.pool, harvest.facts, harvest.vocabulary
        # Examples are cut to the harvest's context: so is all that they are compared with.
        self._reach = facts.settings["context"]
        self._shown = np.flatnonzero(~pool.held)
        windows, label = pool.tokens[self._shown], pool.label[self._shown]
        size, labels = len(vocabulary.text), range(len(facts.labels))
        predicted = pool.predicted[self._shown]
        self.text = ShownText(
            _attributes(harvest, windows, label),
            facts.labels,
            facts.label_names,
            harvest.shown_tokens_by_label,
            windows,
            label,
            vocabulary.count,
            vocabulary.draws,
            vocabulary.draws_total,
            vocabulary.own_column,
            np.stack([np.bincount(predicted[label == k].ravel(), minlength=size) for k in labels]),
        )
        self._neighbours = Neighbours(harvest, held=False)
        self._flat = (self._shown[:, None] * pool.length + np.arange(pool.length)).ravel()
        self._flat_label, self._flat_token = np.repeat(label, pool.length), windows.ravel()
        # Where a window of the pool stands among the shown ones.
        self._rank = np.full(len(pool.tokens), -1)
        self._rank[self._shown] = np.arange(len(self._shown))

    def of(self, row: int) -> Evidence:
        """The evidence of one feature."""
        harvest, generator = self.harvest, numpy_generator(self.seed, "evidence", row)
        pool, length = harvest.pool, harvest.pool.length
        examples = tuple(harvest.examples(row, held=False))
        fired = pool.firing(row)[0]
        fired = fired[~pool.held[fired // length]]
        by_window = np.bincount(self._rank[fired // length], minlength=len(self._shown))
        fires = self._fires(examples, fired, generator)
        others, alike = self._quiet(row, fires, generator)
        return Evidence(
            harvest.name(row),
            harvest.groups[harvest.site_of[row]][0],
            harvest.facts.kind,
            self.text,
            fires,
            others,
            alike,
            examples,
            float(harvest.firing_shown[row] / max(harvest.shown_tokens_by_label.sum(), 1)),
            int(harvest.firing_shown[row]),
            harvest.shown_by_label[row],
            by_window,
            harvest.input_table(row),
            harvest.output_table(row),
            pool.predicted.shape[-1],
        )

    def _quiet(self, row: int, fires: Places, generator: np.random.Generator) -> tuple[Places, Places]:
        """Places where it does not fire: where others like it do and anywhere, two to one; and on its own tokens."""
        by_label = np.bincount(fires.label, minlength=len(self.text.labels))
        near = self._neighbours.places(row, by_label, 2 * OTHERS_SEEN // 3, generator)
        fired = np.zeros(self.harvest.pool.positions, bool)
        fired[self.harvest.pool.firing(row)[0]] = True
        rest = np.flatnonzero(~fired[self._flat])
        weight = _mixture(fires.label, self._flat_label[rest], len(by_label))
        anywhere = self._flat[rest[_draw(weight, len(near) // 2, generator)]]
        weight = weight * _mixture(fires.contexts.centre, self._flat_token[rest], len(self.text.vocabulary_count))
        alike = self._flat[rest[_draw(weight, ALIKE_SEEN, generator)]]
        return self._places(np.unique(np.concatenate([near, anywhere]))), self._places(alike)

    def _fires(self, examples: Sequence[Example], fired: np.ndarray, generator: np.random.Generator) -> Places:
        """Its examples, and firings in the pool that are not among them, each once."""
        pool, length = self.harvest.pool, self.harvest.pool.length
        own = Places(
            contexts_of(examples),
            np.array([one.label for one in examples], np.int64),
            np.array([one.window for one in examples], np.int64),
        )
        known = own.window * length + own.contexts.position
        fired = fired[~np.isin(pool.window[fired // length] * length + fired % length, known)]
        room = FIRING_SEEN - len(own)
        if len(fired) > room:
            fired = np.sort(generator.choice(fired, room, replace=False))
        more = self._places(fired)
        return Places(
            join([own.contexts, more.contexts]),
            np.concatenate([own.label, more.label]),
            np.concatenate([own.window, more.window]),
        )

    def _places(self, flat: np.ndarray) -> Places:
        pool = self.harvest.pool
        window = flat // pool.length
        return Places(
            contexts_at(pool.tokens, flat, self._reach), pool.label[window].astype(np.int64), pool.window[window]
        )
