"""What a whole-model decomposition will cost, before it starts: parameters, arithmetic and memory of a step.

Counts follow from shapes alone. A multiplication and addition are two FLOPs; a backward pass counts twice the forward
where both inputs need gradients and once where only one does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from unweave.base.errors import UnweaveError
from unweave.decompose.config import RECONSTRUCTIONS, WholeModelConfig
from unweave.decompose.start import subcomponent_count
from unweave.models.sites import Site
from unweave.models.target import Target

FLOAT = 4


@dataclass(frozen=True)
class Cost:
    """Of one step on one device, in float32."""

    sites: int
    subcomponents: int
    target_parameters: int
    piece_parameters: int
    """Numbers in all V and U."""
    importance_parameters: int
    rows: int
    """Tokens a step (samples, where rows have no positions)."""
    flops: float
    """Of one training step."""
    bytes_fixed: int
    """The target, and what is trained with its gradients and both moments of AdamW, and the adversary's sources."""
    bytes_step: int
    """Activations kept for the backward pass, at most."""

    @property
    def bytes(self) -> int:
        return self.bytes_fixed + self.bytes_step

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "bytes": self.bytes}


def estimate_cost(target: Target, config: WholeModelConfig, rows: int | None = None) -> Cost:
    """The cost of a step of ``config`` on ``target``; pruning is not counted, so it is what the run begins with.

    ``rows`` is how many a batch has, where that is not ``batch`` windows of ``window_length``.
    """
    sites = target.sites(config.sites)
    counts = [subcomponent_count(config, site.d_in, site.d_out) for site in sites]
    rows = rows or config.batch * config.window_length
    parameters = sum(p.numel() for p in target.module.parameters())
    output = target.output_embedding()
    matrices = sum(site.d_in * site.d_out for site in target.all_sites().values())
    unembedding = int(output.weight.numel()) if output is not None else 0  # type: ignore[union-attr]
    pieces = sum(count * (site.d_in + site.d_out) for site, count in zip(sites, counts, strict=True))
    importance = _importance_parameters(config, sites, counts)
    clean = 2 * rows * (matrices + unembedding)
    faithful = 3 * 2 * sum(site.d_in * site.d_out * count for site, count in zip(sites, counts, strict=True))
    terms = [name for name in RECONSTRUCTIONS if getattr(config, name)]
    # Through frozen matrices only the gradient of the input is taken: forward and once more. With one site masked at a
    # time the backward pass goes, on average, half of the way.
    forwards = sum(len(sites) if name == "layerwise" else 1 for name in terms)
    through = sum(1.5 * len(sites) if name == "layerwise" else 2.0 for name in terms)
    masked = through * clean + len(terms) * 3 * 2 * rows * pieces
    ascents = config.ascent_steps * (2 * clean + 2 * 2 * rows * pieces) if config.attacks else 0
    flops = clean + masked + ascents + 3 * 2 * rows * importance + faithful
    sources = _source_numbers(config, sum(counts) + len(sites))
    # Parameters with gradient and two moments; sources the same.
    fixed = FLOAT * (parameters + 4 * (pieces + importance + sources))
    # For every subcomponent and row: logit, mask, activation and gated activation, and as many gradients in the worst
    # case; for every site its input, its output and what the module itself keeps; logits of clean and masked forward.
    wide = sum(site.d_in + 2 * site.d_out for site in sites)
    # A module of features has no vocabulary, and its outputs are about as wide as its sites.
    of_words = output is not None or hasattr(getattr(target.module, "config", None), "vocab_size")
    vocabulary = target.vocabulary if of_words else 0
    logits = (4 * forwards + 2) * vocabulary
    kept = 6 * sum(counts) * len(terms) + wide * (1 + forwards) + logits
    return Cost(
        sites=len(sites),
        subcomponents=sum(counts),
        target_parameters=parameters,
        piece_parameters=pieces,
        importance_parameters=importance,
        rows=rows,
        flops=float(flops),
        bytes_fixed=fixed,
        bytes_step=FLOAT * rows * kept,
    )


def check_memory(cost: Cost, available: int | None) -> None:
    """Raises ``UnweaveError`` with both numbers when a step needs more memory than there is."""
    if available is not None and cost.bytes > available:
        raise UnweaveError(
            f"a step needs about {cost.bytes / 1e9:.1f} GB ({cost.bytes_fixed / 1e9:.1f} GB for the target and what is "
            f"trained, {cost.bytes_step / 1e9:.1f} GB for a batch of {cost.rows} rows), and "
            f"{available / 1e9:.1f} GB are free: use fewer sites, a smaller capacity or a smaller batch"
        )


def _importance_parameters(config: WholeModelConfig, sites: Sequence[Site], counts: Sequence[int]) -> int:
    hidden, wide = config.hidden, sum(site.d_in for site in sites)
    heads = (hidden + 1) * sum(counts)
    if config.importance == "site-mlp":
        return (wide + len(sites)) * hidden + heads
    if config.importance == "component-mlp":
        return (3 * hidden + 1) * sum(counts)
    if config.importance == "shared-mlp":
        return (wide + 1) * hidden + heads
    block = 4 * hidden**2 + 8 * hidden**2 + 5 * hidden
    return (wide + 1) * hidden + config.depth * block + heads


def _source_numbers(config: WholeModelConfig, columns: int) -> int:
    if not config.attacks or config.adversary == "fresh":
        return 0
    reach = {
        "shared": 1,
        "position": config.window_length,
        "batch": config.batch * config.window_length,
        "pooled": config.pool,
    }
    return reach[config.sources] * columns
