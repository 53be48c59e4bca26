"""What an importance function takes, from shapes alone: numbers that it learns, and numbers that it makes of a row."""

from __future__ import annotations

from typing import NamedTuple

from unweave.decompose.config import WholeModelConfig


class Activations(NamedTuple):
    """Numbers of one row in a step: kept for the backward pass, and made beside them and given up again, at most.

    The logits themselves are not among them: every kind makes one a subcomponent.
    """

    kept: int
    passing: int


NOTHING = Activations(0, 0)


def site_parameters(config: WholeModelConfig, d_in: int, count: int) -> int:
    """Numbers that belong to one site of ``count`` subcomponents."""
    if config.importance == "component-mlp":
        return (3 * config.hidden + 1) * count
    head = (config.hidden + 1) * count
    return (d_in + 1) * config.hidden + head if config.importance == "site-mlp" else head


def common_parameters(config: WholeModelConfig, d_in: int) -> int:
    """Numbers that belong to no site; ``d_in`` is the width of all sites' inputs side by side."""
    if config.importance in ("site-mlp", "component-mlp"):
        return 0
    hidden = config.hidden
    block = 4 * hidden**2 + 8 * hidden**2 + 5 * hidden
    return (d_in + 1) * hidden + (config.depth * block if config.importance == "transformer" else 0)


def site_activations(config: WholeModelConfig, d_in: int, count: int) -> Activations:
    """Of one site: its scaled input, and its MLP before and after the gelu; of a small MLP for each subcomponent, the
    response and as much for each of them."""
    if config.importance == "component-mlp":
        # Two are kept; of blocks freed and not filled again a process holds a third (benchmarks/cost.py measures it).
        return Activations(d_in + count + 3 * config.hidden * count, config.hidden * count)
    if config.importance == "site-mlp":
        return Activations(d_in + 2 * config.hidden, config.hidden)
    return NOTHING


def common_activations(config: WholeModelConfig, d_in: int) -> Activations:
    """Of all sites together: their inputs side by side, and what is made of those."""
    if config.importance in ("site-mlp", "component-mlp"):
        return NOTHING
    hidden = config.hidden
    if config.importance == "shared-mlp":
        # Scaled inputs are held once more, one by one, until they stand side by side.
        return Activations(d_in + 2 * hidden, max(d_in, hidden))
    # A block: the stream twice and its norm twice, attention's three inputs and two of them turned, what it gives and
    # its heads side by side, four before and four after the gelu; what is small counts as one more.
    return Activations(d_in + 2 * hidden + config.depth * 20 * hidden, max(d_in, 4 * hidden))
