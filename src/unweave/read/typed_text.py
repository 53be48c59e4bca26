"""Typed text through the live target: its tokens, and which features fire on each."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.corpora.windows import start_token
from unweave.read.features import Reading, fires
from unweave.read.observe import observe
from unweave.read.view_models import (
    FiresAnswer,
    FiresRequest,
    Firing,
    FiringToken,
    GroupFiring,
    TextFeature,
    TracedFeature,
)

if TYPE_CHECKING:
    from unweave.models.target import Target
    from unweave.read.subject import Subject

LONGEST = 256
"""Tokens of typed text that are read: the live view has to answer while a person waits."""
_FEATURES = 100


class TypedText(NamedTuple):
    """One window of tokens, and whether the text went on."""

    tokens: Int[Tensor, "1 t"]
    truncated: bool


def typed_text(target: Target, text: str, end: bool = False) -> TypedText:
    """A text's tokens as the target reads windows: no special tokens but the one that every text begins with.

    Of a longer text the first ``LONGEST`` tokens are read, or with ``end`` the last. Raises ``UnweaveError`` for a
    target without a tokenizer and for a text without a token.
    """
    if target.tokenizer is None:
        raise UnweaveError(f"{target.name} has no tokenizer, so text cannot be typed to it")
    ids = target.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    if not ids:
        raise UnweaveError(f"text {text[:40]!r} has no token: type something else")
    start = start_token(target.tokenizer)
    known = getattr(getattr(target.module, "config", None), "max_position_embeddings", None)
    room = min(LONGEST, known or LONGEST) - (start is not None)
    kept = ids[-room:] if end else ids[:room]
    return TypedText(torch.tensor([[*([] if start is None else [start]), *kept]]), len(ids) > room)


def token_texts(target: Target, tokens: Int[Tensor, " t"] | list[int]) -> list[str]:
    """Each token by itself as text."""
    return [target.tokenizer.decode([int(token)]) for token in tokens]


def firing_features(subject: Subject, request: FiresRequest) -> FiresAnswer:
    """Which features fire on each token of typed text, first those that tell most.

    What a firing tells is its importance times -ln of how often the feature fires at all, in nats: many importances
    are 1, and a feature that fires on half of all tokens says little about this one.
    """
    target, dictionary, table = subject.target, subject.dictionary, subject.table
    text = typed_text(target, request.text)
    traced_row = None if request.trace is None else subject.harvest.row(request.trace)
    with subject.running(request.with_edits) as edits:
        places = {name: features.reads for name, features in dictionary.groups.items()}
        with torch.no_grad():
            readings = dictionary.encode(observe(target, places, text.tokens, logits=False).values)
    chosen = None if request.group is None else table.in_groups(request.group)
    rarity = -np.log(np.maximum(subject.harvest.density, 1 / (subject.facts.tokens + 1)))
    found = _Firings.of(readings, list(dictionary.groups), chosen, rarity)
    texts = token_texts(target, text.tokens[0].tolist())
    tokens = [
        FiringToken(token=token, text=texts[at], firing=len(here), features=_shown(subject, here[: request.limit]))
        for at, (token, here) in enumerate(zip(text.tokens[0].tolist(), found.by_token(len(texts)), strict=True))
    ]
    return FiresAnswer(
        tokens=tokens,
        traced=None if traced_row is None else _traced(subject, readings, traced_row),
        groups=[GroupFiring(name=name, firing=counts.tolist()) for name, counts in found.groups.items()],
        features=_over_text(subject, found, rarity),
        truncated=text.truncated,
        edits=edits,
    )


class _One(NamedTuple):
    row: int
    importance: float
    activation: float


class _Firings(NamedTuple):
    """Every firing in a text: aligned arrays, and how many features of each group fire at each token."""

    token: np.ndarray
    row: np.ndarray
    importance: np.ndarray
    activation: np.ndarray
    groups: dict[str, np.ndarray]

    @classmethod
    def of(
        cls, readings: dict[str, Reading], order: list[str], chosen: np.ndarray | None, rarity: np.ndarray
    ) -> _Firings:
        parts: list[tuple[np.ndarray, ...]] = []
        groups, start = {}, 0
        for name in order:
            importance, activation = (each[0].float().cpu() for each in readings[name])
            firing = fires(Reading(importance, activation))
            span = slice(start, start + firing.shape[1])
            start = span.stop
            if chosen is not None and not chosen[span].any():
                continue
            groups[name] = firing.sum(1).numpy()
            token, index = (each.numpy() for each in firing.nonzero(as_tuple=True))
            parts.append((token, index + span.start, importance[firing].numpy(), activation[firing].numpy()))
        token, row, importance, activation = (np.concatenate(column) for column in zip(*parts, strict=True))
        by_token = np.lexsort((row, -importance * rarity[row], token))
        return cls(token[by_token], row[by_token], importance[by_token], activation[by_token], groups)

    def by_token(self, count: int) -> list[list[_One]]:
        found: list[list[_One]] = [[] for _ in range(count)]
        for token, *one in zip(*(each.tolist() for each in self[:4]), strict=True):
            found[token].append(_One(*one))
        return found


def _traced(subject: Subject, readings: dict[str, Reading], row: int) -> TracedFeature:
    harvest, table = subject.harvest, subject.table
    reading, index = readings[table.groups[table.group[row]]], int(harvest.index_of[row])
    importance, activation = (each[0, :, index].float().cpu().tolist() for each in reading)
    return TracedFeature(name=table.names[row], importance=importance, activation=activation)


def _shown(subject: Subject, firings: list[_One]) -> list[Firing]:
    names, labels, density = subject.table.names, subject.labels.text, subject.harvest.density
    return [
        Firing(name=names[one.row], label=labels[one.row], density=float(density[one.row]), **one._asdict())
        for one in firings
    ]


def _over_text(subject: Subject, found: _Firings, rarity: np.ndarray) -> list[TextFeature]:
    times = Counter(found.row.tolist())
    strongest: dict[int, tuple[float, float]] = {}
    for row, *levels in zip(*(each.tolist() for each in found[1:4]), strict=True):
        if row not in strongest or levels[0] > strongest[row][0]:
            strongest[row] = (levels[0], levels[1])
    told = np.bincount(found.row, weights=found.importance * rarity[found.row], minlength=len(rarity))
    order = sorted(times, key=lambda row: (-told[row], row))[:_FEATURES]
    names, labels = subject.table.names, subject.labels.text
    return [
        TextFeature(
            row=row,
            name=names[row],
            label=labels[row],
            tokens=times[row],
            importance=strongest[row][0],
            activation=strongest[row][1],
            density=float(subject.harvest.density[row]),
        )
        for row in order
    ]
