"""What an edit does to text: cross-entropy, entropy and KL to the base, window by window."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.base.progress import Progress, Silent
from unweave.models.prefix import Prefix, cache_prefix, prefix_logits
from unweave.models.target import Target


@dataclass(frozen=True)
class Measured:
    """Means over a window's predicted tokens, in nats, one value a window."""

    cross_entropy: Float[Tensor, " n"]
    entropy: Float[Tensor, " n"]

    def mean(self) -> tuple[float, float]:
        return float(self.cross_entropy.mean()), float(self.entropy.mean())


def measure(target: Target, prefix: Prefix, batch: int = 16) -> Measured:
    """Realised cross-entropy of tokens 1 to T-1 of each window, and the entropy of the predictions."""
    loss, entropy = measure_tokens(target, prefix, batch)
    return Measured(loss.mean(1), entropy.mean(1))


def measure_tokens(
    target: Target, prefix: Prefix, batch: int = 16
) -> tuple[Float[Tensor, "n t"], Float[Tensor, "n t"]]:
    """Realised cross-entropy of tokens 1 to T-1 of each window and entropy of the predictions, token by token."""
    losses, entropies = [], []
    with torch.no_grad():
        for part in prefix.batches(batch):
            logits = prefix_logits(target, part, slice(0, -1)).float()
            loss, entropy = realised(logits, part.tokens[:, 1:].to(logits.device))
            losses.append(loss.cpu())
            entropies.append(entropy.cpu())
    return torch.cat(losses), torch.cat(entropies)


def realised(
    logits: Float[Tensor, "n t v"], tokens: Int[Tensor, "n t"]
) -> tuple[Float[Tensor, "n t"], Float[Tensor, "n t"]]:
    """Cross-entropy of the tokens and entropy of the predictions, per token.

    Window by window, so that memory holds one window's log-probabilities. (``logsumexp`` over the vocabulary measured
    ten times slower than ``log_softmax`` on a CPU.)
    """
    losses, entropies = [], []
    for window, wanted in zip(logits, tokens, strict=True):
        log_probabilities = window.log_softmax(-1)
        losses.append(-log_probabilities.gather(-1, wanted[:, None])[:, 0])
        entropies.append(-(log_probabilities.exp() * log_probabilities).sum(-1))
    return torch.stack(losses), torch.stack(entropies)


@dataclass(frozen=True)
class Yardstick:
    """Windows by label with everything before the edited layer computed, and the base model's own values."""

    prefixes: Mapping[str, Prefix]
    base: Mapping[str, Measured]
    batch: int = 16

    def measure(self, target: Target, labels: list[str] | None = None) -> dict[str, Measured]:
        """The same text under whatever is now applied to the target."""
        return {name: measure(target, self.prefixes[name], self.batch) for name in labels or self.prefixes}


def make_yardstick(
    target: Target,
    windows: Mapping[str, Tensor],
    layer: int | None,
    batch: int = 16,
    progress: Progress | None = None,
) -> Yardstick:
    """Caches activations before ``layer`` and measures the base once."""
    progress = progress or Silent()
    prefixes, base = {}, {}
    for done, (label, tokens) in enumerate(windows.items()):
        progress.update(done, len(windows), f"base, {label}")
        prefixes[label] = cache_prefix(target, torch.as_tensor(tokens), layer, batch)
        base[label] = measure(target, prefixes[label], batch)
    progress.update(len(windows), len(windows), "base")
    return Yardstick(prefixes, base, batch)


def uniform_cross_entropy(target: Target) -> float:
    """ln V: the cross-entropy of a uniform prediction, in nats."""
    return math.log(target.vocabulary)
