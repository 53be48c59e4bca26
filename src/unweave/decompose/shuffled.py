"""The control that needs a training of its own: the same target with its matrices' entries shuffled.

A network of random weights has as many weights of the same sizes as the trained one, and no mechanisms. What the same
method with the same settings finds in it is what it would find in anything (goodfire-ai/spd, issue 150, asks for this
control; its numbers were not published).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unweave.base.progress import Progress
from unweave.base.seeds import torch_generator
from unweave.corpora.text import Corpus
from unweave.decompose.config import SiteLocalConfig, WholeModelConfig
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.ladder import Ladder, evaluate
from unweave.decompose.run import decompose
from unweave.models.target import Target, make_target


@torch.no_grad()
def shuffled_target(target: Target, sites: str | Iterable[str] = "*", seed: int = 0) -> Target:
    """A copy of the target in which the entries of each matrix of the sites stand in a random order.

    Every matrix keeps its size, its norm and the distribution of its entries; embeddings, norms and biases are left, so
    that the inputs are still those of text. The copy has an identity of its own, and the target is not changed.
    """
    module = copy.deepcopy(target.module)
    twin = replace(target, module=module)
    for site in target.sites(sites):
        weight = twin.weight(site)
        order = torch.randperm(weight.numel(), generator=torch_generator(seed, "shuffled", site.name))
        twin.write_weight(site, weight.flatten()[order.to(weight.device)].view(weight.shape))
    return make_target(
        module, target.tokenizer, f"{target.name}, shuffled", source=target.source, check=bool(target.parity)
    )


def find_shuffled(target: Target, made: Decomposition) -> Target | None:
    """The shuffled target of seed 0 that the decomposition is of, whether all sites were shuffled or its own alone.

    None when it is of neither, as one of another seed is.
    """
    every = target.all_sites()
    for sites in dict.fromkeys((tuple(every), tuple(name for name in every if name in made.sites))):
        twin = shuffled_target(target, sites) if sites else None
        if twin is not None and twin.identity.digest == made.target:
            return twin
    return None


def shuffled_control(
    target: Target,
    data: Corpus | Tensor,
    config: SiteLocalConfig | WholeModelConfig,
    held_out: Corpus | Tensor | None = None,
    *,
    seed: int = 0,
    out: Path | None = None,
    progress: Progress | None = None,
    **measured: Any,
) -> tuple[Decomposition, Ladder]:
    """Takes the shuffled target's sites apart as ``config`` says, and measures that: what the method finds in noise.

    Compare with the ladder of the true target by L0, alive counts, and KL as a share of that of zero masks: the two
    targets' cross-entropies are far apart, and a shuffled one has none to recover. ``held_out`` is what the ladder
    reads (``data`` by default, of which a corpus gives its evaluation part); ``measured`` are options of ``evaluate``.
    """
    twin = shuffled_target(target, config.sites, seed)
    made = decompose(twin, data, config, labels=measured.get("labels"), out=out, check=False, progress=progress)
    return made, evaluate(twin, made, data if held_out is None else held_out, progress=progress, **measured)
