"""Replies sampled from a target: many at once, and each the same whatever it was batched with."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress, Silent
from unweave.base.seeds import numpy_generator
from unweave.models.target import Target
from unweave.preferences.truth.plain_attention import plain_attention


@dataclass(frozen=True)
class Reply:
    """One sampled reply: its tokens without the end mark, its text, and whether the target ended it by itself."""

    tokens: tuple[int, ...]
    text: str
    ended: bool


def sample_replies(
    target: Target,
    prompts: Sequence[Sequence[int]],
    each: int = 8,
    most: int = 48,
    seed: int = 0,
    temperature: float = 1.0,
    rows: int = 256,
    progress: Progress | None = None,
) -> list[list[Reply]]:
    """``each`` replies of at most ``most`` tokens to each prompt, drawn from the whole distribution.

    A reply's random numbers depend on ``seed``, its prompt's index and its own number only, so that ``rows``, how many
    are sampled side by side, changes speed and memory and (but for rounding) nothing else.
    Raises ``UnweaveError`` for an empty prompt and for a target that has no mark for the end of a reply.
    """
    for index, prompt in enumerate(prompts):
        if not len(prompt):
            raise UnweaveError(f"prompt {index} has no tokens, and a reply needs something to answer")
    if min(each, most, rows) < 1 or temperature <= 0:
        raise UnweaveError(
            f"each is {each}, most {most}, rows {rows} and temperature {temperature}: all must be greater than 0"
        )
    stops = end_marks(target)
    progress = progress or Silent()
    # Prompts of like length go together, so that little is padded.
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    step = max(1, rows // each)
    found: list[list[Reply]] = [[] for _ in prompts]
    with plain_attention(target):
        for start in range(0, len(order), step):
            chosen = order[start : start + step]
            uniform = np.concatenate([numpy_generator(seed, "reply", index).random((each, most)) for index in chosen])
            drawn = _sample_batch(target, [prompts[index] for index in chosen], uniform, stops, temperature)
            for number, index in enumerate(chosen):
                found[index] = [_reply(target, tokens, stops) for tokens in drawn[number * each : (number + 1) * each]]
            progress.update(start + len(chosen), len(order), "prompts answered")
    return found


def end_marks(target: Target) -> frozenset[int]:
    """Tokens that end a reply: the tokenizer's, and those of the target's own settings for generation."""
    stated = getattr(getattr(target.module, "generation_config", None), "eos_token_id", None)
    marks = {*(stated if isinstance(stated, (list, tuple)) else [stated]), target.tokenizer.eos_token_id} - {None}
    if not marks:
        raise UnweaveError(f"{target.name} has no token that ends a reply: its tokenizer names no eos_token")
    return frozenset(marks)


def _reply(target: Target, tokens: list[int], stops: frozenset[int]) -> Reply:
    ended = bool(tokens) and tokens[-1] in stops
    kept = tokens[:-1] if ended else tokens
    return Reply(tuple(kept), target.tokenizer.decode(kept, skip_special_tokens=True), ended)


@torch.inference_mode()
def _sample_batch(
    target: Target,
    prompts: Sequence[Sequence[int]],
    uniform: Float64[np.ndarray, "n most"],
    stops: frozenset[int],
    temperature: float,
) -> list[list[int]]:
    each = len(uniform) // len(prompts)
    width = max(map(len, prompts))
    pad, device = min(stops), target.device
    tokens = torch.tensor([[pad] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with target.only_at([-1]):
        output = target.module(input_ids=tokens, attention_mask=mask, position_ids=positions, use_cache=True)
    cache_name = _cache_name(target)
    cache = getattr(output, cache_name)
    cache.batch_repeat_interleave(each)
    logits = output.logits[:, -1].repeat_interleave(each, 0)
    mask = mask.repeat_interleave(each, 0)
    position = positions[:, -1:].repeat_interleave(each, 0)
    alive = np.arange(len(uniform))
    drawn: list[list[int]] = [[] for _ in alive]
    marks = torch.tensor(sorted(stops), device=device)
    for step in range(uniform.shape[1]):
        chosen = draw(logits / temperature, torch.from_numpy(uniform[alive, step]).to(device))
        for row, token in zip(alive, chosen.tolist(), strict=True):
            drawn[row].append(token)
        going = ~torch.isin(chosen, marks)
        if step + 1 == uniform.shape[1] or not bool(going.any()):
            break
        if not bool(going.all()):
            # Replies that have ended leave the batch.
            kept = going.nonzero()[:, 0]
            alive = alive[kept.cpu().numpy()]
            chosen, mask, position = chosen[kept], mask[kept], position[kept]
            cache.batch_select_indices(kept)
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
        position = position + 1
        output = target.module(
            input_ids=chosen[:, None],
            attention_mask=mask,
            position_ids=position,
            use_cache=True,
            **{cache_name: cache},
        )
        logits = output.logits[:, -1]
    return drawn


def _cache_name(target: Target) -> str:
    """What the module calls its cache of keys and values: transformers renamed it."""
    known = inspect.signature(target.module.forward).parameters
    return "cache" if "cache" in known else "past_key_values"


def draw(logits: Float[Tensor, "n vocabulary"], uniform: Float[Tensor, " n"]) -> Int[Tensor, " n"]:
    """The token at each quantile ``uniform`` in [0, 1) of the distribution: sampling by inversion."""
    reached = torch.softmax(logits.float(), -1).cumsum(-1)
    at = torch.searchsorted(reached, uniform.to(reached)[:, None] * reached[:, -1:])[:, 0]
    return at.clamp(max=logits.shape[-1] - 1)
