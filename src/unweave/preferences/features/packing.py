"""Replies to one prompt side by side in one row, so that the target reads the prompt once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

ROW_TOKENS = 512
"""A row takes one more reply to its prompt up to this length. A mask grows with its square."""
_PADDING = -1


class Span(NamedTuple):
    """A run of tokens in a row: which prompt (``reply`` False) or reply it is, by number, and where it stands."""

    reply: bool
    number: int
    start: int
    stop: int


class PackedRow(NamedTuple):
    """A prompt with one or more replies after it, none of which sees another."""

    tokens: tuple[int, ...]
    prompt: int
    """Tokens of the prompt."""
    spans: tuple[Span, ...]
    """Its replies; and its prompt, in one row of each prompt."""

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def replies(self) -> list[Span]:
        return [span for span in self.spans if span.reply]


class Inputs(NamedTuple):
    """What a target is given for some rows. Positions and mask are None where plain ones do."""

    tokens: Int[Tensor, "n t"]
    positions: Int[Tensor, "n t"] | None
    mask: Float[Tensor, "n 1 t t"] | None
    """Added to attention scores: 0 where a token may look, the dtype's lowest number elsewhere."""


def pack(
    prompts: Sequence[Sequence[int]], replies: Sequence[Sequence[int]], prompt_of: Sequence[int], shared: bool
) -> list[PackedRow]:
    """Rows that hold every reply once, after its prompt; with ``shared`` several to a row, otherwise each its own."""
    rows = []
    by_prompt: list[list[int]] = [[] for _ in prompts]
    for number, prompt in enumerate(prompt_of):
        by_prompt[prompt].append(number)
    for prompt, numbers in enumerate(by_prompt):
        for turn, together in enumerate(_together(len(prompts[prompt]), numbers, replies, shared)):
            tokens, length = list(prompts[prompt]), len(prompts[prompt])
            spans = [] if turn else [Span(False, prompt, 0, length)]
            for number in together:
                spans.append(Span(True, number, len(tokens), len(tokens) + len(replies[number])))
                tokens += replies[number]
            rows.append(PackedRow(tuple(tokens), length, tuple(spans)))
    return rows


def _together(
    prompt: int, numbers: Sequence[int], replies: Sequence[Sequence[int]], shared: bool
) -> Iterator[list[int]]:
    """Replies by row; two fit in any row, because they are what a pair is made of."""
    row: list[int] = []
    length = prompt
    for number in numbers:
        length += len(replies[number])
        if row and (not shared or (len(row) >= 2 and length > ROW_TOKENS)):
            yield row
            row, length = [], prompt + len(replies[number])
        row.append(number)
    if row:
        yield row


def batches(rows: Sequence[PackedRow], batch_tokens: int) -> Iterator[list[PackedRow]]:
    """Rows of about one length together, at most ``batch_tokens`` with their padding; one row at least."""
    batch: list[PackedRow] = []
    for row in sorted(rows, key=len):
        if batch and (len(batch) + 1) * len(row) > batch_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def model_inputs(rows: Sequence[PackedRow], dtype: torch.dtype, device: torch.device) -> Inputs:
    """Rows padded on the right with token 0, which no other token sees."""
    width = max(map(len, rows))
    tokens = torch.zeros(len(rows), width, dtype=torch.long)
    for at, row in enumerate(rows):
        tokens[at, : len(row)] = torch.tensor(row.tokens)
    if all(len(row.replies) < 2 for row in rows):
        return Inputs(tokens, None, None)
    positions = torch.arange(width).repeat(len(rows), 1)
    part = torch.full((len(rows), width), _PADDING)
    for at, row in enumerate(rows):
        part[at, : row.prompt] = 0
        for number, span in enumerate(row.replies, 1):
            part[at, span.start : span.stop] = number
            positions[at, span.start : span.stop] = torch.arange(row.prompt, row.prompt + span.stop - span.start)
        # Of padding, any position does that the target has.
        positions[at, len(row) :] = 0
    part, place = part.to(device), torch.arange(width, device=device)
    sees = (place[:, None] >= place) & ((part[:, None, :] == 0) | (part[:, None, :] == part[:, :, None]))
    mask = torch.zeros(sees.shape, dtype=dtype, device=device).masked_fill_(~sees, torch.finfo(dtype).min)
    return Inputs(tokens, positions.to(device), mask[:, None])
