"""One prompt whose stream is replaced again and again at one position: what comes before it is computed once."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.models.target import Target
from unweave.read.observe import observe
from unweave.read.stream import BATCH_TOKENS, depths, replaced_log_probabilities, stream_place, written_stream

MOST_AT_ONCE = 128
"""States of one forward: each has its own copy of the earlier tokens' keys and values."""
TOLERANCE = 1e-4
"""In float32; in half precision only how log-probabilities round is asked, so 0.1."""


class PatchedPrompt:
    """A prompt (tokens) and the position at which its stream is to be replaced.

    A causal model's earlier tokens do not see the replaced state, so their keys and values are kept and only the tokens
    from ``position`` on are run. At the least depth asked for yet, the first state is run both ways: where the two
    differ by more than ``TOLERANCE``, or the model keeps no such cache, every forward is a whole one. Raises
    ``UnweaveError`` for an empty prompt and a position outside it.
    """

    def __init__(self, target: Target, sequence: Sequence[int], position: int) -> None:
        if not 0 <= position < len(sequence):
            raise UnweaveError(f"position {position} is not in a prompt of {len(sequence)} tokens: give one of its own")
        self.target, self.sequence, self.position = target, list(sequence), position
        # transformers renamed it in 5.24.
        known = inspect.signature(target.module.forward).parameters
        self._named = "cache" if "cache" in known else "past_key_values"
        self._cache = self._kept() if position else None
        self._exact_from = target.depth + 1

    def log_probabilities(
        self, depth: int, states: Float[np.ndarray, "n d"], answers: Sequence[int]
    ) -> Float32[np.ndarray, "n a"]:
        """What ``read.stream.replaced_log_probabilities`` gives, to ``TOLERANCE``: one row for each of ``states``."""
        if self._cache is None or not len(states):
            return replaced_log_probabilities(self.target, depth, self.sequence, self.position, states, answers)
        if depth < self._exact_from:
            # From an earlier depth more blocks use the cache, so that what is right there is right later.
            first = replaced_log_probabilities(self.target, depth, self.sequence, self.position, states[:1], answers)
            allowed = TOLERANCE if self.target.dtype == torch.float32 else 0.1
            if not np.abs(self._continued(depth, states[:1], answers) - first).max() <= allowed:
                self._cache = None
                return self.log_probabilities(depth, states, answers)
            self._exact_from = depth
        return self._continued(depth, states, answers)

    def _kept(self) -> Any:
        """Keys and values of the tokens before the position, or None for a model that hands over no such cache."""
        from transformers import DynamicCache

        if not hasattr(getattr(self.target.module, "config", None), "use_cache"):
            return None
        tokens = torch.tensor([self.sequence[: self.position]], device=self.target.device)
        with torch.no_grad(), self.target.only_at([-1]):
            output = self.target.module(tokens, use_cache=True)
        cache = getattr(output, self._named, None)
        return cache if isinstance(cache, DynamicCache) else None

    @cached_property
    def _suffix(self) -> list[Tensor]:
        """The stream from the position on, at every depth."""
        places = {str(depth): stream_place(self.target, depth) for depth in depths(self.target)}
        found = observe(self.target, places, torch.tensor([self.sequence]), logits=False).values
        return [found[key][:, self.position :] for key in places]

    def _continued(
        self, depth: int, states: Float[np.ndarray, "n d"], answers: Sequence[int]
    ) -> Float32[np.ndarray, "n a"]:
        clean = self._suffix[depth]
        tokens = torch.tensor([self.sequence[self.position :]], device=self.target.device)
        found = np.empty((len(states), len(answers)), np.float32)
        step = min(MOST_AT_ONCE, max(BATCH_TOKENS // tokens.shape[1], 1))
        for start in range(0, len(states), step):
            part = torch.from_numpy(np.asarray(states[start : start + step], np.float32)).to(clean)
            hidden = clean.expand(len(part), -1, -1).clone()
            hidden[:, 0] = part
            cache: Any = copy.deepcopy(self._cache)
            cache.batch_repeat_interleave(len(part))
            with torch.no_grad(), written_stream(self.target, depth, hidden), self.target.only_at([-1]):
                output = self.target.module(tokens.expand(len(part), -1), use_cache=True, **{self._named: cache})
            chosen = output.logits[:, -1].float().log_softmax(1)[:, list(answers)]
            found[start : start + len(part)] = chosen.cpu().numpy()
        return found
