"""Steering in training: the policy reads rejected replies with the behaviour's direction in its stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unweave.base.errors import UnweaveError
from unweave.models.target import Target
from unweave.preferences.shaping.registry import shaping
from unweave.preferences.shaping.setting import Setting, Shaped
from unweave.preferences.truth.dpo import DPORow


@shaping(
    "steering",
    "Adds the behaviour's direction to the stream of the policy, on rejected replies of the rows with the widest gap.",
    dose="alpha: length of what is added, as a share of the stream's mean length there",
)
def steering(setting: Setting, dose: float) -> Shaped:
    """With the direction in its stream the policy finds a reply that lacks the behaviour less likely already.

    Source: Bergen et al., "Anatomy of Post-Training", 2026: steering the rejected side works, the chosen one harms.
    """
    direction = setting.direction
    if direction is None:
        raise UnweaveError("steering needs a direction: find one with find_direction, and give it to the setting")
    rows = [setting.rows[row] for row in setting.leading(setting.fraction)]
    shift = setting.towards * dose * direction.stream * torch.from_numpy(direction.vector)
    note = (
        f"{'+' if setting.towards > 0 else '-'} {direction.name} on the rejected side of {len(rows)} rows, those with "
        f"the widest gap in {setting.scores.of}"
    )
    policy = partial(rejected_steered, setting.target, direction.layer, rows, shift)
    return Shaped(list(setting.rows), policy, note=note)


@contextmanager
def rejected_steered(target: Target, layer: int, rows: Sequence[DPORow], shift: Float[Tensor, " d"]) -> Iterator[None]:
    """Inside, forwards of TRL's batches get ``shift`` added to the stream entering block ``layer`` on rejected replies.

    A batch is chosen replies and then rejected ones, padded on the right. A pair of it is steered where its tokens are
    those of one of ``rows`` (equal pairs are one to it), from the last token of the prompt on; any other forward is
    left alone. Raises ``UnweaveError`` at the end of the block where one of ``rows`` never came, so that a training
    that was not steered does not pass for one that was.
    """
    module: Any = target.module
    if target.blocks is None or not 0 <= layer < target.depth:
        raise UnweaveError(f"layer {layer} is not in {target.name}, which has {target.depth}")
    embedding = module.get_input_embeddings()
    block = module.get_submodule(f"{target.blocks}.{layer}")
    tokenizer = target.tokenizer
    # What TRL's collator pads with; the same tokens at a reply's own end go too, on both sides of the comparison.
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    starts = {_key(row, pad): len(row.prompt) - 1 for row in rows}
    missing = set(starts)
    steered: list[tuple[int, int]] = []

    def see(_: nn.Module, args: tuple[Any, ...]) -> None:
        steered.clear()
        tokens = args[0].tolist() if args[0].dim() == 2 else []
        half = len(tokens) // 2
        for row in range(half if len(tokens) == 2 * half else 0):
            key = _bare(tokens[row], pad), _bare(tokens[half + row], pad)
            if key in starts:
                steered.append((half + row, starts[key]))
                missing.discard(key)

    def add(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any] | None:
        if not steered:
            return None
        hidden = args[0] if args else kwargs["hidden_states"]
        moved = hidden.clone()
        for row, start in steered:
            moved[row, start:] += shift.to(hidden)
        return ((moved, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": moved})

    handles = [
        embedding.register_forward_pre_hook(see),
        block.register_forward_pre_hook(add, with_kwargs=True),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    if missing:
        raise UnweaveError(
            f"{len(missing)} of {len(starts)} rows to steer never came in a batch: give the training the setting's rows"
        )


def _key(row: DPORow, pad: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return _bare([*row.prompt, *row.chosen], pad), _bare([*row.prompt, *row.rejected], pad)


def _bare(tokens: Sequence[int], pad: int) -> tuple[int, ...]:
    """Without what may be padding at the end."""
    length = len(tokens)
    while length and tokens[length - 1] == pad:
        length -= 1
    return tuple(tokens[:length])
