"""What a target's states and a dictionary's features say of prompts and replies, a batch of packed rows at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float16, Int32
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.models.parity import TOLERANCE
from unweave.models.target import Target
from unweave.preferences.features.packing import PackedRow, Span, model_inputs, pack
from unweave.read.features import Dictionary, Place, fires
from unweave.read.observe import observe

STATE = "residual stream"
"""Key of the layer's place; no group of a dictionary has a name with a space in it."""
READINGS = 1 << 25
"""Tokens times features that are read at once: a tensor of them is 128 MiB in float32."""
HALF = float(np.finfo(np.float16).max)


FeatureReading = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Features that fired in a span, and their frequencies and maxima."""


class SpanReading(NamedTuple):
    """One prompt or reply: features that fired somewhere in it, in order, and its mean state."""

    feature: Int32[np.ndarray, " k"]
    frequency: Float16[np.ndarray, " k"]
    """Share of the span's tokens on which the feature fires."""
    maximum: Float16[np.ndarray, " k"]
    """The activation that is largest by size where it fires, with its sign."""
    state: Float16[np.ndarray, " d"]


class SpanReader:
    """Reads spans at one layer of a target, and with a dictionary that is the target's.

    ``shared`` says whether replies to one prompt are read side by side. A target that cannot be given positions and a
    mask, or makes something else of them, reads every reply in a row of its own, with equal results.
    """

    def __init__(self, target: Target, layer: int, dictionary: Dictionary | None) -> None:
        self.target, self.layer, self.dictionary = target, layer, dictionary
        module, width = residual_place(target, layer)
        self.width = width
        self.places: dict[str, Place] = {STATE: Place(module, "input", width)}
        if dictionary is not None:
            self.places |= {name: features.reads for name, features in dictionary.groups.items()}
        self.features = sum(map(len, dictionary.groups.values())) if dictionary is not None else 0
        self.shared = self._packs()

    @torch.no_grad()
    def read(self, rows: Sequence[PackedRow]) -> dict[tuple[bool, int], SpanReading]:
        """Readings of all spans of one batch, by whether it is a reply and by its number."""
        values = self._values(rows)
        spans = [(at, span) for at, row in enumerate(rows) for span in row.spans]
        states = values.pop(STATE)
        means = [_mean(states[at, span.start : span.stop]) for at, span in spans]
        readings = self._features(rows, spans, values)
        return {
            (span.reply, span.number): SpanReading(*reading, mean)
            for (_, span), reading, mean in zip(spans, readings, means, strict=True)
        }

    def _values(self, rows: Sequence[PackedRow]) -> dict[str, Float[Tensor, "n t d"]]:
        tokens, positions, mask = model_inputs(rows, self.target.dtype, self.target.device)
        given = {} if positions is None or mask is None else {"position_ids": positions, "attention_mask": mask}
        return observe(self.target, self.places, tokens, logits=False, given=given).values

    def _features(
        self, rows: Sequence[PackedRow], spans: Sequence[tuple[int, Span]], values: Mapping[str, Tensor]
    ) -> list[FeatureReading]:
        found: list[FeatureReading] = []
        if self.dictionary is None:
            nothing = np.empty(0, np.int32), np.empty(0, np.float16), np.empty(0, np.float16)
            return [nothing] * len(spans)
        if getattr(self.dictionary, "across_tokens", False):
            # Its readings depend on a whole window: each span gets the one it would have without the other replies.
            for at, span in spans:
                before = rows[at].prompt if span.reply else 0
                seen = [*range(before), *range(span.start, span.stop)]
                window = {name: value[at, seen][None] for name, value in values.items()}
                found += _encoded(self.dictionary, window, [before], [span.stop - span.start])
            return found
        chunk: list[tuple[int, Span]] = []
        length = 0
        for each in spans:
            more = each[1].stop - each[1].start
            if chunk and (length + more) * self.features > READINGS:
                found += _chunk(self.dictionary, chunk, values)
                chunk, length = [], 0
            chunk.append(each)
            length += more
        return found + _chunk(self.dictionary, chunk, values)

    @torch.no_grad()
    def _packs(self) -> bool:
        """Whether rows of several replies give what rows of one do, here and now."""
        count = min(self.target.vocabulary, 50)
        prompt, replies = [each % count for each in (11, 5, 8, 3)], [[each % count] * 2 for each in (7, 9, 2)]
        packed, plain = (pack([prompt], replies, [0, 0, 0], shared) for shared in (True, False))
        wanted = self._values(plain)
        try:
            found = self._values(packed)
        except (TypeError, ValueError, RuntimeError, NotImplementedError, UnweaveError):
            return False
        for name, value in wanted.items():
            # Of the replies alone: first tokens of a text may be a thousand times as large.
            one = torch.cat([value[at, row.prompt : len(row)] for at, row in enumerate(plain)])
            other = torch.cat([found[name][0, span.start : span.stop] for span in packed[0].replies])
            error = float((one - other).abs().max() / one.abs().max().clamp_min(1e-6))
            if not error <= TOLERANCE.get(self.target.dtype, 1e-4):
                return False
        return True


