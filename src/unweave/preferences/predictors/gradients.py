"""Gradients of replies in adapter space: what a first step of training on one reply does to every other.

An adapter ``B A`` starts with ``B`` at 0, and the gradient of ln p(reply) by ``B`` is the sum over tokens of
``delta_t (A x_t)^T``. Here ``delta`` is projected too, by a random matrix of its own (as TRAK does, Park et al. 2023),
so that a gradient is a short vector whose products estimate the true ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from unweave.base.progress import Progress, Silent
from unweave.base.seeds import torch_generator
from unweave.models.sites import Site
from unweave.models.target import Target
from unweave.preferences.truth.log_probs import chances_of
from unweave.preferences.truth.plain_attention import plain_attention

Tokens = Sequence[int]


@dataclass(frozen=True)
class Projection:
    """Which sites' adapters are meant, and to how many directions their inputs and outputs are projected."""

    sites: tuple[str, ...]
    inputs: int = 16
    outputs: int = 16
    seed: int = 0


def reply_gradients(
    target: Target,
    prompts: Sequence[Tokens],
    replies: Sequence[Tokens],
    projection: Projection,
    rows: int = 16,
    progress: Progress | None = None,
) -> Float32[np.ndarray, "n k"]:
    """The projected gradient of ln p of each reply after its prompt; reply i follows prompt i.

    k is ``inputs * outputs`` for each site. One backward pass serves a batch of ``rows`` replies: what each token adds
    at a site is told apart there.
    """
    progress = progress or Silent()
    sites = target.sites(projection.sites)
    maps = [_maps(target, site, projection) for site in sites]
    width = projection.inputs * projection.outputs
    found = np.zeros((len(prompts), width * len(sites)), np.float32)
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]) + len(replies[index]))
    with plain_attention(target):
        for start in range(0, len(order), rows):
            chosen = [index for index in order[start : start + rows] if len(replies[index])]
            if chosen:
                parts = _batch(target, sites, maps, [prompts[i] for i in chosen], [replies[i] for i in chosen])
                found[chosen] = torch.cat(parts, 1).cpu().numpy()
            progress.update(min(start + rows, len(order)), len(order), "gradients of replies")
    return found


def gradient_effects(
    pairs: Float32[np.ndarray, "n k"],
    reference: Float32[np.ndarray, "s k"],
    values: Float32[np.ndarray, "s m"],
    groups: Int64[np.ndarray, " s"],
) -> Float32[np.ndarray, "n m"]:
    """First-order change of the mean of each column by a step on each pair, for a step of length 1 on all of them.

    ``pairs`` are the gradients of the chosen reply minus those of the rejected one: what the loss of DPO descends at
    its start. The mean of a column over replies has the gradient mean(f * grad ln p) (Williams 1992), here with each
    question's own mean as the baseline; ``groups`` says which reference replies answer the same question. Divided by
    the length of the pairs' mean gradient, because AdamW's steps do not grow with the gradient: changes of different
    datasets then have one factor in common.
    """
    length = float(np.linalg.norm(pairs.mean(0, dtype=np.float64)))
    _, place = np.unique(groups, return_inverse=True)
    counts = np.bincount(place)[:, None]
    means = np.zeros((len(counts), values.shape[1]))
    np.add.at(means, place, values)
    above = values - (means / counts)[place]
    return (pairs @ (reference.T @ above.astype(np.float32) / (len(values) * max(length, 1e-12)))).astype(np.float32)


def _maps(target: Target, site: Site, projection: Projection) -> tuple[Tensor, Tensor]:
    generator = torch_generator(projection.seed, "gradients", site.name)
    inputs = torch.randn(projection.inputs, site.d_in, generator=generator) / projection.inputs**0.5
    outputs = torch.randn(projection.outputs, site.d_out, generator=generator) / projection.outputs**0.5
    return inputs.to(target.device, target.dtype), outputs.to(target.device, target.dtype)


def _batch(
    target: Target,
    sites: Sequence[Site],
    maps: Sequence[tuple[Tensor, Tensor]],
    prompts: Sequence[Tokens],
    replies: Sequence[Tokens],
) -> list[Float32[Tensor, "n w"]]:
    parts: list[Tensor] = [torch.zeros(0)] * len(sites)
    with torch.enable_grad(), _told_apart(target, sites, maps, parts):
        chances, there = chances_of(target, prompts, replies)
        (chances * there).sum().backward()
    return parts


@contextmanager
def _told_apart(
    target: Target, sites: Sequence[Site], maps: Sequence[tuple[Tensor, Tensor]], parts: list[Tensor]
) -> Iterator[None]:
    """Inside the block a backward pass leaves each row's projected gradient at each site in ``parts``."""

    def keeper(number: int, site: Site, inputs: Tensor, outputs: Tensor):
        def keep(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            read = args[0].detach() @ inputs.T
            if not output.requires_grad:
                # The first site: nothing before it is trained, and the backward pass ends here.
                output.requires_grad_(True)

            def told(gradient: Tensor) -> None:
                part = torch.einsum("nti,nto->nio", read, site.part(gradient) @ outputs.T)
                parts[number] = part.flatten(1).float()

            output.register_hook(told)

        return keep

    handles = [
        target.module.get_submodule(site.module).register_forward_hook(keeper(number, site, *maps[number]))
        for number, site in enumerate(sites)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
