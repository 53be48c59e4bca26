"""Many short prompts that go on from places of one text, answered in few forwards.

A rating after every sentence of a story asks the same text again and again. Here the text is read once and the prompts
are its branches: every token sees the text up to where its branch begins, and its own branch. Prompts that begin alike
share what they share. A target that cannot be run so is asked prompt by prompt; which of the two it is, is tested.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.models.target import Target
from unweave.read.stream import next_log_probabilities

PACKED_TOKENS = 1024
"""Tokens of one forward, unless a single prompt needs more: attention's cost grows with their square."""
_AGREES = 1e-3
"""Largest difference of a log-probability between the two ways, in float32."""


class Prompt(NamedTuple):
    """``tokens`` after the first ``after`` tokens of the text."""

    after: int
    tokens: tuple[int, ...]


class _Packed(NamedTuple):
    """One forward: its tokens, where each stands in its own prompt, what it sees, and where the prompts end."""

    tokens: Int[Tensor, "1 t"]
    positions: Int[Tensor, "1 t"]
    seen: Float[Tensor, "1 1 t t"]
    ends: list[int]


@dataclass
class _Tree:
    """Prompts merged by what they begin with. A node is a token; the text's tokens are no nodes."""

    after: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    _known: dict[tuple[int, int, int], int] = field(default_factory=dict)

    def grow(self, prompt: Prompt) -> None:
        node = -1
        for token in prompt.tokens:
            key = (prompt.after, node, token)
            if key not in self._known:
                self._known[key] = len(self.tokens)
                self.after.append(prompt.after)
                self.tokens.append(token)
                self.parents.append(node)
            node = self._known[key]
        self.ends.append(node)

    def packed(self, text: Sequence[int], dtype: torch.dtype) -> _Packed:
        trunk, nodes = max(self.after), len(self.tokens)
        seen = torch.zeros(trunk + nodes, trunk + nodes, dtype=torch.bool)
        seen[:trunk, :trunk] = torch.ones(trunk, trunk, dtype=torch.bool).tril()
        positions = list(range(trunk))
        for node, (after, parent) in enumerate(zip(self.after, self.parents, strict=True)):
            row = trunk + node
            if parent < 0:
                seen[row, :after] = True
                positions.append(after)
            else:
                seen[row] = seen[trunk + parent]
                positions.append(positions[trunk + parent] + 1)
            seen[row, row] = True
        blocked = torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)
        tokens = torch.tensor([[*text[:trunk], *self.tokens]])
        return _Packed(tokens, torch.tensor([positions]), blocked[None, None], [trunk + end for end in self.ends])


def branch_log_probabilities(
    target: Target, text: Sequence[int], prompts: Sequence[Prompt], answers: Sequence[int]
) -> Float32[np.ndarray, "p a"]:
    """Log-probability of each of ``answers`` (tokens) after each prompt, over all the vocabulary.

    Raises ``UnweaveError`` for no prompt, one without tokens, and one that begins outside the text.
    """
    for prompt in prompts:
        if not 1 <= prompt.after <= len(text) or not prompt.tokens:
            raise UnweaveError(
                f"a prompt of {len(prompt.tokens)} tokens after {prompt.after} of {len(text)} of a text: it needs a "
                "token or more, after 1 or more"
            )
    if not prompts:
        raise UnweaveError("no prompt is given: give one or more")
    if not takes_branches(target):
        return _one_by_one(target, text, prompts, answers)
    found = [_packed(target, tree.packed(text, target.dtype), answers) for tree in _trees(prompts)]
    return np.concatenate(found)


def takes_branches(target: Target) -> bool:
    """Whether the target gives the same answers to packed prompts as to prompts one by one, tried on a few tokens."""
    kept = _TAKES.get(target.identity.digest)
    if kept is None:
        kept = _TAKES[target.identity.digest] = _tried(target)
    return kept


_TAKES: dict[str, bool] = {}


def _tried(target: Target) -> bool:
    spread = np.linspace(1, target.vocabulary - 1, 9).astype(int).tolist()
    prompts = [Prompt(2, tuple(spread[5:7])), Prompt(5, (spread[5], spread[7])), Prompt(2, (spread[5], spread[8]))]
    text, answers = spread[:5], spread[:3]
    tree = _Tree()
    for prompt in prompts:
        tree.grow(prompt)
    try:
        packed = _packed(target, tree.packed(text, target.dtype), answers)
    except (TypeError, ValueError, RuntimeError):  # a module that takes no such mask, or no positions
        return False
    allowed = _AGREES if target.dtype == torch.float32 else 0.1
    return bool(np.abs(packed - _one_by_one(target, text, prompts, answers)).max() <= allowed)


def _one_by_one(
    target: Target, text: Sequence[int], prompts: Sequence[Prompt], answers: Sequence[int]
) -> Float32[np.ndarray, "p a"]:
    return next_log_probabilities(target, [[*text[: each.after], *each.tokens] for each in prompts], answers)


def _packed(target: Target, packed: _Packed, answers: Sequence[int]) -> Float32[np.ndarray, "p a"]:
    places = torch.tensor(packed.ends)
    with torch.no_grad(), target.only_at(places[None]):
        output = target.module(
            packed.tokens.to(target.device),
            attention_mask=packed.seen.to(target.device),
            position_ids=packed.positions.to(target.device),
            **target._forward_options(),
        )
    logits = output.logits if hasattr(output, "logits") else output
    return logits[0].float().log_softmax(1)[:, list(answers)].cpu().numpy()


def _trees(prompts: Sequence[Prompt]) -> Iterator[_Tree]:
    """Consecutive prompts together, as many as a forward holds."""
    tree, longest = _Tree(), 0
    for prompt in prompts:
        longest = max(longest, prompt.after)
        if tree.ends and longest + len(tree.tokens) + len(prompt.tokens) > PACKED_TOKENS:
            yield tree
            tree, longest = _Tree(), prompt.after
        tree.grow(prompt)
    yield tree