def residual_place(target: Target, layer: int) -> tuple[str, int]:
    """The block whose input is the residual stream at ``layer``, and how wide that is.

    Raises ``UnweaveError`` for a layer that is not there.
    """
    with torch.no_grad():
        width = target.hidden_before(layer, torch.zeros(1, 1, dtype=torch.long)).shape[-1]
    return f"{target.blocks}.{layer}", width


def _chunk(
    dictionary: Dictionary, spans: Sequence[tuple[int, Span]], values: Mapping[str, Float[Tensor, "n t d"]]
) -> list[FeatureReading]:
    """Features of spans of several rows, read as one run of tokens without padding."""
    lengths = [span.stop - span.start for _, span in spans]
    row = torch.cat([torch.full((span.stop - span.start,), at) for at, span in spans])
    place = torch.cat([torch.arange(span.start, span.stop) for _, span in spans])
    starts = np.cumsum([0, *lengths])[:-1].tolist()
    return _encoded(dictionary, {name: value[row, place][None] for name, value in values.items()}, starts, lengths)


def _encoded(
    dictionary: Dictionary,
    values: Mapping[str, Float[Tensor, "1 n d"]],
    starts: Sequence[int],
    lengths: Sequence[int],
) -> list[FeatureReading]:
    """Features of each span of tokens [start, start + length) of the values."""
    readings = dictionary.encode(values)
    counts, peaks = [], []
    for name in dictionary.groups:
        fired, activation = fires(readings[name])[0], readings[name].activation[0].float()
        ranges = [slice(start, start + length) for start, length in zip(starts, lengths, strict=True)]
        summed = [_summed(fired[each], activation[each]) for each in ranges]
        counts.append(torch.stack([count for count, _ in summed]))
        peaks.append(torch.stack([peak for _, peak in summed]))
    count = torch.cat(counts, 1).cpu().numpy()
    peak = torch.cat(peaks, 1).clamp(-HALF, HALF).cpu().numpy()
    found = []
    for at, length in enumerate(lengths):
        features = np.flatnonzero(count[at])
        frequency = (count[at, features] / max(length, 1)).astype(np.float16)
        found.append((features.astype(np.int32), frequency, peak[at, features].astype(np.float16)))
    return found


def _mean(states: Float[Tensor, "t d"]) -> Float16[np.ndarray, " d"]:
    """Zeros for a span without tokens."""
    total = states.float().sum(0) / max(len(states), 1)
    return total.clamp(-HALF, HALF).cpu().numpy().astype(np.float16)


def _summed(
    fired: Bool[Tensor, "t c"], activation: Float[Tensor, "t c"]
) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
    """On how many tokens each feature fires, and its activation of the largest size there."""
    if not len(fired):
        nothing = activation.new_zeros(activation.shape[1])
        return nothing, nothing
    low, high = activation.masked_fill(~fired, 0).aminmax(dim=0)
    return fired.sum(0, dtype=torch.float32), torch.where(high >= -low, high, low)
