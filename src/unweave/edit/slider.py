"""What factors on subcomponents change, fast enough to watch while a slider moves."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.edit.edit_book import factor_edit
from unweave.edit.edits import FactorEdit, applied
from unweave.edit.measure import measure
from unweave.edit.view_models import FactorAnswer, FactorRequest, LabelChange, NextToken
from unweave.models.prefix import Prefix, cache_prefix, prefix_logits
from unweave.read.typed_text import token_texts, typed_text

if TYPE_CHECKING:
    from unweave.decompose.decomposition import Decomposition
    from unweave.models.target import Target
    from unweave.read.harvest.value import Pool

WORK = 8e9
"""Parameters times tokens that one answer may run over the labels' windows: a fraction of a second on a laptop."""
MOST_WINDOWS = 4
_PREFIXES = 16
_NAME = " slider"  # An edit's own name has no space around it, so none is called so.


class Slider:
    """Held-out windows of each label, and what comes before the edited layers, kept from one answer to the next.

    The ``stack`` of active edits is under both sides; after, a factor of the slider stands in place of the stack's for
    the same subcomponent. Callers hold the subject's lock.
    """

    def __init__(self, target: Target, decomposition: Decomposition, pool: Pool, labels: tuple[str, ...]) -> None:
        self._target, self._decomposition = target, decomposition
        self._windows = label_windows(target, pool, labels)
        self._prefixes: dict[tuple[object, ...], Prefix] = {}
        self._before: dict[tuple[object, ...], dict[str, float]] = {}

    def answer(self, request: FactorRequest, stack: list[FactorEdit]) -> FactorAnswer:
        """Next tokens of a text and cross-entropy by label, before and after; weights are put back bit for bit."""
        started = time.perf_counter()
        edit = factor_edit(self._decomposition, request.factors, _NAME)
        layer = self._first_layer([*stack, edit])
        text = typed_text(self._target, request.text, end=True)
        windows = self._windows if request.by_label else {}
        prefixes = {label: self._prefix(tokens, layer) for label, tokens in windows.items()}
        typed = self._prefix(text.tokens, layer)
        with applied(self._target, *stack):
            before = self._next(typed)
            lost = self._losses_before(prefixes, stack, layer)
        with applied(self._target, *_without(stack, edit), edit):
            after = self._next(typed)
            now = self._losses(prefixes)
        return FactorAnswer(
            tokens=token_texts(self._target, text.tokens[0].tolist()),
            truncated=text.truncated,
            next=self._changed(before, after, request.top),
            divergence=max(0.0, float((before.exp() * (before - after)).sum())),
            by_label=[
                LabelChange(
                    label=label,
                    windows=len(tokens),
                    tokens=tokens[:, 1:].numel(),
                    before=lost[label],
                    after=now[label],
                    change=now[label] - lost[label],
                )
                for label, tokens in windows.items()
            ],
            seconds=time.perf_counter() - started,
            edits=[each.name for each in stack],
        )

    def _first_layer(self, edits: list[FactorEdit]) -> int | None:
        layers = [self._target.site(site).layer for edit in edits for site in edit.sites()]
        known = [layer for layer in layers if layer is not None]
        return min(known) if len(known) == len(layers) else None

    def _prefix(self, tokens: Tensor, layer: int | None) -> Prefix:
        """What enters the first edited layer, which no edit changes."""
        key = (tuple(tokens.shape), tokens.numpy().tobytes(), layer)
        if key not in self._prefixes:
            # Oldest first out; the labels' windows of one layer are asked for together.
            while len(self._prefixes) >= _PREFIXES + len(self._windows):
                del self._prefixes[next(iter(self._prefixes))]
            self._prefixes[key] = cache_prefix(self._target, tokens, layer)
        return self._prefixes[key]

    def _next(self, typed: Prefix) -> Float[Tensor, " v"]:
        with torch.no_grad():
            return prefix_logits(self._target, typed, [-1])[0, 0].float().log_softmax(-1).cpu()

    def _losses_before(
        self, prefixes: Mapping[str, Prefix], stack: list[FactorEdit], layer: int | None
    ) -> dict[str, float]:
        if not prefixes:
            return {}
        key = (layer, *((piece.name, factor) for edit in stack for piece, factor in edit.pieces))
        if key not in self._before:
            self._before[key] = self._losses(prefixes)
        return self._before[key]

    def _losses(self, prefixes: Mapping[str, Prefix]) -> dict[str, float]:
        return {label: measure(self._target, prefix).mean()[0] for label, prefix in prefixes.items()}

    def _changed(self, before: Tensor, after: Tensor, count: int) -> list[NextToken]:
        larger = torch.maximum(before, after)
        tokens = larger.topk(min(count, len(larger))).indices.tolist()
        texts = token_texts(self._target, tokens)
        return [
            NextToken(token=token, text=text, before=float(before[token].exp()), after=float(after[token].exp()))
            for token, text in zip(tokens, texts, strict=True)
        ]


def _without(stack: list[FactorEdit], edit: FactorEdit) -> list[FactorEdit]:
    """The stack less the subcomponents that ``edit`` sets."""
    own = edit.places()
    left = [
        replace(each, pieces=tuple(one for one in each.pieces if (one[0].site, one[0].index) not in own))
        for each in stack
    ]
    return [each for each in left if each.pieces]


def label_windows(target: Target, pool: Pool, labels: tuple[str, ...]) -> dict[str, Tensor]:
    """The first held-out windows of each label in a harvest's pool: as many as ``WORK`` allows, at least one."""
    parameters = sum(p.numel() for p in target.module.parameters())
    room = int(WORK / (parameters * pool.length * max(len(labels), 1)))
    count = min(max(room, 1), MOST_WINDOWS)
    found = {}
    for place, label in enumerate(labels):
        rows = ((pool.label == place) & pool.held).nonzero()[0][:count]
        if len(rows):
            found[label] = torch.as_tensor(pool.tokens[rows]).long()
    return found
