"""Where in a text a column is: what each word adds to a behaviour, which clusters of features fire on each token."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from unweave.base.errors import UnweaveError
from unweave.preferences.behaviours.reply_text import ReplyText
from unweave.preferences.encoding import Limits, PairEncoder
from unweave.read.features import Reading, fires
from unweave.read.observe import observe

if TYPE_CHECKING:
    from unweave.corpora.pairs.value import PreferencePair
    from unweave.models.target import Target
    from unweave.preferences.behaviours.registry import Behaviour
    from unweave.preferences.features.clusters import FeatureClusters
    from unweave.read.features import Dictionary

MOST_WORDS = 600
"""Words of a reply that are left out one at a time: each measures the whole reply again."""
FIRING = 5
"""Clusters that are named at a token."""
_WORD = re.compile(r"\s+|\w+|[^\w\s]")


class ClusterFiring(NamedTuple):
    """A cluster at a token: the share of its features that fire there, and their largest activation by size."""

    cluster: int
    share: float
    activation: float


class Part(NamedTuple):
    """A piece of a text in reading order: a word with what it adds, or a token with what fires there."""

    text: str
    value: float
    """What a behaviour has more with the word than without it; the share of the column's cluster that fires."""
    firing: tuple[ClusterFiring, ...] = ()


class ReadText(NamedTuple):
    """A prompt or reply in parts. ``cut``: the end of a reply (of a prompt the beginning) is not among those read."""

    parts: tuple[Part, ...]
    cut: bool


def behaviour_parts(behaviour: Behaviour, reply: str, prompt: str) -> ReadText:
    """What each word or mark of a reply adds to a behaviour: its value minus that of the reply without the word.

    A mark of several characters (``**``) is left out a character at a time. Of a long reply the first ``MOST_WORDS``
    words are tried, and the rest is one part that has no value.
    """
    words = _WORD.findall(reply)
    whole = behaviour.function(ReplyText(reply, prompt))
    found: list[Part] = []
    tried = place = 0
    for word in words:
        if tried == MOST_WORDS:
            return ReadText((*found, Part(reply[place:], 0.0)), True)
        after = place + len(word)
        value = 0.0
        if not word.isspace() or "\n" in word:
            tried += 1
            value = float(whole - behaviour.function(ReplyText(reply[:place] + reply[after:], prompt)))
        found.append(Part(word, value))
        place = after
    return ReadText(tuple(found), False)


class TokenReader:
    """Reads pairs by a target and its dictionary, as ``read_pairs`` does, but token by token."""

    def __init__(self, target: Target, dictionary: Dictionary, clusters: FeatureClusters, limits: Limits) -> None:
        self.target, self.dictionary, self.clusters = target, dictionary, clusters
        self.encoder = PairEncoder(target, limits)
        self.places = {name: features.reads for name, features in dictionary.groups.items()}
        features = sum(map(len, dictionary.groups.values()))
        if features != clusters.features:
            raise UnweaveError(
                f"the clusters are of {clusters.features} features, and {dictionary.name} has {features}: predict again"
            )
        self._labels = clusters.labels()
        self._sizes = np.array([len(members) for members in clusters.members], np.float64)

    def read(self, pair: PreferencePair, column: int | None) -> tuple[ReadText, ReadText, ReadText]:
        """Prompt, chosen and rejected reply; values are the shares of cluster ``column`` that fire, else of none."""
        prompt, prompt_cut = self.encoder.prompt(pair.prompt)
        replies = [self.encoder.reply(text) for text in (pair.chosen, pair.rejected)]
        windows = [self._parts([*prompt, *tokens], column) for tokens, _ in replies]
        start = len(prompt)
        chosen, rejected = (ReadText(parts[start:], cut) for parts, (_, cut) in zip(windows, replies, strict=True))
        return ReadText(windows[0][:start], prompt_cut), chosen, rejected

    def _parts(self, tokens: Sequence[int], column: int | None) -> tuple[Part, ...]:
        ids = torch.tensor([list(tokens)])
        with torch.no_grad():
            readings = self.dictionary.encode(observe(self.target, self.places, ids, logits=False).values)
        fired, activation = _joined([readings[name] for name in self.dictionary.groups])
        texts = [self.target.tokenizer.decode([token]) for token in tokens]
        return tuple(
            self._part(text, np.flatnonzero(fired[at]), activation[at], column) for at, text in enumerate(texts)
        )

    def _part(self, text: str, features: np.ndarray, activation: np.ndarray, column: int | None) -> Part:
        clusters = self._labels[features]
        features, clusters = features[clusters >= 0], clusters[clusters >= 0]
        counts = np.bincount(clusters, minlength=len(self._sizes))
        shares = counts / self._sizes
        here = np.flatnonzero(counts)
        firing = []
        for cluster in here[np.argsort(-shares[here], kind="stable")][:FIRING]:
            values = activation[features[clusters == cluster]]
            firing.append(ClusterFiring(int(cluster), float(shares[cluster]), float(values[np.abs(values).argmax()])))
        return Part(text, float(shares[column]) if column is not None else 0.0, tuple(firing))


def _joined(readings: Sequence[Reading]) -> tuple[np.ndarray, np.ndarray]:
    fired = torch.cat([fires(reading)[0] for reading in readings], -1)
    activation = torch.cat([reading.activation[0].float() for reading in readings], -1)
    return fired.cpu().numpy(), activation.cpu().numpy()
